"""The lithium-deficient series and oxygen vacancies as matplotlib figures.

Nothing touches pyplot or the caller's settings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rocksalt.stores.phase_documents import SeriesDoc, SeriesPoint, StrainSlopeDoc, VacancyDoc
from rocksalt.workflows.figure_style import (
    ENGINE_COLOURS,
    ENGINE_MARKERS,
    INK,
    NOT_COMPUTED,
    PALE,
    empty_figure,
    engine_order,
    engine_style,
    signed,
    styled,
)
from rocksalt.workflows.formulas import formula_text
from rocksalt.workflows.phase_tables import lowest_arrangements

_SMALL_EV = 0.15
"""The axis of oxygen retention reaches at least this far: less is within the engines' error."""

STRAINS = {
    "isotropic": (ENGINE_COLOURS[0], "o", "-"),
    "in-plane": (ENGINE_COLOURS[1], "s", "--"),
    "c-axis": (ENGINE_COLOURS[2], "^", "-."),
}
"""Colour, marker and line of each kind of strain."""

_Value = Callable[[SeriesPoint], float | None]


def _above_hull_mev(point: SeriesPoint) -> float | None:
    above = point.e_above_hull_ev_per_atom
    return None if above is None else 1000 * above


_PANELS: dict[str, tuple[str, _Value]] = {
    "above": ("Energy above the hull\n(meV per atom)", _above_hull_mev),
    "li-o-li": ("Straight Li–O–Li per O\n(before relaxation)", lambda p: p.li_o_li_per_oxygen),
    "volume": ("Volume change per O (%)", lambda p: p.volume_change_percent),
}


@styled
def lithium_series(documents: Sequence[SeriesDoc], *, dopants: Sequence[str] = ()) -> Figure:
    """Draw the lithium-deficient series of one engine, pure and with each dopant.

    Energy above the hull, Li-O-Li triplets and change of volume against the lithium content. The
    lowest arrangement of each composition is on the line, the others are small points.

    Parameters
    ----------
    documents
        Of one host and engine.
    dopants
        Order of the dopants, which fixes their colours across figures.

    Returns
    -------
    Figure
        Three axes side by side.
    """
    documents = [document for document in documents if document.points]
    if not documents:
        return empty_figure("the lithium-deficient series was not computed")
    order = engine_order((d.dopant for d in documents if d.dopant), dopants)
    figure = Figure(figsize=(10.6, 3.9), layout="constrained")
    for axes, (name, (label, value)) in zip(figure.subplots(1, 3), _PANELS.items(), strict=True):
        for document in documents:
            _series_line(axes, document, value, name, order)
        axes.set_xlabel("Li per O")
        axes.set_ylabel(label)
        axes.margins(0.08, 0.1)
        if name == "volume":
            axes.axhline(0, color=PALE, lw=0.8, zorder=1)
    first = documents[0]
    handles = []
    for document in documents:
        colour, marker, face = _series_style(document.dopant, order)
        with_ = f"with {document.dopant}" if document.dopant else "pure"
        handles.append(
            Line2D([], [], color=colour, marker=marker, mfc=face, label=with_, markersize=5.5)
        )
    if any(len(_others(d.points)) for d in documents):
        handles.append(
            Line2D([], [], ls="none", marker=".", color=PALE, label="other arrangements")
        )
    figure.suptitle(
        f"{formula_text(f'Li2{first.host}O3')} towards the rock salt, {first.engine}",
        fontsize=11,
        fontweight="bold",
        x=0.01,
        ha="left",
    )
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 8))
    return figure


def _series_style(dopant: str | None, order: Sequence[str]) -> tuple[str, str, str]:
    """Return colour, marker and filling of a line."""
    if dopant is None:
        return INK, "o", INK
    place = order.index(dopant)
    marker = ENGINE_MARKERS[(place + 1) % len(ENGINE_MARKERS)]
    return ENGINE_COLOURS[place % len(ENGINE_COLOURS)], marker, "white"


def _others(points: Sequence[SeriesPoint]) -> list[SeriesPoint]:
    lowest = {point.key for point in lowest_arrangements(points)}
    return [point for point in points if point.key not in lowest]


def _series_line(
    axes: Axes, document: SeriesDoc, value: _Value, name: str, order: Sequence[str]
) -> None:
    colour, marker, face = _series_style(document.dopant, order)
    who = document.dopant or "pure"
    faint: dict[str, Any] = {"ls": "none", "marker": ".", "alpha": 0.35, "zorder": 2}
    bold: dict[str, Any] = {"marker": marker, "mfc": face, "markersize": 5.5, "zorder": 4}
    for kind, points, style in (
        ("others", _others(document.points), faint),
        ("lowest", lowest_arrangements(document.points), bold),
    ):
        known = [(p.lithium_per_oxygen, y) for p in points if (y := value(p)) is not None]
        if known:
            axes.plot(*zip(*known, strict=True), color=colour, gid=f"{name}-{kind}-{who}", **style)


@styled
def vacancy_strain(
    documents: Sequence[VacancyDoc], *, engines: Sequence[str] | None = None
) -> Figure:
    """Draw the lowest oxygen-vacancy energy against strain, a panel per cell and engine.

    Parameters
    ----------
    documents
        Cells without strain are left out.
    engines
        Order of the rows.

    Returns
    -------
    Figure
        Cells side by side, engines below each other, one energy axis per engine.
    """
    strained = [d for d in documents if any(p.strain_kind != "none" for p in d.points)]
    if not strained:
        return empty_figure("no cell was strained")
    cells = list(dict.fromkeys(document.cell for document in strained))
    order = engine_order((d.engine for d in strained), engines)
    rows = [engine for engine in order if any(d.engine == engine for d in strained)]
    figure = Figure(figsize=(4.9 * len(cells), 0.3 + 3.5 * len(rows)), layout="constrained")
    panels = figure.subplots(len(rows), len(cells), squeeze=False)
    by_place = {(d.engine, d.cell): d for d in strained}
    for i, engine in enumerate(rows):
        for j, cell in enumerate(cells):
            axes = panels[i, j]
            axes.set_title(f"{formula_text(cell)}, {engine}", loc="left")
            axes.set_xlabel("Strain (%)")
            axes.set_ylabel("Vacancy formation energy\n(eV at Δμ$_\\mathrm{O}$ = 0)")
            if (engine, cell) in by_place:
                _strain_panel(axes, by_place[engine, cell])
            else:
                axes.text(
                    0.5, 0.5, "not computed", ha="center", color=PALE, transform=axes.transAxes
                )
    return figure


def lowest_by_strain(document: VacancyDoc, strain_kind: str) -> list[tuple[float, float]]:
    """Return strain in percent and the lowest vacancy energy in eV there, the unstrained with it.

    Parameters
    ----------
    document
        Vacancies of one cell.
    strain_kind
        'isotropic', 'in-plane' or 'c-axis'.
    """
    lowest: dict[float, float] = {}
    for point in document.points:
        if point.strain_kind in {strain_kind, "none"}:
            before = lowest.get(point.strain_percent, np.inf)
            lowest[point.strain_percent] = min(before, point.formation_energy_ev)
    return sorted(lowest.items())


def slope_text(slope: StrainSlopeDoc) -> str:
    """Return a slope with its standard error, where it has one, in meV per percent of strain."""
    error = slope.standard_error_ev_per_percent
    text = signed(1000 * slope.ev_per_percent, 1)
    return text if error is None else f"{text} ± {1000 * error:.1f}"


def _strain_panel(axes: Axes, document: VacancyDoc) -> None:
    slopes = {slope.strain_kind: slope for slope in document.slopes}
    for kind, (colour, marker, dashes) in STRAINS.items():
        line = lowest_by_strain(document, kind)
        if len(line) < 2:
            continue
        label = kind
        if kind in slopes:
            slope = slopes[kind]
            label += f"  {slope_text(slope)} meV per %"
        axes.plot(
            *zip(*line, strict=True),
            color=colour,
            marker=marker,
            markersize=5,
            ls=dashes,
            label=label,
            zorder=3,
            gid=f"strain-{kind}",
        )
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.38 * (high - low))  # room for the legend
    axes.legend(loc="upper left", borderaxespad=0.1, fontsize=8.5)


@styled
def oxygen_retention(
    documents: Sequence[VacancyDoc],
    *,
    dopants: Sequence[str] = (),
    engines: Sequence[str] | None = None,
) -> Figure:
    """Draw how each dopant changes the lowest oxygen-vacancy energy, one marker per engine.

    Parameters
    ----------
    documents
        Those without a dopant are left out.
    dopants
        Order of the columns.
    engines
        Order of the engines, which fixes their colours across figures.

    Returns
    -------
    Figure
        One axes; a column per dopant.
    """
    doped = [document for document in documents if document.dopant]
    if not doped:
        return empty_figure("no vacancy was computed with a dopant")
    present = {document.dopant for document in doped}
    columns = [d for d in engine_order((d.dopant or "" for d in doped), dopants) if d in present]
    order = engine_order((document.engine for document in doped), engines)
    places = [e for e in order if any(d.engine == e for d in doped)]
    width = float(np.clip(2.0 + 0.5 * len(columns), 4.8, 14.0))
    figure = Figure(figsize=(width, 3.7), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlim(-0.5, len(columns) - 0.5)
    axes.set_xticks(range(len(columns)), columns)
    axes.tick_params(axis="x", length=0)
    for column in range(0, len(columns), 2):
        axes.axvspan(column - 0.5, column + 0.5, color="#f4f6f8", zorder=0, linewidth=0)
    axes.axhline(0, color=INK, linewidth=1.2, zorder=2)
    step = min(0.16, 0.76 / len(places))
    values = [0.0]
    for column, dopant in enumerate(columns):
        mine = {d.engine: d.retention_ev for d in doped if d.dopant == dopant}
        for place, engine in enumerate(places):
            value = mine.get(engine)
            if value is None:
                continue
            values.append(value)
            colour, marker = engine_style(order, engine)
            x = column + step * (place - (len(places) - 1) / 2)
            axes.plot([x, x], [0, value], color=colour, lw=1.0, zorder=3)
            axes.plot(
                x,
                value,
                marker=marker,
                color=colour,
                markersize=6,
                linestyle="none",
                zorder=4,
                gid=f"retention-{dopant}-{engine}",
            )
        if all(value is None for value in mine.values()):
            axes.text(column, 0.0, NOT_COMPUTED, ha="center", va="bottom", color=PALE, fontsize=13)
    low, high = min(*values, -_SMALL_EV), max(*values, _SMALL_EV)
    reach = high - low
    axes.set_ylim(low - 0.1 * reach, high + 0.1 * reach)
    wide = 10 * "\N{NO-BREAK SPACE}"
    axes.set_ylabel(f"Change of the lowest vacancy energy (eV)\n◂ releases oxygen{wide}holds it ▸")
    handles = []
    for engine in places:
        colour, marker = engine_style(order, engine)
        handles.append(Line2D([], [], ls="none", marker=marker, color=colour, label=engine))
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure
