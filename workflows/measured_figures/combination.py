"""A spectrum as a sum of references, and what that leaves: drawn for every X-ray absorption technique."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from rocksalt.analysis.quantities import Array
from rocksalt.stores.experiment_documents import MeasuredQuantity
from rocksalt.workflows.figure_style import ENGINE_COLOURS, INK, PALE
from rocksalt.workflows.quantity_text import number_text, quantity_text


def draw_combination(
    spectrum: Axes,
    residual: Axes,
    values: Mapping[str, MeasuredQuantity],
    arrays: Mapping[str, Array],
    parameters: Mapping[str, Any],
) -> None:
    """Draw data, fit with its band of two standard uncertainties, weighted references, residual.

    Parameters
    ----------
    spectrum, residual
        Axes for the spectra and, below, for data minus fit.
    values, arrays, parameters
        Of an analysis with references.
    """
    energy, fit, data = (arrays[name] for name in ("fit_energy_ev", "fit", "fit_data"))
    spectrum.plot(energy, data, ".", color=INK, ms=3.5, label="measured")
    spectrum.plot(
        energy, fit, color=ENGINE_COLOURS[1], label=f"fit, R = {values['r_factor'].value:.2g}"
    )
    band = 2 * arrays["fit_uncertainty"]
    for axes, middle in ((spectrum, fit), (residual, np.zeros_like(fit))):
        axes.fill_between(
            energy, middle - band, middle + band, color=ENGINE_COLOURS[1], alpha=0.25, lw=0
        )
    names = parameters["reference_order"]
    colours = [c for c in ENGINE_COLOURS if c != ENGINE_COLOURS[1]]
    for number, name in enumerate(names):
        share = values[f"fraction_{name}"]
        spectrum.plot(
            energy,
            share.value * arrays["fit_references"][:, number],
            "--",
            lw=1,
            color=colours[number % len(colours)],
            label=f"{name}: {number_text(share.value, share.uncertainty)}",
        )
    spectrum.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8.5)
    if "mean_valence" in values:
        text = f"Mean valence {quantity_text(values['mean_valence'])}"
        spectrum.set_title(text, loc="left")
    residual.plot(energy, data - fit, ".", color=INK, ms=3)
    residual.axhline(0, color=PALE, lw=0.8)
    reach = 1.15 * max(np.abs(data - fit).max(), band.max(), 1e-12)
    residual.set_ylim(-reach, reach)
    residual.set(xlabel="Energy (eV)", ylabel="Measured\nless fit")
    spectrum.tick_params(labelbottom=False)
    for axes in (spectrum, residual):
        axes.set_xlim(energy[0], energy[-1])
        axes.ticklabel_format(axis="x", useOffset=False)
