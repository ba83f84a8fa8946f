"""A series of spectra whose resistances change with the potential as was put in."""

import numpy as np
import pytest

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.readers import impedance as reader
from rocksalt.analysis.sample import Sample
from rocksalt.analysis.techniques import geis
from rocksalt.analysis.techniques.geis import Options

FREQUENCY = np.logspace(5, -2.5, 55)
POTENTIALS = np.array([3.6, 3.9, 4.2, 4.5])
TRANSFER = np.array([30.0, 18.0, 12.0, 25.0])
DIFFUSION = np.array([9.0, 6.0, 5.0, 14.0])
CELL = Sample(name="cell", electrode_area_cm2=2.0)


def spectrum(row, rng):
    angular = 2j * np.pi * FREQUENCY
    impedance = (
        3
        + 8 / (1 + angular * 2e-4)
        + TRANSFER[row] / (1 + (angular * 0.3) ** 0.9)
        + DIFFUSION[row] / (1 + angular * 25)
    )
    scatter = rng.normal(size=(2, len(FREQUENCY))) * 0.001 * np.abs(impedance)
    return impedance + scatter[0] + 1j * scatter[1]


@pytest.fixture
def series(tmp_path):
    """Write one file of all sweeps and a file of each; return their folder."""
    rng = np.random.default_rng(3)
    whole = []
    for row in range(len(POTENTIALS)):
        impedance = spectrum(row, rng)
        lines = [
            f"{f:.8g}, {z.real:.9g}, {z.imag:.9g}"
            for f, z in zip(FREQUENCY, impedance, strict=True)
        ]
        (tmp_path / f"{row}.csv").write_text("\n".join(lines))
        whole += lines
    (tmp_path / "all.csv").write_text("\n".join(whole))
    return tmp_path


def check(result):
    """Compare with what was put in; the flank of the broad arc lies in the window of diffusion."""
    assert result.arrays["potential_v"] == pytest.approx(POTENTIALS)
    for name, truth in (("charge_transfer", TRANSFER), ("diffusion", DIFFUSION)):
        found = result.arrays[f"{name}_resistance_ohm"]
        doubt = result.arrays[f"{name}_resistance_uncertainty_ohm"]
        assert np.all(np.abs(found - truth) < 3 * doubt + 0.03 * TRANSFER)
        assert np.all(doubt < 0.2 * truth)
        area = result.arrays[f"{name}_resistance_ohm_cm2"]
        assert area == pytest.approx(2 * found)
    assert result.arrays["ohmic_resistance_ohm"] == pytest.approx(3, rel=0.03)
    values = {name: quantity.value for name, quantity in result.values.items()}
    assert values["spectra"] == 4
    assert values["potential_of_least_charge_transfer_resistance"] == pytest.approx(4.2)
    assert values["potential_of_largest_diffusion_resistance"] == pytest.approx(4.5)
    assert values["largest_charge_transfer_resistance"] == pytest.approx(30, rel=0.05)


def test_sweeps_of_one_file(series):
    options = Options(imaginary="Z''", potentials_v=list(POTENTIALS))
    check(geis.analyse(series / "all.csv", CELL, options))


def test_a_file_for_each_potential(series):
    others = [{"file": series / f"{row}.csv", "potential_v": POTENTIALS[row]} for row in (1, 2, 3)]
    options = Options(imaginary="Z''", potentials_v=[3.6], spectra=others)
    result = geis.analyse(series / "0.csv", CELL, options)
    check(result)
    (remark,) = result.remarks
    assert remark.startswith("In every spectrum: the lowest frequency sees times up to 50.3 s")


def test_a_biologic_file_says_its_potentials(series, monkeypatch):
    table = np.loadtxt(series / "all.csv", delimiter=",")
    names = ("freq/Hz", "Re(Z)/Ohm", "-Im(Z)/Ohm", "<Ewe>/V")
    records = np.zeros(len(table) + 1, dtype=[(name, float) for name in names])
    for name, column in zip(
        names, (*(table * (1, 1, -1)).T, np.repeat(POTENTIALS, 55)), strict=True
    ):
        records[name][1:] = column  # the first row, of a rest, has no frequency
    monkeypatch.setattr(reader, "biologic_records", lambda path: records)
    check(geis.analyse(series / "series.mpr", CELL, Options()))


def test_times_that_a_short_spectrum_does_not_see_are_no_number(series):
    """Down to 1 Hz relaxations to half a second are seen: diffusion is not known, and not zero."""
    for row in (0, 1):
        lines = (series / f"{row}.csv").read_text().splitlines()[:37]
        (series / f"{row}.csv").write_text("\n".join(lines))
    other = {"file": series / "1.csv", "potential_v": 3.9}
    options = Options(imaginary="Z''", potentials_v=[3.6], spectra=[other])
    result = geis.analyse(series / "0.csv", CELL, options)
    assert np.isnan(result.arrays["diffusion_resistance_ohm"]).all()
    assert np.isfinite(result.arrays["charge_transfer_resistance_ohm"]).all()
    assert "largest_diffusion_resistance" not in result.values
    assert any("is not known" in remark for remark in result.remarks)


def test_what_is_missing_is_asked_for(series):
    one, both = series / "0.csv", series / "all.csv"
    other = {"file": series / "1.csv"}
    for file, options, message in (
        (one, {"potentials_v": [3.6]}, "holds one spectrum: name the others"),
        (both, {}, "sweep 1: the file does not say its potential: give potentials_v"),
        (both, {"potentials_v": [3.6]}, "has 4 sweeps, potentials_v 1 values"),
        (one, {"potentials_v": [3.6], "spectra": [other]}, r"1\.csv: .* give potential_v"),
        (one, {"potentials_v": [3.6], "spectra": [{"file": both}]}, "holds 4 sweeps"),
    ):
        with pytest.raises(MeasurementError, match=message):
            geis.analyse(file, CELL, Options(imaginary="Z''", **options))
