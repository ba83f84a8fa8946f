"""Mixtures: composition, volume, and the symmetry between the two cations."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.structure_matcher import StructureMatcher

from rocksalt.screening.elements import rock_salt_lattice_parameter_angstrom
from rocksalt.screening.errors import RocksaltError
from rocksalt.screening.identity import structure_fingerprint
from rocksalt.screening.mixtures import (
    CATION_CELLS,
    arrangements,
    count_of,
    rock_salt_supercell,
)

# Some releases of spglib warn on every call that error handling will change.

EXACT = 1e-9
sixteenths = st.integers(1, 15).map(lambda k: k / 16)


@pytest.mark.parametrize("n", CATION_CELLS)
def test_supercells_hold_their_number_of_cations(n):
    cell = rock_salt_supercell("Ni", n, 4.2)
    assert cell.composition.as_dict() == {"Ni": n, "O": n}
    assert cell.volume == pytest.approx(n * 4.2**3 / 4, rel=EXACT)
    assert cell.get_space_group_info()[1] == 225


def test_cubic_cells_are_cubes():
    for n, edge in ((4, 4.2), (32, 8.4)):
        lattice = rock_salt_supercell("Ni", n, 4.2).lattice
        assert lattice.abc == pytest.approx((edge,) * 3)
        assert lattice.angles == pytest.approx((90,) * 3)


@settings(deadline=None, max_examples=8)
@given(fraction=sixteenths, pair=st.sampled_from([("Mn", "Ni"), ("Ru", "Co"), ("Mg", "Mn")]))
def test_composition_and_vegards_lattice(fraction, pair):
    dopant, host = pair
    a = fraction * rock_salt_lattice_parameter_angstrom(dopant)
    a += (1 - fraction) * rock_salt_lattice_parameter_angstrom(host)
    for arrangement in arrangements(dopant, host, fraction):
        structure = arrangement.structure
        cations = sum(site.specie.symbol != "O" for site in structure)
        assert 2 * cations == len(structure)
        assert structure.composition[dopant] / cations == pytest.approx(fraction, abs=EXACT)
        assert structure.volume / cations == pytest.approx(a**3 / 4, rel=EXACT)
        assert structure.get_primitive_structure(0.01).composition == structure.composition


@settings(deadline=None, max_examples=8)
@given(fraction=sixteenths, seed=st.integers(0, 1))
def test_dopant_in_host_is_host_in_dopant(fraction, seed):
    one = arrangements("Ru", "Mn", fraction, seed=seed)
    other = arrangements("Mn", "Ru", 1 - fraction, seed=seed)
    assert [(a.fingerprint, a.multiplicity) for a in one] == [
        (a.fingerprint, a.multiplicity) for a in other
    ]
    for a, b in zip(one, other, strict=True):
        assert structure_fingerprint(a.structure) == structure_fingerprint(b.structure)


@pytest.mark.parametrize("fraction", [1 / 8, 1 / 4, 3 / 8, 1 / 2])
def test_fingerprints_tell_pairs_and_patterns_apart(fraction):
    one, other = arrangements("Mg", "Mn", fraction), arrangements("Mg", "Ni", fraction)
    fingerprints = [a.fingerprint for a in one + other]
    assert len(set(fingerprints)) == len(fingerprints)
    structures = [structure_fingerprint(a.structure) for a in one + other]
    assert len(set(structures)) == len(structures)


@pytest.mark.parametrize(("n", "k"), [(2, 1), (4, 1), (4, 2), (8, 1), (8, 2), (8, 3), (8, 4)])
def test_multiplicities_sum_to_the_binomial_coefficient(n, k):
    found = arrangements("Mg", "Mn", k / n, enumerated_cations=n, sqs_cations=0)
    assert {a.kind for a in found} == {"enumerated"}
    assert sum(a.multiplicity for a in found) == math.comb(n, k)


def test_one_crystal_in_several_orientations_is_listed_once():
    # 2x2x4 has less symmetry than rock salt, so that equal crystals come from several orbits.
    found = arrangements("Mg", "Mn", 4 / 16, enumerated_cations=16, sqs_cations=0)
    assert sum(a.multiplicity for a in found) == math.comb(16, 4)
    # 29 orbits of the cell's own symmetry; the same crystals are found by another matcher.
    groups = StructureMatcher(scale=False).group_structures([a.structure for a in found])
    assert len(groups) == len(found) == 28


def test_quasi_random_one_comes_last_and_has_no_multiplicity():
    found = arrangements("Mg", "Mn", 0.5)
    assert [a.kind for a in found] == ["enumerated"] * 4 + ["sqs"]
    assert found[-1].multiplicity is None
    assert found[-1].structure.composition.as_dict() == {"Mg": 8, "Mn": 8, "O": 16}


def test_swapped_cations_of_a_quasi_random_cell_share_the_sites():
    (few,) = arrangements("Mg", "Mn", 3 / 16, enumerated_cations=0)
    (many,) = arrangements("Mg", "Mn", 13 / 16, enumerated_cations=0)
    swapped = few.structure.copy()
    swapped.replace_species({"Mg": "Mn", "Mn": "Mg"})
    assert StructureMatcher(scale=True).fit(swapped, many.structure)


def test_quasi_random_one_of_the_enumerated_cell_is_still_marked():
    kinds = {a.kind for a in arrangements("Mg", "Mn", 0.5, enumerated_cations=8, sqs_cations=8)}
    assert "sqs" in kinds


def test_most_numerous_are_kept():
    everything = arrangements("Mg", "Mn", 0.5, sqs_cations=0)
    kept = arrangements("Mg", "Mn", 0.5, sqs_cations=0, max_orderings=2)
    assert [a.multiplicity for a in everything] == [48, 8, 8, 6]
    assert [a.fingerprint for a in kept] == [a.fingerprint for a in everything[:2]]


@pytest.mark.parametrize(
    ("fraction", "n", "count"),
    [
        *((0.5, 8, 4), (1 / 3, 27, 9), (0.3333, 27, None), (0.3, 8, None), (0, 8, None)),
        *((1, 8, None), (1.125, 8, None), (-0.125, 8, None), (0.875, 8, 7)),
    ],
)
def test_count(fraction, n, count):
    assert count_of(fraction, n) == count


def test_fraction_that_does_not_fit_names_the_nearest():
    with pytest.raises(RocksaltError, match=r"0\.3 does not fit.*8 or 16.*0\.3125"):
        arrangements("Mn", "Ni", 0.3)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.5, 1.5])
def test_no_mixture(fraction):
    with pytest.raises(RocksaltError, match="outside"):
        arrangements("Mn", "Ni", fraction)


def test_no_cells_at_all():
    with pytest.raises(RocksaltError, match="does not fit in cells of no cations"):
        arrangements("Mn", "Ni", 0.5, enumerated_cations=0, sqs_cations=0)


def test_unknown_cell():
    with pytest.raises(RocksaltError, match="no cell with 6 cations"):
        arrangements("Mn", "Ni", 0.5, enumerated_cations=6)
