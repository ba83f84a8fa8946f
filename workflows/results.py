"""The finished calculations of a campaign, found by what they are of."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from rocksalt.screening.hull import HullEntry
from rocksalt.screening.scales import EnergyScale
from rocksalt.stores.documents import Reference
from rocksalt.stores.records import Summary
from rocksalt.workflows.engines import get_engine

NOT_PHASES = {"vacancy", "density-of-states"}
"""Roles of cells whose energies enter no hull."""


class Results:
    """The calculations of a campaign that are there, by what they are of, and the user's phases.

    Attributes
    ----------
    failed
        Those without an energy.
    versions
        Of each engine, as its calculations say: more than one when they were made at different times.

    Parameters
    ----------
    summaries
        Calculations.
    user_entries
        The user's phases.
    scale_of
        Gives the energy scale of an engine, that of a campaign where U decides about it.
    """

    def __init__(
        self,
        summaries: Iterable[Summary],
        user_entries: Sequence[HullEntry] = (),
        scale_of: Callable[[str], EnergyScale] | None = None,
    ) -> None:
        self.user_entries = tuple(user_entries)
        self.scale_of = scale_of or (lambda engine: get_engine(engine).scale)
        self._by_kind: dict[tuple[str, str, tuple[str, ...]], list[Summary]] = {}
        self.failed: list[Summary] = []
        self.versions: dict[str, set[str]] = {}
        for summary in {s.key: s for s in summaries}.values():
            self.versions.setdefault(summary.engine, set()).add(summary.engine_version)
            if summary.state != "done" or summary.energy_ev_per_atom is None:
                self.failed.append(summary)
                continue
            cations = tuple(sorted(summary.cation_fractions))
            self._by_kind.setdefault((summary.engine, summary.role, cations), []).append(summary)

    def of(self, engine: str, role: str, *cations: str) -> list[Summary]:
        """Return the finished calculations with one engine, role and set of cations."""
        return self._by_kind.get((engine, role, tuple(sorted(cations))), [])

    def within(self, engine: str, elements: Collection[str]) -> list[Summary]:
        """Return the finished calculations of phases that hold no other cation than these."""
        return [
            summary
            for (name, role, cations), found in self._by_kind.items()
            if name == engine and role not in NOT_PHASES and set(cations) <= set(elements)
            for summary in found
        ]

    def of_role(self, engine: str, role: str) -> list[Summary]:
        """Return the finished calculations with one engine and role."""
        return [
            summary
            for (name, kind, _), found in self._by_kind.items()
            if name == engine and kind == role
            for summary in found
        ]

    def lowest(self, engine: str, role: str, *cations: str) -> Summary | None:
        """Return the one of `of` with the lowest energy per atom; the first key on a tie."""
        return min(
            self.of(engine, role, *cations),
            key=lambda s: (s.energy_ev_per_atom, s.key),
            default=None,
        )


def reference(results: Results, engine: str, role: str, *cations: str) -> Reference | None:
    """Return the lowest of the candidates for a reference, and all that were tried."""
    tried = results.of(engine, role, *cations)
    lowest = results.lowest(engine, role, *cations)
    if lowest is None or lowest.energy_ev_per_atom is None:
        return None
    return Reference(
        key=lowest.key,
        prototype=lowest.prototype,
        energy_ev_per_atom=lowest.energy_ev_per_atom,
        tried=by_prototype(tried),
    )


def by_prototype(tried: Iterable[Summary]) -> dict[str, float]:
    """Return the energy per atom of each prototype tried."""
    return {s.prototype: s.energy_ev_per_atom for s in tried if s.energy_ev_per_atom is not None}
