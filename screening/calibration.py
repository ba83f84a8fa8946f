"""How well an engine agrees with a better one on the same calculations."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr

FEWEST_FOR_RANKS = 3
"""Of two values the rank correlation is 1 or -1 whatever they are."""


@dataclass(frozen=True)
class Agreement:
    """An engine's errors against a reference, and whether it gives the same order.

    Attributes
    ----------
    n
        Values that both have.
    mean_error_ev, mean_absolute_error_ev, largest_error_ev
        Of value less reference, in the unit of the values; None without any.
    rank_correlation
        Spearman's; None for fewer than three values, or for values that are all the same.
    """

    n: int
    mean_error_ev: float | None
    mean_absolute_error_ev: float | None
    largest_error_ev: float | None
    rank_correlation: float | None


def agreement(values: Mapping[Hashable, float], reference: Mapping[Hashable, float]) -> Agreement:
    """Return how values agree with a reference.

    Parameters
    ----------
    values, reference
        The same quantity in eV by what it is of; what only one of them has is left out.
    """
    common = sorted(set(values) & set(reference), key=repr)
    if not common:
        return Agreement(0, None, None, None, None)
    mine = np.array([values[k] for k in common])
    theirs = np.array([reference[k] for k in common])
    errors = mine - theirs
    correlation = None
    if len(common) >= FEWEST_FOR_RANKS and np.ptp(mine) > 0 and np.ptp(theirs) > 0:
        correlation = float(spearmanr(mine, theirs).statistic)
    return Agreement(
        n=len(common),
        mean_error_ev=float(errors.mean()),
        mean_absolute_error_ev=float(np.abs(errors).mean()),
        largest_error_ev=float(errors[np.abs(errors).argmax()]),
        rank_correlation=correlation,
    )
