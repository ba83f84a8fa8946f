"""From finished calculations to the formation energies of rock salts and the mixing of pairs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from rocksalt.screening.elements import host_cations, mixture_formula
from rocksalt.screening.formation import rock_salt_formation
from rocksalt.screening.mixing import mixing_enthalpy_ev_per_cation
from rocksalt.screening.scales import Energy
from rocksalt.screening.verdicts import (
    ENGINE_ERROR,
    LITHIATED_HOST_ERROR_EV_PER_CATION,
    MixingAssessment,
    PointValue,
    assess_mixing,
    combine_engines,
    distortion_uncertainty_ev_per_cation,
    random_alloy_value,
)
from rocksalt.stores.documents import (
    ArrangementEnergy,
    FormationEnergyDoc,
    MixingDoc,
    MixingPoint,
    Reference,
)
from rocksalt.stores.records import Summary
from rocksalt.workflows.campaign import Campaign
from rocksalt.workflows.engines import get_engine
from rocksalt.workflows.results import Results, by_prototype, reference

PRIMITIVE_ROCK_SALTS = {"rock-salt", "rock-salt small", "rock-salt large"}
"""Starts that stay rock salt; in larger cells it may leave its symmetry."""


def formation_energy(results: Results, engine: str, cation: str) -> FormationEnergyDoc:
    """Return the formation energy of one rock-salt oxide with one engine.

    The rock salt is the lowest of those relaxed in the primitive cell.
    """
    scale = results.scale_of(engine)
    metal = reference(results, engine, "element", cation)
    oxygen = reference(results, engine, "oxygen")
    primitive = _primitive(results, engine, cation)
    best = _lowest(primitive)
    missing = [
        f"{what} with {engine}"
        for what, there in ((cation, metal), ("O2", oxygen), (f"{cation}O", best))
        if there is None
    ]
    rock_salt = None
    formation = None
    if best is not None:
        assert best.energy_ev_per_atom is not None
        rock_salt = Reference(
            key=best.key,
            prototype=best.prototype,
            energy_ev_per_atom=best.energy_ev_per_atom,
            tried=by_prototype(primitive),
        )
        if metal is not None and oxygen is not None:
            formation = rock_salt_formation(
                cation,
                Energy(2 * best.energy_ev_per_atom, scale.name),
                Energy(metal.energy_ev_per_atom, scale.name),
                Energy(oxygen.energy_ev_per_atom, scale.name),
                scale,
            )
    return FormationEnergyDoc(
        cation=cation,
        engine=engine,
        energy_scale=scale.name,
        raw_ev_per_formula=formation.raw if formation else None,
        corrected_ev_per_formula=formation.corrected if formation else None,
        corrections_ev_per_formula=formation.terms if formation else {},
        reduction_dmu_o_ev=formation.reduction_dmu_o_ev if formation else None,
        lattice_parameter_angstrom=(4 * best.volume) ** (1 / 3) if best else None,
        distortion_gain_ev_per_formula=_distortion_gain(results, engine, cation),
        rock_salt=rock_salt,
        metal=metal,
        oxygen=oxygen,
        missing=missing,
    )


def _primitive(results: Results, engine: str, *cations: str) -> list[Summary]:
    """Return the rock salts relaxed in the primitive cell, which cannot distort."""
    ends = results.of(engine, "end-member", *cations)
    return [s for s in ends if s.prototype in PRIMITIVE_ROCK_SALTS]


def _lowest(summaries: list[Summary]) -> Summary | None:
    return min(summaries, key=lambda s: (s.energy_ev_per_atom or 0.0, s.key), default=None)


def _distortion_gain(results: Results, engine: str, *cations: str) -> float | None:
    """Return what MO gains by leaving Fm-3m in a larger cell, eV per formula, if both are there."""
    best = _lowest(_primitive(results, engine, *cations))
    lowest = results.lowest(engine, "end-member", *cations)
    if best is None or lowest is None:
        return None
    assert best.energy_ev_per_atom is not None
    assert lowest.energy_ev_per_atom is not None
    return 2 * (best.energy_ev_per_atom - lowest.energy_ev_per_atom)


def mixing(campaign: Campaign, results: Results, engine: str, dopant: str, host: str) -> MixingDoc:
    """Return mixing enthalpies, fit, solubility and verdict of one pair with one engine.

    End members are the lowest of the cells tried, so that they could distort as the mixtures can.
    """
    scale = results.scale_of(engine)
    hosts = host_cations(host)
    ends = {
        dopant: results.lowest(engine, "end-member", dopant),
        host: results.lowest(engine, "end-member", *hosts),
    }
    gains = {
        dopant: _distortion_gain(results, engine, dopant) or 0.0,
        host: _distortion_gain(results, engine, *hosts) or 0.0,
    }
    missing = [f"{c}O with {engine}" for c, end in ends.items() if end is None]
    keys = [end.key for end in ends.values() if end]
    points = []
    for fraction in campaign.fractions:
        mixtures = [
            s
            for s in results.of(engine, "mixture", dopant, *hosts)
            if abs(s.cation_fractions[dopant] - fraction) < 1e-6
            and all(abs(s.cation_fractions[h] - (1 - fraction) / len(hosts)) < 1e-6 for h in hosts)
        ]
        keys += [s.key for s in mixtures]
        if not mixtures:
            missing.append(f"{mixture_formula(dopant, host, fraction)} with {engine}")
        elif ends[dopant] is not None and ends[host] is not None:
            point = _mixing_point(mixtures, ends, dopant, host, fraction, scale.name)
            of_distortion = distortion_uncertainty_ev_per_cation(
                fraction, gains[dopant], gains[host]
            )
            of_lithium = LITHIATED_HOST_ERROR_EV_PER_CATION if len(hosts) > 1 else 0.0
            point.uncertainty = math.hypot(point.uncertainty, of_distortion, of_lithium)
            points.append(point)
    assessment = None
    uncertainty = None
    if points:
        values = [PointValue(p.fraction, p.value, p.uncertainty) for p in points]
        combined = combine_engines({engine: values}, campaign.thresholds, relative_error([engine]))
        uncertainty = combined.uncertainty_ev_per_cation
        assessment = assess_mixing(
            combined, campaign.temperature, campaign.thresholds, dopant, host
        )
    return MixingDoc(
        dopant=dopant,
        host=host,
        engine=engine,
        energy_scale=scale.name,
        points=points,
        temperature_k=campaign.temperature,
        uncertainty_ev_per_cation=uncertainty,
        calculation_keys=keys,
        missing=missing,
        **assessed(assessment),
    )


def relative_error(engines: Iterable[str]) -> float:
    """Return the error of dHmix over |dHmix| that one of these engines has: of a potential, not of DFT."""
    return 0.0 if all(get_engine(engine).is_dft for engine in engines) else ENGINE_ERROR


def _mixing_point(
    mixtures: list[Summary],
    ends: Mapping[str, Summary | None],
    dopant: str,
    host: str,
    fraction: float,
    scale: str,
) -> MixingPoint:
    def per_cation(summary: Summary | None) -> Energy:
        assert summary is not None
        assert summary.energy_ev_per_atom is not None
        return Energy(2 * summary.energy_ev_per_atom, scale)

    arrangements = [
        ArrangementEnergy(
            key=mixture.key,
            label=mixture.label,
            kind="sqs" if mixture.prototype.endswith("sqs") else "enumerated",
            multiplicity=mixture.multiplicity,
            enthalpy_ev_per_cation=mixing_enthalpy_ev_per_cation(
                per_cation(mixture), per_cation(ends[dopant]), per_cation(ends[host]), fraction
            ),
        )
        for mixture in sorted(mixtures, key=lambda s: s.prototype)
    ]
    enumerated = [
        (a.enthalpy_ev_per_cation, a.multiplicity) for a in arrangements if a.multiplicity
    ]
    sqs = next((a.enthalpy_ev_per_cation for a in arrangements if a.kind == "sqs"), None)
    value, spread, uncertainty = random_alloy_value(enumerated, sqs)
    of_order = _order_uncertainty_ev_per_cation(ends[dopant], ends[host], fraction)
    return MixingPoint(
        fraction=fraction,
        value=value,
        spread=spread,
        lowest=min(a.enthalpy_ev_per_cation for a in arrangements),
        sqs=sqs,
        uncertainty=math.hypot(uncertainty, of_order),
        arrangements=arrangements,
    )


def _order_uncertainty_ev_per_cation(
    dopant_oxide: Summary | None, host_oxide: Summary | None, fraction: float
) -> float:
    """Return the standard uncertainty of dHmix from the end members' magnetic order.

    A mixture may be in an order that resembles any of those of an end member; which one is not
    known, and diluted ions leave an order without moments having changed. Half of what the end member's
    orders differ by, weighted with its share, is the half width a of a rectangular distribution, of
    which the standard uncertainty is a / sqrt(3).

    Notes
    -----
    Guide to the expression of uncertainty in measurement, JCGM 100:2008, 4.3.7.
    """
    half_width = (
        fraction * _order_spread_ev_per_cation(dopant_oxide)
        + (1 - fraction) * _order_spread_ev_per_cation(host_oxide)
    ) / 2
    return half_width / math.sqrt(3)


def _order_spread_ev_per_cation(oxide: Summary | None) -> float:
    """Return by how much the energies of an MO differ by magnetic order; 0 where one was computed."""
    energies = oxide.method.get("energies_ev_per_atom", {}).values() if oxide else ()
    return 2 * (max(energies) - min(energies)) if energies else 0.0


def assessed(assessment: MixingAssessment | None) -> dict[str, Any]:
    """Return the fields that documents take from an assessment, None where there is none."""
    if assessment is None:
        return {
            "interaction_ev_per_cation": None,
            "fit_rms_ev_per_cation": None,
            "solubility_limit": None,
            "dopant_rich_limit": None,
            "critical_temperature_k": None,
            "probability": None,
            "verdict": None,
            "rule": "not computed",
        }
    return {
        "interaction_ev_per_cation": [assessment.solution.l0, assessment.solution.l1],
        "fit_rms_ev_per_cation": assessment.fit_rms_ev_per_cation,
        "solubility_limit": assessment.solubility_limit,
        "dopant_rich_limit": assessment.dopant_rich_limit,
        "critical_temperature_k": assessment.critical_temperature_k,
        "probability": assessment.probability,
        "verdict": assessment.verdict,
        "rule": assessment.rule,
    }
