"""Shares of oxygen and metal below the edge as a table for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from rocksalt.stores.electronic_documents import ElectronicStructureDoc, ElectronicStructurePoint

LITHIUM = {"none": "", "removed": "removed", "replaced": "replaced"}
EDGES = {"highest-occupied": "highest occ.", "fermi-level": "Fermi level"}


def electronic_table(documents: Sequence[ElectronicStructureDoc]) -> RenderableType:
    """Return shares, edge, gap and moments of every cell, most lithium first, with a legend."""
    from rocksalt.workflows.tables import plain_table

    host = documents[0].host
    parts: list[RenderableType] = [Text("")]
    for document in documents:
        table = plain_table()
        table.add_column("formula", no_wrap=True)
        table.add_column("Li", no_wrap=True)
        for heading in ("Li/O", "O 2p", f"{host} d"):
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("below the", no_wrap=True)
        table.add_column("gap\neV", justify="right", no_wrap=True)
        table.add_column(f"{host} moment\nmu_B", justify="right", no_wrap=True)
        for point in document.points:
            table.add_row(
                point.formula,
                LITHIUM[point.change],
                f"{point.lithium_per_oxygen:.3f}",
                f"{point.oxygen_share:.3f}",
                f"{point.metal_share:.3f}",
                EDGES[point.reference],
                "metal" if point.is_metal else _number(point.band_gap_ev),
                moments_text(point) or "–",
            )
        relaxed = ", ".join(dict.fromkeys(p.geometry or "nothing" for p in document.points))
        legend = (
            f"{document.engine}: shares of O 2p and {host} d in the occupied states within "
            f"{document.window_ev:g} eV below the edge; cells relaxed with {relaxed}{_forces(document)}. "
            f"Li replaced: by {host} in the metal's layers."
        )
        parts += [table, Text(legend, style="dim")]
        parts += [Text(f"not computed: {why}", style="dim") for why in document.missing]
    return Group(*parts)


def _forces(document: ElectronicStructureDoc) -> str:
    """Return how far from rest the cells are with the engine of the states."""
    forces = [p.max_force_ev_per_angstrom for p in document.points]
    known = [force for force in forces if force is not None]
    if not known:
        return ""
    return f", where this engine finds forces of up to {max(known):.2f} eV/Å"


def moments_text(point: ElectronicStructurePoint) -> str | None:
    """Return the moments of the metal, as a range where they differ."""
    moments = point.metal_moments_mu_b
    if not moments:
        return None
    low, high = f"{moments[0]:.2f}", f"{moments[-1]:.2f}"
    return low if low == high else f"{low} to {high}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
