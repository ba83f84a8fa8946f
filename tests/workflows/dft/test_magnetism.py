"""Start moments by magnetic order: geometry of AFM-II, signs of other cells, and what is suspicious."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from rocksalt.screening.mixtures import rock_salt_supercell
from rocksalt.screening.prototypes import element_starts, oxygen_starts, rock_salt
from rocksalt.workflows.dft.magnetism import (
    antiferromagnetic_rock_salt,
    are_same_state,
    is_rock_salt,
    magnetic_starts,
    molecule_warning,
    order_of,
    signs_of,
    spin_warning,
)
from rocksalt.workflows.dft.settings import DftSettings

LOWEST = DftSettings(magnetic_order="lowest")
ALTERNATING = DftSettings(magnetic_order="antiferromagnetic")


def element(symbol, prototype):
    return next(s.structure for s in element_starts(symbol) if s.prototype == prototype)


def moments(structure):
    return structure.site_properties["magmom"]


def neighbour_products(structure, reach):
    """Signs of the products of moments over pairs of magnetic sites within `reach`, angstrom."""
    spins = [i for i, m in enumerate(moments(structure)) if m]
    found = [
        np.sign(moments(structure)[i] * moments(structure)[n.index])
        for i in spins
        for n in structure.get_neighbors(structure[i], reach)
        if n.index in spins
    ]
    return found


def test_the_afm_cell_is_the_same_crystal():
    cell = antiferromagnetic_rock_salt(rock_salt("Mn", 4.44))
    assert cell.volume / 4 == pytest.approx(4.44**3 / 8)
    assert cell.get_space_group_info()[1] == 225
    distances = [n.nn_distance for n in cell.get_neighbors(cell[0], 2.23)]
    assert distances == pytest.approx([2.22] * 6)


def test_afm_ii_alternates_along_the_diagonal():
    cell = magnetic_starts(rock_salt("Mn", 4.4), ALTERNATING)["antiferromagnetic"]
    assert moments(cell) == [5.0, -5.0, 0.0, 0.0]
    first = neighbour_products(cell, 3.2)  # 12 at a/sqrt(2): half of them parallel
    assert sorted(first) == [-1.0] * 12 + [1.0] * 12
    second = neighbour_products(cell, 4.5)  # and 6 at a, through oxygen: all opposite
    assert sum(second) - sum(first) == -12
    assert len(second) - len(first) == 12


@pytest.mark.parametrize(
    ("order", "names"),
    [
        ("nonmagnetic", ["nonmagnetic"]),
        ("ferromagnetic", ["ferromagnetic"]),
        ("antiferromagnetic", ["antiferromagnetic"]),
        ("lowest", ["ferromagnetic", "antiferromagnetic"]),
    ],
)
def test_orders_of_a_rock_salt(order, names):
    structure = rock_salt("Ni")
    starts = magnetic_starts(structure, DftSettings(magnetic_order=order))
    assert list(starts) == names
    assert "magmom" not in structure.site_properties
    expected = 0.0 if order == "nonmagnetic" else 2.0
    assert {abs(m) for s in starts.values() for m in moments(s)} == {expected, 0.0}


def test_given_moments_go_before_the_table():
    settings = DftSettings(initial_moments_mu_b={"Co": 1.0, "O": 0.1})
    start = magnetic_starts(rock_salt("Co"), settings)["ferromagnetic"]
    assert moments(start) == [1.0, 0.1]


def test_an_ion_without_much_moment_has_no_antiferromagnetic_start():
    assert list(magnetic_starts(rock_salt("Mg"), LOWEST)) == ["ferromagnetic"]
    assert list(magnetic_starts(rock_salt("Mg"), ALTERNATING)) == ["ferromagnetic"]


@pytest.mark.parametrize("order", ["nonmagnetic", "lowest", "ferromagnetic"])
def test_oxygen_is_a_triplet_whatever_the_order(order):
    molecule = oxygen_starts()[1].structure
    starts = magnetic_starts(molecule, DftSettings(magnetic_order=order))
    assert {name: moments(s) for name, s in starts.items()} == {"ferromagnetic": [1.0, 1.0]}


def test_only_metals_that_order_start_with_moments():
    assert list(magnetic_starts(element("Ti", "hcp"), LOWEST)) == ["nonmagnetic"]
    assert list(magnetic_starts(element("Ru", "hcp"), LOWEST)) == ["nonmagnetic"]
    given = DftSettings(initial_moments_mu_b={"Ti": 1.0})
    assert moments(magnetic_starts(element("Ti", "hcp"), given)["ferromagnetic"]) == [1.0, 1.0]


@pytest.mark.parametrize(
    ("prototype", "near", "opposite", "parallel"),
    [("bcc", 2.6, 8, 0), ("fcc", 2.7, 8, 4), ("hcp", 2.7, 6, 6)],
)
def test_metals_in_two_atom_cells(prototype, near, opposite, parallel):
    cell = element("Mn", prototype)
    start = magnetic_starts(cell, ALTERNATING)["antiferromagnetic"]
    assert len(start) == 2
    assert start.volume / 2 == pytest.approx(cell.volume / len(cell))
    products = neighbour_products(start, near)
    assert products.count(-1.0) == 2 * opposite
    assert products.count(1.0) == 2 * parallel


def test_signs_alternate_on_a_chain():
    chain = Structure(
        Lattice.orthorhombic(12, 6, 6),
        ["Fe"] * 4 + ["O"],
        [[0, 0, 0], [0.25, 0, 0], [0.5, 0, 0], [0.75, 0, 0], [0.1, 0.5, 0.5]],
    )
    start = magnetic_starts(chain, ALTERNATING)["antiferromagnetic"]
    assert moments(start) == [4.0, -4.0, 4.0, -4.0, 0.0]


def test_many_sites_alternate_too():
    """A cube of 4x4x4 ions, of which half the bonds of any other pattern would be parallel."""
    simple = Structure(Lattice.cubic(3.0), ["Mn"], [[0, 0, 0]])
    simple.make_supercell([4, 2, 2])
    start = magnetic_starts(simple, ALTERNATING)["antiferromagnetic"]
    assert len(start) == 16
    assert set(neighbour_products(start, 3.1)) == {-1.0}


EDGE = 4.19


def oxide(cell, replaced=()):
    """NiO in a cell of that name or of those vectors, some of its Ni replaced by Mg."""
    if isinstance(cell, int):
        structure = rock_salt_supercell("Ni", cell, EDGE)
    elif cell[0] == "quasi-random":
        structure = rock_salt_supercell("Ni", cell[1], EDGE, quasi_random=True)
    else:
        structure = rock_salt("Ni", EDGE).make_supercell(cell, in_place=False)
    cations = [i for i, site in enumerate(structure) if site.specie.symbol == "Ni"]
    for place in replaced:
        structure.replace(cations[place], "Mg")
    return structure


def correlation(structure, distance):
    """Mean of s_i s_j over the pairs of Ni that far apart."""
    signs = {i: np.sign(m) for i, m in enumerate(moments(structure)) if abs(m) > 1}
    found = [
        signs[i] * signs[n.index]
        for i in signs
        for n in structure.get_neighbors(structure[i], 1.05 * distance)
        if n.index in signs and n.nn_distance > 0.95 * distance
    ]
    return np.mean(found)


@pytest.mark.parametrize(
    "cell", [(2, 1, 1), (2, 2, 1), 8, ("quasi-random", 8), 16, ("quasi-random", 16), 32], ids=str
)
@pytest.mark.parametrize("dilute", [False, True])
def test_pairs_across_an_oxygen_are_opposite(cell, dilute):
    """AFM-II, as far as nickel goes: what a cell of the shape of NiO's own order can hold."""
    whole = oxide(cell)
    n = len(whole) // 2
    diluted = oxide(cell, range(0, n, 3)) if dilute and n > 2 else whole
    start = magnetic_starts(diluted, ALTERNATING)["antiferromagnetic"]
    assert correlation(start, EDGE) == -1.0
    assert abs(sum(np.sign(m) for m in moments(start) if abs(m) > 1)) <= 1


@pytest.mark.parametrize("seed", range(6))
def test_one_propagation_vector_is_taken_of_many_patterns(seed):
    """Half of the patterns with the pairs of AFM-II are not planes that alternate along one [111]."""
    whole = oxide(8)
    sites = [whole[i] for i in np.random.default_rng(seed).permutation(len(whole))]
    start = magnetic_starts(Structure.from_sites(sites), ALTERNATING)["antiferromagnetic"]
    nickel = [site for site in start if site.specie.symbol == "Ni"]
    signs = [np.sign(site.properties["magmom"]) for site in nickel]
    assert sum(signs) == 0
    # One vector makes each translation either keep all signs or turn all of them.
    for shift in 0.5 * np.eye(3):
        products = {
            one * other
            for one, here in zip(signs, nickel, strict=True)
            for other, there in zip(signs, nickel, strict=True)
            if np.allclose((here.frac_coords + shift - there.frac_coords + 0.5) % 1, 0.5)
        }
        assert len(products) == 1


def test_a_cell_that_cannot_hold_the_order_is_as_near_as_it_gets():
    """In the cube of four cations each Ni is straight across its own images."""
    start = magnetic_starts(oxide(4), ALTERNATING)["antiferromagnetic"]
    assert correlation(start, EDGE / np.sqrt(2)) == pytest.approx(-1 / 3)  # AFM-I
    odd = magnetic_starts(oxide(27), ALTERNATING)["antiferromagnetic"]
    assert correlation(odd, EDGE) == pytest.approx(-1 / 3)  # rings of three


def test_layers_without_straight_pairs_alternate_over_nearest_neighbours():
    """A layer of NiO2 whose oxygen joins Ni at 90 degrees alone: rows."""
    layer = Structure(
        Lattice.hexagonal(2.88, 4.7),
        ["Ni", "O", "O"],
        [[0, 0, 0], [1 / 3, 2 / 3, 0.21], [2 / 3, 1 / 3, -0.21]],
    )
    layer.make_supercell([2, 2, 1])
    start = magnetic_starts(layer, ALTERNATING)["antiferromagnetic"]
    assert correlation(start, 2.88) == pytest.approx(-1 / 3)


def test_a_mixture_alternates_over_its_magnetic_ions():
    cell = rock_salt("Mn")
    cell.make_supercell([2, 1, 1])
    cell.replace(0, "Mg")
    starts = magnetic_starts(cell, LOWEST)
    assert list(starts) == ["ferromagnetic"]  # one Mn alone has nobody to alternate with
    assert sorted(moments(starts["ferromagnetic"])) == [0.0, 0.0, 0.6, 5.0]


def test_rock_salt_is_recognised():
    assert is_rock_salt(rock_salt("Ti", 3.0))
    assert not is_rock_salt(element("Ti", "fcc"))
    zinc_blende = Structure(rock_salt("Zn").lattice, ["Zn", "O"], [[0] * 3, [0.25] * 3])
    assert not is_rock_salt(zinc_blende)
    squeezed = rock_salt("Mn")
    squeezed.apply_strain([0.1, 0, 0])
    assert not is_rock_salt(squeezed)


@pytest.mark.parametrize(
    ("moments_mu_b", "symbols", "name"),
    [
        ([1.6, 1.6, -1.6, 0.0, 0.0, 0.1], ["Ni"] * 3 + ["O"] * 3, "ferrimagnetic"),
        ([-4.4, 1.6, 0, 0], ["Mn", "Ni", "O", "O"], "ferrimagnetic"),
        ([4.4, -0.6, 0, 0], ["Mn", "Cu", "O", "O"], "ferrimagnetic"),
        ([1.6, -1.6, 0, 0], ["Ni", "Ni", "O", "O"], "antiferromagnetic"),
        ([1.6, 1.6, 0.2, 0.2], ["Ni", "Ni", "O", "O"], "ferromagnetic"),
        ([3.0, 3.0, -0.4, -0.4], ["Mn", "Mn", "O", "O"], "ferromagnetic"),  # holes on oxygen
        ([3.0, -0.2, 0, 0], ["Mn", "Ti", "O", "O"], "ferromagnetic"),  # induced
        ([1.0, -0.09, 0, 0], ["Co", "Mg", "O", "O"], "ferromagnetic"),
        ([0.05, -0.05], ["Ni", "O"], "nonmagnetic"),
        ([0.8, 0.8], ["O", "O"], "ferromagnetic"),
        ([], [], "nonmagnetic"),
    ],
)
def test_orders_by_name(moments_mu_b, symbols, name):
    assert order_of(moments_mu_b, symbols) == name
    assert order_of(-np.array(moments_mu_b), symbols) == name


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ([1.6, 1.6, 1.6], [1.5, 1.5, 1.5], True),
        ([1.6, 1.6, 1.6], [-1.5, -1.5, -1.5], True),
        ([1.6, 1.6, 1.6], [1.6, 1.6, -1.6], False),
        ([1.6, 1.6, -1.6], [-1.6, 1.6, 1.6], False),  # another ferrimagnet
        ([1.6, 1.6, 1.6], [1.6, 1.6, 0.0], False),
        ([0.0, 0.01, 0.0], [0.0, 0.0, -0.01], True),
        ([1.6], [1.5, 1.5], True),
        ([1.6], [1.5, -1.5], False),
        ([1.6, -1.6], [1.5, -1.5, 1.5, -1.5], False),  # cannot be told, so both are computed
        ([0.0], [0.0, 0.0], True),
        ([0.0], [1.5, 1.5], False),
    ],
)
def test_states_are_compared_by_their_sites(one, other, same):
    signs = [signs_of(m, ["Ni"] * len(m)) for m in (one, other)]
    assert are_same_state(*signs) is same
    assert are_same_state(*reversed(signs)) is same


@pytest.mark.parametrize(
    ("total", "wrong"), [(2.0, False), (-2.0, False), (0.0, True), (1.5, True)]
)
def test_a_molecule_that_is_no_triplet_is_said(total, wrong):
    assert (molecule_warning(total) is not None) == wrong
    assert not wrong or f"the molecule has {total:g} mu_B, not 2" in molecule_warning(total)


@pytest.mark.parametrize(
    ("symbols", "start", "end"),
    [
        (["Li", "Co", "O", "O"], 3.0, 0.0),  # low-spin Co3+
        (["Co", "O", "O"], 3.0, 1.0),  # low-spin Co4+
        (["Li", "Ni", "O", "O"], 2.0, 0.8),  # low-spin Ni3+
        (["Li", "Li", "Mn", "O", "O", "O"], 5.0, 2.4),  # Mn4+
    ],
)
def test_less_spin_is_right_at_a_higher_charge(symbols, start, end):
    cell = Structure(Lattice.cubic(5), symbols, [[i / 7, 0, 0] for i in range(len(symbols))])
    starts, ends = ([m if s in "CoNiMn" else 0.0 for s in symbols] for m in (start, end))
    assert spin_warning(cell, starts, ends) is None


def test_a_mixture_of_monoxides_keeps_high_spin():
    cell = oxide((2, 1, 1), [0])
    starts = [2.0 * (site.specie.symbol == "Ni") for site in cell]
    assert "no moment is left on Ni" in spin_warning(cell, starts, [0.0] * 4)
    assert spin_warning(cell, starts, [0.8 * m for m in starts]) is None


@pytest.mark.parametrize(
    ("symbol", "start", "end", "said"),
    [
        ("Mn", 5.0, 4.4, None),
        ("Mn", 5.0, -4.4, None),
        ("Mn", 5.0, 1.0, "Mn 1.00 (start 5.00)"),
        ("Ni", 2.0, 0.02, "the spin collapsed: no moment is left on Ni"),
        ("Ru", 4.0, 0.0, None),  # not an ion that is known to keep its spin
        ("Mn", 0.0, 0.0, None),  # nothing was asked for
    ],
)
def test_spins_that_are_lost_are_said(symbol, start, end, said):
    found = spin_warning(rock_salt(symbol), [start, 0.0], [end, 0.0])
    assert (found is None) == (said is None)
    assert said is None or said in found


@pytest.mark.parametrize(
    ("starts", "ends", "turned"),
    [
        ([5.0, -5.0], [4.4, -4.4], False),
        ([5.0, -5.0], [-4.4, 4.4], False),  # the same order, seen from below
        ([5.0, -5.0], [4.4, 4.4], True),
        ([5.0, 5.0], [4.4, -4.4], True),
        ([5.0, -5.0], [4.4, 0.05], False),  # lost rather than turned
    ],
)
def test_an_order_that_was_lost_is_said(starts, ends, turned):
    cell = antiferromagnetic_rock_salt(rock_salt("Mn"))
    found = spin_warning(cell, [*starts, 0, 0], [*ends, -0.1, -0.1])
    assert ("moments turned over" in (found or "")) == turned


def test_a_metal_may_lose_its_spin():
    assert spin_warning(element("Co", "hcp"), [3.0, 3.0], [0.0, 0.0]) is None
