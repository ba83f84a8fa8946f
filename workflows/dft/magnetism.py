"""Initial magnetic moments: what a self-consistent calculation starts with, by magnetic order."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from rocksalt.workflows.dft.settings import DftSettings

MAGNETIC_MU_B = 1.0
"""Ions with a smaller start moment take no part in an antiferromagnetic order."""

MANY_SIGNS = 12
"""Up to this number of magnetic sites all patterns of signs are tried."""

SHELL_WIDTH_ANGSTROM = 0.1
"""Neighbours within this of the nearest belong to the same shell."""

BONDED_ANGSTROM = 2.75
"""A cation that near to an oxygen is bonded to it: 2.2 in MnO, 2.6 in EuO; the next shell begins at 3.4."""

STRAIGHT_DEGREES = 150.0
"""Two cations that an oxygen joins at more than this are coupled by superexchange through it."""

STRAIGHT_WEIGHT = 100.0
"""Of a pair that an oxygen joins straight, beside a pair of nearest neighbours: these decide only what
those leave open. NiO has -19 meV against +1.4 (Hutchings and Samuelsen, Phys. Rev. B 6, 3447)."""

MANY_STARTS = 16
"""Propagation vectors from which the search for signs sets out in a large cell."""

COLLAPSED_MU_B = 0.1
"""A largest site moment below this is no spin."""

O2_MU_B = 1.0
"""Start moment of each atom of a molecule O2, which has two unpaired electrons."""

O2_TOLERANCE_MU_B = 0.1
"""A molecule O2 whose moment is that far from two is not the triplet."""

MAGNETIC_METALS = frozenset({"Cr", "Mn", "Fe", "Co", "Ni", "Gd", "Tb", "Dy", "Ho", "Er", "Tm"})
"""Elements whose metal orders magnetically; the other metals start without moments."""

FACE_CENTRED_LAYERS = ((-1, 1, 0), (0, 0, 1), (1, 1, -1))
BODY_CENTRED_CUBE = ((0, 1, 1), (1, 0, 1), (1, 1, 0))
"""Two-atom cells of the fcc (L1_0) and bcc (B2) cells of `rocksalt.screening.prototypes`."""

BALANCED_SHARE = 0.1
"""Moments whose sum is below this share of their sizes' sum cancel."""

INDUCED_SHARE = 0.1
"""A cation's moment below this share of the largest is induced by the others and says no order."""

SPIN_IONS = frozenset({"Cr", "Mn", "Fe", "Co", "Ni"})
"""Whose monoxides have local moments: there a state without spin is most likely a failed start."""

MONOVALENT = frozenset({"H", "Li", "Na", "K", "Rb", "Cs", "Ag"})
"""Beside these the other cations of an oxide MO hold more charge than 2+."""


def magnetic_starts(structure: Structure, settings: DftSettings) -> dict[str, Structure]:
    """Return the structures to compute, with a start moment on every site.

    Parameters
    ----------
    structure
        Not changed.
    settings
        Its `magnetic_order` and moments.

    Returns
    -------
    dict
        By order, 'nonmagnetic', 'ferromagnetic' or 'antiferromagnetic', in the order in which they
        are to be computed; the site property "magmom" holds the moments, mu_B. 'lowest' gives
        the ferromagnetic and the antiferromagnetic start. The antiferromagnetic cell of a rock
        salt has four atoms, that of an fcc or bcc metal two. In other cells ions that an oxygen joins
        straight are opposite, and nearest neighbours decide the rest. A cell on which signs cannot alternate
        (fewer than two ions with a moment of `MAGNETIC_MU_B`) has the ferromagnetic start in its
        place; moments that are all zero are 'nonmagnetic'.

    Notes
    -----
    O2 starts as the triplet that it is, whatever the settings. A metal that is not one of
    `MAGNETIC_METALS` starts without moments, unless `initial_moments_mu_b` names it.
    """
    aligned = _with_moments(structure, settings, [1] * len(structure))
    if structure.symbol_set == ("O",):
        return {"ferromagnetic": aligned}
    if not any(aligned.site_properties["magmom"]):
        return {"nonmagnetic": aligned}
    alternating = None
    if settings.magnetic_order in {"antiferromagnetic", "lowest"}:
        alternating = _alternating(structure, settings)
    if alternating is None:
        return {"ferromagnetic": aligned}
    if settings.magnetic_order == "antiferromagnetic":
        return {"antiferromagnetic": alternating}
    return {"ferromagnetic": aligned, "antiferromagnetic": alternating}


def is_rock_salt(structure: Structure) -> bool:
    """Whether a cell is the primitive one of rock salt MO: two atoms, Fm-3m, of any shape."""
    if len(structure) != 2 or {s.specie.symbol for s in structure} == {"O"}:
        return False
    if structure[0].specie == structure[1].specie or "O" not in structure.symbol_set:
        return False
    a = (4 * structure.volume) ** (1 / 3)
    lattice = Lattice([[0, a / 2, a / 2], [a / 2, 0, a / 2], [a / 2, a / 2, 0]])
    positions: list[list[float]] = [[0, 0, 0], [0.5, 0.5, 0.5]]
    ideal = Structure(lattice, [s.specie for s in structure], positions)
    return bool(StructureMatcher(ltol=0.02, stol=0.02, angle_tol=1).fit(structure, ideal))


def antiferromagnetic_rock_salt(structure: Structure) -> Structure:
    """Return the four-atom cell of AFM-II, whose (111) planes of cations alternate.

    Parameters
    ----------
    structure
        The two-atom cell of a rock salt (`is_rock_salt`).

    Returns
    -------
    Structure
        Cation, cation, anion, anion, at the same volume per atom.

    Notes
    -----
    W. L. Roth, Phys. Rev. 110, 1333 (1958).
    """
    cation, anion = sorted((s.specie for s in structure), key=lambda e: e.symbol == "O")
    half = (4 * structure.volume) ** (1 / 3) / 2
    # Rows are sums of two fcc vectors; the determinant is twice that of the primitive cell.
    # A reduced cell: that with three equal vectors has angles of 34 degrees.
    lattice = Lattice(half * np.array([[1, -1, 0], [1, 0, -1], [2, 1, 1]]))
    positions: list[list[float]] = [
        [0, 0, 0],
        [0.5, 0.5, 0.5],
        [0.25, 0.25, 0.25],
        [0.75, 0.75, 0.75],
    ]
    return Structure(lattice, [cation, cation, anion, anion], positions)


def order_of(moments: ArrayLike, symbols: Sequence[str]) -> str:
    """Return the name of the state that site moments show, not that of its start.

    Parameters
    ----------
    moments
        Of each site, mu_B.
    symbols
        Of each site.

    Returns
    -------
    str
        'nonmagnetic', where none reaches `COLLAPSED_MU_B`; 'antiferromagnetic', where their sum is
        below `BALANCED_SHARE` of their sizes; 'ferrimagnetic', where cations of both signs are
        left that are not induced (`signs_of`); otherwise 'ferromagnetic'.
    """
    found = np.asarray(moments, dtype=float)
    if np.abs(found).max(initial=0.0) < COLLAPSED_MU_B:
        return "nonmagnetic"
    if abs(found.sum()) < BALANCED_SHARE * np.abs(found).sum():
        return "antiferromagnetic"
    return "ferrimagnetic" if {1, -1} <= set(signs_of(found, symbols)) else "ferromagnetic"


def signs_of(moments: ArrayLike, symbols: Sequence[str]) -> list[int]:
    """Return +1 or -1 for each site whose moment says the order, 0 for the others.

    Oxygen does not say it, where there are cations, nor do moments below `COLLAPSED_MU_B` or below
    `INDUCED_SHARE` of the largest: the spins around them induce those.
    """
    found = np.asarray(moments, dtype=float)
    cations = np.array([s != "O" for s in symbols], dtype=bool)
    if not cations.any():
        cations[:] = True
    own = np.where(cations, found, 0.0)
    least = max(COLLAPSED_MU_B, INDUCED_SHARE * np.abs(own).max(initial=0.0))
    return [int(np.sign(m)) if abs(m) >= least else 0 for m in own]


def are_same_state(signs: Sequence[int], others: Sequence[int]) -> bool:
    """Whether two states of one crystal have one order, from `signs_of` of both.

    Parameters
    ----------
    signs, others
        Of the sites in the same sequence, or of cells of different size. Up and down may be
        exchanged as a whole. In cells of different size states are the same where each is
        nonmagnetic, or where each has one sign throughout.
    """
    if len(signs) == len(others):
        return list(others) in (list(signs), [-sign for sign in signs])
    each = [{sign for sign in own if sign} for own in (signs, others)]
    return len(each[0]) == len(each[1]) < 2


def molecule_warning(total_moment_mu_b: float | None) -> str | None:
    """Return what is wrong with the moment of a molecule O2, which is a triplet, or None."""
    wanted = 2 * O2_MU_B
    if total_moment_mu_b is None or abs(abs(total_moment_mu_b) - wanted) < O2_TOLERANCE_MU_B:
        return None
    return f"the molecule has {total_moment_mu_b:g} mu_B, not {wanted:g}: it is not the triplet"


def spin_warning(
    structure: Structure, starts: Sequence[float], moments: Sequence[float]
) -> str | None:
    """Return what is suspicious about the moments that came out, or None.

    Parameters
    ----------
    structure
        The relaxed oxide; an element or a molecule may lose its spin.
    starts, moments
        Of each site, mu_B, before and after.

    Notes
    -----
    Moments that turned over are told of any oxide, those that were lost of monoxides of `SPIN_IONS`
    and their mixtures alone: their 2+ ions are high spin, as the start is. In layered oxides ions of
    a higher charge keep less, low-spin Co3+ nothing at all.
    """
    symbols = [site.specie.symbol for site in structure]
    spins = [i for i, s in enumerate(symbols) if s in SPIN_IONS and abs(starts[i]) > COLLAPSED_MU_B]
    if "O" not in symbols or not spins:
        return None
    high_spin = _is_monoxide(symbols)
    if high_spin and max(abs(moments[i]) for i in spins) < COLLAPSED_MU_B:
        lost = ", ".join(sorted({symbols[i] for i in spins}))
        return (
            f"the spin collapsed: no moment is left on {lost}; try other initial_moments_mu_b "
            "or a magnetic_order"
        )
    left = [i for i in spins if abs(moments[i]) >= COLLAPSED_MU_B]
    turned = sorted({symbols[i] for i in left if starts[i] * moments[i] < 0})
    found = []
    # All turned is the same order, with up and down exchanged.
    if turned and any(starts[i] * moments[i] > 0 for i in left):
        found.append(
            f"moments turned over, so the order is not that of the start: {', '.join(turned)}"
        )
    halved = {
        symbols[i]: (starts[i], moments[i]) for i in spins if abs(moments[i]) < abs(starts[i]) / 2
    }
    if high_spin and halved:
        said = ", ".join(
            f"{s} {abs(now):.2f} (start {abs(before):.2f})"
            for s, (before, now) in sorted(halved.items())
        )
        found.append(f"moments fell below half of their start, mu_B: {said}")
    return "; ".join(found) or None


def _is_monoxide(symbols: Sequence[str]) -> bool:
    """Whether an oxide is MO with a mean charge of 2+ on each of its cations."""
    return 2 * symbols.count("O") == len(symbols) and not MONOVALENT & set(symbols)


def _with_moments(structure: Structure, settings: DftSettings, signs: Sequence[int]) -> Structure:
    own = structure.copy()
    sizes = _sizes(structure, settings)
    moments = [float(sign * size) for sign, size in zip(signs, sizes, strict=True)]
    own.add_site_property("magmom", moments)
    return own


def _sizes(structure: Structure, settings: DftSettings) -> list[float]:
    """Return the start moment of each site without its sign, mu_B."""
    symbols = [site.specie.symbol for site in structure]
    if set(symbols) == {"O"}:
        return [O2_MU_B] * len(symbols)
    with_moments = set(symbols)
    if "O" not in symbols:
        with_moments = {
            s for s in symbols if s in MAGNETIC_METALS | set(settings.initial_moments_mu_b)
        }
    return [settings.moment_mu_b(s) if s in with_moments else 0.0 for s in symbols]


def _alternating(structure: Structure, settings: DftSettings) -> Structure | None:
    """Return the antiferromagnetic start, or None where signs cannot alternate."""
    if is_rock_salt(structure):
        structure = antiferromagnetic_rock_salt(structure)
    elif len(structure) == 1:
        structure = _two_atom_cell(structure)
    sizes = _sizes(structure, settings)
    magnetic = [i for i, size in enumerate(sizes) if abs(size) >= MAGNETIC_MU_B]
    if len(magnetic) < 2:
        return None
    bonds = _bonds(structure, magnetic)
    waves = _waves(structure, magnetic) if bonds.max() >= STRAIGHT_WEIGHT else []
    signs = [1] * len(structure)
    for i, sign in zip(magnetic, _signs(bonds, waves), strict=True):
        signs[i] = sign
    return _with_moments(structure, settings, signs)


def _two_atom_cell(structure: Structure) -> Structure:
    """Return the cell in which the moments of a one-atom fcc or bcc cell can alternate, or the same."""
    angles = structure.lattice.angles
    if np.ptp(structure.lattice.lengths) < 1e-3 and np.ptp(angles) < 1e-3:
        if abs(angles[0] - 60) < 0.1:
            return structure.make_supercell(FACE_CENTRED_LAYERS, in_place=False)
        if abs(angles[0] - np.degrees(np.arccos(-1 / 3))) < 0.1:
            return structure.make_supercell(BODY_CENTRED_CUBE, in_place=False)
    return structure


def _bonds(structure: Structure, sites: Sequence[int]) -> np.ndarray:
    """Return how strongly each pair of sites wants to be opposite, (n, n), symmetric.

    Each site counts its own nearest shell, periodic images too, and `STRAIGHT_WEIGHT` for each
    oxygen that joins it to another in a straight line: superexchange at 180 degrees is
    antiferromagnetic and far stronger than that at 90.

    Notes
    -----
    J. B. Goodenough, Phys. Rev. 100, 564 (1955); J. Kanamori, J. Phys. Chem. Solids 10, 87 (1959).
    """
    n = len(sites)
    place = {j: column for column, j in enumerate(sites)}
    bonds = np.zeros((n, n))
    for row, i in enumerate(sites):
        distances = [
            (structure[i].distance_and_image(structure[j])[0], column)
            for column, j in enumerate(sites)
            if j != i
        ]
        # A site's own images bind it to itself, whatever the signs: they do not count.
        reach = min(d for d, _ in distances) + SHELL_WIDTH_ANGSTROM
        for neighbour in structure.get_neighbors(structure[i], reach):
            column = place.get(neighbour.index)
            if column is not None and column != row:
                bonds[row, column] += 1
    bonds = (bonds + bonds.T) / 2
    for row, column in _straight_pairs(structure, place):
        bonds[row, column] += STRAIGHT_WEIGHT
        bonds[column, row] += STRAIGHT_WEIGHT
    return bonds


def _straight_pairs(structure: Structure, place: Mapping[int, int]) -> list[tuple[int, int]]:
    """Return the pairs of different sites that an oxygen joins straight, by their places."""
    found = []
    largest = np.cos(np.radians(STRAIGHT_DEGREES))
    for oxygen in structure:
        if oxygen.specie.symbol != "O":
            continue
        bonded = [
            (place[n.index], (n.coords - oxygen.coords) / n.nn_distance)
            for n in structure.get_neighbors(oxygen, BONDED_ANGSTROM)
            if n.index in place
        ]
        found += [
            (one, other)
            for (one, there), (other, away) in itertools.combinations(bonded, 2)
            if one != other and there @ away < largest
        ]
    return found


def _signs(bonds: np.ndarray, starts: Sequence[Sequence[int]]) -> list[int]:
    """Return signs with the sum over bonds of s_i s_j lowest, then the net sum; the first is +1.

    Parameters
    ----------
    bonds
        Symmetric (n, n).
    starts
        Patterns to begin with. Of several that are equally low the first of these is taken.
    """
    n = len(bonds)

    def cost(signs: Iterable[int]) -> tuple[float, int]:
        s = np.array(list(signs))
        return round(float(s @ bonds @ s), 6), abs(int(s.sum()))

    if n <= MANY_SIGNS:
        patterns = [(1, *others) for others in itertools.product((1, -1), repeat=n - 1)]
        return list(min([*starts, *patterns], key=cost))
    chosen = sorted(starts, key=cost)[:MANY_STARTS]
    improved = [_improved(start, cost) for start in [*chosen, [(-1) ** i for i in range(n)]]]
    return min(improved, key=cost)


def _improved(
    start: Sequence[int], cost: Callable[[Iterable[int]], tuple[float, int]]
) -> list[int]:
    """Return signs from flips of one or two sites, until none lowers the cost."""
    n = len(start)
    signs, best = list(start), cost(start)
    improved = True
    while improved:
        improved = False
        for flip in itertools.chain(
            ((i,) for i in range(1, n)), itertools.combinations(range(1, n), 2)
        ):
            tried = list(signs)
            for i in flip:
                tried[i] = -tried[i]
            found = cost(tuple(tried))
            if found < best:
                signs, best, improved = tried, found, True
    return signs


def _waves(structure: Structure, sites: Sequence[int]) -> list[tuple[int, ...]]:
    """Return the signs of each propagation vector that fits the cell, the first site +1.

    AFM-II is the one along [111]; more than one vector at a time costs a rock salt nothing as long as only
    pairs count, and nature takes one.
    """
    places = structure.frac_coords[list(sites)]
    places = places - places[0]
    vectors = itertools.product(range(-2, 3), repeat=3)
    found = [tuple(np.where(np.cos(2 * np.pi * places @ v) < -1e-3, -1, 1)) for v in vectors]
    return [signs for signs in dict.fromkeys(found) if -1 in signs]
