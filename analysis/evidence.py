"""Whether a measurement agrees with what the screen predicts of a dopant, by stated rules."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from rocksalt.analysis.quantities import Quantity
from rocksalt.screening.elements import host_cations

Relation = Literal["consistent", "contradicts", "silent"]

BETWEEN_METAL_AND_OXIDE = 1.0
"""Mean valence: halfway between the metal and the 2+ of the rock salt."""

SILENT = {
    "xrd": "texture changes I(003)/I(104) as much as cation mixing does, and engines err in lattice "
    "constants as much as a dopant changes them: compare the lines with the prediction",
    "soft-xas": "a yield is of the host's metal or of oxygen, whose valences the screen does not predict",
    "txm": "the phases of the map are states of the host's metal, not of the dopant",
    "eels": "white lines give a valence by references whose error the fractions do not hold",
    "xps": "the shares of overlapping components depend on their positions and widths",
    "tof-sims": "counts of secondary ions are no amounts",
}
"""Why a technique that has no rule has none, where that is not plain."""

N_UNCERTAINTIES = 2.0
"""A valence is on one side only when so many standard uncertainties do not reach the other."""

LARGEST_R_FACTOR = 0.02
"""Above it a sum of references is not the sample: XANES at an edge does not speak then.

Measured with oxides of Mn and Fe, by this package and within -15 to 80 eV of the edge: Fe3O4 as FeO and
Fe2O3, which it is to a hundredth of a charge, leaves 0.0006; without a reference for the sample's own
species 0.010 to 0.016 goes with a mean valence that is up to half a charge off, 0.026 (MnO2) to 0.075
(MnO) with a whole one or more. Half a charge does not take an oxide past the border of 1, two do.
"""

UNEVEN_BY_OTHER_REASONS = 0.1
"""Relative standard deviation of a local share that absorption, channelling and background may give."""

PART_OF_TWO_PHASES = 0.5
"""A spread below this part of that of two pure phases, each larger than a bin, is not that of them."""

DOMAIN_NM = 10.0
"""Two phases are taken to have domains of at least this size: larger bins may average over them."""


@dataclass(frozen=True)
class Mapped:
    """What a map of elements must be known to show before it is compared.

    Attributes
    ----------
    host
        Of the sample, as in a campaign; None where the sample names none.
    elements
        Whose counts were mapped, the one whose share is given first.
    solubility
        The screen's solubility limit of the dopant in the host; None where it has none.
    """

    host: str | None = None
    elements: Collection[str] = ()
    solubility: float | None = None


@dataclass(frozen=True)
class Evidence:
    """What a measurement says about a prediction.

    Attributes
    ----------
    relation
        'silent' where no rule relates the two, or one of them is not decided.
    why
        The rule with its numbers, in words.
    """

    relation: Relation
    why: str


def expected_state(criteria: Mapping[str, str | None]) -> Literal["metal", "oxide"] | None:
    """Return what the screen expects of a dopant in the reconstructed surface.

    'metal' when it does not stay oxidised at the O2 potential or is metal wherever a host's rock salt is
    stable; 'oxide' when it stays oxidised by every criterion that was computed; None in between.

    Parameters
    ----------
    criteria
        Verdicts of a candidate by criterion.
    """
    about = [
        verdict
        for name, verdict in criteria.items()
        if name == "stays oxidised" or name.startswith("oxide in ")
    ]
    if "fail" in about:
        return "metal"
    return "oxide" if about and all(verdict == "pass" for verdict in about) else None


def judge(
    dopant: str,
    criteria: Mapping[str, str | None],
    technique: str,
    edge: str | None,
    values: Mapping[str, Quantity],
    mapped: Mapped | None = None,
) -> Evidence:
    """Return whether a measurement agrees with the prediction about a dopant.

    Two rules. XANES at an edge of the dopant gives its mean valence; below 1 by two standard
    uncertainties it is metallic, above 1 by as much oxidised. It does not speak by one reference alone,
    whose fraction is 1 whatever the sample is, nor without an uncertainty, nor by a fit with an R factor
    above `LARGEST_R_FACTOR`. Predictions come from the criteria on
    oxidation, since a dopant that does not mix may leave as metal or as an oxide of its own. A map of
    the dopant's share finds it segregated or uniform, beside the criterion on mixing with the sample's
    host (`mapped_evenly`).

    Parameters
    ----------
    dopant
        Symbol of the candidate.
    criteria
        Its verdicts by criterion.
    technique, edge
        What was measured, and for XANES at which edge ('Ru K').
    values
        Quantities of the analysis.
    mapped
        For element maps.
    """
    if technique == "xanes":
        return _oxidised(dopant, criteria, edge, values)
    if technique == "element-map":
        return mapped_evenly(dopant, criteria, values, mapped or Mapped())
    why = SILENT.get(technique)
    return Evidence(
        "silent",
        f"no rule relates {technique} to a prediction" + (f": {why}" if why else ""),
    )


def _oxidised(
    dopant: str,
    criteria: Mapping[str, str | None],
    edge: str | None,
    values: Mapping[str, Quantity],
) -> Evidence:
    if not edge or edge.split()[0] != dopant:
        return Evidence(
            "silent", f"measured at the edge {edge or 'of nobody knows what'}, not {dopant}'s"
        )
    fractions = [name for name in values if name.startswith("fraction_")]
    if len(fractions) == 1:
        only = fractions[0].removeprefix("fraction_")
        return Evidence(
            "silent",
            f"{only} is the only reference, whose fraction is 1 whatever the sample is: give references "
            "of metal and oxide",
        )
    valence = values.get("mean_valence")
    if valence is None:
        return Evidence("silent", "no mean valence: give references and their valences")
    if not valence.uncertainty:
        return Evidence(
            "silent",
            f"mean valence {valence.value:.2f} has no uncertainty, by which metal is told from oxide",
        )
    digits = max(2, -math.floor(math.log10(valence.uncertainty)))
    number = f"mean valence {valence.value:.{digits}f} ± {valence.uncertainty:.{digits}f}"
    misfit = values.get("r_factor")
    if misfit is None or not misfit.value <= LARGEST_R_FACTOR:
        size = "no R factor" if misfit is None else f"an R factor of {misfit.value:.2g}"
        return Evidence(
            "silent",
            f"{number} is of a fit with {size} (up to {LARGEST_R_FACTOR:g} it speaks): the sample is not "
            "a sum of these references",
        )
    if abs(valence.value - BETWEEN_METAL_AND_OXIDE) <= N_UNCERTAINTIES * valence.uncertainty:
        return Evidence("silent", f"{number} does not tell metal from oxide")
    found = "metal" if valence.value < BETWEEN_METAL_AND_OXIDE else "oxide"
    expected = expected_state(criteria)
    if expected is None:
        return Evidence("silent", f"{number}: {found}; the screen has not decided which to expect")
    relation: Relation = "consistent" if found == expected else "contradicts"
    return Evidence(relation, f"{number}: {found}; the screen expects {expected}")


def mapped_evenly(
    dopant: str,
    criteria: Mapping[str, str | None],
    values: Mapping[str, Quantity],
    mapped: Mapped,
) -> Evidence:
    """Return whether a map of a dopant's share agrees with the criterion on mixing with the host.

    Two pure phases of the mean share c, each larger than a bin, give a relative standard deviation of
    sqrt((1 - c) / c). *Uniform* is a map whose excess is zero within its bounds and whose upper bound is
    below `PART_OF_TWO_PHASES` of that; *segregated* one whose lower bound is above
    `UNEVEN_BY_OTHER_REASONS`. Predicted to mix, a segregated map contradicts only up to the solubility
    limit; predicted to separate, a uniform one only above it, and in bins no larger than `DOMAIN_NM`.

    Parameters
    ----------
    dopant, criteria, values, mapped
        As of `judge`.
    """
    if not mapped.elements or next(iter(mapped.elements)) != dopant:
        return Evidence("silent", f"the map is not of {dopant}'s share")
    if mapped.host is None:
        return Evidence("silent", "the sample names no host that the dopant would mix with")
    metals = set(host_cations(mapped.host)) - {"Li"}
    if not metals <= set(mapped.elements):
        return Evidence(
            "silent", f"the map lacks the host's {', '.join(sorted(metals - set(mapped.elements)))}"
        )
    needed = ("mean_share", "relative_deviation_lower", "relative_deviation_upper")
    if any(name not in values for name in needed):
        return Evidence("silent", "the map gives no bounds of its spread")
    share, lower, upper = (values[name].value for name in needed)
    two_phases = math.sqrt((1 - share) / share)
    number = (
        f"share {share:.3g}, varying by {100 * lower:.3g} to {100 * upper:.3g} percent of it beyond counting "
        f"(two phases: {100 * two_phases:.3g})"
    )
    if lower > UNEVEN_BY_OTHER_REASONS:
        found = "segregated"
    elif lower > 0:
        return Evidence(
            "silent", f"{number}: no more than absorption and background may do by themselves"
        )
    elif upper < PART_OF_TWO_PHASES * two_phases:
        found = "uniform"
    else:
        return Evidence("silent", f"{number}: too few counts to tell uniform from segregated")
    verdict = criteria.get(f"mixes with {mapped.host}O")
    if verdict not in {"pass", "fail"}:
        return Evidence(
            "silent",
            f"{number}: {found}; the screen has not decided whether it mixes with {mapped.host}O",
        )
    expected = "mixes with" if verdict == "pass" else "separates from"
    said = f"{number}: {found}; the screen expects that it {expected} {mapped.host}O"
    if (found == "uniform") == (verdict == "pass"):
        return Evidence("consistent", said)
    limit = mapped.solubility
    if verdict == "pass" and limit is not None and share > limit:
        return Evidence(
            "silent", f"{said} up to a fraction of {limit:.3g}, which the share exceeds"
        )
    if verdict == "fail":
        if limit is not None and share <= limit:
            return Evidence(
                "silent", f"{said} above a fraction of {limit:.3g}, which it stays below"
            )
        edge = values.get("bin_edge")
        if edge is None or edge.unit != "nm" or edge.value > DOMAIN_NM:
            size = f"of {edge.value:g} nm" if edge and edge.unit == "nm" else "of unknown size"
            return Evidence("silent", f"{said}, but bins {size} may average over domains")
    return Evidence("contradicts", said)
