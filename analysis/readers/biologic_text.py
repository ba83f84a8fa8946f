"""BioLogic's text files (.mpt), which EC-Lab and BT-Lab write beside or instead of an .mpr.

The first line names the program, the second says how many lines the header has; the last of them
holds the headings. Columns are apart by tabs, and the decimal sign is that of the computer's language.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.readers.columns import numbers_of_words, read_text

_FIRST_LINES = ("EC-Lab ASCII FILE", "BT-Lab ASCII FILE")
_DATE = re.compile(r"\d+[/.-]\d+[/.-]\d+|\d+:\d+")  # a time of day in the place of seconds


def biologic_text_records(path: str | Path) -> Any:
    """Return the records of a BioLogic .mpt as a structured array with the file's headings.

    Words that are no numbers are NaN. A last line that was not written to its end is left out.

    Raises
    ------
    MeasurementError
        When the file is no such text, is cut short in its header, has no rows, has a row of another
        length than the headings before its end, or has dates for times.
    """
    # not splitlines, which also cuts at bytes that a comment in the header may hold
    lines = read_text(path).replace("\r\n", "\n").split("\n")
    if not lines[0].startswith(_FIRST_LINES):
        raise MeasurementError(
            f"{path}: the first line is not {_FIRST_LINES[0]!r} but {lines[0][:40]!r}: export it from "
            "EC-Lab or BT-Lab as text with its header"
        )
    said = next((re.search(r"Nb header lines\s*:\s*(\d+)", line) for line in lines[1:3]), None)
    n_header = int(said[1]) if said else 0
    if n_header < 2:
        raise MeasurementError(
            f"{path}: line 2 is not 'Nb header lines : ' and a number: export it again"
        )
    if len(lines) <= n_header:
        raise MeasurementError(
            f"{path}: is cut short in its header, at line {len(lines)} of {n_header}: copy it again"
        )
    heading = [word.strip() for word in lines[n_header - 1].rstrip("\t ").split("\t")]
    rows = []
    for number, line in enumerate(lines[n_header:], start=n_header + 1):
        if number == len(lines):  # after the last line end: nothing, or a line cut short
            break
        if not line.strip():
            continue
        words = line.split("\t")
        if len(words) == len(heading) + 1 and not words[-1].strip():  # some end lines with a tab
            words.pop()
        if len(words) != len(heading):
            raise MeasurementError(
                f"{path}: line {number} has {len(words)} columns, the headings are {len(heading)}: the "
                "file is damaged, export it again"
            )
        rows.append(words)
    if not rows:
        raise MeasurementError(f"{path}: holds no rows: export it again")
    if "time/s" in heading and _DATE.search(rows[0][heading.index("time/s")]):
        raise MeasurementError(
            f"{path}: 'time/s' holds dates ({rows[0][heading.index('time/s')]!r}): export it with the "
            "time relative to the start"
        )
    columns: dict[str, Any] = {}
    for name, column in zip(heading, zip(*rows, strict=True), strict=True):
        if name and name not in columns:  # a heading that comes twice is its first column
            columns[name] = numbers_of_words([word.replace(",", ".") for word in column])
    records = np.zeros(len(rows), dtype=[(name, float) for name in columns])
    for name, numbers in columns.items():
        records[name] = numbers
    return records
