"""X-ray absorption near an edge: normalisation, where the edge is, and putting scans on one axis.

Names and steps are those of Ravel and Newville, J. Synchrotron Rad. 12, 537 (2005), and of Newville,
Rev. Mineral. Geochem. 78, 33 (2014), section "XAFS data reduction".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.signal import find_peaks, savgol_filter

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.quantities import Array

EDGES_EV = {
    "O K": 543.1,
    "Ti K": 4966.0,
    "V K": 5465.0,
    "Cr K": 5989.0,
    "Mn K": 6539.0,
    "Fe K": 7112.0,
    "Co K": 7709.0,
    "Ni K": 8333.0,
    "Cu K": 8979.0,
    "Zn K": 9659.0,
    "Zr K": 17998.0,
    "Nb K": 18986.0,
    "Mo K": 20000.0,
    "Ru K": 22117.0,
    "Ti L3": 453.8,
    "Mn L3": 638.7,
    "Fe L3": 706.8,
    "Co L3": 778.1,
    "Ni L3": 852.7,
    "Ta L3": 9881.0,
    "W L3": 10207.0,
    "Ir L3": 11215.0,
    "Pt L3": 11564.0,
}
"""Edges of the elements: X-ray Data Booklet (Lawrence Berkeley Laboratory, 2009), table 1-1."""

Range = tuple[float, float]
PRE_EDGE_EV: Range = (-150.0, -8.0)
POST_EDGE_EV: Range = (40.0, 300.0)
DERIVATIVE_WIDTH_EV = 3.0
_SEARCH_EV = 25.0  # chemical shifts of K edges stay below 20 eV
_LEAST_POINTS = 4
_DRAWS = 200


def edge_energy_ev(edge: str) -> float:
    """Return the tabulated energy of an edge named as in 'Mn K'.

    Raises
    ------
    MeasurementError
        When it is not tabulated here.
    """
    name = " ".join(edge.split())
    if name not in EDGES_EV:
        raise MeasurementError(
            f"edge {edge!r} is not tabulated: give edge_ev, or one of {', '.join(EDGES_EV)}"
        )
    return EDGES_EV[name]


def first_derivative(
    energy_ev: Array,
    absorption: Array,
    width_ev: float = DERIVATIVE_WIDTH_EV,
    *,
    name: str = "the spectrum",
) -> tuple[Array, Array]:
    """Return an even grid of energies and d(absorption)/dE on it.

    The derivative is that of a cubic fitted to `width_ev` around each point (Savitzky and Golay, Anal.
    Chem. 36, 1627 (1964)), because differences of neighbours are mostly noise. Half a width at either
    end is left out.

    Raises
    ------
    MeasurementError
        When the scan is shorter than two widths.
    """
    steps = np.diff(energy_ev)
    step = float(max(np.percentile(steps, 10), width_ev / 40))
    half = max(2, round(width_ev / 2 / step))
    grid = np.arange(energy_ev[0], energy_ev[-1], step)
    if len(grid) < 4 * half:
        raise MeasurementError(
            f"{name}: a scan of {np.ptp(energy_ev):g} eV is too short for a derivative over "
            f"{width_ev:g} eV: give derivative_width_ev a smaller value"
        )
    even = np.interp(grid, energy_ev, absorption)
    slope = savgol_filter(even, 2 * half + 1, 3, deriv=1, delta=step)
    return grid[half:-half], slope[half:-half]


def find_edge_ev(
    energy_ev: Array,
    absorption: Array,
    near_ev: float | None = None,
    *,
    width_ev: float = DERIVATIVE_WIDTH_EV,
    name: str = "the spectrum",
) -> float:
    """Return E0: where the first derivative is largest, within 25 eV of `near_ev` if that is given.

    Raises
    ------
    MeasurementError
        When the scan does not reach the edge, or rises most at its end.
    """
    grid, slope = first_derivative(energy_ev, absorption, width_ev, name=name)
    if near_ev is not None:
        inside = abs(grid - near_ev) <= _SEARCH_EV
        if np.count_nonzero(inside) < 5:
            raise MeasurementError(
                f"{name}: runs from {energy_ev[0]:g} to {energy_ev[-1]:g} eV, the edge is near "
                f"{near_ev:g} eV: check edge"
            )
        grid, slope = grid[inside], slope[inside]
    top = int(np.argmax(slope))
    if top in {0, len(grid) - 1} or slope[top] <= 0:
        raise MeasurementError(
            f"{name}: no edge: the absorption rises most at {grid[top]:g} eV, the end of what was "
            "searched: check edge, and that absorption, not transmission, is given"
        )
    return _top_ev(grid, slope, top)


def _top_ev(grid: Array, slope: Array, top: int) -> float:
    """Return the top of the parabola through a maximum and its neighbours."""
    below, at, above = slope[top - 1 : top + 2]
    bend = below - 2 * at + above
    return float(
        grid[top] + (grid[1] - grid[0]) * (below - above) / (2 * bend) if bend else grid[top]
    )


@dataclass(frozen=True)
class Normalised:
    """A spectrum with an edge step of one.

    Attributes
    ----------
    energy_ev
        (n_points,).
    e0_ev
        The energy that the ranges count from, and where the step is taken.
    edge_step
        In the unit of the absorption.
    values
        (n_points,): (absorption - pre-edge line) / edge step.
    flattened
        (n_points,): `values`, with the post-edge curve made one above e0.
    noise
        Standard deviation of `values` around the pre-edge line.
    pre_edge_ev, post_edge_ev
        First and last energies, relative to e0, that the polynomials were fitted to.
    pre_edge_degree, post_edge_degree
        Of the polynomials.
    """

    energy_ev: Array
    e0_ev: float
    edge_step: float
    values: Array
    flattened: Array
    noise: float
    pre_edge_ev: Range
    post_edge_ev: Range
    pre_edge_degree: int
    post_edge_degree: int


def normalise(
    energy_ev: Array,
    absorption: Array,
    e0_ev: float,
    *,
    pre_edge_ev: Range = PRE_EDGE_EV,
    post_edge_ev: Range = POST_EDGE_EV,
    pre_edge_degree: int = 1,
    post_edge_degree: int | None = None,
    name: str = "the spectrum",
) -> Normalised:
    """Return a spectrum normalised to its edge step.

    A line is fitted before the edge and subtracted; a polynomial is fitted after it; its value at e0
    is the edge step (Newville 2014). Flattening (Ravel and Newville 2005) takes the difference of the
    post-edge polynomial from its value at e0 out of the spectrum above e0.

    Parameters
    ----------
    energy_ev, absorption
        (n_points,).
    e0_ev
        Origin of the ranges: the tabulated edge. Spectra that are combined need the same one, because
        then normalisation is linear: what is found on each spectrum would move the ranges with the
        composition, and the fractions with them.
    pre_edge_ev, post_edge_ev
        Ranges relative to e0, cut to what was measured.
    pre_edge_degree
        1, or 0 for a constant, where the range is too short for a slope.
    post_edge_degree
        0 to 3; by default 0, 1 or 2 for a range of less than 30 eV, less than 350 eV, or more: a short
        range does not fix a curved background.
    name
        For messages.

    Raises
    ------
    MeasurementError
        When a range holds too few points, or the absorption does not rise over the edge.
    """
    relative = energy_ev - e0_ev
    before = _points_in(relative, pre_edge_ev, "pre-edge", "pre_edge_ev", name)
    after = _points_in(relative, post_edge_ev, "post-edge", "post_edge_ev", name)
    if post_edge_degree is None:
        span = np.ptp(relative[after])
        post_edge_degree = 0 if span < 30 else 1 if span < 350 else 2
    line = np.polynomial.Polynomial.fit(relative[before], absorption[before], pre_edge_degree)
    above = absorption - line(relative)
    post = np.polynomial.Polynomial.fit(relative[after], above[after], post_edge_degree)
    step = float(post(0.0))
    freedom = np.count_nonzero(before) - pre_edge_degree - 1
    scatter = float(np.sqrt(np.sum(above[before] ** 2) / freedom))
    if not step > 3 * scatter:
        raise MeasurementError(
            f"{name}: an edge step of {step:.3g} with a noise of {scatter:.3g} is no edge: check the "
            "ranges, and that absorption, not transmission, is given"
        )
    values = above / step
    curve = np.where(relative >= 0, post(relative) / step, 1.0)
    return Normalised(
        energy_ev,
        e0_ev,
        step,
        values,
        values - curve + 1,
        scatter / step,
        (float(relative[before][0]), float(relative[before][-1])),
        (float(relative[after][0]), float(relative[after][-1])),
        pre_edge_degree,
        post_edge_degree,
    )


def _points_in(relative: Array, wanted: Range, what: str, option: str, name: str) -> Array:
    inside = (relative >= wanted[0]) & (relative <= wanted[1])
    if np.count_nonzero(inside) < _LEAST_POINTS:
        raise MeasurementError(
            f"{name}: {np.count_nonzero(inside)} points in the {what} range {wanted[0]:g} to "
            f"{wanted[1]:g} eV; the scan runs from {relative[0]:.1f} to {relative[-1]:.1f} eV around "
            f"the edge: give {option}, or measure further"
        )
    return np.asarray(inside)


def normalisation_errors(
    spectrum: Normalised, resamples: int, *, flatten: bool = True, seed: int = 0
) -> Array:
    """Return draws of the error that noise gives a normalised spectrum by way of its normalisation.

    The spectrum with its noise added once more is normalised again; what differs beyond the noise
    itself is the error of the line, the step and the polynomial. It is common to all points, so that a
    scatter of residuals does not show it, and it is the larger error where a range is short.

    Returns
    -------
    ndarray
        (n_points, resamples).
    """
    rng = np.random.default_rng(seed)
    noise = rng.normal(0.0, spectrum.noise, (resamples, len(spectrum.values)))
    errors = np.empty_like(noise.T)
    first = spectrum.flattened if flatten else spectrum.values
    for i, each in enumerate(noise):
        again = normalise(
            spectrum.energy_ev,
            spectrum.values + each,
            spectrum.e0_ev,
            pre_edge_ev=spectrum.pre_edge_ev,
            post_edge_ev=spectrum.post_edge_ev,
            pre_edge_degree=spectrum.pre_edge_degree,
            post_edge_degree=spectrum.post_edge_degree,
        )
        errors[:, i] = (again.flattened if flatten else again.values) - first - each
    return errors


@dataclass(frozen=True)
class EdgePosition:
    """Where an edge is, by two definitions, with standard uncertainties from the noise.

    Attributes
    ----------
    half_height_ev, half_height_uncertainty_ev
        Where the normalised absorption first rises through 0.5.
    derivative_ev, derivative_uncertainty_ev
        Where its first derivative is largest.
    """

    half_height_ev: float
    half_height_uncertainty_ev: float
    derivative_ev: float
    derivative_uncertainty_ev: float


def edge_position(
    spectrum: Normalised,
    *,
    width_ev: float = DERIVATIVE_WIDTH_EV,
    seed: int = 0,
    name: str = "the spectrum",
) -> EdgePosition:
    """Return where the edge is.

    Uncertainties are standard deviations over 200 copies of the spectrum with its noise (the scatter
    around the pre-edge line) added once more. The calibration of the monochromator is not in them.

    Raises
    ------
    MeasurementError
        When the spectrum does not rise through 0.5 near its edge.
    """
    near = abs(spectrum.energy_ev - spectrum.e0_ev) <= _SEARCH_EV + width_ev
    energy, values = spectrum.energy_ev[near], spectrum.values[near]
    rng = np.random.default_rng(seed)
    copies = values + rng.normal(0.0, spectrum.noise, (_DRAWS, len(values)))
    half = [_half_height_ev(energy, each, spectrum.e0_ev, name) for each in copies]
    slope = [
        find_edge_ev(energy, each, spectrum.e0_ev, width_ev=width_ev, name=name) for each in copies
    ]
    return EdgePosition(
        _half_height_ev(energy, values, spectrum.e0_ev, name),
        float(np.std(half, ddof=1)),
        find_edge_ev(energy, values, spectrum.e0_ev, width_ev=width_ev, name=name),
        float(np.std(slope, ddof=1)),
    )


def _half_height_ev(energy_ev: Array, values: Array, e0_ev: float, name: str) -> float:
    rises = np.flatnonzero((values[:-1] < 0.5) & (values[1:] >= 0.5))
    if not len(rises):
        raise MeasurementError(
            f"{name}: the normalised absorption does not rise through 0.5 near {e0_ev:g} eV: check "
            "the ranges"
        )
    i = int(rises[0])
    share = (0.5 - values[i]) / (values[i + 1] - values[i])
    return float(energy_ev[i] + share * (energy_ev[i + 1] - energy_ev[i]))


def foil_edge_ev(
    energy_ev: Array, foil: Array, near_ev: float, *, name: str = "the reference channel"
) -> float:
    """Return the first inflection of a metal foil's edge, by which monochromators are calibrated.

    It is the first maximum of the derivative, within 25 eV of `near_ev`, that reaches 0.4 of the
    largest (Kraft et al., Rev. Sci. Instrum. 67, 681 (1996), define the edges of the metals by the
    first one). The largest is often the second, and where the sample's fluorescence or a dark current
    leaks into the channel behind it, the sample moves that one and leaves the first.

    Raises
    ------
    MeasurementError
        When the channel shows no edge.
    """
    grid, slope = first_derivative(energy_ev, foil, name=name)
    inside = abs(grid - near_ev) <= _SEARCH_EV
    grid, slope = grid[inside], slope[inside]
    tops = find_peaks(slope, height=0.4 * slope.max())[0] if len(slope) else []
    if not len(tops) or slope.max() <= 0:
        raise MeasurementError(
            f"{name}: its reference channel shows no edge near {near_ev:g} eV: give shift_ev, or set "
            "align: false"
        )
    return _top_ev(grid, slope, int(tops[0]))


def scale_yield(
    energy_ev: Array,
    signal: Array,
    by: Literal["area", "maximum"],
    window_ev: Range,
    *,
    background_ev: Range | None = None,
    name: str = "the spectrum",
) -> Array:
    """Return a yield spectrum (TEY, PFY) scaled to an area or a maximum of one within a window.

    L edges of the 3d metals have no flat post-edge to normalise to; spectra are compared at the same
    area or the same height (de Groot and Kotani, Core Level Spectroscopy of Solids, 2008, chapter 4).

    Parameters
    ----------
    energy_ev, signal
        (n_points,).
    by
        The area has the unit eV^-1 for the result; it is the less noisy of the two.
    window_ev
        First and last energy of the area, or of the search for the maximum.
    background_ev
        Range before the edge whose mean is subtracted first; None subtracts nothing.
    name
        For messages.

    Raises
    ------
    MeasurementError
        When a range is not covered or holds no positive signal.
    """
    inside = covered(energy_ev, window_ev, name)
    values = signal
    if background_ev is not None:
        values = values - signal[covered(energy_ev, background_ev, name)].mean()
    if by == "area":
        size = float(np.trapezoid(values[inside], energy_ev[inside]))
    else:
        size = float(values[inside].max())
    if not size > 0:
        raise MeasurementError(
            f"{name}: its {by} between {window_ev[0]:g} and {window_ev[1]:g} eV is {size:.3g}: check "
            "the background's range"
        )
    return values / size


def covered(energy_ev: Array, window_ev: Range, name: str) -> Array:
    """Return which points lie in a window that the scan must cover.

    Raises
    ------
    MeasurementError
        When the scan ends before the window does, or has under four points in it.
    """
    first, last = window_ev
    inside = (energy_ev >= first) & (energy_ev <= last)
    if energy_ev[0] > first or energy_ev[-1] < last or np.count_nonzero(inside) < _LEAST_POINTS:
        raise MeasurementError(
            f"{name}: covers {energy_ev[0]:g} to {energy_ev[-1]:g} eV, the window is {first:g} to "
            f"{last:g} eV: choose a window that it covers, or measure it further"
        )
    return np.asarray(inside)


def difference_area(
    energy_ev: Array, signal: Array, other: Array, window_ev: Range, *, noise: float = 0.0
) -> tuple[float, float]:
    """Return the integral of `signal` - `other` over a window, and its standard uncertainty.

    Parameters
    ----------
    energy_ev, signal, other
        (n_points,): two spectra of the same scale on one axis, for example the O K edge after charge
        and before.
    window_ev
        First and last energy.
    noise
        Standard deviation of one point of the difference, independent from point to point.

    Returns
    -------
    float, float
        In the unit of the signal times eV.
    """
    inside = covered(energy_ev, window_ev, "the difference")
    energy = energy_ev[inside]
    steps = np.diff(energy)
    weights = np.zeros(len(energy))  # of the trapezoidal rule
    weights[:-1] += steps / 2
    weights[1:] += steps / 2
    area = float(weights @ (signal - other)[inside])
    return area, float(noise * np.linalg.norm(weights))
