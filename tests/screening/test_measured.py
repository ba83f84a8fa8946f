"""Measured enthalpies: known values, and what they say about dopants in the hosts' rock salts."""

import math

import pytest

from rocksalt.screening import measured
from rocksalt.screening.elements import ELEMENT_SETS
from rocksalt.screening.errors import RocksaltError
from rocksalt.screening.hull import make_hull
from rocksalt.screening.measured import MEASURED_SCALE, has_measured_oxide, measured_entries
from rocksalt.screening.oxygen import metal_in_host_window, oxygen_windows, rock_salt_window

HOSTS = ("Mn", "Ni", "Co")
DOPANTS = ("Mg", "Ca", "Sr", *ELEMENT_SETS["3d"], *ELEMENT_SETS["4d"])


def hull_of(*elements):
    return make_hull(measured_entries(elements))


def energies(*elements):
    return {entry.entry_id: entry.energy_ev for entry in measured_entries(elements)}


# Robie and Hemingway, USGS Bulletin 2131 (1995), and the CRC Handbook (RuO2), in kJ per mol.
@pytest.mark.parametrize(
    ("oxide", "metal", "enthalpy"),
    [
        ("MnO", "Mn", -385.2),
        ("Mn3O4", "Mn", -1384.5),
        ("NiO", "Ni", -239.3),
        ("CoO", "Co", -237.9),
        ("MgO", "Mg", -601.6),
        ("TiO2", "Ti", -944.0),
        ("RuO2", "Ru", -305.0),
    ],
)
def test_known_enthalpies(oxide, metal, enthalpy):
    assert energies(metal, "O")[oxide] == pytest.approx(enthalpy / 96.485, abs=0.05)


def test_elements_are_zero_and_first():
    entries = measured_entries(["O", "Mn", "Mn"])
    assert [(e.entry_id, dict(e.amounts), e.energy_ev) for e in entries[:2]] == [
        ("Mn", {"Mn": 1.0}, 0.0),
        ("O2", {"O": 2.0}, 0.0),
    ]
    assert {e.entry_id for e in entries[2:]} == {"MnO", "Mn2O3", "Mn3O4", "MnO2"}


def test_only_what_the_elements_make_is_given():
    assert "NaCl" in energies("Na", "Cl")
    assert all("O" not in e.amounts for e in measured_entries(["Mn", "Nb"]))
    assert {"MnMoO4", "MoO3", "MnO"} <= energies("Mn", "Mo", "O").keys()


def test_table_has_one_finite_value_per_formula_and_no_gases():
    table = measured._table()
    assert len(table) > 2000
    assert len({entry.entry_id for entry in table}) == len(table)
    assert all(math.isfinite(e.energy_ev) and e.scale == MEASURED_SCALE for e in table)
    gases = {"H2O", "CO", "CO2", "NO", "NO2", "SO2", "SO3", "RuO4", "Tc2O7"}
    assert gases.isdisjoint(entry.entry_id for entry in table)
    assert measured._table() is table


@pytest.mark.parametrize("symbol", DOPANTS)
def test_elements_with_an_oxide(symbol):
    assert has_measured_oxide(symbol) == (symbol != "Tc")


def test_element_without_a_measured_oxide_is_refused():
    with pytest.raises(RocksaltError, match="Tc: no oxide of it"):
        measured_entries(["Tc", "Mn", "O"])
    measured_entries(["Tc", "Mn"])  # without oxygen nobody can ask for its oxide


def test_symbols_that_are_no_elements_are_refused():
    with pytest.raises(RocksaltError, match="'Xx' is not an element"):
        measured_entries(["Xx", "O"])


def test_ruthenium_is_reduced_far_above_manganese():
    windows = oxygen_windows(hull_of("Ru", "Mn", "O"), {"Ru": 1, "Mn": 1})
    ends = [window.to_dmu_o_ev for window in windows]
    # Mn | MnO | Mn3O4 with Ru, then Ru | RuO2, then Mn2O3 and MnO2.
    assert ends == pytest.approx([-3.989, -2.412, -1.581, -1.031, -0.867, 0.0], abs=0.002)
    assert [window.holds_metal("Ru") for window in windows] == [True] * 3 + [False] * 3
    assert [window.holds_metal("Mn") for window in windows] == [True] + [False] * 5
    assert ends[2] == pytest.approx(energies("Ru", "O")["RuO2"] / 2)


def test_phase_at_the_very_ratio_is_one_window():
    """Many facets share its corner; none of them is a window of its own."""
    windows = oxygen_windows(hull_of("Mn", "Mo", "O"), {"Mn": 1, "Mo": 1})
    single = [w for w in windows if [entry.entry_id for entry, _ in w.phases] == ["MnMoO4"]]
    assert len(single) == 1
    assert (single[0].from_dmu_o_ev, single[0].to_dmu_o_ev) == pytest.approx(
        (-2.196, -0.772), abs=0.002
    )


@pytest.mark.parametrize(
    ("host", "window"), [("Mn", (-3.989, -2.412)), ("Ni", (-2.484, 0.0)), ("Co", (-2.464, -2.041))]
)
def test_windows_of_the_hosts(host, window):
    assert rock_salt_window(hull_of(host, "O"), host) == pytest.approx(window, abs=0.002)


METAL = {"Cu", "Ru", "Rh", "Pd", "Ag"}
PARTIAL_IN_MNO = {"Cr", "Fe", "Co", "Ni", "Zn", "Mo", "Cd"}


@pytest.mark.parametrize("dopant", [d for d in DOPANTS if d != "Tc"])
def test_verdicts_from_measured_enthalpies(dopant):
    found = {
        host: metal_in_host_window(hull_of(dopant, host, "O"), dopant, host)
        for host in HOSTS
        if host != dopant
    }
    # Nothing above NiO is in the table: its window reaches up to O2, where noble oxides live too.
    noble = {"Mn": "metal", "Ni": "partial", "Co": "metal"}
    other = {"Mn": "oxide", "Ni": "oxide", "Co": "oxide"}
    expected = noble if dopant in METAL else other
    expected |= {"Mn": "partial"} if dopant in PARTIAL_IN_MNO else {}
    expected |= {"Ni": "partial"} if dopant == "Co" else {}  # CoO is 0.02 eV less stable than NiO
    assert found == {host: expected[host] for host in found}
