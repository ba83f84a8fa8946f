"""TXM-XANES: maps of the cycled phase and of the misfit, and the profile below the surface."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rocksalt.analysis.quantities import Array
from rocksalt.stores.experiment_documents import MeasuredQuantity
from rocksalt.workflows.figure_style import ENGINE_COLOURS, PALE
from rocksalt.workflows.measured_figures.scale_bar import add_scale_bar
from rocksalt.workflows.quantity_text import quantity_text


def draw(
    values: Mapping[str, MeasuredQuantity],
    arrays: Mapping[str, Array],
    parameters: Mapping[str, Any],
) -> Figure:
    """Return two maps with colour bars and, where the pixel is known, a scale bar and the profile."""
    pixel_nm = parameters.get("pixel_nm")
    profiled = "profile_distance_nm" in arrays
    figure = Figure(figsize=(11.4 if profiled else 8.0, 3.9), layout="constrained")
    panels = figure.subplots(1, 3 if profiled else 2, width_ratios=(1, 1, 1.15)[: 2 + profiled])
    weight = values["mean_cycled_weight"]
    _map(
        figure, panels[0], arrays["cycled_weight"], "viridis", (0.0, 1.0), "Weight of cycled phase"
    )
    panels[0].set_title(f"Mean {quantity_text(weight)}", loc="left", fontsize=9.5)
    misfit = arrays["r_factor"]
    # pixels without material have any R: those that were used decide the colours
    used = np.isfinite(arrays["cycled_weight"])
    top = float(np.max(misfit[used], initial=1e-9))
    shown = np.where(used, misfit, np.nan)
    _map(figure, panels[1], shown, "magma_r", (0.0, top), "Misfit R")
    panels[1].set_title("In the pixels that were used", loc="left", fontsize=9.5)
    if pixel_nm is not None:
        for axes in panels[:2]:
            add_scale_bar(axes, float(pixel_nm), misfit.shape[1])
    if profiled:
        _profile(panels[2], arrays)
    return figure


def _map(
    figure: Figure,
    axes: Axes,
    image: Array,
    colours: str,
    limits: tuple[float, float],
    label: str,
) -> None:
    axes.set_facecolor("#eef1f4")  # what is no number is not zero
    drawn = axes.imshow(image, cmap=colours, vmin=limits[0], vmax=limits[1], interpolation="none")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(drawn, ax=axes, shrink=0.8, label=label)
    bar.outline.set_visible(False)


def _profile(axes: Axes, arrays: Mapping[str, Array]) -> None:
    distance, weight = arrays["profile_distance_nm"], arrays["profile_cycled_weight"]
    error = arrays["profile_standard_error"]
    axes.fill_between(
        distance,
        weight - 2 * error,
        weight + 2 * error,
        color=ENGINE_COLOURS[0],
        alpha=0.2,
        lw=0,
        label="two standard errors",
    )
    axes.plot(distance, weight, "o-", ms=4, color=ENGINE_COLOURS[0], label="mean of pixels")
    axes.axhline(0, color=PALE, lw=0.8)
    axes.set(xlabel="Distance from the surface (nm)", ylabel="Weight of cycled phase")
    axes.legend()
