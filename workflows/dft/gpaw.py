"""The GPAW engine: PBE in plane waves, relaxed by E(V) or by forces, one state per magnetic order.

GPAW is an optional package under the GPL, imported when a calculation starts.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from ase import Atoms
from pymatgen.core import Structure

from rocksalt.screening.errors import CalculationError, RocksaltError
from rocksalt.workflows.dft.density_of_states import DensityOfStatesSettings, ElectronicStates
from rocksalt.workflows.dft.equation_of_state import (
    EquationOfState,
    find_minimum,
    only_volume_is_free,
)
from rocksalt.workflows.dft.gpaw_parameters import (
    FUNCTIONAL,
    HUBBARD_PROJECTORS,
    PROTOCOLS,
    parameters,
)
from rocksalt.workflows.dft.kpoints import k_mesh
from rocksalt.workflows.dft.magnetism import (
    are_same_state,
    magnetic_starts,
    molecule_warning,
    order_of,
    signs_of,
    spin_warning,
)
from rocksalt.workflows.dft.task import DftTask
from rocksalt.workflows.relaxer import RelaxationResult, relax

HOPELESS_EV_PER_ATOM = 0.05
"""An order that lies this far above the lowest one, in the cell of that, is not relaxed."""

SAME_EV_PER_ATOM = 0.001
"""An order that became the state of another is that one, unless it lies lower by more than this."""

ROUGH_EV_PER_ATOM = 0.002
"""Points that lie further off the fit of E(V) are said to."""

CELL_NOISE_EV_PER_ATOM = 5e-4
"""The number of plane waves changes with the cell, and the energy by steps: by 0.2 meV in hcp Ti."""

BANDS_ABOVE_EV = 1.0
"""Empty states are converged this far above the gap, or above the Fermi level of a metal."""

SYMMETRY_TOLERANCE = 1e-5
"""In fractions of the cell: a relaxed cell is that near to the symmetry that was put back."""

PROJECTION = (
    "squared overlap with the PAW projectors of an atom's bound states, in which a free atom's orbital "
    "counts 1; not normalised, so that orbitals of neighbours overlap"
)


@dataclass
class _State:
    """One magnetic order, relaxed."""

    atoms: Atoms
    energy_ev: float
    geometry_ev_per_atom: float
    forces: np.ndarray
    moments: np.ndarray
    total_moment: float
    starts: list[float]
    parameters: dict[str, Any]
    cell_parameters: dict[str, Any] | None
    energies_ev: list[float]
    optimizer: str
    files: dict[str, str]
    max_force: float = 0.0
    stress_gpa: np.ndarray | None = None
    equation_of_state: EquationOfState | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def ev_per_atom(self) -> float:
        return self.energy_ev / len(self.atoms)


@dataclass
class _NotPursued:
    """An order that was given up in the cell of a lower one; energy by comparison with that."""

    ev_per_atom: float
    reason: str


def relax_dft(task: DftTask, protocol: str) -> RelaxationResult:
    """Relax a structure with GPAW.

    Parameters
    ----------
    task
        What to compute.
    protocol
        One of `rocksalt.workflows.dft.gpaw_parameters.PROTOCOLS`.

    Returns
    -------
    RelaxationResult
        Of the lowest of the magnetic orders tried. Its cell may be larger than the task's.

    Raises
    ------
    CalculationError
        GPAW fails, the minimum is not found, or the relaxation ends as `relax` may. With safer
        settings one order is enough; that the other failed is a warning.
    """
    started = time.process_time()
    lowest: _State | None = None
    tried: dict[str, float] = {}
    given_up: dict[str, str] = {}
    failed: list[str] = []
    n_evaluations = 0
    for order, start in magnetic_starts(task.structure, task.settings).items():
        try:
            found = _Attempt(task, protocol, order, start).run(lowest)
        except CalculationError as error:
            if lowest is None or not task.safer:
                raise
            failed.append(f"the {order} order was not compared: {error}")
            continue
        tried[order] = found.ev_per_atom
        if isinstance(found, _NotPursued):
            given_up[order] = found.reason
            n_evaluations += 1
            continue
        n_evaluations += len(found.energies_ev)
        if lowest is None or found.ev_per_atom < lowest.ev_per_atom:
            lowest = found
    assert lowest is not None  # the first order is always relaxed
    method = _method(task, protocol, lowest)
    method["energies_ev_per_atom"] = tried
    if given_up:
        method["orders_not_relaxed"] = given_up
    return RelaxationResult(
        atoms=lowest.atoms,
        energy_ev=lowest.energy_ev,
        forces=lowest.forces,
        stress_gpa=lowest.stress_gpa,
        magmoms=lowest.moments,
        energies_ev=lowest.energies_ev,
        max_force=lowest.max_force,
        converged=True,
        n_evaluations=n_evaluations,
        n_fallbacks=int(lowest.optimizer == "FIRE"),
        optimizer=lowest.optimizer,  # type: ignore[arg-type]  # one of relax's, or E(V)
        cpu_s=time.process_time() - started,
        method=method,
        warnings=lowest.warnings + failed,
    )


class _Attempt:
    """The calculations of one magnetic order: of the cell, then of the energy in it."""

    def __init__(self, task: DftTask, protocol: str, order: str, start: Structure) -> None:
        self.task = task
        self.protocol = PROTOCOLS[protocol]
        self.order = order
        self.start = start
        self.atoms = _with_moments(start)
        relaxation = task.relaxation
        still = not (relaxation.rattle_angstrom or relaxation.rattle_strain)
        self.relaxes_cell = relaxation.relax_cell and not task.is_molecule
        # The chemical structure counts: what the moments do to the shape of a rock salt is small.
        self.is_cubic = self.relaxes_cell and still and only_volume_is_free(task.structure)

    def run(self, lowest: _State | None) -> _State | _NotPursued:
        """Relax this order, or leave it in the cell of the lowest one if it cannot compete."""
        if not self.relaxes_cell:
            return self._relax_atoms()
        given = self._parameters(for_cell=True)
        with _calculation(self.task, f"{self.order}-cell", given) as calculator:
            self.atoms.calc = calculator
            if lowest is not None:
                _take_cell(self.atoms, lowest.atoms)
                given_up = self._compare(lowest)
                if given_up is not None:
                    return given_up
            state = self._by_volume() if self.is_cubic else self._by_filter(calculator)
        state.cell_parameters = given
        if given == state.parameters:
            return self._checked(state)
        return self._at_the_minimum(state)

    def _parameters(self, *, for_cell: bool) -> dict[str, Any]:
        return parameters(
            self.protocol,
            self.task,
            self.start.lattice.matrix,
            is_cubic=self.is_cubic,
            for_cell=for_cell,
        )

    def _compare(self, lowest: _State) -> _NotPursued | None:
        """Return why this order is not relaxed, or None when it may turn out lowest."""
        above = self.atoms.get_potential_energy() / len(self.atoms) - lowest.geometry_ev_per_atom
        moments = self.atoms.calc.get_magnetic_moments()
        symbols = self.atoms.get_chemical_symbols()
        there = signs_of(lowest.moments, lowest.atoms.get_chemical_symbols())
        energy = lowest.ev_per_atom + above
        if above > -SAME_EV_PER_ATOM and are_same_state(signs_of(moments, symbols), there):
            found = order_of(moments, symbols)
            return _NotPursued(energy, f"became {found}, the state that is there already")
        if above > HOPELESS_EV_PER_ATOM:
            return _NotPursued(energy, f"{above:.3f} eV per atom higher in the cell of that kept")
        return None

    def _by_volume(self) -> _State:
        shape = self.atoms.cell.array / self.atoms.get_volume() ** (1 / 3)
        energies: list[float] = []

        def energy_ev(volume: float) -> float:
            self.atoms.set_cell(shape * volume ** (1 / 3), scale_atoms=True)
            energies.append(float(self.atoms.get_potential_energy()))
            return energies[-1]

        curve, _ = find_minimum(energy_ev, self.atoms.get_volume())
        state = self._state(energies, "E(V)")
        state.equation_of_state = curve
        rough = curve.rms_ev / len(self.atoms)
        if rough > ROUGH_EV_PER_ATOM:
            state.warnings.append(
                f"E(V) is not smooth, its points lie {1000 * rough:.1f} meV per atom off the fit: "
                "two spin states may cross, or the k-mesh is too coarse"
            )
        return state

    def _by_filter(self, calculator: Any) -> _State:
        relaxed = relax(
            self.atoms, calculator, self.task.relaxation, noise_ev_per_atom=CELL_NOISE_EV_PER_ATOM
        )
        self.atoms = relaxed.atoms
        self.atoms.calc = calculator
        state = self._state(relaxed.energies_ev, relaxed.optimizer)
        state.stress_gpa, state.max_force = relaxed.stress_gpa, relaxed.max_force
        return state

    def _relax_atoms(self) -> _State:
        given = self._parameters(for_cell=False)
        with _calculation(self.task, self.order, given) as calculator:
            relaxed = relax(self.atoms, calculator, self.task.relaxation)
            self.atoms = relaxed.atoms
            self.atoms.calc = calculator
            state = self._state(relaxed.energies_ev, relaxed.optimizer)
            state.max_force = relaxed.max_force
        return self._checked(state)

    def _at_the_minimum(self, state: _State) -> _State:
        """Return a state with energy and moments on the protocol's own cutoff and mesh."""
        given = self._parameters(for_cell=False)
        atoms = state.atoms.copy()
        atoms.set_initial_magnetic_moments(state.moments)
        with _calculation(self.task, f"{self.order}-energy", given) as calculator:
            atoms.calc = calculator
            self.atoms = atoms
            energy = float(atoms.get_potential_energy())
            last = self._state([*state.energies_ev, energy], state.optimizer)
        last.parameters, last.cell_parameters = given, state.cell_parameters
        last.geometry_ev_per_atom = state.geometry_ev_per_atom
        last.equation_of_state, last.warnings = state.equation_of_state, state.warnings
        last.stress_gpa, last.max_force = state.stress_gpa, state.max_force
        return self._checked(last)

    def _state(self, energies: list[float], optimizer: str) -> _State:
        atoms = self.atoms
        energy = float(atoms.get_potential_energy())
        calculator = atoms.calc
        return _State(
            atoms=atoms.copy(),
            energy_ev=energy,
            geometry_ev_per_atom=energy / len(atoms),
            forces=np.array(atoms.get_forces()),
            moments=np.array(calculator.get_magnetic_moments(), dtype=float),
            total_moment=float(calculator.get_magnetic_moment()),
            starts=list(self.start.site_properties["magmom"]),
            parameters=self._parameters(for_cell=False),
            cell_parameters=None,
            energies_ev=energies,
            optimizer=optimizer,
            files=_datasets(calculator),
        )

    def _checked(self, state: _State) -> _State:
        """Return the state with what is suspicious about its moments."""
        if self.task.is_molecule:
            said = molecule_warning(state.total_moment)
        else:
            said = spin_warning(self.start, state.starts, state.moments.tolist())
        if said:
            state.warnings.append(said)
        return state


def _take_cell(atoms: Atoms, like: Atoms) -> None:
    """Give `atoms` the relaxed cell of another order, or its volume per atom."""
    if len(atoms) == len(like):
        atoms.set_cell(like.cell, scale_atoms=True)
        atoms.set_scaled_positions(like.get_scaled_positions())
    else:
        ratio = like.get_volume() / len(like) / (atoms.get_volume() / len(atoms))
        atoms.set_cell(atoms.cell.array * ratio ** (1 / 3), scale_atoms=True)


def _with_moments(start: Structure) -> Atoms:
    moments = start.site_properties["magmom"]
    return Atoms(
        numbers=[site.specie.Z for site in start],
        scaled_positions=start.frac_coords,
        cell=start.lattice.matrix,
        pbc=True,
        magmoms=moments if any(moments) else None,
    )


def electronic_states(
    task: DftTask, protocol: str, settings: DensityOfStatesSettings
) -> ElectronicStates:
    """Compute the states of a structure as it is, on a k-mesh for its density of states.

    Parameters
    ----------
    task
        What to compute. Nothing moves.
    protocol
        As for `relax_dft`: that of the self-consistent field.
    settings
        The density of the mesh on which the states are then computed in the potential that was found.

    Raises
    ------
    CalculationError
        GPAW fails.

    Notes
    -----
    Of several magnetic orders the one of lowest energy gives the states. Its mesh of states is the
    protocol's where that is denser.
    """
    started = time.process_time()
    lowest: tuple[_State, Any] | None = None
    tried: dict[str, float] = {}
    for order, start in magnetic_starts(task.structure, task.settings).items():
        given = parameters(PROTOCOLS[protocol], task, start.lattice.matrix, is_cubic=False)
        given["symmetry"] = {"tolerance": SYMMETRY_TOLERANCE}
        with _calculation(task, f"{order}-field", given) as calculator:
            atoms = _with_moments(start)
            atoms.calc = calculator
            energy = float(atoms.get_potential_energy())
            state = _State(
                atoms=atoms.copy(),
                energy_ev=energy,
                geometry_ev_per_atom=energy / len(atoms),
                forces=np.array(atoms.get_forces()),
                moments=np.array(calculator.get_magnetic_moments(), dtype=float),
                total_moment=float(calculator.get_magnetic_moment()),
                starts=list(start.site_properties["magmom"]),
                parameters=given,
                cell_parameters=None,
                energies_ev=[energy],
                optimizer="none",
                files=_datasets(calculator),
            )
        said = spin_warning(start, state.starts, state.moments.tolist())
        state.warnings += [said] if said else []
        tried[order] = state.ev_per_atom
        if lowest is None or state.ev_per_atom < lowest[0].ev_per_atom:
            lowest = state, calculator
    assert lowest is not None  # there is always a start
    state, calculator = lowest
    field_mesh = state.parameters["kpts"]["size"]
    wanted = k_mesh(state.atoms.cell.array, settings.k_density)
    mesh = [max(n) for n in zip(wanted, field_mesh, strict=True)]
    with _logged(task, "states") as text:
        fixed = calculator.fixed_density(
            kpts={"size": mesh, "gamma": True},
            convergence={
                **state.parameters["convergence"],
                "bands": f"CBM+{BANDS_ABOVE_EV}",
            },
            update_fermi_level=True,
            txt=text,
        )
        levels, weights, projections = _levels(fixed, state.atoms)
        fermi_ev = float(fixed.get_fermi_level())
    method = _method(task, protocol, state)
    method["energies_ev_per_atom"] = tried
    relaxation = RelaxationResult(
        atoms=state.atoms,
        energy_ev=state.energy_ev,
        forces=state.forces,
        stress_gpa=None,
        magmoms=state.moments,
        energies_ev=state.energies_ev,
        max_force=float(np.linalg.norm(state.forces, axis=1).max()),
        converged=True,
        n_evaluations=len(tried),
        n_fallbacks=0,
        optimizer="none",
        cpu_s=time.process_time() - started,
        method=method,
        warnings=state.warnings,
    )
    return ElectronicStates(
        relaxation, levels, weights, projections, fermi_ev, list(mesh), PROJECTION
    )


def _levels(calculator: Any, atoms: Atoms) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Return levels (spins, k-points, bands), weights of k-points, and orbitals in the levels."""
    from gpaw.dos import IBZWaveFunctions, get_projector_numbers

    states = IBZWaveFunctions(calculator)
    levels = np.array(states.eigenvalues())
    found: dict[str, np.ndarray] = {}
    for index, symbol in enumerate(atoms.get_chemical_symbols()):
        for number, letter in enumerate("spdf"):
            projectors = get_projector_numbers(calculator.setups[index], number)
            if projectors:
                weights = states.pdos_weights(index, projectors).transpose(2, 0, 1)
                name = f"{symbol}-{letter}"
                found[name] = found.get(name, np.zeros_like(levels)) + weights
    return levels, np.array(states.weights()), found


@contextmanager
def _calculation(task: DftTask, name: str, given: dict[str, Any]) -> Iterator[Any]:
    """Give a calculator; whatever goes wrong becomes a CalculationError that names it."""
    with _logged(task, name) as text:
        yield _new_calculator(given, text)


@contextmanager
def _logged(task: DftTask, name: str) -> Iterator[TextIO]:
    """Give a log; whatever goes wrong becomes a CalculationError that names it."""
    log = task.directory / f"{name}.txt"
    try:
        with warnings.catch_warnings():
            # Of grids that it made symmetric, and other things that its log holds as well.
            warnings.filterwarnings("ignore", module="gpaw")
            # By lines, so that the last iterations are there when it is killed.
            with open(log, "w", encoding="utf-8", buffering=1) as text:
                yield text
    except CalculationError as error:
        raise CalculationError(f"{error}{_last_words(log)}; log {log}") from error
    except RocksaltError:
        raise
    except Exception as error:  # GPAW raises whatever it likes
        cause = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(": ")
        raise CalculationError(
            f"GPAW stopped on {task.structure.composition.reduced_formula} ({name}): "
            f"{cause}{_last_words(log)}; log {log}"
        ) from error


def _new_calculator(given: dict[str, Any], log: TextIO) -> Any:
    from gpaw.new.ase_interface import GPAW

    return GPAW(**given, txt=log)


def _version() -> str:
    return version("gpaw")


def _last_words(log: Path) -> str:
    """Return the last iteration that a log tells of, to be put into a message."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    iterations = [line.replace("|", " ") for line in lines if "iter:" in line]
    return f" (last {' '.join(iterations[-1].split())})" if iterations else ""


def _datasets(calculator: Any) -> dict[str, str]:
    """Return the sha256 of the PAW datasets by their files' names."""
    files = {}
    for setup in calculator.dft.setups.setups.values():
        path = Path(setup.filename)
        files[path.name] = sha256(path.read_bytes()).hexdigest()
    return dict(sorted(files.items()))


def _method(task: DftTask, protocol: str, state: _State) -> dict[str, Any]:
    """Return how the energy was computed, as the document keeps it."""
    given = state.parameters
    symbols = {site.specie.symbol for site in task.structure}
    with_u = {s: u for s, u in sorted(task.settings.hubbard_u_ev.items()) if s in symbols}
    method: dict[str, Any] = {
        "code": "GPAW",
        "version": _version(),
        "protocol": protocol,
        "functional": FUNCTIONAL,
        "cutoff_ev": given["mode"]["ecut"],
        "k_mesh": list(given["kpts"]["size"]),
        "smearing": {"kind": "Fermi-Dirac", "width_ev": given["occupations"]["width"]},
        "hubbard": with_u,
        "hubbard_projectors": HUBBARD_PROJECTORS if with_u else None,
        "magnetic_order": order_of(state.moments, state.atoms.get_chemical_symbols()),
        "total_moment_mu_b": state.total_moment,
        "files": state.files,
        "directory": str(task.directory),
        "safer": task.safer,
    }
    if state.cell_parameters is not None:
        method["cell_cutoff_ev"] = state.cell_parameters["mode"]["ecut"]
        method["cell_k_mesh"] = list(state.cell_parameters["kpts"]["size"])
    if state.equation_of_state is not None:
        curve = state.equation_of_state
        method["equation_of_state"] = {
            "kind": "Birch-Murnaghan",
            "bulk_modulus_gpa": curve.bulk_modulus_gpa,
            "rms_ev": curve.rms_ev,
        }
    return method
