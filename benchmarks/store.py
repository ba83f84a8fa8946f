"""Compare the default store with the stores of maggma that need no server, and with a server.

Each store is opened and indexed as for a campaign, gets the same documents of about 5 KB in batches as
a campaign writes them, and then the same queries. A store that has not taken all of them within the
cap is measured with what it has, and the table says so. The server is SecantusDB over TCP where that
is installed: a process of its own, whose CPU time is printed apart. ``--server`` names another one,
whose database ``rocksalt_benchmark`` is removed afterwards and whose CPU time is not known.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
from jobflow import JobStore
from maggma.stores import JSONStore
from pymongo import MongoClient
from rich.console import Console
from rich.table import Table

from rocksalt.stores.opening import close_store, open_store
from rocksalt.stores.records import ensure_indexes, save_many

_BATCH = 250
_FIELDS = ["uuid", "name", "output.energy_ev_per_atom", "output.cations"]
_DATABASE = "rocksalt_benchmark"
_START_MS = 60_000
# A client drops what runs on a server that does not answer in this time whether it is there, and a
# server in Python does not while it reads 100,000 documents.
_PATIENT = "connectTimeoutMS=300000"
_AT_LEAST_S = 0.5  # CPU time of another process comes in steps of 0.01 s
NAMES = ["SQLiteStore", "MemoryStore", "JSONStore", "MongoStore over TCP"]


@dataclass(frozen=True)
class _Timing:
    """Seconds of one operation; those of the server are None where nobody knows them."""

    wall_s: float
    cpu_s: float
    server_cpu_s: float | None

    def __add__(self, other: _Timing) -> _Timing:
        mine, theirs = self.server_cpu_s, other.server_cpu_s
        server = None if mine is None or theirs is None else mine + theirs
        return _Timing(self.wall_s + other.wall_s, self.cpu_s + other.cpu_s, server)

    def __truediv__(self, n: int) -> _Timing:
        server = None if self.server_cpu_s is None else self.server_cpu_s / n
        return _Timing(self.wall_s / n, self.cpu_s / n, server)


@dataclass
class _Result:
    store: str
    asked: int
    stored: int = 0
    capped: bool = False
    timings: dict[str, _Timing] = field(default_factory=dict)


@dataclass(frozen=True)
class _Server:
    address: str
    process: psutil.Process | None = None

    @property
    def cpu_s(self) -> float | None:
        if self.process is None:
            return None
        times = self.process.cpu_times()
        return times.user + times.system


class _Clock:
    """Seconds since the start, of the wall, this process and a server."""

    def __init__(self, server: _Server | None) -> None:
        self.server = server
        self.start = self._now()

    def _now(self) -> tuple[float, float, float | None]:
        server_cpu_s = self.server.cpu_s if self.server else None
        return time.perf_counter(), time.process_time(), server_cpu_s

    def passed(self) -> _Timing:
        """Return the seconds until now."""
        (wall, cpu, server), before = self._now(), self.start[2]
        apart = None if server is None or before is None else server - before
        return _Timing(wall - self.start[0], cpu - self.start[1], apart)


def document(number: int) -> dict[str, Any]:
    """Return a record like that of a calculation, about 5 KB as BSON."""
    uuid = str(UUID(int=number))
    cation = ("Al", "Ti", "Nb", "Mg")[number % 4]
    energy = -7.0 - (number * 7919 % 1000) / 1000
    return {
        "uuid": uuid,
        "index": 1,
        "name": f"relax {number % 100}",
        "output": {
            "key": uuid,
            "role": "mixture",
            "engine": "mock",
            "state": "done",
            "label": f"Li2Mn{cation}O6 {number}",
            "cations": sorted(["Mn", cation]),
            "chemsys": "-".join(sorted(["Li", "Mn", "O", cation])),
            "formula_pretty": f"Li2Mn{cation}O6",
            "nsites": (8, 16, 24, 32)[number // 4 % 4],
            "energy_ev_per_atom": energy,
            "forces": [[number * 1e-6, 0.25 * site, -0.5] for site in range(105)],
        },
        "completed_at": f"2026-01-{1 + number // 10_000 % 28:02}T00:00:{number % 60:02}",
        "metadata": {"kind": "calculation"},
        "hosts": [],
    }


def _measure(action: Callable[[], object], server: _Server | None) -> _Timing:
    clock, n_times = _Clock(server), 0
    while n_times == 0 or clock.passed().wall_s < _AT_LEAST_S:
        action()
        n_times += 1
    return clock.passed() / n_times


def _run(name: str, store: JobStore, size: int, cap_s: float, server: _Server | None) -> _Result:
    result = _Result(name, size)
    total = _Timing(0.0, 0.0, None if server is None or server.process is None else 0.0)
    for start in range(0, size, _BATCH):
        batch = [document(number) for number in range(start, min(start + _BATCH, size))]
        clock = _Clock(server)  # making the documents does not count
        save_many(store, batch)
        total += clock.passed()
        result.stored += len(batch)
        if total.wall_s > cap_s and result.stored < size:
            result.capped = True
            break
    stored = result.stored
    result.timings["bulk upsert"] = total / stored
    if store.count() != stored:
        raise RuntimeError(f"{name} holds {store.count()} documents instead of {stored}")
    for label, action in _actions(store, stored).items():
        result.timings[label] = _measure(action, server)
    close_store(store)
    return result


def _actions(store: JobStore, stored: int) -> dict[str, Callable[[], object]]:
    docs = store.docs_store
    middle = document(stored // 2)
    some = [document(number)["uuid"] for number in range(0, stored, max(1, stored // 1000))]
    unindexed = {"output.energy_ev_per_atom": {"$lt": -7.5}, "output.nsites": {"$in": [24]}}
    energy = ["uuid", "output.energy_ev_per_atom"]
    return {
        "single upsert": lambda: save_many(store, [middle]),
        "query by uuid": lambda: list(docs.query({"uuid": middle["uuid"]})),
        "query of 1 % by name": lambda: list(docs.query({"name": middle["name"]})),
        "four fields of 1000": lambda: list(docs.query({"uuid": {"$in": some}}, _FIELDS)),
        "no index, sort, limit 10": lambda: list(
            docs.query(unindexed, energy, {"output.energy_ev_per_atom": 1}, limit=10)
        ),
        "count by name": lambda: docs.count({"name": middle["name"]}),
        "distinct names": lambda: docs.distinct("name"),
    }


def _open(name: str, folder: Path, size: int, server: _Server | None) -> JobStore:
    if name == "JSONStore":
        path = folder / f"{size}.json"
        store = JobStore(JSONStore(str(path), read_only=False, key="uuid"))
        store.connect()
        ensure_indexes(store)
        return store
    if name == "MongoStore over TCP":
        assert server is not None
        place, _, options = server.address.partition("?")
        return open_store(f"{place.rstrip('/')}/{_DATABASE}?{options or _PATIENT}")
    return open_store("memory" if name == "MemoryStore" else str(folder / f"{size}.sqlite"))


@contextmanager
def _server(folder: Path, address: str | None) -> Iterator[_Server | None]:
    """Give the server that is named, or one that is started, or none."""
    if address:
        yield _Server(address)
        client: MongoClient
        with MongoClient(address) as client:
            client.drop_database(_DATABASE)
        return
    if find_spec("secantus") is None:
        yield None
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--host", "127.0.0.1", "--port", str(port), "--log-level", "ERROR"]
    command = [sys.executable, "-m", "secantus", *options, "--storage-path", str(folder / "server")]
    started = subprocess.Popen(command)
    try:
        running = _Server(f"mongodb://127.0.0.1:{port}", psutil.Process(started.pid))
        with MongoClient(running.address, serverSelectionTimeoutMS=_START_MS) as client:
            client.admin.command("ping")
        yield running
    finally:
        started.terminate()
        started.wait()


def _table(results: list[_Result]) -> Table:
    table = Table(
        title=f"{results[0].asked} documents: wall (CPU, + CPU of the server) in ms per operation"
    )
    table.add_column("")
    for result in results:
        table.add_column(result.store, justify="right")
    table.add_row(
        "documents stored",
        *(f"{r.stored}{' (stopped at the cap)' if r.capped else ''}" for r in results),
    )
    table.add_row(
        "bulk upsert, documents/s", *(f"{1 / r.timings['bulk upsert'].wall_s:.0f}" for r in results)
    )
    for label, reference in results[0].timings.items():
        cells = []
        for result in results:
            timing = result.timings[label]
            # Times of stores that hold different numbers of documents have no ratio.
            comparable = result is not results[0] and result.stored == results[0].stored
            ratio = f"  x{timing.wall_s / reference.wall_s:.2g}" if comparable else ""
            apart = timing.server_cpu_s
            server = "" if apart is None else f" + {apart * 1e3:.3g}"
            cells.append(f"{timing.wall_s * 1e3:.3g} ({timing.cpu_s * 1e3:.3g}{server}){ratio}")
        table.add_row(label, *cells)
    return table


def main(argv: list[str] | None = None) -> None:
    """Run the benchmark and print one table for each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--server", metavar="mongodb://...", help="server instead of SecantusDB")
    parser.add_argument("--cap-s", type=float, default=60.0, help="seconds to fill one store")
    parser.add_argument(
        "--stores", nargs="+", choices=NAMES, default=NAMES, help="all of them when not given"
    )
    args = parser.parse_args(argv)
    console = Console(width=120)
    for size in args.sizes:
        with tempfile.TemporaryDirectory() as folder, _server(Path(folder), args.server) as server:
            results = []
            for name in NAMES:
                on_server = name == "MongoStore over TCP"
                if name not in args.stores or (on_server and server is None):
                    continue
                store = _open(name, Path(folder), size, server)
                results.append(_run(name, store, size, args.cap_s, server if on_server else None))
        console.print(_table(results))


if __name__ == "__main__":
    main()
