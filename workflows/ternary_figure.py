"""The Gibbs triangle of a hull with oxygen as a matplotlib figure.

Nothing touches pyplot or the caller's settings.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from pymatgen.core import Composition

from rocksalt.screening.hull import HullEntry, make_hull
from rocksalt.stores.phase_documents import HullDoc, HullPhase
from rocksalt.workflows.figure_style import INK, PALE, RULE, empty_figure, milli, styled
from rocksalt.workflows.formulas import formula_text

WITHIN_EV_PER_ATOM = 0.1
"""Phases farther above the hull are not drawn."""

_HEIGHT = math.sqrt(3) / 2
_WIDTH_IN, _HEIGHT_IN = 5.6, 5.7
_UNITS_WIDE = 1.34
_UNITS_PER_POINT = _UNITS_WIDE / (72 * _WIDTH_IN)
_MOST_AT_AN_EDGE = 10
_SOFT = "#55606c"

DISTANCE = LinearSegmentedColormap.from_list(
    "above-hull", ["#0d4c86", "#5d4a9c", "#b0478f", "#e06a50", "#f2b04e"], N=20
)
"""Darker is nearer to the hull, in grey as in colour; few steps keep a page of many bars small."""


@dataclass(frozen=True)
class _Point:
    """A composition of the triangle with its lowest phase."""

    phase: HullPhase
    stable: bool
    x: float
    y: float
    edge: str
    """'left', 'right' or 'bottom' for phases of two elements, '' inside, 'corner'."""


@styled
def ternary_diagram(hull: HullDoc, *, within_ev_per_atom: float = WITHIN_EV_PER_ATOM) -> Figure:
    """Draw the Gibbs triangle of a hull of two elements and oxygen, oxygen on top.

    Stable phases are filled and named, joined by the tie lines between phases that coexist.
    Compositions whose lowest phase lies above the hull are hollow, coloured by the distance.
    Squares on the dotted line MO-HO are the screen's mixtures.

    Parameters
    ----------
    hull
        Of a system of three elements, oxygen among them.
    within_ev_per_atom
        Phases farther above the hull are left out; mixtures are drawn at any distance.

    Returns
    -------
    Figure
        The triangle and a colour bar of the distances.
    """
    elements = _corners(hull)
    if elements is None or not hull.phases:
        return empty_figure(f"no hull of {hull.chemical_system} with {hull.engine}")
    points = _points(hull, elements, within_ev_per_atom)
    figure = Figure(figsize=(_WIDTH_IN, _HEIGHT_IN))
    axes = figure.add_axes((0.0, 0.165, 1.0, 0.835))
    axes.set_axis_off()
    middle = _UNITS_WIDE / 2
    axes.set_xlim(0.5 - middle, 0.5 + middle)
    top = 1.045
    axes.set_ylim(top - _UNITS_WIDE * 0.835 * _HEIGHT_IN / _WIDTH_IN, top)
    norm = Normalize(0, 1000 * within_ev_per_atom)
    segments = _tie_lines(hull, elements)
    axes.plot([0, 0.5, 1, 0], [0, _HEIGHT, 0, 0], color=INK, lw=1.2, zorder=1, gid="outline")
    if segments:
        _draw_lines(axes, segments, "tie-lines", color=PALE, lw=0.9, zorder=2)
    mixtures = _draw_mixtures(axes, hull, elements, norm)
    _draw_points(axes, points, norm)
    _label_corners(axes, elements)
    _label_edges(axes, points)
    _label_inside(axes, points, segments, mixtures)
    above = [1000 * m.e_above_hull_ev_per_atom for m in hull.mixtures_above_hull]
    _legend(axes, hollow=any(not p.stable for p in points), mixtures=bool(mixtures))
    if above or any(not p.stable for p in points):
        _distance_bar(figure, norm, beyond=max(above, default=0) > 1000 * within_ev_per_atom)
    for line in axes.lines:
        line.set_clip_on(False)
    axes.text(
        0.5 - middle + 0.02,
        top - 0.02,
        f"{'–'.join((*elements, 'O'))}\n{hull.engine}",
        va="top",
        fontsize=10.5,
        fontweight="bold",
        linespacing=1.5,
    )
    return figure


def _corners(hull: HullDoc) -> tuple[str, str] | None:
    """Return the elements at the left and at the right: dopant and host where it says so."""
    others = [e for e in hull.chemical_system.split("-") if e != "O"]
    if len(others) != 2 or "O" not in hull.chemical_system.split("-"):
        return None
    if {hull.dopant, hull.host} == set(others) and hull.dopant and hull.host:
        return hull.dopant, hull.host
    return others[0], others[1]


def _place(formula: str, elements: tuple[str, str]) -> tuple[float, float]:
    composition = Composition(formula)
    oxygen = composition.get_atomic_fraction("O")
    return composition.get_atomic_fraction(elements[1]) + oxygen / 2, _HEIGHT * oxygen


def _edge(formula: str, elements: tuple[str, str]) -> str:
    present = {str(e) for e in Composition(formula)}
    if len(present) == 1:
        return "corner"
    if "O" not in present:
        return "bottom"
    if len(present) == 2:
        return "left" if elements[0] in present else "right"
    return ""


def _points(hull: HullDoc, elements: tuple[str, str], within_ev_per_atom: float) -> list[_Point]:
    """Return the lowest phase of each composition, the stable ones first."""
    stable = set(hull.stable)
    drawn = {
        tuple(np.round(_mixture_place(m.fraction, elements), 6)) for m in hull.mixtures_above_hull
    }
    found: dict[tuple[float, ...], _Point] = {}
    order = sorted(
        hull.phases,
        key=lambda p: (p.entry_id not in stable, p.e_above_hull_ev_per_atom, p.entry_id),
    )
    for phase in order:
        is_stable = phase.entry_id in stable
        x, y = _place(phase.formula, elements)
        key = (round(x, 6), round(y, 6))
        if key in found or (not is_stable and key in drawn):
            continue
        if is_stable or phase.e_above_hull_ev_per_atom <= within_ev_per_atom:
            found[key] = _Point(phase, is_stable, x, y, _edge(phase.formula, elements))
    return list(found.values())


Segment = tuple[tuple[float, float], tuple[float, float]]


def _tie_lines(hull: HullDoc, elements: tuple[str, str]) -> list[Segment]:
    """Return the edges of the triangulation inside the triangle, from the stable phases."""
    stable = [p for p in hull.phases if p.entry_id in set(hull.stable)]
    entries = []
    for phase in stable:
        amounts = {str(e): float(n) for e, n in Composition(phase.formula).items()}
        energy = phase.energy_ev_per_atom * sum(amounts.values())
        entries.append(HullEntry(phase.entry_id, amounts, energy, hull.energy_scale))
    facets = make_hull(entries, (*elements, "O")).vertices
    places = [_place(phase.formula, elements) for phase in stable]
    edges = [_edge(phase.formula, elements) for phase in stable]
    pairs = {pair for facet in facets for pair in itertools.combinations(sorted(facet), 2)}
    return [
        (places[i], places[j])
        for i, j in sorted(pairs)
        if not _on_one_side(places[i], places[j]) or "" in {edges[i], edges[j]}
    ]


def _on_one_side(a: tuple[float, float], b: tuple[float, float]) -> bool:
    """Whether two places lie on the same side of the triangle."""
    sides = (
        lambda x, y: y,
        lambda x, y: y - 2 * _HEIGHT * x,
        lambda x, y: y - 2 * _HEIGHT * (1 - x),
    )
    return any(abs(side(*a)) < 1e-9 and abs(side(*b)) < 1e-9 for side in sides)


def _mixture_place(fraction: float, elements: tuple[str, str]) -> tuple[float, float]:
    return (1 - fraction) / 2 + 0.25, _HEIGHT / 2


def _draw_mixtures(
    axes: Axes, hull: HullDoc, elements: tuple[str, str], norm: Normalize
) -> list[tuple[float, float]]:
    """Draw the line MO-HO and the screen's mixtures on it; return their places."""
    if not hull.mixtures_above_hull:
        return []
    axes.plot(
        [0.25, 0.75],
        [_HEIGHT / 2] * 2,
        color=_SOFT,
        lw=1.0,
        ls=(0, (1, 2)),
        zorder=2,
        gid="rock-salt-line",
    )
    places = []
    for mixture in hull.mixtures_above_hull:
        place = _mixture_place(mixture.fraction, elements)
        distance = 1000 * mixture.e_above_hull_ev_per_atom
        axes.plot(
            *place,
            marker="s",
            markersize=6.5,
            markeredgecolor=DISTANCE(norm(distance)),
            markeredgewidth=1.8,
            markerfacecolor="white",
            linestyle="none",
            zorder=4,
            gid=f"mixture-{mixture.fraction:g}",
        )
        axes.annotate(
            f"{distance:.0f}",
            place,
            xytext=(0, -6),
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize=7.5,
            color=_SOFT,
            zorder=6,
            bbox=_UNDER,
        )
        places.append(place)
    return places


_UNDER: dict[str, Any] = {"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 0.6}


def _draw_lines(axes: Axes, segments: Sequence[Segment], gid: str, **style: Any) -> None:
    """Draw separate lines as one path, which keeps files small."""
    ends = [(*segment, (np.nan, np.nan)) for segment in segments]
    x, y = np.array(ends, dtype=float).reshape(-1, 2).T
    axes.plot(x, y, gid=gid, **style)


def _draw_points(axes: Axes, points: Sequence[_Point], norm: Normalize) -> None:
    none: dict[str, Any] = {"marker": "o", "linestyle": "none"}
    axes.plot(
        [p.x for p in points if p.stable],
        [p.y for p in points if p.stable],
        color=INK,
        markersize=7.5,
        markeredgecolor="white",
        markeredgewidth=0.7,
        zorder=5,
        gid="stable",
        **none,
    )
    for point in (p for p in points if not p.stable):
        axes.plot(
            point.x,
            point.y,
            markersize=5.5,
            markeredgecolor=DISTANCE(norm(1000 * point.phase.e_above_hull_ev_per_atom)),
            markeredgewidth=1.6,
            markerfacecolor="white",
            zorder=4,
            gid=f"above-{point.phase.formula}",
            **none,
        )


# ------------------------------------------------------------------------------ labels


def _label_corners(axes: Axes, elements: tuple[str, str]) -> None:
    style: dict[str, Any] = {"fontsize": 12, "fontweight": "bold", "zorder": 6}
    axes.text(0.5, _HEIGHT + 0.03, "O", ha="center", va="bottom", **style)
    axes.text(-0.035, -0.015, elements[0], ha="right", va="center", **style)
    axes.text(1.035, -0.015, elements[1], ha="left", va="center", **style)


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Return places nearest to those wanted, in their order, at least a gap apart.

    Parameters
    ----------
    wanted
        Rising.
    gap
        Smallest distance between neighbours.

    Notes
    -----
    Least squares: pool adjacent violators of the order once the gaps are taken out.
    """
    blocks: list[list[float]] = []
    for i, place in enumerate(wanted):
        blocks.append([place - i * gap])
        while len(blocks) > 1 and np.mean(blocks[-2]) > np.mean(blocks[-1]):
            last = blocks.pop()
            blocks[-1] += last
    flat = [float(np.mean(block)) for block in blocks for _ in block]
    return [place + i * gap for i, place in enumerate(flat)]


def _label_edges(axes: Axes, points: Sequence[_Point]) -> None:
    """Name the phases of two elements outside the triangle, joined to their marks."""
    leaders: list[Segment] = []
    for edge in ("left", "right", "bottom"):
        mine = [p for p in points if p.edge == edge]
        mine = mine[: max(_MOST_AT_AN_EDGE, sum(p.stable for p in mine))]
        mine.sort(key=lambda p: p.x if edge == "bottom" else p.y)
        for point, (x, y) in zip(mine, _edge_places(edge, mine), strict=True):
            leaders.append(((point.x, point.y), (x, y)))
            axes.text(
                x + {"left": -0.008, "right": 0.008}.get(edge, 0.0),
                y - (0.008 if edge == "bottom" else 0.0),
                formula_text(point.phase.formula),
                ha={"left": "right", "right": "left"}.get(edge, "center"),
                va="top" if edge == "bottom" else "center",
                fontsize=9.5 if point.stable else 8,
                color=INK if point.stable else _SOFT,
                fontweight="bold" if point.stable else "normal",
                zorder=6,
            )
    if leaders:
        _draw_lines(axes, leaders, "leaders", color=RULE, lw=0.8, zorder=1.5)


def _edge_places(edge: str, points: Sequence[_Point]) -> list[tuple[float, float]]:
    """Return where the names of the phases of one side stand, none upon another."""
    if edge == "bottom":
        longest = max((len(p.phase.formula) for p in points), default=0)
        gap = longest * 6 * _UNITS_PER_POINT + 0.03
        return [(x, -0.065) for x in spread([p.x for p in points], gap)]
    heights = spread([p.y for p in points], 0.047)
    if edge == "left":
        return [(y / (2 * _HEIGHT) - 0.055, y) for y in heights]
    return [(1 - y / (2 * _HEIGHT) + 0.055, y) for y in heights]


_Box = tuple[float, float, float, float]


def _label_inside(
    axes: Axes,
    points: Sequence[_Point],
    segments: Sequence[Segment],
    mixtures: Sequence[tuple[float, float]],
) -> None:
    """Mark phases of three elements by numbers, above the hull by letters, and add the keys."""
    taken = [_around(p.x, p.y, 0.017, 0.017) for p in points]
    taken += [_around(x, y - 0.015, 0.026, 0.034) for x, y in mixtures]
    inside = [p for p in points if not p.edge]
    stable = sorted((p for p in inside if p.stable), key=lambda p: p.phase.formula)
    above = [p for p in inside if not p.stable][:_MOST_LETTERS]
    half = 0.55 * _SIZE * _UNITS_PER_POINT, 0.6 * _SIZE * _UNITS_PER_POINT
    leaders: list[Segment] = []
    marks = [*map(str, range(1, len(stable) + 1)), *_LETTERS[: len(above)]]
    for mark, point in zip(marks, [*stable, *above], strict=True):
        options = [
            _around(point.x + dx, point.y + dy, half[0] * len(mark), half[1])
            for reach in (0.0, 0.02, 0.05)
            for dx, dy in _directions((half[0] * len(mark), half[1]), reach)
        ]
        costs = [
            10 * sum(_overlap(box, other) for other in taken)
            + sum(_crosses(box, segment) for segment in segments)
            + i // 8
            for i, box in enumerate(options)
        ]
        best = int(np.argmin(costs))
        x0, y0, x1, y1 = options[best]
        x, y = (x0 + x1) / 2, (y0 + y1) / 2
        if best >= 8:
            leaders.append(((point.x, point.y), (x, y)))
        style: dict[str, Any] = {"fontsize": _SIZE, "color": INK if point.stable else _SOFT}
        style |= {"fontweight": "bold" if point.stable else "normal", "zorder": 6}
        axes.text(x, y, mark, ha="center", va="center_baseline", bbox=_UNDER, **style)
        taken.append(options[best])
    if leaders:
        _draw_lines(axes, leaders, "marks", color=_SOFT, lw=0.6, zorder=3)
    left, right = 0.5 - _UNITS_WIDE / 2 + 0.02, 0.5 + _UNITS_WIDE / 2 - 0.3
    _key(axes, left, list(zip(marks, stable, strict=False)))
    _key(axes, right, list(zip(marks[len(stable) :], above, strict=True)))


_SIZE = 8.5
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_MOST_LETTERS = 9
_KEY_TOP = 0.86


def _key(axes: Axes, x: float, named: Sequence[tuple[str, _Point]]) -> None:
    """Write what numbers or letters stand for, above the hull with the distance in meV per atom."""
    for line, (mark, point) in enumerate(named):
        y = _KEY_TOP - 0.045 * line
        axes.text(x, y, mark, fontsize=9, color=INK if point.stable else _SOFT, fontweight="bold")
        formula = formula_text(point.phase.formula)
        if not point.stable:
            formula += f"  {milli(point.phase.e_above_hull_ev_per_atom)}"
        axes.text(x + 0.045, y, formula, fontsize=9, color=INK if point.stable else _SOFT)


def _directions(half: tuple[float, float], reach: float) -> list[tuple[float, float]]:
    """Return how far a label's middle stands from its mark, above and below first."""
    x, y = half[0] + 0.016 + reach, half[1] + 0.016 + reach
    return [(0, y), (0, -y), (x, 0), (-x, 0), (x, y), (-x, y), (x, -y), (-x, -y)]


def _around(x: float, y: float, half_width: float, half_height: float) -> _Box:
    return x - half_width, y - half_height, x + half_width, y + half_height


def _overlap(a: _Box, b: _Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _crosses(box: _Box, segment: Segment) -> bool:
    """Whether a line runs through a box, by points along it."""
    (x0, y0), (x1, y1) = segment
    t = np.linspace(0, 1, 40)
    x, y = x0 + t * (x1 - x0), y0 + t * (y1 - y0)
    return bool(((x > box[0]) & (x < box[2]) & (y > box[1]) & (y < box[3])).any())


def _legend(axes: Axes, *, hollow: bool, mixtures: bool) -> None:
    """Add the key to the marks."""
    none: dict[str, Any] = {"linestyle": "none", "color": INK}
    empty: dict[str, Any] = {"mfc": "white", "mec": DISTANCE(0.6), "mew": 1.6}
    handles = [Line2D([], [], marker="o", ms=7, label="stable", **none)]
    if hollow:
        handles.append(Line2D([], [], marker="o", ms=5.5, label="above the hull", **none, **empty))
    if mixtures:
        handles.append(Line2D([], [], marker="s", ms=6, label="mixture", **none, **empty))
    axes.legend(
        handles=handles, loc="upper right", borderaxespad=0.4, handletextpad=0.3, labelspacing=0.35
    )


def _distance_bar(figure: Figure, norm: Normalize, *, beyond: bool) -> None:
    """Add the bar of distances from the hull; ``beyond`` says that some are farther."""
    bar = figure.colorbar(
        ScalarMappable(norm, DISTANCE),
        cax=figure.add_axes((0.28, 0.115, 0.44, 0.022)),
        orientation="horizontal",
        extend="max" if beyond else "neither",
    )
    bar.outline.set_visible(False)
    if bar.solids is not None:
        bar.solids.set(rasterized=False, edgecolor="face")
    bar.set_label("Energy above the hull (meV per atom)")
