"""Lattice constants from the positions of peaks, with what moves all of them: sample and zero."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.powder_peaks import PowderPeak, miller_indices
from rocksalt.analysis.quantities import Array

Crystal = Literal["hexagonal", "cubic"]

Geometry = Literal["bragg-brentano", "capillary", "area-detector", "parallel-beam"]

LEAST_FREEDOM = 2
"""Reflections beyond the unknowns before the data decide on a shift that is restrained: fewer would fit
it to whatever error a position has, and could not contradict it."""

Value = tuple[float, float | None]
"""With its standard uncertainty."""


@dataclass(frozen=True)
class AngleShift:
    """Something that moves all measured angles, known within an uncertainty before the fit.

    Attributes
    ----------
    name
        'zero', 'displacement', ...
    per_unit
        Shift of 2 theta in degrees by one unit of it (mm, degree), as a function of 2 theta in degrees.
    value, uncertainty
        What is known before, in its unit: an infinite uncertainty is nothing, and it is fitted freely; 0
        is everything, and it is fixed; what lies between restrains it.
    """

    name: str
    per_unit: Callable[[Array], Array]
    value: float = 0.0
    uncertainty: float = math.inf


@dataclass(frozen=True)
class CellFit:
    """What positions give.

    Attributes
    ----------
    constants
        'a', of a hexagonal cell 'c', in angstrom, and 'volume'.
    shifts
        Those that were fitted, by name.
    correlations
        Of each pair of fitted shifts, by their names.
    not_fitted
        Names of restrained shifts that stayed at what was known before; their uncertainty is in the
        constants.
    reduced_chi_square
        None where the fit has no freedom or the positions no uncertainty.
    """

    constants: dict[str, Value]
    shifts: dict[str, Value]
    correlations: dict[tuple[str, str], float]
    not_fitted: tuple[str, ...]
    reduced_chi_square: float | None


def zero_shift(value_degrees: float = 0.0, uncertainty_degrees: float = math.inf) -> AngleShift:
    """Return the shift of the zero point; its value is what is to be added to all angles."""
    return AngleShift(
        "zero", lambda angle: -np.ones_like(angle), value_degrees, uncertainty_degrees
    )


def sample_shifts(
    geometry: Geometry,
    radius_mm: float,
    value_mm: float = 0.0,
    uncertainty_mm: float = math.inf,
) -> list[AngleShift]:
    """Return what a sample that lies off its place does to the angles, to first order.

    bragg-brentano
        'displacement' s, positive below (away from source and detector): -2 s cos(theta)/R
        (International Tables for Crystallography, vol. H, table 3.1.1).
    capillary
        On a detector circle: 'displacement_across' x, towards the detector's side of the beam, and
        'displacement_along' y, downstream: (x cos(2 theta) - y sin(2 theta))/R, the projection of the
        offset on the circle (y is the cos^2(theta) of table 5.2.8.1, vol. C).
    area-detector
        Flat and normal to the beam, R its distance, averaged over the ring: 'displacement_along' y,
        downstream: tan(2 theta) is read as r/R instead of r/(R - y), so
        -y sin(2 theta) cos(2 theta)/R (Hulbert and Kriven, J. Appl. Cryst. 56, 160 (2023)).
    parallel-beam
        None: slits or an analyser crystal measure directions, whatever the sample's place.

    Parameters
    ----------
    geometry
        As above.
    radius_mm
        R, from the sample to the detector.
    value_mm, uncertainty_mm
        Of each displacement, known before the fit.
    """
    per_mm = math.degrees(1 / radius_mm)

    def shift(name: str, shape: Callable[[Array], Array]) -> AngleShift:
        def per_unit(two_theta_degrees: Array) -> Array:
            return per_mm * shape(np.radians(two_theta_degrees))

        return AngleShift(name, per_unit, value_mm, uncertainty_mm)

    if geometry == "bragg-brentano":
        return [shift("displacement", lambda angle: -2 * np.cos(angle / 2))]
    if geometry == "capillary":
        return [
            shift("displacement_across", np.cos),
            shift("displacement_along", lambda angle: -np.sin(angle)),
        ]
    if geometry == "area-detector":
        return [shift("displacement_along", lambda angle: -np.sin(angle) * np.cos(angle))]
    return []


def lattice_constants(
    peaks: Mapping[str, PowderPeak],
    wavelength_angstrom: float,
    crystal: Crystal,
    shifts: Sequence[AngleShift] = (),
) -> CellFit:
    """Return the lattice constants that reflections give, with standard uncertainties.

    Least squares in 1/d^2, which is linear in 1/a^2 and 1/c^2: 4 (h^2 + hk + k^2) / (3 a^2) + l^2 / c^2
    (hexagonal), (h^2 + k^2 + l^2) / a^2 (cubic). With more reflections than unknowns the uncertainties
    of the positions are enlarged by the scatter about the fit where that is more than they explain.

    What is known of a shift before is one more observation of it (a restraint), where there are
    `LEAST_FREEDOM` reflections more than unknowns. The data then decide on as much of it as they
    can: where two shifts look alike their sum is fitted, and what is not known of their difference is
    in the uncertainties. With fewer reflections a shift stays what it was thought to be, and its
    uncertainty is propagated.

    Parameters
    ----------
    peaks
        By Miller indices.
    wavelength_angstrom
        Of the radiation.
    crystal
        'hexagonal' (R-3m too) or 'cubic'.
    shifts
        What may move all angles; without uncertainties of positions only what is free is fitted.

    Raises
    ------
    MeasurementError
        When the reflections do not determine the cell and what is to be fitted freely.
    """
    indices = np.array([miller_indices(name) for name in peaks], dtype=float)
    h, k, last = indices.T
    squares = h * h + h * k + k * k
    edges = (
        np.column_stack([4 / 3 * squares, last**2])
        if crystal == "hexagonal"
        else (h * h + k * k + last**2)[:, None]
    )
    measured = np.array([peak.two_theta_degrees for peak in peaks.values()])
    doubts = [peak.two_theta_uncertainty_degrees for peak in peaks.values()]
    known = all(doubt is not None for doubt in doubts)
    sigma = np.array(doubts, dtype=float) if known else None
    free = [shift for shift in shifts if math.isinf(shift.uncertainty)]
    restrained = [shift for shift in shifts if 0 < shift.uncertainty < math.inf] if known else []
    enough = edges.shape[1] + len(free) + len(restrained) + LEAST_FREEDOM
    fitted = free + (restrained if len(peaks) >= enough else [])
    kept = [shift for shift in shifts if shift not in fitted]
    slope = _slope(measured, wavelength_angstrom)
    rank = np.linalg.matrix_rank(
        np.column_stack([edges, *(slope * shift.per_unit(measured) for shift in free)])
    )
    unknowns = edges.shape[1] + len(free)
    if rank < unknowns:
        number = f"at least {unknowns} reflections" if len(peaks) < unknowns else "reflections"
        where = "that lie further apart"  # the shifts look alike, or like another cell
        if np.linalg.matrix_rank(edges) < edges.shape[1]:  # never of a cubic cell
            where = "with and without l, as 003, 104 and 110"
        elif len(peaks) < unknowns:
            where = f"for as many unknowns, not {len(peaks)}"
        raise MeasurementError(
            f"{', '.join(peaks)} do not determine a {crystal} cell"
            f"{''.join(f' and a {shift.name}' for shift in free)}: give {number} {where}"
        )
    angle = measured - sum(shift.value * shift.per_unit(measured) for shift in kept)
    freedom = len(peaks) - edges.shape[1] - len(fitted)
    found, covariance, misfit = _fit(angle, sigma, edges, fitted, wavelength_angstrom)
    reduced = misfit / freedom if freedom and sigma is not None else None
    if reduced is not None and sigma is not None and reduced > 1:
        sigma = sigma * math.sqrt(reduced)
        found, covariance, _ = _fit(angle, sigma, edges, fitted, wavelength_angstrom)
    n_edges = edges.shape[1]
    if np.any(found[:n_edges] <= 0):
        raise MeasurementError(
            f"{', '.join(peaks)} give no {crystal} cell: check their indices and the wavelength"
        )
    not_fitted = [shift for shift in kept if shift in restrained]
    for (
        shift
    ) in not_fitted:  # what they would move the result by, if they were off by an uncertainty
        moved, _, _ = _fit(
            angle - shift.uncertainty * shift.per_unit(measured),
            sigma,
            edges,
            fitted,
            wavelength_angstrom,
        )
        covariance = covariance + np.outer(moved - found, moved - found)
    errors = np.sqrt(np.diag(covariance))

    def value(place: int) -> Value:
        return float(found[place]), float(errors[place]) if known else None

    names = [shift.name for shift in fitted]
    return CellFit(
        constants=_constants(found[:n_edges], covariance[:n_edges, :n_edges], known),
        shifts={name: value(n_edges + place) for place, name in enumerate(names)},
        correlations={
            (names[one], names[two]): float(
                covariance[n_edges + one, n_edges + two]
                / (errors[n_edges + one] * errors[n_edges + two])
            )
            for one in range(len(names))
            for two in range(one + 1, len(names))
        }
        if known
        else {},
        not_fitted=tuple(shift.name for shift in not_fitted),
        reduced_chi_square=reduced,
    )


def _slope(two_theta_degrees: Array, wavelength: float) -> Array:
    """Return d(1/d^2)/d(2 theta) = (2/lambda^2) sin 2 theta, by degrees."""
    return np.radians(2 * np.sin(np.radians(two_theta_degrees)) / wavelength**2)


def _fit(
    angle: Array,
    sigma: Array | None,
    edges: Array,
    fitted: Sequence[AngleShift],
    wavelength: float,
) -> tuple[Array, Array, float]:
    """Return 1/a^2 (and 1/c^2) with the shifts, their covariance, and chi squared of the positions."""
    n_edges, values = edges.shape[1], np.array([shift.value for shift in fitted])
    restraints = [n for n, shift in enumerate(fitted) if not math.isinf(shift.uncertainty)]
    rows = np.zeros((len(restraints), n_edges + len(fitted)))
    for row, n in enumerate(restraints):
        rows[row, n_edges + n] = 1 / fitted[n].uncertainty
    before = np.array([fitted[n].value / fitted[n].uncertainty for n in restraints])
    for _ in range(6):  # 1/d^2 is a curve in the angle: displacements of 0.5 mm need two or three
        moves = [shift.per_unit(angle) for shift in fitted]
        true = angle - sum((move * v for move, v in zip(moves, values, strict=True)), np.zeros(1))
        slope = _slope(true, wavelength)
        weight = np.ones(len(angle)) if sigma is None else 1 / (slope * sigma)
        shape = np.column_stack([edges, *(slope * move for move in moves)])
        y = (2 * np.sin(np.radians(true) / 2) / wavelength) ** 2 + shape[:, n_edges:] @ values
        inverse = np.linalg.pinv(np.vstack([shape * weight[:, None], rows]))
        found = inverse @ np.concatenate([y * weight, before])
        values = found[n_edges:]
    return found, inverse @ inverse.T, float(np.sum(((y - shape @ found) * weight) ** 2))


def _constants(found: Array, covariance: Array, known: bool) -> dict[str, Value]:
    """Return edges and volume from 1/a^2 (and 1/c^2)."""
    lengths = found**-0.5
    # V is a^3, or sqrt(3)/2 a^2 c; an edge goes as the root of its 1/a^2
    powers = np.array([3.0] if len(found) == 1 else [2.0, 1.0])
    volume = float(np.prod(lengths**powers)) * (1.0 if len(found) == 1 else math.sqrt(3) / 2)
    to_volume = -volume * powers / 2 / found
    errors = 0.5 * lengths**3 * np.sqrt(np.diag(covariance))
    volume_error = math.sqrt(to_volume @ covariance @ to_volume)
    constants = {
        symbol: (float(length), float(error) if known else None)
        for symbol, length, error in zip("ac", lengths, errors, strict=False)
    }
    return constants | {"volume": (volume, volume_error if known else None)}
