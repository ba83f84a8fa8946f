"""Summaries of the SQLite store: some fields of each document, kept beside it.

A relaxation's structures and arrays are most of its document, and hardly any query asks for them.
A query whose filter and projection name fields of the summary only reads the summaries.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import bson

from rocksalt.stores.projection import projector


@dataclass(frozen=True, slots=True)
class Summaries:
    """The summaries of one collection: a table of (document, BSON of the fields).

    Attributes
    ----------
    table
        Its name.
    fields
        The dotted fields that a summary has.
    """

    table: str
    fields: tuple[str, ...]

    def covers(self, wanted: Iterable[str]) -> bool:
        """Say whether each of the fields is one of the summary or lies within one."""
        return all(
            any(name == field or name.startswith(f"{field}.") for field in (*self.fields, "_id"))
            for name in wanted
        )

    def put(self, con: sqlite3.Connection, row: int, doc: Mapping) -> None:
        """File the summary of a document."""
        # Within an array a summary would lack elements, and a filter could tell it from the document.
        whole = any(not _is_plain(doc, field) for field in self.fields)
        body = bson.encode(dict(doc) if whole else projector(self.fields)(dict(doc)))
        con.execute(f"INSERT OR REPLACE INTO {self.table} VALUES (?, ?)", (row, body))

    def remove(self, con: sqlite3.Connection, row: int) -> None:
        """Forget a document."""
        con.execute(f"DELETE FROM {self.table} WHERE id = ?", (row,))


def _is_plain(doc: Mapping, field: str) -> bool:
    """Say whether all that a dotted path leads through are documents, as far as it leads."""
    value: Any = doc
    for name in field.split(".")[:-1]:
        if name not in value:
            return True
        value = value[name]
        if not isinstance(value, Mapping):
            return False
    return True


def summaries_of(con: sqlite3.Connection, collection: int) -> Summaries | None:
    """Return the summaries of a collection, or None where there are none."""
    sql = "SELECT fields FROM rocksalt_summaries WHERE collection = ?"
    found = con.execute(sql, (collection,)).fetchone()
    return Summaries(f"summaries_{collection}", tuple(json.loads(found[0]))) if found else None


def create_summaries(con: sqlite3.Connection, collection: int, fields: Iterable[str]) -> Summaries:
    """Make the empty table of a collection's summaries, in the place of one that is there."""
    summaries = Summaries(f"summaries_{collection}", tuple(sorted(fields)))
    con.execute(f"DROP TABLE IF EXISTS {summaries.table}")
    con.execute(f"CREATE TABLE {summaries.table} (id INTEGER PRIMARY KEY, body BLOB)")
    sql = "INSERT OR REPLACE INTO rocksalt_summaries VALUES (?, ?)"
    con.execute(sql, (collection, json.dumps(summaries.fields)))
    return summaries


def fields_of_filter(criteria: Mapping) -> set[str] | None:
    """Return the fields that a filter asks about, or None where it does not say."""
    fields: set[str] = set()
    for name, condition in criteria.items():
        if name in ("$and", "$or", "$nor") and isinstance(condition, (list, tuple)):
            for part in condition:
                found = fields_of_filter(part) if isinstance(part, Mapping) else None
                if found is None:
                    return None
                fields |= found
        elif name.startswith("$"):
            return None
        else:
            fields.add(name)
    return fields


def fields_of_projection(properties: Mapping[str, Any] | Iterable[str] | None) -> list[str] | None:
    """Return the fields that a projection keeps, or None where it keeps all or drops some."""
    if not properties:
        return None
    if not isinstance(properties, Mapping):
        return list(dict.fromkeys(["_id", *properties]))
    kept = [name for name, value in properties.items() if value and name != "_id"]
    if not kept or len(kept) < sum(name != "_id" for name in properties):
        return None
    return ["_id", *kept] if properties.get("_id", True) else kept
