"""EELS: the edge with background, step and windows; the ratio and the pre-peak against depth; the map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rocksalt.analysis.quantities import Array
from rocksalt.stores.experiment_documents import MeasuredQuantity
from rocksalt.workflows.figure_style import ENGINE_COLOURS, INK, PALE
from rocksalt.workflows.measured_figures.scale_bar import add_scale_bar
from rocksalt.workflows.quantity_text import quantity_text

_L3, _L2, _STEP = ENGINE_COLOURS[0], ENGINE_COLOURS[1], ENGINE_COLOURS[2]
_FIT = ENGINE_COLOURS[3]


def draw(
    values: Mapping[str, MeasuredQuantity],
    arrays: Mapping[str, Array],
    parameters: Mapping[str, Any],
) -> Figure:
    """Return the edges of the spectrum and, of a line or an image, the profiles and the map."""
    oxygen, mapped = "o_energy_ev" in arrays, "map_l3_l2_ratio" in arrays
    profiled = "profile_l3_l2_ratio" in arrays
    panels = 1 + oxygen + mapped + profiled + (profiled and oxygen)
    n_rows, n_columns = (1, panels) if panels < 3 else (2, (panels + 1) // 2)
    figure = Figure(figsize=(4.6 * n_columns, 3.7 * n_rows), layout="constrained")
    places = iter(figure.subplots(n_rows, n_columns, squeeze=False).ravel())
    _edge(next(places), values, arrays, parameters)
    if oxygen:
        _oxygen(next(places), values, arrays, parameters)
    if mapped:
        _map(figure, next(places), arrays["map_l3_l2_ratio"], parameters)
    if profiled:
        _profile(next(places), values, arrays, "l3_l2_ratio", "L$_3$/L$_2$")
    if profiled and oxygen:
        _profile(next(places), values, arrays, "o_prepeak_to_main", "O K pre-peak / main edge")
    for axes in places:
        axes.remove()
    return figure


def _edge(
    axes: Axes,
    values: Mapping[str, MeasuredQuantity],
    arrays: Mapping[str, Array],
    parameters: Mapping[str, Any],
) -> None:
    energy, counts = arrays["edge_energy_ev"], arrays["edge_counts"] / 1000
    background = arrays["edge_background_counts"] / 1000
    step = background + arrays["edge_step_counts"] / 1000
    axes.plot(energy, counts, color=INK, lw=1)
    axes.plot(energy, background, color=PALE, label="background")
    axes.plot(energy, step, color=_STEP, label="double step")
    if "fit_counts" in arrays:
        fit = arrays["fit_energy_ev"], arrays["fit_counts"] / 1000
        axes.plot(*fit, ls="--", lw=1, color=_FIT, label="fit of two Voigt lines")
    half = parameters["line_width_ev"] / 2
    names, colours = ("L$_3$", "L$_2$"), (_L3, _L2)
    for line, name, colour in zip(parameters["used_lines_ev"], names, colours, strict=True):
        inside = (energy >= line - half) & (energy <= line + half)
        axes.fill_between(
            energy[inside], step[inside], counts[inside], color=colour, alpha=0.3, lw=0, label=name
        )
    for number, name in enumerate(("used_background_ev", "used_after_ev")):
        label = None if number else "windows of the fits"
        axes.axvspan(*parameters[name], color=PALE, alpha=0.14, lw=0, label=label)
    ratio = values["l3_l2_ratio"]
    axes.set_title(
        f"{parameters['element']} L$_3$/L$_2$ = {quantity_text(ratio)}", loc="left", fontsize=10
    )
    _spectrum_axes(axes, energy, counts, background)
    axes.legend(fontsize=7.5, loc="upper right", ncols=2, columnspacing=1.0)


def _oxygen(
    axes: Axes,
    values: Mapping[str, MeasuredQuantity],
    arrays: Mapping[str, Array],
    parameters: Mapping[str, Any],
) -> None:
    energy, counts = arrays["o_energy_ev"], arrays["o_counts"] / 1000
    background = arrays["o_background_counts"] / 1000
    axes.plot(energy, counts, color=INK, lw=1)
    axes.plot(energy, background, color=PALE, label="background")
    parts = (("o_prepeak_ev", "pre-peak", _L2), ("o_main_ev", "main edge", _L3))
    for window, name, colour in parts:
        first, last = parameters[window]
        inside = (energy >= first) & (energy <= last)
        axes.fill_between(
            energy[inside],
            background[inside],
            counts[inside],
            color=colour,
            alpha=0.3,
            lw=0,
            label=name,
        )
    axes.axvspan(
        *parameters["o_background_ev"], color=PALE, alpha=0.14, lw=0, label="window of the fit"
    )
    share = values["o_prepeak_to_main"]
    axes.set_title(f"O K pre-peak / main = {quantity_text(share)}", loc="left", fontsize=10)
    _spectrum_axes(axes, energy, counts, background)
    axes.legend(fontsize=7.5, loc="upper right", ncols=2, columnspacing=1.0)


def _spectrum_axes(axes: Axes, energy: Array, counts: Array, background: Array) -> None:
    bottom, top = float(min(background.min(), counts.min())), float(counts.max())
    axes.set_ylim(bottom - 0.05 * (top - bottom), top + 0.35 * (top - bottom))  # the legend's place
    axes.set_xlim(energy[0], energy[-1])
    axes.set(xlabel="Energy loss (eV)", ylabel="Counts (thousands)")


def _profile(
    axes: Axes,
    values: Mapping[str, MeasuredQuantity],
    arrays: Mapping[str, Array],
    name: str,
    label: str,
) -> None:
    in_nm = "profile_distance_nm" in arrays
    distance = arrays["profile_distance_nm" if in_nm else "profile_distance_pixels"]
    value, error = arrays[f"profile_{name}"], arrays[f"profile_{name}_uncertainty"]
    axes.fill_between(
        distance,
        value - 2 * error,
        value + 2 * error,
        color=_L3,
        alpha=0.2,
        lw=0,
        label="two standard uncertainties",
    )
    axes.plot(distance, value, "o", ms=3.5, color=_L3)
    shown = np.isfinite(value)
    layer = values.get("layer_thickness")
    if layer is not None and f"layer_{name}" in values:
        axes.plot(distance, arrays["profile_layer_fit"], color=_L2, label="error function")
        axes.axvline(layer.value, color=_L2, lw=1, ls="--")
        uncertainty = layer.uncertainty or 0.0
        axes.axvspan(
            layer.value - uncertainty, layer.value + uncertainty, color=_L2, alpha=0.15, lw=0
        )
        axes.set_title(f"Layer {quantity_text(layer)}", loc="left", fontsize=10)
    axes.axvline(0, color=PALE, lw=0.8)
    unit = "nm" if in_nm else "pixels"
    axes.set(xlabel=f"Distance from the surface ({unit})", ylabel=label)
    if shown.any():
        edge = (distance[1] - distance[0]) / 2
        axes.set_xlim(min(0.0, distance[shown][0] - edge), distance[shown][-1] + edge)
        # what the few counts near the vacuum leave open is cut, not the data
        low, high = np.min(value[shown]), np.max(value[shown])
        wide = 2 * float(np.median(error[shown]))
        axes.set_ylim(low - 1.5 * wide, high + 1.5 * wide + 0.3 * (high - low))
    axes.legend(fontsize=8)


def _map(figure: Figure, axes: Axes, image: Array, parameters: Mapping[str, Any]) -> None:
    axes.set_facecolor("#eef1f4")  # what is no number is not zero
    finite = image[np.isfinite(image)]
    limits = np.percentile(finite, (1, 99)) if len(finite) else (0.0, 1.0)
    drawn = axes.imshow(
        image, cmap="viridis", vmin=limits[0], vmax=limits[1], interpolation="nearest"
    )
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(drawn, ax=axes, shrink=0.85, extend="both")
    bar.set_label(f"{parameters['element']} L$_3$/L$_2$")
    bar.outline.set_visible(False)
    pixel_nm = parameters.get("used_pixel_nm")
    if pixel_nm is not None:
        add_scale_bar(axes, float(pixel_nm), image.shape[1])
