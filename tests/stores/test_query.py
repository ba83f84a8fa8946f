"""Words of the field against a filter written in plain Python, in a file and in memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rocksalt.screening.errors import RocksaltError
from rocksalt.stores.opening import open_store
from rocksalt.stores.query import (
    DEFAULT_PROPERTIES,
    calculation_filter,
    check_filter,
    check_properties,
    load_campaign_doc,
    parse_filter,
    query_calculations,
)
from rocksalt.stores.stability import ABOVE_HULL, energies_above_hull
from rocksalt.workflows.run import run_campaign


@pytest.fixture(scope="module")
def stores(tmp_path_factory, campaign_of):
    """Return two stores of the same content: two campaigns, one of which fails."""
    path = tmp_path_factory.mktemp("query") / "r.sqlite"
    both = [open_store(str(path)), open_store("memory")]
    for store in both:
        run_campaign(campaign_of(hosts=["Mn", "Ni"], name="first"), store)
        failing = {"max_evaluations": 3}
        run_campaign(campaign_of(dopants=["Ti"], relaxation=failing, name="second"), store)
    yield both
    both[0].close()


@pytest.fixture(scope="module")
def everything(stores):
    return [r["output"] for r in stores[1].docs_store.query({"metadata.kind": "calculation"})]


def naive(documents, words):
    def fits(document):
        cations = document["cation_fractions"]
        dopant, host, fraction = (words.get(w) for w in ("dopant", "host", "fraction"))
        return (
            all(symbol in cations for symbol in (dopant, host) if symbol)
            and (fraction is None or abs(cations[dopant] - fraction) < 1e-6)
            and words.get("role", document["role"]) == document["role"]
            and words.get("engine", document["engine"]) == document["engine"]
            and words.get("state", document["state"]) == document["state"]
            and words.get("formula", document["formula_pretty"]) == document["formula_pretty"]
            and set(words.get("chemsys", document["chemsys"]).split("-"))
            == set(document["elements"])
        )

    return sorted(d["key"] for d in documents if fits(d))


WORDS = st.fixed_dictionaries(
    {},
    optional={
        "dopant": st.sampled_from(["Mg", "Ti", "Mn", "Zn"]),
        "host": st.sampled_from(["Mn", "Ni", "Mg"]),
        "fraction": st.sampled_from([0.25, 0.5, 0.75, 1.0, 0.3]),
        "role": st.sampled_from(["element", "oxygen", "end-member", "mixture"]),
        "engine": st.sampled_from(["mock", "chgnet"]),
        "state": st.sampled_from(["done", "failed"]),
        "formula": st.sampled_from(["MnO", "TiMnO2", "O2", "Mn"]),
        "chemsys": st.sampled_from(["Mn-O", "O-Mn", "Ti-Mn-O", "O"]),
    },
)


def keys_in(store, criteria, **options):
    return [r["key"] for r in query_calculations(store, criteria, ["key"], **options)]


@given(words=WORDS)
def test_words_find_what_a_plain_filter_finds(stores, everything, words):
    if "dopant" not in words:
        words = {k: v for k, v in words.items() if k != "fraction"}
    wanted = naive(everything, words)
    for store in stores:
        assert sorted(keys_in(store, calculation_filter(**words))) == wanted


@pytest.mark.parametrize(
    ("words", "number"),
    [
        ({"dopant": "Ti", "host": "Mn", "role": "mixture", "state": "done"}, 3),
        ({"dopant": "Ti", "host": "Mn", "fraction": 0.25, "state": "done"}, 1),
        ({"dopant": "Mn", "host": "Ti", "fraction": 0.75, "state": "done"}, 1),
        ({"role": "oxygen"}, 4),
        ({"formula": "Mn4O4", "role": "end-member"}, 4),
        ({"formula": "MnTiO2"}, 2),
    ],
)
def test_numbers_counted_by_hand(stores, words, number):
    for store in stores:
        assert len(keys_in(store, calculation_filter(**words))) == number


def test_only_a_campaign_s_own(stores):
    first, second = (
        set(load_campaign_doc(stores[0], name).all_keys) for name in ("first", "second")
    )
    for store in stores:
        criteria = calculation_filter()
        assert set(keys_in(store, criteria, campaign="first")) == first
        assert set(keys_in(store, criteria, campaign="second")) == second
        assert len(keys_in(store, criteria)) == len(first | second)


def test_order_limit_and_properties(stores):
    answers = [query_calculations(store, calculation_filter()) for store in stores]
    for rows in answers:
        labels = [row["label"] for row in rows]
        assert labels == sorted(labels)
        assert all(tuple(row) == DEFAULT_PROPERTIES for row in rows)
    by_key = [sorted(rows, key=lambda row: row["key"]) for rows in answers]
    assert by_key[0] == by_key[1]
    limited = query_calculations(stores[0], calculation_filter(), ["label"], limit=5)
    assert [r["label"] for r in limited] == [r["label"] for r in answers[0][:5]]


def test_fields_inside_fields(stores):
    criteria = calculation_filter(dopant="Ti", host="Mn", fraction=0.25, state="done")
    names = ["settings.fmax", "cation_fractions.Ti", "cation_fractions.Zn", "symmetry.wibble"]
    for store in stores:
        (row,) = query_calculations(store, criteria, names)
        assert row == dict(zip(names, [0.02, 0.25, None, None], strict=True))


def test_a_filter_of_other_documents_finds_no_field(stores):
    for store in stores:
        rows = query_calculations(store, {"metadata.kind": "run"}, ["label", "energy_ev"])
        assert rows == [{"label": None, "energy_ev": None}] * 2


@pytest.mark.parametrize("operator", ["$foo", "$nearSphere"])
def test_an_operator_that_nobody_knows(stores, operator):
    for store in stores:
        with pytest.raises(RocksaltError, match="--filter is not understood"):
            query_calculations(store, {"output.role": {operator: 1}})


def test_properties_are_checked():
    assert check_properties("label, energy_ev ,settings.fmax") == [
        "label",
        "energy_ev",
        "settings.fmax",
    ]
    with pytest.raises(RocksaltError, match=r"'enrgy_ev' is not a field.*nearest: energy_ev"):
        check_properties("label,enrgy_ev")


def test_filters_are_json_objects():
    assert parse_filter('{"a": {"$gt": 1}}') == {"a": {"$gt": 1}}
    with pytest.raises(RocksaltError, match="character 5"):
        parse_filter('{"a":')


def test_an_unknown_campaign_names_the_nearest(stores):
    with pytest.raises(RocksaltError, match="did you mean 'first'"):
        load_campaign_doc(stores[0], "frist")
    with pytest.raises(RocksaltError, match="it has first, second"):
        load_campaign_doc(stores[0], "wibble")


@pytest.fixture(scope="module")
def hulls(tmp_path_factory, campaign_of):
    """Return a store with two hulls with MnO, one of which has more competitors."""
    path = tmp_path_factory.mktemp("hulls") / "r.sqlite"
    store = open_store(str(path))
    for name, dopant in (("first", "Ti"), ("second", "Mg")):
        run_campaign(
            campaign_of(name=name, dopants=[dopant], fractions=[0.5], stages=["hull"]), store
        )
    yield store
    store.close()


def test_stability_is_the_energy_above_the_hull(hulls):
    kinds = {"metadata.kind": "hull", "output.engine": "mock"}
    phases = [p for r in hulls.docs_store.query(kinds) for p in r["output"]["phases"]]
    worst = {}
    for phase in phases:
        e = phase["e_above_hull_ev_per_atom"]
        worst[phase["entry_id"]] = max(e, worst.get(phase["entry_id"], e))
    names = ["key", ABOVE_HULL]
    everything = query_calculations(hulls, calculation_filter(engine="mock"), names)
    assert {r["key"]: r[ABOVE_HULL] for r in everything if r[ABOVE_HULL] is not None} == worst
    for limit in (0.0, 0.05, 0.5):
        found = query_calculations(hulls, calculation_filter(), names, stability=limit)
        expected = {key for key, e in worst.items() if e <= limit + 1e-6}
        assert {r["key"] for r in found} == expected
        assert len(found) == len(expected)
    assert len(query_calculations(hulls, calculation_filter(), names, stability=0.0)) > 0
    assert len(query_calculations(hulls, calculation_filter(), names, stability=0.0)) < len(worst)
    of_one = energies_above_hull(hulls, "first", "mock")
    assert of_one.keys() < worst.keys()


def test_stability_without_a_hull(stores):
    with pytest.raises(RocksaltError, match="stability: no hull is in this store: add 'hull'"):
        query_calculations(stores[0], calculation_filter(), stability=0.1)


def test_a_limit_takes_the_first_labels_of_any_filter(stores):
    criteria = {"output.volume": {"$gt": 30}, "metadata.kind": "calculation"}
    for store in stores:
        every = query_calculations(store, criteria, ["label", "key"], campaign="first")
        some = query_calculations(store, criteria, ["label", "key"], campaign="first", limit=3)
        assert len(every) > 3
        assert some == every[:3]


@pytest.mark.parametrize(
    ("criteria", "nearest"),
    [
        ({"output.enrgy_ev": 1}, "nearest: output.energy_ev"),
        ({"$or": [{"output.role": "mixture"}, {"energy_ev": {"$lt": 0}}]}, "output.energy_ev"),
        ({"wibble": 1}, "known: uuid"),
    ],
)
def test_fields_of_a_filter_are_checked(criteria, nearest):
    with pytest.raises(RocksaltError, match=nearest):
        check_filter(criteria)


@pytest.mark.parametrize(
    "criteria",
    [
        {"output.cation_fractions.Ti": 0.5, "uuid": "x", "metadata.kind": "calculation"},
        {"metadata.kind": "run", "output.pid": 3},
        {"output": {"$exists": True}},
        {},
    ],
)
def test_filters_that_pass(criteria):
    check_filter(criteria)
