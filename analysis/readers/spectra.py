"""Curves of XPS, Raman and depth profiles: text with columns, and VAMAS (.vms) of photoelectrons."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.quantities import Array
from rocksalt.analysis.readers.columns import heading_of, numbers_of, read_text
from rocksalt.analysis.readers.vamas import VAMAS, Block, read_vamas

_LEAST_POINTS = 10
_WIDEST_GAP = 5.0  # in median steps

Energy = Literal["binding", "kinetic"]


@dataclass(frozen=True)
class Curve:
    """A measured curve, whole: its axis rises and every number is finite.

    Attributes
    ----------
    name
        The file, for messages.
    x, y
        (n_points,).
    """

    name: str
    x: Array
    y: Array

    def inside(self, window: tuple[float, float], key: str = "window") -> Curve:
        """Return the part from one end of a window to the other; `key` is its option, for messages.

        Raises
        ------
        MeasurementError
            When the window was not measured, or has a gap.
        """
        low, high = window
        if not low < high:
            raise MeasurementError(f"{self.name}: {key} from {low:g} to {high:g} is empty")
        step = float(np.median(np.diff(self.x)))
        if self.x[0] > low + step or self.x[-1] < high - step:
            raise MeasurementError(
                f"{self.name}: measured from {self.x[0]:g} to {self.x[-1]:g}, not all of {low:g} to "
                f"{high:g}: give {key} inside of it"
            )
        inside = (self.x >= low) & (self.x <= high)
        part = Curve(self.name, self.x[inside], self.y[inside])
        if len(part.x) < _LEAST_POINTS:
            raise MeasurementError(
                f"{self.name}: {len(part.x)} points from {low:g} to {high:g}: give a wider {key}"
            )
        steps = np.diff(part.x)
        widest = int(np.argmax(steps))
        if steps[widest] > _WIDEST_GAP * np.median(steps):
            raise MeasurementError(
                f"{self.name}: nothing was measured from {part.x[widest]:g} to "
                f"{part.x[widest + 1]:g}: give {key} without this gap"
            )
        return part


@dataclass(frozen=True)
class Profile:
    """Intensities of fragments against sputter time or depth.

    Attributes
    ----------
    name
        The file, for messages.
    axis
        What the first column is, 'time_s' or 'depth_nm'; None where its heading does not say.
    x
        (n_cycles,), rising, in the unit of `axis`.
    labels
        Of the fragments.
    intensities
        (n_cycles, n_fragments).
    """

    name: str
    axis: Literal["time_s", "depth_nm"] | None
    x: Array
    labels: tuple[str, ...]
    intensities: Array


def read_curve(path: str | Path, *, column: int | None = None) -> Curve:
    """Return an axis and one column of a text file.

    Parameters
    ----------
    path
        The file; an axis that falls is turned round.
    column
        Number of the intensities' column, from 1; needed where there are more than two.

    Raises
    ------
    MeasurementError
        For a file that cannot be read, a column that is not there, an axis that turns, or numbers
        that are not finite.
    """
    return _columns(read_text(path), path, column)


def read_photoelectrons(
    path: str | Path,
    *,
    energy: Energy | None = None,
    photon_energy_ev: float | None = None,
    work_function_ev: float = 0.0,
    block: str | int | None = None,
    column: int | None = None,
) -> Curve:
    """Return intensities against binding energy, in eV.

    E_binding = h nu - E_kinetic - phi. Kinetic energies count from the Fermi level in most files: phi
    is then zero.

    Parameters
    ----------
    path
        VAMAS, or text with columns.
    energy
        What the axis is, for a text whose heading does not say it.
    photon_energy_ev
        For kinetic energies; by default what a VAMAS file says.
    work_function_ev
        phi, of kinetic energies that count from the vacuum level.
    block
        Label or number, from 1, of a block of a VAMAS file that holds several.
    column
        As for `read_curve`.

    Raises
    ------
    MeasurementError
        As `read_curve`, and for what the file does not say and no option gives.
    """
    text = read_text(path)
    if text.startswith(VAMAS):
        found = _choose(read_vamas(text, path), block, path)
        if found.unit.lower() != "ev":
            raise MeasurementError(
                f"{path}: the abscissa is {found.abscissa} in {found.unit!r}: export energies in eV"
            )
        curve = _checked(path, found.x, found.y)
        said = found.abscissa
        photon_energy_ev = photon_energy_ev or found.source_energy_ev
    else:
        curve = _columns(text, path, column)
        said = heading_of(text)
    kind = energy or _energy_in(said)
    if kind is None:
        raise MeasurementError(
            f"{path}: the file does not say whether its energies are binding or kinetic: give energy "
            "(binding or kinetic)"
        )
    if kind == "binding":
        return curve
    if photon_energy_ev is None:
        raise MeasurementError(
            f"{path}: kinetic energies need the energy of the photons: give photon_energy_ev (Al Kα "
            "1486.6, Mg Kα 1253.6)"
        )
    binding = photon_energy_ev - work_function_ev - curve.x
    if binding[0] <= 0:
        raise MeasurementError(
            f"{path}: photons of {photon_energy_ev:g} eV free no electron of {curve.x[0]:g} eV: check "
            "photon_energy_ev and energy"
        )
    return Curve(curve.name, binding[::-1], curve.y[::-1])


def read_profile(path: str | Path) -> Profile:
    """Return a table of sputter time or depth and of fragments, with their labels in a heading.

    The heading of the first column says what it is: a word that begins with 'time', 'sputter time' or
    'depth', and the unit (s, min, h; nm, um, Å).

    Raises
    ------
    MeasurementError
        For a file that cannot be read, without a heading, with an axis that turns, or numbers that
        are not finite.
    """
    text = read_text(path)
    table = numbers_of(text, path)
    labels = _labels(text, table.shape[1])
    if labels is None:
        raise MeasurementError(
            f"{path}: no heading names the {table.shape[1]} columns: put one line of names on top"
        )
    axis, factor = _axis_of(labels[0])
    x, values = table[:, 0] * factor, table[:, 1:]
    if len(x) > 1 and x[0] > x[-1]:
        x, values = x[::-1], values[::-1]
    for values_of_one in values.T:
        _checked(path, x, values_of_one)
    if len(set(labels)) < len(labels):
        raise MeasurementError(f"{path}: two columns have the same name: {', '.join(labels)}")
    return Profile(str(path), axis, x, tuple(labels[1:]), values)


def _choose(blocks: list[Block], which: str | int | None, path: str | Path) -> Block:
    labels = [each.label for each in blocks]
    told = ", ".join(f"{i} {label!r}" for i, label in enumerate(labels, start=1))
    if not blocks:
        raise MeasurementError(f"{path}: the VAMAS file holds no block: export it again")
    if which is None and len(blocks) == 1:
        return blocks[0]
    if isinstance(which, int) and 1 <= which <= len(blocks):
        return blocks[which - 1]
    if isinstance(which, str) and labels.count(which) == 1:
        return blocks[labels.index(which)]
    raise MeasurementError(
        f"{path}: {'which block?' if which is None else f'no one block is {which!r}:'} give block: {told}"
    )


def _columns(text: str, path: str | Path, column: int | None) -> Curve:
    table = numbers_of(text, path)
    number = 2 if column is None and table.shape[1] == 2 else column
    if number is None or not 2 <= number <= table.shape[1]:
        raise MeasurementError(
            f"{path}: {table.shape[1]} columns: give the number of the intensities' as column, from 2 "
            f"to {table.shape[1]}"
        )
    return _checked(path, table[:, 0], table[:, number - 1])


def _checked(path: str | Path, x: Array, y: Array) -> Curve:
    if len(x) < _LEAST_POINTS:
        raise MeasurementError(
            f"{path}: {len(x)} points are no curve: the file is cut short, export it again"
        )
    bad = np.flatnonzero(~(np.isfinite(x) & np.isfinite(y)))
    if len(bad):
        raise MeasurementError(
            f"{path}: row {bad[0] + 1} of the numbers holds one that is not finite: delete the row or "
            "export again"
        )
    if x[0] > x[-1]:
        x, y = x[::-1], y[::-1]
    turns = np.flatnonzero(np.diff(x) <= 0)
    if len(turns):
        raise MeasurementError(
            f"{path}: the axis turns back at {x[turns[0]]:g}: sort the rows and average repeated ones, "
            "or give a file with one scan"
        )
    return Curve(str(path), x, y)


def _energy_in(heading: str) -> Energy | None:
    words = heading.lower().replace("_", " ")
    is_binding = re.search(r"\bbinding|\bb\.?e\.?\b|\be ?b(ind)?\b", words) is not None
    is_kinetic = re.search(r"\bkinetic|\bk\.?e\.?\b|\be ?kin\b", words) is not None
    if is_binding == is_kinetic:
        return None
    return "binding" if is_binding else "kinetic"


def _labels(text: str, number: int) -> list[str] | None:
    """Return the names of the columns, from the last line of the heading with one for each."""
    for line in reversed(heading_of(text).splitlines()):
        line = line.lstrip("#%! \ufeff").rstrip()
        for split in (re.split(r"[\t;,]", line), re.split(r"\s{2,}", line), line.split()):
            names = [name.strip().strip('"') for name in split]
            if len(names) == number and all(names):
                return names
    return None


def _axis_of(label: str) -> tuple[Literal["time_s", "depth_nm"] | None, float]:
    """Return what a heading says of the first column, and the factor to s or nm."""
    words = re.findall(r"[a-zµμåöä]+", label.lower())
    unit = words[-1] if words else ""
    seconds = {"s": 1.0, "sec": 1.0, "seconds": 1.0, "min": 60.0, "h": 3600.0}
    nanometres = {"nm": 1.0, "um": 1e3, "µm": 1e3, "μm": 1e3, "å": 0.1, "angstrom": 0.1}
    if "time" in words and unit in seconds:
        return "time_s", seconds[unit]
    if "depth" in words and unit in nanometres:
        return "depth_nm", nanometres[unit]
    return None, 1.0
