"""Errors of GPAW's protocols: formation energies of rock salts, fast and balanced against precise.

Every protocol gets the same cells, with measured lattice parameters, ferromagnetic where there is a
moment: what differs is cutoff, k-mesh and convergence alone. A protocol's own relaxed cells
change energies in second order only. What has been computed is kept in a file, and not computed again.

    python benchmarks/dft_protocols.py
    python benchmarks/dft_protocols.py MnO RuO --protocols fast balanced --results protocols.json
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from pymatgen.core import Structure

from rocksalt.screening.prototypes import element_starts, oxygen_starts, rock_salt
from rocksalt.workflows.dft.gpaw import relax_dft
from rocksalt.workflows.dft.settings import DftSettings
from rocksalt.workflows.dft.task import DftTask
from rocksalt.workflows.relaxer import RelaxationSettings
from rocksalt.workflows.threads import limit_threads, one_thread

LATTICE_ANGSTROM = {"Mn": 4.445, "Ni": 4.177, "Ti": 4.18, "Ru": 4.5}
"""Of the rock salts; RuO, which nobody has made, as semilocal DFT gives it."""

PROTOCOLS = ("fast", "balanced", "precise")
STILL = RelaxationSettings(fmax=100.0, relax_cell=False, rattle_angstrom=0.0, rattle_strain=0.0)
"""Any force will do: the atoms stay where they are."""


def cell(what: str) -> Structure:
    """Return the cell of 'O2', of a metal ('Mn', as bcc where the ground state is large), or of 'MnO'."""
    if what == "O2":
        return oxygen_starts()[1].structure
    if what.endswith("O"):
        return rock_salt(what[:-1], LATTICE_ANGSTROM[what[:-1]])
    starts = [s.structure for s in element_starts(what)]
    return next(s for s in [starts[0], *reversed(starts)] if len(s) <= 2)


def compute(what: str, protocol: str) -> dict[str, float]:
    """Return energy per atom (eV), moment of the cell (mu_B) and CPU seconds of one cell."""
    is_oxide = what.endswith("O")
    with tempfile.TemporaryDirectory() as folder, one_thread():
        task = DftTask(
            structure=cell(what),
            relaxation=STILL,
            settings=DftSettings(),
            is_molecule=what == "O2",
            is_metal=what != "O2" and not is_oxide,
            directory=Path(folder),
        )
        result = relax_dft(task, protocol)
    return {
        "ev_per_atom": result.energy_ev / len(result.atoms),
        "moment_mu_b": result.method["total_moment_mu_b"],
        "cpu_s": result.cpu_s,
    }


def main() -> None:
    """Compute what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("oxides", nargs="*", default=["MnO", "NiO", "TiO", "RuO"])
    parser.add_argument("--protocols", nargs="+", choices=PROTOCOLS, default=PROTOCOLS)
    parser.add_argument("--results", type=Path, default=Path("dft_protocols.json"))
    asked = parser.parse_args()
    limit_threads()
    known = json.loads(asked.results.read_text()) if asked.results.is_file() else {}
    parts = ["O2", *(o.removesuffix("O") for o in asked.oxides), *asked.oxides]
    for protocol in asked.protocols:
        for what in parts:
            if f"{what} {protocol}" not in known:
                known[f"{what} {protocol}"] = compute(what, protocol)
                asked.results.write_text(json.dumps(known, indent=1))

    def formation(oxide: str, protocol: str) -> float:
        energy = {w: known[f"{w} {protocol}"]["ev_per_atom"] for w in (oxide, oxide[:-1], "O2")}
        return 2 * energy[oxide] - energy[oxide[:-1]] - energy["O2"]

    best = asked.protocols[-1]
    print(f"{'eV per formula unit':20}{best:>10}", end="")
    print("".join(f"{'d ' + p:>12}" for p in asked.protocols[:-1]))
    for oxide in asked.oxides:
        reference = formation(oxide, best)
        errors = [formation(oxide, p) - reference for p in asked.protocols[:-1]]
        print(f"{oxide:20}{reference:10.3f}" + "".join(f"{e:12.3f}" for e in errors))
    seconds = {p: sum(known[f"{w} {p}"]["cpu_s"] for w in parts) for p in asked.protocols}
    print("CPU s of these cells: " + ", ".join(f"{p} {s:.0f}" for p, s in seconds.items()))


if __name__ == "__main__":
    main()
