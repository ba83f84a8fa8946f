"""The SQLite store as a maggma store: updates, queries, indexes, serialization, errors."""

from __future__ import annotations

import copy
import json
import os
import pickle
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from bson import ObjectId
from jobflow import Flow, JobStore, job, run_locally
from maggma.core import Sort, Store, StoreError, Validator
from maggma.stores import MemoryStore
from monty.json import MontyDecoder
from monty.serialization import dumpfn

from rocksalt.screening.errors import RocksaltError
from rocksalt.stores import sqlite_file
from rocksalt.stores.sqlite import SQLiteStore


@pytest.fixture
def store(tmp_path):
    with SQLiteStore(tmp_path / "docs.sqlite", key="k") as opened:
        yield opened


def plain(docs):
    return [{name: value for name, value in doc.items() if name != "_id"} for doc in docs]


# What maggma expects of every store.


def test_nothing_is_touched_before_connect(tmp_path):
    store = SQLiteStore(tmp_path / "docs.sqlite")
    assert isinstance(store, Store)
    assert store.name == f"sqlite://{tmp_path}/docs.sqlite/docs"
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StoreError, match="connect"):
        store.count()


def test_connect_close_and_reconnect(tmp_path):
    store = SQLiteStore(tmp_path / "docs.sqlite", key="k")
    store.connect()
    store.update({"k": 1})
    store.connect()
    store.connect(force_reset=True)
    assert store.count() == 1
    store.close()
    store.close()
    with pytest.raises(StoreError, match="connect"):
        list(store.query())
    assert [path.name for path in tmp_path.iterdir()] == ["docs.sqlite"]
    store.connect()
    assert store.query_one()["k"] == 1
    store.close()


def test_count(store):
    assert store.count() == 0
    store.update([{"k": n, "a": n % 2, "b": n % 3} for n in range(12)])
    store.ensure_index("a")
    assert store.count() == 12
    assert store.count({}) == 12
    assert store.count({"a": 1}) == 6
    assert store.count({"b": 1}) == 4
    assert store.count({"a": 1, "k": {"$gte": 6}}) == 3
    assert store.count({"a": 1, "k": {"$in": [1, 2, 3]}}) == 2
    assert store.count({"a": 1, "b": 1}) == 2


def test_query(store):
    store.update([{"k": n, "a": n, "b": [n, n + 1], "c": {"d": n}} for n in (3, 1, 2)])
    assert plain(store.query({"a": 1})) == [{"k": 1, "a": 1, "b": [1, 2], "c": {"d": 1}}]
    assert [doc["k"] for doc in store.query({"b": 2})] == [1, 2]
    assert [doc["k"] for doc in store.query(sort={"a": -1})] == [3, 2, 1]
    assert [doc["k"] for doc in store.query(sort={"a": Sort.Ascending}, skip=1, limit=1)] == [2]
    assert [doc["k"] for doc in store.query(skip=1)] == [1, 2]
    assert plain(store.query({"a": 1}, ["k", "c.d"])) == [{"k": 1, "c": {"d": 1}}]
    assert list(store.query({"a": 1}, {"_id": 0, "k": 1})) == [{"k": 1}]
    assert store.query_one({"a": 7}) is None


def test_update_replaces_and_keeps_the_identifier(store):
    store.update([{"k": 1, "a": 1, "gone": True}, {"k": 2}])
    before = store.query_one({"k": 1})
    assert isinstance(before["_id"], ObjectId)
    store.update({"k": 1, "a": 2})
    assert store.query_one({"k": 1}) == {"_id": before["_id"], "k": 1, "a": 2}
    store.update(store.query_one({"k": 1}))
    assert store.count() == 2
    with pytest.raises(RocksaltError, match="another _id: leave _id out"):
        store.update({"k": 1, "_id": "mine"})
    with pytest.raises(RocksaltError, match=r"two documents have _id = .* unique"):
        store.update({"k": 3, "_id": before["_id"]})
    assert store.query_one({"k": 1})["a"] == 2
    assert store.count() == 2


def test_update_by_several_keys(store):
    docs = [{"uuid": u, "index": i, "v": 0} for u in "ab" for i in (1, 2)]
    store.update(docs, key=["uuid", "index"])
    store.update([{"uuid": "a", "index": 2, "v": 1}], key=["uuid", "index"])
    assert plain(store.query({"v": 1})) == [{"uuid": "a", "index": 2, "v": 1}]
    assert store.count() == 4
    with pytest.raises(KeyError, match="index"):
        store.update({"uuid": "a"}, key=["uuid", "index"])
    store.update([])
    assert store.count() == 4


def test_update_is_all_or_nothing(store):
    with pytest.raises(RocksaltError, match=r"\{'k': 2\} cannot be stored .*8-byte ints.*64 bits"):
        store.update([{"k": 1}, {"k": 2, "a": 2**64}])
    assert store.count() == 0
    store.update({"k": 1})
    assert store.count() == 1


def test_values_come_back_as_they_were(store):
    moment = datetime(2026, 1, 2, 3, 4, 5, 678000)
    values = [
        None,
        True,
        1,
        2**62,
        1.5,
        float("inf"),
        "x\0é",
        b"\0\xff",
        ObjectId(),
        moment,
        {},
        [],
    ]
    store.update({"k": 1, "values": values})
    assert store.query_one()["values"] == values


def test_groupby(store):
    store.update([{"k": n, "a": n % 2, "c": {"d": n % 3}} for n in range(6)] + [{"k": 9}])
    groups = {key["a"]: docs for key, docs in store.groupby("a", properties=["k"])}
    assert {a: sorted(d["k"] for d in docs) for a, docs in groups.items()} == {
        0: [0, 2, 4],
        1: [1, 3, 5],
    }
    assert len(list(store.groupby(["a", "c.d"]))) == 6
    assert [key for key, _ in store.groupby("c.d", {"k": 2})] == [{"c": {"d": 2}}]


def test_remove_docs(store):
    store.ensure_index("a")
    store.update([{"k": n, "a": n % 2} for n in range(10)])
    store.remove_docs({"a": 1})
    assert store.count() == store.count({"a": 0}) == 5
    assert store.distinct("a") == [0]
    store.remove_docs({})
    assert store.count() == 0
    assert store.distinct("k") == []


def test_last_updated_and_newer_in(tmp_path):
    now = datetime(2026, 5, 6)
    old = SQLiteStore(tmp_path / "docs.sqlite", "old", key="k")
    new = SQLiteStore(tmp_path / "docs.sqlite", "new", key="k")
    with old, new:
        assert old.last_updated == datetime.min
        old.update([{"k": n, "last_updated": now} for n in range(4)])
        new.update([{"k": n, "last_updated": now + timedelta(hours=n - 1)} for n in range(6)])
        assert new.last_updated == now + timedelta(hours=4)
        assert sorted(old.newer_in(new)) == [2, 3, 4, 5]
        assert sorted(old.newer_in(new, exhaustive=True)) == [2, 3, 4, 5]
        assert old.newer_in(new, criteria={"k": 3}, exhaustive=True) == [3]
        assert new.newer_in(old) == []
        old.remove_docs({})
        old.update({"k": 1})
        with pytest.raises(StoreError, match="last_updated"):
            _ = old.last_updated


class _OnlySmall(Validator):
    def __init__(self, strict=False):
        self.strict = strict

    def is_valid(self, doc):
        return doc["k"] < 5

    def validation_errors(self, doc):
        return [f"{doc['k']} is too large"]


def test_validator(tmp_path):
    with SQLiteStore(tmp_path / "docs.sqlite", key="k", validator=_OnlySmall()) as store:
        store.update([{"k": 1}, {"k": 7}])
        assert store.distinct("k") == [1]
        store.validator = _OnlySmall(strict=True)
        with pytest.raises(ValueError, match="7 is too large"):
            store.update({"k": 7})


# Distinct, indexes, sorting.


def test_distinct(store):
    docs = [{"a": 1, "b": [1, 2]}, {"a": "x"}, {"a": None, "b": [2, 3, []]}, {"b": {"c": 1}}]
    store.update([{"k": n, **doc} for n, doc in enumerate(docs)])
    for _ in range(2):  # first without indexes, then with them
        assert sorted(store.distinct("a"), key=str) == [1, None, "x"]
        assert sorted(store.distinct("b"), key=str) == [1, 2, 3, [], {"c": 1}]
        assert store.distinct("b.c") == [1]
        assert store.distinct("b", {"a": 1}) == [1, 2]
        assert store.distinct("missing") == []
        for field in ("a", "b", "b.c"):
            store.ensure_index(field)


def test_numbers_and_booleans_are_not_equal(store):
    values = [True, 1, 1.0, False, 0, -0.0, 2**53, 2**53 + 1, float(2**53)]
    store.update([{"k": n, "a": value, "b": [value]} for n, value in enumerate(values)])
    for _ in range(2):
        for field in "ab":
            assert [d["k"] for d in store.query({field: True})] == [0]
            assert [d["k"] for d in store.query({field: 1})] == [1, 2]
            assert [d["k"] for d in store.query({field: {"$in": [False, 2**53]}})] == [3, 6, 8]
            assert [d["k"] for d in store.query({field: {"$ne": 0}})] == [0, 1, 2, 3, 6, 7, 8]
            assert store.count({field: {"$lt": 1}}) == 2
        assert [d["k"] for d in store.query({"b": [True]})] == [0]
        assert sorted(map(repr, store.distinct("a"))) == sorted(
            ["True", "1", "False", "0", str(2**53), str(2**53 + 1)]
        )
        store.ensure_index("a")
        store.ensure_index("b")


def test_nan_and_huge_numbers(store):
    nan = float("nan")
    store.update([{"k": 1, "a": nan}, {"k": 2, "a": 3}, {"k": 3, "a": -float("inf")}, {"k": 4}])
    for _ in range(2):
        assert [d["k"] for d in store.query({"a": nan})] == [1]
        assert [d["k"] for d in store.query({"a": {"$lt": 5}})] == [2, 3]
        assert [d["k"] for d in store.query({"a": {"$lt": 10**30}})] == [2, 3]
        assert [d["k"] for d in store.query({"a": 10**30})] == []
        assert [d["k"] for d in store.query(sort={"a": 1})] == [4, 1, 3, 2]
        assert [d["k"] for d in store.query(sort={"a": -1})] == [2, 3, 1, 4]
        store.ensure_index("a")


def test_dates_with_and_without_a_time_zone(store):
    noon = datetime.fromisoformat("2026-03-01T12:00:00")
    store.update([{"k": 1, "a": noon}, {"k": 2, "a": datetime.fromisoformat("2026-03-01T12:30Z")}])
    for _ in range(2):
        assert store.count({"a": datetime.fromisoformat("2026-03-01T13:00:00+01:00")}) == 1
        assert store.count({"a": {"$gt": datetime.fromisoformat("2026-03-01T12:00:00Z")}}) == 1
        assert store.count({"a": {"$gte": noon}}) == 2
        assert store.query_one(sort={"a": -1})["a"] == noon + timedelta(minutes=30)
        store.ensure_index("a")


def test_a_text_is_not_an_object_id(store):
    oid = ObjectId()
    store.update([{"k": 1, "a": oid}, {"k": 2, "a": str(oid)}, {"k": 3, "a": [str(oid)]}])
    for _ in range(2):
        assert [d["k"] for d in store.query({"a": oid})] == [1]
        assert [d["k"] for d in store.query({"a": str(oid)})] == [2, 3]
        store.ensure_index("a")


def test_whole_arrays_and_documents(store):
    store.update([{"k": n, "a": a} for n, a in enumerate([[1, 2], [[1, 2], 3], [2, 1], {"b": 1}])])
    for _ in range(2):
        assert [d["k"] for d in store.query({"a": [1, 2]})] == [0, 1]
        assert [d["k"] for d in store.query({"a": {"b": 1}})] == [3]
        assert [d["k"] for d in store.query({"a": {"$in": [[2, 1], {"b": 1}, 3]}})] == [1, 2, 3]
        assert [d["k"] for d in store.query({"a": {"$all": [1, 2]}})] == [0, 2]
        assert [d["k"] for d in store.query({"a": {}})] == []
        store.ensure_index("a")


def test_null_matches_missing(store):
    store.update([{"k": 1}, {"k": 2, "a": None}, {"k": 3, "a": 0}, {"k": 4, "a": [None, 1]}])
    for _ in range(2):
        assert [d["k"] for d in store.query({"a": None})] == [1, 2, 4]
        assert [d["k"] for d in store.query({"a": {"$in": [None, 0]}})] == [1, 2, 3, 4]
        assert [d["k"] for d in store.query({"a": {"$ne": None}})] == [3]
        assert [d["k"] for d in store.query({"a": {"$exists": False}})] == [1]
        store.ensure_index("a")


def test_arrays_sort_by_their_least_or_greatest_element(store):
    store.update([{"k": 1, "a": [5, 1]}, {"k": 2, "a": 3}, {"k": 3, "a": []}, {"k": 4}])
    for _ in range(2):
        assert [d["k"] for d in store.query(sort={"a": 1})] == [3, 4, 1, 2]
        assert [d["k"] for d in store.query(sort={"a": -1})] == [1, 2, 4, 3]
        store.ensure_index("a")


def test_the_shorter_bytes_sort_first(store):
    store.update([{"k": 1, "a": b"ac"}, {"k": 2, "a": b"b"}])
    for _ in range(2):
        assert [d["k"] for d in store.query(sort={"a": 1})] == [2, 1]
        store.ensure_index("a")


def test_a_long_list_is_looked_up(store):
    store.update([{"k": n, "a": {"n": n}} for n in range(300)])
    wanted = list(range(250, 50_000))  # more than SQLite takes as parameters
    assert store.count({"k": {"$in": wanted}}) == 50
    assert [d["k"] for d in store.query({"a.n": {"$in": wanted}})] == list(range(250, 300))
    branches = [{"k": n} for n in range(2000)]
    assert len(list(store.query({"$or": branches}))) == 300


def test_projection_needs_one_kind(store):
    store.update({"k": 1, "a": [{"b": 1, "c": 2}, 5, [{"b": 3}]], "d": {"e": 1, "f": 2}})
    one = store.query_one
    assert one({}, {"_id": 0, "a.b": 1}) == {"a": [{"b": 1}, [{"b": 3}]]}
    assert one({}, {"_id": 0, "k": 0, "a.b": 0, "d.e": 0}) == {
        "a": [{"c": 2}, 5, [{}]],
        "d": {"f": 2},
    }
    assert set(one({}, {"_id": 1})) == {"_id"}
    assert set(one({}, {"_id": 0})) == {"k", "a", "d"}
    assert set(one({}, {"d.e.x": 1, "k": 1})) == {"_id", "k", "d"}
    with pytest.raises(RocksaltError, match="either only fields to keep"):
        one({}, {"k": 1, "d": 0})
    with pytest.raises(RocksaltError, match=r"'d.e' and also a field above or below"):
        one({}, ["d", "d.e"])
    with pytest.raises(RocksaltError, match=r"only 1 \(keep\) and 0 \(drop\)"):
        one({}, {"a": {"$slice": 1}})


def test_unique_index(store):
    store.update([{"k": 1, "a": 1}, {"k": 2, "a": [2, 3]}, {"k": 3, "a": {"b": 1}}, {"k": 4}])
    assert store.ensure_index("a", unique=True)
    assert store.ensure_index("a")
    for value in (1, 1.0, 3, [7, 2], {"b": 1}, None):
        with pytest.raises(RocksaltError, match=r"two documents have a = .* unique"):
            store.update([{"k": 8, "a": 99}, {"k": 9, "a": value}])
        assert store.count() == 4
    store.update([{"k": 1, "a": 1, "again": True}, {"k": 5, "a": True}, {"k": 6, "a": {"b": 2}}])
    assert store.count() == 6


@pytest.mark.parametrize("value", [1, None, {"b": 1}, b"x"])
def test_unique_index_on_documents_that_violate_it(store, value):
    store.update([{"k": 1, "a": value}, {"k": 2, "a": value}])
    store.ensure_index("a")
    with pytest.raises(RocksaltError, match=r"two documents have a = .* unique"):
        store.ensure_index("a", unique=True)
    store.update({"k": 3, "a": value})
    assert store.count() == 3


def test_indexes_are_used(store, monkeypatch):
    store.update([{"k": n, "a": n % 7, "b": n, "c": [n, -n]} for n in range(500)])
    for field in "abc":
        store.ensure_index(field)

    def scan(*args):
        raise AssertionError("the whole collection was read")

    monkeypatch.setattr(store._file, "scan", scan)
    served = [
        {"a": 3},
        {"a": {"$in": [1, 2]}},
        {"a": {"$gt": 5}},
        {"a": {"$exists": False}},
        {"c": {"$all": [4, -4]}},
        {"$or": [{"a": 1}, {"b": 4}]},
        {"$and": [{"a": 1}, {"x": 4}]},
        {"a": 3, "x": {"$regex": "y"}},
    ]
    for criteria in served:
        list(store.query(criteria))
        store.count(criteria)
    assert [d["b"] for d in store.query(sort={"b": -1}, limit=2)] == [499, 498]
    assert len(store.distinct("a")) == 7
    for criteria in ({"x": 1}, {"$or": [{"a": 1}, {"x": 1}]}, {"a": {"$ne": 1}}):
        with pytest.raises(AssertionError, match="whole collection"):
            list(store.query(criteria))


def test_the_narrowest_index_decides(store, monkeypatch):
    store.update([{"k": n, "a": 1, "b": n} for n in range(300)])
    store.ensure_index("a")
    store.ensure_index("b")
    fetched = []
    fetch = store._file.fetch
    monkeypatch.setattr(
        store._file, "fetch", lambda table, rows: fetched.append(len(rows)) or fetch(table, rows)
    )
    assert [d["k"] for d in store.query({"a": 1, "b": {"$lt": 2}})] == [0, 1]
    assert fetched == [2]
    assert [d["k"] for d in store.query({"a": 1}, sort={"b": -1}, limit=3)] == [299, 298, 297]


def test_writing_inside_a_loop_over_a_query(store):
    store.update([{"k": n} for n in range(40)])
    other = SQLiteStore(store.path, key="k")
    with other:
        for doc in store.query():
            other.update({"k": doc["k"] + 100})
            store.update({"k": doc["k"], "seen": True})
    assert store.count() == 80
    assert store.count({"seen": True}) == 40


def test_collections_of_a_file_are_apart(store):
    with SQLiteStore(store.path, 'a "second" one; --', key="k") as second:
        second.update({"k": 1, "from": "second"})
        store.update({"k": 1, "from": "first"})
        assert second.query_one()["from"] == "second"
        assert store.query_one()["from"] == "first"
        assert second != store


# Serialization and jobflow.


def test_serialization(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = SQLiteStore("x.sqlite", "c", "k", "DELETE", "FULL", last_updated_field="when")
    assert store.path == str(tmp_path / "x.sqlite")
    copies = [
        SQLiteStore.from_dict(store.as_dict()),
        MontyDecoder().process_decoded(json.loads(json.dumps(store.as_dict()))),
        json.loads(store.to_json(), cls=MontyDecoder),
        pickle.loads(pickle.dumps(store)),
        copy.deepcopy(store),
    ]
    for other in copies:
        assert other == store
        assert hash(other) == hash(store)
        assert other.as_dict() == store.as_dict()
        assert other.key == "k"
    assert store != SQLiteStore("y.sqlite", "c", last_updated_field="when")
    assert store != MemoryStore("c", last_updated_field="when")
    assert not list(tmp_path.iterdir())


def test_pickle_of_a_connected_store(store):
    store.update({"k": 1})
    other = pickle.loads(pickle.dumps(store))
    with pytest.raises(StoreError, match="connect"):
        other.count()
    with other:
        other.update({"k": 2})
    assert store.count() == 2


@job(data="blob")
def _make(n):
    return {"n": n, "blob": list(range(n))}


@job
def _length(made):
    return len(made["blob"])


# jobflow changes folders with a function that monty has deprecated.
@pytest.mark.filterwarnings("ignore:cd is deprecated:FutureWarning")
def test_job_store_with_additional_data(tmp_path):
    path = tmp_path / "jobs.sqlite"
    spec = {
        "docs_store": {"type": "SQLiteStore", "path": str(path), "collection_name": "outputs"},
        "additional_stores": {
            "data": {"type": "SQLiteStore", "path": str(path), "collection_name": "blobs"}
        },
    }
    store = JobStore.from_dict_spec(spec)
    made = _make(5000)
    length = _length(made.output)
    responses = run_locally(Flow([made, length]), store=store, ensure_success=True, log=False)
    assert responses[length.uuid][1].output == 5000
    assert set(store.get_output(made.uuid)["blob"]) >= {"blob_uuid"}
    assert store.get_output(made.uuid, load=True) == {"n": 5000, "blob": list(range(5000))}
    blobs = store.additional_stores["data"]
    assert blobs.count() == 1
    assert blobs.query_one()["job_uuid"] == made.uuid
    assert store.count() == 2
    assert "uuid" in _index_fields(path)
    store.close()


def _index_fields(path):
    con = sqlite3.connect(path)
    fields = [field for (field,) in con.execute("SELECT field FROM rocksalt_indexes")]
    con.close()
    return fields


def test_configuration_of_jobflow(tmp_path):
    path = tmp_path / "jobs.sqlite"
    dumpfn(
        {"JOB_STORE": JobStore(SQLiteStore(path, "outputs")).as_dict()}, tmp_path / "jobflow.yaml"
    )
    code = "from jobflow import SETTINGS; print(SETTINGS.JOB_STORE.docs_store.name)"
    environment = {**os.environ, "JOBFLOW_CONFIG_FILE": str(tmp_path / "jobflow.yaml")}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == f"sqlite://{path}/outputs"


# Errors that a user can put right.


def message_of(info, path):
    text = str(info.value)
    assert "\n" not in text
    assert str(path) in text
    return text


@pytest.mark.parametrize(
    ("name", "remedy"),
    [("", "is a folder: give the path of a file"), ("no/docs.sqlite", "does not exist: create it")],
)
def test_error_of_the_path(tmp_path, name, remedy):
    with pytest.raises(RocksaltError) as info:
        SQLiteStore(tmp_path / name).connect()
    assert remedy in message_of(info, tmp_path / name)


def test_error_of_a_file_without_permission(tmp_path, monkeypatch):
    path = tmp_path / "docs.sqlite"
    monkeypatch.setattr(os, "access", lambda place, mode: Path(place) != tmp_path)
    with pytest.raises(RocksaltError) as info:
        SQLiteStore(path).connect()
    assert "cannot be written: allow writing" in message_of(info, tmp_path)
    assert not path.exists()


def test_error_of_a_file_that_turns_read_only(store):
    with store._file.reading() as con:
        con.execute("PRAGMA query_only = 1")
    with pytest.raises(RocksaltError) as info:
        store.update({"k": 1})
    assert "cannot be written: allow writing" in message_of(info, store.path)
    with store._file.reading() as con:
        con.execute("PRAGMA query_only = 0")
    store.update({"k": 1})
    assert store.count() == 1


def test_error_of_another_kind_of_file(tmp_path):
    path = tmp_path / "docs.sqlite"
    path.write_text("energy,-7.1\n" * 100)
    with pytest.raises(RocksaltError) as info:
        SQLiteStore(path).connect()
    assert "is not an SQLite file: choose another path" in message_of(info, path)
    assert path.read_text().startswith("energy")


def test_error_of_another_programs_database(tmp_path):
    path = tmp_path / "docs.sqlite"
    con = sqlite3.connect(path)
    con.execute("CREATE TABLE systems (id INTEGER)")
    con.close()
    before = path.read_bytes()
    with pytest.raises(RocksaltError) as info:
        SQLiteStore(path).connect()
    assert "belongs to another program: choose another path" in message_of(info, path)
    assert path.read_bytes() == before


def test_error_of_a_newer_file(tmp_path):
    path = tmp_path / "docs.sqlite"
    con = sqlite3.connect(path)
    con.execute(f"PRAGMA user_version = {sqlite_file.SCHEMA_VERSION + 1}")
    con.close()
    with pytest.raises(RocksaltError) as info:
        SQLiteStore(path).connect()
    assert "newer rocksalt (store version 3, known here: 2): update" in message_of(info, path)


def test_error_of_a_damaged_file(tmp_path):
    path = tmp_path / "docs.sqlite"
    with SQLiteStore(path, key="k") as store:
        store.update([{"k": n, "text": "x" * 500} for n in range(500)])
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    store = SQLiteStore(path, key="k")
    with pytest.raises(RocksaltError) as info:
        store.connect()
    assert "is damaged: restore a copy, or rescue" in message_of(info, path)
    assert f"`sqlite3 {path} .recover`" in str(info.value)


def test_error_of_a_full_disk(store):
    store.update({"k": 0})
    with store._file.reading() as con:
        pages = con.execute("PRAGMA page_count").fetchone()[0]
        con.execute(f"PRAGMA max_page_count = {pages + 5}")
    with pytest.raises(RocksaltError) as info:
        store.update([{"k": n, "text": "x" * 5000} for n in range(1, 100)])
    assert "the disk is full: free some space" in message_of(info, store.path)
    assert plain(store.query()) == [{"k": 0}]


def test_error_of_a_locked_file(tmp_path, monkeypatch):
    path = tmp_path / "docs.sqlite"
    monkeypatch.setattr(sqlite_file, "WAIT_S", 0.1)
    other = sqlite3.connect(path, isolation_level=None)
    with SQLiteStore(path, key="k") as store:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(RocksaltError) as info:
            store.update({"k": 1})
        assert "locked by another process for 60 s: wait" in message_of(info, path)
        assert store.count() == 0  # readers are not held up
        other.execute("ROLLBACK")
        store.update({"k": 1})
    other.close()


def test_error_of_the_options(tmp_path):
    with pytest.raises(RocksaltError, match=r"'wal'.*\"WAL\" or \"DELETE\""):
        SQLiteStore(tmp_path / "docs.sqlite", journal_mode="wal")


# Threads, and journal modes.


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_journal_mode(tmp_path, mode):
    path = tmp_path / "docs.sqlite"
    with SQLiteStore(path, key="k", journal_mode=mode, synchronous="FULL") as store:
        store.update({"k": 1})
        assert (tmp_path / "docs.sqlite-wal").exists() == (mode == "WAL")
        with store._file.reading() as con:
            assert con.execute("PRAGMA synchronous").fetchone() == (2,)
    other = "WAL" if mode == "DELETE" else "DELETE"
    with SQLiteStore(path, key="k", journal_mode=other) as store:
        assert store.count() == 1
        store.update({"k": 2})
        assert (tmp_path / "docs.sqlite-wal").exists() == (other == "WAL")


def test_threads_share_a_store(store):
    def work(thread):
        for n in range(25):
            store.update({"k": f"{thread}-{n}", "thread": thread})
            assert store.count({"thread": thread}) == n + 1

    with ThreadPoolExecutor(4) as pool:
        assert len(list(pool.map(work, range(4)))) == 4
    assert store.count() == 100


def test_stores_that_connect_at_the_same_time(tmp_path):
    stores = [SQLiteStore(tmp_path / "docs.sqlite", key="k") for _ in range(8)]
    barrier = threading.Barrier(len(stores))

    def work(number):
        barrier.wait(timeout=30)
        stores[number].connect()
        stores[number].update({"k": number})

    with ThreadPoolExecutor(len(stores)) as pool:
        list(pool.map(work, range(len(stores))))
    assert stores[0].count() == len(stores)
    for store in stores:
        store.close()
