"""A projected density of states: what is asked of an engine, what it gives, and the document of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from rocksalt.screening.density_of_states import (
    TAIL_WIDTHS,
    EdgeReference,
    band_edges,
    broadened_densities,
    orbital_shares,
    states_in_window,
)
from rocksalt.screening.errors import CalculationError, RocksaltError
from rocksalt.stores.electronic_documents import DensityOfStates
from rocksalt.workflows.relaxer import RelaxationResult

Array = NDArray[np.float64]

ENERGY_STEP_WIDTHS = 0.2
"""Step of the energies that densities are kept at, in widths of their Gaussians."""

BELOW_EV, ABOVE_EV = 8.0, 4.0
"""Densities are kept this far below and above the edge; further below if the window is deeper."""


DEFAULT_K_DENSITY = 3.0
"""4 x 4 x 4 points in the 12 atoms of Li2MnO3; what a denser mesh changes: docs/dft.md."""


class DensityOfStatesSettings(BaseModel):
    """What a density of states depends on besides the structure, the code and its protocol.

    Attributes
    ----------
    window_ev
        Depth of the window below the edge in which shares are taken.
    width_ev
        Standard deviation of the Gaussian that stands for each level.
    k_density
        Points per reciprocal angstrom (`rocksalt.workflows.dft.kpoints`) of the mesh on which the
        states are computed, at the density of the self-consistent field.
    reference
        The edge. None takes the Fermi level of a metal and the highest occupied level of an
        insulator, whose Fermi level lies anywhere in the gap.
    geometry
        Engine that relaxes the cell before: a potential, or the DFT engine itself. None takes the
        cell as it is.
    geometry_version
        Model version of that engine.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    window_ev: float = Field(1.0, gt=0, le=20)
    width_ev: float = Field(0.05, gt=0, le=1)
    k_density: float = Field(DEFAULT_K_DENSITY, gt=0, le=20)
    reference: EdgeReference | None = None
    geometry: str | None = None
    geometry_version: str | None = None


@dataclass
class ElectronicStates:
    """Levels of a structure and the weight of orbitals in them.

    Attributes
    ----------
    relaxation
        Structure, energy, forces, moments and method of the self-consistent field.
    eigenvalues_ev
        (n_spins, n_k_points, n_bands).
    k_weights
        (n_k_points,), which sum to 1.
    projections
        (n_spins, n_k_points, n_bands) by element and orbital ('O-p'), summed over atoms.
    fermi_ev
        On the axis of the eigenvalues.
    k_mesh
        Of these states.
    projection
        How the weights were taken, in words.
    """

    relaxation: RelaxationResult
    eigenvalues_ev: Array
    k_weights: Array
    projections: dict[str, Array]
    fermi_ev: float
    k_mesh: list[int]
    projection: str


def density_of_states(
    states: ElectronicStates, settings: DensityOfStatesSettings, metal: str
) -> DensityOfStates:
    """Return gap, edge, shares and curves of computed states.

    Parameters
    ----------
    states
        As an engine gives them.
    settings
        Window, width and edge.
    metal
        Whose d states are compared with the p states of oxygen.

    Raises
    ------
    CalculationError
        When the states do not tell: a projection lacks, or the window is empty.
    """
    compared = ("O-p", f"{metal}-d")
    lacking = [name for name in compared if name not in states.projections]
    if lacking:
        raise CalculationError(
            f"no projection on {' and '.join(lacking)}: there is on {', '.join(states.projections)}"
        )
    levels = states.eigenvalues_ev
    try:
        edges = band_edges(levels, states.fermi_ev)
        reference = settings.reference or edges.reference
        edge = edges.edge_ev(reference)
        width = settings.width_ev
        below = max(BELOW_EV, settings.window_ev + 2 * TAIL_WIDTHS * width)
        step = ENERGY_STEP_WIDTHS * width
        steps = np.arange(-round(below / step), round(ABOVE_EV / step) + 1)
        energies = np.asarray(edge + step * steps, dtype=np.float64)
        everything = {"total": np.ones_like(levels), **states.projections}
        curves = broadened_densities(energies, levels, states.k_weights, everything, width)
        # Empty states of a metal begin at the edge: their tails are not to be counted.
        filled = {name: values * (levels <= states.fermi_ev) for name, values in everything.items()}
        occupied = broadened_densities(energies, levels, states.k_weights, filled, width)
        summed = {name: curve.sum(axis=0) for name, curve in occupied.items()}
        window = (edge, settings.window_ev, width)
        counted = states_in_window(energies, summed, *window)
        shares = orbital_shares(energies, {name: summed[name] for name in compared}, *window)
    except RocksaltError as error:
        raise CalculationError(f"density of states: {error}") from error
    return DensityOfStates(
        reference=reference,
        reference_ev=edge,
        fermi_ev=edges.fermi_ev,
        is_metal=edges.is_metal,
        band_gap_ev=edges.gap_ev,
        window_ev=settings.window_ev,
        width_ev=width,
        k_mesh=states.k_mesh,
        n_k_points=len(states.k_weights),
        projection=states.projection,
        shares=shares,
        states={name: n for name, n in counted.items() if name != "total"},
        states_total=counted["total"],
        moments_mu_b=_moments(states.relaxation),
        geometry=settings.geometry,
        arrays=_arrays(energies - edge, curves),
    )


def _moments(field: RelaxationResult) -> dict[str, list[float]] | None:
    """Return the moments of the sites by element, rising."""
    if field.magmoms is None:
        return None
    by_element: dict[str, list[float]] = {}
    for symbol, moment in zip(field.atoms.get_chemical_symbols(), field.magmoms, strict=True):
        by_element.setdefault(symbol, []).append(float(moment))
    return {symbol: sorted(moments) for symbol, moments in by_element.items()}


def _arrays(energies: Array, curves: dict[str, Array]) -> dict[str, Any]:
    """Return curves as the additional store keeps them; energies are relative to the edge."""
    return {
        "energies_ev": np.round(energies, 6).tolist(),
        "states_per_ev": {name: np.round(curve, 6).tolist() for name, curve in curves.items()},
    }
