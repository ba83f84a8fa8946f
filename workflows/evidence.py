"""Measured evidence beside the predictions of a ranking; it changes no computed number."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rocksalt.analysis.evidence import Mapped, judge
from rocksalt.analysis.quantities import Quantity
from rocksalt.stores.documents import RankingDoc
from rocksalt.stores.experiment_documents import ExperimentDoc

if TYPE_CHECKING:
    from jobflow import JobStore

    from rocksalt.stores.reading import Documents

MOST_DRAWN = 100
"""Measurements that a report draws: a page must still open."""

FIELDS = [f"output.{name}" for name in ExperimentDoc.model_fields if name != "arrays"]


def experiments_on(store: Documents, dopants: Iterable[str]) -> list[ExperimentDoc]:
    """Return the analysed measurements that speak about some dopants, without their curves."""
    criteria = {"metadata.kind": "experiment", "output.dopant": {"$in": sorted(dopants)}}
    found = store.docs_store.query(criteria, properties=FIELDS)
    documents = [ExperimentDoc.model_validate(record["output"]) for record in found]
    return sorted(documents, key=lambda d: (d.technique, d.sample["name"], d.file, d.key))


def with_evidence(ranking: RankingDoc, documents: Iterable[ExperimentDoc]) -> RankingDoc:
    """Return a ranking whose candidates say what was measured of them.

    Parameters
    ----------
    ranking
        Of a campaign.
    documents
        Analysed measurements of any dopant.
    """
    documents = list(documents)
    candidates = []
    for candidate in ranking.candidates:
        entries = []
        for document in (d for d in documents if d.dopant == candidate.dopant):
            quantities = {
                name: Quantity(q.value, q.uncertainty, q.unit)
                for name, q in document.values.items()
            }
            found = judge(
                candidate.dopant,
                candidate.criteria,
                document.technique,
                document.parameters.get("edge"),
                quantities,
                Mapped(
                    document.host,
                    document.parameters.get("elements") or (),
                    candidate.hosts.get(document.host or "", {}).get("solubility_limit"),
                ),
            )
            entries.append(
                {
                    "relation": found.relation,
                    "why": found.why,
                    "technique": document.technique,
                    "sample": document.sample["name"],
                    "file": document.file,
                    "key": document.key,
                    "values": {n: q.model_dump() for n, q in document.values.items()},
                }
            )
        candidates.append(candidate.model_copy(update={"evidence": entries}))
    return ranking.model_copy(update={"candidates": candidates})


@dataclass(frozen=True)
class Measured:
    """A measurement with its curves.

    Attributes
    ----------
    document
        Without its curves.
    arrays
        Curves and maps by name.
    """

    document: ExperimentDoc
    arrays: dict[str, Any]


def with_curves(store: JobStore, document: ExperimentDoc) -> Measured:
    """Return a stored measurement with its curves, from wherever the store keeps them."""
    found = store.query_one({"uuid": document.key}, properties=["output.arrays"], load=True)
    arrays = ((found or {}).get("output") or {}).get("arrays") or {}
    return Measured(document, dict(arrays))


def measured_of(store: JobStore, ranking: RankingDoc, most: int = MOST_DRAWN) -> list[Measured]:
    """Return what was measured of the candidates of a ranking, in the order of their ranks."""
    place = {candidate.dopant: candidate.rank for candidate in ranking.candidates}
    documents = experiments_on(store, place)
    documents.sort(key=lambda document: place[document.dopant or ""])
    return [with_curves(store, document) for document in documents[:most]]
