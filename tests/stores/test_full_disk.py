"""A full disk: one clear line, and a file that holds what it held before."""

from __future__ import annotations

import sqlite3
import subprocess

import pytest

from rocksalt.screening.errors import RocksaltError
from rocksalt.stores.records import save_many
from rocksalt.stores.transfer import export_records, import_records


@pytest.fixture
def small_disk(tmp_path):
    """Return a folder that holds one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"no small file system: {error}")
    if done.returncode:
        pytest.skip(f"no small file system: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def records(first, number, size):
    return [
        {"uuid": f"u{n}", "index": 1, "output": {"text": "x" * size}, "metadata": {"kind": "y"}}
        for n in range(first, first + number)
    ]


def integrity(path):
    connection = sqlite3.connect(path)
    try:
        return connection.execute("PRAGMA integrity_check").fetchone()[0]
    finally:
        connection.close()


def test_an_update_that_does_not_fit(small_disk, open_store):
    path = small_disk / "r.sqlite"
    store = open_store(path)
    save_many(store, records(0, 20, 1000))
    before = sorted(r["uuid"] for r in store.docs_store.query({}))
    with pytest.raises(RocksaltError, match="the disk is full: free some space and run again"):
        save_many(store, records(100, 100, 50_000))
    assert sorted(r["uuid"] for r in store.docs_store.query({})) == before
    store.close()
    assert integrity(path) == "ok"
    again = open_store(path)
    assert sorted(r["uuid"] for r in again.docs_store.query({})) == before


def test_a_run_on_a_full_disk_goes_on_when_there_is_space(
    small_disk, cli, campaign_file, open_store, calculations_in, finished_file
):
    file, path = campaign_file(), small_disk / "r.sqlite"
    store = open_store(path)
    store.close()
    filler = small_disk / "filler"
    free = 1_000_000 - sum(p.stat().st_size for p in small_disk.iterdir())
    filler.write_bytes(b"x" * max(0, free - 250_000))
    answer = cli("run", file, "--store", path)
    assert answer.code == 2, answer.err
    assert "the disk is full" in answer.err.splitlines()[-1]
    assert integrity(path) == "ok"
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    assert cli("run", file, "--store", path).code == 0
    wanted = calculations_in(open_store(finished_file, must_exist=True))
    assert calculations_in(open_store(path)) == wanted


def test_an_export_that_does_not_fit(small_disk, open_store, tmp_path):
    store = open_store(tmp_path / "r.sqlite")
    save_many(store, records(0, 100, 50_000))
    with pytest.raises(RocksaltError, match=r"all\.jsonl: cannot be written: No space left"):
        export_records(store, small_disk / "all.jsonl")
    assert list(small_disk.iterdir()) == []
    export_records(store, tmp_path / "all.jsonl")
    with pytest.raises(RocksaltError, match="the disk is full"):
        import_records(open_store(small_disk / "r.sqlite"), tmp_path / "all.jsonl")
