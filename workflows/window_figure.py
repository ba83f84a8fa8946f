"""Stable phases against the oxygen chemical potential as a matplotlib figure.

Nothing touches pyplot or the caller's settings.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from pymatgen.core import Composition

from rocksalt.screening.elements import host_cations
from rocksalt.screening.oxygen_gas import dmu_o_ev
from rocksalt.stores.phase_documents import HullDoc, OxygenWindow
from rocksalt.workflows.figure_style import INK, PALE, empty_figure, styled
from rocksalt.workflows.formulas import phases_text

TEMPERATURES_K = (300, 600, 900, 1200, 1500, 1800)
"""Ticks of the temperature axes; all lie inside the tables of O2."""

PRESSURES_BAR = (1.0, 1e-6)
BELOW_LOWEST_EV = 0.5
"""How far the axis goes below the lowest boundary: the lowest window has no end."""

_WIDTH_IN = 9.4
_LEFT_IN, _RIGHT_IN = 1.25, 0.25
_ROW_IN, _TOP_IN, _BOTTOM_IN = 0.62, 1.15, 0.62
_LINE_IN = 0.2
_TEXT_SIZE = 8.5
_SOFT = "#55606c"
_FILLS = {
    (False, False): "#dbe9f4",
    (True, False): "#f7e3c8",
    (False, True): "#e8ebee",
    (True, True): "#e8ebee",
}
"""Of a window, by whether the dopant and whether the host is metal in it."""


@styled
def oxygen_window_bars(hulls: Sequence[HullDoc], *, engines: Sequence[str] | None = None) -> Figure:
    """Draw the stable phases of one pair against the oxygen chemical potential.

    A row per source: the engines, then measured enthalpies. Every segment is a window with its
    phases; numbers stand for those that are too narrow, and are spelt out below. Hatched where the
    dopant is metal. The thick line under a row is the window of the host's rock salt alone. The
    axes above give the temperature of O2 gas at two pressures.

    Parameters
    ----------
    hulls
        Of one dopant and host, any number of sources.
    engines
        Order of the rows; order of appearance where it is not given.

    Returns
    -------
    Figure
        One axes with two more above it.
    """
    known = [hull for hull in hulls if hull.windows]
    if not known:
        return empty_figure("no oxygen window was computed")
    order = list(engines or ())
    known.sort(key=lambda h: order.index(h.engine) if h.engine in order else len(order))
    low = _lowest_boundary(known) - BELOW_LOWEST_EV
    inches_per_ev = (_WIDTH_IN - _LEFT_IN - _RIGHT_IN) / -low
    notes, numbers = _notes(known, low, inches_per_ev)
    lines = _wrapped(notes)
    height = _TOP_IN + _ROW_IN * len(known) + _BOTTOM_IN + 0.34 + _LINE_IN * len(lines)
    figure = Figure(figsize=(_WIDTH_IN, height))
    foot = _BOTTOM_IN + 0.34 + _LINE_IN * len(lines)
    axes = figure.add_axes(
        (
            _LEFT_IN / _WIDTH_IN,
            foot / height,
            1 - (_LEFT_IN + _RIGHT_IN) / _WIDTH_IN,
            _ROW_IN * len(known) / height,
        )
    )
    axes.set_xlim(low, 0)
    axes.set_ylim(len(known) - 0.42, -0.58)
    axes.set_yticks(range(len(known)), [hull.engine for hull in known])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("Oxygen chemical potential Δμ$_\\mathrm{O}$ (eV per O, 0 at O$_2$)")
    for row, hull in enumerate(known):
        _row(axes, row, hull, low, inches_per_ev, numbers)
    for place, pressure_bar in enumerate(PRESSURES_BAR):
        _temperature_axis(axes, pressure_bar, 6 + 34 * place)
    _key(figure, known, foot - _BOTTOM_IN, height, lines)
    for artist in (*axes.patches, *axes.lines):
        artist.set_clip_on(False)
    return figure


def _lowest_boundary(hulls: Iterable[HullDoc]) -> float:
    ends = [w.to_dmu_o_ev for hull in hulls for w in hull.windows]
    ends += [ends_[0] for hull in hulls for ends_ in hull.rock_salt_windows_ev.values() if ends_]
    finite = [end for end in ends if np.isfinite(end)]
    return min([*finite, -0.5])


def is_metal(window: OxygenWindow, symbol: str | None) -> bool:
    """Whether a phase without oxygen holds an element in a window.

    Parameters
    ----------
    window
        Of a hull document.
    symbol
        The element; None is never metal.
    """
    for phase in window.phases:
        amounts = Composition(phase.formula).get_el_amt_dict()
        if symbol in amounts and "O" not in amounts:
            return True
    return False


def _width_in(text: str) -> float:
    """Return about how wide a text is, in inches."""
    return 0.62 * _TEXT_SIZE / 72 * len(text) + 0.08


def _span(window: OxygenWindow, low: float) -> tuple[float, float]:
    start = low if window.from_dmu_o_ev is None else window.from_dmu_o_ev
    return max(start, low), window.to_dmu_o_ev


def _notes(
    hulls: Sequence[HullDoc], low: float, inches_per_ev: float
) -> tuple[list[str], dict[str, int]]:
    """Return the texts that fit into no segment with their numbers, each text once."""
    numbers: dict[str, int] = {}
    for hull in hulls:
        for window in hull.windows:
            start, end = _span(window, low)
            text = phases_text(window.phases)
            if (end - start) * inches_per_ev < _width_in(text):
                numbers.setdefault(text, len(numbers) + 1)
    return [f"{number}  {text}" for text, number in numbers.items()], numbers


def _wrapped(notes: Sequence[str]) -> list[str]:
    """Return the notes in lines as wide as the figure."""
    gap = 4 * "\N{NO-BREAK SPACE}"
    lines: list[str] = []
    for note in notes:
        if lines and _width_in(lines[-1] + gap + note) < _WIDTH_IN - _LEFT_IN:
            lines[-1] += gap + note
        else:
            lines.append(note)
    return lines


def _row(
    axes: Axes,
    row: int,
    hull: HullDoc,
    low: float,
    inches_per_ev: float,
    numbers: dict[str, int],
) -> None:
    """Draw the windows of one source, and under them the window of the host's rock salt."""
    above = -1.0  # the end of the number that was written last
    for i, window in enumerate(hull.windows):
        start, end = _span(window, low)
        host_symbol = host_cations(hull.host)[-1] if hull.host else None
        metal, host_metal = is_metal(window, hull.dopant), is_metal(window, host_symbol)
        axes.add_patch(
            Rectangle(
                (start, row - 0.26),
                end - start,
                0.52,
                facecolor=_FILLS[metal, host_metal],
                edgecolor="white",
                linewidth=1.0,
                zorder=2,
                gid=f"window-{hull.engine}-{i}",
            )
        )
        if metal:
            axes.add_patch(
                Rectangle(
                    (start, row - 0.26),
                    end - start,
                    0.52,
                    facecolor="none",
                    edgecolor="#c9b79c" if not host_metal else "#c2c8cf",
                    hatch="////",
                    linewidth=0,
                    zorder=2.5,
                    gid=f"metal-{hull.engine}-{i}",
                )
            )
        text = phases_text(window.phases)
        width_in = (end - start) * inches_per_ev
        middle = (start + end) / 2
        if width_in >= _width_in(text):
            box: dict[str, Any] = {"facecolor": _FILLS[metal, host_metal], "lw": 0, "pad": 1.5}
            axes.text(
                middle,
                row,
                text,
                ha="center",
                va="center",
                fontsize=_TEXT_SIZE,
                zorder=4,
                bbox=box if metal else None,
            )
            continue
        # A number does not fit into a sliver: it stands above, away from the one before.
        number = str(numbers[text])
        if width_in >= _width_in(number):
            axes.text(middle, row, number, ha="center", va="center", fontsize=_TEXT_SIZE, zorder=4)
            continue
        place = max((middle - low) * inches_per_ev, above + _width_in(number))
        above = place
        axes.annotate(
            number,
            (middle, row - 0.26),
            xytext=(low + place / inches_per_ev, row - 0.4),
            ha="center",
            va="center",
            fontsize=7.5,
            zorder=4,
            arrowprops={"arrowstyle": "-", "color": _SOFT, "lw": 0.6, "shrinkA": 0, "shrinkB": 0},
        )
    ends = hull.rock_salt_windows_ev.get(hull.host or "")
    if ends:
        axes.plot(
            [max(ends[0], low), ends[1]],
            [row + 0.35] * 2,
            color=INK,
            lw=3.2,
            solid_capstyle="butt",
            zorder=3,
            gid=f"host-{hull.engine}",
        )


def _temperature_axis(axes: Axes, pressure_bar: float, outward_points: float) -> None:
    """Add an axis above with the temperature at which O2 gas has the potential below it."""
    other = axes.twiny()
    low, high = axes.get_xlim()
    places = [(dmu_o_ev(t, pressure_bar), t) for t in TEMPERATURES_K]
    shown = [(place, t) for place, t in places if low <= place <= high]
    other.set_xlim(low, high)
    other.set_xticks([place for place, _ in shown], [str(t) for _, t in shown])
    other.tick_params(labelsize=8, color=PALE, pad=1.5)
    other.spines[["left", "right", "bottom"]].set_visible(False)
    other.spines["top"].set(visible=True, position=("outward", outward_points))
    other.patch.set_visible(False)
    if shown:
        other.spines["top"].set_bounds(shown[-1][0], shown[0][0])
    name = f"{pressure_bar:g}" if pressure_bar >= 1e-3 else f"10$^{{{np.log10(pressure_bar):.0f}}}$"
    other.annotate(
        f"T (K) at {name} bar O$_2$",
        (shown[-1][0] if shown else low, 1.0),
        xycoords=other.get_xaxis_transform(),
        xytext=(-14, outward_points + 9),
        textcoords="offset points",
        ha="right",
        va="center",
        fontsize=8.5,
        annotation_clip=False,
    )
    other.set_gid(f"temperature-{pressure_bar:g}")


def _key(
    figure: Figure,
    hulls: Sequence[HullDoc],
    foot_in: float,
    height_in: float,
    lines: Sequence[str],
) -> None:
    """Say below the axes what fills mean and spell out the numbers."""
    first = hulls[0]
    handles: list[Any] = []
    if first.dopant and first.host:
        handles = [
            Patch(facecolor=_FILLS[False, False], label="both oxidised"),
            Patch(
                facecolor=_FILLS[True, False],
                edgecolor="#c9b79c",
                hatch="////",
                label=f"{first.dopant} metal",
            ),
            Patch(facecolor=_FILLS[False, True], label=f"{host_cations(first.host)[-1]} metal"),
            Patch(
                facecolor=_FILLS[True, True], edgecolor="#c2c8cf", hatch="////", label="both metal"
            ),
        ]
    if any(hull.rock_salt_windows_ev.get(hull.host or "") for hull in hulls):
        handles.append(Line2D([], [], color=INK, lw=3.2, label=f"{first.host}O alone is stable"))
    figure.legend(
        handles=handles,
        loc="center left",
        bbox_to_anchor=(_LEFT_IN / _WIDTH_IN, (foot_in - 0.12) / height_in),
        ncols=5,
        fontsize=8.5,
        borderpad=0,
        borderaxespad=0,
        columnspacing=1.4,
        handlelength=1.6,
    )
    for i, line_ in enumerate(lines):
        figure.text(
            _LEFT_IN / _WIDTH_IN,
            (foot_in - 0.38 - _LINE_IN * i) / height_in,
            line_,
            fontsize=_TEXT_SIZE,
            va="center",
        )
