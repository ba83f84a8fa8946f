"""Electronic structure as matplotlib figures: shares against lithium content, densities of states.

Nothing touches pyplot or the caller's settings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rocksalt.stores.electronic_documents import (
    DensityOfStates,
    ElectronicStructureDoc,
    ElectronicStructurePoint,
)
from rocksalt.workflows.figure_style import (
    ENGINE_COLOURS,
    INK,
    PALE,
    empty_figure,
    engine_order,
    styled,
)
from rocksalt.workflows.formulas import formula_text

CHANGES = {"removed": ("o", "-", "Li removed"), "replaced": ("s", "--", "Li replaced by {host}")}
"""Marker, line and words of what became of the lithium."""

SPINS = ("up", "down")

SMALLEST_SPAN = 0.2
"""Of the axis of shares: what settings change in them is not to look like much."""

_Value = Callable[[ElectronicStructurePoint], float | None]


@styled
def oxygen_shares(
    documents: Sequence[ElectronicStructureDoc], *, engines: Sequence[str] = ()
) -> Figure:
    """Draw the share of oxygen below the edge and the band gap against the lithium content.

    Parameters
    ----------
    documents
        Of one host; a colour for each engine.
    engines
        Order of the engines.

    Returns
    -------
    Figure
        Two axes. Filled points are measured from the highest occupied level, hollow ones from the
        Fermi level of a metal.
    """
    documents = [document for document in documents if document.points]
    if not documents:
        return empty_figure("no density of states was computed")
    host = documents[0].host
    order = engine_order((d.engine for d in documents), engines)
    order = [engine for engine in order if any(d.engine == engine for d in documents)]
    panels: list[tuple[str, str, _Value]] = [
        ("share", f"Share of O 2p (the rest: {host} d)", lambda p: p.oxygen_share),
        ("gap", "Band gap (eV)", lambda p: p.band_gap_ev),
    ]
    figure = Figure(figsize=(8.6, 3.9), layout="constrained")
    for axes, (name, label, value) in zip(figure.subplots(1, 2), panels, strict=True):
        for document in documents:
            colour = ENGINE_COLOURS[order.index(document.engine) % len(ENGINE_COLOURS)]
            _lines(axes, document, value, name, colour)
        axes.set_xlabel("Li per O")
        axes.set_ylabel(label)
        axes.margins(0.08, 0.12)
    low, high = figure.axes[0].get_ylim()
    if high - low < SMALLEST_SPAN:
        middle = (low + high) / 2
        figure.axes[0].set_ylim(middle - SMALLEST_SPAN / 2, middle + SMALLEST_SPAN / 2)
    figure.axes[1].set_ylim(bottom=0.0)
    handles = [
        Line2D([], [], color=ENGINE_COLOURS[i % len(ENGINE_COLOURS)], lw=3, label=engine)
        for i, engine in enumerate(order)
    ]
    present = {point.change for document in documents for point in document.points}
    handles += [
        Line2D([], [], color=INK, marker=marker, ls=line, label=words.format(host=host))
        for change, (marker, line, words) in CHANGES.items()
        if change in present
    ]
    if any(point.reference == "fermi-level" for d in documents for point in d.points):
        handles.append(
            Line2D(
                [], [], color=INK, marker="o", mfc="white", ls="none", label="from the Fermi level"
            )
        )
    figure.suptitle(
        f"{formula_text(f'Li2{host}O3')} with less lithium: occupied states within "
        f"{documents[0].window_ev:g} eV of the edge",
        fontsize=11,
        fontweight="bold",
        x=0.01,
        ha="left",
    )
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 5))
    return figure


def _lines(
    axes: Axes, document: ElectronicStructureDoc, value: _Value, name: str, colour: str
) -> None:
    start = [p for p in document.points if p.change == "none"]
    drawn: set[str] = set()
    for change, (marker, line, _) in CHANGES.items():
        mine = [p for p in document.points if p.change == change]
        known = [(p, y) for p in [*start, *mine] if (y := value(p)) is not None]
        if not known or (not mine and drawn):
            continue
        axes.plot(
            [p.lithium_per_oxygen for p, _ in known],
            [y for _, y in known],
            color=colour,
            ls=line,
            zorder=3,
            gid=f"{name}-{change}-{document.engine}",
        )
        for point, y in known:
            if point.key not in drawn:
                drawn.add(point.key)
                hollow = point.reference == "fermi-level"
                axes.plot(
                    point.lithium_per_oxygen,
                    y,
                    color=colour,
                    marker=marker,
                    mfc="white" if hollow else colour,
                    markersize=6,
                    ls="none",
                    zorder=4,
                    clip_on=False,  # a gap of zero lies on the axis
                )


@styled
def density_panels(
    document: ElectronicStructureDoc, curves: Mapping[str, DensityOfStates]
) -> Figure:
    """Draw the density of states of every cell on O 2p and the metal's d, one below the other.

    Parameters
    ----------
    document
        Cells of one engine.
    curves
        Densities with their curves, by key; cells that lack them are left out.

    Returns
    -------
    Figure
        Energies from the edge; both spins, up above and down below zero. The window is shaded.
    """
    points = [p for p in document.points if p.key in curves and curves[p.key].arrays]
    if not points:
        return empty_figure("no curves of a density of states are stored")
    names = {
        "O-p": (ENGINE_COLOURS[1], "O 2p"),
        f"{document.host}-d": (ENGINE_COLOURS[0], f"{document.host} d"),
    }
    figure = Figure(figsize=(7.6, 0.9 + 1.55 * len(points)), layout="constrained")
    panels = figure.subplots(len(points), 1, sharex=True, squeeze=False)[:, 0]
    for axes, point in zip(panels, points, strict=True):
        found = curves[point.key]
        energies = np.array(found.arrays["energies_ev"])
        axes.axvspan(-document.window_ev, 0, color="#f4f0e4", zorder=0, linewidth=0)
        axes.axhline(0, color=PALE, lw=0.8, zorder=1)
        axes.axvline(0, color=INK, lw=0.8, ls=":", zorder=1)
        densities: dict[str, Any] = found.arrays["states_per_ev"]
        for name, (colour, label) in names.items():
            for sign, spin in zip((1, -1), densities[name], strict=False):
                curve = sign * np.array(spin)
                axes.fill_between(energies, 0, curve, color=colour, alpha=0.25, linewidth=0)
                axes.plot(
                    energies,
                    curve,
                    color=colour,
                    lw=1.0,
                    label=label if sign > 0 else None,
                    gid=f"density-{name}-{SPINS[0 if sign > 0 else 1]}-{point.key[:8]}",
                )
        words = {
            "none": "",
            "removed": ", Li removed",
            "replaced": f", Li replaced by {document.host}",
        }
        edge = "Fermi level" if point.reference == "fermi-level" else "highest occupied level"
        axes.set_title(
            f"{formula_text(point.formula)}{words[point.change]}: from the {edge}",
            loc="left",
            fontsize=9.5,
        )
        axes.set_xlim(max(energies[0], -8.0), min(energies[-1], 4.0))
        axes.set_yticks([])
    panels[-1].set_xlabel("Energy from the edge (eV)")
    figure.supylabel("States per eV, spin up above, down below", fontsize=10)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=2)
    return figure
