"""The convex hull of a chemical system: what is stable, and how far the rest lies above it.

Facets come from Qhull through scipy. The hull's energy at any composition is the highest of the
planes through its facets, since a convex function is the upper envelope of its supporting planes:
all distances are one matrix product.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

from rocksalt.screening.errors import RocksaltError
from rocksalt.screening.scales import Energy, common_scale

STABLE_EV_PER_ATOM = 1e-8
"""On the hull within rounding."""

_UPRIGHT = 1e10
"""Condition number of a facet's compositions above which it stands upright: no plane over the
system. A determinant does not tell: it is as small for facets between large cells that differ by a
few atoms, and those count."""

_DECIMALS = 10
_BLOCK = 4096


@dataclass(frozen=True)
class HullEntry:
    """A phase with its energy.

    Attributes
    ----------
    entry_id
        Its name in results.
    amounts
        Number of atoms of each element, of a cell or of a formula.
    energy_ev
        Energy of as many atoms, eV.
    scale
        Name of the energy scale; entries of one hull share it.
    """

    entry_id: str
    amounts: Mapping[str, float]
    energy_ev: float
    scale: str

    @property
    def n_atoms(self) -> float:
        """Number of atoms that `energy_ev` is of."""
        return float(sum(self.amounts.values()))


@dataclass(frozen=True)
class Rejected:
    """An entry that was left out, and why."""

    entry_id: str
    reason: str


@dataclass(frozen=True)
class Hull:
    """The hull of a chemical system.

    Attributes
    ----------
    elements
        Symbols in alphabetical order, which is the order of all arrays over elements.
    scale
        Energy scale of all entries.
    entries
        Those that take part, in the order in which they were given.
    rejected
        The others, each with its reason.
    formation_energy_ev_per_atom, e_above_hull_ev_per_atom
        (n_entries,), relative to the elements' references.
    references
        Entry of each element that is its reference.
    stable
        One entry per composition on the hull, in the order in which they were given.
    vertices
        (n_facets, n_elements) indices into `entries`.
    chemical_potentials_ev
        (n_facets, n_elements) relative to the references: a facet's plane.
    """

    elements: tuple[str, ...]
    scale: str
    entries: tuple[HullEntry, ...]
    rejected: tuple[Rejected, ...]
    formation_energy_ev_per_atom: NDArray[np.float64]
    e_above_hull_ev_per_atom: NDArray[np.float64]
    references: Mapping[str, HullEntry]
    stable: tuple[HullEntry, ...]
    vertices: NDArray[np.int64]
    chemical_potentials_ev: NDArray[np.float64]

    @property
    def chemical_system(self) -> str:
        """The elements joined by dashes."""
        return "-".join(self.elements)

    def fractions(self, amounts: Mapping[str, float]) -> NDArray[np.float64]:
        """Return atomic fractions (n_elements,) of a composition.

        Raises
        ------
        RocksaltError
            For a composition that is empty or outside the system.
        """
        outside = sorted(e for e, n in amounts.items() if n and e not in self.elements)
        if outside:
            raise RocksaltError(
                f"{', '.join(outside)} is outside the system {self.chemical_system}: "
                "add entries with it, or leave it out"
            )
        return _fractions([amounts], self.elements)[0]

    def energy_ev_per_atom(self, amounts: Mapping[str, float]) -> float:
        """Return the hull's formation energy at a composition, eV per atom.

        Raises
        ------
        RocksaltError
            For a composition that is empty or outside the system.
        """
        return float((self.chemical_potentials_ev @ self.fractions(amounts)).max())

    def energy_above_ev_per_atom(self, amounts: Mapping[str, float], energy_ev: Energy) -> float:
        """Return how far a phase lies above the hull, which need not contain it.

        Negative for one that would be a new vertex.

        Parameters
        ----------
        amounts
            Number of atoms of each element.
        energy_ev
            Energy of as many atoms.

        Raises
        ------
        RocksaltError
            For a composition outside the system.
        ScaleError
            For an energy on another scale.
        """
        common_scale(energy_ev, Energy(0.0, self.scale))
        fractions = self.fractions(amounts)
        references = (
            self.references[e].energy_ev / self.references[e].n_atoms for e in self.elements
        )
        reference = sum(x * energy for x, energy in zip(fractions, references, strict=True))
        formation = energy_ev.ev / sum(amounts.values()) - reference
        return float(formation - (self.chemical_potentials_ev @ fractions).max())

    def decomposition(self, amounts: Mapping[str, float]) -> list[tuple[HullEntry, float]]:
        """Return the stable phases that a composition falls apart into.

        Returns
        -------
        list
            Each phase with its share of the atoms, the shares adding up to 1.

        Raises
        ------
        RocksaltError
            For a composition that is empty or outside the system.
        """
        target = self.fractions(amounts)
        energies = self.chemical_potentials_ev @ target
        shares: NDArray[np.floating] | None = None
        vertices: NDArray[np.int64] = self.vertices[0]
        for facet in np.flatnonzero(energies >= energies.max() - 1e-9):
            corners = _fractions(
                [self.entries[i].amounts for i in self.vertices[facet]], self.elements
            )
            found = np.linalg.solve(corners.T, target)
            if shares is None or found.min() > shares.min():
                shares, vertices = found, self.vertices[facet]
        assert shares is not None
        return [
            (self.entries[i], float(share))
            for i, share in zip(vertices, shares, strict=True)
            if share > 1e-7
        ]


def make_hull(entries: Iterable[HullEntry], elements: Iterable[str] | None = None) -> Hull:
    """Return the hull of a chemical system.

    Parameters
    ----------
    entries
        Phases on one energy scale, the elements among them. The order matters for the order of
        results only.
    elements
        The system; the elements of all entries when not given. Entries outside it are rejected.

    Raises
    ------
    RocksaltError
        When nothing is left, or an element has no entry to serve as its reference.
    ScaleError
        For entries of two scales.

    Notes
    -----
    Barber, Dobkin and Huhdanpaa, ACM Trans. Math. Softw. 22, 469 (1996) (Qhull).
    """
    asked = tuple(sorted(set(elements))) if elements is not None else None
    kept: list[HullEntry] = []
    rejected: list[Rejected] = []
    for entry in entries:
        reason = _why_not(entry, asked)
        if reason is None:
            kept.append(entry)
        else:
            rejected.append(Rejected(entry.entry_id, reason))
    if not kept:
        first = f": {rejected[0].entry_id}: {rejected[0].reason}" if rejected else ""
        raise RocksaltError(f"no entry is left for a hull{first}")
    scale = common_scale(*(Energy(e.energy_ev, e.scale) for e in kept))
    system = asked or tuple(sorted({e for entry in kept for e, n in entry.amounts.items() if n}))
    references = _references(kept, system)

    fractions = _fractions([e.amounts for e in kept], system)
    per_atom = np.array([e.energy_ev / e.n_atoms for e in kept])
    reference = np.array([references[s].energy_ev / references[s].n_atoms for s in system])
    formation = per_atom - fractions @ reference
    corners = _lowest_of_each_composition(kept, fractions, formation)
    vertices = _facets(fractions, formation, corners)
    planes = np.linalg.solve(fractions[vertices], formation[vertices][..., None])[..., 0]
    above = formation - _envelope(planes, fractions)
    above[np.abs(above) < STABLE_EV_PER_ATOM] = 0.0
    on_hull = sorted(int(i) for i in corners if above[i] <= STABLE_EV_PER_ATOM)
    return Hull(
        elements=system,
        scale=scale,
        entries=tuple(kept),
        rejected=tuple(rejected),
        formation_energy_ev_per_atom=formation,
        e_above_hull_ev_per_atom=above,
        references=references,
        stable=tuple(kept[i] for i in on_hull),
        vertices=vertices,
        chemical_potentials_ev=planes,
    )


def _why_not(entry: HullEntry, system: tuple[str, ...] | None) -> str | None:
    amounts = [n for n in entry.amounts.values() if n != 0]
    if not amounts:
        return "it has no composition"
    if not all(math.isfinite(n) and n > 0 for n in amounts):
        return "an amount in its composition is not a positive number"
    if not math.isfinite(entry.energy_ev):
        return f"its energy is not a finite number ({entry.energy_ev})"
    if system is not None:
        outside = sorted(e for e, n in entry.amounts.items() if n and e not in system)
        if outside:
            return f"{', '.join(outside)} is outside the system {'-'.join(system)}"
    return None


def _references(entries: Sequence[HullEntry], system: tuple[str, ...]) -> dict[str, HullEntry]:
    found: dict[str, HullEntry] = {}
    for entry in sorted(entries, key=lambda e: (e.energy_ev / e.n_atoms, e.entry_id)):
        present = [e for e, n in entry.amounts.items() if n]
        if len(present) == 1:
            found.setdefault(present[0], entry)
    missing = [e for e in system if e not in found]
    if missing:
        raise RocksaltError(
            f"system {'-'.join(system)}: no entry of pure {', '.join(missing)} to serve as "
            "reference: add one on the same energy scale"
        )
    return {e: found[e] for e in system}


def _fractions(
    compositions: Sequence[Mapping[str, float]], system: Sequence[str]
) -> NDArray[np.float64]:
    amounts = np.array([[c.get(e, 0.0) for e in system] for c in compositions], dtype=float)
    totals = amounts.sum(axis=1, keepdims=True)
    if not (np.isfinite(amounts).all() and (amounts >= 0).all() and (totals > 0).all()):
        raise RocksaltError("a composition is empty or has an amount that is not positive")
    return amounts / totals


def _envelope(planes: NDArray[np.float64], fractions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the highest plane at each composition, by blocks: all at once fill the memory."""
    blocks = (fractions[i : i + _BLOCK] for i in range(0, len(fractions), _BLOCK))
    return np.concatenate([(block @ planes.T).max(axis=1) for block in blocks])


def _lowest_of_each_composition(
    entries: Sequence[HullEntry],
    fractions: NDArray[np.float64],
    formation: NDArray[np.float64],
) -> NDArray[np.int64]:
    """Return the entries that can be corners, in an order that does not depend on the input's."""
    order = sorted(range(len(entries)), key=lambda i: (formation[i], entries[i].entry_id))
    first: dict[tuple[float, ...], int] = {}
    for i in order:
        pure = np.count_nonzero(fractions[i]) == 1
        if formation[i] < -STABLE_EV_PER_ATOM or pure:
            first.setdefault(tuple(np.round(fractions[i], _DECIMALS)), i)
    return np.array([first[composition] for composition in sorted(first)])


def _facets(
    fractions: NDArray[np.float64],
    formation: NDArray[np.float64],
    corners: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return the corners of every facet of the lower hull, (n_facets, n_elements)."""
    n_elements = fractions.shape[1]
    if len(corners) == n_elements:  # nothing but the elements
        return corners[None, :]
    points = np.column_stack([fractions[corners, 1:], formation[corners]])
    # A point above the middle: with it every facet but those of the lower hull holds that point.
    points = np.vstack(
        [points, [*([1 / n_elements] * (n_elements - 1)), 1.0 + np.ptp(formation[corners])]]
    )
    simplices = ConvexHull(points, qhull_options="Qt").simplices
    simplices = corners[simplices[(simplices < len(corners)).all(axis=1)]]
    upright = np.linalg.cond(fractions[simplices]) > _UPRIGHT
    return np.sort(simplices[~upright], axis=1)
