"""Element maps: the dopant's local share, and how its spread stands to that of counting alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import gamma

from rocksalt.analysis.quantities import Array
from rocksalt.stores.experiment_documents import MeasuredQuantity
from rocksalt.workflows.figure_style import ENGINE_COLOURS, INK
from rocksalt.workflows.measured_figures.scale_bar import add_scale_bar
from rocksalt.workflows.quantity_text import quantity_text


def draw(
    values: Mapping[str, MeasuredQuantity],
    arrays: Mapping[str, Array],
    parameters: Mapping[str, Any],
) -> Figure:
    """Return the map, of a volume its fullest plane, and the histogram beside counting noise.

    Curves of counting noise are gamma distributions with the mean share and each bin's deviation.
    """
    share, deviation = arrays["local_share"], arrays["counting_deviation"]
    element = str(parameters["element"])
    figure = Figure(figsize=(8.6, 3.9), layout="constrained")
    panels = figure.subplots(1, 2, width_ratios=(1, 1.15))
    used = np.isfinite(share)
    quantity = "Fraction" if parameters.get("k_factors") else "Share of signal"
    label = f"{quantity} of {element}"
    title = f"Mean {quantity_text(values['mean_share'])}"
    image = share
    if share.ndim == 3:
        plane = int(np.argmax(used.sum(axis=(1, 2))))
        image = share[plane]
        title = f"{title}; plane {plane + 1} of {len(share)}"
    _map(figure, panels[0], image, float(np.quantile(share[used], 0.995)), label)
    panels[0].set_title(title, loc="left", fontsize=9.5)
    if parameters.get("pixel_nm") is not None:
        add_scale_bar(panels[0], values["bin_edge"].value, image.shape[1])
    _histogram(panels[1], share[used], deviation[used], values, label)
    return figure


def _map(figure: Figure, axes: Axes, image: Array, top: float, label: str) -> None:
    axes.set_facecolor("#eef1f4")  # what is no number is not zero
    drawn = axes.imshow(image, cmap="viridis", vmin=0, vmax=top, interpolation="none")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(drawn, ax=axes, shrink=0.8, label=label, extend="max")
    bar.outline.set_visible(False)


def _histogram(
    axes: Axes,
    share: Array,
    deviation: Array,
    values: Mapping[str, MeasuredQuantity],
    label: str,
) -> None:
    mean = values["mean_share"].value
    # as wide as half of what counting does, so that one count more or less makes no comb
    width = max(float(np.median(deviation)) / 2, float(np.ptp(share)) / 60, 1e-12)
    first = np.floor(share.min() / width) * width
    edges = first + width * np.arange(int(np.ceil((share.max() - first) / width)) + 2)
    axes.hist(share, edges, color=ENGINE_COLOURS[0], alpha=0.55, label="map")
    levels = np.quantile(deviation, (np.arange(25) + 0.5) / 25)  # stand for all bins
    below = gamma.cdf(edges[:, None], (mean / levels) ** 2, scale=levels**2 / mean).mean(axis=1)
    axes.stairs(len(share) * np.diff(below), edges, color=INK, lw=1.4, label="counting alone")
    upper = 100 * values["relative_deviation_upper"].value
    lower = 100 * values["relative_deviation_lower"].value
    said = f"Excess {lower:.3g} to {upper:.3g} %" if lower else f"Excess below {upper:.3g} %"
    axes.set_title(f"{said} of the mean", loc="left", fontsize=9.5)
    axes.set(xlabel=label, ylabel="Bins")
    axes.legend()
