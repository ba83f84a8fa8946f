"""EELS along a line or over an image: profiles from the surface, maps, and the surface layer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes, distance_transform_edt, uniform_filter

from rocksalt.analysis.eels import Areas
from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.quantities import Analysis, Array, Quantity
from rocksalt.analysis.readers.eels import EnergyLoss
from rocksalt.analysis.surface_layer import (
    OF_A_PIXEL,
    find_surface,
    fit_layer,
    plateau_level,
)
from rocksalt.analysis.techniques.eels_edges import Edges, Found, Options, measure

Mask = NDArray[np.bool_]


def find_body(pixels: Found, shape: tuple[int, ...], options: Options) -> Mask:
    """Return which pixels are material: those with enough L2,3 area, in the shape of the file.

    In an image the area is the mean of 3 by 3 pixels, and holes are filled, because the noise of one
    pixel makes no surface.
    """
    area = pixels.lines.values[:, :2].sum(axis=1).reshape(shape)
    level = options.surface_level * plateau_level(area)
    filled = np.nan_to_num(area)
    if len(shape) == 2:
        filled = uniform_filter(filled, 3, mode="nearest")
    body = filled >= level
    if len(shape) == 2:
        body = binary_fill_holes(body)
    if not level > 0 or not body.any():
        raise MeasurementError("no pixel shows the edge: sum more pixels, or check element")
    return np.asarray(body)


def _by_spectrum(found: Found, edges: Edges, options: Options) -> dict[str, Array]:
    """Return the quantities of every spectrum with enough counts, NaN in the others."""
    clear = np.minimum(found.lines.significance(0), found.lines.significance(1))
    dark = ~(np.nan_to_num(clear) >= options.least_significance)
    ratio, moment = found.lines.ratio(), found.lines.ratio(3, 0)
    result = {
        "l3_l2_ratio": ratio[0],
        "l3_l2_ratio_uncertainty": ratio[1],
        "l3_l2_ratio_second_derivative": found.derivative.ratio()[0],
        "l3_energy_ev": edges.lines_ev[0] + moment[0],
        "l3_energy_uncertainty_ev": moment[1],
    }
    result = {name: np.where(dark, np.nan, each) for name, each in result.items()}
    if found.oxygen is not None:
        clear = np.nan_to_num(found.oxygen.significance(1))
        share = [
            np.where(clear >= options.least_significance, each, np.nan)
            for each in found.oxygen.ratio()
        ]
        result["o_prepeak_to_main"], result["o_prepeak_to_main_uncertainty"] = share
    return result


@dataclass(frozen=True)
class _Profile:
    """Areas against the distance from the surface.

    Attributes
    ----------
    distance
        (n_points,): in nm, or in pixels where their size is not known.
    found
        Areas at these points.
    within
        (n_points,): which of them are this surface's layer or the bulk.
    surface_is_known
        False where the distance is from an end of the scan that may be no surface.
    surface_uncertainty
        Standard uncertainty of the surface's place, in pixels.
    """

    distance: Array
    found: Found
    within: Mask
    surface_is_known: bool
    surface_uncertainty: float


def add_line(
    analysis: Analysis,
    loss: EnergyLoss,
    pixels: Found,
    body: Mask,
    edges: Edges,
    options: Options,
) -> None:
    """Put the profile along a line into an analysis, counted from its surface."""
    ends = bool(body[0]), bool(body[-1])
    if options.surface == "end" or (options.surface is None and ends == (True, False)):
        pixels = _reversed(pixels)
    signal = pixels.lines.values[:, :2].sum(axis=1)
    errors = np.sqrt(pixels.lines.covariance[:, :2, :2].sum(axis=(1, 2)))
    surface = find_surface(signal, errors, level=options.surface_level)
    number = np.arange(float(len(signal)))
    depth = number - surface.pixel
    within = (depth > 0) & (number <= surface.last)
    if surface.last < len(signal) - 1:  # the far side has a surface of its own
        within &= depth <= (surface.last + 0.5 - surface.pixel) / 2
    known = options.surface is not None or sum(ends) == 1
    if not known:
        analysis.remarks.append(
            "Not exactly one end of the scan is in the vacuum: give surface, 'start' or 'end'; distances "
            "are from its start."
        )
    distance = np.asarray(depth * (loss.pixel_nm or 1.0))
    profile = _Profile(distance, pixels, within, known, surface.uncertainty)
    _add_profile(analysis, loss, profile, edges, options)
    analysis.arrays["profile_signal"] = signal


def add_map(
    analysis: Analysis,
    loss: EnergyLoss,
    pixels: Found,
    body: Mask,
    whole: Mask,
    edges: Edges,
    options: Options,
) -> None:
    """Put maps into an analysis, and the profile of the sums of pixels of like distance.

    The distance is Euclidean in the image's plane, from a pixel's middle to the edge of the nearest
    pixel outside the material, as in `rocksalt.analysis.phase_map.depth_profile`.
    """
    material = body & whole
    for name, each in _by_spectrum(pixels, edges, options).items():
        analysis.arrays[f"map_{name}"] = np.where(material, each.reshape(body.shape), np.nan)
    shown = int(np.isfinite(analysis.arrays["map_l3_l2_ratio"]).sum())
    if shown < 0.8 * material.sum():
        analysis.remarks.append(
            f"The map has {shown} of {material.sum()} pixels, the others too few counts for a ratio: give "
            "bin_pixels."
        )
    if body.all():
        analysis.remarks.append("Every pixel is material: there is no surface for a profile.")
        return
    depth = distance_transform_edt(body)[material] - 0.5
    which = np.floor(depth).astype(int)
    bins, number = np.unique(which, return_counts=True)
    spectra = loss.counts[material]
    sums = np.array([np.sum(spectra[which == each], axis=0, dtype=float) for each in bins])
    distance = np.bincount(which, depth)[bins] / number * (loss.pixel_nm or 1.0)
    found = measure(loss, sums, edges, options)
    every = np.ones(len(bins), dtype=bool)
    _add_profile(analysis, loss, _Profile(distance, found, every, True, OF_A_PIXEL), edges, options)
    analysis.arrays["profile_pixels"] = number.astype(float)


def _reversed(found: Found) -> Found:
    def turned(areas: Areas) -> Areas:
        return replace(
            areas,
            values=areas.values[::-1],
            covariance=areas.covariance[::-1],
            log_amplitude=areas.log_amplitude[::-1],
            exponent=areas.exponent[::-1],
        )

    oxygen = None if found.oxygen is None else turned(found.oxygen)
    return Found(turned(found.lines), turned(found.derivative), oxygen)


def _add_profile(
    analysis: Analysis, loss: EnergyLoss, profile: _Profile, edges: Edges, options: Options
) -> None:
    """Put a profile and its layer into an analysis.

    What forbids a layer is an error where the user asked for one, else a remark.
    """
    unit = "pixels" if loss.pixel_nm is None else "nm"
    analysis.arrays[f"profile_distance_{unit}"] = profile.distance
    for name, each in _by_spectrum(profile.found, edges, options).items():
        analysis.arrays[f"profile_{name}"] = each
    if options.layer_from is None:
        return
    try:
        _add_layer(analysis, loss, profile, options.layer_from)
    except MeasurementError as error:
        if "layer_from" in options.model_fields_set:
            raise MeasurementError(f"{loss.name}: {error}") from None
        analysis.remarks.append(f"No thickness of a layer: {error}.")


def _add_layer(
    analysis: Analysis,
    loss: EnergyLoss,
    profile: _Profile,
    layer_from: Literal["l3-l2", "o-prepeak"],
) -> None:
    if layer_from == "l3-l2":
        name, areas = "l3_l2_ratio", profile.found.lines
    elif profile.found.oxygen is not None:
        name, areas = "o_prepeak_to_main", profile.found.oxygen
    else:
        raise MeasurementError("the spectra do not cover the O K edge: no layer from its pre-peak")
    if loss.pixel_nm is None:
        raise MeasurementError("the file does not say how large a pixel is: give pixel_nm")
    if not profile.surface_is_known:
        raise MeasurementError("which end of the scan is the surface? Give surface: start or end")
    within = profile.within
    layer = fit_layer(
        profile.distance[within],
        areas.values[within, 0],
        areas.values[within, 1],
        areas.covariance[within, :2, :2],
        loss.pixel_nm,
        name=name,
    )
    surface_nm = profile.surface_uncertainty * loss.pixel_nm
    error = float(np.hypot(layer.thickness_uncertainty_nm, surface_nm))
    values = analysis.values
    values["layer_thickness"] = Quantity(layer.thickness_nm, error, "nm")
    values["layer_transition"] = Quantity(layer.width_nm, None, "nm")
    values[f"layer_{name}"] = Quantity(layer.surface_value, layer.surface_uncertainty, "1")
    values[f"bulk_{name}"] = Quantity(layer.bulk_value, layer.bulk_uncertainty, "1")
    values["layer_fit_reduced_square"] = Quantity(layer.reduced_square, None, "1")
    fitted = np.full(len(profile.distance), np.nan)
    fitted[within] = layer.fitted
    analysis.arrays["profile_layer_fit"] = fitted
    analysis.remarks.append(
        f"The layer ends where half of the change of {name} is done, in an error function between two "
        "constant values; the projection through a curved surface is not removed."
    )
