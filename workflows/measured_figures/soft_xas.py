"""Soft X-ray absorption: the fit by references, and the difference from another spectrum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rocksalt.analysis.quantities import Array
from rocksalt.stores.experiment_documents import MeasuredQuantity
from rocksalt.workflows.figure_style import ENGINE_COLOURS, INK, PALE
from rocksalt.workflows.measured_figures.combination import draw_combination
from rocksalt.workflows.quantity_text import quantity_text


def draw(
    values: Mapping[str, MeasuredQuantity],
    arrays: Mapping[str, Array],
    parameters: Mapping[str, Any],
) -> Figure:
    """Return the fit where there are references, the difference where there is another spectrum."""
    fitted, subtracted = "fit" in arrays, "difference" in arrays
    figure = Figure(figsize=(5.0 * subtracted + 6.6 * fitted, 4.4), layout="constrained")
    unit = "per eV, area 1" if parameters["scale"] == "area" else "maximum 1"
    columns = figure.add_gridspec(2, int(fitted) + int(subtracted), height_ratios=(3, 1))
    if fitted:
        spectrum = figure.add_subplot(columns[0, 0])
        residual = figure.add_subplot(columns[1, 0])
        draw_combination(spectrum, residual, values, arrays, parameters)
        spectrum.set_ylabel(f"Yield ({unit})")
    if subtracted:
        place = columns[:, -1].subgridspec(2, 1)
        above, below = figure.add_subplot(place[0]), figure.add_subplot(place[1])
        _difference(above, below, values, arrays, parameters, unit)
    return figure


def _difference(
    above: Axes,
    below: Axes,
    values: Mapping[str, MeasuredQuantity],
    arrays: Mapping[str, Array],
    parameters: Mapping[str, Any],
    unit: str,
) -> None:
    energy, scaled, difference = (arrays[n] for n in ("energy_ev", "scaled", "difference"))
    above.plot(energy, scaled, color=INK, label="measured")
    above.plot(energy, scaled - difference, color=PALE, label="subtracted")
    above.set_ylabel(f"Yield ({unit})")
    above.tick_params(labelbottom=False)
    above.legend()
    low, high = parameters["difference_window_ev"]
    inside = (energy >= low) & (energy <= high)
    below.plot(energy, difference, color=ENGINE_COLOURS[1])
    below.fill_between(
        energy,
        np.where(inside, difference, np.nan),
        0,
        color=ENGINE_COLOURS[1],
        alpha=0.3,
        lw=0,
        label=f"area from {low:g} to {high:g} eV: {quantity_text(values['difference_area'])}",
    )
    below.axhline(0, color=PALE, lw=0.8)
    bottom, top = below.get_ylim()
    below.set_ylim(bottom, top + 0.3 * (top - bottom))  # room for the legend
    below.legend(loc="upper left")
    below.set(xlabel="Energy (eV)", ylabel="Difference")
    for axes in (above, below):
        axes.set_xlim(energy[0], energy[-1])
        axes.ticklabel_format(axis="x", useOffset=False)
