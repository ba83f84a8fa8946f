"""A campaign through a real LaunchPad on a server: nothing twice, nothing lost, failures told."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from rocksalt.screening.errors import RocksaltError
from rocksalt.stores.records import load_document
from rocksalt.workflows import fireworks_manager
from rocksalt.workflows.batches import batch_flows, pack
from rocksalt.workflows.fireworks_manager import FireworksQueue, failure_cause, open_launchpad
from rocksalt.workflows.harvest import harvest
from rocksalt.workflows.plan import make_plan
from rocksalt.workflows.run import run_campaign
from rocksalt.workflows.submit_command import by_engine

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

SECRET = "s3cret-word"
LONG_AGO = "2020-01-01T00:00:00+00:00"
NO_ENGINE = "MACE-MP-0"  # a job that wants it crashes where the package is missing
UNSETTLED = {"relaxation": {"max_evaluations": 4}}


@pytest.fixture
def crashing(campaign_file):
    """Return a campaign of which half of the jobs crash, where the second engine is missing."""
    try:
        import mace  # noqa: F401  # only whether it is there
    except ImportError:
        return campaign_file(engines=["mock", NO_ENGINE])
    pytest.skip(f"{NO_ENGINE} is installed: no job would crash")


def test_a_submitted_campaign_gives_what_a_run_gives(
    cluster, cli, campaign_of, campaign_file, results, open_store, calculations_in
):
    file = campaign_file()
    answer = cli("submit", file, *cluster.options, "--batch", "5")
    assert answer.code == 0, answer.err
    assert answer.out.splitlines()[0] == (
        "small: 24 calculations, 0 in the store, 0 in the queue, 24 submitted as 5 jobs in 1 workflow"
    )
    assert f"'rlaunch -l {cluster.file} rapidfire'" in answer.err
    assert cluster.states() == {"READY": 5}

    again = cli("submit", file, *cluster.options)
    assert "24 in the queue, 0 submitted as 0 jobs" in again.out
    assert cluster.states() == {"READY": 5}
    status = cli("status", "--store", cluster.address)  # the LaunchPad is remembered
    assert status.code == 0
    assert f"queue: FireWorks LaunchPad {cluster.file}: 5 jobs" in status.out
    assert "rock-salt mock 5 5 0 0 0" in " ".join(status.out.split())

    cluster.work()
    assert cluster.states() == {"COMPLETED": 5}
    ranking = cli("results", "--store", cluster.address, "--format", "json")
    assert ranking.code == 0, ranking.err
    local = open_store()
    wanted = run_campaign(campaign_of(), local).ranking
    assert calculations_in(results()) == calculations_in(local)
    assert (
        load_document(results(), "ranking-small")["candidates"]
        == (wanted.model_dump(mode="json")["candidates"])
    )
    status = cli("status", "--store", cluster.address)
    assert "rock-salt mock 24 24 0 0 0" in " ".join(status.out.split())
    assert "rock-salt mock 5 0 0 0 5" in " ".join(status.out.split())
    after = cli("submit", file, *cluster.options, "--retry-failed")
    assert "24 in the store, 0 in the queue, 0 submitted as 0 jobs" in after.out
    assert cluster.states() == {"COMPLETED": 5}


def test_results_show_while_the_rest_is_waiting(cluster, cli, campaign_file):
    from fireworks import FWorker
    from fireworks.core.rocket_launcher import launch_rocket

    assert cli("submit", campaign_file(), *cluster.options, "--batch", "5").code == 0
    for _ in range(2):
        launch_rocket(cluster.launchpad, FWorker(), strm_lvl="CRITICAL")
    status = " ".join(cli("status", "--store", cluster.address).out.split())
    assert "rock-salt mock 24 10 0 14 0" in status
    assert "rock-salt mock 5 3 0 0 2" in status
    assert "10 of 24 calculations done" in " ".join(
        cli("results", "--store", cluster.address).out.split()
    )
    run = cli("run", campaign_file(), "--store", cluster.address)
    assert "14 calculations done now, 10 reused" in run.err


def test_only_what_is_new_is_submitted(cluster, cli, campaign_file, database):
    assert cli("run", campaign_file(dopants=["Mg"]), "--store", cluster.address).code == 0
    file = campaign_file(name="other", dopants=["Mg", "Ti"])
    answer = cli("submit", file, *cluster.options)
    assert "24 calculations, 16 in the store, 0 in the queue, 8 submitted as 1 job" in answer.out
    shared = campaign_file(name="third", dopants=["Ti"])  # another campaign's job computes them
    assert "0 submitted as 0 jobs" in cli("submit", shared, *cluster.options).out
    elsewhere = (*cluster.options[:-1], database())
    assert "16 submitted" in cli("submit", shared, *elsewhere).out  # into another store


def test_failed_calculations_are_documents_and_run_again_when_asked(
    cluster, cli, campaign_file, results
):
    file = campaign_file(**UNSETTLED)
    assert cli("submit", file, *cluster.options).code == 0
    cluster.work()
    assert cluster.states() == {"COMPLETED": 2}
    status = cli("status", "--store", cluster.address)
    assert "failed: " in status.out
    assert "not converged after 4 evaluations" in status.out
    n_failed = results().docs_store.count({"output.state": "failed"})
    assert 0 < n_failed < 24
    assert "0 submitted" in cli("submit", file, *cluster.options).out
    again = cli("submit", file, *cluster.options, "--retry-failed")
    assert f"{24 - n_failed} in the store, 0 in the queue, {n_failed} submitted" in again.out
    once_more = cli("submit", file, *cluster.options, "--retry-failed")
    assert f"{n_failed} in the queue, 0 submitted" in once_more.out
    cluster.work()
    assert harvest(results()).n_calculations == n_failed


def test_a_crashed_job_is_told_with_its_cause_and_run_again_when_asked(
    cluster, cli, crashing, results
):
    assert cli("submit", crashing, *cluster.options).code == 0
    cluster.work()
    assert cluster.states() == {"COMPLETED": 2, "FIZZLED": 2}
    status = cli("status", "--store", cluster.address)
    assert status.code == 0
    assert (
        f"failed: 2 jobs 3, 4 (rock-salt {NO_ENGINE}): RocksaltError: engine '{NO_ENGINE}' needs the "
        "package mace-torch: pip install mace-torch"
    ) in status.out
    place = f"--manager fireworks --store {cluster.address} --launchpad {cluster.file}"
    assert f"'rocksalt submit CAMPAIGN {place} --retry-failed'" in status.out
    plain = cli("submit", crashing, *cluster.options)
    assert f"'rocksalt submit {crashing} {place} --retry-failed'" in plain.err
    assert "24 in the queue, 0 submitted" in plain.out
    assert "failed: 2 jobs 3, 4" in plain.err
    assert cluster.states() == {"COMPLETED": 2, "FIZZLED": 2}
    retried = cli("submit", crashing, *cluster.options, "--retry-failed")
    assert "run again: 2 jobs (3, 4)" in retried.out
    assert cluster.states() == {"COMPLETED": 2, "READY": 2}
    keys = [k for f in cluster.launchpad.fireworks.find({"fw_id": 3}) for k in f["spec"]["keys"]]
    assert results().docs_store.count({"uuid": {"$in": keys}}) == 0


def test_jobs_go_where_they_are_sent(cluster, cli, campaign_file):
    file = campaign_file(engines=["mock", "chgnet"])
    sent = ("--category", "chgnet=gpu", "--category", "cpu", "--worker", "here")
    assert cli("submit", file, *cluster.options, *sent).code == 0
    specs = [f["spec"] for f in cluster.launchpad.fireworks.find()]
    assert {(s["engine"], s["_category"], s["_fworker"]) for s in specs} == {
        ("mock", "cpu", "here"),
        ("chgnet", "gpu", "here"),
    }
    assert {s["campaign"] for s in specs} == {"small"}
    cluster.work(name="elsewhere", category="cpu")
    assert cluster.states() == {"READY": 4}
    cluster.work(name="here", category="cpu")
    assert cluster.states() == {"READY": 2, "COMPLETED": 2}


def test_workflows_stay_small(cluster, campaign_of, open_store):
    store = open_store(cluster.address)
    queue = FireworksQueue(open_launchpad(cluster.file), store)
    flows = batch_flows("small", pack(make_plan(campaign_of()).calculations.values(), 1))
    for flow in flows:
        queue.add(flow)
    sizes = [len(w["nodes"]) for w in cluster.launchpad.workflows.find({}, {"nodes": 1})]
    assert sorted(sizes) == [4, 10, 10]
    assert all(
        w["links"] == {str(n): [] for n in w["nodes"]} for w in cluster.launchpad.workflows.find()
    )
    queue.close()


def test_results_that_went_elsewhere_are_missed(cluster, cli, campaign_file, results):
    file = campaign_file()
    assert cli("submit", file, *cluster.options).code == 0
    cluster.work()
    results().docs_store.remove_docs({"metadata.kind": "batch"})
    status = cli("status", "--store", cluster.address)
    assert "2 jobs completed without results: 1, 2" in status.out
    assert "24 submitted as 2 jobs" in cli("submit", file, *cluster.options).out


def test_a_workflow_that_a_dead_worker_locked(cluster, cli, crashing, monkeypatch):
    monkeypatch.setattr(fireworks_manager, "LOCK_S", 0.3)
    assert cli("submit", crashing, *cluster.options).code == 0
    cluster.work()
    cluster.launchpad.workflows.update_many({}, {"$set": {"locked": True}})
    answer = cli("submit", crashing, *cluster.options, "--retry-failed")
    assert "not run again: job 3" in answer.err
    assert f"'lpad -l {cluster.file} admin unlock -i 3'" in answer.err
    assert "run again" not in answer.out
    cluster.launchpad.workflows.update_many({}, {"$unset": {"locked": 1}})
    answer = cli("submit", crashing, *cluster.options, "--retry-failed")
    assert "run again: 2 jobs (3, 4)" in answer.out


# --- what is wrong is one line -----------------------------------------------------------------


def refused(answer, *words):
    assert answer.code == 2
    assert answer.out == ""
    lines = answer.err.splitlines()
    assert len(lines) == 1, answer.err
    assert lines[0].startswith("rocksalt: ")
    assert SECRET not in answer.err
    for word in words:
        assert word in lines[0]


def test_an_unknown_manager(cli, campaign_file):
    answer = cli("submit", campaign_file(), "--manager", "slurm")
    refused(answer, "--manager 'slurm' is not known: choose fireworks or jobflow-remote")


def test_fireworks_is_not_installed(cli, campaign_file, monkeypatch):
    monkeypatch.setattr(fireworks_manager, "find_spec", lambda name: None)
    answer = cli("submit", campaign_file(), "--manager", "fireworks")
    refused(answer, "pip install 'rocksalt[cluster]'")


def test_no_launchpad_file(cli, campaign_file, tmp_path, monkeypatch):
    monkeypatch.setattr("fireworks.fw_config.LAUNCHPAD_LOC", None)
    refused(cli("submit", campaign_file(), "--manager", "fireworks"), "--launchpad", "lpad init")
    answer = cli("submit", campaign_file(), "--manager", "fireworks", "-l", "nowhere.yaml")
    refused(answer, "LaunchPad file nowhere.yaml: no such file", "lpad init")


@pytest.mark.parametrize(
    "text", ["host: [", f"password: {SECRET}", "just words", f"a: b: {SECRET}", "host: \x00"]
)
def test_a_launchpad_file_that_is_none(cli, campaign_file, tmp_path, text):
    (tmp_path / "lp.yaml").write_text(text)
    answer = cli("submit", campaign_file(), "--manager", "fireworks", "-l", "lp.yaml")
    refused(answer, "lp.yaml", "is not YAML with a key 'host': 'lpad init'")


def test_fireworks_own_configuration_names_the_file(cluster, cli, campaign_file, monkeypatch):
    monkeypatch.setattr("fireworks.fw_config.LAUNCHPAD_LOC", str(cluster.file))
    options = ("--manager", "fireworks", "--store", cluster.address)
    assert cli("submit", campaign_file(), *options).code == 0
    assert cluster.states() == {"READY": 2}


def leave(cluster, number, **launch):
    """Leave a firework as a worker that dies does."""
    cluster.launchpad.fireworks.update_one({"fw_id": number}, {"$set": {"state": "RUNNING"}})
    if launch:
        cluster.launchpad.launches.update_one({"fw_id": number}, {"$set": launch})


def test_workers_that_die_at_any_moment(cluster, cli, campaign_file, results):
    from fireworks import FWorker
    from fireworks.core.rocket_launcher import launch_rocket

    file = campaign_file()
    assert cli("submit", file, *cluster.options, "--batch", "5").code == 0
    for _ in range(4):
        launch_rocket(cluster.launchpad, FWorker(), strm_lvl="CRITICAL")
    history = [{"state": "RUNNING", "created_on": LONG_AGO, "updated_on": LONG_AGO}]
    running = {"state": "RUNNING", "state_history": history}
    leave(cluster, 1, **running)  # in the middle of it
    results().docs_store.remove_docs({"name": "rock-salt mock 1"})
    leave(cluster, 2, **running)  # after its results were stored
    leave(cluster, 3)  # after its end was marked, before its workflow's was
    taken = {"state": "RESERVED", "updated_on": LONG_AGO}  # while it was given out
    cluster.launchpad.fireworks.update_one({"fw_id": 5}, {"$set": taken})

    status = cli("status", "--store", cluster.address)
    assert "lost: 2 jobs 1, 5 (rock-salt mock): its worker gives no sign of life" in status.out
    assert "rock-salt mock 5 0 0 2 0 3" in " ".join(status.out.split())
    plain = cli("submit", file, *cluster.options)
    assert "9 in the queue, 0 submitted" in plain.out
    assert "lost: 2 jobs 1, 5" in plain.err
    assert "run again" not in plain.out
    patient = cli("submit", file, *cluster.options, "--retry-failed", "--lost-after", "1e9")
    assert "run again" not in patient.out
    retried = cli("submit", file, *cluster.options, "--retry-failed")
    assert "9 in the queue, 0 submitted" in retried.out
    assert "run again: 2 jobs (1, 5)" in retried.out
    assert cluster.states() == {"READY": 2, "COMPLETED": 3}
    cluster.work()
    assert cluster.states() == {"COMPLETED": 5}
    assert harvest(results()).n_calculations == 9


def test_a_job_that_no_worker_can_read(cluster, cli, campaign_file):
    assert cli("submit", campaign_file(), *cluster.options).code == 0
    wrong = {"$set": {"spec._tasks.0.job.function.@module": "rocksalt.of_another_version"}}
    cluster.launchpad.fireworks.update_one({"fw_id": 1}, wrong)
    cluster.work()
    status = cli("status", "--store", cluster.address)
    assert "failed: 1 job 1 (rock-salt mock): " in status.out
    assert "rocksalt.of_another_version" in status.out


def write_launchpad(folder, **settings):
    file = folder / "other.yaml"
    file.write_text(yaml.safe_dump({"host": "127.0.0.1", "name": "fw", **settings}))
    return file


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(fireworks_manager, "ANSWER_S", 0.3)


def test_the_server_is_down(cli, campaign_file, tmp_path, impatient):
    user = {"username": "me", "password": SECRET}
    for settings in (
        {"port": 1},
        {"port": 1, **user},
        {"host": f"mongodb://me:{SECRET}@127.0.0.1:1/fw", "uri_mode": True},
    ):
        file = write_launchpad(tmp_path, **settings)
        options = ("--manager", "fireworks", "-l", file, "--store", "r.sqlite")
        refused(cli("submit", campaign_file(), *options), "is the server up", str(file))


def test_an_address_that_cannot_be_read(cli, campaign_file, tmp_path):
    file = write_launchpad(tmp_path, host=f"mongodb://me:{SECRET}@@/x", uri_mode=True)
    options = ("--manager", "fireworks", "-l", file, "--store", "r.sqlite")
    refused(cli("submit", campaign_file(), *options), str(file))


def test_a_database_that_is_no_launchpad(cluster, cli, campaign_file):
    cluster.launchpad.fw_id_assigner.delete_many({})
    answer = cli("submit", campaign_file(), *cluster.options)
    refused(answer, "is not a LaunchPad yet", f"'lpad -l {cluster.file} reset'")
    cluster.launchpad.fw_id_assigner.insert_one({"next": 1})
    answer = cli("submit", campaign_file(), *cluster.options)
    refused(answer, "made by another version of FireWorks than 2")


def test_a_store_that_workers_cannot_reach(cluster, cli, campaign_file, tmp_path):
    options = cluster.options[:-1]
    refused(cli("submit", campaign_file(), *options, "memory"), "mongodb://host/database")
    answer = cli("submit", campaign_file(), *options, tmp_path / "results.sqlite")
    assert answer.code == 0
    assert f"note: the store is the file {tmp_path / 'results.sqlite'}" in answer.err
    assert "must run on this machine" in answer.err
    cluster.work()
    assert "24 of 24 calculations done" in " ".join(cli("results").out.split())
    assert "rock-salt mock 24 24 0 0 0" in " ".join(cli("status").out.split())


def test_jobflows_store_in_memory_is_refused(cluster, cli, campaign_file):
    answer = cli("submit", campaign_file(), *cluster.options[:-1], "jobflow")
    refused(answer, "store MemoryStore", "mongodb://host/database")


def test_another_campaign_of_the_name_is_kept(cluster, cli, campaign_file):
    assert cli("submit", campaign_file(), *cluster.options).code == 0
    other = campaign_file(dopants=["Zn"])
    refused(cli("submit", other, *cluster.options), "other content", "--replace")
    assert cli("submit", other, *cluster.options, "--replace").code == 0


def test_options_of_another_manager(cli, campaign_file):
    answer = cli("submit", campaign_file(), "--manager", "fireworks", "--project", "mine")
    refused(answer, "--project mine: not an option of --manager fireworks")


def test_options_by_engine():
    engines = ["chgnet", "sevennet-0"]
    assert by_engine("--worker", ["w"], engines) == {None: "w"}
    both = by_engine("--category", ["chgnet=gpu", "cpu"], engines)
    assert both == {"chgnet": "gpu", None: "cpu"}
    with pytest.raises(RocksaltError, match="'mace' is not an engine of the campaign"):
        by_engine("--category", ["mace=gpu"], engines)
    for wrong in (["a", "b"], ["chgnet="], ["chgnet=a", "chgnet=b"]):
        with pytest.raises(RocksaltError, match="one name for all engines, or one for each"):
            by_engine("--category", wrong, engines)


def test_a_queue_that_does_not_answer_leaves_the_rest_of_the_status(
    cluster, cli, campaign_file, impatient
):
    assert cli("submit", campaign_file(), *cluster.options).code == 0
    settings = yaml.safe_load(cluster.file.read_text())
    cluster.file.write_text(yaml.safe_dump({**settings, "port": 1, "password": SECRET}))
    status = cli("status", "--store", cluster.address)
    assert status.code == 0
    assert "rock-salt mock 24 0 0 24 0" in " ".join(status.out.split())
    assert "queue: LaunchPad" in status.out
    assert SECRET not in status.out + status.err
    refused_ = cli("status", "--store", cluster.address, "-l", cluster.file)
    assert refused_.code == 2
    assert SECRET not in refused_.err


def test_causes_in_words():
    def launch(stacktrace):
        return {
            "host": "node7",
            "action": {"stored_data": {"_exception": {"_stacktrace": stacktrace}}},
        }

    trace = "Traceback (most recent call last):\n  File ...\nurllib.error.URLError: <no route>\n"
    assert failure_cause(launch(trace)) == "URLError: <no route>"
    assert failure_cause(launch("KeyboardInterrupt")) == "KeyboardInterrupt"
    assert SECRET not in failure_cause(launch(f"ValueError: mongodb://me:{SECRET}@host/db"))
    assert (
        failure_cause({"host": "node7", "action": None})
        == "its worker on node7 died without a word"
    )


# --- workers and server that are killed ---------------------------------------------------------

LARGE = {
    "name": "large",
    "dopants": ["Mg", "Ti", "Zn", "Al", "Sc", "V", "Cr", "Fe"],
    "hosts": ["Mn", "Ni", "Co"],
    "supercell": {"enumerated": 8, "sqs": 0},
    "orderings": 2,
}
"""202 calculations of about 30 ms."""

FW_CONFIG = {"WFLOCK_EXPIRATION_SECS": 3, "WFLOCK_EXPIRATION_KILL": True, "PING_TIME_SECS": 1}
SILENCE_S = 3
PATIENCE_S = 300


def start_worker(cluster, number, environment):
    folder = cluster.folder / f"worker-{number}"
    folder.mkdir(exist_ok=True)
    rlaunch = Path(sys.executable).parent / "rlaunch"
    with open(folder / "log", "ab") as log:
        return subprocess.Popen(
            [rlaunch, "-l", cluster.file, "rapidfire", "--sleep", "1"],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=log,
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    "own_server", [("--sync-on-commit",), ()], ids=["durable", "forgetful"], indirect=True
)
def test_workers_and_server_are_killed_and_nothing_is_lost_or_done_twice(
    request,
    tmp_path,
    own_server,
    make_cluster,
    patiently,
    cli,
    campaign_of,
    campaign_file,
    open_store,
    calculations_in,
):
    cluster = make_cluster(f"{own_server.uri}/fw", f"{own_server.uri}/results")
    launchpad = cluster.launchpad
    config = tmp_path / "FW_config.yaml"
    config.write_text(yaml.safe_dump(FW_CONFIG))
    environment = {**os.environ, "FW_CONFIG_FILE": str(config)}
    campaign = campaign_file("large.yaml", **LARGE)
    answer = cli("submit", campaign, *cluster.options, "--batch", "6")
    assert answer.code == 0, answer.err
    n_planned = int(re.match(r"large: (\d+) calculations", answer.out)[1])
    assert n_planned == 202
    n_jobs = sum(cluster.states().values())
    workers = [start_worker(cluster, n, environment) for n in range(4)]
    try:
        patiently(
            lambda: cluster.states()["COMPLETED"] >= n_jobs // 5, "the first results", PATIENCE_S
        )
        for worker in workers[:2]:
            worker.send_signal(signal.SIGKILL)
            worker.wait()
        patiently(lambda: cluster.states()["COMPLETED"] >= n_jobs // 3, "more results", PATIENCE_S)
        own_server.kill()
        own_server.start()
        for worker in workers[2:]:  # they go on, or die of it
            worker.wait(PATIENCE_S)
        retry = ("--retry-failed", "--lost-after", SILENCE_S)
        for _ in range(5):
            time.sleep(SILENCE_S)  # what still says to run is lost then
            answer = cli("submit", campaign, *cluster.options, *retry)
            assert answer.code == 0, answer.err
            if f"{n_planned} in the store" in answer.out:
                break
            for number in re.findall(r"admin unlock -i (\d+)'", answer.err):
                lpad = Path(sys.executable).parent / "lpad"
                subprocess.run(
                    [lpad, "-l", cluster.file, "admin", "unlock", "-i", number], check=True
                )
            workers = [start_worker(cluster, 4, environment)]
            workers[0].wait(PATIENCE_S)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    answer = cli("results", "large", "--store", cluster.address, "--format", "json")
    assert (answer.code, answer.err) == (0, "")
    store = open_store(cluster.address)
    local = open_store()
    wanted = run_campaign(campaign_of(**LARGE), local).ranking
    there = [r["uuid"] for r in store.docs_store.query({"metadata.kind": "calculation"})]
    assert len(there) == len(set(there))
    assert calculations_in(store) == calculations_in(local)
    assert (
        load_document(store, "ranking-large")["candidates"]
        == (wanted.model_dump(mode="json")["candidates"])
    )
    assert "missing" not in cli("status", "--store", cluster.address).out
    if "durable" in request.node.callspec.id:  # only what was lost ran again
        assert launchpad.launches.count_documents({}) <= n_jobs + 4
