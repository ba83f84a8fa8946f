"""How planning, submission, the store and the commands grow with the number of calculations.

Each size is measured in a process of its own, whose peak memory counts. Nothing is relaxed but one
cell of each kind: the store is filled with documents of those cells under other keys and elements.
Times are CPU seconds. A part that takes longer than the cap stops there, and the table says at how
many calculations it did.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

ENGINES = ["mock", "chgnet", "sevennet-0"]
"""Planning needs none of them installed."""

FRACTIONS = [k / 8 for k in range(1, 8)]
PER_PAIR = 63
"""Calculations of a pair at these fractions with these engines, in cells of 8 and 16 cations."""

BATCH = 250


def settings_for(size: int) -> dict[str, Any]:
    """Return a campaign of about so many calculations."""
    from rocksalt.screening.elements import known_cations

    cations = list(known_cations())
    n_pairs = max(1, size // PER_PAIR)
    # Of n cations, h of which are hosts, so many pairs are distinct: h (n - h) + h (h - 1) / 2.
    n = len(cations)
    hosts = next(h for h in range(1, n) if h * (n - h) + h * (h - 1) / 2 >= n_pairs)
    n_dopants = min(n, math.ceil(n_pairs / hosts + (hosts + 1) / 2))
    return {
        "name": "scale",
        "dopants": cations[:n_dopants],
        "hosts": cations[:hosts],
        "fractions": FRACTIONS,
        "engines": ENGINES,
    }


class _Clock:
    """CPU seconds of this process since the start."""

    def __init__(self) -> None:
        self.start = time.process_time()

    @property
    def cpu_s(self) -> float:
        return time.process_time() - self.start


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _least(action: Callable[[], object], repeats: int = 3) -> float:
    """Return the least CPU time of a few tries, in seconds."""
    times = []
    for _ in range(repeats):
        clock = _Clock()
        action()
        times.append(clock.cpu_s)
    return min(times)


def measure_plan(size: int, cap_s: float) -> dict[str, float]:
    """Plan, and make the jobs of a submission without a queue that takes them."""
    from rocksalt.workflows.batches import batch_flows, pack
    from rocksalt.workflows.campaign import campaign_from_dict
    from rocksalt.workflows.plan import make_plan

    campaign = campaign_from_dict(settings_for(size))
    before, clock = _peak_mb(), _Clock()
    plan = make_plan(campaign)
    found: dict[str, float] = {
        "calculations": len(plan.calculations),
        "distinct structures": len({c.fingerprint for c in plan.calculations.values()}),
        "plan, CPU s": clock.cpu_s,
        "plan, MB": _peak_mb() - before,
    }
    clock, jobs, calculations = _Clock(), 0, 0
    for flow in batch_flows(campaign.name, pack(plan.calculations.values())):
        jobs += len(flow.jobs)
        calculations += sum(len(job.function_args[0]) for job in flow.jobs)
        if clock.cpu_s > cap_s:
            break
    found["submitted in jobs"] = calculations
    found["jobs"] = jobs
    found["jobs, CPU ms per calculation"] = 1000 * clock.cpu_s / calculations
    found["jobs, MB"] = _peak_mb() - before
    return found


def records(plan: Any) -> Iterator[dict[str, Any]]:
    """Yield a record for every calculation of a plan: a relaxed cell of its kind, relabelled."""
    from rocksalt.stores.records import calculation_record
    from rocksalt.workflows.calculate import calculate

    relaxed: dict[tuple[str, str, int], dict[str, Any]] = {}
    for calculation in plan.calculations.values():
        shares = calculation.cation_fractions
        is_mixture = calculation.role == "mixture"
        kind = (
            calculation.role,
            calculation.prototype if is_mixture else calculation.cell,
            len(shares),
        )
        if kind not in relaxed:
            relaxed[kind] = calculation_record(calculate(calculation.with_engine(ENGINES[0])))
        record = relaxed[kind]
        elements = sorted([*shares, "O"]) if calculation.role != "element" else sorted(shares)
        change = {
            "key": calculation.key,
            "label": calculation.label,
            "engine": calculation.engine,
            "cations": sorted(shares),
            "cation_fractions": shares,
            "elements": elements,
            "chemsys": "-".join(elements),
            "formula_pretty": calculation.label.split()[0],
            "prototype": calculation.prototype,
            "multiplicity": calculation.multiplicity,
            "energy_ev_per_atom": -6 - int(calculation.key[:4], 16) / 65536,
        }
        output = {**record["output"], **change}
        yield {**record, "uuid": calculation.key, "name": calculation.label, "output": output}


def measure_store(size: int, cap_s: float) -> dict[str, float]:
    """Fill a file, and ask of it what the commands ask."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scale.sqlite"
        found = fill(path, size, cap_s)
        return {**found, **ask(path)}


def fill(path: Path, size: int, cap_s: float) -> dict[str, float]:
    """Store a campaign and its documents in a file."""
    from rocksalt.stores.opening import open_store
    from rocksalt.stores.records import save_many
    from rocksalt.workflows.campaign import campaign_from_dict
    from rocksalt.workflows.plan import make_plan
    from rocksalt.workflows.stored import save_campaign

    campaign = campaign_from_dict(settings_for(size))
    plan = make_plan(campaign)
    store = open_store(str(path))
    save_campaign(store, campaign, plan)
    saving, stored = 0.0, 0
    batch: list[dict[str, Any]] = []
    for number, record in enumerate(records(plan), 1):
        batch.append(record)
        if len(batch) == BATCH or number == len(plan.calculations):
            clock = _Clock()
            save_many(store, batch)
            saving += clock.cpu_s
            stored, batch = stored + len(batch), []
            if saving > cap_s:
                break
    store.close()
    return {"store, CPU ms per document": 1000 * saving / stored}


def ask(path: Path) -> dict[str, float]:
    """Ask of a file what the commands ask."""
    from rocksalt.stores.opening import open_store
    from rocksalt.stores.query import calculation_filter, load_campaign_keys, query_calculations
    from rocksalt.stores.records import campaign_names, load_states, load_summaries

    store = open_store(str(path))
    (name,) = campaign_names(store)
    kept = load_campaign_keys(store, name)
    keys = [key for roles in kept.values() for some in roles.values() for key in some]
    stored = store.docs_store.count({"metadata.kind": "calculation"})
    found: dict[str, float] = {
        "calculations": len(keys),
        "stored": stored,
        "file, kB per document": path.stat().st_size / stored / 1000,
    }

    def status() -> None:
        load_campaign_keys(store, name)
        load_states(store, keys)

    # Magnesium and lithium, the first cation, are mixed at every size.
    words = calculation_filter(dopant="Mg", host="Li", fraction=0.5)
    mixtures = calculation_filter(role="mixture")
    found["status, CPU s"] = _least(status)
    found["query --dopant --host --fraction, CPU s"] = _least(
        lambda: query_calculations(store, words)
    )
    found["query --role mixture --limit 20, CPU s"] = _least(
        lambda: query_calculations(store, mixtures, limit=20)
    )
    found["numbers for the ranking, CPU s"] = _least(lambda: load_summaries(store, keys), 1)
    store.close()
    for command in ("status", "query --role mixture --limit 20"):
        found[f"rocksalt {command}, CPU s in all"] = _least_of_command(command, path)
    return found


def _least_of_command(command: str, path: Path, repeats: int = 3) -> float:
    """Return the least CPU time of a command, its imports included, in seconds."""
    arguments = [sys.executable, "-m", "rocksalt.workflows.cli", *command.split()]
    times = []
    for _ in range(repeats):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([*arguments, "--store", str(path)], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(times)


PARTS = {"plan": measure_plan, "store": measure_store}


def _in_a_process(part: str, size: int, cap_s: float) -> dict[str, float]:
    command = [sys.executable, __file__, "--part", part, "--sizes", str(size)]
    command += ["--cap-s", str(cap_s)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(answer.stdout.splitlines()[-1])


def _table(title: str, columns: list[dict[str, float]]) -> Table:
    table = Table(title=title)
    table.add_column("")
    for column in columns:
        table.add_column(f"{column['calculations']:.0f}", justify="right")
    for row in columns[0]:
        if row != "calculations":
            cells = (column[row] for column in columns)
            table.add_row(row, *(f"{c:.0f}" if c >= 100 else f"{c:.3g}" for c in cells))
    return table


def main(argv: list[str] | None = None) -> None:
    """Measure each size and print one table for each part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--cap-s", type=float, default=120.0, help="CPU seconds of one part")
    parser.add_argument("--part", choices=PARTS, help="measure this one and print it as JSON")
    parser.add_argument("--file", type=Path, help="ask of this file, filled before, and no more")
    args = parser.parse_args(argv)
    if args.file:
        Console(width=100).print(_table(f"store {args.file.name}", [ask(args.file)]))
        return
    if args.part:
        print(json.dumps(PARTS[args.part](args.sizes[0], args.cap_s)))
        return
    for part in PARTS:
        columns = [_in_a_process(part, size, args.cap_s) for size in args.sizes]
        Console(width=100).print(_table(f"{part}, by number of calculations", columns))


if __name__ == "__main__":
    main()
