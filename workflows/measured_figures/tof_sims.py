"""ToF-SIMS: fragments against depth, and where the markers say that the layer ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from rocksalt.analysis.quantities import Array
from rocksalt.stores.experiment_documents import MeasuredQuantity
from rocksalt.workflows.figure_style import ENGINE_COLOURS, ENGINE_MARKERS, PALE
from rocksalt.workflows.quantity_text import quantity_text


def draw(
    values: Mapping[str, MeasuredQuantity],
    arrays: Mapping[str, Array],
    parameters: Mapping[str, Any],
) -> Figure:
    """Return all fragments on a logarithmic scale, markers in colour with their fits and depths.

    The band about a depth is two standard uncertainties wide on either side.
    """
    figure = Figure(figsize=(7.6, 4.2), layout="constrained")
    axes = figure.add_subplot()
    depth, names, markers = arrays["depth_nm"], parameters["fragments"], parameters["markers"]
    positive = arrays["intensities"][arrays["intensities"] > 0]
    for name, intensity in zip(names, arrays["intensities"], strict=True):
        shown = np.where(intensity > 0, intensity, np.nan)  # zero has no logarithm
        if name in markers:
            number = markers.index(name)
            colour = ENGINE_COLOURS[number % len(ENGINE_COLOURS)]
            shape = ENGINE_MARKERS[number % len(ENGINE_MARKERS)]
            axes.plot(depth, shown, shape, ms=3, mfc="none", mec=colour, mew=0.7)
            axes.plot(depth, arrays["fitted"][number], color=colour, lw=1.4)
            layer = values[f"{name}_layer_thickness"]
            doubt = 2 * (layer.uncertainty or 0.0)
            axes.axvspan(layer.value - doubt, layer.value + doubt, color=colour, alpha=0.2, lw=0)
            text = f"{name}: {quantity_text(layer)}"
            axes.axvline(layer.value, color=colour, lw=1, label=text)
        else:
            axes.plot(depth, shown, color=PALE, lw=1)
            last = np.flatnonzero(np.isfinite(shown))
            if len(last):
                axes.annotate(
                    name,
                    (depth[last[-1]], shown[last[-1]]),
                    xytext=(3, 0),
                    textcoords="offset points",
                    va="center",
                    fontsize=8,
                    color=PALE,
                )
    axes.set_yscale("log")
    if positive.size:
        axes.set_ylim(0.7 * positive.min(), 2 * positive.max())
    axes.set_xlim(depth[0], depth[-1] + 0.08 * (depth[-1] - depth[0]))
    to = parameters["normalise"]
    axes.set_xlabel("Depth (nm)")
    axes.set_ylabel("Counts per cycle" if to == "none" else f"Counts relative to {to}")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8.5, title="Layer ends at")
    return figure
