"""From finished calculations to hulls, the lithium-deficient series and oxygen vacancies."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from pymatgen.core import Composition

from rocksalt.screening.elements import host_amounts, host_cations
from rocksalt.screening.errors import RocksaltError
from rocksalt.screening.hull import Hull, HullEntry, Rejected, make_hull
from rocksalt.screening.measured import MEASURED_SCALE, has_measured_oxide, measured_entries
from rocksalt.screening.oxidation import window_oxidation_states
from rocksalt.screening.oxygen import (
    metal_below_dmu_o_ev,
    metal_share_of_host_window,
    metal_state,
    one_to_one,
    oxygen_windows,
    rock_salt_window,
)
from rocksalt.screening.phases import group_duplicates, left_out
from rocksalt.screening.scales import MP2020, Energy, EnergyScale, mp2020_oxide_correction_ev
from rocksalt.screening.vacancies import retention_ev, strain_slope, vacancy_formation
from rocksalt.stores.phase_documents import (
    HullDoc,
    HullPhase,
    MixtureAboveHull,
    OxygenWindow,
    SeriesDoc,
    SeriesPoint,
    Share,
    StrainSlopeDoc,
    VacancyDoc,
    VacancyPoint,
)
from rocksalt.stores.records import Summary
from rocksalt.workflows.campaign import Campaign
from rocksalt.workflows.plan_stages import STRAIN_KINDS, layered_dopants
from rocksalt.workflows.results import NOT_PHASES, Results

MEASURED = "measured"
"""In the place of an engine's name."""


def hull_entry(summary: Summary, scale: EnergyScale) -> HullEntry:
    """Return a finished calculation as an entry on the scale of its engine's hulls."""
    amounts = summary.composition_reduced
    n_atoms = sum(amounts.values())
    assert summary.energy_ev_per_atom is not None
    correction = correction_ev(amounts, scale)
    return HullEntry(
        entry_id=summary.key,
        amounts=amounts,
        energy_ev=n_atoms * summary.energy_ev_per_atom + correction,
        scale=hull_scale(scale),
    )


def hull_scale(scale: EnergyScale) -> str:
    """Return the name of the scale on which an engine's energies enter a hull."""
    return MP2020 if scale.correction == "mp2020" else scale.name


def correction_ev(amounts: Mapping[str, float], scale: EnergyScale) -> float:
    """Return what is added to an engine's energy of so many atoms; all oxygen counts as O(2-)."""
    if scale.correction != "mp2020":
        return 0.0
    return sum(mp2020_oxide_correction_ev(amounts).values())


def computed_hull(
    results: Results, engine: str, system: Sequence[str]
) -> tuple[Hull, dict[str, Summary]]:
    """Return the hull of a system with oxygen from one engine, and its phases by key.

    Raises
    ------
    RocksaltError
        When an element or O2 was not computed.
    """
    scale = results.scale_of(engine)
    found = results.within(engine, system)
    kept_id = group_duplicates(
        (
            s.key,
            Composition(s.composition_reduced).reduced_formula,
            int((s.symmetry or {}).get("number") or 0),
            s.volume / s.nsites,
            s.energy_ev_per_atom,
        )
        for s in found
        if s.role == "competing-phase" and not s.junk and s.energy_ev_per_atom is not None
    )
    entries, rejected = [], []
    for summary in sorted(found, key=lambda s: (s.label, s.key)):
        same = kept_id.get(summary.key, summary.key)
        if summary.junk:
            rejected.append(Rejected(summary.label, summary.junk))
        elif same != summary.key:
            name = next(s.label for s in found if s.key == same)
            rejected.append(Rejected(summary.label, f"the same as {name}"))
        else:
            entries.append(hull_entry(summary, scale))
    for entry in results.user_entries:
        if {e for e, n in entry.amounts.items() if n} <= {*system, "O"}:
            if len([n for n in entry.amounts.values() if n]) == 1:
                why = "an element: the engine's own is the reference"
                rejected.append(Rejected(entry.entry_id, why))
            elif entry.scale == hull_scale(scale):
                entries.append(entry)
            else:
                why = f"on the scale {entry.scale!r}, the hull is on {hull_scale(scale)!r}"
                rejected.append(Rejected(entry.entry_id, why))
    hull = make_hull(entries, [*system, "O"])
    rejected += [Rejected(what, why) for what, why in left_out(system)]
    rejected += [
        Rejected(s.label, s.error or "no energy")
        for s in results.failed
        if s.engine == engine
        and set(s.cation_fractions) <= set(system)
        and s.role not in NOT_PHASES
    ]
    hull = Hull(**{**vars(hull), "rejected": (*hull.rejected, *rejected)})
    return hull, {s.key: s for s in found}


def hull_doc(
    hull: Hull,
    engine: str,
    cations: Mapping[str, float],
    summaries: Mapping[str, Summary] | None = None,
    scale: EnergyScale | None = None,
    host: str | None = None,
) -> HullDoc:
    """Return the document of a hull, computed or measured.

    Parameters
    ----------
    cations
        Ratio of the elements other than oxygen along which windows are given.
    summaries
        The calculations behind the entries, by entry_id; none for a measured hull.
    scale
        The engine's own; None for a measured hull.
    host
        As in a campaign; one with lithium gets the window of its composition beside those of each MO.
    """
    stable = {e.entry_id for e in hull.stable}
    given = MEASURED if engine == MEASURED else "given"
    phases = []
    for entry, formation, above in zip(
        hull.entries,
        hull.formation_energy_ev_per_atom,
        hull.e_above_hull_ev_per_atom,
        strict=True,
    ):
        summary = (summaries or {}).get(entry.entry_id)
        own = scale if summary else None  # a user's entry comes with its corrections
        correction = correction_ev(entry.amounts, own) / entry.n_atoms if own else 0.0
        has_raw = own is not None and own.correction != "included"
        phases.append(
            HullPhase(
                entry_id=entry.entry_id,
                formula=_formula(entry),
                prototype=summary.prototype if summary else given,
                energy_ev_per_atom=entry.energy_ev / entry.n_atoms,
                correction_ev_per_atom=correction,
                raw_formation_energy_ev_per_atom=float(formation) - correction if has_raw else None,
                formation_energy_ev_per_atom=float(formation),
                e_above_hull_ev_per_atom=float(above),
                decomposition=[]
                if entry.entry_id in stable
                else _shares(hull.decomposition(entry.amounts)),
            )
        )
    windows = [
        OxygenWindow(
            from_dmu_o_ev=None if math.isinf(w.from_dmu_o_ev) else w.from_dmu_o_ev,
            to_dmu_o_ev=w.to_dmu_o_ev,
            phases=_shares(w.phases),
            oxidation_states=window_oxidation_states(w),
        )
        for w in oxygen_windows(hull, cations)
    ]
    metals = [e for e in hull.elements if e not in {"O", "Li"}]
    rock_salts = {
        name: rock_salt_window(hull, name)
        for name in dict.fromkeys([*metals, *([host] if host else [])])
    }
    named = {
        element: (summaries or {})[entry.entry_id].prototype
        if entry.entry_id in (summaries or {})
        else entry.entry_id
        for element, entry in hull.references.items()
    }
    return HullDoc(
        chemical_system=hull.chemical_system,
        engine=engine,
        energy_scale=hull.scale,
        counts={
            "entries": len(hull.entries) + len(hull.rejected),
            "in_hull": len(hull.entries),
            "on_hull": len(hull.stable),
            "rejected": len(hull.rejected),
        },
        phases=phases,
        stable=[e.entry_id for e in hull.stable],
        rejected=[{"what": r.entry_id, "why": r.reason} for r in hull.rejected],
        references=named,
        cations=dict(cations),
        windows=windows,
        rock_salt_windows_ev={e: list(w) if w else None for e, w in rock_salts.items()},
    )


def pair_hull_doc(
    campaign: Campaign, results: Results, engine: str, dopant: str, host: str
) -> HullDoc:
    """Return the hull of M-H-O (M-Li-H-O) from one engine, and how the pair's mixtures lie to it."""
    cations = one_to_one(dopant, host)
    system = tuple(cations)
    scale = results.scale_of(engine)
    pair = {"dopant": dopant, "host": host}
    try:
        hull, summaries = computed_hull(results, engine, system)
    except RocksaltError as error:
        return _no_hull(system, engine, hull_scale(scale), cations, str(error)).model_copy(
            update=pair
        )
    mixtures = []
    for fraction in campaign.fractions:
        value = above_hull(results, engine, hull, dopant, host, fraction)
        if value is not None:
            amounts = _mixture_amounts(dopant, host, fraction)
            mixtures.append(
                MixtureAboveHull(
                    fraction=fraction,
                    e_above_hull_ev_per_atom=value,
                    decomposition=_shares(hull.decomposition(amounts)),
                )
            )
    return hull_doc(hull, engine, cations, summaries, scale, host).model_copy(
        update={
            **pair,
            "mixtures_above_hull": mixtures,
            **_metal_in_window(hull, dopant, host),
        }
    )


def measured_hull_doc(dopant: str, host: str) -> HullDoc:
    """Return the hull of a pair from measured enthalpies, on a scale of its own."""
    cations = one_to_one(dopant, host)
    system = tuple(cations)
    pair = {"dopant": dopant, "host": host}
    without = [symbol for symbol in system if not has_measured_oxide(symbol)]
    if without:
        why = f"no oxide of {' and '.join(without)} in the table of measured enthalpies"
        document = _no_hull(system, MEASURED, MEASURED_SCALE, cations, why)
        return document.model_copy(update=pair)
    hull = make_hull(measured_entries([*system, "O"]), [*system, "O"])
    return hull_doc(hull, MEASURED, cations, host=host).model_copy(
        update={**pair, **_metal_in_window(hull, dopant, host)}
    )


def _metal_in_window(hull: Hull, dopant: str, host: str) -> dict[str, Any]:
    share = metal_share_of_host_window(hull, dopant, host)
    return {
        "metal_share_of_host_window": share,
        "dopant_in_host_window": metal_state(share),
        "dopant_metal_below_dmu_o_ev": metal_below_dmu_o_ev(hull, dopant, host),
    }


def hull_docs(campaign: Campaign, results: Results, dopant: str) -> list[HullDoc]:
    """Return the hulls of a dopant with each host, from each engine and measured."""
    documents = []
    for host in (h for d, h in campaign.pairs if d == dopant):
        documents += [
            pair_hull_doc(campaign, results, engine, dopant, host)
            for engine in campaign.screening_engines
        ]
        documents.append(measured_hull_doc(dopant, host))
    return documents


def _no_hull(
    system: Sequence[str], engine: str, scale: str, cations: Mapping[str, float], why: str
) -> HullDoc:
    return HullDoc(
        chemical_system="-".join(sorted([*system, "O"])),
        engine=engine,
        energy_scale=scale,
        counts={"entries": 0, "in_hull": 0, "on_hull": 0, "rejected": 0},
        phases=[],
        stable=[],
        rejected=[],
        references={},
        cations=dict(cations),
        windows=[],
        missing=[why],
    )


def _formula(entry: HullEntry) -> str:
    return Composition(dict(entry.amounts)).reduced_formula


def _shares(phases: Iterable[tuple[HullEntry, float]]) -> list[Share]:
    return [
        Share(entry_id=entry.entry_id, formula=_formula(entry), fraction=share)
        for entry, share in phases
    ]


def above_hull(
    results: Results, engine: str, hull: Hull, dopant: str, host: str, fraction: float
) -> float | None:
    """Return the energy above the hull of the lowest mixture at a fraction, eV per atom."""
    scale = results.scale_of(engine)
    amounts = _mixture_amounts(dopant, host, fraction)
    mixtures = [
        hull_entry(s, scale)
        for s in results.of(engine, "mixture", dopant, *host_cations(host))
        if all(abs(x - amounts[cation]) < 1e-6 for cation, x in s.cation_fractions.items())
    ]
    return min(
        (hull.energy_above_ev_per_atom(e.amounts, Energy(e.energy_ev, e.scale)) for e in mixtures),
        default=None,
    )


def _mixture_amounts(dopant: str, host: str, fraction: float) -> dict[str, float]:
    """Return the atoms per cation site of a rock-salt mixture."""
    shares = host_amounts(host)
    return {dopant: fraction, **{h: (1 - fraction) * x for h, x in shares.items()}, "O": 1.0}


def series_docs(campaign: Campaign, results: Results, engine: str) -> list[SeriesDoc]:
    """Return the lithium-deficient series with one engine: the pure one first, then the doped."""
    scale = results.scale_of(engine)
    host = campaign.layered_host
    documents = []
    for dopant in [None, *layered_dopants(campaign)]:
        system = ["Li", host, *([dopant] if dopant else [])]
        missing = []
        hull: Hull | None = None
        try:
            hull, _ = computed_hull(results, engine, system)
        except RocksaltError as error:
            missing.append(str(error))
        mine = [
            s
            for s in results.of_role(engine, "series")
            if s.details.get("dopant") == dopant and s.details.get("host") == host
        ]
        if not mine:
            missing.append(f"the series with {engine}")
        pristine = min(
            (s for s in mine if s.details["n"] == 0),
            key=lambda s: (s.energy_ev_per_atom, s.key),
            default=None,
        )
        points = [
            _series_point(s, hull, scale, pristine)
            for s in sorted(mine, key=lambda s: (s.details["n"], s.prototype))
        ]
        documents.append(
            SeriesDoc(
                host=host,
                dopant=dopant,
                engine=engine,
                energy_scale=hull_scale(scale),
                n_layer_lithium=campaign.supercell.layered,
                points=points,
                missing=missing,
            )
        )
    return documents


def _series_point(
    summary: Summary, hull: Hull | None, scale: EnergyScale, pristine: Summary | None
) -> SeriesPoint:
    entry = hull_entry(summary, scale)
    above = None
    shares: list[Share] = []
    if hull is not None:
        above = hull.energy_above_ev_per_atom(entry.amounts, Energy(entry.energy_ev, entry.scale))
        shares = _shares(hull.decomposition(entry.amounts))
    volume = _volume_per_oxygen(summary)
    change = 100 * (volume / _volume_per_oxygen(pristine) - 1) if pristine else None
    assert summary.energy_ev_per_atom is not None
    return SeriesPoint(
        key=summary.key,
        formula=Composition(summary.composition_reduced).reduced_formula,
        n=summary.details["n"],
        arrangement=summary.prototype,
        multiplicity=summary.multiplicity,
        lithium_per_oxygen=summary.details["lithium_per_oxygen"],
        li_o_li_per_oxygen=summary.details["li_o_li_per_oxygen"],
        energy_ev_per_atom=summary.energy_ev_per_atom,
        e_above_hull_ev_per_atom=above,
        decomposition=shares,
        volume_angstrom3_per_oxygen=volume,
        volume_change_percent=change,
    )


def _volume_per_oxygen(summary: Summary) -> float:
    amounts = summary.composition_reduced
    return summary.volume / (summary.nsites * amounts["O"] / sum(amounts.values()))


def vacancy_docs(campaign: Campaign, results: Results, engine: str) -> list[VacancyDoc]:
    """Return the oxygen vacancies with one engine, one document per cell, the undoped ones first."""
    host = campaign.layered_host
    cells: dict[str, list[Summary]] = {}
    for summary in results.of_role(engine, "vacancy"):
        if summary.details.get("host") == host:
            cells.setdefault(summary.details["cell"], []).append(summary)
    dopants = layered_dopants(campaign)
    known = [c for c in cells if cells[c][0].details["dopant"] in {None, *dopants}]
    undoped = f"Li2{host}O3"
    known.sort(key=lambda c: (cells[c][0].details["dopant"] is not None, c != undoped, c))
    documents = [_vacancy_doc(results, engine, cells[name]) for name in known]
    base = next((d.lowest_formation_energy_ev for d in documents if d.cell == undoped), None)
    return [
        d.model_copy(
            update={"retention_ev": retention_ev(d.lowest_near_dopant_formation_energy_ev, base)}
        )
        if base is not None and d.lowest_near_dopant_formation_energy_ev is not None
        else d
        for d in documents
    ]


def _vacancy_doc(results: Results, engine: str, summaries: list[Summary]) -> VacancyDoc:
    scale = results.scale_of(engine)
    oxygen = results.lowest(engine, "oxygen")
    details = summaries[0].details
    pristine = {
        (s.details["strain_kind"], s.details["strain_percent"]): s
        for s in summaries
        if s.details["site"] is None
    }
    missing = [] if oxygen else [f"O2 with {engine}"]
    points = []
    for summary in sorted(summaries, key=lambda s: s.label):
        if summary.details["site"] is None or oxygen is None:
            continue
        state = (summary.details["strain_kind"], summary.details["strain_percent"])
        if state not in pristine:
            missing.append(f"{summary.details['cell']} {state[0]} {state[1]:g}% with {engine}")
            continue
        formation = vacancy_formation(
            details["amounts"],
            Energy(_total_ev(summary), scale.name),
            Energy(_total_ev(pristine[state]), scale.name),
            Energy(oxygen.energy_ev_per_atom or 0.0, scale.name),
            scale,
        )
        points.append(
            VacancyPoint(
                key=summary.key,
                strain_kind=state[0],
                strain_percent=state[1],
                site=summary.details["site"],
                site_name=summary.details["site_name"],
                multiplicity=summary.multiplicity or 1,
                is_near_dopant=bool(summary.details.get("is_near")),
                formation_energy_ev=formation.best_ev,
                raw_formation_energy_ev=formation.raw_ev,
            )
        )
    failed = [
        s
        for s in results.failed
        if s.role == "vacancy" and s.engine == engine and s.details["cell"] == details["cell"]
    ]
    missing += [f"{s.label} with {engine}: {s.error or 'no energy'}" for s in failed]
    incomplete = any(s.details["strain_kind"] == "none" for s in failed)
    unstrained = [p.formation_energy_ev for p in points if p.strain_kind == "none"]
    return VacancyDoc(
        cell=details["cell"],
        formula=details["formula"],
        host=details["host"],
        dopant=details["dopant"],
        engine=engine,
        energy_scale=hull_scale(scale),
        points=points,
        # Of fewer than all sites the lowest would be a bound, not a value.
        lowest_formation_energy_ev=None if incomplete else min(unstrained, default=None),
        lowest_near_dopant_formation_energy_ev=None
        if incomplete
        else min(
            (p.formation_energy_ev for p in points if p.is_near_dopant and p.strain_kind == "none"),
            default=None,
        ),
        slopes=_slopes(
            points, {(s.details["strain_kind"], s.details["strain_percent"]) for s in failed}
        ),
        missing=sorted(set(missing)),
    )


def _total_ev(summary: Summary) -> float:
    assert summary.energy_ev_per_atom is not None
    return summary.energy_ev_per_atom * summary.nsites


def _slopes(
    points: Iterable[VacancyPoint], incomplete: Collection[tuple[str, float]]
) -> list[StrainSlopeDoc]:
    """Return the slope of the lowest vacancy energy with each kind of strain.

    States with a vacancy that failed are left out: their lowest is a bound, not a value.
    """
    slopes = []
    points = [p for p in points if (p.strain_kind, p.strain_percent) not in incomplete]
    for kind in STRAIN_KINDS:
        lowest: dict[float, float] = {}
        for point in points:
            if point.strain_kind in {kind, "none"}:
                before = lowest.get(point.strain_percent, math.inf)
                lowest[point.strain_percent] = min(before, point.formation_energy_ev)
        if len(lowest) > 1:
            strains = sorted(lowest)
            line = strain_slope([s / 100 for s in strains], [lowest[s] for s in strains])
            slopes.append(
                StrainSlopeDoc(
                    strain_kind=kind,
                    ev_per_percent=line.slope_ev_per_percent,
                    standard_error_ev_per_percent=line.standard_error_ev_per_percent,
                    n_points=len(strains),
                )
            )
    return slopes
