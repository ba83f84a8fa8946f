"""The `mock` engine: an instant pair potential with the shape of oxides and metals.

It is for tests and for trying a campaign out. Bonds have the lengths of the ionic and metallic
radii, and a depth that follows electronegativity, so that cells relax, misfit costs energy and
noble metals form no oxide; the numbers mean nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.data import atomic_numbers, chemical_symbols
from ase.stress import full_3x3_to_voigt_6_stress
from numpy.typing import NDArray
from pymatgen.core import Element
from pymatgen.optimization.neighbors import find_points_in_spheres

from rocksalt.screening.elements import O2_RADIUS_ANGSTROM, octahedral_radius_angstrom
from rocksalt.screening.errors import CalculationError, RocksaltError
from rocksalt.screening.prototypes import O2_BOND_ANGSTROM, element_starts

CUTOFF_ANGSTROM = 5.0
STEEPNESS = 1.6  # 1/angstrom, of every Morse bond
O2_DEPTH_EV = 5.2


@cache
def _pair(first: int, second: int, ionic: bool) -> tuple[float, float, float]:
    """Return depth in eV, bond length and cutoff in angstrom of a pair of atomic numbers.

    A negative depth marks pure repulsion. Molecules of O2 do not feel each other.
    """
    a, b = sorted((first, second), key=lambda z: z == atomic_numbers["O"])
    oxygen = atomic_numbers["O"]
    if a == oxygen:
        return (-0.3, 2.6, CUTOFF_ANGSTROM) if ionic else (O2_DEPTH_EV, O2_BOND_ANGSTROM, 2.5)
    if b == oxygen:
        symbol = chemical_symbols[a]
        length = octahedral_radius_angstrom(symbol) + O2_RADIUS_ANGSTROM
        polarity = 3.44 - Element(symbol).X
        return 0.35 + 0.35 * polarity, length, CUTOFF_ANGSTROM
    if ionic:
        return -0.15, 2.7, CUTOFF_ANGSTROM
    length = (_metallic_length(a) + _metallic_length(b)) / 2
    return 0.35, length, CUTOFF_ANGSTROM


@cache
def _metallic_length(number: int) -> float:
    """Return the nearest-neighbour distance of a close-packed metal of the element's density."""
    ground = element_starts(chemical_symbols[number])[0].structure
    return float((ground.volume / len(ground) * np.sqrt(2)) ** (1 / 3))


def _neighbours(
    atoms: Atoms,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Return centres, neighbours, vectors (n, 3) and distances of all pairs within the cutoff."""
    positions = np.ascontiguousarray(atoms.positions)
    lattice = np.ascontiguousarray(atoms.cell.array)
    centres, points, images, distances = find_points_in_spheres(
        positions,
        positions,
        r=CUTOFF_ANGSTROM,
        pbc=np.ones(3, dtype=np.int64),
        lattice=lattice,
        tol=1e-8,
    )
    other = distances > 1e-8
    centres, points, images = centres[other], points[other], images[other]
    vectors = positions[points] + images @ lattice - positions[centres]
    return centres, points, vectors, distances[other]


class MockCalculator(Calculator):
    """Morse pairs for ASE: energy, forces and stress, deterministic.

    In a cell that holds both oxygen and metal, unlike pairs attract and like ones repel; otherwise
    all pairs attract.
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012  # ASE wants a list

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Compute energy (eV), forces (eV/angstrom) and stress (eV/angstrom^3)."""
        super().calculate(atoms, list(properties), list(system_changes))
        cell = self.atoms
        numbers = cell.numbers
        kinds, kind_of_atom = np.unique(numbers, return_inverse=True)
        ionic = atomic_numbers["O"] in kinds and len(kinds) > 1
        try:
            table = np.array([[_pair(int(a), int(b), ionic) for b in kinds] for a in kinds])
        except RocksaltError as error:
            raise CalculationError(f"mock does not know an element: {error}") from error
        i, j, vectors, distances = _neighbours(cell)
        depth, length, cutoff = table[kind_of_atom[i], kind_of_atom[j]].T
        # The cutoff is approached smoothly, so that forces stay the gradient of the energy.
        ratio = np.clip(distances / cutoff, 0, 1)
        window = (1 - ratio**2) ** 2
        slope = -4 * ratio * (1 - ratio**2) / cutoff
        decay = np.exp(-STEEPNESS * (distances - length))
        attract = depth > 0
        size = np.abs(depth)
        morse = np.where(attract, size * (decay**2 - 2 * decay), size * decay**2)
        gradient = np.where(
            attract, -2 * STEEPNESS * size * (decay**2 - decay), -2 * STEEPNESS * size * decay**2
        )
        energy = 0.5 * float((morse * window).sum())
        radial = gradient * window + morse * slope
        pull = radial[:, None] * vectors / distances[:, None]
        forces = np.zeros((len(cell), 3))
        np.add.at(forces, i, pull)
        results: dict[str, Any] = {"energy": energy, "free_energy": energy, "forces": forces}
        if cell.cell.rank == 3:
            virial = 0.5 * np.einsum("na,nb->ab", pull, vectors) / cell.get_volume()
            results["stress"] = full_3x3_to_voigt_6_stress(virial)
        self.results = results
