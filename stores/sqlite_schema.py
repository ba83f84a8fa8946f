"""Tables that every file of the SQLite store has, and files of an older rocksalt."""

from __future__ import annotations

import sqlite3

import bson

from rocksalt.stores.sqlite_index import Index

SCHEMA_VERSION = 2
"""Kept in the file (``PRAGMA user_version``); raised when an older rocksalt could not read it."""

_SUMMARIES = (
    "CREATE TABLE rocksalt_summaries (collection INTEGER PRIMARY KEY, fields TEXT NOT NULL)"
)
_TABLES = (
    "CREATE TABLE rocksalt_collections (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
    """CREATE TABLE rocksalt_indexes (
        id INTEGER PRIMARY KEY, collection INTEGER NOT NULL, field TEXT NOT NULL,
        is_unique INTEGER NOT NULL, UNIQUE (collection, field)
    )""",
    _SUMMARIES,
)


def create_schema(con: sqlite3.Connection) -> None:
    """Make the tables of a new file, or bring those of an older version up to date."""
    if con.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION:
        return
    con.execute("BEGIN IMMEDIATE")
    try:
        version = con.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:  # no other process was faster
            for statement in _TABLES:
                con.execute(statement)
        elif version == 1:
            con.execute(_SUMMARIES)
            _file_again(con)
        con.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        con.execute("COMMIT")
    except BaseException:  # a Ctrl-C too must leave no half of it
        if con.in_transaction:
            con.execute("ROLLBACK")
        raise


def _file_again(con: sqlite3.Connection) -> None:
    """File every document under its keys again: version 1 did not mark those within arrays."""
    sql = "SELECT collection, id, field, is_unique FROM rocksalt_indexes"
    indexes: dict[int, list[Index]] = {}
    for collection, number, field, unique in con.execute(sql).fetchall():
        index = Index(field, f"keys_{number}", bool(unique))
        con.execute(f"DELETE FROM {index.table}")
        indexes.setdefault(collection, []).append(index)
    for collection, its_own in indexes.items():
        for row, body in con.execute(f"SELECT id, body FROM docs_{collection}"):
            doc = bson.decode(body)
            for index in its_own:
                index.add(con, row, doc)
