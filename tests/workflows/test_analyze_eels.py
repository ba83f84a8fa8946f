"""A line scan of energy-loss spectra through the command line, and the figures of its kinds."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import numpy as np
import pytest
import yaml
from scipy.special import erfc

from rocksalt.analysis.eels import double_step
from rocksalt.analysis.sample import Sample
from rocksalt.analysis.techniques import get_technique
from rocksalt.workflows.figure_style import styled
from rocksalt.workflows.measured_figures import eels as figures
from rocksalt.workflows.quantity_text import quantity_text

ENERGY = np.arange(460.0, 690.0, 0.4)
PIXEL_NM = 0.3
EELS = get_technique("eels")


def line(at, width=1.1):
    return np.exp(-(((ENERGY - at) / width) ** 2) / 2) / width / np.sqrt(2 * np.pi)


def counts(depth_px, level=3000.0):
    """Return counts where a layer of ten pixels, with L3/L2 = 3.2, lies on a bulk of 2.2."""
    depth_px = np.asarray(depth_px)[..., None]
    share = 0.5 * erfc((depth_px - 10) / 2)
    white = (2.2 + share) * line(641) + line(651.8) + 0.2 * double_step(ENERGY, 641, 651.8, 1.0)
    oxygen = (0.5 - 0.4 * share) * line(529.2) + 0.15 * np.exp(-(((ENERGY - 541) / 4) ** 2))
    mean = np.clip(depth_px + 0.5, 0, 1) * ((ENERGY / 500) ** -3.0 + white + oxygen)
    return np.random.default_rng(0).poisson(level * mean)


DEPTHS = {
    "spectrum": 30.0,
    "line": np.arange(60.0) - 8,
    "map": 21 - np.hypot(*(np.indices((50, 50)) - 24.5)),
}


@pytest.fixture
def scan(tmp_path):
    """Write a file of each kind and return a function that writes an experiment file."""
    for name, depth in DEPTHS.items():
        np.savez(
            tmp_path / f"{name}.npz", energy_ev=ENERGY, counts=counts(depth), pixel_nm=PIXEL_NM
        )

    def write(**options):
        measurement = {"technique": "eels", "file": "line.npz", **options}
        settings = {"sample": {"name": "cycled"}, "measurements": [measurement]}
        (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(settings))
        return "experiment.yaml"

    return write


def test_a_line_scan_becomes_a_document(cli, scan, open_store, tmp_path):
    answer = cli("analyze", scan(), "--format", "json")
    assert answer.code == 0, answer.err
    (document,) = json.loads(answer.out)["documents"]
    layer = document["values"]["layer_thickness"]
    assert layer["value"] == pytest.approx(10 * PIXEL_NM, abs=2 * layer["uncertainty"])
    assert layer["unit"] == "nm"
    assert document["parameters"]["element"] == "Mn"
    assert cli("analyze", scan(), "--format", "json").out == answer.out
    store = open_store(tmp_path / "results.sqlite")
    whole = store.query_one({"metadata.kind": "experiment"}, load=True)
    assert len(whole["output"]["arrays"]["profile_l3_l2_ratio"]) == 60


BAD = {
    "wrong element": ({"element": "Mm"}, ["line.npz: eels: element", "options: "]),
    "scale off": ({"shift_ev": -20}, ["line.npz", "do not fall", "shift_ev"]),
    "background in the edge": ({"background_ev": [600, 645]}, ["line.npz", "before the edge"]),
    "no file of energies": ({"file": "bare.npy"}, ["bare.npy", "give energies"]),
    "nothing in the file": ({"file": "empty.msa"}, ["empty.msa", "empty"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line(cli, scan, tmp_path, case):
    options, fragments = BAD[case]
    np.save(tmp_path / "bare.npy", np.ones((3, 60)))
    (tmp_path / "empty.msa").write_text("")
    answer = cli("analyze", scan(**options))
    assert answer.code == 2
    (told,) = [each for each in answer.err.splitlines() if fragments[0].split(":")[0] in each]
    assert all(fragment in told for fragment in fragments), told
    assert "Traceback" not in answer.err


@pytest.mark.parametrize(("kind", "panels"), [("spectrum", 2), ("line", 4), ("map", 6)])
def test_figure_of_each_kind(scan, tmp_path, kind, panels):
    found = EELS.analyse(tmp_path / f"{kind}.npz", Sample(name="x"), EELS.Options())
    figure = styled(figures.draw)(found.values, found.arrays, found.parameters)
    figure.savefig(io.BytesIO())
    assert len(figure.axes) == panels  # of the map: its colour bar too
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[0] == f"Mn L$_3$/L$_2$ = {quantity_text(found.values['l3_l2_ratio'])}"
    assert titles[1].startswith("O K pre-peak / main = ")
    thickness = any(title.startswith("Layer ") and title.endswith(" nm") for title in titles)
    assert thickness == (kind != "spectrum")
    words = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert ("2 nm" in words) == (kind == "map")  # of 15 nm about a quarter, as a round number
    labels = [axes.get_ylabel() for axes in figure.axes]
    assert ("Mn L$_3$/L$_2$" in labels) == (kind == "map")


def test_the_reader_with_another_licence_is_not_imported():
    code = (
        "import sys; from rocksalt.analysis.techniques import get_technique; get_technique('eels'); "
        "print(sorted({'rsciio', 'h5py'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
