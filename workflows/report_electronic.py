"""The report's section on the electronic structure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from rocksalt.stores.documents import RankingDoc
from rocksalt.stores.electronic_documents import DensityOfStates, ElectronicStructureDoc
from rocksalt.workflows.electronic_figures import density_panels, oxygen_shares
from rocksalt.workflows.electronic_table import moments_text
from rocksalt.workflows.formulas import formula_html
from rocksalt.workflows.html import ABSENT, figure_element, plain_cell, slug, table

EDGES = {"highest-occupied": "highest occupied level", "fermi-level": "Fermi level"}
CHANGES = {"none": "", "removed": "removed", "replaced": "replaced by {host}"}


def electronic_section(
    ranking: RankingDoc,
    documents: Sequence[ElectronicStructureDoc],
    curves: Mapping[str, DensityOfStates],
) -> str:
    """Return shares against lithium content, densities of states, and the numbers.

    Parameters
    ----------
    ranking
        Gives the order of engines.
    documents
        Of one host, one per engine.
    curves
        Densities with their curves, by key of the calculation.
    """
    first = documents[0]
    host = escape(first.host)
    parts = [
        (
            f'<p class="lead">Whose states are oxidised first when lithium leaves Li<sub>2</sub>{host}'
            f"O<sub>3</sub>: O 2p and {host} d among the occupied states within {first.window_ev:g} eV "
            "below the edge. The edge is the highest occupied level of an insulator, whose Fermi level "
            "lies anywhere in the gap, and the Fermi level of a metal.</p>"
        ),
        figure_element(
            oxygen_shares(documents, engines=list(ranking.engines)),
            "oxygen-shares",
            "Share of O 2p in the states below the edge, and band gap, against lithium per oxygen; the "
            "numbers are in the table",
            f"Share of O 2p among O 2p and {host} d in the occupied states within {first.window_ev:g} eV "
            "below the edge: the highest occupied level (filled points), or the Fermi level of a metal "
            f"(hollow). Levels are broadened by {1000 * first.width_ev:g} meV.",
        ),
    ]
    for document in documents:
        if any(curves.get(p.key) and curves[p.key].arrays for p in document.points):
            parts.append(
                figure_element(
                    density_panels(document, curves),
                    f"densities-{slug(document.engine)}",
                    f"Densities of states on O 2p and {document.host} d, a panel per cell, "
                    f"{document.engine}",
                    f"Densities of states with {escape(document.engine)}, energies from the edge; the "
                    "window is shaded.",
                )
            )
    parts.append(_table(documents))
    said = dict.fromkeys(d.projection for d in documents if d.projection)
    parts += [f'<p class="lead">Projection: {escape(text)}.</p>' for text in said]
    return "\n".join(parts)


def missing_densities(documents: Sequence[ElectronicStructureDoc]) -> list[tuple[str, str]]:
    """Return what the documents say was not computed, and why."""
    return [
        (f"electronic structure of {d.host}, {d.engine}", why)
        for d in documents
        for why in d.missing
    ]


def _table(documents: Sequence[ElectronicStructureDoc]) -> str:
    host = documents[0].host
    rows = [
        (
            formula_html(point.formula),
            escape(CHANGES[point.change].format(host=document.host)),
            escape(document.engine),
            f"{point.lithium_per_oxygen:.3f}",
            f"{point.oxygen_share:.3f}",
            f"{point.metal_share:.3f}",
            EDGES[point.reference],
            "metal" if point.is_metal else plain_cell(point.band_gap_ev, 2),
            escape(moments_text(point) or "") or ABSENT,
            " × ".join(map(str, point.k_mesh)),
            escape(point.geometry or "as given"),
            plain_cell(point.max_force_ev_per_angstrom, 2),
        )
        for document in documents
        for point in document.points
    ]
    headings = (
        "Formula",
        "Lithium",
        "Engine",
        "Li per O",
        "Share of O 2p",
        f"Share of {escape(host)} d",
        "Below the",
        "Band gap<small>eV</small>",
        f"Moment of {escape(host)}<small>μ<sub>B</sub></small>",
        "k-mesh",
        "Cell relaxed with",
        "Largest force there<small>eV/Å, this engine</small>",
    )
    caption = f"Occupied states within {documents[0].window_ev:g} eV below the edge"
    return table(caption, headings, rows, numbers={3, 4, 5, 7, 8, 11}, tight=True)
