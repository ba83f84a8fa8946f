"""What a manager costs per job: the time of trivial jobs.

Each manager gets the same number of jobs that do nothing. The loop of 'rocksalt run', in one process,
gets calculations that end at once: without a result, and with that of an oxide of eight atoms, whose
document of 5 kB is made and stored. FireWorks needs a MongoDB server: --mongo, or SecantusDB, which is
started in this process and counted with it.
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from jobflow import Flow, JobStore, job, run_locally
from maggma.stores import MemoryStore
from rich.console import Console
from rich.table import Table

from rocksalt.stores.opening import open_store
from rocksalt.stores.sqlite import SQLiteStore
from rocksalt.workflows import calculate as calculate_module
from rocksalt.workflows import executor as executor_module
from rocksalt.workflows.calculate import failed_document, to_atoms
from rocksalt.workflows.calculation import Calculation
from rocksalt.workflows.campaign import campaign_from_dict
from rocksalt.workflows.engines import get_calculator
from rocksalt.workflows.plan import make_plan
from rocksalt.workflows.relaxer import relax
from rocksalt.workflows.shared_work import SharedWork


@dataclass
class _Timing:
    wall_s: float
    cpu_s: float


@job
def nothing(number: int) -> int:
    """Return the number."""
    return number


def _measure(action: Callable[[], object]) -> _Timing:
    wall, cpu = time.perf_counter(), time.process_time()
    action()
    return _Timing(time.perf_counter() - wall, time.process_time() - cpu)


def _flow(n_jobs: int) -> Flow:
    return Flow([nothing(number) for number in range(n_jobs)])


def _local(n_jobs: int, store: JobStore, folder: Path) -> _Timing:
    flow = _flow(n_jobs)
    return _measure(
        lambda: run_locally(flow, store=store, root_dir=folder, log=False, ensure_success=True)
    )


def memory(n_jobs: int, folder: Path, uri: str | None) -> _Timing:
    """Measure jobflow's run_locally with maggma's MemoryStore."""
    return _local(n_jobs, JobStore(MemoryStore()), folder)


def sqlite(n_jobs: int, folder: Path, uri: str | None) -> _Timing:
    """Measure jobflow's run_locally with rocksalt's SQLiteStore."""
    return _local(n_jobs, JobStore(SQLiteStore(folder / "jobs.sqlite", "docs")), folder)


def without_result(n_jobs: int, folder: Path, uri: str | None) -> _Timing:
    """Measure the loop of 'rocksalt run' with calculations that end at once, without a result."""
    first = next(iter(_planned()))
    with patch.object(
        executor_module, "calculate", lambda each: failed_document(each, "not asked for")
    ):
        return _loop(first, n_jobs, folder)


def with_result(n_jobs: int, folder: Path, uri: str | None) -> _Timing:
    """Measure the loop of 'rocksalt run' with relaxations whose result is there at once."""
    oxide = next(c for c in _planned() if c.role == "mixture" and len(c.structure) == 8)
    known = relax(to_atoms(oxide.structure), get_calculator("mock"), oxide.relaxation)
    with patch.object(calculate_module, "relax", lambda *_: known):
        return _loop(oxide, n_jobs, folder)


def _planned() -> Iterable[Calculation]:
    settings = {"name": "one", "dopants": ["Mg"], "hosts": ["Mn"], "engines": ["mock"]}
    return make_plan(campaign_from_dict(settings)).calculations.values()


def _loop(calculation: Calculation, n_jobs: int, folder: Path) -> _Timing:
    """Do calculations that differ in their key only."""
    todo = []
    for n in range(1, n_jobs + 1):
        relaxation = calculation.relaxation.model_copy(update={"max_evaluations": n})
        fresh = calculation.with_engine("mock")  # a copy would keep the key
        todo.append(fresh.model_copy(update={"relaxation": relaxation}))
    store = open_store(str(folder / "results.sqlite"))
    work = SharedWork(store, todo)
    timing = _measure(work.compute)
    store.close()
    if work.n_computed != n_jobs:
        raise SystemExit(f"only {work.n_computed} of {n_jobs} calculations are done")
    return timing


def fireworks(n_jobs: int, folder: Path, uri: str | None) -> _Timing:
    """Measure a LaunchPad with workflows of ten jobs, as 'rocksalt submit' makes them."""
    from fireworks import FWorker, LaunchPad
    from fireworks.core.rocket_launcher import rapidfire
    from jobflow.managers.fireworks import flow_to_workflow

    launchpad = LaunchPad(uri, name="rocksalt-benchmark", uri_mode=True, strm_lvl="CRITICAL")
    launchpad.reset("", require_password=False)
    store = JobStore(SQLiteStore(folder / "fireworks.sqlite", "docs"))

    def work() -> None:
        for start in range(0, n_jobs, 10):
            launchpad.add_wf(flow_to_workflow(_flow(min(10, n_jobs - start)), store=store))
        rapidfire(launchpad, FWorker(), str(folder), strm_lvl="CRITICAL")

    timing = _measure(work)
    n_done = launchpad.fireworks.count_documents({"state": "COMPLETED"})
    launchpad.connection.drop_database("rocksalt-benchmark")
    launchpad.connection.close()
    if n_done != n_jobs:
        raise SystemExit(f"only {n_done} of {n_jobs} fireworks are completed")
    return timing


MANAGERS = {
    "run_locally, MemoryStore": memory,
    "run_locally, SQLiteStore": sqlite,
    "rocksalt run, SQLiteStore": without_result,
    "the same, with results": with_result,
    "FireWorks, SQLiteStore": fireworks,
}


@contextmanager
def _server(address: str | None) -> Iterator[str | None]:
    """Yield the address of a server, or None where there is none."""
    if address is not None:
        yield address
        return
    try:
        import fireworks  # noqa: F401  # only whether it is there
        from secantus import SecantusDBServer
    except ImportError:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder, SecantusDBServer(storage_path=folder) as server:
        yield server.uri


def _silent(action: Callable[[], _Timing]) -> _Timing:
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        return action()


def main() -> None:
    """Print a table: milliseconds per job, of this process and of the clock."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--own-jobs", type=int, nargs="+", default=[10, 100, 1000, 10_000])
    parser.add_argument("--fireworks-jobs", type=int, nargs="*", default=[10, 100])
    parser.add_argument("--mongo", help="address of a MongoDB server, as mongodb://host:port")
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("manager", "jobs", "CPU ms/job", "wall ms/job", "to the first"):
        table.add_column(heading, justify="left" if heading == "manager" else "right")
    firsts: dict[int, float] = {}
    here = os.getcwd()
    with _server(arguments.mongo) as uri:
        for name, measure in MANAGERS.items():
            if measure is fireworks and uri is None:
                table.add_row(name, "-", "no server", "", "")
                continue
            numbers = arguments.jobs
            if measure is fireworks:
                numbers = arguments.fireworks_jobs
            elif measure in {without_result, with_result}:
                numbers = arguments.own_jobs
            for n_jobs in (1, *numbers):
                with tempfile.TemporaryDirectory() as folder:
                    timing = _silent(lambda m=measure, n=n_jobs, f=folder: m(n, Path(f), uri))
                    os.chdir(here)
                if n_jobs == 1:  # imports and first connections
                    continue
                cpu, wall = (1000 * s / n_jobs for s in (timing.cpu_s, timing.wall_s))
                ratio = cpu / firsts.setdefault(n_jobs, cpu)
                table.add_row(name, str(n_jobs), f"{cpu:.2f}", f"{wall:.2f}", f"x {ratio:.3g}")
    Console().print(table)


if __name__ == "__main__":
    main()
