"""Depth profiles: normalised intensities, and where a layer ends."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares
from scipy.special import erfc
from scipy.stats import f as f_distribution

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.peak_fits import (
    explained_by_counting,
    neighbour_correlation,
    noise_from_neighbours,
    on_neighbours,
    on_noise,
)
from rocksalt.analysis.quantities import Array

_CHANCE = 1e-3  # of the F test that tells an interface from a constant
_SHARPEST = 0.5  # standard deviation of an interface, in steps: a narrower one is not resolved
_ROUNDS = 4  # of the counting noise by the fitted curve
_LEAST_COUNTS = 0.1  # by which a cycle without counts is weighed


@dataclass(frozen=True)
class Counted:
    """Intensities of one fragment, divided by what they are normalised to.

    Attributes
    ----------
    values
        (n_cycles,).
    divisor
        (n_cycles,) counts; ones where nothing is divided by.
    share_of_divisor
        What of the divisor is the fragment itself: 1 in a total of all fragments, -1 (nothing, and the
        divisor's own noise counts) for another fragment, 0 without one.
    is_counted
        Whether the noise is that of counting.
    """

    values: Array
    divisor: Array
    share_of_divisor: int
    is_counted: bool

    def noise(self, curve: Array) -> Array:
        """Return the standard deviation by a curve of expected values.

        Of n counts among N, n / N has the variance m (1 - m) / N for its mean m; against N other
        counts, m (1 + m) / N.
        """
        if not self.is_counted:
            # values without noise still need a scale
            least = max(1e-9 * float(np.ptp(self.values)), 1e-300)
            return np.full(len(curve), max(noise_from_neighbours(self.values), least))
        mean = np.maximum(curve, _LEAST_COUNTS / self.divisor)
        relative = np.maximum(1 - self.share_of_divisor * mean, _LEAST_COUNTS / self.divisor)
        return np.sqrt(mean * relative / self.divisor)


@dataclass(frozen=True)
class Interface:
    """Where a layer ends, in the unit of the profile's axis.

    Attributes
    ----------
    depth, depth_uncertainty
        Where the intensity is half between plateau and bulk.
    width, width_uncertainty
        From 16 to 84 percent, two standard deviations of the error function; None where it is below
        what the steps resolve.
    plateau, bulk
        Intensity before and behind, each with its standard uncertainty.
    fitted
        (n_cycles,).
    reduced_chi_square
        Against the noise.
    remarks
        One sentence each.
    """

    depth: float
    depth_uncertainty: float
    width: float | None
    width_uncertainty: float | None
    plateau: tuple[float, float]
    bulk: tuple[float, float]
    fitted: Array
    reduced_chi_square: float
    remarks: tuple[str, ...]


def normalised(
    intensities: Array, labels: tuple[str, ...], to: str, *, is_counted: bool = True, name: str = ""
) -> list[Counted]:
    """Return each fragment's intensities, divided by the total, by another fragment, or as they are.

    Parameters
    ----------
    intensities
        (n_cycles, n_fragments).
    labels
        Of the fragments.
    to
        'none', 'total' of all fragments in the table, or the label of one.
    is_counted
        Whether they are counts.
    name
        For messages.

    Raises
    ------
    MeasurementError
        For an unknown label, a divisor that is zero somewhere, or counts that cannot be.
    """
    if is_counted and intensities.min() < 0:
        raise MeasurementError(
            f"{name}: intensities below zero are no counts: give noise: estimated"
        )
    if is_counted and intensities.max() <= 1:
        raise MeasurementError(
            f"{name}: intensities up to {intensities.max():g} are no counts: export counts, or give "
            "noise: estimated"
        )
    divisor, share = np.ones(len(intensities)), 0
    if to == "total":
        divisor, share = intensities.sum(axis=1), 1
    elif to != "none":
        if to not in labels:
            raise MeasurementError(
                f"{name}: no fragment {to!r} to normalise to: give none, total, or one of "
                f"{', '.join(labels)}"
            )
        divisor, share = intensities[:, labels.index(to)], -1
    if not (divisor > 0).all():
        raise MeasurementError(
            f"{name}: {to} is zero in row {int(np.argmin(divisor > 0)) + 1}: normalise to another, or "
            "leave these rows out by window"
        )
    return [Counted(column / divisor, divisor, share, is_counted) for column in intensities.T]


def fit_interface(x: Array, profile: Counted, *, name: str = "the profile") -> Interface:
    """Return where a fragment falls, or rises, half way between plateau and bulk.

    y = bulk + (plateau - bulk) / 2 erfc((x - depth) / (sqrt(2) s)), the response of a sharp interface
    under a Gaussian depth resolution; s is half the width from 16 to 84 percent (Hofmann, Surf.
    Interface Anal. 2, 148 (1980)).

    Parameters
    ----------
    x
        (n_cycles,), rising: sputter time or depth.
    profile
        The fragment.
    name
        For messages.

    Raises
    ------
    MeasurementError
        When a constant fits as well (F test), or the interface is at an end of the profile.
    """
    y = profile.values
    if len(x) < 12:
        raise MeasurementError(f"{name}: {len(x)} cycles give no interface: measure more")
    step, extent = float(np.median(np.diff(x))), float(x[-1] - x[0])
    low, high = _SHARPEST * step, extent
    start = _best_start(x, y, profile.noise(np.full(len(x), y.mean())), low, high)
    for _ in range(_ROUNDS if profile.is_counted else 1):
        noise = profile.noise(_step(x, start))
        found = least_squares(
            _misfit(x, y, noise),
            start,
            bounds=(
                [x[0] - extent, math.log(low), -np.inf, -np.inf],
                [x[-1] + extent, math.log(high), np.inf, np.inf],
            ),
            x_scale="jac",
        )
        start = found.x
    depth, log_s, plateau, bulk = found.x
    is_sharp = log_s < math.log(low) + 1e-3
    free = [0, 2, 3] if is_sharp else [0, 1, 2, 3]
    residual, freedom = found.fun, len(x) - len(free)
    reduced = float(residual @ residual) / freedom
    _check_interface(x, y, noise, reduced * freedom, freedom, depth, name)
    expected = profile.is_counted and explained_by_counting(reduced, freedom)
    follow = neighbour_correlation(residual)
    scale = (1.0 if expected else reduced) * (1 + follow) / (1 - follow)
    covariance = np.linalg.pinv(found.jac[:, free].T @ found.jac[:, free]) * scale
    sigma = dict(zip(free, np.sqrt(np.diag(covariance)), strict=True))
    s = math.exp(log_s)
    remarks = [*on_noise(profile.is_counted, expected, reduced), *on_neighbours(follow)]
    if is_sharp:
        remarks.append(
            "The interface is narrower than the steps resolve: it has no width, and the uncertainty of "
            "its depth holds that of a step."
        )
    elif depth - x[0] < 2 * s:
        remarks.append("The profile begins inside the interface: its plateau is extrapolated.")
    return Interface(
        float(depth),
        math.hypot(sigma[0], step / math.sqrt(12) if is_sharp else 0.0),
        None if is_sharp else 2 * s,
        None if is_sharp else 2 * s * float(sigma[1]),
        (float(plateau), float(sigma[2])),
        (float(bulk), float(sigma[3])),
        _step(x, found.x),
        reduced,
        tuple(remarks),
    )


def _step(x: Array, parameters: Array) -> Array:
    depth, log_s, plateau, bulk = parameters
    u = (x - depth) / (math.sqrt(2) * math.exp(log_s))
    return bulk + (plateau - bulk) / 2 * erfc(u)


def _misfit(x: Array, y: Array, noise: Array) -> Callable[[Array], Array]:
    return lambda parameters: (_step(x, parameters) - y) / noise


def _best_start(x: Array, y: Array, noise: Array, low: float, high: float) -> Array:
    """Return the best of a grid of depths and widths; plateau and bulk follow linearly."""
    best, found = math.inf, np.zeros(4)
    for depth in np.linspace(x[0], x[-1], 18)[1:-1]:
        for s in np.geomspace(low * 2, high / 4, 3):
            share = _step(x, np.array([depth, math.log(s), 1.0, 0.0]))
            matrix = np.column_stack([share, 1 - share]) / noise[:, None]
            levels = np.linalg.lstsq(matrix, y / noise, rcond=None)[0]
            square = float(((matrix @ levels - y / noise) ** 2).sum())
            if square < best:
                best, found = square, np.array([depth, math.log(s), *levels])
    return found


def _check_interface(
    x: Array, y: Array, noise: Array, square: float, freedom: int, depth: float, name: str
) -> None:
    mean = float((y / noise**2).sum() / (1 / noise**2).sum())
    constant = float((((y - mean) / noise) ** 2).sum())
    more = len(x) - 1 - freedom
    # what scatters less than its noise shows no step in its last digits
    ratio = (constant - square) / more / max(square / freedom, 1.0)
    if f_distribution.sf(ratio, more, freedom) > _CHANCE:
        raise MeasurementError(
            f"{name}: no interface from {x[0]:g} to {x[-1]:g}: a constant fits as well; choose another "
            "marker or window"
        )
    if not x[2] < depth < x[-3]:
        raise MeasurementError(
            f"{name}: the intensity does not reach half way between two levels within {x[0]:g} to "
            f"{x[-1]:g}: choose another marker or window, or sputter longer"
        )
