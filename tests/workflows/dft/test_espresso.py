"""The Quantum ESPRESSO engine: with a program that stands for pw.x, and with pw.x where there is one."""

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from rocksalt.screening.errors import CalculationError, RocksaltError
from rocksalt.workflows.calculate import calculate
from rocksalt.workflows.calculation import Calculation
from rocksalt.workflows.dft import espresso, espresso_input
from rocksalt.workflows.dft.settings import DftSettings
from rocksalt.workflows.dft.task import DftTask
from rocksalt.workflows.relaxer import RelaxationSettings

RECORDED = Path(__file__).parent / "reference" / "mno_afm_qe67.pwo"

PSEUDO_DIR = os.environ.get("ROCKSALT_ESPRESSO_PSEUDO_DIR")
COMMAND = os.environ.get("ROCKSALT_ESPRESSO_COMMAND", "pw.x")

HEADER = """<PP_HEADER element="{element}" functional="PBE" z_valence="{valence}" wfc_cutoff="{cutoff}"/>
<PP_PSWFC><PP_CHI.1 label="{orbital}" l="2" occupation="5.0"> 0.0 </PP_CHI.1></PP_PSWFC>
"""

FAKE = """
import json, sys
from pathlib import Path
here = Path(__file__).parent
if "-in" not in sys.argv:
    print("     Program PWSCF v.6.7MaX starts on 21Nov2026 at 12:00:00")
    sys.exit(1)
with open(here / "runs", "a") as runs:
    runs.write(str(Path.cwd()) + "\\n")
told = json.loads((here / "told.json").read_text())
text = Path(told["output"]).read_text()
sys.stdout.write(text[: told["characters"]])
sys.stderr.write(told["errors"])
sys.exit(told["exit_code"])
"""


def rock_salt(metal="Mn", a=4.44):
    half = a / 2
    lattice = Lattice([[0, half, half], [half, 0, half], [half, half, 0]])
    return Structure(lattice, [metal, "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def task(directory, structure=None, *, u=3.9, order="antiferromagnetic", relax_cell=False, **more):
    still = RelaxationSettings(rattle_angstrom=0, rattle_strain=0, relax_cell=relax_cell)
    given = {
        "structure": structure or rock_salt(),
        "relaxation": still,
        "settings": DftSettings(hubbard_u_ev={"Mn": u}, magnetic_order=order),
        "is_molecule": False,
        "is_metal": False,
        "directory": directory,
    }
    return DftTask(**{**given, **more})


@pytest.fixture
def told(tmp_path, monkeypatch):
    """Put a program that prints the recorded output in the place of pw.x; return how to change it."""

    def tell(*, output=RECORDED, characters=None, errors="", exit_code=0):
        said = {"output": str(output), "characters": characters}
        said |= {"errors": errors, "exit_code": exit_code}
        (tmp_path / "told.json").write_text(json.dumps(said))

    tell()
    (tmp_path / "fake.py").write_text(FAKE)
    folder = tmp_path / "pseudo"
    folder.mkdir()
    for element, valence, cutoff, orbital in (("Mn", 15, 57, "3D"), ("O", 6, 47, "2P")):
        header = HEADER.format(element=element, valence=valence, cutoff=cutoff, orbital=orbital)
        (folder / f"{element}.upf").write_text(header)
    monkeypatch.setenv("ROCKSALT_ESPRESSO_COMMAND", f"{sys.executable} {tmp_path / 'fake.py'}")
    monkeypatch.setenv("ROCKSALT_ESPRESSO_PSEUDO_DIR", str(folder))
    return tell


def test_a_run_is_read_and_described(told, tmp_path):
    result = espresso.relax_dft(task(tmp_path), "fast")
    assert result.converged
    assert result.energy_ev == pytest.approx(-8927.178, abs=0.01)
    assert result.magmoms == pytest.approx([4.2219, -4.2219, 0, 0], abs=2e-3)
    method = result.method
    assert method["code"] == "Quantum ESPRESSO"
    assert method["version"] == "6.7MaX"
    assert method["magnetic_order"] == "antiferromagnetic"
    assert method["hubbard"] == {"Mn": 3.9}
    assert method["hubbard_projectors"] == "atomic"
    assert method["cutoff_ev"] == pytest.approx(50 * 13.605693)
    assert method["k_mesh"] == list(
        espresso_input.k_mesh(np.array([[1, -1, 0], [1, 0, -1], [2, 1, 1]]) * 2.22, 2.7)
    )
    assert set(method["files"]) == {"Mn.upf", "O.upf"}
    assert all(len(digest) == 64 for digest in method["files"].values())
    assert Path(method["directory"]) == tmp_path / "antiferromagnetic"
    assert (tmp_path / "antiferromagnetic" / "espresso.pwi").is_file()
    assert method["energies_ev_per_atom"] == {"antiferromagnetic": result.energy_ev / 4}
    # Of the made-up pseudopotentials Mn wants 57 Ry, this protocol has 50.
    assert [w for w in result.warnings if "Mn 57" in w]


def test_both_orders_are_run_in_folders_of_their_own(told, tmp_path):
    espresso.relax_dft(task(tmp_path, order="lowest"), "fast")
    folders = (tmp_path / "runs").read_text().split()
    assert [Path(f).name for f in folders] == ["ferromagnetic", "antiferromagnetic"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"characters": 9000}, r"cut short: .*; log .*espresso.pwo$"),
        ({"characters": 9000, "exit_code": 137}, r"killed by signal 9: .*; log .*espresso.pwo$"),
        ({"characters": 0, "errors": "out of memory\n", "exit_code": 1}, "out of memory; log "),
    ],
)
def test_a_run_that_fails_says_its_last_words_and_where(told, tmp_path, changes, message):
    told(**changes)
    with pytest.raises(CalculationError, match=message) as error:
        espresso.relax_dft(task(tmp_path), "fast")
    assert "\n" not in str(error.value)
    assert str(tmp_path / "antiferromagnetic") in str(error.value)


def test_a_missing_pseudopotential_starts_nothing(told, tmp_path):
    with pytest.raises(CalculationError, match="no pseudopotential of Ni"):
        espresso.relax_dft(task(tmp_path, rock_salt("Ni")), "fast")
    assert not (tmp_path / "runs").exists()


def test_u_that_cannot_act_starts_nothing(told, tmp_path):
    settings = DftSettings(hubbard_u_ev={"O": 4.0}, magnetic_order="ferromagnetic")
    with pytest.raises(CalculationError, match=r"U of 4 eV on O: .*cannot act"):
        espresso.relax_dft(task(tmp_path, settings=settings), "fast")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("ROCKSALT_ESPRESSO_PSEUDO_DIR", None, "set espresso_pseudo_dir"),
        ("ROCKSALT_ESPRESSO_PSEUDO_DIR", "/no/such/folder", "/no/such/folder is no folder"),
        ("ROCKSALT_ESPRESSO_COMMAND", "no-such-pw.x", r"'no-such-pw.x' cannot be started"),
        ("ROCKSALT_ESPRESSO_COMMAND", "true", "'true' does not print a version"),
    ],
)
def test_without_program_or_folder_nothing_can_be_computed(
    told, tmp_path, monkeypatch, variable, value, message
):
    if value is None:
        monkeypatch.delenv(variable)
    else:
        monkeypatch.setenv(variable, value)
    with pytest.raises(RocksaltError, match=message) as error:
        espresso.relax_dft(task(tmp_path), "fast")
    assert not isinstance(error.value, CalculationError)
    assert "ROCKSALT_ESPRESSO" in str(error.value)


def test_a_cell_that_rises_in_energy_is_refused(told, tmp_path, monkeypatch):
    energies = iter([[-100.0, -100.2, -99.9]])
    end = espresso.read_relaxation(RECORDED.read_text())

    def run_pw(profile, directory, text):
        assert "'vc-relax'" in text
        return espresso.replace(end, energies_ev=next(energies))

    monkeypatch.setattr(espresso, "run_pw", run_pw)
    oblique = rock_salt()
    oblique.perturb(0.01)
    with pytest.raises(CalculationError, match=r"25\.0 meV/atom above its start"):
        espresso.relax_dft(task(tmp_path, oblique, relax_cell=True), "fast")


def test_a_cell_at_rest_gets_the_energy_of_the_protocols_cutoff(told, tmp_path, monkeypatch):
    """A first relaxation leaves stress in the new plane waves, a second does not."""
    end = espresso.read_relaxation(RECORDED.read_text())
    texts = []
    stresses = [np.eye(3), 0.01 * np.eye(3), None]

    def run_pw(profile, directory, text):
        texts.append(text)
        stress = stresses[len(texts) - 1]
        return espresso.replace(end, energies_ev=[-100.0 - len(texts)], stress_gpa=stress)

    monkeypatch.setattr(espresso, "run_pw", run_pw)
    oblique = rock_salt()
    oblique.perturb(0.01)
    result = espresso.relax_dft(task(tmp_path, oblique, relax_cell=True), "fast")
    assert ["'vc-relax'" in text for text in texts] == [True, True, False]
    assert ["ecutwfc          = 50\n" in text for text in texts] == [False, False, True]
    assert result.energy_ev == -103.0
    assert result.stress_gpa == pytest.approx(0.01 * np.eye(3))
    assert result.method["cell_cutoff_ev"] == pytest.approx(65 * 13.605693)
    assert result.optimizer == "BFGS"


def test_the_volume_of_a_rock_salt_is_found_by_energies(told, tmp_path, monkeypatch):
    """pw.x is replaced by a parabola in V^(-2/3) with its minimum at 45 angstrom^3."""
    end = espresso.read_relaxation(RECORDED.read_text())
    meshes = set()

    def run_pw(profile, directory, text):
        rows = text.split("CELL_PARAMETERS angstrom\n")[1].splitlines()[:3]
        volume = abs(np.linalg.det([[float(x) for x in row.split()] for row in rows]))
        meshes.add(text.split("K_POINTS automatic\n")[1].splitlines()[0])
        energy = -100 + 50 * (volume ** (-2 / 3) - 45 ** (-2 / 3)) ** 2 * 45 ** (4 / 3)
        atoms = end.atoms.copy()
        atoms.set_cell(atoms.cell * (volume / atoms.get_volume()) ** (1 / 3), scale_atoms=True)
        return espresso.replace(end, energies_ev=[energy], atoms=atoms, stress_gpa=None)

    monkeypatch.setattr(espresso, "run_pw", run_pw)
    result = espresso.relax_dft(task(tmp_path, relax_cell=True), "fast")
    assert result.optimizer == "E(V)"
    assert result.atoms.get_volume() == pytest.approx(45, rel=0.005)
    assert result.energy_ev == pytest.approx(-100, abs=0.01)
    assert len(meshes) == 1  # all points of the curve have the start's mesh
    assert result.stress_gpa is None


def calculation(structure):
    return Calculation(
        role="end-member",
        label="rock salt",
        engine="espresso:fast",
        structure=structure,
        fingerprint="made up",
        prototype="rock-salt",
        relaxation=RelaxationSettings(rattle_angstrom=0, rattle_strain=0, relax_cell=False),
        dft=DftSettings(hubbard_u_ev={"Mn": 3.9}, magnetic_order="antiferromagnetic"),
    )


def test_the_document_of_a_calculation(told, tmp_path, monkeypatch):
    monkeypatch.setenv("ROCKSALT_DFT_DIRECTORY", str(tmp_path / "dft"))
    document = calculate(calculation(rock_salt()))
    assert document.state == "done"
    assert document.energy_ev_per_atom == pytest.approx(-8927.178 / 4, abs=0.01)
    assert document.magmoms_mu_b == pytest.approx([4.2219, -4.2219, 0, 0], abs=2e-3)
    assert document.energy_scale == "PBE (espresso, fast) +U(Mn 3.9)"
    assert Path(document.method["directory"]).is_relative_to(tmp_path / "dft")


def test_a_failed_run_is_tried_once_more_and_both_reasons_are_kept(told, tmp_path, monkeypatch):
    monkeypatch.setenv("ROCKSALT_DFT_DIRECTORY", str(tmp_path / "dft"))
    told(characters=9000)
    document = calculate(calculation(rock_salt()))
    assert document.state == "failed"
    assert document.error.count("cut short") == 2
    assert "; with safer settings: " in document.error
    inputs = [
        (Path(folder) / "espresso.pwi").read_text()
        for folder in (tmp_path / "runs").read_text().split()
    ]
    assert ["local-TF" in text for text in inputs] == [False, True]


def test_what_is_wrong_with_the_input_is_said_once(told, tmp_path, monkeypatch):
    monkeypatch.setenv("ROCKSALT_DFT_DIRECTORY", str(tmp_path / "dft"))
    document = calculate(calculation(rock_salt("Ni")))
    assert document.state == "failed"
    assert document.error.count("no pseudopotential of Ni") == 1


needs_pw = pytest.mark.skipif(
    shutil.which(COMMAND.split()[0]) is None or PSEUDO_DIR is None,
    reason="needs pw.x (ROCKSALT_ESPRESSO_COMMAND) and UPF files for Mn and O "
    "(ROCKSALT_ESPRESSO_PSEUDO_DIR)",
)


@pytest.fixture
def coarse(monkeypatch):
    """Make a protocol that takes seconds, and whose numbers serve for nothing else."""
    settings = espresso_input.Protocol(40, 320, 1.35, 3.0, 1e-7)
    monkeypatch.setitem(espresso_input.PROTOCOLS, "coarse", settings)


@needs_pw
@pytest.mark.slow
def test_pw_antiferromagnetic_mno_with_u_is_below_the_ferromagnetic_one(coarse, tmp_path):
    """Measured: MnO orders as AFM-II, with Mn(2+) of 5 d electrons, high spin."""
    result = espresso.relax_dft(task(tmp_path, order="lowest"), "coarse")
    assert result.method["magnetic_order"] == "antiferromagnetic"
    energies = result.method["energies_ev_per_atom"]
    assert energies["antiferromagnetic"] < energies["ferromagnetic"] - 0.01
    up, down, *oxygens = result.magmoms
    assert up == pytest.approx(-down, abs=0.01)
    assert 4 < abs(up) < 5
    assert np.abs(oxygens).max() < 0.1
    assert result.max_force < 0.02
    assert result.method["total_moment_mu_b"] == pytest.approx(0, abs=0.01)


@needs_pw
@pytest.mark.slow
def test_pw_a_molecule_relaxes_to_a_triplet(coarse, tmp_path):
    box = Structure(Lattice.orthorhombic(5.0, 5.2, 6.0), ["O", "O"], [[0, 0, 0], [0, 0, 0.19]])
    result = espresso.relax_dft(task(tmp_path, box, is_molecule=True), "coarse")
    assert result.method["total_moment_mu_b"] == pytest.approx(2.0)
    assert result.energies_ev[-1] < result.energies_ev[0] - 0.05  # from 1.14 angstrom
    assert 1.18 < result.atoms.get_distance(0, 1, mic=True) < 1.28  # PBE 1.22, measured 1.21
    assert result.max_force < 0.02
    assert result.warnings == [] or "below what the pseudopotentials" in result.warnings[0]


@needs_pw
@pytest.mark.slow
def test_pw_says_what_it_does_not_like(coarse, tmp_path, monkeypatch):
    monkeypatch.setattr(espresso, "pw_input", lambda *a, **k: "&CONTROL\n calculation='xyz'\n/\n")
    with pytest.raises(CalculationError, match=r"pw.x stopped: Error in routine .*; log .*pwo"):
        espresso.relax_dft(task(tmp_path), "coarse")
