"""EELS: white-line ratio and pre-peak of the O K edge, and both against depth."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from rocksalt.analysis.eels import Areas, double_step, measure_areas, valence_from_ratio
from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.quantities import Analysis, Array, Quantity
from rocksalt.analysis.readers.columns import file_sha256
from rocksalt.analysis.readers.eels import EnergyLoss, read_energy_loss
from rocksalt.analysis.sample import Sample
from rocksalt.analysis.techniques.eels_depth import Mask, add_line, add_map, find_body
from rocksalt.analysis.techniques.eels_edges import (
    LEAST_EDGE,
    Edges,
    Options,
    find_edges,
    line_weights,
    measure,
)
from rocksalt.analysis.white_line_fit import fit_white_lines
from rocksalt.analysis.xanes import Range

_SHOWN_BEHIND_EV = 12.0


def analyse(file: Path, sample: Sample, options: Options) -> Analysis:
    """Return the L3/L2 ratio by two methods and the O K pre-peak, of a spectrum, a line or an image.

    A line or an image also gives them in every pixel and against the distance from the surface, and the
    thickness of a layer in which the ratio differs from the bulk. Its single values are those of the
    sum of all pixels that are material.

    Raises
    ------
    MeasurementError
        For files that cannot be used, windows that are not covered, or a spectrum without the edge.
    """
    loss = _read(file, options)
    analysis = Analysis(parameters=options.model_dump(mode="json"))
    spectra = loss.counts.reshape(-1, len(loss.energy_ev))
    whole = np.array([np.isfinite(each).all() for each in spectra])
    _check_finite(loss, whole, analysis)
    total = _sum(spectra, whole)
    edges = find_edges(loss, total, options, analysis)
    if loss.counts.ndim == 1:
        _add_spectrum(analysis, loss, total, edges, options)
        return analysis
    pixels = measure(loss, spectra, edges, options)
    body = find_body(pixels, loss.counts.shape[:-1], options)
    material = body & whole.reshape(body.shape)
    _add_spectrum(analysis, loss, _sum(spectra, material.ravel()), edges, options)
    analysis.values["pixels"] = Quantity(float(material.sum()), None, "1")
    if loss.counts.ndim == 2:
        add_line(analysis, loss, pixels, body, edges, options)
    else:
        add_map(analysis, loss, pixels, body, whole.reshape(body.shape), edges, options)
    return analysis


def _read(path: Path, options: Options, *, shift: bool = True) -> EnergyLoss:
    loss = read_energy_loss(
        path,
        energies=options.energies if path.suffix.lower() == ".npy" else None,
        dataset=options.dataset if shift else None,
    )
    moved = loss.energy_ev + (options.shift_ev if shift else 0.0)
    loss = replace(loss, energy_ev=moved, pixel_nm=options.pixel_nm or loss.pixel_nm)
    return _binned(loss, options.bin_pixels) if shift else loss


def _binned(loss: EnergyLoss, n: int) -> EnergyLoss:
    """Return sums over n pixels, or n by n; what is left over at the far ends is left out."""
    if n == 1 or loss.counts.ndim == 1:
        return loss
    *shape, n_energies = loss.counts.shape
    if min(shape) < 2 * n:
        raise MeasurementError(
            f"{loss.name}: bin_pixels {n}: of {' by '.join(map(str, shape))} pixels too few are left"
        )
    kept = loss.counts[tuple(slice(k // n * n) for k in shape)]
    blocks = kept.reshape(*(m for k in shape for m in (k // n, n)), n_energies)
    sums = blocks.sum(axis=tuple(range(1, 2 * len(shape), 2)), dtype=float)
    return replace(loss, counts=sums, pixel_nm=None if loss.pixel_nm is None else n * loss.pixel_nm)


def _check_finite(loss: EnergyLoss, whole: Mask, analysis: Analysis) -> None:
    if loss.counts.ndim == 1 and not whole[0]:
        bad = int(np.flatnonzero(~np.isfinite(loss.counts))[0])
        raise MeasurementError(
            f"{loss.name}: the counts at {loss.energy_ev[bad]:g} eV are not a number: export it again"
        )
    if not whole.any():
        raise MeasurementError(f"{loss.name}: every spectrum has counts that are no number")
    if not whole.all():
        analysis.remarks.append(
            f"{np.count_nonzero(~whole)} pixels have counts that are no number and are left out."
        )


def _sum(spectra: Array, which: Mask) -> Array:
    return np.asarray(np.sum(spectra[which], axis=0, dtype=float))


def _add_spectrum(
    analysis: Analysis, loss: EnergyLoss, counts: Array, edges: Edges, options: Options
) -> None:
    """Put the quantities of one spectrum into an analysis, and what is drawn of it."""
    found = measure(loss, counts[None], edges, options)
    values = analysis.values
    values["l3_l2_ratio"] = _ratio_of(found.lines, loss.name)
    spread = _spread_of_choices(loss, counts, edges, options)
    values["l3_l2_ratio_choices"] = Quantity(spread, None, "1")
    values["l3_l2_ratio_second_derivative"] = _ratio_of(found.derivative, loss.name)
    _add_fit(analysis, loss, counts, edges, options)
    moment = _ratio_of(found.lines, loss.name, 3, 0)
    values["l3_energy"] = Quantity(edges.lines_ev[0] + moment.value, moment.uncertainty, "eV")
    values["white_line_splitting"] = Quantity(edges.lines_ev[1] - edges.lines_ev[0], None, "eV")
    analysis.parameters = {**analysis.parameters, "dispersion": found.lines.dispersion}
    analysis.remarks.append(
        f"Uncertainties are those of counts with a variance of {found.lines.dispersion:.3g} times their "
        "number; other windows of this kind move L3/L2 by l3_l2_ratio_choices."
    )
    analysis.remarks.append(
        f"The white lines are taken for those of {options.element}: `element` chooses another."
    )
    analysis.remarks.append("Plural scattering is not removed: compare places of like thickness.")
    energy = loss.energy_ev
    _keep_edge(
        analysis,
        "edge",
        energy,
        counts,
        found.lines,
        (edges.background_ev[0], edges.lines_ev[1] + options.after_ev[1] + _SHOWN_BEHIND_EV),
    )
    shown = analysis.arrays["edge_energy_ev"]
    step = double_step(shown, *edges.lines_ev, options.step_width_ev)
    analysis.arrays["edge_step_counts"] = found.lines.values[0, 2] * step
    if found.oxygen is not None:
        _add_oxygen(analysis, loss, counts, found.oxygen, options)
    if options.references or options.valences:
        _add_valence(analysis, found.lines.ratio(), options)


def _add_fit(
    analysis: Analysis, loss: EnergyLoss, counts: Array, edges: Edges, options: Options
) -> None:
    try:
        fit = fit_white_lines(
            loss.energy_ev,
            counts,
            edges.background_ev,
            edges.lines_ev,
            after_ev=options.after_ev,
            step_width_ev=options.step_width_ev,
            noise=options.noise,
            name=loss.name,
        )
    except MeasurementError:  # the ratio of areas stands without it
        analysis.remarks.append("The fit of two Voigt profiles does not converge and is left out.")
        return
    analysis.values["l3_l2_ratio_fit"] = Quantity(fit.ratio, fit.uncertainty, "1")
    analysis.arrays["fit_energy_ev"] = fit.energy_ev
    analysis.arrays["fit_counts"] = fit.fitted


def _ratio_of(areas: Areas, name: str, over: int = 0, under: int = 1) -> Quantity:
    value, sigma = (float(each[0]) for each in areas.ratio(over, under))
    if not np.isfinite([value, sigma]).all():
        raise MeasurementError(
            f"{name}: counts below zero leave no uncertainty: give the spectrum with its background"
        )
    return Quantity(value, sigma, "1")


def _keep_edge(
    analysis: Analysis, name: str, energy: Array, counts: Array, areas: Areas, window: Range
) -> None:
    shown = (energy >= window[0]) & (energy <= window[1])
    analysis.arrays[f"{name}_energy_ev"] = energy[shown]
    analysis.arrays[f"{name}_counts"] = counts[shown]
    analysis.arrays[f"{name}_background_counts"] = areas.background(energy[shown])


def _add_oxygen(
    analysis: Analysis, loss: EnergyLoss, counts: Array, areas: Areas, options: Options
) -> None:
    if not areas.significance(1)[0] >= LEAST_EDGE:
        analysis.remarks.append("No O K edge rises above its background: no pre-peak is given.")
        return
    analysis.values["o_prepeak_to_main"] = _ratio_of(areas, loss.name)
    window = (options.o_background_ev[0], options.o_main_ev[1] + _SHOWN_BEHIND_EV)
    _keep_edge(analysis, "o", loss.energy_ev, counts, areas, window)
    analysis.remarks.append(
        "The pre-peak is all of O K in o_prepeak_ev, the foot of the main edge included: compare it "
        "between spectra on one energy scale."
    )


def _spread_of_choices(loss: EnergyLoss, counts: Array, edges: Edges, options: Options) -> float:
    """Return half the range of L3/L2 over windows and steps that others would choose as well."""
    first, last = edges.background_ev
    width, (low, high) = options.line_width_ev, options.after_ev
    split = edges.lines_ev[1] - edges.lines_ev[0]
    changes: list[dict[str, object]] = [
        {},
        {"line_width_ev": width - 1.0},
        {"line_width_ev": min(width + 1.0, split)},
        {"step_width_ev": 2 * options.step_width_ev},
    ]
    if edges.lines_ev[1] + high + 4.0 <= loss.energy_ev[-1]:
        changes.append({"after_ev": (low + 4.0, high + 4.0)})
    windows = [(change, edges.background_ev) for change in changes]
    windows.append(({}, ((first + last) / 2, last)))
    ratios = []
    for change, window in windows:
        weights = line_weights(loss.energy_ev, edges.lines_ev, options.model_copy(update=change))
        with suppress(MeasurementError):  # half of a short window may be none
            areas = measure_areas(
                loss.energy_ev, counts[None], window, weights, noise="poisson", name=loss.name
            )
            ratios.append(float(areas.ratio()[0][0]))
    return float(np.ptp(ratios) / 2)


def _add_valence(analysis: Analysis, ratio: tuple[Array, Array], options: Options) -> None:
    """Put the valence into an analysis, from references that go the sample's way."""
    found = {}
    for name, path in options.references.items():
        loss = _read(path, options, shift=False)
        spectra = loss.counts.reshape(-1, len(loss.energy_ev))
        total = _sum(spectra, np.ones(len(spectra), dtype=bool))
        own = find_edges(loss, total, options, Analysis())
        areas = measure(loss, total[None], own, options).lines
        found[name] = (float(areas.ratio()[0][0]), float(areas.ratio()[1][0]))
        analysis.values[f"l3_l2_ratio_{name}"] = Quantity(*found[name], "1")
    valence = valence_from_ratio((float(ratio[0][0]), float(ratio[1][0])), found, options.valences)
    analysis.values[f"{options.element.lower()}_valence"] = Quantity(*valence, "1")
    analysis.parameters = {
        **analysis.parameters,
        "references_sha256": {n: file_sha256(p) for n, p in options.references.items()},
    }
