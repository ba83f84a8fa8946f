"""Initial magnetic moments: what a self-consistent calculation starts with, by magnetic order."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

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

COLLAPSED_MU_B = 0.1
"""A largest site moment below this is no spin."""

O2_MU_B = 1.0
"""Start moment of each atom of a molecule O2, which has two unpaired electrons."""

MAGNETIC_METALS = frozenset({"Cr", "Mn", "Fe", "Co", "Ni", "Gd", "Tb", "Dy", "Ho", "Er", "Tm"})
"""Elements whose metal orders magnetically; the other metals start without moments."""

FACE_CENTRED_LAYERS = ((-1, 1, 0), (0, 0, 1), (1, 1, -1))
BODY_CENTRED_CUBE = ((0, 1, 1), (1, 0, 1), (1, 1, 0))
"""Two-atom cells of the fcc (L1_0) and bcc (B2) cells of `rocksalt.screening.prototypes`."""

BALANCED_SHARE = 0.1
"""Moments whose sum is below this share of their sizes' sum cancel."""

SPIN_IONS = frozenset({"Cr", "Mn", "Fe", "Co", "Ni"})
"""Whose monoxides have local moments: there a state without spin is most likely a failed start."""


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
        salt has four atoms, that of an fcc or bcc metal two. A cell on which signs cannot alternate
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


def order_of(moments: ArrayLike) -> str:
    """Return the name of the state that site moments (mu_B) show, not that of its start."""
    found = np.asarray(moments, dtype=float)
    if np.abs(found).max(initial=0.0) < COLLAPSED_MU_B:
        return "nonmagnetic"
    if abs(found.sum()) < BALANCED_SHARE * np.abs(found).sum():
        return "antiferromagnetic"
    return "ferromagnetic"


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
    """
    symbols = [site.specie.symbol for site in structure]
    spins = [i for i, s in enumerate(symbols) if s in SPIN_IONS and abs(starts[i]) > COLLAPSED_MU_B]
    if "O" not in symbols or not spins:
        return None
    if max(abs(moments[i]) for i in spins) < COLLAPSED_MU_B:
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
    if halved:
        said = ", ".join(
            f"{s} {abs(now):.2f} (start {abs(before):.2f})"
            for s, (before, now) in sorted(halved.items())
        )
        found.append(f"moments fell below half of their start, mu_B: {said}")
    return "; ".join(found) or None


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
    signs = [1] * len(structure)
    for i, sign in zip(magnetic, _signs(_bonds(structure, magnetic)), strict=True):
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
    """Return how many nearest neighbours of each other the sites are, (n, n).

    Each site counts its own nearest shell, periodic images too.
    """
    n = len(sites)
    bonds = np.zeros((n, n))
    for row, i in enumerate(sites):
        distances = [
            (structure[i].distance_and_image(structure[j])[0], column)
            for column, j in enumerate(sites)
            if j != i
        ]
        # A site's own images bind it to itself, whatever the signs: they do not count.
        reach = min(d for d, _ in distances) + SHELL_WIDTH_ANGSTROM
        place = {j: column for column, j in enumerate(sites)}
        for neighbour in structure.get_neighbors(structure[i], reach):
            column = place.get(neighbour.index)
            if column is not None and column != row:
                bonds[row, column] += 1
    return (bonds + bonds.T) / 2


def _signs(bonds: np.ndarray) -> list[int]:
    """Return signs with the sum over bonds of s_i s_j lowest, then the net sum; the first is +1."""
    n = len(bonds)

    def cost(signs: Iterable[int]) -> tuple[float, int]:
        s = np.array(list(signs))
        return round(float(s @ bonds @ s), 6), abs(int(s.sum()))

    if n <= MANY_SIGNS:
        patterns = [(1, *others) for others in itertools.product((1, -1), repeat=n - 1)]
        return list(min(patterns, key=cost))
    signs = [1 if i % 2 == 0 else -1 for i in range(n)]
    best = cost(tuple(signs))
    improved = True
    while improved:  # flips of one or two sites until none lowers the sum
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
