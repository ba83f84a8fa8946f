"""The powder patterns of a prediction as a matplotlib figure."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rocksalt.analysis.powder import TWO_THETA_DEGREES
from rocksalt.stores.prediction_documents import (
    LayeredPattern,
    PredictedReflection,
    PredictionDoc,
    RockSaltPattern,
)
from rocksalt.workflows.figure_style import ENGINE_COLOURS, INK, empty_figure, styled
from rocksalt.workflows.formulas import formula_text

MOST_PATTERNS = 3
"""Rock salts that are drawn: one of each host, at its lowest fraction."""


@styled
def powder_patterns(prediction: PredictionDoc) -> Figure:
    """Draw the lines of the layered host and of rock salts, and how I(003)/I(104) falls.

    Parameters
    ----------
    prediction
        Of one candidate.

    Returns
    -------
    Figure
        A panel of lines for each pattern and, with a layered host, one of the ratio.
    """
    hosts: dict[str, RockSaltPattern] = {}
    for pattern in prediction.rock_salts:
        hosts.setdefault(pattern.host, pattern)
    rock_salts = list(hosts.values())[:MOST_PATTERNS]
    layered = prediction.layered
    n_lines = len(rock_salts) + (layered is not None)
    if not n_lines:
        return empty_figure("no pattern was predicted")
    wide = layered is not None
    figure = Figure(figsize=(9.6 if wide else 6.2, 0.9 + 1.35 * n_lines), layout="constrained")
    grid = figure.add_gridspec(n_lines, 2 if wide else 1, width_ratios=(1.9, 1)[: 2 if wide else 1])
    panels: list[Axes] = []
    for row in range(n_lines):
        shared = panels[0] if panels else None
        panels.append(figure.add_subplot(grid[row, 0], sharex=shared))
    if layered is not None:
        title = f"{formula_text(layered.formula)}, {layered.cell} cell"
        _lines(panels[0], layered.reflections, title, ENGINE_COLOURS[0], ("003", "104", "101"))
        _ratios(figure.add_subplot(grid[:, 1]), layered)
    for axes, pattern in zip(panels[n_lines - len(rock_salts) :], rock_salts, strict=True):
        title = f"{formula_text(pattern.formula)}, a = {pattern.lattice_constant.value:.3f} Å"
        _lines(axes, pattern.reflections, title, ENGINE_COLOURS[1], None)
    for axes in panels[:-1]:
        axes.tick_params(labelbottom=False)
    panels[-1].set_xlabel(f"2θ (degrees) at {prediction.wavelength_angstrom:.5g} Å")
    panels[-1].set_xlim(*TWO_THETA_DEGREES)
    figure.supylabel("Intensity (% of the strongest)", fontsize=10)
    return figure


def _lines(
    axes: Axes,
    reflections: Sequence[PredictedReflection],
    title: str,
    colour: str,
    named: Sequence[str] | None,
) -> None:
    angles = [each.two_theta_degrees for each in reflections]
    axes.vlines(angles, 0, [each.intensity_percent for each in reflections], color=colour, lw=1.8)
    for each in reflections:
        if named is None or each.hkl in named:
            axes.annotate(
                each.hkl,
                (each.two_theta_degrees, each.intensity_percent),
                (0, 2),
                textcoords="offset points",
                ha="center",
                fontsize=8,
            )
    axes.set_ylim(0, 125)
    axes.set_yticks([0, 50, 100])
    axes.set_title(title, loc="left", fontsize=9.5)


def _ratios(axes: Axes, layered: LayeredPattern) -> None:
    metals = list(dict.fromkeys(each.metal for each in layered.ratios))
    for place, metal in enumerate(metals):
        mine = [each for each in layered.ratios if each.metal == metal]
        axes.plot(
            [100 * each.share_of_lithium_sites for each in mine],
            [each.ratio for each in mine],
            "o-" if metal is None else "s",
            color=INK if metal is None else ENGINE_COLOURS[2 + place],
            ms=4.5,
            label="metals by their shares" if metal is None else f"{metal} alone",
        )
    axes.set(xlabel="Lithium sites taken by metal (%)", ylabel="I(003)/I(104)", ylim=(0, None))
    axes.set_title("Cation mixing", loc="left", fontsize=9.5)
    axes.legend()
