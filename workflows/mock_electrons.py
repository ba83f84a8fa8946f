"""Electrons of the `mock` engine: O 2p and metal d orbitals that hop to each other.

As in `rocksalt.workflows.mock` the numbers mean nothing. Their shape is that of an oxide: a valence
band of oxygen with metal d mixed in, a gap, and empty states with more of the metal.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Element, Structure

from rocksalt.screening.errors import CalculationError
from rocksalt.workflows.dft.density_of_states import DensityOfStatesSettings, ElectronicStates
from rocksalt.workflows.dft.kpoints import k_mesh
from rocksalt.workflows.dft.task import DftTask
from rocksalt.workflows.mock import MockCalculator
from rocksalt.workflows.relaxer import RelaxationResult

PROJECTION = "orthogonal orbitals of a tight-binding model, each counted whole"

LEVELS_EV = {"p": (0.0, 0.0), "d": (-1.0, 3.0)}
"""Of both spins, before orbitals hop."""

HOPS = {"pp": (0.15, 2.85), "pd": (1.6, 2.0)}
"""Sigma bonds: eV, and the distance in angstrom at which they have that value."""

DECAY_ANGSTROM = 0.7
CUTOFF_ANGSTROM = 3.3

N_ORBITALS = {"p": 3, "d": 5}


def electronic_states(task: DftTask, settings: DensityOfStatesSettings) -> ElectronicStates:
    """Return the states of a tight-binding model of p and d orbitals.

    Parameters
    ----------
    task
        Its structure; nothing moves.
    settings
        Density of the k-mesh.

    Raises
    ------
    CalculationError
        Without oxygen, or without a metal that has d electrons.

    Notes
    -----
    Slater and Koster, Phys. Rev. 94, 1498 (1954): sigma bonds between neighbours, which fall off with
    the distance. Cations without d orbitals give their valence electrons to the others.
    """
    from rocksalt.workflows.calculate import to_atoms

    structure = task.structure
    symbols = [site.specie.symbol for site in structure]
    kinds = {s: "p" if s == "O" else "d" for s in symbols if s == "O" or Element(s).block == "d"}
    if set(kinds.values()) != {"p", "d"}:
        raise CalculationError(f"mock has no p and d electrons in {structure.formula}")
    firsts: dict[int, int] = {}
    n_orbitals = 0
    for i, symbol in enumerate(symbols):
        if symbol in kinds:
            firsts[i] = n_orbitals
            n_orbitals += N_ORBITALS[kinds[symbol]]
    owners = [symbols[i] for i in firsts for _ in range(N_ORBITALS[kinds[symbols[i]]])]
    mesh = k_mesh(structure.lattice.matrix, settings.k_density)
    k_points = np.array(list(itertools.product(*(np.arange(n) / n for n in mesh))))
    hops = np.zeros((len(k_points), n_orbitals, n_orbitals), dtype=complex)
    for i, j, image, block in _bonds(structure, [kinds.get(s, "") for s in symbols]):
        phases = np.exp(2j * np.pi * (k_points @ image))[:, None, None]
        rows, columns = block.shape
        hops[:, firsts[i] : firsts[i] + rows, firsts[j] : firsts[j] + columns] += phases * block
    levels = np.zeros((2, len(k_points), n_orbitals))
    weights = np.zeros((2, len(k_points), n_orbitals, n_orbitals))
    for spin in (0, 1):
        onsite = np.diag([LEVELS_EV[kinds[owner]][spin] for owner in owners])
        levels[spin], vectors = np.linalg.eigh(hops + onsite)
        weights[spin] = abs(vectors) ** 2
    n_electrons = sum(4 if s == "O" else int(Element(s).group) for s in symbols)
    ordered = np.sort(levels, axis=None)
    n_filled = min(n_electrons * len(k_points), ordered.size - 1)
    fermi = float(ordered[n_filled - 1 : n_filled + 1].mean())
    filled = (weights * (levels <= fermi)[:, :, None, :]).sum(axis=(1, 3)) / len(k_points)
    moments = np.zeros(len(symbols))
    for i, first in firsts.items():
        own = slice(first, first + N_ORBITALS[kinds[symbols[i]]])
        moments[i] = filled[0, own].sum() - filled[1, own].sum()
    names = np.array([f"{owner}-{kinds[owner]}" for owner in owners])
    atoms = to_atoms(structure)
    atoms.calc = MockCalculator()
    energy = float(atoms.get_potential_energy())
    forces = np.array(atoms.get_forces())
    return ElectronicStates(
        relaxation=RelaxationResult(
            atoms=to_atoms(structure),
            energy_ev=energy,
            forces=forces,
            stress_gpa=None,
            magmoms=moments,
            energies_ev=[energy],
            max_force=float(np.linalg.norm(forces, axis=1).max()),
            converged=True,
            n_evaluations=1,
            n_fallbacks=0,
            optimizer="none",
            cpu_s=0.0,
        ),
        eigenvalues_ev=levels,
        k_weights=np.full(len(k_points), 1 / len(k_points)),
        projections={
            str(name): weights[:, :, names == name].sum(axis=2) for name in np.unique(names)
        },
        fermi_ev=fermi,
        k_mesh=list(mesh),
        projection=PROJECTION,
    )


def _bonds(
    structure: Structure, kinds: list[str]
) -> Iterator[tuple[int, int, NDArray[np.float64], NDArray[np.float64]]]:
    """Yield atom, neighbour, image and block of hops of every bond, each from both of its ends."""
    centres, points, images, distances = structure.get_neighbor_list(CUTOFF_ANGSTROM)
    vectors = structure.lattice.get_cartesian_coords(
        structure.frac_coords[points] + images - structure.frac_coords[centres]
    )
    for i, j, image, vector, distance in zip(
        centres, points, images, vectors, distances, strict=True
    ):
        pair = "".join(sorted(kinds[i] + kinds[j], reverse=True))
        if pair in HOPS:
            size_ev, length = HOPS[pair]
            hop = size_ev * np.exp((length - distance) / DECAY_ANGSTROM)
            # From p to d, so that both ends of a bond see the same lobe of p.
            direction = (-1 if kinds[i] == "d" else 1) * vector / distance
            ends = np.outer(_along(kinds[i], direction), _along(kinds[j], direction))
            yield int(i), int(j), image, (hop if pair == "pp" else -hop) * ends


def _along(kind: str, direction: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the p or d orbital that points along a direction, in terms of the cartesian ones."""
    if kind == "p":
        return direction
    x, y, z = direction
    root = np.sqrt(3)
    return np.array(
        [
            root * x * y,
            root * y * z,
            z * z - (x * x + y * y) / 2,
            root * x * z,
            root * (x * x - y * y) / 2,
        ]
    )
