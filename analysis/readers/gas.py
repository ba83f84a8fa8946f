"""Tables of gas evolution: time, voltage, current or capacity, and a column for each gas.

Rates of gas, or ion currents of a mass spectrometer with their calibration. The names of the
electrochemical columns are those of the Battery Data Format; the unit of a gas is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.quantities import Array
from rocksalt.analysis.readers.columns import numbers_of_words, read_text
from rocksalt.analysis.readers.cycler import (
    COLUMNS,
    CyclerTable,
    checked,
    columns_in,
    grown,
    net_charge,
    read_rows,
)
from rocksalt.analysis.user_input import UserInput

RATES: dict[str, tuple[float, bool]] = {
    f"{amount}mol/{time}{per_gram}": (size / seconds, bool(per_gram))
    for (amount, size), (time, seconds), per_gram in product(
        (("p", 1e-12), ("n", 1e-9), ("u", 1e-6), ("m", 1e-3), ("", 1.0)),
        (("s", 1.0), ("min", 60.0), ("h", 3600.0)),
        ("", "/g"),
    )
}
"""Units of rates: the factor to mol/s, and whether it is per gram of active material."""

ION_CURRENTS = {"A": 1.0, "mA": 1e-3, "uA": 1e-6, "nA": 1e-9, "pA": 1e-12, "fA": 1e-15}
"""Units of ion currents: the factor to A."""


class GasColumn(UserInput):
    """One gas: its column, and what the column holds."""

    column: str
    unit: str = Field(description="of a rate, as nmol/s or umol/min/g, or of an ion current, as nA")
    sensitivity_c_per_mol: float | None = Field(
        None, gt=0, description="ion current over the flow of the gas, from the calibration"
    )
    relative_uncertainty: float = Field(
        0.0, ge=0, lt=1, description="standard uncertainty of the calibration, as a share of it"
    )

    @field_validator("unit")
    @classmethod
    def _is_known(cls, value: str) -> str:
        value = value.replace("µ", "u").replace("μ", "u")
        if value not in RATES and value not in ION_CURRENTS:
            raise ValueError(
                f"unit {value!r} is not known: give a rate as nmol/s, umol/min or umol/h/g, or an ion "
                "current as nA"
            )
        return value

    @model_validator(mode="after")
    def _is_calibrated(self) -> GasColumn:
        if (self.unit in ION_CURRENTS) != (self.sensitivity_c_per_mol is not None):
            raise ValueError(
                "an ion current needs its sensitivity_c_per_mol, and a rate has none: give both or "
                "neither"
            )
        return self


class GasOptions(UserInput):
    """What a table of gases may not say by itself."""

    positive_current: Literal["charge", "discharge"] | None = Field(
        None, description="what a positive current, or net capacity, does to the cell"
    )
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="names for the table's headings, as {'Voltage / V': 'Ewe'}; names: "
        + ", ".join(COLUMNS),
    )
    gases: dict[str, GasColumn] = Field(
        default_factory=dict,
        description="as {O2: {column: m32, unit: nA, sensitivity_c_per_mol: 1.9}}",
    )


@dataclass
class GasTable:
    """What was measured of a cell and its gases.

    Attributes
    ----------
    path
        Of the file, for messages.
    time_s, voltage_v
        (n,) in s and V.
    net_charge_ah
        (n,) charge passed since the start, rising while the cell is charged, in Ah; None where the
        file has neither current nor capacity.
    rates
        (n,) of each gas by name, in mol/s, or mol/s/g where it is in `per_gram`.
    per_gram
        Gases whose rates are per gram of active material.
    remarks
        What was left out.
    """

    path: str
    time_s: Array
    voltage_v: Array
    net_charge_ah: Array | None
    rates: dict[str, Array]
    per_gram: frozenset[str] = frozenset()
    remarks: list[str] = field(default_factory=list)


def read_gases(path: str | Path, options: GasOptions) -> GasTable:
    """Read a table with a heading, columns apart by tabs, semicolons or commas.

    Raises
    ------
    MeasurementError
        When the file cannot be read, or a column, a unit or a sign is neither in it nor given.
    """
    if not options.gases:
        raise MeasurementError(
            f"{path}: the file does not say its gases: give gases={{O2: {{column: ..., unit: ...}}}}"
        )
    unknown = set(options.columns) - set(COLUMNS)
    if unknown:
        raise MeasurementError(
            f"columns: {min(unknown)!r} is not a name: known: {', '.join(COLUMNS)}"
        )
    lines = read_text(path).splitlines()
    wanted = [*options.columns.values(), *(gas.column for gas in options.gases.values())]
    head, separator, below = _heading(path, lines, wanted)
    rows, remarks = read_rows(head, below, separator)
    columns = {
        column: numbers_of_words([row[head.index(heading)] for row in rows]) * factor
        for column, (heading, factor) in columns_in(head, options.columns).items()
    }
    for column, name in (("time_s", "Test Time / s"), ("voltage_v", "Voltage / V")):
        if column not in columns:
            raise MeasurementError(
                f"{path}: no column is named {name!r}: it has {', '.join(head)[:80]}: give "
                f"columns={{{name!r}: ...}}"
            )
    rates = {
        name: _rate(numbers_of_words([row[head.index(gas.column)] for row in rows]), gas)
        for name, gas in options.gases.items()
    }
    return _checked(path, columns, rates, options, remarks)


def _heading(
    path: str | Path, lines: list[str], wanted: list[str]
) -> tuple[list[str], str, list[str]]:
    """Return the heading, the separator and the lines below: instruments put remarks above it."""
    heads = []
    for number, line in enumerate(lines):
        separator = next((mark for mark in "\t;," if mark in line), ",")
        head = [word.strip().strip('"') for word in line.split(separator)]
        if all(name in head for name in wanted):
            return head, separator, lines[number + 1 :]
        heads.append(head)
    nearest = max(heads, key=lambda head: sum(name in head for name in wanted))
    absent = next(name for name in wanted if name not in nearest)
    raise MeasurementError(f"{path}: has no column {absent!r}: it has {', '.join(nearest)[:120]}")


def _rate(values: Array, gas: GasColumn) -> Array:
    if gas.sensitivity_c_per_mol is not None:
        return values * ION_CURRENTS[gas.unit] / gas.sensitivity_c_per_mol
    return values * RATES[gas.unit][0]


def _checked(
    path: str | Path,
    columns: dict[str, Array],
    rates: dict[str, Array],
    options: GasOptions,
    remarks: list[str],
) -> GasTable:
    """Return the rows that are numbers in every column, with the charge passed."""
    finite = np.all([np.isfinite(each) for each in (*columns.values(), *rates.values())], axis=0)
    if {"current_a", "net_ah"} & set(columns) and options.positive_current is None:
        raise MeasurementError(
            f"{path}: the file does not say whether a positive current charges the cell: give "
            "positive_current (charge or discharge)"
        )
    sign = -1.0 if options.positive_current == "discharge" else 1.0
    rows = {name: column[finite] for name, column in columns.items()}
    counted = None
    if "net_ah" in rows:
        counted = sign * rows["net_ah"]
    elif "charging_ah" in rows:
        counted = grown(rows["charging_ah"]) - grown(
            rows.get("discharging_ah", np.zeros(finite.sum()))
        )
    # the checks of a cycler's table are those of this one
    cell = checked(
        CyclerTable(
            path=str(path),
            time_s=rows["time_s"],
            voltage_v=rows["voltage_v"],
            current_a=sign * rows.get("current_a", np.zeros(finite.sum())),
            net_charge_ah=counted,
        )
    )
    remarks = [*remarks, *cell.remarks]
    if not finite.all():
        remarks.append(
            f"{(~finite).sum()} of {len(finite)} rows are not numbers and were left out."
        )
    return GasTable(
        path=str(path),
        time_s=cell.time_s,
        voltage_v=cell.voltage_v,
        net_charge_ah=net_charge(cell) if counted is not None or "current_a" in rows else None,
        rates={name: rate[finite] for name, rate in rates.items()},
        per_gram=frozenset(
            name for name, gas in options.gases.items() if RATES.get(gas.unit, (0, False))[1]
        ),
        remarks=remarks,
    )
