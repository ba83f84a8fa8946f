"""Chemical formulas as a reader writes them, in figures and in a page."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

from rocksalt.stores.phase_documents import Share

_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_AMOUNT = re.compile(r"(?<=[A-Za-z)])\d+(?:\.\d+)?")


def formula_text(formula: str) -> str:
    """Return a formula with its amounts as Unicode subscripts: 'Mn3O4' is 'Mn₃O₄'."""
    return _AMOUNT.sub(lambda match: match.group().translate(_SUBSCRIPTS), formula)


def formula_html(formula: str) -> str:
    """Return a formula with its amounts as subscripts, escaped."""
    return _AMOUNT.sub(lambda match: f"<sub>{match.group()}</sub>", escape(formula))


def phases_text(phases: Iterable[Share]) -> str:
    """Return the phases of a window or decomposition in one line, for figures."""
    return " + ".join(formula_text(phase.formula) for phase in phases)


def phases_html(phases: Iterable[Share]) -> str:
    """Return the phases of a window or decomposition in one line of HTML."""
    return " + ".join(formula_html(phase.formula) for phase in phases)
