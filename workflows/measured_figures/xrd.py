"""Powder diffraction: the pattern with its windows, and each peak on its background."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rocksalt.analysis.quantities import Array
from rocksalt.stores.experiment_documents import MeasuredQuantity
from rocksalt.workflows.figure_style import ENGINE_COLOURS, INK, PALE
from rocksalt.workflows.quantity_text import number_text, quantity_text

MOST_PEAKS = 4
"""Peaks that are drawn by themselves; the pattern shows all windows."""

AREA = "area_"


def draw(
    values: Mapping[str, MeasuredQuantity],
    arrays: Mapping[str, Array],
    parameters: Mapping[str, Any],
) -> Figure:
    """Return the pattern and, below, its first peaks with background, area and position."""
    names = [name.removeprefix(AREA) for name in values if name.startswith(AREA)]
    shown = names[:MOST_PEAKS]
    figure = Figure(figsize=(max(7.5, 2.7 * len(shown)), 6.0), layout="constrained")
    grid = figure.add_gridspec(2, len(shown), height_ratios=(1.1, 1))
    _pattern(figure.add_subplot(grid[0, :]), names, values, arrays, parameters)
    for place, name in enumerate(shown):
        axes = figure.add_subplot(grid[1, place])
        _peak(axes, name, values, arrays, ENGINE_COLOURS[place % len(ENGINE_COLOURS)])
        if place == 0:
            axes.set_ylabel("Counts")
    return figure


def _pattern(
    axes: Axes,
    names: list[str],
    values: Mapping[str, MeasuredQuantity],
    arrays: Mapping[str, Array],
    parameters: Mapping[str, Any],
) -> None:
    angle, counts = arrays["two_theta_degrees"], arrays["counts"]
    axes.plot(angle, counts, color=INK, lw=0.9)
    for place, name in enumerate(names):
        window = arrays[f"window_{name}_degrees"]
        colour = ENGINE_COLOURS[place % len(ENGINE_COLOURS)]
        axes.axvspan(window[0], window[-1], color=colour, alpha=0.15, lw=0)
        inside = (angle >= window[0]) & (angle <= window[-1])
        axes.annotate(
            name.replace("_", " "),
            ((window[0] + window[-1]) / 2, counts[inside].max()),
            (0, 4),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            color=colour,
        )
    axes.margins(x=0, y=0.12)
    axes.set(xlabel="2θ (degrees)", ylabel="Counts")
    said = [f"λ = {parameters['wavelength_angstrom']:.5g} Å"]
    for label, text in (("i003_to_i104", "I(003)/I(104)"), ("lattice_a", "a"), ("lattice_c", "c")):
        if label in values:
            said.append(f"{text} = {quantity_text(values[label]).replace('angstrom', 'Å')}")
    axes.set_title(", ".join(said), loc="left", fontsize=9.5)


def _peak(
    axes: Axes,
    name: str,
    values: Mapping[str, MeasuredQuantity],
    arrays: Mapping[str, Array],
    colour: str,
) -> None:
    window, background = arrays[f"window_{name}_degrees"], arrays[f"background_{name}"]
    angle = arrays["two_theta_degrees"]
    counts = arrays["counts"][(angle >= window[0]) & (angle <= window[-1])]
    axes.plot(window, counts, ".", color=INK, ms=3)
    axes.plot(window, background, color=PALE, lw=1)
    axes.fill_between(window, background, counts, color=colour, alpha=0.25, lw=0)
    centre = values[f"position_{name}"]
    axes.axvline(centre.value, color=colour, lw=1)
    axes.set_title(
        f"{name.replace('_', ' ')} at {number_text(centre.value, centre.uncertainty)}°",
        loc="left",
        fontsize=8.5,
    )
    axes.set_xlabel("2θ (degrees)")
    axes.set_xlim(window[0], window[-1])
    axes.locator_params(axis="x", nbins=4)
    low = min(counts.min(), background.min())
    axes.set_ylim(low - 0.05 * np.ptp(counts), counts.max() + 0.05 * np.ptp(counts))
