"""Run one calculation: relax a structure with an engine and make the document."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from ase import Atoms
from emmet.core.structure import StructureMetadata
from emmet.core.symmetry import SymmetryData
from pymatgen.core import Composition, Structure
from pymatgen.io.ase import AseAtomsAdaptor
from scipy.constants import atomic_mass

from rocksalt.screening.errors import CalculationError, RocksaltError
from rocksalt.screening.phases import junk_reason
from rocksalt.screening.vacancies import prepare
from rocksalt.stores.calculation_documents import CalculationDoc
from rocksalt.stores.electronic_documents import DensityOfStates
from rocksalt.workflows.calculation import Calculation, cation_fractions
from rocksalt.workflows.dft.density_of_states import density_of_states
from rocksalt.workflows.dft.settings import DftSettings
from rocksalt.workflows.dft.task import DftTask, work_directory
from rocksalt.workflows.engines import get_calculator, get_engine
from rocksalt.workflows.relaxer import RelaxationResult, RelaxationSettings, relax
from rocksalt.workflows.replay import recorded_document
from rocksalt.workflows.settings import load_settings
from rocksalt.workflows.threads import one_thread

OXYGEN_DIMER_ANGSTROM = 1.7
"""Oxygens nearer than this are oxidised: corrections for O(2-) do not hold."""

SYMMETRY_ANGSTROM = 0.02
"""A relaxed cell whose atoms are this near to a symmetry gets it, for a density of states: less than
what a relaxation resolves, and more than its rounding."""

_Computed = TypeVar("_Computed")

COORDINATE_DIGITS = 10
"""Digits that are kept of fractional coordinates and lattice vectors (angstrom) of a start."""

N_PARENTS = 4
_PARENTS: dict[tuple[Any, ...], Structure] = {}
"""Relaxed cells of this process that strained and defective ones are made from."""


def calculate(calculation: Calculation) -> CalculationDoc:
    """Compute one calculation; what goes wrong with it is in the document, not raised.

    Raises
    ------
    RocksaltError
        When the engine is unknown or not installed: then no calculation would succeed. When results
        are replayed: for a calculation that the record lacks.
    """
    recorded = recorded_document(calculation)
    if recorded is not None:
        return recorded
    engine = get_engine(calculation.engine)
    if engine.relax_dft is None:
        get_calculator(calculation.engine)  # one that cannot be loaded fails them all
    try:
        with one_thread(), warnings.catch_warnings():
            # Of the logarithm that ASE takes of a cell; the error named is far below any strain.
            warnings.filterwarnings("ignore", "logm result may be inaccurate", RuntimeWarning)
            if calculation.density_of_states is None:
                start, result = _relaxed(calculation)
                electrons = None
            else:
                start, result, electrons = _electronic_structure(calculation)
    except CalculationError as error:
        return failed_document(calculation, str(error))
    except RocksaltError:
        raise
    except Exception as error:  # noqa: BLE001  an engine's own error must not end the campaign
        return failed_document(calculation, f"{type(error).__name__}: {error}")
    relaxed = _to_structure(result.atoms)
    remarks = list(result.warnings)
    if calculation.role in {"end-member", "mixture"} and has_oxygen_dimer(relaxed):
        remarks.append(
            f"an O-O distance is below {OXYGEN_DIMER_ANGSTROM} angstrom: oxygen is oxidised"
        )
    junk = None
    if calculation.role == "competing-phase":
        junk = junk_reason(start, relaxed, result.converged, calculation.prototype)
        if junk is None and has_oxygen_dimer(relaxed):
            junk = "it holds an O-O pair, and corrections here are those of O(2-)"
    return _document(
        calculation,
        None if calculation.preparation else start,
        state="done",
        junk=junk,
        structure=relaxed,
        energy_ev=result.energy_ev,
        energy_ev_per_atom=result.energy_ev / len(relaxed),
        forces_ev_per_angstrom=result.forces.tolist(),
        stress_gpa=None if result.stress_gpa is None else result.stress_gpa.tolist(),
        magmoms_mu_b=None if result.magmoms is None else result.magmoms.tolist(),
        energies_ev=[float(e) for e in result.energies_ev],
        max_force_ev_per_angstrom=float(result.max_force),
        converged=result.converged,
        n_evaluations=result.n_evaluations,
        n_fallbacks=result.n_fallbacks,
        cpu_s=result.cpu_s,
        density_of_states=electrons,
        method=result.method,
        warnings=remarks,
    )


def _relaxed(calculation: Calculation) -> tuple[Structure, RelaxationResult]:
    """Return the start of a calculation and its relaxation.

    Strain and vacancy go into the relaxed cell, of which then only the atoms move. The relaxed cell
    follows from the calculation's own inputs: it is computed here, once per process and cell.
    """
    if calculation.preparation is None:
        start = calculation.structure
        return start, _relax(calculation, start, calculation.relaxation)
    key = (calculation.engine, calculation.fingerprint, calculation.relaxation, calculation.dft)
    if key not in _PARENTS:
        if len(_PARENTS) >= N_PARENTS:
            _PARENTS.clear()
        relaxed = _relax(calculation, calculation.structure, calculation.relaxation, "parent ")
        _PARENTS[key] = _to_structure(relaxed.atoms)
    settings = calculation.relaxation.model_copy(update={"relax_cell": False})
    start = prepare(_PARENTS[key], calculation.preparation)
    return start, _relax(calculation, start, settings)


def _electronic_structure(
    calculation: Calculation,
) -> tuple[Structure, RelaxationResult, DensityOfStates]:
    """Return the start, the self-consistent field and the density of states of a calculation.

    The cell is relaxed first, with the engine that the settings name. Its symmetry, which saves
    k-points, is made exact again.
    """
    from ase.spacegroup.symmetrize import refine_symmetry

    settings = calculation.density_of_states
    engine = get_engine(calculation.engine)
    states_of = engine.electronic_states
    assert settings is not None
    if states_of is None:
        raise RocksaltError(f"engine {calculation.engine!r} gives no density of states")
    start = cell = calculation.structure
    cpu_s = 0.0
    if settings.geometry is not None:
        by = calculation.with_engine(
            settings.geometry, calculation.dft if settings.geometry == calculation.engine else None
        )
        relaxed = _relax(by, start, calculation.relaxation, "cell of ")
        refine_symmetry(relaxed.atoms, symprec=SYMMETRY_ANGSTROM)
        cell, cpu_s = _to_structure(relaxed.atoms), relaxed.cpu_s
    still = calculation.relaxation.model_copy(
        update={"relax_cell": False, "rattle_angstrom": 0.0, "rattle_strain": 0.0}
    )
    states, warned = _twice(calculation, cell, still, lambda task: states_of(task, settings))
    result = states.relaxation
    result.cpu_s += cpu_s
    result.warnings += warned
    metal = str(calculation.details.get("host") or _metal(cell))
    return start, result, density_of_states(states, settings, metal)


def _metal(structure: Structure) -> str:
    """Return the most frequent metal with a d shell of a cell."""
    amounts = {e.symbol: n for e, n in structure.composition.items() if e.block == "d"}
    if not amounts:
        raise CalculationError(f"{structure.formula} has no metal with a d shell to compare O with")
    return max(sorted(amounts), key=lambda symbol: amounts[symbol])


def _relax(
    calculation: Calculation, start: Structure, settings: RelaxationSettings, what: str = ""
) -> RelaxationResult:
    """Relax a structure with a calculation's engine; a DFT code may try twice."""
    relax_dft = get_engine(calculation.engine).relax_dft
    if relax_dft is None:
        return relax(to_atoms(start), get_calculator(calculation.engine), settings)
    result, warned = _twice(calculation, start, settings, relax_dft, what)
    result.warnings += warned
    return result


def _twice(
    calculation: Calculation,
    start: Structure,
    settings: RelaxationSettings,
    compute: Callable[[DftTask], _Computed],
    what: str = "",
) -> tuple[_Computed, list[str]]:
    """Return what an engine makes of a task, at the second attempt if need be, and a warning then."""
    root = load_settings().dft_directory
    is_dft = get_engine(calculation.engine).is_dft
    first_error: CalculationError | None = None
    for safer in (False, True):
        task = DftTask(
            structure=start,
            relaxation=settings,
            settings=calculation.dft or DftSettings(),
            is_molecule=calculation.role == "oxygen" and not settings.relax_cell,
            is_metal=calculation.role == "element",
            directory=work_directory(
                root, f"{what}{calculation.label}", calculation.key, safer=safer
            )
            if is_dft
            else Path(),  # the mock engine writes nothing
            safer=safer,
        )
        try:
            result = compute(task)
        except CalculationError as error:
            if str(error) == str(first_error):
                raise  # of the input: no setting of convergence matters to it
            if first_error is not None:
                raise CalculationError(f"{first_error}; with safer settings: {error}") from error
            first_error = error
            continue
        if first_error is None:
            return result, []
        return result, [f"computed with safer settings, after: {first_error}"]
    raise AssertionError("two attempts either return or raise")


def failed_document(calculation: Calculation, reason: str) -> CalculationDoc:
    """Return the document of a calculation that gave no energy; the reason is put on one line."""
    return _document(calculation, state="failed", error=" ".join(reason.split()))


def to_atoms(structure: Structure) -> Atoms:
    """Return the structure as ASE's plain Atoms, the same from process to process.

    Coordinates come with a last digit that is not: without rounding, an atom on a border of the cell
    is here at 0 and there at 0.9999..., and a potential adds its neighbours up in another order.
    """
    return Atoms(
        numbers=[site.specie.Z for site in structure],
        scaled_positions=np.round(structure.frac_coords, COORDINATE_DIGITS) % 1,
        cell=np.round(structure.lattice.matrix, COORDINATE_DIGITS),
        pbc=True,
    )


def _to_structure(atoms: Atoms) -> Structure:
    bare = Atoms(numbers=atoms.numbers, positions=atoms.positions, cell=atoms.cell.array, pbc=True)
    return AseAtomsAdaptor.get_structure(bare)


def has_oxygen_dimer(structure: Structure) -> bool:
    """Whether two oxygens are nearer than `OXYGEN_DIMER_ANGSTROM`."""
    oxygens = [i for i, site in enumerate(structure) if site.specie.symbol == "O"]
    centres, points, _, distances = structure.get_neighbor_list(OXYGEN_DIMER_ANGSTROM)
    both = np.isin(centres, oxygens) & np.isin(points, oxygens)
    return bool((distances[both] < OXYGEN_DIMER_ANGSTROM).any())


@lru_cache(maxsize=1024)
def _of_composition(composition: Composition) -> dict[str, Any]:
    """Return formulas and elements; the engines and arrangements of a screen share them."""
    metadata = StructureMetadata.from_composition(composition)
    return {name: getattr(metadata, name) for name in metadata.model_fields_set}


@lru_cache(maxsize=1024)
def _mass_g(composition: Composition) -> float:
    return float(composition.weight) * atomic_mass * 1e3


def _document(
    calculation: Calculation, initial: Structure | None = None, **fields: Any
) -> CalculationDoc:
    engine = get_engine(calculation.engine)
    settings = calculation.settings
    # Where U acts is the code's to say: at the Materials Project's U VASP has none in a metal.
    asked = settings.get("dft", {}).get("hubbard_u_ev", {})
    hubbard = fields.get("method", {}).get("hubbard", asked)
    with_u = "".join(f" +U({symbol} {u:g})" for symbol, u in hubbard.items())
    initial = initial or calculation.structure  # which is made anew with every call
    described = fields.get("structure") or initial
    fractions = cation_fractions(initial)
    # As emmet's from_structure, which takes half of all that a calculation costs beside its engine.
    return CalculationDoc(
        **_of_composition(described.composition),
        nsites=len(described),
        volume=described.volume,
        density=_mass_g(described.composition) / (described.volume * 1e-24),
        density_atomic=described.volume / len(described),
        symmetry=SymmetryData.from_structure(described),
        key=calculation.key,
        role=calculation.role,
        label=calculation.label,
        engine=calculation.engine,
        engine_version=engine.version,
        energy_scale=engine.scale.name + with_u,
        settings=settings,
        cations=sorted(fractions),
        cation_fractions=fractions,
        prototype=calculation.prototype,
        multiplicity=calculation.multiplicity,
        details=calculation.details,
        initial_structure=initial,
        **fields,
    )
