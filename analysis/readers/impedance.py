"""Impedance spectra: text with three columns, BioLogic .mpr of PEIS and GEIS."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.quantities import Array
from rocksalt.analysis.readers.columns import numbers_of, read_text
from rocksalt.analysis.readers.cycler import biologic_records

Complex = NDArray[np.complex128]


class ImpedanceOptions(BaseModel):
    """What a spectrum's file may not say by itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    imaginary: Literal["Z''", "-Z''"] | None = Field(
        None, description="what the third column of a text is; BioLogic files say it themselves"
    )
    sweep: int = Field(1, ge=1, description="which sweep of a file that holds several")


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
    if Path(path).suffix.lower() == ".mpr":
        columns = _biologic(path)
    else:
        columns = numbers_of(read_text(path), path, least_columns=3)[:, :3]
        if options.imaginary is None:
            raise MeasurementError(
                f"{path}: the file does not say whether its third column is Z'' or -Z'': give imaginary"
            )
        if options.imaginary == "-Z''":
            columns = columns * np.array([1.0, 1.0, -1.0])
    columns = columns[np.all(np.isfinite(columns), axis=1)]
    frequency = columns[:, 0]
    if len(frequency) and frequency.min() <= 0:
        raise MeasurementError(
            f"{path}: a frequency of {frequency.min():g} Hz: the columns are to be frequency, Z', Z''"
        )
    # A sweep ends where the frequency jumps back to where it began.
    direction = np.sign(frequency[-1] - frequency[0]) if len(frequency) > 1 else 0
    jumps = np.flatnonzero(np.sign(np.diff(frequency)) == -direction) + 1
    sweeps = np.split(columns, jumps) if options.sweep > 1 or _repeats(frequency) else [columns]
    if options.sweep > len(sweeps):
        raise MeasurementError(f"{path}: has {len(sweeps)} sweeps: give sweep within them")
    chosen = sweeps[options.sweep - 1]
    if len(chosen) < 10:
        raise MeasurementError(
            f"{path}: {len(chosen)} frequencies are no spectrum: at least 10 are needed"
        )
    chosen = chosen[np.argsort(-chosen[:, 0])]
    impedance = chosen[:, 1] + 1j * chosen[:, 2]
    if np.mean(impedance.imag[len(chosen) // 2 :] > 0) > 0.8:
        raise MeasurementError(
            f"{path}: at low frequencies Z'' is positive, as of a coil: the third column is the other "
            "of Z'' and -Z'', give imaginary"
        )
    return chosen[:, 0], impedance


def _repeats(frequency: Array) -> bool:
    """Return whether frequencies come back: several sweeps in a file."""
    return len(np.unique(np.round(np.log10(frequency), 4))) < 0.9 * len(frequency)


def _biologic(path: str | Path) -> Array:
    data = biologic_records(path)
    names = ("freq/Hz", "Re(Z)/Ohm", "-Im(Z)/Ohm")
    for name in names:
        if name not in (data.dtype.names or ()):
            raise MeasurementError(f"{path}: has no column {name!r}: give a file of PEIS or GEIS")
    columns = np.stack([np.asarray(data[name], dtype=float) for name in names], axis=1)
    columns = columns[columns[:, 0] > 0]  # rows of the rest between sweeps
    return columns * np.array([1.0, 1.0, -1.0])
