"""Compare the default store with the stores of maggma that need no server, and with a server.

Each store gets the same documents of about 5 KB in batches, and then the same queries. The default
store keeps four of their fields apart, as it does for campaigns. A store
that has not taken all of them within the cap is measured with what it has, and the table says so.
The server is SecantusDB over TCP where that is installed; it runs in this process, so its CPU time
counts. ``--server`` names another one, whose database ``rocksalt_benchmark`` is removed afterwards.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from maggma.core import Store
from maggma.stores import JSONStore, MemoryStore, MongoStore
from pymongo import MongoClient
from rich.console import Console
from rich.table import Table

from rocksalt.stores.sqlite import SQLiteStore

_BATCH = 250
_KEY = ["uuid", "index"]
_FIELDS = ["uuid", "name", "output.energy", "output.elements"]
_DATABASE = "rocksalt_benchmark"
_INDEXED = ("uuid", "name")
NAMES = ["SQLiteStore", "MemoryStore", "JSONStore", "MongoStore over TCP"]


@dataclass
class _Timing:
    wall_s: float
    cpu_s: float


@dataclass
class _Result:
    store: str
    asked: int
    stored: int = 0
    capped: bool = False
    timings: dict[str, _Timing] = field(default_factory=dict)


def document(number: int) -> dict[str, Any]:
    """Return a document like the output of a relaxation, about 5 KB as BSON."""
    return {
        "uuid": str(UUID(int=number)),
        "index": 1,
        "name": f"relax {number % 100}",
        "metadata": {"batch": number // _BATCH, "host": "Li2MnO3"},
        "output": {
            "energy": -7.0 - (number * 7919 % 1000) / 1000,
            "elements": ["Li", "Mn", "O", ("Al", "Ti", "Nb", "Mg")[number % 4]],
            "forces": [[number * 1e-6, 0.25 * site, -0.5] for site in range(115)],
        },
    }


def _measure(action: Callable[[], object], repeats: int = 1) -> _Timing:
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(repeats):
        action()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return _Timing(wall / repeats, cpu / repeats)


def _run(name: str, store: Store, size: int, cap_s: float) -> _Result:
    result = _Result(name, size)
    store.connect()
    for key in _INDEXED:
        store.ensure_index(key)
    if isinstance(store, SQLiteStore):
        store.ensure_summary(_FIELDS)
    started = time.perf_counter()
    total = _Timing(0.0, 0.0)
    for start in range(0, size, _BATCH):
        batch = [document(number) for number in range(start, min(start + _BATCH, size))]
        part = _measure(lambda batch=batch: store.update(batch, key=_KEY))  # type: ignore[misc]
        total = _Timing(total.wall_s + part.wall_s, total.cpu_s + part.cpu_s)
        result.stored += len(batch)
        if time.perf_counter() - started > cap_s and result.stored < size:
            result.capped = True
            break
    stored = result.stored
    if store.count() != stored:
        raise RuntimeError(f"{name} holds {store.count()} documents instead of {stored}")
    result.timings["bulk upsert"] = _Timing(total.wall_s / stored, total.cpu_s / stored)
    # A store that was too slow already is not asked ten times.
    repeats = 1 if result.capped else 10
    for label, action in _actions(store, stored).items():
        result.timings[label] = _measure(action, repeats)
    store.close()
    return result


def _actions(store: Store, stored: int) -> dict[str, Callable[[], object]]:
    middle = document(stored // 2)
    some = [document(number)["uuid"] for number in range(0, stored, max(1, stored // 1000))]
    unindexed = {"output.energy": {"$lt": -7.5}, "output.elements": {"$in": ["Nb"]}}
    return {
        "single upsert": lambda: store.update(middle, key=_KEY),
        "query by uuid": lambda: list(store.query({"uuid": middle["uuid"]})),
        "query by name (1 %)": lambda: list(store.query({"name": middle["name"]})),
        "four fields of 1000, by uuid": lambda: list(store.query({"uuid": {"$in": some}}, _FIELDS)),
        "filter, sort, limit 10": lambda: list(
            store.query(unindexed, ["uuid", "output.energy"], {"output.energy": 1}, limit=10)
        ),
        "count by name": lambda: store.count({"name": middle["name"]}),
        "distinct names": lambda: store.distinct("name"),
    }


def _stores(folder: Path, size: int, server: str | None) -> dict[str, Store]:
    stores: dict[str, Store] = {
        NAMES[0]: SQLiteStore(folder / f"{size}.sqlite", key="uuid"),
        NAMES[1]: MemoryStore(key="uuid"),
        NAMES[2]: JSONStore(str(folder / f"{size}.json"), read_only=False, key="uuid"),
    }
    if server:
        stores[NAMES[3]] = MongoStore(_DATABASE, f"docs_{size}", uri=server, key="uuid")
    return stores


@contextmanager
def _server(folder: Path, address: str | None) -> Iterator[str | None]:
    """Give the address of a server: the one that is named, or one of this process, or none."""
    if address:
        yield address
        with MongoClient(address) as client:
            client.drop_database(_DATABASE)
        return
    try:
        from secantus import SecantusDBServer
    except ImportError:
        yield None
        return
    with SecantusDBServer(storage_path=str(folder / "server")) as server:
        yield server.uri


def _table(results: list[_Result]) -> Table:
    table = Table(title=f"{results[0].asked} documents: wall (CPU) in ms per operation")
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
            cells.append(f"{timing.wall_s * 1e3:.3g} ({timing.cpu_s * 1e3:.3g}){ratio}")
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
            stores = {
                name: store
                for name, store in _stores(Path(folder), size, server).items()
                if name in args.stores
            }
            results = [_run(name, store, size, args.cap_s) for name, store in stores.items()]
        console.print(_table(results))


if __name__ == "__main__":
    main()
