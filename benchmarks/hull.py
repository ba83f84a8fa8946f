"""Compare the hull with pymatgen's on synthetic systems of four elements.

Both get the same entries in the same run, one after the other, and give the distance of every entry
and the phases that it falls apart into; pymatgen finds the one by way of the other. The last column is the whole command `rocksalt hull` with a
JSON file, start of Python and reading included.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition
from rich.console import Console
from rich.table import Table

from rocksalt.screening.hull import HullEntry, make_hull

_ELEMENTS = ("Li", "Mn", "O", "Ti")
_COLUMNS = (
    "entries",
    "facets",
    "hull and\ndistances",
    "all decom-\npositions",
    "pymatgen:\nboth",
    "ratio to\ndistances",
    "ratio\nto both",
    "largest dif-\nference, eV",
    "rocksalt\nhull",
)


def synthetic_entries(number: int, seed: int = 0) -> list[HullEntry]:
    """Return the elements and compounds of two to four of them, with random formation energies."""
    rng = np.random.default_rng(seed)
    entries = [HullEntry(e, {e: 1.0}, -3.0 - i, "synthetic") for i, e in enumerate(_ELEMENTS)]
    while len(entries) < number:
        amounts = rng.integers(0, 13, 4) * (rng.random(4) < 0.8)
        if np.count_nonzero(amounts) < 2:
            continue
        fractions = amounts / amounts.sum()
        formation = -2 * (1 - (fractions**2).sum()) * rng.beta(2, 2)
        energy = formation - fractions @ np.arange(3, 7)
        named = {e: float(n) for e, n in zip(_ELEMENTS, amounts, strict=True) if n}
        name = f"c-{len(entries)}"
        entries.append(HullEntry(name, named, float(energy * amounts.sum()), "synthetic"))
    return entries


def _cpu_s(action: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Return the shortest of several times and the result."""
    times = []
    for _ in range(repeats):
        begun = time.process_time()
        result = action()
        times.append(time.process_time() - begun)
    return min(times), result


def _pymatgen_distances(entries: Sequence[PDEntry]) -> list[float]:
    diagram = PhaseDiagram(entries)
    return [diagram.get_decomp_and_e_above_hull(entry)[1] for entry in entries]


def _command_cpu_s(entries: Sequence[HullEntry], folder: Path) -> float:
    file = folder / "entries.json"
    records = [
        {"entry_id": e.entry_id, "energy": e.energy_ev, "composition": dict(e.amounts)}
        for e in entries
    ]
    file.write_text(json.dumps(records), encoding="utf-8")
    before = os.times()
    command = [sys.executable, "-m", "rocksalt.workflows.cli", "hull", str(file), "--format=json"]
    done = subprocess.run(command, check=True, capture_output=True)
    after = os.times()
    if json.loads(done.stdout)["counts"]["in_hull"] != len(entries):
        raise RuntimeError("the command lost entries")
    return after.children_user + after.children_system - before[2] - before[3]


def _row(number: int, folder: Path, with_pymatgen: bool) -> list[str]:
    entries = synthetic_entries(number)
    theirs = [PDEntry(Composition(e.amounts), e.energy_ev) for e in entries]
    ours_s, hull = _cpu_s(lambda: make_hull(entries), 3)
    parts_s, _ = _cpu_s(lambda: [hull.decomposition(e.amounts) for e in entries], 1)
    cells = [f"{number}", f"{len(hull.vertices)}", f"{ours_s:.3f}", f"{parts_s:.2f}"]
    if with_pymatgen:
        their_s, above = _cpu_s(lambda: _pymatgen_distances(theirs), 1)
        largest = np.abs(hull.e_above_hull_ev_per_atom - above).max()
        ratios = (their_s / ours_s, their_s / (ours_s + parts_s))
        cells += [f"{their_s:.2f}", *(f"{ratio:.1f}" for ratio in ratios), f"{largest:.0e}"]
    else:
        cells += ["–"] * 4
    return [*cells, f"{_command_cpu_s(entries, folder):.1f}"]


def main(argv: list[str] | None = None) -> None:
    """Run the benchmark and print one row for each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--pymatgen-up-to", type=int, default=1000, metavar="N")
    args = parser.parse_args(argv)
    table = Table(title="Hulls of four elements: CPU seconds")
    for heading in _COLUMNS:
        table.add_column(heading, justify="right")
    with tempfile.TemporaryDirectory() as folder:
        for size in args.sizes:
            table.add_row(*_row(size, Path(folder), size <= args.pymatgen_up_to))
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
