"""XPS: a line with its components on their background, binding energies falling to the right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from rocksalt.analysis.quantities import Array
from rocksalt.stores.experiment_documents import MeasuredQuantity
from rocksalt.workflows.measured_figures.peaks import draw_peaks
from rocksalt.workflows.quantity_text import quantity_text


def draw(
    values: Mapping[str, MeasuredQuantity],
    arrays: Mapping[str, Array],
    parameters: Mapping[str, Any],
) -> Figure:
    """Return the fitted line, and the residual in units of the noise."""
    figure, spectrum = draw_peaks(
        values, arrays, parameters, "binding_energy_ev", "Binding energy (eV)"
    )
    spectrum.invert_xaxis()
    shift = values.get("charge_shift")
    shifted = "no charge reference" if shift is None else f"shifted by {quantity_text(shift)}"
    chi = values["reduced_chi_square"].value
    spectrum.set_title(f"Reduced χ² {chi:.3g}, {shifted}", loc="left", fontsize=9)
    return figure
