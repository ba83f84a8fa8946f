"""Lattice constants: closed forms of what moves the angles, bias and coverage, a measured pattern."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.core import Structure

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.lattice_constants import lattice_constants, sample_shifts, zero_shift
from rocksalt.analysis.powder_peaks import PowderPeak, integrate, spacing_angstrom
from rocksalt.analysis.sample import Sample
from rocksalt.analysis.techniques import get_technique

MEASURED = Path(__file__).parents[3] / "shared" / "data" / "experimental" / "xrd"
COPPER = 1.54184
RADIUS_MM = 200.0
SAMPLE = Sample(name="powder")
NOTHING = np.zeros(0)
SIX = {
    "003": (0, 0, 3),
    "101": (1, 0, 1),
    "104": (1, 0, 4),
    "107": (1, 0, 7),
    "018": (0, 1, 8),
    "110": (1, 1, 0),
}
THREE = {hkl: SIX[hkl] for hkl in ("003", "104", "110")}


def hexagonal(h, k, l):
    return (4 / 3 * (h * h + h * k + k * k) / 2.85**2 + l * l / 14.25**2) ** -0.5


def true_angle(spacing, wavelength=COPPER):
    return 2 * np.degrees(np.arcsin(wavelength / 2 / spacing))


def peak_at(angle, doubt=0.002):
    """Return a peak as an integration would."""
    return PowderPeak(1.0, 0.1, float(angle), doubt, NOTHING, NOTHING.astype(bool))


def peaks_at(spacings, doubt=0.002, shift=0.0):
    return {hkl: peak_at(true_angle(d) + shift, doubt) for hkl, d in spacings.items()}


def test_lattice_constants_of_known_reflections():
    exact = peaks_at({hkl: hexagonal(*each) for hkl, each in THREE.items()})
    found = lattice_constants(exact, COPPER, "hexagonal")
    assert found.constants["a"][0] == pytest.approx(2.85)
    assert found.constants["c"][0] == pytest.approx(14.25)
    assert found.constants["volume"][0] == pytest.approx(np.sqrt(3) / 2 * 2.85**2 * 14.25)
    assert found.reduced_chi_square == pytest.approx(0, abs=1e-12)
    cube = lattice_constants(peaks_at({"200": 2.2225}), COPPER, "cubic")
    assert cube.constants["a"][0] == pytest.approx(4.445)
    assert cube.constants["volume"][0] == pytest.approx(4.445**3)
    # dV/V = 3 da/a
    a, error = cube.constants["a"]
    assert cube.constants["volume"][1] == pytest.approx(3 * error / a * a**3)
    assert cube.reduced_chi_square is None
    assert spacing_angstrom(peaks_at({"200": 2.2225})["200"].two_theta_degrees, COPPER) == (
        pytest.approx(2.2225)
    )


def test_uncertainties_of_lattice_constants_are_their_scatter():
    rng = np.random.default_rng(1)
    truth = {"a": 2.85, "c": 14.25, "volume": np.sqrt(3) / 2 * 2.85**2 * 14.25}
    pulls = []
    for _ in range(200):
        peaks = {
            hkl: peak_at(true_angle(hexagonal(*each)) + rng.normal(0, 0.002))
            for hkl, each in THREE.items()
        }
        found = lattice_constants(peaks, COPPER, "hexagonal").constants
        pulls.append([(found[n][0] - truth[n]) / found[n][1] for n in truth])
    inside = np.mean(np.abs(pulls) < 2, axis=0)
    assert np.all(inside >= 0.9)
    assert np.all(np.std(pulls, axis=0) > 0.7)  # nor are they far too large


def test_a_zero_point_is_found_with_the_cell():
    """Measured angles lie 0.05 degrees too low; without a zero the cell is too large."""
    four = {hkl: hexagonal(*SIX[hkl]) for hkl in ("003", "101", "104", "110")}
    low = peaks_at(four, shift=-0.05)
    biased = lattice_constants(low, COPPER, "hexagonal")
    found = lattice_constants(low, COPPER, "hexagonal", [zero_shift()])
    assert biased.constants["c"][0] > 14.26
    assert biased.reduced_chi_square > 9 > found.reduced_chi_square
    assert found.shifts["zero"][0] == pytest.approx(0.05, abs=1e-6)
    assert found.constants["a"][0] == pytest.approx(2.85, abs=1e-6)
    assert found.constants["c"][0] == pytest.approx(14.25, abs=1e-5)
    two = {hkl: low[hkl] for hkl in ("003", "110")}
    with pytest.raises(MeasurementError, match="a hexagonal cell and a zero"):
        lattice_constants(two, COPPER, "hexagonal", [zero_shift()])


def test_reflections_that_determine_no_cell_are_told():
    with pytest.raises(MeasurementError, match="do not determine a hexagonal cell"):
        lattice_constants(peaks_at({"003": 4.75, "006": 2.375}), COPPER, "hexagonal")


# --------------------------------------------------------------------------- closed forms of shifts


def seen_in_reflection(two_theta, s):
    """Return 2 theta of the goniometer for a true angle: source and slit at R, the sample s below."""
    reading = np.array(two_theta, dtype=float)
    for _ in range(
        50
    ):  # the rays rise from the sample by the true angle; theta is that of both arms
        half = np.radians(reading / 2)
        rise = np.arctan2(RADIUS_MM * np.sin(half) + s, RADIUS_MM * np.cos(half))
        reading = reading + two_theta - np.degrees(2 * rise)
    return reading


def seen_on_a_circle(two_theta, across, along):
    """Return where the ray from (along, across) meets the circle of the detector."""
    direction = np.array([np.cos(np.radians(two_theta)), np.sin(np.radians(two_theta))])
    start = np.array([along, across])[:, None]
    middle = np.sum(start * direction, axis=0)
    way = -middle + np.sqrt(middle**2 - np.sum(start**2) + RADIUS_MM**2)
    x, y = start + way * direction
    return np.degrees(np.arctan2(y, x))


def seen_on_a_plane(two_theta, along):
    """Return the angle that a radius on a flat detector is read as."""
    return np.degrees(np.arctan((RADIUS_MM - along) * np.tan(np.radians(two_theta)) / RADIUS_MM))


ANGLES = np.array([8.0, 18.7, 44.7, 65.4])
SEEN = {
    ("bragg-brentano", "displacement"): lambda mm: seen_in_reflection(ANGLES, mm),
    ("capillary", "displacement_across"): lambda mm: seen_on_a_circle(ANGLES, mm, 0.0),
    ("capillary", "displacement_along"): lambda mm: seen_on_a_circle(ANGLES, 0.0, mm),
    ("area-detector", "displacement_along"): lambda mm: seen_on_a_plane(ANGLES, mm),
}


@pytest.mark.parametrize("which", SEEN, ids=" ".join)
def test_shifts_are_those_of_the_rays(which):
    geometry, name = which
    shift = next(s for s in sample_shifts(geometry, RADIUS_MM) if s.name == name)
    expected = SEEN[which](0.1) - ANGLES
    assert shift.per_unit(ANGLES) * 0.1 == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_the_shift_in_reflection_is_the_textbook_s():
    (shift,) = sample_shifts("bragg-brentano", RADIUS_MM)
    by_hand = -2 * 0.1 * np.cos(np.radians(ANGLES / 2)) / RADIUS_MM  # in radians
    assert np.radians(0.1 * shift.per_unit(ANGLES)) == pytest.approx(by_hand)
    assert sample_shifts("parallel-beam", RADIUS_MM) == []


@pytest.mark.parametrize("mm", [-0.5, 0.1])
def test_without_noise_a_displacement_is_found_exactly(mm):
    """Half a millimetre moves 003 by 0.28 degrees, where 1/d^2 is no longer a straight line."""
    (shift,) = sample_shifts("bragg-brentano", RADIUS_MM)
    peaks = {}
    for hkl, indices in SIX.items():
        angle = reading = true_angle(hexagonal(*indices))
        for _ in range(20):
            reading = angle + mm * shift.per_unit(reading)
        peaks[hkl] = peak_at(reading)
    found = lattice_constants(peaks, COPPER, "hexagonal", [shift])
    assert found.shifts["displacement"][0] == pytest.approx(mm, rel=1e-6)
    assert found.constants["a"][0] == pytest.approx(2.85, abs=1e-8)
    assert found.constants["c"][0] == pytest.approx(14.25, abs=1e-7)


# --------------------------------------------------------------------------- bias and coverage


def trials(hkl, displacement, zero, shifts, *, noise=0.002, seed=5, geometry="bragg-brentano"):
    """Return errors and uncertainties of a and c over 200 samples, each put in anew."""
    rng = np.random.default_rng(seed)
    effects = sample_shifts(geometry, RADIUS_MM)
    errors, doubts = [], []
    for _ in range(200):
        moved = [displacement(rng) for _ in effects]
        off = zero(rng)
        peaks = {}
        for name, indices in hkl.items():
            angle = true_angle(hexagonal(*indices))
            seen = (
                angle
                + off
                + sum(e.per_unit(angle) * s for e, s in zip(effects, moved, strict=True))
            )
            peaks[name] = peak_at(seen + rng.normal(0, noise))
        found = lattice_constants(peaks, COPPER, "hexagonal", shifts).constants
        errors.append([found["a"][0] - 2.85, found["c"][0] - 14.25])
        doubts.append([found["a"][1], found["c"][1]])
    return np.array(errors), np.array(doubts)


def inside(errors, doubts):
    return np.mean(np.abs(errors) < 2 * doubts, axis=0)


def usual(geometry="bragg-brentano"):
    return [zero_shift(0.0, 0.02), *sample_shifts(geometry, RADIUS_MM, 0.0, 0.1)]


def a_sample(rng):
    return rng.normal(0, 0.1)


def a_zero(rng):
    return rng.normal(0, 0.02)


@pytest.mark.parametrize("geometry", ["bragg-brentano", "capillary"])
def test_samples_off_their_place_lie_within_two_uncertainties(geometry):
    errors, doubts = trials(SIX, a_sample, a_zero, usual(geometry), geometry=geometry)
    before, counted = trials(SIX, a_sample, a_zero, [], geometry=geometry)
    assert np.all(inside(before, counted) < 0.6)  # what the counts alone would say
    assert np.all(inside(errors, doubts) >= 0.92)
    assert np.all(np.abs(errors.mean(axis=0)) < 3 * errors.std(axis=0) / np.sqrt(200))
    if geometry == "bragg-brentano":  # fitted: an order better than without
        assert np.all(inside(before, counted) < 0.3)
        assert np.all(errors.std(axis=0) < 0.15 * before.std(axis=0))
        assert np.all(errors.std(axis=0) > 0.5 * np.median(doubts, axis=0))


def test_too_few_reflections_leave_an_uncertainty_that_holds_the_displacement():
    errors, doubts = trials(THREE, a_sample, a_zero, usual())
    assert np.all(inside(errors, doubts) >= 0.92)
    assert np.all(errors.std(axis=0) > 0.5 * np.median(doubts, axis=0))
    _, fitted = trials(SIX, a_sample, a_zero, usual())
    ratio = np.median(doubts, axis=0) / np.median(fitted, axis=0)
    assert ratio == pytest.approx([10, 40], rel=0.2)  # of docs/experiments.md
    peaks = peaks_at({hkl: hexagonal(*each) for hkl, each in THREE.items()})
    found = lattice_constants(peaks, COPPER, "hexagonal", usual())
    assert found.not_fitted == ("zero", "displacement")
    assert not found.shifts


@pytest.mark.parametrize("mm", [0.0, 0.1, 0.2])
def test_one_displacement_biases_less_than_an_uncertainty_and_a_known_one_not_at_all(mm):
    errors, doubts = trials(SIX, lambda rng: mm, lambda rng: 0.0, usual())
    assert np.all(np.abs(errors.mean(axis=0)) < doubts.mean(axis=0))
    assert np.all(inside(errors, doubts) >= 0.95)
    told = sample_shifts("bragg-brentano", RADIUS_MM, mm, 0.0)
    errors, doubts = trials(SIX, lambda rng: mm, lambda rng: 0.0, told)
    assert np.all(np.abs(errors.mean(axis=0)) < 3 * errors.std(axis=0) / np.sqrt(200))
    assert np.all(inside(errors, doubts) >= 0.92)


def test_displacement_and_zero_are_not_parted_by_low_angles_and_their_sum_is():
    """Both move 8 to 45 degrees alike: free, they run away; restrained, the cell stays right."""
    low = {"003": (0, 0, 3), "101": (1, 0, 1), "006": (0, 0, 6), "012": (0, 1, 2)}
    low |= {"104": (1, 0, 4), "015": (0, 1, 5)}
    both = [zero_shift(), *sample_shifts("bragg-brentano", RADIUS_MM)]
    _, free_doubts = trials(low, a_sample, a_zero, both)
    errors, doubts = trials(low, a_sample, a_zero, usual())
    assert np.all(inside(errors, doubts) >= 0.92)
    assert np.all(np.median(doubts, axis=0) < 0.2 * np.median(free_doubts, axis=0))
    peaks = peaks_at({hkl: hexagonal(*each) for hkl, each in low.items()})
    fit = lattice_constants(peaks, COPPER, "hexagonal", usual())
    assert fit.correlations["zero", "displacement"] < -0.95
    wide = lattice_constants(
        peaks_at({hkl: hexagonal(*each) for hkl, each in (low | SIX).items()}, doubt=2e-5),
        COPPER,
        "hexagonal",
        usual(),
    )
    assert abs(wide.shifts["displacement"][1]) < 0.1 * fit.shifts["displacement"][1]


def test_a_distance_scales_the_cell_and_is_hardly_fitted_with_it():
    """1 mm in 1 m is 0.1 percent of every edge, times cos^2(theta) cos(2 theta), beside the counts."""
    short = 0.4526
    (shift,) = sample_shifts("area-detector", 1000.0, 0.0, 1.0)
    peaks = {
        hkl: peak_at(true_angle(hexagonal(*each), short), doubt=3e-3) for hkl, each in SIX.items()
    }
    for hkl in (THREE, SIX):
        chosen = {name: peaks[name] for name in hkl}
        found = lattice_constants(chosen, short, "hexagonal", [shift]).constants
        counted = lattice_constants(chosen, short, "hexagonal").constants
        for edge in "ac":
            value, error = found[edge]
            share = np.sqrt(error**2 - counted[edge][1] ** 2) / value
            assert 0.9e-3 < share < 1.02e-3  # 0.93 at 110


# --------------------------------------------------------------------------- the technique


def write_pattern(path, s_mm=0.0, seed=0):
    """Write counts of six reflections on a background, of a sample that lies s_mm too low."""
    angle = np.arange(10.0, 80.0, 0.02)
    expected = np.full(len(angle), 100.0)
    (shift,) = sample_shifts("bragg-brentano", RADIUS_MM)
    windows = {}
    for hkl, indices in SIX.items():
        centre = true_angle(hexagonal(*indices))
        centre += s_mm * shift.per_unit(np.array(centre))
        expected += 20000 * np.exp(-(((angle - centre) / 0.06) ** 2) / 2)
        windows[hkl] = (round(float(centre) - 0.6, 2), round(float(centre) + 0.6, 2))
    counts = np.random.default_rng(seed).poisson(expected)
    np.savetxt(path, np.column_stack([angle, counts]), fmt="%.4f %d")
    return windows


def analysed(path, windows, **options):
    xrd = get_technique("xrd")
    return xrd.analyse(path, SAMPLE, xrd.Options(wavelength="CuKa", windows=windows, **options))


def test_the_technique_fits_a_displacement_and_says_so(tmp_path):
    path = tmp_path / "low.xy"
    windows = write_pattern(path, 0.1)
    found = analysed(path, windows, radius_mm=200.0)
    a, c = found.values["lattice_a"], found.values["lattice_c"]
    assert abs(a.value - 2.85) < 2 * a.uncertainty < 0.002
    assert abs(c.value - 14.25) < 2 * c.uncertainty < 0.02
    place = found.values["displacement"]
    assert (place.unit, place.uncertainty) == ("mm", pytest.approx(0.03, abs=0.01))
    assert abs(place.value - 0.1) < 2 * place.uncertainty
    assert "zero_shift" not in found.values  # restrained, and not asked for
    words = " ".join(found.remarks)
    assert "restrained to zero 0 ± 0.02 deg and displacement 0 ± 0.1 mm." in words
    assert "These reflections do not part zero from displacement: their sum is fitted" in words
    assert "Taken for a flat sample in reflection" in words
    assert found.parameters["geometry"] == "bragg-brentano"
    assert "radius of 200 mm, which was not given" in " ".join(analysed(path, windows).remarks)


def test_a_displacement_may_be_known_fitted_or_too_poorly_measured(tmp_path):
    path = tmp_path / "low.xy"
    windows = write_pattern(path, 0.1)
    exact = {"radius_mm": 200.0, "zero_uncertainty_degrees": 0.0}
    none = analysed(path, windows, displacement_mm=0, **exact)
    known = analysed(path, windows, displacement_mm=0.1, **exact)
    fitted = analysed(path, windows, displacement_mm="fit", **exact)
    assert none.values["lattice_a"].value > 2.8515
    assert "displacement" not in none.values
    assert "displacement" not in known.values
    for each in (known, fitted):
        a = each.values["lattice_a"]
        assert abs(a.value - 2.85) < 3 * a.uncertainty < 0.001
    assert fitted.values["displacement"].value == pytest.approx(0.1, abs=0.01)
    three = analysed(path, {hkl: windows[hkl] for hkl in THREE})
    a = three.values["lattice_a"]
    assert abs(a.value - 2.85) < 2 * a.uncertainty < 0.006
    assert "displacement" not in three.values
    assert "Too few reflections" in " ".join(three.remarks)
    both = analysed(path, windows, displacement_mm="fit", fit_zero=True, radius_mm=200.0)
    assert both.values["zero_shift"].uncertainty > 0.01
    assert "both are free, and the constants run with them" in " ".join(both.remarks)


def test_another_geometry_has_another_term(tmp_path):
    path = tmp_path / "p.xy"
    windows = write_pattern(path)
    parallel = analysed(path, windows, geometry="parallel-beam")
    assert parallel.values["lattice_a"].uncertainty < 1e-4
    capillary = analysed(path, windows, geometry="capillary", radius_mm=200.0)
    assert {"displacement_across", "displacement_along"} <= set(capillary.values)
    xrd = get_technique("xrd")
    short = {hkl: (low, high) for hkl, (low, high) in windows.items()}
    unsaid = xrd.analyse(path, SAMPLE, xrd.Options(wavelength=1.2, windows=short))
    assert "an error of the zero point or of the sample's place comes on top" in " ".join(
        unsaid.remarks
    )


REFUSED = {
    "radius": ({"geometry": "capillary"}, "needs radius_mm"),
    "along or across": (
        {"geometry": "capillary", "radius_mm": 200.0, "displacement_mm": 0.1},
        "displaced along and across",
    ),
    "fit and known": (
        {"displacement_mm": "fit", "displacement_uncertainty_mm": 0.1},
        "leave it or displacement_uncertainty_mm out",
    ),
    "free and known": (
        {"fit_zero": True, "zero_uncertainty_degrees": 0.02},
        "leave it or zero_uncertainty_degrees out",
    ),
    "far away": (
        {"displacement_mm": 1000.0},
        "displacement_mm: 1000 is no small part of the radius of 200 mm",
    ),
    "far away on a small circle": (
        {"displacement_mm": -15.0, "radius_mm": 150.0},
        "displacement_mm: -15 is no small part of the radius of 150 mm",
    ),
    "anywhere": (
        {"displacement_uncertainty_mm": 20.0},
        "displacement_uncertainty_mm: 20 is no small part",
    ),
}

IDLE = [
    {"displacement_mm": "fit"},
    {"displacement_mm": 0.1},
    {"displacement_uncertainty_mm": 0.1},
    {"radius_mm": 200.0},
]
"""What is told of a sample's place, to be refused where it does nothing."""


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_geometry_does_not_allow_is_told(tmp_path, case):
    options, words = REFUSED[case]
    path = tmp_path / "p.xy"
    windows = write_pattern(path)
    with pytest.raises(MeasurementError, match=words):
        analysed(path, windows, **options)


@pytest.mark.parametrize("options", IDLE, ids=str)
def test_a_place_that_moves_nothing_is_refused(tmp_path, options):
    path = tmp_path / "p.xy"
    windows = write_pattern(path)
    (name,) = options
    with pytest.raises(MeasurementError, match=f"{name} does nothing in geometry parallel-beam"):
        analysed(path, windows, geometry="parallel-beam", **options)
    xrd = get_technique("xrd")
    other = xrd.Options(wavelength=1.2, windows=windows, **options)
    with pytest.raises(MeasurementError, match=f"{name} is given, but not what it does"):
        xrd.analyse(path, SAMPLE, other)
    in_place = analysed(path, windows, geometry="parallel-beam", displacement_mm=0)
    assert "displacement" not in in_place.values


@pytest.mark.parametrize("radius_mm", [1e-6, 9.9, 10_001.0])
def test_no_diffractometer_has_such_a_radius(radius_mm):
    with pytest.raises(ValidationError, match="radius_mm"):
        get_technique("xrd").Options(radius_mm=radius_mm)


def test_a_radius_that_was_not_given_is_told_where_it_counts_and_nowhere_else(tmp_path):
    path = tmp_path / "p.xy"
    windows = write_pattern(path)
    told = "The displacement is one at a radius of 200 mm, which was not given"
    for options in ({}, {"displacement_mm": 0.1}, {"displacement_mm": "fit"}):
        remarks = analysed(path, windows, **options).remarks
        assert sum("radius of 200 mm" in remark for remark in remarks) == 1
        assert any(remark.startswith(told) for remark in remarks)
        assert "deg (at" not in " ".join(remarks)
    for options in ({"displacement_mm": 0}, {"radius_mm": 200.0}, {"geometry": "parallel-beam"}):
        assert "200 mm" not in " ".join(analysed(path, windows, **options).remarks)


def test_reflections_that_are_missing_are_counted():
    free = [zero_shift(), *sample_shifts("bragg-brentano", RADIUS_MM)]
    three = peaks_at({hkl: hexagonal(*each) for hkl, each in THREE.items()})
    with pytest.raises(
        MeasurementError, match="give at least 4 reflections for as many unknowns"
    ) as e:
        lattice_constants(three, COPPER, "hexagonal", free)
    assert "not 3" in str(e.value)
    assert "as 003, 104 and 110" not in str(e.value)
    four = peaks_at({hkl: hexagonal(*SIX[hkl]) for hkl in list(SIX)[:4]})
    assert set(lattice_constants(four, COPPER, "hexagonal", free).shifts) == {
        "zero",
        "displacement",
    }
    basal = peaks_at({f"00{n}": hexagonal(0, 0, n) for n in (3, 6, 9)})
    with pytest.raises(MeasurementError, match="give reflections with and without l, as 003, 104"):
        lattice_constants(basal, COPPER, "hexagonal")
    with pytest.raises(MeasurementError, match="give at least 2 reflections with and without l"):
        lattice_constants({"003": basal["003"]}, COPPER, "hexagonal")


# --------------------------------------------------------------------------- a measured pattern

GSAS = (9.371724, 6.885867)
"""Fluorapatite in FAP.EXP: GSAS's Rietveld refinement of this pattern, with a displacement."""

FAP_WAVELENGTH = (2 * 1.5405 + 1.5443) / 3
"""The two lines of that refinement by their intensities, 2:1."""


def fluorapatite(half_width):
    """Return the peaks of lines that stand alone: others have 2 percent within twice the window."""
    if not (MEASURED / "FAP.XRA").exists():
        pytest.skip("the measured file FAP.XRA is not beside this checkout")
    rows = (MEASURED / "FAP.XRA").read_text().splitlines()[2:]
    words = [row[n : n + 8] for row in rows for n in range(0, len(row.rstrip()), 8)]
    counts = np.array([int(word) for word in words if word.strip()], dtype=float)
    angle = 15 + 0.02 * np.arange(len(counts))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the file rounds positions
        structure = Structure.from_file(MEASURED / "fluorapatite.cif")
    lines = XRDCalculator(wavelength=FAP_WAVELENGTH).get_pattern(
        structure, two_theta_range=(15, 130)
    )
    peaks = {}
    for centre, strength, families in zip(lines.x, lines.y, lines.hkls, strict=True):
        away = np.abs(lines.x - centre)
        others = lines.y[(away > 1e-6) & (away < 2 * half_width)].sum()
        if strength >= 3 and others < 0.02 * strength and len(families) == 1:
            h, k, _, last = families[0]["hkl"]
            window = (centre - half_width, centre + half_width)
            peaks[f"{h} {k} {last}"] = integrate(angle, counts, np.sqrt(counts), window)
    return peaks


@pytest.mark.parametrize("half_width", [0.3, 0.4, 0.5])
def test_a_measured_displacement_no_longer_moves_the_cell(half_width):
    """Centres of gravity below 60 degrees, and a refinement of all lines to 130: one sample.

    What is left, 0.001 to 0.002 angstrom, is 0.01 degrees at these angles: axial divergence and the
    flat sample have no term.
    """
    peaks = fluorapatite(half_width)
    assert len(peaks) >= 6
    before = lattice_constants(peaks, FAP_WAVELENGTH, "hexagonal")
    after = lattice_constants(peaks, FAP_WAVELENGTH, "hexagonal", usual())
    for place, edge in enumerate("ac"):
        old, (value, error) = before.constants[edge][0] - GSAS[place], after.constants[edge]
        assert old > 0.005
        assert abs(value - GSAS[place]) < 0.0045
        assert abs(value - GSAS[place]) < min(4 * error, 0.45 * old)
    assert before.reduced_chi_square > 50
    assert after.reduced_chi_square < 0.1 * before.reduced_chi_square
    # 4.9 hundredths of a degree in FAP.EXP, 0.086 mm at 200 mm
    mm, doubt = after.shifts["displacement"]
    assert abs(mm - np.radians(0.0490166) * RADIUS_MM / 2) < 2 * doubt
