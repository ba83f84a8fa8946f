"""Galvanostatic intermittent titration: diffusion coefficients and overpotentials from pulses.

Weppner and Huggins, J. Electrochem. Soc. 124, 1569 (1977), for a sphere of radius Rs as Liu et al.
2022, equation 1, have it: D = 4/(pi tau) (Rs/3)^2 (dEs/dEtau)^2. It holds while the concentration
wave is thin against the radius, D tau << Rs^2, where E is linear in the root of time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.quantities import Array
from rocksalt.analysis.readers.cycler import CyclerTable, net_charge
from rocksalt.analysis.switch_times import SwitchTimes, switch_times

_REST = 1e-3  # of the largest current
_LEAST_REST = 4  # records of a rest
_LEAST_RECORDS = 8  # a fit of three terms with a scatter worth the name
_TRAPEZOID = np.array([0.5, *[1.0] * 7, 0.5])  # weights of a mean over nine steps


@dataclass(frozen=True)
class Pulse:
    """One pulse of current and what its voltage gives.

    Attributes
    ----------
    start_s, duration_s
        In s.
    current_a
        Mean, positive on charge, in A.
    capacity_ah
        Net charge passed since the first pulse began, at the pulse's middle, in Ah.
    rest_before_v, rest_after_v
        Relaxed voltages, in V.
    ir_drop_v
        Jump when the current starts, from the fit's value at time zero, in V; signed.
    d_es_v, d_es_uncertainty_v
        Change of the relaxed voltage, in V.
    d_etau_v, d_etau_uncertainty_v
        Change during the pulse without the jump: its part linear in the root of time, in V; the
        uncertainty is that of the fit.
    switch_uncertainty_s
        Of the moments at which the current was switched on and off, together, in s.
    switch_share
        Relative standard uncertainty of the diffusion coefficient by these moments: they move tau,
        and the root of time that the voltage is fitted by.
    overpotential_v
        Voltage at the pulse's end less the relaxed voltage after it, in V; signed.
    bend
        Change linear in time over that linear in its root: 0.5 sqrt(pi D tau)/Rs in theory.
    correlation
        Coefficient of determination of a line in the root of time.
    """

    start_s: float
    duration_s: float
    current_a: float
    capacity_ah: float
    rest_before_v: float
    rest_after_v: float
    ir_drop_v: float
    d_es_v: float
    d_es_uncertainty_v: float
    d_etau_v: float
    d_etau_uncertainty_v: float
    switch_uncertainty_s: float
    switch_share: float
    overpotential_v: float
    bend: float
    correlation: float


def find_pulses(table: CyclerTable, *, skip_s: float = 10.0) -> list[Pulse]:
    """Return the pulses that have a rest before and after them.

    Parameters
    ----------
    table
        The measurement.
    skip_s
        Start of each pulse that is not fitted: charge transfer and the double layer, in s.

    Raises
    ------
    MeasurementError
        When there is no pulse between rests, or its records are too few.
    """
    size = np.abs(table.current_a)
    on = size > _REST * size.max()
    edges = np.flatnonzero(np.diff(on.astype(int)))
    starts = [int(edge) + 1 for edge in edges if not on[edge]]
    charge = net_charge(table)
    pulses = []
    for count, start in enumerate(starts):
        ends = edges[edges >= start]
        if not len(ends):
            break  # the file ends in the pulse
        end = int(ends[0])  # last record with current
        before = int(edges[edges < start - 1][-1]) + 1 if np.any(edges < start - 1) else 0
        after = starts[count + 1] if count + 1 < len(starts) else len(on)
        if count + 1 == len(starts) and after - end - 1 < _LEAST_REST:
            break  # the file ends before the last pulse has relaxed
        switched = switch_times(table, start, end)
        end -= switched.last_is_off
        rows = slice(start, end + 1)
        pulses.append(
            _pulse(
                table.path,
                switched,
                (table.time_s[rows], table.voltage_v[rows]),
                float(np.mean(table.current_a[rows])),
                (table.time_s[before:start], table.voltage_v[before:start]),
                (table.time_s[end + 1 : after], table.voltage_v[end + 1 : after]),
                float((charge[start] + charge[end]) / 2 - charge[starts[0]]),
                skip_s,
            )
        )
    if not pulses:
        raise MeasurementError(
            f"{table.path}: no pulse of current lies between two rests: give a titration (GITT)"
        )
    return pulses


def diffusion(
    duration_s: Array,
    radius_m: float,
    d_es: tuple[Array, Array],
    d_etau: tuple[Array, Array],
    radius_uncertainty_m: float = 0.0,
    switch_share: Array | float = 0.0,
) -> tuple[Array, Array]:
    """Return D = 4/(pi tau) (Rs/3)^2 (dEs/dEtau)^2, Liu et al. 2022, equation 1.

    Parameters
    ----------
    duration_s
        tau of each pulse, in s.
    radius_m, radius_uncertainty_m
        Rs and its standard uncertainty, in m.
    d_es, d_etau
        Each a pair of values and standard uncertainties, in V.
    switch_share
        Relative standard uncertainty by the moments at which the current was switched.

    Returns
    -------
    coefficient_m2_per_s, uncertainty_m2_per_s
        The uncertainty is that of a product of powers (JCGM 100:2008, equation 12), with a share
        for what the equation leaves out. In a sphere the surface concentration rises as
        2 sqrt(T/pi) + T + 4/3 T^1.5/sqrt(pi) + ..., T = D t/Rs^2 (for short times, from the
        transform of Crank, The Mathematics of Diffusion, 2nd edition 1975, equation 6.45).
        `root_time_fit` has the first two terms; the others lower its slope by 0.8 T (0.74 to
        0.85 T for the exact series with T from 0.01 to 0.05), so that D comes out high by up to
        twice this share: it is not corrected, to stay comparable with published values.
    """
    value = 4 / (np.pi * duration_s) * (radius_m / 3) ** 2 * (d_es[0] / d_etau[0]) ** 2
    shares = [
        d_es[1] / np.abs(d_es[0]),
        d_etau[1] / np.abs(d_etau[0]),
        np.full(len(value), radius_uncertainty_m / radius_m),
        0.8 * value * duration_s / radius_m**2,
        np.broadcast_to(switch_share, value.shape)
        / 2,  # of D itself, where the others are of its root
    ]
    return value, 2 * value * np.sqrt(np.sum(np.square(shares), axis=0))


def root_time_fit(time_s: Array, voltage_v: Array) -> tuple[Array, Array]:
    """Fit E = a + b sqrt(t) + c t, the first terms of diffusion into a sphere, by least squares.

    Parameters
    ----------
    time_s
        (n,) since the current began, the same for all, in s.
    voltage_v
        (..., n) in V.

    Returns
    -------
    coefficients, uncertainties
        (..., 3): a in V, b in V/s^0.5, c in V/s; standard errors from the scatter about the fit.
    """
    design = np.stack([np.ones(len(time_s)), np.sqrt(time_s), time_s], axis=1)
    scale = np.abs(design).max(axis=0)
    inverse = np.linalg.pinv(design / scale)
    found = voltage_v @ inverse.T
    residuals = voltage_v - found @ (design / scale).T
    variance = np.sum(residuals**2, axis=-1) / (len(time_s) - 3)
    spread = np.sum(inverse**2, axis=1)
    return found / scale, np.sqrt(variance[..., None] * spread) / scale


def relaxed(time_s: Array, voltage_v: Array) -> tuple[Array, Array]:
    """Return the voltage at the end of a rest and its standard uncertainty.

    The mean of the last tenth of the records. Its uncertainty joins the scatter of the mean and what
    the voltage still moved in the last quarter of the rest: an exponential that halves in a quarter
    has as much left to go.

    Parameters
    ----------
    time_s
        (n,) in s.
    voltage_v
        (..., n) in V.
    """
    last = max(2, len(time_s) // 10)
    tail = voltage_v[..., -last:]
    value = tail.mean(axis=-1)
    error = tail.std(axis=-1, ddof=1) / np.sqrt(last)
    early = np.searchsorted(time_s, time_s[-1] - (time_s[-1] - time_s[0]) / 4)
    early = min(max(int(early), last // 2), len(time_s) - last)
    window = voltage_v[..., early - last // 2 : early + last - last // 2]
    moved = np.abs(value - window.mean(axis=-1))
    moved = np.where(moved > 3 * np.sqrt(2) * error, moved, 0.0)  # more than scatter explains
    return value, np.hypot(error, moved)


def _pulse(
    path: str,
    switched: SwitchTimes,
    during: tuple[Array, Array],
    current_a: float,
    before: tuple[Array, Array],
    after: tuple[Array, Array],
    capacity_ah: float,
    skip_s: float,
) -> Pulse:
    duration = switched.off_s - switched.on_s
    passed, voltage = during[0] - switched.on_s, during[1]
    widest = math.sqrt(3) * switched.on_uncertainty_s  # of a rectangle: the latest it can be
    use = passed >= skip_s + widest - 1e-6  # differences of times are rounded
    if use.sum() < _LEAST_RECORDS or min(len(before[0]), len(after[0])) < _LEAST_REST:
        raise MeasurementError(
            f"{path}: the pulse at {switched.on_s / 3600:.2f} h has {use.sum()} records after "
            f"{skip_s + widest:.3g} s and rests of {len(before[0])} and {len(after[0])}: record more "
            "often, or give a smaller skip_s"
        )
    (level, slope, bow), (_, slope_error, _) = root_time_fit(passed[use], voltage[use])
    # D goes as the slope times tau to the power of -2; both move with the moment of switching on
    moves = widest * np.linspace(-1, 1, 9)
    slopes = np.array([root_time_fit(passed[use] - move, voltage[use])[0][1] for move in moves])
    with np.errstate(divide="ignore", invalid="ignore"):
        powers = (slopes * (duration - moves) / (slope * duration)) ** -2
    share = np.hypot(
        np.sqrt(np.average((powers - 1) ** 2, weights=_TRAPEZOID)),
        2 * switched.off_uncertainty_s / duration,
    )
    line = np.corrcoef(np.sqrt(passed[use]), voltage[use])[0, 1]
    first, first_error = relaxed(*before)
    last, last_error = relaxed(*after)
    root = np.sqrt(duration)
    return Pulse(
        start_s=switched.on_s,
        duration_s=duration,
        current_a=current_a,
        capacity_ah=capacity_ah,
        rest_before_v=float(first),
        rest_after_v=float(last),
        ir_drop_v=float(level - first),
        d_es_v=float(last - first),
        d_es_uncertainty_v=float(np.hypot(first_error, last_error)),
        d_etau_v=float(slope * root),
        d_etau_uncertainty_v=float(slope_error * root),
        switch_uncertainty_s=float(np.hypot(switched.on_uncertainty_s, switched.off_uncertainty_s)),
        switch_share=float(share),
        overpotential_v=float(voltage[-1] - last),
        bend=float(bow * root / slope) if slope else float("inf"),
        correlation=float(line**2),
    )
