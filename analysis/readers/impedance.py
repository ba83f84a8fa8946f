"""Impedance spectra: text with three columns, BioLogic .mpr and .mpt of PEIS and GEIS."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.quantities import Array
from rocksalt.analysis.readers.columns import heading_of, numbers_of, read_text
from rocksalt.analysis.readers.cycler import BIOLOGIC, biologic_records
from rocksalt.analysis.user_input import UserInput

Complex = NDArray[np.complex128]

_VALUES = """imaginary: "Z''" or imaginary: "-Z''\""""
_IMAGINARY = re.compile(
    r"""(?:^|[\s,;("'|])                      # a minus between two words is none
    (?P<minus>[-\u2212\u2013]\s*)?
    (?P<name>im(?:ag(?:inary)?)?[\s_]*\(?\s*z\b\)?
        | (?<!")(?<!"-)z"                     # "Z" is Z in quotes
        | z\s*(?:''|\u2033|\u2019\u2019|\u2032\u2032)
        | z[\s_]*\(?im(?:ag(?:inary)?)?(?![a-z])
        | imag(?:inary)?(?![a-z]))""",
    re.IGNORECASE | re.VERBOSE,
)


class SpectrumOptions(UserInput):
    """What a file of spectra may not say by itself."""

    imaginary: Literal["Z''", "-Z''"] | None = Field(
        None,
        description="what the third column of a text is, where its heading does not say it; BioLogic "
        "files say it themselves",
    )


class ImpedanceOptions(SpectrumOptions):
    """The same for one spectrum."""

    sweep: int = Field(1, ge=1, description="which sweep of a file that holds several")


@dataclass(frozen=True)
class Spectrum:
    """One sweep of frequencies.

    Attributes
    ----------
    frequency_hz
        (n,) falling, in Hz.
    impedance_ohm
        (n,) in ohm.
    potential_v
        Mean over the sweep, in V; None where the file has none.
    """

    frequency_hz: Array
    impedance_ohm: Complex
    potential_v: float | None


def read_impedance(
    path: str | Path, options: ImpedanceOptions | None = None
) -> tuple[Array, Complex]:
    """Read frequencies (Hz, falling) and impedances (ohm); text columns: frequency, Z', Z''.

    Returns
    -------
    frequency_hz, impedance_ohm
        Both (n,).

    Raises
    ------
    MeasurementError
        When the file cannot be read, its sign of Z'' is not given or contradicted by the data, or a
        frequency is not positive.
    """
    options = options or ImpedanceOptions()
    table = _columns(path, options)
    frequency = table[:, 0]
    sweeps = _sweeps(table) if options.sweep > 1 or _repeats(frequency) else [table]
    if options.sweep > len(sweeps):
        raise MeasurementError(f"{path}: has {len(sweeps)} sweeps: give sweep within them")
    spectrum = _spectrum(path, sweeps[options.sweep - 1])
    return spectrum.frequency_hz, spectrum.impedance_ohm


def read_series(path: str | Path, options: SpectrumOptions | None = None) -> list[Spectrum]:
    """Read every sweep of a file, in the order of measuring.

    A BioLogic file of GEIS says the potential of each sweep, a text does not.

    Raises
    ------
    MeasurementError
        As `read_impedance`; the message tells which sweep.
    """
    table = _columns(path, options or SpectrumOptions())
    sweeps = _sweeps(table) if _repeats(table[:, 0]) else [table]
    names = [f"{path}: sweep {n}" if len(sweeps) > 1 else path for n in range(1, len(sweeps) + 1)]
    return [_spectrum(name, sweep) for name, sweep in zip(names, sweeps, strict=True)]


def _columns(path: str | Path, options: SpectrumOptions) -> Array:
    """Return frequency, Z', Z'' and the potential, NaN where the file has none."""
    if Path(path).suffix.lower() in BIOLOGIC:
        columns = _biologic(path)
    else:
        text = read_text(path)
        columns = numbers_of(text, path, least_columns=3)[:, :3]
        imaginary = options.imaginary or _imaginary_in(text, path)
        if imaginary is None:
            raise MeasurementError(
                f"{path}: the file does not say whether its third column is Z'' or -Z'': give imaginary "
                f"({_VALUES})"
            )
        sign = -1.0 if imaginary == "-Z''" else 1.0
        columns = np.column_stack([columns[:, :2], sign * columns[:, 2]])
        columns = np.column_stack([columns, np.full(len(columns), np.nan)])
    columns = columns[np.all(np.isfinite(columns[:, :3]), axis=1)]
    if len(columns) and columns[:, 0].min() <= 0:
        raise MeasurementError(
            f"{path}: a frequency of {columns[:, 0].min():g} Hz: the columns are to be frequency, Z', Z''"
        )
    return columns


def _imaginary_in(text: str, path: str | Path) -> Literal["Z''", "-Z''"] | None:
    """Return what the heading says of the third column; None where it says nothing.

    Raises
    ------
    MeasurementError
        When the heading names another column imaginary.
    """
    for line in heading_of(text).splitlines():
        found = list(_IMAGINARY.finditer(line))
        if len(found) != 1:  # a sentence that names both says nothing
            continue
        before = line[: found[0].start("name")]
        separator = next((mark for mark in "\t;," if mark in line), None)
        if separator is not None and before.count(separator) != 2:
            raise MeasurementError(
                f"{path}: the heading names column {before.count(separator) + 1} imaginary: the columns "
                "are to be frequency, Z', Z''"
            )
        return "-Z''" if found[0]["minus"] else "Z''"
    return None


def _sweeps(columns: Array) -> list[Array]:
    """Split where the frequency jumps back to where a sweep begins."""
    frequency = columns[:, 0]
    direction = np.sign(frequency[-1] - frequency[0]) if len(frequency) > 1 else 0
    jumps = np.flatnonzero(np.sign(np.diff(frequency)) == -direction) + 1
    return np.split(columns, jumps)


def _spectrum(path: str | Path, columns: Array) -> Spectrum:
    if len(columns) < 10:
        raise MeasurementError(
            f"{path}: {len(columns)} frequencies are no spectrum: at least 10 are needed"
        )
    columns = columns[np.argsort(-columns[:, 0])]
    if np.mean(columns[len(columns) // 2 :, 2] > 0) > 0.8:
        raise MeasurementError(
            f"{path}: at low frequencies Z'' is positive, as of a coil: the third column is the other "
            "of Z'' and -Z'': give imaginary ({_VALUES})"
        )
    potential = float(np.mean(columns[:, 3]))
    return Spectrum(
        columns[:, 0],
        columns[:, 1] + 1j * columns[:, 2],
        potential if np.isfinite(potential) else None,
    )


def _repeats(frequency: Array) -> bool:
    """Return whether frequencies come back: several sweeps in a file."""
    return len(np.unique(np.round(np.log10(frequency), 4))) < 0.9 * len(frequency)


def _biologic(path: str | Path) -> Array:
    data = biologic_records(path)
    names = ("freq/Hz", "Re(Z)/Ohm", "-Im(Z)/Ohm")
    for name in names:
        if name not in (data.dtype.names or ()):
            raise MeasurementError(f"{path}: has no column {name!r}: give a file of PEIS or GEIS")
    potential = next((name for name in ("<Ewe>/V", "Ewe/V") if name in data.dtype.names), None)
    columns = [np.asarray(data[name], dtype=float) for name in names]
    columns.append(
        np.full(len(data), np.nan)
        if potential is None
        else np.asarray(data[potential], dtype=float)
    )
    table = np.stack(columns, axis=1) * np.array([1.0, 1.0, -1.0, 1.0])
    return table[table[:, 0] > 0]  # rows of the rest between sweeps are left out
