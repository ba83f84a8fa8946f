"""Cycling: known cells made here, real files against the cycler's own counts, and bad files."""

from pathlib import Path

import numpy as np
import pytest

from rocksalt.analysis.cycling import (
    dq_dv,
    dq_dv_peaks,
    half_cycles,
    line_fit,
    pair_cycles,
    rate_numbers,
)
from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.readers.cycler import CyclerOptions, CyclerTable, net_charge, read_cycler
from rocksalt.analysis.sample import Sample
from rocksalt.analysis.techniques import cycling
from rocksalt.analysis.techniques.cycling import Options

MEASURED = Path(__file__).parents[3] / "shared" / "data" / "experimental" / "cycler"
CELL = Sample(name="cell", active_mass_mg=10)


def measured(name, module=None):
    if module is not None:
        pytest.importorskip(module, reason=f"{module}, which reads the file, is not installed")
    if not (MEASURED / name).exists():
        pytest.skip(f"the measured file {name} is not beside this checkout")
    return MEASURED / name


def made(n_cycles=4, fade=0.01, sag_v=0.002, first_charge_h=3.0):
    """Return a cell at 1 mA: voltages are lines from 2.5 to 4.8 V, so every quantity is known."""
    time, voltage, current, cycle, now = [], [], [], [], 0.0
    for n in range(n_cycles):
        hours = 2.0 * (1 - fade * n)
        charge_h = first_charge_h if n == 0 else hours
        for sign, length in ((1, charge_h), (-1, hours)):
            share = np.linspace(0, 1, 401)
            line = 2.5 + 2.3 * share if sign > 0 else 4.8 - 2.3 * share - sag_v * n
            time += [
                *(now + 3600 * length * share),
                now + 3600 * length + 1,
                now + 3600 * length + 600,
            ]
            voltage += [*line, line[-1], line[-1]]
            current += [*np.full(401, sign * 1e-3), 0.0, 0.0]
            cycle += [n + 1.0] * 403
            now = time[-1] + 1
    return CyclerTable("made", *(np.array(x) for x in (time, voltage, current, cycle)))


def write(path, table, head="Test Time / s,Voltage / V,Current / A,Cycle Count / 1", change=None):
    columns = [table.time_s, table.voltage_v, table.current_a, table.cycle]
    rows = [[f"{value:.9g}" for value in row] for row in zip(*columns, strict=True)]
    if change:
        change(rows)
    path.write_text("\n".join([head, *(",".join(row) for row in rows)]))
    return path


@pytest.fixture
def file(tmp_path):
    return write(tmp_path / "cell.csv", made())


def analysed(file, **options):
    return cycling.analyse(file, CELL, Options(positive_current="charge", **options))


def test_quantities_of_a_known_cell(file):
    result = analysed(file, activation_voltage_v=4.47)
    values = {name: quantity.value for name, quantity in result.values.items()}
    assert values["first_charge_capacity"] == pytest.approx(300, rel=1e-3)
    assert values["first_discharge_capacity"] == pytest.approx(200, rel=1e-3)
    assert values["initial_coulombic_efficiency"] == pytest.approx(2 / 3, rel=1e-3)
    assert values["first_energy_efficiency"] == pytest.approx(2 / 3, rel=1e-3)
    assert values["retention"] == pytest.approx(0.97, rel=1e-3)
    assert values["retention_cycles"] == 3
    assert values["first_discharge_mean_voltage"] == pytest.approx(3.65, abs=1e-3)
    assert values["first_discharge_median_voltage"] == pytest.approx(3.65, abs=1e-3)
    assert values["median_voltage_decay"] == pytest.approx(2.0, abs=1e-3)
    below = 300 * (4.47 - 2.5) / 2.3
    assert values["first_charge_before_activation"] == pytest.approx(below, rel=2e-3)
    assert values["first_charge_at_activation"] == pytest.approx(300 - below, rel=5e-3)
    assert result.values["first_charge_capacity"].unit == "mAh/g"
    energy = result.arrays["discharge_energy_mwh_per_g"][0]
    assert energy == pytest.approx(200 * 3.65, rel=1e-3)


def test_uncertainty_of_the_mass_reaches_the_capacity_and_not_the_efficiency(file):
    sharp, blurred = analysed(file), analysed(file, mass_uncertainty_mg=0.5)
    assert blurred.values["first_charge_capacity"].uncertainty == pytest.approx(15, rel=0.01)
    name = "initial_coulombic_efficiency"
    assert blurred.values[name] == sharp.values[name]


def test_retention_from_a_reference_over_given_cycles(file):
    result = analysed(file, reference_cycle=2, retention_cycles=1)
    assert result.values["retention"].value == pytest.approx(0.98 / 0.99, rel=1e-3)
    with pytest.raises(MeasurementError, match="give fewer retention_cycles"):
        analysed(file, retention_cycles=10)


def test_slope_has_its_standard_error_in_nine_of_ten_trials():
    rng = np.random.default_rng(5)
    x = np.arange(1.0, 41)
    fits = [line_fit(x, 3.6 - 0.001 * x + rng.normal(0, 0.003, 40)) for _ in range(200)]
    inside = np.mean([abs(slope + 0.001) < 2 * error for slope, error in fits])
    assert 0.9 <= inside <= 0.99


def test_differential_capacity_keeps_the_charge_and_finds_the_peaks():
    # Two logistic steps of 0.4 and 0.6 mAh: dQ/dV peaks at 3.75 and 4.47 V, 2:3 in area
    voltage = np.linspace(3.0, 5.0, 4000)
    rng = np.random.default_rng(2)
    capacity = sum(
        q / (1 + np.exp(-(voltage - at) / 0.03)) for q, at in ((0.4e-3, 3.75), (0.6e-3, 4.47))
    )
    time = 3600 * (capacity - capacity[0]) / 1e-3
    noisy = voltage + rng.normal(0, 2e-4, len(voltage))
    halves, _ = half_cycles(CyclerTable("made", time, noisy, np.full(len(time), 1e-3)))
    volts, density = dq_dv(halves[0])
    step = volts[1] - volts[0]
    assert density.sum() * step == pytest.approx(1e-3, rel=1e-3)
    assert density[volts < 4.1].sum() * step == pytest.approx(0.4e-3, rel=5e-3)
    peaks = dq_dv_peaks(halves[0])
    assert [peak.voltage_v for peak in peaks] == pytest.approx([4.47, 3.75], abs=0.004)
    assert all(peak.uncertainty_v < 0.006 for peak in peaks)


def line_of_charge(noise_v=0.0, rest_v=None, bump_at=None, seed=0):
    """Return a charge from 3.2 to 4.1 V of even dQ/dV, after a jump from a rest voltage or with a bump."""
    voltage = np.linspace(3.2, 4.1, 1800)
    charge = (voltage - 3.2) / 0.9
    if bump_at is not None:
        charge = charge + 0.25 / (1 + np.exp(-(voltage - bump_at) / 0.03))
    voltage = voltage + np.random.default_rng(seed).normal(0, noise_v, len(voltage))
    time = 36000.0 * (charge - charge[0]) + 60
    if rest_v is not None:
        voltage, time = np.append(rest_v, voltage), np.append(0.0, time)
    return half_cycles(CyclerTable("made", time, voltage, np.full(len(time), 1e-3)))[0][0]


@pytest.mark.parametrize(
    "how", [{}, {"rest_v": 2.9}, {"noise_v": 2e-4}, {"noise_v": 1e-3}, {"noise_v": 1e-3, "seed": 1}]
)
def test_the_end_of_a_charge_and_noise_are_no_peaks(how):
    half = line_of_charge(**how)
    assert dq_dv_peaks(half) == []
    volts, density = dq_dv(half)
    step = volts[1] - volts[0]
    assert density.sum() * step == pytest.approx(half.total_ah, rel=1e-9)
    assert density.min() >= 0
    assert [volts[0] - step / 2, volts[-1] + step / 2] == pytest.approx(
        [half.voltage_v.min(), half.voltage_v.max()], abs=1e-6
    )


def test_where_a_bump_is_lies_within_two_uncertainties_in_nine_of_ten_trials():
    inside = []
    for seed in range(60):
        peaks = dq_dv_peaks(line_of_charge(5e-4, bump_at=3.7, seed=seed))
        assert len(peaks) == 1
        inside.append(abs(peaks[0].voltage_v - 3.7) < 2 * peaks[0].uncertainty_v)
    assert np.mean(inside) >= 0.9


def test_a_charge_at_constant_voltage_has_one_bin_and_no_peak():
    table = CyclerTable("made", np.arange(100.0), np.full(100, 4.0), np.full(100, 1e-3))
    half = half_cycles(table)[0][0]
    volts, density = dq_dv(half)
    assert len(volts) == 1
    assert np.isfinite(density).all()
    assert dq_dv_peaks(half) == []


def test_a_cell_without_a_peak_is_remarked_on(file):
    result = analysed(file)
    assert not any(name.endswith("main_peak") for name in result.values)
    assert any("dQ/dV of the charge has no peak" in remark for remark in result.remarks)


@pytest.mark.parametrize(
    ("name", "module", "cycle", "kind", "peaks_v"),
    [
        ("250116_kigr_gen6_01_02_GCPL_CD8.mpr", "galvani", 2, "charge", [4.76, 4.53]),
        ("maccor_002.txt", None, 2, "discharge", [3.21, 2.98]),
        ("nw4-120-6-1-36.ndax", "NewareNDA", 2, "charge", [3.89, 3.78]),
        # from 4.126 to the cutoff at 4.2 V
        ("nw4-120-6-1-36.ndax", "NewareNDA", 1, "charge", []),
    ],
)
def test_measured_cells_keep_their_peaks_and_have_none_at_the_cutoff(
    name, module, cycle, kind, peaks_v
):
    result = cycling.analyse(measured(name, module), CELL, Options(basis="cell", curve_cycle=cycle))
    found = result.arrays[f"dq_dv_{kind}_peaks_v"]
    assert found == pytest.approx(peaks_v, abs=0.01)


def test_a_charge_without_a_discharge_is_a_cycle_and_is_remarked_on(tmp_path):
    table = made(2)
    cut = len(table.time_s) - 403
    short = CyclerTable("x", *(x[:cut] for x in (table.time_s, table.voltage_v, table.current_a)))
    halves, _ = half_cycles(short)
    cycles = pair_cycles(halves, numbered=False)
    assert [(bool(c.charge), bool(c.discharge)) for c in cycles] == [(True, True), (True, False)]


def test_a_file_that_ends_in_a_discharge_is_remarked_on(tmp_path):
    file = write(
        tmp_path / "cut.csv", made(2), change=lambda rows: rows.__delitem__(slice(-200, None))
    )
    assert "ends in a discharge" in " ".join(analysed(file).remarks)


def test_the_file_must_say_what_charges_and_the_sample_its_mass(file):
    with pytest.raises(MeasurementError, match="give positive_current"):
        cycling.analyse(file, CELL, Options())
    with pytest.raises(MeasurementError, match="give the other positive_current"):
        cycling.analyse(file, CELL, Options(positive_current="discharge"))
    with pytest.raises(MeasurementError, match=r"give sample\.active_mass_mg"):
        cycling.analyse(file, Sample(name="x"), Options(positive_current="charge"))
    per_cell = cycling.analyse(
        file, Sample(name="x"), Options(positive_current="charge", basis="cell")
    )
    assert per_cell.values["first_charge_capacity"].value == pytest.approx(3.0, rel=1e-3)


def spoil(row, column, word):
    return lambda rows: rows[row].__setitem__(column, word)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.clear(), "0 of 0 rows are numbers"),
        (lambda rows: rows.reverse(), "time runs backwards at row 2"),
        (lambda rows: [row.__setitem__(1, "4200") for row in rows], "is it in mV"),
        (lambda rows: [row.__setitem__(2, "0") for row in rows], "no current flows"),
        (lambda rows: rows.__delitem__(slice(100, 300)), "without records in the charge"),
    ],
)
def test_damaged_files_are_refused_in_one_line(tmp_path, change, message):
    file = write(tmp_path / "bad.csv", made(), change=change)
    with pytest.raises(MeasurementError, match=message) as caught:
        analysed(file)
    assert "bad.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_row_that_is_no_number_is_left_out_with_a_remark(tmp_path, file):
    broken = write(tmp_path / "nan.csv", made(), change=spoil(120, 1, "NaN"))
    result = analysed(broken)
    assert "1 of" in result.remarks[0]
    whole = analysed(file).values["first_charge_capacity"].value
    assert result.values["first_charge_capacity"].value == pytest.approx(whole, rel=1e-4)


def test_a_row_that_is_short_is_left_out_with_a_remark(tmp_path, file):
    broken = write(tmp_path / "short.csv", made(), change=lambda rows: rows[120].pop())
    result = analysed(broken)
    assert "1 of 3224 rows do not have the 4 columns" in result.remarks[0]
    whole = analysed(file).values["first_charge_capacity"].value
    assert result.values["first_charge_capacity"].value == pytest.approx(whole, rel=1e-4)


def test_ec_labs_headings_are_known_in_a_table(tmp_path, file):
    heads = "time/s,Ewe/V,I/A,cycle number"
    whole = analysed(file).values["first_charge_capacity"]
    named = write(tmp_path / "ec.csv", made(), head=heads)
    assert analysed(named).values["first_charge_capacity"] == whole
    # what is given, or has the name of the Battery Data Format, goes before
    both = write(tmp_path / "both.csv", made(), head="Test Time / s,Voltage / V,I/A,I/mA")
    assert analysed(both).values["first_charge_capacity"].value == pytest.approx(whole.value)
    given = write(tmp_path / "given.csv", made(), head="time/s,Ewe/V,mine,I/mA")
    options = {"columns": {"Current / A": "mine"}}
    assert analysed(given, **options).values["first_charge_capacity"].value == pytest.approx(
        whole.value
    )


def test_a_decimal_comma_is_read_where_tabs_part_the_columns(tmp_path, file):
    german = tmp_path / "comma.txt"
    german.write_text(file.read_text().replace(",", "\t").replace(".", ","))
    whole = analysed(file).values["first_charge_capacity"]
    assert analysed(german).values["first_charge_capacity"] == whole


def test_an_empty_file_and_unknown_columns_are_refused(tmp_path):
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(MeasurementError, match="the file is empty"):
        analysed(tmp_path / "empty.csv")
    with pytest.raises(MeasurementError, match=r"none\.csv: cannot be read"):
        analysed(tmp_path / "none.csv")
    other = write(tmp_path / "other.csv", made(), head="t,U,I,n")
    with pytest.raises(MeasurementError, match=r"no column is named 'Test Time / s'"):
        analysed(other)
    named = {"Test Time / s": "t", "Voltage / V": "U", "Current / A": "I"}
    assert analysed(other, columns=named).values["first_charge_capacity"].value > 299
    with pytest.raises(MeasurementError, match=r"has no column 'V'"):
        analysed(other, columns={**named, "Voltage / V": "V"})


def test_a_current_in_the_wrong_unit_contradicts_the_capacity_column(tmp_path):
    table = made(1)
    table.net_charge_ah = net_charge(table)
    table.current_a = table.current_a * 1000
    with pytest.raises(MeasurementError, match="one of them has another unit"):
        half_cycles(table)


def test_a_negative_capacity_is_refused():
    table = made(1)
    table.net_charge_ah = -net_charge(table)
    with pytest.raises(
        MeasurementError, match="the capacity is negative while the cell is said to be"
    ):
        half_cycles(table)


@pytest.mark.parametrize("name", ["cell.mpr", "cell.ndax"])
def test_a_damaged_binary_file_is_refused_in_one_line(tmp_path, name):
    module = "galvani" if name.endswith("mpr") else "NewareNDA"
    pytest.importorskip(module, reason=f"{module}, which reads such files, is not installed")
    (tmp_path / name).write_bytes(b"BIO-LOGIC MODULAR FILE\x1a" + b"\0" * 400)
    with pytest.raises(MeasurementError, match="copy it again or export it as text"):
        read_cycler(tmp_path / name)


def test_biologic_agrees_with_the_counter_of_the_cycler():
    file = measured("250116_kigr_gen6_01_02_GCPL_CD8.mpr", "galvani")
    result = cycling.analyse(file, CELL, Options(basis="cell"))
    # The file's own column 'Q charge/discharge/mA.h' at the end of each half cycle
    charges, discharges = [2.350108, 1.881575, 1.870076], [1.789592, 1.849586, 1.846339]
    assert result.arrays["charge_capacity_mah"] == pytest.approx(charges, abs=2e-6)
    assert result.arrays["discharge_capacity_mah"] == pytest.approx(discharges, abs=2e-6)
    assert result.values["first_charge_mean_voltage"].value == pytest.approx(4.613, abs=0.003)


def test_a_cut_biologic_file_gives_one_line(tmp_path):
    file = measured("250116_kigr_gen6_01_02_GCPL_CD8.mpr", "galvani")
    (tmp_path / "cut.mpr").write_bytes(file.read_bytes()[:5000])
    with pytest.raises(MeasurementError, match=r"cut\.mpr: cannot be read as a BioLogic \.mpr"):
        read_cycler(tmp_path / "cut.mpr")


@pytest.mark.parametrize(
    ("name", "module"), [("nw4-120-6-1-36.ndax", "NewareNDA"), ("maccor_002.txt", None)]
)
def test_the_current_integrates_to_what_the_cycler_counted(name, module):
    table = read_cycler(measured(name, module))
    counted, _ = half_cycles(table)
    table.net_charge_ah = None
    integrated, _ = half_cycles(table)
    totals = [[half.total_ah for half in halves] for halves in (counted, integrated)]
    assert len(totals[0]) > 3
    assert totals[0] == pytest.approx(totals[1], rel=1e-3)


def test_maccor_agrees_with_its_capacity_column():
    result = cycling.analyse(measured("maccor_002.txt"), CELL, Options(basis="cell"))
    assert result.arrays["discharge_capacity_mah"][1] == pytest.approx(2.25395, abs=1e-5)
    assert result.values["first_charge_capacity"].value == pytest.approx(2.44213, abs=2e-3)
    assert any("No activation plateau" in remark for remark in result.remarks)


def test_a_cut_maccor_file_is_read_up_to_the_cut_with_a_remark(tmp_path):
    (tmp_path / "cut.txt").write_bytes(measured("maccor_002.txt").read_bytes()[:700_000])
    result = cycling.analyse(tmp_path / "cut.txt", CELL, Options(basis="cell"))
    assert result.values["first_charge_capacity"].value == pytest.approx(2.44213, abs=2e-3)
    assert any("ends in a discharge" in remark for remark in result.remarks)


def test_a_table_without_time_and_current_is_no_cycling():
    options = CyclerOptions(positive_current="charge")
    with pytest.raises(MeasurementError, match="no column is named 'Test Time / s'"):
        read_cycler(measured("ca_T23_C_6_ch.csv"), options)


def test_a_decimal_comma_is_read_where_semicolons_part_the_columns(tmp_path, file):
    german = tmp_path / "comma.csv"
    german.write_text(file.read_text().replace(",", ";").replace(".", ","))
    whole = analysed(file).values["first_charge_capacity"]
    assert analysed(german).values["first_charge_capacity"] == whole


def test_a_cycle_number_that_changes_in_a_charge_does_not_cut_it():
    table = made(2)
    table.cycle[100:403] = 2.0
    halves, _ = half_cycles(table)
    assert [half.kind for half in halves] == ["charge", "discharge"] * 2


def rated(steps, seed=0):
    """Return a cell charged at 0.5 mA and discharged at the (mA, mAh) of each cycle."""
    rng = np.random.default_rng(seed)
    time, voltage, current, cycle, now = [], [], [], [], 0.0
    for n, (milliamperes, capacity) in enumerate(steps, start=1):
        held = milliamperes * (1 + rng.normal(0, 1e-3))  # as well as a cycler holds it
        for sign, size in ((1, 0.5), (-1, held)):
            length = 3600 * capacity / size
            time += [*(now + np.linspace(0, length, 101)), now + length + 1]
            line = np.linspace(2.5, 4.8, 101)[::sign]
            voltage += [*line, line[-1]]
            current += [*np.full(101, sign * size * 1e-3), 0.0]
            cycle += [float(n)] * 102
            now = time[-1] + 1
    return CyclerTable("made", *(np.array(x) for x in (time, voltage, current, cycle)))


RATE_TEST = [
    *((0.1, 2.0), (0.1, 2.0), (0.1, 2.0)),
    *((1.0, 1.6), (1.0, 1.5), (1.0, 1.4)),
    *((0.3, 1.8), (0.3, 1.8)),
    *((0.1, 1.9), (0.1, 1.9), *[(0.1, 1.0)] * 6),
]


def test_rate_capability_of_a_known_cell(tmp_path):
    file = write(tmp_path / "rates.csv", rated(RATE_TEST))
    result = analysed(file, rate_cycles=2)
    found = {name: q for name, q in result.values.items() if name.startswith("rate_")}
    units = {name: q.unit for name, q in found.items()}
    assert units["rate_1"] == "mA/g"
    assert units["rate_1_capacity"] == "mAh/g"
    expected = {
        "rate_1": 10,
        "rate_2": 30,
        "rate_3": 100,
        "rate_1_capacity": 200,
        "rate_2_capacity": 180,
        "rate_3_capacity": 155,
        "rate_2_capacity_kept": 0.9,
        "rate_3_capacity_kept": 0.775,
        "rate_recovery": 0.95,
    }
    assert {name: q.value for name, q in found.items()} == pytest.approx(expected, rel=5e-3)
    assert result.arrays["rate_ma_per_g"] == pytest.approx([10, 30, 100], rel=5e-3)
    assert result.arrays["rate_first_cycle"].tolist() == [1, 7, 4]
    assert "span discharges at several rates" in " ".join(result.remarks)
    within = analysed(file, reference_cycle=9, retention_cycles=2)
    assert not any("several rates" in remark for remark in within.remarks)
    # 160 and 150 mAh/g: their standard deviation over the root of two, and the record interval's
    scatter = result.values["rate_3_capacity"].uncertainty
    assert scatter == pytest.approx(np.hypot(5, 155 / 100 / 6**0.5), rel=0.02)


def test_rates_by_the_nominal_capacity_and_of_a_cell(tmp_path):
    file = write(tmp_path / "rates.csv", rated(RATE_TEST))
    by_nominal = analysed(file, nominal_capacity_mah_per_g=200, mass_uncertainty_mg=0.1)
    rate = by_nominal.values["rate_3"]
    assert (rate.value, rate.unit) == (pytest.approx(0.5, rel=5e-3), "1/h")
    assert rate.uncertainty == pytest.approx(0.005, rel=0.01)
    # five cycles of the run in which the first rate returns: two of 1.9 and three of 1.0 mAh
    recovery = by_nominal.values["rate_recovery"]
    assert recovery.value == pytest.approx((2 * 1.9 + 3 * 1.0) / 5 / 2.0, rel=5e-3)
    assert recovery == analysed(file).values["rate_recovery"]  # the mass cancels
    of_cell = analysed(file, basis="cell").values["rate_3"]
    assert (of_cell.value, of_cell.unit) == (pytest.approx(1.0, rel=5e-3), "mA")
    options = Options(positive_current="charge", basis="cell", nominal_capacity_mah_per_g=200)
    with pytest.raises(MeasurementError, match=r"give sample\.active_mass_mg"):
        cycling.analyse(file, Sample(name="x"), options)


def test_one_rate_and_one_that_drifts_have_no_rate_capability(tmp_path, file):
    drifting = [(0.5 * 1.02**n, 1.8 - 0.01 * n) for n in range(12)]
    for one_rate in (file, write(tmp_path / "drift.csv", rated(drifting))):
        result = analysed(one_rate)
        names = [*result.values, *result.arrays]
        assert not [name for name in names if name.startswith("rate_")]
        assert "rate" not in " ".join(result.remarks)


def test_a_discharge_that_the_file_cuts_short_is_no_rate(tmp_path):
    def cut(rows):
        del rows[-50:]  # in the only discharge at 1 mA

    file = write(tmp_path / "cut.csv", rated([*[(0.1, 2.0)] * 3, (1.0, 1.6)]), change=cut)
    result = analysed(file)
    assert "rate_1" not in result.values
    assert "ends in a discharge" in " ".join(result.remarks)


def test_rates_do_not_depend_on_the_order_of_cycles():
    current = np.array([1.0, 0.1, 0.304, 0.1005, 0.3, 1.03, 0.297])
    assert rate_numbers(current).tolist() == [2, 0, 1, 0, 1, 2, 1]
    assert rate_numbers(current[::-1]).tolist() == [1, 2, 1, 0, 1, 0, 2]
    assert rate_numbers(current, tolerance=0.01).tolist() == [4, 0, 3, 0, 2, 5, 1]
