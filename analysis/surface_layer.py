"""A layer at a surface: where the surface is in a scan, and how thick the layer is in a profile."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares
from scipy.special import erfc
from scipy.stats import chi2

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.quantities import Array

LEAST_CHANCE = 1e-3
"""A layer is told from a flat profile when noise alone gives such a fit less often than this."""

OF_A_PIXEL = 1 / np.sqrt(12)
"""Standard deviation of a place within one pixel."""

_LEAST_POINTS = 6


@dataclass(frozen=True)
class Surface:
    """The surface in a line scan.

    Attributes
    ----------
    pixel
        Its place, in pixels from the middle of the first one; -0.5 where the scan starts inside.
    uncertainty
        Standard uncertainty of `pixel`: that of the noise, and `OF_A_PIXEL`, because a signal averaged
        over a pixel crosses a level at a place that depends on where the surface cuts the pixel.
    last
        The last pixel that is material.
    """

    pixel: float
    uncertainty: float
    last: int


def plateau_level(signal: Array) -> float:
    """Return the signal of whole material: the median of the larger half of the finite values."""
    finite = np.sort(signal[np.isfinite(signal)])
    return float(np.median(finite[len(finite) // 2 :])) if len(finite) else float("nan")


def find_surface(signal: Array, uncertainties: Array, *, level: float = 0.5) -> Surface:
    """Return where a scan that comes from the vacuum enters the material.

    It is where the signal first crosses `level` times that of whole material and stays above for two
    pixels, on a straight line between the pixels before and behind.

    Parameters
    ----------
    signal, uncertainties
        (n_pixels,): of what only the material gives, and the standard uncertainties.
    level
        Share of `plateau_level`.

    Raises
    ------
    MeasurementError
        When no two pixels in a row are material.
    """
    height = level * plateau_level(signal)
    above = np.where(np.isfinite(signal), signal, 0.0) >= height
    pairs = np.flatnonzero(above[:-1] & above[1:])
    if not len(pairs) or not height > 0:
        raise MeasurementError("no two pixels in a row show the edge: no surface to count from")
    first = int(pairs[0])
    gaps = np.flatnonzero(~above[first:-1] & ~above[first + 1 :])
    last = first + int(gaps[0]) - 1 if len(gaps) else len(signal) - 1
    if first == 0:
        return Surface(-0.5, float(OF_A_PIXEL), last)
    before = signal[first - 1] if np.isfinite(signal[first - 1]) else 0.0
    rise = signal[first] - before
    share = (height - before) / rise
    doubts = np.nan_to_num(uncertainties[first - 1 : first + 1]) * (1 - share, share)
    uncertainty = np.hypot(np.linalg.norm(doubts) / rise, OF_A_PIXEL)
    return Surface(first - 1 + float(share), float(uncertainty), last)


@dataclass(frozen=True)
class Layer:
    """A layer whose value changes into that of the bulk.

    Attributes
    ----------
    thickness_nm, thickness_uncertainty_nm
        Distance of the middle of the transition from the surface.
    surface_value, surface_uncertainty, bulk_value, bulk_uncertainty
        On either side of the transition.
    width_nm
        Standard deviation of the transition.
    reduced_square
        Chi square of the fit over its degrees of freedom.
    fitted
        (n_points,): the fit at the distances that were given.
    """

    thickness_nm: float
    thickness_uncertainty_nm: float
    surface_value: float
    surface_uncertainty: float
    bulk_value: float
    bulk_uncertainty: float
    width_nm: float
    reduced_square: float
    fitted: Array


def _share_of_surface(distance: Array, middle: Array, width: Array) -> Array:
    return np.asarray(0.5 * erfc((distance - middle) / (np.sqrt(2) * width)))


def fit_layer(
    distance_nm: Array,
    over: Array,
    under: Array,
    covariance: Array,
    pixel_nm: float,
    *,
    name: str = "the ratio",
) -> Layer:
    """Return the layer that the profile of a ratio shows: an error function between two values.

        over / under = bulk + (surface - bulk) erfc((d - t) / (sqrt(2) s)) / 2

    The thickness is t, the depth at which half of the change is done. The transition s is no narrower
    than what a pixel averages over, its edge / sqrt(12). What is fitted is `over` - ratio `under` = 0 with
    the uncertainty of that difference (Fieller, J. R. Stat. Soc. B 16, 175 (1954)), because the ratio of
    two noisy numbers is biased and so are weights that come from it.

    Standard uncertainties are those of weighted least squares, larger by the root of the reduced chi
    square where that is above one; that of the thickness is no less than the spread of the likelihood
    over all thicknesses and transitions, because noise can make a second one nearly as good.

    Parameters
    ----------
    distance_nm
        (n_points,): from the surface inwards; points without finite numbers are left out.
    over, under
        (n_points,): numerator and denominator.
    covariance
        (n_points, 2, 2): of the two.
    pixel_nm
        From one point to the next.
    name
        Of the ratio, for messages.

    Raises
    ------
    MeasurementError
        With under six points, when a constant fits as well, or with fewer than two points on either
        side of the transition: then there is no layer, or none that this scan resolves.
    """
    good = np.isfinite(over) & np.isfinite(under) & (covariance[:, 0, 0] > 0)
    d, a, b = distance_nm[good], over[good], under[good]
    if len(d) < _LEAST_POINTS:
        raise MeasurementError(
            f"{len(d)} points of {name} against depth: a layer needs {_LEAST_POINTS} at least"
        )
    v = covariance[good]
    least = float(pixel_nm * OF_A_PIXEL)

    def deviation(ratio: Array | float) -> Array:
        square = v[:, 0, 0] - 2 * ratio * v[:, 0, 1] + ratio**2 * v[:, 1, 1]
        return np.asarray((a - ratio * b) / np.sqrt(square))

    def residuals(x: Array) -> Array:
        return deviation(x[1] + (x[0] - x[1]) * _share_of_surface(d, x[2], x[3]))

    flat = least_squares(lambda x: deviation(x[0]), [a.sum() / b.sum()])
    constant = float(flat.x[0])
    spread = np.sqrt(v[:, 0, 0] - 2 * constant * v[:, 0, 1] + constant**2 * v[:, 1, 1])
    grid = _grid(d, a / spread, b / spread, least)
    start = grid.best()
    most = max(float(np.ptp(d)), 2 * least)
    bounds = ([-np.inf, -np.inf, d[0], least], [np.inf, np.inf, d[-1], most])
    unit = float(1 / np.linalg.norm(b / spread))
    fit = least_squares(
        residuals,
        np.clip(start, *bounds),
        bounds=bounds,
        x_scale=[unit, unit, start[3], start[3]],
    )
    square = 2 * float(fit.cost)
    reduced = square / max(len(d) - 4, 1)
    swell = max(1.0, reduced)
    gained = (2 * float(flat.cost) - square) / swell
    surface, bulk, middle, width = fit.x
    if chi2.sf(gained, 3) > LEAST_CHANCE:
        raise MeasurementError(
            f"{name} against depth is told from a constant with a chance of error of "
            f"{chi2.sf(gained, 3):.2g} only: no layer is seen; count longer, or sum over a wider strip"
        )
    if min(np.count_nonzero(d < middle), np.count_nonzero(d > middle)) < 2:
        raise MeasurementError(
            f"{name} changes at {middle:.2g} nm, with fewer than two points on one side: the scan does "
            "not resolve the layer; take smaller steps, or a longer scan"
        )
    free = np.array([True, True, True, width > 1.001 * least])
    inverse = np.linalg.pinv(fit.jac[:, free].T @ fit.jac[:, free])
    errors = np.sqrt(swell * np.diag(inverse))
    shown = _share_of_surface(distance_nm, middle, width)
    return Layer(
        thickness_nm=float(middle),
        thickness_uncertainty_nm=max(float(errors[2]), grid.deviation(middle, swell)),
        surface_value=float(surface),
        surface_uncertainty=float(errors[0]),
        bulk_value=float(bulk),
        bulk_uncertainty=float(errors[1]),
        width_nm=float(width),
        reduced_square=reduced,
        fitted=np.asarray(bulk + (surface - bulk) * shown),
    )


@dataclass(frozen=True)
class _Grid:
    """Many middles and widths, each with its two values by linear least squares."""

    middle: Array
    width: Array
    surface: Array
    bulk: Array
    gain: Array  # of chi square over a constant

    def best(self) -> Array:
        i = int(np.argmax(self.gain))
        return np.array([self.surface[i], self.bulk[i], self.middle[i], self.width[i]])

    def deviation(self, middle: float, swell: float) -> float:
        """Return the root of the mean square distance from a middle, by likelihood."""
        weights = np.exp((self.gain - self.gain.max()) / (2 * swell))
        return float(np.sqrt(np.average((self.middle - middle) ** 2, weights=weights)))


def _grid(d: Array, a: Array, b: Array, least: float) -> _Grid:
    """Return the fits of a = b ratio, both in units of their standard uncertainty."""
    middles = np.arange(d[0], d[-1], least / 2)
    most = max(float(np.ptp(d)) / 2, 2 * least)
    widths = np.geomspace(least, most, 10)
    middle, width = (each.ravel() for each in np.meshgrid(middles, widths))
    share = _share_of_surface(d, middle[:, None], width[:, None])
    one, s, ss = float(b @ b), share @ b**2, share**2 @ b**2
    sy, yy = share @ (a * b), float(a @ b)
    determinant = one * ss - s**2
    told = determinant > 1e-9 * one * ss
    middle, width, s, sy = middle[told], width[told], s[told], sy[told]
    contrast = (one * sy - s * yy) / determinant[told]
    bulk = (yy - contrast * s) / one
    return _Grid(middle, width, bulk + contrast, bulk, contrast * (sy - s * yy / one))
