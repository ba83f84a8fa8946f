"""Core-loss edges in energy-loss spectra: background, white-line ratio, pre-peak of the O K edge.

The background before an edge is a power law A E^-r (Egerton, Electron Energy-Loss Spectroscopy in the
Electron Microscope, 3rd ed. (2011), section 4.4.1). With the background known and the places of the
white lines fixed, every area is a sum of counts with weights, so that all spectra of an image go through
the same few matrix products and their uncertainties are exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.signal import savgol_coeffs, savgol_filter

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.quantities import Array
from rocksalt.analysis.xanes import Range

WHITE_LINES_EV: dict[str, Range] = {
    "Cr": (574.1, 583.8),
    "Mn": (638.7, 649.9),
    "Fe": (706.8, 719.9),
    "Co": (778.1, 793.2),
    "Ni": (852.7, 870.0),
}
"""L3 and L2 edges: X-ray Data Booklet (Lawrence Berkeley Laboratory, 2009), table 1-1."""

Noise = Literal["scatter", "poisson"]

LINE_WIDTH_EV = 8.0
AFTER_EV: Range = (8.0, 18.0)
STEP_WIDTH_EV = 1.0

_SEARCH_EV = (-3.0, 7.0)  # of the L3 maximum from the tabulated edge of the metal
_SPLITTING_EV = 2.5  # most that the L2 maximum differs from its tabulated place behind L3
_SMOOTH_EV = 2.0
_LEAST_CHANNELS = 10
_CHUNK = 4096  # spectra at a time: 30 MB of 1000 channels
_NEWTON_STEPS = 25
_MOST_LAGS = 30


@dataclass(frozen=True)
class Areas:
    """Background and areas of many spectra; NaN where a spectrum has no counts for a background.

    Attributes
    ----------
    values
        (n_spectra, n_weights): in the unit of the counts times that of the weights.
    covariance
        (n_spectra, n_weights, n_weights).
    dispersion
        Variance of a sum of channels over its counts: one for counted electrons.
    log_amplitude, exponent
        (n_spectra,): of the background exp(log_amplitude) (E / reference_ev)^-exponent.
    reference_ev
        Where the amplitude is that of the background.
    """

    values: Array
    covariance: Array
    dispersion: float
    log_amplitude: Array
    exponent: Array
    reference_ev: float

    def background(self, energy_ev: Array, spectrum: int = 0) -> Array:
        """Return the power law of one spectrum, in counts per channel: (n_energies,)."""
        log = np.log(energy_ev / self.reference_ev)
        return np.asarray(np.exp(self.log_amplitude[spectrum] - self.exponent[spectrum] * log))

    def ratio(self, over: int = 0, under: int = 1) -> tuple[Array, Array]:
        """Return a ratio of two areas and its standard uncertainty, to first order: (n_spectra,)."""
        a, b = self.values[:, over], self.values[:, under]
        pair = self.covariance
        with np.errstate(divide="ignore", invalid="ignore"):
            value = a / b
            square = (
                pair[:, over, over]
                - 2 * value * pair[:, over, under]
                + value**2 * pair[:, under, under]
            )
            return value, np.sqrt(square) / abs(b)

    def significance(self, which: int = 0) -> Array:
        """Return an area over its standard uncertainty: (n_spectra,)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(self.values[:, which] / np.sqrt(self.covariance[:, which, which]))


def check_window(energy_ev: Array, window_ev: Range, what: str, name: str) -> Array:
    """Return the channels in a window.

    Raises
    ------
    MeasurementError
        When the window is empty, has under ten channels, or reaches over an end of the spectrum.
    """
    first, last = window_ev
    if not first < last:
        raise MeasurementError(f"{name}: {what} {first:g} to {last:g} eV: give the lower end first")
    inside = (energy_ev >= first) & (energy_ev <= last)
    half = (energy_ev[1] - energy_ev[0]) / 2
    if energy_ev[0] - half > first or energy_ev[-1] + half < last:
        raise MeasurementError(
            f"{name}: covers {energy_ev[0]:g} to {energy_ev[-1]:g} eV, {what} is {first:g} to {last:g} "
            "eV: choose one that it covers, or shift_ev if the scale is off"
        )
    if np.count_nonzero(inside) < _LEAST_CHANNELS:
        raise MeasurementError(
            f"{name}: {what} {first:g} to {last:g} eV has {np.count_nonzero(inside)} channels: give it "
            f"{_LEAST_CHANNELS} at least"
        )
    return np.asarray(inside)


def window_weights(energy_ev: Array, window_ev: Range) -> Array:
    """Return the width of each channel that lies in a window, eV: the weights of an integral."""
    step = (energy_ev[-1] - energy_ev[0]) / (len(energy_ev) - 1)
    low = np.maximum(energy_ev - step / 2, window_ev[0])
    high = np.minimum(energy_ev + step / 2, window_ev[1])
    return np.asarray(np.maximum(high - low, 0.0))


def measure_areas(
    energy_ev: Array,
    counts: Array,
    background_ev: Range,
    weights: Array,
    *,
    noise: Noise = "scatter",
    name: str = "the spectrum",
) -> Areas:
    """Return areas above a power-law background, with the uncertainty that both give.

    The background is the quasi-likelihood fit of A E^-r to the counts, whose variance is proportional
    to their mean (McCullagh and Nelder, Generalized Linear Models, 2nd ed. (1989), section 9.2): least
    squares weighted by the fit itself, so that few counts cause no bias. An area is
    S = sum_i w_i (c_i - b_i), with the variance

        phi [sum_i w_i^2 c_i + g^T (X^T B X)^-1 g],    g = sum_i w_i b_i (1, -ln E_i)

    which is Egerton's variance of an extrapolated background (section 4.4.4) with the window's own
    channels in place of his approximation.

    Parameters
    ----------
    energy_ev
        (n_energies,).
    counts
        (n_spectra, n_energies): in any unit that is proportional to electrons.
    background_ev
        Window of the fit; weights must be zero in it.
    weights
        (n_energies, n_weights).
    noise
        'poisson' takes phi = 1. 'scatter' finds it from the residuals about all backgrounds: their
        variance over the counts, times one plus twice their correlations up to the first lag below two
        standard errors, because a detector's point spread couples channels.
    name
        For messages.

    Raises
    ------
    MeasurementError
        When the window is not covered or is not before the weights, or no spectrum has counts in it.
    """
    inside = check_window(energy_ev, background_ev, "the background window", name)
    if np.any(weights[inside]):
        raise MeasurementError(
            f"{name}: the background window {background_ev[0]:g} to {background_ev[1]:g} eV overlaps "
            "what is integrated: end it before the edge"
        )
    used = inside | np.any(weights != 0, axis=1)
    energy, weights, inside = energy_ev[used], weights[used], inside[used]
    reference = float(np.exp(np.log(energy[inside]).mean()))
    log = np.log(energy / reference)
    products = (weights[:, :, None] * weights[:, None, :]).reshape(len(energy), -1)
    n_spectra, n_weights = len(counts), weights.shape[1]
    values = np.empty((n_spectra, n_weights))
    covariance = np.empty((n_spectra, n_weights, n_weights))
    theta = np.empty((2, n_spectra))
    scatter, total = np.zeros(min(_MOST_LAGS, int(np.count_nonzero(inside)) // 4)), 0.0
    for first in range(0, n_spectra, _CHUNK):
        part = slice(first, first + _CHUNK)
        c = np.asarray(counts[part][:, used], dtype=float)
        theta[:, part], inverse = _fit_power_law(log[inside], c[:, inside])
        b = np.exp(np.clip(theta[0, part, None] - theta[1, part, None] * log, -700, 700))
        values[part] = (c - b) @ weights
        slopes = np.stack([b @ weights, b @ (-log[:, None] * weights)], axis=-1)
        variance = (c @ products).reshape(-1, n_weights, n_weights)
        covariance[part] = variance + np.einsum("pki,pij,plj->pkl", slopes, inverse, slopes)
        good = np.isfinite(theta[0, part])
        residual = (c - b)[good][:, inside]
        total += b[good][:, inside].sum()
        for lag in range(len(scatter)):
            scatter[lag] += np.sum(residual[:, lag:] * residual[:, : residual.shape[1] - lag])
    if not total > 0:
        raise MeasurementError(
            f"{name}: no counts in the background window {background_ev[0]:g} to {background_ev[1]:g} eV "
            "to fit a power law to: choose another, or check that the file holds counts"
        )
    dispersion = 1.0
    if noise == "scatter":
        n_window = int(np.count_nonzero(inside))
        n_used = n_window * int(np.isfinite(theta[0]).sum())
        dispersion = dispersion_of(scatter / total * n_window / (n_window - 2), n_used)
    return Areas(values, dispersion * covariance, dispersion, theta[0], theta[1], reference)


def _fit_power_law(log: Array, counts: Array) -> tuple[Array, Array]:
    """Return (log amplitude, exponent) of each spectrum and their covariance for a dispersion of one.

    Newton's method from Egerton's two-area estimate (section 4.4.2); the quasi-likelihood of a log link
    is concave, so that there is one maximum.
    """
    half = len(log) // 2
    sums = np.stack([counts[:, :half].mean(axis=1), counts[:, half:].mean(axis=1)])
    theta = np.full((2, len(counts)), np.nan)
    inverse = np.full((len(counts), 2, 2), np.nan)
    good = np.flatnonzero((sums > 0).all(axis=0) & np.isfinite(counts).all(axis=1))
    if not len(good):
        return theta, inverse
    c = counts[good]
    r = np.clip(
        np.log(sums[0, good] / sums[1, good]) / (log[half:].mean() - log[:half].mean()), -30, 30
    )
    a = np.log(c.mean(axis=1) / np.exp(-r[:, None] * log).mean(axis=1))
    moving = np.ones(len(good), dtype=bool)
    for _ in range(_NEWTON_STEPS):
        b = np.exp(np.clip(a[:, None] - r[:, None] * log, -700, 700))
        g0, g1 = (c - b).sum(axis=1), -((c - b) @ log)
        h00, h01, h11 = b.sum(axis=1), -(b @ log), b @ log**2
        determinant = h00 * h11 - h01**2
        with np.errstate(divide="ignore", invalid="ignore"):
            step_a = (h11 * g0 - h01 * g1) / determinant
            step_r = (h00 * g1 - h01 * g0) / determinant
        step_a, step_r = np.clip(step_a, -1, 1), np.clip(step_r, -5, 5)
        a, r = a + step_a, r + step_r
        moving = ~(abs(step_a) + abs(step_r) < 1e-9)
        if not moving.any():
            break
    kept = good[~moving]
    theta[:, kept] = np.stack([a, r])[:, ~moving]
    matrix = np.stack([h11, -h01, -h01, h00], axis=-1) / determinant[:, None]
    inverse[kept] = matrix.reshape(-1, 2, 2)[~moving]
    return theta, inverse


def dispersion_of(scatter: Array, n_used: int) -> float:
    """Return the variance of a wide sum over its counts, from the scatter at lags 0, 1, 2, ... ."""
    correlated = scatter / scatter[0] if scatter[0] > 0 else np.zeros_like(scatter)
    weak = np.flatnonzero(correlated < 2 / np.sqrt(n_used))
    until = int(weak[0]) if len(weak) else len(scatter)
    return float(scatter[0] * (1 + 2 * correlated[1:until].sum()))


def locate_white_lines(
    energy_ev: Array,
    signal: Array,
    element: str,
    *,
    after_ev: Range = AFTER_EV,
    step_width_ev: float = STEP_WIDTH_EV,
    name: str = "the spectrum",
) -> Range:
    """Return the energies of the maxima of L3 and L2 above their double step.

    Each is the top of a parabola through what lies within 1 eV of the largest value of the signal,
    smoothed over 2 eV. L3 is looked for from 3 eV below its tabulated edge to 7 eV above; L2 within 2.5 eV
    of its tabulated distance from L3. The step, which leans the maxima to higher energies, is placed at
    them and subtracted, twice.

    Parameters
    ----------
    energy_ev, signal
        (n_energies,): counts above the background.
    element
        One of `WHITE_LINES_EV`.
    after_ev, step_width_ev
        As in `white_line_weights`.
    name
        For messages.

    Raises
    ------
    MeasurementError
        When the spectrum does not reach the edge, or the signal is largest at an end of the search.
    """
    l3_edge, l2_edge = WHITE_LINES_EV[element]
    search = (l3_edge + _SEARCH_EV[0], l3_edge + _SEARCH_EV[1])
    above = signal
    for _ in range(3):
        l3 = _maximum(energy_ev, above, search, f"{element} L3", name)
        middle = l3 + l2_edge - l3_edge
        window = (middle - _SPLITTING_EV, middle + _SPLITTING_EV)
        l2 = _maximum(energy_ev, above, window, f"{element} L2", name)
        after = window_weights(energy_ev, (l2 + after_ev[0], l2 + after_ev[1]))
        step = double_step(energy_ev, l3, l2, step_width_ev)
        above = signal - step * (after @ signal) / (after @ step)
    return l3, l2


def _maximum(energy_ev: Array, signal: Array, window: Range, line: str, name: str) -> float:
    if energy_ev[0] > window[0] or energy_ev[-1] < window[1]:
        raise MeasurementError(
            f"{name}: covers {energy_ev[0]:g} to {energy_ev[-1]:g} eV, without {line} ({window[0]:g} to "
            f"{window[1]:g} eV): check element, and shift_ev if the scale is off"
        )
    step = energy_ev[1] - energy_ev[0]
    length = 2 * round(_SMOOTH_EV / step / 2) + 1
    if length < 5:
        raise MeasurementError(
            f"{name}: channels of {step:g} eV are too wide for white lines: {_SMOOTH_EV / 4:g} eV at most"
        )
    smooth = savgol_filter(signal, length, 2)
    places = np.flatnonzero((energy_ev >= window[0]) & (energy_ev <= window[1]))
    top = places[np.argmax(smooth[places])]
    if top in {places[0], places[-1]}:
        raise MeasurementError(
            f"{name}: no maximum of {line} from {window[0]:g} to {window[1]:g} eV, the signal is largest "
            f"at the end, {energy_ev[top]:g} eV: check element, and shift_ev if the scale is off"
        )
    half = length // 2
    near = slice(top - half, top + half + 1)
    bend, slope, _ = np.polyfit(energy_ev[near] - energy_ev[top], signal[near], 2)
    shift = -slope / (2 * bend) if bend < 0 else 0.0
    return float(energy_ev[top] + np.clip(shift, -step * half, step * half))


def double_step(energy_ev: Array, l3_ev: float, l2_ev: float, width_ev: float) -> Array:
    """Return two arctangents of heights 2/3 and 1/3, the transitions to the continuum: (n_energies,).

    Steps in the ratio 2:1, of the degeneracies of 2p3/2 and 2p1/2, at the maxima of the white lines:
    Pearson, Ahn and Fultz, Phys. Rev. B 47, 8471 (1993); as arctangents: van Aken and Liebscher, Phys.
    Chem. Miner. 29, 188 (2002); for manganese, Tan et al., Ultramicroscopy 116, 24 (2012).
    """
    first, second = (0.5 + np.arctan((energy_ev - e) / width_ev) / np.pi for e in (l3_ev, l2_ev))
    return np.asarray((2 * first + second) / 3)


def white_line_weights(
    energy_ev: Array,
    lines_ev: Range,
    *,
    width_ev: float = LINE_WIDTH_EV,
    after_ev: Range = AFTER_EV,
    step_width_ev: float = STEP_WIDTH_EV,
) -> Array:
    """Return the weights of the white lines above a double step: (n_energies, 4).

    The step's height is that at which its mean over `after_ev` is the mean of the signal there; each
    line is what lies above the step within half a `width_ev` of its maximum.

    Parameters
    ----------
    energy_ev
        (n_energies,).
    lines_ev
        Maxima of L3 and L2.
    width_ev
        Of the window of integration of each line.
    after_ev
        Behind the L2 maximum, where the height of the step is taken.
    step_width_ev
        Of the arctangents.

    Returns
    -------
    ndarray
        Columns: area of L3 and of L2 (counts eV), height of the step (counts), first moment of L3 about
        its given energy (counts eV^2).
    """
    l3, l2 = lines_ev
    step = double_step(energy_ev, l3, l2, step_width_ev)
    after = window_weights(energy_ev, (l2 + after_ev[0], l2 + after_ev[1]))
    height = after / (after @ step)
    columns = []
    for line in (l3, l2):
        window = window_weights(energy_ev, (line - width_ev / 2, line + width_ev / 2))
        columns.append(window - (window @ step) * height)
    arm = window_weights(energy_ev, (l3 - width_ev / 2, l3 + width_ev / 2)) * (energy_ev - l3)
    return np.column_stack([*columns, height, arm - (arm @ step) * height])


def second_derivative_weights(
    energy_ev: Array, signal: Array, lines_ev: Range, *, width_ev: float = 3.0
) -> Array:
    """Return the weights of the white lines by the negative second derivative: (n_energies, 2).

    A line's intensity is the integral of -d2S/dE2 over where it is positive about the line's maximum
    (Botton, Appel, Horsewell and Stobbs, J. Microsc. 180, 211 (1995)). It needs no step; it is
    proportional to the area only between lines of one width, so that it is no substitute for a ratio of
    areas. The derivative is that of a cubic over `width_ev` (Savitzky and Golay 1964).

    Parameters
    ----------
    energy_ev
        (n_energies,).
    signal
        (n_energies,): of all spectra together, which says where the derivative is positive.
    lines_ev
        Maxima of L3 and L2.
    width_ev
        Of the polynomial.
    """
    step = (energy_ev[-1] - energy_ev[0]) / (len(energy_ev) - 1)
    half = max(2, round(width_ev / step / 2))
    kernel = -savgol_coeffs(2 * half + 1, 3, deriv=2, delta=step, use="dot")
    curved = np.convolve(signal, kernel[::-1], mode="same")
    weights = np.zeros((len(energy_ev), 2))
    for column, line in enumerate(lines_ev):
        top = int(np.argmin(abs(energy_ev - line)))
        low = high = top
        while low - 1 > half and curved[low - 1] > 0:
            low -= 1
        while high + 1 < len(energy_ev) - half - 1 and curved[high + 1] > 0:
            high += 1
        for i in range(low, high + 1):
            weights[i - half : i + half + 1, column] += kernel * step
    return weights


def valence_from_ratio(
    ratio: tuple[float, float],
    references: dict[str, tuple[float, float]],
    valences: dict[str, float],
) -> tuple[float, float]:
    """Return the valence on the line between the two references that a ratio lies between.

    Parameters
    ----------
    ratio
        L3/L2 and its standard uncertainty.
    references
        The same of compounds of known valence, measured in the same way.
    valences
        Of the references.

    Raises
    ------
    MeasurementError
        With under two references, one without valence, two of the same ratio, or a ratio beyond them.
    """
    if set(valences) != set(references) or len(references) < 2:
        raise MeasurementError(
            "references and valences must name the same compounds, two at least: a ratio alone is no "
            "valence"
        )
    names = sorted(references, key=lambda each: references[each][0])
    values = np.array([references[each][0] for each in names])
    if not values[0] <= ratio[0] <= values[-1]:
        raise MeasurementError(
            f"L3/L2 of {ratio[0]:.3g} is beyond the references ({names[0]} {values[0]:.3g} to "
            f"{names[-1]} {values[-1]:.3g}): give a reference beyond it"
        )
    i = int(np.clip(np.searchsorted(values, ratio[0]), 1, len(names) - 1))
    low, high = names[i - 1], names[i]
    span = values[i] - values[i - 1]
    if not span > 0:
        raise MeasurementError(f"references {low} and {high} have the same L3/L2: leave one out")
    share = (ratio[0] - values[i - 1]) / span
    slope = (valences[high] - valences[low]) / span
    errors = np.array(
        [ratio[1], (1 - share) * references[low][1], share * references[high][1]], dtype=float
    )
    value = valences[low] + share * (valences[high] - valences[low])
    return float(value), float(abs(slope) * np.linalg.norm(errors))
