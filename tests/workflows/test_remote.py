"""A campaign through jobflow-remote, in an environment of its own: it wants an older pymongo."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from rocksalt.stores.records import load_document
from rocksalt.workflows import remote_manager
from rocksalt.workflows.remote_manager import queued_job
from rocksalt.workflows.run import run_campaign

CHECKOUT = Path(__file__).parents[2]
ASKED = os.environ.get("ROCKSALT_TEST_REMOTE")
PATIENCE_S = 240


def in_queue(state, error=None, remote=None):
    metadata = {"campaign": "small", "stage": "rock-salt", "engine": "mock", "keys": ["a"]}
    job = {"name": "rock-salt mock 1", "metadata": metadata}
    return {"db_id": 7, "state": state, "error": error, "remote": {"error": remote}, "job": job}


def test_jobs_of_the_queue_in_words():
    ready = queued_job(in_queue("READY"))
    assert (ready.number, ready.state, ready.cause, ready.keys) == ("7", "ready", None, ["a"])
    assert (ready.stage, ready.engine, ready.name) == ("rock-salt", "mock", "rock-salt mock 1")
    assert queued_job(in_queue("SUBMITTED")).state == "reserved"
    assert queued_job(in_queue("DOWNLOADED")).state == "running"
    assert queued_job(in_queue("USER_STOPPED")).state == "paused"
    assert queued_job(in_queue("A_STATE_OF_TOMORROW")).state == "paused"
    failed = queued_job(in_queue("FAILED", "Traceback\n  File\nValueError: no such engine\n"))
    assert (failed.state, failed.cause) == ("failed", "ValueError: no such engine")
    lost = queued_job(in_queue("REMOTE_ERROR", remote="Traceback\nOSError: disk full"))
    assert (lost.state, lost.cause) == ("failed", "OSError: disk full")
    assert "jf job info" in queued_job(in_queue("FAILED")).cause
    for ending in ("was not present in the download folder /w/1", "was downloaded, but"):
        ended = queued_job(in_queue("FAILED", f"The output file jfremote_out.json {ending}"))
        assert "its batch job ended before it was done" in ended.cause


def test_jobflow_remote_is_not_installed(cli, campaign_file, monkeypatch):
    monkeypatch.setattr(remote_manager, "find_spec", lambda name: None)
    answer = cli("submit", campaign_file(), "--manager", "jobflow-remote")
    assert answer.code == 2
    assert "pip install 'rocksalt[remote]'" in answer.err
    assert len(answer.err.splitlines()) == 1
    answer = cli("submit", campaign_file(), "--manager", "jobflow-remote", "--category", "gpu")
    assert "--category gpu: not an option of --manager jobflow-remote" in answer.err


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Return the bin folder of an environment with jobflow-remote."""
    if not ASKED:
        pytest.skip(
            "installs packages: ask with ROCKSALT_TEST_REMOTE=1, or name an environment that has "
            "rocksalt[remote]"
        )
    if ASKED != "1":
        return Path(ASKED) / "bin"
    folder = tmp_path_factory.mktemp("remote")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    install = [folder / "bin" / "pip", "install", "--quiet"]
    install += ["--constraint", CHECKOUT / "constraints.txt"]
    install += ["--editable", f"{CHECKOUT}[remote]"]  # a plain install leaves a folder build
    subprocess.run(install, check=True)
    return folder / "bin"


class Project:
    """A project of jobflow-remote on this machine, and a command line beside it."""

    def __init__(self, folder, environment, address):
        from pymongo.uri_parser import parse_uri

        place = parse_uri(address)
        host, port = place["nodelist"][0]
        server = {"host": host, "port": port, "database": place["database"]}
        docs = {"type": "MongoStore", **server, "collection_name": "docs"}
        data = {"type": "GridFSStore", **server, "collection_name": "data"}
        queue = {"type": "MongoStore", **server, "collection_name": "jobs"}
        settings = {
            "name": "here",
            "base_dir": str(folder / "base"),
            "workers": {
                "shell": {
                    "type": "local",
                    "scheduler_type": "shell",
                    "work_dir": str(folder / "work"),
                    "pre_run": f"export PATH={environment}:$PATH",
                    "timeout_execute": 60,
                    "max_jobs": 2,
                }
            },
            "queue": {"store": queue},
            "runner": {"delay_checkout": 1, "delay_check_run_status": 1, "delay_advance_status": 1},
            "jobstore": {"docs_store": docs, "additional_stores": {"data": data}},
        }
        (folder / "work").mkdir()
        (folder / "projects").mkdir()
        (folder / "projects" / "here.yaml").write_text(yaml.safe_dump(settings))
        self.folder = folder
        self.bin = environment
        self.environment = {
            **os.environ,
            "JFREMOTE_PROJECTS_FOLDER": str(folder / "projects"),
            "COLUMNS": "200",
        }

    def __call__(self, command, *arguments, code=0, **options):
        """Run a command to its end and return what it says."""
        done = subprocess.run(
            [self.bin / command, *map(str, arguments)],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            **options,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def run_jobs(self, patiently, store):
        """Have a runner at work until no job of the queue is left to do."""
        with open(self.folder / "runner.log", "ab") as log:
            runner = subprocess.Popen(
                [self.bin / "jf", "-p", "here", "runner", "run"],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        try:
            open_states = {"READY", "CHECKED_OUT", "UPLOADED", "SUBMITTED", "RUNNING"}
            open_states |= {"RUN_FINISHED", "DOWNLOADED"}
            jobs = store.docs_store._collection.database["jobs"]
            patiently(
                lambda: not jobs.count_documents({"state": {"$in": list(open_states)}}),
                "the end of all jobs",
                PATIENCE_S,
            )
        finally:
            runner.terminate()
            runner.wait()


def test_a_submitted_campaign_gives_what_a_run_gives(
    environment,
    tmp_path,
    database,
    patiently,
    campaign_of,
    campaign_file,
    open_store,
    calculations_in,
):
    address = database()
    project = Project(tmp_path, environment, address)
    file = campaign_file(engines=["mock", "MACE-MP-0"])
    submit = ("submit", file, "--manager", "jobflow-remote", "--store", address, "--batch", "8")
    assert "'jf admin reset'" in project("rocksalt", *submit, code=2)
    project("jf", "admin", "reset", input="y\n")
    said = project("rocksalt", *submit)
    assert "48 calculations, 0 in the store, 0 in the queue, 48 submitted as 6 jobs" in said
    assert "queue: jobflow-remote project here" in said
    assert "48 in the queue, 0 submitted" in project("rocksalt", *submit)
    elsewhere = project("rocksalt", *submit[:5], database(), code=2)
    assert "puts results into another store" in elsewhere
    unknown = project("rocksalt", *submit, "--worker", "nobody", code=2)
    assert "--worker 'nobody': the project here has shell" in unknown

    store = open_store(address)
    project.run_jobs(patiently, store)
    status = project("rocksalt", "status", "small", "--store", address)
    assert "failed: 3 jobs 4, 5, 6 (rock-salt MACE-MP-0)" in status
    assert "pip install mace-torch" in status
    local = open_store()
    wanted = run_campaign(campaign_of(), local).ranking
    assert calculations_in(store) == calculations_in(local)

    retried = project("rocksalt", *submit, "--retry-failed")
    assert "run again: 3 jobs (4, 5, 6)" in retried
    assert "24 in the store, 24 in the queue, 0 submitted" in retried

    only_mock = campaign_file(file="mock.yaml")
    said = project("rocksalt", "submit", only_mock, *submit[2:], "--replace")
    assert "24 calculations, 24 in the store, 0 in the queue, 0 submitted" in said
    printed = project("rocksalt", "run", only_mock, "--store", address, "--format", "json")
    ranking = json.loads(printed[printed.index("{\n") : printed.rindex("}") + 1])
    assert [c["dopant"] for c in ranking["candidates"]] == [c.dopant for c in wanted.candidates]
    assert (
        load_document(store, "ranking-small")["candidates"]
        == (wanted.model_dump(mode="json")["candidates"])
    )
