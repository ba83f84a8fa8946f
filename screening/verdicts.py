"""The rules that turn numbers into verdicts: each with its number, threshold and uncertainty."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from rocksalt.screening.mixing import SubregularSolution, fit_regular, fit_subregular

MixingVerdict = Literal["mixes", "undecided", "separates"]
Verdict = Literal["pass", "undecided", "fail"]
VERDICT_ORDER: dict[Verdict, int] = {"pass": 0, "undecided": 1, "fail": 2}


class Thresholds(BaseModel):
    """Thresholds of the verdict and the smallest uncertainties it assumes.

    The uncertainties of dHmix follow mean absolute errors against measured mixing enthalpies of
    rock-salt pairs (`benchmarks/mixing.py`): over six pairs with Mn, Co or Ni 19 to 38 meV per
    cation for one potential and 12 for the mean of six, over all nine 23 to 44 and 20. Verdicts
    allow for one such error either way.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    solubility: float = Field(
        0.25,
        gt=0,
        lt=1,
        description="a dopant mixes when HO dissolves at least this fraction of it",
    )
    formation_energy_ev_per_formula: float = Field(
        0.0, description="a dopant stays oxidised when dEf(MO) lies below this"
    )
    one_engine_mixing_uncertainty_ev_per_cation: float = Field(
        0.030, ge=0, description="standard uncertainty of dHmix from a single engine"
    )
    committee_mixing_uncertainty_ev_per_cation: float = Field(
        0.015, ge=0, description="smallest standard uncertainty of the mean of several engines"
    )
    deciding_mixing_uncertainty_ev_per_cation: float = Field(
        0.015,
        ge=0,
        description="standard uncertainty of dHmix from the engine that a triage trusts",
    )
    formation_uncertainty_ev_per_formula: float = Field(
        0.2, ge=0, description="smallest standard uncertainty of dEf(MO)"
    )
    window_uncertainty_ev: float = Field(
        0.15, ge=0, description="uncertainty of the oxygen potentials at which phases change"
    )
    above_hull_ev_per_atom: float = Field(
        0.07, ge=0, description="a mixture may lie this far above the hull of M-H-O"
    )
    above_hull_uncertainty_ev_per_atom: float = Field(
        0.03, ge=0, description="smallest standard uncertainty of an energy above the hull"
    )
    oxygen_retention_ev: float = Field(
        -0.2, description="a dopant may change the lowest vacancy energy by this, 0 is none"
    )
    oxygen_retention_uncertainty_ev: float = Field(
        0.1, ge=0, description="smallest standard uncertainty of that change"
    )


@dataclass(frozen=True)
class PointValue:
    """dHmix of the random alloy at one fraction, with its standard error, eV per cation."""

    fraction: float
    value: float
    uncertainty: float


@dataclass(frozen=True)
class MixingAssessment:
    """What the mixing enthalpies of one pair say at one temperature.

    Attributes
    ----------
    solution, fit_rms_ev_per_cation
        The fitted (sub)regular solution and its residual.
    solubility_limit
        Fraction of dopant that HO dissolves; 1 when everything mixes.
    dopant_rich_limit
        Other end of the gap; None when everything mixes.
    critical_temperature_k
        Top of the gap; 0 when there is none at any temperature.
    uncertainty_ev_per_cation
        Standard uncertainty that the verdict allowed for.
    verdict, rule
        The verdict and the comparison that gave it, in words.
    """

    solution: SubregularSolution
    fit_rms_ev_per_cation: float
    solubility_limit: float
    dopant_rich_limit: float | None
    critical_temperature_k: float
    uncertainty_ev_per_cation: float
    verdict: MixingVerdict
    rule: str


def random_alloy_value(
    enumerated: Sequence[tuple[float, int]], sqs: float | None
) -> tuple[float, float, float]:
    """Return the random alloy's dHmix, the spread over arrangements, and its standard error.

    Parameters
    ----------
    enumerated
        (dHmix in eV per cation, multiplicity) of each distinct arrangement of the small cell.
    sqs
        dHmix of the quasi-random arrangement, or None.

    Returns
    -------
    value, spread, uncertainty
        The quasi-random value, or else the mean weighted by multiplicity; the weighted standard
        deviation of the enumerated arrangements around it; and, where the value is such a mean,
        the spread over the root of the number of arrangements. The pair correlations of a
        quasi-random arrangement are those of the random alloy already, so that the spread over
        ordered ones says nothing about its error: that is given as 0.

    Raises
    ------
    ValueError
        Without any arrangement.
    """
    if not enumerated and sqs is None:
        raise ValueError("no arrangement to average over")
    values = np.array([value for value, _ in enumerated])
    weights = np.array([float(multiplicity) for _, multiplicity in enumerated])
    if sqs is None:
        mean = float(np.average(values, weights=weights))
        spread = math.sqrt(float(np.average((values - mean) ** 2, weights=weights)))
        return mean, spread, spread / math.sqrt(len(values))
    if not enumerated:
        return sqs, 0.0, 0.0
    spread = math.sqrt(float(np.average((values - sqs) ** 2, weights=weights)))
    return sqs, spread, 0.0


@dataclass(frozen=True)
class CombinedMixing:
    """Mixing enthalpies of one pair over all engines.

    Attributes
    ----------
    points
        The mean over engines at each fraction, sorted by fraction, with its standard error.
    uncertainty_ev_per_cation
        Standard uncertainty of the curve, at x = 1/2.
    asymmetry_uncertainty_ev
        Standard uncertainty of the curve's asymmetric term l1.
    """

    points: list[PointValue]
    uncertainty_ev_per_cation: float
    asymmetry_uncertainty_ev: float


def combine_engines(
    by_engine: Mapping[str, Sequence[PointValue]], thresholds: Thresholds
) -> CombinedMixing:
    """Return the mean over engines at each fraction, and its standard uncertainty.

    dHmix is a difference inside one engine, so engines of different scales may be averaged.

    Parameters
    ----------
    by_engine
        Points of each engine. Where some engines lack a fraction, only those that all have count:
        otherwise one engine's offset would bend the mean curve.
    thresholds
        Gives the smallest uncertainty, for one engine and for several.

    Raises
    ------
    ValueError
        For a value or an uncertainty that is not finite.

    Notes
    -----
    The standard error of a mean over engines is their standard deviation over the root of their
    number; that of the arrangements is added in squares. The uncertainty of the curve at x = 1/2 is
    the largest of its points', carried there, and no less than the error measured for such a mean
    (or for one engine), which the engines' common errors set.
    """
    engines = [points for points in by_engine.values() if points]
    for point in (p for points in engines for p in points):
        if not (math.isfinite(point.value) and math.isfinite(point.uncertainty)):
            raise ValueError(f"dHmix at x = {point.fraction:g} is not a finite number")
    tables = [{round(p.fraction, 9): p for p in points} for points in engines]
    common = set.intersection(*(set(table) for table in tables)) if tables else set()
    if not common:  # then each engine's points are all that there is
        common = {fraction for table in tables for fraction in table}
    combined = []
    for fraction in sorted(common):
        members = [table[fraction] for table in tables if fraction in table]
        values = [member.value for member in members]
        within = float(np.mean([member.uncertainty for member in members]))
        combined.append(
            PointValue(
                fraction, float(np.mean(values)), math.hypot(_standard_error(values), within)
            )
        )
    # An error at x is one of 1 / (4x(1-x)) times its size at one half.
    spread = max((p.uncertainty / (4 * p.fraction * (1 - p.fraction)) for p in combined), default=0)
    floor = thresholds.one_engine_mixing_uncertainty_ev_per_cation
    if len(engines) > 1:
        floor = max(
            thresholds.committee_mixing_uncertainty_ev_per_cation, floor / math.sqrt(len(engines))
        )
        uncertainty = max(floor, spread)
    else:  # the engine's own error adds to that of the arrangements
        uncertainty = math.hypot(floor, spread)
    return CombinedMixing(combined, uncertainty, _asymmetry_uncertainty(engines, uncertainty))


def _standard_error(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else 0.0


def _asymmetry_uncertainty(
    engines: Sequence[Sequence[PointValue]], uncertainty_ev_per_cation: float
) -> float:
    """Return the standard uncertainty of l1: over the engines' own fits, or from the points'.

    The larger counts. Engines have errors in common, of the size of the points' uncertainty, which
    tilt all curves alike: their agreement alone does not make a tilt sure.
    """
    able = [points for points in engines if len({round(p.fraction, 9) for p in points}) > 1]
    if not able:
        return math.inf
    fits = [fit_subregular([p.fraction for p in e], [p.value for p in e])[0].l1 for e in able]
    x = np.array([p.fraction for p in able[0]])
    design = np.column_stack([x * (1 - x), x * (1 - x) * (1 - 2 * x)])
    propagated = uncertainty_ev_per_cation * math.sqrt(np.linalg.inv(design.T @ design)[1, 1])
    return max(propagated, _standard_error(fits))


def assess_mixing(
    combined: CombinedMixing,
    temperature_k: float,
    thresholds: Thresholds,
    dopant: str,
    host: str,
    engine_verdicts: Collection[MixingVerdict | None] = (),
) -> MixingAssessment:
    """Return solubility, critical temperature and verdict of one pair.

    The fitted curve has an asymmetric term only where that exceeds twice its uncertainty (what the
    engines do not agree on must not open a gap) and opens no gap in which a computed mixture is
    more stable than the two phases (then the mixture disproves the gap). The verdict compares the solubility limit with the
    threshold three times: for the curve, and for the curve raised and lowered by the uncertainty at
    x = 1/2. Engines of which one says 'mixes' and another 'separates', each with its own
    uncertainty, leave the pair undecided.

    Parameters
    ----------
    combined
        Of `combine_engines`.
    temperature_k
        Temperature of the solubility limit.
    thresholds
        Smallest solubility of a pair that mixes.
    dopant, host
        For the rule's words.
    engine_verdicts
        What each engine says alone, where there are several.

    Raises
    ------
    ValueError
        Without points, or for a temperature that is not positive.
    """
    fractions = [p.fraction for p in combined.points]
    values = [p.value for p in combined.points]
    solution, rms = fit_subregular(fractions, values)
    if abs(solution.l1) <= 2 * combined.asymmetry_uncertainty_ev or _contradicts(
        solution, combined.points, temperature_k
    ):
        solution, rms = fit_regular(fractions, values)
    # Points that the curve misses by more than their uncertainty leave the curve no surer.
    uncertainty_ev_per_cation = max(combined.uncertainty_ev_per_cation, rms)
    if not math.isfinite(uncertainty_ev_per_cation):
        raise ValueError(f"the uncertainty of dHmix of {dopant} and {host} is not finite")
    gap = solution.gap(temperature_k)
    solubility = gap.host_rich if gap else 1.0
    shift = 4 * uncertainty_ev_per_cation
    lowest = _solubility(SubregularSolution(solution.l0 + shift, solution.l1), temperature_k)
    highest = _solubility(SubregularSolution(solution.l0 - shift, solution.l1), temperature_k)
    verdict: MixingVerdict
    if lowest >= thresholds.solubility:
        verdict = "mixes"
    elif highest < thresholds.solubility:
        verdict = "separates"
    else:
        verdict = "undecided"
    disagree = {"mixes", "separates"} <= set(engine_verdicts)
    if disagree:
        verdict = "undecided"
    rule = (
        f"solubility of {dopant} in {host}O at {temperature_k:g} K is {_share(solubility)} "
        f"({_share(lowest)} to {_share(highest)} within "
        f"{1000 * uncertainty_ev_per_cation:.0f} meV per cation); "
        f"{thresholds.solubility:g} is asked for"
        + ("; engines contradict each other" if disagree else "")
    )
    return MixingAssessment(
        solution=solution,
        fit_rms_ev_per_cation=rms,
        solubility_limit=solubility,
        dopant_rich_limit=gap.dopant_rich if gap else None,
        critical_temperature_k=solution.critical_point()[0],
        uncertainty_ev_per_cation=uncertainty_ev_per_cation,
        verdict=verdict,
        rule=rule,
    )


def _contradicts(
    solution: SubregularSolution, points: Sequence[PointValue], temperature_k: float
) -> bool:
    """Whether a computed mixture inside the solution's gap lies below the tie line."""
    gap = solution.gap(temperature_k)
    if gap is None:
        return False
    ends = np.array([gap.host_rich, gap.dopant_rich])
    energies = solution.free_energy(ends, temperature_k)
    ideal = SubregularSolution(0.0)
    return any(
        point.value + float(ideal.free_energy(point.fraction, temperature_k))
        < np.interp(point.fraction, ends, energies)
        for point in points
        if gap.host_rich < point.fraction < gap.dopant_rich
    )


def _solubility(solution: SubregularSolution, temperature_k: float) -> float:
    gap = solution.gap(temperature_k)
    return gap.host_rich if gap else 1.0


def _share(x: float) -> str:
    return f"{x:.2f}" if x >= 0.005 else "<0.01"


@dataclass(frozen=True)
class FormationAssessment:
    """Whether MO stays an oxide at the O2 reference.

    Attributes
    ----------
    mean_ev_per_formula, uncertainty_ev_per_formula
        Over the engines; None where no engine has a value.
    verdict, reason
        'pass' when the oxide is stable beyond the uncertainty, 'fail' when the metal is.
    """

    mean_ev_per_formula: float | None
    uncertainty_ev_per_formula: float | None
    verdict: Verdict
    reason: str


def assess_formation(
    dopant: str,
    values_ev_per_formula: Mapping[str, float],
    thresholds: Thresholds,
    too_high_ev_per_formula: float = 0.0,
) -> FormationAssessment:
    """Return the verdict on the rock-salt formation energy of one dopant.

    Parameters
    ----------
    dopant
        Symbol of M.
    values_ev_per_formula
        dEf(MO) of each engine that has one, on its best scale.
    thresholds
        Threshold and smallest uncertainty.
    too_high_ev_per_formula
        How far above the true one such values may lie, beside their uncertainty
        (`rocksalt.screening.scales.EnergyScale`): an oxide fails only where it would even then.

    Raises
    ------
    ValueError
        For a value that is not finite.
    """
    if not values_ev_per_formula:
        return FormationAssessment(None, None, "undecided", f"dEf({dopant}O) could not be computed")
    values = list(values_ev_per_formula.values())
    if not all(math.isfinite(value) for value in values):
        raise ValueError(f"dEf({dopant}O) is not a finite number")
    mean = float(np.mean(values))
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    uncertainty = max(thresholds.formation_uncertainty_ev_per_formula, spread)
    limit = thresholds.formation_energy_ev_per_formula
    number = f"dEf({dopant}O) = {mean:.2f} ± {uncertainty:.2f} eV per formula"
    if too_high_ev_per_formula:
        number += f", uncorrected: up to {too_high_ev_per_formula:.1f} eV too high"
    if mean + uncertainty < limit:
        return FormationAssessment(
            mean, uncertainty, "pass", f"stays oxidised at the O2 potential: {number}"
        )
    if mean - uncertainty - too_high_ev_per_formula > limit:
        return FormationAssessment(
            mean, uncertainty, "fail", f"leaves the rock salt as metal: {number}"
        )
    return FormationAssessment(
        mean, uncertainty, "undecided", f"oxide or metal not decided: {number}"
    )


def overall_verdict(formation: Verdict, mixing: Mapping[str, MixingVerdict | None]) -> Verdict:
    """Return a candidate's verdict from its formation energy and its mixing with each host.

    'fail' when the oxide is reduced or any host rejects it; 'pass' when everything is in favour;
    'undecided' otherwise, missing values included.
    """
    if formation == "fail" or "separates" in mixing.values():
        return "fail"
    if formation == "pass" and mixing and all(v == "mixes" for v in mixing.values()):
        return "pass"
    return "undecided"


def rules_in_words(thresholds: Thresholds, temperature_k: float) -> list[str]:
    """Return the rules of the ranking, with their thresholds, as sentences."""
    return [
        (
            "Stays oxidised, at the oxygen potential of O2: dEf(MO) plus its uncertainty lies below "
            f"{thresholds.formation_energy_ev_per_formula:g} eV per formula; the uncertainty is the "
            "standard deviation over engines, at least "
            f"{thresholds.formation_uncertainty_ev_per_formula:g} eV."
        ),
        (
            f"Mixes: the host's rock salt dissolves at least {thresholds.solubility:g} of the dopant "
            f"at {temperature_k:g} K even with dHmix raised by its uncertainty; separates: not even "
            "with dHmix lowered by it; undecided in between. Common tangent of the fitted "
            "(sub)regular solution."
        ),
        (
            "Uncertainty of dHmix: standard error of the mean over engines, and of the arrangements, at "
            f"least {1000 * thresholds.committee_mixing_uncertainty_ev_per_cation:g} meV per cation "
            f"({1000 * thresholds.one_engine_mixing_uncertainty_ev_per_cation:g} for one engine)."
        ),
        (
            "Pass: stays oxidised and mixes with every host. Fail: reduced to metal, or rejected by a "
            "host. Undecided: anything else, missing values included."
        ),
        (
            "Order: pass, undecided, fail; within each by Pareto front (largest mean dHmix over hosts "
            "and fractions, dEf(MO), and what other stages computed), then by that dHmix, lowest first."
        ),
    ]
