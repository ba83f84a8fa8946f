"""How far arrangements are from a random alloy's mixing enthalpy.

Reads the pairs of a store's campaign that have both enumerated arrangements and a quasi-random one,
whose dHmix stands for the random alloy's. Prints, of every kind of estimate, the error that 68 % of
the cases stay below, absolute and over |dHmix| of the estimate, and the share of cases that
the uncertainty of `rocksalt.screening.verdicts.random_alloy_value` covers. With
`supercell: {enumerated: 8, sqs: 16}` a campaign has means of several arrangements, with
`{enumerated: 4, sqs: 8}` one arrangement at each of 1/4, 1/2 and 3/4. Against the quasi-random
cells of another campaign of the same pairs, the campaign's own are an estimate too.

    python benchmarks/arrangements.py --store results.sqlite --campaign lin2019
    python benchmarks/arrangements.py --store results.sqlite --campaign small --against large
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

from rocksalt.screening.verdicts import random_alloy_value
from rocksalt.stores.documents import MixingDoc
from rocksalt.stores.opening import open_store

ONE_STANDARD_DEVIATION = 0.683


Case = tuple[float, float, float, float]
"""Fraction, estimate of dHmix, its uncertainty, and the value of the quasi-random cell."""


def pairs_of(address: str, campaign: str) -> list[MixingDoc]:
    """Return the pairs of one campaign."""
    store = open_store(address)
    criteria = {"metadata.kind": "mixing", "metadata.campaign": campaign}
    found = [MixingDoc.model_validate(d["output"]) for d in store.query(criteria)]
    store.close()
    return found


def quasi_random(pairs: Sequence[MixingDoc]) -> dict[tuple[str, str, str, float], float]:
    """Return the value of each quasi-random cell, by engine, dopant, host and fraction."""
    return {
        (pair.engine, pair.dopant, pair.host, point.fraction): point.sqs
        for pair in pairs
        for point in pair.points
        if point.sqs is not None
    }


def cases(pairs: Sequence[MixingDoc], others: Sequence[MixingDoc]) -> dict[str, list[Case]]:
    """Return the cases of each kind of estimate."""
    reference = quasi_random(others)
    found: dict[str, list[Case]] = {}
    for pair in pairs:
        for point in pair.points:
            key = (pair.engine, pair.dopant, pair.host, point.fraction)
            ordered = [
                (a.enthalpy_ev_per_cation, a.multiplicity)
                for a in point.arrangements
                if a.multiplicity
            ]
            estimates = [("one arrangement", [one], None) for one in ordered]
            if len(ordered) > 1:
                estimates.append(("mean of several", ordered, None))
            if others is not pairs and point.sqs is not None:
                estimates.append(("quasi-random cell", [], point.sqs))
            for name, enumerated, sqs in estimates if key in reference else []:
                value, _, uncertainty = random_alloy_value(enumerated, sqs)
                found.setdefault(name, []).append(
                    (point.fraction, value, uncertainty, reference[key])
                )
    return found


def report(pairs: Sequence[MixingDoc], others: Sequence[MixingDoc]) -> None:
    """Print a line for each kind of estimate and fraction."""
    engines = sorted({pair.engine for pair in pairs})
    print(f"{len(pairs)} pairs and engines ({', '.join(engines)})")
    print(f"{'':18}{'x':>6}{'cases':>7}{'error, meV':>12}{'over |dHmix|':>14}{'covered':>9}")
    for name, rows in cases(pairs, others).items():
        fraction, value, uncertainty, sqs = np.array(rows).T
        error = np.abs(value - sqs)
        for x in (*sorted(set(fraction)), None):
            chosen = slice(None) if x is None else fraction == x
            absolute = np.quantile(error[chosen], ONE_STANDARD_DEVIATION)
            relative = np.quantile((error / np.abs(value))[chosen], ONE_STANDARD_DEVIATION)
            covered = np.mean((error <= uncertainty)[chosen])
            print(
                f"{name:18}{'all' if x is None else f'{x:g}':>6}{len(error[chosen]):7}"
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
    report(pairs, pairs_of(chosen.store, chosen.against) if chosen.against else pairs)


if __name__ == "__main__":
    main()
