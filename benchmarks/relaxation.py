"""CPU time of one relaxation: atomate2's force-field job against `relax`, same potential.

Both start from the same rattled cells and stop at the same criterion (no filter force above
fmax). atomate2 runs as its users run it: one job per structure through jobflow, FIRE in a
Frechet cell filter. The two alternate, each in a process of its own with one thread.

    python benchmarks/relaxation.py --engine chgnet
    python benchmarks/relaxation.py --engine sevennet-0 --cells 12
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import os
import tempfile
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.spacegroup import crystal
from pymatgen.io.ase import AseAtomsAdaptor

from rocksalt.workflows.chgnet import chgnet_calculator
from rocksalt.workflows.relaxer import RelaxationSettings, rattled, relax
from rocksalt.workflows.sevennet import sevennet_calculator
from rocksalt.workflows.threads import limit_threads

FORCE_FIELDS = {"chgnet": "CHGNet", "sevennet-0": "SevenNet"}

# Rock-salt oxides: lattice constant of the cubic cell, angstrom (rounded; only a start).
LATTICE = {
    "Co": 4.26, "Cr": 4.30, "Cu": 4.25, "Fe": 4.33, "Mg": 4.21, "Mn": 4.44, "Nb": 4.30,
    "Ni": 4.18, "Ti": 4.25, "V": 4.20, "Zn": 4.28, "Zr": 4.55,
}  # fmt: skip
# Host, dopant, cations replaced, repeats of the primitive cell.
ROCK_SALT = (
    ("Mn", "Ti", 1, (2, 2, 2)),
    ("Ni", "V", 2, (2, 2, 2)),
    ("Co", "Cr", 4, (2, 2, 2)),
    ("Mn", "Fe", 1, (2, 2, 1)),
    ("Ni", "Cu", 2, (2, 2, 2)),
    ("Mn", "Nb", 2, (2, 2, 1)),
    ("Co", "Mg", 3, (2, 2, 2)),
    ("Mn", "Zr", 2, (2, 2, 2)),
    ("Ni", "Ti", 1, (2, 2, 1)),
    ("Mn", "Ni", 4, (2, 2, 2)),
    ("Co", "Zn", 1, (2, 2, 2)),
    ("Ni", "Nb", 1, (3, 2, 2)),
    ("Mn", "Cr", 8, (2, 2, 4)),
    ("Mn", "V", 3, (3, 2, 2)),
    ("Ni", "Zr", 2, (2, 2, 4)),
    ("Mn", "Cu", 8, (4, 4, 2)),
)


def cells() -> list[tuple[str, Atoms]]:
    """Return the named structures, before the rattle: 8 to 64 atoms, the small ones first."""
    found = [_rock_salt(i, *row) for i, row in enumerate(ROCK_SALT)]
    spinel = crystal(
        ["Mg", "Al", "O"], [(1 / 8,) * 3, (1 / 2,) * 3, (0.262,) * 3], spacegroup=227, setting=2,
        cellpar=[8.1] * 3 + [90] * 3, primitive_cell=True,
    )  # fmt: skip
    layered = crystal(
        ["Li", "Co", "O"], [(0, 0, 0.5), (0, 0, 0), (0, 0, 0.24)], spacegroup=166,
        cellpar=[2.85, 2.85, 14.1, 90, 90, 120],
    )  # fmt: skip
    rutile = crystal(
        ["Ti", "O"], [(0, 0, 0), (0.305, 0.305, 0)], spacegroup=136,
        cellpar=[4.6, 4.6, 2.96, 90, 90, 90],
    ) * (1, 1, 2)  # fmt: skip
    perovskite = crystal(
        ["Sr", "Ti", "O"], [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0)], spacegroup=221,
        cellpar=[3.95] * 3 + [90] * 3,
    ) * (2, 1, 1)  # fmt: skip
    corundum = crystal(
        ["Cr", "O"], [(0, 0, 0.348), (0.306, 0, 0.25)], spacegroup=167,
        cellpar=[4.96, 4.96, 13.6, 90, 90, 120], primitive_cell=True,
    )  # fmt: skip
    others = {"spinel": spinel, "layered": layered, "rutile": rutile, "perovskite": perovskite}
    others["corundum"] = corundum
    for name, atoms in others.items():
        found.append((f"{atoms.get_chemical_formula()} {name}", Atoms(atoms)))
    return sorted(found, key=lambda named: len(named[1]))


def _rock_salt(
    seed: int, host: str, dopant: str, n: int, repeat: tuple[int, int, int]
) -> tuple[str, Atoms]:
    n_cations = int(np.prod(repeat))
    a = ((n_cations - n) * LATTICE[host] + n * LATTICE[dopant]) / n_cations
    atoms = bulk(f"{host}O", "rocksalt", a=a) * repeat
    sites = np.random.default_rng(seed).permutation(np.flatnonzero(atoms.symbols == host))[:n]
    atoms.symbols[sites] = dopant
    return f"{atoms.get_chemical_formula()} rock salt", atoms


def with_atomate2(engine: str, atoms: Atoms, fmax: float) -> tuple[float, int]:
    """Return total energy, eV, and number of steps of one force-field job."""
    from atomate2.forcefields.jobs import ForceFieldRelaxMaker
    from jobflow import JobStore, run_locally
    from maggma.stores import MemoryStore

    maker = ForceFieldRelaxMaker(
        force_field_name=FORCE_FIELDS[engine], relax_kwargs={"fmax": fmax}, steps=2000
    )
    job = maker.make(AseAtomsAdaptor.get_structure(atoms))
    store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    responses = run_locally(job, store=store, log=False, ensure_success=True)
    document = responses[job.uuid][1].output
    return document.output.energy, document.output.n_steps


def with_rocksalt(engine: str, atoms: Atoms, fmax: float) -> tuple[float, int, int]:
    """Return total energy, eV, number of evaluations and of fall-backs of `relax`."""
    result = relax(
        atoms,
        _calculator(engine),
        RelaxationSettings(fmax=fmax, rattle_angstrom=0.0, rattle_strain=0.0),
    )
    return result.energy_ev, result.n_evaluations, result.n_fallbacks


def _calculator(engine: str) -> Calculator:
    return chgnet_calculator() if engine == "chgnet" else sevennet_calculator("7net-0")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", choices=sorted(FORCE_FIELDS), default="chgnet")
    parser.add_argument("--cells", type=int, help="how many, the smallest first (default: all)")
    parser.add_argument("--holding", nargs="+", help="only cells with one of these elements")
    parser.add_argument("--fmax", type=float, default=0.02, help="eV/angstrom")
    chosen = parser.parse_args(argv)

    structures = [
        (name, atoms)
        for name, atoms in cells()
        if not chosen.holding or {*chosen.holding} & {*atoms.get_chemical_symbols()}
    ]
    with tempfile.TemporaryDirectory() as scratch, _process(scratch) as a, _process(scratch) as b:
        _compare(chosen.engine, structures[: chosen.cells], chosen.fmax, a, b)


def _process(folder: str) -> ProcessPoolExecutor:
    """Return a process that lasts: what one of the two sets in it does not reach the other."""
    return ProcessPoolExecutor(
        1, mp_context=get_context("spawn"), initializer=_begin, initargs=(folder,)
    )


def _begin(folder: str) -> None:
    limit_threads(1)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    os.chdir(folder)


def _compare(
    engine: str,
    structures: list[tuple[str, Atoms]],
    fmax: float,
    their_process: ProcessPoolExecutor,
    our_process: ProcessPoolExecutor,
) -> None:
    def atomate2(atoms: Atoms) -> tuple[tuple[float, int], float]:
        return their_process.submit(_timed, with_atomate2, engine, atoms, fmax).result()

    def rocksalt(atoms: Atoms) -> tuple[tuple[float, int, int], float]:
        return our_process.submit(_timed, with_rocksalt, engine, atoms, fmax).result()

    tiny = rattled(bulk("MgO", "rocksalt", a=4.21), RelaxationSettings())
    atomate2(tiny)  # imports and caches
    rocksalt(tiny)

    print(f"{engine}, fmax {fmax} eV/angstrom, CPU seconds at one thread")
    print(f"{'':28}atoms |  atomate2 steps |  rocksalt evals | ratio  dE meV/atom")
    seconds, differences, fallbacks = [], [], 0
    for name, atoms in structures:
        start = rattled(atoms, RelaxationSettings())
        (theirs, steps), their_s = atomate2(start)
        (ours, evaluations, fallback), our_s = rocksalt(start)
        seconds.append((their_s, our_s))
        differences.append(1000 * (ours - theirs) / len(atoms))
        fallbacks += fallback
        print(
            f"{name:28}{len(atoms):5} | {their_s:9.2f} {steps:5} | {our_s:9.2f} {evaluations:5} "
            f"| {their_s / our_s:5.1f}  {differences[-1]:+.2f}",
            flush=True,
        )
    their_seconds, our_seconds = np.array(seconds).T
    print(
        f"{len(seconds)} cells: {their_seconds.sum():.1f} s against {our_seconds.sum():.1f} s, "
        f"ratio {their_seconds.sum() / our_seconds.sum():.1f} in total, "
        f"{np.median(their_seconds / our_seconds):.1f} in the median; "
        f"rocksalt ends at most {max(differences):+.2f} meV/atom above atomate2; "
        f"{fallbacks} fall-backs"
    )


def _timed(run, engine: str, atoms: Atoms, fmax: float):
    started = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        result = run(engine, atoms, fmax)
    return result, time.process_time() - started


if __name__ == "__main__":
    main()
