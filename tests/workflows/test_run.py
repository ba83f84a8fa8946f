"""Running a campaign: nothing twice, nothing lost, failures kept."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta

import pytest

from rocksalt.screening.errors import RocksaltError
from rocksalt.stores.documents import RunDoc, utc_now
from rocksalt.stores.records import load_document, load_ranking, save
from rocksalt.stores.runs import live_runs
from rocksalt.workflows import run as run_module
from rocksalt.workflows.calculation import Calculation
from rocksalt.workflows.plan import make_plan
from rocksalt.workflows.run import run_campaign
from rocksalt.workflows.stored import save_campaign, stored_results

MADE_UP = {"completed_at", "counts"}
HERE = socket.gethostname()


def same_ranking(first, second):
    assert first.model_dump(exclude=MADE_UP) == second.model_dump(exclude=MADE_UP)
    for name in ("calculations", "done", "missing", "rejected"):
        assert first.counts[name] == second.counts[name]


@pytest.fixture(scope="module")
def whole(campaign_of):
    """Return outcome and documents of one undisturbed run."""
    from rocksalt.stores.opening import open_store

    store = open_store("memory")
    return run_campaign(campaign_of(), store), store


def test_a_second_run_does_nothing(campaign_of, whole, calculations_in):
    first, store = whole
    before = calculations_in(store, times=True)
    second = run_campaign(campaign_of(), store)
    assert (first.n_planned, first.n_reused, first.n_computed) == (24, 0, 24)
    assert (second.n_planned, second.n_reused, second.n_computed) == (24, 24, 0)
    assert calculations_in(store, times=True) == before
    same_ranking(first.ranking, second.ranking)
    assert second.ranking.counts["reused"] == 24


def test_an_sqlite_file_and_two_workers_give_the_same(
    tmp_path, campaign_of, open_store, whole, calculations_in
):
    outcome, store = whole
    other = open_store(tmp_path / "r.sqlite")
    two = run_campaign(campaign_of(), other, n_workers=2)
    assert calculations_in(other) == calculations_in(store)
    same_ranking(two.ranking, outcome.ranking)


def test_what_is_stored_is_what_was_returned(campaign_of, whole):
    outcome, store = whole
    same_ranking(load_ranking(store, "small"), outcome.ranking)
    campaign, derived = stored_results(store, "small")
    formations, mixings, ranking = derived.formations, derived.mixings, derived.ranking
    assert campaign == campaign_of()
    same_ranking(ranking, outcome.ranking)
    for f in formations:
        assert load_document(store, f"formation-energy-small-mock-{f.cation}") == f.model_dump()
    for m in mixings:
        assert load_document(store, f"mixing-small-mock-{m.dopant}-Mn") == m.model_dump()


def test_campaigns_share_their_end_members(campaign_of, open_store):
    store = open_store()
    run_campaign(campaign_of(name="one", dopants=["Mg"]), store)
    second = campaign_of(name="two", dopants=["Ti"])
    outcome = run_campaign(second, store)
    shared = [
        c for c in make_plan(second).calculations.values() if set(c.cation_fractions) <= {"Mn"}
    ]
    assert outcome.n_reused == len(shared) == 2 + 4 + 2
    assert outcome.n_computed == outcome.n_planned - len(shared)


def test_an_edited_campaign_computes_only_what_is_new(campaign_of, open_store):
    store = open_store()
    run_campaign(campaign_of(dopants=["Mg"]), store)
    edited = campaign_of(dopants=["Mg", "Ti"])
    outcome = run_campaign(edited, store)
    assert outcome.n_computed == 3 + 2 + 3  # Ti in three prototypes, two cells of TiO, mixtures
    campaign, derived = stored_results(store, "small")
    ranking = derived.ranking
    assert campaign == edited
    assert {c.dopant for c in ranking.candidates} == {"Mg", "Ti"}
    again = run_campaign(campaign_of(dopants=["Mg"]), store)
    assert again.n_computed == 0
    kinds = {"metadata.campaign": "small", "metadata.kind": {"$in": ["mixing", "formation-energy"]}}
    left = sorted(r["uuid"] for r in store.docs_store.query(kinds))
    assert left == [
        "formation-energy-small-mock-Mg",
        "formation-energy-small-mock-Mn",
        "mixing-small-mock-Mg-Mn",
    ]


@pytest.mark.parametrize("first_cell", [{"enumerated": 2, "sqs": 0}, {"enumerated": 0, "sqs": 4}])
def test_results_do_not_depend_on_what_the_store_held(campaign_of, open_store, first_cell):
    def multiplicities(mixings):
        arrangements = (a for m in mixings for p in m.points for a in p.arrangements)
        return {a.key: (a.multiplicity, a.kind) for a in arrangements}

    campaign = campaign_of(
        dopants=["Mg"], fractions=[0.5], supercell={"enumerated": 8, "sqs": 0}, name="late"
    )
    alone = open_store()
    run_campaign(campaign, alone)
    mixings = stored_results(alone, "late")[1].mixings
    shared = open_store()
    run_campaign(
        campaign_of(dopants=["Mg"], fractions=[0.5], supercell=first_cell, name="early"), shared
    )
    outcome = run_campaign(campaign, shared)
    after_another = stored_results(shared, "late")[1].mixings
    n_references = sum(c.role != "mixture" for c in make_plan(campaign).calculations.values())
    assert outcome.n_reused > n_references - 2  # a mixture too
    assert multiplicities(after_another) == multiplicities(mixings)
    assert outcome.ranking.candidates[0].hosts["Mn"]["enthalpy_ev_per_cation"][0][
        "value"
    ] == pytest.approx(mixings[0].points[0].value, abs=5e-5)


def test_failures_are_kept_and_not_repeated(campaign_of, open_store):
    store = open_store()
    campaign = campaign_of(relaxation={"max_evaluations": 2})
    first = run_campaign(campaign, store)
    assert first.n_computed == 24
    assert len(first.failed) == 24
    assert all("not converged after 2 evaluations" in why for _, why in first.failed)
    assert first.ranking.counts["rejected"] == [{"what": a, "why": b} for a, b in first.failed]
    assert first.ranking.counts["done"] == 0
    for candidate in first.ranking.candidates:
        assert candidate.verdict == "undecided"
        assert candidate.score_ev_per_cation is None
    second = run_campaign(campaign, store)
    assert (second.n_computed, second.n_reused) == (0, 24)
    assert second.failed == first.failed
    third = run_campaign(campaign, store, retry_failed=True)
    assert (third.n_computed, third.n_reused) == (24, 0)


def test_some_failures_leave_the_rest(campaign_of, open_store, monkeypatch):
    from rocksalt.workflows import calculate as module
    from rocksalt.workflows.relaxer import relax

    def relax_or_explode(atoms, calculator, settings):
        if "Ti" in atoms.symbols and "Mn" in atoms.symbols:
            atoms.positions[1] = atoms.positions[0] + 0.1  # they overlap
        return relax(atoms, calculator, settings)

    store = open_store()
    monkeypatch.setattr(module, "relax", relax_or_explode)
    outcome = run_campaign(campaign_of(), store)
    assert len(outcome.failed) == 3
    assert all("atoms overlap" in why for _, why in outcome.failed)
    ranked = {c.dopant: c for c in outcome.ranking.candidates}
    assert ranked["Mg"].score_ev_per_cation is not None
    assert ranked["Ti"].score_ev_per_cation is None
    assert ranked["Ti"].rock_salt_reduction_dmu_o_ev["mock"] is not None
    monkeypatch.undo()
    outcome = run_campaign(campaign_of(), store, retry_failed=True)
    assert (outcome.n_computed, outcome.failed) == (3, [])


def test_a_stopped_run_goes_on(campaign_of, open_store, whole, calculations_in, each_at_once):
    store = open_store()
    done = []
    options = {"stopping": lambda: len(done) >= 10, "on_result": done.append}
    first = run_campaign(campaign_of(), store, **options)
    assert first.interrupted
    assert first.n_computed == 10
    assert first.ranking.counts["missing"] == 14
    assert any(c.score_ev_per_cation is None for c in first.ranking.candidates)
    kept = calculations_in(store, times=True)
    second = run_campaign(campaign_of(), store)
    assert (second.n_reused, second.n_computed, second.interrupted) == (10, 14, False)
    after = calculations_in(store, times=True)
    assert {key: after[key] for key in kept} == kept
    assert calculations_in(store) == calculations_in(whole[1])


def test_every_result_is_stored_before_it_is_told(campaign_of, open_store, tmp_path):
    store = open_store(tmp_path / "r.sqlite")
    told = []

    def on_result(document):
        told.append(document.key)
        assert load_document(store, document.key)["state"] == document.state

    outcome = run_campaign(campaign_of(), store, on_result=on_result)
    assert len(set(told)) == len(told) == outcome.n_planned


def test_an_error_on_the_way_keeps_what_is_done(campaign_of, open_store, each_at_once):
    store = open_store()
    done = []

    def fail_late(document):
        done.append(document)
        if len(done) == 5:
            raise RuntimeError("the terminal is gone")

    with pytest.raises(RuntimeError, match="terminal"):
        run_campaign(campaign_of(), store, on_result=fail_late)
    assert store.docs_store.count({"metadata.kind": "calculation"}) == 5
    (run,) = store.docs_store.query({"metadata.kind": "run"})
    assert run["output"]["ended_at"] is not None


def test_a_missing_engine_touches_no_store(campaign_of, open_store):
    store = open_store()
    with pytest.raises(RocksaltError, match="pip install mace-torch"):
        run_campaign(campaign_of(engines=["mock", "MACE-MP-0"]), store)
    assert store.docs_store.count() == 0


@pytest.fixture
def other_process():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def say_that_it_runs(store, pid, *, host=HERE, started_at=None, ended_at=None):
    run = RunDoc(
        name="small", host=host, pid=pid, started_at=started_at or utc_now(), ended_at=ended_at
    )
    save(store, f"run-small-{host}-{pid}", "run", run, "small", campaign="small")


def test_a_run_of_other_content_under_the_name_is_refused(campaign_of, open_store, other_process):
    store = open_store("memory")
    plan = make_plan(campaign_of())
    save_campaign(store, campaign_of(), plan)
    say_that_it_runs(store, other_process.pid)
    assert [run.pid for run in live_runs(store, "small")] == [other_process.pid]
    there = store.docs_store.count()
    with pytest.raises(
        RocksaltError, match=f"other content in this store by process {other_process.pid}"
    ):
        run_campaign(campaign_of(dopants=["Mg"]), store)
    assert store.docs_store.count() == there


def test_a_store_without_claims_is_for_one_run(campaign_of, open_store, other_process):
    store = open_store("memory")
    save_campaign(store, campaign_of(), make_plan(campaign_of()))
    say_that_it_runs(store, other_process.pid)
    with pytest.raises(RocksaltError, match=f"run in this store by process {other_process.pid}"):
        run_campaign(campaign_of(), store)


def test_a_run_that_is_over_is_no_obstacle(open_store, other_process):
    store = open_store()
    assert live_runs(store, "small") == []
    say_that_it_runs(store, other_process.pid, ended_at=utc_now())
    assert live_runs(store, "small") == []
    say_that_it_runs(store, other_process.pid, host="elsewhere")
    assert live_runs(store, "small") == []
    say_that_it_runs(store, os.getpid())
    assert live_runs(store, "small") == []
    # The run died long ago, and its number went to another process.
    say_that_it_runs(store, other_process.pid, started_at=utc_now() - timedelta(hours=1))
    assert live_runs(store, "small") == []


def test_a_dead_process_is_no_obstacle_collected_or_not(open_store, other_process):
    store = open_store()
    say_that_it_runs(store, other_process.pid)
    other_process.kill()
    os.waitid(os.P_PID, other_process.pid, os.WEXITED | os.WNOWAIT)  # dead, not collected
    assert live_runs(store, "small") == []
    other_process.wait()
    assert live_runs(store, "small") == []


def test_runs_that_are_over_leave_no_trace_of_their_own(campaign_of, open_store, other_process):
    store = open_store()
    say_that_it_runs(store, other_process.pid, ended_at=utc_now())
    say_that_it_runs(store, 1, host="elsewhere")
    run_campaign(campaign_of(dopants=["Mg"], fractions=[0.5]), store)
    runs = [r["output"] for r in store.docs_store.query({"metadata.kind": "run"})]
    assert sorted((r["host"] == HERE, r["pid"]) for r in runs) == [(False, 1), (True, os.getpid())]


class Lethal(Calculation):
    """A calculation that kills the worker that takes it."""

    def __reduce_ex__(self, protocol):
        return signal.raise_signal, (signal.SIGKILL,)


def test_a_calculation_that_kills_two_workers_is_listed_as_failed(
    campaign_of, open_store, monkeypatch, tmp_path
):
    plan = make_plan(campaign_of())
    key = list(plan.calculations)[5]
    deadly = Lethal.model_validate(plan.calculations[key].model_dump(mode="json"))
    assert deadly.key == key
    lethal = {**plan.calculations, key: deadly}
    store = open_store(tmp_path / "r.sqlite")
    with monkeypatch.context() as patched:
        patched.setattr(run_module, "make_plan", lambda *_: replace(plan, calculations=lethal))
        first = run_campaign(campaign_of(), store, n_workers=2)
        label = f"{plan.calculations[key].label} with mock"
        assert first.failed == [(label, "its worker process died 2 times (signal 9)")]
        assert (first.n_computed, first.interrupted) == (first.n_planned, False)
        again = run_campaign(campaign_of(), store, n_workers=2)
        assert (again.n_computed, again.failed) == (0, first.failed)
    healed = run_campaign(campaign_of(), store, retry_failed=True)
    assert (healed.n_computed, healed.failed) == (1, [])
