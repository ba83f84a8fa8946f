"""Distinct orderings: conservation of their number, known counts, and an independent matcher."""

import math
from functools import cache
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from rocksalt.screening.enumeration import (
    MAX_SITES,
    Ordering,
    distinct_orderings,
    site_permutations,
)

# Some releases of spglib warn on every call that error handling will change.

EDGE_ANGSTROM = 4.3
PRIMITIVE = EDGE_ANGSTROM / 2 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
TO_CUBE = np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]])


def rock_salt_cell(matrix):
    primitive = Structure(Lattice(PRIMITIVE), ["Mn", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    return primitive.make_supercell(matrix, in_place=False)


@cache
def permutations(rows):
    cell = rock_salt_cell(np.array(rows))
    return site_permutations(cell, [i for i, s in enumerate(cell) if s.specie.symbol == "Mn"])


def cube(n):
    return tuple(map(tuple, n * TO_CUBE))


def diagonal(*n):
    return tuple(map(tuple, np.diag(n)))


def counts(rows, numbers):
    return [len(distinct_orderings(permutations(rows), k)) for k in numbers]


def test_known_counts():
    assert counts(diagonal(2, 2, 2), range(1, 5)) == [1, 2, 2, 4]
    assert counts(cube(1), (1, 2)) == [1, 1]
    assert counts(cube(2), (2, 3, 4)) == [5, 14, 71]


def test_number_of_operations_of_the_cubic_cell():
    # 48 rotations and 4 centring translations act on the 4 cations as the symmetric group.
    assert len(permutations(cube(1))) == math.factorial(4)
    # Of 48 rotations, inversion through the origin fixes each of the 8 translations modulo 2.
    assert len(permutations(diagonal(2, 2, 2))) == 48 // 2 * 8


cells = st.sampled_from(
    [
        *(diagonal(1, 1, 2), cube(1), diagonal(2, 2, 2), diagonal(1, 2, 3), diagonal(2, 2, 3)),
        *(((1, 0, 0), (0, 2, 0), (1, 0, 4)), ((1, 1, 0), (0, 3, 1), (0, 0, 2))),
    ]
)


@settings(deadline=None, max_examples=40)
@given(rows=cells, data=st.data())
def test_multiplicities_sum_to_the_binomial_coefficient(rows, data):
    found = permutations(rows)
    n_sites = found.shape[1]
    k = data.draw(st.integers(0, n_sites))
    orderings = distinct_orderings(found, k)
    assert sum(o.multiplicity for o in orderings) == math.comb(n_sites, k)
    assert all(len(set(o.sites)) == k for o in orderings)
    assert [o.sites for o in orderings] == sorted(o.sites for o in orderings)


@settings(deadline=None, max_examples=15)
@given(rows=cells, data=st.data())
def test_orbits_agree_with_brute_force(rows, data):
    found = permutations(rows)
    n_sites = found.shape[1]
    k = data.draw(st.integers(0, min(3, n_sites)))
    orbits = {
        frozenset(frozenset(int(row[i]) for i in subset) for row in found)
        for subset in combinations(range(n_sites), k)
    }
    orderings = distinct_orderings(found, k)
    assert len(orderings) == len(orbits)
    for ordering in orderings:
        (orbit,) = [o for o in orbits if frozenset(ordering.sites) in o]
        assert ordering.multiplicity == len(orbit)


@pytest.mark.parametrize("rows", [cube(1), diagonal(2, 2, 2), diagonal(1, 2, 3)])
def test_permutations_form_a_group(rows):
    found = permutations(rows)
    group = {tuple(row) for row in found}
    n_sites = found.shape[1]
    assert len(group) == len(found)
    assert tuple(range(n_sites)) in group
    for p in found:
        assert sorted(p) == list(range(n_sites))
        assert tuple(np.argsort(p)) in group
    for p in found[:20]:
        assert {tuple(p[q]) for q in found} == group


def test_permutations_keep_all_distances():
    cell = rock_salt_cell(np.diag([1, 2, 3]))
    sites = [i for i, s in enumerate(cell) if s.specie.symbol == "Mn"]
    distances = cell.distance_matrix[np.ix_(sites, sites)]
    for p in site_permutations(cell, sites):
        assert distances[np.ix_(p, p)] == pytest.approx(distances, abs=1e-8)


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_orderings_agree_with_a_structure_matcher(k):
    cell = rock_salt_cell(np.diag([2, 2, 2]))
    cations = [i for i, s in enumerate(cell) if s.specie.symbol == "Mn"]
    matcher = StructureMatcher(primitive_cell=False, scale=False, ltol=0.01, stol=0.02)
    decorated = []
    for subset in combinations(range(8), k):
        structure = cell.copy()
        for i in subset:
            structure.replace(cations[i], "Mg")
        structure.remove_species(["O"])
        decorated.append((frozenset(subset), structure))
    representatives = distinct_orderings(permutations(diagonal(2, 2, 2)), k)
    members = {o.sites: 0 for o in representatives}
    by_sites = dict(decorated)
    for _, structure in decorated:
        matching = [
            o.sites for o in representatives if matcher.fit(structure, by_sites[frozenset(o.sites)])
        ]
        assert len(matching) == 1
        members[matching[0]] += 1
    assert members == {o.sites: o.multiplicity for o in representatives}


def test_without_symmetry_every_subset_is_its_own():
    orderings = distinct_orderings(np.arange(6)[None], 2)
    assert [o.sites for o in orderings] == list(combinations(range(6), 2))
    assert {o.multiplicity for o in orderings} == {1}


def test_none_and_all_sites():
    found = permutations(cube(1))
    assert distinct_orderings(found, 0) == [Ordering((), 1)]
    assert distinct_orderings(found, 4) == [Ordering((0, 1, 2, 3), 1)]


def test_the_last_bit_counts():
    orderings = distinct_orderings(np.arange(MAX_SITES)[None], 1)
    assert [o.sites for o in orderings] == [(i,) for i in range(MAX_SITES)]


@pytest.mark.parametrize(("n_sites", "k"), [(4, 5), (4, -1), (MAX_SITES + 1, 1)])
def test_impossible_numbers(n_sites, k):
    with pytest.raises(ValueError, match="cannot choose"):
        distinct_orderings(np.arange(n_sites)[None], k)


def test_sites_that_symmetry_leaves_are_refused():
    cell = rock_salt_cell(np.diag([2, 2, 2]))
    with pytest.raises(ValueError, match="not listed"):
        site_permutations(cell, [0, 1, 2])
