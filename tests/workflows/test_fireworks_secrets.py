"""No password enters a LaunchPad, a log or a document, and workers say what they need."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pymongo import MongoClient

pytest.importorskip(
    "fireworks", reason="FireWorks is not installed: pip install 'rocksalt[cluster]'"
)

pytestmark = [
    # commands leave their connections to the end of the process
    pytest.mark.filterwarnings("ignore:Exception ignored in.*MongoClient.__del__"),
    pytest.mark.filterwarnings("ignore:Unclosed MongoClient:ResourceWarning"),
]

PIECES = ("s3cr3t", "%2F%40", ":/@%", "pass@")
"""Pieces of the password as it is, and as it stands in an address."""

FAST = "?serverSelectionTimeoutMS=500"


def assert_secret(*texts):
    for text in texts:
        shown = [piece for piece in PIECES if piece in text]
        assert not shown, text


def everything_in(address):
    """Return all documents of all collections of a database as text."""
    name = address.rpartition("/")[2]
    with MongoClient(address) as client:
        database = client[name]
        found = {each: list(database[each].find()) for each in database.list_collection_names()}
    return str(found)


@pytest.fixture
def secret(guarded):
    """Return the address of an empty database whose server asks for a password."""
    address = guarded("results")
    yield address
    with MongoClient(address) as client:
        for name in client["results"].list_collection_names():
            client["results"][name].delete_many({})


@pytest.fixture
def launchpad_uri(database):
    return database()


@pytest.fixture
def cluster(make_cluster, launchpad_uri, secret):
    return make_cluster(launchpad_uri, secret)


@pytest.fixture
def work(cluster):
    """Return a function that runs a worker with an environment, and gives what it said."""

    def work(**environment):
        names = ("ROCKSALT_STORE", "JOBFLOW_JOB_STORE")
        rest = {name: value for name, value in os.environ.items() if name not in names}
        done = subprocess.run(
            [Path(sys.executable).parent / "rlaunch", "-l", cluster.file, "rapidfire"],
            cwd=cluster.folder,
            env={**rest, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout + done.stderr

    return work


def assert_nothing_shown(cluster, launchpad_uri, secret, *texts):
    assert_secret(everything_in(launchpad_uri), everything_in(secret), *texts)
    for path in cluster.folder.rglob("*"):
        if path.is_file():
            assert_secret(path.read_bytes().decode("utf-8", errors="replace"))


def test_workers_take_the_password_from_their_own_settings(
    cluster, cli, campaign_file, work, launchpad_uri, secret
):
    file = campaign_file()
    shown = []

    def say(*arguments):
        answer = cli(*arguments)
        assert answer.code == 0, answer.err
        shown.extend((answer.out, answer.err))
        return answer

    submitted = say("submit", file, *cluster.options)
    (note,) = (line for line in submitted.err.splitlines() if line.startswith("note: "))
    assert "password is not put into the queue" in note
    assert "ROCKSALT_STORE" in note
    assert cluster.states() == {"READY": 2}
    assert_nothing_shown(cluster, launchpad_uri, secret, *shown)

    shown.append(work())  # a worker that nobody has told
    assert cluster.states() == {"FIZZLED": 2}
    status = say("status", "--store", secret)
    assert (
        "failed: 2 jobs 1, 2 (rock-salt mock): RocksaltError: this worker: it does not know the "
        "password of store mongodb://writer:***@"
    ) in status.out
    assert "set ROCKSALT_STORE" in status.out

    say("submit", file, *cluster.options, "--retry-failed")
    shown.append(work(ROCKSALT_STORE=secret.replace("//writer:", "//nobody:")))
    status = say("status", "--store", secret)
    assert "failed: 2 jobs 1, 2" in status.out
    assert "this worker: store mongodb://nobody:***@" in status.out
    assert "refuses this user with this password" in status.out

    say("submit", file, *cluster.options, "--retry-failed")
    shown.append(work(ROCKSALT_STORE=secret))
    assert cluster.states() == {"COMPLETED": 2}
    assert "24 of 24 calculations done" in " ".join(say("results", "--store", secret).out.split())
    assert_nothing_shown(cluster, launchpad_uri, secret, *shown)


@pytest.mark.parametrize(
    "settings", ["store: [{}]", "stor: {}", "store: {}\n\t: x", "store: 1\nworkers: {}"]
)
def test_wrong_settings_of_a_worker_do_not_show_it(
    cluster, cli, campaign_file, work, launchpad_uri, secret, settings, tmp_path_factory
):
    assert cli("submit", campaign_file(), *cluster.options).code == 0
    file = tmp_path_factory.mktemp("worker") / "settings.yaml"
    file.write_text(settings.format(f"'{secret}'"))
    said = work(ROCKSALT_CONFIG_FILE=str(file))
    assert cluster.states() == {"FIZZLED": 2}
    status = cli("status", "--store", secret)
    assert "RocksaltError: this worker: settings" in status.out
    assert_nothing_shown(cluster, launchpad_uri, secret, said, status.out, status.err)


def test_a_worker_refuses_a_store_of_other_campaigns(
    cluster, cli, campaign_file, work, database, secret
):
    other = database()
    assert cli("submit", campaign_file(), *cluster.options).code == 0
    work(ROCKSALT_STORE=other)
    assert cluster.states() == {"FIZZLED": 2}
    status = cli("status", "--store", secret)
    assert f"this worker's store {other} does not hold campaign 'small'" in status.out
    assert "correct ROCKSALT_STORE" in status.out


def test_a_worker_may_take_the_store_from_jobflow(
    make_cluster, cli, campaign_file, database, work, monkeypatch
):
    from jobflow import SETTINGS, JobStore

    uri = database()
    docs = {"type": "MongoStore", "database": None, "collection_name": "outputs", "uri": uri}
    data = {"type": "GridFSStore", "database": uri.rpartition("/")[2], "collection_name": "blobs"}
    spec = {"docs_store": docs, "additional_stores": {"data": {**data, "uri": uri}}}
    monkeypatch.setattr(SETTINGS, "JOB_STORE", JobStore.from_dict_spec(spec))
    cluster = make_cluster(database(), "jobflow")
    file = campaign_file()
    assert cli("submit", file, *cluster.options).code == 0
    work()
    status = cli("status", "--store", "jobflow")
    assert "failed: 2 jobs 1, 2" in status.out
    assert "does not hold campaign 'small'" in status.out
    assert "correct JOB_STORE in jobflow's configuration" in status.out
    assert cli("submit", file, *cluster.options, "--retry-failed").code == 0
    own = cluster.folder / "jobflow.yaml"
    own.write_text(yaml.safe_dump({"JOB_STORE": spec}))
    work(JOBFLOW_CONFIG_FILE=str(own))
    assert cluster.states() == {"COMPLETED": 2}
    ranking = cli("results", "--store", "jobflow")
    assert "24 of 24 calculations done" in " ".join(ranking.out.split())


# --- what is wrong is one line, and nothing is submitted ---------------------------------------


def refused(answer, *words):
    assert answer.code == 2
    assert answer.out == ""
    assert len(answer.err.splitlines()) == 1, answer.err
    assert answer.err.startswith("rocksalt: ")
    assert_secret(answer.err)
    for word in words:
        assert word in answer.err, answer.err


def test_a_store_that_cannot_be_written(cli, campaign_file, cluster, guarded, launchpad_uri):
    place = launchpad_uri.rpartition("/")[0]  # a server without TLS
    for address, words in (
        (guarded("results", password="wrong"), "refuses this user with this password"),
        (guarded("results", "reader"), "ask for the role readWrite"),
        (guarded("results").replace("//", "//x", 1), "refuses this user"),
        ("mongodb://" + guarded("results").rpartition("@")[2], "wants a user and a password"),
        (f"mongodb://writer:s3cr3t@127.0.0.1:1/results{FAST}", "no server answers: start it"),
        (f"{place}/results{FAST}&tls=true", "no server answers with TLS: leave tls=true out"),
    ):
        answer = cli("submit", campaign_file(), *cluster.options[:-1], address)
        refused(answer, "store mongodb://", words)
    assert cluster.states() == {}


@pytest.fixture
def guarded_launchpad(make_launchpad, guarded, tmp_path):
    """Return a function that writes the file of a LaunchPad that asks for a password."""
    file, launchpad = make_launchpad(tmp_path, f"{guarded('fw')}?authSource=fw")
    settings = yaml.safe_load(file.read_text())

    def write(**changes):
        file.write_text(yaml.safe_dump({**settings, **changes}))
        return file

    yield write
    launchpad.connection.close()


def test_a_launchpad_that_cannot_be_written(cli, campaign_file, guarded_launchpad, database):
    store = database()
    for changes, words in (
        ({"password": "wrong-s3cr3t"}, "correct username, password and authsource"),
        ({"authsource": "results2"}, "correct username, password and authsource"),
        ({"username": "reader"}, "ask for the role readWrite"),
        ({"username": None, "password": None}, "its user may not do that"),
        ({"mongoclient_kwargs": {"tls": True, "serverSelectionTimeoutMS": 500}}, "TLS"),
    ):
        file = guarded_launchpad(**changes)
        options = ("--manager", "fireworks", "-l", file, "--store", store)
        refused(cli("submit", campaign_file(), *options), f"LaunchPad {file}: ", words)
    file = guarded_launchpad()
    options = ("--manager", "fireworks", "-l", file, "--store", store)
    assert cli("submit", campaign_file(), *options).code == 0
    file = guarded_launchpad(username="reader")
    status = cli("status", "--store", store)  # who may read sees the queue
    assert "rock-salt mock 2 2 0 0 0" in " ".join(status.out.split())
