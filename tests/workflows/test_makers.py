"""The Makers give through jobflow what `rocksalt run` gives."""

from __future__ import annotations

import pytest
from jobflow import JobStore, run_locally
from jobflow.core.job import Job
from maggma.stores import MemoryStore

from rocksalt.screening.errors import RocksaltError
from rocksalt.screening.prototypes import rock_salt
from rocksalt.stores.calculation_documents import CalculationDoc
from rocksalt.stores.documents import RankingDoc
from rocksalt.stores.sqlite import SQLiteStore
from rocksalt.workflows.makers import RelaxMaker, ScreenMaker
from rocksalt.workflows.plan import make_plan
from rocksalt.workflows.relaxer import RelaxationSettings
from rocksalt.workflows.run import run_campaign

# jobflow changes the working directory through a function of monty that is going away
pytestmark = pytest.mark.filterwarnings("ignore:cd is deprecated:FutureWarning")


@pytest.fixture(params=["memory", "sqlite"])
def job_store(request, tmp_path):
    if request.param == "memory":
        store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    else:
        path = tmp_path / "jobs.sqlite"
        store = JobStore(
            SQLiteStore(path, collection_name="docs"),
            additional_stores={"data": SQLiteStore(path, collection_name="data")},
        )
    store.connect()
    yield store
    store.close()


def run_flow(flow, store, folder):
    return run_locally(
        flow, store=store, ensure_success=True, create_folders=False, root_dir=folder, log=False
    )


def without_time(document):
    return document.model_dump(exclude={"completed_at"})  # jobflow drops its time zone


def numbers(value):
    """Return a document with its floats rounded to what may differ."""
    if isinstance(value, dict):
        return {k: numbers(v) for k, v in value.items()}
    if isinstance(value, list):
        return [numbers(v) for v in value]
    return pytest.approx(value, abs=1e-9) if isinstance(value, float) else value


def test_a_screen_gives_the_ranking_of_a_run(campaign_of, open_store, job_store, tmp_path):
    campaign = campaign_of(dopants=["Mg", "Mn", "Ti"], hosts=["Mn", "Mg"])
    flow = ScreenMaker(batch_size=4).make(campaign)
    responses = run_flow(flow, job_store, tmp_path)
    ranking = RankingDoc.model_validate(responses[flow.jobs[-1].uuid][1].output)
    wanted = run_campaign(campaign, open_store()).ranking
    assert [c.verdict for c in ranking.candidates] == [c.verdict for c in wanted.candidates]
    assert [c.model_dump() for c in ranking.candidates] == [
        numbers(c.model_dump()) for c in wanted.candidates
    ]
    for name in ("campaign", "engines", "rules", "hosts", "temperature_k"):
        assert getattr(ranking, name) == getattr(wanted, name)
    for name in ("calculations", "done", "missing", "rejected"):
        assert ranking.counts[name] == wanted.counts[name]
    stored = job_store.query_one({"name": "rank dopants"}, load=True)
    assert without_time(RankingDoc.model_validate(stored["output"])) == without_time(ranking)


def test_jobs_are_of_a_fair_size_and_say_whose_they_are(campaign_of):
    campaign = campaign_of(dopants=["Mg", "Ti"])
    flow = ScreenMaker().make(campaign.model_dump(mode="json"))
    names = [job.name for job in flow.jobs]
    assert names == [
        "relax O2 mock 1",
        "relax Mn mock 1",
        "relax Mg mock 1",
        "relax Ti mock 1",
        "relax Mg-Mn mock 1",
        "relax Mn-Ti mock 1",
        "assess Mg",
        "assess Ti",
        "rank dopants",
    ]
    assert all(job.metadata["campaign"] == "small" for job in flow.jobs)
    batches = [job for job in flow.jobs if job.name.startswith("relax")]
    assert sum(len(job.function_args[0]) for job in batches) == len(
        make_plan(campaign).calculations
    )
    small = ScreenMaker(batch_size=2).make(campaign)
    assert all(len(j.function_args[0]) <= 2 for j in small.jobs if j.name.startswith("relax"))


def test_a_failing_calculation_does_not_stop_the_flow(campaign_of, job_store, tmp_path):
    campaign = campaign_of(relaxation={"max_evaluations": 4})
    flow = ScreenMaker().make(campaign)
    responses = run_flow(flow, job_store, tmp_path)
    ranking = RankingDoc.model_validate(responses[flow.jobs[-1].uuid][1].output)
    assert 0 < len(ranking.counts["rejected"]) < 24
    assert all("not converged" in r["why"] for r in ranking.counts["rejected"])
    assert ranking.counts["done"] == 24 - len(ranking.counts["rejected"])
    assert len(ranking.candidates) == 2


def test_a_relaxation_by_itself(job_store, tmp_path):
    made = RelaxMaker(engine="mock", relaxation=RelaxationSettings(fmax=0.01)).make(
        rock_salt("Mg"), role="end-member", prototype="rock-salt"
    )
    assert isinstance(made, Job)
    assert made.name == "relax MgO rock-salt"
    responses = run_flow(made, job_store, tmp_path)
    document = CalculationDoc.model_validate(responses[made.uuid][1].output)
    assert document.state == "done"
    assert document.role == "end-member"
    assert document.max_force_ev_per_angstrom < 0.01
    stored = job_store.query_one({"uuid": made.uuid}, load=True)
    again = CalculationDoc.model_validate(stored["output"])
    assert without_time(again) == without_time(document)


def test_a_relaxation_that_fails_says_so_in_its_document(job_store, tmp_path):
    made = RelaxMaker(engine="mock", relaxation=RelaxationSettings(max_evaluations=1)).make(
        rock_salt("Mg")
    )
    responses = run_flow(made, job_store, tmp_path)
    document = CalculationDoc.model_validate(responses[made.uuid][1].output)
    assert document.state == "failed"
    assert "not converged" in document.error


def test_a_wrong_campaign_is_refused_before_any_job(settings_of):
    with pytest.raises(RocksaltError, match="dopants: 'Xx' is not an element"):
        ScreenMaker().make(settings_of(dopants=["Xx"]))
