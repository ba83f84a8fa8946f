"""What makes two structures the same, and the hash that names a calculation."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import spglib
from numpy.typing import NDArray
from pymatgen.core import Structure

FINGERPRINT_VERSION = 2
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


def structure_fingerprint(structure: Structure, symmetry: tuple[int, int] | None = None) -> str:
    """Return a hash that is the same for all settings of one periodic structure.

    Cell choice, origin, orientation, handedness, site order and supercell do not enter. Each site
    is coloured by its element. Three times, a site's colour becomes the hash of its own colour and
    the sorted distances and colours of its neighbours; a last time, of the triangles that it forms
    with pairs of near neighbours. Distances are counted in units of the cube root of the volume per
    atom. The fingerprint hashes that volume and the share of each colour.

    Parameters
    ----------
    structure
        The structure.
    symmetry
        Number of its space group (of an enantiomorphic pair the lower one) and of atoms in a
        primitive cell, where they are known: finding them takes most of the time.

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
    around = np.split(
        np.argsort(centres, kind="stable"),
        np.cumsum(np.bincount(centres, minlength=len(structure)))[:-1],
    )
    steps = _steps(distances / length)
    colours = np.array([_colour(site.specie.symbol.encode()) for site in structure])
    for _ in range(N_ROUNDS):
        seen = _mixed(colours[points] ^ _mixed(steps))
        colours = np.array(
            [
                _colour(own.tobytes() + np.sort(seen[neighbours]).tobytes())
                for own, neighbours in zip(colours, around, strict=True)
            ]
        )
    seen = _mixed(colours[points] ^ _mixed(steps))
    final = []
    for own, neighbours in zip(colours, around, strict=True):
        near = neighbours[distances[neighbours] < TRIANGLE_CUTOFF_ANGSTROM]
        triangles = _triangles(vectors[near] / length, seen[near])
        final.append(f"{_colour(own.tobytes() + triangles.tobytes()):016x}")
    shares = {c: round(final.count(c) / len(final), 9) for c in sorted(set(final))}
    volume = float(np.round(volume_per_atom * GENERIC_FACTOR, DECIMALS))
    return digest([FINGERPRINT_VERSION, volume, *(symmetry or _symmetry(structure)), shares])


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


def _steps(lengths: NDArray[np.float64]) -> NDArray[np.uint64]:
    """Round to whole steps, after a factor that keeps round numbers (4.435 angstrom) off borders."""
    return np.round(lengths * (GENERIC_FACTOR * 10**DECIMALS)).astype(np.uint64)


def _colour(content: bytes) -> np.uint64:
    """Return 64 bits of the SHA-256 of some bytes."""
    return np.frombuffer(hashlib.sha256(content).digest()[:8], dtype="<u8")[0]


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scatter 64-bit numbers so that sums and differences of results do not coincide.

    The finaliser of SplitMix64: Steele, Lea and Flood, OOPSLA 2014, doi 10.1145/2660193.2660195.
    """
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _triangles(vectors: NDArray[np.float64], ends: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return a number for every triangle of a site and two neighbours, sorted.

    Parameters
    ----------
    vectors
        (n, 3) to the neighbours.
    ends
        (n,) number of each neighbour's colour and distance. That of a triangle is made of the sum
        of two of them, which no order changes, and of the distance between them.
    """
    i, j = np.triu_indices(len(ends), k=1)
    opposite = _steps(np.linalg.norm(vectors[i] - vectors[j], axis=1))
    return np.sort(_mixed((ends[i] + ends[j]) ^ _mixed(opposite + np.uint64(1))))
