"""From finished calculations to formation energies, mixing, and the ranking.

The science is in `rocksalt.screening`; here numbers are found, handed over, and put in documents.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, TypeVar

from rocksalt.screening.criteria import (
    Criterion,
    WindowEdges,
    assess_above_hull,
    assess_retention,
    assess_window,
    combined_verdict,
    pareto_fronts,
    stage_rules,
)
from rocksalt.screening.elements import host_cations
from rocksalt.screening.hull import HullEntry
from rocksalt.screening.verdicts import (
    STRONG_ATTRACTION_EV_PER_CATION,
    VERDICT_ORDER,
    PointValue,
    Thresholds,
    Verdict,
    assess_formation,
    assess_mixing,
    combine_engines,
    overall_verdict,
    rules_in_words,
)
from rocksalt.stores.documents import (
    CandidateDoc,
    FormationEnergyDoc,
    MixingDoc,
    RankingDoc,
)
from rocksalt.stores.electronic_documents import ElectronicStructureDoc
from rocksalt.stores.phase_documents import HullDoc, SeriesDoc, VacancyDoc
from rocksalt.stores.records import Summary
from rocksalt.workflows.campaign import Campaign
from rocksalt.workflows.derive_phases import MEASURED, hull_docs, series_docs, vacancy_docs
from rocksalt.workflows.derive_rock_salt import (
    assessed,
    formation_energy,
    mixing,
    relative_error,
)
from rocksalt.workflows.electronic_structure import electronic_structure_docs
from rocksalt.workflows.engines import get_engine
from rocksalt.workflows.plan_stages import layered_dopants
from rocksalt.workflows.results import Results

_Doc = TypeVar("_Doc", FormationEnergyDoc, MixingDoc)


def deciding(
    campaign: Campaign, documents: Iterable[_Doc], is_whole: Callable[[_Doc], bool]
) -> list[_Doc]:
    """Return which of some documents a verdict is made of.

    That of the engine which a triage trusts, alone, where it is whole; otherwise those of the
    engines that screen.
    """
    found = list(documents)
    if campaign.triage is None:
        return found
    trusted = campaign.engines[-1]
    whole = [d for d in found if d.engine == trusted and is_whole(d)]
    return whole or [d for d in found if d.engine != trusted]


def _deciding_formations(
    campaign: Campaign, formations: Iterable[FormationEnergyDoc]
) -> tuple[list[FormationEnergyDoc], float]:
    """Return which formation energies a verdict is made of, and how far they may lie too high.

    Uncorrected ones of a DFT code, which may, serve only where there is no other: a triage's
    deciding engine among them decides about mixing alone.
    """
    whole = [f for f in formations if f.reduction_dmu_o_ev is not None]
    too_high = {f.engine: _too_high(campaign, f.engine) for f in whole}
    sure = [f for f in whole if not too_high[f.engine] and get_engine(f.engine).scale.is_known]
    found = deciding(campaign, sure or whole, lambda f: True)
    return found, max((too_high[f.engine] for f in found), default=0.0)


def pair_over_engines(
    campaign: Campaign,
    dopant: str,
    host: str,
    mixings: Iterable[MixingDoc],
    *,
    near_hull: bool = False,
) -> dict[str, Any]:
    """Return mean, uncertainty, solubility and verdict of one pair over the engines that decide.

    Parameters
    ----------
    near_hull
        A mixture of them was found near enough to the hull of all phases.
    """
    computed = deciding(campaign, [m for m in mixings if m.points], lambda m: not m.missing)
    thresholds = campaign.thresholds
    if campaign.triage is not None and [m.engine for m in computed] == campaign.engines[-1:]:
        floor = thresholds.deciding_mixing_uncertainty_ev_per_cation
        thresholds = thresholds.model_copy(
            update={"one_engine_mixing_uncertainty_ev_per_cation": floor}
        )
    by_engine = {
        m.engine: [PointValue(p.fraction, p.value, p.uncertainty) for p in m.points]
        for m in computed
    }
    if not by_engine:
        return {
            "engines": [],
            "enthalpy_ev_per_cation": [],
            "uncertainty_ev_per_cation": None,
            **assessed(None),
        }
    combined = combine_engines(by_engine, thresholds, relative_error(by_engine))
    assessment = assess_mixing(
        combined,
        campaign.temperature,
        thresholds,
        dopant,
        host,
        [m.verdict for m in computed],
        near_hull=near_hull,
    )
    return {
        "engines": list(by_engine),
        "enthalpy_ev_per_cation": [
            {"fraction": p.fraction, "value": p.value, "uncertainty": p.uncertainty}
            for p in combined.points
        ],
        "uncertainty_ev_per_cation": combined.uncertainty_ev_per_cation,
        **assessed(assessment),
    }


def candidate(
    campaign: Campaign,
    dopant: str,
    formations: Iterable[FormationEnergyDoc],
    mixings: Iterable[MixingDoc],
    hulls: Iterable[HullDoc] = (),
    vacancies: Iterable[VacancyDoc] = (),
) -> CandidateDoc:
    """Return one dopant's numbers, verdict and reasons; its rank is still 0.

    Parameters
    ----------
    formations, mixings, hulls, vacancies
        Those of any dopant; the others are passed over.
    """
    formations = [f for f in formations if f.cation == dopant]
    mixings = [m for m in mixings if m.dopant == dopant]
    deciding_formations, too_high = _deciding_formations(campaign, formations)
    formation = assess_formation(
        dopant,
        {
            f.engine: f.reduction_dmu_o_ev
            for f in deciding_formations
            if f.reduction_dmu_o_ev is not None and get_engine(f.engine).scale.is_known
        },
        campaign.thresholds,
        too_high,
    )
    hulls = [h for h in hulls if h.dopant == dopant]
    windows = {host: _window_states(host, hulls, formations) for host in campaign.hosts}
    taking_in = [host for host in campaign.hosts if dopant not in host_cations(host)]
    above = {host: _above_hull(campaign, host, hulls) for host in taking_in}
    retention = {
        v.engine: v.retention_ev
        for v in vacancies
        if v.dopant == dopant and v.retention_ev is not None
    }
    criteria: dict[str, Criterion] = {}
    if "hull" in campaign.stages:
        for host in taking_in:
            found = above[host] or {"fraction": 0.0, "value": {}}
            criteria[f"oxide in {host}O window"] = assess_window(
                dopant, host, *_window_edges(campaign, host, hulls)
            )
            criteria[f"near hull with {host}O"] = _near_hull(campaign, dopant, host, found)
    if "oxygen-vacancy" in campaign.stages and dopant in layered_dopants(campaign):
        criteria["retains oxygen"] = assess_retention(dopant, retention, campaign.thresholds)
    hosts = {
        host: pair_over_engines(
            campaign,
            dopant,
            host,
            [m for m in mixings if m.host == host],
            near_hull=f"near hull with {host}O" in criteria
            and criteria[f"near hull with {host}O"].verdict == "pass",
        )
        for host in taking_in
    }
    verdict = combined_verdict(
        overall_verdict(formation.verdict, {h: pair["verdict"] for h, pair in hosts.items()}),
        *(c.verdict for c in criteria.values()),
    )
    words = {"mixes": "mixes with", "separates": "separates from", "undecided": "undecided with"}
    reasons = [formation.reason]
    for host, pair in hosts.items():
        said = words.get(pair["verdict"] or "", "not computed with")
        reasons.append(f"{said} {host}O: {pair['rule']}" if pair["verdict"] else f"{said} {host}O")
    reasons += [c.reason for c in criteria.values()]
    gains = [f.distortion_gain_ev_per_formula or 0.0 for f in formations]
    if gains and max(gains) > DISTORTION_EV_PER_FORMULA:
        reasons.append(
            f"{dopant}O leaves the rock-salt structure in a larger cell, gaining up to "
            f"{max(gains):.2f} eV per formula"
        )
    lowest = {
        host: min((point["value"] for point in pair["enthalpy_ev_per_cation"]), default=0.0)
        for host, pair in hosts.items()
    }
    strong = [
        f"{host}O {1000 * value:.0f}"
        for host, value in lowest.items()
        if value < STRONG_ATTRACTION_EV_PER_CATION
    ]
    if strong:
        reasons.append(
            f"dHmix falls far below zero ({', '.join(strong)} meV per cation): probably one cation "
            "reduces the other, and another phase may be more stable than the solid solution"
        )
    highest = [
        (max(p["value"] for p in pair["enthalpy_ev_per_cation"]), pair["uncertainty_ev_per_cation"])
        for pair in hosts.values()
        if pair["enthalpy_ev_per_cation"]
    ]
    score, uncertainty = max(highest, key=lambda pair: pair[0], default=(None, None))
    return CandidateDoc(
        rank=0,
        dopant=dopant,
        verdict=verdict,
        reasons=reasons,
        rock_salt_formation_energy_ev_per_formula={
            f.engine: {"raw": f.raw_ev_per_formula, "corrected": f.corrected_ev_per_formula}
            for f in formations
        },
        rock_salt_reduction_dmu_o_ev={f.engine: f.reduction_dmu_o_ev for f in formations},
        metal_in_host_window={host: windows[host] for host in hosts},
        above_hull_ev_per_atom=above,
        oxygen_retention_ev=retention,
        criteria={
            "stays oxidised": formation.verdict,
            **{f"mixes with {h}O": _as_verdict(p["verdict"]) for h, p in hosts.items()},
            **{name: c.verdict for name, c in criteria.items()},
        },
        mixing={
            host: {m.engine: _mixing_json(m) for m in mixings if m.host == host} for host in hosts
        },
        hosts=hosts,
        score_ev_per_cation=score,
        uncertainty_ev=uncertainty,
        formation_engines=[f.engine for f in deciding_formations],
    )


def _as_verdict(mixing_verdict: str | None) -> Verdict | None:
    words: dict[str, Verdict] = {"mixes": "pass", "separates": "fail", "undecided": "undecided"}
    return words.get(mixing_verdict or "")


def _window_states(
    host: str, hulls: Iterable[HullDoc], formations: Iterable[FormationEnergyDoc]
) -> dict[str, Any]:
    """Return what the dopant is in the host's window, by engine and from measured enthalpies."""
    states = {h.engine: h.dopant_in_host_window for h in hulls if h.host == host}
    return {
        "computed": {f.engine: states.get(f.engine) for f in formations},
        "measured": states.get(MEASURED),
    }


def _known(by_engine: Mapping[str, float]) -> dict[str, float]:
    """Leave out the engines whose energy scale is not known: they decide nothing."""
    return {e: value for e, value in by_engine.items() if get_engine(e).scale.is_known}


def _window_edges(
    campaign: Campaign, host: str, hulls: Iterable[HullDoc]
) -> tuple[dict[str, WindowEdges | None], WindowEdges | None, Thresholds, list[str]]:
    """Return the host's window and where the dopant is metal, by engine, and measured.

    And the thresholds, and which engines are left out because their energies are uncorrected.
    """
    edges: dict[str, WindowEdges | None] = {}
    uncorrected = []
    for hull in hulls:
        if hull.host != host or not (hull.engine == MEASURED or _known({hull.engine: 0.0})):
            continue
        if hull.engine != MEASURED and _too_high(campaign, hull.engine):
            uncorrected.append(hull.engine)
            continue
        window = hull.rock_salt_windows_ev.get(host)
        metal_below = hull.dopant_metal_below_dmu_o_ev
        edges[hull.engine] = (
            WindowEdges(window[0], window[1], metal_below)
            if window and metal_below is not None
            else None
        )
    measured = edges.pop(MEASURED, None)
    return edges, measured, campaign.thresholds, uncorrected


def _near_hull(campaign: Campaign, dopant: str, host: str, found: Mapping[str, Any]) -> Criterion:
    """Return whether a mixture is near the hull; uncorrected energies of DFT serve as the last.

    Their oxides lie too high, so what decomposes to a metal seems to lie too high above the hull.
    """
    values = _known(found["value"])
    sure = {e: v for e, v in values.items() if not _too_high(campaign, e)}
    return assess_above_hull(
        dopant,
        host,
        found["fraction"],
        sure or values,
        campaign.thresholds,
        may_be_too_high=not sure and bool(values),
    )


def _too_high(campaign: Campaign, engine: str) -> float:
    return campaign.energy_scale(engine).too_high_ev_per_formula


def _above_hull(campaign: Campaign, host: str, hulls: Iterable[HullDoc]) -> dict[str, Any]:
    """Return the energy above the hull at the fraction that the verdict on mixing asks for."""
    if not campaign.fractions:
        return {}
    fraction = min(campaign.fractions, key=lambda x: (abs(x - campaign.thresholds.solubility), x))
    values, products = {}, {}
    for hull in hulls:
        for mixture in hull.mixtures_above_hull:
            if hull.host == host and mixture.fraction == fraction:
                values[hull.engine] = mixture.e_above_hull_ev_per_atom
                products[hull.engine] = " + ".join(s.formula for s in mixture.decomposition)
    if not values:
        return {}
    return {"fraction": fraction, "value": values, "decomposition": products}


DISTORTION_EV_PER_FORMULA = 0.05
"""A rock salt that gains more than this in a larger cell is said to be none."""


def _mixing_json(document: MixingDoc) -> dict[str, Any]:
    return {
        "enthalpy_ev_per_cation": [
            {
                "fraction": p.fraction,
                "value": p.value,
                "spread": p.spread,
                "lowest": p.lowest,
                "uncertainty": p.uncertainty,
            }
            for p in document.points
        ],
        "uncertainty_ev_per_cation": document.uncertainty_ev_per_cation,
        "solubility_limit": document.solubility_limit,
        "critical_temperature_k": document.critical_temperature_k,
        "temperature_k": document.temperature_k,
        "verdict": document.verdict,
    }


def with_fronts(candidates: Iterable[CandidateDoc]) -> list[CandidateDoc]:
    """Return the candidates with their Pareto fronts, each verdict's on their own.

    Objectives: largest mean mixing enthalpy and mean formation energy of MO, largest mean energy
    above the hull, loss of oxygen retention. One that a candidate lacks counts for none.
    """
    candidates = list(candidates)
    found = []
    for verdict in VERDICT_ORDER:
        group = [c for c in candidates if c.verdict == verdict]
        columns = list(zip(*map(_objectives, group), strict=True))
        complete = [column for column in columns if None not in column]
        rows = [[column[i] for column in complete] for i in range(len(group))]
        found += [
            c.model_copy(update={"front": front})
            for c, front in zip(group, pareto_fronts(rows), strict=True)
        ]
    return found


def _objectives(candidate: CandidateDoc) -> tuple[float | None, ...]:
    """Return what is to be small: of each quantity the mean over engines, of hosts the worst."""
    formation = list(_known(candidate.deciding_reduction_dmu_o_ev).values())
    values = [_known(a["value"]) for a in candidate.above_hull_ev_per_atom.values() if a]
    above = [fmean(v.values()) for v in values if v]
    retention = [v for v in candidate.oxygen_retention_ev.values() if v is not None]
    return (
        candidate.score_ev_per_cation,
        fmean(formation) if formation else None,
        max(above, default=None),
        -fmean(retention) if retention else None,
    )


def rank(
    campaign: Campaign,
    candidates: Iterable[CandidateDoc],
    counts: Mapping[str, Any],
    versions: Mapping[str, Collection[str]] | None = None,
) -> RankingDoc:
    """Put candidates in order: by verdict, Pareto front, then the largest mean mixing enthalpy.

    Parameters
    ----------
    versions
        Of each engine as its calculations say; the installed one stands for an engine without any.
    """
    ordered = sorted(
        with_fronts(candidates),
        key=lambda c: (
            VERDICT_ORDER[c.verdict],
            c.front,
            c.score_ev_per_cation is None,
            c.score_ev_per_cation or 0.0,
            c.dopant,
        ),
    )
    engines = {}
    for name in campaign.engines:
        engine, scale = get_engine(name), campaign.energy_scale(name)
        engines[name] = {
            "version": " and ".join(sorted((versions or {}).get(name, ()))) or engine.version,
            "energy_scale": scale.name,
            "correction": scale.correction,
            "description": scale.description,
        }
    return RankingDoc(
        campaign=campaign.name,
        engines=engines,
        counts=dict(counts),
        candidates=[c.model_copy(update={"rank": i}) for i, c in enumerate(ordered, start=1)],
        rules=[
            *rules_in_words(campaign.thresholds, campaign.temperature),
            *stage_rules(campaign.thresholds, campaign.stages),
        ],
        temperature_k=campaign.temperature,
        hosts=campaign.hosts,
    )


@dataclass
class Derived:
    """Everything that follows from a campaign's calculations."""

    formations: list[FormationEnergyDoc]
    mixings: list[MixingDoc]
    hulls: list[HullDoc]
    series: list[SeriesDoc]
    vacancies: list[VacancyDoc]
    electronic: list[ElectronicStructureDoc]
    ranking: RankingDoc
    failed: list[dict[str, str]]


def derive(
    campaign: Campaign,
    summaries: Iterable[Summary],
    counts: Mapping[str, Any],
    user_entries: Sequence[HullEntry] = (),
) -> Derived:
    """Return everything that follows from the calculations that are there.

    Parameters
    ----------
    summaries
        Finished and failed calculations of the campaign.
    counts
        What the ranking says about numbers of calculations; failed ones are added to 'rejected'.
    user_entries
        The user's own phases, for the hulls that are on their scale.
    """
    results = Results(summaries, user_entries, campaign.energy_scale)
    screening = set(campaign.screening_engines)
    formations = [
        found
        for cation in campaign.cations
        for engine in campaign.engines
        if (found := formation_energy(results, engine, cation)).rock_salt or engine in screening
    ]
    mixings = [
        pair
        for dopant, host in campaign.pairs
        for engine in campaign.engines
        if (pair := mixing(campaign, results, engine, dopant, host)).points or engine in screening
    ]
    hulls = hulls_of(campaign, results, campaign.screened)
    series, vacancies = layered_docs(campaign, results)
    failed = failures(results)
    counts = {**counts, "rejected": [*counts.get("rejected", []), *failed]}
    candidates = [
        candidate(campaign, d, formations, mixings, hulls, vacancies) for d in campaign.screened
    ]
    ranking = rank(campaign, candidates, counts, results.versions)
    electronic = electronic_structure_docs(campaign, results)
    return Derived(formations, mixings, hulls, series, vacancies, electronic, ranking, failed)


def failures(results: Results) -> list[dict[str, str]]:
    """Return what failed, and why."""
    return [
        {"what": f"{s.label} with {s.engine}", "why": s.error or "no energy"}
        for s in results.failed
    ]


def hulls_of(campaign: Campaign, results: Results, dopants: Iterable[str]) -> list[HullDoc]:
    """Return the hulls of some dopants; none when the campaign has no stage 'hull'."""
    if "hull" not in campaign.stages:
        return []
    return [document for d in dopants for document in hull_docs(campaign, results, d)]


def layered_docs(campaign: Campaign, results: Results) -> tuple[list[SeriesDoc], list[VacancyDoc]]:
    """Return the series and the vacancies of the layered oxide, for the stages that there are."""
    series: list[SeriesDoc] = []
    vacancies: list[VacancyDoc] = []
    for engine in campaign.screening_engines:
        if "lithium-deficient" in campaign.stages:
            series += series_docs(campaign, results, engine)
        if "oxygen-vacancy" in campaign.stages:
            vacancies += vacancy_docs(campaign, results, engine)
    return series, vacancies
