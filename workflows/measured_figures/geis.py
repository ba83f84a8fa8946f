"""Impedance against potential: resistances with their uncertainties, in the order of measuring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rocksalt.analysis.quantities import Array
from rocksalt.stores.experiment_documents import MeasuredQuantity
from rocksalt.workflows.figure_style import ENGINE_COLOURS, INK, PALE

RESISTANCES = {
    "ohmic": ("R$_0$", ENGINE_COLOURS[0], "o"),
    "charge_transfer": ("charge transfer", ENGINE_COLOURS[1], "s"),
    "diffusion": ("diffusion", ENGINE_COLOURS[2], "^"),
}
"""Name, colour and marker of each resistance."""


def draw(
    values: Mapping[str, MeasuredQuantity],
    arrays: Mapping[str, Array],
    parameters: Mapping[str, Any],
) -> Figure:
    """Return the resistances, and below them how far each spectrum is from Kramers-Kronig."""
    figure = Figure(figsize=(6.6, 5.8), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    per_area = "ohmic_resistance_ohm_cm2" in arrays
    unit, sign = ("ohm_cm2", "Ω cm²") if per_area else ("ohm", "Ω")
    potential = arrays["potential_v"]
    turn = _turn(potential)
    for name, style in RESISTANCES.items():
        series = arrays[f"{name}_resistance_{unit}"]
        doubts = arrays[f"{name}_resistance_uncertainty_{unit}"]
        _series(above, potential, series, doubts, turn, style)
    above.set_ylabel(f"Resistance ({sign})")
    above.set_ylim(bottom=0)
    if turn:
        above.plot([], [], "o", color=PALE, mfc="none", label="after the potential turned")
    low, high = above.get_ylim()
    above.set_ylim(low, high + 0.2 * (high - low))
    above.legend(loc="upper center", ncols=2 if turn else 3)
    below.plot(potential, 100 * arrays["kramers_kronig_residual"], "o", color=INK, ms=4)
    most = 100 * parameters["most_residual"]
    below.axhline(most, color=PALE, lw=0.8, ls=":", label="doubted above")
    below.legend(loc="center right")
    below.set_ylim(bottom=0)
    below.set(xlabel="Potential (V)", ylabel="Kramers-Kronig\nresidual (%)")
    return figure


def _turn(potential: Array) -> int:
    """Return the spectrum at which the potential turns back, or zero where it does not."""
    if len(potential) < 3:
        return 0
    far = int(np.argmax(np.abs(potential - potential[0])))
    return far if far < len(potential) - 1 else 0


def _series(
    axes: Axes,
    potential: Array,
    series: Array,
    doubts: Array,
    turn: int,
    style: tuple[str, str, str],
) -> None:
    label, colour, marker = style
    halves = [(slice(None), colour)] if not turn else [(slice(0, turn + 1), colour)]
    if turn:
        axes.plot(potential[turn:], series[turn:], "--", color=colour, lw=1)
        halves.append((slice(turn + 1, None), "none"))
    axes.plot(potential[halves[0][0]], series[halves[0][0]], color=colour, lw=1)
    for number, (rows, face) in enumerate(halves):
        axes.errorbar(
            potential[rows],
            series[rows],
            2 * doubts[rows],
            fmt=marker,
            ms=5,
            capsize=2.5,
            color=colour,
            mfc=face,
            label=None if number else f"{label}, ± 2 u",
        )
