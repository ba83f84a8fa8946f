"""What makes two structures the same, and the hash that names a calculation."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import spglib
from numpy.typing import NDArray
from pymatgen.core import Structure

FINGERPRINT_VERSION = 1
CUTOFF_ANGSTROM = 7.0
TRIANGLE_CUTOFF_ANGSTROM = 5.0
SYMMETRY_TOLERANCE_ANGSTROM = 0.005
N_ROUNDS = 3
DECIMALS = 4
GENERIC_FACTOR = 1.0158374621

_ENANTIOMORPHS = {
    78: 76,
    95: 91,
    96: 92,
    145: 144,
    153: 151,
    154: 152,
    170: 169,
    172: 171,
    179: 178,
    181: 180,
    213: 212,
}
"""Space groups that differ in handedness alone, by the lower number of the pair."""


def digest(value: Any) -> str:
    """Return 32 hexadecimal digits of the SHA-256 of a value's sorted JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def structure_fingerprint(structure: Structure) -> str:
    """Return a hash that is the same for all settings of one periodic structure.

    Cell choice, origin, orientation, handedness, site order and supercell do not enter. Each site
    is coloured by its element. Three times, a site's colour becomes the hash of its own colour and
    the sorted distances and colours of its neighbours; a last time, of the triangles that it forms
    with pairs of near neighbours. Distances are counted in units of the cube root of the volume per
    atom. The fingerprint hashes that volume and the share of each colour.

    Notes
    -----
    Colour refinement of Weisfeiler and Leman (1968) on the graph of distances below
    `CUTOFF_ANGSTROM`. Neither pairs nor triangles tell L1_1 from D4 order on the fcc lattice (they
    differ in four-body figures), whence the space group and the size of the primitive cell.
    """
    centres, points, images, distances = structure.get_neighbor_list(CUTOFF_ANGSTROM)
    vectors = structure.lattice.get_cartesian_coords(
        structure.frac_coords[points] + images - structure.frac_coords[centres]
    )
    volume_per_atom = structure.volume / len(structure)
    length = volume_per_atom ** (1 / 3)
    vectors, distances = vectors / length, _rounded(distances / length)
    around = [np.flatnonzero(centres == i) for i in range(len(structure))]
    colours = [digest(site.specie.symbol) for site in structure]
    for _ in range(N_ROUNDS):
        colours = [
            digest([own, sorted((distances[j], colours[points[j]]) for j in neighbours)])
            for own, neighbours in zip(colours, around, strict=True)
        ]
    ranks = {colour: rank for rank, colour in enumerate(sorted(set(colours)))}
    rank_of_site = np.array([ranks[colour] for colour in colours])
    final = []
    for own, neighbours in zip(colours, around, strict=True):
        near = neighbours[distances[neighbours] * length < TRIANGLE_CUTOFF_ANGSTROM]
        triangles = _triangles(vectors[near], distances[near], rank_of_site[points[near]])
        final.append(digest([own, triangles]))
    shares = {c: round(final.count(c) / len(final), 9) for c in sorted(set(final))}
    return digest(
        [FINGERPRINT_VERSION, float(_rounded(volume_per_atom)), *_symmetry(structure), shares]
    )


def _symmetry(structure: Structure) -> tuple[int, int]:
    """Return the space group's number and the number of atoms in a primitive cell."""
    cell = (
        structure.lattice.matrix,
        structure.frac_coords,
        [site.specie.Z for site in structure],
    )
    dataset = spglib.get_symmetry_dataset(cell, symprec=SYMMETRY_TOLERANCE_ANGSTROM)
    n_primitive = len(set(dataset.mapping_to_primitive.tolist()))
    number = int(dataset.number)
    return _ENANTIOMORPHS.get(number, number), n_primitive


def _rounded(values: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Round, after a factor that keeps round numbers (4.435 angstrom) off the borders."""
    return np.round(np.asarray(values) * GENERIC_FACTOR, DECIMALS)


def _triangles(
    vectors: NDArray[np.float64], distances: NDArray[np.float64], colours: NDArray[np.int64]
) -> list[list[float]]:
    """Return every triangle of a site and two neighbours, in an order that no setting changes."""
    order = np.lexsort((distances, colours))
    vectors, distances, colours = vectors[order], distances[order], colours[order]
    i, j = np.triu_indices(len(order), k=1)
    opposite = _rounded(np.linalg.norm(vectors[i] - vectors[j], axis=1))
    rows = np.column_stack([colours[i], colours[j], distances[i], distances[j], opposite])
    kinds, counts = np.unique(rows, axis=0, return_counts=True)
    return np.column_stack([kinds, counts]).tolist()
