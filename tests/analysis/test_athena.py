"""Athena projects, in the text that Athena and Larch write."""

import gzip
import json

import numpy as np
import pytest

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.readers.xas import read_spectrum
from rocksalt.analysis.sample import Sample
from rocksalt.analysis.techniques import get_technique

ENERGY = np.arange(6389.0, 6900.0, 0.5)
SAMPLE = Sample(name="film")
SHIFT_EV = 1.5


def edge(at):
    return (
        0.1 + 1 / (1 + np.exp(-(ENERGY - at) / 1.5)) + 0.2 * np.exp(-(((ENERGY - at - 8) / 4) ** 2))
    )


FOIL = edge(6539.0)
SPECTRA = {"it's a mix": (edge(6544) + edge(6552)) / 2, "MnO": edge(6544), "MnO2": edge(6552)}


def perl(values):
    return "(" + ",".join("'" + str(v).replace("'", "\\'") + "'" for v in values) + ")"


def arguments(label, **more):
    return {
        "annotation": "",
        "bkg_z": "Mn",
        "fft_edge": "K",
        "bkg_eshift": SHIFT_EV,
        "is_xmu": "1",
        "label": label,
        **more,
    }


def project(path, spectra=SPECTRA, pack=gzip.compress, **of_first):
    """Write groups as Perl lists, with the reference channel of the first in a group of its own."""
    lines = ["# Athena project file -- Demeter version 0.9.26", "# This file created by a test", ""]
    groups = [(label, mu, arguments(label)) for label, mu in spectra.items()]
    groups[0][2].update({"referencegroup": "foil", **of_first})
    groups.append(("foil", FOIL, arguments("Mn foil")))
    for number, (_, mu, args) in enumerate(groups):
        name = "foil" if number == len(groups) - 1 else f"group{number}"
        pairs = [item for pair in args.items() for item in pair]
        lines += [f"$old_group = '{name}';", f"@args = {perl(pairs)};"]
        lines += [
            f"@x = {perl(ENERGY - SHIFT_EV)};",
            f"@y = {perl(mu)};",
            "[record]   # comment",
            "",
        ]
    lines += ["@journal = ('a (note);','with lines');", "1;", ""]
    path.write_bytes(pack("\n".join(lines).encode()))
    return path


def test_a_group_is_chosen_by_its_label_with_its_shift_and_foil(tmp_path):
    path = project(tmp_path / "beamtime.prj")
    spectrum = read_spectrum(path, group="it's a mix")
    assert spectrum.energy_ev == pytest.approx(ENERGY)
    assert spectrum.absorption == pytest.approx(SPECTRA["it's a mix"])
    assert spectrum.reference == pytest.approx(FOIL)
    assert spectrum.header["element.symbol"] == "Mn"
    assert read_spectrum(path, group="MnO").reference is None
    with pytest.raises(
        MeasurementError, match=r"several groups: give group.*\"it's a mix\", 'MnO', "
    ):
        read_spectrum(path)
    with pytest.raises(MeasurementError, match="0 groups labelled 'NiO': give group"):
        read_spectrum(path, group="NiO")


def test_sample_and_references_come_from_one_project(tmp_path):
    path = project(tmp_path / "beamtime.prj", pack=bytes)  # a project need not be packed
    xanes = get_technique("xanes")
    options = xanes.Options(
        group="it's a mix",
        references={"MnO": path, "MnO2": path},
        valences={"MnO": 2.0, "MnO2": 4.0},
        resamples=50,
    )
    found = xanes.analyse(path, SAMPLE, options).values
    assert found["mean_valence"].value == pytest.approx(3.0, abs=0.02)


def test_projects_in_json_are_read(tmp_path):
    group = {"args": arguments("only one"), "x": list(ENERGY - SHIFT_EV), "y": list(FOIL)}
    text = {"_____header1": "# Athena project file", "_____order": ["a"], "a": group}
    path = tmp_path / "larch.prj"
    path.write_bytes(gzip.compress(json.dumps(text).encode()))
    spectrum = read_spectrum(path)
    assert spectrum.energy_ev == pytest.approx(ENERGY)
    assert spectrum.absorption == pytest.approx(FOIL)


def test_a_group_of_chi_is_no_spectrum(tmp_path):
    path = project(tmp_path / "a.prj", {"chi": FOIL, "mu": FOIL}, is_xmu="0")
    with pytest.raises(MeasurementError, match="labelled 'chi'"):
        read_spectrum(path, group="chi")
    assert read_spectrum(path, group="mu").name.endswith("group 'mu'")


def cut(data):
    return gzip.compress(data)[:-2000]


def without_x(data):
    return gzip.compress(data.replace(b"@x", b"@z", 1))


def other_lengths(data):
    return gzip.compress(data.replace(b"@x = (", b"@x = ('6300',", 1))


BAD = {
    "cut": (cut, "cannot be unpacked"),
    "not whole": (without_x, "group 'group0' is not whole"),
    "other lengths": (other_lengths, "1023 energies and 1022 values"),
    "no project": (lambda _: gzip.compress(b"@x = ('1');"), "does not say that it is an Athena"),
    "empty": (lambda _: b"", "does not say that it is an Athena"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_damaged_project_is_refused_in_one_line(tmp_path, case):
    pack, words = BAD[case]
    path = project(tmp_path / "bad.prj", pack=pack)
    with pytest.raises(MeasurementError) as told:
        read_spectrum(path)
    line = str(told.value)
    assert words in line
    assert line.startswith(str(path))
    assert "\n" not in line
