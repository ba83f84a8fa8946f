"""The volume of lowest energy of a cell whose shape symmetry fixes, from energies at a few volumes.

At a plane-wave cutoff that is good for energy differences the stress is not: the basis shrinks with
the cell (Pulay stress). Energies at several volumes do not suffer from it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from pymatgen.core import Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from rocksalt.screening.errors import CalculationError

STEP = 0.05
"""Distance of the volumes, relative: 1.7 % in the lattice parameter."""

LARGEST_CHANGE = 2.0
"""Factor, either way, by which the volume may change."""

N_NEAREST = 4
"""As many equally spaced points next to the minimum the fit goes through, and the one at it."""

VOLUME_TOLERANCE = 0.005
"""The minimum is found when the fit with the energy at it moves it by less; relative."""

MAX_REFITS = 4

EV_PER_CUBIC_ANGSTROM_IN_GPA = 160.21766


@dataclass(frozen=True)
class EquationOfState:
    """Birch and Murnaghan's equation of state, third order: a cubic polynomial in V^(-2/3).

    Attributes
    ----------
    volume, energy_ev
        Of the minimum; angstrom^3.
    bulk_modulus_gpa
        At the minimum.
    rms_ev
        Root mean square of what the points lie off the curve.

    Notes
    -----
    F. Birch, Phys. Rev. 71, 809 (1947).
    """

    volume: float
    energy_ev: float
    bulk_modulus_gpa: float
    rms_ev: float


def fit_birch_murnaghan(volumes: Any, energies_ev: Any) -> EquationOfState:
    """Return the equation of state through at least four points.

    Parameters
    ----------
    volumes, energies_ev
        (n,) angstrom^3 and eV, in any order.

    Raises
    ------
    CalculationError
        With fewer than four points, or when the curve has no minimum.
    """
    v = np.asarray(volumes, dtype=float)
    e = np.asarray(energies_ev, dtype=float)
    if len(v) < 4:
        raise CalculationError(f"E(V): {len(v)} points are too few for a fit with 4 parameters")
    scale = float(np.mean(v))
    x = (v / scale) ** (-2 / 3)
    coefficients = np.polynomial.polynomial.polyfit(x - 1, e - e.mean(), 3)
    curve = np.polynomial.Polynomial(coefficients)
    at = _minimum_of_cubic(*coefficients[1:])
    if at is None or at <= -1:
        raise CalculationError("E(V): the fit has no minimum")
    volume = scale * (1 + at) ** (-3 / 2)
    # d2E/dV2 at the minimum, where dE/dx is 0: (dx/dV)^2 d2E/dx2
    dx_dv = -2 / 3 * (volume / scale) ** (-5 / 3) / scale
    return EquationOfState(
        volume=volume,
        energy_ev=float(curve(at) + e.mean()),
        bulk_modulus_gpa=volume
        * dx_dv**2
        * float(curve.deriv(2)(at))
        * EV_PER_CUBIC_ANGSTROM_IN_GPA,
        rms_ev=float(np.sqrt(np.mean((curve(x - 1) + e.mean() - e) ** 2))),
    )


def _minimum_of_cubic(linear: float, square: float, cube: float) -> float | None:
    """Return where c1 x + c2 x^2 + c3 x^3 has its minimum, if it has one."""
    discriminant = square**2 - 3 * linear * cube
    if discriminant <= 0:
        return None
    root = float(np.sqrt(discriminant))
    if square > 0:  # exact also where the cubic term vanishes
        return float(-linear / (square + root))
    return float((root - square) / (3 * cube)) if cube else None


def find_minimum(
    energy_ev: Callable[[float], float], start: float
) -> tuple[EquationOfState, dict[float, float]]:
    """Return the volume of lowest energy and all points that were computed, by volume.

    Volumes are `STEP` apart; from `start` they go downhill until the lowest is bracketed by two on each
    side of the minimum. The energy at the minimum of the fit then joins, until the minimum stays.
    The last point computed lies at the returned minimum, within `VOLUME_TOLERANCE`.

    Parameters
    ----------
    energy_ev
        Returns the energy of a cell, eV, at a volume, angstrom^3.
    start
        First volume, angstrom^3.

    Raises
    ------
    CalculationError
        The minimum is further than a factor of `LARGEST_CHANGE` away, or does not come to rest.
    """
    steps: dict[int, float] = {}

    def at(step: int) -> float:
        if step not in steps:
            ratio = (1 + STEP) ** step
            if not 1 / LARGEST_CHANGE <= ratio <= LARGEST_CHANGE:
                raise CalculationError(f"E(V): the volume would change by a factor of {ratio:.2f}")
            steps[step] = energy_ev(start * ratio)
        return steps[step]

    lowest = 0
    while True:
        below, above = at(lowest - 1), at(lowest + 1)
        if below < at(lowest):
            lowest -= 1
        elif above < at(lowest):
            lowest += 1
        else:
            break
    # The minimum lies on the side of the lower neighbour: a fourth point goes beyond that one.
    at(lowest + 2 if above < below else lowest - 2)
    points = {start * (1 + STEP) ** step: energy for step, energy in steps.items()}
    spaced = dict(points)
    fit = _fit_near(spaced, start * (1 + STEP) ** lowest)
    for _ in range(MAX_REFITS):
        points[fit.volume] = energy_ev(fit.volume)
        # Of the points at former minima none stays: close together they would amplify what is rough.
        again = _fit_near(spaced, fit.volume, {fit.volume: points[fit.volume]})
        moved = abs(again.volume / fit.volume - 1)
        if moved < VOLUME_TOLERANCE:
            return again, points
        fit = again
    raise CalculationError(
        f"E(V): the minimum does not come to rest, it still moves by {100 * moved:.1f} %: "
        "probably two spin states cross"
    )


def _fit_near(
    spaced: dict[float, float], volume: float, at_minimum: dict[float, float] | None = None
) -> EquationOfState:
    nearest = sorted(spaced, key=lambda v: abs(np.log(v / volume)))[:N_NEAREST]
    points = {v: spaced[v] for v in nearest} | (at_minimum or {})
    return fit_birch_murnaghan(list(points), list(points.values()))


def only_volume_is_free(structure: Structure, symprec: float = 1e-3) -> bool:
    """Whether symmetry fixes the shape of a cell and the place of every atom in it.

    True for rock salt, fcc, bcc and their larger cells: cubic, and on each site the operations that
    leave it in its place leave no direction.
    """
    analyzer = SpacegroupAnalyzer(structure, symprec=symprec)
    if analyzer.get_crystal_system() != "cubic":
        return False
    operations = analyzer.get_symmetry_operations()
    for position in structure.frac_coords:
        kept = []
        for operation in operations:
            moved = operation.operate(position) - position
            shift = structure.lattice.get_cartesian_coords(moved - np.round(moved))
            if np.linalg.norm(shift) < 10 * symprec:
                kept.append(operation.rotation_matrix)
        if np.abs(np.mean(kept, axis=0)).max() > 1e-6:
            return False
    return True
