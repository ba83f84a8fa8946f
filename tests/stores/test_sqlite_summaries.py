"""Summaries of the SQLite store give what the documents give."""

from __future__ import annotations

import sqlite3

import bson
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from rocksalt.stores.projection import partly_decoded, projector
from rocksalt.stores.sqlite import SQLiteStore
from rocksalt.stores.sqlite_schema import SCHEMA_VERSION
from rocksalt.stores.sqlite_summaries import fields_of_filter, fields_of_projection

FIELDS = ["a.x", "a.y", "b"]

scalars = st.sampled_from([None, 1, 2.5, "s", "t", True])
leaves = st.one_of(scalars, st.lists(scalars, max_size=2))
inner = st.dictionaries(st.sampled_from("xyz"), leaves, max_size=3)
values = st.one_of(scalars, inner, st.lists(inner, max_size=2), st.lists(scalars, max_size=2))
documents = st.lists(st.dictionaries(st.sampled_from("abc"), values, max_size=3), max_size=6)
conditions = st.one_of(
    scalars,
    st.fixed_dictionaries({"$in": st.lists(scalars, max_size=3)}),
    st.fixed_dictionaries({"$ne": scalars}),
    st.fixed_dictionaries({"$exists": st.booleans()}),
    st.fixed_dictionaries({"$gt": st.sampled_from([1, 2])}),
)
paths = st.sampled_from(["a", "a.x", "a.y", "a.x.z", "a.0.x", "b", "b.x", "c"])
filters = st.dictionaries(paths, conditions, max_size=2)
projections = st.lists(st.sampled_from(["a.x", "a.y", "b", "c"]), min_size=1, unique=True)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    path = tmp_path_factory.mktemp("summaries") / "docs.sqlite"
    with SQLiteStore(path, "with", key="k") as kept, SQLiteStore(path, "without", key="k") as plain:
        kept.ensure_summary(["k", *FIELDS])
        for store in (kept, plain):
            for field in ("a.x", "b"):
                store.ensure_index(field)
        yield kept, plain


def without_id(found):
    return [{k: v for k, v in doc.items() if k != "_id"} for doc in found]


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(docs=documents, criteria=filters, properties=projections)
def test_same_answers(both, docs, criteria, properties):
    answers = []
    for store in both:
        store.remove_docs({})
        store.update([{"k": n, **doc} for n, doc in enumerate(docs)])
        answers.append(
            (
                without_id(store.query(criteria, properties)),
                without_id(store.query(criteria, properties, sort={"k": -1}, limit=2)),
                store.count(criteria),
                sorted(map(repr, store.distinct("b", criteria))),
                store.texts(criteria, ["b"]),
            )
        )
    assert answers[0] == answers[1]


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(docs=documents, value=st.sampled_from(["s", "t"]))
def test_texts_are_those_of_the_documents(both, docs, value):
    _, store = both
    store.remove_docs({})
    store.update([{"k": n, **doc} for n, doc in enumerate(docs)])
    found = store.texts({"b": value}, ["b", "a.x"])
    if found is not None:
        read = [(doc["b"], doc["a"]["x"]) for doc in store.query({"b": value})]
        assert sorted(found) == sorted(read)
        assert all(isinstance(text, str) for pair in found for text in pair)
        assert store.texts({"b": value}, ["a.x", "b"], limit=2) == sorted(t[::-1] for t in read)[:2]


def test_texts(tmp_path):
    with SQLiteStore(tmp_path / "t.sqlite", key="k") as store:
        for field in ("k", "kind", "out.state"):
            store.ensure_index(field)
        docs = [{"k": str(n), "kind": "x", "out": {"state": "done"}} for n in range(9)]
        store.update([*docs, {"k": "9", "kind": "y", "out": [{"state": "done"}]}])
        found = store.texts({"kind": "x"}, ["k", "out.state"])
        assert sorted(found) == [(d["k"], "done") for d in docs]
        wanted = {"k": {"$in": ["3", "8", "no"]}, "kind": "x"}
        assert sorted(store.texts(wanted, ["k"])) == [("3",), ("8",)]
        assert store.texts({"k": {"$in": []}}, ["k"]) == []
        assert store.texts({"k": "no"}, ["k"]) == []
        assert store.texts({"kind": "y"}, ["out.state"]) is None  # within an array
        assert store.texts({"kind": "x"}, ["out.other"]) is None  # no index
        assert store.texts({"kind": {"$ne": "x"}}, ["k"]) is None  # no equality


@pytest.mark.parametrize("many", [1, 10_000])
def test_first_texts(tmp_path, monkeypatch, many):
    """By a walk through an index, or by collecting what matches: the same."""
    monkeypatch.setattr("rocksalt.stores.sqlite_index._PROBE", many)
    labels = ["b", "a", "c", "a", "b", "a"]
    with SQLiteStore(tmp_path / "f.sqlite", key="k") as store:
        for field in ("k", "kind", "label"):
            store.ensure_index(field)
        docs = [{"k": f"{n:04}", "kind": "xyz"[n % 3], "label": labels[n % 6]} for n in range(1500)]
        store.update(docs[::-1])
        for kinds in (["x"], ["x", "z"]):
            matching = sorted((d["label"], d["k"]) for d in docs if d["kind"] in kinds)
            criteria = {"kind": {"$in": kinds}}
            for limit in (1, 7, 999, 5000):
                assert store.texts(criteria, ["label", "k"], limit) == matching[:limit]
        # Keys by the hundred are asked for in portions.
        some = [d["k"] for d in docs if int(d["k"]) % 2]
        matching = sorted((d["label"], d["k"]) for d in docs if d["k"] in set(some))
        found = store.texts(
            {"k": {"$in": some}, "kind": {"$in": ["x", "y", "z"]}}, ["label", "k"], 9
        )
        assert found == matching[:9]
        store.update({"k": "new", "kind": "x"})  # without a label
        assert store.texts({"kind": "x"}, ["label", "k"], 5) is None
        assert len(store.texts({"kind": "y"}, ["label", "k"], 5)) == 5


@settings(max_examples=300)
@given(doc=st.dictionaries(st.sampled_from("ab"), values), properties=projections)
def test_partly_decoded(doc, properties):
    """What a projection keeps is there, whatever lies on the way."""
    fields = fields_of_projection(properties)
    assume(fields is not None)
    project = projector(properties)
    body = bson.encode(doc)
    assert project(partly_decoded(body, fields)) == project(bson.decode(body))


def test_large_documents_are_decoded_in_part(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr("rocksalt.stores.sqlite_documents._LARGE", 1000)
    real = partly_decoded
    monkeypatch.setattr(
        "rocksalt.stores.sqlite_documents.partly_decoded",
        lambda *given: calls.append(given[1]) or real(*given),
    )
    with SQLiteStore(tmp_path / "l.sqlite", key="k") as store:
        out = {"keys": {"e": ["x"] * 9}, "rest": ["y" * 10] * 500}
        store.update([{"k": 1, "out": out}, {"k": 2, "out": {"keys": {}}}])
        found = list(store.query({"k": {"$gt": 0}}, ["out.keys"]))
        assert [d["out"] for d in found] == [{"keys": out["keys"]}, {"keys": {}}]
        assert store.query_one({"k": 1})["out"] == out
    assert calls == [{"_id", "k", "out.keys"}]


def table(path, name):
    with sqlite3.connect(path) as con:
        return dict(con.execute(f"SELECT id, body FROM {name}"))


def test_summaries_follow_their_documents(tmp_path):
    path = tmp_path / "s.sqlite"
    with SQLiteStore(path, key="k") as store:
        store.update([{"k": n, "small": n, "large": "x" * 5000} for n in range(5)])
        store.ensure_summary(["small"])
        assert [d["small"] for d in store.query({}, ["small"])] == [0, 1, 2, 3, 4]
        assert max(map(len, table(path, "summaries_1").values())) < 100
        store.update([{"k": 1, "small": 10, "large": ""}, {"k": 7, "small": 70}])
        store.remove_docs({"small": 3})
        assert [d["small"] for d in store.query({}, ["small"])] == [0, 10, 2, 4, 70]
        assert table(path, "summaries_1").keys() == table(path, "docs_1").keys()
        store.ensure_summary(["k"])  # more fields: made again, with those that were there
        assert [(d["k"], d["small"]) for d in store.query({"small": 10}, ["k", "small"])] == [
            (1, 10)
        ]


def test_fields_asked_for():
    assert fields_of_filter({"a.b": 1, "$or": [{"c": 2}, {"$and": [{"d": 3}]}]}) == {
        *("a.b", "c", "d")
    }
    assert fields_of_filter({"$expr": {"$gt": ["$a", 1]}}) is None
    assert fields_of_projection(["a", "b.c"]) == ["_id", "a", "b.c"]
    assert fields_of_projection({"a": 1, "_id": 0}) == ["a"]
    for everything in (None, [], {}, {"a": 0}, {"_id": 0}):
        assert fields_of_projection(everything) is None


def test_a_file_of_version_1_is_brought_up_to_date(tmp_path):
    path = tmp_path / "old.sqlite"
    with SQLiteStore(path, key="k") as store:
        store.ensure_index("a.x")
        store.update([{"k": 0, "a": [{"x": "s"}]}, {"k": 1, "a": {"x": "s"}}])
    with sqlite3.connect(path) as con:  # as version 1 left it
        con.execute("DROP TABLE rocksalt_summaries")
        for (number,) in con.execute("SELECT id FROM rocksalt_indexes WHERE field = 'a.x'"):
            con.execute(f"DELETE FROM keys_{number} WHERE kind = 1")
        con.execute("PRAGMA user_version = 1")
    with SQLiteStore(path, key="k") as store:
        store.ensure_summary(["k"])
        assert [d["k"] for d in store.query({"a.x": "s"}, ["k"])] == [0, 1]
        assert store.texts({"a.x": "s"}, ["a.x"]) is None
    with sqlite3.connect(path) as con:
        assert con.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION
