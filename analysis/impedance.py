"""Impedance: linear Kramers-Kronig test and distribution of relaxation times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np
from scipy.optimize import nnls
from threadpoolctl import ThreadpoolController

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.quantities import Array
from rocksalt.analysis.readers.impedance import Complex

_PER_DECADE = 12  # relaxation times per decade
_BEYOND = 0.5  # decades of relaxation times beyond the measured ones

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
    ohmic, inductance_h, elastance_per_f
        R0 in ohm, L in H, 1/C in 1/F.
    regularisation
        The parameter that generalised cross-validation chose.
    residuals
        (n,), complex, over the magnitude.
    freedom
        Number of parameters that the fit effectively has.
    """

    tau_s: Array
    resistance_ohm: Array
    covariance: Array
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
        """Return the resistance of a window of times and its standard uncertainty, in ohm."""
        inside = (self.tau_s >= from_s) & (self.tau_s < to_s)
        weight = np.concatenate([inside, [False] * 3]).astype(float)
        return (
            float(self.resistance_ohm[inside].sum()),
            float(np.sqrt(max(weight @ self.covariance @ weight, 0.0))),
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
    Acta 184, 483 (2015), with discrete elements), each point over its magnitude. The weight of the
    penalty is where generalised cross-validation is least (Golub, Heath and Wahba, Technometrics
    21, 215 (1979), equation 1.4), with the trace of the fit's matrix over the elements that are not
    at zero. The covariance is that of the Bayesian reading of the penalty (Wahba, J. R. Stat. Soc.
    B 45, 133 (1983)): it holds the bias that smoothing makes.

    Parameters
    ----------
    frequency_hz, impedance_ohm
        (n,) each.
    regularisation
        Given instead of chosen.

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
    small, projected = factor[:, :-1], factor[:, -1]
    choices = np.logspace(-6, 1, 8) if regularisation is None else [regularisation]
    best: tuple[float, float, Array, Array, float] | None = None
    for choice in choices:
        stacked = np.concatenate([small, np.sqrt(choice) * bends])
        found, _ = nnls(stacked, np.concatenate([projected, np.zeros(len(bends))]), maxiter=5000)
        active = found > 0
        normal = small[:, active].T @ small[:, active]
        penalised = normal + choice * bends[:, active].T @ bends[:, active]
        inverse = np.linalg.pinv(penalised, hermitian=True)
        freedom = float(np.trace(inverse @ normal))
        misfit = float(np.sum((projected - small @ found) ** 2))
        score = misfit / (len(target) - freedom) ** 2
        if best is None or score < best[0]:
            best = (score, float(choice), found, penalised, freedom)
    assert best is not None  # there is at least one choice
    _, choice, found, penalised, freedom = best
    active = found > 0
    left = target - design @ found
    variance = float(np.sum(left**2) / (len(target) - freedom))
    covariance = np.zeros((design.shape[1],) * 2)
    covariance[np.ix_(active, active)] = variance * np.linalg.pinv(penalised, hermitian=True)
    scales = units * scale
    found, covariance = found * scales, covariance * np.outer(scales, scales)
    half = len(angular)
    return RelaxationTimes(
        tau_s=tau,
        resistance_ohm=found[: len(tau)],
        covariance=covariance,
        ohmic=float(found[-3]),
        inductance_h=float(found[-2]),
        elastance_per_f=float(found[-1]),
        regularisation=choice,
        residuals=left[:half] + 1j * left[half:],
        freedom=freedom,
    )


def _relaxations(angular: Array, tau: Array) -> Complex:
    return np.asarray(1 / (1 + 1j * np.outer(angular, tau)), dtype=np.complex128)


def _check(frequency_hz: Array, impedance_ohm: Complex) -> None:
    if len(frequency_hz) < 10:
        raise MeasurementError(
            f"{len(frequency_hz)} frequencies are no spectrum: at least 10 are needed"
        )
    if not (np.all(np.isfinite(impedance_ohm)) and np.all(np.abs(impedance_ohm) > 0)):
        raise MeasurementError("an impedance is zero or not a number: leave that frequency out")
