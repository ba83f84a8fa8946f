"""Impedance: the Nyquist plot with its fit, the distribution of relaxation times, and residuals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rocksalt.analysis.quantities import Array
from rocksalt.stores.experiment_documents import MeasuredQuantity
from rocksalt.workflows.figure_style import ENGINE_COLOURS, INK, MINUS, PALE
from rocksalt.workflows.quantity_text import quantity_text

WINDOWS = {
    "charge_transfer": ("charge transfer", ENGINE_COLOURS[1]),
    "diffusion": ("diffusion", ENGINE_COLOURS[2]),
}
"""Name and colour of each window of relaxation times."""


def draw(
    values: Mapping[str, MeasuredQuantity],
    arrays: Mapping[str, Array],
    parameters: Mapping[str, Any],
) -> Figure:
    """Return the spectrum in the complex plane, its relaxation times, and what both tests leave."""
    small = float(np.abs(arrays["impedance_real_ohm"]).max()) < 0.5
    factor, unit = (1000.0, "mΩ") if small else (1.0, "Ω")
    figure = Figure(figsize=(9.6, 7.2), layout="constrained")
    grid = figure.add_gridspec(2, 2, height_ratios=(1.25, 1))
    _nyquist(figure.add_subplot(grid[0, :]), values, arrays, factor, unit)
    _relaxations(figure.add_subplot(grid[1, 0]), values, arrays, parameters, factor, unit)
    _residuals(figure.add_subplot(grid[1, 1]), values, arrays)
    return figure


def _text(quantity: MeasuredQuantity, factor: float, unit: str) -> str:
    doubt = None if quantity.uncertainty is None else factor * quantity.uncertainty
    return quantity_text(
        MeasuredQuantity(value=factor * quantity.value, uncertainty=doubt, unit=unit)
    )


def _nyquist(
    axes: Axes,
    values: Mapping[str, MeasuredQuantity],
    arrays: Mapping[str, Array],
    factor: float,
    unit: str,
) -> None:
    real = factor * arrays["impedance_real_ohm"]
    height = -factor * arrays["impedance_imaginary_ohm"]
    axes.plot(real, height, "o", color=INK, ms=3.5, label="measured")
    axes.plot(
        factor * arrays["fit_real_ohm"],
        -factor * arrays["fit_imaginary_ohm"],
        color=ENGINE_COLOURS[0],
        label="sum of relaxations",
    )
    axes.axhline(0, color=PALE, lw=0.8)
    ohmic = values["ohmic_resistance"]
    label = f"R$_0$: {_text(ohmic, factor, unit)}"
    axes.plot(factor * ohmic.value, 0, "|", color=ENGINE_COLOURS[3], ms=14, mew=2, label=label)
    _mark_decades(axes, arrays["frequency_hz"], real, height)
    axes.margins(0.06, 0.12)
    axes.set_aspect("equal", adjustable="box")
    axes.set(xlabel=f"Z′ ({unit})", ylabel=f"{MINUS}Z″ ({unit})")
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3)


def _mark_decades(axes: Axes, frequency: Array, real: Array, height: Array) -> None:
    """Write the frequency beside the points at every third power of ten."""
    for power in range(-6, 8, 3):
        at = 10.0**power
        if frequency.min() <= at <= frequency.max():
            nearest = int(np.argmin(np.abs(np.log(frequency / at))))
            text = {-6: "1 µHz", -3: "1 mHz", 0: "1 Hz", 3: "1 kHz", 6: "1 MHz"}[power]
            axes.annotate(
                text,
                (real[nearest], height[nearest]),
                xytext=(0, 9),
                textcoords="offset points",
                ha="center",
                fontsize=8.5,
                color="#55606c",
            )
            axes.plot(real[nearest], height[nearest], "o", color=ENGINE_COLOURS[5], ms=5)


def _relaxations(
    axes: Axes,
    values: Mapping[str, MeasuredQuantity],
    arrays: Mapping[str, Array],
    parameters: Mapping[str, Any],
    factor: float,
    unit: str,
) -> None:
    time, density = arrays["relaxation_time_s"], factor * arrays["relaxation_density_ohm"]
    axes.plot(time, density, color=INK)
    top = 1.5 * float(density.max())
    edges = [parameters[f"charge_transfer_{end}_s"] for end in ("from", "to")]
    edges.append(parameters["diffusion_to_s"])
    for (name, (label, colour)), low, high in zip(
        WINDOWS.items(), edges[:-1], edges[1:], strict=True
    ):
        resistance = values.get(f"{name}_resistance")
        text = "not seen" if resistance is None else _text(resistance, factor, unit)
        axes.axvspan(low, high, color=colour, alpha=0.12, lw=0, label=f"{label}: {text}")
    seen = 1 / (2 * np.pi * np.array([arrays["frequency_hz"].max(), arrays["frequency_hz"].min()]))
    for number, edge in enumerate(seen):
        label = "" if number else "reach of the frequencies"  # one line in the legend
        axes.axvline(edge, color=PALE, lw=0.8, ls=":", label=label)
    axes.set_xscale("log")
    axes.set_xlim(time[0], max(time[-1], edges[-1]))
    axes.set_ylim(0, top)
    axes.set(xlabel="Relaxation time (s)", ylabel=f"γ ({unit})")
    axes.legend(loc="upper left", fontsize=8.5)


def _residuals(
    axes: Axes, values: Mapping[str, MeasuredQuantity], arrays: Mapping[str, Array]
) -> None:
    frequency = arrays["frequency_hz"]
    for name, label, marker in (("real", "real", "o"), ("imaginary", "imaginary", "s")):
        left = 100 * arrays[f"kramers_kronig_residual_{name}"]
        axes.plot(
            frequency, left, marker, ms=3.5, color=ENGINE_COLOURS[name == "real"], label=label
        )
    axes.axhline(0, color=PALE, lw=0.8)
    axes.set_xscale("log")
    axes.invert_xaxis()  # as the times above
    axes.set(xlabel="Frequency (Hz)", ylabel="Kramers-Kronig\nresidual (% of |Z|)")
    rms = 100 * values["kramers_kronig_residual"].value
    axes.set_title(f"Root mean square {rms:.2g} %", loc="left", fontsize=9.5)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.3 * (high - low))  # room for the legend
    axes.legend(loc="upper right", ncols=2)
