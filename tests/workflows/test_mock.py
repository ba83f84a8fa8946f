"""The mock engine: forces and stress are derivatives of its energy, and nothing is by chance."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from hypothesis import given, settings
from hypothesis import strategies as st

from rocksalt.screening.errors import CalculationError
from rocksalt.workflows.mock import CUTOFF_ANGSTROM, MockCalculator


def rock_salt(*cations):
    atoms = bulk("MnO", "rocksalt", a=4.5, cubic=True)
    metals = [i for i, symbol in enumerate(atoms.symbols) if symbol == "Mn"]
    for i, symbol in zip(metals, cations, strict=False):
        atoms.symbols[i] = symbol
    return atoms


CELLS = {
    "oxide": lambda: rock_salt("Mg", "Ti"),
    "metal": lambda: bulk("Cu", "fcc", a=3.7, cubic=True),
    "alloy": lambda: bulk("NaCl", "cesiumchloride", a=3.4),
    "molecule": lambda: molecule("O2", vacuum=4.0, pbc=True),
}
CELLS["alloy"] = lambda: Atoms("MgTi", cell=[3.4] * 3, scaled_positions=[[0] * 3, [0.5] * 3], pbc=1)


@pytest.fixture(params=CELLS)
def atoms(request):
    made = CELLS[request.param]()
    made.rattle(0.08, seed=3)
    made.calc = MockCalculator()
    return made


def energy_of(atoms):
    copy = atoms.copy()
    copy.calc = MockCalculator()
    return copy.get_potential_energy()


def test_forces_are_the_gradient_of_the_energy(atoms):
    forces = atoms.get_forces()
    assert np.abs(forces).max() > 0.01
    step = 1e-5
    for i in range(len(atoms)):
        for axis in range(3):
            energies = []
            for sign in (1, -1):
                moved = atoms.copy()
                moved.positions[i, axis] += sign * step
                energies.append(energy_of(moved))
            slope = (energies[0] - energies[1]) / (2 * step)
            assert forces[i, axis] == pytest.approx(-slope, abs=1e-6)
    assert np.abs(forces.sum(axis=0)).max() < 1e-10


def test_stress_is_the_strain_derivative_of_the_energy(atoms):
    stress = atoms.get_stress(voigt=False)
    step = 1e-5
    for a in range(3):
        for b in range(3):
            energies = []
            for sign in (1, -1):
                strain = np.zeros((3, 3))
                strain[a, b] += sign * step / 2
                strain[b, a] += sign * step / 2
                strained = atoms.copy()
                strained.set_cell(strained.cell.array @ (np.eye(3) + strain), scale_atoms=True)
                energies.append(energy_of(strained))
            slope = (energies[0] - energies[1]) / (2 * step) / atoms.get_volume()
            assert stress[a, b] == pytest.approx(slope, abs=1e-7)


@settings(max_examples=15)
@given(
    shift=st.tuples(*[st.floats(-20, 20)] * 3),
    angles=st.tuples(*[st.floats(0, 360)] * 3),
    seed=st.integers(0, 1000),
)
def test_energy_does_not_depend_on_place_and_direction(shift, angles, seed):
    atoms = rock_salt("Mg", "Ti")
    atoms.rattle(0.1, seed=seed)
    atoms.calc = MockCalculator()
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    moved = atoms.copy()
    moved.translate(shift)
    moved.wrap()
    rotation = Atoms("He3", positions=np.eye(3))
    for angle, axis in zip(angles, "xyz", strict=True):
        moved.rotate(angle, axis, rotate_cell=True)
        rotation.rotate(angle, axis)
    moved.calc = MockCalculator()
    assert moved.get_potential_energy() == pytest.approx(energy, abs=1e-9)
    np.testing.assert_allclose(moved.get_forces(), forces @ rotation.positions, atol=1e-9)


def test_a_larger_cell_has_the_same_energy_per_atom():
    atoms = rock_salt("Mg")
    atoms.rattle(0.05, seed=1)
    assert energy_of(atoms * (2, 1, 3)) == pytest.approx(6 * energy_of(atoms), rel=1e-12)


def test_the_same_atoms_give_the_same_bits(atoms):
    again = atoms.copy()
    again.calc = MockCalculator()
    assert again.get_potential_energy() == atoms.get_potential_energy()
    assert (again.get_forces() == atoms.get_forces()).all()
    assert (again.get_stress() == atoms.get_stress()).all()


def test_energy_is_smooth_at_the_cutoff():
    def pair(distance):
        return energy_of(
            Atoms("Cu2", positions=[[0, 0, 0], [distance, 0, 0]], cell=[30] * 3, pbc=1)
        )

    assert pair(CUTOFF_ANGSTROM + 0.1) == 0
    assert abs(pair(CUTOFF_ANGSTROM - 1e-4)) < 1e-9
    assert pair(CUTOFF_ANGSTROM - 0.5) < -1e-5


def test_an_element_without_a_metal_is_refused():
    atoms = Atoms("H2", positions=[[0, 0, 0], [1.5, 0, 0]], cell=[9] * 3, pbc=True)
    atoms.calc = MockCalculator()
    with pytest.raises(CalculationError, match=r"mock does not know an element.*'H'"):
        atoms.get_potential_energy()
