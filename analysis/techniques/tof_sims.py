"""ToF-SIMS: how thick the layer is that a fragment marks, from a depth profile."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from rocksalt.analysis.depth_profiles import Interface, fit_interface, normalised
from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.quantities import Analysis, Quantity
from rocksalt.analysis.readers.spectra import Profile, read_profile
from rocksalt.analysis.sample import Sample
from rocksalt.analysis.user_input import UserInput
from rocksalt.analysis.xanes import Range


class Options(UserInput):
    """What a depth profile may be told; the markers must be given."""

    markers: list[str] = Field(
        min_length=1, description="fragments that end, or begin, where the layer ends"
    )
    axis: Literal["time_s", "depth_nm"] | None = Field(
        None, description="what the first column is, where its heading does not say"
    )
    sputter_rate_nm_per_s: float | None = Field(
        None, gt=0, description="of the layer, for an axis in s"
    )
    sputter_rate_uncertainty_nm_per_s: float | None = Field(
        None, gt=0, description="standard uncertainty of that rate"
    )
    normalise: str = Field("none", description="to 'total', or to the label of a fragment")
    noise: Literal["counts", "estimated"] = Field(
        "counts", description="estimated: for intensities that are no counts"
    )
    window: Range | None = Field(
        None, description="of the fit, in the file's time or depth: leaves a surface transient out"
    )


def analyse(file: Path, sample: Sample, options: Options) -> Analysis:
    """Return the thickness of the layer by each marker, the width of its interface, and the profiles.

    The thickness is the depth at which the marker is half way between plateau and bulk.

    Raises
    ------
    MeasurementError
        For a file that cannot be used, an unknown marker, a time axis without sputter rate, or a marker
        without an interface.
    """
    profile = read_profile(file)
    to_nm, rate_uncertainty = _to_depth(profile, options)
    unknown = [label for label in options.markers if label not in profile.labels]
    if unknown:
        raise MeasurementError(
            f"{file}: no fragment {unknown[0]!r}: markers are among {', '.join(profile.labels)}"
        )
    inside = _inside(profile, options.window)
    x = profile.x[inside]
    fragments = normalised(
        profile.intensities[inside],
        profile.labels,
        options.normalise,
        is_counted=options.noise == "counts",
        name=str(file),
    )
    analysis = Analysis(
        parameters={
            **options.model_dump(mode="json"),
            "used_axis": options.axis or profile.axis,
            "fragments": list(profile.labels),
        },
        arrays={
            "depth_nm": x * to_nm,
            "intensities": np.array([each.values for each in fragments]),
        },
    )
    fits = []
    for label in options.markers:
        fragment = fragments[profile.labels.index(label)]
        found = fit_interface(x, fragment, name=f"{file}: {label}")
        fits.append(found.fitted)
        _add_layer(analysis, label, found, to_nm, rate_uncertainty)
    analysis.arrays["fitted"] = np.array(fits)
    if options.sputter_rate_nm_per_s is not None and not rate_uncertainty:
        analysis.remarks.append(
            "The uncertainty of the sputter rate is not in that of depths: give "
            "sputter_rate_uncertainty_nm_per_s."
        )
    return analysis


def _add_layer(
    analysis: Analysis, label: str, found: Interface, to_nm: float, rate_uncertainty: float
) -> None:
    unit = "counts" if analysis.parameters["normalise"] == "none" else "1"
    if analysis.parameters["noise"] == "estimated" and unit == "counts":
        unit = "intensity"

    def in_nm(value: float, uncertainty: float) -> Quantity:
        joint = math.hypot(uncertainty * to_nm, value * to_nm * rate_uncertainty)
        return Quantity(value * to_nm, joint, "nm")

    analysis.values[f"{label}_layer_thickness"] = in_nm(found.depth, found.depth_uncertainty)
    if found.width is not None and found.width_uncertainty is not None:
        analysis.values[f"{label}_interface_width"] = in_nm(found.width, found.width_uncertainty)
    analysis.values[f"{label}_plateau"] = Quantity(*found.plateau, unit)
    analysis.values[f"{label}_bulk"] = Quantity(*found.bulk, unit)
    analysis.values[f"{label}_reduced_chi_square"] = Quantity(found.reduced_chi_square, None, "1")
    analysis.remarks += [f"{label}: {remark}" for remark in found.remarks]


def _to_depth(profile: Profile, options: Options) -> tuple[float, float]:
    """Return the depth in nm of one unit of the axis, and its relative standard uncertainty."""
    axis = options.axis or profile.axis
    rate = options.sputter_rate_nm_per_s
    if axis is None:
        raise MeasurementError(
            f"{profile.name}: the heading does not say what the first column is: give axis, time_s or "
            "depth_nm"
        )
    if axis == "depth_nm":
        if rate is not None:
            raise MeasurementError(
                f"{profile.name}: the profile has depths: leave sputter_rate_nm_per_s out"
            )
        return 1.0, 0.0
    if rate is None:
        raise MeasurementError(
            f"{profile.name}: the profile has times: give sputter_rate_nm_per_s, measured for this layer"
        )
    return rate, (options.sputter_rate_uncertainty_nm_per_s or 0.0) / rate


def _inside(profile: Profile, window: Range | None) -> slice:
    if window is None:
        return slice(None)
    rows = np.flatnonzero((profile.x >= window[0]) & (profile.x <= window[1]))
    if len(rows) == 0:
        raise MeasurementError(
            f"{profile.name}: window {window[0]:g} to {window[1]:g} holds nothing of "
            f"{profile.x[0]:g} to {profile.x[-1]:g}"
        )
    return slice(int(rows[0]), int(rows[-1]) + 1)
