"""Gas evolution: voltage and the rate of each gas above its baseline, with onsets and amounts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rocksalt.analysis.quantities import Array
from rocksalt.stores.experiment_documents import MeasuredQuantity
from rocksalt.workflows.figure_style import ENGINE_COLOURS, INK, PALE
from rocksalt.workflows.quantity_text import quantity_text


def draw(
    values: Mapping[str, MeasuredQuantity],
    arrays: Mapping[str, Array],
    parameters: Mapping[str, Any],
) -> Figure:
    """Return the voltage and a panel for each gas, against time."""
    gases = list(parameters["gases"])
    figure = Figure(figsize=(8.4, 2.4 + 2.2 * len(gases)), layout="constrained")
    panels = figure.subplots(
        1 + len(gases), 1, sharex=True, height_ratios=(1, *(1.15 for _ in gases))
    )
    hours = arrays["time_s"] / 3600
    panels[0].plot(hours, arrays["voltage_v"], color=INK)
    panels[0].set_ylabel("Voltage (V)")
    _lithium_axis(panels[0], hours, arrays)
    for number, name in enumerate(gases):
        colour = ENGINE_COLOURS[1 + number % (len(ENGINE_COLOURS) - 1)]
        _gas(panels[1 + number], name, colour, values, arrays, hours)
        _onset(panels, number, name, colour, values)
    panels[-1].set_xlabel("Time (h)")
    panels[-1].set_xlim(hours[0], hours[-1])
    return figure


def _gas(
    axes: Axes,
    name: str,
    colour: str,
    values: Mapping[str, MeasuredQuantity],
    arrays: Mapping[str, Array],
    hours: Array,
) -> None:
    rate = arrays[f"{name}_rate_nmol_per_s_per_g"]
    under = arrays[f"{name}_baseline_nmol_per_s_per_g"]
    axes.plot(hours, rate, ".", color=PALE, ms=3, label="measured")
    axes.plot(hours, under, color=INK, lw=1, label="baseline")
    started = np.flatnonzero(arrays[f"{name}_amount_umol_per_g"])
    if len(started):
        rows = slice(started[0], None)
        total = quantity_text(values[f"{name}_amount"]).replace("umol", "µmol")
        axes.fill_between(
            hours[rows], under[rows], rate[rows], color=colour, alpha=0.25, lw=0, label=total
        )
    axes.set_ylabel(f"{_formula(name)} rate\n(nmol s$^{{-1}}$ g$^{{-1}}$)")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8.5)


def _onset(
    panels: Array,
    number: int,
    name: str,
    colour: str,
    values: Mapping[str, MeasuredQuantity],
) -> None:
    """Mark the onset of a gas in its own panel and on the voltage."""
    time, voltage = (values.get(f"{name}_onset_{what}") for what in ("time", "voltage"))
    axes = panels[1 + number]
    if time is None or voltage is None:
        axes.set_title("no onset", loc="left", fontsize=9.5, color=PALE)
        return
    hour, doubt = time.value / 3600, 2 * (time.uncertainty or 0) / 3600
    axes.axvspan(hour - doubt, hour + doubt, color=colour, alpha=0.35, lw=0)
    axes.axvline(hour, color=colour, lw=1)
    panels[0].plot(hour, voltage.value, "o", color=colour, ms=5)
    text = f"onset of {_formula(name)} at {quantity_text(voltage)}"
    removed = values.get(f"{name}_onset_delithiation")
    if removed is not None:
        share = MeasuredQuantity(
            value=100 * removed.value,
            uncertainty=None if removed.uncertainty is None else 100 * removed.uncertainty,
            unit="%",
        )
        text += f", {quantity_text(share)} of the lithium removed"
    axes.set_title(text, loc="left", fontsize=9.5, color=colour)


def _lithium_axis(axes: Axes, hours: Array, arrays: Mapping[str, Array]) -> None:
    """Put the degree of delithiation above the time, at round values while it rises."""
    if "delithiation" not in arrays:
        return
    removed = np.maximum.accumulate(100 * arrays["delithiation"])
    step = next((s for s in (1, 2, 5, 10, 20, 50, 100) if removed[-1] / s <= 8), 200)
    ticks = np.arange(np.ceil(removed[0] / step), removed[-1] / step + 1e-9) * step
    upper = axes.twiny()
    upper.set_xlim(hours[0], hours[-1])
    upper.set_xticks(np.interp(ticks, removed, hours), [f"{tick:g}" for tick in ticks])
    upper.set_xlabel("Lithium removed (%)")
    upper.spines.top.set_visible(True)
    axes.set_xlim(hours[0], hours[-1])


def _formula(name: str) -> str:
    """Return the name of a gas with its numbers as subscripts, where it is a formula."""
    if not name.isalnum() or not name[0].isalpha():
        return name
    return "".join(f"$_{{{letter}}}$" if letter.isdigit() else letter for letter in name)
