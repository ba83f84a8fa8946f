"""Which phases an oxygen potential allows at a fixed ratio of the cations, and who is metal."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rocksalt.screening.elements import host_amounts
from rocksalt.screening.errors import RocksaltError
from rocksalt.screening.hull import Hull, HullEntry, make_hull

MetalState = Literal["oxide", "partial", "metal"]

_SAME_POTENTIAL_EV = 1e-7
SMALL_SHARE = 1e-6
_SAME_OXYGEN_PER_CATION = 1e-7


@dataclass(frozen=True)
class Window:
    """The phases between two oxygen potentials.

    Attributes
    ----------
    from_dmu_o_ev, to_dmu_o_ev
        Ends in eV per O, 0 at the O2 reference; the lowest window begins at minus infinity. Above 0
        oxygen condenses.
    phases
        Each with its share of the atoms.
    oxygen_per_cation
        O atoms per cation.
    """

    from_dmu_o_ev: float
    to_dmu_o_ev: float
    phases: tuple[tuple[HullEntry, float], ...]
    oxygen_per_cation: float

    def holds_metal(self, symbol: str) -> bool:
        """Whether a phase without oxygen holds the element."""
        return any(
            entry.amounts.get(symbol, 0) > 0 and not entry.amounts.get("O", 0)
            for entry, _ in self.phases
        )


def oxygen_windows(hull: Hull, cations: Mapping[str, float]) -> list[Window]:
    """Return the stable phases against the oxygen potential at a fixed ratio of the cations.

    Parameters
    ----------
    hull
        Of a system with oxygen.
    cations
        Amount of each element but oxygen; elements of the system that are left out are absent.

    Returns
    -------
    list
        From the lowest potential (metals) to 0 (O2), each window beginning where the one before
        ends.

    Raises
    ------
    RocksaltError
        For a system without oxygen, or cations that are empty or outside it.

    Notes
    -----
    Along the line of oxygen content y at fixed cations r the hull is the envelope of lines, one per
    facet, with intercept sum_c mu_c r_c and slope mu_O. Where the slope jumps, the phases do not
    change between the two slopes: a grand-potential window, exact without any scan. The quantity is
    that of Ong et al., Chemistry of Materials 20, 1798 (2008).
    """
    if "O" not in hull.elements:
        raise RocksaltError(
            f"the system {hull.chemical_system} has no oxygen: add O2 and oxides to the entries"
        )
    given = {e: n for e, n in cations.items() if n}
    if "O" in given:
        raise RocksaltError("oxygen is not a cation: give the amounts of the other elements")
    shares = hull.fractions(given)
    oxygen = hull.elements.index("O")
    slopes = hull.chemical_potentials_ev[:, oxygen]
    intercepts = hull.chemical_potentials_ev @ shares
    lines = _upper_envelope(slopes, intercepts)
    ends = [-np.inf, *(min(slope, 0.0) for slope, _ in lines)]
    contents = [0.0]
    for (slope, intercept), (next_slope, next_intercept) in itertools.pairwise(lines):
        contents.append((intercept - next_intercept) / (next_slope - slope))
    total = sum(given.values())
    windows = []
    for low, high, content in zip(ends, ends[1:], contents, strict=False):
        if high - low < _SAME_POTENTIAL_EV:
            continue
        amounts = {e: n / total for e, n in given.items()} | {"O": float(content)}
        phases = tuple(hull.decomposition(amounts))
        windows.append(Window(float(low), float(high), phases, float(content)))
    return windows


def _upper_envelope(
    slopes: NDArray[np.float64], intercepts: NDArray[np.float64]
) -> list[tuple[float, float]]:
    """Return the lines that are highest somewhere at y >= 0, by rising slope."""
    best: list[tuple[float, float]] = []
    starts: list[float] = []  # the y from which each of the best is the highest
    for i in np.lexsort((intercepts, slopes)):
        line = float(slopes[i]), float(intercepts[i])
        if best and line[0] - best[-1][0] < _SAME_POTENTIAL_EV:
            line = line[0], max(line[1], best.pop()[1])
            starts.pop()
        # Facets that only touch the line y share a point with it, up to rounding.
        while best and _crossing(best[-1], line) <= starts[-1] + _SAME_OXYGEN_PER_CATION:
            best.pop()
            starts.pop()
        starts.append(_crossing(best[-1], line) if best else 0.0)
        best.append(line)
    return best


def _crossing(first: tuple[float, float], second: tuple[float, float]) -> float:
    return (first[1] - second[1]) / (second[0] - first[0])


def rock_salt_window(hull: Hull, host: str) -> tuple[float, float] | None:
    """Return the oxygen potentials [from, to] in eV at which HO is stable, or None.

    Only phases of the host's cations and oxygen count: the question is what its rock salt endures.
    For a host with lithium it is the window of one phase Li0.5H0.5O, ordered or not: lithium and metal
    stay together there, while at other potentials they part.

    Raises
    ------
    RocksaltError
        When a cation of the host or oxygen is outside the system.
    """
    amounts = host_amounts(host)
    elements = (*amounts, "O")
    own = make_hull((e for e in hull.entries if _within(e, {*elements})), elements)
    for window in oxygen_windows(own, amounts):
        if abs(window.oxygen_per_cation - 1) < 1e-6 and len(window.phases) == 1:
            return window.from_dmu_o_ev, window.to_dmu_o_ev
    return None


def _within(entry: HullEntry, elements: set[str]) -> bool:
    return {e for e, n in entry.amounts.items() if n} <= elements


def one_to_one(dopant: str, host: str) -> dict[str, float]:
    """Return the amounts of the cations when there is one dopant for each cation of the host."""
    return {dopant: 1.0, **host_amounts(host)}


def metal_share_of_host_window(
    hull: Hull, dopant: str, host: str, cations: Mapping[str, float] | None = None
) -> float | None:
    """Return in how much of the window of the host's rock salt HO a dopant is metal.

    Parameters
    ----------
    hull
        Of a system with dopant, host and oxygen.
    dopant, host
        The dopant's symbol, and the host as in a campaign: 'Mn' or 'Li0.5Mn0.5'.
    cations
        Ratio of the cations; one dopant for each cation of the host when not given.

    Returns
    -------
    float or None
        Share of the window's width in dmu_O where a phase without oxygen holds the dopant; None
        when HO is on no hull.

    Raises
    ------
    RocksaltError
        For elements outside the system.
    """
    ends = rock_salt_window(hull, host)
    if ends is None:
        return None
    low, high = ends
    metal_ev = 0.0
    for window in oxygen_windows(hull, cations or one_to_one(dopant, host)):
        overlap_ev = min(window.to_dmu_o_ev, high) - max(window.from_dmu_o_ev, low)
        if overlap_ev > 0 and window.holds_metal(dopant):
            metal_ev += overlap_ev
    return metal_ev / (high - low)


def metal_below_dmu_o_ev(
    hull: Hull, dopant: str, host: str, cations: Mapping[str, float] | None = None
) -> float:
    """Return the highest oxygen potential at which a phase without oxygen holds a dopant, eV.

    Parameters and errors are those of `metal_share_of_host_window`. Metals are stable at a potential
    that is low enough, so that there always is one; 0 when they are up to O2.
    """
    return max(
        window.to_dmu_o_ev
        for window in oxygen_windows(hull, cations or one_to_one(dopant, host))
        if window.holds_metal(dopant)
    )


def metal_in_host_window(
    hull: Hull, dopant: str, host: str, cations: Mapping[str, float] | None = None
) -> MetalState | None:
    """Return whether a dopant stays oxidised wherever the host's rock salt HO is stable.

    Parameters and errors are those of `metal_share_of_host_window`.

    Returns
    -------
    'oxide', 'partial', 'metal' or None
        'oxide' when no phase of the dopant is free of oxygen anywhere in HO's window, 'metal' when
        one is everywhere, 'partial' otherwise; None when HO is on no hull.
    """
    return metal_state(metal_share_of_host_window(hull, dopant, host, cations))


def metal_state(share: float | None) -> MetalState | None:
    """Return the word for a share of `metal_share_of_host_window`, to a millionth of the window."""
    if share is None:
        return None
    if share < SMALL_SHARE:
        return "oxide"
    return "metal" if share > 1 - SMALL_SHARE else "partial"
