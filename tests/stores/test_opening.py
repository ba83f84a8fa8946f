"""Stores by address."""

from __future__ import annotations

import pytest
from jobflow import JobStore
from maggma.stores import MemoryStore

from rocksalt.screening.errors import RocksaltError
from rocksalt.stores import opening
from rocksalt.stores.addresses import hide_password, store_address
from rocksalt.stores.mongo import mongo_job_store
from rocksalt.stores.records import INDEXED_FIELDS
from rocksalt.stores.sqlite import SQLiteStore


@pytest.mark.parametrize(
    ("given", "address"),
    [
        (("a", "b", "c"), "a"),
        ((None, "b", "c"), "b"),
        ((None, None, "c"), "c"),
        ((None, "", ""), "results.sqlite"),
        ((None, None, None), "results.sqlite"),
    ],
)
def test_the_nearest_address_wins(given, address):
    assert store_address(*given) == address


def test_jobflow_s_own_store_comes_before_the_default(tmp_path, monkeypatch):
    config = tmp_path / "jobflow.yaml"
    monkeypatch.setenv("JOBFLOW_CONFIG_FILE", str(config))
    assert store_address(None, None, None) == "results.sqlite"
    config.write_text("CONCURRENCY: 1\n")
    assert store_address(None, None, None) == "results.sqlite"
    config.write_text("JOB_STORE: {}\n")
    assert store_address(None, None, None) == "jobflow"
    assert store_address(None, "own.sqlite", None) == "own.sqlite"
    config.unlink()
    monkeypatch.setenv("JOBFLOW_JOB_STORE", "{}")
    assert store_address(None, None, None) == "jobflow"


def test_a_file(tmp_path, open_store):
    store = open_store(tmp_path / "r.sqlite")
    assert isinstance(store, JobStore)
    assert isinstance(store.docs_store, SQLiteStore)
    assert store.docs_store.path == store.additional_stores["data"].path
    store.docs_store.update({"uuid": "a", "index": 1, "name": "x"}, key=["uuid", "index"])
    again = open_store(tmp_path / "r.sqlite", must_exist=True)
    assert again.docs_store.query_one({"uuid": "a"})["name"] == "x"


def test_a_home_of_a_file(open_store, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    open_store("~/r.sqlite")
    assert (tmp_path / "r.sqlite").exists()


def test_memory_is_new_each_time(open_store):
    first, second = open_store(), open_store()
    assert isinstance(first.docs_store, MemoryStore)
    first.docs_store.update({"uuid": "a", "index": 1}, key=["uuid", "index"])
    assert second.docs_store.count() == 0


def test_a_file_that_must_exist(tmp_path, open_store):
    with pytest.raises(RocksaltError, match="no such file: run a campaign first"):
        open_store(tmp_path / "r.sqlite", must_exist=True)
    assert list(tmp_path.iterdir()) == []


def test_indexes_are_made(tmp_path, open_store, monkeypatch):
    made = []
    monkeypatch.setattr(SQLiteStore, "ensure_index", lambda self, key, **_: made.append(key))
    open_store(tmp_path / "r.sqlite")
    assert made == list(INDEXED_FIELDS)


def test_an_error_of_a_server_is_one_line_without_the_password(open_store, monkeypatch):
    class Unreachable(MemoryStore):
        def connect(self, force_reset=False):
            raise TimeoutError("no server at\nmongodb://me:secret@host/db?x=1")

    monkeypatch.setattr(opening, "mongo_job_store", lambda *_: JobStore(Unreachable()))
    with pytest.raises(RocksaltError) as error:
        open_store("mongodb://me:secret@host/db")
    assert str(error.value) == (
        "store mongodb://me:***@host/db: TimeoutError: no server at mongodb://me:***@host/db?x=1"
    )


def test_a_server_address_names_database_and_collections():
    store = mongo_job_store("mongodb://host:27017/screens?retryWrites=true", "docs", "data")
    assert store.docs_store.database == "screens"
    assert store.docs_store.collection_name == "docs"
    assert store.additional_stores["data"].database == "screens"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mongodb://me:pa:ss@host/db", "mongodb://me:***@host/db"),
        ("at mongodb+srv://me:x@host and", "at mongodb+srv://me:***@host and"),
        ("mongodb://host/db", "mongodb://host/db"),
        ("at mongodb://me:p@/ss:@h/db and x@y", "at mongodb://me:***@h/db and x@y"),
        ("mongodb://me:p s@h/db", "mongodb://me:***@h/db"),
        ("mongodb:/me:p@h/db: no such file", "mongodb:/me:***@h/db: no such file"),
        ("mongodb://:x@host/db", "mongodb://:***@host/db"),
        (
            "m://h/d?tlsCertificateKeyFilePassword=x&a=1",
            "m://h/d?tlsCertificateKeyFilePassword=***&a=1",
        ),
        ("?authMechanismProperties=AWS_SESSION_TOKEN:x", "?authMechanismProperties=***"),
        ("MONGODB://me:x@host/db", "MONGODB://me:***@host/db"),
        ("store postgres://me:x@h/d: no", "store postgres://me:***@h/d: no"),
        ("results.sqlite", "results.sqlite"),
    ],
)
def test_passwords_are_hidden(text, shown):
    assert hide_password(text) == shown
