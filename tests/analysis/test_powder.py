"""Powder patterns: what structures give, and what is read from counts that are known."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.powder import (
    LayeredLattice,
    hkl_text,
    intensity_ratio_003_104,
    is_tube_line,
    layered_lattice,
    layered_structure,
    reflections,
    rock_salt_structure,
    wavelength_angstrom,
)
from rocksalt.analysis.powder_peaks import integrate, miller_indices, spacing_angstrom
from rocksalt.analysis.sample import Sample
from rocksalt.analysis.techniques import get_technique
from rocksalt.screening.errors import RocksaltError
from rocksalt.screening.lithium import LAYERED_CELLS, doped, layered_cell

COPPER = 1.54184
SAMPLE = Sample(name="powder")
LATTICE = LayeredLattice(2.85, 14.25, 0.225)


@pytest.mark.parametrize("size", LAYERED_CELLS)
def test_the_average_cell_of_every_setting_is_the_same(size):
    """Li2MnO3: a = b/3 = 8.532/3, c = 3 c sin(beta) = 3 * 5.030 * sin 109.46."""
    found = layered_lattice(layered_cell("Mn", size))
    assert found.a_angstrom == pytest.approx(np.sqrt(2 * 4.937 * 8.532 / np.sqrt(3) / 6))
    assert found.c_angstrom == pytest.approx(3 * 5.030 * np.sin(np.radians(109.46)))
    # O on 4i and 8j of Strobel and Lambert-Andron: heights 0.2273 and 0.2233 of a layer
    assert found.oxygen_height == pytest.approx((0.2273 + 2 * 0.2233) / 3)


def test_the_average_cell_of_a_displaced_and_doped_oxide():
    cell = doped(layered_cell("Mn", 8), "Ti", "Mn")
    cell.perturb(0.05)
    found, ideal = layered_lattice(cell), layered_lattice(layered_cell("Mn", 8))
    assert found.c_angstrom == pytest.approx(ideal.c_angstrom)
    assert found.oxygen_height == pytest.approx(ideal.oxygen_height, abs=0.01)


def test_what_has_no_layers_has_no_layered_cell():
    with pytest.raises(RocksaltError, match="no metal layer"):
        layered_lattice(Structure(Lattice.cubic(4), ["Li", "O"], [[0, 0, 0], [0.5] * 3]))


def test_the_layered_structure_is_r3m_with_its_sites():
    structure = layered_structure(LATTICE, {"Mn": 0.9, "Ti": 0.1}, {"Mn": 0.05})
    assert structure.get_space_group_info()[0] == "R-3m"
    amounts = structure.composition.get_el_amt_dict()
    assert amounts["Li"] == pytest.approx(3 * (1 + 1 / 3))
    assert amounts["Ti"] == pytest.approx(3 * 2 / 3 * 0.1)
    assert amounts["O"] == pytest.approx(6)
    with pytest.raises(RocksaltError, match=r"10\.0% of the lithium sites need more Ti"):
        layered_structure(LATTICE, {"Mn": 0.9, "Ti": 0.1}, {"Ti": 0.1})


def test_intensities_are_those_of_structure_factors():
    """003 and 104 by hand: phases of the three layers, form factors as the calculator has them.

    With atoms at z = 0 (metal layer M), 1/2 (lithium layer L) and +-z (oxygen), both reflections have
    F = f_M +- f_L + 2 f_O cos(2 pi l z): minus for 003 (odd l), plus for 104.
    """
    from pymatgen.analysis.diffraction.xrd import ATOMIC_SCATTERING_PARAMS
    from pymatgen.core import Element

    z = 1 / 3 - LATTICE.oxygen_height / 3
    taken = 0.04
    layer_l = {"Li": 1 - taken, "Mn": taken}
    layer_m = {"Li": 1 / 3 + taken, "Mn": 2 / 3 - taken}

    def strength(h, l, multiplicity):
        inverse = 4 / 3 * h * h / LATTICE.a_angstrom**2 + l * l / LATTICE.c_angstrom**2
        s2 = inverse / 4

        def factor(symbol):
            table = np.array(ATOMIC_SCATTERING_PARAMS[symbol])
            number = Element(symbol).Z
            return number - 41.78214 * s2 * np.sum(table[:, 0] * np.exp(-table[:, 1] * s2))

        def layer(shares):
            return sum(share * factor(symbol) for symbol, share in shares.items())

        sign = -1 if l % 2 else 1
        amplitude = (
            layer(layer_m) + sign * layer(layer_l) + 2 * factor("O") * np.cos(2 * np.pi * l * z)
        )
        theta = np.arcsin(COPPER * np.sqrt(inverse) / 2)
        polarised = (1 + np.cos(2 * theta) ** 2) / (np.sin(theta) ** 2 * np.cos(theta))
        return multiplicity * amplitude**2 * polarised

    structure = layered_structure(LATTICE, {"Mn": 1.0}, {"Mn": taken})
    by_hand = strength(0, 3, 2) / strength(1, 4, 6)
    assert intensity_ratio_003_104(structure, COPPER) == pytest.approx(by_hand, rel=1e-3)


def test_metal_on_lithium_sites_weakens_003():
    ratios = [
        intensity_ratio_003_104(layered_structure(LATTICE, {"Mn": 1.0}, {"Mn": share}), COPPER)
        for share in (0.0, 0.02, 0.05, 0.1)
    ]
    assert np.all(np.diff(ratios) < 0)
    with pytest.raises(MeasurementError, match=r"no reflection 104 at a wavelength of 4\.5"):
        intensity_ratio_003_104(layered_structure(LATTICE, {"Mn": 1.0}), 4.5)


def test_lines_of_a_rock_salt():
    found = {r.hkl: r for r in reflections(rock_salt_structure(4.445, {"Mn": 1.0}), COPPER)}
    assert list(found) == ["111", "200", "220", "311", "222"]
    assert found["200"].spacing_angstrom == pytest.approx(4.445 / 2)
    # sin(theta) = lambda / a
    assert found["200"].two_theta_degrees == pytest.approx(
        2 * np.degrees(np.arcsin(COPPER / 4.445))
    )


@pytest.mark.parametrize(
    ("indices", "text"),
    [
        ((1, 0, -1, 4), "104"),
        ((1, 0, -1, 5), "015"),
        ((0, 0, 0, 12), "0 0 12"),
        ((2, -1, -1, 3), "113"),
        ((1, 1, 1), "111"),
    ],
)
def test_indices_are_those_that_papers_write(indices, text):
    assert hkl_text(indices) == text
    assert len(miller_indices(text)) == 3


def test_wavelengths_by_name_and_number():
    assert wavelength_angstrom("CuKa") == 1.54184
    assert wavelength_angstrom(0.4526) == 0.4526
    assert is_tube_line(1.5405)
    assert not is_tube_line(0.4526)
    with pytest.raises(MeasurementError, match="'CuKalpha' is not known"):
        wavelength_angstrom("CuKalpha")
    with pytest.raises(MeasurementError, match="154 angstrom is none"):
        wavelength_angstrom(154.0)


# --------------------------------------------------------------------------- measured counts


def pattern(peaks, step=0.02, background=120.0, seed=None, width=0.08):
    """Return angles and counts of Gaussian peaks (centre, area) on a sloping background."""
    angle = np.arange(10.0, 80.0, step)
    expected = background - 0.8 * (angle - 10)
    for centre, area in peaks:
        expected = expected + area / (width * np.sqrt(2 * np.pi)) * np.exp(
            -(((angle - centre) / width) ** 2) / 2
        )
    if seed is None:
        return angle, expected
    return angle, np.random.default_rng(seed).poisson(expected).astype(float)


def test_without_noise_area_and_centre_are_exact():
    angle, counts = pattern([(18.7, 300.0)])
    peak = integrate(angle, counts, None, (18.0, 19.4))
    assert peak.area == pytest.approx(300.0, rel=1e-6)
    assert peak.two_theta_degrees == pytest.approx(18.7, abs=1e-6)
    assert peak.area_uncertainty is None


def test_area_ratio_and_centre_lie_within_two_uncertainties_in_nine_of_ten_trials():
    inside, widths = [], []
    for seed in range(200):
        angle, counts = pattern([(18.7, 200.0), (44.7, 160.0)], seed=seed)
        sigma = np.sqrt(np.maximum(counts, 1))
        first, second = (
            integrate(angle, counts, sigma, window) for window in ((18.1, 19.3), (44.1, 45.3))
        )
        ratio = first.area / second.area
        doubt = ratio * np.hypot(
            first.area_uncertainty / first.area, second.area_uncertainty / second.area
        )
        inside.append(
            (
                abs(first.area - 200) < 2 * first.area_uncertainty,
                abs(ratio - 1.25) < 2 * doubt,
                abs(first.two_theta_degrees - 18.7) < 2 * first.two_theta_uncertainty_degrees,
            )
        )
        widths.append(doubt / ratio)
    assert np.all(np.mean(inside, axis=0) >= 0.9)
    assert np.all(np.mean(inside, axis=0) < 1.0)  # one that covers everything would say nothing
    assert np.median(widths) < 0.05


def write(path, angle, counts, *sigma, form="%.4f %.6g"):
    form += " %.6g" * len(sigma)
    np.savetxt(path, np.column_stack([angle, counts, *sigma]), fmt=form)
    return path


WINDOWS = {"003": (18.1, 19.3), "104": (44.1, 45.3)}


def test_the_technique_gives_ratio_and_says_what_moves_it(tmp_path):
    angle, counts = pattern([(18.7, 200.0), (44.7, 160.0)], seed=0)
    xrd = get_technique("xrd")
    options = xrd.Options(wavelength="CuKa", windows=WINDOWS)
    found = xrd.analyse(write(tmp_path / "a.xy", angle, counts), SAMPLE, options)
    ratio = found.values["i003_to_i104"]
    assert abs(ratio.value - 1.25) < 3 * ratio.uncertainty < 0.2
    assert found.values["lattice_c"].value == pytest.approx(
        3 * spacing_angstrom(18.7, COPPER), abs=0.01
    )
    assert any("texture" in remark for remark in found.remarks)
    shifted = xrd.Options(wavelength=COPPER, windows={"003": (18.6, 19.8)}, zero_degrees=0.5)
    moved = xrd.analyse(tmp_path / "a.xy", SAMPLE, shifted)
    before = found.values["position_003"].value
    assert moved.values["position_003"].value == pytest.approx(before + 0.5, abs=0.005)
    assert any("No lattice constants" in remark for remark in moved.remarks)


def test_a_third_column_is_the_uncertainty_and_no_counts_have_none(tmp_path):
    angle, counts = pattern([(18.7, 200.0), (44.7, 160.0)], seed=0)
    xrd = get_technique("xrd")
    options = xrd.Options(wavelength="CuKa", windows=WINDOWS)
    root = np.sqrt(np.maximum(counts, 1))
    by_roots = xrd.analyse(write(tmp_path / "a.xy", angle, counts), SAMPLE, options).values
    doubled = xrd.analyse(
        write(tmp_path / "b.xye", angle, counts, 2 * root), SAMPLE, options
    ).values
    for name in ("area_003", "i003_to_i104"):
        assert doubled[name].uncertainty == pytest.approx(2 * by_roots[name].uncertainty, rel=1e-4)
    scaled = xrd.analyse(write(tmp_path / "c.xy", angle, counts / 7.3), SAMPLE, options)
    assert scaled.values["i003_to_i104"].uncertainty is None
    assert scaled.values["i003_to_i104"].value == pytest.approx(
        by_roots["i003_to_i104"].value, rel=1e-3
    )
    assert any("no whole counts" in remark for remark in scaled.remarks)


def spoil(change):
    def spoiled(angle, counts):
        angle, counts, sigma = angle.copy(), counts.copy(), np.sqrt(counts + 1)
        change(angle, counts, sigma)
        return angle, counts, sigma

    return spoiled


def falls(angle, counts, sigma):
    angle[100] = angle[98]


def no_number(angle, counts, sigma):
    counts[5] = np.nan


def without_sigma(angle, counts, sigma):
    sigma[7] = 0.0


BAD_FILES = {
    "falls": (falls, "two theta does not rise"),
    "no number": (no_number, "holds what is no number"),
    "sigma zero": (without_sigma, "is not positive"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_damaged_patterns_are_refused_in_one_line(tmp_path, case):
    change, words = BAD_FILES[case]
    angle, counts = pattern([(18.7, 200.0)])
    path = write(tmp_path / "bad.xye", *spoil(change)(angle, counts))
    xrd = get_technique("xrd")
    with pytest.raises(MeasurementError) as told:
        xrd.analyse(path, SAMPLE, xrd.Options(wavelength="CuKa", windows=WINDOWS))
    assert words in str(told.value)
    assert str(path) in str(told.value)
    assert "\n" not in str(told.value)


BAD_OPTIONS = {
    "no wavelength": ({"windows": WINDOWS}, "give wavelength"),
    "no windows": ({"wavelength": "CuKa"}, "give windows"),
    "outside": ({"wavelength": "CuKa", "windows": {"003": (5, 9)}}, "covers 10 to 79.98 degrees"),
    "reversed": (
        {"wavelength": "CuKa", "windows": {"003": (19, 18)}},
        "from 19 to 18 does not rise: give its lower end first",
    ),
    "no peak": ({"wavelength": "CuKa", "windows": {"003": (30, 31)}}, "no peak stands above"),
    "narrow": ({"wavelength": "CuKa", "windows": {"003": (18.6, 18.7)}}, "widen it"),
    "no indices": ({"wavelength": "CuKa", "windows": {"0x3": (18, 19.4)}}, "write three indices"),
    "twice": (
        {"wavelength": "CuKa", "windows": {"003": (18, 19.4), "0 0 3": (18, 19.4)}},
        "two windows are given for 003",
    ),
}


@pytest.mark.parametrize("case", BAD_OPTIONS)
def test_what_is_missing_or_wrong_is_asked_for(tmp_path, case):
    given, words = BAD_OPTIONS[case]
    path = write(tmp_path / "a.xy", *pattern([(18.7, 200.0)], seed=3))
    xrd = get_technique("xrd")
    with pytest.raises(MeasurementError, match=words):
        xrd.analyse(path, SAMPLE, xrd.Options(**given))


def test_indices_that_yaml_turned_into_numbers_are_refused():
    xrd = get_technique("xrd")
    with pytest.raises(ValueError, match="write hkl in quotes"):
        xrd.Options(wavelength="CuKa", windows={10: (38, 39)})
