"""The relaxer against closed forms, against ASE's optimizers, and on calculators that misbehave."""

import itertools

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.calculators.morse import MorsePotential
from ase.constraints import FixAtoms
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS
from pydantic import ValidationError

from rocksalt.screening.errors import CalculationError
from rocksalt.workflows.relaxer import RelaxationSettings, rattled, relax

TIGHT = RelaxationSettings(fmax=0.001)
POSITIONS = RelaxationSettings(relax_cell=False)
STILL = {"rattle_angstrom": 0.0, "rattle_strain": 0.0}


class Analytic(Calculator):
    """Energy and forces from functions of the displacements from `sites`; counts its calls."""

    implemented_properties = ["energy", "forces", "stress"]  # noqa: RUF012  # ASE wants a list

    def __init__(self, sites, energy, force, stress=None):
        super().__init__()
        self.sites, self.energy, self.force, self.stress = sites, energy, force, stress
        self.n_calls = 0

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        """Compute everything."""
        super().calculate(atoms, properties, system_changes)
        self.n_calls += 1
        u = self.atoms.positions - self.sites
        self.results = {"energy": self.energy(u), "forces": self.force(u)}
        self.results["stress"] = np.zeros(6) if self.stress is None else self.stress


def two_atoms() -> Atoms:
    return Atoms("LiO", [(0.0, 0, 0), (2.0, 0, 0)], cell=[6.0] * 3, pbc=True)


def harmonic(atoms: Atoms, k: float = 8.0) -> Analytic:
    return Analytic(atoms.positions.copy(), lambda u: k * (u**2).sum() / 2, lambda u: -k * u)


def copper(strain: float = 1.0) -> Atoms:
    atoms = bulk("Cu", cubic=True) * (2, 2, 1)
    atoms.set_cell(atoms.cell * strain, scale_atoms=True)
    return atoms


@pytest.fixture(scope="module")
def copper_of_ase() -> Atoms:
    atoms = copper()
    atoms.calc = EMT()
    BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=1e-4)
    return atoms


def largest_filter_force(atoms: Atoms, start: Atoms, calculator: Calculator) -> float:
    """Return what ASE's optimizers test, with the rattled start as the undeformed cell."""
    cell = start.copy()
    target = FrechetCellFilter(cell)
    cell.set_cell(atoms.cell)
    cell.positions = atoms.positions
    cell.calc = calculator
    return np.linalg.norm(target.get_forces(), axis=1).max()


@pytest.mark.parametrize("k", [0.5, 8.0, 100.0])
def test_harmonic_wells(k: float) -> None:
    """E = k u^2 / 2: at |F| < fmax no atom is farther than fmax / k from its site."""
    start = two_atoms()
    calculator = harmonic(start, k)
    settings = RelaxationSettings(relax_cell=False, rattle_angstrom=0.1)
    result = relax(start, calculator, settings)
    apart = np.linalg.norm(result.atoms.positions - start.positions, axis=1).max()
    assert apart <= settings.fmax / k
    assert result.energy_ev <= 2 * settings.fmax**2 / (2 * k)
    assert result.n_evaluations <= 8
    assert result.n_evaluations == calculator.n_calls == len(result.energies_ev)
    assert result.energies_ev[-1] == result.energy_ev
    assert (result.optimizer, result.n_fallbacks) == ("L-BFGS-B", 0)
    assert result.converged


def test_lattice_of_copper(copper_of_ase: Atoms) -> None:
    result = relax(copper(), EMT(), TIGHT)
    assert result.atoms.get_volume() == pytest.approx(copper_of_ase.get_volume(), rel=1e-3)
    assert result.energy_ev == pytest.approx(copper_of_ase.get_potential_energy(), abs=1e-3)
    assert result.stress_gpa == pytest.approx(np.zeros((3, 3)), abs=0.1)
    assert result.magmoms is None
    assert result.n_fallbacks == 0


@pytest.mark.parametrize("strain", [0.85, 0.95, 1.05, 1.15])
def test_far_starts_reach_the_same_minimum(strain: float, copper_of_ase: Atoms) -> None:
    result = relax(copper(strain), EMT(), RelaxationSettings(fmax=0.005))
    assert result.energy_ev == pytest.approx(copper_of_ase.get_potential_energy(), abs=0.005)
    assert result.n_evaluations < 40


def test_sheared_start_reaches_the_same_minimum(copper_of_ase: Atoms) -> None:
    start = copper()
    shear = np.eye(3)
    shear[0, 1] = 0.15
    start.set_cell(start.cell.array @ shear, scale_atoms=True)
    result = relax(start, EMT(), RelaxationSettings(fmax=0.005))
    assert result.energy_ev == pytest.approx(copper_of_ase.get_potential_energy(), abs=0.005)


@pytest.mark.parametrize("fmax", [0.1, 0.02, 0.002])
def test_criterion_is_that_of_ase(fmax: float) -> None:
    settings = RelaxationSettings(fmax=fmax, rattle_angstrom=0.1)
    result = relax(copper(1.03), EMT(), settings)
    force = largest_filter_force(result.atoms, rattled(copper(1.03), settings), EMT())
    assert force == pytest.approx(result.max_force, abs=1e-9)
    assert force < fmax
    assert np.linalg.norm(result.forces, axis=1).max() < 1.1 * fmax


def test_molecule_in_a_box_and_without_one() -> None:
    boxed = molecule("O2", cell=[10.0] * 3, pbc=True)
    free = molecule("O2")
    for atoms in (boxed, free):
        result = relax(atoms, MorsePotential(epsilon=5.0, r0=1.2, rho0=3.0), POSITIONS)
        assert result.atoms.get_distance(0, 1) == pytest.approx(1.2, abs=0.002)
        assert result.atoms.cell.array == pytest.approx(atoms.cell.array)


def test_cluster_of_four() -> None:
    """Four Lennard-Jones atoms: a tetrahedron of energy -6 epsilon."""
    side = 1.12 * np.array([(0, 0, 0), (1, 0, 0), (0.5, 0.9, 0), (0.5, 0.3, 0.8)])
    result = relax(
        Atoms("Ar4", side), LennardJones(rc=50.0), POSITIONS.model_copy(update={"fmax": 1e-3})
    )
    assert result.energy_ev == pytest.approx(-6, abs=1e-3)


def test_leaves_a_saddle_point() -> None:
    """E = -a u^2 / 2 + b u^4 / 4 is stationary at 0 and lowest, -a^2 / 4b, at u^2 = a / b."""
    start, a, b = two_atoms(), 2.0, 8.0
    wells = Analytic(
        start.positions.copy(),
        lambda u: (-a * u**2 / 2 + b * u**4 / 4).sum(),
        lambda u: a * u - b * u**3,
    )
    assert relax(start, wells, RelaxationSettings(relax_cell=False, **STILL)).energy_ev == 0
    assert relax(start, wells, POSITIONS).energy_ev == pytest.approx(-6 * a**2 / 4 / b, abs=1e-3)


def test_same_seed_same_result() -> None:
    results = [relax(copper(), EMT(), RelaxationSettings(seed=seed)) for seed in (0, 0, 1)]
    assert results[0].energies_ev == results[1].energies_ev
    assert results[0].energies_ev != results[2].energies_ev


def test_rattle() -> None:
    start = copper()
    moved = rattled(start, RelaxationSettings(rattle_angstrom=0.05))
    assert 0.01 < np.abs(moved.positions - start.positions).mean() < 0.2
    strain = np.linalg.solve(start.cell.array, moved.cell.array) - np.eye(3)
    assert strain == pytest.approx(strain.T)
    assert 1e-4 < np.abs(strain).max() < 0.03
    assert rattled(start, POSITIONS).cell.array == pytest.approx(start.cell.array)
    same = rattled(start, RelaxationSettings(**STILL))
    assert same.positions == pytest.approx(start.positions)
    assert start == copper()


def test_input_is_kept_and_constraints_hold() -> None:
    start = copper(1.02)
    start.set_constraint(FixAtoms([0, 1]))
    before = start.positions.copy()
    result = relax(start, EMT(), RelaxationSettings(relax_cell=False, rattle_angstrom=0.1))
    assert (start.positions == before).all()
    assert start.calc is None
    assert result.atoms.calc is None
    assert result.atoms.positions[:2] == pytest.approx(before[:2])


def test_converged_start_costs_one_evaluation() -> None:
    result = relax(two_atoms(), harmonic(two_atoms()), RelaxationSettings(**STILL))
    assert result.n_evaluations == 1


def test_fire_finishes_when_the_line_search_cannot() -> None:
    """An energy that never falls stops every line search; the forces still lead home."""
    start = two_atoms()
    flat = Analytic(start.positions.copy(), lambda u: 1.0, lambda u: -8.0 * u)
    result = relax(start, flat, RelaxationSettings(relax_cell=False, rattle_angstrom=0.1))
    assert (result.optimizer, result.n_fallbacks) == ("FIRE", 1)
    assert result.max_force < 0.02
    assert result.atoms.positions == pytest.approx(start.positions, abs=0.0025)
    assert result.n_evaluations == flat.n_calls


def test_never_ends_above_its_start() -> None:
    """Forces that lead uphill: an error, not a result."""
    start = two_atoms()
    uphill = Analytic(start.positions.copy(), lambda u: -4 * (u**2).sum(), lambda u: -8.0 * u)
    settings = RelaxationSettings(relax_cell=False, rattle_angstrom=0.1)
    with pytest.raises(CalculationError, match="eV above a point on its way"):
        relax(start, uphill, settings)
    within_noise = relax(start, uphill, settings, noise_ev_per_atom=1.0)
    assert within_noise.max_force < settings.fmax


def test_long_ways_are_walked_in_short_steps() -> None:
    """A constant slope into a well 6 angstrom away."""
    start = two_atoms()
    far = start.positions + np.array([6.0, 0, 0])
    seen = []

    def energy(u):
        seen.append(u.copy())
        return (np.sqrt(1 + (u**2).sum(axis=1)) * 0.5).sum()

    well = Analytic(
        far, energy, lambda u: -0.5 * u / np.sqrt(1 + (u**2).sum(axis=1, keepdims=True))
    )
    result = relax(start, well, RelaxationSettings(relax_cell=False))
    assert result.atoms.positions == pytest.approx(far, abs=0.05)
    steps = [np.linalg.norm(b - a, axis=1).max() for a, b in itertools.pairwise(seen)]
    assert max(steps) < 0.6


def fails(match: str, atoms: Atoms, calculator: Calculator, **settings) -> None:
    """Each failure is one line."""
    with pytest.raises(CalculationError, match=match) as caught:
        relax(atoms, calculator, RelaxationSettings(**settings))
    assert "\n" not in str(caught.value)


def test_overlap() -> None:
    atoms = Atoms("O2", [(0, 0, 0), (0.3, 0, 0)], cell=[5.0] * 3, pbc=True)
    fails(r"closest distance 0\.30 angstrom", atoms, LennardJones())


def test_collapse() -> None:
    """A hole in the potential: the atoms end on top of each other."""
    atoms = two_atoms()
    middle = np.array([(1.0, 0, 0), (1.0, 0, 0)])
    hole = Analytic(middle, lambda u: 4 * (u**2).sum(), lambda u: -8.0 * u)
    fails("atoms overlap", atoms, hole, relax_cell=False)


def test_not_finite() -> None:
    nan = Analytic(two_atoms().positions, lambda u: np.nan, lambda u: u)
    fails("not finite", two_atoms(), nan)


def test_not_finite_on_the_way() -> None:
    sites = two_atoms().positions + 0.5
    cliff = Analytic(
        sites,
        lambda u: np.inf if np.abs(u).max() < 0.4 else 4 * (u**2).sum(),
        lambda u: -8.0 * u,
    )
    fails("infinite or not a number", two_atoms(), cliff, relax_cell=False)


def test_budget() -> None:
    fails(
        r"not converged after 3 evaluations: largest force [\d.]+ eV/angstrom, wanted 0\.001",
        copper(1.05), EMT(), fmax=0.001, max_evaluations=3,
    )  # fmt: skip


def test_volume() -> None:
    pulled = Analytic(
        two_atoms().positions, lambda u: 0.0, lambda u: 0 * u, -np.array([0.1] * 3 + [0] * 3)
    )
    pulled.energy = lambda u: -0.1 * pulled.atoms.get_volume()
    pulled.force = lambda u: np.zeros_like(u)
    pulled.sites = np.zeros((2, 3))
    fails(r"the volume changed by a factor of 2\.", two_atoms(), pulled)


def test_unknown_element() -> None:
    fails("EMT failed on Mn: NotImplementedError", bulk("Mn", "fcc", a=3.6), EMT())


def test_no_cell() -> None:
    fails("three lattice vectors", molecule("O2"), MorsePotential())


@pytest.mark.parametrize("wrong", [{"fmax": 0}, {"max_evaluations": 0}, {"steps": 3}])
def test_settings_are_checked(wrong: dict) -> None:
    with pytest.raises(ValidationError):
        RelaxationSettings(**wrong)
