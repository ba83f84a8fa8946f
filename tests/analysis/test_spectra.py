"""Files of spectra and depth profiles: what is read, what is asked for, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.readers.spectra import (
    Curve,
    read_curve,
    read_photoelectrons,
    read_profile,
)

DATA = Path(__file__).parents[3] / "shared/data/experimental/xps"
measured = pytest.mark.skipif(not DATA.is_dir(), reason=f"no measured spectra in {DATA}")
BINDING = np.arange(526.0, 537.0, 0.5)
COUNTS = 100 + np.round(1000 * np.exp(-((BINDING - 530) ** 2)))


def write(path, *columns, header=""):
    np.savetxt(path, np.column_stack(columns), header=header, fmt="%g")
    return path


def vamas(*blocks, mode="NORM", scan="REGULAR", technique="XPS"):
    """Return a VAMAS file with one spectrum of kinetic energies in each block."""
    lines = ["VAMAS Surface Chemical Analysis Standard Data Transfer Format 1988 May 4"]
    lines += ["a laboratory", "a spectrometer", "somebody", "an experiment", "1", "a comment"]
    lines += [mode, scan] + ["1"] * (mode == "NORM") + ["0", "0", "0", "0", "0", str(len(blocks))]
    for label, kinetic, counts in blocks:
        lines += [label, "a sample", *["0"] * 7, "0", technique]
        lines += ["Al", "1486.6", *["1e+37"] * 5, "FAT", "20", *["1e+37"] * 7, "O", "1s", "-1"]
        columns = ["Intensity", "d"]
        if scan == "REGULAR":
            lines += ["Kinetic Energy", "eV", str(kinetic[0]), str(kinetic[1] - kinetic[0])]
            values = counts
        else:
            columns = ["Kinetic Energy", "eV", *columns]
            values = np.column_stack([kinetic, counts]).ravel()
        lines += [str(len(columns) // 2), *columns, "pulse counting", "0.1", "5", *["1e+37"] * 4]
        lines += ["1", "a number", "d", "7", str(len(values)), *["0", "1"] * (len(columns) // 2)]
        lines += [f"{value:g}" for value in values]
    return "\n".join([*lines, "end of experiment"])


@pytest.mark.parametrize("turned", [False, True])
def test_binding_energies_rise_whichever_way_they_were_measured(tmp_path, turned):
    order = slice(None, None, -1 if turned else 1)
    path = write(tmp_path / "o1s.txt", BINDING[order], COUNTS[order], header="B.E. (eV) counts")
    curve = read_photoelectrons(path)
    assert curve.x == pytest.approx(BINDING)
    assert curve.y == pytest.approx(COUNTS)


@pytest.mark.parametrize("heading", ["Kinetic Energy, cps", "E_kin intensity", "KE/eV counts"])
def test_kinetic_energies_become_binding_energies(tmp_path, heading):
    path = write(tmp_path / "o1s.txt", 1486.6 - 4.0 - BINDING[::-1], COUNTS[::-1], header=heading)
    with pytest.raises(MeasurementError, match=r"o1s\.txt: .*give photon_energy_ev"):
        read_photoelectrons(path)
    curve = read_photoelectrons(path, photon_energy_ev=1486.6, work_function_ev=4.0)
    assert curve.x == pytest.approx(BINDING)
    assert curve.y == pytest.approx(COUNTS)
    with pytest.raises(MeasurementError, match=r"photons of 500 eV free no electron"):
        read_photoelectrons(path, photon_energy_ev=500)


def test_a_text_without_heading_is_asked_for_its_energies(tmp_path):
    path = write(tmp_path / "o1s.txt", BINDING, COUNTS)
    with pytest.raises(
        MeasurementError,
        match=r"o1s\.txt: .*binding or kinetic: give energy \(binding or kinetic\)",
    ):
        read_photoelectrons(path)
    assert read_photoelectrons(path, energy="binding").x == pytest.approx(BINDING)


@pytest.mark.parametrize("scan", ["REGULAR", "IRREGULAR"])
def test_vamas_blocks_are_chosen_by_label_or_number(tmp_path, scan):
    path = tmp_path / "two.vms"
    kinetic = 1486.6 - BINDING[::-1]
    path.write_text(
        vamas(("C 1s", kinetic + 245, COUNTS), ("O 1s", kinetic, COUNTS[::-1]), scan=scan)
    )
    with pytest.raises(MeasurementError, match=r"which block.* 1 'C 1s', 2 'O 1s'"):
        read_photoelectrons(path)
    for block in ("O 1s", 2):
        curve = read_photoelectrons(path, block=block)
        assert curve.x == pytest.approx(BINDING)
        assert curve.y == pytest.approx(COUNTS)
    with pytest.raises(MeasurementError, match="no one block is 3"):
        read_photoelectrons(path, block=3)


@measured
def test_a_measured_vamas_file_is_read_as_its_own_fit_says():
    """CasaXPS wrote its components beside the spectrum: the first at 709.03 eV binding energy."""
    curve = read_photoelectrons(DATA / "FeO_analyzed.vms")
    assert len(curve.x) == 1121  # 3363 ordinates of three variables
    assert (curve.x[0], curve.x[-1]) == pytest.approx((694.0, 750.0), abs=1e-6)
    assert (curve.y[0], curve.y[-1]) == pytest.approx((2884.3, 12516.9))
    assert 708 < curve.x[np.argmax(curve.y)] < 711


ONE = ("O 1s", 1486.6 - BINDING[::-1], COUNTS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (vamas(ONE, mode="MAP"), "mode MAP and scan REGULAR holds no single spectra"),
        (vamas(ONE, technique="SIMS"), "block 'O 1s' is SIMS, not XPS"),
        (vamas(ONE)[:300], "ends too early: export it again"),
        (vamas(ONE)[:-40], "ends too early: export it again"),
        (vamas(ONE).replace("\nXPS\n", "\nXPS\nstray\n"), "not as VAMAS files are.*as text"),
        (vamas(ONE).replace("Kinetic Energy\neV", "Time\ns"), "abscissa is Time in 's'"),
        (vamas(), "holds no block"),
    ],
)
def test_a_vamas_file_that_cannot_be_used_is_told_in_one_line(tmp_path, text, message):
    path = tmp_path / "a.vms"
    path.write_text(text)
    with pytest.raises(MeasurementError, match=rf"a\.vms: .*{message}") as error:
        read_photoelectrons(path)
    assert "\n" not in str(error.value)


ROWS = "".join(f"{i} {i % 7}\n" for i in range(30))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("shift counts\n", "no table"),
        ("1 2\n2 3\n3 4\n", "3 points are no curve: the file is cut short"),
        (ROWS + "30 nan\n", "row 31 .* not finite: delete the row"),
        (ROWS + ROWS, "turns back at 29: sort the rows"),
        (ROWS + "30\n", "line 31 has 1 columns"),
        (ROWS.replace("\n", " 5\n"), "3 columns: give the number of the intensities' as column"),
    ],
)
def test_a_text_that_cannot_be_used_is_told_in_one_line(tmp_path, text, message):
    path = tmp_path / "a.txt"
    path.write_text(text)
    with pytest.raises(MeasurementError, match=rf"a\.txt: .*{message}") as error:
        read_curve(path)
    assert "\n" not in str(error.value)


def test_a_column_is_chosen(tmp_path):
    path = write(tmp_path / "a.txt", BINDING, COUNTS, 2 * COUNTS)
    assert read_curve(path, column=3).y == pytest.approx(2 * COUNTS)


@pytest.mark.parametrize(
    ("x", "window", "message"),
    [
        (
            np.arange(100.0),
            (90, 120),
            "measured from 0 to 99, not all of 90 to 120: give window_ev",
        ),
        (np.arange(100.0), (20, 10), "window_ev from 20 to 10 is empty"),
        (np.arange(100.0), (20, 22), "3 points from 20 to 22: give a wider window_ev"),
        (np.r_[0:40.0, 60:99.0], (10, 90), "nothing was measured from 39 to 60"),
    ],
)
def test_a_window_that_was_not_measured_is_told(x, window, message):
    with pytest.raises(MeasurementError, match=message):
        Curve("a.txt", x, x).inside(window, "window_ev")


@pytest.mark.parametrize(
    ("heading", "axis", "factor"),
    [
        ("Sputter time (s)\tMnF3-\tO-", "time_s", 1.0),
        ("Time (min)\tMnF3-\tO-", "time_s", 60.0),
        ("Depth [nm];MnF3-;O-", "depth_nm", 1.0),
        ("# depth/Å, MnF3-, O-", "depth_nm", 0.1),
        ("cycle MnF3- O-", None, 1.0),
        ("Depth MnF3- O-", None, 1.0),
    ],
)
def test_a_profile_says_what_its_axis_is_or_leaves_it_open(tmp_path, heading, axis, factor):
    path = tmp_path / "profile.txt"
    rows = [f"{i}\t{100 - i}\t{500 + i}" for i in range(20)]
    path.write_text("\n".join(["some line of the instrument", heading, *rows]), encoding="utf-8")
    profile = read_profile(path)
    assert profile.axis == axis
    assert profile.labels == ("MnF3-", "O-")
    assert profile.x == pytest.approx(factor * np.arange(20.0))
    assert profile.intensities[3] == pytest.approx([97, 503])


@pytest.mark.parametrize(
    ("heading", "message"),
    [
        ("", "no heading names the 3 columns"),
        ("time (s)\tO-\tO-", "two columns have the same name"),
    ],
)
def test_a_profile_without_names_is_refused(tmp_path, heading, message):
    path = tmp_path / "profile.txt"
    path.write_text("\n".join([heading, *(f"{i}\t{i}\t{i}" for i in range(20))]))
    with pytest.raises(MeasurementError, match=rf"profile\.txt: {message}"):
        read_profile(path)
