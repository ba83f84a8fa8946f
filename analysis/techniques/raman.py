"""Raman: bands of a Li-rich cathode on a polynomial baseline, the spinel's share, peroxide or none."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.fitted_peaks import add_peaks, analysis_of, window_around
from rocksalt.analysis.peak_fits import FOUND_ABOVE, PeakFit, fit_peaks
from rocksalt.analysis.peak_model import Background, Component
from rocksalt.analysis.quantities import Analysis, Quantity
from rocksalt.analysis.readers.spectra import read_curve
from rocksalt.analysis.sample import Sample
from rocksalt.analysis.user_input import UserInput
from rocksalt.analysis.xanes import Range

LI_RICH: dict[str, Component] = {
    "layered_eg": Component(position=490, shift=15, width=(20, 90), shape="lorentzian"),
    "layered": Component(position=595, shift=10, width=(20, 70), shape="lorentzian"),
    "spinel": Component(position=625, shift=10, width=(20, 70), shape="lorentzian"),
    "li2o2": Component(position=788, shift=6, width=(8, 40), shape="lorentzian"),
    "peroxo": Component(position=850, shift=10, width=(10, 50), shape="lorentzian"),
}
"""Bands in 1/cm: E_g and A_1g of the layered oxide (Inaba et al., J. Raman Spectrosc. 28, 613 (1997)),
A_1g of the spinel, Li2O2, and the O-O stretch of peroxo species in the lattice (Sun et al. 2025)."""

BESIDE_PER_CM = 90.0
"""The default window goes so far beyond the outermost bands."""


class Options(UserInput):
    """What a Raman analysis may be told."""

    components: dict[str, Component] | None = Field(
        None,
        min_length=1,
        description="in place of the bands of a Li-rich oxide: {name: {position, shift, "
        "width: [least, most], shape, lorentzian}}",
    )
    window_per_cm: Range | None = Field(
        None,
        description=f"by default {BESIDE_PER_CM:g} beyond the outermost bands, as far as measured",
    )
    baseline_degree: int = Field(
        2, ge=0, le=5, description="of the polynomial, fitted with the bands"
    )
    noise: Literal["estimated", "counts"] = Field(
        "estimated", description="counts: the root of the intensity, which must be in counts"
    )
    counts_per_unit: float = Field(1.0, gt=0, description="photons in one unit of the intensity")
    column: int | None = Field(None, ge=2, description="of the intensities, in a text of several")


def analyse(file: Path, sample: Sample, options: Options) -> Analysis:
    """Return each band's share of the area, which bands are there, and the spinel's share.

    A band is there where its area is above two standard uncertainties. The fraction of spinel is the area
    of its band in the sum with the layered oxide's A_1g band at 595 1/cm.

    Raises
    ------
    MeasurementError
        For a file that cannot be used, a window that was not measured, or one without a band.
    """
    curve = read_curve(file, column=options.column)
    template = options.components or LI_RICH
    window = options.window_per_cm or window_around(template, curve, BESIDE_PER_CM)
    outside = [name for name, c in template.items() if not window[0] < c.position < window[1]]
    if len(outside) == len(template) or (outside and options.components):
        raise MeasurementError(
            f"{file}: {', '.join(outside)} outside of {window[0]:g} to {window[1]:g} 1/cm, the part of "
            f"the measured {curve.x[0]:g} to {curve.x[-1]:g}: give window_per_cm, or components"
        )
    bands = {name: c for name, c in template.items() if name not in outside}
    part = curve.inside(window, "window_per_cm")
    fit = fit_peaks(
        part.x,
        part.y,
        bands,
        Background(degree=options.baseline_degree),
        counts_per_unit=options.counts_per_unit if options.noise == "counts" else None,
        name=str(file),
    )
    analysis = analysis_of(fit, bands, options, {"used_window_per_cm": window}, "shift_per_cm")
    if outside:
        analysis.remarks.append(f"Not measured, and left out: {', '.join(outside)}.")
    _add_bands(analysis, fit)
    return analysis


def _add_bands(analysis: Analysis, fit: PeakFit) -> None:
    pair = {"spinel", "layered"}
    if pair <= set(fit.names):
        analysis.values["spinel_fraction"] = Quantity(*fit.share(["spinel"], pair), "1")
    add_peaks(analysis, fit, "1/cm")
    for name in fit.names:
        analysis.values[f"{name}_present"] = Quantity(float(fit.is_found(name)), None, "1")
        if not fit.is_found(name):
            # without a band, these are the template's
            del analysis.values[f"{name}_position"], analysis.values[f"{name}_width"]
    analysis.remarks.append(
        f"Present (1) is a band whose area is above {FOUND_ABOVE:g} standard uncertainties. Shares are of "
        "scattered light: cross-sections differ from phase to phase."
    )
