"""A MongoDB server for tests, and a LaunchPad on it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

import pytest
import yaml

PATIENCE_S = 60


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
def own_server(tmp_path_factory):
    """Return a server of the test's own, which keeps every acknowledged write."""
    _require_server()
    server = Server(tmp_path_factory.mktemp("mongo"), "--sync-on-commit")
    server.start()
    yield server
    server.kill()


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
            settings["authsource"] = place["options"].get("authsource", "admin")
        file = Path(folder) / "my_launchpad.yaml"
        file.write_text(yaml.safe_dump(settings))
        launchpad = LaunchPad.from_dict({**settings, "strm_lvl": "CRITICAL"})
        launchpad.reset("", require_password=False)
        return file, launchpad

    return make
