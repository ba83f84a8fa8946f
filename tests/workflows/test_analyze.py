"""Measured files through the command line: what is stored, what is told, what is refused."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
import yaml

from rocksalt.analysis.quantities import Analysis, Quantity
from rocksalt.workflows.experiment import load_experiment, task_of

CURRENT_A = 1e-3
HOURS = {"charge": [1.0, 0.95, 0.94], "discharge": [0.9, 0.9, 0.9]}
MASS_MG = 10.0


@pytest.fixture
def cycled(tmp_path):
    """Write a cell of 10 mg: 1 mA up and down between 2 and 4.6 V for known hours."""
    rows = [("Test Time / s", "Voltage / V", "Current / A", "Cycle Count / 1")]
    time_s = 0.0
    for cycle, hours in enumerate(zip(HOURS["charge"], HOURS["discharge"], strict=True), start=1):
        for sign, length in zip((1, -1), hours, strict=True):
            for share in np.linspace(0, 1, 101):
                volt = 2.0 + 2.6 * (share if sign > 0 else 1 - share)
                rows.append((time_s + share * length * 3600, volt, sign * CURRENT_A, cycle))
            time_s += length * 3600 + 1.0
            rows.append((time_s, 3.3, 0.0, cycle))
            time_s += 600.0
    with (tmp_path / "cell.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return tmp_path


@pytest.fixture
def experiment(cycled):
    """Return a function that writes an experiment file, with changes."""

    def write(*measurements, **sample):
        given = measurements or ({"technique": "cycling", "file": "cell.csv", **CONVENTION},)
        settings = {
            "sample": {"name": "cell 1", "active_mass_mg": MASS_MG, **sample},
            "measurements": list(given),
        }
        path = cycled / "experiment.yaml"
        path.write_text(yaml.safe_dump(settings))
        return path

    return write


CONVENTION = {"positive_current": "charge"}


def test_quantities_of_a_known_cell(cli, experiment):
    answer = cli("analyze", experiment().name, "--format", "json")
    assert answer.code == 0
    found = json.loads(answer.out)
    assert found["sample"]["name"] == "cell 1"
    assert found["failed"] == []
    (document,) = found["documents"]
    assert document["technique"] == "cycling"
    values = document["values"]
    # 1 mA for 1 h through 10 mg
    assert values["first_charge_capacity"]["value"] == pytest.approx(100.0, rel=1e-3)
    assert values["first_charge_capacity"]["unit"] == "mAh/g"
    assert values["initial_coulombic_efficiency"]["value"] == pytest.approx(0.9, rel=1e-3)
    assert len(document["file_sha256"]) == 64
    assert document["versions"]["rocksalt"]


def test_a_default_is_not_taken_for_what_was_asked(cli, experiment, cycled):
    """No charge crosses the plateau's default voltage: that is a remark, and asked for an error."""
    rows = (cycled / "cell.csv").read_text().splitlines()
    low = [
        ",".join([t, str(min(float(v), 4.2)), i, c])
        for t, v, i, c in (row.split(",") for row in rows[1:])
    ]
    (cycled / "cell.csv").write_text("\n".join([rows[0], *low]))
    assert cli("analyze", experiment().name).code == 0
    asked = {"technique": "cycling", "file": "cell.csv", **CONVENTION, "activation_voltage_v": 4.47}
    answer = cli("analyze", experiment(asked).name)
    assert answer.code == 2
    assert "4.47" in answer.err


def test_again_changes_nothing(cli, experiment, open_store):
    path = experiment()
    first = json.loads(cli("analyze", path.name, "--format", "json").out)
    again = json.loads(cli("analyze", path.name, "--format", "json").out)
    assert again == first
    store = open_store(path.parent / "results.sqlite")
    assert store.docs_store.count({"metadata.kind": "experiment"}) == 1
    assert store.additional_stores["data"].count({}) == 1


def test_curves_are_in_the_additional_store(cli, experiment, open_store):
    path = experiment()
    cli("analyze", path.name)
    store = open_store(path.parent / "results.sqlite")
    bare = store.query_one({"metadata.kind": "experiment"})
    assert "blob_uuid" in bare["output"]["arrays"]
    whole = store.query_one({"metadata.kind": "experiment"}, load=True)
    capacity = whole["output"]["arrays"]["charge_capacity_mah_per_g"]
    assert capacity == pytest.approx([100.0, 95.0, 94.0], rel=1e-3)


def test_identity_is_the_content_not_the_place(cli, experiment, open_store):
    path = experiment()
    cli("analyze", path.name)
    (path.parent / "cell.csv").rename(path.parent / "moved.csv")
    experiment({"technique": "cycling", "file": "moved.csv", **CONVENTION})
    assert cli("analyze", path.name).code == 0
    store = open_store(path.parent / "results.sqlite")
    assert store.docs_store.count({"metadata.kind": "experiment"}) == 1
    experiment(active_mass_mg=20.0)
    (path.parent / "moved.csv").rename(path.parent / "cell.csv")
    cli("analyze", path.name)
    assert store.docs_store.count({"metadata.kind": "experiment"}) == 2


def test_table_and_csv_have_units(cli, experiment, terminal):
    terminal()
    path = experiment()
    table = cli("analyze", path.name)
    assert "initial coulombic" in table.out
    assert "mAh/g" in table.out
    assert max(map(len, table.out.splitlines())) <= 80
    rows = list(csv.DictReader(io.StringIO(cli("analyze", path.name, "--format", "csv").out)))
    first = next(r for r in rows if r["quantity"] == "first_discharge_capacity")
    assert float(first["value"]) == pytest.approx(90.0, rel=1e-3)
    assert first["unit"] == "mAh/g"


def test_one_that_fails_does_not_stop_the_others(cli, experiment, cycled):
    (cycled / "empty.csv").write_text("")
    good = {"technique": "cycling", "file": "cell.csv", **CONVENTION}
    bad = {"technique": "cycling", "file": "empty.csv", **CONVENTION}
    answer = cli("analyze", experiment(bad, good).name, "--format", "json")
    assert answer.code == 2
    found = json.loads(answer.out)
    assert [d["file"] for d in found["documents"]] == ["cell.csv"]
    assert [f["file"] for f in found["failed"]] == ["empty.csv"]
    assert "empty.csv" in answer.err
    assert "failed: " in answer.err


NO_NUMBERS = {
    "particle_radius_nm: yes": ("gitt", "true or false (yes or no)"),
    "skip_s: .inf": ("gitt", "not a finite number"),
    "wavelength: yes": ("xrd", "true or false (yes or no)"),
    "radius_mm: true": ("xrd", "true or false (yes or no)"),
    "displacement_mm: .nan": ("xrd", "not a finite number"),
    "windows: {'003': [yes, 19]}": ("xrd", "true or false (yes or no) at 003.0"),
    "fit_zero: .nan": ("xrd", "not a finite number"),
}


@pytest.mark.parametrize("option", NO_NUMBERS)
def test_options_that_are_no_numbers_are_told_and_the_others_are_done(cli, experiment, option):
    technique, words = NO_NUMBERS[option]
    good = {"technique": "cycling", "file": "cell.csv", **CONVENTION}
    bad = {"technique": technique, "file": "cell.csv", **yaml.safe_load(option)}
    answer = cli("analyze", experiment(bad, good).name, "--format", "json")
    assert answer.code == 2
    found = json.loads(answer.out)
    assert [document["technique"] for document in found["documents"]] == ["cycling"]
    (failed,) = [line for line in answer.err.splitlines() if line.startswith("failed: ")]
    assert f"cell.csv: {technique}: {option.partition(':')[0]}: {words}" in failed


def test_truth_values_may_be_given_where_one_is_meant(tmp_path):
    (tmp_path / "cell.csv").write_text("1")
    (tmp_path / "e.yaml").write_text(
        "sample: {name: a}\nmeasurements: [{technique: xrd, file: cell.csv, fit_zero: yes}]\n"
    )
    given = load_experiment(tmp_path / "e.yaml")
    task = task_of(given.measurements[0], given.sample, tmp_path)
    assert task.identity == {"fit_zero": True}


def test_an_analysis_that_stumbles_does_not_stop_the_others(cli, experiment, monkeypatch):
    """Whatever it is: an error that nobody thought of, as of a quantity beyond all numbers."""

    def analyse(file, sample, options):
        return Analysis(values={"a": Quantity(float("inf"), None, "1")})

    monkeypatch.setattr("rocksalt.analysis.techniques.gitt.analyse", analyse)
    good = {"technique": "cycling", "file": "cell.csv", **CONVENTION}
    bad = {"technique": "gitt", "file": "cell.csv"}
    answer = cli("analyze", experiment(bad, good).name, "--format", "json")
    assert answer.code == 2
    found = json.loads(answer.out)
    assert [document["technique"] for document in found["documents"]] == ["cycling"]
    (failed,) = [line for line in answer.err.splitlines() if line.startswith("failed: ")]
    assert "cell.csv: gitt: unexpected ValueError: a value of inf" in failed


BAD = {
    "no sample": ("measurements: []\n", ["sample: is missing"]),
    "no measurements": ("sample: {name: a}\nmeasurements: []\n", ["measurements"]),
    "not YAML": ("sample: [\n", ["no YAML"]),
    "a list": ("- 1\n", ["give 'sample' and 'measurements'"]),
    "unknown key": (
        "sample: {name: a, colour: red}\nmeasurements: [{technique: cycling, file: x}]\n",
        ["sample.colour: unknown key"],
    ),
    "no element": (
        "sample: {name: a, dopant: Qq}\nmeasurements: [{technique: cycling, file: x}]\n",
        ["sample.dopant", "'Qq'"],
    ),
    "negative mass": (
        "sample: {name: a, active_mass_mg: -1}\nmeasurements: [{technique: cycling, file: x}]\n",
        ["sample.active_mass_mg", "greater than 0"],
    ),
    "a truth value for a mass": (
        "sample: {name: a, active_mass_mg: yes}\nmeasurements: [{technique: cycling, file: x}]\n",
        ["bad.yaml: sample.active_mass_mg: true or false (yes or no)"],
    ),
    "an infinite mass": (
        "sample: {name: a, active_mass_mg: .inf}\nmeasurements: [{technique: cycling, file: x}]\n",
        ["bad.yaml: sample.active_mass_mg: not a finite number"],
    ),
    "unknown technique": (
        "sample: {name: a}\nmeasurements: [{technique: cyclng, file: x}]\n",
        ["'cyclng' is not known", "did you mean 'cycling'?"],
    ),
    "unknown option": (
        "sample: {name: a}\nmeasurements: [{technique: cycling, file: x, colour: red}]\n",
        ["cycling: colour: unknown key", "options: "],
    ),
    "no such file": (
        "sample: {name: a}\nmeasurements: [{technique: cycling, file: nowhere.csv}]\n",
        ["nowhere.csv: cannot be read"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line(cli, tmp_path, case):
    text, fragments = BAD[case]
    (tmp_path / "bad.yaml").write_text(text)
    answer = cli("analyze", "bad.yaml")
    assert answer.code == 2
    (line,) = answer.err.strip().splitlines()
    assert all(fragment in line for fragment in fragments), line
    assert "Traceback" not in answer.err


def test_mass_that_is_missing_is_asked_for(cli, experiment):
    answer = cli("analyze", experiment(active_mass_mg=None).name)
    assert answer.code == 2
    assert "give sample.active_mass_mg" in answer.err


def test_a_candidate_that_nobody_screened_is_refused(cli, experiment, campaign_file):
    path = experiment(dopant="Ti")
    answer = cli("analyze", path.name)
    assert answer.code == 2
    assert "the store knows no candidate 'Ti' (it holds no campaign yet)" in answer.err
    cli("run", campaign_file().name)
    assert cli("analyze", path.name).code == 0
    experiment(dopant="Sc")
    answer = cli("analyze", path.name)
    assert answer.code == 2
    assert "(it knows Mg, Ti)" in answer.err


def write_xanes(folder, edges_ev, *, absorber_ev, sample, references, **in_sample):
    """Write made-up spectra by name, and an experiment file that fits the sample with the others."""
    energy = np.arange(absorber_ev[1] - 150.0, absorber_ev[1] + 430.0, 0.5)

    def edge(at):
        white_line = 0.2 * np.exp(-(((energy - at - 8) / 4) ** 2))
        return 0.1 + 1 / (1 + np.exp(-(energy - at) / 1.5)) + white_line

    folder.mkdir(exist_ok=True)
    noise = np.random.default_rng(0).normal(scale=1e-3, size=energy.size)
    spectra = {name: edge(at) for name, at in edges_ev.items()}
    spectra[sample] = np.mean([edge(at) for at in in_sample.pop("holds_ev")], axis=0) + noise
    for name, mu in spectra.items():
        np.savetxt(folder / f"{name}.txt", np.column_stack([energy, mu]))
    measurement = {
        "technique": "xanes",
        "file": f"{sample}.txt",
        "edge": absorber_ev[0],
        "references": {name: f"{name}.txt" for name in edges_ev},
        "valences": references,
    }
    settings = {"sample": {"name": sample, **in_sample}, "measurements": [measurement]}
    (folder / "experiment.yaml").write_text(yaml.safe_dump(settings))


def test_files_in_options_lie_beside_the_experiment_file(cli, tmp_path):
    """Half and half of two steps, with references named in the options."""
    write_xanes(
        tmp_path / "beamtime",
        {"a": 6544, "b": 6552},
        absorber_ev=("Mn K", 6550),
        sample="mix",
        references={"a": 2.0, "b": 4.0},
        holds_ev=(6544, 6552),
    )
    answer = cli("analyze", "beamtime/experiment.yaml", "--format", "json")
    assert answer.code == 0, answer.err
    valence = json.loads(answer.out)["documents"][0]["values"]["mean_valence"]
    assert valence["value"] == pytest.approx(3.0, abs=0.05)
    assert str(tmp_path) not in answer.out


def test_evidence_stands_beside_the_prediction(cli, tmp_path, campaign_file):
    """Ti metal in the made-up spectrum, where the screen expects TiO: that is told, and no more."""
    write_xanes(
        tmp_path,
        {"metal": 4966, "oxide": 4976},
        absorber_ev=("Ti K", 4970),
        sample="film",
        references={"metal": 0.0, "oxide": 2.0},
        holds_ev=(4966,),
        dopant="Ti",
    )
    cli("run", campaign_file().name)
    before = json.loads(cli("results", "--format", "json").out)
    answer = cli("analyze", "experiment.yaml")
    assert answer.code == 0, answer.err
    after = json.loads(cli("results", "--format", "json").out)
    evidence = {c["dopant"]: c.pop("evidence") for c in after["candidates"]}
    (found,) = evidence["Ti"]
    assert evidence["Mg"] == []
    assert found["relation"] == "contradicts"
    assert "metal; the screen expects oxide" in found["why"]
    for candidate in before["candidates"]:
        assert candidate.pop("evidence") == []
    assert after["candidates"] == before["candidates"]
    assert "measured (xanes, film): contradicts" in " ".join(
        cli("results", "--reasons").out.split()
    )
    query = ("query", "--technique", "xanes")
    rows = json.loads(cli(*query, "--format", "json").out)
    assert len(rows) > 3
    assert {row["key"] for row in rows} == {found["key"]}
    expected = ("contradicts", found["why"])  # as `results` says it
    assert {(row["evidence"], row["evidence_why"]) for row in rows} == {expected}
    named = cli(*query, "--campaign", "small", "--format", "csv").out
    assert {
        (row["evidence"], row["evidence_why"]) for row in csv.DictReader(io.StringIO(named))
    } == {expected}
    assert "evidence" in cli(*query).out
    answer = cli(*query, "--campaign", "smal")
    assert answer.code == 2
    assert "campaign 'smal': no ranking in this store; campaigns: small" in answer.err
    cli("report", "-o", "report.html")
    assert "Measured (xanes, film): contradicts" in (tmp_path / "report.html").read_text()


def test_evidence_of_several_campaigns_is_asked_for_by_name(cli, experiment, campaign_file):
    """No campaign, no dopant, and two campaigns: a query does not choose."""
    cli("analyze", experiment().name)
    query = ("query", "--technique", "cycling", "--format", "json")

    def relations(*more):
        return {row["evidence"] for row in json.loads(cli(*query, *more).out)}

    assert relations() == {None}
    cli("run", campaign_file().name)
    assert relations() == {None}  # the sample speaks about no candidate
    cli("analyze", experiment(dopant="Ti").name)
    assert relations() == {None, "silent"}
    cli("run", campaign_file(name="other").name)
    assert relations() == {None}
    assert relations("--campaign", "other") == {None, "silent"}
