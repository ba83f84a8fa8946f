"""Gas evolution (OEMS, DEMS): where a gas sets in, how much of it comes, against lithium removed.

Liu et al. 2022 and Sun et al. 2025 compare the onset of O2 and CO2 by voltage and by degree of
delithiation, and the total amounts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.constants import physical_constants

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.quantities import Array
from rocksalt.analysis.sample import composition_of

_FARADAY_C_PER_MOL = physical_constants["Faraday constant"][0]
_LEAST_BASELINE = 10  # records
_ONSETS = 150  # times that are tried for an onset
_MOST_RECORDS = 300  # of an onset's fit: more are averaged in groups


@dataclass(frozen=True)
class Baseline:
    """A polynomial in time under a rate, and the noise about it.

    Attributes
    ----------
    values
        (n,) at every record.
    basis
        (n, degree + 1): the columns that the coefficients belong to.
    covariance
        (degree + 1, degree + 1) of the coefficients.
    scatter
        Standard deviation of a record about it.
    inflation
        Factor on the variance of a mean of many records, where neighbours err alike.
    """

    values: Array
    basis: Array
    covariance: Array
    scatter: float
    inflation: float

    def variance(self) -> Array:
        """Return the (n,) variance of the baseline itself at every record."""
        return np.asarray(np.sum(self.basis @ self.covariance * self.basis, axis=1))


@dataclass(frozen=True)
class Onset:
    """Where a gas sets in: times that were tried and how probable each is.

    Attributes
    ----------
    time_s
        (k,) in s.
    probability
        (k,), sum 1.
    first_record
        First record of the run above the threshold.
    """

    time_s: Array
    probability: Array
    first_record: int

    def at(self, time_s: Array, quantity: Array) -> tuple[float, float]:
        """Return a quantity at the onset and its standard uncertainty.

        Parameters
        ----------
        time_s, quantity
            (n,) record times in s, and what was measured at them. Its own scatter, from its second
            differences, is in the uncertainty.
        """
        values = np.interp(self.time_s, time_s, quantity)
        mean = float(self.probability @ values)
        spread = float(self.probability @ (values - mean) ** 2)
        near = slice(max(self.first_record - 20, 0), self.first_record + 20)
        bends = np.diff(quantity[near], n=2)
        own = float(np.median(np.abs(bends))) / 0.6745 / math.sqrt(6) if len(bends) else 0.0
        return mean, math.hypot(math.sqrt(spread), own)


def fit_baseline(
    time_s: Array, rate: Array, inside: NDArray[np.bool_], *, degree: int = 1
) -> Baseline:
    """Fit a polynomial to the records before gas evolves, by least squares.

    Where neighbouring residuals are correlated (r, beyond two standard errors 1/sqrt(n) of none),
    variances of means are larger by (1 + r)/(1 - r), as of an autoregressive process of first order
    (Bartlett, J. R. Stat. Soc. 98, 536 (1935)).

    Parameters
    ----------
    time_s, rate
        (n,) each; rate in any unit.
    inside
        (n,) bool: the records of the baseline.
    degree
        0, 1 or 2.

    Raises
    ------
    MeasurementError
        For fewer than 10 records, or records without any scatter.
    """
    count = int(inside.sum())
    if count < _LEAST_BASELINE:
        raise MeasurementError(
            f"the baseline holds {count} records, at least {_LEAST_BASELINE} are needed: widen it"
        )
    middle = time_s[inside].mean()
    span = float(np.ptp(time_s[inside])) or 1.0
    basis = np.vander((time_s - middle) / span, degree + 1, increasing=True)
    inverse = np.linalg.pinv(basis[inside])
    coefficients = inverse @ rate[inside]
    left = rate[inside] - basis[inside] @ coefficients
    scatter = math.sqrt(float(left @ left) / (count - degree - 1))
    if scatter < 1e-9 * float(np.abs(rate).max()) or scatter == 0:
        raise MeasurementError(
            "the baseline has no scatter: was it cut off or smoothed? give the rates as measured"
        )
    neighbours = float(left[1:] @ left[:-1] / (left @ left))
    related = min(neighbours, 0.95) if neighbours > 2 / math.sqrt(count) else 0.0
    inflation = (1 + related) / (1 - related)
    return Baseline(
        values=basis @ coefficients,
        basis=basis,
        covariance=scatter**2 * inflation * inverse @ inverse.T,
        scatter=scatter,
        inflation=inflation,
    )


def find_onset(
    time_s: Array,
    rate: Array,
    baseline: Baseline,
    from_record: int,
    *,
    sigmas: float = 5.0,
    run: int = 5,
) -> Onset | None:
    """Return where a rate leaves its baseline, or None where it never does.

    It has left where `run` records in a row are above the baseline by `sigmas` standard deviations
    (of a record and of the baseline there). From there it is followed back: level + a d + b d^2 with
    d = max(t - t0, 0), once with a > 0 and once with a = 0, is fitted to the records up to where the
    mean of a run reaches four times the threshold, or half of the largest, and as far before the run
    as six times that stretch. Each t0 has a probability of exp(-S/(2 s^2)), S the least sum of
    squares with that t0 (Akaike's penalty on a), s the scatter of the baseline, or about the best
    fit where that is larger. Mean and standard deviation over it are the onset and its uncertainty.

    A rate that rises from its onset with a kink is found within its uncertainty, one that rises
    without (as d^2) late by up to about twice its uncertainty.

    Parameters
    ----------
    time_s, rate
        (n,) each.
    baseline
        Of the rate.
    from_record
        Records before it are not searched.
    sigmas, run
        The rule.
    """
    excess = rate - baseline.values
    threshold = sigmas * np.sqrt(baseline.scatter**2 + baseline.variance())
    above = excess > threshold
    above[:from_record] = False
    runs = np.convolve(above, np.ones(run, dtype=int), mode="valid") == run
    if not runs.any():
        return None
    first = int(np.argmax(runs))
    means = np.convolve(excess[first:], np.ones(run) / run, mode="valid")
    enough = min(4 * threshold[first], means.max() / 2)
    last = min(first + max(int(np.argmax(means >= enough)) + run, 2 * run), len(rate))
    begin = max(first - max(6 * (last - first), 3 * run), 0)
    group = -(-(last - begin) // _MOST_RECORDS)
    whole = begin + (last - begin) // group * group
    time, values = (each[begin:whole].reshape(-1, group).mean(axis=1) for each in (time_s, excess))
    # three times after an onset tell its slope from its bend
    ends = time[0], min(float(time_s[min(first + run, len(time_s)) - 1]), time[-4])
    for _ in range(2):  # again in finer steps where it is probable
        tried = np.linspace(*ends, _ONSETS)
        squares = _squares_by_onset(time, values, tried)
        noise = baseline.scatter**2 * baseline.inflation / group
        variance = max(noise, float(squares.min()) / max(len(time) - 4, 1))
        apart = (squares - squares.min()) / (2 * variance)
        probable = np.flatnonzero(apart.min(axis=0) < 20)
        ends = tried[max(probable[0] - 1, 0)], tried[min(probable[-1] + 1, _ONSETS - 1)]
    # the slope is a parameter more, which costs one in Akaike's criterion over two
    probability = np.exp(-apart[0] - 1) + np.exp(-apart[1])
    return Onset(tried, probability / probability.sum(), first)


def amount(time_s: Array, rate: Array, baseline: Baseline, from_record: int) -> tuple[float, float]:
    """Return the integral of a rate above its baseline from a record to the end.

    By trapezia. Its standard uncertainty joins the noise of the records, the uncertainty of the
    baseline under them, and a third of the difference to the integral of every second record, where
    that is more than noise (the error of a trapezium goes with the square of its width).

    Parameters
    ----------
    time_s, rate
        (n,) each.
    baseline
        Of the rate.
    from_record
        Where the integral begins.

    Returns
    -------
    value, uncertainty
        In the unit of the rate times s.
    """
    weights = np.zeros(len(time_s))
    weights[from_record:] = _trapezia(time_s[from_record:])
    value = float(weights @ (rate - baseline.values))
    noise = baseline.scatter**2 * baseline.inflation * float(weights @ weights)
    pull = weights @ baseline.basis
    under = float(pull @ baseline.covariance @ pull)
    coarse = np.zeros(len(time_s))
    stop = len(time_s) - (len(time_s) - from_record + 1) % 2  # an odd number of records
    coarse[from_record:stop:2] = _trapezia(time_s[from_record:stop:2])
    fine = np.zeros(len(time_s))
    fine[from_record:stop] = _trapezia(time_s[from_record:stop])
    apart = coarse - fine
    sampling = abs(float(apart @ (rate - baseline.values)))
    if sampling < 3 * baseline.scatter * math.sqrt(float(apart @ apart)):
        sampling = 0.0
    return value, math.sqrt(noise + under + (sampling / 3) ** 2)


def delithiation(net_charge_ah: Array, mass_g: float, composition: str) -> Array:
    """Return the share of its lithium that the active material has lost, by Faraday's law.

    All charge is taken for lithium.

    Parameters
    ----------
    net_charge_ah
        (n,) charge passed since the composition held, rising on charge, in Ah.
    mass_g
        Of active material, in g.
    composition
        Its formula.

    Raises
    ------
    MeasurementError
        For a formula that is none, or without lithium.
    """
    try:
        formula = composition_of(composition)
    except MeasurementError as error:
        raise MeasurementError(f"sample.composition: {error}") from None
    if not formula["Li"]:
        raise MeasurementError(
            f"sample.composition: {composition!r} holds no lithium, of which a share is asked"
        )
    lithium_mol = mass_g / float(formula.weight) * formula["Li"]
    return net_charge_ah * 3600 / _FARADAY_C_PER_MOL / lithium_mol


def _trapezia(time_s: Array) -> Array:
    """Return the weight of each record in an integral by trapezia."""
    widths = np.diff(time_s)
    return (np.concatenate([widths, [0.0]]) + np.concatenate([[0.0], widths])) / 2


def _squares_by_onset(time: Array, values: Array, tried: Array) -> Array:
    """Return the least sums of squares for each onset that is tried, with a slope and without.

    Returns
    -------
    ndarray
        (2, n_tried).
    """
    late = np.maximum(time - tried[:, None], 0.0) / (time[-1] - time[0])
    ones = np.ones_like(late)
    whole = np.stack([ones, late, late**2], axis=-1)
    bent = np.stack([ones, late**2], axis=-1)

    def fitted(design: Array) -> tuple[Array, Array]:
        directions, triangle = np.linalg.qr(design)
        shares = np.einsum("ijk,j->ik", directions, values)
        found = np.linalg.solve(triangle, shares[..., None])[..., 0]
        return found, values @ values - np.sum(shares**2, axis=1)

    found, squares = fitted(whole)
    tangent = fitted(bent)[1]
    return np.stack([np.where(found[:, 1] >= 0, squares, tangent), tangent])
