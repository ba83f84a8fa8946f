"""Text tables of numbers, and what every reader checks."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.quantities import Array

_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+(?:[eE][-+]?\d+)?")
_DECIMAL_POINT = re.compile(r"[-+]?(?:\d+\.\d*|\.\d+)(?:[eE][-+]?\d+)?")
_NUMBER = re.compile(r"[-+]?(?:\d+(?:[.,]\d*)?|\.\d+)(?:[eE][-+]?\d+)?")
_PARTS = re.compile(r"[;\s]+")


def file_sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file.

    Raises
    ------
    MeasurementError
        When the file cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise MeasurementError(f"{path}: cannot be read: {error.strerror}") from error


def read_text(path: str | Path) -> str:
    """Return a text file, as UTF-8 or, as older instruments write, Latin-1.

    Raises
    ------
    MeasurementError
        When the file cannot be read or is empty.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise MeasurementError(f"{path}: cannot be read: {error.strerror}") from error
    if not data.strip():
        raise MeasurementError(f"{path}: the file is empty: export it again")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def need_extra(module: str, extra: str, path: str | Path) -> MeasurementError:
    """Return the error for a reader whose package is not installed."""
    return MeasurementError(
        f"{path}: reading this file needs the package {module}: pip install 'rocksalt[{extra}]', or "
        "export the measurement as text"
    )


def heading_of(text: str) -> str:
    """Return the lines before the first that is numbers."""
    lines = []
    for line in text.splitlines():
        if re.match(r"\s*[-+]?\.?\d", line):
            break
        lines.append(line)
    return "\n".join(lines)


def numbers_of(text: str, path: str | Path, *, least_columns: int = 2) -> Array:
    """Return the block of numbers of a text file; heading and comment lines are passed over.

    Parameters
    ----------
    text
        The file's content; columns apart by spaces, tabs, commas or semicolons. Where others than
        commas part them, a comma within a number is the decimal sign.
    path
        For messages.
    least_columns
        Fewer are an error.

    Returns
    -------
    ndarray
        (n_rows, n_columns).

    Raises
    ------
    MeasurementError
        Without numbers, or with rows of different lengths.
    """
    rows: list[list[float]] = []
    lines = text.splitlines()
    comma = "." if has_decimal_commas(_words_of_numbers(lines)) else " "
    for number, line in enumerate(lines, start=1):
        words = line.replace(";", " ").replace(",", comma).split()
        try:
            row = [float(word) for word in words]
        except ValueError:
            if rows and words and not line.lstrip().startswith(("#", "%", "!")):
                raise MeasurementError(
                    f"{path}: line {number} is not numbers: {line.strip()[:40]!r}"
                ) from None
            continue
        if not row:
            continue
        if rows and len(row) != len(rows[0]):
            raise MeasurementError(
                f"{path}: line {number} has {len(row)} columns, the lines before {len(rows[0])}: the "
                "file is cut short or holds two tables"
            )
        rows.append(row)
    if not rows or len(rows[0]) < least_columns:
        raise MeasurementError(
            f"{path}: no table of at least {least_columns} columns of numbers was found"
        )
    return np.array(rows, dtype=float)


def has_decimal_commas(words: Iterable[str]) -> bool:
    """Return whether the comma is the decimal sign: numbers have one within, and none has a point.

    Parameters
    ----------
    words
        Of a table, not apart by commas; those that are no numbers do not count.
    """
    found = False
    for word in words:
        if _DECIMAL_POINT.fullmatch(word):
            return False
        found = found or _DECIMAL_COMMA.fullmatch(word) is not None
    return found


def _words_of_numbers(lines: Iterable[str]) -> list[str]:
    """Return the words of the lines that hold several numbers apart by other than commas."""
    found: list[str] = []
    for line in lines:
        words = _PARTS.split(line.strip(" \t;"))
        if len(words) > 1 and all(_NUMBER.fullmatch(word) for word in words):
            found += words
    return found


def rows_as_long_as(
    head: Sequence[str], rows: Sequence[list[str]]
) -> tuple[list[list[str]], list[str]]:
    """Return the rows with one word for each heading, and a remark where others were left out.

    Empty lines are passed over.

    Parameters
    ----------
    head
        Headings of the columns.
    rows
        Words of each line below.
    """
    written = [row for row in rows if any(word.strip() for word in row)]
    kept = [row for row in written if len(row) == len(head)]
    if len(kept) == len(written):
        return kept, []
    remark = (
        f"{len(written) - len(kept)} of {len(written)} rows do not have the {len(head)} columns of the "
        "heading and were left out."
    )
    return kept, [remark]


def numbers_of_words(words: list[str]) -> Array:
    """Return words as numbers, NaN for those that are none."""
    return np.array([_number(word) for word in words], dtype=float)


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return float("nan")
