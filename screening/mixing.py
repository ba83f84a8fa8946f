"""Mixing of two rock salts: enthalpy, (sub)regular solution, miscibility gap.

x is the fraction of the dopant M among the cations of M_x H_(1-x) O throughout; enthalpies and free
energies are eV per cation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.constants import Boltzmann, elementary_charge
from scipy.optimize import brentq

from rocksalt.screening.scales import Energy, common_scale

KB_EV_PER_K = Boltzmann / elementary_charge

_NEAR_CRITICAL = 1e-6
"""Relative distance from the critical temperature below which its expansion is used."""

_LOGIT_SPACED = 1 / (1 + np.exp(-np.linspace(-16, 16, 641)))
"""Compositions for `dissolves`; dilute ones have a place of their own."""


def mixing_enthalpy_ev_per_cation(
    mixture: Energy, dopant_oxide: Energy, host_oxide: Energy, fraction: float
) -> float:
    """Return dHmix = E(M_x H_(1-x) O) - x E(MO) - (1-x) E(HO).

    Parameters
    ----------
    mixture, dopant_oxide, host_oxide
        Energies per cation (per formula unit of MO), in eV.
    fraction
        x, between 0 and 1.

    Raises
    ------
    ScaleError
        When the energies are not on one scale.

    Notes
    -----
    Lin et al., Nat. Commun. 10, 1650 (2019), figure 5d. All MP2020 terms cancel.
    """
    common_scale(mixture, dopant_oxide, host_oxide)
    return mixture.ev - fraction * dopant_oxide.ev - (1 - fraction) * host_oxide.ev


@dataclass(frozen=True)
class MiscibilityGap:
    """The two compositions in equilibrium across a gap.

    Attributes
    ----------
    host_rich
        Fraction of dopant that the host's oxide dissolves.
    dopant_rich
        Fraction of dopant in the phase it is in equilibrium with.
    """

    host_rich: float
    dopant_rich: float


@dataclass(frozen=True)
class SubregularSolution:
    """dHmix(x) = x(1-x)[l0 + l1(1-2x)] with ideal entropy; regular when l1 is 0.

    Attributes
    ----------
    l0, l1
        Interaction parameters in eV per cation.
    """

    l0: float
    l1: float = 0.0

    def enthalpy(self, x: ArrayLike) -> NDArray[np.float64]:
        """Return dHmix in eV per cation."""
        x = np.asarray(x, dtype=float)
        return x * (1 - x) * (self.l0 + self.l1 * (1 - 2 * x))

    def free_energy(self, x: ArrayLike, temperature_k: float) -> NDArray[np.float64]:
        """Return dGmix = dHmix + kB T [x ln x + (1-x) ln(1-x)] in eV per cation."""
        x = np.asarray(x, dtype=float)
        with np.errstate(divide="ignore", invalid="ignore"):
            mixing = np.where(x > 0, x * np.log(x), 0) + np.where(x < 1, (1 - x) * np.log1p(-x), 0)
        return self.enthalpy(x) + KB_EV_PER_K * temperature_k * mixing

    def critical_point(self) -> tuple[float, float]:
        """Return the critical temperature in K and the critical fraction; (0, nan) without a gap.

        The spinodal is kB T = x(1-x)[2 l0 + 6 l1 (1-2x)]; its top is found in closed form. A
        regular solution gives l0 / (2 kB) at x = 1/2.
        """
        if self.l1 == 0:
            stationary = [0.0]
        else:
            # d/du of (1-u^2)(2 l0 + 6 l1 u)/4 with u = 1-2x: 9 l1 u^2 + 2 l0 u - 3 l1 = 0
            root_of = math.hypot(self.l0, math.sqrt(27) * self.l1)
            # Of the two forms of each root, the one without a difference of near equals.
            sign = math.copysign(1.0, self.l0)
            far = -(self.l0 + sign * root_of)
            stationary = [far / (9 * self.l1), -3 * self.l1 / far]
        inside = [u for u in stationary if -1 < u < 1]
        spinodal = [(1 - u * u) * (2 * self.l0 + 6 * self.l1 * u) / 4 for u in inside]
        if not spinodal or max(spinodal) <= 0:
            return 0.0, math.nan
        top = int(np.argmax(spinodal))
        return spinodal[top] / KB_EV_PER_K, (1 - inside[top]) / 2

    def gap(self, temperature_k: float) -> MiscibilityGap | None:
        """Return the miscibility gap at a temperature, or None when all compositions mix.

        The compositions share a tangent of dGmix: both chemical potentials are equal. A subregular
        solution has at most one gap.

        Raises
        ------
        ValueError
            For a temperature that is not positive.
        """
        if not temperature_k > 0:
            raise ValueError(f"temperature must be positive, not {temperature_k} K")
        critical, x_critical = self.critical_point()
        if critical <= temperature_k * (1 + 1e-9):
            return None
        kt = KB_EV_PER_K * temperature_k
        if temperature_k > critical * (1 - _NEAR_CRITICAL):
            return self._gap_near_critical(kt, x_critical)
        low, high = self._spinodal_logits(kt, _logit(x_critical))
        host_rich, dopant_rich = self._binodal_logits(kt, low, high)
        return MiscibilityGap(_fraction(host_rich), _fraction(dopant_rich))

    def _gap_near_critical(self, kt: float, x_critical: float) -> MiscibilityGap:
        """Return the gap just below the critical point, from Landau's expansion.

        There the binodal is the square root of 3 times as wide as the spinodal, which is the top of
        a parabola.
        """
        u = 1 - 2 * x_critical
        top = (1 - u * u) * (2 * self.l0 + 6 * self.l1 * u) / 4
        curvature = 4 * (self.l0 + 9 * self.l1 * u)
        half_width = math.sqrt(3) * math.sqrt(2 * (top - kt) / curvature)
        return MiscibilityGap(x_critical - half_width, x_critical + half_width)

    def _logit_limit(self, kt: float) -> float:
        """Return a logit beyond every composition of the gap."""
        return 50 + 4 * (abs(self.l0) + abs(self.l1)) / kt

    def _spinodal_logits(self, kt: float, top: float) -> tuple[float, float]:
        """Return the logits of the two spinodal compositions around the critical one."""
        limit = self._logit_limit(kt)

        def excess(t: float) -> float:
            x, y = _fraction(t), _fraction(-t)
            return x * y * (2 * self.l0 + 6 * self.l1 * (y - x)) / kt - 1

        return _zero(excess, -limit, top), _zero(excess, top, limit)

    def _potentials(self, t: float, kt: float) -> tuple[float, float]:
        """Return the chemical potentials of host and dopant over kT at logit ``t``.

        mu_host = x^2 [l0 + l1 (3 - 4x)] + kT ln(1-x), and the same for the dopant with x -> 1-x
        and l1 -> -l1.
        """
        x, y = _fraction(t), _fraction(-t)
        host = x * x * (self.l0 + self.l1 * (3 * y - x)) / kt - _softplus(t)
        dopant = y * y * (self.l0 + self.l1 * (y - 3 * x)) / kt - _softplus(-t)
        return host, dopant

    def _binodal_logits(self, kt: float, low: float, high: float) -> tuple[float, float]:
        """Return the logits of the common tangent, by bisection along the host-rich branch.

        At a composition outside the spinodal, the composition on the other side with the same host
        potential is found; the dopant potentials then tell which way to go. Both are monotonic
        there, so that no start is needed and the trivial solution is not among the brackets.
        """
        limit = self._logit_limit(kt)
        highest = self._potentials(high, kt)[0]

        def partner(t: float) -> float:
            # Beyond the spinodal the host potential falls from its maximum there to -inf. A dilute
            # composition may lie above that maximum: it is on the host's side of the gap.
            target = self._potentials(t, kt)[0]
            if target >= highest:
                return high
            return _zero(lambda u: self._potentials(u, kt)[0] - target, high, limit)

        def mismatch(t: float) -> float:
            return self._potentials(t, kt)[1] - self._potentials(partner(t), kt)[1]

        host_rich = _zero(mismatch, -limit, low)
        return host_rich, partner(host_rich)


def _zero(function: Callable[[float], float], low: float, high: float) -> float:
    return float(brentq(function, low, high, xtol=1e-13, maxiter=1000))


def _fraction(logit: float) -> float:
    return 1 / (1 + math.exp(-logit)) if logit > -700 else 0.0


def _logit(x: float) -> float:
    return math.log(x) - math.log1p(-x)


def _softplus(t: float) -> float:
    """Return ln(1 + e^t)."""
    return max(t, 0.0) + math.log1p(math.exp(-abs(t)))


def dissolves(
    l0: ArrayLike, l1: ArrayLike, fraction: float, temperature_k: float
) -> NDArray[np.bool_]:
    """Return for many subregular solutions whether the host dissolves a fraction of the dopant.

    It does where that composition is stable and the gap does not lie below it: where the tangent
    of dGmix there is nowhere above dGmix, and no composition with less dopant is unstable (second
    derivative below 0).

    Parameters
    ----------
    l0, l1
        Interaction parameters in eV per cation, of one shape.
    fraction
        y, between 0 and 1.
    temperature_k
        Temperature.

    Returns
    -------
    boolean array
        Of that shape; what `SubregularSolution.gap` says, without solving for it.

    Notes
    -----
    dGmix lies above its tangent at y by (x-y)^2 times

        kB T [x ln(x/y) + (1-x) ln((1-x)/(1-y))] / (x-y)^2 - l0 - l1 (3 - 4y - 2x).

    Both conditions are linear in l0 and l1. They are asked at compositions so close together that
    the border is within 0.01 kB T in l0 of where it should be.
    """
    kt = KB_EV_PER_K * temperature_k
    y = fraction
    x = _LOGIT_SPACED[np.abs(_LOGIT_SPACED - y) > 1e-3 * min(y, 1 - y)]
    relative_entropy = x * np.log(x / y) + (1 - x) * np.log((1 - x) / (1 - y))
    below = x[x < y]
    # l0 + slope l1 <= limit
    slopes = np.concatenate([3 - 4 * y - 2 * x, 3 * (1 - 2 * below)])
    limits = kt * np.concatenate([relative_entropy / (x - y) ** 2, 1 / (2 * below * (1 - below))])
    l0, l1 = np.asarray(l0, dtype=float)[..., None], np.asarray(l1, dtype=float)[..., None]
    return (l0 + l1 * slopes <= limits).all(axis=-1)


def fit_regular(
    fractions: Sequence[float], enthalpies_ev_per_cation: Sequence[float]
) -> tuple[SubregularSolution, float]:
    """Fit dHmix(x) = l0 x(1-x); otherwise as `fit_subregular`."""
    return _fit(fractions, enthalpies_ev_per_cation, asymmetric=False)


def fit_subregular(
    fractions: Sequence[float], enthalpies_ev_per_cation: Sequence[float]
) -> tuple[SubregularSolution, float]:
    """Fit dHmix(x) = x(1-x)[l0 + l1(1-2x)] by least squares.

    Parameters
    ----------
    fractions
        x of each value, strictly between 0 and 1.
    enthalpies_ev_per_cation
        dHmix of each, same length. With one distinct fraction the regular solution is fitted.

    Returns
    -------
    solution, rms
        The model and the root mean square of its residuals in eV per cation.

    Raises
    ------
    ValueError
        Without data, or for a fraction outside (0, 1).
    """
    asymmetric = len({round(float(x), 9) for x in fractions}) > 1
    return _fit(fractions, enthalpies_ev_per_cation, asymmetric=asymmetric)


def _fit(
    fractions: Sequence[float], enthalpies_ev_per_cation: Sequence[float], *, asymmetric: bool
) -> tuple[SubregularSolution, float]:
    x = np.asarray(fractions, dtype=float)
    h = np.asarray(enthalpies_ev_per_cation, dtype=float)
    if len(x) == 0 or len(x) != len(h):
        raise ValueError("as many fractions as enthalpies are needed, at least one")
    if not ((x > 0) & (x < 1)).all():
        raise ValueError("fractions must lie between 0 and 1")
    if not np.isfinite(h).all():
        raise ValueError("an enthalpy is not finite")
    columns = [x * (1 - x)]
    if asymmetric:
        columns.append(x * (1 - x) * (1 - 2 * x))
    design = np.column_stack(columns)
    parameters = np.linalg.lstsq(design, h, rcond=None)[0]
    residual = h - design @ parameters
    solution = SubregularSolution(*(float(p) for p in parameters))
    return solution, float(np.sqrt(np.mean(residual**2)))
