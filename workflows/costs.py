"""CPU time and memory that a calculation will take, estimated from what was measured.

A potential costs so much per evaluation and atom. A DFT code costs so much per self-consistent
field, in proportion to spins x k-points x bands x plane waves. Estimates of time are good within a
factor of 3; where the store holds finished calculations of an engine they tell the factor.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import spglib
from pymatgen.core import Element, Structure

from rocksalt.workflows.calculation import Calculation
from rocksalt.workflows.dft.settings import DftSettings
from rocksalt.workflows.engines import get_engine

UNCERTAINTY_FACTOR = 3
"""Estimates of CPU time are within this factor for most engines and cells."""

N_LEARN = 3
"""So many finished calculations of an engine are needed to learn from them."""

N_LOOK = 200
"""So many of them are looked at."""


@dataclass(frozen=True)
class PotentialCost:
    """What one evaluation of energy, forces and stress takes on one core.

    Attributes
    ----------
    ms, ms_per_atom
        Of an evaluation, and of each atom in it.
    mb, mb_per_atom
        Memory of the process, with all that it loads.
    """

    ms: float
    ms_per_atom: float
    mb: float
    mb_per_atom: float


POTENTIALS = {
    "chgnet": PotentialCost(6, 2, 370, 1.7),
    "chgnet-r2scan": PotentialCost(6, 2, 370, 1.7),
    "sevennet-0": PotentialCost(15, 8, 500, 5),
    "sevennet-l3i5": PotentialCost(20, 21, 500, 5),
    "sevennet-mf-0:pbe": PotentialCost(23, 8, 500, 5),
    "sevennet-mf-0:r2scan": PotentialCost(23, 8, 500, 5),
    "mock": PotentialCost(0.7, 0.06, 200, 0),
}
"""Measured in the screen of examples/lin2019.yaml, 2 to 29 atoms, and on 96 atoms."""

OTHER_POTENTIAL = PotentialCost(20, 10, 1000, 10)
"""A force field of atomate2: not measured, of the same order as those above."""

EVALUATIONS = {"element": 8, "oxygen": 12}
"""Energies and forces until a potential's cell is relaxed, by role; elements are near their minimum."""

EVALUATIONS_OF_A_START_WITHOUT_RATTLE = 5
OTHER_EVALUATIONS = 27

SECONDS_PER_FIELD = {"gpaw": 22e-6, "espresso": 41e-6, "vasp": 22e-6}
"""CPU seconds of a self-consistent field per spin, k-point, band and plane wave.

GPAW: 18 to 25e-6 over MnO with and without spin, its AFM-II cell, O2 in its box, and Li2MnO3 at 400 and
500 eV; 68e-6 for 16 atoms of MnO without spin, which took 43 iterations in the place of 15. pw.x: ferromagnetic MnO with forces and stress. VASP was not measured: GPAW's.
"""

DFT_BASE_MB = 150.0
BYTES_PER_COEFFICIENT = 48.0
"""Per spin, k-point, band and plane wave: three complex numbers in double precision."""

BYTES_PER_PLANE_WAVE = 16e3
"""Densities and potentials on real-space grids."""

FIELDS_OF_A_CURVE = 8
"""Self-consistent fields of E(V) and of the energy at its minimum."""

FIELDS_OF_A_RELAXATION = 15
FIELDS_OF_A_MOLECULE = 8

FIELDS_OF_A_DENSITY_OF_STATES = 1.0
"""Its states on the mesh on which they are computed; the field before on fewer points is included."""

_WAVE_NUMBER = 0.5123  # sqrt(2 m_e x 1 eV) / hbar, 1/angstrom


def estimated_cpu_hours(calculation: Calculation) -> float:
    """Return the CPU hours that a calculation will take, within a factor of 3.

    Parameters
    ----------
    calculation
        With any engine. Its program need not be installed.

    Notes
    -----
    Potentials: evaluations x (a + b N) with the engine's `POTENTIALS`. DFT: fields x c x spins x
    k-points x bands x plane waves, summed over magnetic orders; k-points are those that symmetry
    leaves, bands 0.6 per valence electron and 4, plane waves V k^3 / 6 pi^2 at the cutoff.
    """
    engine = get_engine(calculation.engine)
    if engine.is_dft:
        size = sum(field.size for field in _fields(calculation))
        return _n_fields(calculation) * SECONDS_PER_FIELD[engine.code] * size / 3600
    cost = POTENTIALS.get(calculation.engine, OTHER_POTENTIAL)
    per_evaluation = cost.ms + cost.ms_per_atom * _n_atoms(calculation)
    return _n_evaluations(calculation) * per_evaluation / 1000 / 3600


def estimated_memory_mb(calculation: Calculation) -> float:
    """Return the memory that the process of a calculation needs, MB, within a factor of 2.

    Notes
    -----
    Potentials: measured, per engine and atom. DFT: 150 MB, 48 bytes per spin, k-point, band and plane
    wave, and 16 kB per plane wave for grids.
    """
    if not get_engine(calculation.engine).is_dft:
        cost = POTENTIALS.get(calculation.engine, OTHER_POTENTIAL)
        return cost.mb + cost.mb_per_atom * _n_atoms(calculation)
    return max(
        DFT_BASE_MB
        + (BYTES_PER_COEFFICIENT * field.size + BYTES_PER_PLANE_WAVE * field.plane_waves) / 1e6
        for field in _fields(calculation)
    )


def learned_factors(
    calculations: Iterable[Calculation], cpu_s: Mapping[str, float]
) -> dict[str, float]:
    """Return by what estimates are to be multiplied, by engine, from finished calculations.

    Parameters
    ----------
    calculations
        Planned ones.
    cpu_s
        CPU seconds of those that are finished, by key. Engines with fewer than `N_LEARN` of them are
        not in the result.
    """
    finished: dict[str, list[Calculation]] = {}
    for calculation in calculations:
        group = finished.setdefault(calculation.engine, [])
        if calculation.key in cpu_s and len(group) < N_LOOK:
            group.append(calculation)
    factors = {}
    for engine, group in finished.items():
        expected = 3600 * sum(estimated_cpu_hours(c) for c in group)
        measured = sum(cpu_s[c.key] for c in group)
        if len(group) >= N_LEARN and expected > 0 and measured > 0:
            factors[engine] = measured / expected
    return factors


def remaining_cpu_hours(
    calculations: Iterable[Calculation], cpu_s: Mapping[str, float], todo: Iterable[Calculation]
) -> tuple[dict[str, float], list[str]]:
    """Return the CPU hours of what is to do, by key, and the engines whose factor was learned.

    Parameters
    ----------
    calculations, cpu_s
        As for `learned_factors`.
    todo
        What is to be computed.
    """
    factors = learned_factors(calculations, cpu_s)
    hours = {c.key: estimated_cpu_hours(c) * factors.get(c.engine, 1.0) for c in todo}
    return hours, sorted(factors)


def hours_in_words(hours: float) -> str:
    """Return CPU hours with two digits or so."""
    if hours and hours < 0.01:
        return "<0.01"
    return f"{hours:.2f}" if hours < 1 else f"{hours:.1f}" if hours < 10 else f"{hours:.0f}"


def _n_atoms(calculation: Calculation) -> float:
    # Not of the structure, which for a mixture is made anew with each question.
    return float(calculation.start.composition.num_atoms)


def _n_evaluations(calculation: Calculation) -> int:
    relaxation = calculation.relaxation
    expected = EVALUATIONS.get(calculation.role, OTHER_EVALUATIONS)
    if not relaxation.rattle_angstrom and not relaxation.rattle_strain:
        expected = EVALUATIONS_OF_A_START_WITHOUT_RATTLE
    return min(expected, relaxation.max_evaluations)


@dataclass(frozen=True)
class _Field:
    """The size of a self-consistent field: that of one magnetic order."""

    spins: int
    k_points: int
    bands: float
    plane_waves: float

    @property
    def size(self) -> float:
        return self.spins * self.k_points * self.bands * self.plane_waves


def _n_fields(calculation: Calculation) -> float:
    relaxation = calculation.relaxation
    if calculation.density_of_states is not None:
        relaxes = calculation.density_of_states.geometry == calculation.engine
        return FIELDS_OF_A_DENSITY_OF_STATES + (FIELDS_OF_A_RELAXATION if relaxes else 0)
    if not relaxation.relax_cell or calculation.preparation is not None:
        return FIELDS_OF_A_MOLECULE if calculation.role == "oxygen" else FIELDS_OF_A_RELAXATION
    still = not relaxation.rattle_angstrom and not relaxation.rattle_strain
    return (
        FIELDS_OF_A_CURVE if still and len(calculation.structure) <= 2 else FIELDS_OF_A_RELAXATION
    )


_FIELDS: dict[tuple[object, ...], list[_Field]] = {}
"""By what decides them but for details of the cell's shape: mixtures of one composition are alike."""


def _fields(calculation: Calculation) -> list[_Field]:
    kind = (
        calculation.engine,
        calculation.role,
        calculation.prototype if calculation.role != "mixture" else "",
        calculation.start.composition.formula,
        str(calculation.settings),
    )
    if kind not in _FIELDS:
        _FIELDS[kind] = _fields_of(calculation)
    return _FIELDS[kind]


def _fields_of(calculation: Calculation) -> list[_Field]:
    from rocksalt.workflows.dft.magnetism import magnetic_starts

    cutoff_ev, density = _cutoff_and_density(calculation)
    starts = magnetic_starts(calculation.structure, calculation.dft or DftSettings())
    found = []
    for start in starts.values():
        electrons = sum(valence_electrons(site.specie.symbol) for site in start)
        found.append(
            _Field(
                spins=2 if any(start.site_properties["magmom"]) else 1,
                k_points=_n_k_points(calculation, start, density),
                bands=0.6 * electrons + 4,
                plane_waves=start.volume
                * (_WAVE_NUMBER * math.sqrt(cutoff_ev)) ** 3
                / (6 * math.pi**2),
            )
        )
    return found


def _cutoff_and_density(calculation: Calculation) -> tuple[float, float]:
    """Return cutoff, eV, and density of k-points, angstrom, of a calculation with a DFT code."""
    from ase.units import Ry

    from rocksalt.workflows.dft import espresso_input, gpaw_parameters

    engine = get_engine(calculation.engine)
    protocol = engine.name.partition(":")[2]
    is_metal = calculation.role == "element"
    if engine.code == "gpaw":
        gpaw = gpaw_parameters.PROTOCOLS[protocol]
        density = gpaw.k_density["metal" if is_metal else "oxide"]
        if calculation.density_of_states is not None:
            density = max(density, calculation.density_of_states.k_density)
        return gpaw.cutoff_ev, density
    if engine.code == "espresso":
        pw = espresso_input.PROTOCOLS[protocol]
        return pw.cutoff_ry * Ry, pw.k_density_metal if is_metal else pw.k_density
    return 520.0, 4.0  # the Materials Project's sets: 64 points per cubic reciprocal angstrom


def _n_k_points(calculation: Calculation, start: Structure, density: float) -> int:
    """Return the number of k-points that symmetry leaves; a rattled start has none."""
    from rocksalt.workflows.dft.kpoints import k_mesh

    relaxation = calculation.relaxation
    if calculation.role == "oxygen" and not relaxation.relax_cell:
        return 1
    mesh = k_mesh(start.lattice.matrix, density)
    if relaxation.rattle_angstrom or relaxation.rattle_strain or calculation.preparation:
        # Of k and -k one is needed; at the corners of the zone they are the same.
        return (math.prod(mesh) + math.prod(2 - n % 2 for n in mesh)) // 2
    kinds = [
        hash((site.specie.Z, round(moment, 3))) % 10_000
        for site, moment in zip(start, start.site_properties["magmom"], strict=True)
    ]
    cell = (start.lattice.matrix, start.frac_coords, kinds)
    found = spglib.get_ir_reciprocal_mesh(mesh, cell, is_shift=[0, 0, 0])
    return math.prod(mesh) if found is None else len(np.unique(found[0]))


def valence_electrons(symbol: str) -> int:
    """Return how many electrons of an atom a DFT code computes as a rule, semicore states with them."""
    element = Element(symbol)
    if symbol in {"H", "He", "Li"}:
        return int(element.Z)
    if element.block == "p":
        return int(element.group) - 10
    if element.block == "f":
        return int(element.Z) - (46 if element.Z < 89 else 78)
    return 12 if element.group == 12 else int(element.group) + 8
