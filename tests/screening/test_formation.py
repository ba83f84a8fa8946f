"""Formation energies by hand, on each kind of scale."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rocksalt.screening.errors import ScaleError
from rocksalt.screening.formation import rock_salt_formation
from rocksalt.screening.scales import Energy, energy_scale

EXACT = 1e-9
CORRECTED = energy_scale("chgnet", "0.3.0")
RAW = energy_scale("sevennet-0", "7net-0")
OWN = energy_scale("chgnet-r2scan", "r2scan")

energies = st.floats(-50, 50)


def formation(cation, rock_salt, metal, oxygen, scale):
    return rock_salt_formation(
        cation,
        Energy(rock_salt, scale.name),
        Energy(metal, scale.name),
        Energy(oxygen, scale.name),
        scale,
    )


def test_corrected_energies_are_taken_as_they_are():
    found = formation("Mn", -17.90, -9.10, -4.95, CORRECTED)
    assert found.corrected == pytest.approx(-3.85, abs=EXACT)
    assert found.raw is None
    assert found.terms == {}
    assert found.best == found.corrected


def test_raw_energies_are_reported_with_and_without_the_correction():
    found = formation("Mn", -15.50, -9.10, -4.95, RAW)
    assert found.raw == pytest.approx(-1.45, abs=EXACT)
    assert found.terms == pytest.approx({"O": -0.687, "Mn": -1.668})
    assert found.corrected == pytest.approx(-1.45 - 0.687 - 1.668, abs=EXACT)
    assert found.best == found.corrected


def test_step_at_molybdenum_is_a_term_of_its_own():
    mo = formation("Mo", -14.0, -10.0, -5.0, RAW)
    nb = formation("Nb", -14.0, -10.0, -5.0, RAW)
    assert mo.raw == nb.raw
    assert mo.corrected - nb.corrected == pytest.approx(-3.202, abs=EXACT)


def test_own_scale_stays_raw():
    found = formation("Mn", -30.0, -16.0, -10.0, OWN)
    assert found.raw == pytest.approx(-4.0, abs=EXACT)
    assert found.corrected is None
    assert found.terms == {}
    assert found.best == found.raw


@pytest.mark.parametrize("scale", [CORRECTED, OWN])
def test_oxide_above_its_elements_is_positive(scale):
    assert formation("Ru", -10.0, -9.0, -4.0, scale).best == pytest.approx(3.0)
    assert formation("Ru", -16.0, -9.0, -4.0, scale).best == pytest.approx(-3.0)


@given(rock_salt=energies, metal=energies, oxygen=energies, shift=energies)
def test_zero_of_energy_of_an_element_does_not_matter(rock_salt, metal, oxygen, shift):
    before = formation("Ni", rock_salt, metal, oxygen, RAW).best
    after = formation("Ni", rock_salt + shift, metal + shift, oxygen, RAW).best
    assert after == pytest.approx(before, abs=EXACT)
    after = formation("Ni", rock_salt + shift, metal, oxygen + shift, RAW).best
    assert after == pytest.approx(before, abs=EXACT)


@given(rock_salt=energies, metal=energies, oxygen=energies)
def test_reduction_potential_balances_oxide_and_metal(rock_salt, metal, oxygen):
    found = formation("Mn", rock_salt, metal, oxygen, CORRECTED)
    at_balance = rock_salt - metal - (oxygen + found.reduction_dmu_o_ev)
    assert at_balance == pytest.approx(0, abs=EXACT)
    # Less oxygen around favours the metal.
    assert rock_salt - metal - (oxygen + found.reduction_dmu_o_ev - 0.1) > 0


def test_two_scales_are_refused():
    with pytest.raises(ScaleError, match="2 scales"):
        rock_salt_formation(
            "Mn",
            Energy(-17.9, CORRECTED.name),
            Energy(-9.1, RAW.name),
            Energy(-4.95, CORRECTED.name),
            CORRECTED,
        )


def test_energies_of_one_scale_with_the_rule_of_another_are_refused():
    energy = Energy(-17.9, CORRECTED.name)
    with pytest.raises(ScaleError):
        rock_salt_formation("Mn", energy, energy, energy, RAW)
