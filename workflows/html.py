"""Pieces of an HTML page: numbers, verdicts, tables, and figures as inline SVG.

Text that comes from a document is escaped by whoever hands it over, unless a function says so.
"""

from __future__ import annotations

import io
import re
from collections.abc import Container, Iterable, Sequence
from html import escape

from matplotlib import rc_context
from matplotlib.figure import Figure

from rocksalt.workflows.figure_style import NOT_COMPUTED, VERDICTS, milli, signed

ABSENT = (
    f'<span class="absent" title="not computed" aria-label="not computed">{NOT_COMPUTED}</span>'
)


def with_uncertainty(value_ev: float, uncertainty_ev: float | None) -> str:
    """Return an energy in meV and, where it is known, its uncertainty to the same decimals."""
    if uncertainty_ev is None:
        return milli(value_ev)
    decimals = 0 if max(abs(value_ev), uncertainty_ev) >= 0.00995 else 1
    return f"{signed(1000 * value_ev, decimals)} ± {1000 * uncertainty_ev:.{decimals}f}"


def signed_cell(value: float | None, decimals: int, unit: float = 1.0) -> str:
    """Return a signed number, or the mark of what was not computed."""
    return ABSENT if value is None else signed(unit * value, decimals)


def plain_cell(value: float | None, decimals: int) -> str:
    """Return a number that has no sign to show, or the mark of what was not computed."""
    return ABSENT if value is None else f"{value:.{decimals}f}"


def range_text(values: Iterable[float | None], decimals: int) -> str | None:
    """Return the lowest and the highest of the values that exist, or None."""
    known = sorted(value for value in values if value is not None)
    if not known:
        return None
    low, high = signed(known[0], decimals), signed(known[-1], decimals)
    return low if low == high else f"{low} to {high}"


def mark(verdict: str | None) -> str:
    """Return a verdict's glyph for a cell."""
    if verdict is None:
        return ""
    glyph = VERDICTS[verdict].glyph
    return (
        f'<span class="glyph {verdict}" role="img" aria-label="{verdict}" '
        f'title="{verdict}">{glyph}</span> '
    )


def badge(verdict: str) -> str:
    """Return a verdict as a badge."""
    style = VERDICTS[verdict]
    return (
        f'<span class="badge {verdict}"><span aria-hidden="true">{style.glyph}</span> '
        f"{verdict}</span>"
    )


def bullet_list(items: Iterable[str]) -> str:
    """Return escaped items as a list."""
    return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"


def table(
    caption: str,
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numbers: Container[int] = (),
    tight: bool = False,
) -> str:
    """Return a plain table from cells that are HTML already.

    Parameters
    ----------
    caption
        What it holds, HTML.
    headings
        Headings of the columns, HTML.
    rows
        Cells, HTML; the first of a row is its heading.
    numbers
        Columns that hold numbers, the first being 0.
    tight
        Whether every cell stays on one line.
    """
    kind = [' class="num"' if column in numbers else "" for column in range(len(headings))]
    head = "".join(
        f'<th scope="col"{each}>{cell}</th>' for each, cell in zip(kind, headings, strict=True)
    )
    lines = []
    for row in rows:
        first, *rest = row
        cells = "".join(f"<td{each}>{cell}</td>" for each, cell in zip(kind[1:], rest, strict=True))
        lines.append(f'<tr><th scope="row">{first}</th>{cells}</tr>')
    style = "plain tight" if tight else "plain"
    return (
        f'<div class="scroll" tabindex="0"><table class="{style}"><caption>{caption}</caption>'
        f"<thead><tr>{head}</tr></thead>\n<tbody>{chr(10).join(lines)}</tbody></table></div>"
    )


def slug(text: str) -> str:
    """Return text as it may stand in an id."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text)


def inline_svg(figure: Figure, prefix: str, label: str) -> str:
    """Return a figure as an SVG element that can stand beside others in one page.

    Parameters
    ----------
    figure
        Any matplotlib figure.
    prefix
        Put in front of every id; unique in the page.
    label
        What the figure shows, for readers who cannot see it.
    """
    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": prefix, "savefig.bbox": None}):
        figure.savefig(buffer, format="svg", facecolor="none", metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].rstrip()
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", svg, flags=re.DOTALL)
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))

    def tidy(match: re.Match[str]) -> str:
        tag = match.group()
        tag = re.sub(
            r' id="([^"]*)"',
            lambda each: f' id="{prefix}-{each.group(1)}"' if each.group(1) in used else "",
            tag,
        )
        tag = re.sub(r'xlink:href="#', f'href="#{prefix}-', tag)
        tag = tag.replace("url(#", f"url(#{prefix}-")
        tag = re.sub(r"'DejaVu Sans'[^;\"]*", "sans-serif", tag)
        tag = tag.replace(" \n", " ").replace("\n", " ")
        return re.sub(r"(\d\.\d\d)\d+", r"\1", tag)

    svg = re.sub(r"<[^>]+>", tidy, svg)
    svg = re.sub(r"\n\s+", "\n", svg)
    width, height = (float(x) for x in re.findall(r'(?:width|height)="([\d.]+)pt"', svg)[:2])
    head = (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label)}" '
        f'style="max-width:{width * 4 / 3:.0f}px">'
    )
    return head + svg[svg.index(">") + 1 :]


def figure_element(
    figure: Figure, prefix: str, label: str, caption: str, *, beside: bool = False
) -> str:
    """Return a figure element; ``label`` is text, ``caption`` is HTML."""
    place = ' class="beside"' if beside else ""
    narrow = round((0.6 if beside else 0.8) * 96 * figure.get_size_inches()[0])
    return (
        f'<figure{place}><div class="scroll" tabindex="0" style="--narrow:{narrow}px">'
        f"{inline_svg(figure, prefix, label)}</div>\n<figcaption>{caption}</figcaption></figure>"
    )
