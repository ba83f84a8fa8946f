"""Vacancies and strain: closed forms, corrections that are applied once, and equal sites."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pymatgen.analysis.structure_analyzer import oxide_type
from pymatgen.core import Lattice, Structure

from rocksalt.screening import scales
from rocksalt.screening.errors import RocksaltError, ScaleError
from rocksalt.screening.lithium import doped, layered_cell
from rocksalt.screening.prototypes import rock_salt
from rocksalt.screening.scales import Energy, EnergyScale, energy_scale
from rocksalt.screening.vacancies import (
    Preparation,
    distinct_oxygens,
    distinct_sites,
    near_and_far,
    prepare,
    retention_ev,
    strain_slope,
    strained,
    vacancy_formation,
    without_oxygen,
)
from rocksalt.workflows.calculate import to_atoms
from rocksalt.workflows.mock import MockCalculator

EXACT = 1e-9
AMOUNTS = {"Li": 16, "Mn": 8, "O": 24}
strains = st.floats(-0.1, 0.1)
energies = st.floats(-1000, 1000)


def plane_and_normal(structure):
    """Return the area of the a-b plane and the height of the cell above it."""
    a, b, _ = structure.lattice.matrix
    area = float(np.linalg.norm(np.cross(a, b)))
    return area, structure.volume / area


# Sites.


@pytest.mark.parametrize(("n", "expected"), [(2, [4, 8]), (4, [8, 16]), (8, [16, 32])])
def test_oxygens_of_li2mno3(n, expected):
    sites = distinct_oxygens(layered_cell("Mn", n))
    assert [s.multiplicity for s in sites] == expected
    assert [s.wyckoff for s in sites] == ["4i", "8j"]


@pytest.mark.parametrize("seed", range(3))
def test_a_relaxations_noise_makes_no_new_sites(seed):
    cell = layered_cell("Mn", 4)
    directions = np.random.default_rng(seed).normal(size=(48, 3))
    for i, direction in enumerate(directions):
        move = 0.01 * direction / np.linalg.norm(direction)
        cell.translate_sites([i], move, frac_coords=False)
    assert distinct_sites(cell, "O", symprec_angstrom=1e-3)[0].multiplicity == 1
    assert [s.multiplicity for s in distinct_oxygens(cell)] == [8, 16]


def test_every_site_is_counted_once():
    cell = doped(layered_cell("Mn", 2), "Ti", "Mn")
    for symbol in ("Li", "Mn", "Ti", "O"):
        sites = distinct_sites(cell, symbol)
        assert sum(s.multiplicity for s in sites) == cell.composition[symbol]
        assert all(cell[s.index].specie.symbol == symbol for s in sites)
    assert len(distinct_oxygens(cell)) > len(distinct_oxygens(layered_cell("Mn", 2)))


def test_vacancies_on_equal_sites_have_equal_energies():
    cell = layered_cell("Mn", 2)
    energy_ev = {}
    for i in (i for i, site in enumerate(cell) if site.specie.symbol == "O"):
        atoms = to_atoms(without_oxygen(cell, i))
        atoms.calc = MockCalculator()
        energy_ev[i] = atoms.get_potential_energy()
    values = sorted(energy_ev.values())
    sites = distinct_oxygens(cell)
    for site in sites:
        equal = [v for v in values if abs(v - energy_ev[site.index]) < 1e-6]
        assert len(equal) == site.multiplicity
    assert len(values) == sum(site.multiplicity for site in sites)


def test_one_oxygen_is_taken_out():
    cell = layered_cell("Mn", 4)
    site = distinct_oxygens(cell)[1]
    new = without_oxygen(cell, site.index)
    assert new.composition.as_dict() == {"Li": 16, "Mn": 8, "O": 23}
    assert len(cell) == 48
    assert cell[site.index] not in new
    assert all(site in cell for site in new)


@pytest.mark.parametrize("index", [0, 23, -1, 48])
def test_only_oxygen_is_taken_out(index):
    with pytest.raises(RocksaltError, match=f"at site {index}, not oxygen"):
        without_oxygen(layered_cell("Mn", 4), index)


def test_a_metal_has_no_oxygen():
    metal = Structure(Lattice.cubic(3.5), ["Ni"], [[0, 0, 0]])
    with pytest.raises(RocksaltError, match="no oxygen"):
        without_oxygen(metal, 0)
    with pytest.raises(RocksaltError, match="no oxygen"):
        distinct_oxygens(metal)


# Strain.


@given(strain=strains, n=st.sampled_from([2, 4, 8]))
def test_strains_closed_forms(strain, n):
    cell = layered_cell("Mn", n)
    area, height = plane_and_normal(cell)
    one = 1 + strain
    for kind, in_plane, along_normal in (
        ("isotropic", one, one),
        ("in-plane", one, 1.0),
        ("c-axis", 1.0, one),
    ):
        new = strained(cell, kind, strain)
        new_area, new_height = plane_and_normal(new)
        assert new.lattice.abc[:2] == pytest.approx([in_plane * x for x in cell.lattice.abc[:2]])
        assert new.lattice.gamma == pytest.approx(cell.lattice.gamma)
        assert new_area == pytest.approx(area * in_plane**2)
        assert new_height == pytest.approx(height * along_normal)
        assert new.volume == pytest.approx(cell.volume * in_plane**2 * along_normal)
        assert new.frac_coords == pytest.approx(cell.frac_coords, abs=EXACT)
        assert new.species == cell.species


def test_monoclinic_angle_under_strain():
    # The offset a cot(beta) of the layers scales with the plane, their distance does not.
    cell = layered_cell("Mn", 2)
    new = strained(cell, "in-plane", 0.05)
    assert 1 / math.tan(math.radians(new.lattice.beta)) == pytest.approx(
        1.05 / math.tan(math.radians(cell.lattice.beta))
    )
    assert strained(cell, "isotropic", 0.05).lattice.angles == pytest.approx(cell.lattice.angles)
    assert new.get_space_group_info(symprec=1e-3) == ("C2/m", 12)


@given(strain=strains)
def test_in_plane_and_normal_make_isotropic(strain):
    cell = layered_cell("Mn", 2)
    both = strained(strained(cell, "in-plane", strain), "c-axis", strain)
    assert both.lattice.matrix == pytest.approx(
        strained(cell, "isotropic", strain).lattice.matrix, abs=EXACT
    )


@pytest.mark.parametrize("strain", [0.11, -0.2, 2.0, math.nan])
def test_large_strains_are_refused(strain):
    with pytest.raises(RocksaltError, match="outside"):
        strained(layered_cell("Mn", 2), "isotropic", strain)
    with pytest.raises(ValidationError):
        Preparation(strain_kind="isotropic", strain=strain)


def test_strain_needs_a_kind():
    cell = layered_cell("Mn", 2)
    assert strained(cell, "none", 0.0) == cell
    with pytest.raises(RocksaltError, match="has no kind"):
        strained(cell, "none", 0.01)
    with pytest.raises(RocksaltError, match="no kind of strain"):
        strained(cell, "sideways", 0.01)
    with pytest.raises(ValidationError, match="no strain_kind"):
        Preparation(strain=0.01)


def test_preparation_strains_and_takes_out():
    cell = layered_cell("Mn", 4)
    assert prepare(cell, Preparation()) == cell
    index = distinct_oxygens(cell)[0].index
    new = prepare(cell, Preparation(strain_kind="in-plane", strain=0.02, vacancy=index))
    assert new == strained(without_oxygen(cell, index), "in-plane", 0.02)
    assert new.volume == pytest.approx(cell.volume * 1.02**2)
    assert len(new) == 47


# Formation energy.


def formation(scale, dmu_o_ev=0.0, defect=-300.0, pristine=-310.0, oxygen=-4.9, amounts=AMOUNTS):
    return vacancy_formation(
        amounts, *(Energy(e, scale.name) for e in (defect, pristine, oxygen)), scale, dmu_o_ev
    )


def test_the_definition():
    assert formation(energy_scale("chgnet", "0.3.0")).best_ev == pytest.approx(10 - 4.9)
    assert formation(energy_scale("chgnet", "0.3.0"), -1.5).best_ev == pytest.approx(10 - 4.9 - 1.5)


@given(first=energies, second=energies, dmu=st.floats(-5, 5))
def test_the_oxygen_potential_shifts_every_vacancy_equally(first, second, dmu):
    for engine in (("chgnet", "0.3.0"), ("sevennet-0", "7net-0"), ("mock", "1")):
        scale = energy_scale(*engine)
        shifts = [
            formation(scale, dmu, defect=e).best_ev - formation(scale, 0.0, defect=e).best_ev
            for e in (first, second)
        ]
        assert shifts == pytest.approx([dmu, dmu], abs=1e-9)
        there, back = formation(scale, dmu).best_ev, formation(scale, -dmu).best_ev
        assert (there + back) / 2 == pytest.approx(formation(scale).best_ev, abs=1e-9)


@given(
    n_mn=st.integers(1, 50), n_oxygen=st.integers(2, 100), metal=st.sampled_from(["Mn", "Ru", "Mo"])
)
def test_corrections_of_cations_cancel(n_mn, n_oxygen, metal):
    found = formation(energy_scale("sevennet-0", "7net-0"), amounts={metal: n_mn, "O": n_oxygen})
    assert found.raw_ev == pytest.approx(5.1)
    assert found.corrected_ev - found.raw_ev == pytest.approx(0.687, abs=1e-6)
    assert set(found.terms_ev) == {"O"}


def check_that_corrections_are_applied_once():
    included = formation(energy_scale("chgnet", "0.3.0"))
    assert included.raw_ev is None
    assert included.corrected_ev == pytest.approx(5.1)
    assert included.terms_ev == {}
    raw = formation(energy_scale("sevennet-0", "7net-0"))
    assert raw.raw_ev == pytest.approx(5.1)
    assert raw.corrected_ev == pytest.approx(5.1 + 0.687)
    neither = formation(energy_scale("chgnet-r2scan", "r2scan"))
    assert (neither.raw_ev, neither.corrected_ev) == (pytest.approx(5.1), None)


def test_corrections_are_applied_once():
    check_that_corrections_are_applied_once()


def test_a_spoilt_table_of_scales_would_be_noticed(monkeypatch):
    twice = EnergyScale(scales.MP2020, "mp2020", "corrected once more")
    for spoilt in ({}, {**scales._SCALES, ("chgnet", "0.3.0"): twice}):
        with monkeypatch.context() as patch:
            patch.setattr(scales, "_SCALES", spoilt)
            with pytest.raises(AssertionError):
                check_that_corrections_are_applied_once()
    with monkeypatch.context() as patch:
        patch.setattr(scales, "MP2020_OXIDE_EV_PER_O", 2 * scales.MP2020_OXIDE_EV_PER_O)
        with pytest.raises(AssertionError):
            check_that_corrections_are_applied_once()


def test_an_oxygen_dimer_does_not_move_the_energy():
    pristine = layered_cell("Mn", 4)
    defect = without_oxygen(pristine, distinct_oxygens(pristine)[0].index)
    oxygens = [i for i, site in enumerate(defect) if site.specie.symbol == "O"]
    moved = defect[oxygens[0]].coords + np.array([0.0, 0.0, 1.45])
    dimer = defect.copy()
    dimer.replace(oxygens[1], "O", moved, coords_are_cartesian=True)
    # The trap: rules that look at distances take the whole cell for another kind of oxide.
    assert oxide_type(defect) == "oxide"
    assert oxide_type(dimer) in {"peroxide", "superoxide"}
    scale = energy_scale("sevennet-0", "7net-0")
    found = []
    for cell in (defect, dimer):
        amounts = cell.composition.as_dict()
        amounts["O"] += 1
        found.append(formation(scale, amounts=amounts))
    assert found[0] == found[1]


def test_two_scales_do_not_meet():
    scale = energy_scale("chgnet", "0.3.0")
    raw = energy_scale("sevennet-0", "7net-0")
    one, other = Energy(-300.0, scale.name), Energy(-310.0, raw.name)
    for three in ((one, other, one), (one, one, other), (other, one, one)):
        with pytest.raises(ScaleError, match="2 scales"):
            vacancy_formation(AMOUNTS, *three, scale)
    with pytest.raises(ScaleError, match="own entry"):
        vacancy_formation(AMOUNTS, other, other, other, scale)


@pytest.mark.parametrize("amounts", [{"Mn": 1, "O": 1}, {"Mn": 2}])
def test_a_cell_without_oxygen_to_spare(amounts):
    with pytest.raises(RocksaltError, match="no oxide without one"):
        formation(energy_scale("sevennet-0", "7net-0"), amounts=amounts)


# Slopes, neighbours, retention.


@given(slope=st.floats(-1, 1), intercept=st.floats(-10, 10), n=st.integers(3, 6))
def test_slope_of_a_line(slope, intercept, n):
    x = np.linspace(-0.03, 0.03, n)
    line = strain_slope(x, intercept + slope * 100 * x)
    assert line.slope_ev_per_percent == pytest.approx(slope, abs=1e-9)
    assert line.intercept_ev == pytest.approx(intercept, abs=1e-9)
    assert line.standard_error_ev_per_percent == pytest.approx(0, abs=1e-6)


def test_standard_error_of_a_slope():
    # Residuals (1, -2, 1) / 3: s^2 = 2/3 with one degree of freedom, over sum (x - mean)^2 = 2.
    line = strain_slope([0.0, 0.01, 0.02], [1.0, 0.0, 1.0])
    assert line.slope_ev_per_percent == pytest.approx(0)
    assert line.standard_error_ev_per_percent == pytest.approx(math.sqrt(2 / 3 / 2))


def test_two_points_have_no_error_and_one_has_no_slope():
    line = strain_slope([0.0, 0.02], [5.0, 4.6])
    assert line.slope_ev_per_percent == pytest.approx(-0.2)
    assert line.standard_error_ev_per_percent is None
    for x, y in (([0.0], [1.0]), ([0.01, 0.01], [1.0, 2.0]), ([0.0, 0.01], [1.0]), ([], [])):
        with pytest.raises(RocksaltError, match="no slope"):
            strain_slope(x, y)


@pytest.mark.parametrize("n", [2, 4, 8])
def test_near_is_bonded_and_far_is_not(n):
    cell = doped(layered_cell("Mn", n), "Ti", "Mn")
    near, far = near_and_far(cell, "Ti")
    assert cell[near].specie.symbol == cell[far].specie.symbol == "O"
    (dopant,) = [site for site in cell if site.specie.symbol == "Ti"]
    oxygens = {round(dopant.distance(site), 3) for site in cell if site.specie.symbol == "O"}
    assert round(dopant.distance(cell[near]), 3) == min(oxygens) < 2.1
    assert round(dopant.distance(cell[far]), 3) == max(oxygens) > 3.5
    assert near_and_far(cell, "Ti") == (near, far)


def test_images_of_the_dopant_count():
    # Rock salt, four cations in a row: the oxygen farthest along the row is near the next image.
    row = rock_salt("Mn", 4.2).make_supercell([[1, 0, 0], [0, 1, 0], [0, 0, 4]], in_place=False)
    first = next(i for i, site in enumerate(row) if site.specie.symbol == "Mn")
    row.replace(first, "Ti")
    near, far = near_and_far(row, "Ti")
    assert row.get_distance(first, near) == pytest.approx(2.1)
    # No oxygen is farther than half of the row of 2.97 x 4 angstrom, for one image or the other.
    distances = [row.get_distance(first, i) for i, s in enumerate(row) if s.specie.symbol == "O"]
    assert row.get_distance(first, far) == pytest.approx(max(distances))
    assert max(distances) < 2.97 * 2


@pytest.mark.parametrize("dopant", ["Ti", "O"])
def test_no_dopant_no_neighbours(dopant):
    with pytest.raises(RocksaltError, match="does not hold"):
        near_and_far(layered_cell("Mn", 2), dopant)


def test_retention_is_positive_when_oxygen_is_held():
    assert retention_ev(2.5, 2.0) == pytest.approx(0.5)
    assert retention_ev(1.5, 2.0) == pytest.approx(-0.5)
