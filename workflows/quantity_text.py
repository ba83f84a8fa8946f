"""Measured quantities as a reader writes them: with their uncertainty, both to its second figure."""

from __future__ import annotations

from math import floor, log10

from rocksalt.stores.experiment_documents import MeasuredQuantity


def number_text(value: float, uncertainty: float | None) -> str:
    """Return a value with its uncertainty, both to the uncertainty's second figure."""
    if not uncertainty or uncertainty < 1e-8 * abs(value):  # of made-up data: rounding
        return f"{value:.5g}"
    decimals = 1 - floor(log10(uncertainty))
    if -5 < decimals < 7:
        digits = max(decimals, 0)
        return f"{value:.{digits}f} ± {uncertainty:.{digits}f}"
    return f"{value:.3e} ± {uncertainty:.1e}"


def quantity_text(quantity: MeasuredQuantity) -> str:
    """Return a quantity with its unit and a true minus; a plain number has no unit."""
    number = number_text(quantity.value, quantity.uncertainty).replace("-", "\N{MINUS SIGN}")
    return number if quantity.unit == "1" else f"{number} {quantity.unit}"
