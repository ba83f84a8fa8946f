"""All arrangements of two cations on a sublattice that symmetry does not make the same.

Orbits of site subsets under the crystal's permutations, grown one site at a time. No external
program is needed, and the multiplicities must sum to a binomial coefficient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import spglib
from numpy.typing import NDArray
from pymatgen.core import Structure

MAX_SITES = 62
"""Subsets are bit masks in 64-bit integers."""


@dataclass(frozen=True)
class Ordering:
    """One arrangement out of each class of equivalent ones.

    Attributes
    ----------
    sites
        Positions (in the list of sites enumerated) that carry the substituting species, sorted.
    multiplicity
        Number of equivalent arrangements in the cell.
    """

    sites: tuple[int, ...]
    multiplicity: int


def site_permutations(structure: Structure, sites: Sequence[int]) -> NDArray[np.int64]:
    """Return how the cell's symmetry operations permute the given sites.

    Parameters
    ----------
    structure
        The undecorated crystal, translations of the smaller lattice included.
    sites
        Indices of the sites to follow; operations must map the set onto itself.

    Returns
    -------
    (n_operations, n_sites) array
        Row ``p`` sends position ``i`` to position ``p[i]``; rows are distinct.
    """
    numbers = [site.specie.Z for site in structure]
    cell = (structure.lattice.matrix, structure.frac_coords, numbers)
    symmetry = spglib.get_symmetry(cell, symprec=1e-4)
    positions = structure.frac_coords[list(sites)]
    rows = set()
    for rotation, translation in zip(symmetry["rotations"], symmetry["translations"], strict=True):
        images = positions @ rotation.T + translation
        difference = images[:, None, :] - positions[None, :, :]
        difference -= np.round(difference)
        distance = np.linalg.norm(difference @ structure.lattice.matrix, axis=2)
        target = distance.argmin(axis=1)
        if distance[np.arange(len(target)), target].max() > 1e-2:
            raise ValueError("a symmetry operation maps a listed site onto one that is not listed")
        rows.add(tuple(int(t) for t in target))
    return np.array(sorted(rows), dtype=np.int64)


def distinct_orderings(permutations: NDArray[np.int64], n_chosen: int) -> list[Ordering]:
    """Return one ordering per orbit of ``n_chosen``-site subsets.

    Parameters
    ----------
    permutations
        (n_operations, n_sites), as `site_permutations` gives them; must contain the identity.
    n_chosen
        Number of sites that carry the substituting species, 0 to n_sites.

    Returns
    -------
    list of Ordering
        Sorted by sites. The multiplicities sum to the binomial coefficient (n_sites, n_chosen).

    Raises
    ------
    ValueError
        For more than `MAX_SITES` sites or a number outside 0..n_sites.
    """
    n_sites = permutations.shape[1]
    if n_sites > MAX_SITES or not 0 <= n_chosen <= n_sites:
        raise ValueError(f"cannot choose {n_chosen} of {n_sites} sites (at most {MAX_SITES})")
    if n_chosen > n_sites - n_chosen:  # the sites left over are fewer: same orbits
        everything = set(range(n_sites))
        rest = distinct_orderings(permutations, n_sites - n_chosen)
        return sorted(
            (Ordering(tuple(sorted(everything - set(o.sites))), o.multiplicity) for o in rest),
            key=lambda o: o.sites,
        )
    bits = np.left_shift(np.int64(1), permutations)  # (n_operations, n_sites)
    orbits: dict[int, int] = {0: 1}
    for _ in range(n_chosen):
        grown: dict[int, int] = {}
        for mask in orbits:
            chosen = [i for i in range(n_sites) if mask >> i & 1]
            partial = bits[:, chosen].sum(axis=1)
            for site in range(n_sites):
                if mask >> site & 1:
                    continue
                images = partial + bits[:, site]
                smallest = int(images.min())
                if smallest not in grown:
                    grown[smallest] = len(np.unique(images))
        orbits = grown
    orderings = [
        Ordering(tuple(i for i in range(n_sites) if mask >> i & 1), multiplicity)
        for mask, multiplicity in orbits.items()
    ]
    return sorted(orderings, key=lambda o: o.sites)
