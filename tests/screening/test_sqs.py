"""Quasi-random arrangements against a naive count of like and unlike neighbours."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from rocksalt.screening.sqs import pair_shells, quasi_random

EXACT = 1e-12
EDGE_ANGSTROM = 4.2
PRIMITIVE = np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
SHELLS_OF_FCC = [12, 6, 24, 12, 24]
DISTANCES_OF_FCC = np.sqrt(np.arange(1, 6) / 2)  # in units of the cube's edge


def fcc(matrix, edge=EDGE_ANGSTROM):
    cell = Structure(Lattice(PRIMITIVE * edge), ["Mg"], [[0, 0, 0]])
    return cell.make_supercell(matrix, in_place=False)


def naive_correlations(structure, chosen, n_shells=3):
    """Average the product of spins over all pairs at each distance of fcc, image by image."""
    spins = [-1 if i in chosen else 1 for i in range(len(structure))]
    images = list(itertools.product(range(-4, 5), repeat=3))
    sums, numbers = np.zeros(n_shells), np.zeros(n_shells)
    for i, first in enumerate(structure):
        for j, second in enumerate(structure):
            shifts = second.frac_coords - first.frac_coords + np.array(images)
            lengths = np.linalg.norm(shifts @ structure.lattice.matrix, axis=1)
            for shell in range(n_shells):
                there = np.isclose(lengths, DISTANCES_OF_FCC[shell] * EDGE_ANGSTROM, atol=1e-6)
                sums[shell] += there.sum() * spins[i] * spins[j]
                numbers[shell] += there.sum()
    return sums / numbers


CELLS = {
    4: [[-1, 1, 1], [1, -1, 1], [1, 1, -1]],
    8: np.diag([2, 2, 2]),
    16: np.diag([2, 2, 4]),
}


@pytest.mark.parametrize("n", CELLS)
def test_shells_hold_the_neighbours_of_fcc(n):
    counts = pair_shells(fcc(CELLS[n]), n_shells=5)
    assert counts.sum(axis=2) == pytest.approx(np.tile(np.array(SHELLS_OF_FCC)[:, None], (1, n)))
    assert (counts == counts.transpose(0, 2, 1)).all()


def test_shells_do_not_depend_on_the_edge():
    for edge in 4.0005 + 0.001 * np.arange(20):
        assert pair_shells(fcc(CELLS[8], edge)).sum(axis=(1, 2)).tolist() == [96, 48, 192]


@settings(deadline=None, max_examples=6)
@given(k=st.integers(1, 15), seed=st.integers(0, 3))
def test_correlations_are_those_of_a_naive_loop(k, seed):
    structure = fcc(CELLS[16])
    found = quasi_random(pair_shells(structure), k, seed)
    assert len(set(found.sites)) == k
    assert found.target == pytest.approx((1 - 2 * k / 16) ** 2, abs=EXACT)
    assert found.correlations == pytest.approx(
        naive_correlations(structure, found.sites), abs=1e-10
    )


@pytest.mark.parametrize("seed", range(4))
def test_half_and_half_in_16_cations_is_random_to_the_third_shell(seed):
    structure = fcc(CELLS[16])
    found = quasi_random(pair_shells(structure), 8, seed)
    assert found.correlations == pytest.approx([0, 0, 0], abs=EXACT)
    assert naive_correlations(structure, found.sites) == pytest.approx([0, 0, 0], abs=EXACT)


def test_the_same_seed_gives_the_same_arrangement():
    shells = pair_shells(fcc(CELLS[16]))
    assert quasi_random(shells, 8, 5) == quasi_random(shells, 8, 5)
    assert len({quasi_random(shells, 8, seed).sites for seed in range(6)}) > 1


def test_nothing_in_a_small_cell_is_nearer_to_random():
    shells = pair_shells(fcc(CELLS[8]))
    weights = 0.5 ** np.arange(3)

    def mismatch(sites):
        spins = np.where(np.isin(np.arange(8), sites), -1.0, 1.0)
        found = [spins @ shell @ spins / shell.sum() for shell in shells]
        return float(((np.array(found) - target) ** 2 * weights).sum())

    for k in range(1, 8):
        target = (1 - 2 * k / 8) ** 2
        best = min(mismatch(list(sites)) for sites in itertools.combinations(range(8), k))
        assert mismatch(list(quasi_random(shells, k, 0).sites)) == pytest.approx(best, abs=EXACT)


def test_arrangement_is_pinned():
    # Keys of stored calculations depend on it.
    found = quasi_random(pair_shells(fcc(CELLS[16])), 8, 0)
    assert found.sites == (2, 3, 5, 6, 10, 11, 12, 15)
