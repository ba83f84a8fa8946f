"""Starting structures: elements in their competing prototypes, O2, and rock-salt MO.

Cells are facts of crystallography (space group, lattice, Wyckoff positions) with their source; they
are relaxed before any energy is used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from ase.data import atomic_numbers, reference_states
from pymatgen.core import Lattice, Structure

from rocksalt.screening.elements import (
    check_cation,
    is_late_row,
    rock_salt_lattice_parameter_angstrom,
)

ROCK_SALT_START_SCALES = (0.97, 1.04)
"""Lattice scales of the two starts of a 4d or 5d rock salt: they can relax to different states."""

ROCK_SALT_SYMMETRY = (225, 2)
"""Number of the space group Fm-3m, and of the atoms in a primitive cell."""

O2_BOND_ANGSTROM = 1.2075
"""Bond length of O2; Huber and Herzberg, Constants of Diatomic Molecules (1979)."""

O2_BOX_ANGSTROM = 12.0


@dataclass(frozen=True)
class Start:
    """A starting structure and the prototype it was made from."""

    structure: Structure
    prototype: str
    relax_cell: bool = True


def _fcc(volume: float) -> tuple[Lattice, list[list[float]]]:
    half = (4 * volume) ** (1 / 3) / 2
    return Lattice([[0, half, half], [half, 0, half], [half, half, 0]]), [[0, 0, 0]]


def _bcc(volume: float) -> tuple[Lattice, list[list[float]]]:
    half = (2 * volume) ** (1 / 3) / 2
    rows = [[-half, half, half], [half, -half, half], [half, half, -half]]
    return Lattice(rows), [[0, 0, 0]]


def _hcp(volume: float, c_over_a: float) -> tuple[Lattice, list[list[float]]]:
    a = (4 * volume / (math.sqrt(3) * c_over_a)) ** (1 / 3)
    return Lattice.hexagonal(a, a * c_over_a), [[1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]]


def _dhcp(volume: float) -> tuple[Lattice, list[list[float]]]:
    c_over_a = 2 * math.sqrt(8 / 3)
    a = (8 * volume / (math.sqrt(3) * c_over_a)) ** (1 / 3)
    layers: list[list[float]] = [[0, 0, 0], [1 / 3, 2 / 3, 0.25], [0, 0, 0.5], [2 / 3, 1 / 3, 0.75]]
    return Lattice.hexagonal(a, a * c_over_a), layers


def _diamond(volume: float) -> tuple[Lattice, list[list[float]]]:
    lattice, _ = _fcc(2 * volume)
    return lattice, [[0, 0, 0], [0.25, 0.25, 0.25]]


def _alpha_manganese(symbol: str) -> Structure:
    """Return alpha-Mn (A12, I-43m, 58 atoms in the cube); Oberteuffer and Ibers, Acta Cryst. B 26, 1499 (1970)."""
    cube = Structure.from_spacegroup(
        "I-43m",
        Lattice.cubic(8.911),
        [symbol] * 4,
        [[0, 0, 0], [0.317, 0.317, 0.317], [0.3566, 0.3566, 0.0347], [0.0896, 0.0896, 0.2822]],
    )
    return cube.get_primitive_structure()


def _alpha_gallium(symbol: str) -> Structure:
    """Return alpha-Ga (A11, Cmce); Sharma and Donohue, Z. Kristallogr. 117, 293 (1962)."""
    cell = Structure.from_spacegroup(
        "Cmce", Lattice.orthorhombic(4.5192, 7.6586, 4.5258), [symbol], [[0, 0.1539, 0.081]]
    )
    return cell.get_primitive_structure()


def _tabulated(symbol: str) -> tuple[Structure, str]:
    """Return the ground state of an element as ASE tabulates it, and its prototype's name."""
    state = reference_states[atomic_numbers[symbol]]
    kind, a = state["symmetry"], state.get("a", 0.0)
    if symbol == "Mn":
        return _alpha_manganese(symbol), "alpha-Mn"
    if symbol == "Ga":
        return _alpha_gallium(symbol), "alpha-Ga"
    if kind == "fcc":
        cell = _fcc(a**3 / 4)
    elif kind == "bcc":
        cell = _bcc(a**3 / 2)
    elif kind == "diamond":
        cell = _diamond(a**3 / 8)
    elif kind == "hcp":
        cell = _hcp(math.sqrt(3) / 4 * a**3 * state["c/a"], state["c/a"])
    elif kind == "bct":
        basis = state.get("basis") or [[0.0, 0.0, 0.0]]
        return _body_centred_tetragonal(symbol, a, a * state["c/a"], len(basis))
    else:  # rhombohedral, with the atoms on the three-fold axis
        lattice = Lattice.rhombohedral(a, state["alpha"])
        cell = lattice, [[x, x, x] for x in np.atleast_1d(state["basis_x"])]
    lattice, positions = cell
    return Structure(lattice, [symbol] * len(positions), positions), kind


def _body_centred_tetragonal(
    symbol: str, a: float, c: float, n_atoms: int
) -> tuple[Structure, str]:
    if n_atoms == 2:  # beta-Sn, A5, I4_1/amd with atoms on 4a
        cell = Structure.from_spacegroup("I4_1/amd", Lattice.tetragonal(a, c), [symbol], [[0] * 3])
        return cell.get_primitive_structure(), "beta-Sn"
    cell = Structure.from_spacegroup("I4/mmm", Lattice.tetragonal(a, c), [symbol], [[0, 0, 0]])
    return cell.get_primitive_structure(), "bct"


def element_starts(symbol: str) -> list[Start]:
    """Return an element in its ground-state prototype and in those that compete with it.

    Close-packed and body-centred cells (and double hcp for rare earths, diamond for group 14) are
    made at the ground state's volume per atom. The lowest after relaxation is the reference.

    Parameters
    ----------
    symbol
        A cation of `rocksalt.screening.elements.known_cations`.

    Raises
    ------
    RocksaltError
        When the element has no reference prototype.

    Notes
    -----
    Lattice parameters: `ase.data.reference_states` (Ashcroft and Mermin), own cells as cited.
    """
    ground, prototype = _tabulated(check_cation(symbol))
    starts = [Start(ground, prototype)]
    volume = ground.volume / len(ground)
    others = {"fcc": _fcc(volume), "bcc": _bcc(volume), "hcp": _hcp(volume, math.sqrt(8 / 3))}
    if symbol in {"La", "Ce", "Pr", "Nd", "Sm"}:
        others["dhcp"] = _dhcp(volume)
    if symbol in {"Si", "Ge", "Sn"}:
        others["diamond"] = _diamond(volume)
    for name, (lattice, positions) in others.items():
        if name != prototype:
            starts.append(Start(Structure(lattice, [symbol] * len(positions), positions), name))
    return starts


def oxygen_starts() -> list[Start]:
    """Return O2 as a crystal and as a molecule in a box.

    The crystal is alpha-O2 (C2/m, molecules on the lattice points, axes along c*). It is the form
    that the potentials' training data hold; the lower of the two is the reference.

    Notes
    -----
    Cell: Meier and Helmholdt, Phys. Rev. B 29, 1387 (1984).
    """
    lattice = Lattice.monoclinic(5.403, 3.429, 5.086, 132.53)
    normal = np.cross(lattice.matrix[0], lattice.matrix[1])
    half_bond = O2_BOND_ANGSTROM / 2 * normal / np.linalg.norm(normal)
    centres = lattice.get_cartesian_coords([[0.0, 0.0, 0.0], [0.5, 0.5, 0.0]])
    positions = [centre + sign * half_bond for centre in centres for sign in (1, -1)]
    crystal = Structure(lattice, ["O"] * 4, positions, coords_are_cartesian=True)
    box = Lattice.orthorhombic(O2_BOX_ANGSTROM, O2_BOX_ANGSTROM + 0.5, O2_BOX_ANGSTROM + 1.0)
    middle = box.get_cartesian_coords([0.5, 0.5, 0.5])
    ends = [middle + np.array([0, 0, z]) for z in (-O2_BOND_ANGSTROM / 2, O2_BOND_ANGSTROM / 2)]
    molecule = Structure(box, ["O", "O"], ends, coords_are_cartesian=True)
    return [
        Start(crystal.get_primitive_structure(), "alpha-O2"),
        Start(molecule, "O2-molecule", relax_cell=False),
    ]


def rock_salt(symbol: str, lattice_parameter_angstrom: float | None = None) -> Structure:
    """Return the two-atom primitive cell of rock-salt MO (Fm-3m, B1).

    Parameters
    ----------
    symbol
        The cation.
    lattice_parameter_angstrom
        Edge of the cube; from ionic radii when not given.
    """
    a = lattice_parameter_angstrom or rock_salt_lattice_parameter_angstrom(symbol)
    lattice = Lattice([[0, a / 2, a / 2], [a / 2, 0, a / 2], [a / 2, a / 2, 0]])
    return Structure(lattice, [symbol, "O"], [[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]])


def rock_salt_starts(symbol: str) -> list[Start]:
    """Return the starts of the end member MO: one cell, or two volumes for a 4d or 5d metal."""
    if not is_late_row(symbol):
        return [Start(rock_salt(symbol), "rock-salt")]
    a = rock_salt_lattice_parameter_angstrom(symbol)
    return [
        Start(rock_salt(symbol, a * scale), f"rock-salt {name}")
        for name, scale in zip(("small", "large"), ROCK_SALT_START_SCALES, strict=True)
    ]
