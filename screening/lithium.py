"""The lithium-rich layered oxide Li2MO3 and what becomes of it: less lithium, other cations.

Cells of Li2MO3, the lithium-deficient series that puts more metal into the metal layer, single
dopants, delithiation, straight Li-O-Li triplets, and the disordered rock salt with lithium.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from pymatgen.analysis.ewald import EwaldSummation
from pymatgen.core import Element, Lattice, Structure
from scipy.optimize import linear_sum_assignment

from rocksalt.screening.elements import O2_RADIUS_ANGSTROM, rock_salt_lattice_parameter_angstrom
from rocksalt.screening.enumeration import distinct_orderings, site_permutations
from rocksalt.screening.errors import RocksaltError
from rocksalt.screening.identity import structure_fingerprint
from rocksalt.screening.mixtures import QUASI_RANDOM_CELLS, Arrangement, rock_salt_supercell
from rocksalt.screening.sqs import N_TRIES, pair_shells
from rocksalt.screening.vacancies import distinct_sites

LAYERED_CELLS: dict[int, tuple[tuple[float, float, float], ...]] = {
    1: ((0.5, -0.5, 0), (0.5, 0.5, 0), (0, 0, 1)),
    2: ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    4: ((1, 0, 0), (0, 1, 0), (0, 0, 2)),
    8: ((1, -1, 0), (1, 1, 0), (0, 0, 2)),
}
"""Supercells of conventional Li2MO3 by the number of Li in their metal layers: rows are the new
vectors in terms of the conventional ones, the first two in the plane of the layers.

12 atoms: the primitive cell. 24 atoms: one layer. 48 atoms: two layers. 96 atoms: two layers of four; of all cells of that size
whose layers lie in the a-b plane it is the most isotropic (edges 9.86, 9.86 and 10.06 angstrom in
Li2MnO3), and it keeps the crystal's rotations.
"""

LITHIUM_RADIUS_ANGSTROM = 0.76
"""Radius of six-fold Li(+); Shannon, Acta Cryst. A 32, 751 (1976)."""

LAYER_TOLERANCE_ANGSTROM = 0.8
"""Cations this near to a metal's height are in its layer; layers are about 2.4 angstrom apart."""

NEIGHBOUR_CUTOFF_ANGSTROM = 2.9
"""Between the first (2.2) and the second shell of cations (3.5) around oxygen in a rock salt."""

N_CATION_NEIGHBOURS = 6
ANGLE_TOLERANCE_DEGREES = 30.0
"""From 180: in a rock salt the angles are near 90 and near 180, with nothing in between."""

_UNPAIRED = -0.5
"""Cosine above which two neighbours of an oxygen are rather two ends of nothing than one axis."""

_DECIMALS_EV = 6
_DECIMALS_MISMATCH = 12


@cache
def _radius_4_angstrom(symbol: str) -> float:
    """Return the six-fold ionic radius of M(4+); high spin where there is a choice."""
    charges = Element(symbol).data.get("Shannon radii") or {}
    spins = charges.get("4", {}).get("VI", {})
    if not spins:
        raise RocksaltError(
            f"{symbol} has no tabulated radius as M(4+) in an octahedron: Li2{symbol}O3 cannot be "
            "the host"
        )
    entry = spins.get("High Spin") or spins.get("") or next(iter(spins.values()))
    return float(entry["ionic_radius"])


def layered_cell(host: str, n_layer_lithium: int = 8) -> Structure:
    """Return Li2MO3 (C2/m, the structure of Li2MnO3) with its layers in the a-b plane.

    Parameters
    ----------
    host
        The metal M. Lengths are those of Li2MnO3 times the ratio of the mean cation-oxygen
        distances of the ionic radii, to be relaxed.
    n_layer_lithium
        Number of Li in the metal layers: 1, 2, 4 or 8, for 12, 24, 48 or 96 atoms.

    Raises
    ------
    RocksaltError
        When no cell of that size is tabulated, or M has no radius as M(4+).

    Notes
    -----
    Li2MnO3: Strobel and Lambert-Andron, J. Solid State Chem. 75, 90 (1988). Li on 2b, 2c and 4h, Mn
    on 4g, O on 4i and 8j; 2b is the lithium in the metal layer. Radii: Shannon, Acta Cryst. A 32,
    751 (1976).
    """
    if n_layer_lithium not in LAYERED_CELLS:
        raise RocksaltError(
            f"no cell of Li2{host}O3 with {n_layer_lithium} Li in the metal layers: choose from "
            f"{sorted(LAYERED_CELLS)}"
        )
    scale = _mean_bond_angstrom(host) / _mean_bond_angstrom("Mn")
    cell = Structure.from_spacegroup(
        "C2/m",
        Lattice.monoclinic(4.937 * scale, 8.532 * scale, 5.030 * scale, 109.46),
        ["Li", "Li", "Li", host, "O", "O"],
        [
            [0.0, 0.5, 0.0],
            [0.0, 0.0, 0.5],
            [0.0, 0.6606, 0.5],
            [0.0, 0.1671, 0.0],
            [0.2189, 0.0, 0.2273],
            [0.2540, 0.3214, 0.2233],
        ],
    )
    vectors = LAYERED_CELLS[n_layer_lithium]
    if n_layer_lithium > 1:
        return cell.make_supercell(vectors, in_place=False)
    lattice = Lattice(np.array(vectors) @ cell.lattice.matrix)
    twice = Structure(
        lattice, cell.species, cell.cart_coords, to_unit_cell=True, coords_are_cartesian=True
    )
    return twice.merge_sites(tol=0.01, mode="delete")  # the centring made two of each


def _mean_bond_angstrom(host: str) -> float:
    """Return the mean cation-oxygen distance of Li2MO3 from ionic radii."""
    radius = (2 * LITHIUM_RADIUS_ANGSTROM + _radius_4_angstrom(host)) / 3
    return radius + O2_RADIUS_ANGSTROM


def layer_lithium(structure: Structure) -> list[int]:
    """Return the positions of the Li that lies in the metal layers.

    A lithium is in a metal layer when a metal (any cation but Li) has its height above the a-b
    plane to `LAYER_TOLERANCE_ANGSTROM`. Site order, origin and orientation do not enter.

    Parameters
    ----------
    structure
        A layered oxide with its layers in the plane of the first two vectors.

    Raises
    ------
    RocksaltError
        When there is no metal, or metal at the height of every lithium: then that plane is not the
        layers'.
    """
    a, b, c = structure.lattice.matrix
    normal = np.cross(a, b)
    normal /= np.linalg.norm(normal)
    period = float(c @ normal)
    heights = structure.cart_coords @ normal
    symbols = np.array([site.specie.symbol for site in structure])
    lithium = np.flatnonzero(symbols == "Li")
    metals = ~np.isin(symbols, ["Li", "O"])
    if not metals.any():
        raise RocksaltError(f"{structure.formula} has no metal layer: it holds no metal but Li")
    gaps = heights[lithium][:, None] - heights[metals][None, :]
    gaps = np.abs(gaps - period * np.round(gaps / period)).min(axis=1)
    in_layer = gaps < LAYER_TOLERANCE_ANGSTROM
    if len(lithium) and in_layer.all():
        raise RocksaltError(
            f"{structure.formula} has metal at the height of every Li: its layers must lie in the "
            "plane of the first two vectors, with Li layers between"
        )
    return [int(i) for i in lithium[in_layer]]


@dataclass(frozen=True)
class SeriesMember:
    """One arrangement of one composition of the lithium-deficient series.

    Attributes
    ----------
    n_replaced
        How many Li of the metal layers are replaced.
    structure
        The cell, its sites in the order of `layered_cell`.
    multiplicity
        Number of equivalent arrangements in the cell.
    name
        Formula of the cell and which arrangement, for example 'Li28Mn20O48 2 of 9'. Numbers run
        from the most numerous.
    lithium_per_oxygen
        Lithium content, 2/3 in Li2MO3.
    """

    n_replaced: int
    structure: Structure
    multiplicity: int
    name: str
    lithium_per_oxygen: float


def series(
    host: str,
    n_layer_lithium: int = 8,
    layer_cation: str | None = None,
    max_arrangements: int | None = None,
) -> list[SeriesMember]:
    """Return Li2MO3 with 0, 1, ... all of the Li in its metal layers replaced.

    In the cell of 96 atoms these are Li(32-n)M(16+n)O48. Oxygen and the number of atoms stay.

    Parameters
    ----------
    host
        The metal M of Li2MO3.
    n_layer_lithium
        Size of the cell, as in `layered_cell`.
    layer_cation
        What replaces the lithium; the host when None.
    max_arrangements
        Keep this many arrangements per composition, the most numerous first. All when None.

    Returns
    -------
    list of SeriesMember
        By number of replaced Li, then from the most numerous. Without a limit the multiplicities of
        one composition sum to the binomial coefficient (n_layer_lithium, n_replaced).

    Raises
    ------
    RocksaltError
        As `layered_cell` does, or when Li or O is to replace Li.

    Notes
    -----
    Sun et al., Energy Environ. Sci. 18, 4335 (2025), for n = 2 to 7 and M = Mn.
    """
    cation = layer_cation or host
    if cation in {"Li", "O"}:
        raise RocksaltError(f"{cation} cannot replace the Li of the metal layer: give a metal")
    pristine = layered_cell(host, n_layer_lithium)
    sites = layer_lithium(pristine)
    permutations = site_permutations(pristine, sites)
    members = []
    for n_replaced in range(n_layer_lithium + 1):
        orderings = distinct_orderings(permutations, n_replaced)
        most_numerous = sorted(orderings, key=lambda o: (-o.multiplicity, o.sites))
        for number, ordering in enumerate(most_numerous[:max_arrangements], start=1):
            structure = pristine.copy()
            for position in ordering.sites:
                structure.replace(sites[position], cation)
            formula = _formula(structure, ("Li", host, cation, "O"))
            amounts = structure.composition
            members.append(
                SeriesMember(
                    n_replaced,
                    structure,
                    ordering.multiplicity,
                    f"{formula} {number} of {len(orderings)}",
                    float(amounts["Li"] / amounts["O"]),
                )
            )
    return members


def _formula(structure: Structure, order: Sequence[str]) -> str:
    """Return the formula of the cell with its elements in the given order."""
    amounts = structure.composition
    present = (symbol for symbol in dict.fromkeys(order) if amounts[symbol] > 0)
    return "".join(f"{symbol}{round(amounts[symbol])}" for symbol in present)


def doped(structure: Structure, dopant: str, host: str, site: int | None = None) -> Structure:
    """Return a copy of the cell with one host metal replaced by a dopant.

    Parameters
    ----------
    structure
        Left as it is.
    dopant, host
        What comes and what goes.
    site
        Position of the host atom; the first one when None. Those that symmetry does not make the
        same are `rocksalt.screening.vacancies.distinct_sites`.

    Raises
    ------
    RocksaltError
        When dopant and host are the same, or there is no host atom at that position.
    """
    if dopant == host:
        raise RocksaltError(f"dopant and host are both {host}: nothing would be replaced")
    if site is None:
        sites = distinct_sites(structure, host)
        if not sites:
            raise RocksaltError(f"{structure.formula} has no {host} to replace")
        site = sites[0].index
    if not 0 <= site < len(structure) or structure[site].specie.symbol != host:
        raise RocksaltError(f"site {site} of {structure.formula} is not {host}")
    cell = structure.copy()
    cell.replace(site, dopant)
    return cell


def li_o_li_counts(
    structure: Structure, angle_tolerance_degrees: float = ANGLE_TOLERANCE_DEGREES
) -> NDArray[np.int64]:
    """Return the number of straight Li-O-Li triplets through each oxygen.

    Neighbours of an oxygen are its six nearest cations within `NEIGHBOUR_CUTOFF_ANGSTROM`.

    Parameters
    ----------
    structure
        A layered oxide or a rock salt, relaxed or not.
    angle_tolerance_degrees
        How far from 180 degrees the angle at the oxygen may be.

    Returns
    -------
    (n_oxygen,) array
        By oxygen, in the order of the structure.

    Notes
    -----
    Axial Li-O-Li of Sun et al., Energy Environ. Sci. 18, 4335 (2025): they host the O 2p states
    that are oxidised first.
    """
    centres, points, images, distances = structure.get_neighbor_list(NEIGHBOUR_CUTOFF_ANGSTROM)
    vectors = structure.lattice.get_cartesian_coords(
        structure.frac_coords[points] + images - structure.frac_coords[centres]
    )
    symbols = np.array([site.specie.symbol for site in structure])
    is_cation = symbols[points] != "O"
    largest_cosine = np.cos(np.radians(180 - angle_tolerance_degrees))
    counts = []
    for oxygen in np.flatnonzero(symbols == "O"):
        around = np.flatnonzero((centres == oxygen) & is_cation)
        around = around[np.argsort(distances[around], kind="stable")][:N_CATION_NEIGHBOURS]
        lithium = around[symbols[points[around]] == "Li"]
        directions = vectors[lithium] / distances[lithium][:, None]
        cosines = [float(u @ v) for u, v in combinations(directions, 2)]
        counts.append(sum(cosine <= largest_cosine for cosine in cosines))
    return np.array(counts, dtype=np.int64)


def li_o_li_counts_by_axes(structure: Structure) -> NDArray[np.int64]:
    """Return the number of axes with Li at both ends through each oxygen.

    Says the same as `li_o_li_counts` in another way: the six cations around an oxygen are paired to
    three axes such that the directions of the pairs are as opposite as they can be, all at once,
    whatever the elements; a cation without a partner stays alone. No angle is compared with 180.

    Parameters
    ----------
    structure
        A layered oxide or a rock salt, relaxed or not.

    Returns
    -------
    (n_oxygen,) array
        By oxygen, in the order of the structure.
    """
    counts = []
    for site, neighbours in zip(
        structure, structure.get_all_neighbors(NEIGHBOUR_CUTOFF_ANGSTROM), strict=True
    ):
        if site.specie.symbol != "O":
            continue
        cations = [near for near in neighbours if near.specie.symbol != "O"]
        cations = sorted(cations, key=lambda near: near.nn_distance)[:N_CATION_NEIGHBOURS]
        if not cations:
            counts.append(0)
            continue
        directions = np.array([(near.coords - site.coords) / near.nn_distance for near in cations])
        lithium = np.array([near.specie.symbol == "Li" for near in cations])
        cosines = directions @ directions.T
        np.fill_diagonal(cosines, _UNPAIRED)  # the price of leaving a cation alone
        rows, partners = linear_sum_assignment(cosines)
        both = (rows != partners) & (partners[partners] == rows) & lithium & lithium[partners]
        counts.append(int(both.sum()) // 2)
    return np.array(counts, dtype=np.int64)


def delithiated(structure: Structure, n_removed: int) -> Structure:
    """Return a copy of the cell with Li taken out of its Li layers.

    Li1.5MO3 is Li2MO3 less a quarter of its Li. Of the sites in the Li layers (2c and 4h), those
    are emptied whose absence gives the lowest electrostatic energy: chosen one by one, then
    exchanged for as long as that lowers the energy. The same cell gives the same choice.

    Parameters
    ----------
    structure
        A layered oxide with its layers in the plane of the first two vectors.
    n_removed
        How many Li are taken out.

    Raises
    ------
    RocksaltError
        When the Li layers do not hold that many.

    Notes
    -----
    Ewald sum with Li(+), metals at the charge that O(2-) gives them before, and oxygen at the one
    that makes the cell neutral after: what leaves is Li and its electron from oxygen.
    """
    in_layer = set(layer_lithium(structure))
    symbols = [site.specie.symbol for site in structure]
    candidates = [i for i, s in enumerate(symbols) if s == "Li" and i not in in_layer]
    if not 0 <= n_removed <= len(candidates):
        raise RocksaltError(
            f"cannot take {n_removed} Li out of the Li layers of {structure.formula}: they hold "
            f"{len(candidates)}"
        )
    cell = structure.copy()
    if n_removed:
        cell.remove_sites(_lowest_vacancies(structure, candidates, n_removed))
    return cell


def _lowest_vacancies(structure: Structure, candidates: list[int], n_removed: int) -> list[int]:
    """Return the candidates whose removal gives the lowest electrostatic energy."""
    energies_ev = EwaldSummation(_with_charges(structure, n_removed)).total_energy_matrix
    everything = np.ones(len(structure))

    def energy_ev(removed: Sequence[int]) -> float:
        present = everything.copy()
        present[list(removed)] = 0
        return round(float(present @ energies_ev @ present), _DECIMALS_EV)

    removed: list[int] = []
    for _ in range(n_removed):
        rest = [i for i in candidates if i not in removed]
        removed.append(min(rest, key=lambda i: (energy_ev([*removed, i]), i)))
    current = energy_ev(removed)
    while True:
        swaps = [
            sorted({*removed, new} - {old})
            for old in sorted(removed)
            for new in candidates
            if new not in removed
        ]
        best = min(swaps, key=energy_ev, default=removed)
        if energy_ev(best) >= current:
            return sorted(removed)
        removed, current = best, energy_ev(best)


def _with_charges(structure: Structure, n_removed: int) -> Structure:
    amounts = structure.composition
    n_metal = sum(amounts.values()) - amounts["Li"] - amounts["O"]
    metal = (2 * amounts["O"] - amounts["Li"]) / n_metal
    charges = {"Li": 1.0, "O": -2 + n_removed / amounts["O"]}
    cell = structure.copy()
    cell.add_oxidation_state_by_site([charges.get(s.specie.symbol, metal) for s in structure])
    return cell


def lithiated_rock_salt_arrangements(
    dopant: str, host: str, fraction: float, n_cations: int = 16, seed: int = 0
) -> list[Arrangement]:
    """Return M_x (Li0.5 H0.5)_(1-x) O as disordered rock salt in a quasi-random arrangement.

    Parameters
    ----------
    dopant
        The cation M.
    host
        The cation H; there is as much of it as of Li.
    fraction
        Share x of the dopant among the cations; 0 gives the host itself.
    n_cations
        Size of the cell, one of `rocksalt.screening.mixtures.QUASI_RANDOM_CELLS`.
    seed
        Seed of the search; the same gives the same arrangement.

    Raises
    ------
    RocksaltError
        When the cell cannot hold the composition in whole atoms, or two of the cations are the
        same.

    Notes
    -----
    The frequencies of all pairs of cations in the first three shells come as near to those of a
    random alloy as `rocksalt.screening.sqs.N_TRIES` random arrangements and swaps bring them.
    """
    if len({dopant, host, "Li"}) < 3:
        raise RocksaltError(f"dopant {dopant}, host {host} and Li must be three cations")
    if n_cations not in QUASI_RANDOM_CELLS:
        raise RocksaltError(
            f"no cell with {n_cations} cations: choose from {sorted(QUASI_RANDOM_CELLS)}"
        )
    n_dopant = round(fraction * n_cations)
    fits = abs(n_dopant - fraction * n_cations) < 1e-6
    if not fits or not 0 <= n_dopant < n_cations or (n_cations - n_dopant) % 2:
        possible = [k / n_cations for k in range(n_cations - 1) if (n_cations - k) % 2 == 0]
        nearest = sorted(possible, key=lambda x: (abs(x - fraction), x))[:2]
        raise RocksaltError(
            f"fraction {fraction:g} does not fit in a cell of {n_cations} cations with as much Li "
            f"as {host}: the nearest that do are {' and '.join(f'{x:g}' for x in sorted(nearest))}"
        )
    n_each = (n_cations - n_dopant) // 2
    elements = (dopant, "Li", host)
    amounts = (n_dopant, n_each, n_each)
    a = sum(
        n / n_cations * rock_salt_lattice_parameter_angstrom(symbol)
        for symbol, n in zip(elements, amounts, strict=True)
    )  # Vegard's law
    cell = rock_salt_supercell(host, n_cations, a, quasi_random=True)
    cations = [i for i, site in enumerate(cell) if site.specie.symbol != "O"]
    for position, kind in zip(cations, _quasi_random_kinds(n_cations, amounts, seed), strict=True):
        cell.replace(position, elements[kind])
    structure = cell.get_primitive_structure(tolerance=0.01).get_sorted_structure()
    return [Arrangement(structure, "sqs", "sqs", None, structure_fingerprint(structure))]


def _quasi_random_kinds(n_cations: int, amounts: tuple[int, ...], seed: int) -> NDArray[np.int64]:
    """Return which kind of cation each site carries, (n_cations,), pairs as random as can be."""
    sublattice = rock_salt_supercell("Mg", n_cations, 4.2, quasi_random=True)
    sublattice.remove_species(["O"])
    shells = pair_shells(sublattice)
    frequencies = shells / shells.sum(axis=(1, 2), keepdims=True)
    weights = 0.5 ** np.arange(len(shells))  # as in the search with two kinds
    shares = np.array(amounts) / n_cations
    target = np.outer(shares, shares)

    def mismatch(kinds: NDArray[np.int64]) -> NDArray[np.float64]:
        carried = np.eye(len(amounts))[kinds]  # (n_arrangements, n_cations, n_kinds)
        pairs = np.einsum("tia,sij,tjb->tsab", carried, frequencies, carried, optimize=True)
        squares = ((pairs - target) ** 2).sum(axis=(2, 3)) @ weights
        return np.round(squares, _DECIMALS_MISMATCH)

    rng = np.random.default_rng([seed, n_cations, *amounts])
    start = np.repeat(np.arange(len(amounts)), amounts)
    tries = rng.permuted(np.tile(start, (N_TRIES, 1)), axis=1)
    best = tries[int(mismatch(tries).argmin())]
    current = mismatch(best[None])[0]
    while True:
        i, j = np.triu_indices(n_cations, k=1)
        swapped = np.tile(best, (len(i), 1))
        rows = np.arange(len(i))
        swapped[rows, i], swapped[rows, j] = best[j], best[i]
        values = mismatch(swapped)
        if values.min() >= current:
            return best
        best, current = swapped[int(values.argmin())], values.min()
