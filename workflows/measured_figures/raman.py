"""Raman: bands on their baseline, and which of them are there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from rocksalt.analysis.quantities import Array
from rocksalt.stores.experiment_documents import MeasuredQuantity
from rocksalt.workflows.figure_style import ENGINE_COLOURS, PALE
from rocksalt.workflows.measured_figures.peaks import draw_peaks
from rocksalt.workflows.quantity_text import number_text


def draw(
    values: Mapping[str, MeasuredQuantity],
    arrays: Mapping[str, Array],
    parameters: Mapping[str, Any],
) -> Figure:
    """Return the fitted bands, those that are not there marked so, and the residual in its noise."""
    figure, spectrum = draw_peaks(values, arrays, parameters, "shift_per_cm", "Raman shift (1/cm)")
    top = spectrum.get_xaxis_transform()
    for number, name in enumerate(parameters["component_order"]):
        is_there = values[f"{name}_present"].value > 0
        template = parameters["used_components"][name]["position"]
        at = values[f"{name}_position"].value if is_there else template
        colour = ENGINE_COLOURS[number % len(ENGINE_COLOURS)] if is_there else PALE
        spectrum.axvline(at, color=colour, lw=0.8, alpha=0.6, ls="-" if is_there else ":")
        text = name if is_there else f"{name}: absent"
        spectrum.text(
            at,
            0.99,
            text,
            rotation=90,
            ha="right",
            va="top",
            fontsize=7.5,
            color=colour,
            transform=top,
        )
    chi = values["reduced_chi_square"].value
    title = f"Reduced χ² {chi:.3g}"
    if "spinel_fraction" in values:
        spinel = values["spinel_fraction"]
        fraction = number_text(spinel.value, spinel.uncertainty)
        title = f"Spinel / (spinel + layered) {fraction}; reduced χ² {chi:.3g}"
    spectrum.set_title(title, loc="left", fontsize=9)
    low, high = spectrum.get_ylim()
    spectrum.set_ylim(low, high + 0.18 * (high - low))  # room for the names
    return figure
