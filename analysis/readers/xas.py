"""X-ray absorption spectra (XDI, .xmu, text, Athena projects) and stacks of X-ray images."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.quantities import Array
from rocksalt.analysis.readers.archives import read_archive
from rocksalt.analysis.readers.athena import choose_group, is_project, read_project
from rocksalt.analysis.readers.columns import numbers_of, read_text

_XDI_FIELD = re.compile(r"#\s*([A-Za-z]\w*\.\w+)\s*:\s*(.*?)\s*$")
_ABSORPTION = ("mutrans", "xmu", "mu", "mux", "normtrans", "norm", "mufluor", "normfluor")
_SOFT = ("tey", "pfy", "tfy", "ipfy")
_LEAST_POINTS = 10


@dataclass(frozen=True)
class Spectrum:
    """A measured spectrum, whole: energies rise and every number is finite.

    Attributes
    ----------
    name
        The file, for messages.
    energy_ev
        (n_points,).
    absorption
        (n_points,): mu t of a transmission scan, or a yield over the incident intensity.
    reference
        (n_points,): mu t of the foil measured behind the sample at the same time; None without one.
    header
        What the file says of itself, by lower-case key ('element.symbol').
    """

    name: str
    energy_ev: Array
    absorption: Array
    reference: Array | None = None
    header: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_energies(self.energy_ev, self.name)
        if len(self.energy_ev) < _LEAST_POINTS:
            raise MeasurementError(
                f"{self.name}: {len(self.energy_ev)} points are no spectrum: the file is cut short, "
                "export it again"
            )
        if len(self.absorption) != len(self.energy_ev):
            raise MeasurementError(
                f"{self.name}: {len(self.energy_ev)} energies and {len(self.absorption)} values"
            )
        bad = np.flatnonzero(~np.isfinite(self.absorption))
        if len(bad):
            raise MeasurementError(
                f"{self.name}: the absorption at {self.energy_ev[bad[0]]:g} eV is not a number: a "
                "detector read nothing or less there; delete the row or export the scan again"
            )


def check_energies(energy_ev: Array, name: str) -> None:
    """Raise MeasurementError unless energies are finite and rise from row to row."""
    if len(energy_ev) == 0:
        raise MeasurementError(f"{name}: no energies: export the scan again")
    bad = np.flatnonzero(~np.isfinite(energy_ev))
    if len(bad):
        raise MeasurementError(
            f"{name}: the energy in row {bad[0] + 1} is not a number: delete the row or export again"
        )
    falls = np.flatnonzero(np.diff(energy_ev) <= 0)
    if len(falls):
        row = int(falls[0])
        raise MeasurementError(
            f"{name}: the energy does not rise in row {row + 2} ({energy_ev[row + 1]:g} after "
            f"{energy_ev[row]:g} eV): sort the scan and average repeated energies"
        )


def read_spectrum(
    path: str | Path,
    *,
    column: str | None = None,
    group: str | None = None,
    or_only: bool = False,
) -> Spectrum:
    """Return the spectrum of a text file or of a group of an Athena project.

    Labels come from XDI's ``Column.N`` fields or from the last comment line with one word for each
    column. By labels, the absorption is a column ``mutrans``, ``xmu``, ``norm``, ``tey``, ``pfy`` ...,
    or ln(i0/itrans), or ifluor/i0; the foil's is ``murefer`` or ln(itrans/irefer). Without labels it
    is the second of two columns. XDI: Ravel and Newville, J. Phys. Conference Series 712, 012148 (2016).

    Parameters
    ----------
    path
        The file.
    column
        Label or number (from 1) of the column that is the absorption, where it cannot be told.
    group
        Label of the group of an Athena project, where there are several. Its energies are with the
        shift that Athena adds, and its reference channel is that of the group it names.
    or_only
        Take the only group of a project whatever its label is.

    Raises
    ------
    MeasurementError
        For a file that cannot be read, without an absorption, or whose energies do not rise.
    """
    if is_project(Path(path)):
        return _of_project(Path(path), group, or_only=or_only)
    text = read_text(path)
    table = numbers_of(text, path)
    header = _xdi_fields(text)
    labels, units = _labels(text, header, table.shape[1])
    columns = {label: table[:, i] for i, label in enumerate(labels) if label}
    energy = _energy_ev(columns.get("energy", table[:, 0]), units, path)
    return Spectrum(
        str(path),
        energy,
        _absorption(table, columns, column, path),
        _reference(columns),
        header,
    )


def _of_project(path: Path, label: str | None, *, or_only: bool) -> Spectrum:
    groups = read_project(path)
    chosen = choose_group(groups, label, path, or_only=or_only)
    foil = next((each for each in groups if each.name == chosen.reference), None)
    reference = None
    if foil is not None and np.array_equal(foil.energy_ev, chosen.energy_ev):
        reference = foil.absorption
    # capital first, as in 'Mn' and 'L3', whichever way the project writes them
    header = {
        f"element.{key}": chosen.parameters[name].capitalize()
        for key, name in (("symbol", "bkg_z"), ("edge", "fft_edge"))
        if chosen.parameters.get(name)
    }
    name = f"{path}, group {chosen.label!r}"
    return Spectrum(name, chosen.energy_ev, chosen.absorption, reference, header)


def _xdi_fields(text: str) -> dict[str, str]:
    found = (_XDI_FIELD.match(line) for line in text.splitlines())
    return {match[1].lower(): match[2] for match in found if match}


def _labels(text: str, header: Mapping[str, str], number: int) -> tuple[list[str], list[str]]:
    """Return the label and the unit of each column; empty words where the file gives none."""
    if any(f"column.{i + 1}" in header for i in range(number)):
        fields = [header.get(f"column.{i + 1}", "").lower().split() for i in range(number)]
        return [f[0] if f else "" for f in fields], [f[1] if len(f) > 1 else "" for f in fields]
    labels = [""] * number
    for line in text.splitlines():
        words = re.sub(r"[#%,;]", " ", line).lower().split()
        if len(words) == number and not any(_is_number(word) for word in words):
            labels = words
    split = [re.match(r"([a-z0-9]+)[\[(/_]*([a-z]*)", label) for label in labels]
    names = [m[1] if m else "" for m in split]
    return ["energy" if n in {"e", "energy"} else n for n in names], [
        m[2] if m else "" for m in split
    ]


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _energy_ev(energy: Array, units: Sequence[str], path: str | Path) -> Array:
    unit = units[0]
    if unit == "kev":
        return energy * 1000
    if unit.startswith("deg"):
        raise MeasurementError(f"{path}: the first column is an angle: export energies in eV")
    if np.nanmax(energy) < 40:  # below any edge but those of Li and He: keV without saying so
        raise MeasurementError(
            f"{path}: energies up to {np.nanmax(energy):g} are not eV: export the scan in eV"
        )
    return energy


def _absorption(
    table: Array, columns: Mapping[str, Array], column: str | None, path: str | Path
) -> Array:
    if column is not None:
        if column.lower() in columns:
            return columns[column.lower()]
        if column.isdigit() and 1 <= int(column) <= table.shape[1]:
            return table[:, int(column) - 1]
        raise MeasurementError(
            f"{path}: no column {column!r}: give a number from 1 to {table.shape[1]}"
            + (f", or one of {', '.join(columns)}" if columns else "")
        )
    for label in (*_ABSORPTION, *_SOFT):
        if label in columns:
            return columns[label]
    transmitted = columns.get("itrans", columns.get("i1"))
    emitted = columns.get("ifluor", columns.get("if"))
    if "i0" in columns and transmitted is not None:
        return _log_ratio(columns["i0"], transmitted)
    if "i0" in columns and emitted is not None:
        return _ratio(emitted, columns["i0"])
    if table.shape[1] == 2:
        return table[:, 1]
    raise MeasurementError(
        f"{path}: which of {table.shape[1]} columns is the absorption? Give its label or number as "
        "`column`"
    )


def _reference(columns: Mapping[str, Array]) -> Array | None:
    transmitted = columns.get("itrans", columns.get("i1"))
    behind = columns.get("irefer", columns.get("i2"))
    if "murefer" in columns:
        found = columns["murefer"]
    elif transmitted is not None and behind is not None:
        found = _log_ratio(transmitted, behind)
    else:
        return None
    return found if np.isfinite(found).all() and np.ptp(found) > 0 else None  # no foil was there


def _log_ratio(over: Array, under: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((over > 0) & (under > 0), np.log(over / under), np.nan)


def _ratio(over: Array, under: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(under > 0, over / under, np.nan)


def read_stack(path: str | Path) -> Array:
    """Return the images of a stack: .npy (read as it is needed), .npz (its only array), .tif.

    Returns
    -------
    ndarray
        (n_energies, n_rows, n_columns).

    Raises
    ------
    MeasurementError
        For another kind of file, one that cannot be read, or one that is no stack.
    """
    path = Path(path)
    ending = path.suffix.lower()
    try:
        if ending == ".npy":
            stack = np.load(path, mmap_mode="r", allow_pickle=False)
        elif ending == ".npz":
            three = {name: array for name, array in read_archive(path).items() if array.ndim == 3}
            if len(three) != 1:
                raise MeasurementError(f"{path}: {len(three)} stacks: give a file with one")
            (stack,) = three.values()
        elif ending in {".tif", ".tiff"}:
            stack = _tiff_pages(path)
        else:
            raise MeasurementError(
                f"{path}: a stack is .npy, .npz or .tif: export it as one of them"
            )
    except (OSError, ValueError, EOFError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise MeasurementError(f"{path}: the stack cannot be read: {reason}") from error
    if stack.ndim != 3 or 0 in stack.shape:
        raise MeasurementError(f"{path}: {stack.shape} is no stack of (energies, rows, columns)")
    return stack


def _tiff_pages(path: Path) -> Array:
    from PIL import Image, ImageSequence  # comes with matplotlib; loaded for TIFF alone

    with Image.open(path) as image:
        return np.stack(
            [np.asarray(page, dtype=np.float32) for page in ImageSequence.Iterator(image)]
        )
