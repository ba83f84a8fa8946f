"""Phase maps against nnls, against phases put in behind noise, and on shapes of known distance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import nnls

from rocksalt.analysis import phase_map
from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.phase_map import (
    deactivated_share,
    depth_profile,
    difference_from_mean,
    fit_phases,
    mean_weight,
    thick_enough,
)
from rocksalt.analysis.sample import Sample
from rocksalt.analysis.techniques import get_technique

SAMPLE = Sample(name="test")
ENERGY = np.arange(6519.0, 6620.0)


def edge(at, top, before=0.2):
    step = 0.5 + np.arctan((ENERGY - at) / 2) / np.pi
    return before + step + top * np.exp(-(((ENERGY - at - 6) / 4) ** 2))


PRISTINE, CYCLED = edge(6551, 0.6), edge(6549, 0.4)


def optical_depth(pristine, cycled):
    return PRISTINE[:, None, None] * pristine + CYCLED[:, None, None] * cycled


def phases_put_in(side=40, seed=0):
    rng = np.random.default_rng(seed)
    amount, weight = rng.uniform(0.5, 1.5, (side, side)), rng.uniform(0, 1, (side, side))
    return amount * (1 - weight), amount * weight, weight


def test_phases_without_noise_are_exact():
    pristine, cycled, weight = phases_put_in()
    phases = fit_phases(np.exp(-optical_depth(pristine, cycled)), PRISTINE, CYCLED)
    assert phases.pristine == pytest.approx(pristine, abs=1e-9)
    assert phases.cycled == pytest.approx(cycled, abs=1e-9)
    assert phases.weight == pytest.approx(weight, abs=1e-9)
    assert phases.r_factor == pytest.approx(0, abs=1e-12)
    assert phases.optical_depth == pytest.approx(optical_depth(pristine, cycled).mean(axis=0))


@pytest.mark.parametrize("offset", [False, True])
def test_every_pixel_is_what_nnls_gives(offset, monkeypatch):
    monkeypatch.setattr(phase_map, "_CHUNK_PIXELS", 7)  # parts that do not divide the image
    rng = np.random.default_rng(1)
    data = rng.normal(0, 1, (101, 6, 8)) + optical_depth(*rng.normal(0, 1, (2, 6, 8)))
    phases = fit_phases(data, PRISTINE, CYCLED, transmission=False, offset=offset)
    columns = [PRISTINE, CYCLED, np.ones(101), -np.ones(101)] if offset else [PRISTINE, CYCLED]
    matrix = np.column_stack(columns)
    bounded = 0
    for i, j in np.ndindex(6, 8):
        amounts, norm = nnls(matrix, data[:, i, j])
        assert phases.pristine[i, j] == pytest.approx(amounts[0], abs=1e-7)
        assert phases.cycled[i, j] == pytest.approx(amounts[1], abs=1e-7)
        assert phases.r_factor[i, j] == pytest.approx(norm**2 / (data[:, i, j] ** 2).sum())
        bounded += (amounts[:2] == 0).any()
    assert bounded > 10


def test_noise_gives_the_uncertainty_that_is_stated():
    pristine, cycled, weight = phases_put_in(side=60)
    transmitted = np.exp(-optical_depth(pristine, cycled))
    noise = np.random.default_rng(2).normal(0, 0.01, transmitted.shape)
    phases = fit_phases(transmitted + noise, PRISTINE, CYCLED)
    error, sigma = phases.weight - weight, phases.weight_uncertainty
    assert np.mean(abs(error) <= 2 * sigma) >= 0.9
    inner = (weight > 0.2) & (weight < 0.8)
    assert (error[inner] / sigma[inner]).std() == pytest.approx(1.0, abs=0.2)
    mean, sigma_of_mean = mean_weight(phases, np.ones_like(weight, dtype=bool))
    assert mean == pytest.approx(cycled.sum() / (cycled + pristine).sum(), abs=4 * sigma_of_mean)
    assert sigma_of_mean < sigma.mean() / 20


def test_what_other_elements_absorb_is_the_offset():
    pristine, cycled, weight = phases_put_in()
    data = optical_depth(pristine, cycled) + 0.3
    without = fit_phases(data, PRISTINE, CYCLED, transmission=False)
    with_offset = fit_phases(data, PRISTINE, CYCLED, transmission=False, offset=True)
    assert with_offset.weight == pytest.approx(weight, abs=1e-8)
    assert abs(without.weight - weight).max() > 0.05


def test_dark_pixels_are_left_out_and_counted():
    pristine, cycled, _ = phases_put_in(side=5)
    stack = np.exp(-optical_depth(pristine, cycled))
    stack[3, 0, 0], stack[5, 1, 1], stack[7, 2, 2] = 0.0, -0.1, np.nan
    phases = fit_phases(stack, PRISTINE, CYCLED)
    mask = thick_enough(phases, 0.05)
    assert not mask[[0, 1, 2], [0, 1, 2]].any()
    assert mask.sum() == 22
    assert np.isnan(difference_from_mean(phases, mask)).sum() == 3


def test_thin_pixels_are_masked_by_the_stated_depth():
    amount = np.zeros((4, 4))
    amount[1:3, 1:3] = 0.5
    noise = np.random.default_rng(3).normal(0, 1e-3, (101, 4, 4))
    data = optical_depth(0.5 * amount, 0.5 * amount) + noise
    phases = fit_phases(data, PRISTINE, CYCLED, transmission=False)
    assert np.array_equal(thick_enough(phases, 0.05), amount > 0)
    with pytest.raises(MeasurementError, match="least_optical_depth"):
        thick_enough(phases, 5.0)
    with pytest.raises(MeasurementError, match="no pixel"):
        thick_enough(phases, 0.05, largest_r=1e-12)


def test_difference_from_the_mean_state_weighs_material():
    pristine, cycled = np.array([[3.0, 0.0]]), np.array([[0.0, 1.0]])
    phases = fit_phases(optical_depth(pristine, cycled), PRISTINE, CYCLED, transmission=False)
    difference = difference_from_mean(phases, np.ones((1, 2), dtype=bool))
    assert difference == pytest.approx(np.array([[-0.25, 0.75]]), abs=1e-6)


def test_deactivated_share_is_the_rule_and_its_uncertainty_covers_noise():
    rng = np.random.default_rng(4)
    weight = rng.uniform(0, 1, (50, 50))
    clean = fit_phases(optical_depth(1 - weight, weight), PRISTINE, CYCLED, transmission=False)
    mask = np.ones((50, 50), dtype=bool)
    share, _ = deactivated_share(clean, mask, 0.7)
    assert share == pytest.approx((weight >= 0.7).mean())
    noisy = replace(
        clean,
        weight=clean.weight + rng.normal(0, 0.1, weight.shape),
        weight_uncertainty=np.full_like(weight, 0.1),
    )
    found, sigma = deactivated_share(noisy, mask, 0.7)
    assert abs(found - share) <= 2 * sigma
    assert 0 < sigma < 0.15


def test_profile_of_a_stripe_of_known_depth():
    """A stripe 20 pixels wide that leaves the image above and below; the weight is the distance."""
    mask = np.zeros((12, 30), dtype=bool)
    mask[:, 5:25] = True
    column = np.arange(30)
    depth = np.minimum(column - 4.5, 24.5 - column)
    weight = np.broadcast_to(np.clip(depth / 20, 0, 1), mask.shape)
    phases = fit_phases(optical_depth(1 - weight, weight), PRISTINE, CYCLED, transmission=False)
    profile = depth_profile(phases, mask, 30.0, bin_nm=30.0)
    assert profile.distance_nm == pytest.approx(30 * (np.arange(10) + 0.5))
    assert profile.weight == pytest.approx((np.arange(10) + 0.5) / 20, abs=1e-6)
    assert profile.pixels == pytest.approx(24)
    assert profile.standard_error == pytest.approx(0, abs=1e-6)


def test_holes_are_surface_or_not():
    mask = np.zeros((31, 31), dtype=bool)
    mask[1:30, 1:30] = True
    mask[15, 15] = False
    flat = np.ones(mask.shape)
    phases = fit_phases(optical_depth(flat, flat), PRISTINE, CYCLED, transmission=False)
    deepest = [
        depth_profile(phases, mask, 1.0, holes_are_surface=holes).distance_nm[-1]
        for holes in (True, False)
    ]
    assert deepest[0] < 10 < deepest[1]
    with pytest.raises(MeasurementError, match="no surface"):
        depth_profile(phases, np.ones_like(mask), 1.0)


def test_references_that_cannot_be_told_apart_are_refused():
    stack = np.ones((101, 2, 2))
    with pytest.raises(MeasurementError, match="same shape"):
        fit_phases(stack, PRISTINE, 3 * PRISTINE)
    with pytest.raises(MeasurementError, match="same shape"):
        fit_phases(stack, PRISTINE, PRISTINE + 1, offset=True)
    with pytest.raises(MeasurementError, match="do not fit"):
        fit_phases(stack, PRISTINE[1:], CYCLED[1:])
    with pytest.raises(MeasurementError, match="2 energies"):
        fit_phases(stack[:2], PRISTINE[:2], CYCLED[:2])


def txm_files(tmp_path, energies=ENERGY):
    """Write a particle whose outer 8 pixels are cycled, with 2000 counts per pixel and energy."""
    rng = np.random.default_rng(7)
    rows, columns = np.indices((64, 64)) - 31.5
    radius = np.hypot(rows, columns)
    amount, weight = np.where(radius < 28, 1.0, 0.0), np.where(radius < 20, 0.1, 0.9)
    transmitted = np.exp(-optical_depth(amount * (1 - weight), amount * weight))
    np.save(tmp_path / "stack.npy", (rng.poisson(2000 * transmitted) / 2000).astype(np.float32))
    np.savetxt(tmp_path / "energies.txt", energies)
    for name, values in (("p", PRISTINE), ("c", CYCLED)):
        np.savetxt(tmp_path / f"{name}.dat", np.column_stack([ENERGY, values]), header="energy mu")
    options = {
        "energies": tmp_path / "energies.txt",
        "pristine": tmp_path / "p.dat",
        "cycled": tmp_path / "c.dat",
        "pixel_nm": 30.0,
    }
    return tmp_path / "stack.npy", options, radius


def test_analysis_of_a_particle_with_a_cycled_shell(tmp_path):
    file, options, radius = txm_files(tmp_path)
    txm = get_technique("txm")
    found = txm.analyse(file, SAMPLE, txm.Options(**options, window_ev=(6519, 6610)))
    shell = (radius < 28) & (radius >= 20)
    share = found.values["deactivated_area_share"]
    assert share.value == pytest.approx(shell.sum() / (radius < 28).sum(), abs=0.02)
    assert found.values["pixels"].value == (radius < 28).sum()
    assert found.values["mean_cycled_weight"].value == pytest.approx(
        0.1 + 0.8 * shell.sum() / (radius < 28).sum(), abs=0.02
    )
    distance, weight = (found.arrays[f"profile_{n}"] for n in ("distance_nm", "cycled_weight"))
    assert weight[distance < 180] == pytest.approx(0.9, abs=0.04)
    many = found.arrays["profile_pixels"] > 50
    assert weight[many & (distance > 300)] == pytest.approx(0.1, abs=0.04)
    assert np.isnan(found.arrays["cycled_weight"][0, 0])


def test_energies_must_belong_to_the_images(tmp_path):
    file, options, _ = txm_files(tmp_path, ENERGY[:-1])
    txm = get_technique("txm")
    with pytest.raises(MeasurementError, match=r"101 images and 100 energies.*one energy for each"):
        txm.analyse(file, SAMPLE, txm.Options(**options))
    file, options, _ = txm_files(tmp_path, ENERGY[::-1])
    with pytest.raises(MeasurementError, match="does not rise"):
        txm.analyse(file, SAMPLE, txm.Options(**options))
    file, options, _ = txm_files(tmp_path, ENERGY + 1)
    with pytest.raises(MeasurementError, match="reference pristine: covers 6519 to 6619"):
        txm.analyse(file, SAMPLE, txm.Options(**options))
