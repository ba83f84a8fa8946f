"""Records of a store in a file, to move campaigns between any two stores.

The file has one JSON object per line (MongoDB extended JSON, so that dates, binary data and the
like come back as they were): a header, the records, the large objects of the additional stores, and
an end with the counts and the SHA-256 of all lines before it. A name that ends in ``.gz`` is
compressed. Neither writing nor reading holds more than one batch in memory.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from bson.errors import BSONError
from bson.json_util import JSONMode, JSONOptions, dumps, loads
from jobflow import JobStore
from jobflow.utils.find import find_key

from rocksalt.screening.errors import RocksaltError
from rocksalt.stores.documents import SCHEMA_VERSION
from rocksalt.stores.mongo import additional_stores
from rocksalt.stores.query import load_campaign_doc
from rocksalt.stores.records import campaign_hashes, save_many

Item = TypeVar("Item")

FORMAT = "rocksalt-records"
FORMAT_VERSION = 1
"""Raised when the lines of the file change in a way that an older reader would misread."""

BATCH = 100
"""Records that are in memory at once."""

_OPTIONS = JSONOptions(json_mode=JSONMode.RELAXED, tz_aware=False)


@dataclass
class Transfer:
    """What an export wrote or an import found.

    Attributes
    ----------
    n_records, n_blobs
        Records and large objects in the file.
    n_stored
        Records and large objects that the import stored; the others were there already.
    campaigns
        Names of the campaigns in the file.
    """

    n_records: int = 0
    n_blobs: int = 0
    n_stored: int = 0
    campaigns: tuple[str, ...] = ()


def export_records(
    store: JobStore, path: Path, campaigns: Iterable[str] = (), *, overwrite: bool = False
) -> Transfer:
    """Write records of a store into a file, which is there only once it is whole.

    Parameters
    ----------
    store
        A connected store.
    path
        The file; compressed when its name ends in ``.gz``.
    campaigns
        Only these with their calculations and results; all that the store holds when empty.
    overwrite
        Replace a file that is there.

    Raises
    ------
    RocksaltError
        When the store lacks a campaign, or the file is there or cannot be written.
    """
    names = list(dict.fromkeys(campaigns))
    keys = sorted({key for name in names for key in load_campaign_doc(store, name).all_keys})
    known = campaign_hashes(store)
    chosen = {name: known[name] for name in sorted(names or known)}
    if path.exists() and not overwrite:
        raise RocksaltError(f"{path}: is there already: choose another name or give --force")
    transfer = Transfer(campaigns=tuple(chosen))
    with _new_file(path) as raw:
        writer = _Writer(raw)
        writer.write(
            {
                "format": FORMAT,
                "format_version": FORMAT_VERSION,
                "schema_version": SCHEMA_VERSION,
                "rocksalt_version": version("rocksalt"),
                "campaigns": [{"name": n, "content_hash": h} for n, h in chosen.items()],
            }
        )
        found = _records_of(store, names, keys) if names else _all_records(store)
        references: dict[str, set[str]] = {}
        for record in found:
            record.pop("_id", None)
            writer.write({"record": record})
            transfer.n_records += 1
            if names:
                _note_references(record, references)
        for name, blob in _blobs(store, references if names else None):
            blob.pop("_id", None)
            writer.write({"blob": blob, "store": name})
            transfer.n_blobs += 1
        writer.write(
            {
                "records": transfer.n_records,
                "blobs": transfer.n_blobs,
                "sha256": writer.digest.hexdigest(),
            }
        )
    return transfer


def _all_records(store: JobStore) -> Iterator[dict[str, Any]]:
    # Sorted, so that stores of the same content give the same file.
    yield from filter(_lasts, store.docs_store.query({}, sort={"uuid": 1}))


def _records_of(store: JobStore, names: list[str], keys: list[str]) -> Iterator[dict[str, Any]]:
    """Yield the calculations with these keys, then everything else of these campaigns."""
    for some in _batches(keys):
        criteria: dict[str, Any] = {"uuid": {"$in": some}}
        yield from sorted(store.docs_store.query(criteria), key=lambda record: record["uuid"])
    criteria = {"metadata.campaign": {"$in": names}}
    yield from filter(_lasts, store.docs_store.query(criteria, sort={"uuid": 1}))


def _lasts(record: dict[str, Any]) -> bool:
    """Whether a record says more than which process of which machine is at a campaign."""
    return record.get("metadata", {}).get("kind") != "run"


def _note_references(record: dict[Any, Any], references: dict[str, set[str]]) -> None:
    """Note which large objects a record refers to, by their store."""
    for location in find_key(record, "blob_uuid"):
        part: Any = record
        for step in location:
            part = part[step]
        if "store" in part:
            references.setdefault(part["store"], set()).add(part["blob_uuid"])


def _blobs(
    store: JobStore, references: dict[str, set[str]] | None
) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, additional in sorted(additional_stores(store).items()):
        if references is None:
            yield from ((name, blob) for blob in additional.query({}))
            continue
        for some in _batches(sorted(references.get(name, ())), size=1):  # they may be large
            yield from ((name, b) for b in additional.query({"blob_uuid": {"$in": some}}))


def import_records(store: JobStore, path: Path, *, replace: bool = False) -> Transfer:
    """Store the records of a file that the store lacks; the file is checked as a whole before.

    A calculation that is there stays as it is, unless it failed and the file has it done. Of other
    records the one completed last wins. Importing a file twice changes nothing.

    Parameters
    ----------
    store
        A connected store.
    path
        A file of `export_records`.
    replace
        Let the campaigns of the file take the place of those with the same name and other content.

    Raises
    ------
    RocksaltError
        When the file is not one of ours, cut off, damaged or of a newer version, or when the store
        has a campaign of the same name with other content. Nothing is stored then.
    """
    header = check_file(path)
    _check_stores(store, path, header["stores"])
    transfer = Transfer(campaigns=tuple(each["name"] for each in header["campaigns"]))
    _make_room(store, path, header, replace)
    for lines in _batches(islice(_content(path), 1, None)):
        records = [line["record"] for line in lines if "record" in line]
        new = _without_known(store, records)
        save_many(store, new, mostly_new=True)
        transfer.n_records += len(records)
        transfer.n_stored += len(new)
        for line in lines:
            if "blob" in line:
                transfer.n_blobs += 1
                transfer.n_stored += _save_blob(store, line["store"], line["blob"])
    return transfer


def check_file(path: Path) -> dict[str, Any]:
    """Read a whole file and return its header, with the ``stores`` of its large objects.

    Raises
    ------
    RocksaltError
        When the file is not one of ours, cut off, damaged or of another version.
    """
    content = _content(path)
    header = next(content)
    stores = sorted({line["store"] for line in content if "blob" in line})
    return {**header, "stores": stores}


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of a file one by one, without its large objects.

    Raises
    ------
    RocksaltError
        As `check_file`; for a damaged or cut-off file at its end, after the records before.
    """
    yield from (line["record"] for line in islice(_content(path), 1, None) if "record" in line)


def _check_stores(store: JobStore, path: Path, names: list[str]) -> None:
    there = additional_stores(store)
    lacking = [name for name in names if name not in there]
    if lacking:
        raise RocksaltError(
            f"{path}: holds large objects of the additional store {', '.join(lacking)}, which this "
            f"store lacks (it has {', '.join(there) or 'none'}): import into a "
            "store that has it"
        )


def _make_room(store: JobStore, path: Path, header: dict[str, Any], replace: bool) -> None:
    """Refuse or remove campaigns that have a name of the file's and other content."""
    there = campaign_hashes(store)
    other = [
        each["name"]
        for each in header["campaigns"]
        if there.get(each["name"], each["content_hash"]) != each["content_hash"]
    ]
    if other and not replace:
        raise RocksaltError(
            f"{path}: the store has another campaign named {', '.join(map(repr, other))}: give "
            "--replace to let those of the file take its place, or import into another store"
        )
    if other:
        store.docs_store.remove_docs({"metadata.campaign": {"$in": other}})


def _without_known(store: JobStore, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out the records that the store has, or has in a newer version."""
    fields = ["uuid", "index", "completed_at", "metadata.kind", "output.state"]
    criteria = {"uuid": {"$in": [record["uuid"] for record in records]}}
    there = {_identity(r): r for r in store.docs_store.query(criteria, properties=fields)}
    return [
        record
        for record in records
        if _identity(record) not in there or _is_better(record, there[_identity(record)])
    ]


def _identity(record: dict[str, Any]) -> tuple[str, int]:
    return record["uuid"], record.get("index", 1)


def _is_better(record: dict[str, Any], stored: dict[str, Any]) -> bool:
    if stored.get("metadata", {}).get("kind") == "calculation":
        states = [each.get("output", {}).get("state") for each in (stored, record)]
        return states == ["failed", "done"]
    return (record.get("completed_at") or "") > (stored.get("completed_at") or "")


def _save_blob(store: JobStore, name: str, blob: dict[str, Any]) -> bool:
    additional = additional_stores(store)[name]
    if additional.count({"blob_uuid": blob["blob_uuid"]}):
        return False
    additional.update(blob, key="blob_uuid")
    return True


class _Writer:
    def __init__(self, raw: BinaryIO) -> None:
        self.raw = raw
        self.digest = hashlib.sha256()

    def write(self, content: dict[str, Any]) -> None:
        line = dumps(content, json_options=_OPTIONS, separators=(",", ":")).encode() + b"\n"
        self.digest.update(line)
        self.raw.write(line)


@contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    """Give a file to write to, which gets its name when all is written."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(part, "wb") as file:
            if path.name.endswith(".gz"):
                # Neither name nor time in it: the same content gives the same file.
                with gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:
                    yield packed  # type: ignore[misc]  # a GzipFile has what a writer needs
            else:
                yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        raise RocksaltError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)


def _content(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the header and the lines of records and large objects; raise unless all is well."""
    digest = hashlib.sha256()
    counts = {"record": 0, "blob": 0}
    with _lines(path) as lines:
        yield _header(path, next(lines, b""), digest.update)
        for number, line in enumerate(lines, 2):
            content = _parsed(path, number, line)
            kind = next((kind for kind in counts if kind in content), None)
            if kind is None:
                _check_end(path, content, counts, digest.hexdigest())
                if next(lines, None) is not None:
                    raise _damaged(path, "goes on behind its end")
                return
            counts[kind] += 1
            digest.update(line)
            yield content
    raise _damaged(path, "is cut off")


def _header(path: Path, line: bytes, update: Callable[[bytes], None]) -> dict[str, Any]:
    try:
        header = loads(line, json_options=_OPTIONS)
        foreign = header.get("format") != FORMAT
    except (ValueError, TypeError, AttributeError, BSONError):
        foreign = True
    if foreign:
        raise RocksaltError(f"{path}: is not a file of 'rocksalt export': check its name")
    for what, known in (("format_version", FORMAT_VERSION), ("schema_version", SCHEMA_VERSION)):
        if header.get(what) != known:
            raise RocksaltError(
                f"{path}: was written by rocksalt {header.get('rocksalt_version')} with {what} "
                f"{header.get(what)}, known here: {known}: use that version of rocksalt"
            )
    update(line)
    return header


def _parsed(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        content = loads(line, json_options=_OPTIONS)
    except (ValueError, TypeError, BSONError) as error:
        reason = "is cut off" if not line.endswith(b"\n") else "is damaged"
        raise _damaged(path, f"{reason} at line {number}") from error
    if not isinstance(content, dict):
        raise _damaged(path, f"is damaged at line {number}")
    return content


def _check_end(path: Path, end: dict[str, Any], counts: dict[str, int], digest: str) -> None:
    if end.get("records") != counts["record"] or end.get("blobs") != counts["blob"]:
        raise _damaged(path, "lacks lines")
    if end.get("sha256") != digest:
        raise _damaged(path, "is damaged: its content does not have the SHA-256 of its last line")


def _damaged(path: Path, what: str) -> RocksaltError:
    return RocksaltError(f"{path}: {what}: copy or export it again; nothing was stored")


@contextmanager
def _lines(path: Path) -> Iterator[Iterator[bytes]]:
    """Give the lines of a file, compressed or not."""
    try:
        with open(path, "rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            reader = io.BufferedReader(gzip.GzipFile(fileobj=file)) if packed else file
            yield iter(reader)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _damaged(path, "is cut off or damaged") from error
    except OSError as error:
        raise RocksaltError(f"{path}: cannot be read: {error.strerror or error}") from error


def _batches(items: Iterable[Item], size: int = BATCH) -> Iterator[list[Item]]:
    """Yield items in lists; a large object of an additional store ends a list."""
    batch: list[Item] = []
    for item in items:
        batch.append(item)
        if len(batch) == size or (isinstance(item, dict) and "blob" in item):
            yield batch
            batch = []
    if batch:
        yield batch
