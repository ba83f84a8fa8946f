"""Whose states lie at the top of the valence band: shares of orbitals below an edge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rocksalt.screening.errors import RocksaltError

EdgeReference = Literal["highest-occupied", "fermi-level"]

TAIL_WIDTHS = 4.0
"""Broadened states reach beyond the edge by so many widths; they are counted as well."""

FAR_WIDTHS = 8.0
"""A level contributes nothing to energies that are further away than this."""


@dataclass(frozen=True)
class BandEdges:
    """Where occupied states end and empty ones begin, in eV on the energy axis of the eigenvalues.

    Attributes
    ----------
    fermi_ev
        Fermi level; that of an insulator lies anywhere in the gap.
    valence_band_maximum_ev, conduction_band_minimum_ev
        Highest occupied and lowest empty eigenvalue; None for the latter without empty bands.
    gap_ev
        Their distance; 0 for a metal, None where it is not known.
    is_metal
        Whether the number of occupied bands differs between k-points or the gap is closed.
    """

    fermi_ev: float
    valence_band_maximum_ev: float
    conduction_band_minimum_ev: float | None
    gap_ev: float | None
    is_metal: bool

    @property
    def reference(self) -> EdgeReference:
        """The edge from which a window is measured: the Fermi level of a metal only."""
        return "fermi-level" if self.is_metal else "highest-occupied"

    def edge_ev(self, reference: EdgeReference | None = None) -> float:
        """Return the energy of an edge, by default of the one that suits."""
        chosen = reference or self.reference
        return self.fermi_ev if chosen == "fermi-level" else self.valence_band_maximum_ev


def band_edges(eigenvalues_ev: ArrayLike, fermi_ev: float) -> BandEdges:
    """Return the band edges from eigenvalues.

    Parameters
    ----------
    eigenvalues_ev
        (n_spins, n_k_points, n_bands), eV.
    fermi_ev
        Fermi level on the same axis.

    Raises
    ------
    RocksaltError
        For eigenvalues that are no such array, not finite, or all above the Fermi level.
    """
    values = np.asarray(eigenvalues_ev, dtype=float)
    if values.ndim != 3 or not values.size:
        raise RocksaltError(
            f"eigenvalues have the shape {values.shape}: give spins, k-points and bands"
        )
    if not (np.isfinite(values).all() and np.isfinite(fermi_ev)):
        raise RocksaltError("an eigenvalue or the Fermi level is not a finite number")
    occupied = values <= fermi_ev
    if not occupied.any():
        raise RocksaltError(f"no eigenvalue lies below the Fermi level at {fermi_ev:g} eV")
    top = float(values[occupied].max())
    bottom = float(values[~occupied].min()) if (~occupied).any() else None
    n_occupied = occupied.sum(axis=2)
    crosses = bool((n_occupied != n_occupied[:, :1]).any())
    gap = None if bottom is None else (0.0 if crosses else bottom - top)
    return BandEdges(float(fermi_ev), top, bottom, gap, crosses)


def broadened_densities(
    energies_ev: ArrayLike,
    eigenvalues_ev: ArrayLike,
    k_weights: ArrayLike,
    projections: Mapping[str, ArrayLike],
    width_ev: float,
) -> dict[str, NDArray[np.float64]]:
    """Return densities of states by orbital and spin: a Gaussian for each level.

    Parameters
    ----------
    energies_ev
        (n,), where the densities are wanted.
    eigenvalues_ev
        (n_spins, n_k_points, n_bands).
    k_weights
        (n_k_points,), which are scaled to sum to 1.
    projections
        (n_spins, n_k_points, n_bands) weight of each orbital in each state; ones give the total.
    width_ev
        Standard deviation of the Gaussians.

    Returns
    -------
    dict
        (n_spins, n), states per eV and cell. One spin stands for both: its states count twice.

    Raises
    ------
    RocksaltError
        For a width that is not positive, or arrays whose shapes do not fit.
    """
    if not width_ev > 0:
        raise RocksaltError(f"a width of {width_ev:g} eV broadens nothing: give a positive one")
    energies = np.asarray(energies_ev, dtype=float)
    levels = np.asarray(eigenvalues_ev, dtype=float)
    weights = np.asarray(k_weights, dtype=float)
    stacked = {name: np.asarray(values, dtype=float) for name, values in projections.items()}
    for name, shape, expected in (
        ("k-point weights", weights.shape, levels.shape[1:2]),
        *((f"projections on {n}", values.shape, levels.shape) for n, values in stacked.items()),
    ):
        if levels.ndim != 3 or shape != expected:
            raise RocksaltError(
                f"{name} of shape {shape} do not fit eigenvalues of shape {levels.shape}"
            )
    n_spins, n_k = levels.shape[:2]
    weights = weights / weights.sum() * (2 / n_spins)
    densities = np.zeros((n_spins, len(stacked), len(energies)))
    reach = FAR_WIDTHS * width_ev
    for spin in range(n_spins):
        for k in range(n_k):
            near = (levels[spin, k] > energies.min() - reach) & (
                levels[spin, k] < energies.max() + reach
            )
            distance = (energies[None, :] - levels[spin, k, near, None]) / width_ev
            gaussians = np.exp(-(distance**2) / 2) / (width_ev * np.sqrt(2 * np.pi))
            carried = np.array([values[spin, k, near] for values in stacked.values()])
            densities[spin] += weights[k] * (carried @ gaussians)
    return {name: densities[:, i] for i, name in enumerate(stacked)}


def states_in_window(
    energies_ev: ArrayLike,
    projected: Mapping[str, ArrayLike],
    edge_ev: float,
    window_ev: float = 1.0,
    width_ev: float = 0.0,
) -> dict[str, float]:
    """Return the number of states of each orbital within a window below an edge.

    Parameters
    ----------
    energies_ev
        (n,), rising, on the axis of the edge.
    projected
        (n,) density of states of each orbital, states per eV.
    edge_ev
        Highest occupied level, or Fermi level of a metal.
    window_ev
        Depth of the window below the edge.
    width_ev
        Gaussian width of the densities; `TAIL_WIDTHS` of them above the edge are counted too. The
        densities must hold no empty states there: those of a metal are to be left out before.

    Raises
    ------
    RocksaltError
        For energies that do not rise or do not cover the window, or a density of another length.

    Notes
    -----
    By the trapezoidal rule with its ends interpolated.
    """
    energies = np.asarray(energies_ev, dtype=float)
    if energies.ndim != 1 or len(energies) < 2 or not (np.diff(energies) > 0).all():
        raise RocksaltError("energies of a density of states must rise: sort them")
    if not window_ev > 0:
        raise RocksaltError(f"a window of {window_ev:g} eV is empty: give a positive depth")
    low, high = edge_ev - window_ev, edge_ev + TAIL_WIDTHS * width_ev
    if low < energies[0] or high > energies[-1]:
        raise RocksaltError(
            f"the density of states reaches from {energies[0]:.2f} to {energies[-1]:.2f} eV, the "
            f"window from {low:.2f} to {high:.2f} eV: compute a wider one"
        )
    inside = energies[(energies > low) & (energies < high)]
    grid = np.concatenate([[low], inside, [high]])
    states: dict[str, float] = {}
    for name, density in projected.items():
        values = np.asarray(density, dtype=float)
        if values.shape != energies.shape:
            raise RocksaltError(
                f"the density of {name} has {values.size} values for {energies.size} energies"
            )
        states[name] = float(np.trapezoid(np.interp(grid, energies, values), grid))
    return states


def orbital_shares(
    energies_ev: ArrayLike,
    projected: Mapping[str, ArrayLike],
    edge_ev: float,
    window_ev: float = 1.0,
    width_ev: float = 0.0,
) -> dict[str, float]:
    """Return the share of each orbital in the states within a window below an edge.

    Parameters
    ----------
    energies_ev, edge_ev, window_ev, width_ev
        As of `states_in_window`.
    projected
        (n,) density of states of each orbital ('O-p', 'Mn-d'), states per eV. Only these are
        compared: projections on other channels are partly the same states seen again.

    Returns
    -------
    dict
        Shares that sum to 1.

    Raises
    ------
    RocksaltError
        As of `states_in_window`, and for a window without states.

    Notes
    -----
    f_O = int g_O / (int g_O + int g_M) over the window; Sun et al., Energy Environ. Sci. 18, 4335
    (2025), with the Fermi level as the edge.
    """
    states = states_in_window(energies_ev, projected, edge_ev, window_ev, width_ev)
    total = sum(states.values())
    if not total > 0:
        raise RocksaltError(
            f"no states of {', '.join(projected)} between {edge_ev - window_ev:.2f} and "
            f"{edge_ev + TAIL_WIDTHS * width_ev:.2f} eV"
        )
    return {name: number / total for name, number in states.items()}
