"""Stores by address: a file, MongoDB, memory, or what jobflow is configured with."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from jobflow import JobStore
from maggma.core import StoreError
from maggma.stores import MemoryStore

from rocksalt.screening.errors import RocksaltError
from rocksalt.stores.addresses import SCHEMES, hide_password
from rocksalt.stores.mongo import (
    SERVER_WAIT_S,
    check_server,
    check_writable,
    explained_server_error,
    mongo_job_store,
    parts_of,
    set_client_options,
)
from rocksalt.stores.reading import (
    DATA,
    DOCS,
    Documents,
    check_schema_version,
    existing_file,
    unopened,
)
from rocksalt.stores.records import ensure_indexes
from rocksalt.stores.sqlite import SQLiteStore
from rocksalt.stores.sqlite_documents import SQLiteDocuments
from rocksalt.stores.sqlite_file import may_write

__all__ = [
    "DATA",
    "DOCS",
    "close_store",
    "hide_password",
    "open_store",
]


def open_store(
    address: str, *, must_exist: bool = False, wait_s: float = SERVER_WAIT_S
) -> JobStore:
    """Connect to a store and make its indexes.

    Parameters
    ----------
    address
        'memory', 'jobflow', a ``mongodb://`` address with a database, or the path of a file.
    must_exist
        Only to read: refuse a file that is not there instead of making it, and a server whose user
        may not write will do.
    wait_s
        How long to look for a server that does not answer, now and later.

    Raises
    ------
    RocksaltError
        One line: what is wrong with the store and what to do.
    """
    job_store = _job_store(address, must_exist, wait_s)
    try:
        set_client_options(job_store, wait_s)
        job_store.connect()
        check_server(job_store)
        if not must_exist:
            check_writable(job_store)
        ensure_indexes(job_store, unique=address != "jobflow")
        check_schema_version(job_store, address)
    except RocksaltError:
        close_store(job_store)
        raise
    except Exception as error:  # pymongo, sqlite3, maggma: each has its own
        close_store(job_store)
        raise explained_server_error(error, address) or unopened(address, error) from error
    return job_store


def close_store(store: JobStore) -> None:
    """Close the parts of a store that are connected; what memory holds stays there."""
    for part in parts_of(store):
        if not isinstance(part, MemoryStore):
            with suppress(StoreError):  # this part was not connected
                part.close()


def job_store_of(documents: Documents) -> JobStore:
    """Return what is open already as the `JobStore` that writing and loading large data need."""
    if isinstance(documents, JobStore):
        return documents
    docs = documents.docs_store
    assert isinstance(docs, SQLiteDocuments)  # every other store is a `JobStore`
    store = _file_store(Path(docs.path), docs.read_only)
    store.connect()
    return store


def _job_store(address: str, must_exist: bool, wait_s: float) -> JobStore:
    if address == "memory":
        return JobStore(MemoryStore(), additional_stores={DATA: MemoryStore()})
    if address == "jobflow":
        from jobflow import SETTINGS

        return SETTINGS.JOB_STORE
    if address.startswith(SCHEMES):
        return mongo_job_store(address, DOCS, DATA, wait_s)
    if not must_exist:
        return _file_store(Path(address).expanduser(), read_only=False)
    path = existing_file(address)
    return _file_store(path, read_only=not may_write(path))


def _file_store(path: Path, read_only: bool) -> JobStore:
    docs, data = (SQLiteStore(path, name, read_only=read_only) for name in (DOCS, DATA))
    return JobStore(docs, additional_stores={DATA: data})
