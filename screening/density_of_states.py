"""Whose states lie at the top of the valence band: shares of orbitals below an edge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from rocksalt.screening.errors import RocksaltError

EdgeReference = Literal["valence-band-maximum", "fermi-level"]

TAIL_WIDTHS = 3.0
"""Broadened states reach beyond the edge by so many widths; they are counted as well."""


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
        return "fermi-level" if self.is_metal else "valence-band-maximum"

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
    energies_ev
        (n,), rising, on the axis of the edge.
    projected
        (n,) density of states of each orbital ('O-p', 'Mn-d'), states per eV. Only these are
        compared: projections on other channels are partly the same states seen again.
    edge_ev
        Valence-band maximum, or Fermi level of a metal.
    window_ev
        Depth of the window below the edge.
    width_ev
        Gaussian width of the densities; `TAIL_WIDTHS` of them above the edge are counted too.

    Returns
    -------
    dict
        Shares that sum to 1.

    Raises
    ------
    RocksaltError
        For energies that do not rise or do not cover the window, a density of another length, or a
        window without states.

    Notes
    -----
    f_O = int g_O / (int g_O + int g_M) over the window, by the trapezoidal rule with its ends
    interpolated.
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
    areas: dict[str, float] = {}
    for name, density in projected.items():
        values = np.asarray(density, dtype=float)
        if values.shape != energies.shape:
            raise RocksaltError(
                f"the density of {name} has {values.size} values for {energies.size} energies"
            )
        areas[name] = float(np.trapezoid(np.interp(grid, energies, values), grid))
    total = sum(areas.values())
    if not total > 0:
        raise RocksaltError(
            f"no states of {', '.join(projected)} between {low:.2f} and {high:.2f} eV"
        )
    return {name: area / total for name, area in areas.items()}
