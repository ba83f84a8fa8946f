"""Powder diffraction: areas and positions of peaks, I(003)/I(104), lattice constants."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.powder import hkl_text, wavelength_angstrom
from rocksalt.analysis.powder_peaks import (
    Crystal,
    PowderPeak,
    integrate,
    lattice_constants,
    miller_indices,
)
from rocksalt.analysis.quantities import Analysis, Quantity
from rocksalt.analysis.readers.powder import read_powder
from rocksalt.analysis.sample import Sample

Window = tuple[float, float]

RATIO = ("003", "104")
"""Whose ratio falls when metal sits on lithium sites."""

LARGEST_CHI_SQUARE = 9.0
"""Above it positions are off by three times their uncertainties, which is no noise."""

LABELS = {
    "a": ("lattice_a", "angstrom"),
    "c": ("lattice_c", "angstrom"),
    "volume": ("volume", "angstrom3"),
    "zero": ("zero_shift", "deg"),
}
"""Name and unit of what a fit of the cell gives."""


class Options(BaseModel):
    """What a powder pattern may be told; the wavelength and the windows must be given."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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
    fit_zero: bool = Field(
        False, description="find with the lattice constants what is to be added to the angles"
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
    pattern = read_powder(file)
    angle = pattern.two_theta_degrees + options.zero_degrees
    analysis = Analysis(
        parameters={**options.model_dump(mode="json"), "wavelength_angstrom": length},
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
    _add_cell(analysis, peaks, length, options)
    return analysis


def _ratio(top: PowderPeak, bottom: PowderPeak) -> Quantity:
    value = top.area / bottom.area
    doubts = [
        peak.area_uncertainty / peak.area
        for peak in (top, bottom)
        if peak.area_uncertainty is not None
    ]
    return Quantity(value, value * math.hypot(*doubts) if len(doubts) == 2 else None, "1")


def _add_cell(
    analysis: Analysis, peaks: dict[str, PowderPeak], length: float, options: Options
) -> None:
    """Add the lattice constants where the reflections give them; without, say so."""
    try:
        constants, reduced = lattice_constants(
            peaks, length, options.crystal, fit_zero=options.fit_zero
        )
    except MeasurementError as error:
        analysis.remarks.append(f"No lattice constants: {error}.")
        return
    for name, (value, uncertainty) in constants.items():
        label, unit = LABELS[name]
        analysis.values[label] = Quantity(value, uncertainty, unit)
    if options.crystal == "hexagonal":
        a, c = constants["a"][0], constants["c"][0]
        analysis.values["c_over_a"] = Quantity(c / a, None, "1")
    if reduced is not None:
        analysis.values["reduced_chi_square_of_cell"] = Quantity(reduced, None, "1")
        if reduced > LARGEST_CHI_SQUARE:
            analysis.remarks.append(
                f"The positions scatter about the cell by {reduced**0.5:.1f} times what the counts "
                "explain, and the constants err by more than their uncertainties: fit_zero, other "
                "windows, or other indices."
            )
    analysis.remarks.append(
        "Uncertainties of positions and lattice constants are those of the counts: an error of the zero "
        "point or of the sample's height comes on top."
    )
    if not np.isclose(options.zero_degrees, 0.0):
        analysis.remarks.append(f"{options.zero_degrees:g} degrees were added to the angles.")
