"""Oxygen potential of the gas against published tables, another implementation and itself."""

import math

import pytest
from ase.build import molecule
from ase.thermochemistry import IdealGasThermo
from ase.units import invcm
from hypothesis import given
from hypothesis import strategies as st

from rocksalt.screening import oxygen_gas
from rocksalt.screening.errors import RocksaltError
from rocksalt.screening.oxygen_gas import (
    MAX_TEMPERATURE_K,
    MIN_TEMPERATURE_K,
    dmu_o_ev,
    pressure_bar,
    temperature_k,
)

BAR_PER_ATM = 1.01325
BOLTZMANN_EV_PER_K = 8.617333262e-5

temperatures = st.floats(MIN_TEMPERATURE_K, MAX_TEMPERATURE_K)
pressures = st.floats(-30, 4).map(lambda exponent: 10**exponent)


# Reuter and Scheffler, Phys. Rev. B 65, 035406 (2002), table I, at 1 atm.
@pytest.mark.parametrize(
    ("kelvin", "published"),
    [
        *[(100, -0.08), (200, -0.17), (300, -0.27), (400, -0.38), (500, -0.50)],
        *[(600, -0.61), (700, -0.73), (800, -0.85), (900, -0.98), (1000, -1.10)],
    ],
)
def test_potential_is_the_published_one(kelvin, published):
    assert dmu_o_ev(kelvin, BAR_PER_ATM) == pytest.approx(published, abs=0.01)


# Chase, NIST-JANAF tables, 4th ed.: H(T) - H(298.15 K) in kJ/mol and S in J/mol/K of O2.
@pytest.mark.parametrize(
    ("kelvin", "enthalpy", "entropy"),
    [
        (100, -5.779, 173.307),
        (200, -2.868, 193.485),
        (298.15, 0.0, 205.147),
        (500, 6.084, 220.693),
        (1000, 22.703, 243.578),
        (2000, 59.175, 268.748),
        (3000, 98.013, 284.466),
    ],
)
def test_enthalpy_and_entropy_are_the_tabulated_ones(kelvin, enthalpy, entropy):
    found_enthalpy, found_entropy = oxygen_gas._enthalpy_and_entropy(kelvin)
    assert found_enthalpy / 1000 - 8.683 == pytest.approx(enthalpy, abs=0.005)
    assert found_entropy == pytest.approx(entropy, abs=0.02)


@pytest.mark.parametrize("kelvin", [100, 298.15, 500, 1000, 2000])
def test_potential_is_that_of_statistical_mechanics(kelvin):
    o2 = molecule("O2")
    o2.set_distance(0, 1, 1.2075)
    gas = IdealGasThermo([1556.4 * invcm], "linear", atoms=o2, symmetrynumber=2, spin=1)
    gibbs = gas.get_gibbs_energy(kelvin, 1e5, verbose=False) - gas.get_ZPE_correction()
    assert dmu_o_ev(kelvin) == pytest.approx(gibbs / 2, abs=0.003)


@pytest.mark.parametrize("kelvin", [700, 2000])
def test_ranges_of_the_fit_meet(kelvin):
    assert dmu_o_ev(kelvin) == pytest.approx(dmu_o_ev(math.nextafter(kelvin, 1e9)), abs=1e-5)


@given(kelvin=temperatures, bar=pressures, factor=st.floats(1e-6, 1e6))
def test_potential_rises_with_the_logarithm_of_pressure(kelvin, bar, factor):
    rise = dmu_o_ev(kelvin, factor * bar) - dmu_o_ev(kelvin, bar)
    expected = 0.5 * BOLTZMANN_EV_PER_K * kelvin * math.log(factor)
    assert rise == pytest.approx(expected, abs=1e-9)


@given(kelvin=st.floats(MIN_TEMPERATURE_K, MAX_TEMPERATURE_K - 1), bar=pressures)
def test_potential_falls_with_temperature(kelvin, bar):
    assert dmu_o_ev(kelvin + 1, bar) < dmu_o_ev(kelvin, bar) < 0


@given(kelvin=temperatures, bar=pressures)
def test_temperature_and_pressure_are_found_again(kelvin, bar):
    potential = dmu_o_ev(kelvin, bar)
    assert pressure_bar(potential, kelvin) == pytest.approx(bar, rel=1e-9)
    # A gap of some 1e-6 eV between two ranges of the fit can move the temperature this much.
    assert temperature_k(potential, bar) == pytest.approx(kelvin, abs=0.01)


@pytest.mark.parametrize("kelvin", [0, -300, 99.9, 6001, math.nan, math.inf])
def test_temperature_outside_the_tables_is_refused(kelvin):
    for potential in (lambda: dmu_o_ev(kelvin), lambda: pressure_bar(-1.0, kelvin)):
        with pytest.raises(RocksaltError, match="between 100 and 6000 K"):
            potential()


@pytest.mark.parametrize("bar", [0, -1, math.nan, math.inf])
def test_pressure_that_is_none_is_refused(bar):
    for potential in (lambda: dmu_o_ev(300, bar), lambda: temperature_k(-1.0, bar)):
        with pytest.raises(RocksaltError, match="positive number"):
            potential()


def test_potentials_out_of_reach_are_refused():
    with pytest.raises(RocksaltError, match="no temperature gives dmu_O"):
        temperature_k(0.5)
    with pytest.raises(RocksaltError, match="-100 eV at 300 K is a pressure of 1e-3"):
        pressure_bar(-100.0, 300)
    for bad in (math.nan, math.inf):
        with pytest.raises(RocksaltError, match="finite"):
            temperature_k(bad)
        with pytest.raises(RocksaltError, match="finite"):
            pressure_bar(bad, 300)
