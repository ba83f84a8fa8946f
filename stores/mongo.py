"""Stores on a MongoDB server: their address, their indexes, and errors that say what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from jobflow import JobStore
from maggma.core import Store
from maggma.stores import MemoryStore, MongoStore
from maggma.stores.gridfs import GridFSStore
from pymongo import ASCENDING, IndexModel
from pymongo.collection import Collection
from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    DocumentTooLarge,
    InvalidName,
    InvalidURI,
    OperationFailure,
    PyMongoError,
)
from pymongo.uri_parser import parse_uri

from rocksalt.screening.errors import RocksaltError
from rocksalt.stores.addresses import hide_password

SERVER_WAIT_S = 5.0
"""How long to look for a server before saying that there is none."""

SCHEMES = ("mongodb://", "mongodb+srv://")

_IMPATIENT = {
    "serverSelectionTimeoutMS": int(SERVER_WAIT_S * 1000),
    "connectTimeoutMS": int(SERVER_WAIT_S * 1000),
}
_FORM = "mongodb://user:password@host:port/database"
_SRV = re.compile(
    r"mongodb\+srv://(?:[^/@:\s]+(?::[^/@:\s]*)?@)?[^/@:\s]+(?:/(?P<database>[^/@:\s]*))?"
)
_ESCAPES = "in user and password write %40 for @, %3A for :, %2F for / and %25 for %"

_UNAUTHORIZED, _ATLAS_ERROR = 13, 8000
_WRONG_PASSWORD = (18, _ATLAS_ERROR)
_TOO_LARGE = (10334, 17419, 17420)
_DISK_FULL = 14031


def mongo_job_store(address: str, docs: str, data: str) -> JobStore:
    """Return the jobflow store at an address: documents in a collection, large data in GridFS.

    Parameters
    ----------
    address
        ``mongodb://`` or ``mongodb+srv://`` with a database.
    docs, data
        Names of the collection and of the GridFS files; ``data`` is also the name of the
        additional store.

    Raises
    ------
    RocksaltError
        When the address is malformed or names no database.
    """
    database = _database_of(address)
    options = _timeouts(address)
    return JobStore(
        MongoStore(database, docs, uri=address, mongoclient_kwargs=options),
        additional_stores={
            data: GridFSStore(database, data, uri=address, mongoclient_kwargs=dict(options))
        },
    )


def _database_of(address: str) -> str:
    shown = f"store {hide_password(address)}"
    place, _, options = address.partition("?")
    malformed = RocksaltError(f"{shown}: not a valid address: write it as {_FORM}; {_ESCAPES}")
    if re.search(r"\s", address) or place.startswith("mongodb+srv://"):
        # The rest of an SRV address is in the name service: the client looks when it connects.
        match = _SRV.fullmatch(place)
        if match is None:
            raise malformed
        database = match["database"]
    else:
        try:
            database = parse_uri(place)["database"]
        except (InvalidURI, ConfigurationError, InvalidName, ValueError):
            raise malformed from None  # their text may quote a part of the password
        try:
            parse_uri(address, warn=False)
        except (InvalidURI, ConfigurationError, ValueError) as error:
            reason = hide_password(" ".join(str(error).split()))
            raise RocksaltError(f"{shown}: {reason}: correct what follows '?'") from None
    if not database:
        raise RocksaltError(
            f"{shown}: names no database: write {_shown_place(place)}/rocksalt"
            f"{'?' + hide_password('?' + options)[1:] if options else ''}"
        )
    return database


def _shown_place(place: str) -> str:
    return hide_password(place).rstrip("/")


def _timeouts(address: str) -> dict[str, Any]:
    """Return the options that make a client give up soon, less those that the address sets."""
    given = address.partition("?")[2].lower()
    return {name: value for name, value in _IMPATIENT.items() if f"{name.lower()}=" not in given}


def server_stores(store: JobStore) -> list[MongoStore | GridFSStore]:
    """Return those parts of a jobflow store that are on a MongoDB server."""
    return [s for s in (store.docs_store, *store.additional_stores.values()) if _on_server(s)]


def _on_server(store: Store) -> bool:
    mongo = isinstance(store, MongoStore) and not isinstance(store, MemoryStore)
    return mongo or isinstance(store, GridFSStore)


def give_up_soon(store: JobStore) -> None:
    """Let a store that is not connected yet say within seconds when there is no server."""
    for part in server_stores(store):
        for name, value in _timeouts(part.uri or "").items():
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


def check_writable(store: JobStore) -> None:
    """Try an update that changes nothing, so that a user who may only read learns it now.

    Raises
    ------
    PyMongoError
        What `explained_server_error` explains.
    """
    if _on_server(store.docs_store):
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
        return _no_connection(text)
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


def _no_connection(text: str) -> str:
    cause = _short(re.split(r" \(configured timeouts|, Timeout: |, Topology Description", text)[0])
    if "CERTIFICATE_VERIFY_FAILED" in text.upper() or "certificate verify failed" in text:
        return (
            f"the server's certificate is not trusted: add tlsCAFile=FILE to the address ({cause})"
        )
    if "SSL" in text or "TLS" in text:
        return (
            "the server and tls=true do not agree: leave tls=true out for a server without TLS, "
            f"and check certificates otherwise ({cause})"
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
