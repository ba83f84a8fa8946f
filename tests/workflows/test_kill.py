"""Runs that are killed at any moment lose nothing that was finished and repeat none of it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from rocksalt.stores.records import load_document
from rocksalt.workflows.plan import make_plan
from rocksalt.workflows.run import run_campaign

LARGE = {
    "name": "killed",
    "dopants": ["Mg", "Ti", "Zn"],
    "hosts": ["Mn", "Ni"],
    "supercell": {"enumerated": 8, "sqs": 0},
    "orderings": 2,
}
PATIENCE_S = 120
RANDOM = random.Random(11)
MOMENTS = [(n, 0) for n in (1, 3, 5)]  # while it imports, starts a server of workers, workers
MOMENTS += [(1, RANDOM.randrange(7 * n + 1, 7 * n + 8)) for n in range(7)]
"""Processes and results that are there when a run is killed."""

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


def session_of(leader):
    """Return the living processes of a session."""
    living = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, session = stat.read_text().rpartition(")")[2].split()[:4]
        except (OSError, ValueError):
            continue
        if session == str(leader) and state not in "ZX":
            living.append(int(stat.parent.name))
    return living


def wait_for(condition, what):
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, f"{what} never came"
        time.sleep(0.01)


def wait_for_the_end_of_all(leader):
    """Wait until no process of a session lives: helpers of multiprocessing end after the leader."""
    wait_for(lambda: not session_of(leader.pid), "the end of all processes")


@pytest.fixture
def started(tmp_path, campaign_file):
    """Return a context that starts 'rocksalt run' in a session of its own."""
    file = campaign_file(**LARGE)
    command = [sys.executable, "-m", "rocksalt.workflows.cli", "run", str(file), "--workers", "2"]

    @contextmanager
    def start():
        with open(tmp_path / "stderr", "w+") as errors:
            process = subprocess.Popen(
                command,
                cwd=tmp_path,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )
            try:
                yield process
            finally:
                if session_of(process.pid):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    return start


@pytest.fixture
def n_stored(tmp_path, open_store):
    """Return a function that counts the calculations in the store, from outside."""
    opened = []

    def count():
        if not opened and (tmp_path / "results.sqlite").exists():
            opened.append(open_store(tmp_path / "results.sqlite"))
        return opened[0].docs_store.count({"metadata.kind": "calculation"}) if opened else 0

    return count


@pytest.fixture(scope="module")
def undisturbed(campaign_of, calculations_in):
    """Return calculations and ranking of a run that nobody disturbed."""
    from rocksalt.stores.opening import open_store

    store = open_store("memory")
    outcome = run_campaign(campaign_of(**LARGE), store)
    return calculations_in(store), outcome.ranking


def test_killed_ten_times(tmp_path, started, n_stored, open_store, calculations_in, undisturbed):
    wanted, ranking = undisturbed
    assert max(n for _, n in MOMENTS) < len(wanted) - 5
    kept = {}
    for number, (n_processes, n_results) in enumerate(MOMENTS):
        with started() as process:
            wait_for(
                lambda p=process.pid, n=n_processes: len(session_of(p)) >= n,
                f"process {n_processes}",
            )
            wait_for(lambda n=n_results: n_stored() >= n, f"result {n_results}")
            if number % 2:
                os.kill(process.pid, signal.SIGKILL)  # the workers must end by themselves
                wait_for_the_end_of_all(process)
            else:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        there = {}
        if (tmp_path / "results.sqlite").exists():
            there = calculations_in(open_store(tmp_path / "results.sqlite"), times=True)
        assert len(there) >= n_results
        assert {key: there[key] for key in kept} == kept
        kept = there
    assert len(kept) < len(wanted)

    with started() as process:
        assert process.wait(PATIENCE_S) == 0
        wait_for_the_end_of_all(process)
    store = open_store(tmp_path / "results.sqlite")
    after = calculations_in(store, times=True)
    assert {key: after[key] for key in kept} == kept
    assert calculations_in(store) == wanted
    stored = load_document(store, "ranking-killed")
    assert stored["candidates"] == ranking.model_dump(mode="json")["candidates"]
    assert stored["counts"]["reused"] == len(kept)


def test_a_run_after_a_finished_one_computes_nothing(
    tmp_path, campaign_of, campaign_file, open_store, cli, undisturbed, calculations_in
):
    file = campaign_file(**LARGE)
    assert cli("run", file).code == 0
    store = open_store(tmp_path / "results.sqlite")
    before = calculations_in(store, times=True)
    assert len(before) == len(make_plan(campaign_of(**LARGE)).calculations)
    answer = cli("run", file, "--workers", "2")
    assert answer.code == 0
    assert f"0 calculations done now, {len(before)} reused" in answer.err
    assert calculations_in(store, times=True) == before


@pytest.mark.parametrize(
    ("signum", "n_before"),
    [(signal.SIGINT, 0), (signal.SIGTERM, 5)],
    ids=["Ctrl-C at the start", "SIGTERM to all"],
)
def test_a_run_that_is_asked_to_stop(
    tmp_path, started, n_stored, open_store, calculations_in, undisturbed, signum, n_before
):
    wanted, _ = undisturbed
    with started() as process:
        wait_for(lambda: len(session_of(process.pid)) >= 5, "two workers")
        wait_for(lambda: n_stored() >= n_before, "results")
        os.killpg(process.pid, signum)  # as a terminal does: to every process
        assert process.wait(PATIENCE_S) == 130
        wait_for_the_end_of_all(process)
    said = (tmp_path / "stderr").read_text()
    assert "stopping after the calculations that are running" in said
    assert f"stopped: go on with 'rocksalt run {tmp_path}/small.yaml --workers 2'" in said
    assert "Traceback" not in said
    assert ", 0 failed," in said
    store = open_store(tmp_path / "results.sqlite")
    there = calculations_in(store)
    # Both workers finish what they have, and nothing more.
    assert n_before <= len(there) < len(wanted)
    assert there == {key: wanted[key] for key in there}
    (run,) = store.docs_store.query({"metadata.kind": "run"})
    assert run["output"]["ended_at"] is not None
    assert load_document(store, "ranking-killed")["counts"]["missing"] == len(wanted) - len(there)
