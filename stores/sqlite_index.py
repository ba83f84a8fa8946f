"""Index tables of the SQLite store, and the filters that they can serve.

A lookup names the documents that one condition can match. It may name too many, never too few:
every document is checked against the whole filter afterwards, so an operator that no lookup
covers costs time and nothing else.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from rocksalt.stores.sqlite_keys import (
    ARRAY,
    BYTES,
    EXACT,
    NAN,
    NESTED_ARRAY,
    NULL,
    OBJECT,
    OTHER,
    RANGES,
    STORED_NULL,
    STRING,
    UNSORTABLE,
    Key,
    index_keys,
    is_operators,
    key_of,
)

_PORTION = 500  # SQLite takes a limited number of parameters per statement
_PROBE = 10_000  # a lookup that names more documents than this is not counted to its end
_SELECTIVE = 16  # few enough that looking for a still narrower lookup does not pay
_INDISTINCT = (OTHER, OBJECT, NESTED_ARRAY, BYTES)  # kinds whose keys do not give the value back


@dataclass(frozen=True, slots=True)
class Index:
    """One index of a collection: a table of (kind, value, document)."""

    field: str
    table: str
    unique: bool

    def create(self, con: sqlite3.Connection) -> None:
        """Create the empty table."""
        # `value` has no type, so that SQLite stores numbers, texts and blobs as they are.
        con.execute(
            f"CREATE TABLE {self.table} (kind INTEGER NOT NULL, value NOT NULL, "
            "id INTEGER NOT NULL, PRIMARY KEY (kind, value, id)) WITHOUT ROWID"
        )
        con.execute(f"CREATE INDEX {self.table}_id ON {self.table} (id)")

    def add(self, con: sqlite3.Connection, row: int, doc: Mapping) -> None:
        """File a document under its keys."""
        con.executemany(
            f"INSERT INTO {self.table} VALUES (?, ?, ?)",
            [(kind, value, row) for kind, value in index_keys(self.field, doc)],
        )

    def remove(self, con: sqlite3.Connection, row: int) -> None:
        """Forget a document."""
        con.execute(f"DELETE FROM {self.table} WHERE id = ?", (row,))

    def holds(self, con: sqlite3.Connection, *kinds: int) -> bool:
        """Say whether any document is filed under one of the kinds."""
        marks = ", ".join("?" * len(kinds))
        sql = f"SELECT EXISTS (SELECT 1 FROM {self.table} WHERE kind IN ({marks}))"
        return bool(con.execute(sql, kinds).fetchone()[0])

    def ordered(self, con: sqlite3.Connection, descending: bool, limit: int) -> list[int] | None:
        """Return the documents sorted by the field, or None where only Python sorts them right."""
        if self.holds(con, UNSORTABLE):
            return None
        order = "kind DESC, value DESC, id" if descending else "kind, value, id"
        # STORED_NULL only accompanies the key proper, so it is not a place in the order.
        sql = f"SELECT id FROM {self.table} WHERE kind != ? ORDER BY {order} LIMIT ?"
        return [row for (row,) in con.execute(sql, (STORED_NULL, limit or -1))]

    def distinct(self, con: sqlite3.Connection) -> list[Key] | None:
        """Return the distinct keys, or None where they do not tell the values."""
        if self.holds(con, *_INDISTINCT):
            return None
        marks = ", ".join("?" * len(EXACT))
        sql = f"SELECT DISTINCT kind, value FROM {self.table} WHERE kind IN ({marks})"
        keys = [key for key in con.execute(sql, tuple(EXACT)) if key[0] != NULL]
        return [*keys, (NULL, 0)] if self.holds(con, STORED_NULL) else keys

    def has_other(self, con: sqlite3.Connection, key: Key, row: int | None) -> bool:
        """Say whether a document other than ``row`` has the key."""
        sql = f"SELECT EXISTS (SELECT 1 FROM {self.table} WHERE kind = ? AND value = ? AND id != ?)"
        return bool(con.execute(sql, (*key, row or 0)).fetchone()[0])

    def repeated(self, con: sqlite3.Connection) -> Key | None:
        """Return a key that more than one document has, if its kind tells that values are equal."""
        marks = ", ".join("?" * len(EXACT))
        sql = (
            f"SELECT kind, value FROM {self.table} WHERE kind IN ({marks}) "
            "GROUP BY kind, value HAVING COUNT(*) > 1 LIMIT 1"
        )
        return con.execute(sql, tuple(EXACT)).fetchone()

    def inexact(self, con: sqlite3.Connection) -> list[int]:
        """Return the documents that have a value whose key does not tell equality."""
        sql = f"SELECT DISTINCT id FROM {self.table} WHERE kind IN (?, ?, ?, ?)"
        return [row for (row,) in con.execute(sql, _INDISTINCT)]


@dataclass(frozen=True, slots=True)
class Lookup:
    """Statements that together select the rows a condition can match.

    ``exact`` says that they select no others, as long as the index holds nothing under OTHER.
    """

    selects: list[tuple[str, tuple]]
    exact: bool = False

    def rows(self, con: sqlite3.Connection) -> set[int]:
        """Return the rows."""
        return {row for sql, values in self.selects for (row,) in con.execute(sql, values)}

    def among(self, con: sqlite3.Connection, rows: set[int]) -> set[int]:
        """Return those of the given rows that the condition matches."""
        return {
            row
            for sql, values in self.selects
            for portion in _portions(sorted(rows))
            for (row,) in con.execute(f"{sql} AND id IN ({_marks(portion)})", (*values, *portion))
        }

    def size(self, con: sqlite3.Connection, limit: int) -> int:
        """Count the rows, but no further than ``limit``."""
        total = 0
        for sql, values in self.selects:
            left = limit - total
            counted = con.execute(f"SELECT COUNT(*) FROM ({sql} LIMIT ?)", (*values, left))
            total += counted.fetchone()[0]
            if total >= limit:
                break
        return total


def candidates(
    con: sqlite3.Connection, criteria: Mapping, indexes: Mapping[str, Index]
) -> set[int] | None:
    """Return the rows that can match a filter, or None when no index narrows it down."""
    lookup = _narrowest_lookup(con, criteria, indexes)
    return None if lookup is None else lookup.rows(con)


def exact_rows(
    con: sqlite3.Connection, criteria: Mapping, indexes: Mapping[str, Index]
) -> set[int] | None:
    """Return the rows that match a filter, or None when the indexes alone cannot tell."""
    lookups = _exact_lookups(con, criteria, indexes)
    if lookups is None:
        return None
    first, *others = lookups
    rows = first.rows(con)
    for lookup in others:
        rows = lookup.among(con, rows)
    return rows


def exact_count(
    con: sqlite3.Connection, criteria: Mapping, indexes: Mapping[str, Index]
) -> int | None:
    """Return how many rows match a filter, or None when the indexes alone cannot tell."""
    lookups = _exact_lookups(con, criteria, indexes)
    if lookups is not None and len(lookups) == 1 and len(lookups[0].selects) == 1:
        sql, values = lookups[0].selects[0]
        if len(values) == 2:  # a kind and one value: no row is there twice
            return con.execute(f"SELECT COUNT(*) FROM ({sql})", values).fetchone()[0]
    rows = exact_rows(con, criteria, indexes)
    return None if rows is None else len(rows)


def exact_texts(
    con: sqlite3.Connection,
    criteria: Mapping,
    indexes: Mapping[str, Index],
    fields: Sequence[str],
    limit: int = 0,
) -> list[tuple[str, ...]] | None:
    """Return the texts that documents that match a filter have in fields, without the documents.

    None when the indexes alone cannot tell: a filter of other than equalities, a field without an
    index or with other than one text. Of those the keys do not give the value back: a float may
    have been an integer, and of an array there are several.

    Parameters
    ----------
    limit
        Return the first so many in the order of the texts; 0 for all, in no order.
    """
    lookups = _exact_lookups(con, criteria, indexes)
    if lookups is None or any(field not in indexes for field in fields):
        return None
    tables = [indexes[field].table for field in fields]
    # The first few of many are met soon on a walk through the index of the first text.
    walks = bool(limit) and lookups[0].size(con, _PROBE) == _PROBE
    found: list[tuple[str, ...]] = []
    seen: set[int] = set()
    portions = list(product(*(lookup.selects for lookup in lookups)))
    for parts in portions:
        condition, values = _all_of(parts, walks)
        if any(_has_other_than_text(con, table, condition, values) for table in tables):
            return None
        several = len(portions) > 1  # of an array two elements may be in two of them
        rows = con.execute(_select_texts(tables, condition, limit, several), (*values, limit or -1))
        if not several:
            return rows.fetchall()
        for row, *texts in rows:
            if row not in seen:
                found.append(tuple(texts))
                seen.add(row)
    return sorted(found)[:limit] if limit else found


def _all_of(parts: Sequence[tuple[str, tuple]], walks: bool) -> tuple[str, tuple]:
    """Return the condition that a row ``c0.id`` is in all of some selections, with its values.

    ``walks`` has each row looked up, in the place of collecting all rows that are selected.
    """
    form = "EXISTS ({} AND id = c0.id)" if walks else "c0.id IN ({})"
    condition = " AND ".join(form.format(sql) for sql, _ in parts)
    return condition, tuple(value for _, values in parts for value in values)


def _has_other_than_text(
    con: sqlite3.Connection, table: str, condition: str, values: tuple
) -> bool:
    for other in (f"c0.kind < {STRING}", f"c0.kind > {STRING}"):
        # Mostly the index holds none at all, which is seen at once.
        for where, given in ((other, ()), (f"{other} AND {condition}", values)):
            sql = f"SELECT EXISTS (SELECT 1 FROM {table} c0 WHERE {where})"
            if not con.execute(sql, given).fetchone()[0]:
                break
        else:
            return True
    return False


def _select_texts(tables: Sequence[str], condition: str, limit: int, with_row: bool) -> str:
    names = [f"c{number}" for number in range(len(tables))]
    # A cross join keeps the order: the first table is walked through, the others are looked up.
    joined = " CROSS JOIN ".join(f"{t} {n}" for t, n in zip(tables, names, strict=True))
    texts = ", ".join(f"{name}.value" for name in names)
    same = "".join(f" AND {name}.id = c0.id" for name in names[1:])
    kinds = " AND ".join(f"{name}.kind = {STRING}" for name in names)
    order = f" ORDER BY {texts}" if limit else ""
    row = "c0.id, " if with_row else ""
    return f"SELECT {row}{texts} FROM {joined} WHERE {kinds}{same} AND {condition}{order} LIMIT ?"


def _exact_lookups(
    con: sqlite3.Connection, criteria: Mapping, indexes: Mapping[str, Index]
) -> list[Lookup] | None:
    """Return one lookup per field, the narrowest first, or None where they do not suffice."""
    lookups: list[Lookup] = []
    for field, condition in criteria.items():
        if field not in indexes or not _is_single(condition):
            return None
        found = field_lookups(indexes[field], condition)
        if len(found) != 1 or not found[0].exact or indexes[field].holds(con, OTHER):
            return None
        lookups += found
    if not lookups:
        return None
    # Nothing is filed under OTHER, so the selection of those, which is the last, can go.
    lookups = [Lookup(lookup.selects[:-1], exact=True) for lookup in lookups]
    first = _narrowest(con, lookups)
    return [first, *(lookup for lookup in lookups if lookup is not first)]


def _is_single(condition: Any) -> bool:
    # Of `$all` a lookup serves one element only.
    return not is_operators(condition) or (len(condition) == 1 and "$all" not in condition)


def _narrowest_lookup(
    con: sqlite3.Connection, criteria: Mapping, indexes: Mapping[str, Index]
) -> Lookup | None:
    found: list[Lookup] = []
    for field, condition in criteria.items():
        if field in ("$and", "$or") and isinstance(condition, (list, tuple)):
            parts = [
                _narrowest_lookup(con, part, indexes) if isinstance(part, Mapping) else None
                for part in condition
            ]
            known = [part for part in parts if part is not None]
            if field == "$and":
                found += known
            elif known and len(known) == len(parts):
                found.append(Lookup([select for part in known for select in part.selects]))
        elif field in indexes:
            found += field_lookups(indexes[field], condition)
    return _narrowest(con, found) if found else None


def _narrowest(con: sqlite3.Connection, lookups: list[Lookup]) -> Lookup:
    best = lookups[0]
    if len(lookups) == 1:
        return best
    size = best.size(con, _PROBE)
    for lookup in lookups[1:]:
        if size <= _SELECTIVE:
            break
        other = lookup.size(con, size)
        if other < size:
            best, size = lookup, other
    return best


def field_lookups(index: Index, condition: Any) -> list[Lookup]:
    """Return one lookup for each part of a condition on one field that the index can serve."""
    if not is_operators(condition):
        return _known(_equal(index, [condition]))
    found: list[Lookup | None] = []
    for operator, operand in condition.items():
        if operator == "$eq":
            found.append(_equal(index, [operand]))
        elif operator == "$in" and _is_flat(operand):
            found.append(_equal(index, operand))
        elif operator == "$all" and _is_flat(operand):
            found += [_equal(index, [value]) for value in operand if not is_operators(value)]
        elif operator in RANGES:
            found.append(_range(index, RANGES[operator], operand))
        elif operator == "$exists" and not operand:
            found.append(_of_kinds(index, NULL))
    return _known(*found)


def _is_flat(operand: Any) -> bool:
    # Of an array within the list, mongomock also finds the scalar that is its only element.
    return isinstance(operand, (list, tuple)) and not any(
        isinstance(value, (list, tuple)) for value in operand
    )


def _known(*lookups: Lookup | None) -> list[Lookup]:
    return [lookup for lookup in lookups if lookup is not None]


def _equal(index: Index, values: Iterable[Any]) -> Lookup | None:
    by_kind: dict[int, list[Any]] = defaultdict(list)
    for kind, value in {key_of(value) for value in values}:
        by_kind[kind].append(value)
    if OTHER in by_kind:  # a regular expression, for instance
        return None
    selects = [
        (
            f"SELECT id FROM {index.table} WHERE kind = ? AND value IN ({_marks(portion)})",
            (kind, *portion),
        )
        for kind, contents in by_kind.items()
        for portion in _portions(contents)
    ]
    # NULL is not exact: it does not tell a missing field from a path that ends in a scalar.
    exact = EXACT - {NULL} >= by_kind.keys()
    return Lookup([*selects, _others(index)], exact)


def _range(index: Index, comparison: str, operand: Any) -> Lookup | None:
    kind, value = key_of(operand)
    if kind in (OTHER, NAN):
        return None
    if kind in (NULL, BYTES, OBJECT, ARRAY):
        return _of_kinds(index, kind)
    sql = f"SELECT id FROM {index.table} WHERE kind = ? AND value {comparison} ?"
    return Lookup([(sql, (kind, value)), _others(index)], exact=True)


def _of_kinds(index: Index, *kinds: int) -> Lookup:
    sql = f"SELECT id FROM {index.table} WHERE kind IN ({_marks(kinds)})"
    return Lookup([(sql, kinds), _others(index)])


def _others(index: Index) -> tuple[str, tuple]:
    return f"SELECT id FROM {index.table} WHERE kind = ?", (OTHER,)


def _marks(values: Iterable[Any]) -> str:
    return ", ".join("?" for _ in values)


def _portions(values: list[Any]) -> Iterable[list[Any]]:
    return (values[start : start + _PORTION] for start in range(0, len(values), _PORTION))
