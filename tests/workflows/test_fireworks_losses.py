"""What a queue says is finished and the store does not have is told, and computed once more."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest
from pymongo.errors import AutoReconnect

from rocksalt.stores.records import load_document
from rocksalt.workflows.run import run_campaign
from rocksalt.workflows.worker_store import WorkerStore

pytest.importorskip(
    "fireworks", reason="FireWorks is not installed: pip install 'rocksalt[cluster]'"
)

pytestmark = [
    # commands leave their connections to the end of the process
    pytest.mark.filterwarnings("ignore:Exception ignored in.*MongoClient.__del__"),
    pytest.mark.filterwarnings("ignore:Unclosed MongoClient:ResourceWarning"),
    # jobflow changes the working directory through a function of monty that is going away
    pytest.mark.filterwarnings("ignore:cd is deprecated:FutureWarning"),
]


@pytest.fixture
def same_as_local(campaign_of, open_store, calculations_in):
    """Return a function that compares a store with that of an undisturbed run."""

    def same(store):
        local = open_store()
        ranking = run_campaign(campaign_of(), local).ranking.model_dump(mode="json")
        uuids = [r["uuid"] for r in store.docs_store.query({"metadata.kind": "calculation"})]
        assert len(uuids) == len(set(uuids)) == 24
        assert calculations_in(store) == calculations_in(local)
        stored = load_document(store, "ranking-small")
        assert stored["candidates"] == ranking["candidates"]
        assert (stored["counts"]["done"], stored["counts"]["missing"]) == (24, 0)

    return same


def drop_output(cluster, cli, store):
    """Lose the output of a job before anybody has looked at it."""
    store.docs_store.remove_docs({"name": "rock-salt mock 2", "metadata.kind": "batch"})
    return 5


def cut_output(cluster, cli, store):
    """Lose two calculations of an output."""
    record = store.docs_store.query_one({"name": "rock-salt mock 2"})
    record.pop("_id", None)
    del record["output"]["calculations"][1:3]
    store.docs_store.update([record], key=["uuid", "index"])
    return 2


def spoil_output(cluster, cli, store):
    """Let two calculations of an output be unreadable."""
    record = store.docs_store.query_one({"name": "rock-salt mock 2"})
    record.pop("_id", None)
    for calculation in record["output"]["calculations"][1:3]:
        del calculation["engine"]
    store.docs_store.update([record], key=["uuid", "index"])
    return 2


def drop_documents(cluster, cli, store):
    """Lose what was made of an output."""
    assert cli("results", "--store", cluster.address).code == 0
    (firework,) = cluster.launchpad.fireworks.find({"fw_id": 2})
    store.docs_store.remove_docs({"uuid": {"$in": firework["spec"]["keys"]}})
    return 5


@pytest.mark.parametrize("lose", [drop_output, cut_output, spoil_output, drop_documents])
def test_what_a_completed_job_left_out_is_computed_once_more(
    cluster, cli, campaign_file, results, same_as_local, calculations_in, lose
):
    file = campaign_file()
    assert cli("submit", file, *cluster.options, "--batch", "5").code == 0
    cluster.work()
    assert cluster.states() == {"COMPLETED": 5}
    n_lost = lose(cluster, cli, results())

    status = cli("status", "--store", cluster.address)
    assert (
        f"missing: {n_lost} calculations neither in the store nor in the queue (1 job completed "
        "without results: 2): 'rocksalt submit CAMPAIGN --manager fireworks --store "
        f"{cluster.address} --launchpad {cluster.file}' submits them"
    ) in status.out
    assert "rock-salt mock 5 0 0 0 5 1" in " ".join(status.out.split())
    before = calculations_in(results(), times=True)
    assert len(before) == 24 - n_lost

    healed = cli("submit", file, *cluster.options)
    assert f"{24 - n_lost} in the store, 0 in the queue, {n_lost} submitted as 1 job" in healed.out
    assert "submitted once more: what 1 job (2) completed" in healed.out
    status = cli("status", "--store", cluster.address)
    assert "missing" not in status.out
    assert "without results" not in status.out
    for options in ((), ("--retry-failed",)):
        again = cli("submit", file, *cluster.options, *options)
        assert f"{n_lost} in the queue, 0 submitted as 0 jobs" in again.out
        assert "submitted once more" not in again.out

    cluster.work()
    status = cli("status", "--store", cluster.address)
    assert "missing" not in status.out
    assert status.err == ""
    assert cluster.states() == {"COMPLETED": 6}
    assert (
        "24 in the store, 0 in the queue, 0 submitted" in cli("submit", file, *cluster.options).out
    )
    after = calculations_in(results(), times=True)
    assert {key: after[key] for key in before} == before
    same_as_local(results())


def test_jobs_that_the_queue_lost(cluster, cli, campaign_file, results, same_as_local):
    file = campaign_file()
    assert cli("submit", file, *cluster.options, "--batch", "5").code == 0
    for numbers in ({"fw_id": 2}, {"fw_id": 4}):
        cluster.launchpad.fireworks.delete_one(numbers)
    status = cli("status", "--store", cluster.address)
    assert "missing: 10 calculations neither in the store nor in the queue: " in status.out
    assert "14 in the queue, 10 submitted as 1 job" in cli("submit", file, *cluster.options).out
    assert "missing" not in cli("status", "--store", cluster.address).out
    cluster.work()
    assert cli("results", "--store", cluster.address).code == 0
    same_as_local(results())


def test_a_job_that_ends_while_the_status_is_made(cluster, cli, campaign_file, monkeypatch):
    from rocksalt.workflows.fireworks_manager import FireworksQueue

    assert cli("submit", campaign_file(), *cluster.options).code == 0
    jobs = FireworksQueue.jobs

    def finish_first(queue, campaign):
        cluster.work()
        return jobs(queue, campaign)

    monkeypatch.setattr(FireworksQueue, "jobs", finish_first)
    assert "missing" not in cli("status", "--store", cluster.address).out


def test_one_store_in_two_spellings(cluster, cli, campaign_file):
    file = campaign_file()
    assert cli("submit", file, *cluster.options).code == 0
    other = (*cluster.options[:-1], f"{cluster.address}?retryReads=true")
    assert "24 in the queue, 0 submitted" in cli("submit", file, *other).out
    status = cli("status", "--store", other[-1])
    assert "rock-salt mock 2 2 0 0 0" in " ".join(status.out.split())


def test_a_campaign_that_others_have_computed_has_its_documents(
    cluster, cli, campaign_file, results
):
    assert cli("submit", campaign_file(), *cluster.options).code == 0
    before = campaign_file("before.yaml", name="before", dopants=["Mg"])
    assert "0 submitted" in cli("submit", before, *cluster.options).out
    cluster.work()
    assert cli("status", "--store", cluster.address).code == 0
    after = campaign_file("after.yaml", name="after", dopants=["Ti"])
    assert (
        "16 in the store, 0 in the queue, 0 submitted" in cli("submit", after, *cluster.options).out
    )
    for name in ("small", "before", "after"):
        assert load_document(results(), f"ranking-{name}")["counts"]["missing"] == 0
    kinds = {r["metadata"]["kind"] for r in results().docs_store.query({})}
    assert {"mixing", "formation-energy"} <= kinds


# --- workers that are killed while they write --------------------------------------------------

DYING = """
import os, signal, sys
from fireworks import FWorker, LaunchPad
from fireworks.core.rocket_launcher import launch_rocket
from jobflow import JobStore

write = JobStore.update

def write_and_die(self, *arguments, **options):
    if sys.argv[2] == "after":
        write(self, *arguments, **options)
    os.kill(os.getpid(), signal.SIGKILL)

JobStore.update = write_and_die
launch_rocket(LaunchPad.from_file(sys.argv[1]), FWorker())
"""


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_worker_that_is_killed_at_its_write(
    cluster, cli, campaign_file, tmp_path, results, same_as_local, moment
):
    file = campaign_file()
    assert cli("submit", file, *cluster.options, "--batch", "5").code == 0
    done = subprocess.run(
        [sys.executable, "-c", DYING, cluster.file, moment],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert cluster.states() == {"RUNNING": 1, "READY": 4}
    retried = cli("submit", file, *cluster.options, "--retry-failed", "--lost-after", "0")
    n_there = 5 if moment == "after" else 0
    assert f"{n_there} in the store, {24 - n_there} in the queue, 0 submitted" in retried.out
    assert ("run again: 1 job (1)" in retried.out) == (moment == "before")
    assert cluster.states() == ({"COMPLETED": 1, "READY": 4} if moment == "after" else {"READY": 5})
    cluster.work()
    assert cli("results", "--store", cluster.address).code == 0
    same_as_local(results())
    assert cluster.launchpad.launches.count_documents({}) == (5 if moment == "after" else 6)


@pytest.fixture
def worker_store(own_server, open_store, campaign_of):
    """Return the store of a submitted campaign as a worker opens it, and one to look into it."""
    address = f"{own_server.uri}/results"
    there = open_store(address)
    run_campaign(campaign_of(dopants=["Mg"], fractions=[0.5]), there)
    store = WorkerStore(address, "small")
    store.connect()
    yield store, there
    store.close()


RECORD = {"uuid": "a", "index": 1, "output": {"n": 1}}


def test_a_worker_waits_for_a_server_that_is_started_again(worker_store, own_server):
    store, there = worker_store
    own_server.kill()
    starting = threading.Timer(1, own_server.start)
    starting.start()
    store.update(dict(RECORD))
    starting.join()
    assert there.docs_store.query_one({"uuid": "a"})["output"] == {"n": 1}


def test_a_worker_writes_again_when_the_connection_breaks(worker_store, monkeypatch):
    store, there = worker_store
    write, tried = store.docs_store.update, []

    def break_once(*arguments, **options):
        tried.append(arguments)
        write(*arguments, **options)
        if len(tried) == 1:
            raise AutoReconnect("connection closed")

    monkeypatch.setattr(store.docs_store, "update", break_once)
    store.update(dict(RECORD))
    assert len(tried) == 2
    assert there.docs_store.count({"uuid": "a"}) == 1
