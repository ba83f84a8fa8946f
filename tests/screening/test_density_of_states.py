"""Band edges and shares against densities that can be integrated by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from rocksalt.screening.density_of_states import (
    TAIL_WIDTHS,
    band_edges,
    broadened_densities,
    orbital_shares,
    states_in_window,
)
from rocksalt.screening.errors import RocksaltError


def test_edges_of_an_insulator():
    values = [[[-3.0, -1.0, 1.5], [-2.5, -0.8, 1.2]], [[-3.1, -1.1, 2.0], [-2.7, -0.9, 1.9]]]
    edges = band_edges(values, 0.4)
    assert edges.valence_band_maximum_ev == -0.8
    assert edges.conduction_band_minimum_ev == 1.2
    assert edges.gap_ev == pytest.approx(2.0)
    assert not edges.is_metal
    assert edges.edge_ev() == -0.8  # the Fermi level of an insulator is not the edge
    assert edges.edge_ev("fermi-level") == 0.4


def test_edges_of_a_metal():
    edges = band_edges([[[-1.0, -0.2], [-1.0, 0.3]]], 0.0)
    assert edges.is_metal
    assert edges.gap_ev == 0.0
    assert edges.edge_ev() == 0.0


def test_without_empty_bands_the_gap_is_not_known():
    edges = band_edges([[[-1.0, -0.2]]], 0.0)
    assert edges.gap_ev is None
    assert edges.conduction_band_minimum_ev is None


@given(st.floats(-20, 20), st.floats(0.01, 5))
def test_a_shift_of_all_energies_moves_the_edges_alike(shift, gap):
    values = np.array([[[-2.0, 0.0, gap], [-3.0, -0.5, gap + 1]]])
    edges = band_edges(values + shift, shift + gap / 2)
    assert edges.valence_band_maximum_ev == pytest.approx(shift)
    assert edges.gap_ev == pytest.approx(gap)


def test_shares_of_boxes():
    # O fills [-2, 0] with 3 states per eV, Mn [-0.5, 0] with 2: in 1 eV below 0 that is 3 against 1
    energies = np.linspace(-4, 2, 6001)
    oxygen = np.where((energies >= -2) & (energies <= 0), 3.0, 0.0)
    manganese = np.where((energies >= -0.5) & (energies <= 0), 2.0, 0.0)
    shares = orbital_shares(energies, {"O-p": oxygen, "Mn-d": manganese}, 0.0, 1.0)
    assert shares["O-p"] == pytest.approx(0.75, abs=1e-3)
    assert sum(shares.values()) == pytest.approx(1.0)
    whole = orbital_shares(energies, {"O-p": oxygen, "Mn-d": manganese}, 0.0, 2.0)
    assert whole["O-p"] == pytest.approx(6 / 7, abs=1e-3)


def test_ends_of_the_window_are_interpolated():
    # g = -x on a grid of whole eV: from -1.5 to 0 the area is 1.125
    energies = np.array([-2.0, -1.0, 0.0, 1.0])
    shares = orbital_shares(energies, {"O-p": [2, 1, 0, 0], "Mn-d": [1, 1, 1, 1]}, 0.0, 1.5)
    assert shares["O-p"] == pytest.approx(1.125 / (1.125 + 1.5))


def test_broadened_levels_are_counted_whole():
    # 2 levels of O and 1 of Mn at the edge, broadened: half of each lies above it
    energies = np.linspace(-3, 3, 3001)
    level = norm.pdf(energies, 0, 0.05)
    deep = norm.pdf(energies, -0.9, 0.02)
    shares = orbital_shares(energies, {"O-p": 2 * level, "Mn-d": level}, 0.0, 1.0, 0.05)
    assert shares["O-p"] == pytest.approx(2 / 3, abs=1e-3)
    both = orbital_shares(energies, {"O-p": level, "Mn-d": deep}, 0.0, 1.0, 0.05)
    assert both["O-p"] == pytest.approx(0.5, abs=2e-3)


def test_a_level_is_a_gaussian():
    energies = np.linspace(-1, 1, 401)
    levels = np.array([[[0.2]], [[-0.3]]])
    found = broadened_densities(energies, levels, [1.0], {"O-p": [[[0.25]], [[1.0]]]}, 0.1)
    assert found["O-p"][0] == pytest.approx(0.25 * norm.pdf(energies, 0.2, 0.1), abs=1e-12)
    assert found["O-p"][1] == pytest.approx(norm.pdf(energies, -0.3, 0.1), abs=1e-12)


@given(st.integers(0, 1000), st.sampled_from([1, 2]))
def test_all_states_are_there_once(seed, n_spins):
    rng = np.random.default_rng(seed)
    levels = rng.uniform(-1, 1, size=(n_spins, 3, 4))
    weights = rng.uniform(0.1, 1, size=3)
    share = rng.uniform(size=levels.shape)
    energies = np.linspace(-3, 3, 1201)
    projections = {"O-p": share, "Mn-d": 1 - share, "total": np.ones_like(levels)}
    found = broadened_densities(energies, levels, weights, projections, 0.1)
    total = found["total"].sum(axis=0)
    assert np.trapezoid(total, energies) == pytest.approx(8.0)  # four bands of two electrons each
    assert found["O-p"] + found["Mn-d"] == pytest.approx(found["total"])
    by_hand = 2 / n_spins * np.einsum("k,skb->", weights / weights.sum(), share)
    assert np.trapezoid(found["O-p"].sum(axis=0), energies) == pytest.approx(by_hand)


def test_a_flat_band_is_counted_by_its_share_in_the_window():
    # 1000 levels evenly over 4 eV below the edge: a quarter of them lie within 1 eV
    levels = -4 * (np.arange(1000) + 0.5)[None, None, :] / 1000
    energies = np.linspace(-5, 1, 3001)
    found = broadened_densities(energies, levels, [1.0], {"O-p": np.ones_like(levels)}, 0.05)
    counted = states_in_window(energies, {"O-p": found["O-p"][0]}, 0.0, 1.0, 0.05)
    assert counted["O-p"] == pytest.approx(2 * 250, rel=1e-3)
    half = states_in_window(energies, {"O-p": found["O-p"][0]}, 0.0, 0.5, 0.05)
    assert half["O-p"] == pytest.approx(2 * 125, rel=1e-3)


def test_the_tail_above_the_edge_is_enough():
    energies = np.linspace(-2, 2, 8001)
    level = norm.pdf(energies, 0, 0.05)
    (counted,) = states_in_window(energies, {"O-p": level}, 0.0, 1.0, 0.05).values()
    assert counted == pytest.approx(norm.cdf(TAIL_WIDTHS), abs=1e-6)
    assert counted > 0.9999


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: broadened_densities([0.0], [[[0.0]]], [1.0], {"O-p": [[[1.0]]]}, 0.0),
            "give a positive one",
        ),
        (
            lambda: broadened_densities([0.0], [[[0.0]]], [1.0, 1.0], {"O-p": [[[1.0]]]}, 0.1),
            "k-point weights of shape",
        ),
        (
            lambda: broadened_densities([0.0], [[[0.0]]], [1.0], {"O-p": [[1.0]]}, 0.1),
            "projections on O-p of shape",
        ),
        (lambda: band_edges([1.0], 0.0), "spins, k-points and bands"),
        (lambda: band_edges([[[1.0]]], 0.0), "no eigenvalue lies below"),
        (lambda: band_edges([[[np.nan]]], 0.0), "not a finite number"),
        (lambda: orbital_shares([0, 0], {"O-p": [1, 1]}, 0.0), "must rise"),
        (lambda: orbital_shares([-0.5, 1], {"O-p": [1, 1]}, 0.0), "compute a wider one"),
        (lambda: orbital_shares([-2, 1], {"O-p": [1]}, 0.0), "has 1 values for 2 energies"),
        (lambda: orbital_shares([-2, 1], {"O-p": [0, 0]}, 0.0), "no states of O-p"),
        (lambda: orbital_shares([-2, 1], {"O-p": [1, 1]}, 0.0, 0.0), "give a positive depth"),
    ],
)
def test_bad_input_is_said(call, words):
    with pytest.raises(RocksaltError, match=words):
        call()
