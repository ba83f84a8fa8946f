"""Mixing curves and formation energies as matplotlib figures.

Nothing touches pyplot or the caller's settings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from rocksalt.screening.mixing import SubregularSolution
from rocksalt.stores.documents import FormationEnergyDoc, MixingDoc, RankingDoc
from rocksalt.workflows.figure_style import (
    INK,
    NOT_COMPUTED,
    PALE,
    empty_figure,
    engine_order,
    engine_style,
    limit_text,
    styled,
)


@styled
def mixing_curves(
    dopant: str,
    mixings_of_pair: Sequence[MixingDoc],
    *,
    engines: Sequence[str] | None = None,
    over_engines: Mapping[str, Mapping[str, Any]] | None = None,
) -> Figure:
    """Draw the mixing enthalpy of one dopant against its fraction, one panel per host.

    Per engine: each arrangement (small points), the random alloy with its standard error (large
    points) and the fitted (sub)regular solution (line). With several engines the black line is the
    fit that gave the verdict, or else the mean of their fits; where one of them decides alone, its own
    line is bold. Filled triangles at the foot are
    solubility limits in the host, open ones the dopant-rich end of the gap. Below the dotted line the ideal entropy outweighs the enthalpy.

    Parameters
    ----------
    dopant
        Symbol of the dopant.
    mixings_of_pair
        Mixing documents; those of other dopants are left out.
    engines
        Order of the engines, which fixes their colours across figures. Order of appearance where
        it is not given.
    over_engines
        By host what all engines say together, `CandidateDoc.hosts`.

    Returns
    -------
    Figure
        One axes per host with a common energy axis.
    """
    mixings = [mixing for mixing in mixings_of_pair if mixing.dopant == dopant]
    if not mixings:
        return empty_figure(f"mixing of {dopant}O was not computed")
    hosts = list(dict.fromkeys(mixing.host for mixing in mixings))
    order = engine_order((mixing.engine for mixing in mixings), engines)
    wide = len(hosts) > 1
    size = (3.6 * len(hosts), 3.9) if wide else (5.2, 4.8)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(1, len(hosts), sharey=True, squeeze=False)[0]
    for axes, host in zip(panels, hosts, strict=True):
        here = [mixing for mixing in mixings if mixing.host == host]
        _mixing_panel(axes, here, order, (over_engines or {}).get(host, {}))
        axes.set_title(f"{dopant} in {host}O", loc="left", pad=18)
        axes.set_xlabel(f"Fraction of {dopant} among the cations")
    panels[0].set_ylabel("Mixing enthalpy (meV per cation)")
    low, high = panels[0].get_ylim()
    panels[0].set_ylim(low - 0.10 * (high - low), high)  # room for the triangles at the foot
    figure.legend(
        handles=_mixing_legend(
            mixings,
            order,
            with_mean=any(line.get_gid() == "committee" for axes in panels for line in axes.lines),
        ),
        loc="outside lower center",
        ncols=4 if wide else 2,
        fontsize=8.5,
    )
    return figure


def _mixing_panel(
    axes: Axes, mixings: Sequence[MixingDoc], order: Sequence[str], together: Mapping[str, Any]
) -> None:
    """Draw one host's panel; ``together`` is what all engines say."""
    grid = np.linspace(0, 1, 81)
    axes.set_xlim(-0.02, 1.02)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "¼", "½", "¾", "1"])
    axes.axhline(0, color=PALE, linewidth=0.8, zorder=1)
    for temperature_k in sorted({mixing.temperature_k for mixing in mixings}):
        entropy = -1000 * SubregularSolution(0.0).free_energy(grid, temperature_k)
        axes.plot(grid, entropy, color="#55606c", lw=1.0, ls=(0, (1, 2)), zorder=2, gid="entropy")
    drawn = False
    decides = _deciding(mixings, together)
    for mixing in sorted(mixings, key=lambda mixing: order.index(mixing.engine)):
        style = engine_style(order, mixing.engine)
        bold = mixing.engine == decides and len(mixings) > 1
        drawn = _engine_curve(axes, mixing, grid, *style, width=2.4 if bold else 1.2) or drawn
    fits = [mixing.interaction_ev_per_cation for mixing in mixings]
    curves = [1000 * SubregularSolution(*fit).enthalpy(grid) for fit in fits if fit]
    if len(curves) > 1 and decides is None:
        combined = together.get("interaction_ev_per_cation")
        curve = (
            1000 * SubregularSolution(*combined).enthalpy(grid)
            if combined
            else np.mean(curves, axis=0)
        )
        axes.plot(grid, curve, color="black", lw=2.4, zorder=6, gid="committee")
    if not drawn:
        axes.text(
            0.5,
            0.5,
            "not computed",
            ha="center",
            va="center",
            color=PALE,
            transform=axes.transAxes,
        )
    axes.annotate(
        _panel_summary(mixings, together),
        xy=(0, 1),
        xycoords="axes fraction",
        xytext=(0, 5),
        textcoords="offset points",
        fontsize=9,
        color="#55606c",
    )


def _deciding(mixings: Sequence[MixingDoc], together: Mapping[str, Any]) -> str | None:
    """Return the engine that decides alone about a pair, or None where several do."""
    engines = together.get("engines") or [mixing.engine for mixing in mixings]
    return engines[0] if len(engines) == 1 else None


def _panel_summary(mixings: Sequence[MixingDoc], together: Mapping[str, Any]) -> str:
    """Return the solubility limit at its temperature in words, of all engines if there is one."""
    limits = [mixing.solubility_limit for mixing in mixings]
    if together.get("solubility_limit") is not None:
        limits = [together["solubility_limit"]]
    if all(limit is None for limit in limits):
        return "solubility limit not computed"
    temperatures = ", ".join(f"{t:g}" for t in sorted({m.temperature_k for m in mixings}))
    decides = _deciding(mixings, together)
    alone = f", by {decides} alone" if decides and len(mixings) > 1 else ""
    return f"soluble: {limit_text(limits)} at {temperatures} K{alone}"


def _engine_curve(
    axes: Axes,
    mixing: MixingDoc,
    grid: NDArray[np.float64],
    colour: str,
    marker: str,
    width: float,
) -> bool:
    """Draw one engine's points, fit and solubility limits; return whether there was any."""
    single = [
        (point.fraction, 1000 * arrangement.enthalpy_ev_per_cation)
        for point in mixing.points
        for arrangement in point.arrangements
    ]
    if single:
        axes.plot(
            *zip(*single, strict=True),
            linestyle="none",
            marker=".",
            markersize=3.2,
            markeredgewidth=0,
            color=colour,
            alpha=0.45,
            zorder=3,
            gid=f"arrangements-{mixing.engine}",
        )
    if mixing.points:
        axes.errorbar(
            [point.fraction for point in mixing.points],
            [1000 * point.value for point in mixing.points],
            yerr=[1000 * point.uncertainty for point in mixing.points],
            linestyle="none",
            marker=marker,
            markersize=5.5,
            markeredgecolor="white",
            markeredgewidth=0.6,
            color=colour,
            elinewidth=1.0,
            zorder=5,
            label=mixing.engine,
        )
    if mixing.interaction_ev_per_cation:
        curve = 1000 * SubregularSolution(*mixing.interaction_ev_per_cation).enthalpy(grid)
        axes.plot(grid, curve, color=colour, lw=width, zorder=4, gid=f"fit-{mixing.engine}")
    for limit, face in ((mixing.solubility_limit, colour), (mixing.dopant_rich_limit, "white")):
        if limit is not None:
            axes.plot(
                [limit],
                [0.035],
                marker="^",
                markersize=7,
                color=colour,
                markerfacecolor=face,
                markeredgewidth=1.0,
                transform=axes.get_xaxis_transform(),
                clip_on=False,
                zorder=7,
                gid=f"{'limit' if face == colour else 'rich'}-{mixing.engine}",
            )
    return bool(mixing.points or mixing.interaction_ev_per_cation)


def _mixing_legend(
    mixings: Sequence[MixingDoc], order: Sequence[str], *, with_mean: bool
) -> list[Line2D]:
    """Return the handles of the legend: the engines, then what the other marks mean."""
    present = {mixing.engine for mixing in mixings}
    handles = []
    for engine in order:
        if engine in present:
            colour, marker = engine_style(order, engine)
            handles.append(
                Line2D([], [], color=colour, marker=marker, markeredgecolor="white", label=engine)
            )
    if with_mean:
        handles.append(Line2D([], [], color="black", lw=2.4, label="mean of the engines"))
    temperatures = ", ".join(f"{t:g}" for t in sorted({m.temperature_k for m in mixings}))
    grey = "#55606c"
    none: dict[str, Any] = {"color": grey, "linestyle": "none"}
    handles += [
        Line2D([], [], marker=".", ms=4, label="one arrangement", **none),
        Line2D([], [], color=grey, lw=1, ls=(0, (1, 2)), label=f"ideal TΔS, {temperatures} K"),
    ]
    if any(mixing.solubility_limit is not None for mixing in mixings):
        handles.append(Line2D([], [], marker="^", label="solubility limit", **none))
    if any(mixing.dopant_rich_limit is not None for mixing in mixings):
        handles.append(Line2D([], [], marker="^", mfc="white", label="dopant-rich limit", **none))
    return handles


def _formation_values(
    data: RankingDoc | Sequence[FormationEnergyDoc],
) -> dict[str, dict[str, dict[str, float | None]]]:
    """Return cation -> engine -> {'raw', 'corrected'} in the order to draw."""
    values: dict[str, dict[str, dict[str, float | None]]] = {}
    if isinstance(data, RankingDoc):
        for candidate in sorted(data.candidates, key=lambda candidate: candidate.rank):
            numbers: Mapping[str, Mapping[str, float | None]]
            numbers = candidate.rock_salt_formation_energy_ev_per_formula
            values[candidate.dopant] = {
                engine: {name: each.get(name) for name in ("raw", "corrected")}
                for engine, each in numbers.items()
            }
        return values
    for formation in data:
        values.setdefault(formation.cation, {})[formation.engine] = {
            "raw": formation.raw_ev_per_formula,
            "corrected": formation.corrected_ev_per_formula,
        }
    return values


@styled
def formation_energies(
    ranking_or_formations: RankingDoc | Sequence[FormationEnergyDoc],
    *,
    engines: Sequence[str] | None = None,
) -> Figure:
    """Draw the rock-salt formation energy of every dopant, one marker per engine.

    Filled markers are on the Materials Project 2020 scale, open ones are from energies as the
    engine gives them; a thin line joins the two of one engine. They are never averaged.

    Parameters
    ----------
    ranking_or_formations
        A ranking, whose dopants are drawn in rank order, or formation energies, drawn in their
        order.
    engines
        Order of the engines, which fixes their colours across figures.

    Returns
    -------
    Figure
        One axes; a column per oxide.
    """
    values = _formation_values(ranking_or_formations)
    if not values:
        return empty_figure("no formation energy was computed")
    if engines is None and isinstance(ranking_or_formations, RankingDoc):
        engines = list(ranking_or_formations.engines)
    present = list(dict.fromkeys(engine for each in values.values() for engine in each))
    order = engine_order(present, engines)
    places = [engine for engine in order if engine in present]

    width = float(np.clip(1.4 + 0.44 * len(values), 6.0, 16.0))
    figure = Figure(figsize=(width, 4.2 if width > 8 else 4.6), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlim(-0.5, len(values) - 0.5)
    axes.set_xticks(range(len(values)), [f"{cation}O" for cation in values])
    if len(values) > 14:
        axes.tick_params(axis="x", labelsize=8.5)
    axes.tick_params(axis="x", length=0)
    for column in range(0, len(values), 2):
        axes.axvspan(column - 0.5, column + 0.5, color="#f4f6f8", zorder=0, linewidth=0)
    axes.axhline(0, color=INK, linewidth=1.2, zorder=2)
    for column, (cation, numbers) in enumerate(values.items()):
        _formation_column(axes, column, cation, numbers, order, places)
    axes.set_ylabel("Formation energy of the rock salt\n(eV per formula unit)")
    _formation_range(axes)
    shown = {
        name
        for numbers in values.values()
        for each in numbers.values()
        for name, value in each.items()
        if value is not None
    }
    handles = []
    for engine in places:
        colour, marker = engine_style(order, engine)
        handles.append(Line2D([], [], ls="none", marker=marker, color=colour, label=engine))
    grey: dict[str, Any] = {"ls": "none", "marker": "o", "color": "#55606c"}
    if "corrected" in shown:
        handles.append(Line2D([], [], label="filled: corrected (MP2020 scale)", **grey))
    if "raw" in shown:
        handles.append(Line2D([], [], label="open: as the engine gives it", mfc="white", **grey))
    figure.legend(handles=handles, loc="outside lower center", ncols=4 if width > 8 else 2)
    return figure


def _formation_range(axes: Axes) -> None:
    """Keep zero and both sides of it in sight, and say what they mean."""
    low, high = axes.get_ylim()
    span = max(high, 0) - min(low, 0)
    axes.set_ylim(min(low, -0.12 * span), max(high, 0.12 * span))
    note: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
    note |= {"fontsize": 8.5, "color": "#55606c", "annotation_clip": False}
    axes.annotate("leaves as metal ↑", (1, 0), xytext=(-4, 4), ha="right", va="bottom", **note)
    axes.annotate("stays oxide ↓", (1, 0), xytext=(-4, -4), ha="right", va="top", **note)


def _formation_column(
    axes: Axes,
    column: int,
    cation: str,
    numbers: Mapping[str, Mapping[str, float | None]],
    order: Sequence[str],
    places: Sequence[str],
) -> None:
    """Draw one oxide's markers, or an em dash where no engine has a number."""
    drawn = False
    step = min(0.13, 0.76 / max(len(places), 1))
    for place, engine in enumerate(places):
        each = numbers.get(engine, {})
        colour, marker = engine_style(order, engine)
        x = column + step * (place - (len(places) - 1) / 2)
        both = [value for value in (each.get("raw"), each.get("corrected")) if value is not None]
        if len(both) == 2:
            axes.plot([x, x], both, color=colour, linewidth=0.9, zorder=3)
        for name, face in (("raw", "white"), ("corrected", colour)):
            value = each.get(name)
            if value is None:
                continue
            drawn = True
            axes.plot(
                [x],
                [value],
                linestyle="none",
                marker=marker,
                markersize=5.2,
                color=colour,
                markerfacecolor=face,
                markeredgewidth=1.1,
                zorder=4,
                gid=f"{name}-{cation}-{engine}",
            )
    if not drawn:
        axes.text(
            column,
            0.5,
            NOT_COMPUTED,
            ha="center",
            va="center",
            color=PALE,
            fontsize=13,
            transform=axes.get_xaxis_transform(),
        )
