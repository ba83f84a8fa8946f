"""Lithium-rich cells: compositions, what a replacement touches, and two counts of Li-O-Li."""

import math
from collections import Counter
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.ewald import EwaldSummation
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure
from pymatgen.core.operations import SymmOp

from rocksalt.screening.errors import RocksaltError
from rocksalt.screening.lithium import (
    LAYERED_CELLS,
    delithiated,
    doped,
    layer_lithium,
    layered_cell,
    li_o_li_counts,
    li_o_li_counts_by_axes,
    lithiated_rock_salt_arrangements,
    series,
)
from rocksalt.screening.mixtures import arrangements, rock_salt_supercell
from rocksalt.screening.vacancies import distinct_sites

SIZES = sorted(LAYERED_CELLS)


def symbols(structure):
    return [site.specie.symbol for site in structure]


def displaced(structure, distance_angstrom, seed):
    """Move every atom by the same distance, each in its own random direction."""
    directions = np.random.default_rng(seed).normal(size=(len(structure), 3))
    directions *= distance_angstrom / np.linalg.norm(directions, axis=1)[:, None]
    return Structure(
        structure.lattice,
        structure.species,
        structure.cart_coords + directions,
        coords_are_cartesian=True,
    )


def shuffled(structure, seed):
    """Return the same crystal in another order, orientation and origin."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(structure))
    rotation = SymmOp.from_axis_angle_and_translation(rng.normal(size=3), rng.uniform(0, 180))
    moved = structure.frac_coords[order] + rng.normal(size=3)
    cell = Structure(structure.lattice, [structure.species[i] for i in order], moved)
    return cell.apply_operation(rotation), order


# Cells.


def test_published_crystal():
    cell = layered_cell("Mn", 2)
    assert cell.composition.as_dict() == {"Li": 8, "Mn": 4, "O": 12}
    assert cell.get_space_group_info(symprec=1e-3) == ("C2/m", 12)
    assert cell.volume == pytest.approx(4.937 * 8.532 * 5.030 * math.sin(math.radians(109.46)))
    wyckoff = {s: sorted(d.wyckoff for d in distinct_sites(cell, s)) for s in ("Li", "Mn", "O")}
    assert wyckoff == {"Li": ["2b", "2c", "4h"], "Mn": ["4g"], "O": ["4i", "8j"]}
    # Every cation is in an octahedron of oxygen, every oxygen in one of cations.
    near = [Counter(n.specie.symbol for n in cell.get_neighbors(site, 2.5)) for site in cell]
    assert all(n == ({"Li": 4, "Mn": 2} if s == "O" else {"O": 6})
               for s, n in zip(symbols(cell), near, strict=True))  # fmt: skip


@pytest.mark.parametrize("n", SIZES)
def test_supercells_are_the_same_crystal(n):
    cell = layered_cell("Mn", n)
    assert cell.composition.as_dict() == {"Li": 4 * n, "Mn": 2 * n, "O": 6 * n}
    assert len(cell) == 12 * n
    assert cell.get_space_group_info(symprec=1e-3) == ("C2/m", 12)
    assert cell.volume / n == pytest.approx(layered_cell("Mn", 2).volume / 2)


def test_the_largest_cell_is_the_most_isotropic():
    # Rows (p, q), (r, s) of primitive vectors times 1, 2, 4 or 8 layers, all of 96 atoms.
    a, b, c = layered_cell("Mn", 2).lattice.abc
    inclination = math.cos(math.radians(109.46))

    def length(x, y, z):
        return math.sqrt(
            (x * a) ** 2 + (y * b) ** 2 + (z * c) ** 2 + 2 * x * a * z * c * inclination
        )

    def shortest(rows):
        steps = range(-3, 4)
        return min(
            length(*(np.array([i, j, k]) @ np.array(rows)))
            for i in steps for j in steps for k in steps if (i, j, k) != (0, 0, 0)
        )  # fmt: skip

    first, second = np.array([0.5, -0.5, 0]), np.array([0.5, 0.5, 0])
    others = [
        [p * first, q * first + (8 // layers // p) * second, [0, 0, layers]]
        for layers in (1, 2, 4, 8)
        for p in range(1, 8 // layers + 1)
        if 8 // layers % p == 0
        for q in range(p)
    ]
    chosen = shortest(LAYERED_CELLS[8])
    assert chosen == pytest.approx(9.857, abs=1e-3)
    assert chosen == pytest.approx(max(shortest(rows) for rows in others))


@pytest.mark.parametrize(("host", "measured_edge"), [("Ti", 5.06), ("Ru", 4.92), ("Sn", 5.295)])
def test_other_hosts_start_near_their_measured_edge(host, measured_edge):
    cell = layered_cell(host, 2)
    assert cell.composition.as_dict() == {"Li": 8, host: 4, "O": 12}
    assert cell.lattice.a == pytest.approx(measured_edge, rel=0.05)
    assert cell.lattice.angles == pytest.approx((90, 109.46, 90))


@pytest.mark.parametrize("n", [0, 3, 5, 16])
def test_a_cell_that_does_not_exist(n):
    with pytest.raises(RocksaltError, match=r"choose from \[1, 2, 4, 8\]"):
        layered_cell("Mn", n)


@pytest.mark.parametrize("host", ["La", "Zn"])
def test_a_host_that_is_no_m4(host):
    with pytest.raises(RocksaltError, match="no tabulated radius"):
        layered_cell(host)


# The metal layer.


@pytest.mark.parametrize("n", SIZES)
def test_layer_lithium_is_wyckoff_2b(n):
    cell = layered_cell("Mn", n)
    found = layer_lithium(cell)
    assert len(found) == n
    (site,) = [s for s in distinct_sites(cell, "Li") if s.wyckoff == "2b"]
    assert site.index in found
    assert site.multiplicity == n


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("seed", range(3))
def test_layer_lithium_does_not_go_by_order_origin_or_orientation(n, seed):
    cell = layered_cell("Mn", n)
    other, order = shuffled(displaced(cell, 0.1, seed), seed)
    assert sorted(int(order[i]) for i in layer_lithium(other)) == layer_lithium(cell)


@pytest.mark.parametrize("n", SIZES)
def test_a_layer_on_the_border_of_the_cell_is_one_layer(n):
    cell = layered_cell("Mn", n)
    # Metals end up just below the top of the cell, lithium just above its bottom.
    height = np.array([-0.005 if s == "Mn" else 0.005 for s in symbols(cell)])
    moved = cell.frac_coords + np.outer(height, [0, 0, 1])
    wrapped = Structure(cell.lattice, cell.species, moved % 1)
    metals = [i for i, s in enumerate(symbols(cell)) if s == "Mn"]
    assert wrapped.frac_coords[metals, 2].max() > 0.99
    assert layer_lithium(wrapped) == layer_lithium(cell)


def test_layer_lithium_has_six_metal_neighbours_in_its_layer():
    cell = layered_cell("Mn", 8)
    for i in layer_lithium(cell):
        near = [n for n in cell.get_neighbors(cell[i], 3.0) if n.specie.symbol == "Mn"]
        assert len(near) == 6
        normal = np.cross(*cell.lattice.matrix[:2])
        assert [normal @ (n.coords - cell[i].coords) for n in near] == pytest.approx([0] * 6)


def test_cells_without_layers_are_refused():
    with pytest.raises(RocksaltError, match="no metal"):
        layer_lithium(rock_salt_supercell("Li", 4, 4.2))
    cube = rock_salt_supercell("Mn", 4, 4.2)
    cube.replace(0, "Li")
    with pytest.raises(RocksaltError, match="layers must lie"):
        layer_lithium(cube)


# The series.


@pytest.mark.parametrize("n_layer", SIZES)
@pytest.mark.parametrize("cation", [None, "Ti"])
def test_composition_and_number_of_arrangements(n_layer, cation):
    members = series("Mn", n_layer, cation)
    assert {m.n_replaced for m in members} == set(range(n_layer + 1))
    for n in range(n_layer + 1):
        same = [m for m in members if m.n_replaced == n]
        assert sum(m.multiplicity for m in same) == math.comb(n_layer, n)
        multiplicities = [m.multiplicity for m in same]
        assert multiplicities == sorted(multiplicities, reverse=True)
        for m in same:
            amounts = m.structure.composition
            assert amounts["O"] == 6 * n_layer
            assert amounts["Li"] == 4 * n_layer - n
            assert amounts["Mn"] == 2 * n_layer + (0 if cation else n)
            assert amounts["Ti"] == (n if cation else 0)
            assert m.lithium_per_oxygen == pytest.approx((4 * n_layer - n) / (6 * n_layer))


def test_names():
    names = [m.name for m in series("Mn")]
    assert names[:2] == ["Li32Mn16O48 1 of 1", "Li31Mn17O48 1 of 1"]
    assert names[-1] == "Li24Mn24O48 1 of 1"
    assert len(set(names)) == len(names)
    assert series("Mn", 8, "Ru")[1].name == "Li31Mn16Ru1O48 1 of 1"


@pytest.mark.parametrize("n_layer", SIZES)
def test_only_lithium_of_the_metal_layer_is_replaced(n_layer):
    pristine = layered_cell("Mn", n_layer)
    layer = set(layer_lithium(pristine))
    for member in series("Mn", n_layer):
        structure = member.structure
        assert structure.lattice == pristine.lattice
        assert structure.frac_coords == pytest.approx(pristine.frac_coords)
        changed = {
            i
            for i, pair in enumerate(zip(symbols(pristine), symbols(structure), strict=True))
            if pair[0] != pair[1]
        }
        assert changed <= layer
        assert len(changed) == member.n_replaced
        assert {symbols(structure)[i] for i in changed} <= {"Mn"}
        if member.n_replaced < n_layer:
            assert set(layer_lithium(structure)) == layer - changed


def test_counts_agree_with_a_structure_matcher():
    pristine = layered_cell("Mn", 4)
    layer = layer_lithium(pristine)
    matcher = StructureMatcher(primitive_cell=False, scale=False, ltol=0.01, stol=0.02)
    members = series("Mn", 4)
    for n in range(5):
        classes = [m for m in members if m.n_replaced == n]
        found = Counter()
        for subset in combinations(layer, n):
            structure = pristine.copy()
            for i in subset:
                structure.replace(i, "Mn")
            (name,) = [m.name for m in classes if matcher.fit(structure, m.structure)]
            found[name] += 1
        assert found == {m.name: m.multiplicity for m in classes}


def test_a_limit_keeps_the_most_numerous():
    everything = series("Mn", 8)
    limited = series("Mn", 8, max_arrangements=2)
    for n in range(9):
        names = [m.name for m in everything if m.n_replaced == n]
        assert [m.name for m in limited if m.n_replaced == n] == names[:2]


@pytest.mark.parametrize("cation", ["Li", "O"])
def test_lithium_is_not_replaced_by_itself_or_oxygen(cation):
    with pytest.raises(RocksaltError, match="cannot replace"):
        series("Mn", 2, cation)


# Straight Li-O-Li.


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("host", ["Mn", "Sn"])
def test_one_axis_per_oxygen_in_the_pristine_crystal(n, host):
    cell = layered_cell(host, n)
    assert li_o_li_counts(cell).tolist() == [1] * (6 * n)
    assert li_o_li_counts_by_axes(cell).tolist() == [1] * (6 * n)


@pytest.mark.parametrize("n_layer", SIZES)
def test_two_counts_agree_over_the_series(n_layer):
    for seed, member in enumerate(series("Mn", n_layer)):
        counts = li_o_li_counts(member.structure)
        # Each oxygen touches one Li of the metal layer, at one end of its only axis.
        assert counts.sum() == 6 * (n_layer - member.n_replaced)
        assert set(counts) <= {0, 1}
        assert li_o_li_counts_by_axes(member.structure).tolist() == counts.tolist()
        moved = displaced(member.structure, 0.1, seed)
        assert li_o_li_counts(moved).tolist() == counts.tolist()
        assert li_o_li_counts_by_axes(moved).tolist() == counts.tolist()


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.sampled_from(["Li", "Mn", "nothing"]), min_size=8, max_size=8), st.integers(0, 100)
)
def test_two_counts_agree_in_any_rock_salt(cations, seed):
    cell = rock_salt_supercell("Mn", 8, 4.3)
    places = [i for i, s in enumerate(symbols(cell)) if s != "O"]
    for i, symbol in zip(places, cations, strict=True):
        if symbol != "nothing":
            cell.replace(i, symbol)
    cell.remove_sites([i for i, s in zip(places, cations, strict=True) if s == "nothing"])
    moved = displaced(cell, 0.1, seed)
    counts = li_o_li_counts(moved).tolist()
    assert counts == li_o_li_counts_by_axes(moved).tolist()
    # Along an axis of the cube both neighbours of an oxygen are 4.3 angstrom apart.
    by_hand = []
    for site in (s for s in cell if s.specie.symbol == "O"):
        ends = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]]) * 4.3 / 2
        axes = [
            [cell.lattice.get_fractional_coords(site.coords + sign * end) for sign in (1, -1)]
            for end in ends
        ]
        lithium = [s.frac_coords for s in cell if s.specie.symbol == "Li"]
        here = [
            [any(np.allclose(d - np.round(d), 0, atol=1e-6) for d in end - lithium) for end in axis]
            if lithium else [False]
            for axis in axes
        ]  # fmt: skip
        by_hand.append(sum(all(axis) for axis in here))
    assert counts == by_hand


def test_lithium_alone_has_three_axes():
    cell = rock_salt_supercell("Li", 4, 4.2)
    assert li_o_li_counts(cell).tolist() == [3] * 4
    assert li_o_li_counts_by_axes(cell).tolist() == [3] * 4


def test_oxygen_alone_has_no_axis():
    cell = rock_salt_supercell("Mn", 4, 4.2)
    cell.remove_species(["Mn"])
    assert li_o_li_counts(cell).tolist() == li_o_li_counts_by_axes(cell).tolist() == [0] * 4


def test_missing_cations_are_no_ends():
    cell = layered_cell("Mn", 4)
    i = layer_lithium(cell)[0]
    cell.remove_sites([i])
    assert li_o_li_counts(cell).tolist() == li_o_li_counts_by_axes(cell).tolist()
    assert li_o_li_counts(cell).sum() == 24 - 6


def test_the_tolerance_is_an_angle_from_straight():
    cell = layered_cell("Mn", 2)  # its triplets are bent to 171 degrees
    assert li_o_li_counts(cell, 5).sum() == 0
    assert li_o_li_counts(cell, 10).sum() == 12


# Dopants and delithiation.


def test_one_host_is_doped():
    cell = layered_cell("Mn", 4)
    new = doped(cell, "Ti", "Mn")
    assert new.composition.as_dict() == {"Li": 16, "Mn": 7, "Ti": 1, "O": 24}
    assert cell.composition["Mn"] == 8
    assert doped(cell, "Ti", "Mn") == new
    (site,) = distinct_sites(cell, "Mn")  # one kind of Mn: all choices are the same crystal
    assert symbols(new)[site.index] == "Ti"
    last = max(i for i, s in enumerate(symbols(cell)) if s == "Mn")
    matcher = StructureMatcher(primitive_cell=False, scale=False)
    assert matcher.fit(new, doped(cell, "Ti", "Mn", last))


def test_dopants_that_go_nowhere():
    cell = layered_cell("Mn", 2)
    with pytest.raises(RocksaltError, match="both Mn"):
        doped(cell, "Mn", "Mn")
    with pytest.raises(RocksaltError, match="has no Ru"):
        doped(cell, "Ti", "Ru")
    for site in (0, 24, -1):
        with pytest.raises(RocksaltError, match="is not Mn"):
            doped(cell, "Ti", "Mn", site)


@pytest.mark.parametrize("n", SIZES)
def test_a_quarter_of_the_lithium_leaves_the_lithium_layers(n):
    cell = layered_cell("Mn", n)
    new = delithiated(cell, n)
    assert new.composition.as_dict() == {"Li": 3 * n, "Mn": 2 * n, "O": 6 * n}
    assert len(layer_lithium(new)) == n
    assert delithiated(cell, n) == new
    assert len(cell) == 12 * n
    kept = [site for site in cell if site in new]
    assert kept == list(new)


def test_delithiation_finds_the_lowest_electrostatic_energy():
    cell = layered_cell("Mn", 2)
    layer = layer_lithium(cell)
    lithium = [i for i, s in enumerate(symbols(cell)) if s == "Li" and i not in layer]

    def energy_ev(structure):
        charged = structure.copy()
        # Li6Mn4O12: neutral with Li(+), Mn(4+) and oxygen at -22/12.
        charged.add_oxidation_state_by_element({"Li": 1, "Mn": 4, "O": -22 / 12})
        return EwaldSummation(charged).total_energy

    energies = []
    for pair in combinations(lithium, 2):
        structure = cell.copy()
        structure.remove_sites(pair)
        energies.append(energy_ev(structure))
    assert len(energies) == math.comb(6, 2)
    assert energy_ev(delithiated(cell, 2)) == pytest.approx(min(energies), abs=1e-4)
    assert max(energies) > min(energies) + 0.1


def test_delithiation_from_nothing_to_all():
    cell = layered_cell("Mn", 2)
    assert delithiated(cell, 0) == cell
    assert delithiated(cell, 6).composition.as_dict() == {"Li": 2, "Mn": 4, "O": 12}
    for n in (7, -1):
        with pytest.raises(RocksaltError, match="they hold 6"):
            delithiated(cell, n)


# Disordered rock salt with lithium.


def test_the_host_itself_is_a_mixture_of_lithium():
    found = arrangements("Li", "Mn", 0.5)
    assert {a.kind for a in found} == {"enumerated", "sqs"}
    assert sum(a.multiplicity or 0 for a in found) == math.comb(8, 4)
    for a in found:
        assert a.structure.composition.reduced_formula == "LiMnO2"


@pytest.mark.parametrize("k", [0, 2, 4, 8])
def test_whole_atoms_and_as_much_lithium_as_host(k):
    (found,) = lithiated_rock_salt_arrangements("Ti", "Mn", k / 16)
    amounts = found.structure.composition
    assert found.kind == "sqs"
    assert amounts["Li"] == amounts["Mn"]
    assert amounts["O"] == amounts["Li"] + amounts["Mn"] + amounts["Ti"]
    assert amounts["Ti"] / amounts["O"] == pytest.approx(k / 16)
    (again,) = lithiated_rock_salt_arrangements("Ti", "Mn", k / 16)
    assert again.structure == found.structure
    assert again.fingerprint == found.fingerprint


def test_pairs_are_as_frequent_as_in_a_random_alloy():
    (found,) = lithiated_rock_salt_arrangements("Ti", "Mn", 0.5)
    edge = (found.structure.volume / 16 * 4) ** (1 / 3)
    structure = found.structure
    pairs = Counter(
        (site.specie.symbol, near.specie.symbol)
        for site in structure
        for near in structure.get_neighbors(site, 0.8 * edge)  # 12 cations at edge / sqrt 2
        if "O" not in (site.specie.symbol, near.specie.symbol)
    )
    assert pairs.total() == 16 * 12
    share = {"Ti": 0.5, "Li": 0.25, "Mn": 0.25}
    for one, other in product(share, repeat=2):
        expected = share[one] * share[other]
        assert pairs[one, other] / pairs.total() == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize("fraction", [0.3, 1 / 16, 1.0, -0.125])
def test_fractions_that_do_not_fit(fraction):
    with pytest.raises(RocksaltError, match="the nearest that do are"):
        lithiated_rock_salt_arrangements("Ti", "Mn", fraction)


def test_cations_and_cells_that_do_not_fit():
    for dopant, host in (("Li", "Mn"), ("Ti", "Li"), ("Mn", "Mn")):
        with pytest.raises(RocksaltError, match="three cations"):
            lithiated_rock_salt_arrangements(dopant, host, 0.5)
    with pytest.raises(RocksaltError, match="no cell with 5 cations"):
        lithiated_rock_salt_arrangements("Ti", "Mn", 0.5, n_cations=5)
