"""Galvanostatic cycling: half cycles, capacities, voltages, energies, retention, dQ/dV.

Quantities and their names are those of cycling studies of Li-rich layered oxides (Sun et al. 2025:
initial Coulombic efficiency, retention, median-voltage decay per cycle, energy efficiency; Wang et
al. 2021 and Liu et al. 2022: dQ/dV and the first charge split at 4.47 V, where the activation of
Li2MnO3 begins); rate capability is the capacity at several discharge currents of one cell.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import find_peaks, savgol_filter

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.quantities import Array
from rocksalt.analysis.readers.cycler import CyclerTable, net_charge

_REST = 1e-3  # of the largest current: below it the cell rests
RATE_TOLERANCE = 0.05
"""Relative step between discharge currents, sorted by size, above which they are two rates.

Cyclers hold a current to a few tenths of a percent, and the rates of a test are tens of percent apart.
"""

_STUB = 0.01  # of the largest capacity: a half cycle below it is a switching transient


@dataclass(frozen=True)
class HalfCycle:
    """One charge or discharge.

    Attributes
    ----------
    kind
        'charge' or 'discharge'.
    cycle
        Number of the cycle: the cycler's, or counted from one.
    time_s, voltage_v, current_a
        Records while the current flows, in s, V and A (positive on charge).
    capacity_ah
        Charge passed since the half cycle began, at least zero, in Ah.
    resolution_ah
        Charge of the record interval at each end, known to lie somewhere in it, as a standard
        uncertainty, in Ah; zero where the cycler counted.
    """

    kind: str
    cycle: int
    time_s: Array
    voltage_v: Array
    current_a: Array
    capacity_ah: Array
    resolution_ah: float

    @property
    def total_ah(self) -> float:
        """Capacity in Ah."""
        return float(self.capacity_ah[-1])

    @property
    def energy_wh(self) -> float:
        """Energy in Wh: the integral of voltage over charge."""
        middle = (self.voltage_v[1:] + self.voltage_v[:-1]) / 2
        first = self.voltage_v[0] * self.capacity_ah[0]  # counted before the first record
        return float(first + np.sum(middle * np.diff(self.capacity_ah)))

    @property
    def mean_voltage_v(self) -> float:
        """Energy over charge, in V."""
        return self.energy_wh / self.total_ah

    @property
    def median_voltage_v(self) -> float:
        """Voltage when half of the capacity has passed, in V."""
        return float(np.interp(self.total_ah / 2, self.capacity_ah, self.voltage_v))

    @property
    def mean_current_a(self) -> float:
        """Size of the current, averaged over time, in A."""
        middle = (self.current_a[1:] + self.current_a[:-1]) / 2
        return float(abs(np.average(middle, weights=np.diff(self.time_s))))


@dataclass(frozen=True)
class Cycle:
    """A charge and the discharge after it; either may be missing."""

    number: int
    charge: HalfCycle | None
    discharge: HalfCycle | None


def half_cycles(table: CyclerTable) -> tuple[list[HalfCycle], list[str]]:
    """Split a measurement by the sign of its current and the cycler's cycle number.

    Rests are passed over, and end a half cycle only where the cycle number changes in them. Pieces
    with less than 1 percent of the largest capacity are left out with a remark.

    Returns
    -------
    halves, remarks

    Raises
    ------
    MeasurementError
        Without current, with a hole in the records while current flows that no counted charge
        bridges, or with a voltage that falls while the cell is said to be charged.
    """
    current = table.current_a
    largest = float(np.abs(current).max())
    if largest == 0:
        raise MeasurementError(
            f"{table.path}: no current flows: give a file of cycling, not of open circuit"
        )
    sign = np.where(np.abs(current) > _REST * largest, np.sign(current), 0)
    number = table.cycle if table.cycle is not None else np.zeros(len(sign))
    flowing = np.flatnonzero(sign)
    # a number that changes while current flows does not cut a charge in two
    renumbered = (np.diff(number[flowing]) != 0) & (np.diff(flowing) > 1)
    breaks = np.flatnonzero((np.diff(sign[flowing]) != 0) | renumbered) + 1
    charge = net_charge(table)
    halves = [
        _half_cycle(table, charge, int(sign[rows[0]]), rows)
        for rows in np.split(flowing, breaks)
        if len(rows) > 2
    ]
    if not halves:
        raise MeasurementError(
            f"{table.path}: no charge or discharge has three records: export more"
        )
    enough = _STUB * max(half.total_ah for half in halves)
    kept = [half for half in halves if half.total_ah > enough]
    remarks = []
    if len(kept) < len(halves):
        remarks.append(
            f"{len(halves) - len(kept)} pieces with less than 1 percent of the largest capacity were "
            "left out."
        )
    for half in kept:
        _check_holes(table, half)
    _check_sign(table, kept)
    return kept, remarks


def pair_cycles(halves: list[HalfCycle], *, numbered: bool) -> list[Cycle]:
    """Return cycles: a charge opens one, the discharge after it closes it.

    Parameters
    ----------
    halves
        In order of time.
    numbered
        True where the cycler's numbers hold; else cycles count from one.
    """
    pairs: list[list[HalfCycle | None]] = []
    for half in halves:
        last = pairs[-1] if pairs else None
        if half.kind == "charge" or last is None or last[1] is not None:
            pairs.append([None, None])
        pairs[-1][half.kind == "discharge"] = half
    cycles = []
    for count, (charge, discharge) in enumerate(pairs, start=1):
        first = charge or discharge
        assert first is not None  # a pair opens with a half cycle
        cycles.append(Cycle(first.cycle if numbered else count, charge, discharge))
    return cycles


def ends_early(table: CyclerTable, halves: list[HalfCycle]) -> bool:
    """Return whether the end of the file may have cut the last half cycle short.

    That is: current flows in the last record, and no half cycle of the same kind before it ended
    within 50 mV of the same voltage.
    """
    last = halves[-1]
    before = [half for half in halves[:-1] if half.kind == last.kind]
    same = before and abs(last.voltage_v[-1] - before[-1].voltage_v[-1]) <= 0.05
    return bool(last.time_s[-1] == table.time_s[-1] and not same)


def line_fit(x: Array, y: Array) -> tuple[float, float | None]:
    """Return the least-squares slope of y against x and its standard error (None for two points).

    Draper and Smith, Applied Regression Analysis (3rd edition 1998), chapter 1.
    """
    deviation = x - x.mean()
    spread = float(np.sum(deviation**2))
    slope = float(np.sum(deviation * y) / spread)
    if len(x) < 3:
        return slope, None
    residuals = y - y.mean() - slope * deviation
    return slope, float(np.sqrt(np.sum(residuals**2) / (len(x) - 2) / spread))


def rate_numbers(current_a: Array, tolerance: float = RATE_TOLERANCE) -> NDArray[np.intp]:
    """Return which rate each discharge ran at, the slowest being 0.

    Currents are sorted by size, and a new rate begins where the next one is larger by more than the
    tolerance; so a current that drifts is one rate, and the order of cycles does not matter.

    Parameters
    ----------
    current_a
        (n,) mean current of each discharge, above zero, in A.
    tolerance
        Relative.

    Returns
    -------
    ndarray
        (n,).
    """
    order = np.argsort(current_a, kind="stable")
    size = current_a[order]
    number = np.empty(len(size), dtype=np.intp)
    number[order] = np.concatenate([[0], np.cumsum(size[1:] > (1 + tolerance) * size[:-1])])
    return number


def rate_runs(number: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Return the positions of each run of discharges at one rate, in order of time.

    Parameters
    ----------
    number
        (n,) as `rate_numbers` gives them.
    """
    return np.split(np.arange(len(number)), np.flatnonzero(np.diff(number)) + 1)


def mean_capacity(halves: list[HalfCycle]) -> tuple[float, float]:
    """Return the mean capacity of half cycles and its standard uncertainty in Ah.

    The uncertainty is the standard deviation of the mean (JCGM 100:2008, 4.2.3) and what the record
    interval leaves open, which may be the same in all of them. For one half cycle it is the latter
    alone, and zero where the cycler counted: one says nothing about scatter.
    """
    totals = np.array([half.total_ah for half in halves])
    scatter = float(totals.std(ddof=1) / math.sqrt(len(totals))) if len(totals) > 1 else 0.0
    resolution = float(np.mean([half.resolution_ah for half in halves]))
    return float(totals.mean()), math.hypot(scatter, resolution)


def charge_below(half: HalfCycle, voltage_v: float) -> tuple[float, float]:
    """Return the capacity of a charge before its voltage first reaches a value.

    Returns
    -------
    capacity_ah, uncertainty_ah
        In Ah; the uncertainty is that of the record at which the voltage crosses.

    Raises
    ------
    MeasurementError
        When the voltage is not crossed.
    """
    above = np.flatnonzero(half.voltage_v >= voltage_v)
    if not len(above) or above[0] == 0:
        raise MeasurementError(
            f"the first charge runs from {half.voltage_v[0]:.2f} to {half.voltage_v.max():.2f} V and "
            f"does not cross {voltage_v:g} V: give activation_voltage_v within, or none"
        )
    at = int(above[0])
    low, high = half.voltage_v[at - 1], half.voltage_v[at]
    share = (voltage_v - low) / (high - low)
    step = float(half.capacity_ah[at] - half.capacity_ah[at - 1])
    return float(half.capacity_ah[at - 1] + share * step), step / math.sqrt(12)


def dq_dv(
    half: HalfCycle, *, step_v: float = 0.005, smoothing_v: float = 0.03
) -> tuple[Array, Array]:
    """Return dQ/dV on an even voltage grid.

    The charge of each record interval is spread evenly over the voltages it spans, so the integral
    is the capacity and the voltage need not rise steadily; then a Savitzky-Golay filter of second
    order (Savitzky and Golay, Anal. Chem. 36, 1627 (1964)) smooths. A hold at constant voltage has no
    dQ/dV and is left out: intervals with less than 90 percent of the half cycle's median current.

    Parameters
    ----------
    half
        The charge or discharge.
    step_v, smoothing_v
        Width of the grid and of the filter, in V.

    Returns
    -------
    voltage_v, dq_dv_ah_per_v
        Both (n,); positive on charge and negative on discharge, as drawn.
    """
    size = np.abs(half.current_a)
    constant = size[1:] >= 0.9 * np.median(size)
    low = np.minimum(half.voltage_v[1:], half.voltage_v[:-1])[constant]
    high = np.maximum(half.voltage_v[1:], half.voltage_v[:-1])[constant]
    passed = np.diff(half.capacity_ah)[constant]
    first = np.floor(low.min() / step_v)
    edges = step_v * np.arange(first, np.ceil(high.max() / step_v) + 2)
    width = np.maximum(high - low, step_v * 1e-6)
    below = np.zeros(len(edges))
    for rows in np.array_split(np.arange(len(passed)), max(1, len(passed) // 2000)):
        share = np.clip((edges[:, None] - low[rows]) / width[rows], 0, 1)
        below += share @ passed[rows]
    density = np.diff(below) / step_v
    window = max(3, 2 * round(smoothing_v / step_v / 2) + 1)
    if window < len(density):
        density = savgol_filter(density, window, 2, mode="nearest")
    sign = 1.0 if half.kind == "charge" else -1.0
    return (edges[1:] + edges[:-1]) / 2, sign * density


def dq_dv_peaks(
    voltage_v: Array, density: Array, *, prominence: float = 0.05
) -> list[tuple[float, float]]:
    """Return the peaks of a dQ/dV curve as (voltage in V, height), the largest first.

    Parameters
    ----------
    voltage_v, density
        As `dq_dv` gives them.
    prominence
        Least rise above the surroundings, as a share of the largest value.
    """
    size = np.abs(density)
    at, _ = find_peaks(size, prominence=prominence * size.max())
    at = at[np.argsort(-size[at])]
    return [(_vertex(voltage_v, size, int(n)), float(density[n])) for n in at]


def _vertex(x: Array, y: Array, at: int) -> float:
    """Return the top of the parabola through a maximum and its two neighbours."""
    left, middle, right = y[at - 1 : at + 2]
    bend = left - 2 * middle + right
    shift = 0.0 if bend == 0 else 0.5 * (left - right) / bend
    return float(x[at] + shift * (x[1] - x[0]))


def _half_cycle(table: CyclerTable, charge: Array, sign: int, rows: NDArray[np.intp]) -> HalfCycle:
    """Cut one half cycle out; a counted charge starts at the record before it."""
    counted = table.net_charge_ah is not None
    time_s = table.time_s[rows]
    # The cycler counts from the switch, between the record before and the first with current.
    start = charge[max(int(rows[0]) - 1, 0)] if counted else charge[rows[0]]
    capacity = sign * (charge[rows] - start)
    if capacity[-1] <= 0:
        raise MeasurementError(
            f"{table.path}: at {time_s[0] / 3600:.2f} h the capacity is negative while the cell is said"
            f" to be {'charged' if sign > 0 else 'discharged'}: check positive_current and the columns"
        )
    interval = float(np.median(np.diff(time_s)))
    size = float(np.median(np.abs(table.current_a[rows])))
    return HalfCycle(
        kind="charge" if sign > 0 else "discharge",
        cycle=int(table.cycle[rows[0]]) if table.cycle is not None else 0,
        time_s=time_s,
        voltage_v=table.voltage_v[rows],
        current_a=table.current_a[rows],
        capacity_ah=np.maximum.accumulate(np.maximum(capacity, 0)),
        # two ends, each a rectangular distribution as wide as one interval (JCGM 100:2008, 4.3.7)
        resolution_ah=0.0 if counted else size * interval / 3600 / math.sqrt(6),
    )


def _check_holes(table: CyclerTable, half: HalfCycle) -> None:
    """Refuse a hole that an integral of the current would bridge with an invention."""
    if table.net_charge_ah is not None:
        return
    lapse = np.diff(half.time_s)
    at = int(np.argmax(lapse))
    if lapse[at] > 20 * np.median(lapse) and lapse[at] > 0.01 * (half.time_s[-1] - half.time_s[0]):
        raise MeasurementError(
            f"{table.path}: {lapse[at]:.0f} s without records in the {half.kind} at "
            f"{half.time_s[at] / 3600:.2f} h: give the cycler's capacity columns, or cut the file there"
        )


def _check_sign(table: CyclerTable, halves: list[HalfCycle]) -> None:
    """Refuse a sign of the current that the voltages contradict: charging raises the voltage."""
    wrong = [
        half
        for half in halves
        if (half.voltage_v[-1] - half.voltage_v[0]) * (1 if half.kind == "charge" else -1) < 0
    ]
    if len(wrong) > len(halves) / 2:
        raise MeasurementError(
            f"{table.path}: the voltage falls while the cell is said to be charged: give the other "
            "positive_current"
        )
