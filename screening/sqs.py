"""Special quasi-random structures: the arrangement whose pair correlations are a random alloy's.

Zunger et al., Phys. Rev. Lett. 65, 353 (1990). Cells of a few dozen cations need no more than
random tries and swaps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

N_TRIES = 4000
SHELL_GAP_ANGSTROM = 1e-3
N_REFINED = 20


@dataclass(frozen=True)
class QuasiRandom:
    """A quasi-random arrangement and how close to random it is.

    Attributes
    ----------
    sites
        Positions in the list of sites that carry the substituting species, sorted.
    correlations
        Pair correlation of each shell, (n_shells,).
    target
        The random alloy's pair correlation (1 - 2x)^2.
    """

    sites: tuple[int, ...]
    correlations: tuple[float, ...]
    target: float


def pair_shells(structure: Structure, n_shells: int = 3) -> NDArray[np.float64]:
    """Return the number of neighbours that each pair of sites has in each distance shell.

    Parameters
    ----------
    structure
        A sublattice alone (the cations).
    n_shells
        Number of shells, nearest first.

    Returns
    -------
    (n_shells, n_sites, n_sites) array
        Counts over periodic images, symmetric in the last two axes.
    """
    radius = 4.0
    while True:
        centres, points, _, distances = structure.get_neighbor_list(radius)
        order = np.argsort(distances)
        steps = np.diff(distances[order], prepend=distances[order[:1]])
        shell_of_pair = np.empty(len(distances), dtype=int)
        shell_of_pair[order] = np.cumsum(steps > SHELL_GAP_ANGSTROM)
        if shell_of_pair.max(initial=-1) >= n_shells:  # the last shell may be cut off
            break
        radius *= 1.4
    counts = np.zeros((n_shells, len(structure), len(structure)))
    for shell in range(n_shells):
        here = shell_of_pair == shell
        np.add.at(counts[shell], (centres[here], points[here]), 1.0)
    return counts


def quasi_random(shells: NDArray[np.float64], n_chosen: int, seed: int) -> QuasiRandom:
    """Return the arrangement whose pair correlations are nearest to random.

    Parameters
    ----------
    shells
        (n_shells, n_sites, n_sites) neighbour counts of `pair_shells`.
    n_chosen
        Number of sites that carry the substituting species.
    seed
        The same seed gives the same arrangement.

    Notes
    -----
    The mismatch is the sum of squared differences of pair correlations, a shell weighing half of
    the one before. `N_TRIES` random arrangements, the best `N_REFINED` improved by swaps.
    """
    n_sites = shells.shape[1]
    weights = 0.5 ** np.arange(len(shells))
    pairs = shells.sum(axis=(1, 2))
    target = (1 - 2 * n_chosen / n_sites) ** 2

    def correlations(spins: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.einsum("ti,sij,tj->ts", spins, shells, spins, optimize=True) / pairs

    def mismatch(spins: NDArray[np.float64]) -> NDArray[np.float64]:
        return ((correlations(spins) - target) ** 2 * weights).sum(axis=1)

    rng = np.random.default_rng([seed, n_sites, n_chosen])
    start = np.ones(n_sites)
    start[:n_chosen] = -1.0
    tries = rng.permuted(np.tile(start, (N_TRIES, 1)), axis=1)
    order = np.argsort(mismatch(tries), kind="stable")[:N_REFINED]
    refined = np.array([_improved(tries[i], mismatch) for i in order])
    # Rounding keeps the choice between equally good ones the same on every machine.
    best = refined[int(np.argmin(np.round(mismatch(refined), 12)))]
    return QuasiRandom(
        sites=tuple(int(i) for i in np.flatnonzero(best < 0)),
        correlations=tuple(float(c) for c in correlations(best[None])[0]),
        target=target,
    )


def _improved(
    spins: NDArray[np.float64], mismatch: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Swap pairs of unlike sites for as long as the best swap lowers the mismatch."""
    current = float(mismatch(spins[None])[0])
    while current > 1e-12:
        up, down = np.flatnonzero(spins > 0), np.flatnonzero(spins < 0)
        swapped = np.tile(spins, (len(up) * len(down), 1))
        rows = np.arange(len(swapped))
        i, j = np.repeat(up, len(down)), np.tile(down, len(up))
        swapped[rows, i], swapped[rows, j] = -1.0, 1.0
        values = np.round(mismatch(swapped), 12)
        if values.min() >= current - 1e-12:
            break
        spins, current = swapped[int(values.argmin())], float(values.min())
    return spins
