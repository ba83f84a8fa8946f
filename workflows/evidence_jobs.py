"""Jobs that analyse measured files and lay them beside a ranking, and what files a finished flow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jobflow import JobStore, job
from pydantic import Field

from rocksalt.analysis.sample import Sample
from rocksalt.stores.documents import Document, RankingDoc
from rocksalt.stores.experiment_documents import ExperimentDoc
from rocksalt.stores.prediction_documents import PredictionBatchDoc, PredictionDoc
from rocksalt.stores.records import load_ranking, save_many
from rocksalt.workflows.campaign import Campaign
from rocksalt.workflows.evidence import with_evidence
from rocksalt.workflows.experiment import Measurement, analyse, task_of
from rocksalt.workflows.harvest import harvest
from rocksalt.workflows.plan import make_plan
from rocksalt.workflows.plan_stages import chemical_systems
from rocksalt.workflows.predictions import first_candidates, save_predictions, stored_predictions
from rocksalt.workflows.queues import BATCH_KIND
from rocksalt.workflows.stored import save_campaign
from rocksalt.workflows.user_phases import load_user_phases


class EvidenceDoc(Document):
    """A ranking with what was measured of its candidates, and what was predicted of the first."""

    ranking: RankingDoc
    predictions: list[PredictionDoc]
    n_without_result: int = Field(description="Measurements whose job failed")


@job(data="arrays", output_schema=ExperimentDoc)
def analyse_measurement(
    measurement: dict[str, Any], sample: dict[str, Any], folder: str
) -> ExperimentDoc:
    """Analyse one measured file, found from a folder; its curves go to the additional store."""
    task = task_of(Measurement(**measurement), Sample(**sample), Path(folder))
    document, analysis = analyse(task)
    curves = {name: array.tolist() for name, array in analysis.arrays.items()}
    return document.model_copy(update={"arrays": curves})


@job(output_schema=EvidenceDoc)
def file_evidence(
    ranking: RankingDoc, predictions: PredictionBatchDoc, experiments: list[ExperimentDoc | None]
) -> EvidenceDoc:
    """Lay what was measured beside a ranking; measurements whose job failed are counted."""
    found = [
        ExperimentDoc.model_validate({**_fields(each), "arrays": None})
        for each in experiments
        if each is not None
    ]
    return EvidenceDoc(
        ranking=with_evidence(RankingDoc.model_validate(ranking), found),
        predictions=PredictionBatchDoc.model_validate(predictions).predictions,
        n_without_result=len(experiments) - len(found),
    )


def _fields(document: Any) -> dict[str, Any]:
    """Return a document's fields, as the job before gave it or as a store returns it."""
    return dict(document if isinstance(document, dict) else document.model_dump(mode="json"))


def file_flow(store: JobStore, campaign: Campaign) -> None:
    """Make what a finished flow of a screen left in a store the results of a campaign.

    Afterwards every command finds them, as if ``rocksalt run`` had computed them: calculations one by
    one, what follows from them, and the predictions of the first candidates. Once more changes nothing.

    Parameters
    ----------
    store
        That the flow ran with.
    campaign
        Of the flow, no job of which may wait any more: outputs of batches are taken apart.
    """
    criteria = {
        "metadata.campaign": campaign.name,
        "metadata.kind": {"$exists": False},
        "output.calculations": {"$exists": True},
    }
    for found in list(store.docs_store.query(criteria, properties=["uuid", "index"])):
        one = {"uuid": found["uuid"], "index": found["index"]}
        record = store.docs_store.query_one(one)
        if record is not None and not _is_gathered(record["output"]):
            record.pop("_id", None)
            record["metadata"] = {**record["metadata"], "kind": BATCH_KIND}
            save_many(store, [record])
    user = load_user_phases(campaign.entries, chemical_systems(campaign))
    save_campaign(store, campaign, make_plan(campaign, user), user)
    harvest(store, campaign.name)
    ranking = load_ranking(store, campaign.name)
    save_predictions(store, stored_predictions(store, campaign, first_candidates(ranking)))


def _is_gathered(output: dict[str, Any]) -> bool:
    """Whether an output repeats other batches' calculations without their structures."""
    return not any("initial_structure" in each for each in output["calculations"])
