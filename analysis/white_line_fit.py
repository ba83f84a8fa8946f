"""White lines as two Voigt profiles on a double step and a power law, fitted together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares
from scipy.special import voigt_profile

from rocksalt.analysis.eels import (
    AFTER_EV,
    STEP_WIDTH_EV,
    Noise,
    dispersion_of,
    double_step,
    measure_areas,
    white_line_weights,
)
from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.quantities import Array
from rocksalt.analysis.xanes import Range

_FWHM = 2 * np.sqrt(2 * np.log(2))
_WIDEST_EV = 12.0  # beyond the distance of the lines a profile is background


@dataclass(frozen=True)
class WhiteLineFit:
    """A fit of the whole edge.

    Attributes
    ----------
    ratio, uncertainty
        Area of L3 over that of L2, tails included.
    lines_ev
        Centres of L3 and L2.
    l3_uncertainty_ev
        Standard uncertainty of the centre of L3.
    dispersion
        Variance of a sum of residuals over the counts: above one, the model leaves more than counting.
    energy_ev, fitted
        (n_points,): where it was fitted, and the counts that it gives there.
    """

    ratio: float
    uncertainty: float
    lines_ev: Range
    l3_uncertainty_ev: float
    dispersion: float
    energy_ev: Array
    fitted: Array


def fit_white_lines(
    energy_ev: Array,
    counts: Array,
    background_ev: Range,
    lines_ev: Range,
    *,
    after_ev: Range = AFTER_EV,
    step_width_ev: float = STEP_WIDTH_EV,
    noise: Noise = "scatter",
    name: str = "the spectrum",
) -> WhiteLineFit:
    """Fit A E^-r, a double arctangent and two Voigt profiles to one spectrum.

    Unlike windows, a fit takes the tails of a line wherever they are, and depends on the shape that it
    assumes: van Aken and Liebscher, Phys. Chem. Miner. 29, 188 (2002), and Riedl, Gemming and Wetzig,
    Ultramicroscopy 106, 284 (2006), who compare both ways for manganese. The profiles share the
    Gaussian part, which is the instrument's, and have a Lorentzian part each; the step's two arctangents
    are at their centres, 2:1. Least squares are weighted by the model's counts.

    Parameters
    ----------
    energy_ev, counts
        (n_energies,).
    background_ev
        Begins the fit, which ends with `after_ev`.
    lines_ev
        Maxima of L3 and L2, to start from.
    after_ev, step_width_ev
        As in `rocksalt.analysis.eels.white_line_weights`.
    noise
        'poisson', or 'scatter' from the residuals, as in `rocksalt.analysis.eels.measure_areas`.
    name
        For messages.

    Raises
    ------
    MeasurementError
        When the fit does not converge.
    """
    weights = white_line_weights(
        energy_ev, lines_ev, after_ev=after_ev, step_width_ev=step_width_ev
    )
    start = measure_areas(energy_ev, counts[None], background_ev, weights, name=name)
    used = (energy_ev >= background_ev[0]) & (energy_ev <= lines_ev[1] + after_ev[1])
    energy, data = energy_ev[used], np.asarray(counts[used], dtype=float)
    log = np.log(energy / start.reference_ev)
    l3_area, l2_area, height = start.values[0, :3]
    level = float(np.exp(start.log_amplitude[0]))

    def model(x: Array) -> Array:
        amplitude, exponent, ratio, area, l3, l2, sigma, gamma3, gamma2, step = x
        lines = area * (
            ratio * voigt_profile(energy - l3, sigma, gamma3)
            + voigt_profile(energy - l2, sigma, gamma2)
        )
        steps = step * double_step(energy, l3, l2, step_width_ev)
        return np.asarray(level * amplitude * np.exp(-exponent * log) + lines + steps)

    x = np.array(
        [
            1.0,
            start.exponent[0],
            max(l3_area / l2_area, 0.1),
            l2_area,
            *lines_ev,
            1.0,
            0.5,
            0.7,
            height,
        ]
    )
    low = np.array([0, -10, 0, 0, lines_ev[0] - 3, lines_ev[1] - 3, 0.1, 0, 0, -np.inf])
    high = np.array(
        [np.inf, 20, np.inf, np.inf, lines_ev[0] + 3, lines_ev[1] + 3, *[_WIDEST_EV] * 3, np.inf]
    )
    scale = np.array(
        [1e-2, 0.1, 0.1, max(l2_area, 1) / 10, 0.1, 0.1, 0.1, 0.1, 0.1, max(height, 1) / 10]
    )
    least = max(float(np.median(data)) * 1e-3, 1e-12)
    expected = np.maximum(
        start.background(energy) + np.maximum(data - start.background(energy), 0), least
    )
    for _ in range(2):  # weights from the data once, to start; then from the model
        fit = least_squares(
            lambda x, root: (model(x) - data) / root,
            np.clip(x, low, high),
            bounds=(low, high),
            x_scale=scale,
            max_nfev=200,
            args=(np.sqrt(expected),),
        )
        x = fit.x
        expected = np.maximum(model(x), least)
    if not fit.success:
        raise MeasurementError(f"{name}: the fit of two lines does not converge")
    free = (x - low > 1e-3 * scale) & (high - x > 1e-3 * scale)
    inverse = np.full((len(x), len(x)), np.nan)
    jacobian = fit.jac[:, free]
    inverse[np.ix_(free, free)] = np.linalg.pinv(jacobian.T @ jacobian)
    left = data - expected
    dispersion = 1.0
    if noise == "scatter":
        lags = len(data) // 20
        scatter = np.array([left[k:] @ left[: len(left) - k] for k in range(lags)]) / expected.sum()
        dispersion = dispersion_of(scatter * len(data) / (len(data) - len(x)), len(data))
    errors = np.sqrt(dispersion * np.diag(inverse))
    return WhiteLineFit(
        float(x[2]),
        float(errors[2]),
        (float(x[4]), float(x[5])),
        float(errors[4]),
        dispersion,
        energy,
        model(x),
    )
