"""Calculations of the stages beyond the rock salt: competing phases, lithium, vacancies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pymatgen.core import Structure

from rocksalt.screening.elements import host_cations
from rocksalt.screening.identity import digest, structure_fingerprint
from rocksalt.screening.lithium import (
    SeriesMember,
    delithiated,
    doped,
    layered_cell,
    li_o_li_counts,
    series,
)
from rocksalt.screening.phases import competing_starts
from rocksalt.screening.prototypes import Start, element_starts, rock_salt_starts
from rocksalt.screening.vacancies import (
    DistinctSite,
    Preparation,
    StrainKind,
    distinct_near,
    distinct_oxygens,
    near_and_far,
)
from rocksalt.stores.documents import Role
from rocksalt.workflows.calculation import Calculation
from rocksalt.workflows.campaign import Campaign

STRAIN_KINDS: tuple[StrainKind, ...] = ("isotropic", "in-plane", "c-axis")


def chemical_systems(campaign: Campaign) -> list[tuple[str, ...]]:
    """Return the elements but oxygen of every hull of a campaign."""
    systems: list[tuple[str, ...]] = []
    if "hull" in campaign.stages:
        systems += [tuple(sorted({d, *host_cations(h)})) for d, h in campaign.pairs]
    if "lithium-deficient" in campaign.stages:
        host = campaign.layered_host
        systems.append(tuple(sorted(("Li", host))))
        systems += [tuple(sorted(("Li", host, d))) for d in layered_dopants(campaign)]
    return list(dict.fromkeys(systems))


def layered_dopants(campaign: Campaign) -> list[str]:
    """Return the dopants that can replace the metal of the layered oxide."""
    return [d for d in campaign.screened if d not in {campaign.layered_host, "Li"}]


def hull_calculations(
    campaign: Campaign, engine: str, system: tuple[str, ...]
) -> Iterator[Calculation]:
    """Yield the elements and competing oxides of a system that the rock-salt stage lacks."""
    for symbol in system:
        if symbol not in campaign.cations:
            for start in element_starts(symbol):
                yield from_start(campaign, engine, "element", start, f"{symbol} {start.prototype}")
        if symbol not in {*campaign.cations, "Li"}:
            for start in rock_salt_starts(symbol):
                label = f"{symbol}O {start.prototype}"
                yield from_start(campaign, engine, "competing-phase", start, label)
    for start in competing_starts(system):
        formula = start.structure.composition.reduced_formula
        yield from_start(campaign, engine, "competing-phase", start, f"{formula} {start.prototype}")


def user_calculations(
    campaign: Campaign, engine: str, structures: Iterable[tuple[str, Structure]]
) -> Iterator[Calculation]:
    """Yield the phases that a user brings, those that belong to a hull of the campaign."""
    systems = [{*system, "O"} for system in chemical_systems(campaign)]
    for name, structure in structures:
        if any({e.symbol for e in structure.composition} <= system for system in systems):
            start = Start(structure, name)
            formula = structure.composition.reduced_formula
            yield from_start(campaign, engine, "competing-phase", start, f"{formula} {name}")


def series_calculations(campaign: Campaign, engine: str) -> Iterator[Calculation]:
    """Yield the lithium-deficient series of the layered oxide, pure and with each dopant.

    Dopants replace one host atom of the pristine cell and of the one with half of the metal layer's
    lithium replaced.
    """
    host, size = campaign.layered_host, campaign.supercell.layered
    limit = None if campaign.orderings == "all" else campaign.orderings
    members = series(host, size, max_arrangements=limit)
    for member in members:
        yield _series_member(campaign, engine, member, member.structure, None)
    first = {n: next(m for m in members if m.n_replaced == n) for n in (0, size // 2)}
    for dopant in layered_dopants(campaign):
        for member in first.values():
            cell = doped(member.structure, dopant, host)
            yield _series_member(campaign, engine, member, cell, dopant)


def _series_member(
    campaign: Campaign, engine: str, member: SeriesMember, cell: Structure, dopant: str | None
) -> Calculation:
    name = f"{member.name} with {dopant}" if dopant else member.name
    counts = li_o_li_counts(cell)
    return Calculation(
        role="series",
        label=name,
        engine=engine,
        structure=cell,
        fingerprint=cell_fingerprint(cell),
        prototype=name,
        relaxation=campaign.relaxation_settings(),
        multiplicity=None if dopant else member.multiplicity,
        details={
            "host": campaign.layered_host,
            "dopant": dopant,
            "n": member.n_replaced,
            "n_layer_lithium": campaign.supercell.layered,
            "lithium_per_oxygen": member.lithium_per_oxygen,
            "li_o_li_per_oxygen": float(counts.mean()),
        },
    )


def vacancy_calculations(campaign: Campaign, engine: str) -> Iterator[Calculation]:
    """Yield the cells that lose an oxygen, each with and without it.

    Li2HO3 and Li1.5HO3 under every strain, a member of the lithium-deficient series and the doped
    cells without strain; the latter lose each kind of oxygen that
    the dopant binds, and of each kind of the undoped cell the farthest one.
    """
    host, size = campaign.layered_host, campaign.supercell.vacancy
    pristine = layered_cell(host, size)
    half = next(m for m in series(host, size, max_arrangements=1) if m.n_replaced == size // 2)
    poor = delithiated(pristine, round(pristine.composition["Li"] / 4))
    undoped = {
        f"Li2{host}O3": pristine,
        f"Li1.5{host}O3": poor,
        half.name.split()[0]: half.structure,
    }
    for name, cell in undoped.items():
        strained = cell is not half.structure
        oxygens = distinct_oxygens(cell)
        yield from _vacancies(campaign, engine, name, cell, oxygens, strained=strained)
    oxygens = distinct_oxygens(pristine)
    for dopant in layered_dopants(campaign):
        cell, name = doped(pristine, dopant, host), f"Li2{host}O3 with {dopant}"
        yield from _vacancies(campaign, engine, name, cell, oxygens, dopant=dopant)


def _vacancies(
    campaign: Campaign,
    engine: str,
    name: str,
    cell: Structure,
    oxygens: list[DistinctSite],
    *,
    strained: bool = False,
    dopant: str | None = None,
) -> Iterator[Calculation]:
    fingerprint = cell_fingerprint(cell)
    sites: list[tuple[int | None, str, int]] = [(None, "no vacancy", 1)]
    if dopant:
        near = distinct_near(cell, dopant)
        sites += [
            (o.index, f"O {o.wyckoff} no. {o.index} near {dopant}", o.multiplicity) for o in near
        ]
        taken = {member for o in near for member in o.members}
        for oxygen in oxygens:
            _, far = near_and_far(cell, dopant, oxygen.members)
            if far not in taken:
                sites.append((far, f"O {oxygen.wyckoff} no. {far} far from {dopant}", 1))
    else:
        sites += [(o.index, f"O {o.wyckoff} no. {o.index}", o.multiplicity) for o in oxygens]
    strains: list[tuple[StrainKind, float]] = [("none", 0.0)]
    if strained:
        strains += [(k, s) for k in STRAIN_KINDS for s in campaign.strains_percent if s]
    for kind, strain in strains:
        state = "" if kind == "none" else f" {kind} {strain:+g}%"
        for site, site_name, multiplicity in sites:
            yield Calculation(
                role="vacancy",
                label=f"{name}{state}, {site_name}",
                engine=engine,
                structure=cell,
                fingerprint=fingerprint,
                prototype=name,
                relaxation=campaign.relaxation_settings(),
                multiplicity=multiplicity,
                preparation=Preparation(strain_kind=kind, strain=strain / 100, vacancy=site),
                details={
                    "cell": name,
                    "formula": cell.composition.reduced_formula,
                    "host": campaign.layered_host,
                    "dopant": dopant,
                    "amounts": {str(e): float(n) for e, n in cell.composition.items()},
                    "strain_kind": kind,
                    "strain_percent": strain,
                    "site": site,
                    "site_name": site_name,
                    "is_near": dopant is not None and " near " in site_name,
                },
            )


def from_start(
    campaign: Campaign, engine: str, role: Role, start: Start, label: str, **changes: float
) -> Calculation:
    """Return the calculation of an element, a molecule or a phase.

    Parameters
    ----------
    start
        Its structure, and whether the cell is relaxed.
    **changes
        Of the campaign's relaxation settings.
    """
    return Calculation(
        role=role,
        label=label,
        engine=engine,
        structure=start.structure,
        fingerprint=structure_fingerprint(start.structure),
        prototype=start.prototype,
        relaxation=campaign.relaxation_settings(relax_cell=start.relax_cell).model_copy(
            update=changes
        ),
    )


def cell_fingerprint(cell: Structure) -> str:
    """Return a fingerprint that is another one in a larger cell of the same crystal.

    Details count atoms of the cell, and the position of a vacancy is one in it.
    """
    return digest([structure_fingerprint(cell), len(cell)])
