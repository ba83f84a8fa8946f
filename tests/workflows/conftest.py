"""A MongoDB server for tests, and a LaunchPad on it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote_plus
from uuid import uuid4

import pytest
import yaml

PATIENCE_S = 120


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(condition, what, patience_s=PATIENCE_S):
    end = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end, f"{what} never came"
        time.sleep(0.1)


def answers(uri):
    from pymongo import MongoClient
    from pymongo.errors import PyMongoError

    # Whatever it raises, it does not answer.
    with MongoClient(uri, serverSelectionTimeoutMS=500) as client, suppress(PyMongoError):
        return bool(client.admin.command("ping"))
    return False


class Server:
    """A server over TCP that can be killed and started again on the same files."""

    def __init__(self, folder, *options):
        self.folder = Path(folder)
        self.options = options
        self.port = free_port()
        self.uri = f"mongodb://127.0.0.1:{self.port}"
        self.process = None

    def start(self):
        """Start it and wait until it answers."""
        command = [Path(sys.executable).parent / "secantusd-py", "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--storage-path", self.folder / "data"]
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [*command, "--log-level", "WARNING", *self.options], stdout=log, stderr=log
            )
        wait_for(lambda: answers(self.uri), "the server")

    def kill(self):
        """End it at once, as a power cut does."""
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="session")
def patiently():
    """Return a function that waits for a condition."""
    return wait_for


def _require_server():
    if find_spec("secantus") is None:
        pytest.skip("no MongoDB server: set ROCKSALT_TEST_MONGO_URI, or pip install SecantusDB")


@pytest.fixture(scope="session")
def mongo_uri(tmp_path_factory):
    """Return the address of a server: ROCKSALT_TEST_MONGO_URI, or one that is started."""
    given = os.environ.get("ROCKSALT_TEST_MONGO_URI")
    if given:
        yield given.rstrip("/")
        return
    _require_server()
    server = Server(tmp_path_factory.mktemp("mongo"))
    server.start()
    yield server.uri
    server.kill()


@pytest.fixture
def own_server(request, tmp_path_factory):
    """Return a server of the test's own, which keeps every acknowledged write unless asked not to."""
    _require_server()
    options = getattr(request, "param", ("--sync-on-commit",))
    server = Server(tmp_path_factory.mktemp("mongo"), *options)
    server.start()
    yield server
    server.kill()


PASSWORD = "s3cr3t:/@%pass"
"""With every character that must be escaped in an address."""


@pytest.fixture(scope="session")
def guarded(tmp_path_factory):
    """Return a function that gives addresses on a server that asks users for passwords.

    On each of its databases 'results' and 'fw' a writer may write and a reader only read.
    """
    _require_server()
    from pymongo import MongoClient
    from secantus import SecantusDBServer

    folder = str(tmp_path_factory.mktemp("guarded"))
    with SecantusDBServer(storage_path=folder) as server, MongoClient(server.uri) as client:
        for user, role in (("writer", "readWrite"), ("reader", "read")):
            for name in ("results", "fw"):
                client[name].command("createUser", user, pwd=PASSWORD, roles=[role])
    with SecantusDBServer(storage_path=folder, require_auth=True) as server:
        place = server.uri.removeprefix("mongodb://").rstrip("/")
        yield (
            lambda name, user="writer", password=PASSWORD: (
                f"mongodb://{user}:{quote_plus(password)}@{place}/{name}"
            )
        )


@pytest.fixture
def database(mongo_uri):
    """Return a function that gives the address of a new database, dropped after the test."""
    from pymongo import MongoClient

    names = []

    def new():
        names.append(f"rocksalt-test-{uuid4().hex[:12]}")
        return f"{mongo_uri}/{names[-1]}"

    yield new
    with MongoClient(mongo_uri) as client:
        for name in names:
            client.drop_database(name)


@pytest.fixture(scope="session")
def make_launchpad():
    """Return a function that writes a LaunchPad file for a server and makes its database."""
    pytest.importorskip("fireworks", reason="FireWorks is not installed")
    from fireworks import LaunchPad
    from pymongo.uri_parser import parse_uri

    def make(folder, uri):
        place = parse_uri(uri)
        host, port = place["nodelist"][0]
        settings = {"host": host, "port": port, "name": place["database"]}
        if place["username"]:
            settings |= {"username": place["username"], "password": place["password"]}
            settings["authsource"] = place["options"].get("authSource", "admin")
        file = Path(folder) / "my_launchpad.yaml"
        file.write_text(yaml.safe_dump(settings))
        launchpad = LaunchPad.from_dict({**settings, "strm_lvl": "CRITICAL"})
        launchpad.reset("", require_password=False)
        return file, launchpad

    return make


class Cluster:
    """A LaunchPad, a store, and workers."""

    def __init__(self, folder, file, launchpad, address):
        self.folder = folder
        self.file = file
        self.launchpad = launchpad
        self.address = address
        self.options = ("--manager", "fireworks", "--launchpad", file, "--store", address)

    def work(self, **options):
        """Run what is ready, in this process."""
        from fireworks import FWorker
        from fireworks.core.rocket_launcher import rapidfire

        rapidfire(
            self.launchpad, FWorker(**options), str(self.folder), sleep_time=1, strm_lvl="CRITICAL"
        )

    def states(self):
        """Count fireworks by state."""
        return Counter(f["state"] for f in self.launchpad.fireworks.find({}, {"state": 1}))


@pytest.fixture
def make_cluster(tmp_path, make_launchpad):
    """Return a function that makes a cluster of a LaunchPad and a store at addresses."""
    made = []

    def make(launchpad_uri, store_uri):
        file, launchpad = make_launchpad(tmp_path, launchpad_uri)
        made.append(launchpad)
        return Cluster(tmp_path, file, launchpad, store_uri)

    yield make
    for launchpad in made:
        launchpad.connection.close()


@pytest.fixture
def cluster(database, make_cluster):
    """Return a cluster whose LaunchPad and store are on the tests' server."""
    return make_cluster(database(), database())


@pytest.fixture
def results(cluster, open_store):
    """Return a function that opens the cluster's store."""
    return lambda: open_store(cluster.address)


@pytest.fixture
def terminal(monkeypatch):
    """Return a function that makes stdout a terminal of so many columns, which knows no colours."""

    def make(columns=80):
        for name, value in {"TERM": "dumb", "COLUMNS": columns, "LINES": 40}.items():
            monkeypatch.setenv(name, str(value))
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)

    return make


@pytest.fixture
def each_at_once(monkeypatch):
    """Let every result be stored by itself, however quick."""
    from rocksalt.workflows import shared_work

    monkeypatch.setattr(shared_work, "HOLD_S", 0.0)
