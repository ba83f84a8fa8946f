"""k-point meshes of one density, whatever the size and shape of the cell."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def k_mesh(cell: ArrayLike, density: float) -> tuple[int, int, int]:
    """Return the mesh of a cell, to be centred on Gamma.

    Parameters
    ----------
    cell
        (3, 3) lattice vectors as rows, angstrom.
    density
        Points per reciprocal angstrom (2 pi included): on average over directions there are
        density^3 points per reciprocal cubic angstrom, in a cell of any size and any angles.

    Returns
    -------
    tuple
        Numbers along the three reciprocal vectors, in proportion to their lengths, rounded to the
        nearest, 1 at least. Vectors of equal length get equal numbers, so that no symmetry is lost.
    """
    reciprocal = 2 * np.pi * np.linalg.inv(np.asarray(cell, dtype=float)).T
    lengths = np.linalg.norm(reciprocal, axis=1)
    # In an oblique cell the vectors are longer than the zone is wide.
    oblique = (abs(np.linalg.det(reciprocal)) / np.prod(lengths)) ** (1 / 3)
    numbers = [max(1, round(n)) for n in np.round(density * oblique * lengths, 6)]
    return numbers[0], numbers[1], numbers[2]


def equal_k_mesh(cell: ArrayLike, density: float) -> tuple[int, int, int]:
    """Return the mesh of a cubic crystal in any of its cells: equal numbers, the same density.

    A skew cell of a cubic crystal (the four atoms of AFM-II) would lose symmetry on any other mesh.
    """
    reciprocal_volume = (2 * np.pi) ** 3 / abs(np.linalg.det(np.asarray(cell, dtype=float)))
    number = max(1, round(round(density * float(reciprocal_volume) ** (1 / 3), 6)))
    return number, number, number
