"""Formal oxidation states of the metals in a phase, and their means between two potentials."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import cache

from pymatgen.core import Composition, Element

from rocksalt.screening.oxygen import Window

_ANIONS = {"O": -2, "F": -1}

_FIXED = (
    dict.fromkeys(("H", "Li", "Na", "K", "Rb", "Cs"), 1)
    | dict.fromkeys(("Be", "Mg", "Ca", "Sr", "Ba", "Zn", "Cd"), 2)
    | dict.fromkeys(("B", "Al", "Ga", "In", "Sc", "Y"), 3)
    | dict.fromkeys(("La", "Nd", "Sm", "Gd", "Dy", "Ho", "Er", "Tm", "Lu"), 3)
    | dict.fromkeys(("Si", "Zr", "Hf"), 4)
)
"""Cations with one charge in practically all oxides; Ce, Pr, Tb, Eu and Yb are left to balance."""

_HOSTS = {"Mn": [2, 3, 4], "Fe": [2, 3], "Co": [2, 3], "Ni": [2]}
"""Tried first: by occurrence alone NiMnO3 would be Ni(4+) and Mn(2+)."""

_MAX_COMBINATIONS = 30_000
"""Sets of charges of one element that are tried at most, half a second."""

_ROUNDING = 1e-6


def oxidation_states(amounts: Mapping[str, float]) -> dict[str, float | None]:
    """Return the formal mean oxidation state of each element of a phase but oxygen (and fluorine).

    Parameters
    ----------
    amounts
        Number of atoms of each element, of a cell or of a formula.

    Returns
    -------
    dict
        0 in a phase without oxygen. In an oxide, O being 2-: the usual charge of elements that have
        but one, the last element by charge balance. None where that gives no charge the element is
        known with, as in peroxides of elements with several, or where the charges of two elements
        are open and no set of common ones balances.

    Notes
    -----
    Two open elements: pymatgen's `Composition.oxi_state_guesses`, common charges and those of the
    host metals before rare ones, by occurrence in the ICSD. It is bookkeeping, no measurement.
    """
    present = {symbol: float(n) for symbol, n in amounts.items() if n > 0}
    cations = [symbol for symbol in present if symbol not in _ANIONS]
    to_balance = -sum(charge * present.get(anion, 0.0) for anion, charge in _ANIONS.items())
    if not to_balance:
        return dict.fromkeys(cations, 0.0)
    fixed = {symbol: float(_FIXED[symbol]) for symbol in cations if symbol in _FIXED}
    if len(cations) == 1 and to_balance < fixed.get(cations[0], 0.0) * present[cations[0]]:
        fixed = {}  # ZrO: less oxygen than the usual charge needs
    open_ = [symbol for symbol in cations if symbol not in fixed]
    left = to_balance - sum(charge * present[symbol] for symbol, charge in fixed.items())
    states: dict[str, float | None] = {**fixed}
    if not open_:
        short = left < -_ROUNDING * to_balance
        return dict.fromkeys(cations, None) if short else states
    if len(open_) == 1:
        states[open_[0]] = _known_charge(open_[0], left / present[open_[0]])
    else:
        formula = Composition(present).get_integer_formula_and_factor(max_denominator=1000)[0]
        guess = _guess(formula)
        states |= {symbol: guess.get(symbol) for symbol in open_}
    return {symbol: states[symbol] for symbol in cations}


def window_oxidation_states(window: Window) -> dict[str, float | None]:
    """Return the mean oxidation state of each cation over the phases of a window.

    Weighted by how many atoms of the element each phase holds; None where one phase's is.
    """
    number: dict[str, float] = {}
    charge: dict[str, float] = {}
    for entry, share in window.phases:
        for symbol, state in oxidation_states(entry.amounts).items():
            atoms = share * entry.amounts[symbol] / entry.n_atoms
            number[symbol] = number.get(symbol, 0.0) + atoms
            charge[symbol] = charge.get(symbol, 0.0) + atoms * (
                math.nan if state is None else state
            )
    means = {symbol: charge[symbol] / number[symbol] for symbol in number}
    return {symbol: None if math.isnan(mean) else mean for symbol, mean in means.items()}


def _known_charge(symbol: str, charge: float) -> float | None:
    states = [q for q in Element(symbol).oxidation_states if q > 0]
    lowest, highest = min(states, default=0), Element(symbol).max_oxidation_state
    is_metal = abs(charge) <= _ROUNDING
    return charge if is_metal or lowest - _ROUNDING <= charge <= highest + _ROUNDING else None


@cache
def _guess(formula: str) -> dict[str, float]:
    """Return the likeliest charges that balance, or nothing."""
    composition = Composition(formula)
    numbers = composition.get_el_amt_dict()
    usual = {symbol: [charge] for symbol, charge in (_FIXED | _ANIONS).items()}
    common = {symbol: _positive(Element(symbol).common_oxidation_states) for symbol in numbers}
    known = {symbol: _positive(Element(symbol).icsd_oxidation_states) for symbol in numbers}
    # Few enough for large cells, which are mixtures of rock salts MO.
    with_2 = {symbol: sorted({2, *charges}) for symbol, charges in common.items()}
    for charges in (common | _HOSTS | usual, known | _HOSTS | usual, known | usual, with_2 | usual):
        tried = {symbol: charges[symbol] for symbol in numbers}
        sets = max(math.comb(int(n) + len(tried[s]) - 1, int(n)) for s, n in numbers.items())
        if not all(tried.values()) or sets > _MAX_COMBINATIONS:
            continue
        guesses = composition.oxi_state_guesses(oxi_states_override=tried)
        if guesses:
            return dict(guesses[0])
    return {}


def _positive(charges: Iterable[int]) -> list[int]:
    return [charge for charge in charges if charge > 0]
