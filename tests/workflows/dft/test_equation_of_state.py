"""E(V): the fit against Birch and Murnaghan's closed form, and the search on curves of all kinds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from rocksalt.screening.errors import CalculationError
from rocksalt.screening.prototypes import element_starts, rock_salt
from rocksalt.workflows.dft.equation_of_state import (
    EV_PER_CUBIC_ANGSTROM_IN_GPA,
    VOLUME_TOLERANCE,
    find_minimum,
    fit_birch_murnaghan,
    only_volume_is_free,
)
from rocksalt.workflows.dft.magnetism import antiferromagnetic_rock_salt


def birch_murnaghan(v, e0=-16.0, v0=21.7, b0_gpa=150.0, derivative=4.3):
    """Return the closed form as it is printed."""
    b0 = b0_gpa / EV_PER_CUBIC_ANGSTROM_IN_GPA
    x = (v0 / np.asarray(v)) ** (2 / 3)
    return e0 + 9 * v0 * b0 / 16 * ((x - 1) ** 3 * derivative + (x - 1) ** 2 * (6 - 4 * x))


@given(st.floats(8, 80), st.floats(20, 400), st.floats(3, 6), st.floats(-200, 0), st.integers(4, 8))
def test_the_fit_returns_what_made_the_curve(v0, b0, derivative, e0, n):
    volumes = v0 * np.linspace(0.93, 1.11, n)
    fit = fit_birch_murnaghan(volumes, birch_murnaghan(volumes, e0, v0, b0, derivative))
    assert fit.volume == pytest.approx(v0, rel=1e-6)
    assert fit.energy_ev == pytest.approx(e0, abs=1e-8)
    assert fit.bulk_modulus_gpa == pytest.approx(b0, rel=1e-5)
    assert fit.rms_ev < 1e-9


def test_rms_is_what_the_points_lie_off():
    volumes = np.linspace(19, 25, 40)
    noise = 1e-3 * (-1.0) ** np.arange(40)
    fit = fit_birch_murnaghan(volumes, birch_murnaghan(volumes) + noise)
    assert fit.rms_ev == pytest.approx(1e-3, rel=0.05)


@pytest.mark.parametrize(
    ("volumes", "energies", "said"),
    [
        ([1, 2, 3], [0, -1, 0], "3 points are too few"),
        ([1, 2, 3, 4], [0, -1, -2, -3], "no minimum"),
    ],
)
def test_no_fit(volumes, energies, said):
    with pytest.raises(CalculationError, match=said):
        fit_birch_murnaghan(volumes, energies)


class Counted:
    """An energy of the volume that remembers where it was asked for."""

    def __init__(self, energy):
        self.energy, self.volumes = energy, []

    def __call__(self, volume):
        """Return the energy."""
        self.volumes.append(volume)
        return float(self.energy(volume))


@pytest.mark.parametrize("start", [0.6, 0.8, 0.93, 0.98, 1.0, 1.02, 1.1, 1.3, 1.7])
def test_the_minimum_is_found_and_computed_last(start):
    energy = Counted(birch_murnaghan)
    curve, points = find_minimum(energy, 21.7 * start)
    assert curve.volume == pytest.approx(21.7, rel=1e-3)
    assert curve.bulk_modulus_gpa == pytest.approx(150, rel=0.05)
    assert energy.volumes[-1] == pytest.approx(curve.volume, rel=VOLUME_TOLERANCE)
    assert energy(energy.volumes[-1]) == pytest.approx(-16.0, abs=1e-4)
    assert sorted(points) == sorted(set(energy.volumes))  # and no volume twice


def test_a_good_start_takes_five_points():
    energy = Counted(birch_murnaghan)
    find_minimum(energy, 21.7 * 1.01)
    assert len(energy.volumes) == 5


def test_the_points_enclose_the_minimum():
    _, points = find_minimum(birch_murnaghan, 21.7 * 0.75)
    below = [v for v in points if v < 21.6]
    above = [v for v in points if v > 21.8]
    assert len(below) >= 2
    assert len(above) >= 2


def test_a_volume_that_runs_away_is_said():
    with pytest.raises(CalculationError, match=r"change by a factor of 2\.0"):
        find_minimum(lambda v: -v, 20.0)


def test_a_minimum_that_does_not_stay_is_said():
    """Noise as large as the curve is deep."""
    rng = np.random.default_rng(1)
    with pytest.raises(CalculationError, match=r"E\(V\)"):
        find_minimum(lambda v: birch_murnaghan(v) + rng.normal(scale=2.0), 21.7)


def test_small_roughness_is_averaged_over():
    """Steps of 2 meV, as the plane waves of a basis enter it one by one."""
    curve, _ = find_minimum(lambda v: birch_murnaghan(v) + 2e-3 * (int(50 * v) % 2), 21.0)
    assert curve.volume == pytest.approx(21.7, rel=0.01)
    assert curve.bulk_modulus_gpa == pytest.approx(150, rel=0.3)
    assert 1e-6 < curve.rms_ev < 2e-3


@pytest.mark.parametrize(
    ("structure", "free"),
    [
        (rock_salt("Mn"), True),
        (antiferromagnetic_rock_salt(rock_salt("Mn")), True),
        *((s.structure, s.prototype in {"fcc", "bcc"}) for s in element_starts("Mn")),
        (Structure(Lattice.tetragonal(3, 4), ["Ti"], [[0, 0, 0]]), False),
    ],
    ids=lambda value: value.formula if isinstance(value, Structure) else None,
)
def test_whose_shape_and_places_symmetry_fixes(structure, free):
    """alpha-Mn is cubic, and its atoms may move all the same."""
    assert only_volume_is_free(structure) == free


def test_a_rattled_cell_has_no_symmetry():
    cell = rock_salt("Mn") * (2, 2, 1)
    assert only_volume_is_free(cell)
    cell.perturb(0.01)
    assert not only_volume_is_free(cell)
