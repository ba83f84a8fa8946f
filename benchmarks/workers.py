"""Throughput of one and of two worker processes on the same relaxations.

Cells of 8 to 32 atoms are relaxed with CHGNet, one torch thread per worker, by the loop of
'rocksalt run' and into a new store. Every run is a process of its own, and runs with one and with two
workers alternate. Throughput counts from when every worker has delivered its first result: what is
before that, imports, plan and models, is the same for a screen of hours. The time with the start is
that of the whole process. On a machine that is busy with something else the clock says little; the
CPU seconds tell more: those of the relaxations what the workers cost each other, those beside them
what it costs to start them.

    python benchmarks/workers.py
    python benchmarks/workers.py --workers 4 --repeats 1
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import psutil

from rocksalt.workflows.worker_server import start_worker_server

if TYPE_CHECKING:
    from rocksalt.stores.calculation_documents import CalculationDoc
    from rocksalt.workflows.calculation import Calculation

SETTINGS = {
    "name": "workers",
    "dopants": ["Mg", "Al", "Ti", "V", "Zn", "Zr", "Nb", "Sn"],
    "hosts": ["Mn", "Ni", "Co"],
    "fractions": [0.25, 0.5],
    "engines": ["chgnet"],
}
SUPERCELLS = ({"enumerated": 4, "sqs": 8}, {"enumerated": 0, "sqs": 16})


def calculations(n_cells: int) -> list[Calculation]:
    """Return mixtures of 8 to 32 atoms, the sizes by turns."""
    from rocksalt.workflows.campaign import campaign_from_dict
    from rocksalt.workflows.plan import make_plan

    by_size: dict[int, list[Calculation]] = {}
    for supercell in SUPERCELLS:
        plan = make_plan(campaign_from_dict({**SETTINGS, "supercell": supercell}))
        for calculation in plan.calculations.values():
            if calculation.role == "mixture" and len(calculation.structure) >= 8:
                by_size.setdefault(len(calculation.structure), []).append(calculation)
    rows = zip(*(by_size[size] for size in sorted(by_size)), strict=False)
    return [calculation for row in rows for calculation in row][:n_cells]


def run_once(n_cells: int, n_workers: int) -> dict[str, float]:
    """Relax all cells; return what it took."""
    if n_workers > 1:
        start_worker_server(SETTINGS["engines"])  # first, as 'rocksalt run' does
    from rocksalt.stores.opening import open_store
    from rocksalt.workflows.shared_work import SharedWork

    todo, arrivals, cpu_s = calculations(n_cells), [], []

    def arrive(document: CalculationDoc) -> None:
        arrivals.append(time.time())
        cpu_s.append(document.cpu_s or 0.0)

    begun = psutil.Process().create_time()
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(str(Path(folder) / "results.sqlite"))
        SharedWork(store, todo, on_result=arrive).compute(n_workers)
        store.close()
    all_cpu_s = cpu_s_of_all()
    steady_s = arrivals[-1] - arrivals[n_workers - 1]
    return {
        "cells": len(arrivals),
        "wall_s": arrivals[-1] - begun,
        "per_minute": 60 * (len(arrivals) - n_workers) / steady_s,
        "cpu_s": sum(cpu_s),
        "other_cpu_s": all_cpu_s - sum(cpu_s),
    }


def cpu_s_of_all() -> float:
    """Return the CPU seconds of this process, of the server of workers, and of ended workers."""
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return sum(sum(process.cpu_times()[:4]) for process in processes)


def main(argv: Sequence[str] | None = None) -> None:
    """Print each run, and the ratios of their medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=24)
    parser.add_argument("--workers", type=int, default=2, help="compared with one")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--once", type=int, metavar="WORKERS", help=argparse.SUPPRESS)
    chosen = parser.parse_args(argv)
    if chosen.cells > (there := len(calculations(chosen.cells))):
        parser.error(f"--cells {chosen.cells}: there are {there}")
    if chosen.once:
        print(json.dumps(run_once(chosen.cells, chosen.once)))
        return
    runs: dict[int, list[dict[str, float]]] = {1: [], chosen.workers: []}
    for _ in range(chosen.repeats):
        for n_workers, results in runs.items():
            load = os.getloadavg()[0]
            command = [sys.executable, __file__, "--once", str(n_workers)]
            command += ["--cells", str(chosen.cells)]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            results.append(json.loads(output.splitlines()[-1]))
            print(
                "{workers} workers: {cells} cells in {wall_s:.1f} s with the start, then {per_minute:.1f} "
                "per minute; {cpu_s:.1f} CPU s in relaxations, {other_cpu_s:.1f} beside them (load before: "
                "{load:.1f})".format(workers=n_workers, load=load, **results[-1]),
                flush=True,
            )
    names = ("wall_s", "per_minute", "cpu_s", "other_cpu_s")
    one, several = (
        {name: median(r[name] for r in results) for name in names} for results in runs.values()
    )
    print(
        f"{chosen.workers} workers against 1, medians: "
        f"{several['per_minute'] / one['per_minute']:.2f} times the throughput "
        f"({one['wall_s'] / several['wall_s']:.2f} with the start), "
        f"{several['cpu_s'] / one['cpu_s']:.2f} times the CPU seconds of the relaxations, "
        f"{several['other_cpu_s'] - one['other_cpu_s']:+.1f} CPU s beside them"
    )


if __name__ == "__main__":
    main()
