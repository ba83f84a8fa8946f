"""A fit of peaks as an analysis, and the part of a curve that is fitted: what XPS and Raman share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import BaseModel

from rocksalt.analysis.peak_fits import PeakFit
from rocksalt.analysis.peak_model import Component
from rocksalt.analysis.quantities import Analysis, Quantity
from rocksalt.analysis.readers.spectra import Curve
from rocksalt.analysis.xanes import Range


def window_around(template: Mapping[str, Component], curve: Curve, beside: float) -> Range:
    """Return the part of an axis about the components of a template, as far as it was measured.

    Parameters
    ----------
    template
        Components by name.
    curve
        Measured.
    beside
        How far it goes beyond the outermost positions, in the unit of the axis.
    """
    positions = [component.position for component in template.values()]
    return (
        max(min(positions) - beside, float(curve.x[0])),
        min(max(positions) + beside, float(curve.x[-1])),
    )


def analysis_of(
    fit: PeakFit,
    template: Mapping[str, Component],
    options: BaseModel,
    used: Mapping[str, Any],
    axis: str,
) -> Analysis:
    """Return an analysis that says how a fit was made and holds its axis, and nothing of it yet.

    Parameters
    ----------
    fit
        Of the peaks.
    template
        What was fitted.
    options
        What the user gave.
    used
        What was used where the user gave nothing.
    axis
        Name of the axis.
    """
    return Analysis(
        parameters={
            **options.model_dump(mode="json"),
            "used_components": {n: c.model_dump(mode="json") for n, c in template.items()},
            **used,
            "component_order": list(fit.names),
        },
        arrays={axis: fit.x},
    )


def add_peaks(analysis: Analysis, fit: PeakFit, unit: str, common_uncertainty: float = 0.0) -> None:
    """Put a fit of peaks into an analysis: shares, positions, widths, goodness, curves, remarks.

    Parameters
    ----------
    analysis
        To which they are added.
    fit
        Of the peaks.
    unit
        Of the axis.
    common_uncertainty
        Standard uncertainty of the axis, which enters that of every position.
    """
    for i, name in enumerate(fit.names):
        position, width = fit.position_uncertainties[i], fit.width_uncertainties[i]
        analysis.values[f"{name}_share"] = Quantity(*fit.share([name]), "1")
        analysis.values[f"{name}_position"] = Quantity(
            float(fit.positions[i]),
            math.hypot(position, common_uncertainty) if np.isfinite(position) else None,
            unit,
        )
        analysis.values[f"{name}_width"] = Quantity(
            float(fit.widths[i]), float(width) if np.isfinite(width) else None, unit
        )
    analysis.values["total_area"] = Quantity(*fit.total_area(), f"intensity {unit}")
    analysis.values["reduced_chi_square"] = Quantity(fit.reduced_chi_square, None, "1")
    analysis.arrays |= {
        "intensity": fit.data,
        "noise": fit.noise,
        "background": fit.background,
        "components": fit.components,
        "envelope": fit.envelope,
    }
    analysis.remarks += fit.remarks
