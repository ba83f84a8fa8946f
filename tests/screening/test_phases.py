"""Competing oxides: which are made, how large, and which relaxed ones are dropped or merged."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from rocksalt.screening.elements import O2_RADIUS_ANGSTROM, known_cations
from rocksalt.screening.errors import RocksaltError
from rocksalt.screening.identity import structure_fingerprint
from rocksalt.screening.phase_table import BINARY, LITHIUM, LITHIUM_TERNARY, PROTOTYPES, TERNARY
from rocksalt.screening.phases import (
    LARGEST_VOLUME_FACTOR,
    binary_oxide_starts,
    cation_charges,
    closest_oxygens_angstrom,
    competing_starts,
    group_duplicates,
    junk_reason,
    known_charges,
    left_out,
    lithium_oxide_starts,
    lithium_ternary_starts,
    make_structure,
    radius_angstrom,
    ternary_oxide_starts,
)
from rocksalt.screening.prototypes import rock_salt

TYPICAL = {"A": "Mg", "B": "Ti"}
LARGEST_CELL = 40  # bixbyite
PAIRS = [("Mg", "Mn"), ("Ru", "Mn"), ("Nb", "Fe"), ("Si", "Ca"), ("Cu", "Al")]


def prototype_of(part, name, formula=None):
    (found,) = (p for p in part if p.name == name and formula in (None, p.formula))
    return found


def roles_of(prototype, elements=TYPICAL):
    return {role: elements[role] for role in prototype.roles if role != "Li"}


def said(starts):
    return [(s.prototype, s.structure.as_dict()) for s in starts]


@pytest.mark.parametrize("prototype", PROTOTYPES, ids=lambda p: f"{p.name} {p.formula}")
def test_structure_is_primitive_and_has_room_for_its_atoms(prototype):
    structure = make_structure(prototype, roles_of(prototype))
    assert len(structure) <= LARGEST_CELL
    analysis = SpacegroupAnalyzer(structure, 0.001)
    assert analysis.get_space_group_number() == int(prototype.aflow_label.split("_")[2])
    assert len(analysis.find_primitive()) == len(structure)
    assert structure.get_neighbor_list(4.0)[3].min() > 1.3
    assert 5 < structure.volume / len(structure) < 30
    assert closest_oxygens_angstrom(structure) > 2.0


def test_cation_oxygen_distances_are_sums_of_radii():
    rutile = make_structure(prototype_of(BINARY, "rutile"), {"A": "Mn"})
    centres, points, _, distances = rutile.get_neighbor_list(2.4)
    to_oxygen = distances[(centres == 0) & (points > 1)]
    assert rutile[0].specie.symbol == "Mn"
    assert len(to_oxygen) == 6
    assert to_oxygen.mean() == pytest.approx(0.53 + O2_RADIUS_ANGSTROM)  # Mn4+, six-fold


@pytest.mark.parametrize(
    ("symbol", "charge", "coordination", "radius"),
    [
        ("Mn", 4, 6, 0.53),
        ("Mn", 2, 6, 0.83),
        ("Mn", 2.5, 6, 0.83),
        ("Zn", 2, 4, 0.60),
        ("O", 0, 0, 0.75),  # none for a positive charge: what the screen takes for unknown cations
        ("Mg", 3, 12, 0.89),
    ],
)
def test_radii_are_those_of_the_nearest_charge_and_coordination(
    symbol, charge, coordination, radius
):
    assert radius_angstrom(symbol, charge, coordination) == pytest.approx(radius)


@pytest.mark.parametrize(
    ("symbol", "charges"),
    [("Li", (1,)), ("Mg", (2,)), ("Mn", (2, 3, 4, 7)), ("Ti", (2, 3, 4)), ("Pt", (2, 4, 5, 6))],
)
def test_known_charges(symbol, charges):
    assert known_charges(symbol) == charges


def test_every_cation_has_known_charges():
    assert all(known_charges(symbol) for symbol in known_cations())


def test_charges_of_one_cation_are_means():
    assert cation_charges(prototype_of(BINARY, "spinel"), {"A": "Mn"}) == {"A": 8 / 3}
    lithium_spinel = prototype_of(LITHIUM, "spinel")
    assert cation_charges(lithium_spinel, {"A": "Mn"}) == {"Li": 1, "A": 3.5}
    assert cation_charges(lithium_spinel, {"A": "Al"}) is None


def test_charges_of_two_cations_are_known_ones():
    spinel = prototype_of(TERNARY, "spinel")
    assert cation_charges(spinel, {"A": "Mg", "B": "Mn"}) == {"A": 2, "B": 3}
    assert cation_charges(spinel, {"A": "Mn", "B": "Mg"}) == {"A": 4, "B": 2}
    assert cation_charges(spinel, {"A": "Mg", "B": "Ca"}) is None
    ilmenite = prototype_of(TERNARY, "ilmenite")
    assert cation_charges(ilmenite, {"A": "Mn", "B": "Ti"}) == {"A": 2, "B": 4}


@pytest.mark.parametrize(
    ("elements", "n_starts", "n_left_out", "largest"),
    [
        (("Mn",), 26, 3, 40),
        (("Ru", "Mn"), 84, 6, 40),
        (("Li", "Mn"), 36, 29, 40),
        (("Li", "Mn", "Ru"), 104, 32, 40),
        (("Li",), 3, 26, 6),
        (("Mg",), 7, 22, 6),
    ],
)
def test_number_and_size_of_starts(elements, n_starts, n_left_out, largest):
    starts = competing_starts(elements)
    assert len(starts) == n_starts
    assert len(left_out(elements)) == n_left_out
    assert max(len(start.structure) for start in starts) == largest


@given(st.lists(st.sampled_from(known_cations()), min_size=1, max_size=3, unique=True))
def test_kept_and_left_out_are_all(elements):
    others = [symbol for symbol in elements if symbol != "Li"]
    n_pairs = len(others) * (len(others) - 1) // 2
    both_ways = [1 if p.interchangeable else 2 for p in TERNARY]
    expected = len(elements) * len(BINARY) + n_pairs * sum(both_ways)
    if "Li" in elements:
        expected += len(others) * len(LITHIUM)
        expected += n_pairs * sum(1 if p.interchangeable else 2 for p in LITHIUM_TERNARY)
    gone = left_out(elements)
    assert len(competing_starts(elements)) + len(gone) == expected
    assert len({what for what, _ in gone}) == len(gone)
    assert all("\n" not in why and why for _, why in gone)


def test_reasons_name_the_charges():
    reasons = dict(left_out(["Mg", "Mn"]))
    assert reasons["MgO2 rutile"] == "Mg would have charge 4, known are 2 to 2"
    assert reasons["MgMnO4 wolframite (A=Mg, B=Mn)"] == (
        "no known charges add up to 8: Mg with 2 and Mn with 2, 3, 4, 7"
    )
    assert "LiO wurtzite" in dict(left_out(["Li"]))


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_order_of_elements_does_not_matter(pair):
    a, b = pair
    assert said(ternary_oxide_starts(a, b)) == said(ternary_oxide_starts(b, a))
    assert said(lithium_ternary_starts(a, b)) == said(lithium_ternary_starts(b, a))


def test_order_and_repetition_in_a_system_do_not_matter():
    expected = said(competing_starts(["Li", "Mg", "Mn"]))
    for elements in itertools.permutations(["Mn", "Li", "Mg"]):
        assert said(competing_starts([*elements, "Mg"])) == expected


def test_a_system_is_made_of_its_subsystems():
    parts = [
        *(binary_oxide_starts(symbol) for symbol in ("Li", "Mg", "Mn")),
        ternary_oxide_starts("Mg", "Mn"),
        *(lithium_oxide_starts(symbol) for symbol in ("Mg", "Mn")),
        lithium_ternary_starts("Mg", "Mn"),
    ]
    whole = competing_starts(["Li", "Mg", "Mn"])
    assert said(whole) == said(itertools.chain(*parts))


def test_every_start_of_a_system_is_another_structure():
    starts = [*competing_starts(["Li", "Mn"]), *ternary_oxide_starts("Mn", "Ru")]
    small = [s.structure for s in starts if len(s.structure) < 20]
    assert len({structure_fingerprint(structure) for structure in small}) == len(small)


def test_names_say_who_sits_where():
    starts = {s.prototype: s.structure for s in ternary_oxide_starts("Mn", "Mg")}
    assert starts["spinel (A=Mg, B=Mn)"].composition.reduced_formula == "MgMn2O4"
    assert starts["spinel (A=Mn, B=Mg)"].composition.reduced_formula == "Mg2MnO4"
    assert "ilmenite (A=Mg, B=Mn)" in starts
    assert "ilmenite (A=Mn, B=Mg)" not in starts


def test_lithium_oxides():
    assert {s.structure.composition.reduced_formula for s in binary_oxide_starts("Li")} == {"Li2O"}
    made = {s.structure.composition.reduced_formula for s in lithium_oxide_starts("Mn")}
    assert made == {"LiMnO2", "LiMn2O4", "Li2MnO3", "LiMnO3"}
    assert {s.prototype for s in lithium_ternary_starts("Mn", "Ni")} == {
        "layered (A=Mn, B=Ni)",
        "Li2MnO3 (A=Mn, B=Ni)",
        "spinel (A=Mn, B=Ni)",
    }


def test_rock_salt_is_made_elsewhere():
    oxides = [s.structure for s in binary_oxide_starts("Mn")]
    ours = {structure_fingerprint(s) for s in oxides if s.composition.reduced_formula == "MnO"}
    assert structure_fingerprint(rock_salt("Mn")) not in ours
    assert "rock-salt" not in {p.name for p in PROTOTYPES}


def test_interchangeable_cations_make_one_topology():
    for prototype in (*TERNARY, *LITHIUM_TERNARY):
        if prototype.interchangeable:
            shells = [
                coordination(make_structure(prototype, {"A": a, "B": b}))
                for a, b in (("Fe", "Co"), ("Co", "Fe"))
            ]
            assert shells[0] == shells[1]


def coordination(structure):
    """Return the numbers of oxygens within 2.6 angstrom of each kind of cation."""
    centres, points, _, _ = structure.get_neighbor_list(2.6)
    symbols = np.array([site.specie.symbol for site in structure])
    found = {}
    for i, symbol in enumerate(symbols):
        if symbol != "O":
            number = int((symbols[points[centres == i]] == "O").sum())
            found.setdefault(symbol, set()).add(number)
    return found


@pytest.mark.parametrize("elements", [["O"], ["Mn", "H"]])
def test_what_cannot_be_screened_is_refused(elements):
    with pytest.raises(RocksaltError):
        competing_starts(elements)
    with pytest.raises(RocksaltError):
        left_out(elements)


def rutile():
    return make_structure(prototype_of(BINARY, "rutile"), {"A": "Mn"})


def scaled(structure, factor):
    changed = structure.copy()
    changed.scale_lattice(structure.volume * factor)
    return changed


def test_a_good_phase_is_no_junk():
    assert junk_reason(rutile(), rutile(), True, "rutile") is None
    assert junk_reason(rutile(), scaled(rutile(), 1.3), True, "rutile") is None
    assert LARGEST_VOLUME_FACTOR == 1.45


def test_not_converged_is_junk():
    assert junk_reason(rutile(), rutile(), False, "rutile") == (
        "rutile: the relaxation did not converge"
    )


@pytest.mark.parametrize("factor", [0.6, 1.5])
def test_a_collapsed_or_swollen_phase_is_junk(factor):
    reason = junk_reason(rutile(), scaled(rutile(), factor), True, "rutile")
    assert reason == f"rutile: the volume changed by a factor of {factor:.2f}"


def test_the_volume_is_counted_per_atom():
    assert junk_reason(rutile(), rutile() * (2, 1, 1), True, "rutile") is None


def test_new_oxygen_pairs_are_junk():
    molecule = Structure(Lattice.cubic(5), ["O", "O"], [[0, 0, 0], [0.25, 0, 0]])
    apart = Structure(Lattice.cubic(5), ["O", "O"], [[0, 0, 0], [0.5, 0, 0]])
    assert junk_reason(apart, molecule, True, "x") == "x: two oxygens came as near as 1.25 angstrom"
    assert junk_reason(molecule, molecule, True, "x") is None


def test_an_evaporated_atom_is_junk():
    start = Structure(
        Lattice.orthorhombic(4, 4, 12), ["Mn", "O", "O"], [[0, 0, 0], [0, 0, 1 / 6], [0, 0, 1 / 3]]
    )
    left = start.copy()
    left.translate_sites([2], [0, 0, 0.25])
    assert junk_reason(start, left, True, "x") == "x: O has no neighbour within 3.2 angstrom"


def test_no_oxygens_are_infinitely_far_apart():
    metal = Structure(Lattice.cubic(3), ["Mn"], [[0, 0, 0]])
    assert closest_oxygens_angstrom(metal) == np.inf
    assert junk_reason(metal, metal, True, "x") is None


def test_duplicates_are_equal_in_formula_energy_and_volume():
    phases = [
        ("a", "MnO2", 136, 10.00, -7.0000),
        ("b", "MnO2", 58, 10.05, -7.0010),
        ("other volume", "MnO2", 136, 10.20, -7.0010),
        ("other energy", "MnO2", 136, 10.00, -6.9950),
        ("other formula", "Mn2O3", 136, 10.00, -7.0000),
    ]
    assert group_duplicates(phases) == {
        "a": "b",
        "b": "b",
        "other volume": "other volume",
        "other energy": "other energy",
        "other formula": "other formula",
    }


def test_equal_energies_are_decided_by_id():
    phases = [("b", "MnO", 1, 10.0, -7.0), ("a", "MnO", 1, 10.0, -7.0)]
    assert group_duplicates(phases) == {"a": "a", "b": "a"}
    assert group_duplicates([]) == {}


phase_lists = st.lists(
    st.tuples(
        st.sampled_from(["MnO", "MnO2"]),
        st.just(1),
        st.floats(9.8, 10.2),
        st.floats(-7.006, -7.0),
    ),
    max_size=8,
).map(lambda rows: [(str(i), *row) for i, row in enumerate(rows)])


@given(phase_lists, st.randoms(use_true_random=False))
def test_grouping_depends_on_no_order_and_keeps_the_lowest(phases, random):
    groups = group_duplicates(phases)
    shuffled = list(phases)
    random.shuffle(shuffled)
    assert group_duplicates(shuffled) == groups
    energy = {name: row[-1] for name, *row in phases}
    assert set(groups) == set(energy)
    for name, kept in groups.items():
        assert groups[kept] == kept
        assert energy[kept] <= energy[name] <= energy[kept] + 0.002 + 1e-12
