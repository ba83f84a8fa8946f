"""Cyclic voltammetry: sweeps, peaks above a baseline, and how currents scale with rate.

Sun et al. 2025 compare the oxidation peaks A (lattice oxygen) and B (transition metal) by I_A/I_B.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from rocksalt.analysis.cycling import line_fit
from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.quantities import Array
from rocksalt.analysis.readers.cycler import CyclerTable

_LEAST_RECORDS = 20  # of a sweep, and of a peak's window a quarter


@dataclass(frozen=True)
class Sweep:
    """One sweep of the voltage: times in s, voltages in V, currents in A, rate in V/s (signed)."""

    time_s: Array
    voltage_v: Array
    current_a: Array
    rate_v_per_s: float


@dataclass(frozen=True)
class Peak:
    """The height above the baseline (A) and the voltage (V) of a peak; a standard uncertainty."""

    voltage_v: float
    height_a: float
    height_uncertainty_a: float


def sweeps(table: CyclerTable, *, least_range_v: float = 0.2) -> list[Sweep]:
    """Split a voltammogram where the voltage turns.

    Parameters
    ----------
    table
        The measurement.
    least_range_v
        A smaller excursion is noise, in V.

    Raises
    ------
    MeasurementError
        When no sweep is as long, or has too few records.
    """
    voltage = table.voltage_v
    turns = [0]
    direction, extreme = 0, 0
    for row in range(1, len(voltage)):
        if (voltage[row] - voltage[extreme]) * direction > 0:
            extreme = row
        elif abs(voltage[row] - voltage[extreme]) > least_range_v:
            if direction:
                turns.append(extreme)
            direction, extreme = int(np.sign(voltage[row] - voltage[extreme])), row
    turns.append(extreme)
    found = []
    for first, last in pairwise(turns):
        rows = slice(first, last + 1)
        if last - first < _LEAST_RECORDS or abs(voltage[last] - voltage[first]) < least_range_v:
            continue
        rate, _ = line_fit(table.time_s[rows], voltage[rows])
        found.append(Sweep(table.time_s[rows], voltage[rows], table.current_a[rows], rate))
    if not found:
        raise MeasurementError(
            f"{table.path}: no sweep of {least_range_v:g} V with {_LEAST_RECORDS} records: give a "
            "voltammogram"
        )
    return found


def peak(sweep: Sweep, from_v: float, to_v: float) -> Peak:
    """Return the peak in a window, above the straight line through the window's ends.

    The ends are the means of a tenth of the window's records on either side. The top is that of a
    parabola fitted to the records above 80 percent of the height; the uncertainty joins the scatter
    about it and that of the line.

    Parameters
    ----------
    sweep
        The sweep; a falling one has its peak below the line.
    from_v, to_v
        Window in V.

    Raises
    ------
    MeasurementError
        When the window does not rise or holds too few records, or its largest current is at its end.
    """
    if not from_v < to_v:
        raise MeasurementError(
            f"the window from {from_v:g} to {to_v:g} V does not rise: give its lower end first"
        )
    inside = (sweep.voltage_v >= from_v) & (sweep.voltage_v <= to_v)
    volts, current = sweep.voltage_v[inside], sweep.current_a[inside]
    if len(volts) < _LEAST_RECORDS:
        raise MeasurementError(
            f"the window from {from_v:g} to {to_v:g} V has {len(volts)} records: widen it"
        )
    sign = math.copysign(1.0, sweep.rate_v_per_s)
    order = np.argsort(volts)
    volts, current = volts[order], sign * current[order]
    edge = max(3, len(volts) // 10)
    ends = [(volts[s].mean(), current[s].mean()) for s in (slice(edge), slice(-edge, None))]
    (v0, i0), (v1, i1) = ends
    above = current - (i0 + (i1 - i0) * (volts - v0) / (v1 - v0))
    top = int(np.argmax(above))
    if not edge <= top < len(volts) - edge:
        raise MeasurementError(
            f"the current between {from_v:g} and {to_v:g} V has no peak within: move the window"
        )
    low = top - int(np.argmax(above[top::-1] < 0.8 * above[top]))
    high = top + int(np.argmax(above[top:] < 0.8 * above[top]))
    rows = slice(max(low, top - len(volts) // 4), min(high, top + len(volts) // 4) + 1)
    if rows.stop - rows.start < 6:
        raise MeasurementError(
            f"the peak between {from_v:g} and {to_v:g} V has {rows.stop - rows.start} records: record "
            "more often"
        )
    middle = float(volts[top])
    design = np.vander(volts[rows] - middle, 3)
    inverse = np.linalg.pinv(design)
    bend, slope, level = inverse @ above[rows]
    left = above[rows] - design @ (bend, slope, level)
    scatter = math.sqrt(float(np.sum(left**2)) / (len(left) - 3))
    # the parabola's level at the top, and the line, a mean of `edge` records at either end
    doubt = scatter * math.sqrt(float(np.sum(inverse[2] ** 2)) + 0.5 / edge)
    shift = -slope / (2 * bend) if bend < 0 else 0.0
    height = float(level + slope * shift + bend * shift**2)
    return Peak(middle + float(shift), sign * height, doubt)


def rate_exponent(
    rates_v_per_s: Array, heights_a: Array, uncertainties_a: Array
) -> tuple[float, float]:
    """Return b of i = a v^b and its standard uncertainty: 0.5 by diffusion, 1 by capacitance.

    Lindström et al., J. Phys. Chem. B 101, 7717 (1997): a line in logarithms, by least squares, each
    height over its uncertainty. The uncertainty is that of the heights, by the Birge ratio (Phys.
    Rev. 40, 207 (1932)) larger where they scatter more about the line.

    Parameters
    ----------
    rates_v_per_s, heights_a, uncertainties_a
        (n,) each, of one peak.

    Raises
    ------
    MeasurementError
        For fewer than two different rates.
    """
    rates, heights = np.log(np.abs(rates_v_per_s)), np.log(np.abs(heights_a))
    if len(np.unique(np.round(rates, 2))) < 2:
        raise MeasurementError("one sweep rate gives no exponent: measure at several rates")
    weights = (heights_a / np.maximum(uncertainties_a, 1e-9 * np.abs(heights_a))) ** 2
    deviation = rates - np.average(rates, weights=weights)
    level = np.average(heights, weights=weights)
    spread = float(np.sum(weights * deviation**2))
    exponent = float(np.sum(weights * deviation * heights) / spread)
    left = float(np.sum(weights * (heights - level - exponent * deviation) ** 2))
    birge = math.sqrt(max(1.0, left / max(len(rates) - 2, 1)))
    return exponent, birge / math.sqrt(spread)
