"""Stores by address: a file, MongoDB, memory, or what jobflow is configured with."""

from __future__ import annotations

import os
import re
from pathlib import Path

from jobflow import JobStore
from maggma.stores import MemoryStore, MongoStore

from rocksalt.screening.errors import RocksaltError
from rocksalt.stores.records import ensure_indexes
from rocksalt.stores.sqlite import SQLiteStore

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


def open_store(address: str, *, must_exist: bool = False) -> JobStore:
    """Connect to a store and make its indexes.

    Parameters
    ----------
    address
        'memory', 'jobflow', a ``mongodb://`` address with a database, or the path of a file.
    must_exist
        Refuse a file that is not there instead of making it.

    Raises
    ------
    RocksaltError
        One line: what is wrong with the store and what to do.
    """
    job_store = _job_store(address, must_exist)
    try:
        job_store.connect()
        ensure_indexes(job_store)
    except RocksaltError:
        raise
    except Exception as error:  # pymongo, sqlite3, maggma: each has its own
        reason = hide_password(" ".join(str(error).split()))[:300]
        raise RocksaltError(
            f"store {hide_password(address)}: {type(error).__name__}: {reason}"
        ) from error
    return job_store


def _job_store(address: str, must_exist: bool) -> JobStore:
    if address == "memory":
        return JobStore(MemoryStore(), additional_stores={DATA: MemoryStore()})
    if address == "jobflow":
        from jobflow import SETTINGS

        return SETTINGS.JOB_STORE
    if address.startswith(("mongodb://", "mongodb+srv://")):
        return _mongo(address)
    path = Path(address).expanduser()
    if must_exist and not path.exists():
        raise RocksaltError(f"store {path}: no such file: run a campaign first, or give --store")
    return JobStore(
        SQLiteStore(path, collection_name=DOCS),
        additional_stores={DATA: SQLiteStore(path, collection_name=DATA)},
    )


def _mongo(address: str) -> JobStore:
    from maggma.stores.gridfs import GridFSStore

    place = re.match(r"mongodb(?:\+srv)?://[^/]+/(?P<database>[^?]+)", address)
    if place is None:
        raise RocksaltError(
            f"store {hide_password(address)}: name the database, as in mongodb://host/rocksalt"
        )
    docs = MongoStore.from_uri(address, DOCS, database=place["database"])
    blobs = GridFSStore.from_uri(address, DATA, database=place["database"])
    return JobStore(docs, additional_stores={DATA: blobs})


def hide_password(text: str) -> str:
    """Return text with the password of every address in it replaced by ***."""
    return re.sub(r"(mongodb(?:\+srv)?://[^:/@\s]+):[^@\s]*@", r"\1:***@", text)
