"""Queries, sorts, projections and updates of random documents, against maggma's MemoryStore.

A store with indexes is also compared with one that has none, over values that the reference
answers in Python's way and not in MongoDB's.
"""

from __future__ import annotations

from datetime import datetime

import pytest
from bson import ObjectId
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from maggma.stores import MemoryStore

from rocksalt.stores.sqlite import SQLiteStore
from rocksalt.stores.sqlite_keys import index_keys, key_of

INDEXED = ("a", "a.x", "b.y", "a.0")
FIELDS = (*INDEXED, "b", "b.x", "c", "a.x.y")

relaxed = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

# The reference compares in Python: True == 1 and False == 0 there, but not in MongoDB. NaN, and
# dates with a time zone, which it cannot compare, are in test_sqlite_store.py.
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([2, 3, -4, 2**40]),
    st.sampled_from([2.0, 2.5, -1e300, float("inf")]),
    st.sampled_from(["", "x", "xy", "é", "\0"]),
    st.sampled_from([datetime(2026, 1, 1), datetime(1969, 1, 1, 0, 0, 0, 1000)]),
    st.sampled_from([ObjectId("0" * 24), ObjectId("f" * 24)]),
    st.sampled_from([b"", b"b", b"ac"]),
)
lists = st.lists(scalars, max_size=3)
leaves = st.one_of(scalars, lists)
subdocuments = st.dictionaries(st.sampled_from("xy"), leaves, max_size=2)
filled = st.dictionaries(st.sampled_from("xy"), leaves, min_size=1, max_size=2)
# Lists hold scalars or documents, never both: the reference fails to project a mixture.
values = st.one_of(scalars, lists, subdocuments, st.lists(subdocuments, max_size=3))
documents = st.lists(st.dictionaries(st.sampled_from("abc"), values), max_size=8)

operators = st.one_of(
    st.fixed_dictionaries({"$eq": scalars}),
    st.fixed_dictionaries({"$ne": scalars}),
    st.tuples(st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), scalars).map(lambda x: dict([x])),
    st.tuples(st.sampled_from(["$in", "$nin"]), lists).map(lambda x: dict([x])),
    st.fixed_dictionaries({"$all": st.lists(scalars, min_size=1, max_size=2)}),
    st.fixed_dictionaries({"$exists": st.booleans()}),
    st.fixed_dictionaries({"$size": st.integers(0, 3)}),
    st.fixed_dictionaries({"$regex": st.sampled_from(["x", "^$"])}),
    st.fixed_dictionaries({"$elemMatch": st.fixed_dictionaries({"x": scalars})}),
    st.fixed_dictionaries({"$gte": scalars, "$lt": scalars}),
    st.fixed_dictionaries({"$not": st.fixed_dictionaries({"$gt": scalars})}),
)
# The reference takes an empty document for no condition; MongoDB looks for one that is empty.
conditions = st.one_of(scalars, operators, lists, filled)
filters = st.recursive(
    st.dictionaries(st.sampled_from(FIELDS), conditions, max_size=2),
    lambda parts: st.tuples(
        st.sampled_from(["$and", "$or", "$nor"]), st.lists(parts, min_size=1, max_size=3)
    ).map(lambda x: dict([x])),
    max_leaves=4,
)


@pytest.fixture(scope="module")
def new_stores(tmp_path_factory):
    """Return a function that fills a reference, a store with indexes and one without."""
    path = tmp_path_factory.mktemp("stores") / "docs.sqlite"
    with (
        SQLiteStore(path, "with", key="k") as with_indexes,
        SQLiteStore(path, "without", key="k") as without,
    ):
        for field in INDEXED:
            with_indexes.ensure_index(field)

        def fill(docs):
            reference = MemoryStore(key="k")
            reference.connect()
            with_indexes.remove_docs({})
            without.remove_docs({})
            for store in (reference, with_indexes, without):
                store.update([{"k": n, **doc} for n, doc in enumerate(docs)])
            return reference, with_indexes, without

        yield fill


def found(store, *args, **kwargs):
    return [
        {name: value for name, value in doc.items() if name != "_id"}
        for doc in store.query(*args, **kwargs)
    ]


def of_reference(ask):
    """Return the answer of the reference, and give up the example where it fails."""
    try:
        return ask()
    except (TypeError, AttributeError, NotImplementedError):
        assume(False)


@relaxed
@given(docs=documents, criteria=filters)
def test_queries(new_stores, docs, criteria):
    reference, with_indexes, without = new_stores(docs)
    expected = of_reference(lambda: found(reference, criteria))
    assert found(with_indexes, criteria) == expected
    assert found(without, criteria) == expected
    assert with_indexes.count(criteria) == without.count(criteria) == len(expected)


@relaxed
@given(docs=documents, field=st.sampled_from(FIELDS), condition=conditions)
def test_queries_of_one_field(new_stores, docs, field, condition):
    # Only these are counted by the index alone.
    reference, with_indexes, _ = new_stores(docs)
    expected = of_reference(lambda: found(reference, {field: condition}))
    assert found(with_indexes, {field: condition}) == expected
    assert with_indexes.count({field: condition}) == len(expected)


# The reference sorts an array by its first element, MongoDB by its least or greatest.
flat = st.lists(
    st.dictionaries(
        st.sampled_from("abc"),
        st.one_of(scalars, st.dictionaries(st.sampled_from("xy"), scalars, max_size=2)),
    ),
    max_size=8,
)


@relaxed
@given(
    docs=flat,
    sort=st.dictionaries(
        st.sampled_from(["a", "a.x", "b.y", "c"]), st.sampled_from([1, -1]), min_size=1, max_size=2
    ),
    criteria=st.one_of(st.just({}), filters),
    skip=st.integers(0, 3),
    limit=st.integers(0, 4),
)
def test_sorts(new_stores, docs, sort, criteria, skip, limit):
    reference, with_indexes, without = new_stores(docs)
    kwargs = {"sort": sort, "skip": skip, "limit": limit}
    expected = of_reference(lambda: found(reference, criteria, **kwargs))
    assert found(with_indexes, criteria, **kwargs) == expected
    assert found(without, criteria, **kwargs) == expected


def test_sort_of_scalars_uses_the_index(new_stores, monkeypatch):
    docs = [{"a": value} for value in (3, None, "x", True, 2.5, ObjectId(), datetime(2026, 1, 1))]
    reference, with_indexes, _ = new_stores([*docs, {}])
    monkeypatch.setattr("rocksalt.stores.sqlite_documents.sort_key", None)
    for direction in (1, -1):
        assert found(with_indexes, sort={"a": direction}) == found(reference, sort={"a": direction})


@relaxed
@given(docs=documents, field=st.sampled_from(FIELDS), criteria=st.one_of(st.just({}), filters))
def test_distinct(new_stores, docs, field, criteria):
    reference, with_indexes, without = new_stores(docs)
    expected = of_reference(lambda: reference.distinct(field, criteria))
    for store in (with_indexes, without):
        answer = store.distinct(field, criteria)
        assert len(answer) == len(expected)
        assert all(value in expected for value in answer)


paths = st.lists(
    st.sampled_from(["a", "b", "c", "a.x", "a.y", "b.x", "b.x.y", "k"]), min_size=1, unique=True
).filter(lambda fields: not any(f.startswith(f"{g}.") for f in fields for g in fields))


@relaxed
@given(docs=documents, fields=paths)
def test_projections_that_keep(new_stores, docs, fields):
    reference, with_indexes, _ = new_stores(docs)
    expected = of_reference(lambda: found(reference, {}, fields))
    assert found(with_indexes, {}, fields) == expected
    assert found(with_indexes, {}, dict.fromkeys(fields, 1)) == expected
    assert list(with_indexes.query({}, {**dict.fromkeys(fields, 1), "_id": 0})) == expected


# Where a dotted path ends in a scalar, the reference drops that too; MongoDB leaves it.
nested = st.one_of(filled, st.lists(subdocuments, max_size=3))


@relaxed
@given(
    docs=st.lists(st.fixed_dictionaries({"a": nested, "b": nested, "c": values}), max_size=5),
    fields=paths.filter(lambda fields: "b.x.y" not in fields),
)
def test_projections_that_drop(new_stores, docs, fields):
    reference, with_indexes, _ = new_stores(docs)
    properties = dict.fromkeys(fields, 0)
    expected = of_reference(lambda: found(reference, {}, properties))
    assert found(with_indexes, {}, properties) == expected
    assert list(with_indexes.query({}, {**properties, "_id": 0})) == expected


steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("update"),
            st.lists(
                st.fixed_dictionaries(
                    {"k": st.sampled_from([2, 2.0, "x", None]), "j": st.integers(2, 3), "a": values}
                ),
                max_size=4,
            ),
            st.sampled_from(["k", ["k"], ["k", "j"], ["j", "k"]]),
        ),
        st.tuples(st.just("remove"), filters, st.none()),
    ),
    max_size=6,
)


@relaxed
@given(steps=steps)
def test_updates_and_removals(new_stores, steps):
    reference, with_indexes, without = new_stores([])
    for action, argument, key in steps:
        if action == "update":
            for store in (reference, with_indexes, without):
                store.update(argument, key=key)
        else:
            of_reference(lambda criteria=argument: reference.remove_docs(criteria))
            with_indexes.remove_docs(argument)
            without.remove_docs(argument)
        expected = found(reference)
        assert found(with_indexes) == found(without) == expected
    rows = [doc["a"] for doc in with_indexes.query() if not isinstance(doc["a"], (list, dict))]
    for value in rows:
        assert found(with_indexes, {"a": value}) == found(without, {"a": value})


odd = st.recursive(
    st.one_of(
        scalars,
        st.sampled_from([0, 1, 0.0, -0.0, 1.0, float("nan"), 2**53, 2**53 + 1, float(2**53)]),
        st.sampled_from([datetime.fromisoformat("2026-01-01T01:00:00+01:00"), str(ObjectId())]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("xy0"), inner, max_size=2)
    ),
    max_leaves=5,
)
odd_conditions = st.one_of(
    odd,
    st.tuples(
        st.sampled_from(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"]),
        odd,
    ).map(lambda x: dict([x])),
    st.tuples(st.sampled_from(["$in", "$nin"]), st.lists(odd, max_size=3)).map(lambda x: dict([x])),
)


@relaxed
@given(
    docs=st.lists(st.dictionaries(st.sampled_from("abc"), odd), max_size=8),
    field=st.sampled_from(FIELDS),
    condition=odd_conditions,
    direction=st.sampled_from([1, -1]),
)
def test_an_index_changes_no_answer(new_stores, docs, field, condition, direction):
    _, with_indexes, without = new_stores(docs)
    criteria = {field: condition}

    def keys(store, *args, **kwargs):
        return [doc["k"] for doc in store.query(*args, **kwargs)]

    expected = of_reference(lambda: keys(without, criteria))
    assert keys(with_indexes, criteria) == expected
    assert with_indexes.count(criteria) == len(expected)
    sort = {field: direction}
    expected = of_reference(lambda: keys(without, sort=sort))
    assert keys(with_indexes, sort=sort) == expected
    answers = [sorted(map(_shown, store.distinct(field))) for store in (with_indexes, without)]
    assert answers[0] == answers[1]


def _shown(value):
    # Of equal numbers, such as 2 and 2.0, either may stand for both.
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(int(value)) if value == value // 1 else str(value)
    return repr(value)


floats = st.floats(allow_nan=False)


@given(value=floats, other=st.one_of(floats, st.integers(-(2**63), 2**63 - 1)))
def test_keys_of_numbers_order_as_the_numbers_do(value, other):
    assert (key_of(value) < key_of(other)) == (value < other)
    assert (key_of(value) == key_of(other)) == (value == other)


def test_keys_of_a_document():
    doc = {"a": [1, "x", [2], {"b": 3}, None], "n": None, "s": 5}
    kinds = {kind for kind, _ in index_keys("a", doc)}
    assert kinds == {key_of(v)[0] for v in (1, "x", [], {}, None)} | {1, 2, 26}
    assert index_keys("s", doc) == {(10, 5)}
    assert index_keys("missing", doc) == index_keys("s.t", doc) == {(5, 0)}
    assert index_keys("n", doc) == {(5, 0), (2, 0)}
    assert index_keys("a.b", doc) >= {(10, 3), (5, 0)}
