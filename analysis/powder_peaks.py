"""Peaks of a measured powder pattern: areas and positions by a stated rule."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.quantities import Array

LEAST_POINTS = 12
"""Of a window, and `LEAST_EDGE` of each of its ends."""

LEAST_EDGE = 3

_THREE_DIGITS = re.compile(r"(-?\d)(-?\d)(-?\d)")


@dataclass(frozen=True)
class PowderPeak:
    """One peak above its background.

    Attributes
    ----------
    area, area_uncertainty
        In counts times degrees.
    two_theta_degrees, two_theta_uncertainty_degrees
        Centre of gravity.
    background
        (n_points,): of the window's points.
    inside
        (n_pattern,) bool: which points of the pattern the window holds.
    """

    area: float
    area_uncertainty: float | None
    two_theta_degrees: float
    two_theta_uncertainty_degrees: float | None
    background: Array
    inside: NDArray[np.bool_]


def integrate(
    two_theta_degrees: Array,
    counts: Array,
    sigma: Array | None,
    window: tuple[float, float],
    *,
    edge_share: float = 0.2,
    name: str = "the pattern",
) -> PowderPeak:
    """Return the area and the centre of gravity of the peak in a window.

    Rule: the background is the straight line of least squares through the points in the outermost
    `edge_share` of the window, half of it at either end; the area is the trapezoidal sum of the counts
    less that line over the whole window. It is linear in the counts, so that their uncertainties
    propagate exactly, those of the line included; that of the centre is to first order.

    Parameters
    ----------
    two_theta_degrees, counts
        (n_points,): the pattern.
    sigma
        (n_points,): standard uncertainties of the counts, independent; None where not known.
    window
        From, to, in degrees; the peak lies whole between the ends.
    edge_share
        Share of the window's width that is background.
    name
        For messages.

    Raises
    ------
    MeasurementError
        For a window outside the pattern or with too few points, or without a peak.
    """
    low, high = window
    if not low < high:
        raise MeasurementError(
            f"{name}: the window from {low:g} to {high:g} does not rise: give its lower end first"
        )
    if not (two_theta_degrees[0] <= low and high <= two_theta_degrees[-1]):
        raise MeasurementError(
            f"{name}: covers {two_theta_degrees[0]:g} to {two_theta_degrees[-1]:g} degrees, not the window "
            f"from {low:g} to {high:g}: move the window"
        )
    inside = (two_theta_degrees >= low) & (two_theta_degrees <= high)
    angle, y = two_theta_degrees[inside], counts[inside]
    width = edge_share / 2 * (high - low)
    ends = [angle <= low + width, angle >= high - width]
    if len(angle) < LEAST_POINTS or min(end.sum() for end in ends) < LEAST_EDGE:
        raise MeasurementError(
            f"{name}: the window from {low:g} to {high:g} degrees has {len(angle)} points, "
            f"{min(int(end.sum()) for end in ends)} at an end: widen it, or measure in finer steps"
        )
    middle = (low + high) / 2
    design = np.column_stack([np.ones_like(angle), angle - middle])
    edge = ends[0] | ends[1]
    line = np.zeros((2, len(angle)))  # (intercept, slope) as linear functions of the counts
    line[:, edge] = np.linalg.pinv(design[edge])
    net = np.eye(len(angle)) - design @ line  # counts less background, the same
    steps = np.zeros(len(angle))  # of the trapezoidal rule
    steps[:-1] += np.diff(angle) / 2
    steps[1:] += np.diff(angle) / 2
    to_area = steps @ net
    to_moment = (steps * (angle - middle)) @ net
    area = float(to_area @ y)
    error = None if sigma is None else sigma[inside]
    doubt = None if error is None else float(np.linalg.norm(to_area * error))
    scatter = float(np.std((net @ y)[edge]))  # a peak is above what its own background scatters by
    least = doubt if doubt is not None else scatter * float(np.linalg.norm(steps))
    if area <= 3 * least:
        raise MeasurementError(
            f"{name}: no peak stands above the background between {low:g} and {high:g} degrees: move the "
            "window"
        )
    centre = float(to_moment @ y) / area
    to_centre = (to_moment - centre * to_area) / area
    return PowderPeak(
        area=area,
        area_uncertainty=doubt,
        two_theta_degrees=middle + centre,
        two_theta_uncertainty_degrees=(
            None if error is None else float(np.linalg.norm(to_centre * error))
        ),
        background=design @ (line @ y),
        inside=inside,
    )


def spacing_angstrom(two_theta_degrees: float, wavelength_angstrom: float) -> float:
    """Return the spacing of Bragg's law, lambda / (2 sin theta)."""
    return wavelength_angstrom / (2 * np.sin(np.radians(two_theta_degrees) / 2))


def miller_indices(text: str) -> tuple[int, int, int]:
    """Return h, k, l of '104', '-114' or '1 0 10'.

    Raises
    ------
    MeasurementError
        For what is not three whole numbers.
    """
    words = text.split()
    if len(words) != 3:
        found = _THREE_DIGITS.fullmatch(text.strip())
        words = list(found.groups()) if found else []
    try:
        h, k, last = (int(word) for word in words)
    except ValueError:
        h = k = last = 0
    if not any((h, k, last)):
        raise MeasurementError(f"hkl {text!r}: write three indices, as '104' or '1 0 10'")
    return h, k, last
