"""Text tables of numbers, and what every reader checks."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.quantities import Array


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


def numbers_of(text: str, path: str | Path, *, least_columns: int = 2) -> Array:
    """Return the block of numbers of a text file; heading and comment lines are passed over.

    Parameters
    ----------
    text
        The file's content; columns apart by spaces, tabs, commas or semicolons.
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
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.replace(";", " ").replace(",", " ").split()
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


def numbers_of_words(words: list[str]) -> Array:
    """Return words as numbers, NaN for those that are none."""
    return np.array([_number(word) for word in words], dtype=float)


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return float("nan")
