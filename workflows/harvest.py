"""From the outputs of batch jobs to the documents that ``rocksalt run`` writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any

from jobflow import JobStore
from pydantic import ValidationError

from rocksalt.stores.calculation_documents import CalculationDoc
from rocksalt.stores.query import load_campaign_doc
from rocksalt.stores.records import calculation_record, campaign_names, load_states, save_many
from rocksalt.workflows.queues import BATCH_KIND
from rocksalt.workflows.stored import save_derived, stored_results

HARVESTED_KIND = "harvested-batch"
"""``metadata.kind`` of an output whose calculations are documents of their own."""


@dataclass
class Harvest:
    """What a harvest found.

    Attributes
    ----------
    n_batches, n_calculations
        Outputs taken in, and documents that they gave.
    campaigns
        Whose derived documents were made anew: all that have one of these calculations.
    unreadable
        Outputs that were left where they are, and why.
    """

    n_batches: int = 0
    n_calculations: int = 0
    campaigns: list[str] = field(default_factory=list)
    unreadable: list[tuple[str, str]] = field(default_factory=list)


def harvest(store: JobStore, campaign: str | None = None) -> Harvest:
    """Turn outputs of batch jobs into documents of calculations, and derive what follows.

    Outputs are taken in one by one; afterwards they hold the keys of their calculations only. A
    finished calculation is never replaced, a failed one by any later result. Stopped at any
    moment and started again, the outcome is the same. Of an output that cannot be read whole, what
    can be read is taken in.

    Parameters
    ----------
    store
        A connected jobflow store.
    campaign
        Only outputs of this campaign. Calculations may serve other campaigns too.
    """
    done = Harvest()
    taken: set[str] = set()
    emptied = []
    spoilt = []
    for batch in _outputs(store, campaign):
        documents, reason = _documents(batch)
        fresh = _not_stored(store, documents)
        save_many(store, [calculation_record(document) for document in fresh])
        done.n_calculations += len(fresh)
        taken |= {document.key for document in fresh}
        if reason is None:
            taken |= {document.key for document in documents}
            emptied.append(_emptied(batch, documents))
        else:
            what = f"{batch.get('name')} {batch['uuid']}"
            keys = batch["metadata"].get("keys")
            spoilt.append((what, reason, keys, _emptied(batch, documents)))
    for what, reason, keys, record in spoilt:
        if keys and len(load_states(store, keys)) == len(keys):  # computed once more since
            emptied.append(record)
        else:
            done.unreadable.append((what, reason))
    done.n_batches = len(emptied)
    if taken:
        done.campaigns = _derive(store, taken)
    # Last, so that a harvest that was stopped before finds all that it has not finished.
    if emptied:
        save_many(store, emptied)
    return done


def _derive(store: JobStore, keys: set[str]) -> list[str]:
    """Make the derived documents of all campaigns anew that have one of the calculations."""
    names = [
        name
        for name in campaign_names(store)
        if not keys.isdisjoint(load_campaign_doc(store, name).all_keys)
    ]
    for name in names:
        save_derived(store, *stored_results(store, name))
    return names


def _outputs(store: JobStore, campaign: str | None) -> Iterator[dict[str, Any]]:
    """Yield outputs that are not harvested, holding one at a time."""
    criteria = {"metadata.kind": BATCH_KIND}
    if campaign is not None:
        criteria["metadata.campaign"] = campaign
    identities = [
        {"uuid": found["uuid"], "index": found["index"]}
        for found in store.docs_store.query(criteria, properties=["uuid", "index"])
    ]
    for identity in identities:
        batch = store.docs_store.query_one({**identity, **criteria})
        if batch is not None:  # no other process was faster
            yield batch


def _documents(batch: Mapping[str, Any]) -> tuple[list[CalculationDoc], str | None]:
    """Return the calculations of an output that can be read, and why others cannot."""
    documents, reason = [], None
    try:
        outputs = list(batch["output"]["calculations"])
    except (KeyError, TypeError):
        return [], "it holds no calculations"
    for output in outputs:
        try:
            documents.append(_document(output))
        except (ValidationError, AttributeError) as error:
            reason = str(error).splitlines()[0]
    return documents, reason


def _document(output: Mapping[str, Any]) -> CalculationDoc:
    """Return a calculation as its job made it: jobflow adds the class and drops the time zone."""
    fields = {key: value for key, value in output.items() if not key.startswith("@")}
    document = CalculationDoc.model_validate(fields)
    if document.completed_at.tzinfo is None:
        moment = document.completed_at.replace(tzinfo=UTC)
        document = document.model_copy(update={"completed_at": moment})
    return document


def _not_stored(store: JobStore, documents: Iterable[CalculationDoc]) -> list[CalculationDoc]:
    """Return those that the store lacks, and those that follow a failure."""
    latest = {document.key: document for document in documents}
    states = load_states(store, latest)
    failed = [key for key, state in states.items() if state == "failed"]
    moments = _completed_at(store, failed)
    return [
        document
        for key, document in latest.items()
        if key not in states
        or (key in moments and (document.state == "done" or _moment(document) > moments[key]))
    ]


def _completed_at(store: JobStore, keys: list[str]) -> dict[str, str]:
    if not keys:
        return {}
    found = store.docs_store.query(
        {"uuid": {"$in": keys}, "metadata.kind": "calculation"},
        properties=["uuid", "output.completed_at"],
    )
    return {record["uuid"]: record["output"]["completed_at"] for record in found}


def _moment(document: CalculationDoc) -> str:
    """Return when a calculation ended, as it is written in a store."""
    return str(document.model_dump(mode="json")["completed_at"])


def _emptied(batch: dict[str, Any], documents: Iterable[CalculationDoc]) -> dict[str, Any]:
    """Return the record of an output with the keys of its calculations in their place."""
    kept = {key: value for key, value in batch.items() if key != "_id"}
    kept["output"] = {"calculation_keys": [document.key for document in documents]}
    kept["metadata"] = {**batch["metadata"], "kind": HARVESTED_KIND}
    kept["metadata"].pop("keys", None)
    return kept
