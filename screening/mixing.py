"""Mixing of two rock salts: enthalpy, (sub)regular solution, miscibility gap.

x is the fraction of the dopant M among the cations of M_x H_(1-x) O throughout; enthalpies and free
energies are eV per cation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.constants import Boltzmann, elementary_charge
from scipy.optimize import brentq, root

from rocksalt.screening.scales import Energy, common_scale

KB_EV_PER_K = Boltzmann / elementary_charge

_NEAR_CRITICAL = 1e-4
"""Relative distance from the critical temperature below which its expansion is used."""


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
        start = self._tangent_from_hull(kt, low, high)
        solution = root(self._potential_differences, start, args=(kt,), tol=1e-13)
        t1, t2 = solution.x
        if not (t1 < low and t2 > high) or np.abs(solution.fun).max() > 1e-9:
            t1, t2 = start  # near the critical point the grid is as good as the solver
        return MiscibilityGap(_fraction(t1), _fraction(t2))

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
        return max(50.0, 2 * (abs(self.l0) + abs(self.l1)) / kt)

    def _spinodal_logits(self, kt: float, top: float) -> tuple[float, float]:
        """Return the logits of the two spinodal compositions around the critical one."""
        limit = self._logit_limit(kt)

        def excess(t: float) -> float:
            x, y = _fraction(t), _fraction(-t)
            return x * y * (2 * self.l0 + 6 * self.l1 * (y - x)) / kt - 1

        return brentq(excess, -limit, top), brentq(excess, top, limit)

    def _potentials(self, t: float, kt: float) -> tuple[float, float]:
        """Return the chemical potentials of host and dopant over kT at logit ``t``.

        mu_host = x^2 [l0 + l1 (3 - 4x)] + kT ln(1-x), and the same for the dopant with x -> 1-x
        and l1 -> -l1.
        """
        x, y = _fraction(t), _fraction(-t)
        host = x * x * (self.l0 + self.l1 * (3 * y - x)) / kt - np.logaddexp(0, t)
        dopant = y * y * (self.l0 + self.l1 * (y - 3 * x)) / kt - np.logaddexp(0, -t)
        return float(host), float(dopant)

    def _potential_differences(self, logits: NDArray[np.float64], kt: float) -> list[float]:
        left, right = self._potentials(logits[0], kt), self._potentials(logits[1], kt)
        return [left[0] - right[0], left[1] - right[1]]

    def _tangent_from_hull(self, kt: float, low: float, high: float) -> NDArray[np.float64]:
        """Return logits near the common tangent, by bisection along the host-rich branch.

        At a composition outside the spinodal, the composition on the other side with the same host
        potential is found; the dopant potentials then tell which way to go.
        """
        limit = self._logit_limit(kt)

        def partner(t: float) -> float:
            target = self._potentials(t, kt)[0]
            return brentq(lambda u: self._potentials(u, kt)[0] - target, high, limit)

        def mismatch(t: float) -> float:
            return self._potentials(t, kt)[1] - self._potentials(partner(t), kt)[1]

        # The host potential falls to -inf on the dopant-rich side, so a partner exists as soon as
        # the value at the dopant-rich spinodal lies above the target.
        at_high = self._potentials(high, kt)[0]

        def has_partner(t: float) -> float:
            return at_high - self._potentials(t, kt)[0]

        left = -limit
        if has_partner(left) < 0:
            left = brentq(has_partner, left, low) + 1e-12
        t1 = brentq(mismatch, left, low, xtol=1e-13)
        return np.array([t1, partner(t1)])


def _fraction(logit: float) -> float:
    return 1 / (1 + math.exp(-logit)) if logit > -700 else 0.0


def _logit(x: float) -> float:
    return math.log(x) - math.log1p(-x)


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
