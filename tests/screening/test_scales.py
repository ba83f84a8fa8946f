"""The table of corrections against pymatgen's file and its compatibility class."""

import inspect
from pathlib import Path

import pytest
import yaml
from pymatgen.core import Lattice, Structure
from pymatgen.entries.compatibility import MaterialsProject2020Compatibility
from pymatgen.entries.computed_entries import ComputedStructureEntry

from rocksalt.screening.errors import RocksaltError, ScaleError
from rocksalt.screening.mixing import mixing_enthalpy_ev_per_cation
from rocksalt.screening.prototypes import rock_salt
from rocksalt.screening.scales import (
    MP2020,
    MP2020_EV_PER_CATION,
    MP2020_OXIDE_EV_PER_O,
    PBE_TOO_HIGH_EV_PER_FORMULA,
    PBE_U_TOO_HIGH_EV_PER_FORMULA,
    Energy,
    common_scale,
    energy_scale,
    mp2020_oxide_correction_ev,
    scale_at_u,
)

EXACT = 1e-9
MP_HUBBARD_U = {"Mn": 3.9, "Mo": 4.38, "Ni": 6.2, "Co": 3.32}


def table():
    folder = Path(inspect.getfile(MaterialsProject2020Compatibility)).parent
    return yaml.safe_load((folder / "MP2020Compatibility.yaml").read_text())["Corrections"]


def test_table_is_pymatgens():
    oxides = table()["GGAUMixingCorrections"]["O"]
    assert set(oxides) == set(MP2020_EV_PER_CATION)
    assert pytest.approx(oxides, abs=EXACT) == MP2020_EV_PER_CATION
    assert table()["CompositionCorrections"]["oxide"] == pytest.approx(MP2020_OXIDE_EV_PER_O)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("cation", ["Mn", "Ni", "Mo", "Ru", "Mg"])
def test_rock_salt_gets_what_pymatgen_gives(cation):
    u = {cation: MP_HUBBARD_U[cation], "O": 0.0} if cation in MP_HUBBARD_U else {}
    check_against_pymatgen(rock_salt(cation), {cation: 1, "O": 1}, u)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("cation", ["Ru", "Mo"])
def test_dioxide_gets_what_pymatgen_gives(cation):
    rutile = Structure.from_spacegroup(
        "P4_2/mnm", Lattice.tetragonal(4.5, 3.1), [cation, "O"], [[0, 0, 0], [0.306, 0.306, 0]]
    )
    u = {cation: MP_HUBBARD_U[cation], "O": 0.0} if cation in MP_HUBBARD_U else {}
    check_against_pymatgen(rutile, {cation: 2, "O": 4}, u)


def check_against_pymatgen(structure, amounts, hubbards):
    entry = ComputedStructureEntry(
        structure,
        0.0,
        parameters={"run_type": "GGA+U" if hubbards else "GGA", "hubbards": hubbards},
        data={"oxide_type": "oxide"},
    )
    processed = MaterialsProject2020Compatibility(check_potcar=False).process_entry(entry)
    assert processed is not None
    assert sum(mp2020_oxide_correction_ev(amounts).values()) == pytest.approx(
        processed.correction, abs=EXACT
    )
    assert processed.correction < 0


def test_terms_by_hand():
    assert mp2020_oxide_correction_ev({"Mn": 1, "O": 1}) == pytest.approx(
        {"O": -0.687, "Mn": -1.668}
    )
    assert mp2020_oxide_correction_ev({"Li": 2, "Mn": 1, "O": 3}) == pytest.approx(
        {"O": -2.061, "Mn": -1.668}
    )
    assert mp2020_oxide_correction_ev({"Nb": 1, "O": 1}) == pytest.approx({"O": -0.687})


@pytest.mark.parametrize(
    "amounts", [{"O": 2}, {"Mn": 29}, {"Mn": 1, "O": 0}, {"O": 2, "Mn": 0}, {"Mn": 1, "Ni": 1}, {}]
)
def test_elements_and_alloys_get_nothing(amounts):
    assert mp2020_oxide_correction_ev(amounts) == {}


@pytest.mark.parametrize("factor", [0.5, 2, 16])
def test_correction_is_extensive(factor):
    amounts = {"Mo": 1, "Mn": 3, "O": 4}
    once = mp2020_oxide_correction_ev(amounts)
    more = mp2020_oxide_correction_ev({e: n * factor for e, n in amounts.items()})
    assert more == pytest.approx({e: factor * term for e, term in once.items()})


@pytest.mark.parametrize("x", [1 / 16, 0.25, 0.5, 7 / 8])
@pytest.mark.parametrize(("dopant", "host"), [("Mo", "Mn"), ("Ru", "Ni"), ("W", "Co")])
def test_corrections_cancel_in_the_mixing_enthalpy(dopant, host, x):
    def correction(**amounts):
        return Energy(sum(mp2020_oxide_correction_ev(amounts).values()), MP2020)

    enthalpy = mixing_enthalpy_ev_per_cation(
        correction(**{dopant: x, host: 1 - x, "O": 1}),
        correction(**{dopant: 1, "O": 1}),
        correction(**{host: 1, "O": 1}),
        x,
    )
    assert enthalpy == pytest.approx(0, abs=EXACT)


def test_chgnet_is_corrected_as_it_comes():
    scale = energy_scale("chgnet", "0.3.0")
    assert (scale.name, scale.correction) == (MP2020, "included")


@pytest.mark.parametrize(
    ("engine", "version"),
    [("sevennet-0", "7net-0"), ("sevennet-l3i5", "7net-l3i5"), ("sevennet-mf-0:pbe", "7net-mf-0")],
)
def test_potentials_of_raw_energies_are_to_be_corrected(engine, version):
    scale = energy_scale(engine, version)
    assert scale.correction == "mp2020"
    assert scale.name != MP2020


def test_r2scan_scales_stand_apart():
    scales = [
        energy_scale("chgnet-r2scan", "r2scan"),
        energy_scale("sevennet-mf-0:r2scan", "7net-mf-0"),
    ]
    assert all(scale.correction is None for scale in scales)
    names = {s.name for s in scales} | {MP2020, energy_scale("sevennet-0", "7net-0").name}
    assert len(names) == 4


def test_unknown_engines_and_versions_are_on_scales_of_their_own():
    one, other = energy_scale("mine", "1"), energy_scale("mine", "2")
    assert one.name != other.name
    assert one.correction is None
    # A new version of a known engine is not assumed to be on the old one's scale.
    assert energy_scale("chgnet", "9.9").name != MP2020
    assert energy_scale("chgnet", "9.9").correction is None


PROJECT_U = {"Mn": 3.9, "Ni": 6.2}


@pytest.mark.parametrize(
    ("engine", "version", "u", "correction", "too_high"),
    [
        ("vasp", "MP sets", PROJECT_U, "mp2020", 0.0),
        ("vasp", "MP sets", {}, None, PBE_TOO_HIGH_EV_PER_FORMULA),
        ("vasp", "MP sets", {"Mn": 3.0}, None, PBE_U_TOO_HIGH_EV_PER_FORMULA),
        ("gpaw:fast", "PBE fast", {}, None, PBE_TOO_HIGH_EV_PER_FORMULA),
        ("gpaw:fast", "PBE fast", {"Mn": 3.9}, None, PBE_U_TOO_HIGH_EV_PER_FORMULA),
    ],
)
def test_a_scale_depends_on_u(engine, version, u, correction, too_high):
    """MP2020 belongs to the project's own U: elsewhere it would be off by up to 2.5 eV."""
    found = scale_at_u(energy_scale(engine, version), u, PROJECT_U)
    assert found.correction == correction
    assert found.too_high_ev_per_formula == too_high


def test_energies_at_two_u_are_on_two_scales():
    vasp = energy_scale("vasp", "MP sets")
    names = {scale_at_u(vasp, u, PROJECT_U).name for u in (PROJECT_U, {}, {"Mn": 3}, {"Mn": 4})}
    assert len(names) == 4


def test_common_scale():
    assert common_scale(Energy(1.0, "a"), Energy(2.0, "a")) == "a"


@pytest.mark.parametrize("scales", [("a", "b"), ("a", "b", "a"), ("a", "b", "c")])
def test_two_scales_never_meet(scales):
    with pytest.raises(ScaleError, match=", ".join(sorted(set(scales)))):
        common_scale(*(Energy(0.0, scale) for scale in scales))
    assert issubclass(ScaleError, RocksaltError)


def test_no_energy_has_no_scale():
    with pytest.raises(ScaleError):
        common_scale()
