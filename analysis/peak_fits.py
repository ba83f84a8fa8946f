"""Overlapping peaks and their background fitted at once, with uncertainties of their shares."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from scipy.stats import f as f_distribution

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.peak_model import Background, Component, PeakModel
from rocksalt.analysis.quantities import Array

FOUND_ABOVE = 2.0
"""A component is found where its area is above so many standard uncertainties."""

STRONG_CORRELATION = 0.9
_CHANCE = 1e-3  # of the F test that tells peaks from a smooth curve
_INDISTINCT = 1e10  # condition number above which two parameters are one
_AT_BOUND = 1e-3  # of the allowed range


@dataclass(frozen=True)
class PeakFit:
    """A fit of peaks.

    Attributes
    ----------
    names
        Of the components.
    x, data, background
        (n_points,), the axis rising.
    components
        (n_components, n_points), without the background.
    areas, positions, widths
        (n_components,); widths are full ones at half maximum.
    area_covariance
        (n_components, n_components).
    position_uncertainties, width_uncertainties
        (n_components,): standard uncertainties; NaN where the template leaves no range.
    noise
        (n_points,): standard deviation of the data.
    reduced_chi_square
        Against that noise.
    remarks
        What is at a bound, is correlated or does not fit, one sentence each.
    """

    names: tuple[str, ...]
    x: Array
    data: Array
    background: Array
    components: Array
    areas: Array
    positions: Array
    widths: Array
    area_covariance: Array
    position_uncertainties: Array
    width_uncertainties: Array
    noise: Array
    reduced_chi_square: float
    remarks: tuple[str, ...]

    @property
    def envelope(self) -> Array:
        """(n_points,): the background with all components."""
        return self.background + self.components.sum(axis=0)

    @property
    def area_uncertainties(self) -> Array:
        """(n_components,): standard uncertainties of the areas."""
        return np.sqrt(np.diag(self.area_covariance))

    def is_found(self, name: str) -> bool:
        """Whether the area of a component is above two standard uncertainties."""
        i = self.names.index(name)
        return bool(self.areas[i] > FOUND_ABOVE * self.area_uncertainties[i])

    def total_area(self) -> tuple[float, float]:
        """Return the area of all components and its standard uncertainty."""
        return float(self.areas.sum()), math.sqrt(float(self.area_covariance.sum()))

    def share(
        self, of: Collection[str], among: Collection[str] | None = None
    ) -> tuple[float, float]:
        """Return a share of the area, s = P / W, and its standard uncertainty.

        The covariance of the areas enters: ds/dA_i = (1 if i is in P - s) / W.

        Parameters
        ----------
        of
            Names of the part.
        among
            Names of the whole, the part included; by default all.
        """
        whole = np.array([among is None or name in among for name in self.names], dtype=float)
        part = np.array([name in of for name in self.names], dtype=float)
        area = float(whole @ self.areas)
        share = float(part @ self.areas) / area
        gradient = (part - share * whole) / area
        return share, math.sqrt(float(gradient @ self.area_covariance @ gradient))


def noise_from_neighbours(y: Array) -> float:
    """Return the standard deviation of independent noise on a curve, from its third differences.

    They cancel any parabola through neighbours; of independent noise their variance is
    1 + 9 + 9 + 1 = 20 times its own.
    """
    return float(np.sqrt(np.mean(np.diff(y, 3) ** 2) / 20))


def fit_peaks(
    x: Array,
    y: Array,
    template: Mapping[str, Component],
    background: Background,
    *,
    together: bool = False,
    same_width: bool = False,
    counts_per_unit: float | None = None,
    name: str = "the spectrum",
) -> PeakFit:
    """Return the least-squares fit of a template's peaks and of the background under them.

    Peaks and background are fitted at once: a background that is taken off first has errors that no
    covariance of the peaks would hold. The Shirley step is b sum_i A_i int^x f_i, where the iteration
    of `shirley_background` settles (Herrera-Gomez et al., Surf. Interface Anal. 46, 897 (2014)).

    A template's range is knowledge of a position, width or shape: a rectangular distribution, whose
    variance is a third of the half width squared (Guide to the Expression of Uncertainty in
    Measurement, 4.3.7). Its middle enters the sum of squares with that variance, and its ends are
    never passed. Where the data say more than the range, that changes nothing; where they say less, as
    of a peak that is not there, the range says it and its doubt is in the areas. Areas may be
    negative: a bound at zero would leave them without an uncertainty there.

    Parameters
    ----------
    x, y
        (n_points,), the axis rising.
    template
        Components by name.
    background
        Its kind.
    together
        The first component's shift moves all of them, and theirs add to it.
    same_width
        One width for all.
    counts_per_unit
        Counts in one unit of y: the noise is then sqrt(counts), by the fitted curve, and the covariance
        is scaled by the reduced chi-square where that is above its expectation by three standard
        deviations. Without it the noise is estimated from neighbouring points, and the covariance is
        always scaled. Where residuals follow their neighbours, it is scaled for that too.
    name
        For messages.

    Raises
    ------
    MeasurementError
        Without lmfit, without a peak (the peaks improve on a smooth background by what chance gives in
        one of 1000 cases, by the F test), or for parameters that the data do not determine.
    """
    if counts_per_unit is not None and y.min() < 0:
        raise MeasurementError(
            f"{name}: intensities below zero are no counts: give noise: estimated"
        )
    model = PeakModel(x, template, background, together=together, same_width=same_width, name=name)
    parameters, noise = _minimum(model, y, counts_per_unit)
    values = dict(parameters.valuesdict())
    residual = (y - model.curve(values)) / noise
    freedom = len(x) - sum(p.vary for p in parameters.values())
    reduced = float(residual @ residual) / freedom
    _check_any_peak(model, y, noise, residual, freedom)
    expected = counts_per_unit is not None and explained_by_counting(reduced, freedom)
    follow = neighbour_correlation(residual)
    scale = (1.0 if expected else reduced) * (1 + follow) / (1 - follow)
    uncertain, covariance = _covariance(model, parameters, noise, scale)
    peaks, under = model.curves(values)
    every = range(len(model.names))
    rows = [uncertain.index(f"area_{i}") for i in every]

    def deviation(names: Collection[str]) -> float:
        its = [uncertain.index(n) for n in names if n in uncertain]
        return math.sqrt(covariance[np.ix_(its, its)].sum()) if its else math.nan

    return PeakFit(
        names=model.names,
        x=x,
        data=y,
        background=under,
        components=peaks,
        areas=np.array([values[f"area_{i}"] for i in every]),
        positions=np.array([model.position(values, i) for i in every]),
        widths=np.array([model.width(values, i) for i in every]),
        area_covariance=covariance[np.ix_(rows, rows)],
        position_uncertainties=np.array([deviation(model.shifts_of(i)) for i in every]),
        width_uncertainties=np.array([deviation([model.width_of(i)]) for i in every]),
        noise=noise,
        reduced_chi_square=reduced,
        remarks=(
            *on_noise(counts_per_unit is not None, expected, reduced),
            *_on_bounds(model, parameters),
            *_on_areas(model, values, covariance, rows),
            *_on_correlations(model, uncertain, covariance),
            *on_neighbours(follow),
        ),
    )


def _minimum(model: PeakModel, y: Array, counts_per_unit: float | None) -> tuple[Any, Array]:
    """Return lmfit's parameters at the minimum, those at a bound held there, and the noise."""
    parameters = model.parameters(y)
    noise, is_weighed = _noise(y, y, counts_per_unit), counts_per_unit is None
    while True:
        parameters = _minimise(model, y, noise, parameters)
        at_bound = [p for p in parameters.values() if p.vary and _is_at_bound(p)]
        for parameter in at_bound:
            parameter.set(vary=False)
        if not at_bound:
            if is_weighed:
                return parameters, noise
            # by the curve and not by the data: low counts would weigh more than high ones
            noise = _noise(y, model.curve(parameters.valuesdict()), counts_per_unit)
            is_weighed = True


def _minimise(model: PeakModel, y: Array, noise: Array, parameters: Any) -> Any:
    free = sum(p.vary for p in parameters.values())
    if len(y) < 2 * free:
        raise MeasurementError(
            f"{model.name}: {len(y)} points in the window for {free} parameters: widen the window, or "
            "fit fewer components"
        )

    ranged = [p for p in parameters.values() if _ranges(p)]
    middles = np.array([(p.min + p.max) / 2 for p in ranged])
    deviations = np.array([_deviation(p) for p in ranged])

    def misfit(p: Any) -> Array:
        values = p.valuesdict()
        known = (np.array([values[q.name] for q in ranged]) - middles) / deviations
        return np.concatenate([(model.curve(values) - y) / noise, known])

    found = model.lmfit.minimize(
        misfit, parameters, method="leastsq", scale_covar=False, max_nfev=400 * (free + 1)
    )
    if not found.success:
        raise MeasurementError(
            f"{model.name}: the fit of {', '.join(model.names)} does not converge: fit fewer "
            "components, or give smaller ranges of positions and widths"
        )
    return found.params


def _noise(y: Array, curve: Array, counts_per_unit: float | None) -> Array:
    if counts_per_unit is None:
        # a curve without noise still needs a scale
        return np.full(len(y), max(noise_from_neighbours(y), 1e-9 * float(np.ptp(y)), 1e-300))
    return np.sqrt(np.maximum(curve, 1 / counts_per_unit) / counts_per_unit)


def _covariance(
    model: PeakModel, parameters: Any, noise: Array, scale: float
) -> tuple[list[str], Array]:
    """Return the names of the uncertain parameters and (J^T J / scale + 1 / variance of ranges)^-1."""
    uncertain = [p for p in parameters.values() if p.vary or _ranges(p)]
    values = dict(parameters.valuesdict())
    jacobian, known = np.empty((len(noise), len(uncertain))), np.zeros(len(uncertain))
    for column, parameter in enumerate(uncertain):
        step = 1e-5 * max(abs(parameter.value), 1e-3)
        if _ranges(parameter):
            known[column] = 1 / _deviation(parameter) ** 2
            step = 1e-5 * _deviation(parameter)
        ends = [model.curve(values | {parameter.name: parameter.value + s}) for s in (-step, step)]
        jacobian[:, column] = (ends[1] - ends[0]) / (2 * step) / noise
    information = jacobian.T @ jacobian / scale + np.diag(known)
    # parameters differ by orders of magnitude: inverted in units of what each alone would have
    unit = np.sqrt(np.diag(information))
    if not unit.all() or np.linalg.cond(information / np.outer(unit, unit)) > _INDISTINCT:
        raise MeasurementError(
            f"{model.name}: the data do not tell {', '.join(model.names)} apart: two components are "
            "alike, or the window is too short; fit fewer components"
        )
    covariance = np.linalg.inv(information / np.outer(unit, unit)) / np.outer(unit, unit)
    return [p.name for p in uncertain], covariance


def _check_any_peak(
    model: PeakModel, y: Array, noise: Array, residual: Array, freedom: int
) -> None:
    """Raise MeasurementError unless the peaks are more than a smooth curve and chance."""
    n_smooth = max(model.background.degree, 1) + 1
    smooth = np.vander(np.linspace(-1, 1, len(y)), n_smooth) / noise[:, None]
    without = y / noise - smooth @ np.linalg.lstsq(smooth, y / noise, rcond=None)[0]
    more = max(len(y) - freedom - n_smooth, 1)
    square = float(residual @ residual)
    ratio = (float(without @ without) - square) / more / (square / freedom)
    if f_distribution.sf(ratio, more, freedom) > _CHANCE:
        raise MeasurementError(
            f"{model.name}: no peak from {model.x[0]:g} to {model.x[-1]:g} stands above the noise: "
            "choose another window, or measure longer"
        )


def explained_by_counting(reduced: float, freedom: int) -> bool:
    """Whether a reduced chi-square is within three standard deviations, sqrt(2 / freedom), of one."""
    return reduced <= 1 + 3 * math.sqrt(2 / freedom)


def neighbour_correlation(residual: Array) -> float:
    """Return the correlation of neighbouring residuals, zero where it is what chance gives.

    Points that follow each other are fewer independent ones, by (1 - r) / (1 + r) (Bayley and
    Hammersley, J. R. Stat. Soc. Suppl. 8, 184 (1946)), and a covariance is larger by the inverse.
    """
    power = float(residual @ residual)
    follow = float(residual[1:] @ residual[:-1]) / power if power > 0 else 0.0
    return follow if follow > 3 / math.sqrt(len(residual)) else 0.0


def on_neighbours(correlation: float) -> list[str]:
    """Return what to say of residuals that follow their neighbours."""
    told = (
        f"Residuals follow their neighbours (correlation {correlation:.2f}): the model lacks something, "
        "or the data are smoothed; uncertainties are scaled for fewer independent points."
    )
    return [told] if correlation > 0 else []


def on_noise(is_counted: bool, is_expected: bool, reduced: float) -> list[str]:
    """Return what to say of where the uncertainties come from."""
    estimated = (
        "The noise is estimated from neighbouring points; uncertainties are scaled by the root of the "
        "reduced chi-square."
    )
    not_expected = (
        f"The reduced chi-square, {reduced:.3g}, is above what counting explains: uncertainties are "
        "scaled by its root."
    )
    if not is_counted:
        return [estimated]
    return [] if is_expected else [not_expected]


def _on_bounds(model: PeakModel, parameters: Any) -> list[str]:
    told = [model.words(p.name) for p in parameters.values() if _ranges(p) and not p.vary]
    if not told:
        return []
    return [f"Held at a bound of its range, and uncertain by that range: {', '.join(told)}."]


def _on_areas(
    model: PeakModel, values: Mapping[str, float], covariance: Array, rows: list[int]
) -> list[str]:
    told = [
        name
        for i, (name, row) in enumerate(zip(model.names, rows, strict=True))
        if values[f"area_{i}"] < -3 * math.sqrt(covariance[row, row])
    ]
    return [f"A negative area shows that the template does not fit: {', '.join(told)}."] * bool(
        told
    )


def _on_correlations(model: PeakModel, uncertain: list[str], covariance: Array) -> list[str]:
    sigma = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(sigma, sigma)
    told = [
        f"{model.words(uncertain[i])} with {model.words(uncertain[j])} ({correlation[i, j]:.2f})"
        for i, j in combinations(range(len(uncertain)), 2)
        if abs(correlation[i, j]) > STRONG_CORRELATION
        and not all(uncertain[k].startswith(("background", "step")) for k in (i, j))
    ]
    return [f"Correlated by more than {STRONG_CORRELATION:g}: {'; '.join(told)}."] * bool(told)


def _ranges(parameter: Any) -> bool:
    """Whether a template gives a parameter a range."""
    return bool(np.isfinite([parameter.min, parameter.max]).all())


def _deviation(parameter: Any) -> float:
    return (parameter.max - parameter.min) / math.sqrt(12)


def _is_at_bound(parameter: Any) -> bool:
    if not _ranges(parameter):
        return False
    margin = _AT_BOUND * (parameter.max - parameter.min)
    return not parameter.min + margin < parameter.value < parameter.max - margin
