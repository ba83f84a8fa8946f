"""Powder diffraction: areas and positions of peaks, I(003)/I(104), lattice constants."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, field_validator

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.lattice_constants import (
    AngleShift,
    CellFit,
    Crystal,
    Geometry,
    lattice_constants,
    sample_shifts,
    zero_shift,
)
from rocksalt.analysis.powder import hkl_text, is_tube_line, wavelength_angstrom
from rocksalt.analysis.powder_peaks import PowderPeak, integrate, miller_indices
from rocksalt.analysis.quantities import Analysis, Quantity
from rocksalt.analysis.readers.powder import read_powder
from rocksalt.analysis.sample import Sample
from rocksalt.analysis.user_input import UserInput

Window = tuple[float, float]

RATIO = ("003", "104")
"""Whose ratio falls when metal sits on lithium sites."""

LARGEST_CHI_SQUARE = 9.0
"""Above it positions are off by three times their uncertainties, which is no noise."""

LARGEST_CORRELATION = 0.95
"""Of two shifts that the data part."""

LARGEST_DISPLACEMENT = 0.1
"""Of the radius: what it does to the angles is taken to first order."""

LABELS = {
    "a": ("lattice_a", "angstrom"),
    "c": ("lattice_c", "angstrom"),
    "volume": ("volume", "angstrom3"),
    "zero": ("zero_shift", "deg"),
    "displacement": ("displacement", "mm"),
    "displacement_across": ("displacement_across", "mm"),
    "displacement_along": ("displacement_along", "mm"),
}
"""Name and unit of what a fit of the cell gives."""

RADIUS_MM = 200.0
"""Of a laboratory diffractometer whose radius is not given; they have 150 to 300 mm."""

DISPLACEMENT_MM = 0.1
"""Standard uncertainty of a sample's place that nobody measured: of a powder levelled by hand with the rim
of its holder. At 200 mm it moves a low angle by 0.06 degrees. GSAS refined 4.9 hundredths of a degree
in the fluorapatite of its tutorials, 0.09 mm at that radius."""

ZERO_DEGREES = 0.02
"""Standard uncertainty of a laboratory diffractometer's zero: angles move by that much under normal
conditions, by the temperatures of the room and of the tube's water ('Thermal and mechanical instabilities
in the alignment of Bragg-Brentano parafocussing powder diffractometers', Powder Diffraction)."""


class Options(UserInput):
    """What a powder pattern may be told; the wavelength and the windows must be given."""

    wavelength: str | float | None = Field(
        None, description="in angstrom, or a name as CuKa (both lines by their intensities), MoKa"
    )
    windows: dict[str, Window] = Field(
        default_factory=dict,
        max_length=30,
        description="2 theta from and to, in degrees, by hkl: {'003': [18, 19.5], '104': [43.8, 45.3]}",
    )
    crystal: Crystal = Field("hexagonal", description="R-3m counts as hexagonal; or cubic")
    edge_share: float = Field(
        0.2, gt=0, lt=0.8, description="of a window's width, half at either end: background"
    )
    zero_degrees: float = Field(0.0, description="added to the angles of the file")
    zero_uncertainty_degrees: float | None = Field(
        None,
        ge=0,
        description="standard uncertainty of the zero point; 0.02 for bragg-brentano unless given, else 0",
    )
    fit_zero: bool = Field(
        False, description="find with the lattice constants what is to be added to the angles"
    )
    geometry: Geometry | None = Field(
        None,
        description="where the sample's place enters the angles; bragg-brentano is taken at the "
        "wavelength of a tube",
    )
    radius_mm: float | None = Field(
        None,
        ge=10,
        le=10_000,
        description="from the sample to the detector; 200 for bragg-brentano unless given",
    )
    displacement_mm: float | Literal["fit"] | None = Field(
        None,
        description="of the sample from its place (bragg-brentano: positive below): a number that is "
        "known, 0 for none, below a tenth of the radius; fit, whatever it is; unless given 0 within "
        "displacement_uncertainty_mm, and fitted within it where there are reflections enough",
    )
    displacement_uncertainty_mm: float | None = Field(
        None,
        ge=0,
        description="standard uncertainty of the displacement before it is fitted; 0.1 unless given, "
        "0 of a number that is",
    )

    @field_validator("windows", mode="before")
    @classmethod
    def _named_by_text(cls, value: object) -> object:
        if isinstance(value, dict) and not all(isinstance(key, str) for key in value):
            raise ValueError("write hkl in quotes, as '003': YAML reads 012 as the number ten")
        return value


def analyse(file: Path, sample: Sample, options: Options) -> Analysis:
    """Read a powder pattern; return the peaks in the windows and what follows from them.

    Raises
    ------
    MeasurementError
        When the file or the options cannot give them.
    """
    if options.wavelength is None:
        raise MeasurementError(f"{file}: give wavelength, in angstrom or a name as CuKa")
    if not options.windows:
        raise MeasurementError(
            f"{file}: give windows, 2 theta from and to by hkl, as {{'003': [18, 19.5], '104': [43.8, "
            "45.3]}"
        )
    length = wavelength_angstrom(options.wavelength)
    geometry = _geometry(options, length)
    shifts = _shifts(file, options, geometry)
    pattern = read_powder(file)
    angle = pattern.two_theta_degrees + options.zero_degrees
    analysis = Analysis(
        parameters={
            **options.model_dump(mode="json"),
            "wavelength_angstrom": length,
            "geometry": geometry,
        },
        arrays={"two_theta_degrees": angle, "counts": pattern.counts},
        remarks=list(pattern.remarks),
    )
    peaks: dict[str, PowderPeak] = {}
    for text, window in options.windows.items():
        name = hkl_text(miller_indices(text))
        if name in peaks:
            raise MeasurementError(f"{file}: two windows are given for {name}: leave one")
        peaks[name] = integrate(
            angle,
            pattern.counts,
            pattern.sigma,
            window,
            edge_share=options.edge_share,
            name=f"{file}: {name}",
        )
    for name, peak in peaks.items():
        label = name.replace(" ", "_")
        analysis.values[f"area_{label}"] = Quantity(peak.area, peak.area_uncertainty, "counts deg")
        analysis.values[f"position_{label}"] = Quantity(
            peak.two_theta_degrees, peak.two_theta_uncertainty_degrees, "deg"
        )
        analysis.arrays[f"window_{label}_degrees"] = angle[peak.inside]
        analysis.arrays[f"background_{label}"] = peak.background
    if all(name in peaks for name in RATIO):
        analysis.values["i003_to_i104"] = _ratio(*(peaks[name] for name in RATIO))
        analysis.remarks.append(
            "I(003)/I(104) falls with metal on lithium sites, and as much with texture: compare samples "
            "that were prepared in one way."
        )
    _add_cell(analysis, peaks, length, options, shifts)
    return analysis


def _ratio(top: PowderPeak, bottom: PowderPeak) -> Quantity:
    value = top.area / bottom.area
    doubts = [
        peak.area_uncertainty / peak.area
        for peak in (top, bottom)
        if peak.area_uncertainty is not None
    ]
    return Quantity(value, value * math.hypot(*doubts) if len(doubts) == 2 else None, "1")


def _geometry(options: Options, length: float) -> Geometry | None:
    if options.geometry is None and is_tube_line(length):
        return "bragg-brentano"
    return options.geometry


def _shifts(file: Path, options: Options, geometry: Geometry | None) -> list[AngleShift]:
    """Return what may move all angles, and how well it is known before the fit."""
    laboratory = geometry == "bragg-brentano"
    if options.fit_zero and options.zero_uncertainty_degrees is not None:
        raise MeasurementError(
            f"{file}: fit_zero knows nothing before: leave it or zero_uncertainty_degrees out"
        )
    doubt = options.zero_uncertainty_degrees
    if doubt is None:
        doubt = ZERO_DEGREES if laboratory else 0.0
    shifts = [zero_shift(0.0, math.inf if options.fit_zero else doubt)]
    given, place = options.displacement_mm, options.displacement_uncertainty_mm
    if given == "fit" and place is not None:
        raise MeasurementError(
            f"{file}: displacement_mm: fit knows nothing before: leave it or displacement_uncertainty_mm out"
        )
    if geometry is None or geometry == "parallel-beam":
        _refuse_a_place(file, options, geometry)
        return shifts
    value = given if isinstance(given, float) else 0.0
    if given == "fit":
        place = math.inf
    elif place is None:
        place = DISPLACEMENT_MM if given is None else 0.0
    if not value and not place:
        return shifts
    radius = options.radius_mm or (RADIUS_MM if laboratory else None)
    if radius is None:
        raise MeasurementError(
            f"{file}: geometry {geometry} needs radius_mm, from the sample to the detector, or "
            "displacement_mm: 0 for a sample in its place"
        )
    if geometry == "capillary" and value:
        raise MeasurementError(
            f"{file}: a capillary is displaced along and across: give displacement_mm: 0 or fit"
        )
    for name, size in (
        ("displacement_mm", value),
        ("displacement_uncertainty_mm", options.displacement_uncertainty_mm or 0.0),
    ):
        if abs(size) >= LARGEST_DISPLACEMENT * radius:
            raise MeasurementError(
                f"{file}: {name}: {size:g} is no small part of the radius of {radius:g} mm: give less "
                "than a tenth of it"
            )
    return shifts + sample_shifts(geometry, radius, value, place)


def _refuse_a_place(file: Path, options: Options, geometry: Geometry | None) -> None:
    """Refuse what is told of the sample's place where nothing says that it moves the angles."""
    given = {
        "displacement_mm": options.displacement_mm,
        "displacement_uncertainty_mm": options.displacement_uncertainty_mm,
        "radius_mm": options.radius_mm,
    }
    for name, value in given.items():
        if value is None or value == 0:  # a sample in its place is one in every geometry
            continue
        if geometry is None:
            raise MeasurementError(f"{file}: {name} is given, but not what it does: give geometry")
        raise MeasurementError(
            f"{file}: {name} does nothing in geometry {geometry}: leave it out, or give another geometry"
        )


def _add_cell(
    analysis: Analysis,
    peaks: dict[str, PowderPeak],
    length: float,
    options: Options,
    shifts: list[AngleShift],
) -> None:
    """Add the lattice constants where the reflections give them; without, say so."""
    try:
        fit = lattice_constants(peaks, length, options.crystal, shifts)
    except MeasurementError as error:
        analysis.remarks.append(f"No lattice constants: {error}.")
        return
    told = {name: value for name, value in fit.shifts.items() if name != "zero" or options.fit_zero}
    for name, (value, uncertainty) in (fit.constants | told).items():
        label, unit = LABELS[name]
        analysis.values[label] = Quantity(value, uncertainty, unit)
    if options.crystal == "hexagonal":
        a, c = fit.constants["a"][0], fit.constants["c"][0]
        analysis.values["c_over_a"] = Quantity(c / a, None, "1")
    reduced = fit.reduced_chi_square
    if reduced is not None:
        analysis.values["reduced_chi_square_of_cell"] = Quantity(reduced, None, "1")
        if reduced > LARGEST_CHI_SQUARE:
            analysis.remarks.append(
                f"The positions scatter about the cell by {reduced**0.5:.1f} times what the counts "
                "explain, and the constants err by more than their uncertainties: more windows, so that "
                "the sample's displacement is fitted, other windows, or other indices."
            )
    analysis.remarks += _told(analysis.parameters["geometry"], options, shifts, fit)
    if not np.isclose(options.zero_degrees, 0.0):
        analysis.remarks.append(f"{options.zero_degrees:g} degrees were added to the angles.")


def _told(
    geometry: Geometry | None, options: Options, shifts: list[AngleShift], fit: CellFit
) -> list[str]:
    """Return what a reader must know of the errors that all angles share."""
    remarks = []
    if geometry is None:
        remarks.append(
            "Uncertainties of lattice constants are those of the counts: an error of the zero point "
            "or of the sample's place comes on top; give geometry, and zero_uncertainty_degrees."
        )
    elif options.geometry is None:
        remarks.append(
            "Taken for a flat sample in reflection (bragg-brentano), as the wavelength is that of a "
            "tube: give geometry where it is another."
        )
    before = [
        f"{shift.name.replace('_', ' ')} {shift.value:g} ± {shift.uncertainty:g} "
        f"{LABELS[shift.name][1]}"
        for shift in shifts
        if 0 < shift.uncertainty < math.inf
    ]
    if before and fit.not_fitted:
        remarks.append(
            f"Too few reflections to fit what moves all angles: the constants' uncertainties hold "
            f"{' and '.join(before)}."
        )
    elif before and any(shift.name in fit.shifts for shift in shifts):
        remarks.append(
            f"What moves all angles is fitted with the cell, restrained to {' and '.join(before)}."
        )
    if options.radius_mm is None and any(shift.name == "displacement" for shift in shifts):
        remarks.append(
            f"The displacement is one at a radius of {RADIUS_MM:g} mm, which was not given (radius_mm)."
        )
    free = [shift.name for shift in shifts if math.isinf(shift.uncertainty)]
    for (one, two), value in fit.correlations.items():
        if abs(value) > LARGEST_CORRELATION:
            what = (
                "both are free, and the constants run with them: restrain one"
                if {one, two} <= set(free)
                else "their sum is fitted, and each rests on what was known before"
            )
            remarks.append(
                f"These reflections do not part {one.replace('_', ' ')} from "
                f"{two.replace('_', ' ')}: {what}."
            )
    return remarks
