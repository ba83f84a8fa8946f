"""Galvanostatic intermittent titration, from a cycler's file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import Field

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.gitt import diffusion, find_pulses
from rocksalt.analysis.quantities import Analysis, Array, Quantity
from rocksalt.analysis.readers.cycler import CyclerOptions, read_cycler
from rocksalt.analysis.sample import Sample

LARGEST_SWITCH_SHARE = 0.05
"""Of a diffusion coefficient: above it a reader is told what the moments of switching leave open."""


class Options(CyclerOptions):
    """What may be chosen; the particle radius must be given."""

    particle_radius_nm: float | None = Field(None, gt=0, description="Rs of the particles")
    radius_uncertainty_nm: float = Field(0.0, ge=0, description="standard uncertainty of Rs")
    skip_s: float = Field(
        10.0, ge=0, description="start of each pulse that is not fitted: charge transfer"
    )
    most_bend: float = Field(
        0.3,
        gt=0,
        description="change linear in time over that linear in its root: above it diffusion has "
        "reached the particle's middle and the pulse is marked as not valid",
    )
    most_drift: float = Field(
        0.05,
        gt=0,
        description="uncertainty of the relaxed voltages over their change: above it the rest was too "
        "short, or the change too small, and the pulse is marked as not valid",
    )
    least_correlation: float = Field(
        0.98, gt=0, lt=1, description="least coefficient of determination of a line in root time"
    )


def analyse(file: Path, sample: Sample, options: Options) -> Analysis:
    """Read a titration and return diffusion coefficients, overpotentials and resistive drops.

    Raises
    ------
    MeasurementError
        When the file or the options cannot give them.
    """
    if options.particle_radius_nm is None:
        raise MeasurementError(
            f"{file}: a diffusion coefficient needs the radius of the particles: give "
            "particle_radius_nm"
        )
    table = read_cycler(file, options)
    pulses = find_pulses(table, skip_s=options.skip_s)

    def column(name: str) -> Array:
        return np.array([getattr(pulse, name) for pulse in pulses], dtype=float)

    d_es, d_etau, bend = column("d_es_v"), column("d_etau_v"), column("bend")
    if np.any(d_etau == 0) or np.any(d_es == 0):
        raise MeasurementError(
            f"{file}: a pulse does not change the voltage: was the cell connected?"
        )
    with np.errstate(over="ignore"):
        value, doubt = diffusion(
            column("duration_s"),
            options.particle_radius_nm * 1e-9,
            (d_es, column("d_es_uncertainty_v")),
            (d_etau, column("d_etau_uncertainty_v")),
            options.radius_uncertainty_nm * 1e-9,
            column("switch_share"),
        )
    valid = (
        (np.sign(d_es) == np.sign(d_etau))
        & (np.abs(bend) <= options.most_bend)
        & (column("d_es_uncertainty_v") <= options.most_drift * np.abs(d_es))
        & (column("correlation") >= options.least_correlation)
    )
    result = Analysis(
        parameters=options.model_dump(mode="json"),
        remarks=list(table.remarks),
        arrays={
            "diffusion_m2_per_s": value,
            "diffusion_uncertainty_m2_per_s": doubt,
            "valid": valid.astype(float),
            "capacity_mah": 1000 * column("capacity_ah"),
            "voltage_v": column("rest_after_v"),
            "overpotential_mv": 1000 * column("overpotential_v"),
            "ir_drop_mv": 1000 * column("ir_drop_v"),
            "resistance_ohm": column("ir_drop_v") / column("current_a"),
            "d_es_mv": 1000 * d_es,
            "d_etau_mv": 1000 * d_etau,
            "bend": bend,
            "correlation": column("correlation"),
            "duration_s": column("duration_s"),
            "switch_uncertainty_s": column("switch_uncertainty_s"),
        },
    )
    if sample.active_mass_mg is not None:
        capacity = column("capacity_ah") / sample.mass_g("capacity per gram")
        result.arrays["capacity_mah_per_g"] = 1000 * capacity
    result.values["pulses"] = Quantity(len(pulses), None, "1")
    result.values["valid_pulses"] = Quantity(int(valid.sum()), None, "1")
    result.values["largest_overpotential"] = Quantity(
        float(np.abs(result.arrays["overpotential_mv"]).max()), None, "mV"
    )
    share = column("switch_share")
    if np.median(share) > LARGEST_SWITCH_SHARE:
        result.remarks.append(
            "The records leave open when the current was switched, by "
            f"{np.median(column('switch_uncertainty_s')):.2g} s, which is {np.median(share):.0%} of a "
            "diffusion coefficient and in its uncertainty: export the capacity or the step time, or "
            "record more often."
        )
    if not valid.all():
        result.remarks.append(
            f"{(~valid).sum()} of {len(pulses)} pulses are not linear in the root of time, have "
            "not relaxed, or relax the wrong way: their diffusion coefficients are marked as not valid."
        )
    if valid.any():
        middle = float(np.exp(np.median(np.log(value[valid]))))
        nearest = int(np.argmin(np.where(valid, np.abs(np.log(value / middle)), np.inf)))
        result.values["median_diffusion_coefficient"] = Quantity(
            middle, float(doubt[nearest] / value[nearest] * middle), "m^2/s"
        )
    return result
