"""Colours, glyphs and number formats that the figures and the report share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any, NamedTuple, ParamSpec

import numpy as np
from matplotlib import rc_context
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from rocksalt.stores.documents import CandidateDoc

NOT_COMPUTED = "—"
"""What stands in the place of a number that does not exist."""

MINUS = "\N{MINUS SIGN}"
INK = "#1d2733"
PALE = "#8b96a3"
RULE = "#d9dee4"


class VerdictStyle(NamedTuple):
    """How a verdict looks; the glyph carries it where colour cannot."""

    glyph: str
    fill: str
    ink: str


VERDICTS: dict[str, VerdictStyle] = {
    "pass": VerdictStyle("✓", "#1f6fae", "#ffffff"),
    "undecided": VerdictStyle("?", "#f3d27c", INK),
    "fail": VerdictStyle("✗", "#bf4a14", "#ffffff"),
}
"""Style of a candidate's verdict."""

SAME_AS = {"mixes": "pass", "separates": "fail"}

# Okabe and Ito's palette without its yellow, which is too light for points on white.
ENGINE_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#7a5195")
ENGINE_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")

DIVERGING = LinearSegmentedColormap.from_list(
    "mixes-separates",
    ["#0d4c86", "#4f94c6", "#b3d3e8", "#f8f7f4", "#f7cf9f", "#e08b45", "#9c3a0a"],
    N=101,  # odd: the middle colour is the neutral one
)

_STYLE: Any = {
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10.0,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": PALE,
    "axes.linewidth": 0.8,
    "axes.titlesize": 11.0,
    "axes.titleweight": "bold",
    "axes.labelsize": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "axes.grid": False,
    "axes.facecolor": "none",
    "figure.facecolor": "white",
    "xtick.color": PALE,
    "ytick.color": PALE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "legend.frameon": False,
    "legend.fontsize": 9.0,
    "lines.linewidth": 1.4,
    "text.usetex": False,
}

_P = ParamSpec("_P")


def styled(function: Callable[_P, Figure]) -> Callable[_P, Figure]:
    """Draw inside this module's style and leave the user's settings as they were."""

    @wraps(function)
    def inner(*args: _P.args, **kwargs: _P.kwargs) -> Figure:
        with rc_context(_STYLE):
            return function(*args, **kwargs)

    return inner


def signed(value: float | None, decimals: int = 0) -> str:
    """Return a number with its sign, a true minus, and an em dash for None."""
    if value is None or not np.isfinite(value):
        return NOT_COMPUTED
    text = f"{value:+.{decimals}f}"
    if float(text) == 0:
        text = text[1:]
    return text.replace("-", MINUS)


def milli(value_ev: float | None) -> str:
    """Return an energy given in eV as signed meV, with a decimal below 10 meV."""
    if value_ev is None or not np.isfinite(value_ev):
        return NOT_COMPUTED
    value = 1000 * value_ev
    return signed(value, 1 if abs(value) < 9.95 else 0)


def fraction_text(value: float | None) -> str:
    """Return a fraction of cations; near 0 and 1 it says so, because 0 and 1 would be untrue."""
    if value is None:
        return NOT_COMPUTED
    if value < 0.001:
        return "<0.001"
    if value >= 1:
        return "1"
    if value > 0.999:
        return ">0.999"
    return f"{value:.2f}" if 0.01 <= value <= 0.99 else f"{value:.3f}"


def limit_text(limits: Iterable[float | None]) -> str:
    """Return the solubility limits of several engines in one short text.

    Parameters
    ----------
    limits
        Largest fraction of dopant that dissolves, one per engine; None where it is not known.
    """
    known = sorted(limit for limit in limits if limit is not None)
    if not known:
        return NOT_COMPUTED
    if known[0] >= 1:
        return "all x"
    if known[-1] < 0.001:
        return "x < 0.001"
    low, high = (fraction_text(max(limit, 0.001)) for limit in (known[0], known[-1]))
    return f"x ≤ {low}" if low == high else f"x ≤ {low}–{high}"


def largest_mean_ev_per_cation(candidate: CandidateDoc, host: str) -> float | None:
    """Return the mean mixing enthalpy over engines at the fraction where it is largest.

    The ranking's own means, from which its verdict follows, are taken where it holds them.

    Parameters
    ----------
    candidate
        The dopant's line of a ranking.
    host
        Symbol of the host cation.
    """
    means = candidate.hosts.get(host, {}).get("enthalpy_ev_per_cation")
    if means:
        return max(float(point["value"]) for point in means)
    values: dict[float, list[float]] = {}
    for numbers in candidate.mixing.get(host, {}).values():
        for point in numbers.get("enthalpy_ev_per_cation") or ():
            if point.get("value") is not None:
                values.setdefault(round(point["fraction"], 6), []).append(point["value"])
    return max((float(np.mean(each)) for each in values.values()), default=None)


def host_limit_text(candidate: CandidateDoc, host: str) -> str:
    """Return how much of a dopant a host dissolves, in one short text.

    The limit of the engines' mean where the ranking holds it, with the range over the engines in
    brackets; else that range alone.

    Parameters
    ----------
    candidate
        The dopant's line of a ranking.
    host
        Symbol of the host cation.
    """
    numbers = candidate.mixing.get(host, {}).values()
    each = limit_text(engine.get("solubility_limit") for engine in numbers)
    mean = limit_text([candidate.hosts.get(host, {}).get("solubility_limit")])
    if mean in (NOT_COMPUTED, each):
        return each
    return mean if each == NOT_COMPUTED else f"{mean} ({each.removeprefix('x ≤ ')})"


def host_verdict(candidate: CandidateDoc, host: str) -> str | None:
    """Return 'pass', 'undecided', 'fail' or None for a dopant in one host, over all engines."""
    verdict = candidate.hosts.get(host, {}).get("verdict")
    verdict = SAME_AS.get(str(verdict), verdict)
    return verdict if verdict in VERDICTS else None


def engine_order(present: Iterable[str], order: Sequence[str] | None) -> list[str]:
    """Return the engines in the order given, then any others in order of appearance."""
    return list(dict.fromkeys([*(order or []), *present]))


def engine_style(engines: Sequence[str], engine: str) -> tuple[str, str]:
    """Return the colour and the marker of an engine: its place in ``engines`` decides."""
    place = engines.index(engine)
    return ENGINE_COLOURS[place % len(ENGINE_COLOURS)], ENGINE_MARKERS[place % len(ENGINE_MARKERS)]


def is_dark(colour: Any) -> bool:
    """Whether white text reads better than dark text on the colour."""
    return float(np.dot(colour[:3], (0.299, 0.587, 0.114))) < 0.55


def empty_figure(message: str) -> Figure:
    """Return a figure that says why there is nothing in it."""
    figure = Figure(figsize=(7.0, 1.2), layout="constrained")
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.text(0.5, 0.5, message, ha="center", va="center", color=PALE, transform=axes.transAxes)
    return figure
