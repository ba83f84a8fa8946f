"""XANES: the normalised spectrum with its edge, and its fit by references with what that leaves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
    """Return the normalised spectrum and, with references, the fit over its window."""
    fitted = "fit" in arrays
    figure = Figure(figsize=(11.6 if fitted else 5.4, 4.2), layout="constrained")
    if fitted:
        grid = figure.add_gridspec(2, 2, height_ratios=(3, 1))
        whole = figure.add_subplot(grid[:, 0])
        spectrum = figure.add_subplot(grid[0, 1])
        residual = figure.add_subplot(grid[1, 1])
        draw_combination(spectrum, residual, values, arrays, parameters)
        spectrum.set_ylabel("Normalised absorption")
    else:
        whole = figure.add_subplot()
    energy = arrays["energy_ev"]
    whole.plot(energy, arrays["normalised"], color=PALE, lw=1, label="normalised")
    whole.plot(energy, arrays["flattened"], color=INK, label="flattened")
    edge = values["edge_half_height"]
    whole.axvline(
        edge.value,
        color=ENGINE_COLOURS[1],
        lw=1,
        label=f"half height: {quantity_text(edge)}",
    )
    if "used_pre_edge_ev" in parameters:
        e0 = parameters["e0_ev"]
        for number, name in enumerate(("used_pre_edge_ev", "used_post_edge_ev")):
            low, high = parameters[name]
            label = None if number else "ranges of the normalisation"
            whole.axvspan(e0 + low, e0 + high, color=PALE, alpha=0.12, lw=0, label=label)
    whole.set(xlabel="Energy (eV)", ylabel="Normalised absorption")
    whole.set_xlim(energy[0], energy[-1])
    whole.ticklabel_format(axis="x", useOffset=False)
    whole.set_title(f"Edge of {parameters['edge']}" if parameters.get("edge") else "", loc="left")
    whole.legend(loc="lower right", fontsize=8)
    return figure
