"""Calculations in jobs: all of them, each once, of a fair size, and saying whose they are."""

from __future__ import annotations

from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rocksalt.stores.calculation_documents import CalculationBatchDoc
from rocksalt.workflows.batches import batch_flows, batch_job, pack
from rocksalt.workflows.plan import make_plan
from rocksalt.workflows.queues import (
    QueuedJob,
    failures_in_words,
    only_unmarked,
    unfinished_failures,
    without_results,
)
from rocksalt.workflows.stages import STAGE_OF_ROLE


@pytest.fixture(scope="module")
def planned(campaign_of):
    campaign = campaign_of(engines=["mock", "chgnet"], stages=["rock-salt", "hull"])
    return list(make_plan(campaign).calculations.values())


@given(st.integers(1, 60))
def test_every_calculation_is_in_one_batch(planned, batch_size):
    batches = pack(planned, batch_size)
    keys = list(chain.from_iterable(batch.keys for batch in batches))
    assert sorted(keys) == sorted(c.key for c in planned)
    assert len(set(keys)) == len(keys)
    assert all(1 <= len(batch.calculations) <= batch_size for batch in batches)
    for batch in batches:
        assert {c.engine for c in batch.calculations} == {batch.engine}
        assert {STAGE_OF_ROLE[c.role] for c in batch.calculations} == {batch.stage}
    groups = {(b.stage, b.engine) for b in batches}
    assert len(groups) == 4
    for stage, engine in groups:
        mine = [b.keys for b in batches if (b.stage, b.engine) == (stage, engine)]
        assert list(chain.from_iterable(mine)) == [
            c.key for c in planned if c.engine == engine and STAGE_OF_ROLE[c.role] == stage
        ]
        assert all(len(keys) == batch_size for keys in mine[:-1])


def test_nothing_makes_no_flow():
    assert pack([]) == []
    assert list(batch_flows("none", [])) == []


def test_flows_are_small_and_their_jobs_independent(planned):
    batches = pack(planned, 2)
    flows = list(batch_flows("small", batches, jobs_per_flow=7))
    assert [len(flow.jobs) for flow in flows[:-1]] == [7] * (len(flows) - 1)
    assert sum(len(flow.jobs) for flow in flows) == len(batches)
    assert max(len(flow.jobs) for flow in batch_flows("small", batches)) <= 50
    for flow in flows:
        assert flow.graph.number_of_edges() == 0
        assert flow.name.startswith("small ")


def test_a_job_says_whose_it_is(planned):
    batch = pack(planned, 5)[0]
    made = batch_job("small", batch, 3)
    assert made.name == "rock-salt mock 3"
    assert made.metadata == {
        "campaign": "small",
        "kind": "batch",
        "stage": "rock-salt",
        "engine": "mock",
        "keys": batch.keys,
    }
    assert made.output_schema is CalculationBatchDoc
    assert [c["label"] for c in made.function_args[0]] == [c.label for c in batch.calculations]


def job(number, state, keys, cause=None):
    return QueuedJob(
        str(number), f"rock-salt mock {number}", state, "rock-salt", "mock", keys, cause
    )


def test_a_failed_job_matters_until_its_calculations_are_done():
    jobs = [
        job(1, "failed", ["a", "b"]),
        job(2, "failed", ["c"]),
        job(3, "lost", ["d"]),
        job(4, "failed", ["e"]),
        job(5, "ready", ["f"]),
        job(6, "completed", ["g", "a"]),
        job(7, "completed", ["e"]),
    ]
    states = {"a": "done", "c": "done", "e": "failed"}
    assert [j.number for j in unfinished_failures(jobs, states)] == ["1", "3", "4"]
    assert [j.number for j in unfinished_failures(jobs, states, ["d", "c"])] == ["3"]
    stored = {"d": "failed", **states}
    assert [j.number for j in unfinished_failures(jobs, stored)] == ["1", "4"]
    assert [j.number for j in only_unmarked(jobs, stored)] == ["3"]
    assert only_unmarked(jobs, states) == []
    assert [j.number for j in without_results(jobs, {"g", "f"})] == ["6"]
    assert without_results(jobs, set()) == []


def test_failures_of_one_cause_are_one_line():
    failed = [job(n, "failed", [], "no disk left") for n in range(1, 13)] + [job(13, "lost", [])]
    assert failures_in_words(failed) == [
        "failed: 12 jobs 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 ... (rock-salt mock): no disk left",
        "lost: 1 job 13 (rock-salt mock): its worker gives no sign of life",
    ]
