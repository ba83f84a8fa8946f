"""How far arrangements are from a random alloy's mixing enthalpy.

Reads the pairs of a store's campaign that have both enumerated arrangements and a quasi-random one,
whose dHmix stands for the random alloy's. Prints, of every kind of estimate, the error that 68 % of
the cases stay below, absolute and over |dHmix| of the estimate, and the share of cases that
the uncertainty of a verdict covers. Pairs of which an end member gains more than 10 meV per formula by
leaving the rock-salt structure, weighted with its share, are apart ("distorting"). With
`supercell: {enumerated: 8, sqs: 16}` a campaign has means of several arrangements, with
`{enumerated: 4, sqs: 8}` one arrangement at each of 1/4, 1/2 and 3/4. Against the quasi-random
cells of another campaign of the same pairs, the campaign's own are an estimate too.

An end member is tried in the cells of its campaign. What its lowest energy in any of the campaigns is
below that is an error of the estimate too: references are of the lowest.

    python benchmarks/arrangements.py --store results.sqlite --campaign lin2019
    python benchmarks/arrangements.py --store results.sqlite --campaign small --against large
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence

import numpy as np

from rocksalt.screening.elements import host_cations
from rocksalt.screening.verdicts import (
    LITHIATED_HOST_ERROR_EV_PER_CATION,
    distortion_uncertainty_ev_per_cation,
    random_alloy_value,
)
from rocksalt.stores.documents import FormationEnergyDoc, MixingDoc
from rocksalt.stores.opening import open_store

ONE_STANDARD_DEVIATION = 0.683

STEADY_EV_PER_FORMULA = 0.01
"""An end member that gains less by a distortion counts as a stable rock salt."""


Case = tuple[float, float, float, float]
"""Fraction, estimate of dHmix, its uncertainty, and the value of the quasi-random cell."""


def pairs_of(address: str, campaign: str) -> list[MixingDoc]:
    """Return the pairs of one campaign."""
    store = open_store(address)
    criteria = {"metadata.kind": "mixing", "metadata.campaign": campaign}
    found = [MixingDoc.model_validate(d["output"]) for d in store.query(criteria)]
    store.close()
    return found


Gains = Mapping[tuple[str, str], float]
"""What each MO gains by leaving rock salt, eV per formula, by engine and cation."""


def gains_of(address: str, campaign: str | None) -> Gains:
    """Return the gains in the cells of a campaign, or the largest in those of any."""
    store = open_store(address)
    criteria = {"metadata.kind": "formation-energy"}
    criteria |= {"metadata.campaign": campaign} if campaign else {}
    gains: dict[tuple[str, str], float] = {}
    for record in store.query(criteria):
        found = FormationEnergyDoc.model_validate(record["output"])
        key = found.engine, found.cation
        gains[key] = max(gains.get(key, 0.0), found.distortion_gain_ev_per_formula or 0.0)
    store.close()
    return gains


def weighted(gains: Gains, pair: MixingDoc, fraction: float) -> float:
    """Return the gains of both end members, weighted with their shares."""
    dopant, host = (gains.get((pair.engine, each), 0.0) for each in (pair.dopant, pair.host))
    return fraction * dopant + (1 - fraction) * host


def quasi_random(
    pairs: Sequence[MixingDoc], gains: Gains, largest: Gains
) -> dict[tuple[str, str, str, float], float]:
    """Return the value of each quasi-random cell, by engine, dopant, host and fraction.

    Its end members are the lowest that there are: what they are below the campaign's is added.
    """
    return {
        (pair.engine, pair.dopant, pair.host, point.fraction): point.sqs
        + weighted(largest, pair, point.fraction)
        - weighted(gains, pair, point.fraction)
        for pair in pairs
        for point in pair.points
        if point.sqs is not None
    }


def cases(
    pairs: Sequence[MixingDoc],
    reference: Mapping[tuple[str, str, str, float], float],
    gains: Gains,
    own_cells: bool,
) -> dict[str, list[Case]]:
    """Return the cases of each kind of estimate.

    Parameters
    ----------
    own_cells
        The reference is of the same quasi-random cells, which are no estimate then.
    """
    found: dict[str, list[Case]] = {}
    for pair in pairs:
        for point in pair.points:
            key = (pair.engine, pair.dopant, pair.host, point.fraction)
            x = point.fraction
            gain = weighted(gains, pair, x)
            of_distortion = distortion_uncertainty_ev_per_cation(1.0, gain, 0.0)
            steady = gain < STEADY_EV_PER_FORMULA
            ordered = [
                (a.enthalpy_ev_per_cation, a.multiplicity)
                for a in point.arrangements
                if a.multiplicity
            ]
            estimates = [("one arrangement", [one], None) for one in ordered]
            if len(ordered) > 1:
                estimates.append(("mean of several", ordered, None))
            if not own_cells and point.sqs is not None:
                estimates.append(("quasi-random cell", [], point.sqs))
            for name, enumerated, sqs in estimates if key in reference else []:
                value, _, uncertainty = random_alloy_value(enumerated, sqs)
                lithiated = len(host_cations(pair.host)) > 1
                of_lithium = LITHIATED_HOST_ERROR_EV_PER_CATION if lithiated else 0.0
                whole = math.hypot(uncertainty, of_distortion, of_lithium)
                group = f"{name}, {'steady' if steady else 'distorting'}"
                found.setdefault(group, []).append((x, value, whole, reference[key]))
    return found


def report(found: Mapping[str, list[Case]]) -> None:
    """Print a line for each kind of estimate and fraction."""
    print(f"{'':30}{'x':>6}{'cases':>7}{'error, meV':>12}{'over |dHmix|':>14}{'covered':>9}")
    for name, rows in sorted(found.items()):
        fraction, value, uncertainty, sqs = np.array(rows).T
        error = np.abs(value - sqs)
        for x in (*sorted(set(fraction)), None):
            chosen = slice(None) if x is None else fraction == x
            absolute = np.quantile(error[chosen], ONE_STANDARD_DEVIATION)
            relative = np.quantile((error / np.abs(value))[chosen], ONE_STANDARD_DEVIATION)
            covered = np.mean((error <= uncertainty)[chosen])
            print(
                f"{name:30}{'all' if x is None else f'{x:g}':>6}{len(error[chosen]):7}"
                f"{1000 * absolute:12.0f}{relative:14.2f}{100 * covered:7.0f} %"
            )


def main(argv: Sequence[str] | None = None) -> None:
    """Read a store and print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", required=True, help="a store with finished campaigns")
    parser.add_argument("--campaign", required=True, help="name")
    parser.add_argument(
        "--against", help="campaign whose quasi-random cells count; default: its own"
    )
    chosen = parser.parse_args(argv)
    pairs = pairs_of(chosen.store, chosen.campaign)
    engines = sorted({pair.engine for pair in pairs})
    print(f"{len(pairs)} pairs and engines ({', '.join(engines)})")
    gains = gains_of(chosen.store, chosen.campaign)
    if chosen.against:
        theirs = gains_of(chosen.store, chosen.against)
        others = pairs_of(chosen.store, chosen.against)
        reference = quasi_random(others, theirs, gains_of(chosen.store, None))
    else:
        reference = quasi_random(pairs, gains, gains)
    report(cases(pairs, reference, gains, not chosen.against))


if __name__ == "__main__":
    main()
