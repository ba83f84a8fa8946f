"""Competing oxide phases: which are made for a set of cations, and which results are kept."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cache
from typing import NamedTuple

import numpy as np
from ase.spacegroup import crystal
from numpy.typing import NDArray
from pymatgen.core import Element, Lattice, Structure

from rocksalt.screening.elements import (
    O2_RADIUS_ANGSTROM,
    check_cation,
    octahedral_radius_angstrom,
)
from rocksalt.screening.phase_table import (
    BINARY,
    LITHIUM,
    LITHIUM_TERNARY,
    TERNARY,
    Prototype,
)
from rocksalt.screening.prototypes import Start

OXYGEN_SEARCH_ANGSTROM = 4.0
"""In the table, every cation has oxygens nearer than this."""

SHELL_WIDTH = 1.2
"""Oxygens up to this many times the nearest distance are a cation's neighbours."""

LARGEST_VOLUME_FACTOR = 1.45
"""A phase that swells or shrinks by more is not its start any more (hollow frames collapse)."""

CLOSEST_OXYGENS_ANGSTROM = 1.7
"""Oxygens nearer than this are a peroxide or a molecule."""

FARTHEST_NEIGHBOUR_ANGSTROM = 3.2
"""An atom without any neighbour within this distance has left the crystal."""

PSEUDOSYMMETRY_ANGSTROM = 0.001
"""Atoms displaced by more from a smaller cell keep the larger one."""

SAME_ENERGY_EV_PER_ATOM = 0.002
SAME_VOLUME = 0.01

_PLACEHOLDERS = {"Li": "Li", "A": "Mg", "B": "Al", "O": "O"}
_NUMERALS = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII")
_COORDINATIONS = {numeral: number for number, numeral in enumerate(_NUMERALS, start=1)}


class RelaxedPhase(NamedTuple):
    """A relaxed phase, for `group_duplicates`.

    Attributes
    ----------
    formula
        Reduced.
    space_group
        Number. Not compared: after a rattle, it depends on the tolerance with which it is found.
    """

    id: str
    formula: str
    space_group: int
    volume_per_atom_angstrom3: float
    energy_ev_per_atom: float


def known_charges(symbol: str) -> tuple[int, ...]:
    """Return the positive oxidation states of an element, in rising order.

    The common ones and those that pymatgen counts often in the ICSD; where none were counted, all.
    """
    element = Element(symbol)
    seen = element.icsd_oxidation_states or element.oxidation_states
    return tuple(sorted({int(q) for q in (*seen, *element.common_oxidation_states) if q > 0}))


def cation_charges(prototype: Prototype, elements: Mapping[str, str]) -> dict[str, float] | None:
    """Return the charge of each cation role that balances the oxygens, or None if none does.

    The cation of a role that it does not share with another may be mixed-valent: its mean charge
    lies between its smallest and its largest known one. Two cations have known charges each. Among
    several solutions the one with the most common charges counts, then the most equal ones.

    Parameters
    ----------
    elements
        Symbol of roles A and B; lithium has charge 1.
    """
    amounts = _amounts(prototype)
    missing = 2 * amounts["O"] - amounts.get("Li", 0)
    lithium = {"Li": 1.0} if "Li" in amounts else {}
    if "B" not in amounts:
        mean, known = missing / amounts["A"], known_charges(elements["A"])
        return {**lithium, "A": mean} if known[0] <= mean <= known[-1] else None
    solutions = []
    for a, b in itertools.product(*(known_charges(elements[role]) for role in "AB")):
        if a * amounts["A"] + b * amounts["B"] == missing:
            uncommon = sum(
                charge not in Element(elements[role]).common_oxidation_states
                for role, charge in (("A", a), ("B", b))
            )
            solutions.append((uncommon, abs(a - b), a, b))
    if not solutions:
        return None
    *_, a, b = min(solutions)
    return {**lithium, "A": float(a), "B": float(b)}


def make_structure(prototype: Prototype, elements: Mapping[str, str]) -> Structure:
    """Return the primitive cell of a prototype with elements on its cation roles.

    The cell keeps its shape. Its size is such that distances from cations to their oxygens are sums
    of ionic radii, on average over the cations.

    Parameters
    ----------
    elements
        Symbol of roles A and B.

    Notes
    -----
    Radii: Shannon, Acta Cryst. A 32, 751 (1976), for the charges of `cation_charges` and the
    coordination in the prototype, or the nearest tabulated ones.
    """
    cell, roles = _geometry(prototype)
    symbols = {"Li": "Li", "O": "O", **elements}
    charges = cation_charges(prototype, elements) or {}
    wanted, found = [], []
    for role, distances in zip(roles, _oxygen_shells(prototype), strict=True):
        if role != "O":
            charge = charges.get(role, 2.0)
            wanted.append(radius_angstrom(symbols[role], charge, len(distances)))
            found.append(float(distances.mean()))
    scale = (float(np.mean(wanted)) + O2_RADIUS_ANGSTROM) / float(np.mean(found))
    lattice = Lattice(cell.lattice.matrix * scale)
    return Structure(lattice, [symbols[role] for role in roles], cell.frac_coords)


def radius_angstrom(symbol: str, charge: float, coordination: int) -> float:
    """Return Shannon's ionic radius for the nearest tabulated charge and coordination.

    High spin where there is a choice. It only starts relaxations.
    """
    radii: dict[tuple[int, int], float] = {}
    for tabulated, coordinations in Element(symbol).data.get("Shannon radii", {}).items():
        if not tabulated.isdigit() or int(tabulated) == 0:  # anions, and one entry without charge
            continue
        for numeral, spins in coordinations.items():
            if numeral in _COORDINATIONS:
                entry = spins.get("High Spin") or spins.get("") or next(iter(spins.values()))
                radii[int(tabulated), _COORDINATIONS[numeral]] = float(entry["ionic_radius"])
    if not radii:
        return octahedral_radius_angstrom(symbol)
    nearest = min(radii, key=lambda key: (abs(key[0] - charge), abs(key[1] - coordination), key))
    return radii[nearest]


def binary_oxide_starts(cation: str) -> list[Start]:
    """Return the oxides of one cation, without rock salt."""
    return [_start(c) for c in _binaries(cation) if _imbalance(c) is None]


def ternary_oxide_starts(a: str, b: str) -> list[Start]:
    """Return the oxides of two cations, each on either role where that makes a difference."""
    return [_start(c) for c in _pairs(TERNARY, a, b) if _imbalance(c) is None]


def lithium_oxide_starts(cation: str) -> list[Start]:
    """Return the oxides of lithium and one other cation."""
    return [_start(c) for c in _lithium(cation) if _imbalance(c) is None]


def lithium_ternary_starts(a: str, b: str) -> list[Start]:
    """Return the oxides of lithium and two other cations: orderings of these in oxides of one."""
    return [_start(c) for c in _pairs(LITHIUM_TERNARY, a, b) if _imbalance(c) is None]


def competing_starts(elements: Collection[str]) -> list[Start]:
    """Return the competing oxides of a chemical system, each once, in an order of its own.

    Parameters
    ----------
    elements
        Its cations, with or without lithium.

    Raises
    ------
    RocksaltError
        When one of them cannot be screened.
    """
    return [_start(c) for c in _candidates(elements) if _imbalance(c) is None]


def left_out(elements: Collection[str]) -> list[tuple[str, str]]:
    """Return what `competing_starts` does not make for a chemical system, and why.

    Each is named by formula and prototype.
    """
    reasons = [(f"{c.formula} {c.name}", _imbalance(c)) for c in _candidates(elements)]
    return [(what, why) for what, why in reasons if why is not None]


def junk_reason(
    start: Structure, relaxed: Structure, converged: bool, prototype: str
) -> str | None:
    """Return why a relaxed phase is not to be trusted, on one line, or None.

    Parameters
    ----------
    prototype
        Its name, for the message.
    """
    if not converged:
        return f"{prototype}: the relaxation did not converge"
    ratio = (relaxed.volume / len(relaxed)) / (start.volume / len(start))
    if not 1 / LARGEST_VOLUME_FACTOR <= ratio <= LARGEST_VOLUME_FACTOR:
        return f"{prototype}: the volume changed by a factor of {ratio:.2f}"
    between = closest_oxygens_angstrom(relaxed)
    if between < CLOSEST_OXYGENS_ANGSTROM <= closest_oxygens_angstrom(start):
        return f"{prototype}: two oxygens came as near as {between:.2f} angstrom"
    centres = relaxed.get_neighbor_list(FARTHEST_NEIGHBOUR_ANGSTROM)[0]
    alone = sorted(set(range(len(relaxed))) - set(centres.tolist()))
    if alone:
        return (
            f"{prototype}: {relaxed[alone[0]].specie.symbol} has no neighbour within "
            f"{FARTHEST_NEIGHBOUR_ANGSTROM} angstrom"
        )
    return None


def closest_oxygens_angstrom(structure: Structure) -> float:
    """Return the shortest O-O distance, infinite if none is below 4 angstrom."""
    oxygens = np.array([site.specie.symbol == "O" for site in structure])
    centres, points, _, distances = structure.get_neighbor_list(OXYGEN_SEARCH_ANGSTROM)
    return float(distances[oxygens[centres] & oxygens[points]].min(initial=np.inf))


def group_duplicates(
    phases: Iterable[RelaxedPhase | tuple[str, str, int, float, float]],
) -> dict[str, str]:
    """Return for the id of each phase the id of the one that is kept in its place.

    Starts of one formula can relax to the same phase. Two are the same when energies lie within
    2 meV/atom and volumes within 1 percent. The lowest is kept, of equals the first by id.
    """
    kept: list[RelaxedPhase] = []
    kept_for: dict[str, str] = {}
    for phase in sorted(
        (RelaxedPhase(*phase) for phase in phases), key=lambda p: (p.energy_ev_per_atom, p.id)
    ):
        same = next((other for other in kept if _are_same(phase, other)), phase)
        if same is phase:
            kept.append(phase)
        kept_for[phase.id] = same.id
    return kept_for


def _are_same(one: RelaxedPhase, other: RelaxedPhase) -> bool:
    volumes = one.volume_per_atom_angstrom3, other.volume_per_atom_angstrom3
    return (
        one.formula == other.formula
        and abs(one.energy_ev_per_atom - other.energy_ev_per_atom) <= SAME_ENERGY_EV_PER_ATOM
        and abs(volumes[0] - volumes[1]) <= SAME_VOLUME * min(volumes)
    )


class _Candidate(NamedTuple):
    """A prototype and the elements on its roles A and B."""

    prototype: Prototype
    elements: dict[str, str]

    @property
    def name(self) -> str:
        """The prototype, and for two cations who sits where."""
        if len(self.elements) == 1:
            return self.prototype.name
        who = ", ".join(f"{role}={symbol}" for role, symbol in self.elements.items())
        return f"{self.prototype.name} ({who})"

    @property
    def formula(self) -> str:
        """Lithium first, then the cations by symbol; 'LiO', which pymatgen writes as Li2O2."""
        amounts = _amounts(self.prototype)
        symbols = {"Li": "Li", "O": "O", **self.elements}
        rank = {"Li": 0, "A": 1, "B": 1, "O": 2}
        roles = sorted(amounts, key=lambda role: (rank[role], symbols[role]))
        return "".join(f"{symbols[r]}{amounts[r] if amounts[r] > 1 else ''}" for r in roles)


def _binaries(cation: str) -> Iterator[_Candidate]:
    return (_Candidate(prototype, {"A": check_cation(cation)}) for prototype in BINARY)


def _lithium(cation: str) -> Iterator[_Candidate]:
    return (_Candidate(prototype, {"A": check_cation(cation)}) for prototype in LITHIUM)


def _pairs(prototypes: Iterable[Prototype], a: str, b: str) -> Iterator[_Candidate]:
    first, second = sorted((check_cation(a), check_cation(b)))
    for prototype in prototypes:
        yield _Candidate(prototype, {"A": first, "B": second})
        if not prototype.interchangeable:
            yield _Candidate(prototype, {"A": second, "B": first})


def _candidates(elements: Collection[str]) -> Iterator[_Candidate]:
    cations = sorted({check_cation(symbol) for symbol in elements})
    others = [symbol for symbol in cations if symbol != "Li"]
    for cation in cations:
        yield from _binaries(cation)
    for pair in itertools.combinations(others, 2):
        yield from _pairs(TERNARY, *pair)
    if "Li" in cations:
        for cation in others:
            yield from _lithium(cation)
        for pair in itertools.combinations(others, 2):
            yield from _pairs(LITHIUM_TERNARY, *pair)


def _start(candidate: _Candidate) -> Start:
    return Start(make_structure(candidate.prototype, candidate.elements), candidate.name)


def _imbalance(candidate: _Candidate) -> str | None:
    """Return why no known charges balance the oxygens, or None if some do."""
    prototype, elements = candidate
    if cation_charges(prototype, elements) is not None:
        return None
    amounts = _amounts(prototype)
    missing = 2 * amounts["O"] - amounts.get("Li", 0)
    known = {symbol: known_charges(symbol) for symbol in elements.values()}
    if len(elements) == 1:
        ((symbol, charges),) = known.items()
        return (
            f"{symbol} would have charge {missing / amounts['A']:.3g}, "
            f"known are {charges[0]} to {charges[-1]}"
        )
    have = " and ".join(f"{s} with {', '.join(map(str, qs))}" for s, qs in known.items())
    return f"no known charges add up to {missing}: {have}"


@cache
def _amounts(prototype: Prototype) -> dict[str, int]:
    """Return how many of each role the formula holds; the dictionary is shared, not to change."""
    _, roles = _geometry(prototype)
    counts = {role: roles.count(role) for role in dict.fromkeys(roles)}
    divisor = int(np.gcd.reduce(list(counts.values())))
    return {role: count // divisor for role, count in counts.items()}


@cache
def _geometry(prototype: Prototype) -> tuple[Structure, tuple[str, ...]]:
    """Return the primitive cell in the reference's size, and the role of each site."""
    # ASE's tables make all cells in the time that pymatgen's groups take for one.
    group, _, origin = prototype.space_group.partition(":")
    atoms = crystal(
        [_PLACEHOLDERS[role] for role, _, _ in prototype.sites],
        [position for _, _, position in prototype.sites],
        spacegroup=group.replace("_", ""),
        setting=int(origin or 1),
        cellpar=prototype.lattice,
    )
    cell = Structure(atoms.cell.array, atoms.get_chemical_symbols(), atoms.get_scaled_positions())
    cell = cell.get_primitive_structure(tolerance=PSEUDOSYMMETRY_ANGSTROM)
    role_of = {symbol: role for role, symbol in _PLACEHOLDERS.items()}
    return cell, tuple(role_of[site.specie.symbol] for site in cell)


@cache
def _oxygen_shells(prototype: Prototype) -> list[NDArray[np.float64]]:
    """Return for each site the distances, in angstrom, to the oxygens next to it.

    Oxygens have none.
    """
    cell, roles = _geometry(prototype)
    is_oxygen = np.array([role == "O" for role in roles])
    centres, points, _, distances = cell.get_neighbor_list(OXYGEN_SEARCH_ANGSTROM)
    shells = []
    for site in range(len(roles)):
        around = distances[(centres == site) & is_oxygen[points] & ~is_oxygen[site]]
        shells.append(around[around <= SHELL_WIDTH * around.min(initial=np.inf)])
    return shells
