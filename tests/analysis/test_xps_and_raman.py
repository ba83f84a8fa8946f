"""XPS and Raman from files: charge references, templates, what is present, and measured spectra."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from lmfit.lineshapes import pvoigt

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.sample import Sample
from rocksalt.analysis.techniques import get_technique

DATA = Path(__file__).parents[3] / "shared/data/experimental/xps"
measured = pytest.mark.skipif(not DATA.is_dir(), reason=f"no measured spectra in {DATA}")
SAMPLE = Sample(name="test")
ENERGY = np.arange(525.0, 538.01, 0.05)
SHIFT = np.arange(250.0, 1100.0, 2.0)


def analyse(technique, file, **options):
    module = get_technique(technique)
    return module.analyse(file, SAMPLE, module.Options(**options))


def write(path, x, y, header="binding energy, counts"):
    np.savetxt(path, np.column_stack([x, y]), header=header)
    return path


def sum_of(x, *sizes, mixing=0.3):
    return sum(pvoigt(x, area, at, width / 2, mixing) for area, at, width in sizes)


@pytest.fixture
def o_1s(tmp_path):
    """Write O 1s 0.4 eV above where it belongs, falling, and C 1s as much above 284.8 eV."""
    rng = np.random.default_rng(0)
    sizes = [(20_000, 530.4, 1.3), (3000, 531.3, 1.3), (8000, 531.9, 1.3), (2000, 533.4, 1.3)]
    write(tmp_path / "o1s.csv", ENERGY[::-1], rng.poisson(800 + sum_of(ENERGY, *sizes))[::-1])
    carbon = np.arange(280.0, 291.0, 0.05)
    write(tmp_path / "c1s.csv", carbon, rng.poisson(300 + sum_of(carbon, (5000, 285.2, 1.4))))
    return tmp_path / "o1s.csv"


def test_shares_sum_to_one_and_positions_are_those_of_the_file(o_1s):
    found = analyse("xps", o_1s, noise="counts")
    shares = [found.values[f"{n}_share"] for n in ("lattice", "peroxo", "adsorbed", "deposit")]
    assert sum(share.value for share in shares) == pytest.approx(1.0, abs=1e-12)
    for share, truth in zip(shares, (20 / 33, 3 / 33, 8 / 33, 2 / 33), strict=True):
        assert abs(share.value - truth) < 3 * share.uncertainty
    assert any("no charge reference" in remark for remark in found.remarks)
    assert found.values["lattice_position"].value == pytest.approx(530.4, abs=0.01)


def test_a_shift_beyond_the_range_exchanges_names_and_is_told(o_1s):
    found = analyse("xps", o_1s, charge_shift_ev=0.3)
    assert any("lattice, which the others follow, is not found" in r for r in found.remarks)
    assert not any("is not found" in r for r in analyse("xps", o_1s).remarks)


def test_a_charge_reference_shifts_all_and_its_doubt_is_in_the_positions(o_1s):
    reference = {
        "reference_file": o_1s.with_name("c1s.csv"),
        "reference_ev": 284.8,
        "reference_window_ev": (281.5, 289.5),
    }
    found = analyse("xps", o_1s, **reference)
    shift = found.values["charge_shift"]
    assert shift.value == pytest.approx(-0.4, abs=3 * shift.uncertainty)
    assert 0.001 < shift.uncertainty < 0.03
    place = found.values["lattice_position"]
    assert place.value == pytest.approx(530.0, abs=3 * place.uncertainty)
    told = analyse("xps", o_1s, charge_shift_ev=shift.value)
    alone = told.values["lattice_position"]
    assert place.uncertainty == pytest.approx(np.hypot(alone.uncertainty, shift.uncertainty))
    assert told.values["peroxo_share"] == found.values["peroxo_share"]
    assert not any("no charge reference" in remark for remark in (*found.remarks, *told.remarks))
    assert len(found.parameters["reference_sha256"]) == 64


def test_components_are_the_users_own(o_1s):
    components = {
        "one": {"position": 530.4, "shift": 0.3, "width": [0.8, 2.0]},
        "two": {"position": 532.0, "shift": 0.5, "width": [0.8, 3.0], "shape": "gaussian"},
    }
    found = analyse("xps", o_1s, components=components, together=False, same_width=False)
    assert found.parameters["component_order"] == ["one", "two"]
    assert found.arrays["components"].shape == (2, len(found.arrays["binding_energy_ev"]))
    assert found.values["two_width"].value > found.values["one_width"].value + 0.2
    assert "lattice_share" not in found.values


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window_ev": (500, 510)}, r"lattice at 530 eV is not from 500 to 510 eV"),
        ({"window_ev": (520, 537)}, r"not all of 520 to 537: give window_ev inside of it"),
        ({"charge_shift_ev": -245}, r"measured: 280 to 293.*give window_ev, or components"),
        ({"reference_ev": 284.8}, r"needs reference_ev.*and reference_window_ev"),
        ({"reference_ev": 284.8, "charge_shift_ev": 1.0}, r"charge_shift_ev or a reference"),
    ],
)
def test_what_xps_lacks_is_told_in_one_line(o_1s, options, message):
    with pytest.raises(MeasurementError, match=rf"o1s\.csv: .*{message}") as error:
        analyse("xps", o_1s, **options)
    assert "\n" not in str(error.value)


def bands(*sizes, noise=4.0):
    t = (SHIFT - 400) / 500
    clean = 300 + 200 * t - 40 * t**2 + sum_of(SHIFT, *sizes, mixing=1.0)
    return clean + np.random.default_rng(0).normal(0, noise, len(SHIFT))


LAYERED = [(8000, 488, 55), (15_000, 597, 42)]


def test_spinel_and_peroxo_are_found_and_li2o2_is_not(tmp_path):
    y = bands(*LAYERED, (5000, 627, 38), (1200, 848, 25))
    found = analyse("raman", write(tmp_path / "a.txt", SHIFT, y))
    spinel = found.values["spinel_fraction"]
    assert abs(spinel.value - 0.25) < 2 * spinel.uncertainty < 0.1
    present = {n: found.values[f"{n}_present"].value for n in ("spinel", "li2o2", "peroxo")}
    assert present == {"spinel": 1.0, "li2o2": 0.0, "peroxo": 1.0}
    assert "li2o2_position" not in found.values
    assert abs(found.values["li2o2_share"].value) < 2 * found.values["li2o2_share"].uncertainty


def test_without_spinel_its_fraction_is_zero_within_its_uncertainty(tmp_path):
    found = analyse("raman", write(tmp_path / "a.txt", SHIFT, bands(*LAYERED)))
    spinel = found.values["spinel_fraction"]
    assert abs(spinel.value) < 2 * spinel.uncertainty
    assert found.values["spinel_present"].value == 0.0


def test_bands_that_were_not_measured_are_left_out_and_told(tmp_path):
    y = bands(*LAYERED, (5000, 627, 38))
    part = SHIFT < 720
    found = analyse("raman", write(tmp_path / "a.txt", SHIFT[part], y[part]))
    assert found.parameters["component_order"] == ["layered_eg", "layered", "spinel"]
    assert any("left out: li2o2, peroxo" in remark for remark in found.remarks)


@pytest.mark.parametrize(
    ("y", "options", "message"),
    [
        (bands((0, 600, 40)), {}, "no peak from 400 to 940 stands above the noise"),
        (bands(*LAYERED), {"window_per_cm": (2000, 2500)}, "layered_eg.* give window_per_cm"),
        (
            bands(*LAYERED),
            {"components": {"carbon": {"position": 1350, "width": [50, 200]}}},
            "carbon outside of",
        ),
    ],
)
def test_what_raman_lacks_is_told_in_one_line(tmp_path, y, options, message):
    path = write(tmp_path / "a.txt", SHIFT, y)
    with pytest.raises(MeasurementError, match=rf"a\.txt: .*{message}") as error:
        analyse("raman", path, **options)
    assert "\n" not in str(error.value)


@measured
@pytest.mark.parametrize("background", ["shirley", "shirley-linear", "linear"])
def test_gold_4f_is_a_doublet_of_seven_to_five(background):
    """The measured lines are sharper at the top than a pseudo-Voigt: the bars must cover that."""
    free = {"shift": 0.5, "width": [0.3, 1.5], "lorentzian": None}
    found = analyse(
        "xps",
        DATA / "clean_Au_4f.csv",
        photon_energy_ev=180.0,
        reference_ev=84.0,
        reference_window_ev=(87.0, 88.4),
        components={"7/2": {"position": 84.0, **free}, "5/2": {"position": 87.67, **free}},
        background=background,
    ).values
    assert found["7/2_position"].value == pytest.approx(84.0, abs=0.03)
    split = found["5/2_position"].value - found["7/2_position"].value
    assert split == pytest.approx(3.67, abs=0.02)
    upper = found["7/2_share"]
    assert upper.value == pytest.approx(4 / 7, abs=2 * upper.uncertainty)
    assert upper.uncertainty < 0.03


@measured
def test_fe_2p_is_divided_as_its_own_fit_divides_it():
    """Areas beside the file: 63400 + 29867 in 2p3/2 and its satellite, 42839 + 15954 in 2p1/2.

    They are with a Tougaard background and asymmetric lines: the ratio of the halves and the distance
    of their main lines, 13.15 eV, can be compared, areas cannot.
    """
    components = {
        "3/2": {"position": 709.5, "shift": 2, "width": [2, 6]},
        "3/2 satellite": {"position": 715, "shift": 2, "width": [3, 9]},
        "1/2": {"position": 722.8, "shift": 2, "width": [2, 7]},
        "1/2 satellite": {"position": 729.5, "shift": 2, "width": [3, 9]},
    }
    found = analyse(
        "xps",
        DATA / "FeO_analyzed.vms",
        components=components,
        window_ev=(700, 740),
        together=False,
        same_width=False,
    ).values
    half = found["3/2_share"].value + found["3/2 satellite_share"].value
    assert half == pytest.approx(93267 / 152060, abs=0.04)
    split = found["1/2_position"].value - found["3/2_position"].value
    assert split == pytest.approx(13.15, abs=0.2)
