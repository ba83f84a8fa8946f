"""Linear combinations against exact cases, another solver, seeded truth, and measured oxides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import make_interp_spline
from scipy.optimize import nnls

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.evidence import LARGEST_R_FACTOR
from rocksalt.analysis.linear_combination import (
    Combination,
    condition_number,
    fit_combination,
    fractions_of,
    mean_valence,
    r_factor,
    rank_subsets,
    reference_matrix,
)
from rocksalt.analysis.readers.xas import read_spectrum
from rocksalt.analysis.sample import Sample
from rocksalt.analysis.techniques import get_technique
from rocksalt.analysis.xanes import normalise

DATA = Path(__file__).parents[3] / "shared/data/experimental/xas"
measured = pytest.mark.skipif(not DATA.is_dir(), reason=f"no measured spectra in {DATA}")
SAMPLE = Sample(name="test")
NAMES = ("MnO", "Mn2O3", "MnO2")
FILES = {n: DATA / f"{n}_rt_0{2 if n == 'MnO' else 1}.xdi" for n in NAMES}
VALENCES = {"MnO": 2.0, "Mn2O3": 3.0, "MnO2": 4.0}
ENERGY = np.arange(6525.0, 6620.0, 0.5)


def edge(at, top, energy=ENERGY):
    """Return a step with a white line."""
    return (
        0.5 + np.arctan((energy - at) / 1.5) / np.pi + top * np.exp(-(((energy - at - 5) / 3) ** 2))
    )


REFERENCES = np.column_stack([edge(6544, 0.5), edge(6548, 0.4), edge(6551, 0.7)])


@pytest.mark.parametrize("truth", [(0.2, 0.5, 0.3), (1, 0, 0), (0, 0.4, 0.6), (0, 0, 1)])
def test_fractions_without_noise_are_exact(truth):
    found = fractions_of(REFERENCES @ np.array(truth), REFERENCES)
    assert found == pytest.approx(truth, abs=1e-10)


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 6))
def test_no_other_fractions_fit_better(seed, number):
    """Against nnls with a heavily weighted row for the sum, and the conditions of the optimum."""
    rng = np.random.default_rng(seed)
    references = rng.normal(size=(12, number)) + 1
    data = rng.normal(size=12)
    found = fractions_of(data, references)
    assert (found >= 0).all()
    assert found.sum() == pytest.approx(1.0, abs=1e-12)
    weight = 1e4
    other = nnls(np.vstack([references, np.full(number, weight)]), np.append(data, weight))[0]
    other = other / other.sum()
    square = ((references @ found - data) ** 2).sum()
    assert square <= ((references @ other - data) ** 2).sum() * (1 + 1e-9)
    # no step towards any single reference goes downhill
    gradient = references.T @ (references @ found - data)
    assert (gradient - gradient @ found >= -1e-8).all()


def test_many_spectra_at_once_are_the_same_as_one_by_one():
    rng = np.random.default_rng(5)
    spectra = REFERENCES @ rng.dirichlet([1, 1, 1], 20).T + rng.normal(0, 0.05, (len(ENERGY), 20))
    together = fractions_of(spectra, REFERENCES)
    for i in range(20):
        assert together[:, i] == pytest.approx(fractions_of(spectra[:, i], REFERENCES), abs=1e-12)


@pytest.mark.parametrize("truth", [(0.2, 0.5, 0.3), (0.6, 0.4, 0.0)])
def test_truth_is_within_two_standard_uncertainties(truth):
    rng = np.random.default_rng(11)
    data = REFERENCES @ np.array(truth)
    inside, valence_inside, ratio = [], [], []
    valence = float(np.array(truth) @ [2, 3, 4])
    for seed in range(200):
        noisy = data + rng.normal(0, 0.02, len(data))
        fit = fit_combination(noisy, REFERENCES, NAMES, resamples=200, seed=seed)
        error = abs(fit.fractions - truth)
        inside.append(error <= 2 * fit.uncertainties)
        found, sigma = mean_valence(fit, VALENCES)
        valence_inside.append(abs(found - valence) <= 2 * sigma)
        ratio.append(fit.uncertainties)
    assert (np.mean(inside, axis=0) >= 0.9).all()
    assert np.mean(valence_inside) >= 0.9
    # and not because the uncertainties are large: least squares without bounds has these
    matrix = REFERENCES[:, :2] - REFERENCES[:, 2:]
    expected = 0.02 * np.sqrt(np.diag(np.linalg.inv(matrix.T @ matrix)))
    assert (np.mean(ratio, axis=0)[:2] < 1.15 * expected).all()


def test_blocks_cover_the_truth_where_residuals_follow_each_other():
    rng = np.random.default_rng(2)
    truth = np.array([0.3, 0.4, 0.3])
    inside = {None: [], 1: []}
    for seed in range(100):
        white = rng.normal(0, 0.02, len(ENERGY) + 20)
        smooth = np.convolve(white, np.ones(9) / 3, mode="same")[10:-10]
        for block, hits in inside.items():
            fit = fit_combination(
                REFERENCES @ truth + smooth,
                REFERENCES,
                NAMES,
                resamples=150,
                block_points=block,
                seed=seed,
            )
            hits.append(abs(fit.fractions - truth) <= 2 * fit.uncertainties)
    assert np.mean(inside[None]) > np.mean(inside[1]) + 0.15
    assert np.mean(inside[None]) > 0.8


def test_errors_common_to_all_points_count():
    """A slope that every spectrum has by accident: no scatter of residuals tells of it."""
    rng = np.random.default_rng(9)
    truth, slope = np.array([0.2, 0.5, 0.3]), (ENERGY - 6570) / 50
    own = slope[:, None] * rng.normal(0, 0.02, 150)
    none = np.zeros((3, len(ENERGY), 150))
    inside = {True: [], False: []}
    for seed in range(100):
        data = REFERENCES @ truth + slope * rng.normal(0, 0.02) + rng.normal(0, 0.003, len(ENERGY))
        for told, hits in inside.items():
            fit = fit_combination(
                data,
                REFERENCES,
                NAMES,
                resamples=150,
                block_points=1,
                common_errors=(own, none) if told else None,
                seed=seed,
            )
            hits.append(abs(fit.fractions - truth) <= 2 * fit.uncertainties)
    assert (np.mean(inside[True], axis=0) >= 0.9).all()
    assert np.mean(inside[False], axis=0).min() < 0.6


def test_an_error_of_a_reference_counts_by_its_fraction():
    rng = np.random.default_rng(10)
    draws = rng.normal(0, 0.02, (len(ENERGY), 300))
    theirs = np.stack([0 * draws, draws, 0 * draws])
    truth = np.array([0.2, 0.5, 0.3])
    by_reference, by_data = (
        fit_combination(REFERENCES @ truth, REFERENCES, NAMES, resamples=300, common_errors=errors)
        for errors in ((0 * draws, theirs), (0.5 * draws, 0 * theirs))
    )
    assert by_reference.covariance == pytest.approx(by_data.covariance, rel=1e-6)
    assert by_reference.uncertainties.min() > 1e-3


def test_the_same_seed_gives_the_same_uncertainties():
    data = REFERENCES @ np.array([0.2, 0.5, 0.3]) + np.random.default_rng(0).normal(0, 0.01, 190)
    one, two, other = (fit_combination(data, REFERENCES, NAMES, seed=s) for s in (1, 1, 2))
    assert np.array_equal(one.covariance, two.covariance)
    assert not np.array_equal(one.covariance, other.covariance)


def test_r_factor_is_as_defined():
    assert r_factor(np.array([1.0, 2.0]), np.array([1.0, 1.0])) == pytest.approx(1 / 5)


def test_subsets_are_ranked_and_the_superfluous_reference_is_last():
    rng = np.random.default_rng(8)
    data = REFERENCES @ np.array([0.5, 0.0, 0.5]) + rng.normal(0, 0.004, len(ENERGY))
    subsets = rank_subsets(data, REFERENCES, NAMES)
    assert len(subsets) == 7
    assert subsets[0].names == ("MnO", "MnO2")
    assert [s.reduced_square for s in subsets] == sorted(s.reduced_square for s in subsets)
    full = next(s for s in subsets if len(s.names) == 3)
    assert full.r_factor <= min(s.r_factor for s in subsets) * (1 + 1e-9)
    alone = next(s for s in subsets if s.names == ("MnO",))
    assert alone.fractions == pytest.approx([1, 0, 0])


def test_nearly_collinear_references_are_told():
    almost = np.column_stack([edge(6544, 0.5), edge(6544.1, 0.5)])
    fit = fit_combination(almost @ np.array([0.5, 0.5]), almost, ("a", "b"))
    assert fit.is_collinear
    assert fit.condition_number == pytest.approx(condition_number(2 * almost))
    assert condition_number(np.eye(3)) == pytest.approx(1.0)
    assert not fit_combination(REFERENCES[:, 0], REFERENCES[:, [0, 2]], ("a", "b")).is_collinear


def test_mean_valence_uses_the_correlation_of_fractions():
    covariance = 0.01**2 * np.array([[1.0, -1.0], [-1.0, 1.0]])
    fit = Combination(("a", "b"), np.array([0.25, 0.75]), covariance, 0.0, np.zeros(1), 1.0, 1)
    assert mean_valence(fit, {"a": 2, "b": 4}) == pytest.approx((3.5, 0.02))
    with pytest.raises(MeasurementError, match="no valence of b"):
        mean_valence(fit, {"a": 2})


def test_references_must_cover_the_window():
    reference = {"MnO": (ENERGY, REFERENCES[:, 0])}
    with pytest.raises(MeasurementError, match=r"reference MnO: covers 6525 to 6619\.5 eV"):
        reference_matrix(np.arange(6400.0, 6700.0), (6530, 6640), reference)
    with pytest.raises(MeasurementError, match="the sample: covers"):
        reference_matrix(np.arange(6540.0, 6700.0), (6530, 6600), reference)
    inside, matrix = reference_matrix(ENERGY, (6530, 6600), reference)
    assert matrix[:, 0] == pytest.approx(REFERENCES[inside, 0])


def test_what_is_no_problem_of_fractions_is_told():
    with pytest.raises(MeasurementError, match="not on the same energies"):
        fractions_of(np.ones(3), REFERENCES)
    with pytest.raises(MeasurementError, match="give 1 to 10"):
        fractions_of(np.ones(30), np.ones((30, 11)))
    with pytest.raises(MeasurementError, match="zero in the window"):
        fit_combination(np.zeros(190), REFERENCES, NAMES)


def test_references_of_another_calibration_are_aligned_by_their_foils(tmp_path):
    energy = np.arange(6500.0, 6700.0, 0.5)
    foil = edge(6539, 0, energy) + 2 * edge(6546, 0.1, energy)
    truth, files = (0.3, 0.7), {}
    shapes = {"low": edge(6544, 0.5, energy), "high": edge(6549, 0.6, energy)}
    for name, off in (("low", 1.5), ("high", 2.0)):
        files[name] = tmp_path / f"{name}.dat"
        table = np.column_stack([energy + off, shapes[name], foil])
        np.savetxt(files[name], table, header="energy mutrans murefer")
    mixed = truth[0] * shapes["low"] + truth[1] * shapes["high"]
    table = np.column_stack([energy, mixed, foil])
    np.savetxt(tmp_path / "m.dat", table, header="energy mutrans murefer")
    xanes = get_technique("xanes")
    aligned, as_read = (
        xanes.analyse(
            tmp_path / "m.dat",
            SAMPLE,
            xanes.Options(edge="Mn K", references=files, align=align, resamples=50),
        )
        for align in (True, False)
    )
    assert aligned.values["fraction_low"].value == pytest.approx(truth[0], abs=0.01)
    assert abs(as_read.values["fraction_low"].value - truth[0]) > 0.05
    shifts = aligned.parameters["reference_shifts_ev"]
    assert shifts == pytest.approx({"low": -1.5, "high": -2.0}, abs=0.02)


def measured_mixture(fractions, noise=0.0, seed=0):
    """Return energies and mu t of oxides mixed by atoms of Mn, on a grid of its own."""
    spectra = [read_spectrum(FILES[n]) for n in NAMES]
    mu = sum(
        f * s.absorption / normalise(s.energy_ev, s.absorption, 6539.0).edge_step
        for f, s in zip(fractions, spectra, strict=True)
    )
    energy = spectra[0].energy_ev
    mid = (energy[1:] + energy[:-1]) / 2
    values = make_interp_spline(energy, 1.4 * mu + 0.3 - 1e-3 * (energy - 6539), k=3)(mid)
    return mid, values + np.random.default_rng(seed).normal(0, noise, len(mid))


def analyse_measured(path, energy, mu, **options):
    np.savetxt(path, np.column_stack([energy, mu]), header="energy mu")
    xanes = get_technique("xanes")
    given_ = {"edge": "Mn K", "references": FILES, "valences": VALENCES, **options}
    return xanes.analyse(path, SAMPLE, xanes.Options(**given_))


@measured
@pytest.mark.parametrize(
    "truth", [(0.2, 0.5, 0.3), (0.7, 0.1, 0.2), (0, 0.6, 0.4), (1, 0, 0), (0.05, 0.05, 0.9)]
)
def test_mixtures_of_measured_oxides_are_recovered(tmp_path, truth):
    found = analyse_measured(tmp_path / "mix.dat", *measured_mixture(truth))
    for name, fraction in zip(NAMES, truth, strict=True):
        assert found.values[f"fraction_{name}"].value == pytest.approx(fraction, abs=0.02)
        assert found.values[f"fraction_{name}"].uncertainty < 0.02
    valence = 2 * truth[0] + 3 * truth[1] + 4 * truth[2]
    assert found.values["mean_valence"].value == pytest.approx(valence, abs=0.03)
    assert found.values["r_factor"].value < 1e-3
    assert found.arrays["subset_fractions"].shape == (7, 3)


@measured
def test_noisy_mixtures_of_measured_oxides_are_within_their_uncertainties(tmp_path):
    """Noise enters by the residuals and, in these short scans mostly, by the normalisation."""
    truth, inside = (0.2, 0.5, 0.3), []
    for seed in range(15):
        found = analyse_measured(
            tmp_path / "mix.dat", *measured_mixture(truth, 0.002, seed), seed=seed, resamples=100
        ).values
        for name, fraction in zip(NAMES, truth, strict=True):
            quantity = found[f"fraction_{name}"]
            inside.append(abs(quantity.value - fraction) <= 2 * quantity.uncertainty)
            assert quantity.uncertainty < 0.05
    assert np.mean(inside) >= 0.9


@measured
def test_a_missing_reference_is_seen(tmp_path):
    xanes = get_technique("xanes")
    pair = {n: FILES[n] for n in ("MnO", "MnO2")}
    found = xanes.analyse(FILES["Mn2O3"], SAMPLE, xanes.Options(references=pair))
    assert found.values["r_factor"].value > 0.005
    assert any("lack its reference" in remark for remark in found.remarks)
    shifts = found.parameters["reference_shifts_ev"]
    assert all(abs(shift) < 0.5 for shift in shifts.values())


@measured
def test_the_r_factor_of_measured_oxides_tells_a_fit_that_may_speak():
    """Fe3O4 is FeO and Fe2O3; MnO2 without its own reference is a whole charge off."""
    xanes = get_technique("xanes")
    right, wrong = (
        xanes.analyse(
            DATA / f"{sample}_rt_01.xdi",
            SAMPLE,
            xanes.Options(
                references={n: DATA / f"{n}_rt_0{2 if n == 'MnO' else 1}.xdi" for n in valences},
                valences=valences,
                resamples=50,
            ),
        ).values
        for sample, valences in (
            ("Fe3O4", {"FeO": 2.0, "Fe2O3": 3.0}),
            ("MnO2", {"MnO": 2.0, "Mn2O3": 3.0}),
        )
    )
    assert right["mean_valence"].value == pytest.approx(8 / 3, abs=0.05)
    assert right["r_factor"].value < LARGEST_R_FACTOR / 10
    assert wrong["mean_valence"].value == pytest.approx(3.0, abs=0.05)
    assert wrong["r_factor"].value > LARGEST_R_FACTOR


@pytest.mark.parametrize("technique", ["xanes", "soft-xas"])
def test_a_valence_of_no_reference_is_refused(tmp_path, technique):
    module = get_technique(technique)
    options = module.Options(references={"MnO": tmp_path / "a"}, valences={"MnO": 2, "Mno2": 4})
    message = r"s\.dat: valences\.Mno2: no reference has this name \(MnO\): give references\.Mno2"
    with pytest.raises(MeasurementError, match=message):
        module.analyse(tmp_path / "s.dat", SAMPLE, options)


@measured
def test_a_window_beyond_the_references_is_refused(tmp_path):
    with pytest.raises(MeasurementError, match="covers"):
        analyse_measured(tmp_path / "m.dat", *measured_mixture((1, 0, 0)), window_ev=(-15, 95))
    with pytest.raises(MeasurementError, match=r"valences\.Mn2O3"):
        analyse_measured(tmp_path / "m.dat", *measured_mixture((1, 0, 0)), valences={"MnO": 2})


@measured
@pytest.mark.filterwarnings("ignore")  # theirs
def test_fractions_agree_with_larch():
    math = pytest.importorskip("larch.math", reason="xraylarch is not installed")
    group = pytest.importorskip("larch", reason="xraylarch is not installed").Group
    spectra = [read_spectrum(FILES[n]) for n in NAMES]
    normal = [normalise(s.energy_ev, s.absorption, 6539.0) for s in spectra]
    rng = np.random.default_rng(0)
    mixed = sum(f * n.values for f, n in zip((0.2, 0.5, 0.3), normal, strict=True))
    mixed = mixed + rng.normal(0, 0.005, len(mixed))
    energy = normal[0].energy_ev
    parts = [
        group(energy=n.energy_ev, norm=n.values, filename=str(i)) for i, n in enumerate(normal)
    ]
    theirs = math.lincombo_fit(
        group(energy=energy, norm=mixed, filename="mix"),
        parts,
        sum_to_one=True,
        xmin=6524,
        xmax=6619,
    )
    inside, matrix = reference_matrix(
        energy, (6524, 6619), {str(i): (n.energy_ev, n.values) for i, n in enumerate(normal)}
    )
    assert fractions_of(mixed[inside], matrix) == pytest.approx(
        list(theirs.weights.values()), abs=1e-4
    )


def test_soft_spectra_of_three_valences(tmp_path):
    """Lines like those of Mn L3, as yields on different backgrounds and in different counts."""
    energy = np.linspace(632.0, 660.0, 281)
    rng = np.random.default_rng(6)
    lines = {"Mn2+": (640.3, 0.6), "Mn3+": (641.9, 1.2), "Mn4+": (643.4, 1.0)}
    truth = {"Mn2+": 0.1, "Mn3+": 0.55, "Mn4+": 0.35}
    shapes = {n: np.exp(-(((energy - c) / w) ** 2) / 2) / w for n, (c, w) in lines.items()}
    files, mixed = {}, sum(truth[n] * shapes[n] for n in lines)
    for i, (name, shape) in enumerate(shapes.items()):
        files[name] = tmp_path / f"{i}.dat"
        np.savetxt(files[name], np.column_stack([energy, 300 + 900 * shape]), header="energy tey")
    values = 50 + 4000 * (mixed + rng.normal(0, 2e-3, len(energy)))
    np.savetxt(tmp_path / "m.dat", np.column_stack([energy, values]), header="energy pfy")
    soft = get_technique("soft-xas")
    common = {"scale_window_ev": (637, 648), "background_ev": (632, 635), "references": files}
    by_area = soft.Options(**common, valences={"Mn2+": 2, "Mn3+": 3, "Mn4+": 4})
    found = soft.analyse(tmp_path / "m.dat", SAMPLE, by_area).values
    for name, fraction in truth.items():
        assert found[f"fraction_{name}"].value == pytest.approx(fraction, abs=0.02)
    assert found["mean_valence"].value == pytest.approx(3.25, abs=0.02)
    # a mixture's maximum is not the mixture of the maxima, but a reference is itself
    by_maximum = soft.Options(**common, scale="maximum")
    analysis = soft.analyse(files["Mn3+"], SAMPLE, by_maximum)
    assert analysis.values["fraction_Mn3+"].value == pytest.approx(1.0, abs=1e-6)
    assert any("prefer scale: area" in remark for remark in analysis.remarks)


def test_a_yield_alone_says_nothing(tmp_path):
    np.savetxt(tmp_path / "m.dat", np.column_stack([ENERGY, REFERENCES[:, 0]]))
    soft = get_technique("soft-xas")
    with pytest.raises(MeasurementError, match="give references, or minus"):
        soft.analyse(tmp_path / "m.dat", SAMPLE, soft.Options())
