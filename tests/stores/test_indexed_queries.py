"""What the commands ask of a store hits an index, and reads no more than it needs."""

from __future__ import annotations

import re
import sqlite3

import pytest

from rocksalt.stores.opening import open_store
from rocksalt.stores.sqlite_file import SQLiteFile
from rocksalt.workflows.run import run_campaign

COMMANDS = [
    ("status",),
    ("results",),
    ("query", "--dopant", "Ti", "--host", "Mn", "--fraction", "0.5"),
    ("query", "--role", "mixture", "--engine", "mock", "--limit", "2"),
    ("query", "--formula", "MnO", "--state", "done", "--campaign", "small"),
    ("query", "--chemsys", "Mn-O-Ti"),
    ("query", "--stability", "0.1"),
    ("query", "--filter", '{"output.volume": {"$gt": 30}}'),
    ("check", "small.yaml"),
]


@pytest.fixture(scope="module")
def with_hull(tmp_path_factory, campaign_of):
    path = tmp_path_factory.mktemp("hull") / "hull.sqlite"
    store = open_store(str(path))
    run_campaign(campaign_of(dopants=["Ti"], fractions=[0.5], stages=["hull"]), store)
    store.close()
    return path


@pytest.fixture
def statements(monkeypatch):
    """Return a list that fills with what SQLite is asked, values written out."""
    asked = []
    connect = SQLiteFile._connect

    def traced(file):
        con = connect(file)
        con.set_trace_callback(asked.append)
        return con

    monkeypatch.setattr(SQLiteFile, "_connect", traced)
    return asked


def full_passes(path, statements):
    """Return the statements that go through all documents, or through all of an index."""
    found = []
    with sqlite3.connect(path) as con:
        for sql in statements:
            if re.search(r"FROM (docs|summaries|keys)_", sql):
                plan = [row[3] for row in con.execute(f"EXPLAIN QUERY PLAN {sql}")]
                if any(re.match(r"SCAN (docs|summaries|keys)_|.*rowid>", line) for line in plan):
                    found.append((sql, plan))
    return found


def rows_read(table, statements):
    """Return how many rows of a table of documents the statements name."""
    pattern = rf"SELECT id, body FROM {table}_\d+ WHERE id IN \(([^)]*)\)"
    return sum(len(found[1].split(",")) for sql in statements if (found := re.search(pattern, sql)))


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_commands_hit_an_index(cli, campaign_file, with_hull, statements, command):
    campaign_file(dopants=["Ti"], fractions=[0.5], stages=["hull"])
    answer = cli(*command, "--store", with_hull)
    assert answer.code == 0, answer.err
    assert statements
    assert full_passes(with_hull, statements) == []


@pytest.mark.parametrize("command", COMMANDS[:6], ids=" ".join)
def test_structures_are_not_read(cli, with_hull, statements, command):
    assert cli(*command, "--store", with_hull).code == 0
    assert rows_read("docs", statements) <= 3  # the campaign, once or twice, and its run
    assert statements


def test_a_field_without_an_index_is_a_full_pass(with_hull, statements):
    store = open_store(str(with_hull))
    found = list(store.docs_store.query({"output.volume": {"$gt": 30}}, ["output.volume"]))
    store.close()
    assert found
    assert full_passes(with_hull, statements)
