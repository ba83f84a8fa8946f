"""Energy-loss spectra: EMSA .msa, .dm3, .dm4 and .hspy, two-column text, and arrays in .npz or .npy."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.quantities import Array
from rocksalt.analysis.readers.archives import read_archive
from rocksalt.analysis.readers.columns import need_extra, numbers_of, read_text
from rocksalt.analysis.readers.xas import check_energies

_EV = {"ev": 1.0, "kev": 1000.0}
_NM = {"pm": 1e-3, "å": 0.1, "nm": 1.0, "µm": 1e3, "μm": 1e3, "um": 1e3}  # two signs for micro
_MICROSCOPE = (".dm3", ".dm4", ".hspy")
_LEAST_POINTS = 50


@dataclass(frozen=True)
class EnergyLoss:
    """A spectrum, a line of spectra or an image of spectra, all on one energy axis.

    Attributes
    ----------
    name
        The file, for messages.
    energy_ev
        (n_energies,): rising in even steps.
    counts
        (n_energies,), (n_pixels, n_energies) or (n_rows, n_columns, n_energies).
    pixel_nm
        From one pixel to the next; None where the file does not say.
    """

    name: str
    energy_ev: Array
    counts: Array
    pixel_nm: float | None = None

    def __post_init__(self) -> None:
        check_energies(self.energy_ev, self.name)
        steps = np.diff(self.energy_ev)
        if len(self.energy_ev) < _LEAST_POINTS:
            raise MeasurementError(
                f"{self.name}: {len(self.energy_ev)} energies are no spectrum: the file is cut short, "
                "export it again"
            )
        uneven = np.flatnonzero(abs(steps / np.median(steps) - 1) > 0.05)
        if len(uneven):
            at = self.energy_ev[uneven[0]]
            raise MeasurementError(
                f"{self.name}: the energies step by {steps[uneven[0]]:g} eV at {at:g} eV and by "
                f"{np.median(steps):g} eV elsewhere: channels are missing; export the spectrum whole"
            )
        if self.counts.ndim not in {1, 2, 3} or 0 in self.counts.shape:
            raise MeasurementError(
                f"{self.name}: an array of shape {self.counts.shape} is no spectrum, line or image of "
                "spectra"
            )
        if self.counts.shape[-1] != len(self.energy_ev):
            raise MeasurementError(
                f"{self.name}: {len(self.energy_ev)} energies and counts of shape {self.counts.shape}: "
                "the last axis must be the energy"
            )


def read_energy_loss(
    path: str | Path, *, energies: Path | None = None, dataset: int | None = None
) -> EnergyLoss:
    """Return what a file holds.

    Parameters
    ----------
    path
        ``.msa`` (EMSA/MAS), ``.dm3``, ``.dm4``, ``.hspy``, ``.npz`` with `energy_ev`, one array of counts
        and perhaps `pixel_nm`, ``.npy`` with `energies`, or text with columns of energy and counts.
    energies
        Text file with the energy of each channel in eV, for ``.npy``.
    dataset
        Number from 1 of the spectrum to take, for a microscope's file that holds several.

    Raises
    ------
    MeasurementError
        For a file that cannot be read or holds no spectrum, energies that do not rise in even steps, or
        a package that is not installed.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending in _MICROSCOPE:
        return _read_microscope(path, dataset)
    if ending in {".npz", ".npy"}:
        return _read_arrays(path, energies)
    text = read_text(path)
    if ending in {".msa", ".emsa"} or text.lstrip().upper().startswith("#FORMAT"):
        return _read_emsa(text, path)
    table = numbers_of(text, path)
    if table.shape[1] != 2:
        raise MeasurementError(
            f"{path}: {table.shape[1]} columns: give a text file with two, energy and counts"
        )
    return EnergyLoss(str(path), table[:, 0], table[:, 1])


def _read_emsa(text: str, path: Path) -> EnergyLoss:
    """Read the spectral file format of EMSA/MAS (ISO 22029:2012)."""
    header: dict[str, str] = {}
    numbers: list[float] = []
    started = False
    for number, line in enumerate(text.splitlines(), start=1):
        if line.lstrip().startswith("#"):
            key, _, value = line.lstrip()[1:].partition(":")
            key = key.strip().upper().split(" ")[0]
            if key == "ENDOFDATA":
                break
            header.setdefault(key, value.strip())
            started = started or key == "SPECTRUM"
        elif started:
            try:
                numbers += [float(word) for word in line.replace(",", " ").split()]
            except ValueError:
                raise MeasurementError(
                    f"{path}: line {number} is not numbers: {line.strip()[:40]!r}: export it again"
                ) from None
    if not started:
        raise MeasurementError(f"{path}: no #SPECTRUM in it: the file is cut short or no EMSA file")
    if header.get("SIGNALTYPE", "ELS").upper() not in {"ELS", "EELS"}:
        raise MeasurementError(
            f"{path}: SIGNALTYPE is {header['SIGNALTYPE']!r}: give an energy-loss spectrum (ELS)"
        )
    unit = _EV.get(header.get("XUNITS", "eV").lower())
    if unit is None:
        raise MeasurementError(f"{path}: XUNITS is {header['XUNITS']!r}: export energies in eV")
    values = np.array(numbers)
    expected = round(_number(header, "NPOINTS", path))
    if header.get("DATATYPE", "Y").upper() == "XY":
        if len(values) != 2 * expected:
            raise _cut_short(path, len(values) // 2, expected)
        return EnergyLoss(str(path), values[::2] * unit, values[1::2])
    if len(values) != expected:
        raise _cut_short(path, len(values), expected)
    if float(header.get("CHOFFSET") or 0) != 0:
        raise MeasurementError(
            f"{path}: CHOFFSET is {header['CHOFFSET']}, which is not read: export with DATATYPE XY"
        )
    start, step = _number(header, "OFFSET", path), _number(header, "XPERCHAN", path)
    return EnergyLoss(str(path), (start + step * np.arange(float(expected))) * unit, values)


def _number(header: Mapping[str, str], key: str, path: Path) -> float:
    try:
        return float(header[key])
    except (KeyError, ValueError):
        raise MeasurementError(
            f"{path}: {key} is {header.get(key, 'missing')!r}, not a number: export it again"
        ) from None


def _cut_short(path: Path, found: int, expected: int) -> MeasurementError:
    return MeasurementError(
        f"{path}: {found} points where NPOINTS says {expected}: the file is cut short, export it again"
    )


def _read_arrays(path: Path, energies: Path | None) -> EnergyLoss:
    if path.suffix.lower() == ".npy":
        if energies is None:
            raise MeasurementError(
                f"{path}: an array has no energies: give energies, a text file with one per channel"
            )
        try:
            counts = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
            raise MeasurementError(f"{path}: the array cannot be read: {reason}") from error
        table = numbers_of(read_text(energies), energies, least_columns=1)
        return EnergyLoss(str(path), table[:, 0], _without_single(counts))
    arrays = read_archive(path)
    energy, pixel = arrays.get("energy_ev"), arrays.get("pixel_nm")
    arrays = {name: each for name, each in arrays.items() if name not in {"energy_ev", "pixel_nm"}}
    if energy is None or energy.ndim != 1 or len(arrays) != 1:
        raise MeasurementError(
            f"{path}: holds {', '.join(arrays) or 'nothing'}: give 'energy_ev' and one array of counts"
        )
    (counts,) = arrays.values()
    pixel_nm = None if pixel is None else float(np.ravel(pixel)[0])
    return EnergyLoss(str(path), energy.astype(float), _without_single(counts), pixel_nm)


def _without_single(counts: Array) -> Array:
    """Return counts without axes of one pixel: an image of one row is a line."""
    if counts.ndim < 2:
        return counts
    return counts.reshape(*(n for n in counts.shape[:-1] if n > 1), counts.shape[-1])


def _read_microscope(path: Path, dataset: int | None) -> EnergyLoss:
    """Read a file of DigitalMicrograph or HyperSpy through RosettaSciIO."""
    try:
        if path.suffix.lower() == ".hspy":
            import h5py  # noqa: F401  # RosettaSciIO reads .hspy with it
            from rsciio.hspy import file_reader
        else:
            from rsciio.digitalmicrograph import file_reader
    except ImportError as error:
        package = "h5py" if error.name == "h5py" else "rosettasciio"
        raise need_extra(package, "experiments", path) from None
    try:
        if not path.stat().st_size:
            raise MeasurementError(f"{path}: the file is empty: copy it again")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = file_reader(str(path))
    except OSError as error:
        reason = error.strerror or "cut short or of another kind"
        raise MeasurementError(f"{path}: cannot be read: {reason}") from error
    except MeasurementError:
        raise
    except Exception as error:  # the readers of binary files raise whatever they stumble over
        raise MeasurementError(
            f"{path}: cannot be read ({type(error).__name__}): it is cut short or of another kind: copy "
            "it again or export it as .msa"
        ) from error
    spectra = [each for each in found if _energy_axis(each["axes"]) is not None]
    if not spectra:
        shapes = ", ".join(str(each["data"].shape) for each in found)
        raise MeasurementError(
            f"{path}: no axis is in eV (shapes: {shapes or 'none'}): an image, not a spectrum; give the "
            "file of the spectrum"
        )
    if dataset is None and len(spectra) > 1:
        held = "; ".join(f"{i}: {_summary(each)}" for i, each in enumerate(spectra, start=1))
        raise MeasurementError(f"{path}: holds {len(spectra)} spectra ({held}): give dataset")
    if not 1 <= (dataset or 1) <= len(spectra):
        raise MeasurementError(f"{path}: dataset {dataset}: give 1 to {len(spectra)}")
    return _with_energy_last(spectra[(dataset or 1) - 1], path)


def _energy_axis(axes: Sequence[Mapping[str, Any]]) -> int | None:
    """Return which axis is the energy: the only one in eV or keV."""
    found = [i for i, axis in enumerate(axes) if str(axis.get("units")).lower() in _EV]
    return found[0] if len(found) == 1 else None


def _axis_values(axis: Mapping[str, Any]) -> Array:
    if "axis" in axis:
        return np.asarray(axis["axis"], dtype=float)
    return float(axis["offset"]) + float(axis["scale"]) * np.arange(float(axis["size"]))


def _summary(spectrum: Mapping[str, Any]) -> str:
    axes = spectrum["axes"]
    energy = _axis_values(axes[_energy_axis(axes) or 0])
    return f"{spectrum['data'].shape}, {energy[0]:g} to {energy[-1]:g} {axes[_energy_axis(axes) or 0]['units']}"


def _with_energy_last(spectrum: Mapping[str, Any], path: Path) -> EnergyLoss:
    axes = spectrum["axes"]
    which = _energy_axis(axes)
    assert which is not None  # the caller chose it for that
    energy = _axis_values(axes[which]) * _EV[str(axes[which]["units"]).lower()]
    counts = np.moveaxis(np.asarray(spectrum["data"]), which, -1)
    places = [axis for i, axis in enumerate(axes) if i != which]
    wide = [axis for axis, length in zip(places, counts.shape[:-1], strict=True) if length > 1]
    loss = EnergyLoss(str(path), energy, _without_single(counts))
    pixels = [
        abs(float(axis["scale"])) * _NM[unit]
        for axis in wide
        if (unit := str(axis.get("units")).lower()) in _NM and "scale" in axis
    ]
    if len(pixels) != len(wide) or not pixels:
        return loss
    if max(pixels) > 1.01 * min(pixels):
        raise MeasurementError(
            f"{path}: pixels of {pixels[0]:.4g} by {pixels[-1]:.4g} nm are not square: bin them to squares"
        )
    return replace(loss, pixel_nm=pixels[0])
