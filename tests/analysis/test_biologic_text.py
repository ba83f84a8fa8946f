"""BioLogic's text files: cells and spectra that are known, decimal commas, and bad files."""

import numpy as np
import pytest

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.readers.biologic_text import biologic_text_records
from rocksalt.analysis.readers.cycler import read_cycler
from rocksalt.analysis.readers.impedance import ImpedanceOptions, read_impedance, read_series
from rocksalt.analysis.sample import Sample
from rocksalt.analysis.techniques import cycling
from rocksalt.analysis.techniques.cycling import Options

CELL = Sample(name="cell", active_mass_mg=10)


def write(path, columns, *, comma=False, program="EC-Lab", tab="", change=None):
    """Write columns as the program does; a comment of the header has a byte that is no UTF-8."""
    head = [
        f"{program} ASCII FILE",
        "Nb header lines : 6 ",
        "",
        "Galvanostatic Cycling with Potential Limitation",
        "Comments : 25 °C\x85",
        "\t".join(columns) + tab,
    ]
    rows = [[f"{value:.9E}" for value in row] for row in zip(*columns.values(), strict=True)]
    if comma:
        rows = [[word.replace(".", ",") for word in row] for row in rows]
    lines = [*head, *("\t".join(row) + tab for row in rows)]
    if change:
        change(lines)
    path.write_bytes(("\r\n".join(lines) + "\r\n").encode("latin-1"))
    return path


def cell(counted="(Q-Qo)/mA.h", current="I/mA", voltage="Ewe/V"):
    """Return two cycles at 1 mA, 2 h up and 1.5 h down, with a rest after each."""
    time, volt, milliamperes, cycle, now = [], [], [], [], 0.0
    for n in (1, 2):
        for sign, hours in ((1, 2.0), (-1, 1.5)):
            share = np.linspace(0, 1, 201)
            time += [*(now + 3600 * hours * share), now + 3600 * hours + 1]
            up = 2.5 + 2.3 * share
            volt += [*(up if sign > 0 else up[::-1]), 3.6]
            milliamperes += [*np.full(201, float(sign)), 0.0]
            cycle += [float(n)] * 202
            now = time[-1] + 1
    columns = {"mode": np.ones(len(time)), "Ns": np.zeros(len(time)), "time/s": time}
    columns |= {voltage: volt, "cycle number": cycle}
    if current:
        columns[current] = milliamperes
    if counted:
        steps = np.diff(time, prepend=0.0) * np.array(milliamperes) / 3600
        columns[counted] = np.cumsum(steps) * (1 if counted.endswith("h") else 3.6)
    return columns


def capacities(file):
    result = cycling.analyse(file, CELL, Options(basis="cell"))
    return [*result.arrays["charge_capacity_mah"], *result.arrays["discharge_capacity_mah"]]


KNOWN = pytest.approx([2.0, 2.0, 1.5, 1.5], rel=2e-3)


@pytest.mark.parametrize(
    ("columns", "options"),
    [
        ({}, {}),
        ({}, {"comma": True, "tab": "\t"}),
        ({}, {"program": "BT-Lab"}),
        ({"counted": None, "current": "<I>/mA", "voltage": "Ecell/V"}, {"comma": True}),
        ({"counted": "(Q-Qo)/C", "current": None, "voltage": "<Ewe>/V"}, {}),
    ],
)
def test_a_known_cell_whatever_its_columns_and_decimal_sign(tmp_path, columns, options):
    assert capacities(write(tmp_path / "cell.mpt", cell(**columns), **options)) == KNOWN


def test_a_file_cut_in_its_last_line_is_read_up_to_there(tmp_path):
    whole = write(tmp_path / "cell.mpt", cell(counted=None))
    data = whole.read_bytes()
    (tmp_path / "cut.mpt").write_bytes(data[: len(data) - 30])
    columns = read_cycler(whole), read_cycler(tmp_path / "cut.mpt")
    assert columns[1].time_s == pytest.approx(columns[0].time_s[:-1])
    # a last word that lost its digits is not taken for a number
    (tmp_path / "cut.mpt").write_bytes(data[:-5])
    assert len(read_cycler(tmp_path / "cut.mpt").time_s) == len(columns[0].time_s) - 1


def test_a_word_that_is_no_number_is_left_out_with_a_remark(tmp_path):
    def spoil(lines):
        words = lines[50].split("\t")
        words[3] = "NaN"
        lines[50] = "\t".join(words)

    table = read_cycler(write(tmp_path / "nan.mpt", cell(), change=spoil))
    assert table.remarks == ["1 of 808 rows are not numbers and were left out."]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines.__setitem__(0, "My table"), "the first line is not 'EC-Lab ASCII"),
        (lambda lines: lines.__setitem__(1, "Nb header lines : many"), "line 2 is not 'Nb header"),
        (
            lambda lines: lines.__delitem__(slice(3, None)),
            "cut short in its header, at line 4 of 6",
        ),
        (lambda lines: lines.__delitem__(slice(6, None)), "holds no rows: export it again"),
        (lambda lines: lines.__setitem__(20, "1\t2"), "line 21 has 2 columns, the headings are 7"),
        (
            lambda lines: lines.__setitem__(6, "1\t0\t01/16/2025 12:00:00\t3\t1\t1\t1"),
            "'time/s' holds dates .*: export it with the time relative",
        ),
        (lambda lines: lines.__setitem__(5, lines[5].replace("Ewe/V", "U")), "no time and voltage"),
        (
            lambda lines: lines.__setitem__(5, lines[5].replace("/mA", "/x")),
            "neither current nor charge: give a file of cycling",
        ),
    ],
)
def test_bad_files_are_refused_in_one_line(tmp_path, change, message):
    file = write(tmp_path / "bad.mpt", cell(), change=change)
    with pytest.raises(MeasurementError, match=message) as caught:
        read_cycler(file)
    assert "bad.mpt: " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_empty_and_a_missing_file_are_refused(tmp_path):
    (tmp_path / "empty.mpt").write_text("")
    for name, message in (("empty.mpt", "the file is empty"), ("none.mpt", "cannot be read")):
        for read in (read_cycler, read_impedance):
            with pytest.raises(MeasurementError, match=f"{name}: {message}"):
                read(tmp_path / name)


def test_a_heading_that_comes_twice_is_its_first_column(tmp_path):
    def twice(lines):
        lines[5] = lines[5].replace("Ns", "time/s")

    records = biologic_text_records(write(tmp_path / "twice.mpt", cell(), change=twice))
    assert records.dtype.names.count("time/s") == 1
    assert not records["time/s"].any()


FREQUENCY = np.logspace(5, -1, 31)


def spectra(n=3):
    """Return the sweeps of a series: each arc is 5 ohm wider than the one before it."""
    series = [3 + (10 + 5 * k) / (1 + 2j * np.pi * FREQUENCY * 1e-3) for k in range(n)]
    whole = np.concatenate(series)
    columns = {"freq/Hz": np.tile(FREQUENCY, n), "Re(Z)/Ohm": whole.real, "-Im(Z)/Ohm": -whole.imag}
    columns["<Ewe>/V"] = np.repeat(3.6 + 0.1 * np.arange(n), 31)
    columns["z cycle"] = np.repeat(np.arange(1.0, n + 1), 31)
    return columns, series


@pytest.mark.parametrize("comma", [False, True])
def test_spectra_of_known_sign_and_potential(tmp_path, comma):
    columns, series = spectra()
    file = write(tmp_path / "geis.mpt", columns, comma=comma)
    found = read_series(file)
    assert [sweep.potential_v for sweep in found] == pytest.approx([3.6, 3.7, 3.8])
    for sweep, impedance in zip(found, series, strict=True):
        assert sweep.frequency_hz == pytest.approx(FREQUENCY)
        assert sweep.impedance_ohm == pytest.approx(impedance)
    _, second = read_impedance(file, ImpedanceOptions(sweep=2))
    assert second == pytest.approx(series[1])


def test_rows_of_the_rest_and_rows_that_are_no_numbers_are_no_impedance(tmp_path):
    def spoil(lines):
        lines[10] = "\t".join(["NaN", *lines[10].split("\t")[1:]])
        lines.insert(6, "\t".join(["0"] * 5))

    columns, series = spectra(1)
    frequency, found = read_impedance(write(tmp_path / "peis.mpt", columns, change=spoil))
    assert frequency == pytest.approx(np.delete(FREQUENCY, 4))
    assert found == pytest.approx(np.delete(series[0], 4))


def test_a_file_of_cycling_is_no_impedance(tmp_path):
    with pytest.raises(
        MeasurementError, match=r"cell\.mpt: has no column 'freq/Hz': give a file of"
    ):
        read_impedance(write(tmp_path / "cell.mpt", cell()))
