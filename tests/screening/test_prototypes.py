"""Starting structures against symmetry analysis, measured densities and tabulated bonds."""

import math
from pathlib import Path

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Element, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from rocksalt.screening.elements import known_cations, rock_salt_lattice_parameter_angstrom
from rocksalt.screening.errors import RocksaltError
from rocksalt.screening.prototypes import (
    O2_BOND_ANGSTROM,
    ROCK_SALT_START_SCALES,
    element_starts,
    oxygen_starts,
    rock_salt,
    rock_salt_starts,
)

# Some releases of spglib warn on every call that error handling will change.

EXACT = 1e-9
RELATIVE_DENSITY = 0.065  # alkali metals shrink by 6 percent between 298 K and 5 K
SYMPREC = 0.01
SPACE_GROUP = {
    "fcc": "Fm-3m",
    "bcc": "Im-3m",
    "hcp": "P6_3/mmc",
    "dhcp": "P6_3/mmc",
    "diamond": "Fd-3m",
    "rhombohedral": "R-3m",
    "bct": "I4/mmm",
    "beta-Sn": "I4_1/amd",
    "alpha-Mn": "I-43m",
    "alpha-Ga": "Cmce",
}
ATOMS = {
    "fcc": 1,
    "bcc": 1,
    "hcp": 2,
    "dhcp": 4,
    "diamond": 2,
    "bct": 1,
    "beta-Sn": 2,
    "alpha-Mn": 29,
    "alpha-Ga": 4,
}
REFERENCE = Path(__file__).parents[3] / "shared/data/reference/prototypes" / "AB_cF8_225_a_b.cif"


def nearest(structure, radius=8.0):
    return float(structure.get_neighbor_list(radius)[3].min())


def coordination(structure, site=0, within=1.05):
    centres, _, _, distances = structure.get_neighbor_list(8.0)
    distances = distances[centres == site]
    return int((distances < within * distances.min()).sum())


@pytest.mark.parametrize("symbol", known_cations())
def test_every_start_has_its_prototypes_symmetry_and_size(symbol):
    starts = element_starts(symbol)
    assert len({start.prototype for start in starts}) == len(starts)
    for start in starts:
        found = SpacegroupAnalyzer(start.structure, SYMPREC)
        assert found.get_space_group_symbol() == SPACE_GROUP[start.prototype]
        assert len(found.find_primitive()) == len(start.structure)
        assert len(start.structure) == ATOMS.get(start.prototype, len(start.structure))
        assert {site.specie.symbol for site in start.structure} == {symbol}


@pytest.mark.parametrize("symbol", [s for s in known_cations() if s != "Hg"])
def test_ground_state_has_the_measured_density(symbol):
    structure = element_starts(symbol)[0].structure
    density = float(structure.density) * 1000
    measured = float(Element(symbol).density_of_solid)
    assert density == pytest.approx(measured, rel=RELATIVE_DENSITY)


@pytest.mark.parametrize(
    ("symbol", "distance_angstrom"),  # Kittel, Introduction to Solid State Physics, chapter 1
    [
        *(("Al", 2.86), ("Fe", 2.48), ("Cu", 2.56), ("Mo", 2.72), ("Ru", 2.65), ("Ni", 2.49)),
        *(("Si", 2.35), ("Sn", 3.02), ("Ga", 2.44), ("Sb", 2.91), ("Bi", 3.07), ("Hg", 3.01)),
    ],
)
def test_ground_state_has_the_measured_nearest_distance(symbol, distance_angstrom):
    assert nearest(element_starts(symbol)[0].structure) == pytest.approx(
        distance_angstrom, abs=0.05
    )


@pytest.mark.parametrize("symbol", ["Cu", "Fe", "Mg", "Ce", "Sn"])
def test_competitors_share_the_volume_and_are_close_packed(symbol):
    starts = {start.prototype: start.structure for start in element_starts(symbol)}
    ground = next(iter(starts.values()))
    for prototype, structure in starts.items():
        volume = ground.volume / len(ground)
        assert structure.volume / len(structure) == pytest.approx(volume, rel=EXACT)
        expected = {"fcc": 12, "dhcp": 12, "bcc": 8, "diamond": 4}
        if prototype in expected:
            assert coordination(structure) == expected[prototype]
    assert {"fcc", "bcc", "hcp"} <= set(starts)
    assert ("dhcp" in starts) == (symbol == "Ce")
    assert ("diamond" in starts) == (symbol == "Sn")


def test_competing_hcp_is_ideal():
    hcp = next(s.structure for s in element_starts("Cu") if s.prototype == "hcp")
    assert hcp.lattice.c / hcp.lattice.a == pytest.approx(math.sqrt(8 / 3), rel=EXACT)
    assert coordination(hcp, within=1.001) == 12


def test_dhcp_stacks_abac():
    dhcp = next(s.structure for s in element_starts("La") if s.prototype == "dhcp")
    order = np.argsort(dhcp.frac_coords[:, 2])
    planes = [tuple(np.round(dhcp.frac_coords[i, :2], 6) % 1) for i in order]
    assert planes[0] == planes[2]
    assert len({planes[0], planes[1], planes[3]}) == 3


def test_alpha_manganese_has_the_four_sites_of_a12():
    structure = element_starts("Mn")[0].structure
    dataset = SpacegroupAnalyzer(structure, SYMPREC).get_symmetrized_structure()
    sizes = sorted(len(sites) for sites in dataset.equivalent_sites)
    assert sizes == [1, 4, 12, 12]
    assert structure.volume / 29 == pytest.approx(8.911**3 / 58, rel=1e-6)


def test_oxygen_is_a_crystal_and_a_molecule():
    crystal, molecule = oxygen_starts()
    assert SpacegroupAnalyzer(crystal.structure, SYMPREC).get_space_group_symbol() == "C2/m"
    for start in (crystal, molecule):
        assert len(start.structure) == 2
        assert nearest(start.structure) == pytest.approx(O2_BOND_ANGSTROM, abs=1e-6)
    assert crystal.relax_cell
    assert not molecule.relax_cell
    assert O2_BOND_ANGSTROM == 1.2075


def test_oxygen_molecules_stay_apart():
    crystal, molecule = (start.structure for start in oxygen_starts())
    between = crystal.get_neighbor_list(5.0)[3]
    assert between[between > 1.3].min() > 2.8
    assert np.sort(molecule.get_neighbor_list(10.0)[3]) == pytest.approx([O2_BOND_ANGSTROM] * 2)


def test_rock_salt_geometry():
    a = 4.446
    structure = rock_salt("Mn", a)
    assert SpacegroupAnalyzer(structure, SYMPREC).get_space_group_number() == 225
    assert structure.volume == pytest.approx(a**3 / 4, rel=EXACT)
    assert nearest(structure) == pytest.approx(a / 2, rel=EXACT)
    for site in (0, 1):
        assert coordination(structure, site) == 6
    assert structure.composition.reduced_formula == "MnO"


def test_rock_salt_is_the_tabulated_prototype():
    if not REFERENCE.exists():
        pytest.skip("the reference prototypes are not part of this checkout")
    matcher = StructureMatcher(scale=True)
    assert matcher.fit_anonymous(rock_salt("Mn"), Structure.from_file(REFERENCE))


def test_rock_salt_starts():
    (only,) = rock_salt_starts("Mn")
    assert only.prototype == "rock-salt"
    a = rock_salt_lattice_parameter_angstrom("Ru")
    edges = [(4 * start.structure.volume) ** (1 / 3) for start in rock_salt_starts("Ru")]
    assert edges == pytest.approx([a * scale for scale in ROCK_SALT_START_SCALES])
    assert [start.prototype for start in rock_salt_starts("Ru")] == [
        "rock-salt small",
        "rock-salt large",
    ]


def test_element_without_a_reference_is_refused():
    with pytest.raises(RocksaltError, match="cannot be screened"):
        element_starts("O")
