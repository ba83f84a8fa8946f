"""Maps of two phases from images through an X-ray edge (TXM-XANES).

Every pixel holds a spectrum. Two reference spectra, of the pristine and of the cycled material, explain
it (Wang et al. 2021, equations 1 to 3):

    I / I0 = exp(-mu_p t_p) exp(-mu_c t_c)
    -ln(I / I0) = mu_p t_p + mu_c t_c
    R = sum_E (data - fit)^2 / sum_E data^2
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_fill_holes, distance_transform_edt
from scipy.special import ndtr

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.quantities import Array

_CHUNK_PIXELS = 32_768  # 26 MB of a spectrum of 100 energies: stays near the processor's caches


@dataclass(frozen=True)
class PhaseMap:
    """A fit of every pixel; NaN where a pixel's intensities are no transmission.

    Attributes
    ----------
    pristine, cycled
        (n_rows, n_columns): amounts t_p, t_c >= 0, in the reciprocal unit of the references.
    weight
        (n_rows, n_columns): t_c / (t_p + t_c); NaN where both are zero.
    weight_uncertainty
        (n_rows, n_columns): standard uncertainty of `weight`, from the pixel's residuals.
    r_factor
        (n_rows, n_columns).
    optical_depth
        (n_rows, n_columns): mean over the energies of the fit, without an offset.
    """

    pristine: Array
    cycled: Array
    weight: Array
    weight_uncertainty: Array
    r_factor: Array
    optical_depth: Array


def fit_phases(
    stack: Array,
    pristine: Array,
    cycled: Array,
    *,
    transmission: bool = True,
    offset: bool = False,
) -> PhaseMap:
    """Return the amounts of two phases in every pixel.

    Least squares of two unknowns that are not negative has a closed form: the solution of the normal
    equations where both are positive, else the better of the two single phases, with t = b / G for the
    normal equations G t = b (Lawson and Hanson, Solving Least Squares Problems (1974), chapter 23).

    Parameters
    ----------
    stack
        (n_energies, n_rows, n_columns): I / I0, or -ln(I / I0). It may be a memory map: it is read in
        parts.
    pristine, cycled
        (n_energies,): the references.
    transmission
        Whether `stack` is I / I0.
    offset
        Whether a constant is fitted in every pixel as well: what other elements absorb, when the
        references are normalised and so have no absorption before the edge.

    Raises
    ------
    MeasurementError
        When shapes do not fit, or the two references are proportional to each other.
    """
    n_energies, *shape = stack.shape
    least = 4 if offset else 3
    if stack.ndim != 3 or pristine.shape != (n_energies,) or cycled.shape != (n_energies,):
        raise MeasurementError(
            f"a stack of shape {stack.shape} and references of {len(pristine)} and {len(cycled)} points "
            "do not fit: give one image and one value for each energy"
        )
    if n_energies < least:
        raise MeasurementError(f"{n_energies} energies: two phases need at least {least}")
    references = np.column_stack([pristine, cycled]).astype(float)
    centred = references - references.mean(axis=0) if offset else references
    gram = centred.T @ centred
    scale = np.sqrt(gram[0, 0] * gram[1, 1])
    if not scale > 0 or 1 - abs(gram[0, 1]) / scale < 1e-8:
        raise MeasurementError(
            "the references of the two phases have the same shape: no fit can tell them apart; give "
            "references of two states"
        )
    flat = stack.reshape(n_energies, -1)
    maps = np.empty((6, flat.shape[1]))
    for first in range(0, flat.shape[1], _CHUNK_PIXELS):
        part = np.array(flat[:, first : first + _CHUNK_PIXELS], dtype=float)
        if transmission:
            with np.errstate(divide="ignore", invalid="ignore"):
                np.log(part, out=part)
            np.negative(part, out=part)
        maps[:, first : first + part.shape[1]] = _fit(part, references, gram, offset)
    return PhaseMap(*maps.reshape(6, *shape))


def _fit(data: Array, references: Array, gram: Array, offset: bool) -> Array:
    """Return the six maps of a part, (6, n_pixels); `data` is written over."""
    with np.errstate(invalid="ignore", over="ignore"):
        power = np.einsum("ep,ep->p", data, data)  # of the data as it is: the denominator of R
    dark = ~np.isfinite(power)
    data[:, dark] = power[dark] = 0.0
    left, means = power, references.mean(axis=0)
    projected = references.T @ data
    if offset:  # a free constant takes the means out of data and references
        mean = data.mean(axis=0)
        left = power - len(data) * mean**2
        projected = projected - len(data) * np.outer(means, mean)
    (a, c), (_, b) = gram
    determinant = a * b - c * c
    both = np.stack([b * projected[0] - c * projected[1], a * projected[1] - c * projected[0]])
    both /= determinant
    alone = np.maximum(projected, 0) / np.array([[a], [b]])
    first_is_better = alone[0] * projected[0] >= alone[1] * projected[1]
    single = np.stack([alone[0] * first_is_better, alone[1] * ~first_is_better])
    amounts = np.where((both >= 0).all(axis=0), both, single)
    square = left - 2 * (amounts * projected).sum(axis=0) + (amounts * (gram @ amounts)).sum(axis=0)
    square = np.maximum(square, 0)
    total = amounts.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = amounts[1] / total
        # d weight = (t_p dt_c - t_c dt_p) / total^2, with the covariance s^2 G^-1
        p, c_amount = amounts
        form = p * p * a + 2 * p * c_amount * c + c_amount * c_amount * b
        variance = square / (len(data) - (3 if offset else 2)) * form / determinant / total**4
        r = square / power
    maps = np.stack([*amounts, weight, np.sqrt(variance), r, means @ amounts])
    maps[:, dark] = np.nan
    return maps


def thick_enough(phases: PhaseMap, least_optical_depth: float, largest_r: float = np.inf) -> Array:
    """Return where there is enough material for a statement.

    Parameters
    ----------
    phases
        The fit.
    least_optical_depth
        Pixels with a smaller mean optical depth of the fit are left out: background and thin edges.
    largest_r
        Pixels that the two phases fit worse than this are left out.

    Returns
    -------
    ndarray of bool
        (n_rows, n_columns).

    Raises
    ------
    MeasurementError
        When no pixel is left.
    """
    with np.errstate(invalid="ignore"):
        mask = (phases.optical_depth >= least_optical_depth) & (phases.r_factor <= largest_r)
    mask &= np.isfinite(phases.weight) & np.isfinite(phases.weight_uncertainty)
    if not mask.any():
        deepest = np.nanmax(phases.optical_depth, initial=0.0)
        raise MeasurementError(
            f"no pixel has an optical depth of {least_optical_depth:g} and fits: the deepest has "
            f"{deepest:.3g}; give least_optical_depth a smaller value, or look at the flat field"
        )
    return np.asarray(mask)


def mean_weight(phases: PhaseMap, mask: Array) -> tuple[float, float]:
    """Return the weight of the cycled phase in all the material, and its standard uncertainty.

    It is sum t_c / sum (t_p + t_c), which is what the spectrum of the whole particle would give; the
    uncertainty takes the noise of pixels as independent.
    """
    amount = (phases.pristine + phases.cycled)[mask]
    mean = float(phases.cycled[mask].sum() / amount.sum())
    sigma = float(np.linalg.norm(amount * phases.weight_uncertainty[mask]) / amount.sum())
    return mean, sigma


def difference_from_mean(phases: PhaseMap, mask: Array) -> Array:
    """Return weight - mean weight, NaN outside the mask: (n_rows, n_columns)."""
    return np.where(mask, phases.weight - mean_weight(phases, mask)[0], np.nan)


def deactivated_share(phases: PhaseMap, mask: Array, threshold: float = 0.5) -> tuple[float, float]:
    """Return the share of the masked area that is deactivated, and its standard uncertainty.

    Rule: a pixel is deactivated where the weight of the cycled phase is at least `threshold`. Noise
    carries a pixel over the threshold with the probability p = Phi(-|w - threshold| / u(w)); the
    uncertainty is sqrt((sum p)^2 + sum p (1 - p)) / n: that pixels cross, which all may do in one
    direction, and their scatter.
    """
    weight, sigma = phases.weight[mask], np.maximum(phases.weight_uncertainty[mask], 1e-12)
    crosses = ndtr(-abs(weight - threshold) / sigma)
    spread = np.sqrt(crosses.sum() ** 2 + (crosses * (1 - crosses)).sum())
    return float((weight >= threshold).mean()), float(spread / len(weight))


@dataclass(frozen=True)
class DepthProfile:
    """Weight of the cycled phase against the distance from the surface.

    Attributes
    ----------
    distance_nm
        (n_bins,): middles.
    weight, standard_error
        (n_bins,): mean of the pixels, and their standard deviation / sqrt(n): the scatter between
        places, noise included.
    pixels
        (n_bins,).
    """

    distance_nm: Array
    weight: Array
    standard_error: Array
    pixels: Array


def depth_profile(
    phases: PhaseMap,
    mask: Array,
    pixel_nm: float,
    *,
    bin_nm: float | None = None,
    holes_are_surface: bool = True,
) -> DepthProfile:
    """Return the weight against the distance to the nearest surface in the image's plane.

    The distance is Euclidean, from a pixel's middle to the edge of the nearest pixel outside the mask
    (Maurer, Qi and Raghavan, IEEE Trans. Pattern Anal. Mach. Intell. 25, 265 (2003)). The border of
    the image is no surface. A projection mixes depths: a pixel in the middle of a particle has its
    upper and lower surface in it.

    Parameters
    ----------
    phases, mask
        The fit, and where it holds.
    pixel_nm
        Edge of a pixel.
    bin_nm
        Width of a bin; by default two pixels.
    holes_are_surface
        Whether holes inside a particle (cracks, pores) count as surface.

    Raises
    ------
    MeasurementError
        When the mask has no outside.
    """
    if mask.all():
        raise MeasurementError("every pixel is material: no surface to measure a distance from")
    body = mask if holes_are_surface else binary_fill_holes(mask)
    if body.all():
        raise MeasurementError("every pixel is material once holes are filled: no surface is left")
    distance = (distance_transform_edt(body)[mask] - 0.5) * pixel_nm
    width = bin_nm or 2 * pixel_nm
    which = (distance / width).astype(int)
    weight = phases.weight[mask]
    pixels = np.bincount(which)
    used = pixels > 0
    pixels = pixels[used]
    mean: Array = np.bincount(which, weight)[used] / pixels
    deviation = np.zeros(len(used))
    deviation[used] = mean
    square = np.bincount(which, (weight - deviation[which]) ** 2)[used]
    error: Array = np.sqrt(square / np.maximum(pixels - 1, 1) / pixels)
    middles = np.asarray((np.flatnonzero(used) + 0.5) * width, dtype=float)
    return DepthProfile(middles, mean, error, pixels.astype(float))
