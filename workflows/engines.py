"""Engines by name: what computes energies, which version, and on which energy scale."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from rocksalt.screening.errors import RocksaltError
from rocksalt.screening.scales import DFT_PROTOCOLS, EnergyScale, energy_scale

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

    from rocksalt.workflows.dft.density_of_states import DensityOfStatesSettings, ElectronicStates
    from rocksalt.workflows.dft.task import DftTask
    from rocksalt.workflows.relaxer import RelaxationResult


@dataclass(frozen=True)
class Engine:
    """Something that computes energies and forces.

    Attributes
    ----------
    name
        As users type it.
    model_version
        Version of the model: part of a calculation's identity.
    package
        The distribution that provides it, or None when rocksalt does.
    module
        What must be importable.
    make
        Returns a new ASE calculator, of a potential.
    relax_dft
        Relaxes a structure with a DFT code.
    electronic_states
        Returns levels and orbitals of a structure, for a density of states.
    """

    name: str
    model_version: str
    package: str | None
    module: str | None
    make: Callable[[], Calculator] | None = None
    relax_dft: Callable[[DftTask], RelaxationResult] | None = None
    electronic_states: Callable[[DftTask, DensityOfStatesSettings], ElectronicStates] | None = None

    @property
    def is_dft(self) -> bool:
        """Whether it is a DFT code."""
        return self.relax_dft is not None

    @property
    def code(self) -> str:
        """The name before the colon: that of the settings of a DFT code."""
        return self.name.split(":")[0]

    @property
    def scale(self) -> EnergyScale:
        """The scale of the energies that come out."""
        return energy_scale(self.name, self.model_version)

    @property
    def version(self) -> str:
        """Package with version, and model, for provenance."""
        if self.package is None:
            return f"{self.name} {self.model_version}"
        try:
            return f"{self.package} {version(self.package)}, model {self.model_version}"
        except PackageNotFoundError:
            return f"{self.package} (version unknown), model {self.model_version}"

    def check_installed(self) -> None:
        """Raise when the package is missing.

        Raises
        ------
        RocksaltError
            Naming the command that installs it.
        """
        if self.module is not None and find_spec(self.module) is None:
            raise RocksaltError(
                f"engine {self.name!r} needs the package {self.package}: "
                f"{_install_command(self.package)}"
            )


def _install_command(package: str | None) -> str:
    if package == "gpaw":
        return "pip install 'rocksalt[dft]' (its system libraries: docs/dft.md)"
    if package in {"chgnet", "sevenn"}:
        return "pip install 'rocksalt[mlip]'"
    return f"pip install {(package or '').replace('.', '-')}"


def _chgnet(model: str) -> Callable[[], Calculator]:
    def make() -> Calculator:
        from rocksalt.workflows.chgnet import FastCHGNetCalculator

        return FastCHGNetCalculator(model)

    return make


def _sevennet(model: str, modal: str | None = None) -> Callable[[], Calculator]:
    def make() -> Calculator:
        from rocksalt.workflows.sevennet import sevennet_calculator

        return sevennet_calculator(model, modal)

    return make


def _mock() -> Calculator:
    from rocksalt.workflows.mock import MockCalculator

    return MockCalculator()


def _dft(code: str, protocol: str) -> Callable[[DftTask], RelaxationResult]:
    def relax_dft(task: DftTask) -> RelaxationResult:
        module = import_module(f"rocksalt.workflows.dft.{code}")
        found: RelaxationResult = module.relax_dft(task, protocol)
        return found

    return relax_dft


def _states(module: str, *protocol: str) -> Callable[..., ElectronicStates]:
    def electronic_states(task: DftTask, settings: DensityOfStatesSettings) -> ElectronicStates:
        found: ElectronicStates = import_module(f"rocksalt.workflows.{module}").electronic_states(
            task, *protocol, settings
        )
        return found

    return electronic_states


def _atomate2(name: str) -> Callable[[], Calculator]:
    def make() -> Calculator:
        from atomate2.forcefields.utils import MLFF, ase_calculator

        calculator: Any = ase_calculator(MLFF(name), **_atomate2_settings(name))
        return calculator

    return make


def _atomate2_settings(name: str) -> dict[str, Any]:
    from atomate2.forcefields.jobs import ForceFieldStaticMaker

    return dict(ForceFieldStaticMaker(force_field_name=name).calculator_kwargs)


_OWN = {
    engine.name: engine
    for engine in (
        Engine("chgnet", "0.3.0", "chgnet", "chgnet", _chgnet("0.3.0")),
        Engine("chgnet-r2scan", "r2scan", "chgnet", "chgnet", _chgnet("r2scan")),
        Engine("sevennet-0", "7net-0", "sevenn", "sevenn", _sevennet("7net-0")),
        Engine("sevennet-l3i5", "7net-l3i5", "sevenn", "sevenn", _sevennet("7net-l3i5")),
        Engine("sevennet-mf-0:pbe", "7net-mf-0", "sevenn", "sevenn", _sevennet("7net-mf-0", "PBE")),
        Engine(
            "sevennet-mf-0:r2scan",
            "7net-mf-0",
            "sevenn",
            "sevenn",
            _sevennet("7net-mf-0", "R2SCAN"),
        ),
        Engine("mock", "1", None, None, _mock, electronic_states=_states("mock_electrons")),
        *(
            Engine(
                f"{code}:{protocol}",
                f"PBE {protocol}",
                package,
                module,
                relax_dft=_dft(code, protocol),
                electronic_states=_states("dft.gpaw", protocol) if code == "gpaw" else None,
            )
            for code, package, module in (("gpaw", "gpaw", "gpaw"), ("espresso", None, None))
            for protocol in DFT_PROTOCOLS[code]
        ),
        Engine(
            "vasp",
            "MP sets",
            None,
            None,
            relax_dft=_dft("vasp", "mp"),
            electronic_states=_states("dft.vasp", "mp"),
        ),
    )
}

COMMITTEE = tuple(e.name for e in _OWN.values() if e.name != "mock" and not e.is_dft)
"""All potentials whose weights come with a package: the mean of their dHmix is the better guess."""

_ALIASES = {"sevennet-mf-0": "sevennet-mf-0:pbe", "sevennet-mf-0:PBE": "sevennet-mf-0:pbe"}
_ALIASES |= {code: f"{code}:balanced" for code in DFT_PROTOCOLS}
_ALIASES["sevennet-mf-0:R2SCAN"] = "sevennet-mf-0:r2scan"


def engine_names() -> list[str]:
    """Return the names of rocksalt's own engines and of `committee`."""
    return [*_OWN, "committee"]


@lru_cache
def get_engine(name: str) -> Engine:
    """Return an engine by name.

    Parameters
    ----------
    name
        One of `engine_names` (not `committee`), or a force field of atomate2, for example
        'MACE-MP-0'.

    Raises
    ------
    RocksaltError
        For an unknown name; the nearest known one is named.
    """
    own = _OWN.get(_ALIASES.get(name, name))
    if own is not None:
        return own
    from atomate2.forcefields.utils import MLFF, _get_pkg_name

    theirs = {member.value for member in MLFF} - {"Forcefield"}  # that one stands for any other
    if name in theirs:
        package = _get_pkg_name(MLFF(name))
        module = {"mace-torch": "mace", "quippy-ase": "quippy", "deepmd-kit": "deepmd"}.get(
            package or "", (package or name).split(".")[0]
        )
        return Engine(name, name, package, module, _atomate2(name))
    known = [*engine_names(), *_ALIASES, *sorted(theirs)]
    known.remove("mock")  # nobody who mistypes an engine wants numbers that mean nothing
    near = [own for own in engine_names() if own.lower() == name.lower()]
    near = near or difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(engine_names())}"
    raise RocksaltError(f"engine {name!r} is not known: {hint}")


def expand_engines(names: Sequence[str]) -> list[str]:
    """Return engine names with `committee` and short names written out, each once.

    Raises
    ------
    RocksaltError
        For an unknown name.
    """
    full: list[str] = []
    for name in names:
        for member in COMMITTEE if name == "committee" else (get_engine(name).name,):
            if member not in full:
                full.append(member)
    return full


@lru_cache(maxsize=8)
def get_calculator(name: str) -> Calculator:
    """Return this process's calculator of an engine, loaded once.

    Raises
    ------
    RocksaltError
        When the engine is unknown, not installed, or cannot be loaded.
    """
    engine = get_engine(name)
    engine.check_installed()
    if engine.make is None:
        raise RocksaltError(f"engine {name!r} is a DFT code: it gives no calculator of its own")
    try:
        return engine.make()
    except RocksaltError:
        raise
    except Exception as error:  # weights that cannot be read or fetched, a package that is broken
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise RocksaltError(f"engine {name!r} cannot be loaded: {reason}") from error
