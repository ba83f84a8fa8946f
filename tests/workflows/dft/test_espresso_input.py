"""Input files of pw.x, and which pseudopotentials they name."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from pymatgen.core import Lattice, Structure

from rocksalt.screening.errors import CalculationError, RocksaltError
from rocksalt.workflows.dft.espresso_input import (
    PROTOCOLS,
    cell_cutoff_ry,
    force_limit,
    mesh,
    pw_input,
    species_labels,
    version_number,
)
from rocksalt.workflows.dft.pseudopotentials import Pseudopotential, pseudopotential
from rocksalt.workflows.dft.settings import DftSettings
from rocksalt.workflows.dft.task import DftTask
from rocksalt.workflows.relaxer import RelaxationSettings

REFERENCE = Path(__file__).parent / "reference"


def upf(element, valence, orbitals, cutoff=50.0):
    path = Path("/pseudo") / f"{element}.upf"
    return Pseudopotential(path, element, "PBE", valence, cutoff, orbitals, "0" * 64)


UPF = {
    "Mn": upf("Mn", 15.0, ("3s", "4s", "3p", "3d"), 57.0),
    "O": upf("O", 6.0, ("2s", "2p"), 47.0),
}


def rock_salt(metal="Mn", a=4.44):
    half = a / 2
    lattice = Lattice([[0, half, half], [half, 0, half], [half, half, 0]])
    return Structure(lattice, [metal, "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def task(structure=None, *, u=None, order="antiferromagnetic", **changes):
    given = {
        "structure": structure or rock_salt(),
        "relaxation": RelaxationSettings(),
        "settings": DftSettings(hubbard_u_ev={"Mn": 3.9} if u is None else u, magnetic_order=order),
        "is_molecule": False,
        "is_metal": False,
        "directory": Path("/nowhere"),
    }
    return DftTask(**{**given, **changes})


def with_moments(structure):
    return Atoms(
        [site.specie.symbol for site in structure],
        scaled_positions=structure.frac_coords,
        cell=structure.lattice.matrix,
        magmoms=structure.site_properties["magmom"],
        pbc=True,
    )


def afm_mno(a=4.44):
    """AFM-II: ferromagnetic (111) planes, up and down in turn; the third vector spans two of them."""
    vectors = np.array([[1, -1, 0], [1, 0, -1], [2, 1, 1]]) * a / 2
    positions = [[0, 0, 0], [0.5, 0.5, 0.5], [0.25, 0.25, 0.25], [0.75, 0.75, 0.75]]
    return Atoms("Mn2O2", scaled_positions=positions, cell=vectors, magmoms=[5, -5, 0, 0], pbc=True)


def lines_of(text):
    """Lines without the spaces that mean nothing, in order."""
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def value(text, key):
    found = re.search(rf"^\s*{re.escape(key)}\s*=\s*(\S+)", text, re.MULTILINE)
    return None if found is None else found.group(1)


@pytest.mark.parametrize(("version", "file"), [("6.7MaX", "qe67"), ("7.3.1", "qe73")])
def test_antiferromagnetic_mno_with_u_is_the_input_that_was_checked_by_hand(version, file):
    """Every line of the references was checked against INPUT_PW of 6.7 and of 7.3.

    Both: `relax` with `tprnfor`; 0.02 eV/angstrom / sqrt(3) = 4.491e-4 Ry/bohr in
    `forc_conv_thr` (pw.x compares components); 4 atoms times 1e-5 and 1e-9 Ry; cutoffs in Ry;
    cold smearing of 0.01 Ry; `nspin` 2; one species per sublattice, the second with the label
    Mn1 (a letter or digit may follow the symbol), so ntyp 3 and nat 4; starting_magnetization(i) is
    5 / 15 valence electrons, up, down, and 0 of oxygen, i in the order of ATOMIC_SPECIES; vectors
    a/2 (1 -1 0), (1 0 -1), (2 1 1) with a = 4.44 angstrom, 43.76 angstrom^3 = 2 a^3/4; Mn on 0 and
    (a 0 0), on either (111) plane, O on (a/2 0 0) and (3a/2 0 0) between them; a mesh without shift,
    8 x 8 in the plane as in the cell of two atoms, and 4 along the doubled vector.
    6.7: lda_plus_u, Hubbard_U(1) and (2) in eV (namelist variables have no case), none of (3);
    projectors 'atomic', for which alone 6.7 has forces and stress. lda_plus_u_kind is 0, Dudarev.
    7.3: none of these; the card HUBBARD (atomic), after ATOMIC_SPECIES, names label-manifold and
    U in eV for both labels.
    """
    written = pw_input(afm_mno(), task(), "balanced", UPF, version)
    expected = (REFERENCE / f"mno_afm_{file}.pwi").read_text("utf-8")
    assert lines_of(written) == lines_of(expected)


@pytest.mark.parametrize(
    ("version", "has_card"),
    [
        ("6.5", False),
        ("6.7MaX", False),
        ("7.0", False),
        ("7.1", True),
        ("7.2", True),
        ("7.4", True),
    ],
)
def test_u_is_written_the_way_the_version_wants_it(version, has_card):
    written = pw_input(afm_mno(), task(), "fast", UPF, version)
    assert ("HUBBARD" in written) is has_card
    assert ("lda_plus_u" in written) is not has_card
    assert ("hubbard_u(1)" in written.lower()) is not has_card


@pytest.mark.parametrize("version", ["6.7MaX", "7.3"])
def test_no_word_of_u_without_u(version):
    written = pw_input(afm_mno(), task(u={}), "fast", UPF, version).lower()
    assert "hubbard" not in written
    assert "lda_plus_u" not in written
    # U of an element that is not there does nothing either.
    assert "hubbard" not in pw_input(afm_mno(), task(u={"Ni": 6.2}), "fast", UPF, version).lower()


def test_the_index_of_u_follows_the_species_whatever_the_order_of_the_atoms():
    cell = afm_mno()[[2, 0, 3, 1]]  # O, Mn up, O, Mn down
    written = pw_input(cell, task(), "fast", UPF, "6.7MaX")
    assert species_labels(written) == ["O", "Mn", "Mn1"]
    assert value(written, "hubbard_u(1)") is None
    assert value(written, "hubbard_u(2)") == value(written, "hubbard_u(3)") == "3.9"
    assert [float(value(written, f"starting_magnetization({i})")) for i in (1, 2, 3)] == [
        0.0,
        0.333333,
        -0.333333,
    ]


def test_a_start_moment_is_a_fraction_of_the_valence_electrons_and_never_above_one():
    cell = rock_salt("Mg")
    cell.add_site_property("magmom", [0.6, 0.0])
    files = {"Mg": upf("Mg", 10.0, ("3s",)), "O": UPF["O"]}
    written = pw_input(with_moments(cell), task(cell), "fast", files, "7.3")
    assert float(value(written, "starting_magnetization(1)")) == 0.06
    few = {"Mg": upf("Mg", 0.5, ("3s",)), "O": UPF["O"]}
    written = pw_input(with_moments(cell), task(cell), "fast", few, "7.3")
    assert float(value(written, "starting_magnetization(1)")) == 1.0


def test_without_moments_there_is_no_spin():
    cell = rock_salt()
    cell.add_site_property("magmom", [0.0, 0.0])
    written = pw_input(with_moments(cell), task(order="nonmagnetic"), "fast", UPF, "7.3")
    assert value(written, "nspin") is None
    assert "starting_magnetization" not in written


def test_a_molecule_is_a_triplet_at_one_point_without_smearing():
    box = Structure(Lattice.orthorhombic(8, 8.2, 9), ["O", "O"], [[0, 0, 0], [0, 0, 0.137]])
    box.add_site_property("magmom", [0.0, 0.0])
    asked = task(
        box, is_molecule=True, relaxation=RelaxationSettings(relax_cell=False), order="nonmagnetic"
    )
    written = pw_input(with_moments(box), asked, "balanced", UPF, "6.7MaX")
    assert "K_POINTS gamma" in written
    assert value(written, "occupations") == "'fixed'"
    assert value(written, "degauss") is None
    assert value(written, "nspin") == "2"
    assert float(value(written, "tot_magnetization")) == 2.0
    assert float(value(written, "starting_magnetization(1)")) == 0.0
    assert value(written, "calculation") == "'relax'"


def test_a_metal_has_more_points_and_wider_smearing():
    cell = Structure(Lattice.hexagonal(3.21, 5.21), ["Mg"] * 2, [[1 / 3, 2 / 3, 0.25]] * 2)
    atoms = Atoms("Mg2", cell=cell.lattice.matrix, scaled_positions=cell.frac_coords, pbc=True)
    dense = mesh(atoms, task(cell, is_metal=True), "balanced")
    sparse = mesh(atoms, task(cell), "balanced")
    assert all(a > b for a, b in zip(dense, sparse, strict=True))
    assert min(dense[:2]) >= 10
    written = pw_input(
        atoms, task(cell, is_metal=True), "balanced", {"Mg": upf("Mg", 10.0, ())}, "7.3"
    )
    assert value(written, "degauss") == "0.02"


def test_a_cell_follows_the_stress_at_a_cutoff_of_its_own():
    cutoff = cell_cutoff_ry("fast", UPF.values())
    assert cutoff == 65.0  # 1.3 times 50; above 1.1 times the 57 that Mn suggests
    assert cell_cutoff_ry("fast", [upf("Mg", 10.0, (), 97.0)]) == 107.0
    assert cell_cutoff_ry("fast", [dataclasses.replace(UPF["O"], cutoff_ry=None)]) == 65.0
    written = pw_input(afm_mno(), task(), "fast", UPF, "6.7MaX", cell_at_ry=cutoff)
    assert value(written, "calculation") == "'vc-relax'"
    assert float(value(written, "ecutwfc")) == 65.0
    assert float(value(written, "ecutrho")) == 520.0
    # 0.02 eV/angstrom * 4 atoms / 43.76 angstrom^3 = 1.828e-3 eV/angstrom^3 = 2.93 kbar; half of it
    assert float(value(written, "press_conv_thr")) == pytest.approx(1.46, abs=0.01)
    assert "&CELL" in written
    assert "&CELL" not in pw_input(afm_mno(), task(), "fast", UPF, "6.7MaX")


def test_a_mesh_can_be_kept_through_volumes():
    written = pw_input(afm_mno(), task(), "fast", UPF, "7.3", k_points=(3, 4, 5))
    assert "3 4 5 0 0 0" in lines_of(written)


def test_lin2019_is_the_settings_of_the_paper():
    settings = PROTOCOLS["lin2019"]
    written = pw_input(afm_mno(), task(), "lin2019", UPF, "7.3")
    assert float(value(written, "ecutwfc")) * 13.605693 == pytest.approx(650, abs=0.01)
    assert force_limit(task(), "lin2019") == settings.fmax == 0.025
    assert force_limit(task(), "fast") == RelaxationSettings().fmax
    for a in (4.18, 4.26, 4.44):  # NiO, CoO, MnO: the doubled cubic cell has the paper's mesh
        doubled = Atoms(cell=np.diag([a, a, 2 * a]), pbc=True)
        assert mesh(doubled, task(), "lin2019") == (4, 4, 2)


def test_safer_mixes_less_and_longer():
    usual = pw_input(afm_mno(), task(), "fast", UPF, "7.3")
    safer = pw_input(afm_mno(), task(safer=True), "fast", UPF, "7.3")
    assert float(value(safer, "mixing_beta")) < float(value(usual, "mixing_beta"))
    assert int(value(safer, "electron_maxstep")) > int(value(usual, "electron_maxstep"))
    assert value(safer, "mixing_mode") == "'local-TF'"
    assert value(usual, "mixing_mode") is None


def test_u_where_it_cannot_act_is_an_error():
    with pytest.raises(CalculationError, match=r"O: /pseudo/O.upf holds no atomic d .*2s, 2p"):
        pw_input(afm_mno(), task(u={"O": 4.0}), "fast", UPF, "7.3")
    bare = {**UPF, "Mn": dataclasses.replace(UPF["Mn"], orbitals=())}
    with pytest.raises(CalculationError, match="none at all"):
        pw_input(afm_mno(), task(), "fast", bare, "7.3")
    cell = rock_salt("Ce")
    cell.add_site_property("magmom", [0.0, 0.0])
    files = {"Ce": upf("Ce", 12.0, ("4f", "5d")), "O": UPF["O"]}
    with pytest.raises(CalculationError, match="act on f"):
        pw_input(with_moments(cell), task(cell, u={"Ce": 4.0}), "fast", files, "6.7MaX")


def test_versions():
    assert version_number("6.7MaX") == (6, 7)
    assert version_number("7.10") > version_number("7.2")
    with pytest.raises(CalculationError, match="no number"):
        version_number("develop")


VERSION_2 = """<UPF version="2.0.1">
  <PP_HEADER generated="by hand" element="{element}" pseudo_type="PAW"
     functional="{functional}" z_valence="1.500000000000E+01" wfc_cutoff="{cutoff}"/>
  <PP_PSWFC>
    <PP_CHI.1 size="2" index="1" label="3D" l="2" occupation="5.0"> 1.0 2.0 </PP_CHI.1>
    <PP_CHI.2 size="2" index="2" label="4S" l="0" occupation="2.0"> 1.0 2.0 </PP_CHI.2>
    <PP_CHI.3 size="2" index="3" label="4D" l="2" occupation="-1.0"> 1.0 2.0 </PP_CHI.3>
  </PP_PSWFC>
</UPF>
"""
VERSION_1 = """<PP_HEADER>
   0                   Version Number
  Mn                   Element
   US                  Ultrasoft pseudopotential
    T                  Nonlinear Core Correction
 SLA  PW   PBE  PBE     PBE  Exchange-Correlation functional
   15.00000000000      Z valence
 -209.00000000000      Total energy
  35.0000  240.0000    Suggested cutoff for wfc and rho
</PP_HEADER>
<PP_PSWFC>
3D    2  5.00          Wavefunction
  1.0 2.0
4S    0  2.00          Wavefunction
  1.0 2.0
</PP_PSWFC>
"""


def version_2(element="Mn", functional=" SLA  PW   PBX  PBC", cutoff="5.6E+01"):
    return VERSION_2.format(element=element, functional=functional, cutoff=cutoff)


def test_both_versions_of_upf_are_read(tmp_path):
    (tmp_path / "mn_pbe_v1.5.uspp.F.UPF").write_text(VERSION_1)
    (tmp_path / "O.pbe.upf").write_text(version_2(" O", "PBE", "0.0"))
    (tmp_path / "Os.upf").write_text("not looked at")
    old, new = pseudopotential(tmp_path, "Mn"), pseudopotential(tmp_path, "O")
    assert (old.element, old.valence, old.cutoff_ry) == ("Mn", 15.0, 35.0)
    assert old.orbitals == ("3d", "4s")
    assert old.d_orbital == "3d"
    assert (new.element, new.valence, new.cutoff_ry) == ("O", 15.0, None)
    assert new.d_orbital == "3d"  # the unbound 4d does not count
    assert old.sha256 != new.sha256
    assert len(old.sha256) == 64


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "no pseudopotential of Mn"),
        (
            {"Mn.a.UPF": version_2(), "mn_b.upf": version_2()},
            r"2 pseudopotentials .*Mn.a.UPF, mn_b",
        ),
        ({"Mn.upf": version_2("Mo")}, r"Mn.upf: its header says that it is of Mo.*replace"),
        (
            {"Mn.upf": version_2(functional="SLA PW PSX PSC")},
            r"Mn.upf: .*'SLA PW PSX PSC', not PBE",
        ),
        ({"Mn.upf": version_2(functional="PBESOL")}, "not PBE"),
        ({"Mn.upf": "nothing"}, "no PP_HEADER"),
        ({"Mn.upf": '<PP_HEADER element="Mn"/>'}, "lacks element, functional or valence"),
    ],
)
def test_a_missing_or_wrong_pseudopotential_is_one_line(tmp_path, files, message):
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(CalculationError, match=message) as error:
        pseudopotential(tmp_path, "Mn")
    assert "\n" not in str(error.value)
    assert str(tmp_path) in str(error.value)


def test_a_folder_that_cannot_be_read_ends_the_campaign(tmp_path):
    with pytest.raises(RocksaltError, match="ROCKSALT_ESPRESSO_PSEUDO_DIR") as error:
        pseudopotential(tmp_path / "none", "Mn")
    assert not isinstance(error.value, CalculationError)
