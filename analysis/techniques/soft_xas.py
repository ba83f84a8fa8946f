"""Soft X-ray absorption by yields: fractions of references, and what an O K edge gains on charge."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.linear_combination import fit_combination, rank_subsets, reference_matrix
from rocksalt.analysis.quantities import Analysis, Array, Quantity
from rocksalt.analysis.readers.columns import file_sha256
from rocksalt.analysis.readers.xas import Spectrum, read_spectrum
from rocksalt.analysis.sample import Sample
from rocksalt.analysis.techniques.xanes import add_fit, refuse_unknown_valences
from rocksalt.analysis.user_input import UserInput
from rocksalt.analysis.xanes import Range, covered, difference_area, scale_yield


class Options(UserInput):
    """What a soft X-ray analysis may be told."""

    column: str | None = Field(None, description="label or number of the yield's column (TEY, PFY)")
    group: str | None = Field(
        None,
        description="label of the sample's group in an Athena project; a reference's is its name",
    )
    shift_ev: float = Field(0.0, description="added to the sample's energies")
    scale: Literal["area", "maximum"] = Field("area", description="what is made one")
    scale_window_ev: Range | None = Field(
        None, description="where the area or the maximum is taken; by default the whole scan"
    )
    background_ev: Range | None = Field(
        None, description="before the edge: its mean is subtracted; by default nothing is"
    )
    references: dict[str, Path] = Field(
        default_factory=dict, max_length=10, description="file of each reference"
    )
    valences: dict[str, float] = Field(default_factory=dict, description="of each reference")
    window_ev: Range | None = Field(None, description="of the fit; by default the scale's window")
    minus: Path | None = Field(
        None, description="spectrum to subtract, for example O K before the charge"
    )
    difference_window_ev: Range = Field(
        (530.5, 532.5), description="of the difference's area: O K of oxidised oxygen, 531.5 eV"
    )
    resamples: int = Field(400, ge=50, le=20_000, description="of the bootstrap")
    seed: int = Field(0, ge=0, description="of the bootstrap")


def analyse(file: Path, sample: Sample, options: Options) -> Analysis:
    """Return fractions of references, and the area of a difference, of a yield spectrum.

    Total electron yield sees about 10 nm, partial fluorescence yield about 100 nm: of one sample the
    two are two measurements.

    Raises
    ------
    MeasurementError
        For files that cannot be used, windows that are not covered, or nothing to compare with.
    """
    if not options.references and options.minus is None:
        raise MeasurementError(
            f"{file}: a yield spectrum says nothing alone: give references, or minus"
        )
    refuse_unknown_valences(file, options.references, options.valences)
    spectrum = read_spectrum(file, column=options.column, group=options.group)
    energy = spectrum.energy_ev + options.shift_ev
    whole = options.scale_window_ev or (float(energy[0]), float(energy[-1]))
    values = _scaled(spectrum, energy, whole, options)
    analysis = Analysis(
        parameters={**options.model_dump(mode="json"), "used_scale_window_ev": whole},
        arrays={"energy_ev": energy, "scaled": values},
    )
    if options.references:
        _add_combination(analysis, energy, values, whole, options)
    if options.minus is not None:
        _add_difference(analysis, energy, values, whole, options.minus, options)
    return analysis


def _scaled(spectrum: Spectrum, energy: Array, window: Range, options: Options) -> Array:
    return scale_yield(
        energy,
        spectrum.absorption,
        options.scale,
        window,
        background_ev=options.background_ev,
        name=spectrum.name,
    )


def _other(
    path: Path, window: Range, options: Options, group: str | None = None
) -> tuple[Array, Array]:
    """Return energies and scaled values of a reference; its columns are told by their labels."""
    spectrum = read_spectrum(path, group=group, or_only=True)
    return spectrum.energy_ev, _scaled(spectrum, spectrum.energy_ev, window, options)


def _add_combination(
    analysis: Analysis, energy: Array, values: Array, whole: Range, options: Options
) -> None:
    window = options.window_ev or whole
    others = {n: _other(path, whole, options, n) for n, path in options.references.items()}
    inside, references = reference_matrix(energy, window, others)
    data, names = values[inside], list(others)
    fit = fit_combination(data, references, names, resamples=options.resamples, seed=options.seed)
    analysis.parameters = {
        **analysis.parameters,
        "reference_order": names,
        "references_sha256": {n: file_sha256(path) for n, path in options.references.items()},
        "bootstrap_block_points": fit.block_points,
    }
    analysis.arrays["fit_energy_ev"] = energy[inside]
    analysis.arrays["fit_references"] = references
    add_fit(analysis, fit, data, rank_subsets(data, references, names), options.valences)
    if options.scale == "maximum":
        analysis.remarks.append(
            "Spectra of one maximum do not mix in proportion to amounts: prefer scale: area."
        )


def _add_difference(
    analysis: Analysis,
    energy: Array,
    values: Array,
    whole: Range,
    path: Path,
    options: Options,
) -> None:
    its_energy, its_values = _other(path, whole, options)
    covered(its_energy, options.difference_window_ev, str(path))
    other = np.interp(energy, its_energy, its_values)
    noise = float(np.hypot(_noise(values), _noise(its_values)))
    window = options.difference_window_ev
    area, sigma = difference_area(energy, values, other, window, noise=noise)
    unit = "1" if options.scale == "area" else "eV"
    analysis.values["difference_area"] = Quantity(area, sigma, unit)
    analysis.arrays["difference"] = values - other
    analysis.parameters = {**analysis.parameters, "minus_sha256": file_sha256(path)}
    analysis.remarks.append(
        "The uncertainty of the difference's area is that of the noise: an error of the scale or of "
        "the energies comes on top."
    )


def _noise(values: Array) -> float:
    """Return the standard deviation of the noise, from second differences: lines are smooth.

    x[i-1] - 2 x[i] + x[i+1] of independent noise has six times its variance; the median is not moved
    by the few points where a line bends.
    """
    return float(1.4826 * np.median(abs(np.diff(values, 2))) / np.sqrt(6))
