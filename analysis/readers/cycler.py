"""Files of battery cyclers: BioLogic .mpr and .mpt, Neware .nda and .ndax, Maccor text, text tables.

The column names of text tables are those of the Battery Data Format ('Test Time / s',
'Voltage / V', 'Current / A'). What a file does not say (which sign of the current charges the cell,
the unit of a column) is asked for.
"""

from __future__ import annotations

import csv
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.quantities import Array
from rocksalt.analysis.readers.biologic_text import biologic_text_records
from rocksalt.analysis.readers.columns import (
    has_decimal_commas,
    need_extra,
    numbers_of_words,
    read_text,
    rows_as_long_as,
)
from rocksalt.analysis.readers.step_times import usable_step_times
from rocksalt.analysis.user_input import UserInput

COLUMNS: dict[str, tuple[str, float]] = {
    "Test Time / s": ("time_s", 1.0),
    "Test Time / min": ("time_s", 60.0),
    "Test Time / h": ("time_s", 3600.0),
    "Step Time / s": ("step_s", 1.0),
    "Step Time / min": ("step_s", 60.0),
    "Step Time / h": ("step_s", 3600.0),
    "Voltage / V": ("voltage_v", 1.0),
    "Voltage / mV": ("voltage_v", 1e-3),
    "Current / A": ("current_a", 1.0),
    "Current / mA": ("current_a", 1e-3),
    "Current / uA": ("current_a", 1e-6),
    "Cycle Count / 1": ("cycle", 1.0),
    "Charging Capacity / Ah": ("charging_ah", 1.0),
    "Charging Capacity / mAh": ("charging_ah", 1e-3),
    "Discharging Capacity / Ah": ("discharging_ah", 1.0),
    "Discharging Capacity / mAh": ("discharging_ah", 1e-3),
    "Net Capacity / Ah": ("net_ah", 1.0),
    "Net Capacity / mAh": ("net_ah", 1e-3),
}
"""Headings that are read: the column, and the factor to its unit."""

BIOLOGIC_COLUMNS: dict[str, tuple[str, float]] = {
    "time/s": ("time_s", 1.0),
    "step time/s": ("step_s", 1.0),
    "Ewe/V": ("voltage_v", 1.0),
    "<Ewe>/V": ("voltage_v", 1.0),
    "Ecell/V": ("voltage_v", 1.0),
    "I/A": ("current_a", 1.0),
    "I/mA": ("current_a", 1e-3),
    "<I>/mA": ("current_a", 1e-3),
    "cycle number": ("cycle", 1.0),
    "(Q-Qo)/mA.h": ("net_ah", 1e-3),
}
"""EC-Lab's headings, read where a table has no other of the same column; the first one counts."""

BIOLOGIC = (".mpr", ".mpt")
"""Endings of BioLogic's files, binary and text, whose columns have the same names."""

_MOST_VOLTS = 10.0  # no lithium cell has more; millivolts are above it


class CyclerOptions(UserInput):
    """What a cycler's file may not say by itself."""

    positive_current: Literal["charge", "discharge"] | None = Field(
        None, description="what a positive current does to the cell, for tables with headings"
    )
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="names for a table's headings, as {'Voltage / V': 'Ewe'}; names: "
        + ", ".join(COLUMNS),
    )
    time_unit: Literal["s", "min", "h"] | None = Field(
        None, description="of TestTime in a Maccor text without clock times"
    )


@dataclass
class CyclerTable:
    """What a cycler recorded.

    Attributes
    ----------
    path
        Of the file, for messages.
    time_s
        Since the start of the test, not decreasing, in s.
    voltage_v
        In V.
    current_a
        In A, positive while the cell is charged.
    cycle
        The cycler's cycle number; None where the file has none.
    net_charge_ah
        Charge passed, as the cycler counted it, rising while the cell is charged, in Ah; None where
        the file has none. It is better than the integral of the recorded current, because cyclers
        count between the records too.
    step_s
        Since the step of the cycler's program began, in s; None where the file has none.
    remarks
        What was left out.
    """

    path: str
    time_s: Array
    voltage_v: Array
    current_a: Array
    cycle: Array | None = None
    net_charge_ah: Array | None = None
    step_s: Array | None = None
    remarks: list[str] = field(default_factory=list)


def read_cycler(path: str | Path, options: CyclerOptions | None = None) -> CyclerTable:
    """Read a cycler's file by its ending and its heading.

    Raises
    ------
    MeasurementError
        When the file cannot be read, or lacks what no option gives.
    """
    options = options or CyclerOptions()
    kind = Path(path).suffix.lower()
    if kind in BIOLOGIC:
        _refuse_time_unit(path, options, "the file has its unit")
        table = _biologic(path)
    elif kind in (".nda", ".ndax"):
        _refuse_time_unit(path, options, "the file has its unit")
        table = _neware(path)
    else:
        text = read_text(path)
        lines = text.splitlines()
        heading = next((n for n, line in enumerate(lines) if _is_maccor(line)), None)
        if heading is not None:
            table = _maccor(path, lines[heading:], options)
        else:
            _refuse_time_unit(
                path, options, "name the column, as columns: {'Test Time / min': its heading}"
            )
            table = _with_headings(path, lines, options)
    return checked(table)


def _refuse_time_unit(path: str | Path, options: CyclerOptions, remedy: str) -> None:
    if options.time_unit is not None:
        raise MeasurementError(
            f"{path}: time_unit is for Maccor's texts alone: leave it out; {remedy}"
        )


def checked(table: CyclerTable) -> CyclerTable:
    """Return the table without rows that are not numbers, after checking what physics allows.

    Raises
    ------
    MeasurementError
        Without enough rows, with a time that runs backwards, or with voltages that no cell has.
    """
    names = ["time_s", "voltage_v", "current_a"]
    names += [name for name in ("cycle", "net_charge_ah") if getattr(table, name) is not None]
    columns = {name: np.asarray(getattr(table, name), dtype=float) for name in names}
    n_rows = len(columns["time_s"])
    finite = np.all([np.isfinite(column) for column in columns.values()], axis=0)
    if finite.sum() < 3:
        raise MeasurementError(
            f"{table.path}: {finite.sum()} of {n_rows} rows are numbers, which is no measurement: "
            "export it again"
        )
    columns = {name: column[finite] for name, column in columns.items()}
    remarks = list(table.remarks)
    if not finite.all():
        remarks.append(
            f"{n_rows - finite.sum()} of {n_rows} rows are not numbers and were left out."
        )
    backwards = np.flatnonzero(np.diff(columns["time_s"]) < 0)
    if len(backwards):
        raise MeasurementError(
            f"{table.path}: the time runs backwards at row {np.flatnonzero(finite)[backwards[0]] + 2}:"
            " give the time since the start of the test, one test a file"
        )
    highest = float(np.abs(columns["voltage_v"]).max())
    if highest > _MOST_VOLTS:
        raise MeasurementError(
            f"{table.path}: a voltage of {highest:g} V is not a cell's: is it in mV? then name the "
            "column with columns={'Voltage / mV': ...}"
        )
    step_s = None
    if table.step_s is not None:
        step_s, said = usable_step_times(
            columns["time_s"], np.asarray(table.step_s, dtype=float)[finite]
        )
        remarks += said
    return CyclerTable(path=table.path, step_s=step_s, remarks=remarks, **columns)


def net_charge(table: CyclerTable) -> Array:
    """Return the charge passed since the start in Ah: the cycler's count, or the integral.

    Raises
    ------
    MeasurementError
        When the cycler's count and the current disagree by a factor: a unit is wrong.
    """
    steps = (table.current_a[1:] + table.current_a[:-1]) / 2 * np.diff(table.time_s) / 3600
    integral = np.concatenate([[0.0], np.cumsum(steps)])
    if table.net_charge_ah is None:
        return integral
    counted, passed = np.abs(np.diff(table.net_charge_ah)).sum(), np.abs(steps).sum()
    if counted > 0 and passed > 0 and not 0.5 < counted / passed < 2:
        raise MeasurementError(
            f"{table.path}: the capacity column says {counted:.3g} Ah, current and time "
            f"{passed:.3g} Ah: one of them has another unit, name it with columns={{...}}"
        )
    return table.net_charge_ah - table.net_charge_ah[0]


def biologic_records(path: str | Path) -> Any:
    """Return the records of a BioLogic .mpr or .mpt as a structured array.

    Raises
    ------
    MeasurementError
        When the file cannot be read, or the package that reads it is not installed.
    """
    if Path(path).suffix.lower() == ".mpt":
        return biologic_text_records(path)
    try:
        from galvani import BioLogic
    except ImportError:
        raise need_extra("galvani", "cycler", path) from None

    def read() -> Any:
        with Path(path).open("rb") as file:  # galvani leaves what it opened open when it fails
            return BioLogic.MPRfile(file).data

    return _read_with(read, path, "a BioLogic .mpr")


def _biologic(path: str | Path) -> CyclerTable:
    data = biologic_records(path)
    names = set(data.dtype.names or ())
    voltage = next((name for name in ("Ewe/V", "<Ewe>/V", "Ecell/V") if name in names), None)
    if "time/s" not in names or voltage is None:
        raise MeasurementError(
            f"{path}: has no time and voltage but {', '.join(sorted(names))}: give a file of cycling"
        )
    time_s = np.asarray(data["time/s"], dtype=float)
    # EC-Lab counts charge positive while the working electrode is oxidised: a cathode's charge.
    count = next((name for name in ("(Q-Qo)/mA.h", "(Q-Qo)/C") if name in names), None)
    charge_ah = None
    if count is not None:
        charge_ah = np.asarray(data[count], dtype=float) / (1000 if count.endswith("h") else 3600)
    elif "dq/mA.h" in names:
        charge_ah = np.cumsum(np.asarray(data["dq/mA.h"], dtype=float)) / 1000
    current = next((name for name in ("I/mA", "<I>/mA") if name in names), None)
    if current is not None:
        current_a = np.asarray(data[current], dtype=float) / 1000
    elif (
        charge_ah is not None
    ):  # files of GCPL store charge, not current: its mean since the last row
        lapse = np.diff(time_s)
        current_a = np.zeros(len(time_s))
        np.divide(np.diff(charge_ah) * 3600, lapse, out=current_a[1:], where=lapse > 0)
        current_a = np.where(np.concatenate([[1.0], lapse]) > 0, current_a, np.nan)
    else:
        raise MeasurementError(f"{path}: has neither current nor charge: give a file of cycling")
    return CyclerTable(
        path=str(path),
        time_s=time_s,
        voltage_v=np.asarray(data[voltage], dtype=float),
        current_a=current_a,
        cycle=np.asarray(data["cycle number"], dtype=float) if "cycle number" in names else None,
        net_charge_ah=charge_ah,
    )


def _neware(path: str | Path) -> CyclerTable:
    try:
        import NewareNDA
    except ImportError:
        raise need_extra("NewareNDA", "cycler", path) from None
    frame = _read_with(lambda: NewareNDA.read(str(path)), path, "a Neware .nda or .ndax")
    clock = frame["Timestamp"]
    return CyclerTable(
        path=str(path),
        time_s=(clock - clock.iloc[0]).dt.total_seconds().to_numpy(dtype=float),
        voltage_v=frame["Voltage"].to_numpy(dtype=float),
        current_a=frame["Current(mA)"].to_numpy(dtype=float) / 1000,
        cycle=frame["Cycle"].to_numpy(dtype=float),
        net_charge_ah=(
            grown(frame["Charge_Capacity(mAh)"].to_numpy(dtype=float))
            - grown(frame["Discharge_Capacity(mAh)"].to_numpy(dtype=float))
        )
        / 1000,
        step_s=frame["Time"].to_numpy(dtype=float) if "Time" in frame else None,
    )


def _read_with(read: Callable[[], Any], path: str | Path, what: str) -> Any:
    """Read with another package, whose errors on a damaged file are of every kind."""
    try:
        size = Path(path).stat().st_size
    except OSError as error:
        raise MeasurementError(f"{path}: cannot be read: {error.strerror}") from error
    if not size:
        raise MeasurementError(f"{path}: the file is empty: copy it again")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = read()
    except Exception as error:  # the readers of binary files raise whatever they stumble over
        raise MeasurementError(
            f"{path}: cannot be read as {what} ({type(error).__name__}): it is cut short or of "
            "another kind: copy it again or export it as text"
        ) from error
    if len(data) == 0:
        raise MeasurementError(f"{path}: holds no rows: copy it again")
    return data


def grown(capacity: Array) -> Array:
    """Return the running total of a capacity column that a cycler sets to zero at each step."""
    finite = np.isfinite(capacity)
    known = capacity[finite]
    steps = np.diff(known, prepend=0.0)
    total = np.full(len(capacity), np.nan)
    total[finite] = np.cumsum(np.where(steps < 0, known, steps))
    return total


def _is_maccor(line: str) -> bool:
    words = line.split("\t")
    return words[0].startswith("Rec") and {"TestTime", "Md"} <= {word.strip() for word in words}


def _maccor(path: str | Path, lines: list[str], options: CyclerOptions) -> CyclerTable:
    """Read Maccor's text; the column of states has the sign of current and capacity."""
    head = [word.strip() for word in lines[0].split("\t")]
    rows = [line.split("\t") for line in lines[1:] if line.strip()]
    wanted = {"time": "TestTime", "capacity": "Cap. [Ah]", "current": "Current [A]"}
    wanted |= {"voltage": "Voltage [V]", "state": "Md"}
    for name in wanted.values():
        if name not in head:
            raise MeasurementError(f"{path}: has no column {name!r}: export it with that column")
    at = {name: head.index(word) for name, word in wanted.items()}
    whole = [row for row in rows if len(row) > max(at.values())]
    n_lost, rows = len(rows) - len(whole), whole  # of a file copied while the cell ran, the last
    if not rows:
        raise MeasurementError(f"{path}: holds no rows: export it again")
    sign = np.array([{"C": 1.0, "D": -1.0}.get(row[at["state"]].strip(), 0.0) for row in rows])
    ticks = numbers_of_words([row[at["time"]] for row in rows])
    capacity = numbers_of_words([row[at["capacity"]] for row in rows])
    counter = "Cycle C" if "Cycle C" in head else "Cycle P"
    unit = _maccor_time_unit(path, head, rows, ticks, options)
    step_s = None
    if "StepTime" in head and all(len(row) > head.index("StepTime") for row in rows):
        step_s = numbers_of_words([row[head.index("StepTime")] for row in rows]) * unit
    return CyclerTable(
        path=str(path),
        time_s=ticks * unit,
        voltage_v=numbers_of_words([row[at["voltage"]] for row in rows]),
        current_a=numbers_of_words([row[at["current"]] for row in rows]) * sign,
        cycle=numbers_of_words([row[head.index(counter)] for row in rows])
        if counter in head
        else None,
        net_charge_ah=grown(np.where(sign > 0, capacity, 0))
        - grown(np.where(sign < 0, capacity, 0)),
        step_s=step_s,
        remarks=[f"{n_lost} of {n_lost + len(rows)} rows are cut short and were left out."]
        if n_lost
        else [],
    )


def _maccor_time_unit(
    path: str | Path, head: list[str], rows: list[list[str]], ticks: Array, options: CyclerOptions
) -> float:
    """Return the seconds in a unit of TestTime, which only the clock times beside it tell."""
    seconds = {"s": 1.0, "min": 60.0, "h": 3600.0}
    if options.time_unit is not None:
        return seconds[options.time_unit]
    for n in (-2, -3) if len(rows) > 3 else ():  # the last line may be cut short
        try:
            at = head.index("DPT Time")
            first, last = (
                datetime.strptime(row[at].strip(), "%m/%d/%Y %I:%M:%S %p")
                for row in (rows[0], rows[n])
            )
        except (ValueError, IndexError):
            continue
        elapsed = (last - first).total_seconds()
        for unit in seconds.values():
            if elapsed > 60 and abs((ticks[n] - ticks[0]) * unit - elapsed) < 0.02 * elapsed:
                return unit
    raise MeasurementError(
        f"{path}: the unit of TestTime is not in the file: give time_unit (s, min or h)"
    )


def _with_headings(path: str | Path, lines: list[str], options: CyclerOptions) -> CyclerTable:
    """Read a table with a heading, columns apart by tabs, semicolons or commas."""
    separator = next((mark for mark in "\t;," if mark in lines[0]), ",")
    head = [word.strip().strip('"') for word in lines[0].split(separator)]
    unknown = set(options.columns) - set(COLUMNS)
    if unknown:
        raise MeasurementError(
            f"columns: {min(unknown)!r} is not a name: known: {', '.join(COLUMNS)}"
        )
    absent = [name for name in options.columns.values() if name not in head]
    if absent:
        raise MeasurementError(f"{path}: has no column {absent[0]!r}: it has {', '.join(head)}")
    rows, remarks = read_rows(head, lines[1:], separator)
    columns = {
        column: numbers_of_words([row[head.index(heading)] for row in rows]) * factor
        for column, (heading, factor) in columns_in(head, options.columns).items()
    }
    needed = {"time_s": "Test Time / s", "voltage_v": "Voltage / V", "current_a": "Current / A"}
    missing = [name for column, name in needed.items() if column not in columns]
    if missing:
        raise MeasurementError(
            f"{path}: no column is named {missing[0]!r}: it has {', '.join(head)[:80]}: give "
            f"columns={{{missing[0]!r}: ...}}"
        )
    if options.positive_current is None:
        raise MeasurementError(
            f"{path}: the file does not say whether a positive current charges the cell: give "
            "positive_current (charge or discharge)"
        )
    sign = 1.0 if options.positive_current == "charge" else -1.0
    count = None
    if "charging_ah" in columns and "discharging_ah" in columns:
        count = grown(columns["charging_ah"]) - grown(columns["discharging_ah"])
    elif "net_ah" in columns:
        count = columns["net_ah"] * sign
    return CyclerTable(
        path=str(path),
        time_s=columns["time_s"],
        voltage_v=columns["voltage_v"],
        current_a=columns["current_a"] * sign,
        cycle=columns.get("cycle"),
        net_charge_ah=count,
        step_s=columns.get("step_s"),
        remarks=remarks,
    )


def columns_in(head: Sequence[str], given: Mapping[str, str]) -> dict[str, tuple[str, float]]:
    """Return the heading of each column that a table has, and the factor to its unit.

    Parameters
    ----------
    head
        The table's headings.
    given
        Headings by the names of `COLUMNS`, which come before those that are known.
    """
    found: dict[str, tuple[str, float]] = {}
    for name in (name for name in COLUMNS if name in head):
        column, factor = COLUMNS[name]
        found[column] = (name, factor)
    for name, heading in given.items():
        column, factor = COLUMNS[name]
        found[column] = (heading, factor)
    for name in (name for name in BIOLOGIC_COLUMNS if name in head):
        column, factor = BIOLOGIC_COLUMNS[name]
        found.setdefault(column, (name, factor))
    return found


def read_rows(
    head: Sequence[str], lines: Sequence[str], separator: str
) -> tuple[list[list[str]], list[str]]:
    """Return the words below a heading, with points as decimal signs, and remarks.

    Between tabs the comma is the decimal sign where no number has a point, between semicolons always.
    """
    rows, remarks = rows_as_long_as(head, list(csv.reader(lines, delimiter=separator)))
    if separator == ";" or (separator == "\t" and has_decimal_commas(chain.from_iterable(rows))):
        rows = [[word.replace(",", ".") for word in row] for row in rows]
    return rows, remarks
