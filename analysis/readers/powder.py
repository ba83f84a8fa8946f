"""Powder patterns: text in two or three columns (.xy, .xye): 2 theta in degrees, counts, uncertainty."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.quantities import Array
from rocksalt.analysis.readers.columns import numbers_of, read_text

_LEAST_POINTS = 20


@dataclass(frozen=True)
class PowderPattern:
    """A measured pattern.

    Attributes
    ----------
    two_theta_degrees, counts
        (n_points,); angles rise.
    sigma
        (n_points,): standard uncertainty of the counts: the third column, or else the root of the
        counts where these are whole numbers; None where neither is so.
    remarks
        What a reader must know.
    """

    two_theta_degrees: Array
    counts: Array
    sigma: Array | None
    remarks: tuple[str, ...]


def read_powder(path: str | Path) -> PowderPattern:
    """Return the pattern of a text file.

    Raises
    ------
    MeasurementError
        For a file that cannot be read, angles that do not rise or are none, or uncertainties that are
        not positive.
    """
    table = numbers_of(read_text(path), path)
    if table.shape[1] > 3:
        raise MeasurementError(
            f"{path}: {table.shape[1]} columns: give two theta, counts and, where they are known, their "
            "uncertainties"
        )
    if not np.all(np.isfinite(table)):
        row = int(np.argmin(np.isfinite(table).all(axis=1)))
        raise MeasurementError(
            f"{path}: row {row + 1} of the table holds what is no number: delete it"
        )
    angle, counts = table[:, 0], table[:, 1]
    if len(angle) < _LEAST_POINTS:
        raise MeasurementError(f"{path}: {len(angle)} points are no pattern: export it again")
    falls = np.flatnonzero(np.diff(angle) <= 0)
    if len(falls):
        raise MeasurementError(
            f"{path}: two theta does not rise after {angle[falls[0]]:g}: sort the pattern, and give one "
            "scan alone"
        )
    if not 0 < angle[0] < angle[-1] < 180:
        raise MeasurementError(
            f"{path}: {angle[0]:g} to {angle[-1]:g} are no angles 2 theta in degrees"
        )
    remarks: tuple[str, ...] = ()
    if table.shape[1] == 3:
        sigma = table[:, 2]
        bad = np.flatnonzero(sigma <= 0)
        if len(bad):
            raise MeasurementError(
                f"{path}: the uncertainty at {angle[bad[0]]:g} degrees is not positive: leave the third "
                "column out, or correct it"
            )
        return PowderPattern(angle, counts, sigma, remarks)
    if np.all(counts >= 0) and np.allclose(counts, np.round(counts), atol=1e-6):
        # of no count at all, one is as likely as not
        return PowderPattern(angle, counts, np.sqrt(np.maximum(counts, 1.0)), remarks)
    remarks = (
        "The second column holds no whole counts and there is no third: quantities have no uncertainty.",
    )
    return PowderPattern(angle, counts, None, remarks)
