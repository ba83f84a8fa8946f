"""TXM-XANES: where the cycled phase is, from images through an edge and two reference spectra."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.linear_combination import reference_matrix
from rocksalt.analysis.phase_map import (
    PhaseMap,
    deactivated_share,
    depth_profile,
    difference_from_mean,
    fit_phases,
    mean_weight,
    thick_enough,
)
from rocksalt.analysis.quantities import Analysis, Array, Quantity
from rocksalt.analysis.readers.columns import file_sha256, numbers_of, read_text
from rocksalt.analysis.readers.xas import check_energies, read_spectrum, read_stack
from rocksalt.analysis.sample import Sample
from rocksalt.analysis.user_input import UserInput
from rocksalt.analysis.xanes import Range


class Options(UserInput):
    """What a TXM-XANES analysis may be told."""

    energies: Path = Field(description="text file with the energy of each image, eV")
    pristine: Path = Field(description="reference spectrum of the pristine state")
    cycled: Path = Field(description="reference spectrum of the cycled state")
    values: Literal["transmission", "optical-depth"] = Field(
        "transmission", description="what the stack holds: I/I0, or -ln(I/I0)"
    )
    window_ev: Range | None = Field(
        None, description="of the fit: Mn 6519 to 6619, Ni 8313 to 8413; by default all energies"
    )
    offset: bool = Field(
        False, description="fit a constant in every pixel, for references normalised to their edge"
    )
    least_optical_depth: float = Field(0.05, ge=0, description="thinner pixels are left out")
    largest_r: float = Field(0.1, gt=0, description="pixels that fit worse are left out")
    threshold: float = Field(
        0.5, gt=0, lt=1, description="a pixel with this weight of the cycled phase is deactivated"
    )
    pixel_nm: float | None = Field(None, gt=0, description="edge of a pixel, for the depth profile")
    bin_nm: float | None = Field(None, gt=0, description="of the profile; by default two pixels")
    holes_are_surface: bool = Field(True, description="cracks and pores count as surface")


def analyse(file: Path, sample: Sample, options: Options) -> Analysis:
    """Return maps of the cycled phase's weight and of R, its mean, the deactivated area, a profile.

    Raises
    ------
    MeasurementError
        For files that cannot be used, energies that do not belong to the images, references that do
        not cover the window, or no pixel with enough material.
    """
    stack = read_stack(file)
    energy = numbers_of(read_text(options.energies), options.energies, least_columns=1)[:, 0]
    check_energies(energy, str(options.energies))
    if len(energy) != len(stack):
        raise MeasurementError(
            f"{file}: {len(stack)} images and {len(energy)} energies in {options.energies}: give one "
            "energy for each image"
        )
    window = options.window_ev or (float(energy[0]), float(energy[-1]))
    spectra = {
        name: read_spectrum(path)
        for name, path in (("pristine", options.pristine), ("cycled", options.cycled))
    }
    inside, references = reference_matrix(
        energy, window, {name: (each.energy_ev, each.absorption) for name, each in spectra.items()}
    )
    first, last = np.flatnonzero(inside)[[0, -1]]
    phases = fit_phases(
        stack[first : last + 1],
        *references.T,
        transmission=options.values == "transmission",
        offset=options.offset,
    )
    mask = thick_enough(phases, options.least_optical_depth, options.largest_r)
    analysis = Analysis(
        parameters={
            **options.model_dump(mode="json"),
            "used_window_ev": window,
            "references_sha256": {
                name: file_sha256(path)
                for name, path in (("pristine", options.pristine), ("cycled", options.cycled))
            },
            "energies_sha256": file_sha256(options.energies),
        },
        arrays=_maps(phases, mask),
    )
    _add_values(analysis, phases, mask, options)
    return analysis


def _maps(phases: PhaseMap, mask: Array) -> dict[str, Array]:
    return {
        "cycled_weight": np.where(mask, phases.weight, np.nan),
        "cycled_weight_uncertainty": np.where(mask, phases.weight_uncertainty, np.nan),
        "difference_from_mean": difference_from_mean(phases, mask),
        "r_factor": phases.r_factor,
        "optical_depth": phases.optical_depth,
    }


def _add_values(analysis: Analysis, phases: PhaseMap, mask: Array, options: Options) -> None:
    share = deactivated_share(phases, mask, options.threshold)
    analysis.values["mean_cycled_weight"] = Quantity(*mean_weight(phases, mask), "1")
    analysis.values["deactivated_area_share"] = Quantity(*share, "1")
    analysis.values["median_r_factor"] = Quantity(
        float(np.median(phases.r_factor[mask])), None, "1"
    )
    analysis.values["pixels"] = Quantity(float(mask.sum()), None, "1")
    analysis.remarks.append(
        f"Deactivated: weight of the cycled phase of at least {options.threshold:g}, in pixels with an "
        f"optical depth of at least {options.least_optical_depth:g} and R up to {options.largest_r:g}."
    )
    unread = int(np.isnan(phases.r_factor).sum())
    if unread:
        analysis.remarks.append(
            f"{unread} pixels hold no transmission (zero, negative or no number)."
        )
    if options.pixel_nm is not None:
        profile = depth_profile(
            phases,
            mask,
            options.pixel_nm,
            bin_nm=options.bin_nm,
            holes_are_surface=options.holes_are_surface,
        )
        analysis.arrays["profile_distance_nm"] = profile.distance_nm
        analysis.arrays["profile_cycled_weight"] = profile.weight
        analysis.arrays["profile_standard_error"] = profile.standard_error
        analysis.arrays["profile_pixels"] = profile.pixels
