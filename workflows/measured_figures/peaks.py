"""Fitted peaks on their background, and what they leave: drawn for XPS and Raman."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rocksalt.analysis.quantities import Array
from rocksalt.stores.experiment_documents import MeasuredQuantity
from rocksalt.workflows.figure_style import ENGINE_COLOURS, INK, PALE
from rocksalt.workflows.quantity_text import number_text


def draw_peaks(
    values: Mapping[str, MeasuredQuantity],
    arrays: Mapping[str, Array],
    parameters: Mapping[str, Any],
    axis: str,
    label: str,
) -> tuple[Figure, Axes]:
    """Return the data with components, background and envelope, and the residual in its noise below.

    Parameters
    ----------
    values, arrays, parameters
        Of an analysis that fitted peaks.
    axis
        Name of the array that is the axis.
    label
        Of that axis, with its unit.

    Returns
    -------
    Figure, Axes
        The figure, and the upper axes.
    """
    figure = Figure(figsize=(7.6, 4.6), layout="constrained")
    spectrum, residual = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    x, data, background = arrays[axis], arrays["intensity"], arrays["background"]
    for number, name in enumerate(parameters["component_order"]):
        share = values[f"{name}_share"]
        colour = ENGINE_COLOURS[number % len(ENGINE_COLOURS)]
        text = f"{name}: {number_text(share.value, share.uncertainty)}"
        curve = background + arrays["components"][number]
        spectrum.fill_between(x, background, curve, color=colour, alpha=0.3, lw=0)
        spectrum.plot(x, curve, color=colour, lw=1, label=text)
    spectrum.plot(x, background, "--", color=INK, lw=1, label="background")
    spectrum.plot(x, arrays["envelope"], color=INK, lw=1.2, label="sum")
    spectrum.plot(x, data, "o", ms=2.6, mfc="none", mec=INK, mew=0.5, label="measured")
    spectrum.set_ylabel("Intensity")
    spectrum.legend(
        loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8.5, title="Share of the area"
    )
    left = (data - arrays["envelope"]) / arrays["noise"]
    residual.axhspan(-2, 2, color=PALE, alpha=0.18, lw=0)
    residual.axhline(0, color=PALE, lw=0.8)
    residual.plot(x, left, ".", color=INK, ms=2.6)
    reach = 1.15 * max(float(np.abs(left).max()), 3.0)
    residual.set(xlabel=label, ylabel="Residual\n(σ)", ylim=(-reach, reach))
    residual.set_xlim(x[0], x[-1])
    residual.ticklabel_format(axis="x", useOffset=False)
    return figure, spectrum
