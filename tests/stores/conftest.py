"""A MongoDB server for tests, and one finished campaign in every kind of store."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from urllib.parse import quote_plus

import pytest
from pymongo import MongoClient

KINDS = ("memory", "file", "server")

PASSWORD = "s3cr3t:/@%pass"
"""With every character that must be escaped in an address."""


@dataclass
class Server:
    """A running server."""

    place: str
    real: bool

    def address(self, database, user=None, password=PASSWORD, options=""):
        """Return an address of a database."""
        who = f"{user}:{quote_plus(password)}@" if user else ""
        return f"mongodb://{who}{self.place}/{database}{options}"


@contextmanager
def secantus(folder, **options):
    """Run a MongoDB-compatible server of this process."""
    module = pytest.importorskip(
        "secantus", reason="no server: install SecantusDB, or set ROCKSALT_TEST_MONGO_URI"
    )
    with module.SecantusDBServer(storage_path=str(folder), cache_size="64M", **options) as server:
        yield Server(server.uri.removeprefix("mongodb://").rstrip("/"), real=False)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """Return the server of ROCKSALT_TEST_MONGO_URI, or one that lives as long as the tests."""
    given = os.environ.get("ROCKSALT_TEST_MONGO_URI")
    if given:
        yield Server(given.removeprefix("mongodb://").rstrip("/"), real=True)
        return
    with secantus(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="session")
def guarded(tmp_path_factory):
    """Return a server that asks for passwords, with a writer and a reader of 'mine'."""
    folder = tmp_path_factory.mktemp("guarded")
    with secantus(folder) as server, MongoClient(server.address("")) as client:
        for user, role in (("writer", "readWrite"), ("reader", "read")):
            for database in ("mine", "secret"):
                client[database].command("createUser", user, pwd=PASSWORD, roles=[role])
    with secantus(folder, require_auth=True) as server:
        yield server


_NUMBERS = count()


@pytest.fixture(scope="session")
def new_database(server):
    """Return a function that gives the address of an empty database; all are removed at the end."""
    names = []

    def new():
        names.append(f"rocksalt_test_{os.getpid()}_{next(_NUMBERS)}")
        return server.address(names[-1])

    yield new
    if not server.real:
        return  # its folder goes
    with MongoClient(server.address("")) as client:
        for name in names:
            client.drop_database(name)


@pytest.fixture
def new_store(request, open_store, tmp_path):
    """Return a function that opens an empty store of a kind."""

    def new(kind):
        if kind == "memory":
            return open_store()
        if kind == "file":
            return open_store(tmp_path / f"store-{next(_NUMBERS)}.sqlite")
        return open_store(request.getfixturevalue("new_database")())

    return new


@pytest.fixture(scope="session")
def finished_database(new_database, campaign_of):
    """Return the address of a database with the small campaign; nobody writes to it."""
    from rocksalt.stores.opening import open_store
    from rocksalt.workflows.run import run_campaign

    address = new_database()
    store = open_store(address)
    run_campaign(campaign_of(), store)
    store.close()
    return address


@pytest.fixture
def finished_copy(finished_file, tmp_path):
    """Return a file with the small campaign that a test may change."""
    return shutil.copy(finished_file, tmp_path / "copy.sqlite")


@pytest.fixture
def content_of():
    """Return a function that gives all that is in a store, without times and process numbers."""
    volatile = {"completed_at", "cpu_s", "planned_at", "started_at", "ended_at", "pid", "counts"}

    def without(value):
        if isinstance(value, dict):
            return {k: without(v) for k, v in value.items() if k not in volatile}
        return [without(v) for v in value] if isinstance(value, list) else value

    def content(store):
        return {r["uuid"]: without(r["output"]) for r in store.docs_store.query({})}

    return content
