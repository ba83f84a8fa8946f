"""Documents in and out of a jobflow JobStore, in the form that jobflow gives its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, field_validator

from rocksalt.screening.errors import RocksaltError
from rocksalt.screening.scales import DFT_CODES
from rocksalt.stores.documents import SCHEMA_VERSION, RankingDoc, utc_now
from rocksalt.stores.electronic_documents import DensityOfStates
from rocksalt.stores.sqlite_documents import SQLiteDocuments

if TYPE_CHECKING:
    from jobflow import JobStore
    from maggma.core import Sort, Store

    from rocksalt.stores.calculation_documents import CalculationDoc
    from rocksalt.stores.reading import Documents

INDEXED_FIELDS = (
    "uuid",
    "name",
    "output.key",
    "output.role",
    "output.engine",
    "output.label",
    "output.cations",
    "output.chemsys",
    "output.formula_pretty",
    "output.state",
    "metadata.kind",
    "metadata.campaign",
    "completed_at",
)
"""What people ask by; made once per store."""

IDENTITY = ("uuid", "index")
"""What identifies a record, as in every jobflow store."""

CURVES = "data"
"""Name of the additional store that takes curves."""

BATCH = 5000
"""Identities that one query asks for."""

ORDERS = "method.energies_ev_per_atom"
"""Where a calculation keeps its energies by magnetic order."""


def ensure_indexes(store: Documents, *, unique: bool = True) -> None:
    """Make the indexes that queries in the field's words use, where they lack.

    Parameters
    ----------
    unique
        Let a server refuse a second record of one identity. Other programs may have left such
        records in a jobflow store of theirs.
    """
    docs = store.docs_store
    if isinstance(docs, SQLiteDocuments):
        for name in INDEXED_FIELDS:
            docs.ensure_index(name)
        docs.ensure_summary(KEPT_APART)
    else:
        from rocksalt.stores.mongo import ensure_server_indexes, on_server  # not to read a file

        if on_server(docs):
            ensure_server_indexes(docs, INDEXED_FIELDS, IDENTITY if unique else ())
        else:
            for name in INDEXED_FIELDS:
                docs.ensure_index(name)
    others = store.additional_stores.values()
    if all(isinstance(part, SQLiteDocuments) for part in others):
        return
    from maggma.stores.gridfs import GridFSStore  # it brings clients of other stores

    for part in others:
        if isinstance(part, GridFSStore):
            part.ensure_index("blob_uuid")


def other_schema_version(store: Documents) -> int | None:
    """Return the schema version of a campaign that this rocksalt would misread, or None.

    Every run stores a campaign, and campaigns are few: they speak for the rest of the store.
    """
    criteria = {"metadata.kind": "campaign"}
    found = store.docs_store.query(criteria, properties=["output.schema_version"])
    versions = (reach(record_, "output.schema_version") for record_ in found)
    return next((v for v in versions if v not in (None, SCHEMA_VERSION)), None)


def save(
    store: JobStore, uuid: str, kind: str, document: BaseModel, name: str, **metadata: Any
) -> None:
    """Write one document under an identity of its own; one that is there is replaced."""
    save_many(store, [record(uuid, kind, document, name, **metadata)])


def save_many(store: JobStore, records: list[dict[str, Any]], *, mostly_new: bool = False) -> None:
    """Write records of `record`, all without curves in one transaction.

    Curves of a density of states go to the additional store `CURVES` where there is one.

    Parameters
    ----------
    mostly_new
        Most of them are not there yet: a server then writes them at less cost. Those that are
        there are replaced all the same.
    """
    additional: Mapping[str, Store] = store.additional_stores  # type: ignore[has-type]  # of jobflow
    apart = [r for r in records if CURVES in additional and _holds_curves(r)]
    if apart:
        store.update(apart, key=list(IDENTITY), save={CURVES: ["arrays"]})
    plain = [r for r in records if not any(r is other for other in apart)]
    docs = store.docs_store
    if plain and mostly_new and not isinstance(docs, SQLiteDocuments):
        from rocksalt.stores.mongo import insert_or_replace  # not for files: it brings clients

        insert_or_replace(docs, plain, IDENTITY)
    elif plain:
        docs.update(plain, key=list(IDENTITY))


def _holds_curves(record_: dict[str, Any]) -> bool:
    arrays = reach(record_, "output.density_of_states.arrays")
    return isinstance(arrays, dict) and "energies_ev" in arrays


def record(uuid: str, kind: str, document: BaseModel, name: str, **metadata: Any) -> dict[str, Any]:
    """Return a document in the form in which jobflow stores a job's output.

    Parameters
    ----------
    uuid
        Identity: the hash of its inputs, or kind and campaign of a derived document.
    kind
        'calculation', 'campaign', 'formation-energy', 'mixing' or 'ranking'.
    document
        The pydantic document.
    name
        For people.
    **metadata
        Further fields to ask by.
    """
    return {
        "uuid": uuid,
        "index": 1,
        "name": name,
        "output": document.model_dump(mode="json", by_alias=True),
        "completed_at": utc_now().replace(tzinfo=None).isoformat(),
        "metadata": {"kind": kind, **metadata},
        "hosts": [],
    }


def calculation_record(document: CalculationDoc) -> dict[str, Any]:
    """Return the record of a calculation, whose identity is its key."""
    return record(document.key, "calculation", document, document.label)


class Summary(BaseModel):
    """What derived quantities need of a calculation: everything but structures and arrays.

    Of `method` it holds `energies_ev_per_atom` alone, the energies of a DFT code by magnetic order.
    """

    model_config = ConfigDict(extra="ignore")

    key: str
    role: str
    label: str
    engine: str
    engine_version: str
    energy_scale: str
    cation_fractions: dict[str, float]
    prototype: str
    multiplicity: int | None = None
    state: str
    error: str | None = None
    junk: str | None = None
    details: dict[str, Any] = {}
    composition_reduced: dict[str, float] = {}
    symmetry: dict[str, Any] | None = None
    warnings: list[str] = []
    energy_ev_per_atom: float | None = None
    nsites: int
    volume: float
    n_evaluations: int = 0
    n_fallbacks: int = 0
    cpu_s: float | None = None
    max_force_ev_per_angstrom: float | None = None
    density_of_states: DensityOfStates | None = None
    completed_at: datetime | None = None
    method: dict[str, Any] = {}

    @field_validator("method", mode="before")
    @classmethod
    def _orders_alone(cls, value: Any) -> Any:
        found = reach({"method": value}, ORDERS)
        return {"energies_ev_per_atom": found} if found else {}

    @field_validator("density_of_states", mode="before")
    @classmethod
    def _without_curves(cls, value: Any) -> Any:
        if isinstance(value, DensityOfStates):
            value = value.model_dump(mode="json")
        return {**value, "arrays": None} if isinstance(value, dict) else value


_IN_SUMMARY = tuple(name for name in Summary.model_fields if name != "method")
_SUMMARY_FIELDS = [f"output.{name}" for name in _IN_SUMMARY]

COMMON_FIELDS = (
    *_IN_SUMMARY,
    # what people ask by and want to see
    *("cations", "chemsys", "formula_pretty", "energy_ev"),
    *("density", "converged"),
)
"""Fields of a calculation that most queries are content with."""

KEPT_APART = (
    *("uuid", "index", "name", "metadata.kind", "metadata.campaign", "completed_at"),
    *(f"output.{name}" for name in COMMON_FIELDS),
    # and what is asked of campaigns
    *("output.name", "output.content_hash", "output.schema_version"),
)
"""Fields that a file keeps apart from structures and arrays."""


def load_summaries(store: Documents, keys: Iterable[str]) -> dict[str, Summary]:
    """Return the calculations that are there, by key and in the order of the keys."""
    wanted = list(keys)
    found = {}
    for criteria in _filters(store, wanted):
        for record_ in store.docs_store.query(criteria, properties=_SUMMARY_FIELDS):
            summary = Summary.model_validate(record_["output"])
            found[summary.key] = summary
    _add_orders(store, found)
    return {key: found[key] for key in wanted if key in found}


def _add_orders(store: Documents, summaries: Mapping[str, Summary]) -> None:
    """Read the energies by magnetic order of end members with DFT, whose documents are few.

    They are not of the fields kept apart: older files would have to gather those from every document.
    """
    ends = [
        key
        for key, summary in summaries.items()
        if summary.role == "end-member" and summary.engine.split(":")[0] in DFT_CODES
    ]
    for start in range(0, len(ends), BATCH):
        criteria = {"uuid": {"$in": ends[start : start + BATCH]}, "metadata.kind": "calculation"}
        for record_ in store.docs_store.query(criteria, properties=["uuid", f"output.{ORDERS}"]):
            energies = reach(record_, f"output.{ORDERS}")
            if energies:
                summaries[record_["uuid"]].method = {"energies_ev_per_atom": energies}


def load_states(store: Documents, keys: Iterable[str]) -> dict[str, str]:
    """Return 'done' or 'failed' of each calculation that is there, by key."""
    wanted = list(keys)
    there: set[str] = set()
    failed: set[str] = set()
    for criteria in _filters(store, wanted):
        there.update(key for (key,) in load_texts(store, criteria, ["uuid"]))
        of_failed = {**criteria, "output.state": "failed"}
        failed.update(key for (key,) in load_texts(store, of_failed, ["uuid"]))
    return {key: "failed" if key in failed else "done" for key in wanted if key in there}


def _filters(store: Documents, wanted: list[str]) -> list[dict[str, Any]]:
    """Return filters that together find the calculations of some keys, and perhaps others."""
    every = {"metadata.kind": "calculation"}
    # Most of a store is read in one pass, which takes a fraction of looking each one up.
    if len(wanted) > BATCH and 4 * len(wanted) > store.docs_store.count(every):
        return [every]
    portions = (wanted[start : start + BATCH] for start in range(0, len(wanted), BATCH))
    return [{"uuid": {"$in": portion}, **every} for portion in portions]


def load_texts(
    store: Documents, criteria: dict[str, Any], fields: list[str], limit: int = 0
) -> Iterable[tuple[Any, ...]]:
    """Return fields of the documents that match, from indexes alone where these can tell.

    Parameters
    ----------
    limit
        Return the first so many in the order of these fields; 0 for all, in no order.
    """
    docs = store.docs_store
    found = docs.texts(criteria, fields, limit) if isinstance(docs, SQLiteDocuments) else None
    if found is not None:
        return found
    properties = {"_id": 0, **dict.fromkeys(fields, 1)}
    sort: dict[str, Sort | int] | None = dict.fromkeys(fields, 1) if limit else None
    records = docs.query(criteria, properties, sort, limit=limit)
    return (tuple(reach(r, f) for f in fields) for r in records)


def reach(document: Any, path: str) -> Any:
    """Return what is at a dotted path of a document, None where it leads nowhere."""
    for part in path.split("."):
        document = document.get(part) if isinstance(document, dict) else None
    return document


def load_document(store: Documents, uuid: str) -> dict[str, Any] | None:
    """Return the output stored under an identity, or None."""
    found = store.docs_store.query_one({"uuid": uuid}, properties=["output"])
    return found["output"] if found else None


def load_density_of_states(store: JobStore, key: str) -> DensityOfStates | None:
    """Return the density of states of a calculation with its curves, or None."""
    found = store.query_one({"uuid": key}, properties=["output.density_of_states"], load=True)
    given = reach(found or {}, "output.density_of_states")
    if given is None:
        return None
    document = DensityOfStates.model_validate(given)
    arrays = document.arrays
    # As jobflow gives an object of an additional store back.
    return document.model_copy(update={"arrays": (arrays or {}).get("data", arrays)})


def campaign_names(store: Documents) -> list[str]:
    """Return the names of the campaigns in a store, sorted."""
    found = store.docs_store.query({"metadata.kind": "campaign"}, properties=["metadata.campaign"])
    return sorted(record_["metadata"]["campaign"] for record_ in found)


def campaign_hashes(store: Documents) -> dict[str, str]:
    """Return the content hash of each campaign in a store, by name."""
    fields = ["output.name", "output.content_hash"]
    found = store.docs_store.query({"metadata.kind": "campaign"}, properties=fields)
    return {r["output"]["name"]: r["output"]["content_hash"] for r in found}


def load_ranking(store: Documents, name: str) -> RankingDoc:
    """Return the ranking that a finished run stored.

    Raises
    ------
    RocksaltError
        When there is none of that name.
    """
    output = load_document(store, f"ranking-{name}")
    if output is None:
        known = ", ".join(campaign_names(store)) or "none"
        raise RocksaltError(f"campaign {name!r}: no ranking in this store; campaigns: {known}")
    return RankingDoc.model_validate(output)
