"""Recorded calculations in the place of engines: a campaign reruns where no engine is installed.

A record is a file of ``rocksalt export`` or a store. A calculation is looked up in it by its key and
answered with the document that is there, unchanged: energies, structures, times, and failures too.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import bson
from jobflow import JobStore
from pydantic import ValidationError

from rocksalt.screening.errors import RocksaltError
from rocksalt.screening.hull import HullEntry, Rejected
from rocksalt.stores.addresses import SCHEMES, hide_password, is_file
from rocksalt.stores.documents import CampaignDoc
from rocksalt.stores.opening import close_store, open_store
from rocksalt.stores.records import BATCH, campaign_names, load_document, reach, save_many
from rocksalt.stores.transfer import read_records
from rocksalt.workflows.calculation import Calculation
from rocksalt.workflows.campaign import MATERIALS_PROJECT, Campaign
from rocksalt.workflows.engines import get_engine
from rocksalt.workflows.user_phases import UserPhases

if TYPE_CHECKING:
    from rocksalt.stores.calculation_documents import CalculationDoc
    from rocksalt.workflows.run import Outcome

VARIABLE = "ROCKSALT_REPLAY"
"""Address of a record: while it is set, every process takes results from there and computes none."""

_SQLITE_HEAD = b"SQLite format 3\0"


class Record:
    """Calculations of a file of ``rocksalt export`` or of a store, by key.

    Parameters
    ----------
    address
        The file, or any address of a store that can hold results already.

    Attributes
    ----------
    name
        The address without a password, for people.
    store
        The opened store; None for a file.

    Raises
    ------
    RocksaltError
        When it is not there, cannot be read, is cut off or of another version of rocksalt.
    """

    def __init__(self, address: str) -> None:
        self.name = hide_password(address)
        self.store: JobStore | None = None
        self._packed: dict[str, bytes] = {}
        self._campaigns: dict[str, dict[str, Any]] = {}
        self._triages: dict[str, dict[str, Any]] = {}
        if address == "memory":
            raise RocksaltError(
                "record memory: holds nothing: give a file of 'rocksalt export' or a store"
            )
        path = Path(address).expanduser()
        if address == "jobflow" or address.startswith(SCHEMES):
            self.store = open_store(address, must_exist=True)
        elif not path.is_file():
            raise RocksaltError(
                f"record {address}: no such file: give a file of 'rocksalt export' or a store"
            )
        elif _is_sqlite(path):
            self.store = open_store(address, must_exist=True)
        else:
            self._read(path)

    def _read(self, path: Path) -> None:
        for record in read_records(path):
            kind = record.get("metadata", {}).get("kind")
            if kind == "calculation":  # packed, they take a tenth of the memory
                self._packed[record["uuid"]] = bson.encode(record)
            elif kind == "campaign":
                self._campaigns[record["output"]["name"]] = record["output"]
            elif kind == "triage":
                self._triages[record["uuid"]] = record

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the store, if it is one."""
        if self.store is not None:
            close_store(self.store)

    @property
    def campaigns(self) -> list[str]:
        """Names of the campaigns that it holds, sorted."""
        return campaign_names(self.store) if self.store else sorted(self._campaigns)

    def find(self, calculations: Iterable[Calculation]) -> dict[str, dict[str, Any]]:
        """Return the stored records of the calculations that are there, by key.

        Raises
        ------
        RocksaltError
            When one of them holds another calculation than its key says.
        """
        wanted = {calculation.key: calculation for calculation in calculations}
        found = {record["uuid"]: record for record in self._records(list(wanted))}
        for key, record in found.items():
            record.pop("_id", None)
            self._refuse_other_content(wanted[key], record.get("output", {}))
        return found

    def _records(self, keys: Sequence[str]) -> Iterator[dict[str, Any]]:
        if self.store is None:
            yield from (bson.decode(self._packed[key]) for key in keys if key in self._packed)
            return
        for start in range(0, len(keys), BATCH):
            criteria = {
                "uuid": {"$in": keys[start : start + BATCH]},
                "metadata.kind": "calculation",
            }
            yield from self.store.docs_store.query(criteria)

    def lacking(self, calculations: Iterable[Calculation]) -> list[Calculation]:
        """Return the calculations that the record does not hold, in their order."""
        wanted = list(calculations)
        there = self._keys(c.key for c in wanted)
        return [c for c in wanted if c.key not in there]

    def _keys(self, keys: Iterable[str]) -> set[str]:
        if self.store is None:
            return self._packed.keys() & set(keys)
        wanted, there = list(keys), set()
        for start in range(0, len(wanted), BATCH):
            criteria = {
                "uuid": {"$in": wanted[start : start + BATCH]},
                "metadata.kind": "calculation",
            }
            found = self.store.docs_store.query(criteria, properties=["uuid"])
            there |= {each["uuid"] for each in found}
        return there

    def _refuse_other_content(self, calculation: Calculation, output: dict[str, Any]) -> None:
        """Raise unless a document is of the calculation that it is stored under."""
        expected = {
            "key": calculation.key,
            "role": calculation.role,
            "engine": calculation.engine,
            "settings": calculation.settings,
        }
        for name, value in expected.items():
            if output.get(name) != value:
                raise RocksaltError(
                    f"record {self.name}: {name} of {calculation.label!r} (key {calculation.key[:10]}) "
                    f"is {output.get(name)!r}, not {value!r} as its key says: export it again"
                )

    def document(self, calculation: Calculation) -> CalculationDoc | None:
        """Return the recorded document of a calculation, or None.

        Raises
        ------
        RocksaltError
            When it is not the calculation that its key says, or cannot be read.
        """
        found = self.find([calculation]).get(calculation.key)
        return None if found is None else self._document(found)

    def _document(self, record: dict[str, Any]) -> CalculationDoc:
        from rocksalt.stores.calculation_documents import CalculationDoc

        try:
            return CalculationDoc.model_validate(_without_curves(record)["output"])
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise RocksaltError(
                f"record {self.name}: document {record['uuid'][:10]} cannot be read: {place}: "
                f"{first['msg']}: use the version of rocksalt that wrote it"
            ) from error

    def user_phases(self, campaign: Campaign) -> UserPhases | None:
        """Return the phases that a campaign took from the Materials Project, or None.

        They change with time, so the recorded ones are needed for the same hull.
        """
        if campaign.entries != MATERIALS_PROJECT:
            return None
        output = (
            load_document(self.store, f"campaign-{campaign.name}")
            if self.store
            else self._campaigns.get(campaign.name)
        )
        if output is None or output["content_hash"] != campaign.content_hash:
            return None
        document = CampaignDoc.model_validate(output)
        return UserPhases(
            [HullEntry(**entry) for entry in document.entries],
            rejected=[Rejected(**entry) for entry in document.entries_rejected],
        )

    def copy_triage(self, campaign: Campaign, store: JobStore) -> None:
        """Store which candidates went to the engine that decides, unless the store says so already.

        A replay must not choose anew: what it would choose instead was never computed.
        """
        uuid = f"triage-{campaign.name}"
        found = (
            self.store.docs_store.query_one({"uuid": uuid})
            if self.store
            else self._triages.get(uuid)
        )
        if found is None or found["output"].get("content_hash") != campaign.content_hash:
            return
        if load_document(store, uuid) is None:
            found.pop("_id", None)
            save_many(store, [found])

    def refuse_other_campaign(self, campaign: Campaign, planned: Iterable[Calculation]) -> None:
        """Raise when the record holds nothing of a campaign.

        Raises
        ------
        RocksaltError
            Naming the campaigns that it does hold.
        """
        wanted = list(planned)
        if wanted and len(self.lacking(wanted)) == len(wanted):
            names = ", ".join(map(repr, self.campaigns)) or "no campaign"
            remedy = "give the record of this campaign, or the campaign file that it was made with"
            engines = self._engines_of(campaign.name)
            if engines and not set(engines) & set(campaign.engines):
                remedy = (
                    f"it was computed with {', '.join(engines)}, and the file says "
                    f"{', '.join(campaign.engines)}: write engines: [{', '.join(engines)}]"
                )
            raise RocksaltError(
                f"record {self.name}: holds none of the {len(wanted)} calculations of campaign "
                f"{campaign.name!r} as its file has it now; it is of {names}: {remedy}"
            )

    def _engines_of(self, name: str) -> list[str]:
        """Return the engines of a campaign as it was recorded, none where there is none."""
        output = load_document(self.store, f"campaign-{name}") if self.store else None
        output = output or self._campaigns.get(name, {})
        return list(output.get("settings", {}).get("engines", []))


class ReplayedWork:
    """Calculations to do, answered from a record and stored as they are there.

    Parameters
    ----------
    record
        Where results are taken from.
    store
        A connected jobflow store.
    todo
        What to answer.
    on_result
        Called with every result, once it is stored.

    Attributes
    ----------
    left
        Calculations that have not been answered, by key.
    lacking
        Those of them that the record does not hold.
    n_computed
        Those answered.
    recorded_with
        Version of each engine as the documents have it.
    """

    def __init__(
        self,
        record: Record,
        store: JobStore,
        todo: Sequence[Calculation],
        *,
        on_result: Callable[[CalculationDoc], None] = lambda document: None,
    ) -> None:
        self.record = record
        self.store = store
        self.left = {calculation.key: calculation for calculation in todo}
        self.lacking: list[Calculation] = []
        self.n_computed = 0
        self.recorded_with: dict[str, set[str]] = {}
        self._on_result = on_result

    def compute(self, n_workers: int = 1, stopping: Callable[[], bool] = lambda: False) -> None:
        """Answer all that the record holds.

        Parameters
        ----------
        n_workers
            Not used: nothing is computed.
        stopping
            Asked between `BATCH` calculations; true leaves the rest.
        """
        todo = list(self.left.values())
        for start in range(0, len(todo), BATCH):
            if stopping():
                return
            some = todo[start : start + BATCH]
            found = self.record.find(some)
            documents = [self.record._document(record) for record in found.values()]
            save_many(self.store, [_without_curves(record) for record in found.values()])
            for document in documents:
                del self.left[document.key]
                self.n_computed += 1
                versions = self.recorded_with.setdefault(document.engine, set())
                versions.add(document.engine_version)
                self._on_result(document)
            self.lacking += [c for c in some if c.key not in found]

    def remarks(self) -> list[str]:
        """Return in words where the installed version of an engine is another than the recorded."""
        return [
            f"{name}: recorded with {' and '.join(sorted(versions))}, installed here: {here}: the "
            "record's results stand"
            for name, versions in self.recorded_with.items()
            if (here := _installed_version(name)) and versions != {here}
        ]


def _without_curves(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record without a reference to curves: they lie in a store that is not taken along."""
    found = reach(record, "output.density_of_states")
    if not found or "blob_uuid" not in (found.get("arrays") or {}):
        return record
    bare = {**found, "arrays": None}
    return {**record, "output": {**record["output"], "density_of_states": bare}}


def _installed_version(name: str) -> str | None:
    engine = get_engine(name)
    try:
        engine.check_installed()
    except RocksaltError:
        return None
    return engine.version


def _is_sqlite(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(len(_SQLITE_HEAD)) == _SQLITE_HEAD
    except OSError as error:
        raise RocksaltError(f"record {path}: cannot be read: {error.strerror or error}") from error


def lacking_in_words(lacking: Iterable[Calculation]) -> list[str]:
    """Return one line per engine: how many calculations a record lacks, and which."""
    by_engine: dict[str, list[str]] = {}
    for calculation in lacking:
        by_engine.setdefault(calculation.engine, []).append(calculation.label)
    return [
        f"not in the record: {len(labels)} with {engine}: {', '.join(labels)}"
        for engine, labels in by_engine.items()
    ]


@lru_cache(maxsize=1)
def _opened(address: str, process: int) -> Record:
    return Record(address)


def active_record() -> Record | None:
    """Return the record that `VARIABLE` names, opened once per process; None without it.

    Raises
    ------
    RocksaltError
        When it cannot be read.
    """
    address = os.environ.get(VARIABLE)
    return _opened(address, os.getpid()) if address else None


@contextmanager
def replaying(address: str | Path) -> Iterator[Record]:
    """Take results from a record inside the block, in this process and those that it starts.

    Parameters
    ----------
    address
        A file of ``rocksalt export``, or a store.

    Raises
    ------
    RocksaltError
        When it cannot be read; inside the block, for a calculation that it lacks.

    Examples
    --------
    >>> with replaying("quickstart.jsonl.gz"):  # doctest: +SKIP
    ...     run_locally(ScreenMaker().make(campaign), store=store)
    """
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = _absolute(str(address))
    _opened.cache_clear()  # a file may have been written anew
    try:
        record = active_record()
        assert record is not None
        yield record
    finally:
        _opened.cache_clear()
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before


def _absolute(address: str) -> str:
    """Return an address that means the same in any folder: jobs have folders of their own."""
    return str(Path(address).expanduser().absolute()) if is_file(address) else address


def recorded_document(calculation: Calculation) -> CalculationDoc | None:
    """Return what is to be taken for a calculation's result; None unless results are replayed.

    Raises
    ------
    RocksaltError
        When results are replayed and the record lacks this one, or cannot be read.
    """
    record = active_record()
    if record is None:
        return None
    document = record.document(calculation)
    if document is None:
        raise RocksaltError(
            f"record {record.name}: lacks {calculation.label!r} with {calculation.engine} (key "
            f"{calculation.key[:10]}): compute it where the engine is, or unset {VARIABLE}"
        )
    return document


def replay(
    campaign: Campaign,
    record: Record | str | Path,
    store: JobStore,
    *,
    retry_failed: bool = False,
) -> Outcome:
    """Store what a record holds of a campaign, and derive its ranking; no engine is needed.

    Parameters
    ----------
    campaign
        With the engines that the record was made with.
    record
        A file of ``rocksalt export``, a store, or a `Record`.
    store
        A connected jobflow store. What it holds already stays.
    retry_failed
        Let the record's results take the place of failed ones in the store.

    Returns
    -------
    Outcome
        ``lacking`` are the calculations that the record does not hold; they stay to do.

    Raises
    ------
    RocksaltError
        When the record cannot be read, or holds nothing of the campaign.
    """
    from rocksalt.workflows.run import run_campaign  # which asks this module for results

    opened = record if isinstance(record, Record) else Record(str(record))
    try:
        return run_campaign(campaign, store, record=opened, retry_failed=retry_failed)
    finally:
        if opened is not record:
            opened.close()
