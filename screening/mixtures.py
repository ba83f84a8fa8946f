"""Rock-salt mixtures M_x H_(1-x) O: enumerated arrangements and quasi-random ones."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Composition, Structure

from rocksalt.screening.elements import rock_salt_lattice_parameter_angstrom
from rocksalt.screening.enumeration import distinct_orderings, site_permutations
from rocksalt.screening.errors import RocksaltError
from rocksalt.screening.identity import digest, structure_fingerprint
from rocksalt.screening.prototypes import rock_salt
from rocksalt.screening.sqs import pair_shells, quasi_random

_CUBE = ((-1, 1, 1), (1, -1, 1), (1, 1, -1))

CATION_CELLS: dict[int, tuple[tuple[int, int, int], ...]] = {
    2: ((1, 0, 0), (0, 1, 0), (0, 0, 2)),
    4: _CUBE,
    8: ((2, 0, 0), (0, 2, 0), (0, 0, 2)),
    16: ((2, 0, 0), (0, 2, 0), (0, 0, 4)),
    27: ((3, 0, 0), (0, 3, 0), (0, 0, 3)),
    32: ((-2, 2, 2), (2, -2, 2), (2, 2, -2)),
}
"""Supercells of the two-atom rock salt by their number of cations: rows are the new vectors."""

QUASI_RANDOM_CELLS = {**CATION_CELLS, 8: ((1, 0, 0), (0, 4, 0), (0, 1, 2))}
"""Supercells for quasi-random arrangements. Of all cells of eight cations, the one here comes nearest
to a random alloy at x = 1/4 and 1/2; in the compact one no arrangement does."""


_PATTERN_EDGE_ANGSTROM = 4.2
_FIRST, _SECOND = "Mg", "Ca"
"""Stand-ins for the two cations in patterns, which do not depend on the elements."""


@dataclass(frozen=True)
class Pattern:
    """A two-colour pattern on the cations of rock salt, in its smallest cell.

    Attributes
    ----------
    structure
        Rock salt of a fixed edge with stand-in cations.
    kind
        'enumerated' or 'sqs'.
    name
        Which one, for example 'enumerated 2 of 4'.
    multiplicity
        Equivalent arrangements in the enumeration cell; None where it was not enumerated.
    fingerprint
        The same for every cell that shows the same pattern.
    """

    structure: Structure
    kind: Literal["enumerated", "sqs"]
    name: str
    multiplicity: int | None
    fingerprint: str

    @cached_property
    def amounts(self) -> Counter[str]:
        """Number of stand-ins and of oxygens in the cell, by symbol."""
        return Counter(site.specie.symbol for site in self.structure)


@dataclass(frozen=True, slots=True)
class Decoration:
    """A pattern with two cations and a lattice put in, from which a structure can be made.

    A screen plans so many mixtures that their structures would not fit into memory together.

    Attributes
    ----------
    pattern
        Which cation is where.
    first, second
        The cations in the places of the stand-ins.
    lattice_parameter_angstrom
        Edge of the rock-salt cube.
    """

    pattern: Pattern
    first: str
    second: str
    lattice_parameter_angstrom: float

    def structure(self) -> Structure:
        """Return the structure, made anew with every call."""
        elements = {_FIRST: self.first, _SECOND: self.second, "O": "O"}
        template = self.pattern.structure
        return Structure(
            template.lattice.matrix * (self.lattice_parameter_angstrom / _PATTERN_EDGE_ANGSTROM),
            [elements[site.specie.symbol] for site in template],
            template.frac_coords,
        )

    @property
    def composition(self) -> Composition:
        """What the structure consists of."""
        amounts = self.pattern.amounts
        return Composition(
            {self.first: amounts[_FIRST], self.second: amounts[_SECOND], "O": amounts["O"]}
        )


@dataclass(frozen=True)
class Arrangement:
    """A mixture with its cations in one arrangement.

    Attributes
    ----------
    start
        The structure, or what it is made of.
    kind, name, multiplicity, fingerprint
        Those of `Pattern`, the fingerprint with the elements and the starting lattice put in.
    """

    start: Structure | Decoration
    kind: Literal["enumerated", "sqs"]
    name: str
    multiplicity: int | None
    fingerprint: str

    @property
    def structure(self) -> Structure:
        """The starting structure."""
        return self.start.structure() if isinstance(self.start, Decoration) else self.start

    @property
    def composition(self) -> Composition:
        """The structure's composition, without making the structure."""
        return self.start.composition


def count_of(fraction: float, n_cations: int) -> int | None:
    """Return how many of ``n_cations`` make up ``fraction``, or None if no whole number does."""
    count = round(fraction * n_cations)
    return count if abs(count - fraction * n_cations) < 1e-6 and 0 < count < n_cations else None


def rock_salt_supercell(
    symbol: str,
    n_cations: int,
    lattice_parameter_angstrom: float | None = None,
    *,
    quasi_random: bool = False,
) -> Structure:
    """Return rock-salt MO in the cell of `CATION_CELLS` with ``n_cations`` cations.

    Parameters
    ----------
    symbol
        The cation.
    n_cations
        Size of the cell.
    lattice_parameter_angstrom
        Edge of the cube; from ionic radii when not given.
    quasi_random
        Take the cell of `QUASI_RANDOM_CELLS` instead.

    Raises
    ------
    RocksaltError
        When no cell of that size is tabulated.
    """
    if n_cations not in CATION_CELLS:
        raise RocksaltError(f"no cell with {n_cations} cations: choose from {sorted(CATION_CELLS)}")
    cell = rock_salt(symbol, lattice_parameter_angstrom)
    cells = QUASI_RANDOM_CELLS if quasi_random else CATION_CELLS
    return cell.make_supercell(cells[n_cations], in_place=False)


@cache
def _cation_sublattice(n_cations: int, *, quasi_random: bool = False) -> Structure:
    """Return the undecorated cation sublattice in the order of `rock_salt_supercell`'s cations."""
    cell = rock_salt_supercell("Mg", n_cations, 4.2, quasi_random=quasi_random)
    cell.remove_species(["O"])
    return cell


@cache
def _permutations(n_cations: int) -> NDArray[np.int64]:
    return site_permutations(_cation_sublattice(n_cations), range(n_cations))


@cache
def _shells(n_cations: int) -> NDArray[np.float64]:
    return pair_shells(_cation_sublattice(n_cations, quasi_random=True))


def arrangements(
    dopant: str,
    host: str,
    fraction: float,
    *,
    enumerated_cations: int = 8,
    sqs_cations: int = 16,
    max_orderings: int | None = None,
    seed: int = 0,
) -> list[Arrangement]:
    """Return the arrangements of M_x H_(1-x) O that a screen computes.

    Dopant x in host and host 1-x in dopant give the same structures.

    Parameters
    ----------
    dopant, host
        The two cations.
    fraction
        Share x of the dopant among the cations.
    enumerated_cations
        Size of the cell in which symmetry-distinct arrangements are listed; 0 for none.
    sqs_cations
        Size of the quasi-random cell; 0 for none.
    max_orderings
        Keep this many enumerated arrangements, the most numerous first. All when None.
    seed
        Seed of the quasi-random search.

    Raises
    ------
    RocksaltError
        When neither cell can hold the fraction.
    """
    if dopant == host:
        raise RocksaltError(f"dopant and host are both {host}: that is {host}O, not a mixture")
    if not 0 < fraction < 1:
        raise RocksaltError(f"fraction {fraction:g} is outside (0, 1)")
    first, second = sorted((dopant, host))
    share = fraction if first == dopant else 1 - fraction
    patterns = _patterns(
        count_of(share, enumerated_cations) if enumerated_cations else None,
        enumerated_cations,
        count_of(share, sqs_cations) if sqs_cations else None,
        sqs_cations,
        max_orderings,
        seed,
    )
    if not patterns:
        sizes = " or ".join(str(n) for n in (enumerated_cations, sqs_cations) if n)
        raise RocksaltError(
            f"fraction {fraction:g} does not fit in cells of {sizes or 'no'} cations: the nearest "
            f"that does is {_nearest_fraction(fraction, enumerated_cations, sqs_cations)}"
        )
    a = share * rock_salt_lattice_parameter_angstrom(first) + (
        1 - share
    ) * rock_salt_lattice_parameter_angstrom(second)  # Vegard's law
    return [
        Arrangement(
            Decoration(pattern, first, second, a),
            pattern.kind,
            pattern.name,
            pattern.multiplicity,
            digest([pattern.fingerprint, first, second, round(a, 6)]),
        )
        for pattern in patterns
    ]


@cache
def _patterns(
    enumerated_count: int | None,
    enumerated_cations: int,
    sqs_count: int | None,
    sqs_cations: int,
    max_orderings: int | None,
    seed: int,
) -> tuple[Pattern, ...]:
    """Return the patterns with these numbers of the first cation, equal ones merged."""
    found: dict[str, Pattern] = {}
    if enumerated_count is not None:
        merged: dict[str, tuple[Structure, int]] = {}
        for ordering in distinct_orderings(_permutations(enumerated_cations), enumerated_count):
            structure = _decorated(enumerated_cations, ordering.sites)
            fingerprint = structure_fingerprint(structure)
            # A low-symmetry cell can hold one crystal in several orientations.
            first, before = merged.get(fingerprint, (structure, 0))
            merged[fingerprint] = (first, before + ordering.multiplicity)
        most_numerous = sorted(merged.items(), key=lambda item: (-item[1][1], item[0]))
        for number, (fingerprint, (structure, multiplicity)) in enumerate(
            most_numerous[:max_orderings], start=1
        ):
            name = f"enumerated {number} of {len(merged)}"
            found[fingerprint] = Pattern(structure, "enumerated", name, multiplicity, fingerprint)
    if sqs_count is not None:
        # The minority is placed, so that x and 1-x share one pattern of sites.
        minority = min(sqs_count, sqs_cations - sqs_count)
        sites = quasi_random(_shells(sqs_cations), minority, seed).sites
        if minority != sqs_count:
            sites = tuple(i for i in range(sqs_cations) if i not in sites)
        structure = _decorated(sqs_cations, sites, quasi_random=True)
        fingerprint = structure_fingerprint(structure)
        # Should it be one of the enumerated ones, it is computed once and serves as both.
        same = found.get(fingerprint)
        found[fingerprint] = Pattern(
            structure,
            "sqs",
            f"{same.name}, sqs" if same else "sqs",
            same.multiplicity if same else None,
            fingerprint,
        )
    return tuple(found.values())


def _nearest_fraction(fraction: float, *sizes: int) -> str:
    possible = {k / n for n in sizes if n for k in range(1, n)}
    return f"{min(possible, key=lambda x: (abs(x - fraction), x)):g}" if possible else "none"


def _decorated(n_cations: int, sites: tuple[int, ...], *, quasi_random: bool = False) -> Structure:
    """Put the first stand-in on ``sites`` and the second on the rest, and take the smallest cell."""
    cell = rock_salt_supercell(
        _SECOND, n_cations, _PATTERN_EDGE_ANGSTROM, quasi_random=quasi_random
    )
    cations = [i for i, site in enumerate(cell) if site.specie.symbol != "O"]
    for site in sites:
        cell.replace(cations[site], _FIRST)
    return cell.get_primitive_structure(tolerance=0.01).get_sorted_structure()
