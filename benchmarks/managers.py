"""What a manager costs per job: the time of trivial jobs.

Each manager gets the same number of jobs that do nothing, and rocksalt's own executor calculations
that end at once. FireWorks needs a MongoDB server: --mongo, or SecantusDB, which is started in this
process and counted with it.
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from jobflow import Flow, JobStore, job, run_locally
from maggma.stores import MemoryStore
from rich.console import Console
from rich.table import Table

from rocksalt.stores.opening import open_store
from rocksalt.stores.records import calculation_record, save_many
from rocksalt.stores.sqlite import SQLiteStore
from rocksalt.workflows import executor as executor_module
from rocksalt.workflows.calculate import failed_document
from rocksalt.workflows.calculation import Calculation
from rocksalt.workflows.campaign import campaign_from_dict
from rocksalt.workflows.executor import compute
from rocksalt.workflows.plan import make_plan


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


def executor(n_jobs: int, folder: Path, uri: str | None) -> _Timing:
    """Measure the loop of 'rocksalt run' in one process, with calculations that end at once."""
    campaign = campaign_from_dict(
        {"name": "one", "dopants": ["Mg"], "hosts": ["Mn"], "engines": ["mock"]}
    )
    first = next(iter(make_plan(campaign).calculations.values())).model_dump()
    relaxations = ({**first["relaxation"], "max_evaluations": n + 1} for n in range(n_jobs))
    todo = [Calculation.model_validate({**first, "relaxation": each}) for each in relaxations]
    store = open_store(str(folder / "results.sqlite"))

    def work() -> None:
        for document in compute(todo):
            save_many(store, [calculation_record(document)])

    with patch.object(executor_module, "calculate", lambda c: failed_document(c, "not asked for")):
        timing = _measure(work)
    store.close()
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
    "rocksalt run, SQLiteStore": executor,
    "FireWorks, SQLiteStore": fireworks,
}


@contextmanager
def _server(address: str | None) -> Iterator[str | None]:
    """Yield the address of a server, or None where there is none."""
    if address is not None:
        yield address
        return
    try:
        import fireworks  # noqa: F401
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
            numbers = arguments.fireworks_jobs if measure is fireworks else arguments.jobs
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
