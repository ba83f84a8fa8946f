"""The rules that turn numbers into verdicts: each with its number, threshold and uncertainty."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import ndtri

from rocksalt.screening.mixing import (
    KB_EV_PER_K,
    MiscibilityGap,
    SubregularSolution,
    dissolves,
    fit_regular,
    fit_subregular,
)

MixingVerdict = Literal["mixes", "undecided", "separates"]
Verdict = Literal["pass", "undecided", "fail"]
VERDICT_ORDER: dict[Verdict, int] = {"pass": 0, "undecided": 1, "fail": 2}

ONE_ARRANGEMENT_ERROR = 0.8
"""Standard uncertainty of a random alloy's dHmix from one ordered arrangement, over |dHmix|."""

SEVERAL_ARRANGEMENTS_ERROR = 0.3
"""The same from the mean of several, where their spread is no larger."""

QUASI_RANDOM_ERROR = 0.2
"""The same from a quasi-random cell of 8 or 16 cations."""

LITHIATED_HOST_ERROR_EV_PER_CATION = 0.015
"""The same from quasi-random cells of three cations, in a disordered host with lithium, in squares: how
lithium and the metal are arranged differs from cell to cell, the host's own among them."""

DISTORTION_ERROR = 0.3
"""Standard uncertainty of dHmix over what the end members gain by leaving the rock-salt structure."""

ENGINE_ERROR = 0.3
"""Standard uncertainty of one potential's dHmix over |dHmix|, beside that of a small one."""

STRONG_ATTRACTION_EV_PER_CATION = -0.1
"""Below this dHmix one cation reduces the other: a spinel, a ternary oxide or a metal may be more
stable than any solid solution, which mixing alone then says nothing of."""

LIKELY = 0.84
"""Probability from which a statement counts: that of a normal quantity to lie above its mean less one
standard deviation."""


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
        Standard uncertainty of the curve at x = 1/2 that the verdict allowed for.
    probability
        That the host dissolves at least the fraction asked for, by the curve's uncertainty.
    verdict, rule
        The verdict and the comparison that gave it, in words.
    """

    solution: SubregularSolution
    fit_rms_ev_per_cation: float
    solubility_limit: float
    dopant_rich_limit: float | None
    critical_temperature_k: float
    uncertainty_ev_per_cation: float
    probability: float
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
        deviation of the enumerated arrangements around it; and the standard uncertainty of the
        value as that of a random alloy.

    Raises
    ------
    ValueError
        Without any arrangement.

    Notes
    -----
    The arrangements of a small cell are not a sample of the random alloy: their pair correlations
    differ from it all alike, and symmetry keeps many of them from relaxing. Their spread over the
    root of their number says little about the error, which is in proportion to dHmix itself. What
    covers 68 % of the differences from quasi-random cells (`benchmarks/arrangements.py`) is
    `ONE_ARRANGEMENT_ERROR` of |dHmix| for one arrangement and, for a mean of several, the larger of
    their spread and `SEVERAL_ARRANGEMENTS_ERROR` of |dHmix|. Quasi-random cells of one size differ
    from those of twice the size by `QUASI_RANDOM_ERROR` of |dHmix| where both end members are
    stable as rock salts; where they are not, see `distortion_uncertainty_ev_per_cation`.
    """
    if not enumerated and sqs is None:
        raise ValueError("no arrangement to average over")
    if not enumerated:
        assert sqs is not None
        return sqs, 0.0, QUASI_RANDOM_ERROR * abs(sqs)
    values = np.array([value for value, _ in enumerated])
    weights = np.array([float(multiplicity) for _, multiplicity in enumerated])
    best = float(np.average(values, weights=weights)) if sqs is None else sqs
    spread = math.sqrt(float(np.average((values - best) ** 2, weights=weights)))
    if sqs is not None:
        return sqs, spread, QUASI_RANDOM_ERROR * abs(sqs)
    share = ONE_ARRANGEMENT_ERROR if len(values) == 1 else SEVERAL_ARRANGEMENTS_ERROR
    return best, spread, max(spread, share * abs(best))


def distortion_uncertainty_ev_per_cation(
    fraction: float, dopant_gain_ev_per_formula: float, host_gain_ev_per_formula: float
) -> float:
    """Return the standard uncertainty of dHmix from end members that are unstable as rock salts.

    An oxide that gains much by leaving Fm-3m has many minima, and which one a relaxation finds, of
    the oxide and of its mixtures, depends on the cell: dHmix then differs from cell to cell by a
    share of that gain.

    Parameters
    ----------
    fraction
        The dopant's share of the cations.
    dopant_gain_ev_per_formula, host_gain_ev_per_formula
        What each end member gains in a larger cell over the primitive one, 0 or positive.

    Notes
    -----
    `DISTORTION_ERROR` of the gain, weighted with the shares, covers 68 % of the differences between
    quasi-random cells of 8, 16 and 32 cations (`benchmarks/arrangements.py`).
    """
    gain = fraction * dopant_gain_ev_per_formula + (1 - fraction) * host_gain_ev_per_formula
    return DISTORTION_ERROR * gain


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
    by_engine: Mapping[str, Sequence[PointValue]],
    thresholds: Thresholds,
    relative_error: float = ENGINE_ERROR,
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
    relative_error
        Error of a single engine over |dHmix|; several show theirs.

    Raises
    ------
    ValueError
        For a value or an uncertainty that is not finite.

    Notes
    -----
    The standard error of a mean over engines is their standard deviation over the root of their
    number; the mean of the engines' own uncertainties, of the arrangements and the end members, is
    added in squares. The uncertainty of the curve at x = 1/2 is the standard error of the engines'
    own curves there, no less than the error measured for such a mean, which the engines' common
    errors set, and in squares the curve that the engines' own uncertainties would give if they were
    errors of one sign. One engine has the error measured for one, in squares with `relative_error`
    of its curve: `ENGINE_ERROR` covers what one of six potentials differs by from the mean of the
    others (`benchmarks/engines.py`).
    """
    engines = [points for points in by_engine.values() if points]
    for point in (p for points in engines for p in points):
        if not (math.isfinite(point.value) and math.isfinite(point.uncertainty)):
            raise ValueError(f"dHmix at x = {point.fraction:g} is not a finite number")
    tables = [{round(p.fraction, 9): p for p in points} for points in engines]
    common = set.intersection(*(set(table) for table in tables)) if tables else set()
    if not common:  # then each engine's points are all that there is
        common = {fraction for table in tables for fraction in table}
    fractions = sorted(common)
    members = [[t[fraction] for t in tables if fraction in t] for fraction in fractions]
    values = [float(np.mean([p.value for p in some])) for some in members]
    between = [_standard_error([p.value for p in some]) for some in members]
    within = [float(np.mean([p.uncertainty for p in some])) for some in members]
    combined = [
        PointValue(fraction, value, math.hypot(*errors))
        for fraction, value, *errors in zip(fractions, values, between, within, strict=True)
    ]
    own = _at_half(fractions, within)
    whole = [[t[f].value for f in fractions] for t in tables if all(f in t for f in fractions)]
    least = thresholds.one_engine_mixing_uncertainty_ev_per_cation
    if len(engines) > 1:
        least = max(
            thresholds.committee_mixing_uncertainty_ev_per_cation, least / math.sqrt(len(engines))
        )
        if len(whole) == len(engines):
            of_engines = _standard_error([_at_half(fractions, each) for each in whole])
        else:  # an error at x is one of 1 / (4x(1-x)) times its size at one half
            of_engines = max(e / (4 * x * (1 - x)) for x, e in zip(fractions, between, strict=True))
        error = max(least, of_engines)
    else:
        error = math.hypot(least, relative_error * _at_half(fractions, np.abs(values).tolist()))
    uncertainty = math.hypot(error, own)
    tilt = _asymmetry_uncertainty(engines, math.hypot(least, own))
    return CombinedMixing(combined, uncertainty, tilt)


def _at_half(fractions: Sequence[float], values: Sequence[float]) -> float:
    """Return the regular solution through values at x = 1/2; 0 without any."""
    return fit_regular(fractions, values)[0].l0 / 4 if fractions else 0.0


def _standard_error(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else 0.0


def _asymmetry_uncertainty(
    engines: Sequence[Sequence[PointValue]], common_ev_per_cation: float
) -> float:
    """Return the standard uncertainty of l1: over the engines' own fits, or from common errors.

    The larger counts. ``common_ev_per_cation`` is the error at x = 1/2 that engines share, which may
    differ from fraction to fraction and tilt all curves alike: agreement alone does not make a tilt
    sure. What they do not share is in their own fits.
    """
    able = [points for points in engines if len({round(p.fraction, 9) for p in points}) > 1]
    if not able:
        return math.inf
    fits = [fit_subregular([p.fraction for p in e], [p.value for p in e])[0].l1 for e in able]
    covariance = _covariance([p.fraction for p in able[0]])
    propagated = common_ev_per_cation * math.sqrt(covariance[1, 1])
    return max(propagated, _standard_error(fits))


def _covariance(fractions: Sequence[float]) -> NDArray[np.float64]:
    """Return the covariance of l0 and l1 fitted to points with independent errors of 4x(1-x)."""
    x = np.asarray(fractions)
    design = np.column_stack([x * (1 - x), x * (1 - x) * (1 - 2 * x)])
    weighted = np.linalg.pinv(design) * (4 * x * (1 - x))
    return weighted @ weighted.T


def assess_mixing(
    combined: CombinedMixing,
    temperature_k: float,
    thresholds: Thresholds,
    dopant: str,
    host: str,
    engine_verdicts: Collection[MixingVerdict | None] = (),
    *,
    near_hull: bool = False,
) -> MixingAssessment:
    """Return solubility, critical temperature and verdict of one pair.

    A subregular solution is fitted (a regular one where the asymmetry is not known). Its
    uncertainty gives the probability that the solubility limit reaches the threshold: the curve is
    shifted as a whole by the uncertainty at x = 1/2, and tilted by that of the asymmetric term. A
    pair mixes with a probability of at least `LIKELY` and separates with one of at most
    1 - `LIKELY`, unless the computed points object, compared with each other by ideal entropy alone:

    - a pair separates only where a computed mixture in the gap lies above the tie lines of the others
      and the end members by more than its uncertainty: otherwise the gap is the fitted cubic's alone.
      With a single fraction the curve is all that there is;
    - a mixture that lies above such a tie line by more than its uncertainty, while the host-rich end
      of that line has less of the dopant than asked for, speaks against mixing;
    - where dHmix falls below `STRONG_ATTRACTION_EV_PER_CATION`, one cation reduces the other. That is
      no mark of a solid solution, so the pair does not mix by dHmix alone, only where the mixture was
      found near the hull of all phases. Nor does it separate because of a tie line to such a
      mixture: the dopant is held then, if not dissolved.

    Engines of which one says 'mixes' and another 'separates', each with its own uncertainty, leave
    the pair undecided.

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
    near_hull
        A mixture with the fraction asked for was found near enough to the hull of all phases.

    Raises
    ------
    ValueError
        Without points, or for a temperature that is not positive.
    """
    fractions = [p.fraction for p in combined.points]
    values = [p.value for p in combined.points]
    fit = fit_subregular if math.isfinite(combined.asymmetry_uncertainty_ev) else fit_regular
    solution, rms = fit(fractions, values)
    # Points that the curve misses by more than their uncertainty leave the curve no surer.
    uncertainty_ev_per_cation = max(combined.uncertainty_ev_per_cation, rms)
    if not math.isfinite(uncertainty_ev_per_cation):
        raise ValueError(f"the uncertainty of dHmix of {dopant} and {host} is not finite")
    gap = solution.gap(temperature_k)
    asked = thresholds.solubility
    l0, l1 = _drawn(solution, combined, uncertainty_ev_per_cation, rms)
    probability = float(dissolves(l0, l1, asked, temperature_k).mean())
    verdict, objection = _decide(combined, probability, gap, temperature_k, asked)
    if verdict == "mixes" and not near_hull and min(values) < STRONG_ATTRACTION_EV_PER_CATION:
        verdict = "undecided"
        objection = (
            f"; but dHmix falls to {1000 * min(values):.0f} meV per cation, which is no mark of a solid "
            "solution: see how far above the hull it is"
        )
    if {"mixes", "separates"} <= set(engine_verdicts):
        verdict, objection = "undecided", "; engines contradict each other"
    solubility = gap.host_rich if gap else 1.0
    rule = (
        f"solubility of {dopant} in {host}O at {temperature_k:g} K is {_share(solubility)}, at "
        f"least {asked:g} with a probability of {_percent(probability)} "
        f"(dHmix ± {1000 * uncertainty_ev_per_cation:.0f} meV per cation){objection}"
    )
    if rms > KB_EV_PER_K * temperature_k / 2:  # as much as decides about mixing
        rule += f"; the curve misses the points by {1000 * rms:.0f} meV"
    return MixingAssessment(
        solution=solution,
        fit_rms_ev_per_cation=rms,
        solubility_limit=solubility,
        dopant_rich_limit=gap.dopant_rich if gap else None,
        critical_temperature_k=solution.critical_point()[0],
        uncertainty_ev_per_cation=uncertainty_ev_per_cation,
        probability=probability,
        verdict=verdict,
        rule=rule,
    )


@cache
def _normal_pairs() -> NDArray[np.float64]:
    """Return 256 pairs of independent standard normal quantities, shape (2, 256), always the same.

    Sobol's points in the middle of their cells: each quantity alone has exactly its 256 quantiles.
    """
    from scipy.stats.qmc import Sobol  # takes half a second to import

    return ndtri(Sobol(2, scramble=False).random_base2(8) + 1 / 512).T


def _drawn(
    solution: SubregularSolution,
    combined: CombinedMixing,
    uncertainty_ev_per_cation: float,
    rms_ev_per_cation: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return l0 and l1 of solutions that are as probable as the fitted one is sure.

    Shift and tilt are independent where the tilt turns the curve about the middle of the fractions:
    at x = 1/2 where they are symmetric.
    """
    shift, tilt = _normal_pairs()
    l0 = solution.l0 + 4 * uncertainty_ev_per_cation * shift
    fractions = [p.fraction for p in combined.points]
    if len(fractions) == 1 or not math.isfinite(combined.asymmetry_uncertainty_ev):
        return l0, np.full_like(l0, solution.l1)
    covariance = _covariance(fractions)
    of_misfit = rms_ev_per_cation * math.sqrt(covariance[1, 1])
    change = max(combined.asymmetry_uncertainty_ev, of_misfit) * tilt
    return l0 + change * covariance[0, 1] / covariance[1, 1], solution.l1 + change


@dataclass(frozen=True)
class _TieLine:
    """A computed mixture, and the lowest tie line of the others and the end members under it.

    ``above_ev`` is how far dGmix of the mixture lies above that line, eV per cation.
    """

    fraction: float
    host_rich: float
    dopant_rich: float
    above_ev: float
    uncertainty_ev: float


def _tie_lines(
    combined: CombinedMixing, temperature_k: float, *, to_attracting: bool = True
) -> list[_TieLine]:
    """Return each computed mixture's, with the points' own values and ideal entropy.

    Parameters
    ----------
    to_attracting
        Whether a line may end, on the dopant's side, at a mixture of strong attraction.
    """
    ideal = SubregularSolution(0.0)
    g = {
        p.fraction: p.value + float(ideal.free_energy(p.fraction, temperature_k))
        for p in combined.points
    }
    g |= {0.0: 0.0, 1.0: 0.0}
    ends = {0.0, 1.0} | {
        p.fraction
        for p in combined.points
        if to_attracting or p.value >= STRONG_ATTRACTION_EV_PER_CATION
    }

    def error(x: float) -> float:
        return 4 * x * (1 - x) * combined.uncertainty_ev_per_cation

    def tie_line(x: float, a: float, b: float) -> _TieLine:
        share = (b - x) / (b - a)
        return _TieLine(
            fraction=x,
            host_rich=a,
            dopant_rich=b,
            above_ev=g[x] - share * g[a] - (1 - share) * g[b],
            uncertainty_ev=math.hypot(error(x), share * error(a), (1 - share) * error(b)),
        )

    found = []
    for x in (p.fraction for p in combined.points):
        pairs = product((a for a in g if a < x), [b for b in ends if b > x])
        found.append(max((tie_line(x, a, b) for a, b in pairs), key=lambda t: t.above_ev))
    return found


def _decide(
    combined: CombinedMixing,
    probability: float,
    gap: MiscibilityGap | None,
    temperature_k: float,
    asked: float,
) -> tuple[MixingVerdict, str]:
    """Return the verdict and what the computed mixtures object to it, in words."""
    if probability >= LIKELY:
        ties = _tie_lines(combined, temperature_k)
        shown = [t for t in ties if t.above_ev > t.uncertainty_ev]
        against = [t for t in shown if t.host_rich < asked - 1e-9]
        if not against:
            return "mixes", ""
        worst = max(against, key=lambda t: t.above_ev)
        return "undecided", (
            f"; but the mixture at {worst.fraction:g} lies {1000 * worst.above_ev:.0f} meV per "
            f"cation above the tie line from {worst.host_rich:g} to {worst.dopant_rich:g}"
        )
    if probability > 1 - LIKELY:
        return "undecided", ""
    ties = _tie_lines(combined, temperature_k, to_attracting=False)
    in_gap = [t for t in ties if gap and gap.host_rich < t.fraction < gap.dopant_rich]
    if len(ties) == 1 or any(t.above_ev > t.uncertainty_ev for t in in_gap):
        return "separates", ""
    lowest = min(combined.points, key=lambda p: p.value)
    if in_gap and lowest.value < STRONG_ATTRACTION_EV_PER_CATION:
        return "undecided", (
            f"; but what takes the dopant there is a mixture too: at {lowest.fraction:g} dHmix is "
            f"{1000 * lowest.value:.0f} meV per cation"
        )
    if gap and not in_gap:
        return "undecided", "; but the gap lies between computed fractions"
    return "undecided", (
        "; but no mixture in the gap lies above the tie lines of the others by more than its "
        "uncertainty"
    )


def _share(x: float) -> str:
    return f"{x:.2f}" if x >= 0.005 else "<0.01"


def _percent(probability: float) -> str:
    if probability < 0.01:
        return "<1 %"
    return f"{100 * probability:.0f} %" if probability <= 0.99 else ">99 %"


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
            f"at {temperature_k:g} K with a probability of {100 * LIKELY:g} % or more, by the "
            "uncertainty of dHmix and of its asymmetry, and no computed mixture lies above the tie "
            f"lines of the others by more than its own; separates: with {100 * (1 - LIKELY):.0f} % or "
            "less, and a computed mixture in the gap lies above such a line; undecided otherwise, and where "
            f"dHmix falls below {1000 * STRONG_ATTRACTION_EV_PER_CATION:g} meV per cation: one cation then "
            "reduces the other, and the energy above the hull has to tell. "
            "Common tangent of the fitted (sub)regular solution, with ideal entropy."
        ),
        (
            "Uncertainty of dHmix: standard error of the mean over engines; of the arrangements "
            f"({ONE_ARRANGEMENT_ERROR:g} of |dHmix| from one ordered one, the spread and at least "
            f"{SEVERAL_ARRANGEMENTS_ERROR:g} from several, {QUASI_RANDOM_ERROR:g} from a quasi-random one); "
            f"{DISTORTION_ERROR:g} of what an end member gains by leaving the rock-salt structure, times its "
            "share; with a DFT code that of the end members' magnetic order; at "
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
