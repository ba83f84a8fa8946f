"""XPS, Raman and depth profiles from an experiment file to the store and to figures."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml
from lmfit.lineshapes import pvoigt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from scipy.special import erfc

from rocksalt.workflows.experiment import analyse, load_experiment, task_of
from rocksalt.workflows.measured_figures import draw_measurement

ENERGY = np.arange(525.0, 538.01, 0.05)
SHIFT = np.arange(250.0, 1100.0, 2.0)
TIME = np.arange(0.0, 600.0, 6.0)


@pytest.fixture
def experiment(tmp_path):
    """Write one file of each technique, and the experiment file; return its path."""
    rng = np.random.default_rng(0)
    lines = [(10_000, 530), (1500, 530.9), (4000, 531.5), (1000, 533)]
    line = 400 + sum(pvoigt(ENERGY, area, at, 0.65, 0.3) for area, at in lines)
    files = {"o1s.txt": np.column_stack([ENERGY, rng.poisson(line)])}
    sizes = [(8000, 490, 25), (15_000, 595, 20), (5000, 625, 20), (1500, 850, 12)]
    light = 300 + sum(pvoigt(SHIFT, area, at, s, 1.0) for area, at, s in sizes)
    files["raman.txt"] = np.column_stack([SHIFT, light + rng.normal(0, 4, len(SHIFT))])
    falls = erfc((TIME - 200) / 30)
    counts = [rng.poisson(450 * falls), rng.poisson(800 - 390 * falls)]
    files["sims.txt"] = np.column_stack([TIME, *counts])
    headings = {"o1s.txt": "binding energy, counts", "sims.txt": "time (s), MnF3-, NiO-"}
    for name, table in files.items():
        np.savetxt(tmp_path / name, table, delimiter=",", header=headings.get(name, ""))
    measurements = [
        {
            "technique": "xps",
            "file": "o1s.txt",
            "background": "linear",
            "components": {
                name: {"position": at, "width": [0.8, 2.0]}
                for name, (_, at) in zip(("lattice", "peroxo", "ads", "dep"), lines, strict=True)
            },
        },
        {"technique": "raman", "file": "raman.txt"},
        {
            "technique": "tof-sims",
            "file": "sims.txt",
            "markers": ["MnF3-"],
            "sputter_rate_nm_per_s": 0.1,
        },
    ]
    path = tmp_path / "experiment.yaml"
    path.write_text(yaml.safe_dump({"sample": {"name": "s"}, "measurements": measurements}))
    return path


def test_what_is_stored_holds_quantities_and_versions(cli, experiment):
    answer = cli("analyze", experiment.name, "--format", "json")
    assert answer.code == 0, answer.err
    assert json.loads(cli("analyze", experiment.name, "--format", "json").out) == json.loads(
        answer.out
    )
    xps, raman, sims = json.loads(answer.out)["documents"]
    assert xps["values"]["lattice_share"]["value"] == pytest.approx(10 / 16.5, abs=0.02)
    assert raman["values"]["spinel_fraction"]["value"] == pytest.approx(0.25, abs=0.08)
    assert sims["values"]["MnF3-_layer_thickness"]["value"] == pytest.approx(20, abs=0.2)
    assert xps["versions"]["lmfit"]


def test_a_wrong_component_is_told_by_its_key(cli, experiment):
    settings = yaml.safe_load(experiment.read_text())
    settings["measurements"][0]["components"]["lattice"]["colour"] = 1
    experiment.write_text(yaml.safe_dump(settings))
    answer = cli("analyze", experiment.name)
    assert answer.code == 2
    assert "o1s.txt: xps: components.lattice.colour: unknown key" in answer.err


def drawn(experiment):
    """Return document, curves and drawn figure of each measurement."""
    file = load_experiment(experiment)
    found = []
    for measurement in file.measurements:
        document, analysis = analyse(task_of(measurement, file.sample, experiment.parent))
        curves = {name: array.tolist() for name, array in analysis.arrays.items()}
        figure = draw_measurement(document, curves)
        FigureCanvasAgg(figure).draw()
        found.append((document, analysis.arrays, figure))
    return found


def test_figures_show_what_was_measured_and_found(experiment):
    (xps, x_arrays, line), (_, r_arrays, bands), (sims, s_arrays, profile) = drawn(experiment)
    for arrays, figure, order in ((x_arrays, line, 4), (r_arrays, bands, 5)):
        spectrum, residual = figure.axes
        curves = {each.get_label(): np.array(each.get_ydata()) for each in spectrum.lines}
        assert curves["measured"] == pytest.approx(arrays["intensity"])
        assert curves["sum"] == pytest.approx(arrays["envelope"])
        assert curves["background"] == pytest.approx(arrays["background"])
        assert len(spectrum.collections) == order  # one filled area for each component
        points = next(each for each in residual.lines if each.get_linestyle() == "None")
        left = (arrays["intensity"] - arrays["envelope"]) / arrays["noise"]
        assert np.array(points.get_ydata()) == pytest.approx(left)
    share = xps.values["peroxo_share"].value
    texts = [text.get_text() for text in line.axes[0].get_legend().get_texts()]
    assert any(text.startswith(f"peroxo: {share:.3f}"[:12]) for text in texts)
    assert line.axes[0].xaxis_inverted()
    assert any("li2o2: absent" in text.get_text() for text in bands.axes[0].texts)
    (axes,) = profile.axes
    assert axes.get_yscale() == "log"
    layer = sims.values["MnF3-_layer_thickness"]
    marked = [each for each in axes.lines if str(each.get_label()).startswith("MnF3-: ")]
    assert marked[0].get_xdata()[0] == pytest.approx(layer.value)
    (band,) = axes.patches
    width = band.get_extents().transformed(axes.transData.inverted()).width
    assert width == pytest.approx(4 * layer.uncertainty, rel=1e-6)
    assert s_arrays["intensities"].shape == (2, len(TIME))
