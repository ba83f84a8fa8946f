"""Titration: relaxed voltage, diffusion coefficients with uncertainties, overpotential."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from rocksalt.analysis.quantities import Array
from rocksalt.stores.experiment_documents import MeasuredQuantity
from rocksalt.workflows.figure_style import ENGINE_COLOURS, PALE


def draw(
    values: Mapping[str, MeasuredQuantity],
    arrays: Mapping[str, Array],
    parameters: Mapping[str, Any],
) -> Figure:
    """Return three panels against the capacity; pulses that are not valid are open and pale."""
    per_gram = "capacity_mah_per_g" in arrays
    capacity = arrays["capacity_mah_per_g" if per_gram else "capacity_mah"]
    valid = arrays["valid"] > 0
    figure = Figure(figsize=(6.2, 7.2), layout="constrained")
    voltage, diffusion, polarisation = figure.subplots(3, 1, sharex=True)

    voltage.plot(capacity, arrays["voltage_v"], "o-", color=ENGINE_COLOURS[0], ms=4)
    voltage.set_ylabel("Relaxed voltage (V)")

    value, doubt = arrays["diffusion_m2_per_s"], arrays["diffusion_uncertainty_m2_per_s"]
    # on a logarithmic axis a bar reaches as many decades up as down
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        factor = np.exp(np.minimum(doubt / value, np.log(1e3)))
    bars = np.array([value - value / factor, value * factor - value])
    for mask, colour, filled, label in (
        (valid, ENGINE_COLOURS[2], True, "valid"),
        (~valid, PALE, False, "not valid: not linear in √t, or not relaxed"),
    ):
        if mask.any():
            diffusion.errorbar(
                capacity[mask],
                value[mask],
                bars[:, mask] if filled else None,
                fmt="o",
                ms=4.5,
                capsize=2,
                color=colour,
                mfc=colour if filled else "none",
                label=label,
            )
    diffusion.set_yscale("log")
    diffusion.set_ylabel("Diffusion coefficient\n(m²/s)")
    diffusion.set_title(
        f"Particle radius {parameters['particle_radius_nm']:g} nm", loc="left", fontsize=9
    )
    low, high = diffusion.get_ylim()
    diffusion.set_ylim(low / 2, high * 4)  # room for the legend, and a coefficient is no more exact
    diffusion.legend(loc="upper right", ncols=2)

    polarisation.plot(
        capacity,
        arrays["overpotential_mv"],
        "s-",
        color=ENGINE_COLOURS[1],
        ms=4,
        label="overpotential",
    )
    polarisation.plot(
        capacity, arrays["ir_drop_mv"], "^-", color=ENGINE_COLOURS[3], ms=4, label="IR drop"
    )
    polarisation.axhline(0, color=PALE, lw=0.8)
    polarisation.set_ylabel("Polarisation (mV)")
    polarisation.set_xlabel(f"Charge passed ({'mAh/g' if per_gram else 'mAh'})")
    low, high = polarisation.get_ylim()
    polarisation.set_ylim(low, high + 0.2 * (high - low))
    polarisation.legend(loc="upper right", ncols=2)
    return figure
