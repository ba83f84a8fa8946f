"""Writers of one SQLite file that are killed again and again, and several at once."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import struct

import pytest

from rocksalt.stores.sqlite import SQLiteStore

N_KILLS = 50
PATIENCE_S = 60

# Where threads of other libraries run, Python warns of any fork; here it is what is killed.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


def _write(path, writer, acknowledged, n_documents=None):
    """Store documents one by one, and say so through a pipe after each; without end if no number."""
    with SQLiteStore(path, key="k") as store:
        store.ensure_index("writer")
        n = 0
        while n != n_documents:
            store.update({"k": f"{writer}-{n}", "writer": writer, "text": "x" * 3000})
            os.write(acknowledged, struct.pack("i", n))
            n += 1


def start(path, writer, n_documents=None):
    """Start a writer; return the process and the reading end of its pipe."""
    reading, writing = os.pipe()
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_write, args=(path, writer, writing, n_documents))
    process.start()
    os.close(writing)
    return process, reading


def numbers_from(reading):
    """Return all that a writer has said, to the end of its pipe."""
    with open(reading, "rb") as pipe:
        content = pipe.read()
    return [n for (n,) in struct.iter_unpack("i", content[: len(content) // 4 * 4])]


def is_sound(store):
    with store._file.reading() as con:
        return con.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_writer_that_is_killed_again_and_again_loses_nothing_acknowledged(tmp_path):
    path, moments = tmp_path / "docs.sqlite", random.Random(7)
    acknowledged = []
    for kill in range(N_KILLS):
        process, reading = start(path, f"w{kill}")
        first = b"".join(os.read(reading, 4) for _ in range(moments.randrange(1, 20)))
        os.kill(process.pid, signal.SIGKILL)
        process.join(PATIENCE_S)
        assert process.exitcode == -signal.SIGKILL
        said = [n for (n,) in struct.iter_unpack("i", first)] + numbers_from(reading)
        assert said == list(range(len(said)))
        acknowledged += [f"w{kill}-{n}" for n in said]
    with SQLiteStore(path, key="k") as store:
        stored = {doc["k"]: doc for doc in store.query()}
        lost = [key for key in acknowledged if key not in stored]
        assert lost == []
        assert len(acknowledged) <= len(stored) <= len(acknowledged) + N_KILLS  # one each unsaid
        assert all(doc["text"] == "x" * 3000 for doc in stored.values())
        assert store.count({"writer": "w0"}) == sum(key.startswith("w0-") for key in stored)
        assert is_sound(store)


@pytest.mark.parametrize("n_writers", [2, 4])
def test_writers_at_once_lose_nothing(tmp_path, n_writers):
    path, n_documents = tmp_path / "docs.sqlite", 100
    writers = [start(path, f"w{w}", n_documents) for w in range(n_writers)]
    said = [numbers_from(reading) for _, reading in writers]
    for process, _ in writers:
        process.join(PATIENCE_S)
        assert process.exitcode == 0
    assert said == [list(range(n_documents))] * n_writers
    with SQLiteStore(path, key="k") as store:
        wanted = {f"w{w}-{n}" for w in range(n_writers) for n in range(n_documents)}
        assert {doc["k"] for doc in store.query()} == wanted
        assert all(store.count({"writer": f"w{w}"}) == n_documents for w in range(n_writers))
        assert is_sound(store)


def test_a_killed_one_of_four_writers_costs_the_others_nothing(tmp_path):
    path, n_documents = tmp_path / "docs.sqlite", 60
    victim, reading = start(path, "victim")
    others = [start(path, f"w{w}", n_documents) for w in range(3)]
    for _ in range(10):
        os.read(reading, 4)
    os.kill(victim.pid, signal.SIGKILL)
    numbers_from(reading)
    for process, pipe in others:
        assert numbers_from(pipe) == list(range(n_documents))
        process.join(PATIENCE_S)
        assert process.exitcode == 0
    victim.join(PATIENCE_S)
    with SQLiteStore(path, key="k") as store:
        assert all(store.count({"writer": f"w{w}"}) == n_documents for w in range(3))
        assert is_sound(store)
