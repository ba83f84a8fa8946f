"""How far one engine is from the mean of the others, in the mixing of pairs.

Reads the pairs of a store's campaign with several engines. Of each pair and engine it takes dHmix at
x = 1/2 of the regular solution through its points, and compares it with the mean of the other engines.
Prints, by |dHmix|, the difference that 68 % of the cases stay below, and the share of cases that the
uncertainty of one engine, in squares with the standard error of the others' mean, covers: with and
without the part that is in proportion to dHmix.

    python benchmarks/engines.py --store results.sqlite --campaign lin2019
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from rocksalt.screening.mixing import fit_regular
from rocksalt.screening.verdicts import ENGINE_ERROR, PointValue, Thresholds, combine_engines
from rocksalt.stores.documents import MixingDoc
from rocksalt.stores.opening import open_store

ONE_STANDARD_DEVIATION = 0.683
EDGES_MEV = (0, 50, 150, math.inf)


def pairs_of(address: str, campaign: str) -> dict[tuple[str, str], list[MixingDoc]]:
    """Return the mixing of each pair of a campaign, by dopant and host, that is whole."""
    store = open_store(address, must_exist=True)
    criteria = {"metadata.kind": "mixing", "metadata.campaign": campaign}
    found = [MixingDoc.model_validate(d["output"]) for d in store.query(criteria)]
    store.close()
    pairs: dict[tuple[str, str], list[MixingDoc]] = defaultdict(list)
    for each in found:
        if each.points and not each.missing:
            pairs[each.dopant, each.host].append(each)
    return {key: some for key, some in pairs.items() if len(some) > 2}


def at_half(document: MixingDoc) -> float:
    """Return dHmix at x = 1/2 of the regular solution through a pair's points, eV per cation."""
    points = document.points
    return fit_regular([p.fraction for p in points], [p.value for p in points])[0].l0 / 4


def uncertainty(document: MixingDoc, relative_error: float) -> float:
    """Return what a verdict takes for one engine's uncertainty at x = 1/2, eV per cation."""
    points = [PointValue(p.fraction, p.value, p.uncertainty) for p in document.points]
    combined = combine_engines({document.engine: points}, Thresholds(), relative_error)
    return combined.uncertainty_ev_per_cation


def main(argv: Sequence[str] | None = None) -> None:
    """Read a store and print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", required=True, help="a store with a finished campaign")
    parser.add_argument("--campaign", required=True, help="name")
    chosen = parser.parse_args(argv)
    rows = []
    for some in pairs_of(chosen.store, chosen.campaign).values():
        values = [at_half(document) for document in some]
        for document, value in zip(some, values, strict=True):
            others = [v for d, v in zip(some, values, strict=True) if d is not document]
            error = float(np.std(others, ddof=1)) / math.sqrt(len(others))
            without, with_part = (
                math.hypot(uncertainty(document, share), error) for share in (0.0, ENGINE_ERROR)
            )
            rows.append((abs(value), abs(value - float(np.mean(others))), without, with_part))
    size, difference, without, with_part = 1000 * np.array(rows).T
    print(f"{'|dHmix|, meV':>14}{'cases':>7}{'68 %, meV':>11}{'without':>9}{'with':>7}")
    for low, high in [*pairwise(EDGES_MEV), (0, math.inf)]:
        now = (size >= low) & (size < high)
        covered = [100 * np.mean(difference[now] <= u[now]) for u in (without, with_part)]
        print(
            f"{f'{low:g} to {high:g}':>14}{now.sum():7}"
            f"{np.quantile(difference[now], ONE_STANDARD_DEVIATION):11.0f}"
            f"{covered[0]:7.0f} %{covered[1]:5.0f} %"
        )


if __name__ == "__main__":
    main()
