"""Documents in and out of a store; a file and memory give the same answers."""

from __future__ import annotations

import pytest

from rocksalt.screening.errors import RocksaltError
from rocksalt.stores.calculation_documents import CalculationDoc
from rocksalt.stores.documents import RunDoc, utc_now
from rocksalt.stores.records import (
    BATCH,
    Summary,
    calculation_record,
    campaign_names,
    load_document,
    load_ranking,
    load_states,
    load_summaries,
    save,
    save_many,
)
from rocksalt.workflows.calculate import calculate, failed_document
from rocksalt.workflows.plan import make_plan


@pytest.fixture(params=["memory", "file"])
def store(request, open_store, tmp_path):
    return open_store("memory" if request.param == "memory" else tmp_path / "r.sqlite")


@pytest.fixture(scope="module")
def documents(campaign_of):
    planned = list(make_plan(campaign_of(dopants=["Mg"], fractions=[0.5])).calculations.values())
    return [*map(calculate, planned[:-1]), failed_document(planned[-1], "it\nexploded")]


def test_a_calculation_comes_back(store, documents):
    save_many(store, [calculation_record(d) for d in documents])
    for document in documents:
        again = CalculationDoc.model_validate(load_document(store, document.key))
        assert again == document
    assert store.docs_store.count() == len(documents)


def test_the_form_is_that_of_a_job(store, documents):
    save_many(store, [calculation_record(documents[0])])
    record = store.query_one({"uuid": documents[0].key})
    assert {"uuid", "index", "name", "output", "completed_at", "metadata"} <= set(record)
    assert store.get_output(documents[0].key)["energy_ev"] == documents[0].energy_ev


def test_saving_again_replaces(store, documents):
    save_many(store, [calculation_record(documents[0])])
    changed = documents[0].model_copy(update={"label": "renamed"})
    save_many(store, [calculation_record(changed)])
    assert store.docs_store.count() == 1
    assert load_document(store, documents[0].key)["label"] == "renamed"


def test_saving_nothing(store):
    save_many(store, [])
    assert store.docs_store.count() == 0


def test_summaries_hold_what_derived_quantities_need(store, documents):
    save_many(store, [calculation_record(d) for d in documents])
    keys = [d.key for d in documents]
    found = load_summaries(store, [*keys, "not there"])
    assert set(found) == set(keys)
    for document in documents:
        summary = found[document.key]
        whole = document.model_dump()
        for name, value in summary.model_dump().items():
            assert whole[name] == value, name
    failed = found[documents[-1].key]
    assert (failed.state, failed.error) == ("failed", "it exploded")
    assert failed.energy_ev_per_atom is None
    assert load_summaries(store, []) == {}


@pytest.mark.parametrize("engine", ["gpaw:fast", "mock"])
def test_summaries_of_end_members_with_dft_hold_the_energies_by_order(
    store, documents, monkeypatch, engine
):
    monkeypatch.setattr("rocksalt.stores.records.BATCH", 1)
    energies = {"ferromagnetic": -6.4, "antiferromagnetic": -6.53}
    method = {"code": "GPAW", "energies_ev_per_atom": energies}
    changed = [d.model_copy(update={"method": method, "engine": engine}) for d in documents]
    save_many(store, [calculation_record(d) for d in changed])
    found = load_summaries(store, [d.key for d in documents]).values()
    assert {s.role for s in found} > {"end-member", "mixture"}
    for summary in found:
        several = engine != "mock" and summary.role == "end-member"
        assert summary.method == ({"energies_ev_per_atom": energies} if several else {})
    assert Summary.model_validate(changed[0].model_dump()).method == {
        "energies_ev_per_atom": energies
    }


def test_states(store, documents):
    save_many(store, [calculation_record(d) for d in documents])
    states = load_states(store, [d.key for d in documents] + ["not there"])
    assert states == {d.key: d.state for d in documents}


def test_more_keys_than_one_query_takes(store, documents):
    save_many(store, [calculation_record(d) for d in documents])
    many = [f"unknown {n}" for n in range(BATCH)] + [d.key for d in documents]
    assert set(load_states(store, many)) == {d.key for d in documents}


def test_states_of_most_of_a_store_are_read_in_one_pass(store, documents, monkeypatch):
    monkeypatch.setattr("rocksalt.stores.records.BATCH", 2)
    save_many(store, [calculation_record(d) for d in documents])
    every = {d.key: d.state for d in documents}
    assert load_states(store, [*every, "not there"]) == every
    some = dict(list(every.items())[:2])
    assert load_states(store, some) == some


def test_campaigns_and_rankings(store, campaign_of):
    from rocksalt.workflows.run import run_campaign

    assert campaign_names(store) == []
    with pytest.raises(RocksaltError, match="no ranking in this store; campaigns: none"):
        load_ranking(store, "b")
    for name in ("b", "a"):
        run_campaign(campaign_of(name=name, dopants=["Mg"], fractions=[0.5]), store)
    assert campaign_names(store) == ["a", "b"]
    assert load_ranking(store, "b").campaign == "b"
    with pytest.raises(RocksaltError, match=r"campaign 'c': no ranking in this store; .*: a, b"):
        load_ranking(store, "c")


def test_what_is_not_there_is_none(store):
    assert load_document(store, "run-x") is None
    run = RunDoc(name="x", host="h", pid=1, started_at=utc_now())
    save(store, "run-x", "run", run, "x", campaign="x")
    assert RunDoc.model_validate(load_document(store, "run-x")) == run
