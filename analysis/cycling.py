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
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

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
    """Return dQ/dV on an even voltage grid from the lowest to the highest voltage.

    The charge of each record interval is spread evenly over the voltages it spans, so the integral
    is the capacity and the voltage need not rise steadily; then a Gaussian smooths, with a standard
    deviation of an eighth of `smoothing_v`: it leaves as much noise as a parabola fitted over that
    width (Savitzky and Golay, Anal. Chem. 36, 1627 (1964)), but makes no maximum beside a step (Babaud
    et al., IEEE Trans. Pattern Anal. Mach. Intell. 8, 26 (1986)). A hold at constant voltage has no
    dQ/dV and is left out: intervals with less than 90 percent of the half cycle's median current.

    Parameters
    ----------
    half
        The charge or discharge.
    step_v, smoothing_v
        Width of the grid, to which the range is a whole number of steps, and of the filter, in V.

    Returns
    -------
    voltage_v, dq_dv_ah_per_v
        Both (n,); positive on charge and negative on discharge, as drawn.
    """
    volts, density = _density(half, step_v)
    sign = 1.0 if half.kind == "charge" else -1.0
    return volts, sign * gaussian_filter1d(density, _deviation(volts, smoothing_v))


@dataclass(frozen=True)
class DifferentialPeak:
    """A peak of dQ/dV.

    Attributes
    ----------
    voltage_v, uncertainty_v
        In V: the top of a parabola through what the filter's width holds. The uncertainty is that of the
        grid (a rectangular distribution), half the width in which the smoothed curve is no lower than its
        top by the noise of a difference, and how far its top is from the parabola's.
    height_ah_per_v
        As `dq_dv` gives it.
    """

    voltage_v: float
    uncertainty_v: float
    height_ah_per_v: float


def dq_dv_peaks(
    half: HalfCycle,
    *,
    step_v: float = 0.005,
    smoothing_v: float = 0.03,
    prominence: float = 0.05,
    least_noise: float = 6.0,
) -> list[DifferentialPeak]:
    """Return the peaks of dQ/dV, the largest first.

    A maximum within half of `smoothing_v` of an end is none: the curve is not known on both sides of it,
    and the beginning of a hold heaps charge there.

    Parameters
    ----------
    half, step_v, smoothing_v
        As of `dq_dv`.
    prominence
        Least rise above the surroundings, as a share of the largest value.
    least_noise
        The same, in standard deviations of the noise of the curve. This is found from second differences
        before smoothing, whose median no peak moves.
    """
    volts, density = dq_dv(half, step_v=step_v, smoothing_v=smoothing_v)
    raw = _density(half, step_v)[1]
    if len(raw) < 3:
        return []
    size = np.abs(density)
    step, width = float(volts[1] - volts[0]), _deviation(volts, smoothing_v)
    # x[i-1] - 2 x[i] + x[i+1] of independent noise has six times its variance; a Gaussian of s points
    # leaves 1 / (2 sqrt(pi) s) of it
    noise = 1.4826 * float(np.median(np.abs(np.diff(raw, 2)))) / math.sqrt(6)
    noise /= math.sqrt(max(2 * math.sqrt(math.pi) * width, 1.0))
    at, found = find_peaks(size, prominence=max(prominence * size.max(), least_noise * noise))
    first, last = volts[0] + smoothing_v / 2, volts[-1] - smoothing_v / 2
    peaks = []
    for n, low, high in zip(at, found["left_bases"], found["right_bases"], strict=True):
        if not first < volts[n] < last:
            continue
        # what is no lower than the top by the noise of a difference may be the top
        top = volts[low : high + 1][size[low : high + 1] > size[n] - math.sqrt(2) * noise]
        place = _vertex(volts, raw, n, smoothing_v)
        doubt = math.hypot(step / math.sqrt(12), float(np.ptp(top)) / 2, place - volts[n])
        peaks.append(DifferentialPeak(place, doubt, float(density[n])))
    return sorted(peaks, key=lambda peak: -abs(peak.height_ah_per_v))


def _density(half: HalfCycle, step_v: float) -> tuple[Array, Array]:
    """Return the middles of a voltage grid and the charge per volt there, above zero."""
    size = np.abs(half.current_a)
    constant = size[1:] >= 0.9 * np.median(size)
    low = np.minimum(half.voltage_v[1:], half.voltage_v[:-1])[constant]
    high = np.maximum(half.voltage_v[1:], half.voltage_v[:-1])[constant]
    passed = np.diff(half.capacity_ah)[constant]
    width = np.maximum(high - low, step_v * 1e-6)
    # bins that end where the data do: one that is filled in part would be a step
    span = float((low + width).max() - low.min())
    n_bins = max(1, round(span / step_v))
    step = span / n_bins
    edges = low.min() + step * np.arange(n_bins + 1)
    below = np.zeros(len(edges))
    for rows in np.array_split(np.arange(len(passed)), max(1, len(passed) // 2000)):
        share = np.clip((edges[:, None] - low[rows]) / width[rows], 0, 1)
        below += share @ passed[rows]
    return (edges[1:] + edges[:-1]) / 2, np.diff(below) / step


def _deviation(voltage_v: Array, smoothing_v: float) -> float:
    """Return the standard deviation of the filter in points of the grid."""
    if len(voltage_v) == 1:
        return 1.0  # of any width, it leaves one point as it is
    return smoothing_v / 8 / float(voltage_v[1] - voltage_v[0])


def _vertex(x: Array, y: Array, at: int, width: float) -> float:
    """Return the top of the least-squares parabola through the points about a maximum.

    The maximum itself where that parabola has no top among them.
    """
    near = np.abs(x - x[at]) <= max(width / 2, 1.01 * (x[1] - x[0]))
    bend, slope, _ = np.polyfit(x[near] - x[at], y[near], 2)
    shift = -slope / (2 * bend) if bend < 0 else np.inf
    return float(x[at] + shift) if abs(shift) <= width / 2 else float(x[at])


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
