"""Cyclic voltammetry: the first oxidation with its two peaks, and how their heights go with rate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from rocksalt.analysis.quantities import Array
from rocksalt.stores.experiment_documents import MeasuredQuantity
from rocksalt.workflows.figure_style import ENGINE_COLOURS, INK
from rocksalt.workflows.quantity_text import number_text

PEAKS = {
    "oxygen": ("A: lattice oxygen", ENGINE_COLOURS[1], "o"),
    "metal": ("B: transition metal", ENGINE_COLOURS[0], "s"),
}
"""Name, colour and marker of each peak."""


def draw(
    values: Mapping[str, MeasuredQuantity],
    arrays: Mapping[str, Array],
    parameters: Mapping[str, Any],
) -> Figure:
    """Return the sweep with its windows and heights; with several rates, log current against log rate."""
    rates = arrays["sweep_rates_mv_per_s"]
    several = rates.size > 1 and rates.max() > 1.1 * rates.min()
    figure = Figure(figsize=(9.0 if several else 5.4, 3.8), layout="constrained")
    panels = figure.subplots(1, 2 if several else 1, squeeze=False)[0]
    _sweep(panels[0], values, arrays, parameters)
    if several:
        _rates(panels[1], values, arrays)
    return figure


def _sweep(
    axes: Axes,
    values: Mapping[str, MeasuredQuantity],
    arrays: Mapping[str, Array],
    parameters: Mapping[str, Any],
) -> None:
    order = np.argsort(arrays["voltage_v"])
    volts, current = arrays["voltage_v"][order], arrays["current_ma"][order]
    axes.plot(volts, current, color=INK)
    for name, (label, colour, _) in PEAKS.items():
        axes.axvspan(*parameters[f"{name}_window_v"], color=colour, alpha=0.08, lw=0)
        at, height = values[f"{name}_peak_voltage"].value, values[f"{name}_peak_current"]
        top = float(np.interp(at, volts, current))
        # the foot is where the straight line through the window's ends passes under the peak
        axes.plot([at, at], [top - height.value, top], color=colour, lw=2.2, marker="_", ms=9)
        text = f"{label}, {number_text(height.value, height.uncertainty)} mA"
        axes.plot([], [], color=colour, lw=2.2, label=text)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.24 * (high - low))  # room for the legend
    axes.legend(loc="upper left")
    ratio = values["oxygen_to_metal_peak_ratio"]
    axes.set_title(f"I(A)/I(B) = {number_text(ratio.value, ratio.uncertainty)}", loc="left")
    axes.set(xlabel="Voltage (V)", ylabel="Current (mA)")


def _rates(axes: Axes, values: Mapping[str, MeasuredQuantity], arrays: Mapping[str, Array]) -> None:
    rates = arrays["sweep_rates_mv_per_s"]
    for name, (label, colour, marker) in PEAKS.items():
        heights = abs(arrays[f"{name}_peak_currents_ma"])
        text = label
        exponent = values.get(f"{name}_rate_exponent")
        if exponent is not None:
            middle = np.exp(np.mean(np.log(heights)) - exponent.value * np.mean(np.log(rates)))
            line = np.array([rates.min(), rates.max()])
            axes.plot(line, middle * line**exponent.value, color=colour, lw=1)
            text += f", b = {number_text(exponent.value, exponent.uncertainty)}"
        axes.plot(rates, heights, marker, color=colour, ms=5, label=text)
    axes.set(xscale="log", yscale="log", xlabel="Sweep rate (mV/s)", ylabel="Peak height (mA)")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    low, high = axes.get_ylim()
    axes.set_ylim(low, high * (high / low) ** 0.25)  # room for the legend
    axes.set_title("b: 0.5 by diffusion, 1 by capacitance", loc="left", fontsize=9)
    axes.legend(loc="upper left")
