"""Electrons of the mock engine against what a tight-binding model must do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from rocksalt.screening.errors import CalculationError
from rocksalt.screening.lithium import layered_cell
from rocksalt.screening.prototypes import rock_salt
from rocksalt.workflows import mock_electrons
from rocksalt.workflows.dft.density_of_states import DensityOfStatesSettings, density_of_states
from rocksalt.workflows.dft.settings import DftSettings
from rocksalt.workflows.dft.task import DftTask
from rocksalt.workflows.relaxer import RelaxationSettings


def states(structure, **settings):
    task = DftTask(
        structure=structure,
        relaxation=RelaxationSettings(relax_cell=False),
        settings=DftSettings(),
        is_molecule=False,
        is_metal=False,
        directory=Path(),
    )
    return mock_electrons.electronic_states(task, DensityOfStatesSettings(**settings))


def test_one_bond_has_the_levels_of_two_orbitals():
    """O and Mn alone in a box: p sigma and d sigma repel each other, all other orbitals stay."""
    size, length = mock_electrons.HOPS["pd"]
    box = Structure(
        Lattice.cubic(15), ["O", "Mn"], [[0, 0, 0], [0, 0, length]], coords_are_cartesian=True
    )
    found = states(box, k_density=0.1)
    p, d = (mock_electrons.LEVELS_EV[kind][0] for kind in "pd")
    split = np.hypot((p - d) / 2, size)
    expected = sorted([p, p, d, d, d, d, (p + d) / 2 - split, (p + d) / 2 + split])
    assert found.eigenvalues_ev[0, 0] == pytest.approx(expected)


def test_electrons_are_counted():
    cell = layered_cell("Mn", 1)
    found = states(cell, k_density=1.5)
    filled = (found.eigenvalues_ev <= found.fermi_ev).sum(axis=(0, 2)) @ found.k_weights
    assert filled == pytest.approx(4 * 1 + 2 * 7 + 6 * 4)
    assert sum(found.projections.values()) == pytest.approx(1.0)


def test_the_bands_have_the_crystals_symmetry():
    """Without it a bond was taken from one end only, or with the wrong sign from the other."""
    cell = rock_salt("Mn", 4.4)
    turned = Structure(
        Lattice(cell.lattice.matrix @ np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]])),
        cell.species,
        cell.frac_coords,
    )
    one, other = (
        np.sort(states(s, k_density=2.0).eigenvalues_ev, axis=None) for s in (cell, turned)
    )
    assert one == pytest.approx(other)
    shifted = cell.copy()
    shifted.translate_sites([0, 1], [0.3, 0.1, 0.7])
    assert np.sort(states(shifted, k_density=2.0).eigenvalues_ev, axis=None) == pytest.approx(one)


def test_its_density_is_that_of_an_oxide():
    found = density_of_states(states(layered_cell("Mn", 1)), DensityOfStatesSettings(), "Mn")
    assert found.reference == "highest-occupied"
    assert found.band_gap_ev > 0.5
    assert found.shares["O-p"] > 0.8
    energies = np.array(found.arrays["energies_ev"])
    curves = {n: np.sum(c, axis=0) for n, c in found.arrays["states_per_ev"].items()}
    empty = energies > found.band_gap_ev - 0.3
    above = {n: np.trapezoid(c[empty], energies[empty]) for n, c in curves.items()}
    assert above["Mn-d"] > above["O-p"] > 0


def test_the_reference_can_be_chosen():
    given = states(layered_cell("Mn", 1))
    fermi = density_of_states(given, DensityOfStatesSettings(reference="fermi-level"), "Mn")
    usual = density_of_states(given, DensityOfStatesSettings(), "Mn")
    assert fermi.reference == "fermi-level"
    assert fermi.reference_ev == given.fermi_ev > usual.reference_ev
    assert fermi.states_total < usual.states_total  # a part of the window is the gap


@pytest.mark.parametrize("formula", ["MgO", "Mn"])
def test_what_has_no_p_and_d_is_refused(formula):
    cell = rock_salt("Mg") if formula == "MgO" else Structure(Lattice.cubic(2.8), ["Mn"], [[0] * 3])
    with pytest.raises(CalculationError, match="no p and d electrons"):
        states(cell)
