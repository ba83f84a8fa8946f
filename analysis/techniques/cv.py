"""Cyclic voltammetry, from a cycler's file."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from pydantic import Field

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.quantities import Analysis, Quantity
from rocksalt.analysis.readers.cycler import CyclerOptions, read_cycler
from rocksalt.analysis.sample import Sample
from rocksalt.analysis.voltammetry import Peak, peak, rate_exponent, sweeps


class Options(CyclerOptions):
    """What may be chosen; the windows of the peaks must be given."""

    oxygen_window_v: tuple[float, float] | None = Field(
        None, description="voltages about peak A, the oxidation of lattice oxygen"
    )
    metal_window_v: tuple[float, float] | None = Field(
        None, description="voltages about peak B, the oxidation of the transition metal"
    )
    least_range_v: float = Field(0.2, gt=0, description="a smaller excursion is no sweep")


def analyse(file: Path, sample: Sample, options: Options) -> Analysis:
    """Read a voltammogram; return the two peaks of the first oxidation and their ratio I_A/I_B.

    With several rates in the file, the exponent of the current with rate for each peak too.

    Raises
    ------
    MeasurementError
        When the file or the options cannot give them.
    """
    windows = {"oxygen": options.oxygen_window_v, "metal": options.metal_window_v}
    meant = {
        "oxygen": "peak A, the oxidation of lattice oxygen, as [4.3, 4.7]",
        "metal": "peak B, the oxidation of the transition metal, as [3.6, 4.2]",
    }
    for name, window in windows.items():
        if window is None:
            raise MeasurementError(
                f"{file}: give {name}_window_v, the voltages from and to about {meant[name]}"
            )
    table = read_cycler(file, options)
    oxidations = [
        s for s in sweeps(table, least_range_v=options.least_range_v) if s.rate_v_per_s > 0
    ]
    if not oxidations:
        raise MeasurementError(f"{file}: no sweep rises: give a voltammogram with an oxidation")
    result = Analysis(parameters=options.model_dump(mode="json"), remarks=list(table.remarks))
    rates = np.array([sweep.rate_v_per_s for sweep in oxidations])
    first: dict[str, Peak] = {}
    for name, window in windows.items():
        assert window is not None  # asked for above
        try:
            peaks = [peak(sweep, *window) for sweep in oxidations]
        except MeasurementError as error:
            raise MeasurementError(f"{file}: {error} ({name}_window_v)") from None
        first[name] = peaks[0]
        heights = np.array([each.height_a for each in peaks])
        result.values[f"{name}_peak_voltage"] = Quantity(peaks[0].voltage_v, None, "V")
        result.values[f"{name}_peak_current"] = Quantity(
            1000 * peaks[0].height_a, 1000 * peaks[0].height_uncertainty_a, "mA"
        )
        result.arrays[f"{name}_peak_currents_ma"] = 1000 * heights
        if rates.max() > 1.1 * rates.min() and np.all(heights > 0):
            doubts_a = np.array([each.height_uncertainty_a for each in peaks])
            exponent = rate_exponent(rates, heights, doubts_a)
            result.values[f"{name}_rate_exponent"] = Quantity(*exponent, "1")
    top, bottom = first["oxygen"], first["metal"]
    if bottom.height_a <= 0:
        raise MeasurementError(f"{file}: peak B is not above its baseline: move metal_window_v")
    ratio = top.height_a / bottom.height_a
    doubts = [each.height_uncertainty_a / abs(each.height_a) for each in (top, bottom)]
    result.values["oxygen_to_metal_peak_ratio"] = Quantity(
        ratio, abs(ratio) * math.hypot(*doubts), "1"
    )
    result.arrays["sweep_rates_mv_per_s"] = 1000 * rates
    result.arrays["voltage_v"] = oxidations[0].voltage_v
    result.arrays["current_ma"] = 1000 * oxidations[0].current_a
    return result
