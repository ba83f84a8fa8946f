"""Documents in one SQLite file, with the queries of MongoDB: what reading needs, without maggma."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bson

from rocksalt.screening.errors import RocksaltError
from rocksalt.stores.projection import partly_decoded, projector
from rocksalt.stores.sqlite_file import Row, SQLiteFile
from rocksalt.stores.sqlite_index import Index, candidates, exact_count, exact_texts
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

if TYPE_CHECKING:
    from maggma.core import Sort

_FEW = 1000  # so few matches are sorted faster one by one than by walking through an index
_LARGE = 1_000_000  # bytes, above which a document is decoded only as far as is asked for


class SQLiteDocuments:
    """One collection of documents in an SQLite file.

    Fields with an index (see `ensure_index`) are found and sorted without reading other documents;
    every other field can be queried too, at about 0.1 ms per document. Queries that ask for fields of
    a summary only do not read the rest either (`ensure_summary`).

    Parameters
    ----------
    path, collection_name, journal_mode, synchronous
        As of `rocksalt.stores.sqlite.SQLiteStore`, which writes documents too.
    read_only
        The file may not be written: it is read as it is, without the indexes that it lacks.
    """

    def __init__(
        self,
        path: str | Path,
        collection_name: str,
        journal_mode: str = "WAL",
        synchronous: str = "NORMAL",
        *,
        read_only: bool = False,
    ) -> None:
        self.path = str(Path(path).expanduser().absolute())
        self.collection_name = collection_name
        self.read_only = read_only
        self._file = SQLiteFile(Path(self.path), journal_mode, synchronous, read_only=read_only)
        self._id = 0

    @property
    def name(self) -> str:
        """Where the documents are."""
        return f"sqlite://{self.path}/{self.collection_name}"

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
            if not self._id and self.read_only:
                raise RocksaltError(
                    f"{self.path} has no collection {self.collection_name!r} and may only be read: "
                    "choose another file"
                )
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
        if self.read_only:  # every query works without it, only slower
            return known is not None and (known.unique or not unique)
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
        if self.read_only or (known is not None and wanted <= set(known.fields)):
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
        asked = fields_of_filter(criteria)
        parts = None if wanted is None or asked is None else {*wanted, *asked}
        if sort:
            rows = self._sorted_rows(criteria, sort, stop or 0, table)
        else:
            rows = self._rows(criteria, table)
        for _, doc in islice(self._matching(criteria, rows, parts), skip, stop):
            yield project(doc)

    def query_one(
        self,
        criteria: dict | None = None,
        properties: dict | list | None = None,
        sort: dict[str, Sort | int] | None = None,
    ) -> dict | None:
        """Return the first document of `query`, or None."""
        return next(self.query(criteria, properties, sort, limit=1), None)

    def texts(
        self, criteria: Mapping, fields: list[str], limit: int = 0
    ) -> list[tuple[str, ...]] | None:
        """Return texts of the documents that match from indexes alone, one tuple per document.

        Parameters
        ----------
        criteria
            A MongoDB filter of equalities on indexed fields.
        fields
            Indexed fields.
        limit
            Return the first so many in the order of the texts; 0 for all, in no order.

        Returns
        -------
        list of tuple or None
            None where the indexes cannot tell: `query` can.
        """
        with self._file.reading() as con:
            return exact_texts(con, criteria, self._indexes(con), fields, limit)

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
            found = exact_count(con, criteria, self._indexes(con))
        if found is not None:
            return found
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

    def _matching(
        self,
        criteria: Mapping,
        rows: Iterable[Row] | None = None,
        fields: Collection[str] | None = None,
    ) -> Iterator[tuple[int, dict]]:
        matches = matcher(criteria)
        for row, body in self._rows(criteria) if rows is None else rows:
            if fields is None or len(body) < _LARGE:
                doc = bson.decode(body)
            else:
                doc = partly_decoded(body, fields)
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
        order = [(field, _is_descending(direction)) for field, direction in sort.items()]
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


def _is_descending(direction: Sort | int) -> bool:
    value = getattr(direction, "value", direction)  # of maggma's enumeration
    if value not in (1, -1):
        raise RocksaltError(f"sort direction {direction!r}: give 1 or -1")
    return value == -1


def _collection_id(con: sqlite3.Connection, name: str) -> int:
    found = con.execute("SELECT id FROM rocksalt_collections WHERE name = ?", (name,)).fetchone()
    return found[0] if found else 0


def _duplicate(name: str, field: str, value: Any) -> RocksaltError:
    return RocksaltError(
        f"{name}: two documents have {field} = {value!r}, which must be unique: change one, or "
        "give both the same key so that one replaces the other"
    )
