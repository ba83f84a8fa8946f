"""Maps of counts of elements (EDX): whether a dopant is spread evenly, how unevenly, how far it hangs together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import Field

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.quantities import Analysis, Quantity
from rocksalt.analysis.readers.element_maps import read_element_maps
from rocksalt.analysis.sample import Sample
from rocksalt.analysis.segregation import (
    Excess,
    Shares,
    clusters_of,
    correlation_of,
    counting_deviation,
    excess_of,
    factors_of,
    share_of,
)
from rocksalt.analysis.user_input import UserInput
from rocksalt.screening.elements import check_cation
from rocksalt.screening.errors import RocksaltError

LEAST_SIGNIFICANCE = 6.0
"""Excess variance over its uncertainty from which a length is given: below, it is found too short."""


class Options(UserInput):
    """What an analysis of element maps may be told."""

    element: str | None = Field(
        None, description="whose share is mapped; by default the sample's dopant"
    )
    elements: list[str] = Field(
        default_factory=list,
        description="of a stack, the element of each image; of an .npz, those to use, by default all "
        "cations",
    )
    k_factors: dict[str, float] = Field(
        default_factory=dict,
        description="by element: counts times it go as atoms; without, shares are of signal",
    )
    pixel_nm: float | None = Field(None, gt=0, description="edge of a pixel (voxel)")
    bin_pixels: int | None = Field(
        None, ge=1, description="edge of a bin; by default the smallest with least_counts"
    )
    least_counts: float = Field(
        100.0, gt=0, description="of all cations in the median bin, when bin_pixels is not given"
    )
    least_part: float = Field(
        0.2, ge=0, lt=1, description="bins with less of the 90th percentile's counts are vacuum"
    )
    chance: float = Field(
        0.01, gt=0, le=0.2, description="with which a uniform map is called segregated"
    )
    cluster_times_mean: float = Field(
        1.5, gt=1, description="a bin of a cluster holds so many times the mean share"
    )


def analyse(file: Path, sample: Sample, options: Options) -> Analysis:
    """Return the excess variance of a dopant's local share, its bounds, its correlation length, clusters.

    Raises
    ------
    MeasurementError
        For files that cannot be used, maps that hold no counts, an element that is not mapped, or too
        few counts.
    """
    element = options.element or sample.dopant
    if element is None:
        raise MeasurementError(f"{file}: whose share? Give element, or sample.dopant")
    for name, factor in options.k_factors.items():
        if not (np.isfinite(factor) and factor > 0):
            raise MeasurementError(f"{file}: k_factors: {name}: {factor:g}: give one above zero")
    maps = read_element_maps(file, options.elements)
    cations = [name for name in maps if _is_cation(name)]
    if element not in cations:
        raise MeasurementError(
            f"{file}: {element} is not among the cations that are mapped ({', '.join(cations) or 'none'}): "
            "give element, or elements in the order of the images"
        )
    others = [name for name in cations if name != element]
    if not others:
        raise MeasurementError(
            f"{file}: {element} alone: a share needs maps of the other cations as well"
        )
    elements = [element, *others]
    try:
        factors = factors_of(elements, options.k_factors)
        shares = share_of(
            np.array([maps[name] for name in elements]),
            factors=factors,
            bin_pixels=options.bin_pixels,
            least_counts=options.least_counts if options.bin_pixels is None else 1.0,
            least_part=options.least_part,
        )
    except MeasurementError as error:
        raise MeasurementError(f"{file}: {error}") from error
    analysis = Analysis(
        parameters={
            **options.model_dump(mode="json"),
            "element": element,
            "elements": elements,
            "used_bin_pixels": shares.bin_pixels,
        }
    )
    left_out = [name for name in maps if name not in cations]
    if left_out:
        analysis.remarks.append(f"No cations and left out: {', '.join(left_out)}.")
    excess = excess_of(shares, options.chance)
    _add_excess(analysis, shares, excess, options)
    _add_sizes(analysis, shares, excess, options)
    _add_maps(analysis, shares)
    return analysis


def _is_cation(name: str) -> bool:
    try:
        check_cation(name)
    except RocksaltError:
        return False
    return True


def _add_excess(analysis: Analysis, shares: Shares, excess: Excess, options: Options) -> None:
    values = analysis.values
    values["mean_share"] = Quantity(shares.mean, shares.mean_uncertainty, "1")
    values["excess_variance"] = Quantity(excess.variance, excess.variance_uncertainty, "1")
    deviation = excess.relative_deviation
    sigma = None
    if excess.segregated:
        sigma = deviation * float(
            np.hypot(
                excess.variance_uncertainty / (2 * excess.variance),
                shares.mean_uncertainty / shares.mean,
            )
        )
    values["relative_deviation"] = Quantity(deviation, sigma, "1")
    values["relative_deviation_lower"] = Quantity(excess.lower, None, "1")
    values["relative_deviation_upper"] = Quantity(excess.upper, None, "1")
    values["chance_if_uniform"] = Quantity(excess.chance_if_uniform, None, "1")
    values["bins"] = Quantity(float(shares.mask.sum()), None, "1")
    unit = "pixel" if options.pixel_nm is None else "nm"
    values["bin_edge"] = Quantity(shares.bin_pixels * (options.pixel_nm or 1.0), None, unit)
    said = (
        f"segregated: the local share varies by {100 * excess.lower:.3g} to {100 * excess.upper:.3g} percent "
        "of its mean beyond counting"
        if excess.segregated
        else f"uniform: the local share varies by less than {100 * excess.upper:.3g} percent of its mean "
        "beyond counting"
    )
    analysis.remarks.append(
        f"{analysis.parameters['element']} is {said} (test and each bound wrong with a chance of "
        f"{options.chance:g})."
    )
    analysis.remarks.append(
        "Shares are of atoms among the mapped cations, by k_factors, whose errors no uncertainty holds."
        if options.k_factors
        else "Shares are of signal among the mapped cations: give k_factors for shares of atoms."
    )
    analysis.remarks.append(
        "Absorption, channelling and background under the lines are not taken off, and domains smaller than "
        "a bin or the sample's thickness are averaged over."
    )


def _add_sizes(analysis: Analysis, shares: Shares, excess: Excess, options: Options) -> None:
    scale = shares.bin_pixels * (options.pixel_nm or 1.0)
    unit = "pixel" if options.pixel_nm is None else "nm"
    if excess.variance > LEAST_SIGNIFICANCE * excess.variance_uncertainty:
        found = correlation_of(shares)
        analysis.arrays[f"autocorrelation_distance_{unit}"] = found.distance * scale
        analysis.arrays["autocorrelation"] = found.value
        if found.length is None or found.length_uncertainty is None:
            analysis.remarks.append(
                "The autocorrelation gives no length: it stays above 1/e over half of the map's shortest edge, or counts "
                "are too few."
            )
        else:
            values = (found.length * scale, found.length_uncertainty * scale)
            analysis.values["correlation_length"] = Quantity(*values, unit)
            if found.length < 1:
                analysis.remarks.append("The correlation length is below a bin: not resolved.")
    clusters = clusters_of(shares, times_mean=options.cluster_times_mean)
    dimensions = shares.mask.ndim
    analysis.values["clusters"] = Quantity(float(len(clusters.sizes)), None, "1")
    analysis.arrays["cluster"] = clusters.labels
    if len(clusters.sizes):
        power = f"{unit}²" if dimensions == 2 else f"{unit}³"
        sizes = clusters.sizes * scale**dimensions
        analysis.values["median_cluster_size"] = Quantity(float(np.median(sizes)), None, power)
        analysis.values["largest_cluster_size"] = Quantity(float(sizes.max()), None, power)
        part = float(clusters.sizes.sum() / shares.mask.sum())
        analysis.values["cluster_part"] = Quantity(part, None, "1")


def _add_maps(analysis: Analysis, shares: Shares) -> None:
    analysis.arrays["local_share"] = shares.local
    analysis.arrays["counting_deviation"] = counting_deviation(shares)
    analysis.arrays["weighted_counts"] = shares.total
