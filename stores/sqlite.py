"""The default store: a maggma Store in one SQLite file, without a server."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import bson
from bson import ObjectId
from bson.errors import BSONError
from maggma.core import Sort, Store
from monty.json import jsanitize

from rocksalt.screening.errors import RocksaltError
from rocksalt.stores.projection import projector
from rocksalt.stores.sqlite_file import Row, SQLiteFile
from rocksalt.stores.sqlite_index import Index, candidates, exact_rows, exact_texts
from rocksalt.stores.sqlite_keys import (
    EXACT,
    identity,
    index_keys,
    key_of,
    matcher,
    sort_key,
    value_of,
    values_at,
)
from rocksalt.stores.sqlite_summaries import (
    create_summaries,
    fields_of_filter,
    fields_of_projection,
    summaries_of,
)

_FEW = 1000  # so few matches are sorted faster one by one than by walking through an index


class SQLiteStore(Store):
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
        **kwargs: Any,
    ) -> None:
        if journal_mode not in ("WAL", "DELETE") or synchronous not in ("NORMAL", "FULL"):
            raise RocksaltError(
                f"journal_mode={journal_mode!r}, synchronous={synchronous!r}: the first is "
                '"WAL" or "DELETE", the second "NORMAL" or "FULL"'
            )
        super().__init__(key, last_updated_field, **kwargs)
        self.kwargs = kwargs  # for as_dict
        self.path = str(Path(path).expanduser().absolute())
        self.collection_name = collection_name
        self.journal_mode = journal_mode
        self.synchronous = synchronous
        self._file = SQLiteFile(Path(self.path), journal_mode, synchronous)
        self._id = 0

    @property
    def name(self) -> str:
        """Where the documents are."""
        return f"sqlite://{self.path}/{self.collection_name}"

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

    def connect(self, force_reset: bool = False) -> None:
        """Open the file, and create it and the collection if they are not there."""
        if force_reset:
            self.close()
        if self._file.is_open:
            return
        self._file.open()
        try:
            with self._file.reading() as con:
                self._id = _collection_id(con, self.collection_name)
            if not self._id:
                self._create_collection()
        except BaseException:  # whatever it is, a Ctrl-C too, leaves no file open
            self._file.close()
            raise

    def close(self) -> None:
        """Close the file; `connect` opens it again."""
        self._file.close()

    @property
    def _docs(self) -> str:
        return f"docs_{self._id}"

    def _create_collection(self) -> None:
        with self._file.transaction() as con:
            self._id = _collection_id(con, self.collection_name)
            if not self._id:  # no other process was faster
                sql = "INSERT INTO rocksalt_collections (name) VALUES (?)"
                self._id = con.execute(sql, (self.collection_name,)).lastrowid or 0
                con.execute(f"CREATE TABLE {self._docs} (id INTEGER PRIMARY KEY, body BLOB)")
                self._create_index(con, "_id", unique=True)

    def ensure_index(self, key: str, unique: bool = False) -> bool:
        """Index a dotted field, so that filters and sorts by it need not read every document.

        Parameters
        ----------
        key
            The field. Arrays are indexed by their elements.
        unique
            Whether no two documents may have the same value, a missing one included.

        Raises
        ------
        RocksaltError
            Two documents have the same value of a field that is to be unique.
        """
        with self._file.reading() as con:
            known = self._indexes(con).get(key)
        if known is None or (unique and not known.unique):
            with self._file.transaction() as con:
                index = self._indexes(con).get(key) or self._create_index(con, key)
                if unique and not index.unique:
                    self._make_unique(con, index)
        return True

    def ensure_summary(self, fields: Iterable[str]) -> None:
        """Keep these fields of every document beside it, for queries that need no others.

        Parameters
        ----------
        fields
            Dotted fields. Those that are kept already stay.
        """
        wanted = set(fields)
        with self._file.reading() as con:
            known = summaries_of(con, self._id)
        if known is not None and wanted <= set(known.fields):
            return
        with self._file.transaction() as con:
            known = summaries_of(con, self._id)
            there = set(known.fields) if known else set()
            if known is None or not wanted <= there:
                summaries = create_summaries(con, self._id, wanted | there)
                for row, doc in self._matching({}):
                    summaries.put(con, row, doc)

    def _create_index(self, con: sqlite3.Connection, field: str, unique: bool = False) -> Index:
        sql = "INSERT INTO rocksalt_indexes (collection, field, is_unique) VALUES (?, ?, ?)"
        number = con.execute(sql, (self._id, field, unique)).lastrowid
        index = Index(field, f"keys_{number}", unique)
        index.create(con)
        for row, doc in self._matching({}):
            index.add(con, row, doc)
        return index

    def _make_unique(self, con: sqlite3.Connection, index: Index) -> None:
        repeated = index.repeated(con)
        if repeated:
            raise _duplicate(self.name, index.field, value_of(repeated))
        for row, doc in self._matching({}, self._file.fetch(self._docs, index.inexact(con))):
            self._refuse_duplicates(con, index, doc, row)
        sql = "UPDATE rocksalt_indexes SET is_unique = 1 WHERE collection = ? AND field = ?"
        con.execute(sql, (self._id, index.field))

    def _refuse_duplicates(
        self, con: sqlite3.Connection, index: Index, doc: Mapping, row: int | None
    ) -> None:
        """Raise if another row than ``row`` has a value of the document's in a unique field."""
        for key in index_keys(index.field, doc):
            if key[0] in EXACT and index.has_other(con, key, row):
                raise _duplicate(self.name, index.field, value_of(key))
        for value in values_at(index.field, doc):
            if key_of(value)[0] in EXACT:
                continue
            for other, _ in self._matching({index.field: {"$eq": value}}):
                if other != row:
                    raise _duplicate(self.name, index.field, value)

    def _indexes(self, con: sqlite3.Connection) -> dict[str, Index]:
        # Read every time: another process may have made one.
        sql = "SELECT field, id, is_unique FROM rocksalt_indexes WHERE collection = ?"
        return {
            field: Index(field, f"keys_{number}", bool(unique))
            for field, number, unique in con.execute(sql, (self._id,))
        }

    def query(
        self,
        criteria: dict | None = None,
        properties: dict | list | None = None,
        sort: dict[str, Sort | int] | None = None,
        skip: int = 0,
        limit: int = 0,
    ) -> Iterator[dict]:
        """Yield the documents that match a MongoDB filter.

        Parameters
        ----------
        criteria
            The filter.
        properties
            Fields to return, or a MongoDB projection.
        sort
            Fields to sort by, each with 1 or -1. Equal documents keep the order of insertion.
        skip
            How many to leave out first.
        limit
            How many to yield at most; 0 means all.
        """
        project = projector(properties)
        criteria = criteria or {}
        stop = skip + limit if limit else None
        wanted = fields_of_projection(properties)
        table = self._docs if wanted is None else self._table_with(criteria, wanted, sort or {})
        if sort:
            rows = self._sorted_rows(criteria, sort, stop or 0, table)
        else:
            rows = self._rows(criteria, table)
        for _, doc in islice(self._matching(criteria, rows), skip, stop):
            yield project(doc)

    def texts(self, criteria: dict, fields: list[str]) -> list[tuple[str, ...]] | None:
        """Return texts of the documents that match from indexes alone, one tuple per document.

        Parameters
        ----------
        criteria
            A MongoDB filter of equalities on indexed fields.
        fields
            Indexed fields.

        Returns
        -------
        list of tuple or None
            In the order of insertion. None where the indexes cannot tell: `query` can.
        """
        with self._file.reading() as con:
            return exact_texts(con, criteria, self._indexes(con), fields)

    def _table_with(
        self, criteria: Mapping, wanted: Iterable[str], sort: Iterable[str] = ()
    ) -> str:
        """Return the smallest table that has all these fields."""
        asked = fields_of_filter(criteria)
        if asked is None:
            return self._docs
        with self._file.reading() as con:
            summaries = summaries_of(con, self._id)
        if summaries is None or not summaries.covers({*asked, *wanted, *sort}):
            return self._docs
        return summaries.table

    def count(self, criteria: dict | None = None) -> int:
        """Count the documents that match a MongoDB filter."""
        with self._file.reading() as con:
            if not criteria:
                return con.execute(f"SELECT COUNT(*) FROM {self._docs}").fetchone()[0]
            rows = exact_rows(con, criteria, self._indexes(con))
        if rows is not None:
            return len(rows)
        table = self._table_with(criteria, ())
        return sum(1 for _ in self._matching(criteria, self._rows(criteria, table)))

    def distinct(self, field: str, criteria: dict | None = None, all_exist: bool = False) -> list:
        """Return the distinct values of a field, those of arrays one by one.

        Parameters
        ----------
        field
            The dotted field.
        criteria
            A MongoDB filter.
        all_exist
            Without effect: a document without the field adds no value.
        """
        if not criteria:
            with self._file.reading() as con:
                index = self._indexes(con).get(field)
                keys = index.distinct(con) if index else None
            if keys is not None:
                return [value_of(key) for key in keys]
        criteria = criteria or {}
        values: dict[Any, Any] = {}
        table = self._table_with(criteria, [field])
        for _, doc in self._matching(criteria, self._rows(criteria, table)):
            for value in values_at(field, doc):
                values.setdefault(identity(value), value)
        return list(values.values())

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

    def _matching(
        self, criteria: Mapping, rows: Iterable[Row] | None = None
    ) -> Iterator[tuple[int, dict]]:
        matches = matcher(criteria)
        for row, body in self._rows(criteria) if rows is None else rows:
            doc = bson.decode(body)
            if matches(doc):
                yield row, doc

    def _rows(self, criteria: Mapping, table: str = "") -> Iterator[Row]:
        table = table or self._docs
        with self._file.reading() as con:
            found = candidates(con, criteria, self._indexes(con)) if criteria else None
        return self._file.scan(table) if found is None else self._file.fetch(table, sorted(found))

    def _sorted_rows(
        self, criteria: Mapping, sort: Mapping[str, Sort | int], limit: int, table: str
    ) -> Iterator[Row]:
        order = [(field, Sort(direction) is Sort.Descending) for field, direction in sort.items()]
        rows = self._order_of_index(criteria, *order[0], limit) if len(order) == 1 else None
        if rows is None:
            # Only keys are held until the order is known: the documents may not fit into memory.
            keys = [
                (row, [sort_key(field, doc, descending) for field, descending in order])
                for row, doc in self._matching(criteria, self._rows(criteria, table))
            ]
            for number, (_, descending) in reversed(list(enumerate(order))):
                keys.sort(key=lambda item: item[1][number], reverse=descending)
            rows = [row for row, _ in keys]
        return self._file.fetch(table, rows)

    def _order_of_index(
        self, criteria: Mapping, field: str, descending: bool, limit: int
    ) -> list[int] | None:
        with self._file.reading() as con:
            indexes = self._indexes(con)
            if field not in indexes:
                return None
            found = candidates(con, criteria, indexes) if criteria else None
            if found is not None and len(found) < _FEW:
                return None
            rows = indexes[field].ordered(con, descending, 0 if criteria else limit)
        if rows is None or found is None:
            return rows
        return [row for row in rows if row in found]


def _collection_id(con: sqlite3.Connection, name: str) -> int:
    found = con.execute("SELECT id FROM rocksalt_collections WHERE name = ?", (name,)).fetchone()
    return found[0] if found else 0


def _encoded(doc: dict, search: dict) -> bytes:
    try:
        return bson.encode(doc)
    except (BSONError, OverflowError, UnicodeEncodeError) as error:
        raise RocksaltError(
            f"the document with {search} cannot be stored ({error}): convert what is named there "
            "to a number of at most 64 bits, a text, a list or a mapping with text keys"
        ) from error


def _duplicate(name: str, field: str, value: Any) -> RocksaltError:
    return RocksaltError(
        f"{name}: two documents have {field} = {value!r}, which must be unique: change one, or "
        "give both the same key so that one replaces the other"
    )
