"""Athena projects (.prj): a packed text with the groups of a session, as Perl lists or as JSON."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.quantities import Array

PACKED = b"\x1f\x8b"
"""First bytes of a gzip file."""

_MOST_BYTES = 500_000_000  # unpacked; a project of a beamtime has a few million
_NAME = re.compile(r"^\$old_group\s*=\s*'([^']*)'", re.MULTILINE)
_LIST = re.compile(r"^@(\w+)\s*=\s*\((.*?)\);\s*$", re.MULTILINE | re.DOTALL)
_ITEM = re.compile(r"'((?:[^'\\]|\\.)*)'|([^\s,']+)")


@dataclass(frozen=True)
class AthenaGroup:
    """One group of a project.

    Attributes
    ----------
    name, label
        Athena's own name, which other groups refer to, and the one that its user gave.
    parameters
        As the project has them.
    energy_ev
        (n_points,): with the group's energy shift added, as Athena shows it.
    absorption
        (n_points,): mu(E).
    """

    name: str
    label: str
    parameters: dict[str, str]
    energy_ev: Array
    absorption: Array

    @property
    def reference(self) -> str | None:
        """Name of the group with the reference channel."""
        found = self.parameters.get("referencegroup") or self.parameters.get("reference")
        return found or None


def is_project(path: Path) -> bool:
    """Whether a file is named or packed as a project."""
    try:
        with path.open("rb") as file:
            return path.suffix.lower() == ".prj" or file.read(1) == PACKED[:1]
    except OSError:
        return False  # the reader of text says why


def read_project(path: Path) -> list[AthenaGroup]:
    """Return the groups of a project that hold mu(E), in its order.

    Raises
    ------
    MeasurementError
        For a file that cannot be read, is none, is cut short, or holds no mu(E).
    """
    text = _unpacked(path)
    try:
        found = _of_json(text) if text.lstrip().startswith("{") else _of_perl(text)
        groups = [_group(*each) for each in found if _is_absorption(each[1])]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:80]
        raise MeasurementError(
            f"{path}: the project cannot be read ({reason}): save it from Athena again"
        ) from error
    if not groups:
        raise MeasurementError(f"{path}: an Athena project with mu(E) was expected: it holds none")
    return groups


def choose_group(
    groups: list[AthenaGroup], label: str | None, path: Path, *, or_only: bool = False
) -> AthenaGroup:
    """Return the group of a label, or the only one where no label is given.

    Parameters
    ----------
    or_only
        Take the only group whatever its label is.

    Raises
    ------
    MeasurementError
        When there are several and none or more than one has the label; the labels are listed.
    """
    if len(groups) == 1 and (label is None or or_only):
        return groups[0]
    fitting = [group for group in groups if group.label == label]
    if len(fitting) == 1:
        return fitting[0]
    known = ", ".join(repr(group.label) for group in groups)
    what = (
        "has several groups" if label is None else f"has {len(fitting)} groups labelled {label!r}"
    )
    raise MeasurementError(f"{path}: {what}: give group, the label of one of {known}")


def _unpacked(path: Path) -> str:
    try:
        data = path.read_bytes()
        if data.startswith(PACKED):
            with gzip.open(path) as file:
                data = file.read(_MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise MeasurementError(f"{path}: the project cannot be unpacked: {reason}") from error
    if len(data) > _MOST_BYTES:
        raise MeasurementError(f"{path}: unpacks to more than {_MOST_BYTES / 1e6:g} MB: no project")
    text = data.decode("utf-8", errors="replace")
    if "athena project file" not in text[:2000].lower():
        raise MeasurementError(
            f"{path}: does not say that it is an Athena project: give a .prj of Athena"
        )
    return text


def _of_perl(text: str) -> list[tuple[str, dict[str, str], list[str], list[str]]]:
    """Return name, parameters, x and y of each group; a group ends where the next one is named."""
    starts = list(_NAME.finditer(text))
    groups = []
    for start, following in zip(starts, [*starts[1:], None], strict=True):
        part = text[start.end() : following.start() if following else None]
        lists = {m[1]: _items(m[2]) for m in _LIST.finditer(part)}
        if "args" not in lists or "x" not in lists or "y" not in lists:
            raise ValueError(f"group {start[1]!r} is not whole")
        arguments = lists["args"]
        pairs = dict(zip(arguments[::2], arguments[1::2], strict=True))
        groups.append((start[1], pairs, lists["x"], lists["y"]))
    return groups


def _items(text: str) -> list[str]:
    return [
        re.sub(r"\\(.)", r"\1", found[1]) if found[1] is not None else found[2]
        for found in _ITEM.finditer(text)
    ]


def _of_json(text: str) -> list[tuple[str, dict[str, str], list[Any], list[Any]]]:
    project = json.loads(text)
    names = project.get("_____order") or [
        n for n, each in project.items() if isinstance(each, dict)
    ]
    return [
        (
            name,
            {key: "" if each is None else str(each) for key, each in project[name]["args"].items()},
            project[name]["x"],
            project[name]["y"],
        )
        for name in names
        if isinstance(project.get(name), dict) and "args" in project[name]
    ]


def _is_absorption(parameters: dict[str, str]) -> bool:
    """Whether a group holds mu(E), and not chi(k) or a detector's counts."""
    if "datatype" in parameters:
        return parameters["datatype"] in {"xmu", "xanes", "norm"}
    return parameters.get("is_xmu", "1") not in {"0", ""}


def _group(name: str, parameters: dict[str, str], x: list[Any], y: list[Any]) -> AthenaGroup:
    energy, absorption = np.array(x, dtype=float), np.array(y, dtype=float)
    if len(energy) != len(absorption):
        raise ValueError(f"group {name!r}: {len(energy)} energies and {len(absorption)} values")
    shift = float(parameters.get("bkg_eshift") or 0.0)
    return AthenaGroup(
        name, parameters.get("label") or name, parameters, energy + shift, absorption
    )
