"""Time and memory of a two-phase map of a full TXM stack, read from a file as the analysis reads it.

The stack is synthetic: a disc of two phases behind noise of 1000 counts per pixel and energy. The last
columns are the errors of the map against the phases put in.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from rocksalt.analysis.phase_map import deactivated_share, depth_profile, fit_phases, thick_enough
from rocksalt.analysis.quantities import Array
from rocksalt.analysis.readers.xas import read_stack

_COLUMNS = (
    "pixels",
    "energies",
    "CPU s",
    "CPU s, masks\nand profile",
    "peak GB",
    "rms error",
    "bias",
)
_COUNTS = 1000


def synthetic_references(number: int) -> tuple[Array, Array]:
    """Return two edges, the second shifted down by 1.5 eV with a lower white line."""
    energy = np.linspace(6519, 6619, number)

    def edge(at: float, top: float) -> Array:
        step = 0.5 + np.arctan((energy - at) / 2) / np.pi
        return 0.2 + step + top * np.exp(-(((energy - at - 6) / 4) ** 2))

    return edge(6551, 0.6), edge(6549.5, 0.4)


def write_stack(path: Path, side: int, number: int) -> Array:
    """Write a stack of I/I0 image by image and return the weight put in, NaN outside the disc."""
    pristine, cycled = synthetic_references(number)
    rows, columns = np.indices((side, side), dtype=np.float32)
    radius = np.hypot(rows - side / 2, columns - side / 2) / (0.45 * side)
    inside = radius < 1
    amount = np.where(inside, 0.4 + 0.6 * np.sqrt(np.maximum(1 - radius**2, 0)), 0)
    weight = np.clip(radius**2, 0, 1)
    rng = np.random.default_rng(0)
    stack = np.lib.format.open_memmap(path, "w+", np.float32, (number, side, side))
    for i in range(number):
        depth = amount * ((1 - weight) * pristine[i] + weight * cycled[i])
        stack[i] = np.maximum(rng.normal(np.exp(-depth), np.sqrt(np.exp(-depth) / _COUNTS)), 1e-3)
    stack.flush()
    return np.where(inside, weight, np.nan)


def _row(side: int, number: int, folder: Path) -> list[str]:
    path = folder / "stack.npy"
    truth = write_stack(path, side, number)
    begun = time.process_time()
    phases = fit_phases(read_stack(path), *synthetic_references(number))
    fitted = time.process_time()
    mask = thick_enough(phases, 0.2)
    deactivated_share(phases, mask)
    depth_profile(phases, mask, 30.0)
    ended = time.process_time()
    unit = 1e9 if sys.platform == "darwin" else 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    error = (phases.weight - truth)[mask & np.isfinite(truth)]
    cells = (f"{fitted - begun:.1f}", f"{ended - fitted:.1f}", f"{peak:.2f}")
    return [
        f"{side}²",
        f"{number}",
        *cells,
        f"{np.sqrt((error**2).mean()):.3f}",
        f"{error.mean():.4f}",
    ]


def main(argv: list[str] | None = None) -> None:
    """Run the benchmark and print one row for each size, the smallest first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", type=int, nargs="+", default=[256, 1024])
    parser.add_argument("--energies", type=int, default=101)
    args = parser.parse_args(argv)
    table = Table(title="Two-phase maps")
    for heading in _COLUMNS:
        table.add_column(heading, justify="right")
    with tempfile.TemporaryDirectory() as folder:
        for side in sorted(args.sides):
            table.add_row(*_row(side, args.energies, Path(folder)))
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
