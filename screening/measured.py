"""Measured formation enthalpies as hull entries, on a scale of their own.

They are in no potential's training set and need no correction: a hull of them beside a computed one
shows what the corrections of a computed scale are worth.

The table gives one value per formula and does not say which polymorph, nor the state of matter. It
is of solids with a few liquids (TiCl4); gases such as H2O, CO2 or RuO4 are not in it. Of ternary
oxides it has few: a dopant that only a ternary oxide would keep oxidised looks metallic.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

from pymatgen.core import Composition, Element

from rocksalt.screening.errors import RocksaltError
from rocksalt.screening.hull import HullEntry

_FILE = "exp_compounds.json.gz"

MEASURED_SCALE = "measured enthalpy, 298 K"
"""Elements and O2 at 298.15 K and 1 bar are zero.

The zero of `oxygen_gas` is O2 at 0 K, from which this one differs by 0.045 eV per O (the enthalpy
of the gas). Gibbs energies of RuO2, MnO, NiO, CoO, MgO and PdO at 300 K, moved to that zero, lie
within 0.07 eV per O of these enthalpies; at 1000 K the solids' entropies count for up to 0.35 eV.
"""


def measured_entries(elements: Iterable[str]) -> list[HullEntry]:
    """Return the measured compounds of a chemical system, its elements and O2 among them.

    Parameters
    ----------
    elements
        Symbols. With oxygen among them every other needs a measured binary oxide.

    Returns
    -------
    list
        Energies in eV per formula on `MEASURED_SCALE`, the elements first, each entry named by its
        formula.

    Raises
    ------
    RocksaltError
        For a symbol that is no element, or an element without a measured oxide: a hull would call
        it metal at every oxygen potential, because of a gap in a table.

    Notes
    -----
    Wang et al., Sci. Rep. 11, 15496 (2021): 2135 compounds, as shipped in pymatgen.
    """
    system = sorted(set(elements))
    unknown = [symbol for symbol in system if not Element.is_valid_symbol(symbol)]
    if unknown:
        raise RocksaltError(f"{', '.join(map(repr, unknown))} is not an element")
    if "O" in system:
        bare = [symbol for symbol in system if symbol != "O" and not has_measured_oxide(symbol)]
        if bare:
            raise RocksaltError(
                f"{', '.join(bare)}: no oxide of it is among the measured ones, so that a hull of "
                "them would call it metal at every oxygen potential: leave it out"
            )
    references = [
        HullEntry("O2", {"O": 2.0}, 0.0, MEASURED_SCALE)
        if symbol == "O"
        else HullEntry(symbol, {symbol: 1.0}, 0.0, MEASURED_SCALE)
        for symbol in system
    ]
    return references + [entry for entry in _table() if entry.amounts.keys() <= set(system)]


def has_measured_oxide(symbol: str) -> bool:
    """Whether the table has an oxide of this element and nothing else."""
    return any(entry.amounts.keys() == {symbol, "O"} for entry in _table())


@cache
def _table() -> tuple[HullEntry, ...]:
    rows = json.loads(gzip.decompress(_packed_table()))
    return tuple(
        HullEntry(
            row["formula"],
            Composition(row["formula"]).get_el_amt_dict(),
            row["exp energy"],
            MEASURED_SCALE,
        )
        for row in rows
    )


def _packed_table() -> bytes:
    new = files("pymatgen") / "analysis" / "compatibility" / _FILE
    old = files("pymatgen") / "entries" / _FILE  # until 2025
    return (new if new.is_file() else old).read_bytes()
