"""Galvanostatic cycling: curves and dQ/dV of one cycle, capacity and voltage of all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rocksalt.analysis.quantities import Array
from rocksalt.stores.experiment_documents import MeasuredQuantity
from rocksalt.workflows.figure_style import ENGINE_COLOURS, PALE
from rocksalt.workflows.quantity_text import quantity_text

KINDS = {"charge": (ENGINE_COLOURS[1], "^"), "discharge": (ENGINE_COLOURS[0], "v")}
"""Colour and marker of each half of a cycle."""

MOST_PEAKS = 3
"""Peaks of one dQ/dV curve whose voltage is written beside them."""


def draw(
    values: Mapping[str, MeasuredQuantity],
    arrays: Mapping[str, Array],
    parameters: Mapping[str, Any],
) -> Figure:
    """Return voltage against capacity and dQ/dV of one cycle; with several cycles, how they age."""
    per_gram = "discharge_capacity_mah_per_g" in arrays
    suffix, unit = ("mah_per_g", "mAh/g") if per_gram else ("mah", "mAh")
    several = arrays["cycle_number"].size > 1
    figure = Figure(figsize=(9.0, 6.6 if several else 3.5), layout="constrained")
    panels = figure.subplots(2 if several else 1, 2, squeeze=False)
    position = int(parameters["curve_cycle"]) - 1
    number = arrays["cycle_number"][position]
    _curves(panels[0, 0], arrays, suffix, unit, number, parameters.get("activation_voltage_v"))
    _differential(panels[0, 1], arrays, suffix, unit, number)
    if several:
        _capacities(panels[1, 0], values, arrays, suffix, unit)
        _voltages(panels[1, 1], values, arrays)
    return figure


def _curves(
    axes: Axes,
    arrays: Mapping[str, Array],
    suffix: str,
    unit: str,
    number: float,
    activation_v: float | None,
) -> None:
    for kind, (colour, _) in KINDS.items():
        if f"curve_{kind}_voltage_v" in arrays:
            capacity = arrays[f"curve_{kind}_capacity_{suffix}"]
            axes.plot(capacity, arrays[f"curve_{kind}_voltage_v"], color=colour, label=kind)
    low, high = axes.get_ylim()
    if activation_v is not None and low < activation_v < high and number == 1:
        axes.axhline(activation_v, color=PALE, lw=0.8, ls=":")
        axes.annotate(
            f"{activation_v:g} V",
            (1.01, activation_v),
            xycoords=axes.get_yaxis_transform(),
            annotation_clip=False,
            va="center",
            color=PALE,
            fontsize=8,
        )
    axes.set(xlabel=f"Capacity ({unit})", ylabel="Voltage (V)")
    axes.set_title(f"Cycle {number:g}", loc="left", fontsize=10)
    axes.legend()


def _differential(
    axes: Axes, arrays: Mapping[str, Array], suffix: str, unit: str, number: float
) -> None:
    for kind, (colour, _) in KINDS.items():
        if f"dq_dv_{kind}_voltage_v" not in arrays:
            continue
        volts, density = arrays[f"dq_dv_{kind}_voltage_v"], arrays[f"dq_dv_{kind}_{suffix}_per_v"]
        axes.plot(volts, density, color=colour, label=kind)  # negative on discharge
        sign = -1 if kind == "discharge" else 1
        apart = 0.06 * (volts[-1] - volts[0])  # nearer, their numbers would overlap
        named: list[float] = []
        for peak in np.atleast_1d(arrays[f"dq_dv_{kind}_peaks_v"]):  # the largest first
            if len(named) == MOST_PEAKS or any(abs(peak - other) < apart for other in named):
                continue
            named.append(float(peak))
            height = density[np.argmin(abs(volts - peak))]
            axes.annotate(
                f"{peak:.2f}",
                (peak, height),
                (0, 4 * sign),
                textcoords="offset points",
                ha="center",
                va="bottom" if sign > 0 else "top",
                fontsize=8,
                color=colour,
            )
    axes.axhline(0, color=PALE, lw=0.8)
    axes.margins(y=0.12)
    axes.set(xlabel="Voltage (V)", ylabel=f"dQ/dV ({unit} per V)")
    axes.set_title(f"Cycle {number:g}: dQ/dV, its main peaks in V", loc="left", fontsize=10)


def _capacities(
    axes: Axes,
    values: Mapping[str, MeasuredQuantity],
    arrays: Mapping[str, Array],
    suffix: str,
    unit: str,
) -> None:
    for kind, (colour, marker) in KINDS.items():
        axes.plot(
            arrays["cycle_number"],
            arrays[f"{kind}_capacity_{suffix}"],
            marker,
            color=colour,
            ms=4,
            label=kind,
        )
    _rates(axes, arrays, suffix)
    title = "Capacity"
    if "retention" in values:
        kept, over = 100 * values["retention"].value, values["retention_cycles"].value
        title += f": {kept:.1f} % kept over {over:g} cycle{'' if over == 1 else 's'}"
    axes.set_title(title, loc="left", fontsize=10)
    axes.set(xlabel="Cycle", ylabel=f"Capacity ({unit})", ylim=(0, 1.08 * axes.get_ylim()[1]))
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    axes.legend()


RATES = {"rate_per_h": "C", "rate_ma_per_g": "mA/g", "rate_ma": "mA"}
"""Arrays that hold discharge currents, and how they are written."""


def _rates(axes: Axes, arrays: Mapping[str, Array], suffix: str) -> None:
    """Write the discharge current under the cycles where each rate begins, for several rates."""
    name = next((name for name in RATES if name in arrays), None)
    if name is None:
        return
    first, count = (np.atleast_1d(arrays[f"rate_{part}"]) for part in ("first_cycle", "n_cycles"))
    capacity = np.atleast_1d(arrays[f"rate_capacity_{suffix}"])
    for rate, begin, cycles, height in zip(
        np.atleast_1d(arrays[name]), first, count, capacity, strict=True
    ):
        axes.annotate(
            f"{rate:.3g} {RATES[name]}",
            (begin + (cycles - 1) / 2, height),
            (0, -7),
            textcoords="offset points",
            ha="center",
            va="top",
            rotation=90,  # so that those of short runs stand beside each other
            fontsize=8,
            color=KINDS["discharge"][0],
        )


def _voltages(
    axes: Axes, values: Mapping[str, MeasuredQuantity], arrays: Mapping[str, Array]
) -> None:
    for name, style in (("median", "o"), ("mean", "x")):
        axes.plot(
            arrays["cycle_number"],
            arrays[f"discharge_{name}_voltage_v"],
            style,
            ms=4,
            color=KINDS["discharge"][0] if name == "median" else PALE,
            label=name,
        )
    title = "Discharge voltage"
    if "median_voltage_decay" in values:
        title = f"Median falls by {quantity_text(values['median_voltage_decay'])}"
    axes.set_title(title, loc="left", fontsize=10)
    axes.set(xlabel="Cycle", ylabel="Discharge voltage (V)")
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.legend()
