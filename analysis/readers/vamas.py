"""VAMAS files (.vms) of photoelectron spectra.

The package `vamas` (0.2) reads regular abscissas alone and stops at files of CasaXPS; what is needed is short.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.quantities import Array

VAMAS = "VAMAS Surface Chemical Analysis Standard Data Transfer Format"
"""How such a file begins."""

_NOT_GIVEN = 1e37  # written for a number that nobody gave


@dataclass(frozen=True)
class Block:
    """One spectrum of a VAMAS file.

    Attributes
    ----------
    label, technique
        As the file says.
    abscissa, unit
        What x is, and in which unit.
    source_energy_ev
        Of the photons; None where it is not given.
    x, y
        (n_points,): the abscissa and the first ordinate, as written.
    """

    label: str
    technique: str
    abscissa: str
    unit: str
    source_energy_ev: float | None
    x: Array
    y: Array


def read_vamas(text: str, path: str | Path) -> list[Block]:
    """Return the blocks of a VAMAS file of single spectra, with regular or irregular abscissa.

    Dench, Hazell, Seah and the VAMAS community, Surf. Interface Anal. 13, 63 (1988); ISO 14976.

    Raises
    ------
    MeasurementError
        For maps, depth profiles and techniques other than photoemission, and for a file cut short.
    """
    lines = iter(text.splitlines())
    try:
        return _blocks(lines, path)
    except StopIteration:
        raise MeasurementError(f"{path}: the file ends too early: export it again") from None
    except ValueError as error:
        raise MeasurementError(
            f"{path}: not as VAMAS files are ({error}): export the spectrum as text"
        ) from None


def _blocks(lines: Iterator[str], path: str | Path) -> list[Block]:
    _skip(lines, 5)  # format, institution, instrument, operator, experiment
    _skip(lines, _whole(lines))  # comments
    mode, scan = next(lines).strip(), next(lines).strip()
    if mode not in ("NORM", "NOEXP") or scan not in ("REGULAR", "IRREGULAR"):
        raise MeasurementError(
            f"{path}: a VAMAS file of mode {mode} and scan {scan} holds no single spectra: export "
            "them one by one, or as text"
        )
    if mode == "NORM":
        _skip(lines, 1)  # number of spectral regions
    n_variables = _whole(lines)
    _skip(lines, 2 * n_variables)
    listed = _whole(lines)
    if listed:
        raise MeasurementError(
            f"{path}: a VAMAS file with a list of parameters left out: export the spectrum as text"
        )
    _skip(lines, _whole(lines))  # names of items entered by hand
    n_upgrades, n_block_upgrades = _whole(lines), _whole(lines)
    _skip(lines, n_upgrades)
    blocks = []
    for _ in range(_whole(lines)):
        blocks.append(_block(lines, scan == "REGULAR", n_variables, n_block_upgrades, path))
    return blocks


def _block(
    lines: Iterator[str], is_regular: bool, n_variables: int, n_upgrades: int, path: str | Path
) -> Block:
    label = next(lines).strip()
    _skip(lines, 8)  # sample, date and time, zone
    _skip(lines, _whole(lines))  # comments
    technique = next(lines).strip()
    if technique not in ("XPS", "UPS"):
        raise MeasurementError(
            f"{path}: block {label!r} is {technique}, not XPS: export its spectrum as text"
        )
    _skip(lines, n_variables + 1)  # experimental variables, label of the source
    source = float(next(lines))
    _skip(lines, 5)  # strength, width in x and y, polar and azimuthal angle
    _skip(lines, 9)  # analyser: mode, energy, magnification, work function, bias, width, angles
    _skip(lines, 3)  # species, transition, charge
    abscissa, unit, start, step = "", "", 0.0, 0.0
    if is_regular:
        abscissa, unit = next(lines).strip(), next(lines).strip()
        start, step = float(next(lines)), float(next(lines))
    columns = [(next(lines).strip(), next(lines).strip()) for _ in range(_whole(lines))]
    _skip(lines, 4)  # signal mode, collection time, number of scans, time correction
    _skip(lines, 3)  # tilt of the sample, two angles, and its rotation
    _skip(lines, 3 * _whole(lines))  # further numbers: label, unit, value
    _skip(lines, n_upgrades)
    n_values = _whole(lines)
    _skip(lines, 2 * len(columns))  # least and largest ordinate
    numbers = [float(line) for line in islice(lines, n_values)]
    if len(numbers) < n_values:
        raise StopIteration
    table = np.array(numbers).reshape(-1, len(columns))
    if is_regular:
        x, y = start + step * np.arange(len(table), dtype=float), table[:, 0]
    else:
        if len(columns) < 2:
            raise MeasurementError(f"{path}: block {label!r} has an abscissa and no intensities")
        (abscissa, unit), x, y = columns[0], table[:, 0], table[:, 1]
    known = source if 0 < source < _NOT_GIVEN else None
    return Block(label, technique, abscissa, unit, known, x, y)


def _skip(lines: Iterator[str], number: int) -> None:
    for _ in range(number):
        next(lines)


def _whole(lines: Iterator[str]) -> int:
    line = next(lines).strip()
    number = int(line)
    if number < 0:
        raise ValueError(f"{line!r} where a number of lines should be")
    return number
