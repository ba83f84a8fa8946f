"""EELS: areas with known truth behind counting noise, layers of known thickness, files good and bad."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.special import erfc

from rocksalt.analysis.eels import (
    double_step,
    locate_white_lines,
    measure_areas,
    second_derivative_weights,
    valence_from_ratio,
    white_line_weights,
    window_weights,
)
from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.readers.eels import read_energy_loss
from rocksalt.analysis.sample import Sample
from rocksalt.analysis.surface_layer import find_surface, fit_layer
from rocksalt.analysis.techniques import get_technique
from rocksalt.analysis.white_line_fit import fit_white_lines

DATA = Path(__file__).parents[3] / "shared/data/experimental"
measured = pytest.mark.skipif(not DATA.is_dir(), reason=f"no measured spectra in {DATA}")
SAMPLE = Sample(name="test")
ENERGY = np.arange(460.0, 690.0, 0.4)
LINES = (641.0, 651.8)
BACKGROUND = (588.7, 632.7)
WIDTH = 2.6
TRIALS = 200
EELS = get_technique("eels")


def line(at, width=WIDTH, shape="gauss", energy=ENERGY):
    """Return a line of unit area and of full width at half maximum `width`."""
    if shape == "lorentz":
        return width / 2 / np.pi / ((energy - at) ** 2 + width**2 / 4)
    sigma = width / np.sqrt(8 * np.log(2))
    return np.exp(-(((energy - at) / sigma) ** 2) / 2) / sigma / np.sqrt(2 * np.pi)


def spectrum(ratio=2.5, prepeak=0.3, *, shape="gauss", l2_width=WIDTH, step=0.2):
    """Return counts of one per channel at 500 eV: background, O K, and Mn L2,3 of a known ratio."""
    ratio, prepeak = np.asarray(ratio)[..., None], np.asarray(prepeak)[..., None]
    main = 0.15 * np.exp(-(((ENERGY - 541) / 4) ** 2))  # 532 to 548 eV hold it but for some 1e-3
    first = prepeak * 0.15 * 4 * np.sqrt(np.pi) * line(529.2, 2.0)
    white = ratio * line(LINES[0], shape=shape) + line(LINES[1], l2_width, shape)
    return (ENERGY / 500) ** -3.0 + first + main + white + step * double_step(ENERGY, *LINES, 1.0)


def told(errors, uncertainties):
    """Return the share of errors within two standard uncertainties, and the mean square in these."""
    z = np.asarray(errors) / np.asarray(uncertainties)
    return np.mean(abs(z) <= 2), np.mean(z**2)


def covers(errors, uncertainties, most=2.0):
    """Assert that uncertainties are neither too small nor, to cover all the same, too large."""
    share, square = told(errors, uncertainties)
    print(f"{len(errors)} trials: {share:.3f} within two, mean square {square:.2f}")  # pytest -s
    assert share >= 0.9, (share, square)
    assert 0.5 <= square <= most, (share, square)


def power_law(energy, amplitude, exponent):
    return amplitude * (energy / 600) ** -exponent


def test_background_without_noise_is_exact():
    counts = power_law(ENERGY, np.array([[1e4], [30.0]]), np.array([[3.1], [2.2]]))
    window = (650.0, 660.0)
    weights = window_weights(ENERGY, window)[:, None]
    areas = measure_areas(ENERGY, counts, BACKGROUND, weights, noise="poisson")
    assert areas.exponent == pytest.approx([3.1, 2.2], abs=1e-9)
    assert areas.values[:, 0] == pytest.approx(0, abs=1e-6)
    assert areas.background(ENERGY, 1) == pytest.approx(counts[1])
    assert weights.sum() == pytest.approx(10)


@pytest.mark.parametrize("level", [3.0, 3000.0])
def test_area_above_an_extrapolated_background(level):
    """Counting noise in window and signal; with three counts per channel as with thousands."""
    signal = 0.3 * level * line(655.0, 4.0)
    mean = power_law(ENERGY, level, 3.0) + signal
    counts = np.random.default_rng(0).poisson(mean, (500, len(ENERGY)))
    weights = window_weights(ENERGY, (645.0, 665.0))[:, None]
    areas = measure_areas(ENERGY, counts, BACKGROUND, weights, noise="poisson")
    error = areas.values[:, 0] - 0.3 * level
    sigma = np.sqrt(areas.covariance[:, 0, 0])
    covers(error, sigma, most=1.3)
    assert abs(error.mean()) < 4 * sigma.mean() / np.sqrt(500)


def test_scatter_finds_the_gain_and_the_point_spread():
    rng = np.random.default_rng(1)
    mean = power_law(ENERGY, 1000.0, 3.0)
    none = np.zeros((len(ENERGY), 1))
    counted = rng.poisson(mean, (100, len(ENERGY))).astype(float)
    spread = np.array([np.convolve(each, np.ones(3) / 3, mode="same") for each in counted])
    expected = {1.0: counted, 4.0: 4 * counted}
    for dispersion, counts in expected.items():
        areas = measure_areas(ENERGY, counts, BACKGROUND, none)
        assert areas.dispersion == pytest.approx(dispersion, rel=0.1)
    # a third of the variance in each channel, and the sum as uncertain as before
    assert measure_areas(ENERGY, spread, BACKGROUND, none).dispersion == pytest.approx(1, rel=0.15)


def test_white_lines_without_noise():
    counts = 1e4 * (spectrum(2.5) - spectrum(0) + spectrum(0, step=0.2))
    signal = counts - 1e4 * (ENERGY / 500) ** -3.0
    found = locate_white_lines(ENERGY, signal, "Mn")
    assert found == pytest.approx(LINES, abs=0.03)
    weights = white_line_weights(ENERGY, LINES)
    l3, l2, height, moment = signal @ weights
    assert l3 == pytest.approx(2.5e4, rel=1e-3)
    assert l2 == pytest.approx(1e4, rel=1e-3)
    assert height == pytest.approx(2e3, rel=1e-6)
    assert moment / l3 == pytest.approx(0, abs=1e-3)


def test_second_derivative_of_lines_of_one_width_and_of_two():
    """Of a Gaussian, -S'' between its zeros integrates to area / width^2 times a number."""
    for width in (WIDTH, 1.3 * WIDTH):
        signal = spectrum(2.5, l2_width=width) - (ENERGY / 500) ** -3.0
        weights = second_derivative_weights(ENERGY, signal, LINES, width_ev=1.5)
        l3, l2 = signal @ weights
        assert l3 / l2 == pytest.approx(2.5 * (width / WIDTH) ** 2, rel=0.05)


def one_ratio(counts):
    """Return the ratio by areas and by second derivatives, each with its uncertainty."""
    none = np.zeros((len(ENERGY), 1))
    before = measure_areas(ENERGY, counts[None], BACKGROUND, none, noise="poisson")
    signal = counts - before.background(ENERGY)
    lines = locate_white_lines(ENERGY, signal, "Mn")
    both = (
        white_line_weights(ENERGY, lines),
        second_derivative_weights(ENERGY, signal, lines),
    )
    return np.ravel([measure_areas(ENERGY, counts[None], BACKGROUND, w).ratio() for w in both])


@pytest.mark.parametrize("level", [300.0, 5000.0])
def test_ratio_covers_the_truth(level):
    rng = np.random.default_rng(2)
    found = np.array([one_ratio(rng.poisson(level * spectrum(2.5))) for _ in range(TRIALS)])
    covers(found[:, 0] - 2.5, found[:, 1])
    covers(found[:, 2] - 2.5, found[:, 3])
    assert np.median(found[:, 1]) < {300.0: 0.4, 5000.0: 0.1}[level]


def test_windows_cut_the_tails_of_lorentzian_lines():
    """That is the method, not noise: the tail of L3 lies in the window of L2."""
    counts = 1e4 * spectrum(2.5, shape="lorentz")
    assert one_ratio(counts)[0] == pytest.approx(2.5, rel=0.1)
    assert one_ratio(counts)[0] < 2.45


@pytest.mark.parametrize("shape", ["gauss", "lorentz"])
def test_fit_covers_the_truth_of_either_shape(shape):
    rng = np.random.default_rng(3)
    mean = 2000 * spectrum(2.5, shape=shape)
    fits = [
        fit_white_lines(ENERGY, rng.poisson(mean), BACKGROUND, LINES) for _ in range(TRIALS // 2)
    ]
    covers([f.ratio - 2.5 for f in fits], [f.uncertainty for f in fits])
    covers([f.lines_ev[0] - LINES[0] for f in fits], [f.l3_uncertainty_ev for f in fits])
    assert np.median([f.uncertainty for f in fits]) < 0.25


def test_prepeak_covers_the_truth():
    columns = [window_weights(ENERGY, window) for window in ((526.0, 532.0), (532.0, 548.0))]
    for true in (0.1, 0.4):
        counts = np.random.default_rng(4).poisson(
            2000 * spectrum(prepeak=true), (TRIALS, ENERGY.size)
        )
        areas = measure_areas(ENERGY, counts, (475.0, 522.0), np.column_stack(columns))
        share, sigma = areas.ratio()
        covers(share - true, sigma)
        assert sigma.mean() < 0.05


def profile(rng, thickness, *, pixel=0.25, n=60, noise=0.12, width=0.4, before=0.0):
    """Return distances, pixel means of a step of 0.8 on 2.2, and standard uncertainties."""
    distance = before + (np.arange(n) + rng.uniform(0, 1)) * pixel
    inside = distance[:, None] + pixel * (np.arange(20) - 9.5) / 20
    share = (0.5 * erfc((inside - thickness) / np.sqrt(2) / width)).mean(axis=1)
    sigma = noise * rng.uniform(0.7, 1.3, n)
    return distance, 2.2 + 0.8 * share + rng.normal(0, sigma), sigma


def layer_of(distance, values, sigma, pixel=0.25):
    covariance = np.zeros((len(distance), 2, 2))
    covariance[:, 0, 0] = sigma**2
    return fit_layer(distance, values, np.ones(len(distance)), covariance, pixel)


@pytest.mark.parametrize(("width", "noise"), [(0.4, 0.1), (0.02, 0.1), (1.0, 0.2)])
def test_thickness_covers_the_truth(width, noise):
    """Smooth, sharper than a pixel, and wide in noise."""
    rng = np.random.default_rng(5)
    errors, sigmas = [], []
    for _ in range(TRIALS):
        true = rng.uniform(2, 5)
        try:
            layer = layer_of(*profile(rng, true, width=width, noise=noise))
        except MeasurementError:
            continue  # no layer told from noise
        errors.append(layer.thickness_nm - true)
        sigmas.append(layer.thickness_uncertainty_nm)
    assert len(errors) > 0.95 * TRIALS
    covers(errors, sigmas)
    assert np.median(sigmas) < 4 * noise


def test_a_flat_profile_has_no_layer():
    rng = np.random.default_rng(6)
    found = 0
    for _ in range(TRIALS):
        distance, values, sigma = profile(rng, -50.0)
        try:
            layer_of(distance, values, sigma)
            found += 1
        except MeasurementError as error:
            assert "no layer is seen" in str(error)  # noqa: PT017  # some trials raise, few do not
    assert found <= 2


def test_layers_that_a_scan_does_not_resolve():
    rng = np.random.default_rng(7)
    with pytest.raises(MeasurementError, match="fewer than two points on one side"):
        layer_of(*profile(rng, 0.3, noise=0.01, width=0.01))
    with pytest.raises(MeasurementError, match="needs 6 at least"):
        layer_of(*profile(rng, 0.5, n=5))


def test_surface_is_where_the_signal_is_half():
    signal = np.array([0.0, 0.1, -0.1, 1.0, 4.0, 5.0, 5.0, 5.0, 5.0, 0.0, 0.0])
    surface = find_surface(signal, np.full(11, 0.1))
    assert surface.pixel == pytest.approx(3.5)
    assert surface.uncertainty == pytest.approx(np.hypot(0.05 * np.sqrt(2) / 3, 1 / np.sqrt(12)))
    assert surface.last == 8
    lone = signal.copy()
    lone[1] = 5.0  # one pixel's noise
    assert find_surface(lone, np.full(11, 0.1)).pixel == pytest.approx(3.5)
    assert find_surface(signal[5:], np.full(6, 0.1)).pixel == -0.5
    with pytest.raises(MeasurementError, match="no surface"):
        find_surface(np.zeros(8), np.ones(8))


def test_valence_lies_between_the_references_about_it():
    references = {"MnO": (4.0, 0.1), "Mn2O3": (3.0, 0.1), "MnO2": (2.0, 0.1)}
    valences = {"MnO": 2.0, "Mn2O3": 3.0, "MnO2": 4.0}
    value, sigma = valence_from_ratio((3.25, 0.1), references, valences)
    assert value == pytest.approx(2.75)
    assert sigma == pytest.approx(0.1 * np.sqrt(1 + 0.75**2 + 0.25**2))
    with pytest.raises(MeasurementError, match="beyond the references"):
        valence_from_ratio((4.5, 0.1), references, valences)
    with pytest.raises(MeasurementError, match="two at least"):
        valence_from_ratio((3.0, 0.1), {"MnO": (4.0, 0.1)}, {"MnO": 2.0})


def emsa(path, counts, **header):
    """Write a spectrum as EMSA text; a header of None is left out."""
    fields = {
        "FORMAT": "EMSA/MAS Spectral Data File",
        "NPOINTS": f"{len(counts):.2f}",
        "NCOLUMNS": "1.0",
        "XUNITS": "eV",
        "DATATYPE": "Y",
        "XPERCHAN": "0.4",
        "OFFSET": "460.0",
        "SIGNALTYPE": "ELS",
        **header,
    }
    lines = [f"#{k:<12}: {v}" for k, v in fields.items() if v is not None]
    path.write_text("\n".join([*lines, "#SPECTRUM    :", *map(str, counts), "#ENDOFDATA   :"]))
    return path


def counts_of(level=4000.0, **about):
    return np.random.default_rng(8).poisson(level * spectrum(**about))


def analyse(path, **options):
    return EELS.analyse(path, SAMPLE, EELS.Options(**options))


def test_one_spectrum_in_every_text_form(tmp_path):
    counts = counts_of()
    pairs = np.column_stack([ENERGY, counts])
    np.savetxt(tmp_path / "a.txt", pairs, header="energy counts")
    xy = [f"{e:.6f}, {c}" for e, c in pairs]
    emsa(tmp_path / "y.msa", counts)
    emsa(tmp_path / "xy.msa", xy, DATATYPE="XY")
    emsa(tmp_path / "kev.msa", counts, XUNITS="keV", XPERCHAN="0.0004", OFFSET="0.46")
    np.savez(tmp_path / "a.npz", energy_ev=ENERGY, counts=counts)
    for name in ("a.txt", "y.msa", "xy.msa", "kev.msa", "a.npz"):
        loss = read_energy_loss(tmp_path / name)
        assert loss.energy_ev == pytest.approx(ENERGY)
        assert loss.counts == pytest.approx(counts)
        assert loss.pixel_nm is None


EMSA_FAULTS = {
    "short": ({"NPOINTS": "900"}, "575 points where NPOINTS says 900"),
    "no points": ({"NPOINTS": None}, "NPOINTS is 'missing'"),
    "an X-ray spectrum": ({"SIGNALTYPE": "EDS"}, "SIGNALTYPE is 'EDS'"),
    "lengths": ({"XUNITS": "nm"}, "XUNITS is 'nm'"),
    "an offset of channels": ({"CHOFFSET": "3"}, "export with DATATYPE XY"),
    "no step": ({"XPERCHAN": "wide"}, "XPERCHAN is 'wide'"),
    "falling energies": ({"XPERCHAN": "-0.4"}, "does not rise"),
}


@pytest.mark.parametrize("case", EMSA_FAULTS)
def test_emsa_faults_are_named(tmp_path, case):
    header, said = EMSA_FAULTS[case]
    path = emsa(tmp_path / "bad.msa", counts_of(), **header)
    with pytest.raises(MeasurementError, match=said) as error:
        read_energy_loss(path)
    assert str(path) in str(error.value)


def test_files_that_are_no_spectra(tmp_path):
    def refused(name, said, **options):
        with pytest.raises(MeasurementError, match=said) as error:
            read_energy_loss(tmp_path / name, **options)
        assert name in str(error.value)
        assert "\n" not in str(error.value)

    (tmp_path / "empty.msa").write_text("")
    refused("empty.msa", "empty")
    (tmp_path / "head.msa").write_text("#FORMAT : EMSA\n#NPOINTS : 3\n")
    refused("head.msa", "no #SPECTRUM")
    (tmp_path / "words.msa").write_text("#FORMAT : EMSA\n#SPECTRUM :\n1\ntwo\n")
    refused("words.msa", "line 4 is not numbers")
    np.savetxt(tmp_path / "three.txt", np.ones((60, 3)))
    refused("three.txt", "3 columns")
    gap = np.column_stack([ENERGY, counts_of()])
    np.savetxt(tmp_path / "gap.txt", np.delete(gap, slice(100, 110), axis=0))
    refused("gap.txt", "channels are missing")
    gap[7, 0] = np.nan
    np.savetxt(tmp_path / "nan.txt", gap)
    refused("nan.txt", "row 8 is not a number")
    np.savez(tmp_path / "two.npz", a=ENERGY, b=ENERGY)
    refused("two.npz", "give 'energy_ev'")
    np.savez(tmp_path / "first.npz", energy_ev=ENERGY, counts=np.ones((len(ENERGY), 4)))
    refused("first.npz", "last axis must be the energy")
    np.save(tmp_path / "bare.npy", np.ones((4, len(ENERGY))))
    refused("bare.npy", "give energies")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "two.npz").read_bytes()[:100])
    refused("cut.npz", "cannot be read")
    np.save(tmp_path / "one.npy", ENERGY)
    (tmp_path / "one.npy").rename(tmp_path / "renamed.npz")
    refused("renamed.npz", "name it .npy")
    np.savetxt(tmp_path / "e.txt", ENERGY)
    loss = read_energy_loss(tmp_path / "bare.npy", energies=tmp_path / "e.txt")
    assert loss.counts.shape == (4, len(ENERGY))


def test_analysis_of_a_spectrum(tmp_path):
    found = analyse(emsa(tmp_path / "a.msa", counts_of(20_000.0)))
    for name in ("l3_l2_ratio", "l3_l2_ratio_second_derivative", "l3_l2_ratio_fit"):
        quantity = found.values[name]
        assert quantity.value == pytest.approx(2.5, abs=3 * quantity.uncertainty + 0.02), name
        assert quantity.uncertainty < 0.15
    assert found.values["o_prepeak_to_main"].value == pytest.approx(0.3, abs=0.01)
    assert found.values["l3_energy"].value == pytest.approx(LINES[0], abs=0.05)
    assert found.values["white_line_splitting"].value == pytest.approx(10.8, abs=0.1)
    assert found.values["l3_l2_ratio_choices"].value < 0.1
    assert found.parameters["element"] == "Mn"
    assert any("taken for those of Mn" in remark for remark in found.remarks)
    assert len(found.arrays["edge_counts"]) == len(found.arrays["edge_step_counts"])


def test_shift_is_given_never_guessed(tmp_path):
    path = emsa(tmp_path / "off.msa", counts_of(), OFFSET="468.0")
    with pytest.raises(MeasurementError, match=r"no maximum of Mn L[23].*shift_ev"):
        analyse(path)
    found = analyse(path, shift_ev=-8.0)
    assert found.values["l3_energy"].value == pytest.approx(LINES[0], abs=0.05)


FAULTS = {
    "no such edge": ({"element": "Cr"}, "no Cr L2,3 edge|no maximum of Cr"),
    "edge beyond the scan": ({"element": "Ni"}, "covers 460 to 689.6 eV"),
    "background in the edge": ({"background_ev": (600, 645)}, "choose a window before the edge"),
    "background in the window": ({"background_ev": (588, 637.5)}, "overlaps|before the edge"),
    "background outside": ({"background_ev": (400, 450)}, "the background window is 400 to 450"),
    "background of few channels": ({"background_ev": (620, 622)}, "5 channels|6 channels"),
    "background reversed": ({"background_ev": (630, 600)}, "give the lower end first"),
    "lines too wide": ({"line_width_ev": 12}, "between the white lines"),
    "step in the line": ({"after_ev": (2, 18)}, "begins in the window of L2"),
    "step outside": ({"after_ev": (8, 60)}, "after_ev is"),
    "oxygen outside": ({"o_background_ev": (400, 520)}, "o_background_ev is 400 to 520"),
    "oxygen overlaps": ({"o_background_ev": (475, 530)}, "overlaps what is integrated"),
    "valences alone": ({"valences": {"MnO": 2}}, "two at least"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_options_that_do_not_fit_the_spectrum(tmp_path, case):
    options, said = FAULTS[case]
    path = emsa(tmp_path / "a.msa", counts_of())
    with pytest.raises(MeasurementError, match=said) as error:
        analyse(path, **options)
    assert "\n" not in str(error.value)


def test_counts_that_say_nothing(tmp_path):
    noise = np.random.default_rng(9).poisson(3000 * (ENERGY / 500) ** -3.0)
    with pytest.raises(MeasurementError, match=r"no Mn L2,3 edge|no maximum of Mn"):
        analyse(emsa(tmp_path / "flat.msa", noise))
    with pytest.raises(MeasurementError, match="no counts in the background window"):
        analyse(emsa(tmp_path / "zero.msa", np.zeros(len(ENERGY))))
    counts = counts_of().astype(float)
    counts[400] = np.nan
    with pytest.raises(MeasurementError, match=r"counts at 620 eV are not a number"):
        analyse(emsa(tmp_path / "nan.msa", counts))


def test_a_spectrum_without_oxygen_has_no_prepeak(tmp_path):
    cut = ENERGY > 560
    np.savetxt(tmp_path / "mn.txt", np.column_stack([ENERGY, counts_of()])[cut])
    found = analyse(tmp_path / "mn.txt")
    assert "o_prepeak_to_main" not in found.values
    assert any("does not cover the O K edge" in remark for remark in found.remarks)
    with pytest.raises(MeasurementError, match="o_main_ev"):
        analyse(
            tmp_path / "mn.txt",
            o_background_ev=(562, 580),
            o_prepeak_ev=(581, 590),
            o_main_ev=(1, 9),
        )


def test_valence_from_references_that_go_the_same_way(tmp_path):
    references = {"MnO": 3.6, "MnO2": 2.0}
    for name, ratio in references.items():
        emsa(tmp_path / f"{name}.msa", counts_of(40_000.0, ratio=ratio))
    found = analyse(
        emsa(tmp_path / "a.msa", counts_of(40_000.0, ratio=2.8)),
        references={name: tmp_path / f"{name}.msa" for name in references},
        valences={"MnO": 2, "MnO2": 4},
    )
    valence = found.values["mn_valence"]
    assert valence.value == pytest.approx(3.0, abs=3 * valence.uncertainty)
    assert valence.uncertainty < 0.1
    assert set(found.parameters["references_sha256"]) == set(references)


def film(path, *, level=3000.0, thickness=2.6, surface=4.1, pixel=0.25, n=80, turned=False):
    """Write a line scan from the vacuum into a layer of ratio 3.2 without pre-peak, on 2.2."""
    depth = np.arange(n) * pixel - surface
    share = 0.5 * erfc((depth - thickness) / np.sqrt(2) / 0.4)
    cover = np.clip(depth / pixel + 0.5, 0, 1)
    mean = level * cover[:, None] * spectrum(2.2 + share, 0.4 - 0.35 * share)
    counts = np.random.default_rng(10).poisson(mean)
    np.savez(path, energy_ev=ENERGY, counts=counts[::-1] if turned else counts, pixel_nm=pixel)
    return path


def test_layer_of_a_line_scan(tmp_path):
    found = analyse(film(tmp_path / "scan.npz"))
    layer = found.values["layer_thickness"]
    assert layer.value == pytest.approx(2.6, abs=2 * layer.uncertainty)
    assert layer.uncertainty < 0.3
    assert layer.unit == "nm"
    for name, true in (("layer_l3_l2_ratio", 3.2), ("bulk_l3_l2_ratio", 2.2)):
        quantity = found.values[name]
        assert quantity.value == pytest.approx(true, abs=3 * quantity.uncertainty)
    distance = found.arrays["profile_distance_nm"]
    assert distance[17] == pytest.approx(17 * 0.25 - 4.1, abs=0.1)
    by_oxygen = analyse(tmp_path / "scan.npz", layer_from="o-prepeak").values["layer_thickness"]
    assert by_oxygen.value == pytest.approx(2.6, abs=2 * by_oxygen.uncertainty)


def test_the_surface_is_the_end_in_the_vacuum(tmp_path):
    one = analyse(film(tmp_path / "a.npz")).values["layer_thickness"]
    other = analyse(film(tmp_path / "b.npz", turned=True)).values["layer_thickness"]
    assert other == one
    inside = film(tmp_path / "c.npz", surface=-0.125)
    found = analyse(inside)
    assert "layer_thickness" not in found.values
    assert any("give surface" in remark for remark in found.remarks)
    with pytest.raises(MeasurementError, match="which end of the scan is the surface"):
        analyse(inside, layer_from="l3-l2")
    layer = analyse(inside, surface="start").values["layer_thickness"]
    assert layer.value == pytest.approx(2.6, abs=2 * layer.uncertainty)


def test_a_scan_without_a_pixel_size_has_no_lengths(tmp_path):
    with np.load(film(tmp_path / "a.npz")) as file:
        np.savez(tmp_path / "b.npz", energy_ev=file["energy_ev"], counts=file["counts"])
    found = analyse(tmp_path / "b.npz")
    assert "layer_thickness" not in found.values
    assert "profile_distance_pixels" in found.arrays
    with pytest.raises(MeasurementError, match="give pixel_nm"):
        analyse(tmp_path / "b.npz", layer_from="l3-l2")
    assert "layer_thickness" in analyse(tmp_path / "b.npz", pixel_nm=0.25).values


def particle(path, *, level=400.0, side=44, radius=19.0, shell=7.0, bad=()):
    """Write a particle whose shell of some pixels has the ratio 3.2, on 2.2."""
    rows, columns = np.indices((side, side)) - (side - 1) / 2
    depth = radius - np.hypot(rows, columns)
    share = 0.5 * erfc((depth - shell) / np.sqrt(2))
    mean = level * np.clip(depth + 0.5, 0, 1)[..., None] * spectrum(2.2 + share)
    counts = np.random.default_rng(11).poisson(mean).astype(float)
    for place in bad:
        counts[place] = np.nan
    np.savez(path, energy_ev=ENERGY, counts=counts, pixel_nm=0.5)
    return path


def test_map_of_a_particle_with_a_shell(tmp_path):
    found = analyse(particle(tmp_path / "map.npz", bad=[(22, 22), (5, 22)]))
    image = found.arrays["map_l3_l2_ratio"]
    assert image.shape == (44, 44)
    assert np.isnan(image[0, 0])
    assert np.isnan(image[22, 22])
    assert found.values["pixels"].value == pytest.approx(np.pi * 19**2, rel=0.05)
    assert "2 pixels" in " ".join(found.remarks)
    layer = found.values["layer_thickness"]
    assert layer.value == pytest.approx(3.5, abs=2 * layer.uncertainty)
    assert layer.uncertainty < 0.3
    # a pixel without numbers in the middle is no surface: the middle is deep
    assert found.arrays["profile_distance_nm"].max() == pytest.approx(9.0, abs=0.6)
    error = image - 2.2
    middle = np.hypot(*(np.indices(image.shape) - 21.5)) < 8
    sigma = found.arrays["map_l3_l2_ratio_uncertainty"]
    seen = middle & np.isfinite(image)
    assert np.mean(abs(error[seen]) <= 2 * sigma[seen]) >= 0.85


def test_pixels_are_summed_when_asked(tmp_path):
    path = particle(tmp_path / "map.npz", level=10.0)
    found = analyse(path)
    assert any("give bin_pixels" in remark for remark in found.remarks)
    binned = analyse(path, bin_pixels=4)
    assert binned.arrays["map_l3_l2_ratio"].shape == (11, 11)
    assert binned.parameters["used_pixel_nm"] == 2.0
    assert not any("give bin_pixels" in remark for remark in binned.remarks)
    with pytest.raises(MeasurementError, match="too few are left"):
        analyse(path, bin_pixels=30)


@measured
def test_measured_manganese_oxide():
    """Against sums by hand: a straight log-log background, flat steps, no library of ours."""
    path = DATA / "eels/coreloss_spectrum.msa"
    found = analyse(path, shift_ev=-8.0)
    text = path.read_text().split("#SPECTRUM")[1].split("#ENDOFDATA")[0].splitlines()[1:]
    counts = np.array([float(each) for each in text])
    energy = 352.0 + 0.2 * np.arange(len(counts))
    before = (energy > 588.7) & (energy < 632.7)
    slope, offset = np.polyfit(np.log(energy[before]), np.log(counts[before]), 1)
    signal = counts - np.exp(offset + slope * np.log(energy))
    l3 = energy[np.argmax(np.where(abs(energy - 641) < 5, signal, 0))]
    l2 = energy[np.argmax(np.where(abs(energy - 651) < 3, signal, 0))]
    step = signal[(energy > l2 + 8) & (energy < l2 + 18)].mean()
    steps = step * (2 * (energy > l3) + (energy > l2)) / 3
    areas = [np.sum((signal - steps)[abs(energy - at) < 4]) for at in (l3, l2)]
    ratio = found.values["l3_l2_ratio"]
    assert 1.9 < ratio.value < 4.5  # of MnO2 to MnO in the literature
    assert ratio.value == pytest.approx(areas[0] / areas[1], abs=2 * ratio.uncertainty)
    assert ratio.uncertainty < 0.2
    fit = found.values["l3_l2_ratio_fit"]
    both = np.hypot(fit.uncertainty, found.values["l3_l2_ratio_choices"].value)
    assert fit.value == pytest.approx(ratio.value, abs=3 * both)
    assert found.values["white_line_splitting"].value == pytest.approx(l2 - l3, abs=0.5)
    assert found.parameters["dispersion"] > 2  # a detector's point spread couples its channels
    with pytest.raises(MeasurementError, match="shift_ev"):
        analyse(path)
    with pytest.raises(MeasurementError, match=r"the background window"):
        analyse(DATA / "eels/lowloss_spectrum.msa")


@measured
def test_an_image_of_the_microscope_is_no_spectrum():
    pytest.importorskip("rsciio", reason="rosettasciio is not installed")
    with pytest.raises(MeasurementError, match="no axis is in eV") as error:
        read_energy_loss(DATA / "tomo/HAADF.dm3")
    assert "(91, 64, 64)" in str(error.value)


def test_microscope_files_need_a_package_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rsciio.digitalmicrograph", None)
    (tmp_path / "a.dm4").write_bytes(b"x")
    with pytest.raises(
        MeasurementError, match=r"rosettasciio: pip install 'rocksalt\[experiments\]'"
    ):
        read_energy_loss(tmp_path / "a.dm4")


def test_a_cut_microscope_file(tmp_path):
    pytest.importorskip("rsciio", reason="rosettasciio is not installed")
    (tmp_path / "a.dm4").write_bytes(b"\0\0\0\4abcdef")
    with pytest.raises(MeasurementError, match="cut short or of another kind"):
        read_energy_loss(tmp_path / "a.dm4")
    (tmp_path / "b.dm3").write_bytes(b"")
    with pytest.raises(MeasurementError, match="empty"):
        read_energy_loss(tmp_path / "b.dm3")
    with pytest.raises(MeasurementError, match="No such file"):
        read_energy_loss(tmp_path / "c.dm3")


def test_hyperspy_files_keep_axes_and_units(tmp_path):
    """Written by the same package that reads them, with the energy first and pixels in micrometres."""
    pytest.importorskip("h5py", reason="h5py is not installed")
    writer = pytest.importorskip("rsciio.hspy", reason="rosettasciio is not installed")
    counts = np.arange(3.0 * 1 * 200).reshape(200, 1, 3)

    def axis(name, size, scale, offset, units):
        values = {"name": name, "size": size, "scale": scale, "offset": offset, "units": units}
        return {"_type": "UniformDataAxis", **values, "navigate": name != "Energy loss"}

    signal = {
        "data": counts,
        "axes": [
            axis("Energy loss", 200, 0.5, 500.0, "eV"),
            axis("y", 1, 0.002, 0.0, "µm"),
            axis("x", 3, 0.002, 0.0, "µm"),
        ],
        "metadata": {"General": {"title": ""}, "Signal": {"signal_type": "EELS"}},
        "original_metadata": {},
        "learning_results": {},
        "attributes": {"_lazy": False, "ragged": False},
        "tmp_parameters": {},
        "models": {},
        "package_info": {"package": "rocksalt", "package_version": "0"},
    }
    writer.file_writer(str(tmp_path / "line.hspy"), signal)
    loss = read_energy_loss(tmp_path / "line.hspy")
    assert loss.counts == pytest.approx(counts[:, 0].T)
    assert loss.energy_ev == pytest.approx(500 + 0.5 * np.arange(200))
    assert loss.pixel_nm == pytest.approx(2.0)
