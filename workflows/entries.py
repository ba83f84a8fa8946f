"""Energies and structures that a user has: entries of pymatgen, the Materials Project, a folder."""

from __future__ import annotations

import gzip
import json
import math
import os
import warnings
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rocksalt.screening.errors import RocksaltError, ScaleError
from rocksalt.screening.hull import HullEntry, Rejected
from rocksalt.screening.scales import MP2020

if TYPE_CHECKING:
    from pymatgen.core import Structure

AS_GIVEN = "as given"
"""Scale of entries that say nothing about theirs: they join whatever scale the others are on."""

_CLASSES = {"ComputedEntry", "ComputedStructureEntry", "PDEntry"}
_RUN_TYPES = {"GGA": "GGA", "PBE": "GGA", "GGA+U": "GGA+U", "PBE+U": "GGA+U", "R2SCAN": "r2SCAN"}
_GGA = {"GGA", "GGA+U"}
_MIXED = "GGA/GGA+U/r2SCAN, mixed"
_CORRECTED = "GGA/GGA+U, corrected"
_UNCORRECTED = "GGA/GGA+U, uncorrected"
_REMEDY = (
    "bring them to one scale, keep the entries of one, or name it in data.energy_scale of each "
    "entry if they share it"
)
_MAX_NAME = 60


@dataclass(frozen=True)
class Entries:
    """What was read: every entry is in one of the two.

    Attributes
    ----------
    usable
        On one energy scale, in the order of the source.
    rejected
        The others, each with its reason.
    """

    usable: tuple[HullEntry, ...]
    rejected: tuple[Rejected, ...]

    def __len__(self) -> int:
        return len(self.usable) + len(self.rejected)


class _UnusableError(Exception):
    pass


@dataclass(frozen=True)
class _Read:
    """An entry with what tells its energy scale."""

    entry_id: str
    amounts: dict[str, float]
    energy_ev: float
    scale: str | None
    run_type: str | None
    adjustments: tuple[str, ...]
    is_corrected: bool

    @property
    def is_oxide(self) -> bool:
        return "O" in self.amounts and len(self.amounts) > 1


def read_entries(path: Path) -> Entries:
    """Read pymatgen entries from a JSON file, which may be compressed with gzip.

    It holds a list of ComputedEntry, ComputedStructureEntry or PDEntry as pymatgen writes them, or
    an object with such a list under 'entries', or one that maps names to them.

    Raises
    ------
    RocksaltError
        For a file that cannot be read, holds no entries, or none that can be used.
    ScaleError
        For entries on two energy scales.
    """
    if path.is_dir():
        raise RocksaltError(f"{path} is a folder: give a JSON file of pymatgen entries")
    try:
        content = path.read_bytes()
        if content.startswith(b"\x1f\x8b"):
            content = gzip.decompress(content)
        data = json.loads(content, object_pairs_hook=_object)
    except FileNotFoundError:
        raise RocksaltError(f"{path}: no such file: give a JSON file of entries") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise RocksaltError(f"{path}: damaged gzip file: {error}: copy it again") from error
    except OSError as error:
        raise RocksaltError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise RocksaltError(
            f"{path}: not valid JSON: {reason}: write it with monty's dumpfn(entries, file)"
        ) from error
    return entries_from(data, str(path))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Keep a name that is given twice from hiding an entry."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} is given twice in one object")
    return found


def entries_from(data: object, source: str) -> Entries:
    """Return entries from what a JSON file held.

    The energy is pymatgen's: with the adjustments, or else the correction, that the entry carries.
    Names that are missing are made from positions ('#3'), and names that come twice get a number
    ('mp-1 (2)').

    Parameters
    ----------
    data
        A list of dictionaries, or one of the other forms that `read_entries` takes.
    source
        Name for messages.

    Raises
    ------
    RocksaltError
        When there is no entry, or none that can be used.
    ScaleError
        For entries on two energy scales.
    """
    named = _named(data, source)
    if not named:
        raise RocksaltError(
            f"{source}: the list of entries is empty: give pymatgen entries, elements among them"
        )
    names = _unique(name for name, _ in named)
    read: list[_Read] = []
    rejected: list[Rejected] = []
    for name, (_, entry) in zip(names, named, strict=True):
        try:
            read.append(_read(name, entry))
        except _UnusableError as error:
            rejected.append(Rejected(name, str(error)))
    if not read:
        raise RocksaltError(
            f"{source}: none of its {len(rejected)} entries can be used: "
            f"{rejected[0].entry_id}: {rejected[0].reason}"
        )
    scale = _common_scale(read, source)
    usable = tuple(HullEntry(r.entry_id, r.amounts, r.energy_ev, scale) for r in read)
    return Entries(usable, tuple(rejected))


def _named(data: object, source: str) -> list[tuple[str, object]]:
    if isinstance(data, dict):
        if isinstance(data.get("entries"), list):
            data = data["entries"]
        elif "energy" in data and "composition" in data:
            data = [data]
        else:
            return [(_name(entry, key), entry) for key, entry in data.items()]
    if not isinstance(data, list):
        raise RocksaltError(
            f"{source}: holds no list of entries but a {type(data).__name__}: "
            "write it with monty's dumpfn(entries, file)"
        )
    return [(_name(entry, f"#{i}"), entry) for i, entry in enumerate(data, start=1)]


def _name(entry: object, otherwise: str) -> str:
    name = entry.get("entry_id") if isinstance(entry, dict) else None
    text = " ".join(str(name).split()) if isinstance(name, str | int) else ""
    return text or otherwise


def _unique(names: Iterable[str]) -> list[str]:
    given = list(names)
    seen: set[str] = set()
    taken = set(given)
    unique = []
    for name in given:
        new, number = name, 2
        while new in seen or (new != name and new in taken):
            new, number = f"{name} ({number})", number + 1
        seen.add(new)
        unique.append(new)
    return unique


def _read(name: str, entry: object) -> _Read:
    if not isinstance(entry, Mapping):
        raise _UnusableError(f"it is no entry but a {type(entry).__name__}")
    kind = entry.get("@class")
    if kind is not None and kind not in _CLASSES:
        raise _UnusableError(f"its class {_short(kind)} is none of {', '.join(sorted(_CLASSES))}")
    amounts = _amounts(entry)
    energy = _number(entry.get("energy"), "energy")
    adjustments = entry.get("energy_adjustments") or []
    if not isinstance(adjustments, list):
        raise _UnusableError("its energy_adjustments are no list")
    correction = _number(entry.get("correction") or 0.0, "correction")
    if adjustments:  # these count, as in pymatgen: the correction is their sum
        correction = sum(_adjustment(each) for each in adjustments)
    parameters, data = (_mapping(entry.get(key)) for key in ("parameters", "data"))
    return _Read(
        name,
        amounts,
        energy + correction,
        _text(data.get("energy_scale")),
        _run_type(parameters.get("run_type") or data.get("run_type")),
        tuple(str(each.get("name") or "") for each in adjustments),
        bool(adjustments) or correction != 0,
    )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str | None:
    return value.strip() or None if isinstance(value, str) else None


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _MAX_NAME else text[:_MAX_NAME] + "..."


def _number(value: object, what: str) -> float:
    if value is None:
        raise _UnusableError(f"it has no {what}")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _UnusableError(f"its {what} is not a number ({_short(value)})")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _UnusableError(f"its {what} is not a finite number ({number})")
    return number


def _adjustment(adjustment: object) -> float:
    """Return an energy adjustment of pymatgen in eV."""
    if isinstance(adjustment, Mapping):
        for terms in (("value",), ("adj_per_atom", "n_atoms"), ("adj_per_deg", "n_atoms", "temp")):
            if all(term in adjustment for term in terms):
                return math.prod(_number(adjustment[t], f"adjustment's {t}") for t in terms)
    raise _UnusableError(f"one of its energy_adjustments is not understood ({_short(adjustment)})")


def _amounts(entry: Mapping[str, Any]) -> dict[str, float]:
    composition = entry.get("composition")
    if not composition:
        composition = _composition_of(entry.get("structure"))
    if isinstance(composition, Mapping) and all(_is_element(symbol) for symbol in composition):
        amounts = {s: _number(n, f"amount of {s}") for s, n in composition.items()}
    else:
        amounts = _parsed(composition)
    for symbol, number in amounts.items():
        if not _is_element(symbol):
            raise _UnusableError(f"{symbol!r} in its composition is not an element")
        if number < 0 or not math.isfinite(number):
            raise _UnusableError(f"its amount of {symbol} is not a positive number ({number})")
    amounts = {symbol: number for symbol, number in amounts.items() if number}
    if not amounts:
        raise _UnusableError("it has no composition")
    return amounts


def _parsed(composition: object) -> dict[str, float]:
    """Return the amounts in a formula, or of ions such as Mn2+."""
    from pymatgen.core.composition import Composition

    if not isinstance(composition, str | Mapping):
        raise _UnusableError(f"its composition is not understood ({_short(composition)})")
    try:
        return {s: float(n) for s, n in Composition(composition).get_el_amt_dict().items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        raise _UnusableError(f"its composition is not understood ({_short(composition)})") from None


def _composition_of(structure: object) -> dict[str, float]:
    amounts: dict[str, float] = {}
    try:
        for site in structure["sites"]:  # type: ignore[index]  # whatever the file holds
            for species in site["species"]:
                symbol = species["element"]
                amounts[symbol] = amounts.get(symbol, 0.0) + species["occu"]
    except (TypeError, KeyError):
        raise _UnusableError("it has no composition") from None
    return amounts


@cache
def _is_element(symbol: object) -> bool:
    from pymatgen.core.periodic_table import Element

    return isinstance(symbol, str) and Element.is_valid_symbol(symbol)


def _run_type(value: object) -> str | None:
    text = _text(value)
    return None if text is None else _RUN_TYPES.get(text.upper().replace("_", "+"), text)


def _common_scale(read: list[_Read], source: str) -> str:
    """Return the one scale of all entries."""
    examples: dict[str, str] = {}
    for entry, scale in zip(read, _scales(read), strict=True):
        if scale is not None:
            examples.setdefault(scale, entry.entry_id)
    if len(examples) > 1:
        listed = ", ".join(f"{scale!r} (of {name})" for scale, name in examples.items())
        raise ScaleError(
            f"{source}: energies of {len(examples)} scales cannot be combined: {listed}: {_REMEDY}"
        )
    return next(iter(examples), AS_GIVEN)


def _scales(read: list[_Read]) -> list[str | None]:
    """Return the scale of each entry, None where nothing tells it.

    GGA and GGA+U share one only when corrected for it, and then every compound of oxygen carries a
    correction: one that does not was not treated as the others were. The Materials Project's mixing
    scheme brings r2SCAN entries to that scale as well, and says so in the adjustments' names.
    """
    unnamed = [r for r in read if r.scale is None]
    names = {name for r in unnamed for name in r.adjustments}
    is_mixed = any("mixing adjustment" in name for name in names)
    is_mp2020 = any(name.startswith(MP2020) for name in names)
    any_corrected = any(r.is_corrected for r in unnamed if r.run_type in _GGA)

    def scale(entry: _Read) -> str | None:
        if entry.scale is not None:
            return entry.scale
        if entry.run_type is None:
            treated = any(name.startswith(MP2020) for name in entry.adjustments)
            return MP2020 if treated and not is_mixed else None
        if is_mixed and entry.run_type in {*_GGA, "r2SCAN"}:
            return _MIXED
        if entry.run_type not in _GGA:
            return entry.run_type
        if not any_corrected:
            return f"{entry.run_type}, uncorrected"
        if entry.is_oxide and not entry.is_corrected:
            return _UNCORRECTED
        return MP2020 if is_mp2020 else _CORRECTED

    return [scale(entry) for entry in read]


def read_structures(folder: Path) -> tuple[list[tuple[str, Structure]], list[Rejected]]:
    """Read every CIF and POSCAR below a folder.

    Returns
    -------
    list
        Each structure with the path of its file within the folder as name, by name; the second and
        further structures of a CIF with their number.
    list
        Files that do not serve, each with its reason.

    Raises
    ------
    RocksaltError
        For a folder that is not there, or without any file.
    """
    if not folder.is_dir():
        raise RocksaltError(f"{folder}: no such folder: give one of CIF or POSCAR files")
    paths = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(p.startswith(".") for p in path.relative_to(folder).parts)
    )
    if not paths:
        raise RocksaltError(f"{folder}: holds no file: put CIF or POSCAR files there")
    found: list[tuple[str, Structure]] = []
    rejected: list[Rejected] = []
    for path in paths:
        name = path.relative_to(folder).as_posix()
        try:
            structures = _structures_in(path)
        except _UnusableError as error:
            rejected.append(Rejected(name, str(error)))
            continue
        for number, structure in enumerate(structures, start=1):
            label = name if number == 1 else f"{name} ({number})"
            reason = _why_not_computable(structure)
            if reason is None:
                found.append((label, structure))
            else:
                rejected.append(Rejected(label, reason))
    return found, rejected


def _structures_in(path: Path) -> list[Structure]:
    from pymatgen.io.cif import CifParser
    from pymatgen.io.vasp import Poscar

    is_poscar = path.name.upper().startswith(("POSCAR", "CONTCAR"))
    is_poscar = is_poscar or path.suffix.lower() in {".poscar", ".vasp"}
    if not is_poscar and path.suffix.lower() != ".cif":
        raise _UnusableError("it is neither a CIF nor a POSCAR file by its name")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what matters is said as a reason
            if is_poscar:
                return [Poscar.from_file(path, check_for_potcar=False).structure]
            structures = CifParser(path).parse_structures(primitive=False, on_error="raise")
    except Exception as error:  # parsers raise whatever they trip over
        reason = " ".join(str(error).split()) or type(error).__name__
        raise _UnusableError(f"it cannot be read: {reason[:200]}") from error
    if not structures:
        raise _UnusableError("it holds no structure")
    return list(structures)


def _why_not_computable(structure: Structure) -> str | None:
    if not structure.is_ordered:
        return "it is disordered (partial occupancies): give an ordered arrangement"
    if not len(structure):
        return "it has no atoms"
    unknown = sorted({e.symbol for e in structure.elements if not _is_element(e.symbol)})
    if unknown:
        return f"{', '.join(unknown)} is not an element"
    if not structure.is_valid():
        return "two of its atoms are closer than 0.5 angstrom"
    return None


def materials_project_entries(chemsys: str) -> Entries:
    """Fetch the corrected GGA/GGA+U entries of a chemical system from the Materials Project.

    Needs the extra 'mp' and an API key in the environment variable MP_API_KEY.

    Parameters
    ----------
    chemsys
        Elements joined by dashes; the entries of all its subsystems come along.

    Raises
    ------
    RocksaltError
        When mp-api or the key is missing, or the query fails.
    """
    try:
        from mp_api.client import MPRester
    except ImportError as error:
        raise RocksaltError(
            "the Materials Project needs the package mp-api: pip install 'rocksalt[mp]'"
        ) from error
    key = os.environ.get("MP_API_KEY")
    if not key:
        raise RocksaltError(
            "MP_API_KEY is not set: export your key from https://materialsproject.org/api"
        )
    source = f"Materials Project, {chemsys}"
    try:
        with MPRester(key) as rester:
            found = rester.get_entries_in_chemsys(
                chemsys.split("-"), additional_criteria={"thermo_types": ["GGA_GGA+U"]}
            )
    except Exception as error:  # the client has errors of its own, and those of the network
        reason = " ".join(f"{type(error).__name__}: {error}".split()).replace(key, "***")
        raise RocksaltError(f"{source}: {reason[:300]}: check the key and the network") from error
    return entries_from([entry.as_dict() for entry in found], source)
