"""Claims: which process is at which calculation, so that no two compute the same one.

A claim is kept in the store under the calculation's key, with its owner and the time at which the
owner last renewed it. It is free for others once its owner has let go of it, has not renewed it for
`EXPIRE_S`, or was a process of this machine that lives no more. A process that was suspended for
longer may find that another one computed the same: results have the same identity, so the store
holds one of them. Clocks of machines that share a store must agree to within half of `EXPIRE_S`.
"""

from __future__ import annotations

import secrets
import socket
import sqlite3
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from os import getpid

from jobflow import JobStore
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError, PyMongoError

from rocksalt.screening.errors import RocksaltError
from rocksalt.stores.mongo import on_server
from rocksalt.stores.processes import process_lives
from rocksalt.stores.sqlite_documents import SQLiteDocuments
from rocksalt.stores.sqlite_file import SQLiteFile

RENEW_S = 10.0
"""How often an owner renews its claims."""

EXPIRE_S = 60.0
"""A claim that was not renewed for so long is free."""

TABLE = "rocksalt_claims"
"""Table of a file, or collection of a database, that holds them."""

_DUPLICATE = 11000
_STORE_ERRORS = (RocksaltError, PyMongoError, sqlite3.Error)


class Claims(ABC):
    """The claims in one store, as one owner sees them.

    Attributes
    ----------
    owner
        Host, process number, time of its first claim, and a random part.
    shared
        Whether other processes see them. Without that, everything may be taken.
    """

    shared = True

    def __init__(self) -> None:
        self.owner = f"{socket.gethostname()}/{getpid()}/{time.time():.3f}/{secrets.token_hex(4)}"

    @abstractmethod
    def take(self, keys: Sequence[str]) -> set[str]:
        """Claim what is free of some calculations; return the keys that are the owner's now."""

    @abstractmethod
    def renew(self) -> None:
        """Say that the owner is still at everything that it has claimed."""

    @abstractmethod
    def release(self, keys: Sequence[str] | None = None) -> None:
        """Let go of the owner's claims on some calculations, or of all of them."""

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Renew the claims from a thread inside the block, and release all at its end.

        A store that fails meanwhile is left to those who wait for an answer from it: claims that
        could not be released end with their process.
        """
        over = threading.Event()

        def renew() -> None:
            while not over.wait(RENEW_S):
                with suppress(*_STORE_ERRORS):  # the next renewal may do
                    self.renew()

        thread = threading.Thread(target=renew, name="rocksalt-claims", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            with suppress(*_STORE_ERRORS):  # they end with the process
                self.release()

    def _is_free(self, owner: str, renewed: float, now: float) -> bool:
        if owner == self.owner or now - renewed > EXPIRE_S:
            return True
        host, pid, since, _ = owner.rsplit("/", 3)
        return host == socket.gethostname() and not process_lives(int(pid), float(since))


def claims_in(store: JobStore) -> Claims:
    """Return the claims of a new owner in a connected store."""
    docs = store.docs_store
    if isinstance(docs, SQLiteDocuments):
        return _FileClaims(docs._file)
    if on_server(docs):
        return _ServerClaims(docs._collection.database[TABLE])
    return _NoClaims()


class _NoClaims(Claims):
    """For a store in the memory of one process."""

    shared = False

    def take(self, keys: Sequence[str]) -> set[str]:
        return set(keys)

    def renew(self) -> None:
        pass

    def release(self, keys: Sequence[str] | None = None) -> None:
        pass


class _FileClaims(Claims):
    """In a table beside the documents of an SQLite file."""

    def __init__(self, file: SQLiteFile) -> None:
        super().__init__()
        self._file = file
        with file.transaction() as con:
            con.execute(
                f"CREATE TABLE IF NOT EXISTS {TABLE} (key TEXT PRIMARY KEY, owner TEXT NOT NULL, "
                "renewed REAL NOT NULL) WITHOUT ROWID"
            )

    def take(self, keys: Sequence[str]) -> set[str]:
        now = time.time()
        marks = ", ".join("?" * len(keys))
        with self._file.transaction() as con:
            sql = f"SELECT key, owner, renewed FROM {TABLE} WHERE key IN ({marks})"
            others = {
                key
                for key, owner, renewed in con.execute(sql, keys)
                if not self._is_free(owner, renewed, now)
            }
            ours = set(keys) - others
            sql = f"INSERT OR REPLACE INTO {TABLE} VALUES (?, ?, ?)"
            con.executemany(sql, [(key, self.owner, now) for key in ours])
        return ours

    def renew(self) -> None:
        with self._file.transaction() as con:
            sql = f"UPDATE {TABLE} SET renewed = ? WHERE owner = ?"
            con.execute(sql, (time.time(), self.owner))

    def release(self, keys: Sequence[str] | None = None) -> None:
        with self._file.transaction() as con:
            if keys is None:
                con.execute(f"DELETE FROM {TABLE} WHERE owner = ?", (self.owner,))
            else:
                sql = f"DELETE FROM {TABLE} WHERE key = ? AND owner = ?"
                con.executemany(sql, [(key, self.owner) for key in keys])


class _ServerClaims(Claims):
    """In a collection of a MongoDB database; the key is the ``_id``, so a second one is refused."""

    def __init__(self, collection: Collection) -> None:
        super().__init__()
        self._collection = collection

    def take(self, keys: Sequence[str]) -> set[str]:
        now = time.time()
        ours = {"owner": self.owner, "renewed": now}
        try:
            self._collection.insert_many([{"_id": key, **ours} for key in keys], ordered=False)
        except BulkWriteError as error:
            if any(each["code"] != _DUPLICATE for each in error.details["writeErrors"]):
                raise
        there = list(self._collection.find({"_id": {"$in": list(keys)}}))
        taken = {claim["_id"] for claim in there if claim["owner"] == self.owner}
        for claim in there:
            if claim["_id"] not in taken and self._is_free(claim["owner"], claim["renewed"], now):
                # As it was read, or another process was faster.
                changed = self._collection.update_one(claim, {"$set": ours})
                taken |= {claim["_id"]} if changed.modified_count else set()
        return taken

    def renew(self) -> None:
        self._collection.update_many({"owner": self.owner}, {"$set": {"renewed": time.time()}})

    def release(self, keys: Sequence[str] | None = None) -> None:
        chosen = {} if keys is None else {"_id": {"$in": list(keys)}}
        self._collection.delete_many({"owner": self.owner, **chosen})
