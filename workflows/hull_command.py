"""``rocksalt hull``: the hull, decompositions and oxygen windows of entries that a user has."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rocksalt.screening.errors import RocksaltError

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from rocksalt.screening.hull import Hull, HullEntry, Rejected
    from rocksalt.screening.oxygen import Window

_N_ROWS = 200
_N_REASONS = 10
_CSV_COLUMNS = (
    "entry_id",
    "formula",
    "formation_energy_ev_per_atom",
    "e_above_hull_ev_per_atom",
    "decomposition",
)


class HullFormat(StrEnum):
    """How the hull is printed."""

    table = "table"
    json = "json"
    csv = "csv"


def hull(
    entries_file: Annotated[
        Path, typer.Argument(metavar="ENTRIES", help="JSON file of pymatgen entries, also .json.gz")
    ],
    output: Annotated[HullFormat, typer.Option("--format", help="Output format.")] = (
        HullFormat.table
    ),
    cations: Annotated[
        str | None,
        typer.Option(
            metavar="Ru:1,Mn:1",
            help="Ratio of the cations for the oxygen windows. Default: all elements but O, equal.",
        ),
    ] = None,
    system: Annotated[
        str | None,
        typer.Option(metavar="Li-Mn-O", help="Leave out entries with any other element."),
    ] = None,
) -> None:
    """Say which entries are stable, how far the rest lies above the hull, and what they become.

    For a system with oxygen also the phases against the oxygen potential.

    Example: rocksalt hull entries.json --system Mn-O --format json
    """
    from rocksalt.screening.hull import make_hull
    from rocksalt.workflows.command_parts import console
    from rocksalt.workflows.entries import read_entries

    elements = None if system is None else _parse_system(system)
    ratio = None if cations is None else _parse_cations(cations)
    entries = read_entries(entries_file)
    try:
        found = make_hull(entries.usable, elements)
    except RocksaltError as error:
        raise type(error)(f"{entries_file}: {error}") from None
    windows = _windows(found, ratio)
    rejected = [*entries.rejected, *found.rejected]
    if output is HullFormat.json:
        print(json.dumps(hull_json(found, rejected, windows), indent=2, ensure_ascii=False))
        return
    if output is HullFormat.csv:
        from rocksalt.workflows.tables import rows_csv

        rows = ({k: row[k] for k in _CSV_COLUMNS} for row in _entries(found))
        print(rows_csv(rows, _CSV_COLUMNS), end="")
    else:
        out = console()
        for part in _tables(found, len(rejected), windows):
            out.print(part)
    messages = console(stderr=True)
    for each in rejected[:_N_REASONS]:
        messages.print(f"left out: {each.entry_id}: {each.reason}", soft_wrap=True)
    if len(rejected) > _N_REASONS:
        left = len(rejected) - _N_REASONS
        messages.print(f"left out: {left} more: --format json lists all", soft_wrap=True)


def _check_element(symbol: str, option: str) -> str:
    from pymatgen.core.periodic_table import Element

    from rocksalt.screening.elements import element_hint

    if not Element.is_valid_symbol(symbol):
        raise RocksaltError(f"{option}: {symbol!r} is not an element{element_hint(symbol)}")
    return symbol


def _parse_system(text: str) -> list[str]:
    symbols = [part for part in re.split(r"[-,\s]+", text) if part]
    if not symbols:
        raise RocksaltError(f"--system {text!r} names no element: write it as Li-Mn-O")
    return [_check_element(symbol, f"--system {text!r}") for symbol in symbols]


def _parse_cations(text: str) -> dict[str, float]:
    option = f"--cations {text!r}"
    ratio: dict[str, float] = {}
    for part in text.split(","):
        symbol, colon, amount = (piece.strip() for piece in part.partition(":"))
        try:
            number = float(amount) if colon else 1.0
        except ValueError:
            number = math.nan
        if "=" in symbol:
            raise RocksaltError(
                f"{option}: {part!r} is not understood: write it as {part.replace('=', ':')}"
            )
        if not math.isfinite(number) or number <= 0:
            raise RocksaltError(f"{option}: {part!r} is not understood: write it as Ru:1,Mn:1")
        _check_element(symbol, option)
        if symbol in ratio:
            raise RocksaltError(f"{option}: {symbol} is given twice")
        ratio[symbol] = number
    return ratio


def _windows(
    found: Hull, ratio: Mapping[str, float] | None
) -> tuple[dict[str, float], list[Window]] | None:
    """Return the cations and their windows, None for a system without an oxide."""
    from rocksalt.screening.oxygen import oxygen_windows

    others = {e: 1.0 for e in found.elements if e != "O"}
    if ratio is None and ("O" not in found.elements or not others):
        return None
    cations = dict(ratio or others)
    try:
        return cations, oxygen_windows(found, cations)
    except RocksaltError as error:
        raise RocksaltError(f"--cations: {error}") from None


def hull_json(
    found: Hull,
    rejected: Sequence[Rejected],
    windows: tuple[Mapping[str, float], Sequence[Window]] | None,
) -> dict[str, Any]:
    """Return all that is known of a hull, ready for JSON.

    A decomposition lists the stable phases that an entry's composition consists of on the hull, with
    their shares of the atoms; for a stable entry that is the entry itself.
    """
    result: dict[str, Any] = {
        "chemical_system": found.chemical_system,
        "energy_scale": found.scale,
        "counts": {
            "entries": len(found.entries) + len(rejected),
            "in_hull": len(found.entries),
            "on_hull": len(found.stable),
            "rejected": len(rejected),
        },
        "references": {e: entry.entry_id for e, entry in found.references.items()},
        "entries": _entries(found),
        "stable": [entry.entry_id for entry in found.stable],
        "rejected": [{"entry_id": r.entry_id, "reason": r.reason} for r in rejected],
    }
    if windows is not None:
        cations, each = windows
        result["cations"] = dict(cations)
        result["oxygen_windows"] = [
            {
                "from_dmu_o_ev": _finite(window.from_dmu_o_ev),
                "to_dmu_o_ev": _finite(window.to_dmu_o_ev),
                "oxygen_per_cation": window.oxygen_per_cation,
                "phases": _shares(window.phases),
            }
            for window in each
        ]
    return result


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _entries(found: Hull) -> list[dict[str, Any]]:
    numbers = (found.formation_energy_ev_per_atom, found.e_above_hull_ev_per_atom)
    return [
        {
            "entry_id": entry.entry_id,
            "formula": formula(entry.amounts),
            "e_above_hull_ev_per_atom": above,
            "formation_energy_ev_per_atom": formation,
            "decomposition": _shares(found.decomposition(entry.amounts)),
        }
        for entry, formation, above in zip(
            found.entries, *(values.tolist() for values in numbers), strict=True
        )
    ]


def _shares(phases: Sequence[tuple[HullEntry, float]]) -> list[dict[str, Any]]:
    return [
        {"entry_id": phase.entry_id, "formula": formula(phase.amounts), "fraction": share}
        for phase, share in sorted(phases, key=lambda pair: -pair[1])
    ]


def formula(amounts: Mapping[str, float]) -> str:
    """Return the reduced formula."""
    return _formula(tuple(sorted(amounts.items())))


@cache
def _formula(amounts: tuple[tuple[str, float], ...]) -> str:
    from pymatgen.core.composition import Composition

    return Composition(dict(amounts)).reduced_formula


def _plain_table() -> Table:
    from rich import box
    from rich.table import Table

    return Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))


def _tables(
    found: Hull,
    n_rejected: int,
    windows: tuple[Mapping[str, float], Sequence[Window]] | None,
) -> list[RenderableType]:
    from rich.text import Text

    above = found.e_above_hull_ev_per_atom
    stable = {entry.entry_id for entry in found.stable}
    order = sorted(
        range(len(found.entries)),
        key=lambda i: (above[i], found.entries[i].entry_id not in stable, i),
    )
    table = _plain_table()
    table.add_column("formula", overflow="fold", max_width=24)
    table.add_column("entry", overflow="fold", max_width=20)
    table.add_column("above hull\nmeV/atom", justify="right", no_wrap=True)
    table.add_column("falls apart into (share of atoms)", overflow="fold")
    for i in order[:_N_ROWS]:
        entry = found.entries[i]
        phases = [] if entry.entry_id in stable else found.decomposition(entry.amounts)
        table.add_row(
            Text(formula(entry.amounts), style="green" if not above[i] else ""),
            Text(entry.entry_id),
            f"{1000 * above[i]:.1f}",
            Text(_sum(phases) or "–"),
        )
    count = len(found.entries)
    references = ", ".join(f"{e} {entry.entry_id}" for e, entry in found.references.items())
    more = f"{count - _N_ROWS} more rows: --format csv. " if count > _N_ROWS else ""
    legend = (
        f"{more}{found.chemical_system}, energies {found.scale}: {count + n_rejected} entries, "
        f"{count} in the hull, {len(found.stable)} phases on it, {n_rejected} left out. "
        f"References: {references}."
    )
    parts: list[RenderableType] = [table, Text(legend, style="dim")]
    if windows is not None:
        ratio = " : ".join(f"{n:g} {e}" for e, n in windows[0].items())
        parts += [
            Text(f"\nPhases against the oxygen potential (0: O2), {ratio}"),
            *_ladder(windows),
        ]
    return parts


def _ladder(
    windows: tuple[Mapping[str, float], Sequence[Window]],
) -> list[RenderableType]:
    from rich.text import Text

    table = _plain_table()
    for heading in ("dmu(O)\nfrom eV", "\nto eV", "O per\ncation"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("\nphases (share of atoms)", overflow="fold")
    for window in windows[1]:
        low = window.from_dmu_o_ev
        table.add_row(
            f"{low:.3f}" if math.isfinite(low) else "–",
            f"{window.to_dmu_o_ev:.3f}",
            f"{window.oxygen_per_cation:.3f}",
            Text(_sum(window.phases)),
        )
    return [table]


def _sum(phases: Sequence[tuple[HullEntry, float]]) -> str:
    if len(phases) == 1:  # a better polymorph: its formula alone would say nothing
        return f"{formula(phases[0][0].amounts)} ({phases[0][0].entry_id})"
    return " + ".join(f"{each['fraction']:.2f} {each['formula']}" for each in _shares(phases))
