"""From a screen to predictions to measured evidence: by a flow, by the commands, and in the report."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil

import numpy as np
import pytest
import yaml
from jobflow import run_locally
from pymatgen.core import Structure

from rocksalt.analysis.powder import layered_lattice
from rocksalt.screening.errors import RocksaltError
from rocksalt.screening.lithium import doped, layered_cell
from rocksalt.stores.query import load_campaign_keys
from rocksalt.workflows.evidence_jobs import EvidenceDoc, file_flow
from rocksalt.workflows.makers import ScreenAndAnalyzeMaker
from rocksalt.workflows.predictions import (
    cells_of,
    first_candidates,
    save_predictions,
    stored_predictions,
)
from rocksalt.workflows.stored import stored_campaign, stored_results


def write_powder(path, seed=0):
    angle = np.arange(15.0, 70.0, 0.02)
    expected = np.full(len(angle), 150.0)
    for centre in (18.7, 44.7, 65.4):
        expected += 900 * np.exp(-(((angle - centre) / 0.08) ** 2) / 2)
    counts = np.random.default_rng(seed).poisson(expected)
    np.savetxt(path, np.column_stack([angle, counts]), fmt="%.2f %d")


POWDER = {
    "technique": "xrd",
    "file": "p.xy",
    "wavelength": "CuKa",
    "windows": {"003": [18.1, 19.3], "104": [44.1, 45.3], "110": [64.8, 66.0]},
}


@pytest.fixture
def experiment(tmp_path):
    """Return a function that writes an experiment file with a powder pattern."""

    def write(*more, dopant="Ti"):
        write_powder(tmp_path / "p.xy")
        sample = {"name": "film", **({"dopant": dopant} if dopant else {})}
        path = tmp_path / "experiment.yaml"
        path.write_text(yaml.safe_dump({"sample": sample, "measurements": [POWDER, *more]}))
        return path

    return write


@pytest.fixture
def finished(finished_file, tmp_path):
    """Return the store of a finished small campaign, to write to."""
    return shutil.copy(finished_file, tmp_path / "results.sqlite")


# --------------------------------------------------------------------------- cells and predictions


def series_member(structure, dopant=None, **changes):
    symbols = [site.specie.symbol for site in structure]
    fields = {
        "role": "series",
        "state": "done",
        "junk": None,
        "engine": "mock",
        "details": {"host": "Mn", "dopant": dopant, "n": 0},
        "structure": structure.as_dict(),
        "magmoms_mu_b": [{"Mn": -3.0, "Ti": 0.5}.get(symbol, 0.0) for symbol in symbols],
    }
    return {**fields, **changes}


def test_layered_cells_are_those_of_pristine_oxides():
    pure = layered_cell("Mn", 2)
    with_ti = doped(pure, "Ti", "Mn")
    vacancy = {"host": "Mn", "dopant": None, "cell": "Li2MnO3", "site": None, "strain_kind": "none"}
    found = cells_of(
        [
            series_member(pure),
            series_member(with_ti, "Ti"),
            series_member(pure, details={"host": "Mn", "dopant": None, "n": 1}),
            series_member(pure, state="failed"),
            series_member(pure, junk="fell apart"),
            series_member(pure, role="vacancy", details=vacancy),
            series_member(pure, role="vacancy", details={**vacancy, "site": 3}),
            series_member(pure, role="vacancy", details={**vacancy, "strain_kind": "in-plane"}),
            series_member(pure, role="vacancy", details={**vacancy, "cell": "Li1.5MnO3"}),
            series_member(Structure(pure.lattice, ["O"], [[0, 0, 0]])),
        ]
    ).layered
    assert [(cell.dopant, cell.dopant_share) for cell in found] == [
        (None, 0),
        ("Ti", 0.25),
        (None, 0),
    ]
    assert found[0].a_angstrom == pytest.approx(layered_lattice(pure).a_angstrom)
    assert found[1].moments_mu_b == pytest.approx({"Mn": 3.0, "Ti": 0.5})


def test_predictions_use_what_the_store_has_and_are_kept_by_content(finished, open_store):
    store = open_store(finished)
    campaign, derived = stored_results(store, "small")
    first = first_candidates(derived.ranking, 1)
    (found,) = stored_predictions(store, campaign, first)
    assert found.dopant == derived.ranking.candidates[0].dopant
    assert found.layered.cell == "prototype"
    quarter = found.rock_salts[0]
    key = next(
        k
        for k in load_campaign_keys(store, "small")["mock"]["mixture"]
        if (
            store.query_one({"uuid": k})["output"]["cation_fractions"].get(found.dopant)
            == pytest.approx(0.25)
        )
    )
    output = store.query_one({"uuid": key})["output"]
    # one arrangement of a quarter in four cations: the cube root of four times the volume per MO
    assert quarter.lattice_constant.value == pytest.approx(
        (8 * output["volume"] / output["nsites"]) ** (1 / 3), rel=1e-4
    )
    assert save_predictions(store, [found]) == 1
    assert save_predictions(store, stored_predictions(store, campaign, first)) == 0
    other = stored_predictions(store, campaign, first, wavelength=0.7107)
    assert save_predictions(store, other) == 1
    changed = [first[0].model_copy(update={"rank": 9})]
    assert save_predictions(store, stored_predictions(store, campaign, changed)) == 1
    # the first one was replaced, that of another wavelength was not
    kinds = {"metadata.kind": "prediction"}
    ranks = [r["output"]["rank"] for r in store.docs_store.query(kinds)]
    assert sorted(ranks) == [1, 9]


# --------------------------------------------------------------------------- the flow


# jobflow changes the working directory through a function of monty that is going away
@pytest.mark.filterwarnings("ignore:cd is deprecated:FutureWarning")
def test_one_flow_from_screen_to_evidence(experiment, campaign_of, open_store, tmp_path, cli):
    bad = {**POWDER, "windows": {"003": [30, 31]}}
    path = experiment(bad)
    campaign = campaign_of(stages=["rock-salt"])
    flow = ScreenAndAnalyzeMaker(n_predictions=1).make(campaign, path)
    address = tmp_path / "flow.sqlite"
    store = open_store(address)
    work = tmp_path / "work"
    work.mkdir()
    responses = run_locally(flow, store=store, root_dir=work, log=False)
    found = EvidenceDoc.model_validate(responses[flow.output.uuid][1].output)
    assert found.n_without_result == 1
    (prediction,) = found.predictions
    assert prediction.dopant == found.ranking.candidates[0].dopant
    evidence = {c.dopant: c.evidence for c in found.ranking.candidates}
    assert [e["technique"] for e in evidence["Ti"]] == ["xrd"]
    assert evidence["Mg"] == []
    assert store.docs_store.count({"metadata.kind": "experiment"}) == 1

    file_flow(store, campaign)
    stored = {kind: store.docs_store.count({"metadata.kind": kind}) for kind in KINDS}
    file_flow(store, campaign)
    assert stored == {kind: store.docs_store.count({"metadata.kind": kind}) for kind in KINDS}
    assert stored["calculation"] == 24
    assert stored["prediction"] == 2
    store.close()
    # and what the commands would have done is done
    ranked = json.loads(cli("results", "--store", address, "--format", "json").out)
    assert [c["dopant"] for c in ranked["candidates"]] == [
        c.dopant for c in found.ranking.candidates
    ]
    assert ranked["counts"]["missing"] == 0
    assert {c["dopant"]: len(c["evidence"]) for c in ranked["candidates"]} == {"Mg": 0, "Ti": 1}
    again = cli("analyze", path, "--store", address, "--format", "json")
    assert again.code == 2  # the pattern without a peak
    (document,) = json.loads(again.out)["documents"]
    store = open_store(address)
    assert store.docs_store.count({"metadata.kind": "experiment"}) == 1
    assert store.query_one({"uuid": document["key"]})["output"]["technique"] == "xrd"
    assert stored_campaign(store, "small").content_hash == campaign.content_hash


KINDS = ("calculation", "campaign", "ranking", "mixing", "prediction", "experiment")


def test_a_sample_that_nobody_screens_is_refused(experiment, settings_of):
    with pytest.raises(RocksaltError, match="campaign 'small' screens Mg, Ti, not Zr"):
        ScreenAndAnalyzeMaker().make(settings_of(), experiment(dopant="Zr"))


# --------------------------------------------------------------------------- the commands


def test_analyze_shows_predictions_and_writes_figures(experiment, finished, cli, tmp_path):
    path = experiment(POWDER | {"windows": {"003": [18.1, 19.3]}})
    options = ("--figures", "figures", "--figure-format", "svg")
    answer = cli("analyze", path.name, *options)
    assert answer.code == 0, answer.err
    assert "Ti in campaign small: rank " in answer.out
    words = " ".join(answer.out.split())
    assert "look for: Powder pattern of Li2Mn0.95Ti0.05O3 at 1.5418 Å" in words
    assert "measured (xrd): silent: no rule relates xrd to a prediction: texture" in words
    assert "wrote 2 figures into figures" in answer.err
    drawn = sorted(file.name for file in (tmp_path / "figures").iterdir())
    assert drawn[1] == "xrd-p.svg"
    assert re.fullmatch(r"xrd-p-[0-9a-f]{6}\.svg", drawn[0])
    assert "<svg" in (tmp_path / "figures" / "xrd-p.svg").read_text()
    first = json.loads(cli("analyze", path.name, "--format", "json").out)
    assert [p["dopant"] for p in first["predictions"]] == ["Ti"]
    assert len(first["predictions"][0]["evidence"]) == 2
    assert json.loads(cli("analyze", path.name, "--format", "json").out) == first


def test_a_sample_of_no_candidate_has_no_prediction(experiment, finished, cli):
    answer = cli("analyze", experiment(dopant=None).name, "--format", "json")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["predictions"] == []


def test_the_report_shows_predictions_and_the_figure_of_each_measurement(
    experiment, finished, cli, tmp_path
):
    cli("analyze", experiment().name)
    assert cli("report", "-o", "report.html").code == 0
    page = (tmp_path / "report.html").read_text()
    measured = page[page.index('id="measured"') :]
    assert "xrd of film, p.xy" in measured
    assert measured.count("<svg") == 1
    assert "silent: no rule relates xrd" in measured
    predictions = page[page.index('id="predictions"') : page.index('id="measured"')]
    assert predictions.count("<svg") == 2  # one for each of two candidates
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_query_finds_measurements_by_technique_dopant_and_sample(experiment, finished, cli):
    cli("analyze", experiment().name)
    rows = json.loads(cli("query", "--technique", "xrd", "--dopant", "Ti", "--format", "json").out)
    assert {row["quantity"] for row in rows} >= {"i003_to_i104", "lattice_a", "lattice_c"}
    assert {(row["sample"], row["dopant"], row["file"]) for row in rows} == {("film", "Ti", "p.xy")}
    by_sample = cli("query", "--sample", "film", "--format", "csv").out
    assert len(list(csv.DictReader(io.StringIO(by_sample)))) == len(rows)
    assert cli("query", "--technique", "xanes", "--format", "json").out.strip() == "[]"
    assert (
        cli("query", "--sample", "film", "--dopant", "Mg", "--format", "json").out.strip() == "[]"
    )
    for wrong, words in (
        (("--technique", "xrdd"), "did you mean 'xrd'?"),
        (("--sample", "film", "--role", "mixture"), "--role asks for calculations"),
        (("--technique", "xrd", "--dopant", "Xx"), "'Xx'"),
    ):
        answer = cli("query", *wrong)
        assert answer.code == 2
        assert words in answer.err
