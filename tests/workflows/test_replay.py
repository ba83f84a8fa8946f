"""Replay: a campaign reruns from a record, bit for bit, where no engine is installed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rocksalt.screening.errors import RocksaltError
from rocksalt.stores.records import load_states, save_many
from rocksalt.stores.transfer import export_records
from rocksalt.workflows.executor import compute
from rocksalt.workflows.plan import make_plan
from rocksalt.workflows.replay import VARIABLE, Record, lacking_in_words, replay, replaying
from rocksalt.workflows.run import run_campaign

pytestmark = pytest.mark.filterwarnings("ignore:cd is deprecated:FutureWarning")  # jobflow's

ROOT = Path(__file__).parents[2]
MISSING = 3


@pytest.fixture
def record(tmp_path, finished_file, open_store):
    """Return the export of a finished small campaign."""
    path = tmp_path / "small.jsonl.gz"
    export_records(open_store(finished_file, must_exist=True), path, ["small"])
    return path


@pytest.fixture
def changed(tmp_path, finished_file, open_store):
    """Return a function that exports the finished campaign after a change to its store."""

    def change(how, name="changed.jsonl"):
        copy = tmp_path / f"{name}.sqlite"
        shutil.copy(finished_file, copy)
        store = open_store(copy)
        how(store)
        export_records(store, tmp_path / name, ["small"])
        return tmp_path / name

    return change


@pytest.fixture
def short(changed, campaign_of):
    """Return a record that lacks some calculations, and these."""
    lost = list(make_plan(campaign_of()).calculations.values())[-MISSING:]
    keys = [calculation.key for calculation in lost]
    return changed(lambda store: store.docs_store.remove_docs({"uuid": {"$in": keys}})), lost


def records_of(store):
    found = store.docs_store.query({"metadata.kind": "calculation"})
    return {r["uuid"]: {k: v for k, v in r.items() if k != "_id"} for r in found}


@pytest.mark.parametrize("kind", ["file", "store"])
def test_a_replay_is_the_original_bit_for_bit(
    kind, cli, campaign_file, record, finished_file, open_store, tmp_path
):
    file = campaign_file()
    address = record if kind == "file" else finished_file
    original = cli("results", "--store", finished_file, "--format", "json").out
    answer = cli("run", file, "--calculator", f"replay:{address}", "--format", "json")
    assert answer.code == 0
    assert "24 calculations replayed, 0 reused, 0 failed, 24 in all" in answer.err
    assert cli("results", "--format", "json").out == original
    expected = records_of(open_store(finished_file, must_exist=True))
    assert records_of(open_store(tmp_path / "results.sqlite")) == expected
    again = cli("run", file, "--calculator", f"replay:{address}")
    assert (again.code, "0 calculations replayed, 24 reused" in again.err) == (0, True)


def fake_dft(task, protocol):
    """Stand for a DFT code: the mock potential, and a failure."""
    from rocksalt.screening.errors import CalculationError
    from rocksalt.workflows.calculate import to_atoms
    from rocksalt.workflows.mock import MockCalculator
    from rocksalt.workflows.relaxer import relax

    if task.structure.composition.reduced_formula == "TiO":
        raise CalculationError("SCF did not converge in 150 iterations; log gpaw.txt")
    done = relax(to_atoms(task.structure), MockCalculator(), task.relaxation)
    done.method = {"code": "gpaw", "version": "99", "cutoff_ev": 500.0, "k_mesh": [4, 4, 4]}
    return done


WITHOUT_ENGINES = """
import sys
from importlib.machinery import PathFinder

HIDDEN = {"gpaw", "torch", "chgnet", "sevenn"}
find = PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: None if name.split(".")[0] in HIDDEN else find(name, *rest)
from rocksalt.workflows.cli import main

try:
    main(sys.argv[1:])
finally:
    assert not HIDDEN & set(sys.modules)
"""


def as_if_gpaw_were_there(patched):
    from rocksalt.workflows import preflight as preflight_module
    from rocksalt.workflows import run as run_module
    from rocksalt.workflows.dft import gpaw

    patched.setattr(gpaw, "relax_dft", fake_dft)
    patched.setattr(preflight_module, "installation", lambda *_: preflight_module.Findings())
    patched.setattr(run_module, "memory", lambda *_: preflight_module.Findings())


def test_a_dft_campaign_reruns_where_its_code_is_not_installed(
    cli, campaign_file, tmp_path, monkeypatch
):
    file = campaign_file(engines=["gpaw:fast"], fractions=[])
    with monkeypatch.context() as patched:
        as_if_gpaw_were_there(patched)
        first = cli("run", file, "--store", "cluster.sqlite")
    assert first.code == 1
    assert cli("export", "dft.jsonl.gz", "small", "--store", "cluster.sqlite").code == 0
    original = cli("results", "--store", "cluster.sqlite", "--format", "json").out
    assert "SCF did not converge" in original

    def laptop(*arguments):
        return subprocess.run(
            [sys.executable, "-W", "ignore", "-c", WITHOUT_ENGINES, *map(str, arguments)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    refused = laptop("run", file, "--store", "laptop.sqlite")
    assert refused.returncode == 2
    assert "needs the package gpaw" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert not (tmp_path / "laptop.sqlite").exists()
    done = laptop("run", file, "--store", "laptop.sqlite", "--calculator", "replay:dft.jsonl.gz")
    assert done.returncode == 1, done.stderr  # as the original: failures are replayed
    assert "TiO" in done.stderr
    assert "SCF did not converge in 150 iterations" in done.stderr
    assert "not in the record" not in done.stderr
    assert laptop("results", "--store", "laptop.sqlite", "--format", "json").stdout == original


def test_a_triage_is_replayed_with_its_choice(
    cli, campaign_file, monkeypatch, open_store, tmp_path
):
    from rocksalt.workflows import run as run_module

    engines = {"triage": ["mock"], "decide": "gpaw:fast", "budget_cpu_hours": 100}
    file = campaign_file(engines=engines, fractions=[0.5])
    with monkeypatch.context() as patched:
        as_if_gpaw_were_there(patched)
        first = cli("run", file, "--store", "cluster.sqlite")
    assert cli("export", "t.jsonl", "small", "--store", "cluster.sqlite").code == 0
    original = json.loads(cli("results", "--store", "cluster.sqlite", "--format", "json").out)
    monkeypatch.setattr(run_module, "decide", no_engine)
    again = cli("run", file, "--calculator", "replay:t.jsonl")
    assert again.code == first.code
    assert "not in the record" not in again.err
    assert json.loads(cli("results", "--format", "json").out) == original
    expected = records_of(open_store(tmp_path / "cluster.sqlite", must_exist=True))
    assert any(r["output"]["engine"] == "gpaw:fast" for r in expected.values())
    assert records_of(open_store(tmp_path / "results.sqlite")) == expected


def test_what_the_record_lacks_is_listed_and_stays_to_do(
    cli, campaign_file, short, record, finished_file
):
    path, lost = short
    file = campaign_file()
    n_there = 24 - MISSING
    answer = cli("check", file, "--calculator", f"replay:{path}")
    assert answer.code == 1
    assert f"record {path} holds {n_there} of 24 to do" in answer.out
    labels = ", ".join(calculation.label for calculation in lost)
    line = f"not in the record: {MISSING} with mock: {labels}"
    assert line in answer.out.splitlines()
    answer = cli("run", file, "--calculator", f"replay:{path}")
    assert answer.code == 1
    assert line in answer.err.splitlines()
    assert f"{n_there} calculations replayed, 0 reused, 0 failed, 24 in all" in answer.err
    assert "stopped" not in answer.err
    status = cli("status").out
    assert "failed: " not in status
    assert cli("query", "--state", "failed", "--format", "csv").out.count("\n") == 1
    table = cli("check", file, "--calculator", f"replay:{record}").out
    assert f"record {record} holds {MISSING} of {MISSING} to do" in table
    assert cli("run", file, "--calculator", f"replay:{record}").code == 0
    original = cli("results", "--store", finished_file, "--format", "json").out
    assert cli("results", "--format", "json").out == original


def test_failures_are_replayed_as_failures(cli, campaign_file, campaign_of, open_store, tmp_path):
    settings = {"relaxation": {"max_evaluations": 4}}
    store = open_store("memory")
    original = run_campaign(campaign_of(**settings), store)
    assert 0 < len(original.failed) < 24
    export_records(store, tmp_path / "f.jsonl", ["small"])
    answer = cli("run", campaign_file(**settings), "--calculator", "replay:f.jsonl")
    assert answer.code == 1
    said = {line for line in answer.err.splitlines() if line.startswith("failed: ")}
    assert said == {f"failed: {what}: {why}" for what, why in original.failed}


def one_line(answer):
    assert answer.code == 2
    (line,) = answer.err.splitlines()
    return line


def test_wrong_records_are_one_line_and_start_nothing(
    cli, campaign_file, record, tmp_path, changed
):
    file = campaign_file()

    def refused(address):
        line = one_line(cli("run", file, "--calculator", f"replay:{address}"))
        assert one_line(cli("check", file, "--calculator", f"replay:{address}")) == line
        assert not (tmp_path / "results.sqlite").exists()
        return line

    assert "record nowhere.jsonl: no such file" in refused("nowhere.jsonl")
    assert "record memory: holds nothing" in refused("memory")
    assert "is not a file of 'rocksalt export'" in refused(file)
    whole = changed(lambda store: None, "whole.jsonl").read_bytes()
    (tmp_path / "cut.jsonl").write_bytes(whole[: len(whole) // 2])
    assert "cut.jsonl: is cut off" in refused("cut.jsonl")
    (tmp_path / "cut.jsonl.gz").write_bytes(record.read_bytes()[:-100])
    assert "cut.jsonl.gz: is cut off" in refused("cut.jsonl.gz")
    newer = whole.replace(b'"schema_version":1', b'"schema_version":99', 1)
    (tmp_path / "newer.jsonl").write_bytes(newer)
    assert "with schema_version 99, known here: 1" in refused("newer.jsonl")
    (tmp_path / "edited.jsonl").write_bytes(whole.replace(b'"energy_ev":-', b'"energy_ev":', 1))
    assert "is damaged: its content does not have the SHA-256" in refused("edited.jsonl")


def test_a_record_of_another_campaign_is_one_line(cli, campaign_file, record, tmp_path):
    other = campaign_file("other.yaml", name="other", seed=5, relaxation={"fmax": 0.03})
    line = one_line(cli("check", other, "--calculator", f"replay:{record}"))
    assert f"record {record}: holds none of the 24 calculations of campaign 'other'" in line
    assert "it is of 'small': give the record of this campaign" in line
    assert one_line(cli("run", other, "--calculator", f"replay:{record}")).endswith(line[-60:])


def test_a_document_of_another_calculation_than_its_key_says_is_refused(
    campaign_of, open_store, changed
):
    key = next(iter(make_plan(campaign_of()).calculations))

    def swap(store):
        found = store.docs_store.query_one({"uuid": key})
        found.pop("_id", None)
        found["output"]["settings"]["fmax"] = 0.5
        save_many(store, [found])

    path = changed(swap)
    with pytest.raises(RocksaltError, match=r"settings of .* not .* as its key says"):
        replay(campaign_of(), path, open_store("memory"))


def test_other_engines_beside_a_record_are_no_address(cli, campaign_file):
    line = one_line(cli("run", campaign_file(), "--calculator", "replay:r.jsonl,chgnet"))
    assert "record r.jsonl,chgnet: no such file" in line


def test_the_recorded_version_of_an_engine_wins_and_is_said(
    cli, campaign_file, changed, open_store
):
    def older(store):
        found = list(store.docs_store.query({"metadata.kind": "calculation"}))
        for each in found:
            each.pop("_id", None)
            each["output"]["engine_version"] = "mock 0"
        save_many(store, found)

    path = changed(older)
    answer = cli("run", campaign_file(), "--calculator", f"replay:{path}", "--format", "json")
    assert answer.code == 0
    assert (
        "mock: recorded with mock 0, installed here: mock 1: the record's results stand"
        in answer.err.splitlines()
    )
    assert json.loads(answer.out)["engines"]["mock"]["version"] == "mock 0"


def test_replay_from_python(campaign_of, open_store, short, record):
    path, lost = short
    store = open_store("memory")
    outcome = replay(campaign_of(), path, store)
    assert [c.key for c in outcome.lacking] == [c.key for c in lost]
    assert (outcome.n_computed, outcome.failed, outcome.interrupted) == (24 - MISSING, [], False)
    assert outcome.ranking.counts["missing"] == MISSING
    assert load_states(store, [c.key for c in lost]) == {}
    with Record(str(record)) as opened:
        outcome = replay(campaign_of(), opened, store)
    assert (outcome.n_computed, outcome.n_reused, outcome.lacking) == (MISSING, 24 - MISSING, [])


def test_results_of_the_store_stay_unless_failed_ones_are_retried(
    campaign_of, open_store, record, monkeypatch
):
    from rocksalt.workflows import calculate as module
    from rocksalt.workflows.relaxer import relax

    def relax_or_fail(atoms, calculator, settings):
        if "Ti" in atoms.symbols:
            raise ValueError("no Ti today")
        return relax(atoms, calculator, settings)

    store = open_store("memory")
    with monkeypatch.context() as patched:
        patched.setattr(module, "relax", relax_or_fail)
        n_failed = len(run_campaign(campaign_of(), store).failed)
    assert n_failed
    assert replay(campaign_of(), record, store).n_computed == 0
    outcome = replay(campaign_of(), record, store, retry_failed=True)
    assert (outcome.n_computed, outcome.failed) == (n_failed, [])


def no_engine(*_, **__):
    raise AssertionError("an engine was asked")


def test_jobs_take_their_results_from_the_record(
    campaign_of, record, short, finished_file, open_store, monkeypatch
):
    from jobflow import JobStore, run_locally
    from maggma.stores import MemoryStore

    from rocksalt.stores.records import load_ranking
    from rocksalt.workflows import calculate as module
    from rocksalt.workflows.makers import ScreenMaker, calculate_one

    monkeypatch.setattr(module, "get_calculator", no_engine)
    store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    flow = ScreenMaker().make(campaign_of())
    with replaying(record):
        responses = run_locally(flow, store=store, ensure_success=True, log=False)
    ranking = responses[flow.jobs[-1].uuid][1].output
    original = load_ranking(open_store(finished_file, must_exist=True), "small")
    assert ranking.candidates == original.candidates
    assert ranking.engines == original.engines
    path, lost = short
    with (
        replaying(path),
        pytest.raises(RocksaltError, match=rf"lacks '{lost[0].label}' with mock"),
    ):
        calculate_one.original(lost[0].model_dump(mode="json"))


def test_worker_processes_take_their_results_from_the_record(
    campaign_of, record, finished_file, open_store, monkeypatch, tmp_path
):
    plan = make_plan(campaign_of())
    some = list(plan.calculations.values())[:4]
    expected = records_of(open_store(finished_file, must_exist=True))
    monkeypatch.chdir(record.parent)
    with replaying(record.name):
        monkeypatch.chdir("/")  # jobs run in folders of their own
        documents = list(compute(some, n_workers=2))
        outcome = run_campaign(campaign_of(), open_store(tmp_path / "r.sqlite"), n_workers=2)
    assert len(documents) == 4
    for document in documents:
        output = document.model_dump(mode="json", by_alias=True)
        assert output == expected[document.key]["output"]
    assert outcome.n_computed == 24
    assert records_of(open_store(tmp_path / "r.sqlite")) == expected


def test_the_variable_is_what_it_was_after_a_block(record, monkeypatch):
    import os

    monkeypatch.delenv(VARIABLE, raising=False)
    with replaying(record):
        assert os.environ[VARIABLE] == str(record)
    assert VARIABLE not in os.environ
    monkeypatch.setenv(VARIABLE, "before")
    with pytest.raises(RocksaltError, match="no such file"), replaying("nowhere.jsonl"):
        pass
    assert os.environ[VARIABLE] == "before"


def test_the_variable_serves_the_command_line_too(cli, campaign_file, record, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(record))
    answer = cli("run", campaign_file())
    assert answer.code == 0
    assert "24 calculations replayed" in answer.err


def test_phases_of_the_materials_project_come_from_the_record(
    campaign_of, open_store, tmp_path, monkeypatch
):
    from rocksalt.screening.hull import HullEntry
    from rocksalt.workflows import run as run_module
    from rocksalt.workflows.user_phases import UserPhases

    campaign = campaign_of(
        dopants=["Mg"],
        fractions=[0.5],
        stages=["rock-salt", "hull"],
        entries="materials-project",
    )
    entry = HullEntry("mp-1", {"Mg": 1.0, "O": 1.0}, -6.0, "MP2020")
    store = open_store("memory")
    with monkeypatch.context() as patched:
        patched.setattr(run_module, "load_user_phases", lambda *_: UserPhases([entry]))
        original = run_campaign(campaign, store)
    export_records(store, tmp_path / "mp.jsonl", ["small"])
    monkeypatch.setattr(run_module, "load_user_phases", no_engine)
    again = open_store("memory")
    outcome = replay(campaign, tmp_path / "mp.jsonl", again)
    assert outcome.ranking.candidates == original.ranking.candidates
    stored = again.docs_store.query_one({"uuid": "campaign-small"})["output"]
    assert [e["entry_id"] for e in stored["entries"]] == ["mp-1"]


def test_what_a_triage_chose_is_not_chosen_anew(campaign_of, open_store, changed, tmp_path):
    campaign = campaign_of()
    triage = {
        "uuid": "triage-small",
        "index": 1,
        "name": "small",
        "output": {"campaign": "small", "content_hash": campaign.content_hash, "chosen": ["Ti"]},
        "metadata": {"kind": "triage", "campaign": "small"},
    }
    path = changed(lambda store: save_many(store, [triage]))
    for address in (path, tmp_path / f"{path.name}.sqlite"):
        store = open_store("memory")
        with Record(str(address)) as record:
            record.copy_triage(campaign, store)
            record.copy_triage(campaign_of(seed=3), store)
        (found,) = store.docs_store.query({"metadata.kind": "triage"})
        assert found["output"] == triage["output"]
        with Record(str(address)) as record:
            other = open_store("memory")
            record.copy_triage(campaign_of(seed=3), other)
        assert other.docs_store.count({"metadata.kind": "triage"}) == 0


def test_what_is_lacking_is_told_by_engine(campaign_of):
    first, second = list(make_plan(campaign_of()).calculations.values())[:2]
    assert lacking_in_words([first, second, first.with_engine("chgnet")]) == [
        f"not in the record: 2 with mock: {first.label}, {second.label}",
        f"not in the record: 1 with chgnet: {first.label}",
    ]


def test_the_page_shows_the_example():
    example = (ROOT / "examples" / "replay.py").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "replay.md").read_text(encoding="utf-8")
    assert f"```python\n{example}```" in page
