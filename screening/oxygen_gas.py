"""Oxygen chemical potential against temperature and pressure of O2 gas, and back.

Zero is half an O2 molecule at 0 K. The gas is ideal.
"""

from __future__ import annotations

import math

from scipy.constants import R, physical_constants
from scipy.optimize import brentq

from rocksalt.screening.errors import RocksaltError

MIN_TEMPERATURE_K = 100.0
MAX_TEMPERATURE_K = 6000.0

O2_ENTHALPY_298_KJ_PER_MOL = 8.683
"""H(298.15 K) - H(0 K) of O2; Chase, NIST-JANAF Thermochemical Tables, 4th ed. (1998)."""

_SHOMATE = (
    (700.0, (31.32234, -20.23531, 57.86644, -36.50624, -0.007374, -8.903471, 246.7945)),
    (2000.0, (30.03235, 8.772972, -3.988133, 0.788313, -0.741599, -11.32468, 236.1663)),
    (6000.0, (20.91111, 10.72071, -2.020498, 0.146449, 9.245722, 5.337651, 237.6185)),
)
"""Upper end in K and coefficients A-G of O2: the tables of Chase (1998) as fitted by the NIST
Chemistry WebBook, standard pressure 1 bar."""

_BOLTZMANN_EV_PER_K = physical_constants["Boltzmann constant in eV/K"][0]
_J_PER_MOL_IN_EV = _BOLTZMANN_EV_PER_K / R


def dmu_o_ev(temperature_k: float, pressure_bar: float = 1.0) -> float:
    """Return the oxygen chemical potential of O2 gas, in eV per O, relative to 1/2 O2 at 0 K.

    dmu_O(T, p) = 1/2 [H(T) - H(0) - T S(T)] + 1/2 kB T ln(p / 1 bar).

    Parameters
    ----------
    temperature_k
        Between `MIN_TEMPERATURE_K` and `MAX_TEMPERATURE_K`.
    pressure_bar
        Partial pressure of O2.

    Raises
    ------
    RocksaltError
        For a temperature outside the tables or a pressure that is not a positive number.

    Notes
    -----
    Reuter and Scheffler, Phys. Rev. B 65, 035406 (2002), equation 21 and table I.
    """
    _check_temperature(temperature_k)
    _check_pressure(pressure_bar)
    return _unchecked_dmu_o_ev(temperature_k, pressure_bar)


def temperature_k(dmu_o_ev: float, pressure_bar: float = 1.0) -> float:
    """Return the temperature in K at which O2 gas has an oxygen chemical potential.

    Parameters
    ----------
    dmu_o_ev
        In eV per O, relative to 1/2 O2 at 0 K.
    pressure_bar
        Partial pressure of O2.

    Raises
    ------
    RocksaltError
        When no temperature of the tables gives it, or the pressure is not a positive number.
    """
    _check_potential(dmu_o_ev)
    _check_pressure(pressure_bar)
    highest = _unchecked_dmu_o_ev(MIN_TEMPERATURE_K, pressure_bar)
    lowest = _unchecked_dmu_o_ev(MAX_TEMPERATURE_K, pressure_bar)
    if not lowest <= dmu_o_ev <= highest:
        raise RocksaltError(
            f"no temperature gives dmu_O = {dmu_o_ev:g} eV at {pressure_bar:g} bar of O2: between "
            f"{MIN_TEMPERATURE_K:g} and {MAX_TEMPERATURE_K:g} K it runs from {highest:.3f} to "
            f"{lowest:.3f} eV"
        )
    return float(
        brentq(
            lambda t: _unchecked_dmu_o_ev(t, pressure_bar) - dmu_o_ev,
            MIN_TEMPERATURE_K,
            MAX_TEMPERATURE_K,
            xtol=1e-9,
        )
    )


def pressure_bar(dmu_o_ev: float, temperature_k: float) -> float:
    """Return the pressure of O2 in bar that gives an oxygen chemical potential.

    Parameters
    ----------
    dmu_o_ev
        In eV per O, relative to 1/2 O2 at 0 K.
    temperature_k
        Between `MIN_TEMPERATURE_K` and `MAX_TEMPERATURE_K`.

    Raises
    ------
    RocksaltError
        For a temperature outside the tables, a potential that is not a number, or one so far away
        that its pressure is none that a computer holds (below 1e-300 or above 1e300 bar).
    """
    _check_potential(dmu_o_ev)
    _check_temperature(temperature_k)
    above = dmu_o_ev - _unchecked_dmu_o_ev(temperature_k, 1.0)
    exponent = 2 * above / (_BOLTZMANN_EV_PER_K * temperature_k)
    if abs(exponent) > 300 * math.log(10):
        raise RocksaltError(
            f"dmu_O = {dmu_o_ev:g} eV at {temperature_k:g} K is a pressure of "
            f"1e{exponent / math.log(10):.0f} bar: give a potential nearer to "
            f"{dmu_o_ev - above:.2f} eV, which is 1 bar, or another temperature"
        )
    return math.exp(exponent)


def _unchecked_dmu_o_ev(temperature_k: float, pressure_bar: float) -> float:
    enthalpy, entropy = _enthalpy_and_entropy(temperature_k)
    standard_ev = (enthalpy - temperature_k * entropy) * _J_PER_MOL_IN_EV
    return 0.5 * (standard_ev + _BOLTZMANN_EV_PER_K * temperature_k * math.log(pressure_bar))


def _enthalpy_and_entropy(temperature_k: float) -> tuple[float, float]:
    """Return H(T) - H(0) in J/mol and S(T) in J/mol/K of O2 at 1 bar."""
    a, b, c, d, e, f, g = next(c for end, c in _SHOMATE if temperature_k <= end)
    t = temperature_k / 1000
    from_298 = a * t + b * t**2 / 2 + c * t**3 / 3 + d * t**4 / 4 - e / t + f
    entropy = a * math.log(t) + b * t + c * t**2 / 2 + d * t**3 / 3 - e / (2 * t**2) + g
    return 1000 * (from_298 + O2_ENTHALPY_298_KJ_PER_MOL), entropy


def _check_temperature(temperature_k: float) -> None:
    if not MIN_TEMPERATURE_K <= temperature_k <= MAX_TEMPERATURE_K:
        raise RocksaltError(
            f"temperature {temperature_k:g} K is outside the tables of O2: give one between "
            f"{MIN_TEMPERATURE_K:g} and {MAX_TEMPERATURE_K:g} K"
        )


def _check_pressure(pressure_bar: float) -> None:
    if not (math.isfinite(pressure_bar) and pressure_bar > 0):
        raise RocksaltError(
            f"pressure of O2 {pressure_bar:g} bar: give a positive number, 0.21 for air"
        )


def _check_potential(dmu_o_ev: float) -> None:
    if not math.isfinite(dmu_o_ev):
        raise RocksaltError(f"oxygen chemical potential {dmu_o_ev:g} eV: give a finite number")
