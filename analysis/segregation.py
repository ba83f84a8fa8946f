"""How unevenly a dopant is spread in maps of counts of elements (EDX): excess variance and its length.

Counts n_ij of pixel i and element j are independent Poisson numbers. With factors k_j that make counts
proportional to atoms (Cliff and Lorimer, J. Microsc. 103, 203 (1975)), S_i = sum_j k_j n_ij, the dopant
D and its share of the map c = k_D sum_i n_iD / sum_i S_i, the residual

    x_i = k_D n_iD - c S_i = sum_j a_j n_ij,    a_D = k_D (1 - c),  a_j = -k_j c

has the expectation S_i (c_i - c) and, of counting alone, the variance V_i = sum_j a_j^2 n_ij. So
x_i^2 - V_i measures the spread of the true local share c_i at any number of counts: the factorial moments
of Poisson numbers hold no noise (Bialas and Peschanski, Nucl. Phys. B 273, 703 (1986)). Nothing
here knows what else makes shares uneven: absorption, channelling, or background under the lines.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label
from scipy.signal import fftconvolve
from scipy.stats import chi2

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.quantities import Array

Mask = NDArray[np.bool_]

LEAST_BINS = 30
"""With fewer, chance alone spreads the excess too far from a scaled chi-squared distribution."""

LEAST_DOPANT_COUNTS = 100
"""In the whole map: the mean share is then known to a tenth."""


@dataclass(frozen=True)
class Shares:
    """Counts of a map, binned and masked, as residuals from its mean share.

    Attributes
    ----------
    counts
        (n_elements, ...): per bin, zero where nothing is used; the dopant is first.
    factors
        (n_elements,): k_j.
    mask
        (...): bins that are used.
    mean
        c, the dopant's share of all that is used.
    mean_uncertainty
        Standard uncertainty of `mean` by counting.
    bin_pixels
        Edge of a bin in pixels.
    """

    counts: Array
    factors: Array
    mask: Mask
    mean: float
    mean_uncertainty: float
    bin_pixels: int

    @property
    def total(self) -> Array:
        """S_i of every bin, (...)."""
        return np.asarray(np.tensordot(self.factors, self.counts, axes=1))

    @property
    def weights(self) -> Array:
        """a_j of the residual, (n_elements,)."""
        weights = -self.mean * self.factors
        weights[0] += self.factors[0]
        return weights

    @property
    def residual(self) -> Array:
        """x_i, (...)."""
        return np.asarray(np.tensordot(self.weights, self.counts, axes=1))

    @property
    def noise(self) -> Array:
        """V_i, (...)."""
        return np.asarray(np.tensordot(self.weights**2, self.counts, axes=1))

    @property
    def local(self) -> Array:
        """Share of the dopant in every bin, (...); NaN where nothing is used."""
        with np.errstate(invalid="ignore", divide="ignore"):
            share = self.factors[0] * self.counts[0] / self.total
        return np.where(self.mask, share, np.nan)


@dataclass(frozen=True)
class Excess:
    """Spread of the true local share, and the test whether there is any.

    Attributes
    ----------
    variance, variance_uncertainty
        Of the local share beyond counting, weighted by the square of a bin's counts; may be below zero.
    chance_if_uniform
        Probability that a uniform map gives as much or more.
    segregated
        Whether that is less than the chance asked for.
    relative_deviation
        Standard deviation over the mean share; 0 where the variance is below zero.
    lower, upper
        One-sided bounds of `relative_deviation`, each wrong with the chance asked for; `lower` is above
        zero just where the map is segregated.
    """

    variance: float
    variance_uncertainty: float
    chance_if_uniform: float
    segregated: bool
    relative_deviation: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Correlation:
    """Autocorrelation of the true local share.

    Attributes
    ----------
    distance
        (n_rings,): mean length of the lags, in bins; the first is 0.
    value
        (n_rings,): 1 at no distance.
    length, length_uncertainty
        Where `value` falls to 1/e, in bins; None where it does not within the map's half, or where its
        uncertainty is as large as itself.
    """

    distance: Array
    value: Array
    length: float | None
    length_uncertainty: float | None


def binned(counts: Array, edge: int) -> Array:
    """Return sums over blocks of `edge` bins along each axis but the first; what is left over is lost.

    Parameters
    ----------
    counts
        (n_elements, rows, columns) or (n_elements, planes, rows, columns).
    edge
        In pixels.
    """
    if edge == 1:
        return np.asarray(counts, dtype=float)
    first, *shape = counts.shape
    kept = counts[(slice(None), *(slice(n // edge * edge) for n in shape))]
    blocks = kept.reshape(first, *(m for n in shape for m in (n // edge, edge)))
    return np.asarray(blocks.sum(axis=tuple(range(2, 2 * len(shape) + 1, 2)), dtype=float))


def share_of(
    counts: Array,
    *,
    factors: Array | None = None,
    bin_pixels: int | None = None,
    least_counts: float = 100.0,
    least_part: float = 0.2,
) -> Shares:
    """Return binned counts with their mean share, vacuum left out.

    Parameters
    ----------
    counts
        (n_elements, rows, columns) or (n_elements, planes, rows, columns): whole numbers, the dopant
        first.
    factors
        (n_elements,): k_j; None for one each, which makes the share one of signal.
    bin_pixels
        Edge of a bin; None for the smallest with `least_counts` in the median bin that is used.
    least_counts
        Of all elements together.
    least_part
        A bin with a smaller part of the counts of the 90th percentile is vacuum. The sum of all elements
        decides, which for a uniform map says nothing about their shares.

    Raises
    ------
    MeasurementError
        When too few bins or too few counts of the dopant are left.
    """
    k = np.ones(len(counts)) if factors is None else np.asarray(factors, dtype=float)
    edges = [bin_pixels] if bin_pixels else range(1, min(counts.shape[1:]) + 1)
    found, n_bins = 0.0, 0
    for edge in edges:
        sums = binned(counts, edge)
        total = sums.sum(axis=0)
        mask = (total > 0) & (total >= least_part * np.quantile(total, 0.9))
        n_bins = int(mask.sum())
        found = float(np.median(total[mask])) if n_bins else 0.0
        if n_bins < LEAST_BINS:
            break
        if found >= least_counts:
            return _shares(sums * mask, k, mask, edge)
    if bin_pixels:
        raise MeasurementError(
            f"bin_pixels {bin_pixels} leaves {n_bins} bins with {found:g} counts in the median: "
            f"{LEAST_BINS} with {least_counts:g} are needed: give another or map longer"
        )
    raise MeasurementError(
        f"no binning leaves {LEAST_BINS} bins with {least_counts:g} counts: {counts.sum():g} counts in "
        f"{np.prod(counts.shape[1:])} pixels are too few; map longer or a larger area"
    )


def _shares(counts: Array, factors: Array, mask: Mask, edge: int) -> Shares:
    sums = counts.reshape(len(counts), -1).sum(axis=1)
    if sums[0] < LEAST_DOPANT_COUNTS or sums[1:].sum() < LEAST_DOPANT_COUNTS:
        which = "the dopant" if sums[0] < LEAST_DOPANT_COUNTS else "the other cations"
        raise MeasurementError(
            f"{min(sums[0], sums[1:].sum()):g} counts of {which} in all: {LEAST_DOPANT_COUNTS} are "
            "needed for a share; map longer"
        )
    mean = float(factors[0] * sums[0] / (factors @ sums))
    weights = -mean * factors
    weights[0] += factors[0]
    sigma = float(np.sqrt(weights**2 @ sums) / (factors @ sums))
    return Shares(counts, factors, mask, mean, sigma, edge)


def excess_of(shares: Shares, chance: float = 0.01) -> Excess:
    """Return the spread of the true local share beyond counting noise, with its bounds.

    The estimate is sum(x^2 - V) / sum(S^2 - sum_j k_j^2 n_j), exact in its mean but for the mean share,
    which takes up a part S_i / sum(S) of each V_i. The variance of x^2 - V is 2 V^2 + 4 (S (c_i - c))^2 V,
    exactly so for Poisson numbers; the counts in S and the mean share come to it by the delta method. Under uniformity the sum goes as a chi-squared distribution scaled to its mean
    and variance (Satterthwaite, Biometrics Bull. 2, 110 (1946)), for equal bins that of the dispersion test
    of Poisson numbers (Fisher, Statistical Methods for Research Workers, section 16). Bounds are the spreads
    that the test just does not refuse: the second part grows with the spread, as in Wilson's interval.

    Parameters
    ----------
    shares
        Of a map.
    chance
        With which a uniform map is called segregated, and each bound is wrong.
    """
    used = shares.mask
    counts, k, a = shares.counts[:, used], shares.factors, shares.weights
    total, x, noise = k @ counts, a @ counts, a**2 @ counts
    whole = float(total.sum())
    size = float(np.sum(total**2) - k**2 @ counts.sum(axis=1))
    expected = noise * (1 - total / whole)
    variance = float(np.sum(x**2 - expected) / size)
    # unbiased at few counts, whose squares hold noise themselves, and never below that of equal bins
    squares = max(
        float(np.sum(noise**2) - np.sum(a**4 @ counts)), float(np.sum(noise)) ** 2 / noise.size
    )
    sigma_zero = float(np.sqrt(2 * squares) / size)
    shared, own = (a * k) @ counts, k**2 @ counts
    second = max(
        squares + float(np.sum(variance**2 * own**2 - 2 * variance * shared**2)),
        0.0,
    )
    shift = float(np.sum(x * total) / whole)  # how far the sum goes with the mean share
    moved = 2 * (np.outer(a, x - shift) - variance * np.outer(k, total))
    # residuals in place of what is expected of them add their own noise
    first = max(float(np.sum(moved**2 * counts)) - 4 * second, 0.0) / size**2
    freedom = float(np.sum(expected)) ** 2 / squares
    spread = float(np.sqrt(2 * freedom))
    chance_if_uniform = float(chi2.sf(freedom + spread * variance / sigma_zero, freedom))
    reach = float(chi2.isf(chance, freedom) - freedom) / spread
    segregated = variance > reach * sigma_zero
    # part of the variance that grows with the spread, per spread
    slope = first / variance if segregated else 4 * float(np.sum(noise * total**2)) / size**2
    least, most = _bounds(max(variance, 0.0), sigma_zero, slope, reach)
    mean, around = shares.mean, reach * shares.mean_uncertainty
    return Excess(
        variance,
        float(np.sqrt(2 * second / size**2 + first)),
        chance_if_uniform,
        segregated,
        float(np.sqrt(max(variance, 0.0))) / mean,
        float(np.sqrt(least)) / (mean + around) if segregated else 0.0,
        float(np.sqrt(most)) / (mean - around),
    )


def _bounds(value: float, sigma: float, slope: float, reach: float) -> tuple[float, float]:
    """Return both roots e of (value - e)^2 = reach^2 (sigma^2 + slope e), the lower not below zero."""
    middle = value + reach**2 * slope / 2
    half = reach * float(np.sqrt(sigma**2 + slope * value + (reach * slope / 2) ** 2))
    return max(middle - half, 0.0), middle + half


def correlation_of(shares: Shares) -> Correlation:
    """Return the autocorrelation of the true local share, and the length in which it falls to 1/e.

    Over lags h of about one length, sum(x_i x_(i+h)) / sum(S_i S_(i+h)), which holds no noise for h > 0
    but that of the mean share; at h = 0 the noise is taken off. The uncertainty of the length is that of
    the sum with the crossing's weights, 2 sum(w^2 V V) + 4 sum(V (w * x)^2) without its noise, over the
    slope there: that of counting alone, not of how well one map stands for a sample.

    Parameters
    ----------
    shares
        Of a map that is segregated: without excess there is nothing to correlate.
    """
    x, total, noise = shares.residual, shares.total, shares.noise
    lags = np.meshgrid(*(np.arange(1 - n, n) for n in x.shape), indexing="ij")
    far = np.sqrt(sum(lag.astype(float) ** 2 for lag in lags))
    ring = np.rint(far).astype(int)
    n_rings = max(min(x.shape) // 2, 2)
    near = ring < n_rings
    products, sizes = _lagged(x, x), _lagged(total, total)
    own = tuple(n - 1 for n in x.shape)
    products[own] -= noise.sum()
    sizes[own] -= float(np.tensordot(shares.factors**2, shares.counts, axes=1).sum())
    products += noise.sum() / total.sum() ** 2 * sizes
    over = np.bincount(ring[near], sizes[near], n_rings)
    covariance = np.bincount(ring[near], products[near], n_rings) / over
    distance = np.bincount(ring[near], (sizes * far)[near], n_rings) / over
    value = covariance / covariance[0]
    below = np.flatnonzero(value < np.exp(-1))
    if not len(below):
        return Correlation(distance, value, None, None)
    r = int(below[0])
    part = float((value[r - 1] - np.exp(-1)) / (value[r - 1] - value[r]))
    step = float(distance[r] - distance[r - 1])
    kernel = np.zeros(far.shape)
    for which, weight in ((r - 1, 1 - part), (r, part)):
        kernel[ring == which] += weight / over[which]
    kernel[own] -= np.exp(-1) / over[0]
    pairs = float(np.sum(kernel**2 * _lagged(noise, noise)))
    pull = _convolved(x, kernel)
    spread = max(4 * float(np.sum(noise * pull**2)) - 2 * pairs, 2 * pairs)
    slope = float(covariance[r - 1] - covariance[r]) / step
    length, sigma = float(distance[r - 1] + part * step), float(np.sqrt(spread)) / slope
    if sigma >= length:
        return Correlation(distance, value, None, None)
    return Correlation(distance, value, length, sigma)


def _lagged(one: Array, other: Array) -> Array:
    """Return sum_i one_i other_(i+h) for every lag h, no lag in the middle."""
    backwards = one[(slice(None, None, -1),) * one.ndim]
    return np.asarray(fftconvolve(other, backwards))


def _convolved(x: Array, kernel: Array) -> Array:
    """Return sum_h w(h) x_(i+h) in every bin; the kernel is even and as large as all lags."""
    whole = fftconvolve(x, kernel)
    return np.asarray(whole[tuple(slice(n - 1, 2 * n - 1) for n in x.shape)])


@dataclass(frozen=True)
class Clusters:
    """Connected bins rich in the dopant.

    Attributes
    ----------
    labels
        (...): number of the cluster from 1; 0 elsewhere.
    sizes
        (n_clusters,): bins in each.
    """

    labels: Array
    sizes: Array


def clusters_of(
    shares: Shares, *, times_mean: float = 1.5, sigmas: float = 3.0, least_bins: int = 3
) -> Clusters:
    """Return clusters: bins that touch by a face and hold much more of the dopant than the mean.

    Parameters
    ----------
    shares
        Of a map.
    times_mean
        A bin of a cluster has at least so many times the mean share.
    sigmas
        It also lies so many standard deviations of its counting above the mean.
    least_bins
        Smaller ones are left to chance.
    """
    x, deviation = shares.residual, np.sqrt(_uniform_noise(shares))
    rich = (
        shares.mask
        & (x > sigmas * deviation)
        & (x >= (times_mean - 1) * shares.mean * shares.total)
    )
    labels, _ = label(rich)
    sizes = np.bincount(labels.ravel())[1:]
    kept = np.flatnonzero(sizes >= least_bins) + 1
    new = np.zeros(len(sizes) + 1)
    new[kept] = np.arange(1, len(kept) + 1)
    return Clusters(new[labels], sizes[kept - 1].astype(float))


def _uniform_noise(shares: Shares) -> Array:
    """Return the variance of x_i by counting if every bin had the mean share."""
    return shares.total * float(shares.noise.sum() / shares.total.sum())


def counting_deviation(shares: Shares) -> Array:
    """Return the standard deviation of each bin's share by counting alone; NaN where none is used."""
    with np.errstate(invalid="ignore", divide="ignore"):
        deviation = np.sqrt(_uniform_noise(shares)) / shares.total
    return np.where(shares.mask, deviation, np.nan)


def factors_of(elements: list[str], given: Mapping[str, float]) -> Array | None:
    """Return the factors in the order of the elements, or None where none are given.

    Raises
    ------
    MeasurementError
        When some lack one, or one is of no mapped element.
    """
    if not given:
        return None
    lacking = [each for each in elements if each not in given]
    unknown = [each for each in given if each not in elements]
    if lacking or unknown:
        raise MeasurementError(
            (
                f"k_factors: {lacking[0]} has none"
                if lacking
                else f"k_factors: {unknown[0]} is not mapped"
            )
            + f": give one for each of {', '.join(elements)}, or none for shares of signal"
        )
    return np.array([given[each] for each in elements])
