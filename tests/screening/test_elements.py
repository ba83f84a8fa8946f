"""Radii against literal Shannon values, and the sets against the periodic table."""

import pytest
from pymatgen.core import Element

from rocksalt.screening.elements import (
    CHARGE_STEP_ANGSTROM,
    ELEMENT_SETS,
    O2_RADIUS_ANGSTROM,
    check_cation,
    is_late_row,
    known_cations,
    octahedral_radius_angstrom,
    rock_salt_lattice_parameter_angstrom,
)
from rocksalt.screening.errors import RocksaltError

EXACT = 1e-12
RELATIVE_LATTICE = 0.03

# Six-fold, 2+, high spin; Shannon, Acta Cryst. A 32, 751 (1976), table 1.
SHANNON_2PLUS_ANGSTROM = {
    "Mg": 0.72,
    "Ca": 1.00,
    "Sr": 1.18,
    "Ba": 1.35,
    "Cd": 0.95,
    "Pb": 1.19,
    "Eu": 1.17,
    "Ti": 0.86,
    "V": 0.79,
    "Cr": 0.80,
    "Mn": 0.83,
    "Fe": 0.78,
    "Co": 0.745,
    "Ni": 0.69,
    "Cu": 0.73,
    "Zn": 0.74,
    "Pd": 0.86,
    "Ag": 0.94,
}

# Measured edges of rock-salt oxides, angstrom, at room temperature.
MEASURED_EDGE_ANGSTROM = {
    "Mg": 4.212,
    "Ca": 4.811,
    "Sr": 5.160,
    "Ba": 5.539,
    "Mn": 4.446,
    "Fe": 4.33,
    "Co": 4.261,
    "Ni": 4.177,
    "Cd": 4.695,
}


@pytest.mark.parametrize(("symbol", "radius"), SHANNON_2PLUS_ANGSTROM.items())
def test_radius_is_shannons(symbol, radius):
    assert octahedral_radius_angstrom(symbol) == pytest.approx(radius, abs=EXACT)


@pytest.mark.parametrize(
    ("symbol", "lowest_charge_radius"),
    [("Al", 0.535), ("Sc", 0.745), ("Zr", 0.72), ("Nb", 0.72), ("Ru", 0.68), ("Rh", 0.665)],
)
def test_radius_without_2plus_is_the_lowest_charges_and_a_step(symbol, lowest_charge_radius):
    expected = lowest_charge_radius + CHARGE_STEP_ANGSTROM
    assert octahedral_radius_angstrom(symbol) == pytest.approx(expected, abs=EXACT)


@pytest.mark.parametrize(("symbol", "radius"), [("Li", 0.76), ("Na", 1.02), ("K", 1.38)])
def test_alkali_radius_is_that_of_1plus(symbol, radius):
    assert octahedral_radius_angstrom(symbol) == pytest.approx(radius, abs=EXACT)


@pytest.mark.parametrize(("symbol", "edge"), MEASURED_EDGE_ANGSTROM.items())
def test_starting_edge_is_near_the_measured_one(symbol, edge):
    start = rock_salt_lattice_parameter_angstrom(symbol)
    assert start == pytest.approx(edge, rel=RELATIVE_LATTICE)
    radius = octahedral_radius_angstrom(symbol)
    assert start == pytest.approx(2 * (radius + O2_RADIUS_ANGSTROM), abs=EXACT)


def test_every_cation_gets_a_finite_radius():
    for symbol in known_cations():
        assert 0.4 < octahedral_radius_angstrom(symbol) < 1.8, symbol


def test_sets_hold_known_cations_once():
    members = [symbol for symbols in ELEMENT_SETS.values() for symbol in symbols]
    assert len(members) == len(set(members))
    assert set(members) <= set(known_cations())


@pytest.mark.parametrize(("name", "row"), [("3d", 4), ("4d", 5), ("5d", 6)])
def test_d_sets_are_the_rows_of_the_periodic_table(name, row):
    expected = {
        e.symbol for e in Element if e.row == row and 3 <= e.group <= 12 and not e.is_lanthanoid
    }
    assert set(ELEMENT_SETS[name]) == expected


@pytest.mark.parametrize(("name", "group"), [("alkali", 1), ("alkaline-earth", 2)])
def test_s_sets_are_groups_of_the_periodic_table(name, group):
    assert {Element(symbol).group for symbol in ELEMENT_SETS[name]} == {group}


def test_lanthanides_are_all_but_the_radioactive_one():
    expected = {e.symbol for e in Element if e.is_lanthanoid} - {"Pm"}
    assert set(ELEMENT_SETS["lanthanides"]) == expected


def test_late_rows():
    assert all(is_late_row(symbol) for symbol in ("Y", "Ru", "Cd", "Hf", "Ir", "Hg"))
    assert not any(is_late_row(symbol) for symbol in ("Mn", "Zn", "Mg", "La", "Sn"))


@pytest.mark.parametrize("symbol", ["Xx", "X", "mn", "", "3d"])
def test_not_an_element(symbol):
    with pytest.raises(RocksaltError, match="not an element"):
        check_cation(symbol)


@pytest.mark.parametrize("symbol", ["O", "F", "H", "He", "Ne", "C", "N", "Cl", "Pm"])
def test_elements_without_a_reference_are_refused(symbol):
    with pytest.raises(RocksaltError, match="cannot be screened"):
        check_cation(symbol)


def test_known_cation_is_returned():
    assert check_cation("Ru") == "Ru"
