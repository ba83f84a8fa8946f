"""Worker processes: every calculation comes back, whatever happens to a worker."""

from __future__ import annotations

import multiprocessing
import os
import signal

import pytest

from rocksalt.screening.errors import RocksaltError
from rocksalt.workflows import executor
from rocksalt.workflows.executor import MAX_ATTEMPTS, compute
from rocksalt.workflows.plan import make_plan


@pytest.fixture(scope="module")
def calculations(campaign_of):
    return list(make_plan(campaign_of()).calculations.values())


def numbers(documents):
    return {d.key: (d.state, d.energy_ev, d.n_evaluations) for d in documents}


@pytest.fixture(scope="module")
def in_this_process(calculations):
    return numbers(compute(calculations))


def test_a_killed_worker_has_its_calculation_done_again(calculations, in_this_process):
    documents = []
    for document in compute(calculations, 2):
        documents.append(document)
        if len(documents) == 2:
            worker, _ = multiprocessing.active_children()
            os.kill(worker.pid, signal.SIGKILL)
    assert len(documents) == len(calculations)
    assert numbers(documents) == in_this_process


def test_a_calculation_that_kills_its_workers_is_given_up(calculations, monkeypatch):
    start, dead = executor._Pool._start, []

    def start_and_kill(self):
        worker = start(self)
        if len(dead) < MAX_ATTEMPTS:
            worker.process.kill()
            worker.process.join()
            dead.append(worker)
        return worker

    monkeypatch.setattr(executor._Pool, "_start", start_and_kill)
    (document,) = compute(calculations[:1], 2)
    assert document.state == "failed"
    assert document.error == "its worker process died 2 times (signal 9)"
    assert document.energy_ev is None


def test_stopping_finishes_what_runs(calculations):
    done = []

    def enough():
        return len(done) >= 3

    for document in compute(calculations, 1, enough):
        done += [document]
    assert len(done) == 3
    assert all(document.state == "done" for document in done)


def test_stopping_before_the_start_computes_nothing(calculations):
    assert list(compute(calculations, 1, lambda: True)) == []


def test_nothing_to_do_starts_no_worker():
    assert list(compute([], 2)) == []


def test_a_caller_that_leaves_ends_the_workers(calculations):
    documents = compute(calculations, 2)
    next(documents)
    assert len(multiprocessing.active_children()) == 2
    documents.close()
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("n_workers", [1, 2])
def test_an_engine_that_is_missing_ends_it(calculations, n_workers):
    bad = calculations[0].model_copy(update={"engine": "MACE-MP-0"})
    with pytest.raises(RocksaltError, match="pip install mace-torch"):
        list(compute([bad, calculations[1]], n_workers))
    assert multiprocessing.active_children() == []
