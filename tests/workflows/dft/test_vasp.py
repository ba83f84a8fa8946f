"""The VASP engine: inputs that were checked by hand, and a flow with outputs of a made-up run.

VASP and its POTCARs need a licence. As in atomate2's own tests its run is replaced by one that puts
outputs into the folder, and POTCARs by their names.
"""

import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.electronic_structure.core import Spin
from pymatgen.io.vasp import Incar, Kpoints, Poscar
from pymatgen.io.vasp.sets import BadInputSetWarning

from rocksalt.screening.errors import CalculationError, RocksaltError
from rocksalt.workflows.dft import vasp
from rocksalt.workflows.dft.density_of_states import DensityOfStatesSettings
from rocksalt.workflows.dft.kpoints import k_mesh
from rocksalt.workflows.dft.settings import DftSettings
from rocksalt.workflows.dft.task import DftTask
from rocksalt.workflows.relaxer import RelaxationSettings

REFERENCE = Path(__file__).parent / "reference" / "mno_afm_vasp"
STILL = RelaxationSettings(rattle_angstrom=0, rattle_strain=0)


def rock_salt(metal="Mn", a=4.44):
    half = a / 2
    lattice = Lattice([[0, half, half], [half, 0, half], [half, half, 0]])
    return Structure(lattice, [metal, "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def afm_mno(a=4.44):
    """AFM-II with an oxygen first: the set has to sort the sites and moments."""
    vectors = np.array([[1, -1, 0], [1, 0, -1], [2, 1, 1]]) * a / 2
    positions = [[0.25] * 3, [0, 0, 0], [0.5] * 3, [0.75] * 3]
    moments = {"magmom": [0.0, 5.0, -5.0, 0.0]}
    return Structure(vectors, ["O", "Mn", "Mn", "O"], positions, site_properties=moments)


def task(structure=None, *, u="materials-project", order="antiferromagnetic", **changes):
    given = {
        "structure": structure or rock_salt(),
        "relaxation": STILL,
        "settings": DftSettings(hubbard_u_ev=u, magnetic_order=order),
        "is_molecule": False,
        "is_metal": False,
        "directory": Path("/nowhere"),
    }
    return DftTask(**{**given, **changes})


def inputs(asked, structure, step="relax", order="antiferromagnetic"):
    maker = vasp.vasp_maker(asked, order)
    jobs = {
        "relax": maker.relax_maker.relax_maker1,
        "second": maker.relax_maker.relax_maker2,
        "static": maker.static_maker,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BadInputSetWarning)  # the set's own remarks on metals
        return jobs[step].input_set_generator.get_input_set(structure, potcar_spec=True)


@pytest.mark.parametrize("step", ["relax", "static"])
def test_antiferromagnetic_mno_is_the_input_that_was_checked_by_hand(step):
    """Every line was checked against VASP's documentation and the Materials Project's set.

    POSCAR: vectors a/2 (1 -1 0), (1 0 -1), (2 1 1); Mn before O though the cell is not in that order.
    MAGMOM is in the order of POSCAR's sites: 5, -5, then two oxygens. LDAUU, LDAUL, LDAUJ are in the
    order of its species: 3.9 eV on Mn, l = 2 (d), J = 0; O has U = 0 (its l is without effect).
    LDAUTYPE 2 is Dudarev's, LMAXMIX 4 is needed for d shells with U, LASPH and PREC are the set's,
    ENCUT 520, EDIFF 5e-5 eV times 4 atoms, ISMEAR -5 with SIGMA 0.05, ISPIN 2. Relaxation: IBRION 2,
    ISIF 3 (cell, shape and positions), NSW 99 and, other than in the set, EDIFFG -0.02, the force
    that the campaign asks for. Static: NSW 0, LREAL false, a density of k-points of 100 in place of
    64 points per reciprocal cubic angstrom.
    KPOINTS, centred on Gamma: 64 times the (2 pi)^3 / 43.76 = 5.668 reciprocal cubic angstrom of
    the zone are 363 points, numbers along the vectors of 3.140, 3.140 and 5.438 angstrom in the
    inverse proportion of these, 8.6, 8.6 and 4.9, rounded down. Static: 100 times, 9.9, 9.9, 5.7.
    """
    written = inputs(task(), afm_mno(), step)
    incar = Incar.from_file(REFERENCE / f"INCAR.{step}")
    assert Incar.from_str(str(written["INCAR"])) == incar
    mesh = Kpoints.from_file(REFERENCE / f"KPOINTS.{step}")
    assert written["KPOINTS"].kpts == mesh.kpts
    assert written["KPOINTS"].style == mesh.style
    poscar = Poscar.from_file(REFERENCE / "POSCAR")
    assert written["POSCAR"].site_symbols == poscar.site_symbols == ["Mn", "O"]
    assert written["POSCAR"].natoms == poscar.natoms
    assert np.allclose(written["POSCAR"].structure.lattice.matrix, poscar.structure.lattice.matrix)
    assert np.allclose(written["POSCAR"].structure.frac_coords, poscar.structure.frac_coords)
    assert [float(m) for m in written["INCAR"]["MAGMOM"]] == [5.0, -5.0, 0.0, 0.0]
    assert written["INCAR"]["LDAUU"] == [3.9, 0]


def test_the_second_relaxation_is_like_the_first():
    first, second = (inputs(task(), afm_mno(), step)["INCAR"] for step in ("relax", "second"))
    assert first == second


def test_the_projects_u_acts_in_oxides_and_not_in_metals():
    metal = Structure(Lattice.cubic(2.9), ["Mn", "Mn"], [[0] * 3, [0.5] * 3])
    metal.add_site_property("magmom", [5.0, 5.0])
    assert vasp.hubbard_updates(task()) == {}
    assert "LDAUU" not in inputs(task(metal), metal)["INCAR"]


def test_a_u_of_ones_own_acts_in_oxides_and_in_metals():
    metal = Structure(Lattice.cubic(2.9), ["Mn", "Mn"], [[0] * 3, [0.5] * 3])
    metal.add_site_property("magmom", [5.0, 5.0])
    own = {"Mn": 4.5, "Ti": 2.0}
    for structure, expected in ((metal, [4.5]), (afm_mno(), [4.5, 0])):
        incar = inputs(task(structure, u=own), structure)["INCAR"]
        assert incar["LDAUU"] == expected
        assert incar["LDAUL"] == [2, 0][: len(expected)]
        assert incar["LDAUJ"] == [0, 0][: len(expected)]
        assert incar["LDAUTYPE"] == 2


@pytest.mark.parametrize("u", [{}, {"Ni": 6.2}])
def test_without_u_there_is_none(u):
    incar = inputs(task(u=u), afm_mno())["INCAR"]
    assert not incar.get("LDAU")
    assert "LDAUU" not in incar


def test_a_molecule_is_a_triplet_at_one_point_in_a_fixed_cell():
    box = Structure(Lattice.orthorhombic(8, 8.2, 9), ["O", "O"], [[0, 0, 0], [0, 0, 0.137]])
    still = RelaxationSettings(relax_cell=False, rattle_angstrom=0)
    asked = task(box, is_molecule=True, relaxation=still, order="nonmagnetic")
    (order, start), *others = vasp._starts(asked).items()
    assert not others
    written = inputs(asked, start, order=order)
    assert written["KPOINTS"].kpts == [(1, 1, 1)]
    incar = written["INCAR"]
    assert (incar["NUPDOWN"], incar["ISMEAR"], incar["ISIF"], incar["ISPIN"]) == (2, 0, 2, 2)
    assert [float(m) for m in incar["MAGMOM"]] == [1.0, 1.0]
    assert "ISIF" not in inputs(asked, start, "static", order)["INCAR"]


def test_a_fixed_cell_force_and_safer_settings():
    asked = task(relaxation=RelaxationSettings(relax_cell=False, fmax=0.05), safer=True)
    incar = inputs(asked, afm_mno())["INCAR"]
    assert incar["ISIF"] == 2
    assert incar["EDIFFG"] == -0.05
    assert incar["ALGO"] == "Normal"
    assert "EDIFFG" not in inputs(asked, afm_mno(), "static")["INCAR"]
    assert inputs(task(), afm_mno())["INCAR"]["ALGO"] == "Fast"


def test_without_spin():
    still = afm_mno()
    still.add_site_property("magmom", [0.0] * 4)
    asked = task(order="nonmagnetic")
    incar = inputs(asked, still, order="nonmagnetic")["INCAR"]
    assert incar["ISPIN"] == 1
    assert "MAGMOM" not in incar


def matrix(rows, indent="   "):
    return "\n".join(f"{indent}<v> {' '.join(f'{x:.8f}' for x in row)} </v>" for row in rows)


def crystal(structure, name=None):
    attribute = f' name="{name}"' if name else ""
    reciprocal = structure.lattice.reciprocal_lattice_crystallographic.matrix
    return f"""<structure{attribute}>
  <crystal>
   <varray name="basis">
{matrix(structure.lattice.matrix)}
   </varray>
   <i name="volume"> {structure.volume:.8f} </i>
   <varray name="rec_basis">
{matrix(reciprocal)}
   </varray>
  </crystal>
  <varray name="positions">
{matrix(structure.frac_coords)}
  </varray>
 </structure>"""


def energies(total):
    names = ("e_fr_energy", "e_wo_entrp", "e_0_energy")
    return "<energy>" + "".join(f'<i name="{n}"> {total:.8f} </i>' for n in names) + "</energy>"


def incar_lines(incar):
    kinds = {bool: "logical", int: "int", str: "string"}
    lines = []
    for key, value in incar.items():
        if isinstance(value, list):
            words = " ".join(str(float(v)) for v in value)
            lines.append(f'<v name="{key}"> {words} </v>')
            continue
        kind = kinds.get(type(value))
        attribute = f' type="{kind}"' if kind else ""
        said = ("T" if value else "F") if isinstance(value, bool) else value
        lines.append(f'<i{attribute} name="{key}"> {said} </i>')
    return "\n".join(lines)


_LEVELS = '<set comment="kpoint 1"><r> -1.0 1.0 </r><r> 1.0 0.0 </r></set>'
_SPINS = "".join(f'<set comment="spin {i}">{_LEVELS}</set>' for i in (1, 2))
_DENSITY = '<set comment="spin 1"><r> 0.0 0.0 0.0 </r></set>'
BANDS = f"""<eigenvalues><array><field>eigene</field><field>occ</field><set>{_SPINS}</set></array>
 </eigenvalues>
 <dos><i name="efermi"> 0.0 </i><total><array><set>{_DENSITY}</set></array></total></dos>"""
"""One point, two bands and a gap of 2 eV, for both spins."""


def vasprun(incar, structure, total, forces, stress, steps):
    """Return a vasprun.xml with what a relaxation writes, and nothing else."""
    step = f"""<calculation>
 <scstep>{energies(total)}</scstep>
 {crystal(structure)}
 <varray name="forces">
{matrix(forces)}
 </varray>
 <varray name="stress">
{matrix(stress)}
 </varray>
 {energies(total)}
 {BANDS}
</calculation>"""
    ions = "".join(
        f"<rc><c>{site.specie.symbol}</c><c>{1 if site.specie.symbol == 'Mn' else 2}</c></rc>"
        for site in structure
    )
    fields = "<field>atomspertype</field><field>element</field><field>mass</field>"
    fields += "<field>valence</field><field>pseudopotential</field>"
    return f"""<?xml version="1.0" encoding="ISO-8859-1"?>
<modeling>
<generator><i name="program" type="string">vasp</i><i name="version" type="string">6.4.2</i></generator>
<incar>
{incar_lines(incar)}
</incar>
<kpoints>
 <generation param="Gamma"><v type="int" name="divisions"> 8 8 4 </v>
 <v name="usershift"> 0 0 0 </v></generation>
<varray name="kpointlist"><v> 0.0 0.0 0.0 </v></varray>
 <varray name="weights"><v> 1.0 </v></varray>
</kpoints>
<parameters>
{incar_lines(incar)}
</parameters>
<atominfo>
 <atoms> 4 </atoms><types> 2 </types>
 <array name="atoms"><dimension dim="1">ion</dimension><field>element</field>
 <field>atomtype</field><set>{ions}</set></array>
 <array name="atomtypes"><dimension dim="1">type</dimension>{fields}<set>
 <rc><c>2</c><c>Mn</c><c>54.938</c><c>13.0</c><c> PAW_PBE Mn_pv made up </c></rc>
 <rc><c>2</c><c>O</c><c>16.0</c><c>6.0</c><c> PAW_PBE O made up </c></rc></set></array>
</atominfo>
{crystal(structure, "initialpos")}
{step * steps}
{crystal(structure, "finalpos")}
</modeling>
"""


def outcar(moments):
    rows = "\n".join(
        f"    {i}        0.000   0.000   {m:.3f}   {m:.3f}" for i, m in enumerate(moments, 1)
    )
    return f""" vasp.6.4.2 20Jul23 (build made up) complex
 running on    2 total cores
   number of bands    NBANDS=     32
 total plane-waves  NPLWV =  32768
   IBRION =      2    ionic relax: 0-MD 1-quasi-New 2-CG
    total drift:                                0.000100     -0.000200      0.000000
 number of electron      38.0000000 magnetization       {sum(moments):.7f}
 magnetization (x)

# of ion       s       p       d       tot
------------------------------------------
{rows}
--------------------------------------------------
tot          0.000   0.000   {sum(moments):.3f}   {sum(moments):.3f}


                  Total CPU time used (sec):       10.500
                            User time (sec):       10.000
                          System time (sec):        0.500
                         Elapsed time (sec):       11.000
                   Maximum memory used (kb):      200000.
                   Average memory used (kb):          N/A
"""


class FakeVasp:
    """Runs in the place of VASP: checks what it is given, and writes what a run would have left."""

    def __init__(self):
        self.incars = []
        self.energies = {"ferromagnetic": -35.0, "antiferromagnetic": -35.4}
        self.moments = 4.5
        self.fails = None
        self.steps = 3

    def __call__(self, **_):
        """Stand for `run_vasp`, in the folder of the job."""
        incar = Incar.from_file("INCAR")
        self.incars.append(dict(incar))
        poscar = Poscar.from_file("POSCAR")
        order = "antiferromagnetic" if len(poscar.structure) == 4 else "ferromagnetic"
        if self.fails:
            Path("vasp.out").write_text(f"reached required accuracy\n {self.fails}\n")
            raise RuntimeError("custodian gave up")
        structure = poscar.structure
        n = len(structure)
        signs = np.sign([float(m) for m in incar["MAGMOM"]])
        forces = np.zeros((n, 3))
        forces[0, 2] = 0.011
        total = self.energies[order] * n / 4
        steps = 1 if incar["NSW"] == 0 else self.steps
        text = vasprun(dict(incar), structure, total, forces, np.diag([10.0, 10.0, 12.0]), steps)
        text = text.replace("<atoms> 4 </atoms>", f"<atoms> {n} </atoms>")
        text = text.replace("<rc><c>2</c>", f"<rc><c>{n // 2}</c>")
        Path("vasprun.xml").write_text(text)
        Path("OUTCAR").write_text(outcar([self.moments * s for s in signs]))
        poscar.write_file("CONTCAR")
        for name in ("WAVECAR", "CHGCAR"):
            Path(name).touch()


@pytest.fixture
def fake_vasp(monkeypatch, tmp_path):
    """Put a fake in VASP's place, and the names of POTCARs in theirs."""
    from atomate2.vasp.jobs import base
    from pymatgen.core import SETTINGS as PYMATGEN
    from pymatgen.io.vasp.sets import VaspInputSet

    fake = FakeVasp()
    plain = VaspInputSet.get_input_set
    monkeypatch.setattr(base, "run_vasp", fake)
    monkeypatch.setattr(
        VaspInputSet,
        "get_input_set",
        lambda self, *given, **named: plain(self, *given, **{**named, "potcar_spec": True}),
    )
    command = tmp_path / "vasp_std"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    monkeypatch.setattr("atomate2.SETTINGS.VASP_CMD", f"{command} --flag")
    (tmp_path / "potcars").mkdir()
    monkeypatch.setitem(PYMATGEN, "PMG_VASP_PSP_DIR", str(tmp_path / "potcars"))
    return fake


def test_both_orders_are_computed_and_the_lower_is_kept(fake_vasp, tmp_path):
    result = vasp.relax_dft(task(order="lowest", directory=tmp_path), "mp")
    assert len(fake_vasp.incars) == 6  # two relaxations and a static one, of each order
    assert [incar["NSW"] for incar in fake_vasp.incars] == [99, 99, 0] * 2
    assert result.energy_ev == pytest.approx(-35.4)
    assert len(result.atoms) == 4
    assert result.method["energies_ev_per_atom"] == pytest.approx(
        {"ferromagnetic": -8.75, "antiferromagnetic": -8.85}
    )
    assert result.method["magnetic_order"] == "antiferromagnetic"
    assert result.magmoms == pytest.approx([4.5, -4.5, 0, 0])
    assert result.method["total_moment_mu_b"] == pytest.approx(0.0)
    assert result.method["hubbard"] == {"Mn": 3.9}
    assert result.method["version"].startswith("6.4.2")
    assert result.method["cutoff_ev"] == 520
    assert result.method["k_mesh"] == [8, 8, 4]
    assert result.method["incar"]["LDAUU"] == [3.9, 0]
    assert sorted(result.method["files"]) == ["PAW_PBE Mn_pv made up", "PAW_PBE O made up"]
    assert Path(result.method["directory"]).is_relative_to(tmp_path / "antiferromagnetic")
    # 10 kbar outward are -1 GPa of tension.
    assert np.diag(result.stress_gpa) == pytest.approx([-1.0, -1.0, -1.2])
    assert result.max_force == pytest.approx(0.011)
    assert result.n_evaluations == 2 * (3 + 3 + 1)
    assert result.cpu_s == pytest.approx(6 * 10.5 * 2)
    assert result.warnings == []


def test_moments_that_collapse_are_said(fake_vasp, tmp_path):
    fake_vasp.moments = 0.01
    result = vasp.relax_dft(task(order="ferromagnetic", directory=tmp_path), "mp")
    assert "collapsed" in " ".join(result.warnings)


def test_a_run_that_fails_says_vasps_last_words_and_where(fake_vasp, tmp_path):
    fake_vasp.fails = "ZBRENT: fatal error in bracketing"
    with pytest.raises(CalculationError) as error:
        vasp.relax_dft(task(order="ferromagnetic", directory=tmp_path), "mp")
    message = str(error.value)
    assert "custodian gave up" in message
    assert "ZBRENT: fatal error in bracketing; log " in message
    assert str(tmp_path / "ferromagnetic") in message
    assert "\n" not in message


def test_a_relaxation_out_of_steps_is_an_error(fake_vasp, tmp_path):
    fake_vasp.steps = 99
    with pytest.raises(CalculationError, match=r"VASP .*converge"):
        vasp.relax_dft(task(order="ferromagnetic", directory=tmp_path), "mp")


def test_without_vasp_nothing_starts(fake_vasp, tmp_path, monkeypatch):
    monkeypatch.setattr("atomate2.SETTINGS.VASP_CMD", "no-such-vasp")
    with pytest.raises(RocksaltError, match=r"'no-such-vasp'.*ATOMATE2_VASP_CMD") as error:
        vasp.relax_dft(task(directory=tmp_path), "mp")
    assert not isinstance(error.value, CalculationError)
    assert fake_vasp.incars == []


@pytest.mark.parametrize("folder", [None, "/no/such/folder"])
def test_without_potcars_nothing_starts(fake_vasp, tmp_path, monkeypatch, folder):
    from pymatgen.core import SETTINGS as PYMATGEN

    monkeypatch.setitem(PYMATGEN, "PMG_VASP_PSP_DIR", folder)
    with pytest.raises(RocksaltError, match=r"POTCAR.*PMG_VASP_PSP_DIR") as error:
        vasp.relax_dft(task(directory=tmp_path), "mp")
    assert not isinstance(error.value, CalculationError)
    assert fake_vasp.incars == []


# Densities of states.


def test_the_input_of_a_density_of_states():
    """A static run of the set on a mesh of its own, with projections and levels as they are."""
    settings = DensityOfStatesSettings(k_density=3.0)
    maker = vasp.states_maker(task(), "antiferromagnetic", afm_mno(), settings)
    written = maker.input_set_generator.get_input_set(afm_mno(), potcar_spec=True)
    incar = written["INCAR"]
    assert (incar["LORBIT"], incar["ISMEAR"], incar["SIGMA"]) == (11, 0, 0.05)
    assert (incar["NSW"], incar["ENCUT"], incar["LDAUU"]) == (0, 520, [3.9, 0])
    assert [float(m) for m in incar["MAGMOM"]] == [5.0, -5.0, 0.0, 0.0]
    # 3 points per reciprocal angstrom along 3.11, 3.11 and 5.39 angstrom, the cell's own obliqueness.
    assert written["KPOINTS"].kpts == [k_mesh(afm_mno().lattice.matrix, 3.0)]
    assert written["KPOINTS"].style == Kpoints.supported_modes.Gamma


def test_orbitals_of_a_run_are_summed_by_element():
    rng = np.random.default_rng(0)
    levels = {spin: rng.normal(size=(3, 5, 2)) for spin in (Spin.down, Spin.up)}
    projected = {spin: rng.uniform(size=(3, 5, 2, 9)) for spin in levels}
    run = SimpleNamespace(
        eigenvalues=levels, projected_eigenvalues=projected, actual_kpoints_weights=[1, 2, 1]
    )
    found, weights, orbitals = vasp.levels_of(run, rock_salt())
    assert found[0] == pytest.approx(levels[Spin.up][..., 0])
    assert found[1] == pytest.approx(levels[Spin.down][..., 0])
    assert weights == pytest.approx([0.25, 0.5, 0.25])
    assert list(orbitals) == ["Mn-s", "Mn-p", "Mn-d", "O-s", "O-p", "O-d"]
    up = projected[Spin.up]
    assert orbitals["Mn-d"][0] == pytest.approx(up[..., 0, 4] + up[..., 0, 5:].sum(axis=-1))
    assert orbitals["O-p"][0] == pytest.approx(up[..., 1, 1:4].sum(axis=-1))
    run.projected_eigenvalues = None
    with pytest.raises(CalculationError, match="LORBIT = 11 was not in force"):
        vasp.levels_of(run, rock_salt())
