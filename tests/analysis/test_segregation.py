"""Excess variance, its test and its correlation length on maps whose true shares are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import j0
from scipy.stats import binom

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.segregation import (
    binned,
    clusters_of,
    correlation_of,
    counting_deviation,
    excess_of,
    factors_of,
    share_of,
)

ROWS, COLUMNS = np.indices((32, 32))
PARTICLE = (0.5 + ROWS / 64) * (np.hypot(ROWS - 16, COLUMNS - 16) < 14)
FIELDS = {
    "two phases": np.where((ROWS // 8 + COLUMNS // 8) % 2 == 0, 0.3, 0.02),
    "smooth": 0.1 * (1 + 0.5 * np.sin(2 * np.pi * COLUMNS / 16)),
}
TRIALS = 200


def drawn(rng, share, amount, factor=1.0):
    """Return counts of a dopant whose counts times `factor` go as atoms, and of the other metal."""
    return rng.poisson(np.array([amount * share / factor, amount * (1 - share)]))


def whole(counts, factors=None):
    return share_of(counts, factors=factors, bin_pixels=1, least_counts=1)


def true_variance(share, amount):
    mean = np.average(share, weights=amount)
    return np.average((share - mean) ** 2, weights=amount**2), mean


def true_length(share, amount):
    """Return where the noise-free autocorrelation falls to 1/e, by sums over every pair of pixels."""
    x = amount * (share - np.average(share, weights=amount))
    place = np.stack([ROWS.ravel(), COLUMNS.ravel()])
    far = np.hypot(*(place[:, :, None] - place[:, None, :]))
    ring = np.rint(far).astype(int).ravel()
    sums = [
        np.bincount(ring, (np.outer(f.ravel(), f.ravel()) * g).ravel())[:16]
        for f, g in ((x, 1.0), (amount, 1.0), (amount, far))
    ]
    value = sums[0] / sums[1]
    falls = np.flatnonzero(value < value[0] / np.e)[0]
    pair = slice(falls - 1, falls + 1)
    return np.interp(-1 / np.e, -value[pair] / value[0], (sums[2] / sums[1])[pair])


@pytest.mark.parametrize("chance", [0.01, 0.05])
@pytest.mark.parametrize(
    ("share", "level", "factors"), [(0.05, 200, None), (0.3, 40, None), (0.06, 120, (2.5, 1.0))]
)
def test_uniform_maps_are_called_segregated_with_the_stated_chance(share, level, factors, chance):
    rng = np.random.default_rng(1)
    factor = factors[0] if factors else 1.0
    field = np.full(PARTICLE.shape, share)
    found = [
        excess_of(whole(drawn(rng, field, level * PARTICLE, factor), factors), chance)
        for _ in range(TRIALS)
    ]
    n_wrong = sum(each.segregated for each in found)
    low, high = binom.ppf([0.001, 0.999], TRIALS, chance)
    assert low <= n_wrong <= high
    assert all((each.lower > 0) == each.segregated for each in found)
    assert all((each.chance_if_uniform < chance) == each.segregated for each in found)
    z = [each.variance / each.variance_uncertainty for each in found]
    assert 0.5 < np.mean(np.square(z)) < 2
    assert abs(np.mean(z)) < 0.3  # 200 trials: four standard errors


@pytest.mark.parametrize("factors", [None, (2.5, 1.0)])
@pytest.mark.parametrize("amount", [np.full(PARTICLE.shape, 150.0), 150 * PARTICLE])
@pytest.mark.parametrize("name", FIELDS)
def test_excess_and_length_are_found_within_their_uncertainties(name, amount, factors):
    rng = np.random.default_rng(2)
    share = FIELDS[name]
    factor = factors[0] if factors else 1.0
    variance, mean = true_variance(share, amount)
    length = true_length(share, amount)
    z, bounds = [], []
    for _ in range(TRIALS):
        shares = whole(drawn(rng, share, amount, factor), factors)
        excess, correlation = excess_of(shares, 0.05), correlation_of(shares)
        z.append(
            (
                (excess.variance - variance) / excess.variance_uncertainty,
                (correlation.length - length) / correlation.length_uncertainty,
            )
        )
        bounds.append((excess.lower, excess.upper))
    z = np.array(z)
    assert (np.mean(np.abs(z) < 2, axis=0) >= 0.9).all()
    assert (np.mean(z**2, axis=0) > 0.5).all()
    assert (np.mean(z**2, axis=0) < 2).all()
    lower, upper = np.array(bounds).T
    relative = np.sqrt(variance) / mean
    most_wrong = binom.ppf(0.999, TRIALS, 0.05)
    assert (lower > relative).sum() <= most_wrong
    assert (upper < relative).sum() <= most_wrong
    assert np.mean(upper - lower) < 0.6 * relative


def test_excess_is_right_with_few_counts_in_each_pixel():
    """Three counts a pixel, a third of the dopant: nothing but many pixels makes it visible."""
    rng = np.random.default_rng(3)
    share = np.tile(FIELDS["two phases"], (6, 6))
    amount = np.full(share.shape, 3.0)
    excess = excess_of(whole(drawn(rng, share, amount)))
    variance, _ = true_variance(share, amount)
    assert excess.segregated
    assert abs(excess.variance - variance) < 3 * excess.variance_uncertainty < 0.3 * variance


def test_pure_phases_have_the_spread_of_pure_phases():
    rng = np.random.default_rng(4)
    share = np.where(FIELDS["two phases"] > 0.1, 1.0, 0.0)
    excess = excess_of(whole(drawn(rng, share, np.full(share.shape, 50.0))))
    assert excess.variance == pytest.approx(0.25, rel=1e-3)
    assert excess.variance_uncertainty < 1e-3
    assert excess.lower < 1.0 < excess.upper


def test_stripes_have_the_length_of_a_bessel_function():
    """The average of cos(k r cos(angle)) over angles is J0(k r), which is 1/e at k r = 1.752."""
    columns = np.indices((160, 160))[1]
    share = 0.1 * (1 + 0.5 * np.sin(2 * np.pi * columns / 40))
    counts = drawn(np.random.default_rng(5), share, np.full(share.shape, 400.0))
    found = correlation_of(whole(counts))
    assert j0(1.752) == pytest.approx(1 / np.e, abs=1e-3)
    assert found.length == pytest.approx(1.752 * 40 / (2 * np.pi), rel=0.05)


def test_a_volume_and_its_clusters():
    rng = np.random.default_rng(6)
    share = np.full((12, 20, 20), 0.05)
    share[3:7, 4:8, 4:8] = 0.6
    share[3:7, 4:8, 8:9] = 0.6
    share[9:11, 15:17, 15:17] = 0.6
    shares = whole(drawn(rng, share, np.full(share.shape, 60.0)))
    clusters = clusters_of(shares)
    assert sorted(clusters.sizes) == [8, 80]
    assert np.array_equal(clusters.labels > 0, share > 0.1)
    assert clusters.sizes[int(clusters.labels[4, 5, 5]) - 1] == 80
    assert excess_of(shares).segregated


def test_a_uniform_map_has_no_clusters():
    counts = drawn(np.random.default_rng(7), np.full((64, 64), 0.1), np.full((64, 64), 50.0))
    assert len(clusters_of(whole(counts)).sizes) == 0


def test_bins_are_as_large_as_counts_need_and_vacuum_is_left_out():
    rng = np.random.default_rng(8)
    amount = np.where(COLUMNS < 24, 12.0, 0.02)
    counts = drawn(rng, np.full(amount.shape, 0.2), amount)
    shares = share_of(counts, least_counts=40)
    assert shares.bin_pixels == 2
    assert np.array_equal(shares.mask, np.indices((16, 16))[1] < 12)
    assert np.isnan(shares.local[~shares.mask]).all()
    kept = counts[:, :, :24].sum(axis=(1, 2))
    assert shares.mean == pytest.approx(kept[0] / kept.sum())
    expected = np.sqrt(0.16 / 48)
    assert np.nanmedian(counting_deviation(shares)) == pytest.approx(expected, rel=0.1)


def test_blocks_are_summed_and_the_rest_is_lost():
    counts = np.arange(2 * 3 * 5).reshape(2, 3, 5)
    sums = binned(counts, 2)
    assert sums.shape == (2, 1, 2)
    assert sums[1, 0, 1] == counts[1, :2, 2:4].sum()
    assert np.array_equal(binned(counts, 1), counts)


@pytest.mark.parametrize(
    ("counts", "options", "message"),
    [
        (
            np.ones((2, 8, 8)),
            {},
            "no binning leaves 30 bins with 100 counts: 128 counts in 64 pixels",
        ),
        (
            np.ones((2, 32, 32)),
            {"bin_pixels": 2},
            "bin_pixels 2 leaves 256 bins with 8 counts in the median: 30 with 100 are",
        ),
        (np.zeros((2, 32, 32)), {}, "too few"),
        (np.full((2, 32, 32), 90), {"bin_pixels": 8}, "bin_pixels 8 leaves 16 bins"),
        (np.stack([np.eye(32), np.full((32, 32), 200)]), {}, "32 counts of the dopant in all"),
        (np.stack([np.full((32, 32), 200), np.eye(32)]), {}, "32 counts of the other cations"),
    ],
)
def test_too_few_counts_are_told(counts, options, message):
    with pytest.raises(MeasurementError, match=message):
        share_of(counts, **options)


def test_factors_are_asked_for_all_or_none():
    assert factors_of(["Ru", "Mn"], {}) is None
    assert list(factors_of(["Ru", "Mn"], {"Mn": 1.0, "Ru": 2.0})) == [2.0, 1.0]
    with pytest.raises(
        MeasurementError, match="k_factors: Ru has none: give one for each of Ru, Mn"
    ):
        factors_of(["Ru", "Mn"], {"Mn": 1.0})
    with pytest.raises(MeasurementError, match="k_factors: Ni is not mapped"):
        factors_of(["Ru", "Mn"], {"Mn": 1.0, "Ru": 2.0, "Ni": 1.0})
