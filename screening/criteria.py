"""The criteria beyond mixing: metal in the host's window, above the hull, oxygen retention."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rocksalt.screening.elements import mixture_formula
from rocksalt.screening.verdicts import Thresholds, Verdict


@dataclass(frozen=True)
class Criterion:
    """What one criterion says of a dopant.

    Attributes
    ----------
    verdict
        None when the criterion was not computed; then it decides nothing.
    reason
        Number, threshold and uncertainty in words.
    value, uncertainty
        Mean over the engines and its uncertainty, in the criterion's own unit; None where there is
        no number.
    """

    verdict: Verdict | None
    reason: str
    value: float | None = None
    uncertainty: float | None = None


@dataclass(frozen=True)
class WindowEdges:
    """Where a host's rock salt HO is stable, and where a dopant is metal, in dmu_O, eV.

    Attributes
    ----------
    from_ev, to_ev
        Window of HO.
    metal_below_ev
        Highest potential at which a phase without oxygen holds the dopant.
    """

    from_ev: float
    to_ev: float
    metal_below_ev: float


def assess_window(
    dopant: str,
    host: str,
    computed: Mapping[str, WindowEdges | None],
    measured: WindowEdges | None,
    thresholds: Thresholds,
    uncorrected: Collection[str] = (),
) -> Criterion:
    """Return whether a dopant stays oxidised wherever the host's rock salt is stable.

    'pass' when every engine and the measured enthalpies put the dopant's metal below the window of HO
    by more than the uncertainty, 'fail' when all put it above; an engine without an answer (HO is
    not on its hull) leaves it undecided. Measured enthalpies need not exist.

    Parameters
    ----------
    dopant, host
        For the words.
    computed
        By engine; None where HO is on no hull.
    measured
        The same from measured formation enthalpies.
    thresholds
        Uncertainty of the edges.
    uncorrected
        Engines whose oxides lie too high by differing amounts: they have no vote, and leave it to
        measured enthalpies.
    """
    if not computed and not (uncorrected and measured):
        why = (
            f"energies of {', '.join(sorted(uncorrected))} are uncorrected and do not tell"
            if uncorrected
            else "not computed"
        )
        return Criterion("undecided", f"{dopant} where {host}O is stable: {why}")
    sources = {**computed, **({"measured": measured} if measured else {})}
    margin = thresholds.window_uncertainty_ev
    said, verdicts = [], set()
    for source, edges in sources.items():
        if edges is None:
            said.append(f"{source}: {host}O is not stable")
            verdicts.add("unknown")
            continue
        said.append(
            f"{source}: metal below {edges.metal_below_ev:.2f}, {host}O from {edges.from_ev:.2f} to "
            f"{edges.to_ev:.2f} eV"
        )
        if edges.metal_below_ev < edges.from_ev - margin:
            verdicts.add("oxide")
        else:
            verdicts.add("metal" if edges.metal_below_ev > edges.to_ev + margin else "between")
    numbers = f"{'; '.join(said)}; edges ± {margin:g} eV in dmu_O"
    if verdicts == {"oxide"}:
        return Criterion("pass", f"{dopant} stays oxidised wherever {host}O is stable ({numbers})")
    if verdicts == {"metal"}:
        return Criterion("fail", f"{dopant} is metal wherever {host}O is stable ({numbers})")
    return Criterion(
        "undecided", f"{dopant} is not clearly oxide or metal where {host}O is stable ({numbers})"
    )


def assess_above_hull(
    dopant: str,
    host: str,
    fraction: float,
    values: Mapping[str, float],
    thresholds: Thresholds,
    *,
    may_be_too_high: bool = False,
) -> Criterion:
    """Return whether a mixture lies near enough to the hull of M-H-O to form.

    Parameters
    ----------
    dopant, host, fraction
        Of the mixture, for the words.
    values
        Energy above the hull of its lowest arrangement in eV per atom, by engine.
    thresholds
        Largest energy above the hull, and smallest uncertainty.
    may_be_too_high
        The values are of uncorrected energies: a mixture may pass by them, not fail.

    Notes
    -----
    Nine in ten of the metastable inorganic crystals that have been made lie within 67 meV per atom
    of the hull: Sun et al., Sci. Adv. 2, e1600225 (2016).
    """
    if not values:
        return Criterion("undecided", f"hull of {dopant}-{host}-O: not computed")
    value, uncertainty = _mean(values.values(), thresholds.above_hull_uncertainty_ev_per_atom)
    limit = thresholds.above_hull_ev_per_atom
    said = (
        f"{mixture_formula(dopant, host, fraction)} lies {1000 * value:.0f} ± "
        f"{1000 * uncertainty:.0f} meV per atom above the hull; {1000 * limit:g} are allowed"
    )
    verdict = _verdict(limit - value, uncertainty)
    if may_be_too_high:
        said += ", by uncorrected energies, which may put it too high"
        verdict = "undecided" if verdict == "fail" else verdict
    return Criterion(verdict, said, value, uncertainty)


def assess_retention(dopant: str, values: Mapping[str, float], thresholds: Thresholds) -> Criterion:
    """Return whether a dopant holds the oxygen of the layered oxide.

    Parameters
    ----------
    dopant
        For the words.
    values
        Change of the lowest vacancy formation energy in eV, by engine; positive holds oxygen.
    thresholds
        Smallest change, and smallest uncertainty.
    """
    if not values:
        return Criterion("undecided", f"oxygen retention with {dopant}: not computed")
    value, uncertainty = _mean(values.values(), thresholds.oxygen_retention_uncertainty_ev)
    limit = thresholds.oxygen_retention_ev
    said = (
        f"the lowest vacancy energy changes by {value:+.2f} ± {uncertainty:.2f} eV with {dopant}; "
        f"{limit:g} eV are allowed"
    )
    return Criterion(_verdict(value - limit, uncertainty), said, value, uncertainty)


def _mean(values: Iterable[float], floor: float) -> tuple[float, float]:
    array = np.array(list(values), dtype=float)
    spread = float(np.std(array, ddof=1)) if len(array) > 1 else 0.0
    return float(array.mean()), max(floor, spread)


def _verdict(margin: float, uncertainty: float) -> Verdict:
    """Return 'pass' for a margin above its uncertainty, 'fail' for one as far below zero."""
    if margin > uncertainty:
        return "pass"
    return "fail" if margin < -uncertainty else "undecided"


def stage_rules(thresholds: Thresholds, stages: Collection[str]) -> list[str]:
    """Return the rules of the stages beyond the rock salt, with their thresholds, as sentences."""
    rules = []
    if "hull" in stages:
        rules += [
            (
                "Oxide in the host's window: over the oxygen potentials at which HO is stable, at M:H = "
                "1:1, no stable phase holds M without oxygen; fail where one does everywhere. The edges "
                f"are uncertain by {thresholds.window_uncertainty_ev:g} eV. Engines and measured "
                "enthalpies (a hull of their own) must agree."
            ),
            (
                "Near the hull of M-H-O: the lowest mixture at the fraction nearest to the solubility "
                f"asked for lies less than {1000 * thresholds.above_hull_ev_per_atom:g} meV per atom "
                "above it; the uncertainty is the standard deviation over engines, at least "
                f"{1000 * thresholds.above_hull_uncertainty_ev_per_atom:g} meV."
            ),
        ]
    if "oxygen-vacancy" in stages:
        rules.append(
            "Retains oxygen: the lowest vacancy formation energy beside the dopant, less the lowest "
            f"without it, is more than {thresholds.oxygen_retention_ev:g} eV; uncertainty as above, at "
            f"least {thresholds.oxygen_retention_uncertainty_ev:g} eV."
        )
    if rules:
        rules.append(
            "A criterion that fails fails the dopant; to pass, all that were computed pass."
        )
    return rules


def combined_verdict(*verdicts: Verdict | None) -> Verdict:
    """Return 'fail' if any criterion fails, 'pass' if all that were computed pass."""
    known = [v for v in verdicts if v is not None]
    if "fail" in known:
        return "fail"
    return "pass" if known and all(v == "pass" for v in known) else "undecided"


def pareto_fronts(objectives: Sequence[Sequence[float]]) -> list[int]:
    """Return the number of the Pareto front of each candidate, 1 for those that none surpasses.

    Parameters
    ----------
    objectives
        (n_candidates, n_objectives), each to be as small as possible.

    Returns
    -------
    list of int
        A candidate of front 2 is surpassed by one of front 1 in every objective or equal to it in
        some and better in another; and so on.
    """
    points = np.asarray(objectives, dtype=float)
    fronts = [0] * len(points)
    left = list(range(len(points)))
    number = 0
    while left:
        number += 1
        best = [
            i
            for i in left
            if not any(
                (points[j] <= points[i]).all() and (points[j] < points[i]).any() for j in left
            )
        ]
        for i in best:
            fronts[i] = number
        left = [i for i in left if i not in best]
    return fronts
