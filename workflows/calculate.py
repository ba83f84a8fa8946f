"""Run one calculation: relax a structure with an engine and make the document."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from rocksalt.screening.errors import CalculationError, RocksaltError
from rocksalt.stores.documents import CalculationDoc
from rocksalt.workflows.engines import get_calculator, get_engine
from rocksalt.workflows.plan import Calculation
from rocksalt.workflows.relaxer import relax
from rocksalt.workflows.threads import one_thread

OXYGEN_DIMER_ANGSTROM = 1.7
"""Oxygens nearer than this are oxidised: corrections for O(2-) do not hold."""


def calculate(calculation: Calculation) -> CalculationDoc:
    """Compute one calculation; what goes wrong with it is in the document, not raised.

    Raises
    ------
    RocksaltError
        When the engine is unknown or not installed: then no calculation would succeed.
    """
    calculator = get_calculator(calculation.engine)
    atoms = to_atoms(calculation.structure)
    try:
        with one_thread():
            result = relax(atoms, calculator, calculation.relaxation)
    except CalculationError as error:
        return failed_document(calculation, str(error))
    except RocksaltError:
        raise
    except Exception as error:  # noqa: BLE001  an engine's own error must not end the campaign
        return failed_document(calculation, f"{type(error).__name__}: {error}")
    relaxed = _to_structure(result.atoms)
    warnings = []
    if calculation.role in {"end-member", "mixture"} and has_oxygen_dimer(relaxed):
        warnings.append(
            f"an O-O distance is below {OXYGEN_DIMER_ANGSTROM} angstrom: oxygen is oxidised"
        )
    return _document(
        calculation,
        state="done",
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
        warnings=warnings,
    )


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
        initial_structure=calculation.structure,
        **fields,
    )
