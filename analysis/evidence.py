"""Whether a measurement agrees with what the screen predicts of a dopant, by stated rules."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from rocksalt.analysis.quantities import Quantity

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
) -> Evidence:
    """Return whether a measurement agrees with the prediction about a dopant.

    The one rule: XANES at an edge of the dopant gives its mean valence; below 1 by two standard
    uncertainties it is metallic, above 1 by as much oxidised. Predictions come from the criteria on
    oxidation, since a dopant that does not mix may leave as metal or as an oxide of its own.

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
    """
    if technique != "xanes":
        why = SILENT.get(technique)
        return Evidence(
            "silent",
            f"no rule relates {technique} to a prediction" + (f": {why}" if why else ""),
        )
    if not edge or edge.split()[0] != dopant:
        return Evidence(
            "silent", f"measured at the edge {edge or 'of nobody knows what'}, not {dopant}'s"
        )
    valence = values.get("mean_valence")
    if valence is None:
        return Evidence("silent", "no mean valence: give references and their valences")
    reach = N_UNCERTAINTIES * (valence.uncertainty or 0.0)
    number = f"mean valence {valence.value:.2f}"
    if valence.uncertainty:
        digits = max(2, -math.floor(math.log10(valence.uncertainty)))
        number = f"mean valence {valence.value:.{digits}f} ± {valence.uncertainty:.{digits}f}"
    if abs(valence.value - BETWEEN_METAL_AND_OXIDE) <= reach or valence.uncertainty is None:
        return Evidence("silent", f"{number} does not tell metal from oxide")
    found = "metal" if valence.value < BETWEEN_METAL_AND_OXIDE else "oxide"
    expected = expected_state(criteria)
    if expected is None:
        return Evidence("silent", f"{number}: {found}; the screen has not decided which to expect")
    relation: Relation = "consistent" if found == expected else "contradicts"
    return Evidence(relation, f"{number}: {found}; the screen expects {expected}")
