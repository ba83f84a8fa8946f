"""The phases that a user adds to a campaign's hulls: energies as they are, or structures to compute."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pymatgen.core import Structure

from rocksalt.screening.hull import HullEntry, Rejected
from rocksalt.workflows.campaign import MATERIALS_PROJECT
from rocksalt.workflows.entries import (
    materials_project_entries,
    read_entries,
    read_structures,
)

MOST_NAMED = 5
"""Entries that are named of those left out."""


@dataclass
class UserPhases:
    """What a campaign's key `entries` stands for.

    Attributes
    ----------
    entries
        Phases with energies; they enter the hulls that are on their scale.
    structures
        Phases by name, to be computed with the campaign's engines.
    rejected
        What could be used as neither.
    """

    entries: list[HullEntry] = field(default_factory=list)
    structures: list[tuple[str, Structure]] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)

    @property
    def notes(self) -> list[str]:
        """What could not be used, in words; the first few of many."""
        said = [
            f"entries: {r.entry_id} is left out: {r.reason}" for r in self.rejected[:MOST_NAMED]
        ]
        more = len(self.rejected) - len(said)
        return [*said, f"entries: {more} more are left out"] if more else said


def load_user_phases(source: str | None, systems: Iterable[tuple[str, ...]]) -> UserPhases:
    """Read what a campaign's key `entries` names.

    Parameters
    ----------
    source
        A JSON file of pymatgen entries, a folder of CIF or POSCAR files, 'materials-project', or
        None for nothing.
    systems
        Elements but oxygen of each hull: what is fetched from the Materials Project.

    Raises
    ------
    RocksaltError
        When it cannot be read, or holds entries on two energy scales.
    """
    if source is None:
        return UserPhases()
    if source == MATERIALS_PROJECT:
        entries: dict[str, HullEntry] = {}
        rejected: list[Rejected] = []
        for system in systems:
            fetched = materials_project_entries("-".join(sorted([*system, "O"])))
            entries |= {e.entry_id: e for e in fetched.usable}
            rejected += [r for r in fetched.rejected if r not in rejected]
        return UserPhases(list(entries.values()), [], rejected)
    path = Path(source).expanduser()
    if path.is_dir():
        structures, unreadable = read_structures(path)
        return UserPhases([], structures, unreadable)
    read = read_entries(path)
    return UserPhases(list(read.usable), [], list(read.rejected))
