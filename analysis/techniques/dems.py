"""Gas evolution while a cell is charged (DEMS, OEMS): onsets and amounts of gases."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.gas_evolution import (
    Baseline,
    Onset,
    amount,
    delithiation,
    find_onset,
    fit_baseline,
)
from rocksalt.analysis.quantities import Analysis, Array, Quantity
from rocksalt.analysis.readers.gas import GasOptions, GasTable, read_gases
from rocksalt.analysis.sample import Sample


class Options(GasOptions):
    """What may be chosen; the gases and their baseline must be given."""

    baseline_to_v: float | None = Field(
        None, description="the baseline is what precedes the first record at this voltage"
    )
    baseline_s: list[tuple[float, float]] | None = Field(
        None, min_length=1, description="instead: windows of time without gas evolution"
    )
    baseline_degree: int = Field(1, ge=0, le=2, description="of the polynomial in time")
    onset_sigmas: float = Field(5.0, ge=2, description="standard deviations above the baseline")
    onset_records: int = Field(5, ge=2, description="records in a row above it")
    from_s: float | None = Field(None, description="earlier records are left out")
    to_s: float | None = Field(None, description="later records are left out: an amount ends here")
    mass_uncertainty_mg: float = Field(0.0, ge=0, description="standard uncertainty of the mass")

    @model_validator(mode="after")
    def _one_baseline(self) -> Options:
        if self.baseline_to_v is not None and self.baseline_s is not None:
            raise ValueError("give baseline_to_v or baseline_s, not both")
        return self


def analyse(file: Path, sample: Sample, options: Options) -> Analysis:
    """Read a table of gas evolution; return the onset and the amount of each gas.

    With the sample's composition, onsets and curves are also against the share of lithium that has
    been removed, from the charge passed.

    Raises
    ------
    MeasurementError
        When the file, the sample or the options cannot give them.
    """
    table = _cut(read_gases(file, options), options)
    inside = _baseline_records(file, table, options)
    first = int(np.flatnonzero(inside)[0])
    after = np.flatnonzero(~inside & (np.arange(len(inside)) > first))
    if not len(after):
        raise MeasurementError(f"{file}: no record follows the baseline: end it earlier")
    result = Analysis(
        parameters=options.model_dump(mode="json"),
        remarks=list(table.remarks),
        arrays={"time_s": table.time_s, "voltage_v": table.voltage_v},
    )
    result.arrays["in_baseline"] = inside.astype(float)
    removed = _removed(table, sample, result)
    share = 0.0
    if sample.active_mass_mg is not None:
        share = options.mass_uncertainty_mg / sample.active_mass_mg
    for name, rate in table.rates.items():
        known = name in table.per_gram
        mass_g = 1.0 if known else sample.mass_g(f"{file}: the amount of {name} per gram")
        per_gram = rate / mass_g * 1e9  # nmol/s/g
        try:
            under = fit_baseline(table.time_s, per_gram, inside, degree=options.baseline_degree)
        except MeasurementError as error:
            raise MeasurementError(f"{file}: {name}: {error}") from None
        relative = math.hypot(0.0 if known else share, options.gases[name].relative_uncertainty)
        _add_amount(result, name, table, per_gram, under, int(after[0]), relative)
        onset = find_onset(
            table.time_s,
            per_gram,
            under,
            int(after[0]),
            sigmas=options.onset_sigmas,
            run=options.onset_records,
        )
        if onset is None:
            result.remarks.append(
                f"No onset of {name}: no {options.onset_records} records in a row are above the "
                f"baseline by {options.onset_sigmas:g} standard deviations."
            )
            continue
        if onset.first_record == after[0]:
            result.remarks.append(
                f"{name} is above its baseline from the first record after it: its onset is earlier."
            )
        _add_onset(result, name, table, onset, removed, share)
    return result


def _cut(table: GasTable, options: Options) -> GasTable:
    low = -math.inf if options.from_s is None else options.from_s
    high = math.inf if options.to_s is None else options.to_s
    kept = (table.time_s >= low) & (table.time_s <= high)
    if kept.sum() < 3:
        raise MeasurementError(
            f"{table.path}: {kept.sum()} records lie from from_s to to_s; the file has "
            f"{table.time_s[0]:g} to {table.time_s[-1]:g} s"
        )
    return replace(
        table,
        time_s=table.time_s[kept],
        voltage_v=table.voltage_v[kept],
        net_charge_ah=None if table.net_charge_ah is None else table.net_charge_ah[kept],
        rates={name: rate[kept] for name, rate in table.rates.items()},
    )


def _baseline_records(file: Path, table: GasTable, options: Options) -> NDArray[np.bool_]:
    """Return which records are of the baseline, as (n,) bool."""
    if options.baseline_s is not None:
        time = table.time_s
        inside = np.any([(time >= a) & (time <= b) for a, b in options.baseline_s], axis=0)
        if not inside.any():
            raise MeasurementError(f"{file}: no record lies in baseline_s: it is in seconds")
        return np.asarray(inside)
    if options.baseline_to_v is None:
        raise MeasurementError(
            f"{file}: which records precede the gas is not known: give baseline_to_v or baseline_s"
        )
    reached = np.flatnonzero(table.voltage_v >= options.baseline_to_v)
    if not len(reached) or not reached[0]:
        raise MeasurementError(
            f"{file}: the voltage goes from {table.voltage_v[0]:.3f} to {table.voltage_v.max():.3f} V "
            f"and does not rise through baseline_to_v = {options.baseline_to_v:g} V: move it"
        )
    return np.arange(len(table.voltage_v)) < reached[0]


def _removed(table: GasTable, sample: Sample, result: Analysis) -> Array | None:
    """Return the share of lithium removed at each record, where all that it needs is known."""
    absent = [
        what
        for what, there in (
            ("sample.composition", sample.composition),
            ("sample.active_mass_mg", sample.active_mass_mg),
            ("a column of current or capacity", table.net_charge_ah is not None),
        )
        if not there
    ]
    if absent or table.net_charge_ah is None or sample.composition is None:
        result.remarks.append(f"No degree of delithiation: it needs {' and '.join(absent)}.")
        return None
    mass_g = sample.mass_g("the degree of delithiation")
    removed = delithiation(table.net_charge_ah, mass_g, sample.composition)
    result.arrays["delithiation"] = removed
    result.remarks.append(
        "The degree of delithiation counts all charge since the first record of the file as lithium: "
        "side reactions make it too large."
    )
    return removed


def _add_amount(
    result: Analysis,
    name: str,
    table: GasTable,
    rate: Array,
    under: Baseline,
    first: int,
    relative: float,
) -> None:
    total, doubt = amount(table.time_s, rate, under, first)
    result.values[f"{name}_amount"] = Quantity(
        total / 1000, math.hypot(doubt, relative * total) / 1000, "umol/g"
    )
    result.values[f"{name}_noise"] = Quantity(under.scatter, None, "nmol/s/g")
    excess = np.where(np.arange(len(rate)) >= first, rate - under.values, 0.0)
    steps = (excess[1:] + excess[:-1]) / 2 * np.diff(table.time_s)
    steps[:first] = 0.0  # the integral begins at the first record after the baseline
    result.arrays[f"{name}_rate_nmol_per_s_per_g"] = rate
    result.arrays[f"{name}_baseline_nmol_per_s_per_g"] = under.values
    result.arrays[f"{name}_amount_umol_per_g"] = np.concatenate([[0.0], np.cumsum(steps)]) / 1000


def _add_onset(
    result: Analysis,
    name: str,
    table: GasTable,
    onset: Onset,
    removed: Array | None,
    mass_share: float,
) -> None:
    result.values[f"{name}_onset_voltage"] = Quantity(*onset.at(table.time_s, table.voltage_v), "V")
    result.values[f"{name}_onset_time"] = Quantity(*onset.at(table.time_s, table.time_s), "s")
    if removed is not None:
        value, doubt = onset.at(table.time_s, removed)
        result.values[f"{name}_onset_delithiation"] = Quantity(
            value, math.hypot(doubt, value * mass_share), "1"
        )
