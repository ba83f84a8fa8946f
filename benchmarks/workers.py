"""Throughput of one and of two worker processes on the same relaxations.

Cells of 8 to 32 atoms are relaxed with CHGNet, one torch thread per worker, by the loop of
'rocksalt run' and into a new store. Every run is a process of its own, and runs with one and with two
workers alternate. Throughput counts from when every worker has delivered its first result: what is
before that, imports and models, is the same for a screen of hours. On a machine that is busy with
something else the clock says little; the CPU seconds of the relaxations tell what the workers cost
each other.

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

from rocksalt.stores.documents import CalculationDoc
from rocksalt.stores.opening import open_store
from rocksalt.workflows.calculation import Calculation
from rocksalt.workflows.campaign import campaign_from_dict
from rocksalt.workflows.plan import make_plan
from rocksalt.workflows.shared_work import SharedWork

SETTINGS = {
    "name": "workers",
    "dopants": ["Mg", "Ti", "Zn", "V"],
    "hosts": ["Mn", "Ni", "Co"],
    "fractions": [0.25, 0.5],
    "engines": ["chgnet"],
}
SUPERCELLS = ({"enumerated": 4, "sqs": 8}, {"enumerated": 0, "sqs": 16})


def calculations(n_cells: int) -> list[Calculation]:
    """Return mixtures of 8 to 32 atoms, the sizes by turns."""
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
    todo, arrivals, cpu_s = calculations(n_cells), [], []

    def arrive(document: CalculationDoc) -> None:
        arrivals.append(time.perf_counter())
        cpu_s.append(document.cpu_s or 0.0)

    with tempfile.TemporaryDirectory() as folder:
        store = open_store(str(Path(folder) / "results.sqlite"))
        begun = time.perf_counter()
        SharedWork(store, todo, on_result=arrive).compute(n_workers)
        store.close()
    steady_s = arrivals[-1] - arrivals[n_workers - 1]
    return {
        "cells": len(arrivals),
        "wall_s": arrivals[-1] - begun,
        "per_minute": 60 * (len(arrivals) - n_workers) / steady_s,
        "cpu_s": sum(cpu_s),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Print each run, and the ratios of their medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=24)
    parser.add_argument("--workers", type=int, default=2, help="compared with one")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--once", type=int, metavar="WORKERS", help=argparse.SUPPRESS)
    chosen = parser.parse_args(argv)
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
                "per minute; {cpu_s:.1f} CPU s in relaxations (load before: {load:.1f})".format(
                    workers=n_workers, load=load, **results[-1]
                ),
                flush=True,
            )
    one, several = (
        {name: median(r[name] for r in results) for name in ("wall_s", "per_minute", "cpu_s")}
        for results in runs.values()
    )
    print(
        f"{chosen.workers} workers against 1, medians: "
        f"{several['per_minute'] / one['per_minute']:.2f} times the throughput "
        f"({one['wall_s'] / several['wall_s']:.2f} with the start), "
        f"{several['cpu_s'] / one['cpu_s']:.2f} times the CPU seconds"
    )


if __name__ == "__main__":
    main()
