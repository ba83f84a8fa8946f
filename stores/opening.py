"""Stores by address: a file, MongoDB, memory, or what jobflow is configured with."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from jobflow import JobStore
from maggma.core import StoreError
from maggma.stores import MemoryStore

from rocksalt.screening.errors import RocksaltError
from rocksalt.stores.addresses import hide_password
from rocksalt.stores.documents import SCHEMA_VERSION
from rocksalt.stores.mongo import (
    SCHEMES,
    SERVER_WAIT_S,
    check_server,
    check_writable,
    explained_server_error,
    mongo_job_store,
    parts_of,
    set_client_options,
)
from rocksalt.stores.records import ensure_indexes, other_schema_version
from rocksalt.stores.sqlite import SQLiteStore

__all__ = [
    "DATA",
    "DEFAULT_STORE",
    "DOCS",
    "close_store",
    "hide_password",
    "open_store",
    "store_address",
]

DEFAULT_STORE = "results.sqlite"
DOCS, DATA = "docs", "data"


def store_address(command_line: str | None, campaign: str | None, settings: str | None) -> str:
    """Return which store to use: command line, campaign, settings, jobflow's own, the default.

    'jobflow' stands for the JOB_STORE of jobflow's configuration.
    """
    for address in (command_line, campaign, settings):
        if address:
            return address
    return "jobflow" if _jobflow_is_configured() else DEFAULT_STORE


def _jobflow_is_configured() -> bool:
    if os.environ.get("JOBFLOW_JOB_STORE"):
        return True
    place = Path(os.environ.get("JOBFLOW_CONFIG_FILE", "~/.jobflow.yaml")).expanduser()
    return place.is_file() and "JOB_STORE" in place.read_text(encoding="utf-8", errors="replace")


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
        _check_schema_version(job_store, address)
    except RocksaltError:
        close_store(job_store)
        raise
    except Exception as error:  # pymongo, sqlite3, maggma: each has its own
        close_store(job_store)
        explained = explained_server_error(error, address)
        if explained is not None:
            raise explained from error
        reason = hide_password(" ".join(str(error).split()))[:300]
        raise RocksaltError(
            f"store {hide_password(address)}: {type(error).__name__}: {reason}"
        ) from error
    return job_store


def close_store(store: JobStore) -> None:
    """Close the parts of a store that are connected; what memory holds stays there."""
    for part in parts_of(store):
        if not isinstance(part, MemoryStore):
            with suppress(StoreError):  # this part was not connected
                part.close()


def _check_schema_version(store: JobStore, address: str) -> None:
    version = other_schema_version(store)
    if version is None:
        return
    age, remedy = (
        ("a newer", "update rocksalt, or choose another store")
        if isinstance(version, int) and version > SCHEMA_VERSION
        else ("an older", "run the campaigns into another store")
    )
    raise RocksaltError(
        f"store {hide_password(address)}: was written by {age} rocksalt (schema version "
        f"{version}, known here: {SCHEMA_VERSION}): {remedy}"
    )


def _job_store(address: str, must_exist: bool, wait_s: float) -> JobStore:
    if address == "memory":
        return JobStore(MemoryStore(), additional_stores={DATA: MemoryStore()})
    if address == "jobflow":
        from jobflow import SETTINGS

        return SETTINGS.JOB_STORE
    if address.startswith(SCHEMES):
        return mongo_job_store(address, DOCS, DATA, wait_s)
    path = Path(address).expanduser()
    if must_exist and not path.exists():
        raise RocksaltError(f"store {path}: no such file: run a campaign first, or give --store")
    return JobStore(
        SQLiteStore(path, collection_name=DOCS),
        additional_stores={DATA: SQLiteStore(path, collection_name=DATA)},
    )
