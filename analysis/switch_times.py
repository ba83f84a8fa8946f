"""When a cycler switched a current on and off, by what the records before and after know of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rocksalt.analysis.quantities import Array
from rocksalt.analysis.readers.cycler import CyclerTable

_PART_CURRENT = 0.02  # by which a current is below the pulse's where it is a mean with part without
_NEAR = 50  # records either side that show how a column is rounded


@dataclass(frozen=True)
class SwitchTimes:
    """When a pulse's current was switched on and off, in s, with standard uncertainties.

    Attributes
    ----------
    on_s, on_uncertainty_s, off_s, off_uncertainty_s
        In s of the table's time.
    last_is_off
        Whether the last record with current was taken after it was switched off: its current is a mean.
    """

    on_s: float
    on_uncertainty_s: float
    off_s: float
    off_uncertainty_s: float
    last_is_off: bool = False


def switch_times(table: CyclerTable, start: int, end: int) -> SwitchTimes:
    """Return when the current of a pulse was switched on and off, by what the records know of it.

    A switch lies between the records before and after it. The first of these that the table has, and that
    agrees with that, tells where:

    - the time since the step began, in the first record of the step;
    - the charge counted between the two records, over the current;
    - a current below the pulse's by 2 percent and more than its scatter: the mean over an interval
      that was partly without current (regulators take milliseconds);
    - nothing: anywhere between the two, but not further from the pulse's record than the pulse's own
      interval, with a rectangular distribution (JCGM 100:2008, 4.3.7).

    The voltage is not asked: a misfit of the diffusion model would pass for a moment.

    Parameters
    ----------
    table
        The measurement.
    start, end
        First and last record of the pulse.
    """
    time, size = table.time_s, np.abs(table.current_a)
    middle = float(np.median(size[start : end + 1]))
    interval = float(np.median(np.diff(time[start : end + 1]))) if end > start else 0.0
    scatter = float(np.median(np.abs(size[start : end + 1] - middle)))
    whole = middle - max(_PART_CURRENT * middle, 9 * scatter)  # six standard deviations
    last_is_off = bool(end - start > 1 and size[end] < whole and time[end] > time[end - 1])
    final = end - last_is_off
    slope = 0.0  # Ah/s
    if table.net_charge_ah is not None and time[final] > time[start]:
        slope = float(table.net_charge_ah[final] - table.net_charge_ah[start]) / float(
            time[final] - time[start]
        )
    on = _by_step(table, start) or _by_charge(table, start - 1, start, start, slope)
    if on is None and 0 < size[start] < whole:
        gap = float(time[start] - time[start - 1])
        on = float(time[start]) - gap * float(size[start]) / middle, 0.0
    if on is None:
        width = min(float(time[start] - time[start - 1]), interval)
        on = float(time[start]) - width / 2, width / math.sqrt(12)
    off = _by_step(table, end + 1) or _by_charge(table, final, end + 1, final, slope)
    if off is None and last_is_off:
        gap = float(time[end] - time[final])
        off = float(time[final]) + gap * float(size[end]) / middle, 0.0
    if off is None:
        width = min(float(time[end + 1] - time[end]), interval)
        off = float(time[end]) + width / 2, width / math.sqrt(12)
    return SwitchTimes(*on, *off, last_is_off)


def _by_step(table: CyclerTable, first: int) -> tuple[float, float] | None:
    """Return when the step of a record began, if the record before is of another step."""
    if table.step_s is None:
        return None
    began = float(table.time_s[first] - table.step_s[first])
    near = slice(max(0, first - _NEAR), first + _NEAR)
    error = math.hypot(_resolution(table.time_s[near]), _resolution(table.step_s[near]))
    error /= math.sqrt(12)
    low, high = float(table.time_s[first - 1]), float(table.time_s[first])
    if not low - 3 * error <= began <= high + 3 * error:
        return None
    return min(max(began, low), high), error


def _by_charge(
    table: CyclerTable, before: int, after: int, running: int, slope: float
) -> tuple[float, float] | None:
    """Return when the current was switched, from the charge between two records and the slope.

    `running` is the one of both that has current.
    """
    if table.net_charge_ah is None or slope == 0:
        return None
    charge = table.net_charge_ah
    lasted = float(charge[after] - charge[before]) / slope
    near = slice(max(0, before - _NEAR), after + _NEAR)
    error = _resolution(charge[near]) / math.sqrt(6) / abs(slope)  # two readings, each rounded
    gap = float(table.time_s[after] - table.time_s[before])
    if error > gap / math.sqrt(12) or not -3 * error <= lasted <= gap + 3 * error:
        return None
    lasted = min(max(lasted, 0.0), gap)
    moment = float(table.time_s[running]) + (lasted if running == before else -lasted)
    return moment, error


def _resolution(column: Array) -> float:
    """Return the largest power of ten, 1 or less, that all numbers are multiples of; 0 below 1e-12."""
    for place in range(13):
        scaled = column * 10.0**place
        if np.all(np.abs(scaled - np.round(scaled)) < 1e-6):
            return 10.0**-place
    return 0.0
