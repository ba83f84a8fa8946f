"""Opening a file of results to read it, without jobflow.

Importing jobflow, and through it maggma's clients of other stores, takes longer than most questions
that people ask of a file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rocksalt.screening.errors import RocksaltError
from rocksalt.stores.addresses import hide_password
from rocksalt.stores.documents import SCHEMA_VERSION
from rocksalt.stores.records import ensure_indexes, other_schema_version
from rocksalt.stores.sqlite_documents import SQLiteDocuments
from rocksalt.stores.sqlite_file import may_write

if TYPE_CHECKING:
    from collections.abc import Mapping

    from maggma.core import Store

DOCS, DATA = "docs", "data"
"""Collections of a store: its documents, and large data apart from them."""


class Documents(Protocol):
    """What reading needs of a jobflow `JobStore`, and what a file has without one."""

    @property
    def docs_store(self) -> Store | SQLiteDocuments:
        """The documents."""

    @property
    def additional_stores(self) -> Mapping[str, Store | SQLiteDocuments]:
        """Large data, by name."""


@dataclass(frozen=True)
class FileDocuments:
    """The documents in a file and the large data beside them.

    Attributes
    ----------
    docs_store, additional_stores
        As of a `JobStore`, which `rocksalt.stores.opening.job_store_of` makes of it.
    """

    docs_store: SQLiteDocuments
    additional_stores: dict[str, SQLiteDocuments]

    @classmethod
    def open(cls, address: str) -> FileDocuments:
        """Connect to a file that is there.

        Raises
        ------
        RocksaltError
            One line: what is wrong with the file and what to do.
        """
        path = existing_file(address)
        read_only = not may_write(path)
        docs, data = (SQLiteDocuments(path, name, read_only=read_only) for name in (DOCS, DATA))
        documents = cls(docs, {DATA: data})
        try:
            for part in documents.parts:
                part.connect()
            ensure_indexes(documents)
            check_schema_version(documents, address)
        except RocksaltError:
            documents.close()
            raise
        except Exception as error:  # sqlite3, bson, maggma: each has its own
            documents.close()
            raise unopened(address, error) from error
        return documents

    @property
    def parts(self) -> list[SQLiteDocuments]:
        """All collections."""
        return [self.docs_store, *self.additional_stores.values()]

    def close(self) -> None:
        """Close the file."""
        for part in self.parts:
            part.close()


def may_only_be_read(store: Documents) -> bool:
    """Say whether a store is a file that the user may not write."""
    docs = store.docs_store
    return isinstance(docs, SQLiteDocuments) and docs.read_only


def existing_file(address: str) -> Path:
    """Return the path of a file that must be there.

    Raises
    ------
    RocksaltError
        When it is not.
    """
    path = Path(address).expanduser()
    try:
        if path.exists():
            return path
    except PermissionError:
        raise RocksaltError(
            f"store {path}: its folder cannot be looked into: ask its owner, or give --store"
        ) from None
    raise RocksaltError(f"store {path}: no such file: run a campaign first, or give --store")


def check_schema_version(store: Documents, address: str) -> None:
    """Raise when a store holds documents that this rocksalt would misread.

    Raises
    ------
    RocksaltError
        Saying whether they are older or newer, and what to do.
    """
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


def unopened(address: str, error: Exception) -> RocksaltError:
    """Return the error that says in one line why a store could not be opened."""
    reason = hide_password(" ".join(str(error).split()))[:300]
    return RocksaltError(f"store {hide_password(address)}: {type(error).__name__}: {reason}")
