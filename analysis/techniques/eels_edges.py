"""EELS: what may be chosen, and what is integrated of every spectrum of a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from rocksalt.analysis.eels import (
    AFTER_EV,
    LINE_WIDTH_EV,
    STEP_WIDTH_EV,
    WHITE_LINES_EV,
    Areas,
    Noise,
    check_window,
    locate_white_lines,
    measure_areas,
    second_derivative_weights,
    white_line_weights,
    window_weights,
)
from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.quantities import Analysis, Array
from rocksalt.analysis.readers.eels import EnergyLoss
from rocksalt.analysis.user_input import UserInput
from rocksalt.analysis.xanes import Range

LEAST_EDGE = 5.0
"""An edge with an area of fewer standard uncertainties is not there."""


class Options(UserInput):
    """What an EELS analysis may be told."""

    element: Literal["Cr", "Mn", "Fe", "Co", "Ni"] = Field(
        "Mn", description="whose L2,3 edge it is"
    )
    shift_ev: float = Field(0.0, description="added to the energies of the file, never guessed")
    energies: Path | None = Field(None, description="text file with energies in eV, for .npy")
    dataset: int | None = Field(
        None, ge=1, description="of a microscope's file with several spectra"
    )
    pixel_nm: float | None = Field(
        None, gt=0, description="edge of a pixel; by default what the file says"
    )
    bin_pixels: int = Field(
        1, ge=1, description="neighbours along a line, or squares of an image, that are summed"
    )
    background_ev: Range | None = Field(
        None, description="window before L3; by default 50 to 6 eV before its tabulated edge"
    )
    line_width_ev: float = Field(
        LINE_WIDTH_EV, ge=2, description="window of each white line, about its maximum"
    )
    after_ev: Range = Field(
        AFTER_EV, description="behind the L2 maximum, for the height of the double step"
    )
    step_width_ev: float = Field(
        STEP_WIDTH_EV, gt=0, description="of the arctangents of the double step"
    )
    derivative_width_ev: float = Field(3.0, gt=0, description="of the second derivative")
    o_background_ev: Range = Field((475.0, 522.0), description="window before the O K edge")
    o_prepeak_ev: Range = Field((526.0, 532.0), description="of the pre-peak of O K")
    o_main_ev: Range = Field((532.0, 548.0), description="of the main part of O K")
    noise: Noise = Field(
        "scatter", description="'poisson' where counts are electrons and channels are independent"
    )
    surface: Literal["start", "end"] | None = Field(
        None, description="which end of a line scan is the surface, where the edge does not tell"
    )
    surface_level: float = Field(
        0.5, gt=0, lt=1, description="share of whole material's L2,3 area at which material begins"
    )
    least_significance: float = Field(
        3.0,
        gt=0,
        description="pixels whose L3 or L2 has less area over its uncertainty are left out",
    )
    layer_from: Literal["l3-l2", "o-prepeak"] | None = Field(
        "l3-l2", description="profile that the thickness of the surface layer is fitted to"
    )
    references: dict[str, Path] = Field(
        default_factory=dict, description="files of compounds, measured as the sample was"
    )
    valences: dict[str, float] = Field(default_factory=dict, description="of the references")


@dataclass(frozen=True)
class Edges:
    """What is integrated, the same for all spectra of a file.

    Attributes
    ----------
    background_ev
        Window of the background of L2,3.
    lines_ev
        Maxima of L3 and L2.
    white_lines, derivative
        Weights by `white_line_weights` and `second_derivative_weights`.
    oxygen
        (n_energies, 2): weights of pre-peak and main edge; None where O K is not covered.
    """

    background_ev: Range
    lines_ev: Range
    white_lines: Array
    derivative: Array
    oxygen: Array | None


@dataclass(frozen=True)
class Found:
    """Areas of some spectra, by the weights of `Edges`."""

    lines: Areas
    derivative: Areas
    oxygen: Areas | None


def find_edges(loss: EnergyLoss, total: Array, options: Options, analysis: Analysis) -> Edges:
    """Find the white lines in the sum of all spectra, and say what is integrated.

    Raises
    ------
    MeasurementError
        When a window is not covered, or the sum shows no edge.
    """
    energy, name = loss.energy_ev, loss.name
    edge = WHITE_LINES_EV[options.element][0]
    window = options.background_ev or (edge - 50.0, edge - 6.0)
    none = np.zeros((len(energy), 1))
    before = measure_areas(energy, total[None], window, none, noise="poisson", name=name)
    if not before.exponent[0] > 0:
        raise MeasurementError(
            f"{name}: the counts do not fall from {window[0]:g} to {window[1]:g} eV: an edge is in "
            "background_ev, or the counts are no raw spectrum; choose a window before the edge, or "
            "shift_ev if the scale is off"
        )
    signal = total - before.background(energy)
    lines = locate_white_lines(
        energy,
        signal,
        options.element,
        after_ev=options.after_ev,
        step_width_ev=options.step_width_ev,
        name=name,
    )
    if options.line_width_ev > lines[1] - lines[0]:
        raise MeasurementError(
            f"{name}: line_width_ev {options.line_width_ev:g} is more than the {lines[1] - lines[0]:.3g} "
            "eV between the white lines: give less"
        )
    after = (lines[1] + options.after_ev[0], lines[1] + options.after_ev[1])
    check_window(energy, after, "after_ev", name)
    if options.after_ev[0] < options.line_width_ev / 2:
        raise MeasurementError(
            f"{name}: after_ev begins in the window of L2: give {options.line_width_ev / 2:g} eV at least"
        )
    edges = Edges(
        window,
        lines,
        line_weights(energy, lines, options),
        second_derivative_weights(energy, signal, lines, width_ev=options.derivative_width_ev),
        _oxygen_weights(loss, options, analysis),
    )
    areas = measure_areas(
        energy, total[None], window, edges.white_lines, noise=options.noise, name=name
    )
    if not min(areas.significance(0)[0], areas.significance(1)[0]) >= LEAST_EDGE:
        raise MeasurementError(
            f"{name}: no {options.element} L2,3 edge: the white lines have an area of "
            f"{areas.significance(0)[0]:.1f} and {areas.significance(1)[0]:.1f} standard uncertainties; "
            "check element, and shift_ev if the scale is off"
        )
    analysis.parameters = {
        **analysis.parameters,
        "used_background_ev": window,
        "used_lines_ev": lines,
        "used_after_ev": after,
        "used_pixel_nm": loss.pixel_nm,
    }
    return edges


def line_weights(energy: Array, lines: Range, options: Options) -> Array:
    """Return `white_line_weights` with the widths that were chosen."""
    return white_line_weights(
        energy,
        lines,
        width_ev=options.line_width_ev,
        after_ev=options.after_ev,
        step_width_ev=options.step_width_ev,
    )


def _oxygen_weights(loss: EnergyLoss, options: Options, analysis: Analysis) -> Array | None:
    """Return the weights of pre-peak and main edge; None where the spectrum does not cover O K."""
    windows = {
        "o_background_ev": options.o_background_ev,
        "o_prepeak_ev": options.o_prepeak_ev,
        "o_main_ev": options.o_main_ev,
    }
    try:
        for what, window in windows.items():
            check_window(loss.energy_ev, window, what, loss.name)
    except MeasurementError:
        if options.model_fields_set & {*windows}:
            raise
        analysis.remarks.append("The spectrum does not cover the O K edge and what is before it.")
        return None
    columns = [window_weights(loss.energy_ev, windows[w]) for w in ("o_prepeak_ev", "o_main_ev")]
    return np.column_stack(columns)


def measure(loss: EnergyLoss, spectra: Array, edges: Edges, options: Options) -> Found:
    """Return what the edges hold of some spectra, (n_spectra, n_energies), of a file."""

    def areas(weights: Array, window: Range) -> Areas:
        return measure_areas(
            loss.energy_ev, spectra, window, weights, noise=options.noise, name=loss.name
        )

    return Found(
        areas(edges.white_lines, edges.background_ev),
        areas(edges.derivative, edges.background_ev),
        None if edges.oxygen is None else areas(edges.oxygen, options.o_background_ev),
    )
