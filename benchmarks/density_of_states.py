"""Convergence of shares of O 2p and metal d below the edge: a campaign's settings against tighter ones.

The cells of the stage `electronic-structure` are computed twice: as the campaign says, and with a larger
cutoff, denser k-meshes and narrower levels. The cells are the same, so that what differs is the density
of states alone. What has been computed is kept in a file, and not computed again.

    python benchmarks/density_of_states.py
    python benchmarks/density_of_states.py --store results.sqlite --cells Li4Mn2O6
"""

from __future__ import annotations

import argparse
import json
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rocksalt.workflows.calculate import calculate
from rocksalt.workflows.campaign import load_campaign
from rocksalt.workflows.dft.gpaw_parameters import PROTOCOLS
from rocksalt.workflows.electronic_structure import electronic_structure_calculations
from rocksalt.workflows.threads import limit_threads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rocksalt.stores.calculation_documents import CalculationDoc
    from rocksalt.workflows.calculation import Calculation

CAMPAIGN = Path(__file__).parent.parent / "examples" / "electronic_structure_gpaw.yaml"


@dataclass(frozen=True)
class Settings:
    """What is changed: cutoff (eV), k-points of field and states (per 1/angstrom), width (eV)."""

    cutoff_ev: float
    field_k_density: float
    k_density: float
    width_ev: float


TIGHTER = Settings(cutoff_ev=600.0, field_k_density=3.0, k_density=3.5, width_ev=0.025)


@contextmanager
def protocol(name: str, settings: Settings) -> Iterator[None]:
    """Let one of GPAW's protocols have other settings inside the block."""
    usual = PROTOCOLS[name]
    density = {**usual.k_density, "oxide": settings.field_k_density}
    PROTOCOLS[name] = replace(usual, cutoff_ev=settings.cutoff_ev, k_density=density)
    try:
        yield
    finally:
        PROTOCOLS[name] = usual


def tighter(calculation: Calculation, settings: Settings) -> CalculationDoc:
    """Compute a calculation with other settings."""
    changes = {"k_density": settings.k_density, "width_ev": settings.width_ev}
    assert calculation.density_of_states is not None
    other = calculation.density_of_states.model_copy(update=changes)
    name = calculation.engine.partition(":")[2]
    with protocol(name, settings):
        return calculate(calculation.model_copy(update={"density_of_states": other}))


def numbers(document: CalculationDoc) -> dict[str, Any]:
    """Return what is compared; the calculation must have ended well."""
    found = document.density_of_states
    if found is None:
        raise SystemExit(f"{document.label}: {document.error}")
    return {
        "share": found.shares["O-p"],
        "gap_ev": found.band_gap_ev,
        "reference": found.reference,
        "moments_mu_b": (found.moments_mu_b or {}).get("Mn"),
        "cutoff_ev": document.method.get("cutoff_ev"),
        "field_mesh": document.method.get("k_mesh"),
        "mesh": found.k_mesh,
        "n_k_points": found.n_k_points,
        "width_ev": found.width_ev,
        "max_force": document.max_force_ev_per_angstrom,
        "cpu_s": document.cpu_s,
    }


def stored(store: Path, calculations: list[Calculation]) -> dict[str, dict[str, Any]]:
    """Return what a store of the campaign holds, by name of the cell."""
    from rocksalt.stores.calculation_documents import CalculationDoc
    from rocksalt.stores.opening import open_store
    from rocksalt.stores.records import load_document

    opened = open_store(str(store), must_exist=True)
    outputs = {c.prototype: load_document(opened, c.key) for c in calculations}
    opened.close()
    return {
        name: numbers(CalculationDoc.model_validate(output))
        for name, output in outputs.items()
        if output
    }


def main() -> None:
    """Compute what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--campaign", type=Path, default=CAMPAIGN)
    parser.add_argument("--store", type=Path, help="of the campaign, where it has been run")
    parser.add_argument("--cells", nargs="+", help="names of cells; all when left out")
    parser.add_argument("--results", type=Path, default=Path("density_of_states.json"))
    asked = parser.parse_args()
    limit_threads()
    calculations, _ = electronic_structure_calculations(load_campaign(asked.campaign))
    calculations = [c for c in calculations if not asked.cells or c.prototype in asked.cells]
    known: dict[str, dict[str, Any]] = {"default": {}, "tighter": {}}
    if asked.results.is_file():
        known |= json.loads(asked.results.read_text())
    if asked.store:
        known["default"] |= stored(asked.store, calculations)
    for calculation in calculations:
        cell = calculation.prototype
        if cell not in known["default"]:
            known["default"][cell] = numbers(calculate(calculation))
        if cell not in known["tighter"]:
            known["tighter"][cell] = numbers(tighter(calculation, TIGHTER))
        asked.results.write_text(json.dumps(known, indent=1))
        pair = [known[kind][cell] for kind in ("default", "tighter")]
        for kind, n in zip(("default", "tighter"), pair, strict=True):
            gap = "metal" if n["reference"] == "fermi-level" else f"{n['gap_ev']:.2f}"
            print(
                f"{cell:28}{kind:9}O 2p {n['share']:.4f}  gap {gap:>6}  {n['cutoff_ev']:.0f} eV  "
                f"{n['field_mesh']} {n['mesh']} ({n['n_k_points']})  {n['width_ev']} eV  "
                f"{n['cpu_s']:.0f} CPU s"
            )
        print(f"{cell:28}{'change':9}{pair[1]['share'] - pair[0]['share']:+.4f}", flush=True)


if __name__ == "__main__":
    main()
