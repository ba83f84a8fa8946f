"""The default store: a maggma Store in one SQLite file, without a server."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import bson
from bson import ObjectId
from bson.errors import BSONError
from maggma.core import Store
from monty.json import jsanitize

from rocksalt.screening.errors import RocksaltError
from rocksalt.stores.sqlite_documents import SQLiteDocuments
from rocksalt.stores.sqlite_index import Index
from rocksalt.stores.sqlite_summaries import summaries_of


class SQLiteStore(SQLiteDocuments, Store):
    """Documents in an SQLite file, with the queries of MongoDB.

    Any number of threads and processes may read and write at once. Each `update` and each
    `remove_docs` is one transaction: all of it is stored or nothing, and once it returns, a killed
    process loses none of it. Fields with an index (see `ensure_index`) are found and sorted without
    reading other documents; every other field can be queried too, at about 0.1 ms per document.
    Queries that ask for fields of a summary only do not read the rest either (`ensure_summary`).

    Several collections share a file, for example the outputs of a jobflow ``JobStore`` and the
    large objects of its additional stores. A forked process may go on using a
    connected store; an unpickled one must be connected first, like any maggma store.

    Parameters
    ----------
    path
        The file. `connect` creates it; its folder must exist. A relative path is resolved here.
    collection_name
        The collection in the file.
    key
        The field that identifies a document in `update`.
    journal_mode
        ``"WAL"`` lets readers and a writer work at the same time, but only on a local disk. Use
        ``"DELETE"`` on a network file system whose locks work.
    synchronous
        ``"NORMAL"`` survives killed processes; after a power failure the last updates may be
        missing. ``"FULL"`` survives that too and takes a few milliseconds more per update.
    last_updated_field
        The field with the time of a document.
    read_only
        The file is there and may not be written: only queries work, without the indexes it lacks.
    **kwargs
        ``last_updated_type`` and ``validator``, as in every maggma store.
    """

    def __init__(
        self,
        path: str | Path,
        collection_name: str = "docs",
        key: str = "task_id",
        journal_mode: Literal["WAL", "DELETE"] = "WAL",
        synchronous: Literal["NORMAL", "FULL"] = "NORMAL",
        last_updated_field: str = "last_updated",
        read_only: bool = False,
        **kwargs: Any,
    ) -> None:
        if journal_mode not in ("WAL", "DELETE") or synchronous not in ("NORMAL", "FULL"):
            raise RocksaltError(
                f"journal_mode={journal_mode!r}, synchronous={synchronous!r}: the first is "
                '"WAL" or "DELETE", the second "NORMAL" or "FULL"'
            )
        SQLiteDocuments.__init__(
            self, path, collection_name, journal_mode, synchronous, read_only=read_only
        )
        Store.__init__(self, key, last_updated_field, **kwargs)
        self.kwargs = kwargs  # for as_dict
        self.journal_mode = journal_mode
        self.synchronous = synchronous

    @property
    def _collection(self) -> None:
        raise NotImplementedError(
            "SQLiteStore has no pymongo collection: use query, update, distinct and groupby"
        )

    def __eq__(self, other: object) -> bool:
        fields = ("path", "collection_name", "last_updated_field")
        return isinstance(other, SQLiteStore) and all(
            getattr(self, name) == getattr(other, name) for name in fields
        )

    def __hash__(self) -> int:
        return hash((self.path, self.collection_name, self.last_updated_field))

    def groupby(self, *args: Any, **kwargs: Any) -> Iterator[tuple[dict, list[dict]]]:
        """Yield groups of documents, as maggma's `MemoryStore` does."""
        from maggma.stores.mongolike import MemoryStore  # and with it clients of every cloud

        yield from MemoryStore.groupby(self, *args, **kwargs)  # type: ignore[arg-type]  # it queries only

    def update(self, docs: list[dict] | dict, key: list | str | None = None) -> None:
        """Store documents: each replaces the one with the same key, or is added.

        Parameters
        ----------
        docs
            One document or several; all of them are stored, or none.
        key
            The field or fields that identify a document, `key` of the store by default.

        Raises
        ------
        RocksaltError
            A document cannot be stored, or has a value twice that must be unique.
        """
        keys = key or self.key
        keys = keys if isinstance(keys, list) else [keys]
        prepared = [
            doc for doc in map(self._prepared, docs if isinstance(docs, list) else [docs]) if doc
        ]
        if not prepared:
            return
        with self._file.reading() as con:
            indexed = self._indexes(con)
        if not any(name in indexed for name in keys):
            self.ensure_index(keys[0])  # or each document would be searched for among all
        searches = [{name: doc[name] for name in keys} for doc in prepared]
        with self._file.transaction() as con:
            indexes = list(self._indexes(con).values())
            summaries = summaries_of(con, self._id)
            for search, doc in zip(searches, prepared, strict=True):
                row, stored = self._upsert(con, indexes, search, doc)
                if summaries is not None:
                    summaries.put(con, row, stored)

    def _prepared(self, doc: dict) -> dict | None:
        doc = jsanitize(doc, allow_bson=True, recursive_msonable=True)
        if self.validator and not self.validator.is_valid(doc):
            if getattr(self.validator, "strict", False):
                raise ValueError(self.validator.validation_errors(doc))
            self.logger.error(self.validator.validation_errors(doc))
            return None
        return doc

    def _upsert(
        self, con: sqlite3.Connection, indexes: list[Index], search: dict, doc: dict
    ) -> tuple[int, dict]:
        row, stored = next(self._matching(search), (None, {}))
        doc = {"_id": stored.get("_id", ObjectId()), **doc}
        body = _encoded(doc, search)
        if row is not None and doc["_id"] != stored["_id"]:
            raise RocksaltError(
                f"{self.name}: the document with {search} is stored with another _id: leave _id "
                "out of what you store"
            )
        for index in indexes:
            if index.unique:
                self._refuse_duplicates(con, index, doc, row)
        if row is None:
            sql = f"INSERT INTO {self._docs} (body) VALUES (?)"
            row = con.execute(sql, (body,)).lastrowid or 0
        else:
            con.execute(f"UPDATE {self._docs} SET body = ? WHERE id = ?", (body, row))
            for index in indexes:
                index.remove(con, row)
        for index in indexes:
            index.add(con, row, doc)
        return row, doc

    def remove_docs(self, criteria: dict) -> None:
        """Remove the documents that match a MongoDB filter."""
        with self._file.transaction() as con:
            indexes = self._indexes(con).values()
            summaries = summaries_of(con, self._id)
            table = self._table_with(criteria, ())
            for row in [row for row, _ in self._matching(criteria, self._rows(criteria, table))]:
                con.execute(f"DELETE FROM {self._docs} WHERE id = ?", (row,))
                for index in indexes:
                    index.remove(con, row)
                if summaries is not None:
                    summaries.remove(con, row)


def _encoded(doc: dict, search: dict) -> bytes:
    try:
        return bson.encode(doc)
    except (BSONError, OverflowError, UnicodeEncodeError) as error:
        raise RocksaltError(
            f"the document with {search} cannot be stored ({error}): convert what is named there "
            "to a number of at most 64 bits, a text, a list or a mapping with text keys"
        ) from error
