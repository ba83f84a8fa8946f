"""Peaks and backgrounds of known shape, and seeded truth, which the uncertainties must cover."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from lmfit.lineshapes import pvoigt
from scipy.integrate import cumulative_trapezoid

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.peak_fits import fit_peaks, noise_from_neighbours
from rocksalt.analysis.peak_model import Background, Component, shirley_background
from rocksalt.analysis.techniques.raman import LI_RICH
from rocksalt.analysis.techniques.xps import O_1S

ENERGY = np.arange(526.0, 537.01, 0.05)
STEP = Background(step=True)
LINE = Background(degree=1)
POSITIONS = np.array([530.12, 531.02, 531.62, 533.12])  # the template's, moved by 0.12 eV


def peaks(x, areas, positions, widths, mixing=0.3):
    sizes = zip(areas, positions, np.broadcast_to(widths, len(areas)), strict=True)
    return sum(pvoigt(x, a, c, w / 2, mixing) for a, c, w in sizes)


def o_1s(areas, width=1.3, step=0.03, floor=400.0):
    """Return O 1s in counts: four peaks, and a floor that rises with the area passed."""
    line = peaks(ENERGY, areas, POSITIONS, width)
    return floor + line + step * cumulative_trapezoid(line, ENERGY, initial=0.0)


def one(position=530.0, **changes):
    return {"peak": Component(position=position, **{"shift": 0.5, "width": (0.5, 3)} | changes)}


def check_truth(errors_in_sigma):
    """Assert that truth is within two uncertainties in nine of ten, and these are no wider than true."""
    assert len(errors_in_sigma) == 200
    errors = np.array(errors_in_sigma)
    assert ((abs(errors) <= 2).mean(axis=0) >= 0.9).all(), (abs(errors) <= 2).mean(axis=0)
    squares = (errors**2).mean(axis=0)
    assert ((squares > 0.5) & (squares < 2)).all(), squares


def test_shirley_is_what_rises_with_the_area_passed():
    """Where y = floor + peak + b (area passed), the iteration gives floor + b (area passed)."""
    peak = 1000 * np.exp(-(((ENERGY - 531) / 0.8) ** 2))
    passed = cumulative_trapezoid(peak, ENERGY, initial=0.0)
    y = 50 + peak + 0.2 * passed
    assert shirley_background(ENERGY, y) == pytest.approx(50 + 0.2 * passed, abs=1e-3)
    assert shirley_background(ENERGY, y[::-1])[-1] == pytest.approx(50, abs=1e-6)  # it may fall too


def test_shirley_needs_a_peak():
    valley = 100 - 50 * np.exp(-((ENERGY - 531) ** 2))
    with pytest.raises(
        MeasurementError, match=r"a\.vms: no Shirley background.*background: linear"
    ):
        shirley_background(ENERGY, valley, name="a.vms")


@pytest.mark.parametrize("background", [STEP, LINE, Background(degree=1, step=True)])
def test_without_noise_the_fit_is_the_truth(background):
    areas = [10_000, 1500, 4000, 1000]
    y = o_1s(areas, step=0.03 if background.step else 0.0)
    fit = fit_peaks(ENERGY, y, O_1S, background, together=True, same_width=True)
    # the step is integrated by trapezoids here, and from below the window there
    assert fit.areas == pytest.approx(areas, rel=2e-3)
    assert fit.positions == pytest.approx(POSITIONS, abs=1e-3)
    assert fit.widths == pytest.approx(1.3, abs=1e-3)
    assert fit.envelope == pytest.approx(y, rel=1e-3)


def test_truth_of_o_1s_is_within_the_uncertainties():
    areas = np.array([10_000, 1500, 4000, 1000])
    clean, rng, errors = o_1s(areas), np.random.default_rng(1), []
    for _ in range(200):
        y = rng.poisson(clean).astype(float)
        fit = fit_peaks(ENERGY, y, O_1S, STEP, together=True, same_width=True, counts_per_unit=1.0)
        found = [(*fit.share([name]), a / areas.sum()) for name, a in zip(O_1S, areas, strict=True)]
        found.append((fit.positions[0], fit.position_uncertainties[0], POSITIONS[0]))
        found.append((fit.widths[0], fit.width_uncertainties[0], 1.3))
        found.append((*fit.total_area(), areas.sum()))
        errors.append([(value - truth) / sigma for value, sigma, truth in found])
    check_truth(errors)


def test_truth_of_raman_bands_is_within_the_uncertainties_and_an_absent_one_is_absent():
    areas = np.array([8000.0, 15_000, 5000, 0, 1200])
    positions = np.array([488.0, 597, 627, 789, 848])
    shift = np.arange(400.0, 940.0, 2.0)
    t = (shift - 400) / 500
    clean = peaks(shift, areas, positions, [55, 42, 38, 18, 25], mixing=1.0)
    clean = clean + 300 + 200 * t - 80 * t**2
    rng, errors, found = np.random.default_rng(7), [], []
    for _ in range(200):
        y = clean + rng.normal(0, 4.0, len(shift))
        fit = fit_peaks(shift, y, LI_RICH, Background(degree=2))
        rows = [
            (*fit.share([name]), a / areas.sum()) for name, a in zip(LI_RICH, areas, strict=True)
        ]
        rows.append((*fit.share(["spinel"], ["spinel", "layered"]), 0.25))
        rows += [
            (fit.positions[i], fit.position_uncertainties[i], positions[i]) for i in (0, 1, 2, 4)
        ]
        errors.append([(value - truth) / sigma for value, sigma, truth in rows])
        found.append([fit.is_found("li2o2"), fit.is_found("peroxo")])
    check_truth(errors)
    absent, present = np.mean(found, axis=0)
    assert absent <= 0.06  # two standard deviations on one side are 0.023; the position is free too
    assert present == 1.0


def test_smoothed_noise_is_told_and_its_uncertainty_is_that_of_fewer_points():
    rng, inside = np.random.default_rng(2), []
    line = peaks(ENERGY, [500], [530.2], 1.5) + 100
    for _ in range(80):
        noise = np.convolve(rng.normal(0, 10, len(ENERGY) + 8), np.ones(5) / 5, mode="valid")[:-4]
        fit = fit_peaks(ENERGY, line + noise, one(lorentzian=0.3), LINE)
        inside.append(
            (
                abs(fit.areas[0] - 500) <= 2 * fit.area_uncertainties[0],
                abs(fit.positions[0] - 530.2) <= 2 * fit.position_uncertainties[0],
            )
        )
        assert any("follow their neighbours" in remark for remark in fit.remarks)
    assert (np.mean(inside, axis=0) >= 0.9).all()


def test_shares_have_the_covariance_of_the_areas():
    fit = fit_peaks(
        ENERGY,
        np.random.default_rng(0).poisson(o_1s([10_000, 1500, 4000, 1000])).astype(float),
        O_1S,
        STEP,
        together=True,
        same_width=True,
    )
    draws = np.random.default_rng(1).multivariate_normal(fit.areas, fit.area_covariance, 20_000)
    shares = draws / draws.sum(axis=1, keepdims=True)
    for i, name in enumerate(fit.names):
        share, sigma = fit.share([name])
        assert share == pytest.approx(shares[:, i].mean(), abs=0.05 * sigma)
        assert sigma == pytest.approx(shares[:, i].std(), rel=0.03)
    both = draws[:, 1] / draws[:, :2].sum(axis=1)
    assert fit.share(["peroxo"], ["lattice", "peroxo"])[1] == pytest.approx(both.std(), rel=0.03)
    assert fit.total_area()[1] == pytest.approx(draws.sum(axis=1).std(), rel=0.03)


def test_a_bound_and_a_correlation_are_told_with_names():
    rng = np.random.default_rng(3)
    y = rng.poisson(200 + peaks(ENERGY, [5000], [530.8], 1.3)).astype(float)
    fit = fit_peaks(ENERGY, y, one(shift=0.2), LINE)
    assert fit.positions[0] == pytest.approx(530.2, abs=1e-3)
    assert 0 < fit.position_uncertainties[0] < 0.2
    assert any("Held at a bound" in r and "position of peak" in r for r in fit.remarks)
    pair = {
        "first": Component(position=530.0, shift=0.4, width=(1, 2)),
        "second": Component(position=530.7, shift=0.4, width=(1, 2)),
    }
    y = rng.poisson(200 + peaks(ENERGY, [5000, 4000], [530.0, 530.7], 1.3)).astype(float)
    fit = fit_peaks(ENERGY, y, pair, LINE)
    assert any("area of first with area of second (-" in remark for remark in fit.remarks)


def test_a_misfit_above_counting_scales_the_uncertainties_and_is_told():
    y = np.round(200 + peaks(ENERGY, [9000, 6000], [529.7, 531.4], 1.0))
    alone = fit_peaks(ENERGY, y, one(530.5, shift=1), LINE, counts_per_unit=1.0)
    assert alone.reduced_chi_square > 5
    assert any("above what counting explains" in remark for remark in alone.remarks)
    pair = {"a": Component(position=529.7, shift=0.3, width=(0.5, 2))}
    pair["b"] = Component(position=531.4, shift=0.3, width=(0.5, 2))
    both = fit_peaks(ENERGY, y, pair, LINE, counts_per_unit=1.0)
    assert both.remarks == ()
    assert both.total_area()[1] < 0.3 * alone.total_area()[1]


def test_counts_per_second_have_the_noise_of_their_counts():
    counts = np.random.default_rng(5).poisson(o_1s([10_000, 1500, 4000, 1000])).astype(float)
    whole = fit_peaks(ENERGY, counts, O_1S, STEP, together=True, counts_per_unit=1.0)
    rate = fit_peaks(ENERGY, counts / 8, O_1S, STEP, together=True, counts_per_unit=8.0)
    assert rate.reduced_chi_square == pytest.approx(whole.reduced_chi_square, rel=1e-4)
    assert rate.share(["peroxo"]) == pytest.approx(whole.share(["peroxo"]), rel=1e-3)


def test_a_share_of_a_peak_that_the_template_leaves_free_covers_the_truth():
    """Positions and widths of four overlapping peaks are hardly determined: the bars must say so."""
    template = {name: c.model_copy(update={"shift": 0.2}) for name, c in O_1S.items()}
    areas = np.array([10_000, 1500, 4000, 1000])
    clean, rng, inside, sigmas = o_1s(areas), np.random.default_rng(1), [], []
    for _ in range(16):
        fit = fit_peaks(ENERGY, rng.poisson(clean).astype(float), template, STEP, together=True)
        share, sigma = fit.share(["peroxo"])
        inside.append(abs(share - 1500 / areas.sum()) <= 2 * sigma)
        sigmas.append(sigma)
    assert np.mean(inside) >= 0.9
    assert np.mean(sigmas) > 0.03  # ten times the 0.003 with distances and one width held, and more


def test_noise_from_neighbours_sees_no_smooth_curve():
    rng = np.random.default_rng(0)
    smooth = 1000 + 50 * ENERGY + 300 * np.sin(ENERGY)
    assert noise_from_neighbours(smooth) < 0.1
    noisy = [noise_from_neighbours(smooth + rng.normal(0, 7, len(ENERGY))) for _ in range(50)]
    assert np.mean(noisy) == pytest.approx(7, rel=0.05)


FLAT = np.random.default_rng(0).normal(100, 5, len(ENERGY))
TWINS = {name: Component(position=530, width=(1, 1)) for name in ("a", "b")}
WIDTHS = {
    "a": Component(position=529, width=(0.5, 1)),
    "b": Component(position=532, width=(1.5, 2)),
}


@pytest.mark.parametrize(
    ("x", "y", "template", "options", "message"),
    [
        (ENERGY, FLAT, one(), {}, r"no peak from 526 to 537 .*choose another window"),
        (ENERGY, o_1s([9000, 0, 0, 0]), TWINS, {}, r"do not tell a, b apart.*fewer components"),
        (ENERGY[:8], FLAT[:8], one(), {}, r"8 points in the window for 5 parameters: widen"),
        (ENERGY, FLAT, WIDTHS, {"same_width": True}, r"no width.*give same_width: false"),
        (ENERGY, FLAT - 200, one(), {"counts_per_unit": 1.0}, r"below zero.*noise: estimated"),
    ],
)
def test_what_cannot_be_fitted_is_told_in_one_line(x, y, template, options, message):
    with pytest.raises(MeasurementError, match=rf"a\.vms: .*{message}") as error:
        fit_peaks(x, y, template, LINE, name="a.vms", **options)
    assert "\n" not in str(error.value)


def test_lmfit_is_asked_for_by_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "lmfit", None)
    with pytest.raises(MeasurementError, match=r"pip install 'rocksalt\[experiments\]'"):
        fit_peaks(ENERGY, FLAT, one(), LINE)


def test_lmfit_is_loaded_when_a_fit_is_asked_for_and_not_before():
    code = "import sys, rocksalt.analysis.techniques.raman; print('lmfit' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("width", [(0, 1), (2, 1), (-1, 1)])
def test_a_width_is_a_range(width):
    with pytest.raises(ValueError, match="no range of positive widths"):
        Component(position=530, width=width)
