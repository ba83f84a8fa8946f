"""XPS: shares, positions and widths of the components of a line, O 1s unless told otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.fitted_peaks import add_peaks, analysis_of, window_around
from rocksalt.analysis.peak_fits import fit_peaks
from rocksalt.analysis.peak_model import Background, Component
from rocksalt.analysis.quantities import Analysis, Quantity
from rocksalt.analysis.readers.columns import file_sha256
from rocksalt.analysis.readers.spectra import Curve, Energy, read_photoelectrons
from rocksalt.analysis.sample import Sample
from rocksalt.analysis.user_input import UserInput
from rocksalt.analysis.xanes import Range

O_1S: dict[str, Component] = {
    "lattice": Component(position=530.0, shift=0.5, width=(0.8, 2.2)),
    "peroxo": Component(position=530.9, width=(0.8, 2.2)),
    "adsorbed": Component(position=531.5, width=(0.8, 2.2)),
    "deposit": Component(position=533.0, width=(0.8, 2.2)),
}
"""O 1s of a Li-rich cathode: lattice oxygen, (O2)n-, adsorbed oxygen, deposits of the electrolyte (Sun et
al. 2025). The four move together and have one width: 0.9 eV apart and 1.3 eV wide, they leave no more
to be fitted."""

BACKGROUNDS = {
    "shirley": Background(degree=0, step=True),
    "shirley-linear": Background(degree=1, step=True),
    "linear": Background(degree=1),
}
BESIDE_EV = 4.0
"""The default window goes so far beyond the outermost positions, as far as was measured."""

_REFERENCE_WIDTH_EV: Range = (0.5, 4.0)


class Options(UserInput):
    """What an XPS analysis may be told."""

    components: dict[str, Component] | None = Field(
        None,
        min_length=1,
        description="in place of O 1s: {name: {position, shift, width: [least, most], shape, "
        "lorentzian}}",
    )
    together: bool = Field(
        True, description="the first component's shift moves all; others keep their distances to it"
    )
    same_width: bool = Field(True, description="one width for all components")
    window_ev: Range | None = Field(
        None,
        description=f"by default {BESIDE_EV:g} eV beyond the outermost positions, as far as measured",
    )
    background: Literal["shirley", "shirley-linear", "linear"] = "shirley"
    noise: Literal["estimated", "counts"] = Field(
        "estimated", description="counts: the root of the intensity, which must be in counts"
    )
    counts_per_unit: float = Field(
        1.0, gt=0, description="dwell time times scans, where the intensity is in counts per second"
    )
    energy: Energy | None = Field(None, description="what the axis of a text without heading is")
    photon_energy_ev: float | None = Field(None, gt=0, description="for kinetic energies")
    work_function_ev: float = Field(
        0.0, ge=0, description="for kinetic energies that count from the vacuum level"
    )
    block: str | int | None = Field(None, description="label or number in a VAMAS file of several")
    column: int | None = Field(None, ge=2, description="of the intensities, in a text of several")
    charge_shift_ev: float | None = Field(None, description="added to the binding energies")
    reference_ev: float | None = Field(
        None, description="true energy of a line that gives the shift"
    )
    reference_window_ev: Range | None = Field(None, description="measured energies about that line")
    reference_file: Path | None = Field(
        None, description="with that line; by default the same file"
    )
    reference_block: str | int | None = Field(None, description="its block in a VAMAS file")


def analyse(file: Path, sample: Sample, options: Options) -> Analysis:
    """Return share, position and width of each component, and the goodness of the fit.

    Raises
    ------
    MeasurementError
        For a file that cannot be used, a window that was not measured or holds no peak, or a charge
        reference that is incomplete.
    """
    template = options.components or O_1S
    curve = _read(file, options, options.block)
    shift, shift_uncertainty = _charge_shift(file, options)
    curve = Curve(curve.name, curve.x + shift, curve.y)
    window = options.window_ev or window_around(template, curve, BESIDE_EV)
    outside = [name for name, c in template.items() if not window[0] < c.position < window[1]]
    if outside:
        raise MeasurementError(
            f"{file}: {outside[0]} at {template[outside[0]].position:g} eV is not from {window[0]:g} to "
            f"{window[1]:g} eV (measured: {curve.x[0]:g} to {curve.x[-1]:g}): give window_ev, or "
            "components of the line that was measured"
        )
    part = curve.inside(window, "window_ev")
    fit = fit_peaks(
        part.x,
        part.y,
        template,
        BACKGROUNDS[options.background],
        together=options.together,
        same_width=options.same_width,
        counts_per_unit=options.counts_per_unit if options.noise == "counts" else None,
        name=str(file),
    )
    analysis = analysis_of(fit, template, options, {"used_window_ev": window}, "binding_energy_ev")
    if options.reference_file is not None:
        analysis.parameters = {
            **analysis.parameters,
            "reference_sha256": file_sha256(options.reference_file),
        }
    add_peaks(analysis, fit, "eV", shift_uncertainty)
    if shift:
        analysis.values["charge_shift"] = Quantity(shift, shift_uncertainty or None, "eV")
    if options.charge_shift_ev is None and options.reference_ev is None:
        analysis.remarks.insert(0, "Energies are as in the file: no charge reference was given.")
    if options.together and not fit.is_found(fit.names[0]):
        analysis.remarks.append(
            f"{fit.names[0]}, which the others follow, is not found: the energies may be shifted by more "
            "than its range, and the names belong to other components."
        )
    if options.together and len(fit.names) > 1:
        analysis.remarks.append(
            f"All components moved together by {fit.positions[0] - template[fit.names[0]].position:+.2f} eV; distances are "
            "the template's where a component has no shift of its own."
        )
    return analysis


def _read(file: Path, options: Options, block: str | int | None) -> Curve:
    return read_photoelectrons(
        file,
        energy=options.energy,
        photon_energy_ev=options.photon_energy_ev,
        work_function_ev=options.work_function_ev,
        block=block,
        column=options.column,
    )


def _charge_shift(file: Path, options: Options) -> tuple[float, float]:
    """Return what is added to the energies, and its standard uncertainty."""
    given: Mapping[str, Any] = {
        name: getattr(options, name)
        for name in ("reference_ev", "reference_window_ev", "reference_file", "reference_block")
    }
    if not any(value is not None for value in given.values()):
        return options.charge_shift_ev or 0.0, 0.0
    if options.charge_shift_ev is not None:
        raise MeasurementError(f"{file}: give charge_shift_ev or a reference, not both")
    if options.reference_ev is None or options.reference_window_ev is None:
        raise MeasurementError(
            f"{file}: a charge reference needs reference_ev, the true energy of its line, and "
            "reference_window_ev, the measured energies about it"
        )
    low, high = options.reference_window_ev
    where = options.reference_file or file
    own_block = options.block if options.reference_file is None else None
    curve = _read(where, options, options.reference_block or own_block)
    part = curve.inside((low, high), "reference_window_ev")
    line = Component(position=(low + high) / 2, shift=(high - low) / 2, width=_REFERENCE_WIDTH_EV)
    fit = fit_peaks(part.x, part.y, {"reference": line}, Background(degree=1), name=str(where))
    return options.reference_ev - float(fit.positions[0]), float(fit.position_uncertainties[0])
