"""A spectrum as a sum of reference spectra: fractions that are not negative and sum to one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.interpolate import make_interp_spline

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.quantities import Array
from rocksalt.analysis.xanes import Range, covered

MOST_REFERENCES = 10  # the supports that are tried double with every further one
COLLINEAR = 30.0
"""Condition number above which references are nearly collinear: Belsley, Kuh and Welsch, Regression
Diagnostics (1980), section 3.2, for columns of unit length."""


@dataclass(frozen=True)
class Combination:
    """A fit of one spectrum by references.

    Attributes
    ----------
    names
        Of the references.
    fractions
        (n_references,).
    covariance
        (n_references, n_references), from the bootstrap.
    r_factor
        sum (data - fit)^2 / sum data^2.
    fitted
        (n_points,).
    condition_number
        Of the references, each scaled to unit length.
    block_points
        Residuals were resampled in blocks of so many points.
    """

    names: tuple[str, ...]
    fractions: Array
    covariance: Array
    r_factor: float
    fitted: Array
    condition_number: float
    block_points: int

    @property
    def uncertainties(self) -> Array:
        """(n_references,): standard uncertainties of the fractions."""
        return np.sqrt(np.diag(self.covariance))

    @property
    def is_collinear(self) -> bool:
        """Whether other fractions would fit nearly as well."""
        return self.condition_number > COLLINEAR


@dataclass(frozen=True)
class Subset:
    """A fit with some of the references.

    Attributes
    ----------
    names
        Those used.
    fractions
        (n_references,) of all; zero for those left out.
    r_factor
        sum (data - fit)^2 / sum data^2.
    reduced_square
        sum (data - fit)^2 / (n_points - n_used + 1): falls only if a reference is worth its freedom.
    """

    names: tuple[str, ...]
    fractions: Array
    r_factor: float
    reduced_square: float


def fractions_of(spectra: Array, references: Array) -> Array:
    """Return the fractions, >= 0 with the sum 1, of references that fit each spectrum best.

    Least squares under these constraints is a convex problem; at its solution the references with a
    fraction above zero (the active ones) solve the problem with the sum alone constrained (Nocedal and
    Wright, Numerical Optimization (2006), section 16.5). With few references every set of active ones
    is solved, for all spectra at once, and the best that is not negative is the exact solution: there
    is no iteration to converge.

    Parameters
    ----------
    spectra
        (n_points,) or (n_points, n_spectra).
    references
        (n_points, n_references).

    Returns
    -------
    ndarray
        (n_references,) or (n_references, n_spectra).

    Raises
    ------
    MeasurementError
        For no reference, more than ten, more than points, or arrays that do not fit together.
    """
    data = np.asarray(spectra, dtype=float)
    if references.ndim != 2 or data.shape[0] != references.shape[0]:
        raise MeasurementError(
            f"spectra of shape {data.shape} and references of shape {references.shape} are not on the "
            "same energies"
        )
    number = references.shape[1]
    if not 1 <= number <= min(MOST_REFERENCES, references.shape[0]):
        raise MeasurementError(
            f"{number} references for {references.shape[0]} points: give 1 to {MOST_REFERENCES}"
        )
    # In the space that the references span, the problem has as many rows as references.
    axes, small = np.linalg.qr(references)
    projected = axes.T @ (data[:, None] if data.ndim == 1 else data)
    best = np.full(projected.shape[1], np.inf)
    found = np.zeros_like(projected)
    for used in _supports(number):
        fractions = _with_sum_one(small[:, used], projected)
        square = ((small[:, used] @ fractions - projected) ** 2).sum(axis=0)
        better = (square < best) & (fractions >= 0).all(axis=0)
        best[better] = square[better]
        found[:, better] = 0.0
        found[np.ix_(used, better)] = fractions[:, better]
    return found[:, 0] if data.ndim == 1 else found


def _supports(number: int) -> list[list[int]]:
    return [list(c) for size in range(1, number + 1) for c in combinations(range(number), size)]


def _with_sum_one(references: Array, spectra: Array) -> Array:
    """Return the fractions with the sum one, of either sign: the last takes what the others leave."""
    last = references[:, -1:]
    if references.shape[1] == 1:
        return np.ones((1, spectra.shape[1]))
    others = np.linalg.lstsq(references[:, :-1] - last, spectra - last, rcond=None)[0]
    return np.vstack([others, 1 - others.sum(axis=0)])


def r_factor(data: Array, fitted: Array) -> float:
    """Return sum (data - fitted)^2 / sum data^2."""
    return float(((data - fitted) ** 2).sum() / (data**2).sum())


def condition_number(references: Array) -> float:
    """Return the condition number of references scaled to unit length (Belsley 1980, section 3.2)."""
    return float(np.linalg.cond(references / np.linalg.norm(references, axis=0)))


def fit_combination(
    data: Array,
    references: Array,
    names: Sequence[str],
    *,
    resamples: int = 400,
    block_points: int | None = None,
    common_errors: tuple[Array, Array] | None = None,
    seed: int = 0,
) -> Combination:
    """Return the fit of a spectrum by references, with a bootstrap of its residuals.

    The bootstrap fits `resamples` spectra made of the fit and residuals drawn with replacement, each
    scaled by sqrt(n / (n - p)) for the p fitted fractions (Efron and Tibshirani, An Introduction to
    the Bootstrap (1993), section 9.4). Where residuals follow their neighbours, as where a reference is
    missing, they are drawn in blocks (Kuensch, Ann. Stat. 17, 1217 (1989)). A species without a
    reference is not in the uncertainty.

    Parameters
    ----------
    data
        (n_points,).
    references
        (n_points, n_references) on the same energies.
    names
        Of the references.
    resamples
        Of the bootstrap.
    block_points
        Length of a block; by default twice the number of points after which the correlation of the
        residuals is below 1/e, or 1 if that is the next point.
    common_errors
        Draws of errors that residuals do not show, such as those of the normalisation: of the data,
        (n_points, resamples), and of the references, (n_references, n_points, resamples). An error of
        a reference counts to first order, as its fraction times the same error of the data.
    seed
        Of the draws.

    Raises
    ------
    MeasurementError
        As `fractions_of`, and for a spectrum of zeros.
    """
    if not (data**2).sum() > 0:
        raise MeasurementError("the spectrum is zero in the window: choose another window")
    fractions = fractions_of(data, references)
    fitted = references @ fractions
    number, free = len(data), int((fractions > 0).sum()) - 1
    residual = data - fitted
    residual = (residual - residual.mean()) * np.sqrt(number / max(number - free, 1))
    block = block_points or _block_points(residual)
    draws = _draw_blocks(residual, resamples, block, np.random.default_rng(seed))
    if common_errors is not None:
        draws = draws + common_errors[0] + np.tensordot(fractions, common_errors[1], axes=1)
    spread = fractions_of(fitted[:, None] + draws, references)
    return Combination(
        tuple(names),
        fractions,
        np.atleast_2d(np.cov(spread)),
        r_factor(data, fitted),
        fitted,
        condition_number(references),
        block,
    )


def _block_points(residual: Array) -> int:
    power = float(residual @ residual)
    if power == 0:
        return 1
    longest = len(residual) // 4
    for lag in range(1, longest):
        if residual[lag:] @ residual[:-lag] < power / np.e:
            return 1 if lag == 1 else 2 * lag
    return max(longest, 1)


def _draw_blocks(residual: Array, resamples: int, block: int, rng: np.random.Generator) -> Array:
    """Return (n_points, resamples): blocks of a circle of residuals, end to end."""
    number = len(residual)
    starts = rng.integers(0, number, (-(-number // block), resamples))
    rows = (starts[:, None, :] + np.arange(block)[None, :, None]).reshape(-1, resamples)
    return residual[rows[:number] % number]


def rank_subsets(data: Array, references: Array, names: Sequence[str]) -> list[Subset]:
    """Return the fits by all subsets of the references, best first.

    All combinations are compared as Ravel and Newville (2005) do, by the reduced sum of squares: the
    R factor alone never rises with one more reference.

    Parameters
    ----------
    data
        (n_points,).
    references
        (n_points, n_references).
    names
        Of the references.
    """
    power = float((data**2).sum())
    subsets = []
    for used in _supports(references.shape[1]):
        fractions = np.zeros(references.shape[1])
        fractions[used] = fractions_of(data, references[:, used])
        square = float(((data - references @ fractions) ** 2).sum())
        freedom = max(len(data) - len(used) + 1, 1)
        subsets.append(
            Subset(tuple(names[i] for i in used), fractions, square / power, square / freedom)
        )
    return sorted(subsets, key=lambda s: (s.reduced_square, len(s.names)))


def mean_valence(fit: Combination, valences: Mapping[str, float]) -> tuple[float, float]:
    """Return sum f_i v_i and its standard uncertainty sqrt(v C v), C the covariance of the fractions.

    Raises
    ------
    MeasurementError
        When a reference has no valence.
    """
    missing = [name for name in fit.names if name not in valences]
    if missing:
        raise MeasurementError(
            f"no valence of {', '.join(missing)}: give valences.{missing[0]}, or none at all"
        )
    v = np.array([valences[name] for name in fit.names])
    return float(fit.fractions @ v), float(np.sqrt(max(v @ fit.covariance @ v, 0.0)))


def reference_matrix(
    energy_ev: Array,
    window_ev: Range,
    references: Mapping[str, tuple[Array, Array]],
) -> tuple[Array, Array]:
    """Return which energies lie in a window, and the references there.

    References are interpolated by cubic splines: lines cut off a white line between two points.

    Parameters
    ----------
    energy_ev
        (n_points,) of the sample.
    window_ev
        First and last energy.
    references
        Energies and values by name.

    Returns
    -------
    ndarray, ndarray
        (n_points,) of bool, and (n_points_inside, n_references).

    Raises
    ------
    MeasurementError
        When the sample or a reference does not cover the window.
    """
    inside = covered(energy_ev, window_ev, "the sample")
    columns = []
    for name, (its_energy, values) in references.items():
        covered(its_energy, window_ev, f"reference {name}")
        columns.append(make_interp_spline(its_energy, values, k=3)(energy_ev[inside]))
    return inside, np.stack(columns, axis=1)
