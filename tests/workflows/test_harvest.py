"""Outputs of batch jobs become the documents that a run writes, whenever they are taken in."""

from __future__ import annotations

import pytest
from jobflow import run_locally

from rocksalt.stores.records import load_document, load_states
from rocksalt.workflows import harvest as module
from rocksalt.workflows.batches import batch_flows, pack
from rocksalt.workflows.harvest import harvest
from rocksalt.workflows.plan import make_plan
from rocksalt.workflows.run import run_campaign
from rocksalt.workflows.stored import save_campaign

pytestmark = [
    # jobflow changes the working directory through a function of monty that is going away
    pytest.mark.filterwarnings("ignore:cd is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Some jobs are not connected:UserWarning"),
]


@pytest.fixture(params=["memory", "sqlite", "mongodb"])
def store(request, open_store, tmp_path):
    """Return a connected store of each kind."""
    if request.param == "memory":
        return open_store()
    if request.param == "sqlite":
        return open_store(tmp_path / "results.sqlite")
    return open_store(request.getfixturevalue("database")())


@pytest.fixture(scope="module")
def whole(campaign_of):
    """Return the store of an undisturbed run and its outcome."""
    from rocksalt.stores.opening import open_store

    store = open_store("memory")
    outcome = run_campaign(campaign_of(), store)
    return store, outcome


@pytest.fixture
def compute(tmp_path):
    """Return a function that runs calculations of a campaign as batch jobs."""

    def compute(campaign, store, some=slice(None), batch_size=5):
        plan = make_plan(campaign)
        save_campaign(store, campaign, plan)
        chosen = list(plan.calculations.values())[some]
        for flow in batch_flows(campaign.name, pack(chosen, batch_size)):
            run_locally(flow, store=store, ensure_success=True, root_dir=tmp_path, log=False)
        return [c.key for c in chosen]

    return compute


def test_a_harvest_gives_what_a_run_gives(store, campaign_of, compute, whole, calculations_in):
    keys = compute(campaign_of(), store)
    assert calculations_in(store) == {}
    first = harvest(store, "small")
    assert (first.n_batches, first.n_calculations, first.campaigns) == (5, 24, ["small"])
    assert calculations_in(store) == calculations_in(whole[0])
    assert set(load_states(store, keys).values()) == {"done"}
    record = store.docs_store.query_one({"uuid": keys[0]})
    theirs = whole[0].docs_store.query_one({"uuid": keys[0]})
    assert {k: v for k, v in record.items() if k in {"uuid", "index", "name", "metadata"}} == {
        k: v for k, v in theirs.items() if k in {"uuid", "index", "name", "metadata"}
    }
    assert record["output"]["completed_at"].endswith("Z")
    ranking = load_document(store, "ranking-small")
    assert ranking["candidates"] == load_document(whole[0], "ranking-small")["candidates"]
    assert ranking["counts"]["missing"] == 0
    for kind in ("mixing", "formation-energy"):
        criteria = {"metadata.kind": kind}
        assert store.docs_store.count(criteria) == whole[0].docs_store.count(criteria) > 0


def test_a_second_harvest_does_nothing(store, campaign_of, compute, calculations_in, monkeypatch):
    compute(campaign_of(), store)
    harvest(store)
    before = calculations_in(store, times=True)
    n_records = store.docs_store.count()
    monkeypatch.setattr(module, "save_many", None)  # nothing is written
    monkeypatch.setattr(module, "stored_results", None)  # nor derived
    second = harvest(store)
    assert (second.n_batches, second.n_calculations, second.campaigns) == (0, 0, [])
    assert calculations_in(store, times=True) == before
    assert store.docs_store.count() == n_records


def test_an_output_that_was_taken_in_keeps_the_keys(store, campaign_of, compute):
    keys = compute(campaign_of(), store, slice(0, 5))
    harvest(store)
    assert store.docs_store.count({"metadata.kind": "batch"}) == 0
    (left,) = store.docs_store.query({"metadata.kind": "harvested-batch"})
    assert left["output"] == {"calculation_keys": keys}
    assert left["name"] == "rock-salt mock 1"
    assert left["metadata"]["campaign"] == "small"


def test_partial_results_show(store, campaign_of, compute):
    compute(campaign_of(), store, slice(0, 10))
    assert harvest(store).n_calculations == 10
    assert load_document(store, "ranking-small")["counts"]["missing"] == 14


@pytest.mark.parametrize(("n_writes", "n_there"), [(0, 0), (3, 15), (5, 24)])
def test_a_harvest_that_was_stopped_goes_on(
    store, campaign_of, compute, whole, calculations_in, monkeypatch, n_writes, n_there
):
    compute(campaign_of(), store)
    written = []

    def stop_in_between(store, records):
        if len(written) == n_writes:
            raise KeyboardInterrupt
        written.append(records)
        save_many(store, records)

    save_many = module.save_many
    monkeypatch.setattr(module, "save_many", stop_in_between)
    if n_writes == 5:  # all calculations are there, nothing is derived of them
        monkeypatch.setattr(module, "save_derived", lambda *_: stop_in_between(None, None))
    with pytest.raises(KeyboardInterrupt):
        harvest(store)
    there = calculations_in(store, times=True)
    assert len(there) == n_there
    monkeypatch.undo()
    rest = harvest(store)
    assert (rest.n_batches, rest.n_calculations) == (5, 24 - n_there)
    after = calculations_in(store, times=True)
    assert {key: after[key] for key in there} == there
    assert calculations_in(store) == calculations_in(whole[0])
    assert load_document(store, "ranking-small")["counts"]["done"] == 24
    assert harvest(store).n_batches == 0


def test_what_is_done_stays_and_a_failure_makes_way(store, campaign_of, compute, calculations_in):
    impatient = campaign_of(relaxation={"max_evaluations": 4})
    keys = compute(impatient, store, slice(0, 4))
    harvest(store)
    states = load_states(store, keys)
    assert set(states.values()) == {"done", "failed"}
    before = calculations_in(store, times=True)
    compute(impatient, store, slice(0, 4))  # as a job that runs once more
    assert harvest(store).n_calculations == sum(s == "failed" for s in states.values())
    after = calculations_in(store, times=True)
    for key, state in states.items():
        same = after[key]["completed_at"] == before[key]["completed_at"]
        assert same == (state == "done")


def test_shared_calculations_serve_every_campaign(store, campaign_of, compute, calculations_in):
    compute(campaign_of(), store)
    one = campaign_of(name="one", dopants=["Mg"])
    assert harvest(store, "one").n_batches == 0
    harvest(store)
    outcome = run_campaign(one, store)
    assert outcome.n_computed == 0


def test_an_output_that_cannot_be_read_is_told_and_left(store, campaign_of, compute):
    keys = compute(campaign_of(), store, slice(0, 10))
    broken = store.docs_store.query_one({"name": "rock-salt mock 1"})
    broken.pop("_id", None)
    del broken["output"]["calculations"][2]["engine"]
    store.docs_store.update([broken], key=["uuid", "index"])
    outcome = harvest(store)
    assert (outcome.n_batches, outcome.n_calculations) == (1, 9)
    ((what, why),) = outcome.unreadable
    assert what.startswith("rock-salt mock 1 ")
    assert "validation error" in why
    assert set(load_states(store, keys)) == set(keys) - {keys[2]}
    assert store.docs_store.count({"metadata.kind": "batch"}) == 1
    again = harvest(store)
    assert (again.n_calculations, len(again.unreadable), again.campaigns) == (0, 1, [])
    run_campaign(campaign_of(), store)  # computes what could not be read
    last = harvest(store)
    assert (last.n_batches, last.n_calculations, last.unreadable) == (1, 0, [])
    assert store.docs_store.count({"metadata.kind": "batch"}) == 0


@pytest.mark.parametrize("output", [None, {}, {"calculations": None}, {"calculations": [1, None]}])
def test_an_output_that_is_none(store, campaign_of, compute, output):
    compute(campaign_of(), store, slice(0, 5))
    broken = store.docs_store.query_one({"name": "rock-salt mock 1"})
    broken.pop("_id", None)
    broken["output"] = output
    store.docs_store.update([broken], key=["uuid", "index"])
    outcome = harvest(store)
    assert (outcome.n_batches, outcome.n_calculations, len(outcome.unreadable)) == (0, 0, 1)


def test_the_documents_of_every_campaign_that_shares_them_are_made(store, campaign_of, compute):
    one = campaign_of(name="one", dopants=["Mg"])
    save_campaign(store, one, make_plan(one))
    other = campaign_of(name="other", dopants=["Zr"], hosts=["Ni"])
    save_campaign(store, other, make_plan(other))
    compute(campaign_of(), store)
    assert set(harvest(store).campaigns) >= {"one", "small"}
    counts = load_document(store, "ranking-one")["counts"]
    assert (counts["done"], counts["missing"]) == (16, 0)
