"""Depth profiles of known interfaces, by the functions and from files."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import erfc

from rocksalt.analysis.depth_profiles import Counted, fit_interface, normalised
from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.sample import Sample
from rocksalt.analysis.techniques import get_technique

DEPTH = np.arange(0.0, 120.0, 1.5)
SAMPLE = Sample(name="test")


def layer(depth, s, plateau, bulk, x=DEPTH):
    return bulk + (plateau - bulk) / 2 * erfc((x - depth) / (np.sqrt(2) * s))


def counted(values):
    return Counted(values, np.ones(len(values)), 0, True)


@pytest.mark.parametrize("truth", [(40.0, 5.0, 900.0, 30.0), (70.0, 12.0, 20.0, 400.0)])
def test_without_noise_the_interface_is_the_truth(truth):
    found = fit_interface(DEPTH, counted(layer(*truth)))
    assert found.depth == pytest.approx(truth[0], abs=1e-4)
    assert found.width == pytest.approx(2 * truth[1], abs=1e-4)
    assert (found.plateau[0], found.bulk[0]) == pytest.approx(truth[2:], rel=1e-4)


def test_the_width_is_from_16_to_84_percent():
    found = fit_interface(DEPTH, counted(layer(40.0, 5.0, 1000.0, 0.0)))
    at = np.interp([160, 840], found.fitted[::-1], DEPTH[::-1])
    assert found.width == pytest.approx(at[0] - at[1], rel=0.02)


@pytest.mark.parametrize("to", ["none", "total"])
def test_truth_is_within_two_standard_uncertainties(to):
    truth, rng, errors = (40.0, 5.0, 300.0, 20.0), np.random.default_rng(8), []
    mean = layer(*truth)
    scale = 1.0 if to == "none" else 900.0
    for _ in range(200 if to == "none" else 60):
        pair = np.column_stack([rng.poisson(mean), rng.poisson(900 - mean)]).astype(float)
        profile = normalised(pair, ("MnF3-", "O-"), to)[0]
        found = fit_interface(DEPTH, profile)
        errors.append(
            [
                (found.depth - truth[0]) / found.depth_uncertainty,
                (found.width - 2 * truth[1]) / found.width_uncertainty,
                (found.plateau[0] - truth[2] / scale) / found.plateau[1],
                (found.bulk[0] - truth[3] / scale) / found.bulk[1],
            ]
        )
    errors = np.array(errors)
    assert ((abs(errors) <= 2).mean(axis=0) >= 0.9).all()
    squares = (errors**2).mean(axis=0)
    assert ((squares > 0.5) & (squares < 2)).all(), squares


def test_noise_that_is_not_counting_is_estimated_and_told():
    noisy = layer(40, 5, 1.0, 0.1) + np.random.default_rng(0).normal(0, 0.03, len(DEPTH))
    (profile,) = normalised(noisy[:, None], ("MnF3-",), "none", is_counted=False)
    found = fit_interface(DEPTH, profile)
    assert abs(found.depth - 40) < 3 * found.depth_uncertainty < 3
    assert any("estimated from neighbouring points" in remark for remark in found.remarks)


def test_an_interface_sharper_than_a_step_has_no_width():
    rng = np.random.default_rng(1)
    found = fit_interface(DEPTH, counted(rng.poisson(layer(40.2, 0.1, 900, 5)).astype(float)))
    assert found.width is None
    assert abs(found.depth - 40.2) < 2 * found.depth_uncertainty
    assert found.depth_uncertainty < 1.5
    assert any("narrower than the steps" in remark for remark in found.remarks)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.random.default_rng(0).poisson(100, len(DEPTH)).astype(float), "no interface.*constant"),
        (np.round(1000 * np.exp(-DEPTH / 20)), "does not reach half way"),
        (np.full(len(DEPTH), 50.0), "no interface"),
    ],
)
def test_a_profile_without_an_interface_is_refused(values, message):
    with pytest.raises(MeasurementError, match=rf"a\.txt: .*{message}"):
        fit_interface(DEPTH, counted(values), name="a.txt")


@pytest.fixture
def sims(tmp_path):
    """Write a layer that MnF3- marks to 200 s, and NiO- below it."""
    time = np.arange(0.0, 600.0, 6.0)
    rng = np.random.default_rng(4)
    columns = [layer(200, 20, 900, 4, time), layer(200, 25, 50, 800, time), np.full(100, 3000.0)]
    table = np.column_stack([time, *map(rng.poisson, columns)])
    path = tmp_path / "sims.txt"
    np.savetxt(path, table, "%g", "\t", header="Sputter time (s)\tMnF3-\tNiO-\tO-", comments="")
    return path


def analyse(path, **options):
    module = get_technique("tof-sims")
    return module.analyse(path, SAMPLE, module.Options(**options))


RATE = {"sputter_rate_nm_per_s": 0.1}


def test_thickness_in_nm_has_the_doubt_of_the_rate(sims):
    alone = analyse(sims, markers=["MnF3-", "NiO-"], **RATE)
    thickness = alone.values["MnF3-_layer_thickness"]
    assert (thickness.value, thickness.unit) == (pytest.approx(20.0, abs=0.2), "nm")
    assert abs(thickness.value - 20.0) < 3 * thickness.uncertainty
    assert alone.values["NiO-_layer_thickness"].value == pytest.approx(20.0, abs=0.4)
    assert any("sputter rate is not in" in remark for remark in alone.remarks)
    rated = analyse(sims, markers=["MnF3-"], sputter_rate_uncertainty_nm_per_s=0.005, **RATE)
    joint = rated.values["MnF3-_layer_thickness"].uncertainty
    assert joint == pytest.approx(np.hypot(thickness.uncertainty, 0.05 * thickness.value), rel=1e-6)
    assert not any("sputter rate" in remark for remark in rated.remarks)


def test_intensities_relative_to_a_fragment(sims):
    found = analyse(sims, markers=["MnF3-"], normalise="O-", window=(30, 590), **RATE)
    plateau = found.values["MnF3-_plateau"]
    assert (plateau.value, plateau.unit) == (pytest.approx(0.3, abs=0.01), "1")
    assert found.arrays["depth_nm"][0] == pytest.approx(3.0)
    assert found.arrays["intensities"].shape == (3, len(found.arrays["depth_nm"]))
    assert found.values["MnF3-_reduced_chi_square"].value == pytest.approx(1.0, abs=0.45)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"markers": ["MnF3-"]}, "the profile has times: give sputter_rate_nm_per_s"),
        ({"markers": ["NiF3-"], **RATE}, "no fragment 'NiF3-': markers are among MnF3-, NiO-, O-"),
        ({"markers": ["O-"], **RATE}, "O-: no interface from 0 to 594"),
        ({"markers": ["MnF3-"], "axis": "depth_nm", **RATE}, "has depths: leave sputter_rate"),
        ({"markers": ["MnF3-"], "normalise": "Cs-", **RATE}, "no fragment 'Cs-' to normalise to"),
        ({"markers": ["MnF3-"], "window": (700, 800), **RATE}, "window 700 to 800 holds nothing"),
        ({"markers": ["MnF3-"], "window": (0, 30), **RATE}, "6 cycles give no interface"),
    ],
)
def test_what_a_profile_lacks_is_told_in_one_line(sims, options, message):
    with pytest.raises(MeasurementError, match=rf"sims\.txt: .*{message}") as error:
        analyse(sims, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("values", "to", "message"),
    [
        ([[-1.0, 5.0], [3.0, 5.0]], "none", "below zero are no counts"),
        ([[0.2, 0.5], [0.3, 1.0]], "none", "up to 1 are no counts: export counts"),
        ([[4.0, 5.0], [3.0, 0.0]], "O-", "O- is zero in row 2"),
    ],
)
def test_intensities_that_cannot_be_normalised_are_told(values, to, message):
    with pytest.raises(MeasurementError, match=rf"a\.txt: .*{message}"):
        normalised(np.array(values), ("MnF3-", "O-"), to, name="a.txt")


def test_an_axis_without_a_name_is_asked_for(sims):
    sims.write_text(sims.read_text().replace("Sputter time (s)", "cycle"))
    with pytest.raises(MeasurementError, match=r"give axis, time_s or depth_nm"):
        analyse(sims, markers=["MnF3-"], **RATE)
    found = analyse(sims, markers=["MnF3-"], axis="time_s", **RATE)
    assert found.values["MnF3-_layer_thickness"].value == pytest.approx(20.0, abs=0.2)
