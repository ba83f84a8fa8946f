"""XANES at an edge: normalised spectrum, edge position, and fractions of reference compounds."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np
from pydantic import Field

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.linear_combination import (
    COLLINEAR,
    Combination,
    Subset,
    fit_combination,
    mean_valence,
    rank_subsets,
    reference_matrix,
)
from rocksalt.analysis.quantities import Analysis, Array, Quantity
from rocksalt.analysis.readers.columns import file_sha256
from rocksalt.analysis.readers.xas import Spectrum, read_spectrum
from rocksalt.analysis.sample import Sample
from rocksalt.analysis.user_input import UserInput
from rocksalt.analysis.xanes import (
    DERIVATIVE_WIDTH_EV,
    POST_EDGE_EV,
    PRE_EDGE_EV,
    Normalised,
    Range,
    covered,
    edge_energy_ev,
    edge_position,
    foil_edge_ev,
    normalisation_errors,
    normalise,
)


class Options(UserInput):
    """What a XANES analysis may be told."""

    edge: str | None = Field(None, description="as in 'Mn K'; by default what the XDI file says")
    edge_ev: float | None = Field(
        None, gt=0, description="E0, from which ranges count; by default the tabulated edge"
    )
    column: str | None = Field(None, description="label or number of the sample's column")
    group: str | None = Field(
        None,
        description="label of the sample's group in an Athena project; a reference's is its name",
    )
    shift_ev: float | None = Field(
        None,
        description="added to the sample's energies; the references are then taken as they are",
    )
    align: bool = Field(
        True,
        description="lay references on the sample by their reference channels, where all have one",
    )
    pre_edge_ev: Range = Field(PRE_EDGE_EV, description="before the edge, relative to E0")
    post_edge_ev: Range = Field(POST_EDGE_EV, description="after it, relative to E0")
    pre_edge_degree: int = Field(1, ge=0, le=1, description="0 where the range is short")
    post_edge_degree: int | None = Field(
        None, ge=0, le=3, description="by default 0, 1 or 2 for ranges to 30, to 350, above 350 eV"
    )
    derivative_width_ev: float = Field(DERIVATIVE_WIDTH_EV, gt=0, description="of its smoothing")
    references: dict[str, Path] = Field(
        default_factory=dict, max_length=10, description="file of each reference compound"
    )
    valences: dict[str, float] = Field(
        default_factory=dict, description="of the absorber in each reference, for the mean valence"
    )
    window_ev: Range = Field((-15.0, 80.0), description="of the fit, relative to E0")
    flatten: bool = Field(True, description="fit flattened spectra")
    resamples: int = Field(400, ge=50, le=20_000, description="of the bootstrap")
    seed: int = Field(0, ge=0, description="of the bootstrap")


def analyse(file: Path, sample: Sample, options: Options) -> Analysis:
    """Return edge position, normalised spectrum and, with references, fractions and mean valence.

    The sample and the references are normalised over the same energies, relative to the tabulated
    edge; where the sample's own edge is, is a result.

    Raises
    ------
    MeasurementError
        For files that cannot be used, ranges that are not covered, or references without valence.
    """
    refuse_unknown_valences(file, options.references, options.valences)
    spectrum = read_spectrum(file, column=options.column, group=options.group)
    edge = options.edge
    if edge is None and options.edge_ev is None:
        edge = _edge_in(spectrum)
    e0 = options.edge_ev or edge_energy_ev(edge or "")
    if options.shift_ev is not None:
        spectrum = replace(spectrum, energy_ev=spectrum.energy_ev + options.shift_ev)
    normal = _normalise(spectrum, e0, options)
    analysis = Analysis(
        parameters={
            **options.model_dump(mode="json"),
            "edge": edge,
            "e0_ev": e0,
            "used_pre_edge_ev": normal.pre_edge_ev,
            "used_post_edge_ev": normal.post_edge_ev,
            "used_post_edge_degree": normal.post_edge_degree,
        },
        arrays={
            "energy_ev": normal.energy_ev,
            "normalised": normal.values,
            "flattened": normal.flattened,
        },
    )
    _add_edge(analysis, normal, spectrum.name, options)
    if options.references:
        _add_combination(analysis, spectrum, normal, options)
    return analysis


def refuse_unknown_valences(
    file: Path, references: Collection[str], valences: Collection[str]
) -> None:
    """Refuse a valence of what is no reference: it would be left out without a word.

    Raises
    ------
    MeasurementError
        The first such name, and what references there are.
    """
    for name in valences:
        if name not in references:
            known = ", ".join(references) or "none is given"
            raise MeasurementError(
                f"{file}: valences.{name}: no reference has this name ({known}): give "
                f"references.{name}, or leave the valence out"
            )


def _edge_in(spectrum: Spectrum) -> str:
    symbol, edge = (spectrum.header.get(f"element.{key}") for key in ("symbol", "edge"))
    if not symbol or not edge:
        raise MeasurementError(f"{spectrum.name}: does not name its edge: give edge, as in 'Mn K'")
    return f"{symbol} {edge}"


def _normalise(spectrum: Spectrum, e0: float, options: Options) -> Normalised:
    return normalise(
        spectrum.energy_ev,
        spectrum.absorption,
        e0,
        pre_edge_ev=options.pre_edge_ev,
        post_edge_ev=options.post_edge_ev,
        pre_edge_degree=options.pre_edge_degree,
        post_edge_degree=options.post_edge_degree,
        name=spectrum.name,
    )


def _add_edge(analysis: Analysis, normal: Normalised, name: str, options: Options) -> None:
    position = edge_position(
        normal, width_ev=options.derivative_width_ev, seed=options.seed, name=name
    )
    analysis.values["edge_half_height"] = Quantity(
        position.half_height_ev, position.half_height_uncertainty_ev, "eV"
    )
    analysis.values["edge_first_derivative"] = Quantity(
        position.derivative_ev, position.derivative_uncertainty_ev, "eV"
    )
    analysis.values["edge_step"] = Quantity(normal.edge_step, None, "1")
    analysis.remarks.append(
        "Uncertainties of edge positions are those of the noise; the energy calibration is not in them."
    )
    if position.derivative_uncertainty_ev > 0.5:
        analysis.remarks.append(
            "The edge has inflections that are about as steep as each other: compare its half height."
        )


def _add_combination(
    analysis: Analysis, spectrum: Spectrum, normal: Normalised, options: Options
) -> None:
    read = {
        name: read_spectrum(path, group=name, or_only=True)
        for name, path in options.references.items()
    }
    shifts = _shifts(spectrum, read, normal.e0_ev, options, analysis.remarks)
    window = (normal.e0_ev + options.window_ev[0], normal.e0_ev + options.window_ev[1])
    energy, (own, *theirs) = _on_common_energies(spectrum, read, shifts, window)
    normals = [
        _normalise(Spectrum(str(name), energy, values), normal.e0_ev, options)
        for name, values in zip(
            [spectrum.name, *options.references.values()], [own, *theirs], strict=True
        )
    ]
    inside = covered(energy, window, spectrum.name)
    data, *columns = (_values(each, options)[inside] for each in normals)
    references, names = np.column_stack(columns), list(read)
    fit = fit_combination(
        data,
        references,
        names,
        resamples=options.resamples,
        common_errors=_normalisation_errors(normals, inside, options),
        seed=options.seed,
    )
    analysis.parameters = {
        **analysis.parameters,
        "reference_order": names,
        "references_sha256": {name: file_sha256(options.references[name]) for name in names},
        "reference_shifts_ev": shifts,
        "bootstrap_block_points": fit.block_points,
    }
    analysis.arrays["fit_energy_ev"] = energy[inside]
    analysis.arrays["fit_references"] = references
    add_fit(analysis, fit, data, rank_subsets(data, references, names), options.valences)


def _on_common_energies(
    spectrum: Spectrum, references: dict[str, Spectrum], shifts: dict[str, float], window: Range
) -> tuple[Array, list[Array]]:
    """Return those energies of the sample that all cover, and the sample and the references on them.

    Normalised at the same points, a mixture is the mixture of what is normalised; at points of their
    own, a few more or less in a short pre-edge range move fractions by hundredths.
    """
    energies = {name: each.energy_ev + shifts[name] for name, each in references.items()}
    covered(spectrum.energy_ev, window, spectrum.name)
    for name, energy in energies.items():
        covered(energy, window, f"reference {name}")
    every = [spectrum.energy_ev, *energies.values()]
    common = (max(e[0] for e in every), min(e[-1] for e in every))
    inside = (spectrum.energy_ev >= common[0]) & (spectrum.energy_ev <= common[1])
    common = (spectrum.energy_ev[inside][0], spectrum.energy_ev[inside][-1])
    _, matrix = reference_matrix(
        spectrum.energy_ev,
        common,
        {name: (energies[name], each.absorption) for name, each in references.items()},
    )
    return spectrum.energy_ev[inside], [spectrum.absorption[inside], *matrix.T]


def _normalisation_errors(
    normals: list[Normalised], inside: Array, options: Options
) -> tuple[Array, Array]:
    """Return draws of the errors of the normalisation, of the sample and of the references."""
    own, *theirs = (
        normalisation_errors(
            each, options.resamples, flatten=options.flatten, seed=options.seed + 1 + i
        )[inside]
        for i, each in enumerate(normals)
    )
    return own, np.array(theirs)


def _values(normal: Normalised, options: Options) -> Array:
    return normal.flattened if options.flatten else normal.values


def _shifts(
    spectrum: Spectrum,
    references: dict[str, Spectrum],
    near: float,
    options: Options,
    remarks: list[str],
) -> dict[str, float]:
    """Return what is added to the energies of each reference."""
    none = dict.fromkeys(references, 0.0)
    if not options.align or options.shift_ev is not None:
        return none
    without = [name for name, each in references.items() if each.reference is None]
    if spectrum.reference is None or without:
        who = "the sample" if spectrum.reference is None else ", ".join(without)
        remarks.append(f"Energies are not aligned: {who} has no reference channel.")
        return none
    at = foil_edge_ev(spectrum.energy_ev, spectrum.reference, near, name=spectrum.name)
    return {
        name: at - foil_edge_ev(each.energy_ev, each.reference, near, name=each.name)
        for name, each in references.items()
        if each.reference is not None
    }


def add_fit(
    analysis: Analysis,
    fit: Combination,
    data: Array,
    subsets: list[Subset],
    valences: dict[str, float],
) -> None:
    """Put a linear combination into an analysis: fractions, goodness, valence, ranked subsets.

    Of one reference alone there is no mean valence: it would be that reference's. The analysis holds ``fit_references``, the columns that were fitted, already.

    Raises
    ------
    MeasurementError
        When some references have a valence and others none.
    """
    for name, value, sigma in zip(fit.names, fit.fractions, fit.uncertainties, strict=True):
        analysis.values[f"fraction_{name}"] = Quantity(float(value), float(sigma), "1")
    analysis.values["r_factor"] = Quantity(fit.r_factor, None, "1")
    analysis.values["condition_number"] = Quantity(fit.condition_number, None, "1")
    if valences:
        value = mean_valence(fit, valences)  # asks for those that lack
        if len(fit.names) > 1:
            analysis.values["mean_valence"] = Quantity(*value, "1")
        else:
            analysis.remarks.append(
                f"No mean valence: {fit.names[0]} is the only reference, so that its fraction is 1 "
                "whatever the sample is."
            )
    analysis.arrays["fit_data"] = data
    analysis.arrays["fit"] = fit.fitted
    references = analysis.arrays["fit_references"]
    analysis.arrays["fit_uncertainty"] = np.sqrt(
        np.einsum("ij,jk,ik->i", references, fit.covariance, references).clip(min=0)
    )
    analysis.arrays["subset_fractions"] = np.array([s.fractions for s in subsets])
    analysis.arrays["subset_r_factor"] = np.array([s.r_factor for s in subsets])
    analysis.arrays["subset_reduced_square"] = np.array([s.reduced_square for s in subsets])
    if fit.is_collinear:
        analysis.remarks.append(
            f"The references are nearly collinear (condition number {fit.condition_number:.0f} > "
            f"{COLLINEAR:.0f}): other fractions fit nearly as well."
        )
    if len(subsets[0].names) < len(fit.names):
        analysis.remarks.append(
            f"Fewer references do as well for their number: {' + '.join(subsets[0].names)}, R factor "
            f"{subsets[0].r_factor:.2g}."
        )
    if fit.block_points > 1:
        analysis.remarks.append(
            "Residuals follow their neighbours: a species may lack its reference, or energies differ."
        )
