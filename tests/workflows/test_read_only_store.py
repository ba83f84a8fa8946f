"""A colleague's results, which may be read and not written."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import contextmanager

import pytest

from rocksalt.screening.errors import RocksaltError
from rocksalt.stores import opening, reading
from rocksalt.stores.sqlite import SQLiteStore


@pytest.fixture
def not_writable(tmp_path, finished_file, monkeypatch):
    """Return a store that may only be read; of the superuser, who may write anyway, it is said."""
    path = tmp_path / "theirs" / "results.sqlite"
    path.parent.mkdir()
    shutil.copy(finished_file, path)
    for module in (reading, opening):
        monkeypatch.setattr(module, "may_write", lambda _: False)
    return path


@contextmanager
def protected(path):
    path.chmod(0o444)
    path.parent.chmod(0o555)
    try:
        yield
    finally:
        path.parent.chmod(0o755)
        path.chmod(0o644)


@pytest.mark.parametrize(
    "command",
    [
        ["status"],
        ["query", "--role", "mixture", "--limit", "2"],
        ["query", "--dopant", "Ti", "--properties", "label,structure", "--format", "json"],
        ["results", "--format", "json"],
        ["report", "-o", "page.html"],
        ["export", "copy.jsonl.gz"],
    ],
)
def test_what_reads_works_and_leaves_nothing(cli, not_writable, tmp_path, command):
    writable = tmp_path / "ours.sqlite"
    shutil.copy(not_writable, writable)
    before = not_writable.read_bytes()
    with protected(not_writable):
        found = cli(*command, "--store", str(not_writable))
    assert found.code == 0, found.err
    assert os.listdir(not_writable.parent) == ["results.sqlite"]
    assert not_writable.read_bytes() == before
    if command[0] != "export":  # which refuses to write over the first copy
        assert found.out == cli(*command, "--store", str(writable)).out


def test_what_writes_says_why_it_cannot(not_writable):
    with SQLiteStore(not_writable, "docs", read_only=True) as store:
        with pytest.raises(RocksaltError, match="cannot be written"):
            store.update({"task_id": 1})
        with pytest.raises(RocksaltError, match="cannot be written"):
            store.remove_docs({})
        assert not store.ensure_index("output.volume")
        assert store.count({"output.volume": {"$gt": 0}})
        assert SQLiteStore.from_dict(store.as_dict()).read_only
    with pytest.raises(RocksaltError, match="no collection 'other'"):
        SQLiteStore(not_writable, "other", read_only=True).connect()


def test_changes_that_are_still_in_the_log(cli, not_writable):
    """Without its write-ahead log a file is older than its owner left it."""
    log = not_writable.with_name("results.sqlite-wal")
    log.write_bytes(b"x")
    answer = cli("status", "--store", str(not_writable))
    assert answer.code == 2
    assert len(answer.err.splitlines()) == 1
    assert "results.sqlite-wal: copy both" in answer.err


def test_a_file_that_is_being_written(cli, not_writable):
    """Changes of a process that has the file open are seen."""
    owner = sqlite3.connect(not_writable)
    try:
        owner.execute("PRAGMA journal_mode = WAL")
        owner.execute("UPDATE rocksalt_collections SET name = name")
        owner.commit()
        assert not_writable.with_name("results.sqlite-shm").exists()
        assert cli("status", "--store", str(not_writable)).code == 0
        assert "0 calculations" not in cli("query", "--store", str(not_writable)).err
        owner.execute("DELETE FROM summaries_1")
        owner.commit()
        assert "0 calculations" in cli("query", "--store", str(not_writable)).err
    finally:
        owner.close()


def test_a_link_to_a_file_reads_the_log_of_the_file(cli, not_writable, tmp_path):
    link = tmp_path / "link.sqlite"
    link.symlink_to(not_writable)
    owner = sqlite3.connect(not_writable)
    try:
        owner.execute("PRAGMA journal_mode = WAL")
        owner.execute("DELETE FROM summaries_1")
        owner.commit()
        assert "0 calculations" in cli("query", "--store", str(link)).err
    finally:
        owner.close()
    not_writable.with_name("results.sqlite-wal").write_bytes(b"x")
    assert "copy both" in cli("status", "--store", str(link)).err


def test_an_index_of_the_log_without_the_log(cli, not_writable):
    not_writable.with_name("results.sqlite-shm").write_bytes(b"x" * 32768)
    assert cli("status", "--store", str(not_writable)).code == 0


def test_a_folder_that_may_not_be_looked_into(cli, not_writable, monkeypatch):
    def exists(self, **_):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr("pathlib.Path.exists", exists)
    answer = cli("status", "--store", str(not_writable))
    assert answer.code == 2
    assert "its folder cannot be looked into: ask its owner" in answer.err


def test_an_older_file(cli, not_writable):
    with sqlite3.connect(not_writable) as con:
        con.execute("PRAGMA user_version = 1")
    con.close()
    answer = cli("status", "--store", str(not_writable))
    assert answer.code == 2
    assert "older rocksalt" in answer.err
    assert "copy it" in answer.err
