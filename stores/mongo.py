"""Stores on a MongoDB server: their address, their indexes, and errors that say what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeGuard
from urllib.parse import urlsplit

from jobflow import JobStore
from maggma.core import Store
from maggma.stores import MemoryStore, MongoStore
from maggma.stores.gridfs import GridFSStore
from monty.json import jsanitize
from pymongo import ASCENDING, IndexModel
from pymongo.collection import Collection
from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    DocumentTooLarge,
    OperationFailure,
    PyMongoError,
)
from pymongo.uri_parser import parse_uri

from rocksalt.screening.errors import RocksaltError
from rocksalt.stores.addresses import hide_password

SERVER_WAIT_S = 5.0
"""How long to look for a server before saying that there is none."""

CONNECT_WAIT_S = SERVER_WAIT_S / 2
"""Less, so that its reason is known in time."""
_FORM = "mongodb://user:password@host:port/database"
_SRV = re.compile(
    r"mongodb\+srv://(?:[^/@:\s]+(?::[^/@:\s]*)?@)?[^/@:\s]+(?:/(?P<database>[^/@:\s]*))?"
)
_ESCAPES = "in user and password write %40 for @, %3A for :, %2F for / and %25 for %"

_UNAUTHORIZED, _ATLAS_ERROR = 13, 8000
_WRONG_PASSWORD = (18, _ATLAS_ERROR)
_TOO_LARGE = (10334, 17419, 17420)
_DISK_FULL = 14031
_DUPLICATE_KEY = 11000


def mongo_job_store(address: str, docs: str, data: str, wait_s: float = SERVER_WAIT_S) -> JobStore:
    """Return the jobflow store at an address: documents in a collection, large data in GridFS.

    A write returns when the server has it in its journal: a killed server keeps it.

    Parameters
    ----------
    address
        ``mongodb://`` or ``mongodb+srv://`` with a database.
    docs, data
        Names of the collection and of the GridFS files; ``data`` is also the name of the
        additional store.
    wait_s
        How long to look for a server that does not answer.

    Raises
    ------
    RocksaltError
        When the address is malformed or names no database.
    """
    database = _database_of(address)
    options = _client_options(address, wait_s)
    return JobStore(
        MongoStore(database, docs, uri=address, mongoclient_kwargs=options),
        additional_stores={
            data: GridFSStore(database, data, uri=address, mongoclient_kwargs=dict(options))
        },
    )


def _database_of(address: str) -> str:
    shown = f"store {hide_password(address)}"
    place, _, options = address.partition("?")
    database = _database_in(place)
    if database is None:
        raise RocksaltError(f"{shown}: not a valid address: write it as {_FORM}; {_ESCAPES}")
    trouble = _trouble_with_options(options)
    if trouble:
        raise RocksaltError(f"{shown}: {trouble}: correct what follows '?'")
    if not database:
        ending = hide_password(f"?{options}") if options else ""
        raise RocksaltError(
            f"{shown}: name the database, as in {hide_password(place).rstrip('/')}/rocksalt{ending}"
        )
    return database


def _database_in(place: str) -> str | None:
    """Return the database of an address without options, '' for none, None if it is malformed."""
    if place.startswith("mongodb+srv://"):  # the name service knows the rest
        match = _SRV.fullmatch(place)
        return None if match is None else match["database"] or ""
    if re.search(r"\s", place):
        return None
    try:
        return parse_uri(place)["database"] or ""
    except (PyMongoError, ValueError):
        return None  # without their text, which may quote a part of the password


def _trouble_with_options(options: str) -> str | None:
    try:
        parse_uri(f"mongodb://host/?{options}", warn=False)
    except (PyMongoError, ValueError) as error:
        return hide_password(" ".join(str(error).split()))
    return None


def _client_options(address: str, wait_s: float) -> dict[str, Any]:
    """Return how long a client waits and that it wants the journal, less what the address sets."""
    given = {option.partition("=")[0] for option in address.partition("?")[2].lower().split("&")}
    options = {
        "serverSelectionTimeoutMS": int(wait_s * 1000),
        "connectTimeoutMS": int(CONNECT_WAIT_S * 1000),
        "journal": True,  # a server that is killed may forget what it only had in memory
    }
    return {name: value for name, value in options.items() if name.lower() not in given}


def server_stores(store: JobStore) -> list[MongoStore | GridFSStore]:
    """Return those parts of a jobflow store that are on a MongoDB server."""
    return [s for s in parts_of(store) if isinstance(s, GridFSStore) or on_server(s)]


def parts_of(store: JobStore) -> list[Store]:
    """Return the stores that a jobflow store consists of."""
    return [store.docs_store, *additional_stores(store).values()]


def additional_stores(store: JobStore) -> dict[str, Store]:
    """Return the stores for large data of a jobflow store, by name."""
    return store.additional_stores  # type: ignore[has-type]  # mypy loses it in jobflow's imports


def on_server(store: Store) -> TypeGuard[MongoStore]:
    """Say whether documents are in a collection of a MongoDB server."""
    return isinstance(store, MongoStore) and not isinstance(store, MemoryStore)


def set_client_options(store: JobStore, wait_s: float = SERVER_WAIT_S) -> None:
    """Let a store that is not connected yet wait so long for its server, and for its journal."""
    for part in server_stores(store):
        for name, value in _client_options(part.uri or "", wait_s).items():
            part.mongoclient_kwargs.setdefault(name, value)


def check_server(store: JobStore) -> None:
    """Ask the servers of a connected store for one document, so that errors come now.

    Raises
    ------
    PyMongoError
        What `explained_server_error` explains.
    """
    for part in server_stores(store):
        collection = part._files_store._collection if isinstance(part, GridFSStore) else None
        (part._collection if collection is None else collection).find_one({}, {"_id": 1})


def ensure_server_indexes(
    store: MongoStore, fields: Iterable[str], unique: tuple[str, ...] = ()
) -> None:
    """Index fields of a collection on a server, by one command and only where they lack.

    A user who may only read goes without.

    Parameters
    ----------
    fields
        One index each.
    unique
        Fields of which no two documents may have the same values, so that two writers that store
        one document at the same moment store it once.
    """
    collection: Collection = store._collection
    there = [tuple(spec["key"]) for spec in collection.index_information().values()]
    wanted = [IndexModel([(f, ASCENDING)]) for f in fields if ((f, ASCENDING),) not in there]
    together = tuple((f, ASCENDING) for f in unique)
    if unique and together not in there:
        wanted.append(IndexModel(list(together), unique=True))
    if not wanted:
        return
    try:
        collection.create_indexes(wanted)
    except OperationFailure as error:
        if error.code != _UNAUTHORIZED:
            raise


def insert_or_replace(store: Store, documents: list[dict[str, Any]], key: tuple[str, ...]) -> None:
    """Write documents most of which a store lacks, which costs a server less than upserts.

    They are sent as inserts. Those that the unique index of `ensure_server_indexes` refuses, because
    they are there or another writer just stored them, replace what is there. Without that index,
    and in a store that is not on a server, all are upserted.

    Parameters
    ----------
    documents
        At least one.
    key
        Fields that identify a document: those of the unique index.
    """
    if not on_server(store) or not _is_unique(store._collection, key):
        store.update(documents, key=list(key))
        return
    # In the form in which maggma stores them; copies, since an insert adds an _id.
    plain = [jsanitize(each, allow_bson=True, recursive_msonable=True) for each in documents]
    try:
        store._collection.insert_many(plain, ordered=False)
    except BulkWriteError as error:
        details: Mapping[str, Any] = error.details or {}
        refused = details.get("writeErrors", [])
        others = [each for each in refused if each["code"] != _DUPLICATE_KEY]
        if others or details.get("writeConcernErrors"):
            raise
        store.update([documents[each["index"]] for each in refused], key=list(key))


def _is_unique(collection: Collection, key: tuple[str, ...]) -> bool:
    together = [(name, ASCENDING) for name in key]
    indexes = collection.index_information().values()
    return any(spec["key"] == together and spec.get("unique") for spec in indexes)


def check_writable(store: JobStore) -> None:
    """Try an update that changes nothing, so that a user who may only read learns it now.

    Raises
    ------
    PyMongoError
        What `explained_server_error` explains.
    """
    if on_server(store.docs_store):
        store.docs_store._collection.delete_many({"uuid": "rocksalt: never stored"})


def explained_server_error(
    error: BaseException, address: str | None = None
) -> RocksaltError | None:
    """Return what an error of MongoDB means and what to do, or None for any other error.

    Parameters
    ----------
    address
        Of the store, where it is known.
    """
    if not isinstance(error, PyMongoError):
        return None
    place = f"store {hide_password(address)}" if address else "store on a MongoDB server"
    return RocksaltError(f"{place}: {_explanation(error, address)}")


def _explanation(error: PyMongoError, address: str | None) -> str:
    code, text = _code(error), hide_password(" ".join(str(error).split()))
    if code in _WRONG_PASSWORD or "authentication failed" in text.lower():
        return (
            "the server refuses this user with this password: correct them, or add "
            f"?authSource=DATABASE for the database that knows the user; {_ESCAPES}"
        )
    if code == _UNAUTHORIZED:
        return _not_permitted(text, address)
    if isinstance(error, DocumentTooLarge) or code in _TOO_LARGE:
        return "a document is larger than the 16 MB that MongoDB takes: use a file as the store"
    if code == _DISK_FULL:
        return "the server's disk is full: free some space there and run again"
    if isinstance(error, ConnectionFailure):
        return _no_connection(text, address)
    return _short(f"{type(error).__name__}: {text}")


def _code(error: PyMongoError) -> int | None:
    if isinstance(error, BulkWriteError):
        details: Mapping[str, Any] = error.details or {}
        return next((each.get("code") for each in details.get("writeErrors", [])), None)
    return getattr(error, "code", None)


def _not_permitted(text: str, address: str | None) -> str:
    if "requires authentication" in text or (address and "@" not in urlsplit(address).netloc):
        return f"the server wants a user and a password: write {_FORM}"
    return (
        "this user is not permitted to do that: ask for the role readWrite on the database (read "
        f"is enough for everything but run and import) ({_short(text)})"
    )


def _no_connection(text: str, address: str | None) -> str:
    cause = _short(re.split(r" \(configured timeouts|, Timeout: |, Topology Description", text)[0])
    if "CERTIFICATE_VERIFY_FAILED" in text.upper() or "certificate verify failed" in text:
        return (
            f"the server's certificate is not trusted: add tlsCAFile=FILE to the address ({cause})"
        )
    if (
        "SSL" in text
        or "TLS" in text
        or re.search(r"[?&](tls|ssl)=true", address or "", re.IGNORECASE)
    ):
        return (
            "no server answers with TLS: leave tls=true out for a server without, and check host, "
            f"port and certificates otherwise ({cause})"
        )
    if "connection closed" in text or "reset by peer" in text:
        return (
            "the server closes the connection: if it wants TLS, add ?tls=true (and "
            f"tlsCAFile=FILE) to the address; if it went down, run again ({cause})"
        )
    return f"no server answers: start it, or check host, port and firewall ({cause})"


def _short(text: str) -> str:
    text = text.split(", full error: ")[0]
    return text if len(text) <= 200 else f"{text[:200]} ..."
