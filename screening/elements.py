"""Elements that can be screened: named sets, ionic radii and metallic prototypes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from ase.data import atomic_numbers, chemical_symbols, reference_states

from rocksalt.screening.errors import RocksaltError

O2_RADIUS_ANGSTROM = 1.38
"""Radius of four-fold O(2-); Shannon, Acta Cryst. A 32, 751 (1976)."""

CHARGE_STEP_ANGSTROM = 0.13
"""Added to the radius of the lowest known charge where that is above 2+ (starting cells only)."""

ELEMENT_SETS: dict[str, tuple[str, ...]] = {
    "3d": ("Sc", "Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn"),
    "4d": ("Y", "Zr", "Nb", "Mo", "Tc", "Ru", "Rh", "Pd", "Ag", "Cd"),
    "5d": ("Hf", "Ta", "W", "Re", "Os", "Ir", "Pt", "Au", "Hg"),
    "alkali": ("Li", "Na", "K", "Rb", "Cs"),
    "alkaline-earth": ("Be", "Mg", "Ca", "Sr", "Ba"),
    "lanthanides": (
        *("La", "Ce", "Pr", "Nd", "Sm", "Eu", "Gd"),
        *("Tb", "Dy", "Ho", "Er", "Tm", "Yb", "Lu"),
    ),
    "post-transition": ("Al", "Ga", "In", "Sn", "Tl", "Pb", "Bi"),
    "metalloids": ("Si", "Ge", "As", "Sb"),
}
"""Names that a campaign may use in place of lists of symbols."""

_LITHIATED = re.compile(r"Li0\.5(?P<metal>[A-Z][a-z]?)0\.5")
_NOT_CATIONS = {"He", "Ne", "Ar", "Kr", "Xe", "H", "C", "Se", "Te"}
_KNOWN_LATTICES = {"fcc", "bcc", "hcp", "diamond", "bct", "rhombohedral"}
_OWN_CELLS = {"Mn", "Ga"}


@cache
def known_cations() -> tuple[str, ...]:
    """Return the symbols that have a metallic (or metalloid) reference prototype here."""
    return tuple(
        symbol
        for symbol, state in zip(chemical_symbols[:104], reference_states, strict=False)
        if state
        and symbol not in _NOT_CATIONS
        and (state["symmetry"] in _KNOWN_LATTICES or symbol in _OWN_CELLS)
    )


def check_cation(symbol: str) -> str:
    """Return ``symbol`` when it can be screened.

    Raises
    ------
    RocksaltError
        For a symbol that is no element, or an element without a reference prototype.
    """
    if symbol not in atomic_numbers or symbol == "X":
        raise RocksaltError(f"{symbol!r} is not an element or a named set{element_hint(symbol)}")
    if symbol not in known_cations():
        raise RocksaltError(
            f"{symbol!r} cannot be screened: no elemental reference structure is known for it"
        )
    return symbol


def element_hint(text: str) -> str:
    """Return what a text that is no element's symbol was meant to be, as the end of a message."""
    found = [part.capitalize() for part in re.split(r"[\s,;]+", text.strip())]
    if text == "X" or any(part not in atomic_numbers or part == "X" for part in found):
        return ""
    if len(found) == 1:
        return f": did you mean {found[0]!r}?"
    return f": these are {len(found)}; give one, or a list like [{', '.join(found)}]"


def host_cations(host: str) -> tuple[str, ...]:
    """Return the cations of a host's rock salt, in equal shares.

    Parameters
    ----------
    host
        A symbol, or for the disordered rock salt with lithium a formula like 'Li0.5Mn0.5'.

    Raises
    ------
    RocksaltError
        For a cation that is not known, or that is Li twice.
    """
    lithiated = _LITHIATED.fullmatch(host)
    if lithiated is None:
        return (check_cation(host),)
    if lithiated["metal"] == "Li":
        raise RocksaltError(f"{host!r} is all lithium: give a metal beside it, like Li0.5Mn0.5")
    return ("Li", check_cation(lithiated["metal"]))


def host_amounts(host: str) -> dict[str, float]:
    """Return how much of each cation one cation site of a host holds; the shares sum to 1.

    Parameters and errors are those of `host_cations`.
    """
    cations = host_cations(host)
    return dict.fromkeys(cations, 1 / len(cations))


def mixture_formula(dopant: str, host: str, fraction: float) -> str:
    """Return a rock-salt mixture in words: 'Ti0.25Mn0.75O', 'Ti0.25(Li0.5Mn0.5)0.75O'."""
    name = host if len(host_cations(host)) == 1 else f"({host})"
    return f"{dopant}{fraction:g}{name}{1 - fraction:g}O"


JAHN_TELLER_CATIONS = frozenset({"Cr", "Cu", "Ag"})
"""Cations that are d4 (high spin) or d9 when 2+: in an octahedron of oxygen they distort it."""


def holds_jahn_teller_cation(symbols: Iterable[str]) -> bool:
    """Whether an oxide of these elements can hold a 2+ cation that distorts its octahedron."""
    elements = set(symbols)
    return "O" in elements and not JAHN_TELLER_CATIONS.isdisjoint(elements)


def is_late_row(symbol: str) -> bool:
    """Whether the element is a 4d or 5d metal, whose rock salt is started from two volumes."""
    return symbol in ELEMENT_SETS["4d"] or symbol in ELEMENT_SETS["5d"]


@cache
def octahedral_radius_angstrom(symbol: str) -> float:
    """Return the six-fold ionic radius of the cation with charge 2+, in angstrom.

    High spin where there is a choice. An element without a 2+ entry takes its lowest higher charge
    plus `CHARGE_STEP_ANGSTROM` (a 1+ cation its own radius). It only starts relaxations.

    Notes
    -----
    Radii: Shannon, Acta Cryst. A 32, 751 (1976), as tabulated in pymatgen.
    """
    from pymatgen.core import Element  # here: whoever only checks symbols does not wait for it

    shannon = Element(symbol).data.get("Shannon radii", {})
    by_charge: dict[int, float] = {}
    for charge, coordinations in shannon.items():
        spins = coordinations.get("VI", {}) if isinstance(coordinations, dict) else {}
        if spins and int(charge) > 0:
            entry = spins.get("High Spin") or spins.get("") or next(iter(spins.values()))
            by_charge[int(charge)] = float(entry["ionic_radius"])
    if 2 in by_charge:
        return by_charge[2]
    higher = [charge for charge in by_charge if charge > 2]
    if higher:
        return by_charge[min(higher)] + CHARGE_STEP_ANGSTROM
    if by_charge:
        return by_charge[max(by_charge)]
    return 0.75


def rock_salt_lattice_parameter_angstrom(symbol: str) -> float:
    """Return the starting lattice parameter of rock-salt MO: twice the sum of the radii."""
    return 2 * (octahedral_radius_angstrom(symbol) + O2_RADIUS_ANGSTROM)
