"""Oxygen vacancies, and the strain and dopants that make them easier or harder.

The formation energy of a vacancy is that of taking one oxygen out of a cell and into O2. Its
lowest value over the cell says how firmly an oxide holds its oxygen.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import spglib
from pydantic import BaseModel, ConfigDict, model_validator
from pymatgen.core import Structure

from rocksalt.screening.errors import RocksaltError, ScaleError
from rocksalt.screening.scales import Energy, EnergyScale, common_scale, mp2020_oxide_correction_ev

SYMMETRY_TOLERANCE_ANGSTROM = 0.05
"""Above what a relaxation to 0.02 eV/angstrom leaves of a rattled start, below any distortion."""

LARGEST_STRAIN = 0.1
"""Beyond, bonds break or atoms overlap: it is no longer the strained crystal."""

DISTANCE_DECIMALS = 3
"""Distances in angstrom that agree to these decimals are taken as equal."""

BOND_SPREAD_ANGSTROM = 0.5
"""Oxygens at most this much farther than the nearest one are bound to a cation too."""

StrainKind = Literal["none", "isotropic", "in-plane", "c-axis"]


@dataclass(frozen=True)
class DistinctSite:
    """One site out of each class of equivalent ones.

    Attributes
    ----------
    index
        Position of the site in the structure, the lowest of its class.
    multiplicity
        Number of equivalent sites in the cell.
    wyckoff
        Multiplicity in the conventional cell and Wyckoff letter, for example '8j'.
    members
        Positions of all of them.
    """

    index: int
    multiplicity: int
    wyckoff: str
    members: tuple[int, ...]


def distinct_sites(
    structure: Structure, symbol: str, *, symprec_angstrom: float = SYMMETRY_TOLERANCE_ANGSTROM
) -> list[DistinctSite]:
    """Return the sites of one element that symmetry does not make the same, by index.

    Parameters
    ----------
    structure
        Any cell of the crystal; the multiplicities are those in it.
    symbol
        The element.
    symprec_angstrom
        Distance within which sites count as mapped onto each other.

    Notes
    -----
    Orbits and letters: spglib (Togo, Shinohara and Tanaka, Science and Technology of Advanced
    Materials: Methods 4, 2384822 (2024)). Letters are those of its standard setting.

    A relaxation can leave a large or soft cell less symmetric than it was. Its sites keep their
    order, so the choice can be made before, on the starting structure.
    """
    cell = (
        structure.lattice.matrix,
        structure.frac_coords,
        [site.specie.Z for site in structure],
    )
    dataset = spglib.get_symmetry_dataset(cell, symprec=symprec_angstrom)
    orbits = dataset.equivalent_atoms.tolist()
    sites = []
    for representative in dict.fromkeys(orbits):
        if structure[representative].specie.symbol != symbol:
            continue
        multiplicity = orbits.count(representative)
        conventional = round(multiplicity * len(dataset.std_types) / len(structure))
        wyckoff = f"{conventional}{dataset.wyckoffs[representative]}"
        members = tuple(i for i, orbit in enumerate(orbits) if orbit == representative)
        sites.append(DistinctSite(members[0], multiplicity, wyckoff, members))
    return sorted(sites, key=lambda site: site.index)


def distinct_oxygens(structure: Structure) -> list[DistinctSite]:
    """Return the oxygens that symmetry does not make the same: the vacancies to compute.

    Raises
    ------
    RocksaltError
        When there is no oxygen.
    """
    sites = distinct_sites(structure, "O")
    if not sites:
        raise RocksaltError(f"{structure.formula} has no oxygen to take out")
    return sites


def without_oxygen(structure: Structure, index: int) -> Structure:
    """Return a copy of the cell with one oxygen taken out.

    Parameters
    ----------
    structure
        Left as it is.
    index
        Position of the oxygen, not negative.

    Raises
    ------
    RocksaltError
        When there is no oxygen at that position.
    """
    oxygens = [i for i, site in enumerate(structure) if site.specie.symbol == "O"]
    if not oxygens:
        raise RocksaltError(f"{structure.formula} has no oxygen to take out")
    if index not in oxygens:
        found = structure[index].specie.symbol if 0 <= index < len(structure) else "nothing"
        raise RocksaltError(
            f"there is {found} at site {index}, not oxygen: choose from "
            f"{oxygens[0]}..{oxygens[-1]} ({len(oxygens)} oxygens)"
        )
    cell = structure.copy()
    cell.remove_sites([index])
    return cell


def strained(structure: Structure, kind: StrainKind, strain: float) -> Structure:
    """Return the cell under a homogeneous strain, fractional coordinates kept.

    Parameters
    ----------
    structure
        A cell whose layers lie in the plane of its first two vectors.
    kind
        'isotropic': all lengths times 1 + strain. 'in-plane': both directions in the plane of the
        first two vectors, the normal kept. 'c-axis': along that normal alone. 'none': a copy.
    strain
        Relative elongation, 0.02 for two percent; negative under pressure.

    Raises
    ------
    RocksaltError
        For a strain above `LARGEST_STRAIN`, a kind that is not known, or a strain of kind 'none'.
    """
    if not abs(strain) <= LARGEST_STRAIN:
        raise RocksaltError(
            f"strain {strain:g} is outside +-{LARGEST_STRAIN:g}: give it as a fraction, "
            "0.02 for two percent"
        )
    a, b, _ = structure.lattice.matrix
    normal = np.cross(a, b)
    normal /= np.linalg.norm(normal)
    along_normal, in_plane = np.outer(normal, normal), np.eye(3) - np.outer(normal, normal)
    if kind == "isotropic":
        deformation = (1 + strain) * np.eye(3)
    elif kind == "in-plane":
        deformation = np.eye(3) + strain * in_plane
    elif kind == "c-axis":
        deformation = np.eye(3) + strain * along_normal
    elif kind == "none" and strain == 0:
        deformation = np.eye(3)
    elif kind == "none":
        raise RocksaltError(f"strain {strain:g} has no kind: isotropic, in-plane or c-axis")
    else:
        raise RocksaltError(f"{kind!r} is no kind of strain: isotropic, in-plane, c-axis or none")
    cell = structure.copy()
    cell.lattice = structure.lattice.matrix @ deformation.T
    return cell


class Preparation(BaseModel):
    """What is done to a relaxed cell before its energy in a fixed cell is computed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    strain_kind: StrainKind = "none"
    strain: float = 0.0
    vacancy: int | None = None
    """Position of the oxygen that is taken out; None keeps all."""

    @model_validator(mode="after")
    def _strain_has_a_kind(self) -> Preparation:
        if self.strain_kind == "none" and self.strain != 0:
            raise ValueError(f"strain {self.strain:g} has no strain_kind")
        if not abs(self.strain) <= LARGEST_STRAIN:
            raise ValueError(f"strain {self.strain:g} is outside +-{LARGEST_STRAIN:g}")
        return self


def prepare(relaxed: Structure, preparation: Preparation) -> Structure:
    """Return the relaxed cell strained, then with the oxygen taken out.

    Raises
    ------
    RocksaltError
        As `strained` and `without_oxygen` do.
    """
    cell = strained(relaxed, preparation.strain_kind, preparation.strain)
    return cell if preparation.vacancy is None else without_oxygen(cell, preparation.vacancy)


@dataclass(frozen=True)
class VacancyFormation:
    """Formation energies of one oxygen vacancy in eV.

    Attributes
    ----------
    raw_ev
        From energies as the engine gives them; None where they come corrected.
    corrected_ev
        On the MP2020 scale; None where that scale does not apply.
    terms_ev
        What was added to raw to give corrected, by element.
    """

    raw_ev: float | None
    corrected_ev: float | None
    terms_ev: dict[str, float]

    @property
    def best_ev(self) -> float:
        """The corrected value where there is one, else the raw one, eV."""
        value = self.corrected_ev if self.corrected_ev is not None else self.raw_ev
        assert value is not None
        return value


def vacancy_formation(
    pristine_amounts: Mapping[str, float],
    defect: Energy,
    pristine: Energy,
    oxygen: Energy,
    scale: EnergyScale,
    dmu_o_ev: float = 0.0,
) -> VacancyFormation:
    """Return Ef = E(cell - O) - E(cell) + 1/2 E(O2) + dmu_O of one vacancy.

    Parameters
    ----------
    pristine_amounts
        Number of atoms of each element in the cell with all its oxygen. Corrections are computed
        from it alone: all oxygen counts as O(2-) on both sides, so that an O-O dimer next to the
        vacancy does not turn the whole cell into a peroxide.
    defect
        Energy of the cell without one oxygen, eV.
    pristine
        Energy of the same cell with it, eV.
    oxygen
        Energy of O2 in eV per atom (half a molecule).
    scale
        The engine's entry in the table of scales.
    dmu_o_ev
        Oxygen chemical potential, 0 at O2.

    Raises
    ------
    RocksaltError
        When the cell has no oxygen to spare.
    ScaleError
        When the three energies are not on one scale, or not on the one given.

    Notes
    -----
    Liu et al., Nature 606, 305 (2022), figure 2n. Low or negative: oxygen leaves.
    """
    if common_scale(defect, pristine, oxygen) != scale.name:
        raise ScaleError(
            f"energies on the scale {defect.scale!r} cannot be corrected by the rule of "
            f"{scale.name!r}: give the engine's own entry of the table of scales"
        )
    n_oxygen = pristine_amounts.get("O", 0)
    if n_oxygen < 2:
        raise RocksaltError(
            f"a cell with {n_oxygen:g} oxygens is no oxide without one: take a larger cell"
        )
    energy_ev = defect.ev - pristine.ev + oxygen.ev + dmu_o_ev
    if scale.correction == "included":
        return VacancyFormation(None, energy_ev, {})
    if scale.correction == "mp2020":
        before = mp2020_oxide_correction_ev(pristine_amounts)
        after = mp2020_oxide_correction_ev({**pristine_amounts, "O": n_oxygen - 1})
        changes = {element: after[element] - before[element] for element in before}
        terms = {element: change for element, change in changes.items() if change != 0}
        return VacancyFormation(energy_ev, energy_ev + sum(terms.values()), terms)
    return VacancyFormation(energy_ev, None, {})


@dataclass(frozen=True)
class StrainSlope:
    """A straight line through energies against strain.

    Attributes
    ----------
    slope_ev_per_percent
        Change of the energy per percent of strain.
    intercept_ev
        The line's value without strain.
    standard_error_ev_per_percent
        Of the slope; None for two points, through which any line passes.
    """

    slope_ev_per_percent: float
    intercept_ev: float
    standard_error_ev_per_percent: float | None


def strain_slope(strains: Sequence[float], energies_ev: Sequence[float]) -> StrainSlope:
    """Return the least-squares line of energies against strain.

    Parameters
    ----------
    strains
        Relative elongations, 0.02 for two percent.
    energies_ev
        One energy for each, eV.

    Raises
    ------
    RocksaltError
        When the numbers of values differ or there are no two strains.
    """
    if len(strains) != len(energies_ev) or len(set(strains)) < 2:
        raise RocksaltError(
            f"{len(energies_ev)} energies at {len(set(strains))} strains give no slope: "
            "one energy for each of two or more strains is needed"
        )
    percent, energies = 100 * np.asarray(strains, dtype=float), np.asarray(energies_ev, dtype=float)
    from_mean = percent - percent.mean()
    slope = float(from_mean @ energies / (from_mean @ from_mean))
    intercept = float(energies.mean() - slope * percent.mean())
    error = None
    if len(strains) > 2:
        residuals = energies - intercept - slope * percent
        variance = residuals @ residuals / (len(strains) - 2)
        error = float(np.sqrt(variance / (from_mean @ from_mean)))
    return StrainSlope(slope, intercept, error)


def distinct_near(structure: Structure, dopant: str) -> list[DistinctSite]:
    """Return the oxygens bound to a dopant that symmetry does not make the same.

    Raises
    ------
    RocksaltError
        When the cell has no dopant or no oxygen.
    """
    nearest, _ = near_and_far(structure, dopant)
    dopants = [i for i, site in enumerate(structure) if site.specie.symbol == dopant]
    to_dopant = structure.distance_matrix[:, dopants].min(axis=1)
    reach = to_dopant[nearest] + BOND_SPREAD_ANGSTROM
    return [o for o in distinct_oxygens(structure) if min(to_dopant[list(o.members)]) <= reach]


def near_and_far(
    structure: Structure, dopant: str, among: Collection[int] | None = None
) -> tuple[int, int]:
    """Return the oxygen nearest to a dopant and the one farthest from all of them.

    Parameters
    ----------
    structure
        A cell that holds the dopant.
    dopant
        Its symbol; periodic images count.
    among
        Positions to choose from, such as those that were equivalent before doping; all oxygens when
        None.

    Returns
    -------
    tuple of int
        Positions of the near and the far oxygen. Among equally distant ones, the first.

    Raises
    ------
    RocksaltError
        When the cell has no dopant or no oxygen.
    """
    symbols = [site.specie.symbol for site in structure]
    dopants = [i for i, symbol in enumerate(symbols) if symbol == dopant]
    oxygens = [
        i for i, symbol in enumerate(symbols) if symbol == "O" and (among is None or i in among)
    ]
    if not dopants or not oxygens or dopant == "O":
        raise RocksaltError(
            f"{structure.formula} does not hold both oxygen and the dopant {dopant}"
        )
    to_dopant = structure.distance_matrix[np.ix_(oxygens, dopants)].min(axis=1)
    to_dopant = np.round(to_dopant, DISTANCE_DECIMALS)
    return oxygens[int(to_dopant.argmin())], oxygens[int(to_dopant.argmax())]


def retention_ev(doped_lowest_ev: float, undoped_lowest_ev: float) -> float:
    """Return by how much a dopant raises the lowest vacancy formation energy, eV.

    Positive: the dopant holds oxygen. Both energies from one engine, strain and cell size.
    """
    return doped_lowest_ev - undoped_lowest_ev
