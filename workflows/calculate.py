"""Run one calculation: relax a structure with an engine and make the document."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from ase import Atoms
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from rocksalt.screening.errors import CalculationError, RocksaltError
from rocksalt.screening.phases import junk_reason
from rocksalt.screening.vacancies import prepare
from rocksalt.stores.documents import CalculationDoc
from rocksalt.workflows.calculation import Calculation
from rocksalt.workflows.engines import get_calculator, get_engine
from rocksalt.workflows.relaxer import RelaxationSettings, relax
from rocksalt.workflows.threads import one_thread

OXYGEN_DIMER_ANGSTROM = 1.7
"""Oxygens nearer than this are oxidised: corrections for O(2-) do not hold."""

N_PARENTS = 4
_PARENTS: dict[tuple[str, str, RelaxationSettings], Structure] = {}
"""Relaxed cells of this process that strained and defective ones are made from."""


def calculate(calculation: Calculation) -> CalculationDoc:
    """Compute one calculation; what goes wrong with it is in the document, not raised.

    Raises
    ------
    RocksaltError
        When the engine is unknown or not installed: then no calculation would succeed.
    """
    calculator = get_calculator(calculation.engine)
    try:
        with one_thread(), warnings.catch_warnings():
            # Of the logarithm that ASE takes of a cell; the error named is far below any strain.
            warnings.filterwarnings("ignore", "logm result may be inaccurate", RuntimeWarning)
            start, settings = _prepared(calculation)
            result = relax(to_atoms(start), calculator, settings)
    except CalculationError as error:
        return failed_document(calculation, str(error))
    except RocksaltError:
        raise
    except Exception as error:  # noqa: BLE001  an engine's own error must not end the campaign
        return failed_document(calculation, f"{type(error).__name__}: {error}")
    relaxed = _to_structure(result.atoms)
    remarks = []
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
        warnings=remarks,
    )


def _prepared(calculation: Calculation) -> tuple[Structure, RelaxationSettings]:
    """Return what is to be relaxed, and how.

    Strain and vacancy go into the relaxed cell, of which then only the atoms move. The relaxed cell
    follows from the calculation's own inputs: it is computed here, once per process and cell.
    """
    if calculation.preparation is None:
        return calculation.structure, calculation.relaxation
    key = (calculation.engine, calculation.fingerprint, calculation.relaxation)
    if key not in _PARENTS:
        if len(_PARENTS) >= N_PARENTS:
            _PARENTS.clear()
        calculator = get_calculator(calculation.engine)
        relaxed = relax(to_atoms(calculation.structure), calculator, calculation.relaxation)
        _PARENTS[key] = _to_structure(relaxed.atoms)
    settings = calculation.relaxation.model_copy(update={"relax_cell": False})
    return prepare(_PARENTS[key], calculation.preparation), settings


def failed_document(calculation: Calculation, reason: str) -> CalculationDoc:
    """Return the document of a calculation that gave no energy; the reason is put on one line."""
    return _document(calculation, state="failed", error=" ".join(reason.split()))


def to_atoms(structure: Structure) -> Atoms:
    """Return the structure as ASE's plain Atoms."""
    return Atoms(
        numbers=[site.specie.Z for site in structure],
        scaled_positions=structure.frac_coords,
        cell=structure.lattice.matrix,
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


def _document(calculation: Calculation, **fields: Any) -> CalculationDoc:
    engine = get_engine(calculation.engine)
    described = fields.get("structure") or calculation.structure
    return CalculationDoc.from_structure(
        meta_structure=described,
        key=calculation.key,
        role=calculation.role,
        label=calculation.label,
        engine=calculation.engine,
        engine_version=engine.version,
        energy_scale=engine.scale.name,
        settings=calculation.settings,
        cations=sorted(calculation.cation_fractions),
        cation_fractions=calculation.cation_fractions,
        prototype=calculation.prototype,
        multiplicity=calculation.multiplicity,
        details=calculation.details,
        initial_structure=calculation.structure,
        **fields,
    )
