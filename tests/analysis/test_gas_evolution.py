"""Gas evolution whose onset and amount are known, with noise, drift and files as users write them."""

import math

import numpy as np
import pytest

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.gas_evolution import amount, delithiation, find_onset, fit_baseline
from rocksalt.analysis.readers.gas import GasColumn
from rocksalt.analysis.sample import Sample
from rocksalt.analysis.techniques import dems
from rocksalt.analysis.techniques.dems import Options

TIME = np.linspace(0, 36000, 400)
VOLTAGE = 3.6 + 0.9 * (TIME / 36000) ** 0.8 + 0.3 / (1 + np.exp(-(TIME - 30000) / 1500))
BASELINE = TIME < 12000
FIRST = int(np.argmax(~BASELINE))
SAMPLE = Sample(name="cell", composition="Li2MnO3", active_mass_mg=10.0)


def burst(onset_s, width_s, late=TIME):
    """Return a rate of one at its top that sets in linearly and fades, and its integral to the end."""
    delay = np.maximum(late - onset_s, 0) / width_s
    end = (late[-1] - onset_s) / width_s
    return math.e * delay * np.exp(-delay), math.e * width_s * (1 - (1 + end) * math.exp(-end))


def plateau(onset_s, width_s, late=TIME):
    """Return the same for a rate that sets in linearly and stays."""
    delay = np.maximum(late - onset_s, 0) / width_s
    end = (late[-1] - onset_s) / width_s
    return 1 - np.exp(-delay), width_s * (end - 1 + math.exp(-end))


@pytest.mark.parametrize("shape", [burst, plateau])
def test_onset_and_amount_lie_within_two_uncertainties_in_nine_of_ten_trials(shape):
    """Tops from 16 to 200 times the noise, on a drift as large as 5 times it either way."""
    rng = np.random.default_rng(5)
    scores = []
    for _ in range(200):
        onset_s, width_s = rng.uniform(16000, 26000), rng.uniform(2000, 6000)
        top = 10 ** rng.uniform(1.2, 2.3)
        rate, total = shape(onset_s, width_s)
        drift = rng.uniform(-5, 5) + rng.uniform(-5, 5) * TIME / TIME[-1]
        measured = top * rate + drift + rng.normal(size=len(TIME))
        baseline = fit_baseline(TIME, measured, BASELINE)
        onset = find_onset(TIME, measured, baseline, FIRST)
        assert onset is not None
        volt, volt_doubt = onset.at(TIME, VOLTAGE)
        gas, gas_doubt = amount(TIME, measured, baseline, FIRST)
        truth = np.interp(onset_s, TIME, VOLTAGE)
        scores.append(((volt - truth) / volt_doubt, (gas - top * total) / gas_doubt))
    scores = np.array(scores)
    assert np.mean(np.abs(scores) < 2, axis=0).min() >= 0.9
    assert np.all((np.mean(scores**2, axis=0) > 0.5) & (np.mean(scores**2, axis=0) < 2))


@pytest.mark.parametrize("onset_s", [13000, 25000, 34000])
def test_many_records_are_averaged_and_an_onset_near_an_end_is_found(onset_s):
    dense = np.linspace(0, 36000, 30000)
    rate, _ = plateau(onset_s, 3000, dense)
    measured = 30 * rate + np.random.default_rng(4).normal(size=len(dense))
    baseline = fit_baseline(dense, measured, dense < 12000)
    onset = find_onset(dense, measured, baseline, 10000)
    value, doubt = onset.at(dense, dense)
    assert abs(value - onset_s) < 3 * doubt < 300


def test_noise_that_neighbours_share_widens_the_amount():
    """An autoregressive noise of 0.7: without its inflation two amounts in five would miss."""
    rng = np.random.default_rng(6)
    scores = []
    for _ in range(200):
        noise = rng.normal(size=len(TIME))
        for row in range(1, len(noise)):
            noise[row] += 0.7 * noise[row - 1]
        rate, total = burst(20000, 3000)
        baseline = fit_baseline(TIME, 50 * rate + noise, BASELINE)
        gas, doubt = amount(TIME, 50 * rate + noise, baseline, FIRST)
        scores.append((gas - 50 * total) / doubt)
    assert np.mean(np.abs(scores) < 2) >= 0.9
    assert np.mean(np.square(scores)) < 2


def test_noise_alone_has_no_onset_and_no_amount():
    rng = np.random.default_rng(7)
    scores = []
    for _ in range(100):
        noise = rng.normal(size=len(TIME))
        baseline = fit_baseline(TIME, noise, BASELINE)
        assert find_onset(TIME, noise, baseline, FIRST) is None
        scores.append(np.divide(*amount(TIME, noise, baseline, FIRST)))
    assert np.mean(np.abs(scores) < 2) >= 0.9


def test_samples_an_hour_apart_are_not_better_known_than_their_trapezia():
    sparse = np.arange(0, 30 * 3600.0, 3600)
    rate, total = burst(12.5 * 3600, 2.0 * 3600, sparse)
    measured = 300 * rate + np.random.default_rng(1).normal(size=len(sparse))
    baseline = fit_baseline(sparse, measured, sparse < 11 * 3600, degree=0)
    gas, doubt = amount(sparse, measured, baseline, 11)
    assert abs(gas - 300 * total) < 2 * doubt
    assert abs(gas - 300 * total) > 3 * 3600 * baseline.scatter  # more than noise explains


def test_delithiation_is_faradays_law():
    # a mole of Li2MnO3 (116.818 g) gives two of electrons, 26.801 Ah each
    charge = np.array([0.0, 26.8015])
    assert delithiation(charge, 116.818, "Li2MnO3") == pytest.approx([0.0, 0.5], rel=1e-4)
    with pytest.raises(MeasurementError, match="'MnO2' holds no lithium"):
        delithiation(charge, 1.0, "MnO2")
    with pytest.raises(MeasurementError, match="is no formula"):
        delithiation(charge, 1.0, "Li2Qq")


CURRENT_A = 3e-4
RATE, TOTAL = burst(20000, 3000)
GASES = {"O2": {"column": "O2", "unit": "nmol/s"}}


def write(path, rate, head="O2", separator=",", extra="Current / A", values=CURRENT_A):
    noise = np.random.default_rng(2).normal(0, 0.002, len(TIME))
    rows = [f"Test Time / s{separator}Voltage / V{separator}{extra}{separator}{head}"]
    for row in zip(TIME, VOLTAGE, np.broadcast_to(values, TIME.shape), rate + noise, strict=True):
        rows.append(separator.join(f"{value:.9g}" for value in row))
    path.write_text("\n".join(rows))
    return path


def test_a_table_gives_onset_amount_and_delithiation(tmp_path):
    """0.1 nmol/s at the top from 10 mg."""
    file = write(tmp_path / "dems.csv", 0.1 * RATE)
    options = Options(positive_current="charge", gases=GASES, baseline_to_v=3.9)
    result = dems.analyse(file, SAMPLE, options)
    found = result.values
    assert found["O2_amount"].unit == "umol/g"
    truth = 0.1 * TOTAL / 0.01 / 1000
    assert abs(found["O2_amount"].value - truth) < 2 * found["O2_amount"].uncertainty
    onset = found["O2_onset_voltage"]
    assert abs(onset.value - np.interp(20000, TIME, VOLTAGE)) < 2 * onset.uncertainty
    removed = CURRENT_A * 20000 / 96485.332 / (0.01 / 116.818 * 2)
    share = found["O2_onset_delithiation"]
    assert share.value == pytest.approx(removed, abs=2 * share.uncertainty)
    assert share.uncertainty < 0.01
    total = result.arrays["O2_amount_umol_per_g"][-1]
    assert total == pytest.approx(found["O2_amount"].value, rel=1e-3)


@pytest.mark.parametrize(
    ("gas", "factor"),
    [
        ({"unit": "umol/min"}, 60 / 1000),
        ({"unit": "umol/h/g"}, 3600 / 1000 / 0.01),
        ({"unit": "pmol/s"}, 1000),
        ({"unit": "nA", "sensitivity_c_per_mol": 2.5}, 2.5),
    ],
)
def test_units_and_calibration_do_not_matter(tmp_path, gas, factor):
    plain = write(tmp_path / "plain.csv", 0.1 * RATE)
    table = np.genfromtxt(plain, delimiter=",", skip_header=1)
    other = tmp_path / "other.tsv"
    lines = ["made up", "Test Time / s\tVoltage / V\tCurrent / A\tm32"]
    lines += ["\t".join(f"{v:.12g}" for v in (*row[:3], row[3] * factor)) for row in table]
    other.write_text("\n".join(lines))
    common = {"positive_current": "charge", "baseline_to_v": 3.9}
    first = dems.analyse(plain, SAMPLE, Options(gases=GASES, **common))
    second = dems.analyse(other, SAMPLE, Options(gases={"O2": {"column": "m32", **gas}}, **common))
    for name in ("O2_amount", "O2_onset_voltage"):
        assert second.values[name].value == pytest.approx(first.values[name].value, rel=1e-5)
        assert second.values[name].uncertainty == pytest.approx(
            first.values[name].uncertainty, rel=1e-3
        )


def test_the_calibration_and_the_mass_are_in_the_uncertainty(tmp_path):
    file = write(tmp_path / "dems.csv", 0.1 * RATE)
    common = {"positive_current": "charge", "baseline_to_v": 3.9}
    sure = dems.analyse(file, SAMPLE, Options(gases=GASES, **common)).values["O2_amount"]
    doubted = {"O2": {**GASES["O2"], "relative_uncertainty": 0.1}}
    options = Options(gases=doubted, mass_uncertainty_mg=0.5, **common)
    unsure = dems.analyse(file, SAMPLE, options).values["O2_amount"]
    expected = math.sqrt(sure.uncertainty**2 + (0.1**2 + 0.05**2) * sure.value**2)
    assert unsure.uncertainty == pytest.approx(expected)


def test_capacity_stands_for_current_and_its_sign_is_asked_for(tmp_path):
    capacity = -CURRENT_A * TIME / 3600
    file = write(
        tmp_path / "dems.csv", 0.1 * RATE, extra="Net Capacity / mAh", values=1000 * capacity
    )
    with pytest.raises(MeasurementError, match="give positive_current"):
        dems.analyse(file, SAMPLE, Options(gases=GASES, baseline_to_v=3.9))
    options = Options(gases=GASES, baseline_to_v=3.9, positive_current="discharge")
    removed = dems.analyse(file, SAMPLE, options).arrays["delithiation"]
    expected = CURRENT_A * TIME[-1] / 96485.332 / (0.01 / 116.818 * 2)
    assert removed[-1] == pytest.approx(expected, rel=1e-3)


def test_ec_labs_headings_and_short_rows(tmp_path):
    file = write(tmp_path / "dems.csv", 0.1 * RATE)
    options = Options(positive_current="charge", gases=GASES, baseline_to_v=3.9)
    whole = dems.analyse(file, SAMPLE, options)
    _, *lines = file.read_text().splitlines()
    lines[-1] = "1,2"
    file.write_text("\n".join(["time/s,Ewe/V,I/A,O2", *lines]))
    found = dems.analyse(file, SAMPLE, options)
    amount = found.values["O2_amount"]
    assert amount.value == pytest.approx(whole.values["O2_amount"].value, abs=amount.uncertainty)
    assert any(f"1 of {len(TIME)} rows do not have the 4 columns" in r for r in found.remarks)


def test_a_gas_that_stays_away_has_an_amount_and_a_remark(tmp_path):
    file = write(tmp_path / "dems.csv", 0 * RATE)
    options = Options(positive_current="charge", gases=GASES, baseline_s=[(0, 9000)])
    result = dems.analyse(file, Sample(name="cell", active_mass_mg=10.0), options)
    assert "O2_onset_voltage" not in result.values
    assert any(remark.startswith("No onset of O2") for remark in result.remarks)
    assert any("it needs sample.composition" in remark for remark in result.remarks)
    assert abs(result.values["O2_amount"].value) < 3 * result.values["O2_amount"].uncertainty


def test_what_is_missing_is_asked_for_in_one_line(tmp_path):
    file = write(tmp_path / "dems.csv", 0.1 * RATE)
    given = {"positive_current": "charge", "gases": GASES, "baseline_to_v": 3.9}
    for change, sample, message in (
        ({"gases": {}}, SAMPLE, "does not say its gases: give gases"),
        ({"gases": {"O2": {"column": "M32", "unit": "nmol/s"}}}, SAMPLE, "no column 'M32'"),
        ({"baseline_to_v": None}, SAMPLE, "give baseline_to_v or baseline_s"),
        ({"baseline_to_v": 5.5}, SAMPLE, "does not rise through baseline_to_v"),
        ({"baseline_to_v": 3.61}, SAMPLE, r"O2: the baseline holds \d records"),
        ({"columns": {"Volts": "U"}}, SAMPLE, "'Volts' is not a name"),
        ({"from_s": 1e6}, SAMPLE, "0 records lie from from_s to to_s"),
        ({}, Sample(name="cell"), "amount of O2 per gram needs the mass"),
    ):
        with pytest.raises(MeasurementError, match=message) as caught:
            dems.analyse(file, sample, Options(**{**given, **change}))
        assert "\n" not in str(caught.value)
    cut = write(tmp_path / "cut.csv", 0.1 * RATE)
    lines = cut.read_text().splitlines()
    cut.write_text("\n".join([lines[0], *(line.rsplit(",", 1)[0] + ",0" for line in lines[1:])]))
    with pytest.raises(MeasurementError, match="no scatter: was it cut off"):
        dems.analyse(cut, SAMPLE, Options(**given))
    with pytest.raises(ValueError, match="unit 'l/s' is not known"):
        GasColumn(column="O2", unit="l/s")
    with pytest.raises(ValueError, match="needs its sensitivity_c_per_mol"):
        GasColumn(column="O2", unit="nA")
