"""Relaxation with Quantum ESPRESSO: pw.x through ASE, with the user's command and pseudopotentials."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from ase import Atoms
from ase.calculators.espresso import EspressoProfile
from ase.units import GPa, Ry
from numpy.typing import NDArray
from pymatgen.core import Structure

from rocksalt.screening.errors import CalculationError, RocksaltError
from rocksalt.workflows.dft.equation_of_state import (
    EquationOfState,
    find_minimum,
    only_volume_is_free,
)
from rocksalt.workflows.dft.espresso_input import (
    O2_MOMENT_MU_B,
    PROJECTORS,
    PROTOCOLS,
    cell_cutoff_ry,
    force_limit,
    mesh,
    pw_input,
)
from rocksalt.workflows.dft.espresso_output import (
    PwResult,
    last_words,
    read_relaxation,
    why_it_failed,
)
from rocksalt.workflows.dft.magnetism import magnetic_starts, order_of, spin_warning
from rocksalt.workflows.dft.pseudopotentials import Pseudopotential, pseudopotential
from rocksalt.workflows.dft.task import DftTask
from rocksalt.workflows.relaxer import RelaxationResult, rattled
from rocksalt.workflows.settings import load_settings

INPUT, OUTPUT, ERRORS = "espresso.pwi", "espresso.pwo", "espresso.err"

N_CELL_RELAXATIONS = 4
"""Of one cell: plane waves belong to the cell of a run's start, so that a changed one is relaxed anew."""

UPHILL_EV_PER_ATOM = 0.001
"""By which a relaxed cell may lie above its start, each in its own plane waves."""

ROUGH_EV_PER_ATOM = 0.002
"""Points of E(V) that lie further off their curve are said to."""


def relax_dft(task: DftTask, protocol: str) -> RelaxationResult:
    """Relax a structure with pw.x, in each magnetic order that is asked, and keep the lowest.

    Parameters
    ----------
    task
        Structure, settings and folder; each order has a folder in it.
    protocol
        One of `espresso_input.PROTOCOLS`.

    Returns
    -------
    RelaxationResult
        An antiferromagnetic rock salt has four atoms.

    Raises
    ------
    RocksaltError
        When pw.x or the folder of pseudopotentials is missing: then nothing can be computed.
    CalculationError
        When a pseudopotential is missing or wrong, U cannot act, or pw.x fails; with its own last
        words and the path of its output.

    Notes
    -----
    Where symmetry leaves only the volume free, it is found by E(V) at the protocol's cutoff. Other
    cells follow the stress, at a cutoff at which that is converged (`cell_cutoff_ry`); the energy is
    then that of the protocol's cutoff, so that all energies are on one scale.
    """
    profile = _profile()
    version = pw_version(profile.command)
    symbols = sorted({site.specie.symbol for site in task.structure})
    files = {symbol: pseudopotential(Path(profile.pseudo_dir), symbol) for symbol in symbols}
    program = _Program(profile, version, files)
    states = [
        _Order(program, task, protocol, order, start).relaxed()
        for order, start in _starts(task).items()
    ]
    lowest = min(states, key=lambda state: state.energy_ev_per_atom)
    return RelaxationResult(
        atoms=lowest.end.atoms,
        energy_ev=lowest.end.energies_ev[-1],
        forces=lowest.end.forces,
        stress_gpa=lowest.stress_gpa,
        magmoms=lowest.end.magmoms,
        energies_ev=[energy for run in lowest.runs for energy in run.energies_ev],
        max_force=lowest.max_force,
        converged=True,
        n_evaluations=sum(len(run.energies_ev) for state in states for run in state.runs),
        n_fallbacks=0,
        optimizer=lowest.optimizer,
        cpu_s=sum(run.cpu_s for state in states for run in state.runs),
        method=_method(program, task, protocol, lowest, states),
        warnings=_warnings(program, task, protocol, lowest),
    )


@dataclass(frozen=True)
class _Program:
    """pw.x with what it reads."""

    profile: EspressoProfile
    version: str
    files: dict[str, Pseudopotential]


@dataclass(frozen=True)
class _State:
    """The relaxed cell in one magnetic order."""

    order: str
    start: Atoms
    end: PwResult
    runs: list[PwResult]
    k_points: tuple[int, int, int] | None
    max_force: float
    optimizer: Literal["BFGS", "E(V)"]
    directory: Path
    stress_gpa: NDArray[np.float64] | None = None
    cell_at_ry: float | None = None
    curve: EquationOfState | None = None

    @property
    def energy_ev_per_atom(self) -> float:
        return self.end.energies_ev[-1] / len(self.start)


def _profile() -> EspressoProfile:
    settings = load_settings()
    if settings.espresso_pseudo_dir is None:
        raise RocksaltError(
            "engine 'espresso' needs pseudopotentials: set espresso_pseudo_dir "
            "(ROCKSALT_ESPRESSO_PSEUDO_DIR) to a folder with one UPF file per element"
        )
    folder = Path(settings.espresso_pseudo_dir).expanduser().resolve()
    if not folder.is_dir():
        raise RocksaltError(
            f"espresso_pseudo_dir (ROCKSALT_ESPRESSO_PSEUDO_DIR): {folder} is no folder: set it to "
            "one with one UPF file per element"
        )
    return EspressoProfile(command=settings.espresso_command, pseudo_dir=folder)


@lru_cache
def pw_version(command: str) -> str:
    """Return the version that pw.x prints, for example '6.7MaX'.

    Raises
    ------
    RocksaltError
        When it cannot be started, or prints none.
    """
    remedy = "set espresso_command (ROCKSALT_ESPRESSO_COMMAND) to how pw.x is started"
    try:
        return str(EspressoProfile(command=command, pseudo_dir=".").version())
    except OSError as error:
        raise RocksaltError(
            f"espresso_command {command!r} cannot be started: {error.strerror}: install Quantum "
            f"ESPRESSO, or {remedy}"
        ) from error
    except AssertionError as error:  # what ASE raises for an output without a version
        raise RocksaltError(
            f"espresso_command {command!r} does not print a version of pw.x: {remedy}"
        ) from error


def _starts(task: DftTask) -> dict[str, Structure]:
    if task.is_molecule:  # its moment is set as a whole
        still = task.structure.copy()
        still.add_site_property("magmom", [0.0] * len(still))
        return {"ferromagnetic": still}
    return magnetic_starts(task.structure, task.settings)


class _Order:
    """The runs of pw.x for one magnetic order."""

    def __init__(
        self, program: _Program, task: DftTask, protocol: str, order: str, start: Structure
    ) -> None:
        self.program, self.task, self.protocol, self.order = program, task, protocol, order
        self.directory = task.directory / order
        self.directory.mkdir(parents=True, exist_ok=True)
        self.limit = force_limit(task, protocol)
        self.runs: list[PwResult] = []
        self.start = Atoms(
            numbers=[site.specie.Z for site in start],
            scaled_positions=start.frac_coords,
            cell=start.lattice.matrix,
            magmoms=start.site_properties["magmom"],
            pbc=True,
        )
        # One mesh for all volumes and strains: another mesh is another energy.
        self.k_points = mesh(self.start, task, protocol)

    def relaxed(self) -> _State:
        """Relax the positions, or the cell: its volume where symmetry fixes all else."""
        relaxation = self.task.relaxation
        if not relaxation.relax_cell:
            return self._state(self._run(rattled(self.start, relaxation)), "BFGS")
        still = not (relaxation.rattle_angstrom or relaxation.rattle_strain)
        # The chemical structure counts: what the moments do to a rock salt's shape is small.
        if still and only_volume_is_free(self.task.structure):
            curve, _ = find_minimum(self._energy_ev, self.start.get_volume())
            # The last point lies at the minimum.
            return replace(self._state(self.runs[-1], "E(V)"), curve=curve)
        return self._by_stress()

    def _energy_ev(self, volume: float) -> float:
        atoms = self.start.copy()
        factor = (volume / atoms.get_volume()) ** (1 / 3)
        atoms.set_cell(atoms.cell.array * factor, scale_atoms=True)
        return self._run(atoms).energies_ev[-1]

    def _by_stress(self) -> _State:
        """Relax the cell until it is at rest, then the positions at the protocol's cutoff."""
        cutoff = cell_cutoff_ry(self.protocol, self.program.files.values())
        atoms = rattled(self.start, self.task.relaxation)
        for _ in range(N_CELL_RELAXATIONS):
            cell = self._run(atoms, cell_at_ry=cutoff)
            self._refuse_uphill(cell)
            atoms = cell.atoms.copy()
            atoms.set_initial_magnetic_moments(self.start.get_initial_magnetic_moments())
            force = largest_force(cell)
            if force < self.limit:
                break
        else:
            raise CalculationError(
                f"the cell is not at rest after {len(self.runs)} runs: largest force {force:.3g} "
                f"eV/angstrom, wanted {self.limit:g}; log {self.directory / OUTPUT}"
            )
        state = self._state(self._run(atoms), "BFGS")
        return replace(
            state,
            max_force=max(state.max_force, force),
            stress_gpa=cell.stress_gpa,
            cell_at_ry=cutoff,
        )

    def _refuse_uphill(self, cell: PwResult) -> None:
        """Raise when a cell rose in energy: it followed the error of a basis that is too small."""
        rise = (cell.energies_ev[-1] - cell.energies_ev[0]) / len(self.start)
        if rise > UPHILL_EV_PER_ATOM:
            raise CalculationError(
                f"the relaxed cell lies {1000 * rise:.1f} meV/atom above its start: the stress is "
                f"not converged: use a protocol with a higher cutoff; log {self.directory / OUTPUT}"
            )

    def _state(self, end: PwResult, optimizer: Literal["BFGS", "E(V)"]) -> _State:
        return _State(
            order=self.order,
            start=self.start,
            end=end,
            runs=self.runs,
            k_points=self.k_points,
            max_force=float(np.linalg.norm(end.forces, axis=1).max()),
            optimizer=optimizer,
            directory=self.directory,
        )

    def _run(self, atoms: Atoms, cell_at_ry: float | None = None) -> PwResult:
        text = pw_input(
            atoms,
            self.task,
            self.protocol,
            self.program.files,
            self.program.version,
            k_points=self.k_points,
            cell_at_ry=cell_at_ry,
        )
        self.runs.append(run_pw(self.program.profile, self.directory, text))
        return self.runs[-1]


def largest_force(result: PwResult) -> float:
    """Return the longest force, of an atom or (V/N times the stress) of a cell vector, eV/angstrom."""
    rows = [result.forces]
    if result.stress_gpa is not None:
        volume = result.atoms.get_volume() / len(result.atoms)
        rows.append(result.stress_gpa * GPa * volume)
    return float(np.linalg.norm(np.vstack(rows), axis=1).max())


def run_pw(profile: EspressoProfile, directory: Path, text: str) -> PwResult:
    """Run pw.x on an input in a folder, and read its output.

    Raises
    ------
    CalculationError
        When it fails; with its own last words and the path of its output.
    RocksaltError
        When it cannot be started.
    """
    output, errors = directory / OUTPUT, directory / ERRORS
    (directory / INPUT).write_text(text, encoding="utf-8")
    exit_code = 0
    try:
        profile.run(directory, INPUT, OUTPUT, ERRORS)
    except subprocess.CalledProcessError as error:
        exit_code = error.returncode
    except OSError as error:
        raise RocksaltError(
            f"espresso_command {profile.command!r} cannot be started: {error.strerror}"
        ) from error
    said, complained = (file.read_text("utf-8", errors="replace") for file in (output, errors))
    reason = why_it_failed(said, complained, exit_code)
    if reason is not None:
        raise CalculationError(f"{reason}; log {output}")
    try:
        result = read_relaxation(said)
    except CalculationError as error:
        raise CalculationError(f"{error} ({last_words(said)}); log {output}") from error
    shutil.rmtree(directory / "scratch", ignore_errors=True)  # densities of a run that is over
    return result


def _method(
    program: _Program, task: DftTask, protocol: str, lowest: _State, states: list[_State]
) -> dict[str, Any]:
    settings = PROTOCOLS[protocol]
    width = settings.smearing_metal_ry if task.is_metal else settings.smearing_ry
    hubbard = {s: u for s, u in task.settings.hubbard_u_ev.items() if s in program.files}
    moments = lowest.end.magmoms
    symbols = lowest.end.atoms.get_chemical_symbols()
    method: dict[str, Any] = {
        "code": "Quantum ESPRESSO",
        "version": program.version,
        "protocol": protocol,
        "functional": "PBE",
        "cutoff_ev": settings.cutoff_ry * Ry,
        "density_cutoff_ev": settings.density_cutoff_ry * Ry,
        "k_mesh": list(lowest.k_points or (1, 1, 1)),
        "smearing": None if task.is_molecule else {"kind": "cold", "width_ev": width * Ry},
        "force_limit_ev_per_angstrom": force_limit(task, protocol),
        "hubbard": hubbard,
        "hubbard_projectors": PROJECTORS if hubbard else None,
        "magnetic_order": "nonmagnetic" if moments is None else order_of(moments, symbols),
        "energies_ev_per_atom": {state.order: state.energy_ev_per_atom for state in states},
        "total_moment_mu_b": lowest.end.total_moment_mu_b,
        "files": {found.path.name: found.sha256 for found in program.files.values()},
        "directory": str(lowest.directory),
        "safer": task.safer,
    }
    if lowest.cell_at_ry is not None:
        method["cell_cutoff_ev"] = lowest.cell_at_ry * Ry
    if lowest.curve is not None:
        method["equation_of_state"] = {
            "kind": "Birch-Murnaghan",
            "bulk_modulus_gpa": lowest.curve.bulk_modulus_gpa,
            "rms_ev": lowest.curve.rms_ev,
        }
    return method


def _warnings(program: _Program, task: DftTask, protocol: str, lowest: _State) -> list[str]:
    found = []
    cutoff = PROTOCOLS[protocol].cutoff_ry
    low = {s: p.cutoff_ry for s, p in program.files.items() if (p.cutoff_ry or 0) > cutoff + 0.5}
    if low:
        wanted = ", ".join(f"{symbol} {ry:.0f}" for symbol, ry in low.items())
        found.append(
            f"cutoff {cutoff:g} Ry is below what the pseudopotentials suggest ({wanted} Ry): the "
            "energy is less converged than their authors advise"
        )
    if lowest.curve is not None and lowest.curve.rms_ev > ROUGH_EV_PER_ATOM * len(lowest.start):
        found.append(
            f"the points of E(V) lie {1000 * lowest.curve.rms_ev / len(lowest.start):.1f} meV/atom off "
            "their curve: the cutoff is too low, or two spin states cross"
        )
    end = lowest.end
    if task.is_molecule and end.total_moment_mu_b != O2_MOMENT_MU_B:
        found.append(f"the molecule has {end.total_moment_mu_b} mu_B, not {O2_MOMENT_MU_B:g}")
    if end.magmoms is not None and not task.is_molecule:
        starts = lowest.start.get_initial_magnetic_moments().tolist()
        suspicious = spin_warning(_structure(end.atoms), starts, end.magmoms.tolist())
        if suspicious:
            found.append(suspicious)
    return found


def _structure(atoms: Atoms) -> Structure:
    positions = atoms.get_scaled_positions(wrap=False)
    return Structure(atoms.cell.array, atoms.get_chemical_symbols(), positions)
