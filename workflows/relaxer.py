"""Relaxation with few force evaluations: L-BFGS-B on ASE's cell filter, FIRE if it fails.

The end point fulfils the same criterion as an ASE relaxation in a `FrechetCellFilter`: no row of
the filter's forces (atoms in the undeformed cell, and cell) is longer than `fmax`.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from ase.filters import FrechetCellFilter
from ase.neighborlist import neighbor_list
from ase.stress import voigt_6_to_full_3x3_stress
from ase.units import GPa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy.optimize import minimize

from rocksalt.screening.elements import holds_jahn_teller_cation
from rocksalt.screening.errors import CalculationError, RocksaltError

CLOSEST_DISTANCE = 0.5  # angstrom; atoms nearer than this overlap
LARGEST_VOLUME_CHANGE = 2.0  # factor, either way
LARGEST_MOVE = 0.25  # angstrom per atom and step
LARGEST_STRAIN = 0.06  # logarithmic strain per step
STIFFNESS = 15.0  # eV/angstrom^2, of an atom; only sizes the first step
DISTORTED_FORCE = 0.15  # eV/angstrom; at smaller ones Jahn-Teller octahedra have taken their shape
ENERGY_NOISE = 1e-5  # eV/atom, of single-precision engines
N_RESTARTS = 2

Array = NDArray[np.float64]


class RelaxationSettings(BaseModel):
    """What a relaxation's result depends on, besides structure and engine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fmax: float = Field(
        default=0.02, gt=0, description="largest force of the end point, eV/angstrom"
    )
    max_evaluations: int = Field(
        default=500, gt=0, description="force evaluations before giving up"
    )
    rattle_angstrom: float = Field(
        default=0.02, ge=0, description="standard deviation of the displacements of the start"
    )
    rattle_strain: float = Field(
        default=0.005, ge=0, description="standard deviation of the strain components of the start"
    )
    relax_cell: bool = Field(default=True, description="relax the cell, not only the positions")
    seed: int = Field(default=0, ge=0, description="seed of displacements and strain")


@dataclass
class RelaxationResult:
    """A relaxed structure and how it was reached.

    Attributes
    ----------
    atoms
        The relaxed structure, without calculator.
    energy_ev
        Total energy, eV.
    forces
        (n_atoms, 3) eV/angstrom.
    stress_gpa
        (3, 3) GPa, positive under tension; None if the engine has no stress.
    magmoms
        (n_atoms,) Bohr magnetons; None if the engine has none.
    energies_ev
        Total energy of each evaluation, in order, eV.
    max_force
        Longest row of the filter's forces, eV/angstrom: what `fmax` bounds.
    converged
        True: a relaxation that does not converge raises.
    n_evaluations, n_fallbacks
        Force evaluations in all; 1 if FIRE had to finish, else 0.
    optimizer
        The one that reached the end point.
    cpu_s
        CPU seconds of the process.
    method
        How a DFT code computed it: functional, cutoff, k-mesh, U, moments, files.
    warnings
        What a reader must know of it.
    """

    atoms: Atoms
    energy_ev: float
    forces: Array
    stress_gpa: Array | None
    magmoms: Array | None
    energies_ev: list[float]
    max_force: float
    converged: bool
    n_evaluations: int
    n_fallbacks: int
    optimizer: Literal["L-BFGS-B", "FIRE", "BFGS", "E(V)", "none"]
    cpu_s: float
    method: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def rattled(atoms: Atoms, settings: RelaxationSettings) -> Atoms:
    """Return a copy of `atoms` with small random displacements and strain.

    A start of high symmetry can be a saddle point, on which every force is zero by symmetry
    (a Jahn-Teller ion in an octahedron). The same seed gives the same start.

    Parameters
    ----------
    atoms
        Not changed.
    settings
        `rattle_angstrom`, `rattle_strain` (not for molecules: only with `relax_cell`) and `seed`.
    """
    start = atoms.copy()
    rng = np.random.default_rng([settings.seed, len(atoms)])
    displacements = rng.normal(scale=settings.rattle_angstrom, size=(len(atoms), 3))
    components = rng.normal(scale=settings.rattle_strain, size=(3, 3))
    if settings.relax_cell:
        strain = (components + components.T) / 2
        start.set_cell(start.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    start.set_positions(start.positions + displacements)
    return start


def relax(
    atoms: Atoms,
    calculator: BaseCalculator,
    settings: RelaxationSettings | None = None,
    *,
    noise_ev_per_atom: float = ENERGY_NOISE,
) -> RelaxationResult:
    """Relax `atoms` from a rattled start until no filter force exceeds `settings.fmax`.

    Parameters
    ----------
    atoms
        The start, before the rattle. Not changed; its constraints are kept.
    calculator
        Any ASE calculator with energy, forces and (for `relax_cell`) stress.
    settings
        Default: `RelaxationSettings()`.
    noise_ev_per_atom
        By so much energies may differ from what forces and stress make of them.

    Returns
    -------
    RelaxationResult
        Its energy is never above that of the rattled start by more than the engine's noise.

    Raises
    ------
    CalculationError
        The engine fails or does not know an element, the energy is not finite, atoms overlap,
        the volume changes by more than a factor of two, or the evaluations run out.
    """
    settings = settings or RelaxationSettings()
    started = time.process_time()
    if settings.relax_cell and atoms.cell.rank < 3:
        raise CalculationError("a cell can only relax if it has three lattice vectors")
    _refuse_overlap(atoms)
    walk = _Walk(rattled(atoms, settings), calculator, settings, noise_ev_per_atom)
    optimizer: Literal["L-BFGS-B", "FIRE"] = "L-BFGS-B"
    try:
        walk.begin()
        failures = 0
        while failures <= N_RESTARTS:
            failures = 0 if _lbfgs(walk, first_step=0.5**failures) else failures + 1
        optimizer = "FIRE"
        _fire(walk)
    except _ConvergedError:
        pass
    _refuse_overlap(walk.atoms)
    return walk.result(optimizer, time.process_time() - started)


class _ConvergedError(Exception):
    """The latest point fulfils the criterion."""


class _AbandonedError(Exception):
    """L-BFGS-B wants to go where it should not."""


@dataclass(frozen=True)
class _Point:
    """One evaluated point.

    `x` and `force` have a row per atom and, if the cell relaxes, three rows for the cell.
    """

    x: Array
    energy: float
    force: Array

    @property
    def max_force(self) -> float:
        return float(np.sqrt((self.force**2).sum(axis=1)).max())

    @property
    def is_finite(self) -> bool:
        return bool(np.isfinite(self.energy) and np.isfinite(self.force).all())


class _Walk:
    """The evaluations of one relaxation, each counted once, and the best point so far."""

    latest: _Point
    best: _Point

    def __init__(
        self,
        atoms: Atoms,
        calculator: BaseCalculator,
        settings: RelaxationSettings,
        noise_ev_per_atom: float,
    ) -> None:
        self.atoms = atoms
        self.calculator = calculator
        self.settings = settings
        self.target = FrechetCellFilter(atoms) if settings.relax_cell else atoms
        self.volume = atoms.get_volume() if settings.relax_cell else 1.0
        self.noise = noise_ev_per_atom * len(atoms)
        self.energies: list[float] = []
        self.cell_is_stiff = holds_jahn_teller_cation(atoms.get_chemical_symbols())

    def begin(self) -> None:
        """Evaluate the start."""
        try:
            self.atoms.calc = self.calculator  # some engines check the elements here
        except Exception as error:  # engines raise whatever they like
            raise self._engine_failed(error) from error
        start = self._evaluated(np.array(self.target.get_positions()))
        if not start.is_finite:
            raise CalculationError("the energy of the start is not finite")
        self.latest = self.best = start
        if start.max_force < self.settings.fmax:
            raise _ConvergedError

    def evaluate(self, x: Array) -> _Point:
        """Return the point at `x`.

        Raises
        ------
        _ConvergedError
            The point fulfils the criterion and none lower was seen.
        CalculationError
            There are no evaluations left, the engine failed, or the volume ran away.
        """
        for known in (self.latest, self.best):
            if np.array_equal(x, known.x):
                return known
        if len(self.energies) >= self.settings.max_evaluations:
            raise CalculationError(
                f"not converged after {len(self.energies)} evaluations: largest force "
                f"{self.best.max_force:.3g} eV/angstrom, wanted {self.settings.fmax:g}"
            )
        self.target.set_positions(x)
        point = self.latest = self._evaluated(x.copy())
        if point.is_finite:
            if point.energy < self.best.energy:
                self.best = point
                self._refuse_volume_change()
            if self.converged(point) and point.energy <= self.best.energy + self.noise:
                raise _ConvergedError
        return point

    def converged(self, point: _Point) -> bool:
        return point.max_force < self.settings.fmax

    def _evaluated(self, x: Array) -> _Point:
        try:
            force = self.target.get_forces()
            energy = float(self.atoms.get_potential_energy())
        except RocksaltError:
            raise
        except Exception as error:  # engines raise whatever they like
            raise self._engine_failed(error) from error
        self.energies.append(energy)
        return _Point(x, energy, np.array(force, dtype=float))

    def _engine_failed(self, error: Exception) -> CalculationError:
        cause = " ".join(f"{type(error).__name__}: {error}".split())
        return CalculationError(
            f"{type(self.calculator).__name__} failed on {self.atoms.symbols}: {cause}"
        )

    def _refuse_volume_change(self) -> None:
        if not self.settings.relax_cell:
            return
        ratio = self.atoms.get_volume() / self.volume
        if not 1 / LARGEST_VOLUME_CHANGE <= ratio <= LARGEST_VOLUME_CHANGE:
            raise CalculationError(f"the volume changed by a factor of {ratio:.2f}")

    def excess(self, move: Array) -> float:
        """Return how many times longer `move` is than the longest allowed step."""
        n = len(self.atoms)
        longest = float(np.sqrt((move[:n] ** 2).sum(axis=1)).max()) / LARGEST_MOVE
        if self.settings.relax_cell:  # the filter's cell rows are n times the logarithmic strain
            longest = max(longest, float(np.abs(move[n:]).max()) / n / LARGEST_STRAIN)
        return longest

    def stiffness(self) -> Array:
        """Return the expected curvature along each row of x, (n_rows, 1) eV/angstrom^2.

        An atom's elastic energy is about `STIFFNESS` times half its strain squared, eV, and
        the cell rows are n times the strain: their curvature is smaller by a factor of n.

        While a Jahn-Teller cation is to distort its octahedron the cell rows are taken as stiff as
        the atoms', as FIRE takes them: a cell that gives way first expands before the octahedra
        distort, and CrO with SevenNet-0 then stays undistorted, 100 meV per atom too high.
        """
        n = len(self.atoms)
        rows = np.full((len(self.latest.x), 1), STIFFNESS)
        if not self.cell_is_stiff:
            rows[n:] /= n
        return rows

    def result(self, optimizer: Literal["L-BFGS-B", "FIRE"], cpu_s: float) -> RelaxationResult:
        """Return the latest point as the end point."""
        known = self.calculator.results
        stress, magmoms = known.get("stress"), known.get("magmoms")
        if stress is not None:
            stress = np.array(stress, dtype=float)
            stress = (voigt_6_to_full_3x3_stress(stress) if stress.size == 6 else stress) / GPa
        end = self.atoms.copy()
        return RelaxationResult(
            atoms=end,
            energy_ev=self.latest.energy,
            forces=np.array(self.atoms.get_forces()),
            stress_gpa=stress,
            magmoms=None if magmoms is None else np.array(magmoms, dtype=float),
            energies_ev=self.energies,
            max_force=self.latest.max_force,
            converged=True,
            n_evaluations=len(self.energies),
            n_fallbacks=int(optimizer == "FIRE"),
            optimizer=optimizer,
            cpu_s=cpu_s,
        )


def _refuse_overlap(atoms: Atoms) -> None:
    distances = neighbor_list("d", atoms, CLOSEST_DISTANCE)
    if len(distances):
        raise CalculationError(f"atoms overlap: closest distance {distances.min():.2f} angstrom")


def _lbfgs(walk: _Walk, first_step: float) -> bool:
    """Run L-BFGS-B from the best point; return whether it got any lower before it stopped.

    scipy's first trial step has length one and its later ones assume curvatures of one, so x and
    the energy are scaled: the first trial is then `first_step` times the step of a solid with the
    expected stiffness.
    """
    origin = walk.best
    accepted = origin
    root = np.sqrt(walk.stiffness())
    newton = origin.force / root**2
    length = first_step * float(np.linalg.norm(origin.force / root)) / max(1.0, walk.excess(newton))
    to_x = length / root  # x = origin + to_x * z

    def energy_and_gradient(z: Array) -> tuple[float, Array]:
        x = origin.x + to_x * z.reshape(origin.x.shape)
        excess = walk.excess(x - accepted.x)
        if excess > 1.001:
            walk.evaluate(accepted.x + (x - accepted.x) / excess)
            raise _AbandonedError
        point = walk.evaluate(x)
        if not point.is_finite:
            raise _AbandonedError
        return (
            (point.energy - origin.energy) / length**2,
            (-point.force * to_x).ravel() / length**2,
        )

    def accept(_: Array) -> None:
        nonlocal accepted
        accepted = walk.latest
        if walk.cell_is_stiff and accepted.max_force < DISTORTED_FORCE:
            walk.cell_is_stiff = False
            raise _AbandonedError  # and on with the metric that takes fewer steps

    with contextlib.suppress(_AbandonedError):
        minimize(
            energy_and_gradient,
            np.zeros(origin.x.size),
            jac=True,
            method="L-BFGS-B",
            callback=accept,
            options={
                "ftol": 0.0,
                "gtol": 0.0,
                "maxiter": 10**6,
                "maxfun": 10**6,
                "maxls": 10,
                "maxcor": 20,  # steps remembered, of which the default keeps 10
            },
        )
    return walk.best.energy < origin.energy - walk.noise


def _fire(walk: _Walk) -> None:
    """Run FIRE from the best point (Bitzek et al., Phys. Rev. Lett. 97, 170201 (2006))."""
    step, mixing, downhill = 0.1, 0.1, 0
    point = walk.best
    velocity = np.zeros_like(point.x)
    while True:
        power = float(np.vdot(point.force, velocity))
        if power > 0:
            speed = np.linalg.norm(velocity) / np.linalg.norm(point.force)
            velocity = (1 - mixing) * velocity + mixing * speed * point.force
            if downhill > 5:
                step, mixing = min(1.1 * step, 1.0), 0.99 * mixing
            downhill += 1
        else:
            step *= 0.5 if velocity.any() else 1.0  # at the start there is none
            velocity = np.zeros_like(velocity)
            mixing, downhill = 0.1, 0
        velocity = velocity + step * point.force
        move = step * velocity
        point = walk.evaluate(point.x + move * min(1.0, 0.2 / float(np.linalg.norm(move))))
        if not point.is_finite:
            raise CalculationError("the energy became infinite or not a number")
        if walk.converged(point):
            rise = point.energy - walk.best.energy
            raise CalculationError(f"the relaxation ended {rise:.3g} eV above a point on its way")
