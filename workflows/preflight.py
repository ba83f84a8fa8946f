"""What a campaign would stumble over, found before it starts: programs, files, elements, U, memory."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from pymatgen.core import Element

from rocksalt.screening.elements import host_cations
from rocksalt.screening.errors import CalculationError, RocksaltError
from rocksalt.workflows.calculation import Calculation
from rocksalt.workflows.campaign import LAYERED_STAGES, Campaign
from rocksalt.workflows.costs import estimated_memory_mb
from rocksalt.workflows.dft.settings import DftSettings, materials_project_u_ev
from rocksalt.workflows.engines import get_engine
from rocksalt.workflows.plan_stages import chemical_systems
from rocksalt.workflows.settings import load_settings

NOT_IN_MPTRJ = {"Po", "At", "Rn", "Fr", "Ra"}
"""Below Z = 95, all other elements are in the data that CHGNet and SevenNet were trained on."""

LAST_IN_MPTRJ = 94

LAUNCHERS = {"mpirun", "mpiexec", "mpiexec.hydra", "orterun", "srun", "nice", "env", "time"}
"""Programs before pw.x on whose command line pw.x is one of this machine."""

U_GROUPS = range(4, 12)
"""Groups of the d metals whose d shell is open as a rule."""


@dataclass
class Findings:
    """What was found.

    Attributes
    ----------
    problems
        With which a campaign does not start.
    warnings
        With which it does.
    """

    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def __add__(self, other: Findings) -> Findings:
        """Return both together, each line once."""
        return Findings(
            list(dict.fromkeys([*self.problems, *other.problems])),
            list(dict.fromkeys([*self.warnings, *other.warnings])),
        )

    def refuse(self, where: str) -> None:
        """Raise when there are problems.

        Raises
        ------
        RocksaltError
            All problems in one line.
        """
        if self.problems:
            raise RocksaltError(f"{where}: " + "; ".join(self.problems))


def preflight(campaign: Campaign, *, here: bool = True) -> Findings:
    """Return what a campaign's engines lack, without computing anything.

    Parameters
    ----------
    campaign
        What is to be computed.
    here
        Look for programs, packages and files of this machine too. A campaign that is handed to a
        cluster needs them there.
    """
    elements = elements_of(campaign)
    found = Findings()
    for name in campaign.engines:
        found += elements_of_engine(name, elements)
        settings = campaign.dft_settings(name)
        if settings is not None:
            found += hubbard(name, settings, elements)
        if here:
            found += installation(name, elements)
    if campaign.electronic_engines:
        found += _electronic_structure(campaign, here=here)
    return found


def _electronic_structure(campaign: Campaign, *, here: bool) -> Findings:
    """Return what engines lack that compute densities of states and nothing else, or relax for them."""
    found = Findings()
    elements = ["Li", campaign.layered_host, "O"]
    engines = campaign.electronic_engines
    relaxing = [campaign.density_of_states_settings(name).geometry or name for name in engines]
    for name in dict.fromkeys([*engines, *relaxing]):
        if name in campaign.engines:
            continue
        found += elements_of_engine(name, elements)
        settings = campaign.dft_settings(name)
        if settings is not None:
            found += hubbard(name, settings, elements)
        if here:
            found += installation(name, elements)
    return found


def elements_of(campaign: Campaign) -> list[str]:
    """Return the elements that a campaign's cells hold, oxygen last."""
    cations = [
        *campaign.cations,
        *(cation for host in campaign.hosts for cation in host_cations(host)),
        *(symbol for system in chemical_systems(campaign) for symbol in system),
    ]
    if LAYERED_STAGES & set(campaign.stages):
        cations += ["Li", campaign.layered_host]
    return [*dict.fromkeys(cations), "O"]


def elements_of_engine(name: str, elements: Iterable[str]) -> Findings:
    """Return which elements a potential was not trained on, as a problem."""
    if get_engine(name).package not in {"chgnet", "sevenn"}:
        return Findings()
    unknown = [e for e in elements if e in NOT_IN_MPTRJ or Element(e).Z > LAST_IN_MPTRJ]
    if not unknown:
        return Findings()
    return Findings(
        [f"engine {name!r} does not know {', '.join(unknown)}: leave them out, or use a DFT code"]
    )


def hubbard(name: str, settings: DftSettings, elements: Collection[str]) -> Findings:
    """Return where U cannot act, and where some metals have it and others of their kind have not."""
    code = get_engine(name).code
    given = {symbol for symbol in settings.hubbard_u_ev if symbol in elements}
    found = Findings()
    impossible = [symbol for symbol in sorted(given) if not _takes_u_on_d(code, symbol)]
    if impossible:
        found.problems.append(
            f"engine {name!r} has no d shell for U in {', '.join(impossible)}: remove them from "
            f"dft.{code}.hubbard_u_ev"
        )
    if settings.hubbard_u_ev == materials_project_u_ev():
        return found  # a table that leaves elements out on purpose
    for row in sorted({Element(symbol).row for symbol in given if _may_need_u(symbol)}):
        kind = [s for s in elements if _may_need_u(s) and Element(s).row == row]
        lacking = [symbol for symbol in kind if symbol not in given]
        if lacking:
            having = ", ".join(symbol for symbol in kind if symbol in given)
            found.warnings.append(
                f"engine {name!r}: U is given to {having} and not to {', '.join(lacking)}, metals of "
                f"the same row: mixtures of both mix two kinds of energies; if that is not meant, "
                f"complete dft.{code}.hubbard_u_ev"
            )
    return found


def _takes_u_on_d(code: str, symbol: str) -> bool:
    element = Element(symbol)
    if code == "espresso" and element.block == "f":
        return False  # pw.x lets U act on f there
    return element.block in {"d", "f"} or (element.block == "p" and element.Z > 30)


def _may_need_u(symbol: str) -> bool:
    element = Element(symbol)
    return element.block == "d" and element.group in U_GROUPS


def installation(name: str, elements: Iterable[str]) -> Findings:
    """Return what this machine lacks for an engine: package, program, potentials."""
    engine = get_engine(name)
    try:
        engine.check_installed()
    except RocksaltError as error:
        return Findings([str(error)])
    look: Mapping[str, Callable[[Iterable[str]], list[str]]] = {
        "gpaw": _gpaw,
        "espresso": _espresso,
        "vasp": _vasp,
    }
    if not engine.is_dft:
        return Findings()
    return Findings(look[engine.code](elements))


def _gpaw(elements: Iterable[str]) -> list[str]:
    from gpaw import setup_paths

    folders = [Path(path) for path in setup_paths]
    lacking = [
        symbol
        for symbol in elements
        if not any((f / f"{symbol}.PBE{end}").is_file() for f in folders for end in ("", ".gz"))
    ]
    if not lacking:
        return []
    where = ", ".join(map(str, folders)) or "no folder"
    return [
        (
            f"engine 'gpaw' has no PAW dataset of {', '.join(lacking)} for PBE in {where}: 'pip install gpaw-data', or set "
            "GPAW_SETUP_PATH to a folder that has them"
        )
    ]


def _espresso(elements: Iterable[str]) -> list[str]:
    from rocksalt.workflows.dft.pseudopotentials import pseudopotential

    settings = load_settings()
    problems = [
        f"espresso_command {settings.espresso_command!r}: {program!r} is not on PATH: install "
        "Quantum ESPRESSO, or set ROCKSALT_ESPRESSO_COMMAND to how pw.x is started"
        for program in _programs(settings.espresso_command)
        if shutil.which(program) is None
    ]
    if settings.espresso_pseudo_dir is None:
        return [
            *problems,
            (
                "engine 'espresso' has no pseudopotentials: set ROCKSALT_ESPRESSO_PSEUDO_DIR to a folder with one UPF file per "
                "element"
            ),
        ]
    folder = Path(settings.espresso_pseudo_dir).expanduser()
    for symbol in elements:
        try:
            pseudopotential(folder, symbol)
        except CalculationError as error:
            problems.append(str(error))
        except RocksaltError as error:  # the folder itself
            return [*problems, str(error)]
    return problems


def _vasp(elements: Iterable[str]) -> list[str]:
    from rocksalt.workflows.dft.vasp import check_vasp

    try:
        check_vasp()
    except RocksaltError as error:
        return [str(error)]
    return []


def _programs(command: str) -> list[str]:
    """Return the programs that a command line needs here: the first, and one behind a launcher.

    What a container or another machine runs is not looked for here.
    """
    words = shlex.split(command)
    if not words:
        return [command]
    behind = [word for word in words[1:] if Path(word).name == "pw.x"]
    return [words[0], *(behind if Path(words[0]).name in LAUNCHERS else [])]


def memory(calculations: Iterable[Calculation], n_workers: int) -> Findings:
    """Return the engines whose largest calculation does not fit into a worker's share of memory.

    More than the machine has is a problem, more than is free now a warning.

    Parameters
    ----------
    calculations
        What is to be computed.
    n_workers
        Processes that compute at the same time.
    """
    largest: dict[str, tuple[float, Calculation]] = {}
    for calculation in _one_of_each_size(calculations):
        mb = estimated_memory_mb(calculation)
        if mb > largest.get(calculation.engine, (0.0, calculation))[0]:
            largest[calculation.engine] = mb, calculation
    state = psutil.virtual_memory()
    found = Findings()
    for engine, (mb, calculation) in largest.items():
        for share, kind, lines in (
            (state.total / 1e6 / n_workers, "this machine has", found.problems),
            (state.available / 1e6 / n_workers, "are free now", found.warnings),
        ):
            if mb > share:
                lines.append(_too_large(engine, calculation, mb, share, kind, n_workers))
                break
    return found


def _one_of_each_size(calculations: Iterable[Calculation]) -> Iterable[Calculation]:
    """Return one calculation of each engine, role and number of atoms: the rest is as large."""
    seen: dict[tuple[object, ...], Calculation] = {}
    for calculation in calculations:
        n_atoms = calculation.start.composition.num_atoms
        kind = (calculation.engine, calculation.role, calculation.cell, n_atoms)
        seen.setdefault(kind, calculation)
    return seen.values()


def _too_large(
    engine: str, calculation: Calculation, mb: float, share: float, kind: str, n_workers: int
) -> str:
    has, each = (
        (f"{share / 1000:.1f} GB {kind}", "")
        if n_workers == 1
        else (f"{share / 1000:.1f} GB {kind}", f" for each of {n_workers} workers")
    )
    remedies = ["fewer workers"] if n_workers > 1 else []
    code = get_engine(engine).code
    remedies.append(
        f"smaller cells with dft.{code}.max_atoms"
        if get_engine(engine).is_dft
        else "smaller supercells"
    )
    return (
        f"engine {engine!r}: {calculation.label} needs about {mb / 1000:.1f} GB of memory, {has}{each}: "
        f"{' or '.join(remedies)}"
    )
