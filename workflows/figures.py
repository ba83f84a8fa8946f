"""The periodic-table map and the intermixability matrix as matplotlib figures.

Nothing touches pyplot or the caller's settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from pymatgen.core import Element

from rocksalt.stores.documents import CandidateDoc, RankingDoc
from rocksalt.workflows.figure_style import (
    DIVERGING,
    INK,
    NOT_COMPUTED,
    PALE,
    RULE,
    VERDICTS,
    empty_figure,
    host_limit_text,
    host_verdict,
    is_dark,
    largest_mean_ev_per_cation,
    milli,
    styled,
)


def _place(element: Element) -> tuple[float, float]:
    """Return column and row of an element; the lanthanides and actinides stand below."""
    number = element.Z
    if 57 <= number <= 71:
        return number - 57 + 3.0, 8.0
    if 89 <= number <= 103:
        return number - 89 + 3.0, 9.0
    return float(element.group), float(element.row)


@styled
def periodic_table_map(ranking: RankingDoc) -> Figure:
    """Draw every dopant of a campaign in its place in the periodic table.

    Colour and glyph give the verdict, the number is the score (the largest mean mixing enthalpy
    over hosts and fractions, in meV per cation). Hosts are outlined, other elements pale.

    Parameters
    ----------
    ranking
        Ranking of the campaign.

    Returns
    -------
    Figure
        One axes, as wide as a page.
    """
    candidates = {candidate.dopant: candidate for candidate in ranking.candidates}
    marked = {*candidates, *ranking.hosts}
    elements = [Element.from_Z(number) for number in range(1, 104)]
    heavy = any(element.Z > 86 and element.symbol in marked for element in elements)
    if not heavy:
        elements = [element for element in elements if element.Z <= 86]
    gap = 0.0 if heavy else -1.0

    figure = Figure(figsize=(12.0, 7.0 if heavy else 5.3), layout="constrained")
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.set_aspect("equal")
    bottom = 9.0 if heavy else 8.0
    axes.set_xlim(0.4, 18.6)
    axes.set_ylim(bottom + 1.0 + gap, 0.4)

    for element in elements:
        column, row = _place(element)
        if row >= 8:
            row += 0.3 + gap
        _element_cell(axes, element, column, row, candidates.get(element.symbol), ranking.hosts)
    for row, name in ((6, "La–Lu"), (7, "Ac–Lr"))[: 2 if heavy else 1]:
        axes.text(3, row, name, ha="center", va="center", fontsize=7.5, color=PALE)

    _periodic_legend(axes, ranking)
    return figure


def _element_cell(
    axes: Axes,
    element: Element,
    column: float,
    row: float,
    candidate: CandidateDoc | None,
    hosts: Sequence[str],
) -> None:
    """Draw one element: its number, symbol and, for a dopant, glyph and score."""
    host = element.symbol in hosts
    style = VERDICTS[candidate.verdict] if candidate else None
    axes.add_patch(
        Rectangle(
            (column - 0.46, row - 0.46),
            0.92,
            0.92,
            facecolor=style.fill if style else "#f4f6f8",
            edgecolor=INK if host else ("none" if style else "#e6eaee"),
            linewidth=2.2 if host else 0.8,
            zorder=3 if host else 2,
        )
    )
    ink = style.ink if style else (INK if host else "#98a2ad")
    text: dict[str, Any] = {"color": ink, "zorder": 4}
    axes.text(column - 0.4, row - 0.37, str(element.Z), fontsize=6, va="top", alpha=0.85, **text)
    low = row + (0.0 if candidate else 0.05)
    axes.text(
        column,
        low,
        element.symbol,
        fontsize=13 if candidate or host else 10.5,
        fontweight="bold" if candidate or host else "normal",
        ha="center",
        va="center",
        **text,
    )
    if candidate and style:
        axes.text(column + 0.4, row - 0.4, style.glyph, fontsize=9, ha="right", va="top", **text)
        score = milli(candidate.score_ev_per_cation)
        axes.text(column, row + 0.4, score, fontsize=8, ha="center", va="bottom", **text)


def _periodic_legend(axes: Axes, ranking: RankingDoc) -> None:
    """Fill the free place above the transition metals with the key to the map."""
    for line, (verdict, style) in enumerate(VERDICTS.items()):
        count = sum(candidate.verdict == verdict for candidate in ranking.candidates)
        row = 0.95 + 0.72 * line
        axes.add_patch(Rectangle((3.6, row - 0.27), 0.54, 0.54, facecolor=style.fill, lw=0))
        axes.text(3.87, row, style.glyph, ha="center", va="center", color=style.ink, fontsize=10)
        axes.text(4.35, row, f"{verdict} ({count})", va="center", fontsize=10)
    axes.add_patch(Rectangle((7.3, 0.68), 0.54, 0.54, facecolor="#f4f6f8", edgecolor=INK, lw=2))
    axes.text(8.05, 0.95, "host: " + ", ".join(ranking.hosts), va="center", fontsize=10)
    axes.text(
        7.3,
        1.67,
        "number: score, the largest mean",
        va="center",
        fontsize=9,
        color="#55606c",
    )
    axes.text(
        7.3,
        2.1,
        "mixing enthalpy (meV per cation)",
        va="center",
        fontsize=9,
        color="#55606c",
    )
    axes.text(7.3, 2.53, f"{NOT_COMPUTED} not computed", va="center", fontsize=9, color="#55606c")


@styled
def intermixability_matrix(ranking: RankingDoc) -> Figure:
    """Draw the matrix of dopants (rows, in rank order) and host rock salts (columns).

    A cell's colour and number are the mixing enthalpy, averaged over the engines, at the fraction
    where it is largest; beside it the verdict's glyph, below it the solubility limit of the dopant
    in the host at the ranking's temperature, as `host_limit_text` gives it.

    Parameters
    ----------
    ranking
        Ranking of the campaign.

    Returns
    -------
    Figure
        The matrix, and a colour bar centred at zero.
    """
    rows = sorted(ranking.candidates, key=lambda candidate: candidate.rank)
    hosts = ranking.hosts
    if not rows or not hosts:
        return empty_figure("no pair of a dopant and a host")
    means = [[largest_mean_ev_per_cation(row, host) for host in hosts] for row in rows]
    known = [abs(1000 * mean) for line in means for mean in line if mean is not None]
    top = float(np.clip(max(known, default=0.0), 30.0, 150.0))
    norm = Normalize(-top, top)

    figure = Figure(
        figsize=(1.3 + 1.75 * max(len(hosts), 2), 1.35 + 0.44 * len(rows)), layout="constrained"
    )
    axes = figure.add_subplot()
    axes.set_xlim(-0.5, len(hosts) - 0.5)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xticks(range(len(hosts)), [f"{host}O" for host in hosts], fontsize=11, weight="bold")
    axes.set_yticks(range(len(rows)), [f"{row.rank}.  {row.dopant}" for row in rows], fontsize=11)
    axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0)
    axes.spines[:].set_visible(False)
    for i, row in enumerate(rows):
        for j, host in enumerate(hosts):
            _matrix_cell(axes, i, j, row, host, means[i][j], norm)
    bar = figure.colorbar(
        ScalarMappable(norm, DIVERGING),
        ax=axes,
        location="bottom",
        extend="both" if max(known, default=0.0) > top else "neither",
        fraction=min(0.14 / len(rows) ** 0.5, 0.08),
        aspect=40,
        pad=0.02,
    )
    bar.outline.set_visible(False)
    if bar.solids is not None:
        bar.solids.set(rasterized=False, edgecolor="face")
    wide = 24 * "\N{NO-BREAK SPACE}"
    bar.set_label(f"◂ mixes{wide}separates ▸\nLargest mean mixing enthalpy (meV per cation)")
    return figure


def _matrix_cell(
    axes: Axes,
    i: int,
    j: int,
    candidate: CandidateDoc,
    host: str,
    mean_ev: float | None,
    norm: Normalize,
) -> None:
    """Draw the cell of one dopant and one host."""
    box: dict[str, Any] = {"xy": (j - 0.48, i - 0.46), "width": 0.96, "height": 0.92}
    if mean_ev is None:
        axes.add_patch(Rectangle(**box, facecolor="#f6f7f9", edgecolor=RULE, linewidth=0.8))
        same = candidate.dopant == host
        axes.text(
            j, i, "same oxide" if same else NOT_COMPUTED, ha="center", va="center", color=PALE
        )
        return
    colour = DIVERGING(norm(1000 * mean_ev))
    ink = "#ffffff" if is_dark(colour) else INK
    axes.add_patch(Rectangle(**box, facecolor=colour, edgecolor="none"))
    verdict = host_verdict(candidate, host)
    glyph = VERDICTS[verdict].glyph if verdict else ""
    axes.text(j - 0.42, i, glyph, ha="left", va="center", fontsize=12, color=ink, fontweight="bold")
    axes.text(
        j + 0.06,
        i - 0.16,
        milli(mean_ev),
        ha="center",
        va="center",
        fontsize=11,
        color=ink,
        fontweight="bold",
    )
    axes.text(
        j + 0.06,
        i + 0.24,
        host_limit_text(candidate, host),
        ha="center",
        va="center",
        fontsize=8,
        color=ink,
    )
