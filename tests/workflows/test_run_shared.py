"""Runs that share a store: no calculation twice, none lost, what a dead run was at is taken over."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

from rocksalt.stores.claims import claims_in
from rocksalt.stores.records import calculation_record, load_document, load_states, save_many
from rocksalt.workflows import executor, shared_work
from rocksalt.workflows.calculate import calculate, failed_document
from rocksalt.workflows.plan import make_plan
from rocksalt.workflows.run import run_campaign
from rocksalt.workflows.shared_work import HOLD_S, MAX_TOGETHER, SharedWork

PATIENCE_S = 120
LARGE = {
    "dopants": ["Mg", "Ti", "Zn", "V", "Zr", "Cu"],
    "hosts": ["Mn", "Ni"],
    "supercell": {"enumerated": 8, "sqs": 0},
    "orderings": 2,
}


@pytest.fixture(params=["file", "server"])
def address(request, tmp_path):
    if request.param == "file":
        return str(tmp_path / "results.sqlite")
    return request.getfixturevalue("database")()


@pytest.fixture(scope="module")
def calculations(campaign_of):
    return list(make_plan(campaign_of(**LARGE)).calculations.values())


@pytest.fixture
def instantly(monkeypatch):
    """Let every calculation end at once; return the keys in the order of their computation."""
    computed = []

    def instant(calculation):
        computed.append(calculation.key)
        return failed_document(calculation, "not asked for")

    monkeypatch.setattr(executor, "calculate", instant)
    return computed


@pytest.fixture
def n_saved(monkeypatch):
    """Return the numbers of results that were stored together."""
    numbers = []

    def save(store, records):
        numbers.append(len(records))
        save_many(store, records)

    monkeypatch.setattr(shared_work, "save_many", save)
    return numbers


def test_quick_results_are_stored_together(
    calculations, open_store, tmp_path, instantly, n_saved, monkeypatch
):
    monkeypatch.setattr(shared_work, "HOLD_S", 1000.0)
    monkeypatch.setattr(shared_work, "MAX_TOGETHER", 10)
    store, told = open_store(tmp_path / "r.sqlite"), []
    work = SharedWork(store, calculations, on_result=told.append)
    work.compute()
    n = len(calculations)
    assert n_saved == [10] * (n // 10) + [n % 10] * bool(n % 10)
    assert instantly == [d.key for d in told] == [c.key for c in calculations]
    assert (work.n_computed, work.left) == (n, {})
    assert load_states(store, instantly) == dict.fromkeys(instantly, "failed")


def test_slow_results_are_stored_at_once(
    calculations, open_store, tmp_path, instantly, n_saved, monkeypatch
):
    monkeypatch.setattr(shared_work, "HOLD_S", 0.0)  # everything is slow beside that
    SharedWork(open_store(tmp_path / "r.sqlite"), calculations[:7]).compute()
    assert n_saved == [1] * 7


def test_what_is_held_back_is_stored_when_an_error_ends_the_run(
    calculations, open_store, tmp_path, instantly, monkeypatch
):
    monkeypatch.setattr(shared_work, "HOLD_S", 1000.0)
    instant = executor.calculate

    def fail_at_the_sixth(calculation):
        if len(instantly) == 5:
            raise KeyboardInterrupt
        return instant(calculation)

    monkeypatch.setattr(executor, "calculate", fail_at_the_sixth)
    store = open_store(tmp_path / "r.sqlite")
    with pytest.raises(KeyboardInterrupt):
        SharedWork(store, calculations).compute()
    assert set(load_states(store, [c.key for c in calculations])) == set(instantly)
    assert len(instantly) == 5
    everything = [c.key for c in calculations]
    assert claims_in(store).take(everything) == set(everything)


def _compute_until_killed(path, calculations, durations, n_until_killed, log):
    from rocksalt.stores.opening import open_store

    n_begun = 0

    def timed(calculation):
        nonlocal n_begun
        if n_begun == n_until_killed:
            os.kill(os.getpid(), signal.SIGKILL)
        begun = time.monotonic()
        time.sleep(durations[n_begun])
        n_begun += 1
        document = failed_document(calculation, "not asked for")
        with open(log, "a") as file:
            file.write(json.dumps([calculation.key, time.monotonic() - begun]) + "\n")
        return document

    executor.calculate = timed
    SharedWork(open_store(path), calculations).compute()


# Where threads of other libraries run, Python warns of any fork; here it is what is killed.
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize(
    ("durations", "n_until_killed"),
    [([0.0] * 100, 77), ([0.05] * 20, 19), ([0.0, 0.25] * 5, 9), ([0.25] * 3, 2)],
    ids=["instant", "quick", "mixed", "slow"],
)
def test_a_kill_costs_less_than_what_may_be_held_back(
    calculations, open_store, tmp_path, durations, n_until_killed
):
    path, log = str(tmp_path / "r.sqlite"), tmp_path / "log"
    arguments = (path, calculations, durations, n_until_killed, log)
    child = multiprocessing.get_context("fork").Process(
        target=_compute_until_killed, args=arguments
    )
    child.start()
    child.join(PATIENCE_S)
    assert child.exitcode == -signal.SIGKILL
    ended = dict(json.loads(line) for line in log.read_text().splitlines())
    assert len(ended) == n_until_killed
    store = open_store(path)
    lost = ended.keys() - load_states(store, list(ended)).keys()
    assert sum(ended[key] for key in lost) < HOLD_S
    assert len(lost) < MAX_TOGETHER
    # What the dead process had claimed is free again.
    outcome = SharedWork(store, [c for c in calculations if c.key in lost])
    outcome.compute()
    assert outcome.left == {}


def test_what_another_run_is_at_is_left_to_it(calculations, open_store, address, instantly):
    store, other = open_store(address), claims_in(open_store(address))
    theirs = calculations[2:5]
    other.take([c.key for c in theirs])
    waited = []

    def finish_one(n):
        waited.append(n)
        done = theirs[len(waited) - 1]
        if len(waited) < 3:
            save_many(store, [calculation_record(calculate(done))])
        other.release([done.key])  # the last one without a result, as if that run were stopped

    work = SharedWork(store, calculations[:8], on_wait=finish_one)
    work.compute()
    assert waited == [3, 2, 1]
    mine = [c.key for c in calculations[:8] if c not in theirs]
    assert instantly == [*mine, theirs[2].key]
    assert (work.n_computed, work.left) == (6, {})


def test_what_was_computed_since_the_start_is_not_computed_again(
    calculations, open_store, address, instantly
):
    store = open_store(address)
    work = SharedWork(store, calculations[:4])
    save_many(store, [calculation_record(calculate(c)) for c in calculations[1:3]])
    work.compute()
    assert instantly == [calculations[0].key, calculations[3].key]
    assert (work.n_computed, work.left) == (2, {})


def test_a_failed_calculation_is_repeated_by_one_of_two_runs(
    calculations, open_store, address, instantly
):
    store = open_store(address)
    failed = failed_document(calculations[0], "no luck")
    save_many(store, [calculation_record(failed)])
    redo = {failed.key: failed.completed_at}
    two = [SharedWork(open_store(address), calculations[:1], redo=redo) for _ in range(2)]
    time.sleep(0.002)  # so that the repeated one is not of the same millisecond
    for work in two:
        work.compute()
    assert instantly == [failed.key]
    assert [work.n_computed for work in two] == [1, 0]


def test_waiting_ends_when_it_is_asked_to_stop(calculations, open_store, address, instantly):
    store, other = open_store(address), claims_in(open_store(address))
    other.take([c.key for c in calculations[:2]])
    waited = []
    work = SharedWork(store, calculations[:3], on_wait=waited.append)
    work.compute(stopping=lambda: bool(waited))
    assert set(work.left) == {c.key for c in calculations[:2]}
    assert waited == [2]


@pytest.fixture
def start(tmp_path, campaign_file, address):
    """Return a function that starts 'rocksalt run' in a session of its own."""
    file = campaign_file(**LARGE)
    started = []

    def start(*options):
        command = [sys.executable, "-m", "rocksalt.workflows.cli", "run", str(file)]
        said = tmp_path / f"stderr-{len(started)}"
        with open(said, "w") as errors:
            process = subprocess.Popen(
                [*command, "--store", address, *options],
                cwd=tmp_path,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )
        process.said = said.read_text
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def n_computed(process):
    return int(re.search(r"(\d+) calculations? done now", process.said())[1])


def wait_for(condition, what):
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, f"{what} never came"
        time.sleep(0.01)


@pytest.fixture
def n_stored(open_store, address):
    opened = []

    def count():
        if not opened and (address.startswith("mongodb") or os.path.exists(address)):
            opened.append(open_store(address))
        return opened[0].docs_store.count({"metadata.kind": "calculation"}) if opened else 0

    return count


on_a_file_and_a_server = pytest.mark.parametrize(
    "address", ["file", pytest.param("server", marks=pytest.mark.slow)], indirect=True
)


@pytest.fixture(scope="module")
def undisturbed(campaign_of, calculations_in):
    from rocksalt.stores.opening import open_store

    store = open_store("memory")
    outcome = run_campaign(campaign_of(**LARGE), store)
    return calculations_in(store), outcome.ranking.model_dump(mode="json")["candidates"]


@on_a_file_and_a_server
def test_two_runs_of_one_campaign_at_once(start, address, open_store, calculations_in, undisturbed):
    wanted, candidates = undisturbed
    both = [start(), start("--workers", "2")]
    for process in both:
        assert process.wait(PATIENCE_S) == 0, process.said()
    numbers = [n_computed(process) for process in both]
    assert sum(numbers) == len(wanted)  # none twice
    store = open_store(address)
    assert calculations_in(store) == wanted
    assert load_document(store, "ranking-small")["candidates"] == candidates
    assert claims_in(store).take(list(wanted)) == set(wanted)


@on_a_file_and_a_server
def test_one_of_two_runs_is_killed(
    start, n_stored, address, open_store, calculations_in, undisturbed
):
    wanted, candidates = undisturbed
    dead, other = start("--workers", "2"), start()
    wait_for(lambda: n_stored() >= 10, "a result")
    os.kill(dead.pid, signal.SIGKILL)
    kept = calculations_in(open_store(address), times=True)
    assert other.wait(PATIENCE_S) == 0, other.said()
    after = calculations_in(open_store(address), times=True)
    assert {key: after[key] for key in kept} == kept  # none of them again
    assert calculations_in(open_store(address)) == wanted
    assert load_document(open_store(address), "ranking-small")["candidates"] == candidates


@on_a_file_and_a_server
def test_one_of_two_runs_is_stopped(start, n_stored, undisturbed):
    wanted, _ = undisturbed
    stopped, other = start(), start()
    wait_for(lambda: n_stored() >= 10, "a result")
    stopped.send_signal(signal.SIGINT)
    assert stopped.wait(PATIENCE_S) in {130, 0}  # 0 if it was at its last one
    assert other.wait(PATIENCE_S) == 0
    assert n_stored() == len(wanted)
    assert n_computed(stopped) + n_computed(other) == len(wanted)


@on_a_file_and_a_server
def test_workers_share_without_overlap(calculations, open_store, address):
    told = []
    SharedWork(open_store(address), calculations, on_result=told.append).compute(2)
    assert Counter(d.key for d in told) == Counter(c.key for c in calculations)
