"""k-meshes: one density for every size and shape of cell."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rocksalt.screening.prototypes import element_starts, rock_salt
from rocksalt.workflows.dft.kpoints import equal_k_mesh, k_mesh
from rocksalt.workflows.dft.magnetism import antiferromagnetic_rock_salt

DENSITY = 3.5


def density_of(mesh, cell):
    return (np.prod(mesh) * abs(np.linalg.det(cell)) / (2 * np.pi) ** 3) ** (1 / 3)


def test_a_cube_by_hand():
    assert k_mesh(np.eye(3) * 2 * np.pi, 4.0) == (4, 4, 4)
    assert k_mesh(np.diag([2, 4, 8]) * np.pi, 4.0) == (4, 2, 1)


def test_a_large_cell_has_gamma():
    assert k_mesh(np.eye(3) * 40.0, DENSITY) == (1, 1, 1)
    assert equal_k_mesh(np.eye(3) * 40.0, DENSITY) == (1, 1, 1)


@given(st.integers(2, 4))
def test_a_supercell_has_as_many_fewer_points(n):
    cell = np.diag([3.0, 3.7, 5.1])
    long = cell * [[1], [1], [n]]
    assert k_mesh(long, 12.0)[:2] == k_mesh(cell, 12.0)[:2]
    assert k_mesh(long, 12.0)[2] == pytest.approx(k_mesh(cell, 12.0)[2] / n, abs=0.6)


@pytest.mark.parametrize("symbol", ["Mn", "Ru"])
def test_density_is_the_same_in_rock_salt_and_its_afm_cell(symbol):
    """Rounding of about 8 or 6 to a whole number is all that may differ."""
    two = rock_salt(symbol)
    four = antiferromagnetic_rock_salt(two)
    found = [
        density_of(equal_k_mesh(s.lattice.matrix, DENSITY), s.lattice.matrix) for s in (two, four)
    ]
    assert found == pytest.approx([DENSITY] * 2, rel=0.5 / 6)
    assert equal_k_mesh(two.lattice.matrix, DENSITY) == k_mesh(two.lattice.matrix, DENSITY)
    assert np.ptp(k_mesh(four.lattice.matrix, DENSITY)) > 0  # which would lose symmetry


@pytest.mark.parametrize("start", element_starts("Ti"), ids=lambda s: s.prototype)
def test_metals_get_their_density(start):
    cell = start.structure.lattice.matrix
    mesh = k_mesh(cell, 4.5)
    assert density_of(mesh, cell) == pytest.approx(4.5, rel=0.06)
    assert mesh[0] == mesh[1]
