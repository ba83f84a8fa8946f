"""The stage `electronic-structure`: which cells get a density of states, and what follows from them."""

from __future__ import annotations

from collections.abc import Iterator

from pymatgen.core import Composition, Structure

from rocksalt.screening.lithium import delithiated, layered_cell, series
from rocksalt.stores.electronic_documents import (
    ElectronicStructureDoc,
    ElectronicStructurePoint,
)
from rocksalt.stores.records import Summary
from rocksalt.workflows.calculation import Calculation
from rocksalt.workflows.campaign import Campaign
from rocksalt.workflows.plan_stages import cell_fingerprint
from rocksalt.workflows.results import Results

REMOVED_SHARES = (0.25, 0.5)
"""Of all lithium: Li1.5MO3 and LiMO3."""

ROLE = "density-of-states"


def electronic_structure_calculations(
    campaign: Campaign,
) -> tuple[list[Calculation], list[str]]:
    """Return the densities of states of a campaign, and what is left out, in words.

    Of Li2HO3, of what is left when a quarter and half of its lithium are removed from the lithium
    layers, and of the lithium-deficient series, whose most numerous arrangement of each composition
    stands for it.

    Notes
    -----
    Each cell is relaxed before with the engine that `Campaign.density_of_states_settings` names, and
    keeps the symmetry of its arrangement: no rattle, which saves k-points. A distortion that would
    break that symmetry is not found.
    """
    still = {"rattle_angstrom": 0.0, "rattle_strain": 0.0}
    relaxation = campaign.relaxation_settings().model_copy(update=still)
    found: list[Calculation] = []
    notes: list[str] = []
    for engine in campaign.electronic_engines:
        dft = campaign.dft_settings(engine)
        too_large = []
        for cell, change, name in _cells(campaign):
            if dft is not None and dft.max_atoms is not None and len(cell) > dft.max_atoms:
                too_large.append(f"{name} ({len(cell)})")
                continue
            found.append(
                Calculation(
                    role=ROLE,
                    label=f"density of states of {name}",
                    engine=engine,
                    structure=cell,
                    fingerprint=cell_fingerprint(cell),
                    prototype=name,
                    relaxation=relaxation,
                    dft=dft,
                    density_of_states=campaign.density_of_states_settings(engine),
                    details={
                        "host": campaign.layered_host,
                        "change": change,
                        "n_layer_lithium": campaign.electronic_structure.cell,
                        "lithium_per_oxygen": float(cell.composition["Li"] / cell.composition["O"]),
                    },
                )
            )
        if too_large:
            assert dft is not None
            notes.append(
                f"{len(too_large)} cells of more than {dft.max_atoms} atoms get no density of states "
                f"with {engine}: {', '.join(too_large)}"
            )
    return found, notes


def _cells(campaign: Campaign) -> Iterator[tuple[Structure, str, str]]:
    """Yield every cell, what became of its lithium, and its name."""
    host, size = campaign.layered_host, campaign.electronic_structure.cell
    pristine = layered_cell(host, size)
    yield pristine, "none", _formula(pristine)
    for share in REMOVED_SHARES:
        poor = delithiated(pristine, round(share * pristine.composition["Li"]))
        yield poor, "removed", f"{_formula(poor)}, Li removed"
    for member in series(host, size, max_arrangements=1):
        if member.n_replaced:
            yield member.structure, "replaced", f"{member.name}, Li replaced"


def _formula(cell: Structure) -> str:
    """Return the formula of a whole cell, lithium first."""
    amounts = cell.composition
    order = ["Li", *sorted(e.symbol for e in amounts if e.symbol not in {"Li", "O"}), "O"]
    return "".join(f"{symbol}{round(amounts[symbol])}" for symbol in order)


def electronic_structure_docs(campaign: Campaign, results: Results) -> list[ElectronicStructureDoc]:
    """Return shares against lithium content, a document per engine; none without that stage."""
    documents = []
    host = campaign.layered_host
    for engine in campaign.electronic_engines:
        settings = campaign.density_of_states_settings(engine)
        done = [
            s
            for s in results.of_role(engine, ROLE)
            if s.details.get("host") == host and s.density_of_states is not None
        ]
        missing = [
            f"{s.label}: {s.error or 'no density of states'}"
            for s in results.failed
            if s.role == ROLE and s.engine == engine
        ]
        if not done and not missing:
            missing.append(f"densities of states of Li2{host}O3 with {engine}")
        points = [_point(s, host) for s in done]
        documents.append(
            ElectronicStructureDoc(
                host=host,
                engine=engine,
                window_ev=settings.window_ev,
                width_ev=settings.width_ev,
                projection=next(
                    (s.density_of_states.projection for s in done if s.density_of_states), None
                ),
                points=sorted(
                    points, key=lambda p: (-p.lithium_per_oxygen, p.change, p.arrangement)
                ),
                missing=missing,
            )
        )
    return documents


def _point(summary: Summary, host: str) -> ElectronicStructurePoint:
    found = summary.density_of_states
    assert found is not None
    return ElectronicStructurePoint(
        key=summary.key,
        formula=Composition(summary.composition_reduced).reduced_formula,
        change=summary.details["change"],
        arrangement=summary.prototype,
        n_atoms=summary.nsites,
        lithium_per_oxygen=summary.details["lithium_per_oxygen"],
        oxygen_share=found.shares["O-p"],
        metal_share=found.shares[f"{host}-d"],
        reference=found.reference,
        is_metal=found.is_metal,
        band_gap_ev=found.band_gap_ev,
        states=found.states,
        states_total=found.states_total,
        k_mesh=found.k_mesh,
        geometry=found.geometry,
        metal_moments_mu_b=None if found.moments_mu_b is None else found.moments_mu_b[host],
        total_moment_mu_b=None
        if found.moments_mu_b is None
        else sum(sum(moments) for moments in found.moments_mu_b.values()),
        max_force_ev_per_angstrom=summary.max_force_ev_per_angstrom,
        warnings=summary.warnings,
    )
