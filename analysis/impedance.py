"""Impedance: linear Kramers-Kronig test and distribution of relaxation times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from scipy.optimize import nnls
from threadpoolctl import ThreadpoolController

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.quantities import Array
from rocksalt.analysis.readers.impedance import Complex

_PER_DECADE = 12  # relaxation times per decade
_BEYOND = 0.5  # decades of relaxation times beyond the measured ones
_CHOICES = tuple(10.0**power for power in range(-6, 3))  # weights of the penalty

_Function = TypeVar("_Function", bound=Callable[..., Any])


def _one_thread(function: _Function) -> _Function:
    """Let a function compute in one thread: its matrices are small, more threads only wait."""
    return cast(_Function, ThreadpoolController().wrap(limits=1)(function))


@dataclass(frozen=True)
class KramersKronig:
    """Result of the linear Kramers-Kronig test.

    Attributes
    ----------
    elements
        RC elements that the test needed.
    residuals
        (n,), complex: measured less fitted, over the magnitude.
    """

    elements: int
    residuals: Complex

    @property
    def root_mean_square(self) -> float:
        """Of real and imaginary residuals, as a share of the magnitude."""
        return float(np.sqrt(np.mean(np.abs(self.residuals) ** 2) / 2))


@dataclass(frozen=True)
class RelaxationTimes:
    """A distribution of relaxation times.

    Attributes
    ----------
    tau_s
        (k,) relaxation times, even in their logarithm, in s.
    resistance_ohm
        (k,) resistance at each, in ohm.
    covariance
        (k + 3, k + 3) of the resistances, R0, the inductance and the inverse series capacitance.
    least_ohm
        (k,) standard uncertainty of a single relaxation at each time: a smaller one is not seen.
    ohmic, inductance_h, elastance_per_f
        R0 in ohm, L in H, 1/C in 1/F.
    regularisation
        The parameter with the least score of generalised cross-validation.
    residuals
        (n,), complex, over the magnitude.
    freedom
        Number of parameters that the fit with that parameter effectively has.
    """

    tau_s: Array
    resistance_ohm: Array
    covariance: Array
    least_ohm: Array
    ohmic: float
    inductance_h: float
    elastance_per_f: float
    regularisation: float
    residuals: Complex
    freedom: float

    def density(self) -> Array:
        """Return the distribution per natural logarithm of the time, in ohm."""
        return self.resistance_ohm / np.log(self.tau_s[1] / self.tau_s[0])

    def between(self, from_s: float, to_s: float) -> tuple[float, float]:
        """Return the resistance of a window of times and its standard uncertainty, in ohm.

        No window is known better than the best known single relaxation in it, also one where
        nothing was found.

        Raises
        ------
        MeasurementError
            When the window holds none of the times.
        """
        step = np.log(self.tau_s[1] / self.tau_s[0])
        upper = np.log(self.tau_s) + step / 2  # an element stands for a step about its time
        with np.errstate(divide="ignore"):
            first, last = np.log(from_s), np.log(to_s)
        share = (np.minimum(upper, last) - np.maximum(upper - step, first)) / step
        share = np.clip(share, 0.0, 1.0)
        if not share.any():
            raise MeasurementError(
                f"the spectrum sees relaxation times from {self.tau_s[0]:.3g} to {self.tau_s[-1]:.3g} s, "
                f"none from {from_s:g} to {to_s:g} s: give another window"
            )
        weight = np.concatenate([share, np.zeros(3)])
        doubt = np.sqrt(max(weight @ self.covariance @ weight, 0.0))
        return (
            float(self.resistance_ohm @ share),
            float(max(doubt, self.least_ohm[share > 0].min())),
        )


@_one_thread
def kramers_kronig(frequency_hz: Array, impedance_ohm: Complex) -> KramersKronig:
    """Test a spectrum for linearity, causality and stability.

    A series of R0, L, C and RC elements with fixed times and free signs obeys the Kramers-Kronig
    relations, so what it cannot fit breaks them (Boukamp, J. Electrochem. Soc. 142, 1885 (1995)). The
    number of elements is where generalised cross-validation is least (Golub, Heath and Wahba,
    Technometrics 21, 215 (1979), equation 1.4).

    Parameters
    ----------
    frequency_hz, impedance_ohm
        (n,) each.

    Raises
    ------
    MeasurementError
        For fewer than 10 frequencies.
    """
    _check(frequency_hz, impedance_ohm)
    angular = 2 * np.pi * frequency_hz
    weight = 1 / np.abs(impedance_ohm)
    series = np.stack([np.ones(len(angular)), 1j * angular, 1 / (1j * angular)], axis=1)
    target = np.concatenate([impedance_ohm.real, impedance_ohm.imag]) * np.tile(weight, 2)
    best: tuple[float, int, Array] | None = None
    for count in range(3, len(angular) // 2 + 1):
        tau = np.geomspace(1 / angular.max(), 1 / angular.min(), count)
        design = np.concatenate([_relaxations(angular, tau), series], axis=1)
        design = np.concatenate([design.real, design.imag]) * np.tile(weight, 2)[:, None]
        scale = np.linalg.norm(design, axis=0)
        left = target - design @ (np.linalg.lstsq(design / scale, target, rcond=None)[0] / scale)
        score = float(np.sum(left**2)) / (len(target) - count - 3) ** 2
        if best is None or score < best[0]:
            best = (score, count, left)
    assert best is not None  # ten frequencies make at least three elements
    _, count, left = best
    half = len(angular)
    return KramersKronig(count, left[:half] + 1j * left[half:])


@_one_thread
def relaxation_times(
    frequency_hz: Array, impedance_ohm: Complex, *, regularisation: float | None = None
) -> RelaxationTimes:
    """Return the distribution of relaxation times of a spectrum.

    Z = R0 + j w L + 1/(j w C) + sum_k R_k/(1 + j w tau_k) with nothing negative, by least squares
    with a penalty on the second differences of R_k (Wan, Saccoccio, Chen and Ciucci, Electrochim.
    Acta 184, 483 (2015), with discrete elements), each point over its magnitude.

    Every weight of the penalty from 1e-6 to 100 is fitted. The result is their mean, each weighed by
    exp(-n ln(V)/2) with the n data and the score V of generalised cross-validation (Golub, Heath and
    Wahba, Technometrics 21, 215 (1979), equation 1.4; its freedom is the trace of the fit's matrix
    over the elements that are not at zero): where the freedom is small against n, n ln V is Akaike's
    criterion, and these are his weights. The covariance joins three parts:

    - within a fit, that of the Bayesian reading of the penalty (Wahba, J. R. Stat. Soc. B 45, 133
      (1983)), over the elements that are not at zero;
    - between the fits, their spread about the mean (Buckland, Burnham and Augustin, Biometrics 53,
      603 (1997)): a peak that is smoothed too much or split moves between them, which the first part
      does not know;
    - beyond the measured times, on R0 and the fastest element with opposite signs, and on the slowest
      element: what relaxes there may be as much as the last half decade within holds, or as a single
      relaxation there that is not seen (a rectangular distribution).

    Parameters
    ----------
    frequency_hz, impedance_ohm
        (n,) each.
    regularisation
        Weight of the penalty, given instead of weighed.

    Raises
    ------
    MeasurementError
        For fewer than 10 frequencies, or a spectrum that is not finite.
    """
    _check(frequency_hz, impedance_ohm)
    angular = 2 * np.pi * frequency_hz
    low, high = np.log10(1 / angular.max()) - _BEYOND, np.log10(1 / angular.min()) + _BEYOND
    tau = np.logspace(low, high, round((high - low) * _PER_DECADE) + 1)
    series = np.stack([np.ones(len(angular)), 1j * angular, 1 / (1j * angular)], axis=1)
    # Units in which the inductance and the capacitance weigh as the resistances do.
    units = np.concatenate([np.ones(len(tau) + 1), [1 / angular.max(), angular.min()]])
    design = np.concatenate([_relaxations(angular, tau), series], axis=1) * units
    weight = np.tile(1 / np.abs(impedance_ohm), 2)
    design = np.concatenate([design.real, design.imag]) * weight[:, None]
    target = np.concatenate([impedance_ohm.real, impedance_ohm.imag]) * weight
    scale = np.median(np.abs(impedance_ohm))
    design *= scale  # so that one regularisation suits any cell
    bends = np.zeros((len(tau), design.shape[1]))
    bends[:, : len(tau)] = np.diff(np.eye(len(tau) + 2), n=2, axis=0)[
        :, 1:-1
    ]  # zero beyond the ends
    # Orthogonal factors keep every quantity below and make the problem small.
    _, factor = np.linalg.qr(np.concatenate([design, target[:, None]], axis=1))
    choices = _CHOICES if regularisation is None else (regularisation,)
    fits = [
        _regularised(factor[:, :-1], factor[:, -1], bends, choice, len(target))
        for choice in choices
    ]
    criteria = len(target) * np.log([fit.score for fit in fits])
    best = fits[int(np.argmin(criteria))]
    shares = np.exp(-(criteria - criteria.min()) / 2)
    shares /= shares.sum()
    found = np.sum([share * fit.found for share, fit in zip(shares, fits, strict=True)], axis=0)
    covariance = np.sum(
        [
            share * (fit.covariance + np.outer(fit.found - found, fit.found - found))
            for share, fit in zip(shares, fits, strict=True)
        ],
        axis=0,
    )
    left = target - design @ found
    scales = units * scale
    half = len(angular)
    mean = RelaxationTimes(
        tau_s=tau,
        resistance_ohm=(found * scales)[: len(tau)],
        covariance=covariance * np.outer(scales, scales),
        least_ohm=(best.single * scales)[: len(tau)],
        ohmic=float((found * scales)[-3]),
        inductance_h=float((found * scales)[-2]),
        elastance_per_f=float((found * scales)[-1]),
        regularisation=best.regularisation,
        residuals=left[:half] + 1j * left[half:],
        freedom=best.freedom,
    )
    return replace(mean, covariance=mean.covariance + _beyond_the_ends(mean))


class _Fit(NamedTuple):
    """A fit with one weight of the penalty; `single` are the uncertainties of single elements."""

    regularisation: float
    score: float
    found: Array
    covariance: Array
    single: Array
    freedom: float


def _regularised(
    design: Array, target: Array, bends: Array, regularisation: float, n_data: int
) -> _Fit:
    stacked = np.concatenate([design, np.sqrt(regularisation) * bends])
    found, _ = nnls(stacked, np.concatenate([target, np.zeros(len(bends))]), maxiter=5000)
    active = found > 0
    normal = design[:, active].T @ design[:, active]
    mixed = stacked.T @ stacked[:, active]
    inverse = np.linalg.pinv(mixed[active], hermitian=True)
    freedom = float(np.trace(inverse @ normal))
    misfit = float(np.sum((target - design @ found) ** 2))
    variance = misfit / (n_data - freedom)
    covariance = np.zeros((len(found),) * 2)
    covariance[np.ix_(active, active)] = variance * inverse
    # An element at zero, if it alone were let go: what the others cannot take up of it tells it.
    own = np.sum(stacked**2, axis=0)
    unshared = own - np.sum(mixed @ inverse * mixed, axis=1)
    single = np.sqrt(variance / np.maximum(unshared, 1e-10 * own))
    single[active] = np.sqrt(np.diag(covariance)[active])
    unseen = ~active & (np.arange(len(found)) >= len(bends))  # R0, L or 1/C at zero
    covariance[unseen, unseen] = single[unseen] ** 2
    score = misfit / (n_data - freedom) ** 2
    return _Fit(float(regularisation), score, found, covariance, single, freedom)


def _beyond_the_ends(found: RelaxationTimes) -> Array:
    """Return the covariance for what relaxes faster or slower than the spectrum sees."""
    half = round(_BEYOND * _PER_DECADE)
    fast, slow = (
        max(found.resistance_ohm[rows].sum(), found.least_ohm[rows].min())
        for rows in (slice(half, 2 * half), slice(-2 * half, -half))
    )
    ends = np.zeros((2, len(found.covariance)))
    ends[0, -3], ends[0, 0] = fast, -fast
    ends[1, len(found.tau_s) - 1] = slow
    return np.asarray(ends.T @ ends / 3)


def _relaxations(angular: Array, tau: Array) -> Complex:
    return np.asarray(1 / (1 + 1j * np.outer(angular, tau)), dtype=np.complex128)


def _check(frequency_hz: Array, impedance_ohm: Complex) -> None:
    if len(frequency_hz) < 10:
        raise MeasurementError(
            f"{len(frequency_hz)} frequencies are no spectrum: at least 10 are needed"
        )
    if not (np.all(np.isfinite(impedance_ohm)) and np.all(np.abs(impedance_ohm) > 0)):
        raise MeasurementError("an impedance is zero or not a number: leave that frequency out")
