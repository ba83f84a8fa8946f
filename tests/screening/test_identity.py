"""Fingerprints: what must leave them unchanged, what must change them, and pinned values."""

import itertools
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from scipy.spatial.transform import Rotation

from rocksalt.screening.enumeration import distinct_orderings, site_permutations
from rocksalt.screening.identity import digest, structure_fingerprint
from rocksalt.screening.prototypes import element_starts, oxygen_starts, rock_salt

# Some releases of spglib warn on every call that error handling will change.

EDGE_ANGSTROM = 4.3
CELL_OF_8 = (2, 2, 2)
CELL_OF_16 = (2, 2, 4)

UNIMODULAR = (
    [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    [[1, 1, 0], [0, 1, 0], [0, 0, 1]],
    [[0, 1, 0], [0, 0, 1], [1, 0, 0]],
    [[1, 0, 0], [-1, 1, 2], [0, 0, 1]],
    [[-1, 0, 0], [0, -1, 0], [0, 0, -1]],
)
DOUBLED = ([[2, 0, 0], [0, 1, 0], [0, 0, 1]], [[1, 1, 0], [-1, 1, 0], [0, 0, 1]])


@cache
def undecorated(repeats):
    return rock_salt("Mn", EDGE_ANGSTROM).make_supercell(np.diag(repeats), in_place=False)


@cache
def orderings(repeats, k):
    cell = undecorated(repeats)
    sites = [i for i, site in enumerate(cell) if site.specie.symbol == "Mn"]
    found = distinct_orderings(site_permutations(cell, sites), k)
    return [tuple(sites[i] for i in o.sites) for o in found]


def decorated(repeats, chosen):
    structure = undecorated(repeats).copy()
    for i in chosen:
        structure.replace(i, "Mg")
    return structure


def quartz(handed=1):
    group = "P3_121" if handed > 0 else "P3_221"
    z = 1 / 3 if handed > 0 else 2 / 3
    return Structure.from_spacegroup(
        group,
        Lattice.hexagonal(4.913, 5.405),
        ["Si", "O"],
        [[0.4697, 0, z], [0.4135, 0.2669, z + handed * 0.1191]],
    )


@cache
def samples():
    """Return structures with high and low symmetry, molecules and a chain of hands among them."""
    chosen = orderings(CELL_OF_8, 4)
    return (
        rock_salt("Ni", 4.2),
        element_starts("Sn")[0].structure,
        element_starts("Sb")[0].structure,
        oxygen_starts()[0].structure,
        decorated(CELL_OF_8, chosen[0]),
        decorated(CELL_OF_8, chosen[2]),
        quartz(),
    )


def changed(structure, *, rotation, shift, order, cell):
    """Return the same crystal, described in another way."""
    species = [structure[i].specie for i in order]
    coords = structure.frac_coords[order] + shift
    lattice = Lattice(structure.lattice.matrix @ rotation.T)
    other = Structure(lattice, species, coords, to_unit_cell=True)
    return other.make_supercell(cell, in_place=False)


@settings(deadline=None, max_examples=30)
@given(
    which=st.integers(0, 6),
    seed=st.integers(0, 2**16),
    shift=st.tuples(*[st.floats(-1, 1)] * 3),
    cell=st.sampled_from(UNIMODULAR + DOUBLED),
)
def test_description_does_not_matter(which, seed, shift, cell):
    structure = samples()[which]
    rng = np.random.default_rng(seed)
    other = changed(
        structure,
        rotation=Rotation.from_quat(rng.normal(size=4)).as_matrix(),
        shift=np.array(shift),
        order=rng.permutation(len(structure)),
        cell=cell,
    )
    assert structure_fingerprint(other) == structure_fingerprint(structure)


@pytest.mark.parametrize("which", range(6))
def test_mirror_image_is_the_same(which):
    structure = samples()[which]
    mirrored = Structure(
        structure.lattice.matrix * [1, 1, -1], structure.species, structure.frac_coords
    )
    assert structure_fingerprint(mirrored) == structure_fingerprint(structure)


def test_mirror_image_of_a_chiral_crystal_is_the_same():
    assert structure_fingerprint(quartz(-1)) == structure_fingerprint(quartz(1))


@cache
def torus_permutations():
    """Return all operations of Fm-3m on the 64 cations of a 4x4x4 primitive cell, as integers."""
    points = np.array(list(itertools.product(range(4), repeat=3)))
    primitive = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
    rows = []
    for axes in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            rotation = np.zeros((3, 3))
            rotation[range(3), axes] = signs
            fractional = np.round(primitive @ rotation @ np.linalg.inv(primitive)).astype(int)
            for shift in points:
                images = (points @ fractional + shift) % 4
                rows.append(images @ [16, 4, 1])
    return np.array(rows)


def crystal_class(repeats, chosen):
    """Return what all equivalent infinite patterns share: the smallest image on the torus."""
    points = np.array(list(itertools.product(range(4), repeat=3)))
    cell = undecorated(repeats)
    marked = np.round(cell.frac_coords[list(chosen)] * repeats).astype(int) % repeats
    pattern = (points[:, None] % repeats == marked[None]).all(axis=2).any(axis=1)
    bits = np.left_shift(np.uint64(1), torus_permutations()[:, pattern].astype(np.uint64))
    return int(bits.sum(axis=1, dtype=np.uint64).min())


@pytest.mark.parametrize(
    ("repeats", "k"),
    [(CELL_OF_8, k) for k in range(1, 8)] + [(CELL_OF_16, k) for k in (2, 4, 8)],
)
def test_fingerprints_are_as_many_as_crystals(repeats, k):
    found = {
        (crystal_class(repeats, chosen), structure_fingerprint(decorated(repeats, chosen)))
        for chosen in orderings(repeats, k)
    }
    assert len({crystal for crystal, _ in found}) == len(found)
    assert len({fingerprint for _, fingerprint in found}) == len(found)


def test_l11_and_d4_differ():
    """The two have the same pairs and triangles; only figures of four sites tell them apart."""
    by_group = {}
    for chosen in orderings(CELL_OF_8, 4):
        structure = decorated(CELL_OF_8, chosen)
        by_group.setdefault(structure.get_space_group_info()[0], []).append(structure)
    (l11,), (d4,) = by_group["R-3m"], by_group["Fd-3m"]
    assert structure_fingerprint(l11) != structure_fingerprint(d4)


@pytest.mark.parametrize("scale", [0.97, 0.999, 1.001, 1.04])
def test_another_volume_differs(scale):
    assert structure_fingerprint(rock_salt("Ni", 4.2 * scale)) != structure_fingerprint(
        rock_salt("Ni", 4.2)
    )


def test_other_elements_and_swapped_ones_differ():
    assert structure_fingerprint(rock_salt("Ni", 4.2)) != structure_fingerprint(
        rock_salt("Co", 4.2)
    )
    one_of_eight = decorated(CELL_OF_8, orderings(CELL_OF_8, 1)[0])
    seven_of_eight = decorated(CELL_OF_8, orderings(CELL_OF_8, 7)[0])
    assert structure_fingerprint(one_of_eight) != structure_fingerprint(seven_of_eight)


@pytest.mark.parametrize("shift_angstrom", [0.02, 0.1])
def test_a_displaced_site_differs(shift_angstrom):
    moved = undecorated(CELL_OF_8).copy()
    moved.translate_sites([0], [shift_angstrom, 0, 0], frac_coords=False)
    assert structure_fingerprint(moved) != structure_fingerprint(undecorated(CELL_OF_8))


def test_a_site_without_neighbours():
    def alone(edge):
        return structure_fingerprint(Structure(Lattice.cubic(edge), ["O"], [[0, 0, 0]]))

    assert alone(12.0) == alone(12.0)
    assert alone(12.0) != alone(13.0)


def test_pinned_fingerprints():
    # A change makes every stored calculation unfindable: raise the version when it is meant.
    assert structure_fingerprint(rock_salt("Ni", 4.2)) == "a47d1127107991395ca28a2e14402a81"
    crystal, molecule = (start.structure for start in oxygen_starts())
    assert structure_fingerprint(crystal) == "05d52db935370d199b22d38a36f42a11"
    assert structure_fingerprint(molecule) == "db07d832921c8595f06c468f40cdc2ca"


def test_digest_is_pinned_and_does_not_depend_on_key_order():
    assert digest({"b": 1, "a": [1.5, None]}) == digest({"a": [1.5, None], "b": 1})
    assert digest("rock salt") == "48162361a57bef0fc5ad50089811e395"
    assert digest({"x": 0.1}) != digest({"x": 0.1000000001})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_digest_refuses_what_json_has_not(value):
    with pytest.raises(ValueError, match="JSON compliant"):
        digest(value)
