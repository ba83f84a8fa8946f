"""Impedance against potential: a spectrum at each of several potentials, one after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from pydantic import Field

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.impedance import kramers_kronig, relaxation_times
from rocksalt.analysis.quantities import Analysis, Quantity
from rocksalt.analysis.readers.impedance import Spectrum, SpectrumOptions, read_series
from rocksalt.analysis.sample import Sample
from rocksalt.analysis.techniques.eis import Windows, doubts_of, resistances
from rocksalt.analysis.user_input import UserInput

_NAMES = ("ohmic", "charge_transfer", "diffusion", "polarisation")


class OtherSpectrum(UserInput):
    """A file with one more spectrum of the series."""

    file: Path
    potential_v: float | None = Field(None, description="by default what a BioLogic file says")


class Options(Windows, SpectrumOptions):
    """What may be chosen; potentials must be given where the files do not say them."""

    potentials_v: list[float] | None = Field(
        None, min_length=1, description="potential of each sweep of the file, in its order"
    )
    spectra: list[OtherSpectrum] = Field(
        default_factory=list,
        description="files with a spectrum each that follow, as [{file: b.csv, potential_v: 3.9}]",
    )


def analyse(file: Path, sample: Sample, options: Options) -> Analysis:
    """Read a series of spectra and return their resistances against the potential.

    The spectra keep the order of measuring: charge and discharge pass the same potentials. Each is
    analysed as the technique `eis` does. Resistances are those of the cell; with
    `sample.electrode_area_cm2` those of the area are added as curves.

    Raises
    ------
    MeasurementError
        When a file or the options cannot give them, or there is one spectrum only.
    """
    series = list(_series(file, options))
    if len(series) < 2:
        raise MeasurementError(
            f"{file}: holds one spectrum: name the others with spectra, or use the technique eis"
        )
    rows: list[list[float | None]] = []
    residuals: list[float] = []
    remarked: dict[str, list[float]] = {}
    result = Analysis(parameters=options.model_dump(mode="json"))
    for name, potential, spectrum in series:
        try:
            test = kramers_kronig(spectrum.frequency_hz, spectrum.impedance_ohm)
            found = relaxation_times(spectrum.frequency_hz, spectrum.impedance_ohm)
            values = resistances(found, options)
        except MeasurementError as error:
            raise MeasurementError(f"{name}: {error}") from None
        residuals.append(test.root_mean_square)
        row: list[float | None] = [potential]
        for each in _NAMES:
            quantity = values.get(f"{each}_resistance")
            row += [np.nan, np.nan] if quantity is None else [quantity.value, quantity.uncertainty]
        rows.append(row)
        for remark in doubts_of(spectrum.frequency_hz, test, found, options):
            remarked.setdefault(remark, []).append(potential)
    for remark, potentials in remarked.items():
        many = len(potentials) == len(series)
        where = "In every spectrum" if many else f"At {', '.join(f'{v:.3f}' for v in potentials)} V"
        result.remarks.append(f"{where}: {remark[0].lower()}{remark[1:]}")
    table = np.array(rows, dtype=float)
    result.arrays["potential_v"] = table[:, 0]
    for number, each in enumerate(_NAMES):
        for suffix, column in (("", 1 + 2 * number), ("_uncertainty", 2 + 2 * number)):
            name = f"{each}_resistance{suffix}"
            result.arrays[f"{name}_ohm"] = table[:, column]
            if sample.electrode_area_cm2 is not None:
                result.arrays[f"{name}_ohm_cm2"] = table[:, column] * sample.electrode_area_cm2
    result.arrays["kramers_kronig_residual"] = np.array(residuals)
    result.values["spectra"] = Quantity(len(series), None, "1")
    result.values["largest_kramers_kronig_residual"] = Quantity(max(residuals), None, "1")
    _add_extremes(result)
    return result


def _series(file: Path, options: Options) -> Iterator[tuple[str, float, Spectrum]]:
    """Yield name, potential and spectrum of each sweep, in the order of measuring."""
    first = read_series(file, options)
    given: Sequence[float | None] = options.potentials_v or [None] * len(first)
    if len(given) != len(first):
        raise MeasurementError(
            f"{file}: has {len(first)} sweeps, potentials_v {len(given)} values: give one for each"
        )
    for number, (potential, spectrum) in enumerate(zip(given, first, strict=True), start=1):
        name = f"{file}: sweep {number}" if len(first) > 1 else str(file)
        yield name, _potential(name, "potentials_v", potential, spectrum), spectrum
    for other in options.spectra:
        found = read_series(other.file, options)
        if len(found) > 1:
            raise MeasurementError(
                f"{other.file}: holds {len(found)} sweeps: a file in spectra is to hold one"
            )
        name = str(other.file)
        yield name, _potential(name, "potential_v", other.potential_v, found[0]), found[0]


def _potential(name: str, option: str, given: float | None, spectrum: Spectrum) -> float:
    potential = spectrum.potential_v if given is None else given
    if potential is None:
        raise MeasurementError(f"{name}: the file does not say its potential: give {option}")
    return potential


def _add_extremes(result: Analysis) -> None:
    """Add the least and the largest of the resistances that change, and where they are."""
    potential = result.arrays["potential_v"]
    for each in ("charge_transfer", "diffusion"):
        series = result.arrays[f"{each}_resistance_ohm"]
        doubts = result.arrays[f"{each}_resistance_uncertainty_ohm"]
        if np.isnan(series).all():
            continue
        for word, row in (
            ("least", int(np.nanargmin(series))),
            ("largest", int(np.nanargmax(series))),
        ):
            name = f"{word}_{each}_resistance"
            result.values[name] = Quantity(float(series[row]), float(doubts[row]), "ohm")
            result.values[f"potential_of_{name}"] = Quantity(float(potential[row]), None, "V")
