"""Galvanostatic cycling, from a cycler's file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from rocksalt.analysis.cycling import (
    Cycle,
    HalfCycle,
    charge_below,
    dq_dv,
    dq_dv_peaks,
    ends_early,
    half_cycles,
    line_fit,
    mean_capacity,
    pair_cycles,
    rate_numbers,
    rate_runs,
)
from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.quantities import Analysis, Array, Quantity
from rocksalt.analysis.readers.cycler import CyclerOptions, read_cycler
from rocksalt.analysis.sample import Sample


class Options(CyclerOptions):
    """What may be chosen."""

    basis: Literal["mass", "cell"] = Field(
        "mass", description="capacities per gram of active material, or of the cell"
    )
    mass_uncertainty_mg: float = Field(0.0, ge=0, description="standard uncertainty of the mass")
    reference_cycle: int = Field(
        1, ge=1, description="position of the cycle that retention and voltage decay start from"
    )
    retention_cycles: int | None = Field(
        None, ge=1, description="cycles after the reference that retention spans; all by default"
    )
    activation_voltage_v: float | None = Field(
        4.47, gt=0, description="where the first charge is split; none: it is not"
    )
    nominal_capacity_mah_per_g: float | None = Field(
        None, gt=0, description="rates are 1/h (C-rates) with it, else currents per gram or cell"
    )
    rate_cycles: int = Field(
        5, ge=1, description="cycles that count when a rate begins: later ones are ageing"
    )
    grid_v: float = Field(0.005, gt=0, description="step of the voltage grid of dQ/dV")
    smoothing_v: float = Field(0.03, gt=0, description="width of the filter of dQ/dV")
    curve_cycle: int = Field(1, ge=1, description="position of the cycle whose curves are kept")


def analyse(file: Path, sample: Sample, options: Options) -> Analysis:
    """Read a cycler's file and return capacities, efficiencies, voltages and their decay.

    Raises
    ------
    MeasurementError
        When the file, the sample or the options cannot give them.
    """
    table = read_cycler(file, options)
    halves, remarks = half_cycles(table)
    cycles = pair_cycles(halves, numbered=table.cycle is not None)
    whole = [cycle for cycle in cycles if cycle.charge and cycle.discharge]
    for name in ("reference_cycle", "curve_cycle"):
        if getattr(options, name) > len(cycles):
            raise MeasurementError(f"{file}: has {len(cycles)} cycles: give {name} within them")
    result = Analysis(
        parameters=options.model_dump(mode="json"), remarks=[*table.remarks, *remarks]
    )
    if len(whole) < len(cycles):
        result.remarks.append(
            f"{len(cycles) - len(whole)} of {len(cycles)} cycles have no charge or no discharge."
        )
    per, unit, mass_share = 1 / 1000, "mAh", 0.0  # Ah in a milliampere hour
    if options.basis == "mass":
        per, unit = per * sample.mass_g("a capacity per gram"), "mAh/g"
        mass_share = options.mass_uncertainty_mg / 1000 / sample.mass_g("a capacity per gram")
    _first_cycle(file, cycles[0], options, result, per, unit, mass_share)
    _ageing(cycles[options.reference_cycle - 1 :], options, result)
    early = ends_early(table, halves)
    _rates(cycles, options, result, sample, per, unit, mass_share, early)
    _curves(cycles[options.curve_cycle - 1], options, result, per, unit)
    suffix = unit.lower().replace("/", "_per_")
    result.arrays["cycle_number"] = np.array([cycle.number for cycle in cycles], dtype=float)
    for kind in ("charge", "discharge"):
        series = [getattr(cycle, kind) for cycle in cycles]
        result.arrays[f"{kind}_capacity_{suffix}"] = _each(series, "total_ah") / per
        result.arrays[f"{kind}_energy_{suffix.replace('mah', 'mwh')}"] = (
            _each(series, "energy_wh") / per
        )
        result.arrays[f"{kind}_mean_voltage_v"] = _each(series, "mean_voltage_v")
        result.arrays[f"{kind}_median_voltage_v"] = _each(series, "median_voltage_v")
    if early:
        result.remarks.append(
            f"The file ends in a {halves[-1].kind} while current flows, at a voltage where none "
            "before it ended: its capacity may not be that of a whole one."
        )
    return result


def _each(halves: list[HalfCycle | None], name: str) -> Array:
    return np.array([getattr(half, name) if half else np.nan for half in halves], dtype=float)


def _ratio(top: HalfCycle, bottom: HalfCycle, name: str = "total_ah") -> Quantity:
    """Return a ratio of capacities or energies; the mass and the range's gain cancel in it."""
    value = getattr(top, name) / getattr(bottom, name)
    share = math.hypot(top.resolution_ah / top.total_ah, bottom.resolution_ah / bottom.total_ah)
    return Quantity(value, value * share or None, "1")


def _first_cycle(
    file: Path,
    first: Cycle,
    options: Options,
    result: Analysis,
    per: float,
    unit: str,
    mass_share: float,
) -> None:
    """Add capacities and efficiencies of the first cycle, and the split of its charge."""

    def capacity(value_ah: float, uncertainty_ah: float) -> Quantity:
        # a counted charge and a mass without a stated uncertainty give none: that is not zero
        doubt_ah = float(np.hypot(uncertainty_ah, value_ah * mass_share))
        return Quantity(value_ah / per, doubt_ah / per or None, unit)

    for kind in ("charge", "discharge"):
        half = getattr(first, kind)
        if half:
            name = f"first_{kind}_capacity"
            result.values[name] = capacity(half.total_ah, half.resolution_ah)
            result.values[f"first_{kind}_mean_voltage"] = Quantity(half.mean_voltage_v, None, "V")
            result.values[f"first_{kind}_median_voltage"] = Quantity(
                half.median_voltage_v, None, "V"
            )
    if first.charge is None or first.discharge is None:
        result.remarks.append(
            "The first cycle lacks its charge or its discharge: there is no initial Coulombic "
            "efficiency."
        )
    else:
        efficiency = _ratio(first.discharge, first.charge)
        result.values["initial_coulombic_efficiency"] = efficiency
        if efficiency.value > 1.05:
            result.remarks.append(
                "The first discharge gives more than the first charge took: the cell was not empty "
                "at the start, and its initial Coulombic efficiency says nothing."
            )
        result.values["first_energy_efficiency"] = _ratio(
            first.discharge, first.charge, "energy_wh"
        )
    if options.activation_voltage_v is None or first.charge is None:
        return
    try:
        below, doubt = charge_below(first.charge, options.activation_voltage_v)
    except MeasurementError as error:
        if "activation_voltage_v" in options.model_fields_set:
            raise MeasurementError(f"{file}: {error}") from None
        result.remarks.append(f"No activation plateau: {error}.")
        return
    result.values["first_charge_before_activation"] = capacity(below, doubt)
    result.values["first_charge_at_activation"] = capacity(
        first.charge.total_ah - below, float(np.hypot(doubt, first.charge.resolution_ah))
    )


def _ageing(cycles: list[Cycle], options: Options, result: Analysis) -> None:
    """Add retention and the decay of the discharge voltages from the reference cycle on."""
    aged = [(cycle.number, cycle.discharge) for cycle in cycles if cycle.discharge is not None]
    if options.retention_cycles is not None:
        last = cycles[0].number + options.retention_cycles
        if not aged or aged[-1][0] < last:
            reached = aged[-1][0] if aged else 0
            raise MeasurementError(
                f"retention to cycle {last} was asked for, the last discharge is that of cycle "
                f"{reached}: give fewer retention_cycles"
            )
        aged = [(number, half) for number, half in aged if number <= last]
    if len(aged) < 2:
        result.remarks.append("Fewer than two discharges: no retention and no voltage decay.")
        return
    numbers = np.array([number for number, _ in aged], dtype=float)
    halves = [half for _, half in aged]
    result.values["retention"] = _ratio(halves[-1], halves[0])
    result.values["retention_cycles"] = Quantity(float(numbers[-1] - numbers[0]), None, "1")
    if numbers[-1] == numbers[0]:
        return
    for name in ("median", "mean"):
        volts = np.array([getattr(half, f"{name}_voltage_v") for half in halves])
        slope, error = line_fit(numbers, volts)
        # the loss is given as a positive number, as papers do
        result.values[f"{name}_voltage_decay"] = Quantity(
            -1000 * slope, None if error is None else 1000 * error, "mV/cycle"
        )


def _rates(
    cycles: list[Cycle],
    options: Options,
    result: Analysis,
    sample: Sample,
    per: float,
    unit: str,
    mass_share: float,
    ends_early: bool,
) -> None:
    """Add the capacity at each discharge current, the slowest first, where there are several.

    A rate has the mean of the first cycles of its first run, so that ageing at the end of a test
    does not enter; the first rate's recovery is that of the run in which it returns.
    """
    ran = [(cycle.number, cycle.discharge) for cycle in cycles if cycle.discharge is not None]
    if ends_early and ran and cycles[-1].discharge is not None:
        ran.pop()  # its capacity may not be whole
    if not ran:
        return
    halves = [half for _, half in ran]
    current_a = np.array([half.mean_current_a for half in halves])
    rate_of = rate_numbers(current_a)
    n_rates = int(rate_of.max()) + 1
    if n_rates == 1:
        return
    start = cycles[options.reference_cycle - 1].number
    end = np.inf if options.retention_cycles is None else start + options.retention_cycles
    aged = [rate for rate, (number, _) in zip(rate_of, ran, strict=True) if start <= number <= end]
    if len(set(aged)) > 1:
        result.remarks.append(
            "Retention and voltage decay span discharges at several rates: reference_cycle and "
            "retention_cycles choose cycles of one."
        )
    nominal = options.nominal_capacity_mah_per_g
    if nominal is not None:
        mass_g = sample.mass_g("a rate by nominal_capacity_mah_per_g")
        doubt = options.mass_uncertainty_mg / 1000 / mass_g
        rate_unit, name, per_rate = "1/h", "rate_per_h", nominal * mass_g / 1000
    else:
        doubt, per_rate = mass_share, per  # A per gram or cell, as Ah are
        rate_unit = unit.replace("mAh", "mA")
        name = f"rate_{rate_unit.lower().replace('/', '_per_')}"
    runs = rate_runs(rate_of)
    firsts = [
        next(run for run in runs if rate_of[run[0]] == rate)[: options.rate_cycles]
        for rate in range(n_rates)
    ]
    means = [mean_capacity([halves[n] for n in first]) for first in firsts]
    rates = [float(current_a[first].mean()) / per_rate for first in firsts]
    for n, (rate, (mean_ah, spread_ah)) in enumerate(zip(rates, means, strict=True), start=1):
        result.values[f"rate_{n}"] = Quantity(rate, rate * doubt or None, rate_unit)
        total_ah = math.hypot(spread_ah, mean_ah * mass_share)
        result.values[f"rate_{n}_capacity"] = Quantity(mean_ah / per, total_ah / per or None, unit)
        if n > 1:
            result.values[f"rate_{n}_capacity_kept"] = _kept(means[n - 1], means[0])
    returns = [run for run in runs[1:] if rate_of[run[0]] == rate_of[0]]
    if returns:
        again = mean_capacity([halves[n] for n in returns[0][: options.rate_cycles]])
        result.values["rate_recovery"] = _kept(again, means[rate_of[0]])
    suffix = unit.lower().replace("/", "_per_")
    capacity = np.array(means) / per
    result.arrays[name] = np.array(rates)
    result.arrays[f"rate_capacity_{suffix}"] = capacity[:, 0]
    result.arrays[f"rate_capacity_uncertainty_{suffix}"] = capacity[:, 1]  # without the mass's
    result.arrays["rate_first_cycle"] = np.array(
        [ran[first[0]][0] for first in firsts], dtype=float
    )
    result.arrays["rate_n_cycles"] = np.array([len(first) for first in firsts], dtype=float)


def _kept(top: tuple[float, float], bottom: tuple[float, float]) -> Quantity:
    """Return a ratio of mean capacities of one cell, in which its mass cancels."""
    value = top[0] / bottom[0]
    return Quantity(value, value * math.hypot(top[1] / top[0], bottom[1] / bottom[0]) or None, "1")


def _curves(cycle: Cycle, options: Options, result: Analysis, per: float, unit: str) -> None:
    """Add voltage against capacity and dQ/dV of one cycle."""
    suffix = unit.lower().replace("/", "_per_")
    for half in (cycle.charge, cycle.discharge):
        if half is None:
            continue
        result.arrays[f"curve_{half.kind}_voltage_v"] = half.voltage_v
        result.arrays[f"curve_{half.kind}_capacity_{suffix}"] = half.capacity_ah / per
        how = {"step_v": options.grid_v, "smoothing_v": options.smoothing_v}
        volts, density = dq_dv(half, **how)
        result.arrays[f"dq_dv_{half.kind}_voltage_v"] = volts
        result.arrays[f"dq_dv_{half.kind}_{suffix}_per_v"] = density / per
        peaks = dq_dv_peaks(half, **how)
        result.arrays[f"dq_dv_{half.kind}_peaks_v"] = np.array([p.voltage_v for p in peaks])
        if peaks:
            result.values[f"dq_dv_{half.kind}_main_peak"] = Quantity(
                peaks[0].voltage_v, peaks[0].uncertainty_v, "V"
            )
        else:
            result.remarks.append(
                f"dQ/dV of the {half.kind} has no peak above its noise and away from its ends: no main peak "
                "is given."
            )
