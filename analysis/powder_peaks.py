"""Peaks of a measured powder pattern: areas and positions by a stated rule, lattice constants from them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.quantities import Array

Crystal = Literal["hexagonal", "cubic"]

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


def lattice_constants(
    peaks: Mapping[str, PowderPeak],
    wavelength_angstrom: float,
    crystal: Crystal,
    *,
    fit_zero: bool = False,
) -> tuple[dict[str, tuple[float, float | None]], float | None]:
    """Return the lattice constants that reflections give, with standard uncertainties.

    Least squares in 1/d^2, which is linear in 1/a^2 and 1/c^2: 4 (h^2 + hk + k^2) / (3 a^2) + l^2 / c^2
    (hexagonal), (h^2 + k^2 + l^2) / a^2 (cubic). With more reflections than constants the uncertainties
    are enlarged by the scatter about the fit where that is more than the counts explain.

    Parameters
    ----------
    peaks
        By Miller indices.
    wavelength_angstrom
        Of the radiation.
    crystal
        'hexagonal' (R-3m too) or 'cubic'.
    fit_zero
        Find what is to be added to all angles too, to first order; it needs a reflection more.

    Returns
    -------
    dict, float
        'a', and of a hexagonal cell 'c', in angstrom, 'volume', and where it is fitted 'zero' in
        degrees; and the reduced chi squared of the fit, None
        where it has no freedom.

    Raises
    ------
    MeasurementError
        When the reflections do not determine the cell.
    """
    rows, values, slopes = [], [], []
    for name, peak in peaks.items():
        h, k, last = miller_indices(name)
        rows.append(
            [4 / 3 * (h * h + h * k + k * k), last * last]
            if crystal == "hexagonal"
            else [h * h + k * k + last * last]
        )
        theta = np.radians(peak.two_theta_degrees) / 2
        values.append((2 * np.sin(theta) / wavelength_angstrom) ** 2)
        # d(1/d^2)/d(2 theta) = (2/lambda^2) sin 2 theta, here by degrees
        slopes.append(np.radians(2 * np.sin(2 * theta) / wavelength_angstrom**2))
    design, y, slope = np.array(rows, dtype=float), np.array(values), np.array(slopes)
    n_edges = design.shape[1]
    if fit_zero:  # angles that are too small give a 1/d^2 that is too small
        design = np.column_stack([design, -slope])
    if len(peaks) < design.shape[1] or np.linalg.matrix_rank(design) < design.shape[1]:
        raise MeasurementError(
            f"{', '.join(peaks)} do not determine a {crystal} cell{' and a zero' * fit_zero}: give "
            f"{'reflections with and without l, as 003, 104 and 110' if crystal == 'hexagonal' else 'one'}"
        )
    doubts = [peak.two_theta_uncertainty_degrees for peak in peaks.values()]
    known = all(doubt is not None for doubt in doubts)
    weight = 1 / (slope * np.array(doubts, dtype=float)) if known else np.ones(len(y))
    inverse = np.linalg.pinv(design * weight[:, None])
    found = inverse @ (y * weight)
    if np.any(found[:n_edges] <= 0):
        raise MeasurementError(
            f"{', '.join(peaks)} give no {crystal} cell: check their indices and the wavelength"
        )
    freedom = len(y) - len(found)
    reduced = None
    if freedom and known:
        reduced = float(np.sum(((y - design @ found) * weight) ** 2) / freedom)
    covariance = inverse @ inverse.T * max(1.0, reduced or 1.0)
    constants = {}
    for place, symbol in enumerate("ac"[:n_edges]):
        value = float(found[place] ** -0.5)
        error = 0.5 * value**3 * float(np.sqrt(covariance[place, place])) if known else None
        constants[symbol] = (value, error)
    if crystal == "hexagonal":
        a, c = constants["a"][0], constants["c"][0]
        volume = np.sqrt(3) / 2 * a * a * c
        # V is proportional to (1/a^2)^-1 (1/c^2)^-1/2
        to_volume = -volume * np.array([1 / found[0], 0.5 / found[1]])
        variance = to_volume @ covariance[:2, :2] @ to_volume
        constants["volume"] = (float(volume), float(np.sqrt(variance)) if known else None)
    if fit_zero:
        doubt = float(np.sqrt(covariance[-1, -1])) if known else None
        constants["zero"] = (float(found[-1]), doubt)
    return constants, reduced
