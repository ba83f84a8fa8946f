"""The SQLite store used by several processes: writers at once, a kill, a fork."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import pytest

from rocksalt.stores.sqlite import SQLiteStore


def start(code, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_writers(tmp_path):
    path = tmp_path / "docs.sqlite"
    code = """
        import sys
        from rocksalt.stores.sqlite import SQLiteStore

        path, writer = sys.argv[1:]
        with SQLiteStore(path, key="k") as store:
            print("ready", flush=True)
            for n in range(100):
                store.update({"k": f"{writer}-{n}", "writer": writer})
                # The same document from both: only one may remain.
                store.update({"k": f"shared-{n}", "writer": writer})
    """
    writers = [start(code, path, name) for name in "ab"]
    for writer in writers:
        _, errors = writer.communicate(timeout=50)
        assert writer.returncode == 0, errors
    with SQLiteStore(path, key="k") as store:
        wanted = {f"{name}-{n}" for name in ("a", "b", "shared") for n in range(100)}
        assert sorted(doc["k"] for doc in store.query()) == sorted(wanted)
        assert store.count({"k": {"$in": list(wanted)}}) == 300


def test_a_killed_writer_loses_nothing_that_was_stored(tmp_path):
    path = tmp_path / "docs.sqlite"
    code = """
        import sys
        from rocksalt.stores.sqlite import SQLiteStore

        store = SQLiteStore(sys.argv[1], key="k")
        store.connect()
        for n in range(10**9):
            store.update({"k": n, "text": "x" * 3000})
            print(n, flush=True)
    """
    writer = start(code, path)
    acknowledged = [int(writer.stdout.readline()) for _ in range(300)]
    writer.kill()
    # Not by `communicate`, which passes over what `readline` has read ahead.
    acknowledged += [int(line) for line in writer.stdout.read().split("\n")[:-1]]
    writer.communicate()
    assert writer.returncode == -9
    with SQLiteStore(path, key="k") as store:
        stored = [doc["k"] for doc in store.query()]
        assert stored[: len(acknowledged)] == acknowledged == list(range(len(acknowledged)))
        assert len(stored) <= len(acknowledged) + 1
        assert store.count({"k": {"$in": acknowledged}}) == len(acknowledged)
        store.update({"k": "after"})
        with store._file.reading() as con:
            assert con.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def _write_in_child(store, first):
    for n in range(first, first + 20):
        store.update({"k": n})
    assert store.count({"k": {"$gte": first, "$lt": first + 20}}) == 20


# Where threads of other libraries run, Python warns of any fork; here it is what is tested.
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_fork_opens_its_own_connection(tmp_path):
    context = multiprocessing.get_context("fork")
    with SQLiteStore(tmp_path / "docs.sqlite", key="k") as store:
        store.update({"k": 0})
        child = context.Process(target=_write_in_child, args=(store, 100))
        child.start()
        for n in range(1, 20):
            store.update({"k": n})
        child.join(timeout=30)
        assert child.exitcode == 0
        assert store.count() == 40


def _write_before_and_after(store, written, closed):
    for n in range(10):
        store.update({"k": n})
    written.set()
    assert closed.wait(30)
    for n in range(10, 20):
        store.update({"k": n})


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_fork_outlives_the_store_of_its_parent(tmp_path):
    # The last process that closes a file removes its log: a fork must not write to a removed one.
    context = multiprocessing.get_context("fork")
    written, closed = context.Event(), context.Event()
    store = SQLiteStore(tmp_path / "docs.sqlite", key="k")
    store.connect()
    store.update({"k": "parent"})
    child = context.Process(target=_write_before_and_after, args=(store, written, closed))
    child.start()
    assert written.wait(30)
    assert store.count() == 11
    store.close()
    closed.set()
    child.join(timeout=30)
    assert child.exitcode == 0
    with store:
        assert store.count() == 21


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_fork_while_other_threads_write(tmp_path):
    context = multiprocessing.get_context("fork")
    with SQLiteStore(tmp_path / "docs.sqlite", key="k") as store, ThreadPoolExecutor(1) as pool:
        writing = pool.submit(lambda: [store.update({"k": n}) for n in range(100)])
        for first in (1000, 2000, 3000):
            child = context.Process(target=_write_in_child, args=(store, first))
            child.start()
            child.join(timeout=30)
            assert child.exitcode == 0
        writing.result(timeout=30)
        assert store.count() == 160


def test_an_index_made_by_another_process_is_kept(tmp_path):
    path = tmp_path / "docs.sqlite"
    code = """
        import sys
        from rocksalt.stores.sqlite import SQLiteStore

        with SQLiteStore(sys.argv[1], key="k") as store:
            store.ensure_index("a")
    """
    with SQLiteStore(path, key="k") as store:
        store.update({"k": 1, "a": 1})
        other = start(code, path)
        _, errors = other.communicate(timeout=30)
        assert other.returncode == 0, errors
        store.update([{"k": 2, "a": 1}, {"k": 1, "a": 2}])
        assert store.distinct("a") == [1, 2]
        assert [doc["k"] for doc in store.query({"a": 1})] == [2]
