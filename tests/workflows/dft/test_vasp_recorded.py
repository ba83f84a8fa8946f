"""Reading what VASP wrote: recorded runs in its place, in the way in which atomate2 tests its own jobs.

Where the runs are from and how they were cut is in ``recorded/README.md``. atomate2's stand-in for
VASP compares the settings that are named and the cell with those of the record, and leaves the
record's outputs in the folder of the job.
"""

import gzip
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from atomate2.utils.testing.vasp import monkeypatch_vasp
from pymatgen.core import SETTINGS as PYMATGEN
from pymatgen.core import Structure
from pymatgen.electronic_structure.core import Spin
from pymatgen.io.vasp import Vasprun

from rocksalt.screening.errors import CalculationError
from rocksalt.workflows.dft import vasp
from rocksalt.workflows.dft.density_of_states import DensityOfStatesSettings
from rocksalt.workflows.dft.settings import DftSettings
from rocksalt.workflows.dft.task import DftTask
from rocksalt.workflows.relaxer import RelaxationSettings

RECORDED = Path(__file__).parent / "recorded"


@pytest.fixture
def recorded_vasp(monkeypatch, tmp_path):
    """Put records in VASP's place; call it with the record and the settings to compare, by job."""
    from atomate2.vasp.jobs import base

    command = tmp_path / "vasp_std"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    monkeypatch.setattr("atomate2.SETTINGS.VASP_CMD", str(command))
    monkeypatch.setitem(PYMATGEN, "PMG_VASP_PSP_DIR", str(tmp_path))
    with monkeypatch.context() as patches:
        stand_in = monkeypatch_vasp(patches, RECORDED)
        use = next(stand_in)
        copy_record = base.run_vasp

        def run_vasp(**_):
            copy_record()
            for packed in Path().glob("*.gz"):  # VASP writes over what the job before has left
                packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
                packed.unlink()
            for name in ("WAVECAR", "CHGCAR"):  # in no record, and wanted by the next job
                Path(name).touch()

        patches.setattr(base, "run_vasp", run_vasp)

        def put(records):
            # The records' meshes of k-points and potentials are others than the set's of today.
            also = {"check_inputs": ("incar", "poscar"), "clear_inputs": False}
            use(
                {job: record for job, (record, _) in records.items()},
                {job: {"incar_settings": keys, **also} for job, (_, keys) in records.items()},
            )

        yield put
        assert next(stand_in, None) is None  # it forgets the records


def task(record, directory, **settings):
    return DftTask(
        structure=Structure.from_file(RECORDED / record / "inputs" / "POSCAR"),
        relaxation=RelaxationSettings(rattle_angstrom=0, rattle_strain=0),
        settings=DftSettings(**settings),
        is_molecule=False,
        is_metal=True,
        directory=directory,
    )


def run(record):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of POTCARs that are not beside it
        return Vasprun(
            RECORDED / record / "outputs" / "vasprun.xml.gz",
            parse_projected_eigen=True,
            parse_potcar_file=False,
        )


def written(record, pattern):
    """Return all that a pattern finds in an OUTCAR, as it stands there."""
    text = gzip.decompress((RECORDED / record / "outputs" / "OUTCAR.gz").read_bytes()).decode()
    return re.findall(pattern, text)


TWICE_AND_STATIC = {
    "MP GGA relax 1": ("silicon/relax_1", ["IBRION", "ISIF", "NSW", "EDIFFG", "PREC", "LASPH"]),
    "MP GGA relax 2": ("silicon/relax_2", ["IBRION", "ISIF", "NSW", "EDIFFG", "PREC", "LASPH"]),
    "MP GGA static": ("silicon/static", ["NSW", "LREAL", "PREC", "ISMEAR", "LORBIT"]),
}


def test_two_relaxations_and_a_static_run(recorded_vasp, tmp_path):
    recorded_vasp(TWICE_AND_STATIC)
    result = vasp.relax_dft(task("silicon/relax_1", tmp_path), "mp")
    # What the three OUTCARs say, read without any of the readers in between.
    energies = [
        float(written(f"silicon/{step}", r"energy\(sigma->0\) =\s+(\S+)")[-1])
        for step in ("relax_1", "relax_2", "static")
    ]
    seconds = [
        float(written(f"silicon/{step}", r"Total CPU time used \(sec\):\s+(\S+)")[0])
        for step in ("relax_1", "relax_2", "static")
    ]
    kilobars = written("silicon/static", r"in kB((?:\s+-?\d+\.\d+){6})")[-1].split()
    assert result.energies_ev == pytest.approx(energies, abs=1e-6)
    assert result.energy_ev == pytest.approx(-10.8503711)  # as given for this run in atomate2
    assert result.cpu_s == pytest.approx(4 * sum(seconds))  # on four cores
    assert np.diag(result.stress_gpa) == pytest.approx(
        [-float(s) / 10 for s in kilobars[:3]], abs=1e-6
    )
    assert result.n_evaluations == 3
    assert result.magmoms == pytest.approx([0, 0], abs=1e-3)
    assert result.method["version"].startswith("6.2.1")
    assert result.method["magnetic_order"] == "nonmagnetic"
    assert result.method["hubbard"] == {}
    assert list(result.method["files"]) == ["PAW_PBE Si 05Jan2001"]
    assert result.warnings == []


def test_an_input_that_is_not_the_records_is_refused(recorded_vasp, tmp_path):
    """The stand-in compares: else the tests of this file would pass with any input."""
    recorded_vasp({**TWICE_AND_STATIC, "MP GGA relax 1": ("silicon/relax_1", ["ENCUT"])})
    with pytest.raises(CalculationError, match=r"ENCUT is inconsistent: expected 680.*got 520"):
        vasp.relax_dft(task("silicon/relax_1", tmp_path), "mp")


SAME_SET = [
    *("ALGO", "EDIFF", "ENCUT", "IBRION", "ISIF", "ISPIN", "LDAU", "LDAUJ", "LDAUL", "LDAUTYPE"),
    *("LDAUU", "LMAXMIX", "LORBIT", "LREAL", "NSW", "PREC", "SIGMA"),
]
"""What the Materials Project's set of 2014 and that of today have in common."""


def relaxed_iron_oxide(recorded_vasp, directory):
    asked = task(
        "iron_oxide", directory, hubbard_u_ev={"Fe": 4.0}, magnetic_order="antiferromagnetic"
    )
    start = asked.structure.copy()
    start.add_site_property("magmom", [5.0, -5.0, 0.0, 0.0])
    recorded_vasp({"MP GGA relax": ("iron_oxide", SAME_SET)})
    relaxation = vasp.vasp_maker(asked, "antiferromagnetic").relax_maker.relax_maker1
    return asked, vasp._computed(asked, "antiferromagnetic", start, relaxation)


def test_an_oxide_with_u_whose_antiferromagnetic_start_was_lost(recorded_vasp, tmp_path):
    asked, state = relaxed_iron_oxide(recorded_vasp, tmp_path)
    result = vasp._result(asked, "mp", state, [state])
    sites = written("iron_oxide", r"(?m)^ +[1-4] +-?\d\.\d+ +-?\d\.\d+ +-?\d\.\d+ +(-?\d\.\d+)$")
    assert result.magmoms == pytest.approx([float(moment) for moment in sites[-4:]])
    assert result.magmoms == pytest.approx([3.007, 1.397, -0.189, -0.189])
    (warning,) = result.warnings
    assert warning == (
        "moments turned over, so the order is not that of the start: Fe; "
        "moments fell below half of their start, mu_B: Fe 1.40 (start 5.00)"
    )
    assert result.method["magnetic_order"] == "ferromagnetic"
    assert result.method["hubbard"] == {"Fe": 4.0}
    assert result.method["incar"]["LDAUU"] == [4.0, 0.0]
    assert result.method["total_moment_mu_b"] == pytest.approx(4.0, abs=1e-4)
    assert result.energy_ev == pytest.approx(-28.218515, abs=1e-6)  # the last line of its OSZICAR
    assert len(result.energies_ev) == result.n_evaluations == 28
    assert result.energies_ev[0] - result.energies_ev[-1] > 1  # it went a long way
    end = Structure.from_file(RECORDED / "iron_oxide" / "outputs" / "CONTCAR")
    assert result.atoms.get_volume() == pytest.approx(end.volume, rel=1e-6)
    assert result.atoms.get_chemical_symbols() == ["Fe", "Fe", "O", "O"]
    forces = np.array(run("iron_oxide").ionic_steps[-1]["forces"])
    assert result.max_force == pytest.approx(np.linalg.norm(forces, axis=1).max())
    assert result.max_force < 0.05


def test_an_output_that_was_cut_short_is_an_error(recorded_vasp, tmp_path, monkeypatch):
    """A job that was killed while VASP wrote."""
    from atomate2.vasp.jobs import base

    recorded_vasp({})
    outputs = RECORDED / "iron_oxide" / "outputs"

    def killed(**_):
        for name in ("OUTCAR", "vasprun.xml"):
            whole = gzip.decompress((outputs / f"{name}.gz").read_bytes())
            Path(name).write_bytes(whole[: len(whole) // 3])
        Path("vasp.out").write_text(" running on   12 total cores\n")

    monkeypatch.setattr(base, "run_vasp", killed)
    asked = task("iron_oxide", tmp_path, hubbard_u_ev={"Fe": 4.0}, magnetic_order="ferromagnetic")
    with pytest.raises(CalculationError, match=r"VASP failed: .*running on 12 total cores; log"):
        vasp.relax_dft(asked, "mp")


def test_the_last_words_of_a_run_that_failed(tmp_path):
    folder = tmp_path / "job"
    folder.mkdir()
    (folder / "vasp.out").write_bytes((RECORDED / "zbrent_vasp.out").read_bytes())
    said = vasp.last_words(tmp_path)
    assert "ZBRENT: fatal error in bracketing / please rerun with smaller EDIFF" in said
    assert str(folder / "vasp.out") in said
    assert "\n" not in said


def iron_states(recorded_vasp, directory):
    recorded_vasp(
        {"MP GGA static": ("iron", ["ISPIN", "LORBIT", "NSW", "PREC", "LASPH", "LMAXMIX"])}
    )
    asked = task("iron", directory, hubbard_u_ev={}, magnetic_order="ferromagnetic")
    return vasp.electronic_states(asked, "mp", DensityOfStatesSettings())


def test_states_and_their_orbitals(recorded_vasp, tmp_path):
    """Orbitals times occupations are the moments in the OUTCAR, which VASP adds up by itself."""
    states = iron_states(recorded_vasp, tmp_path)
    recorded = run("iron")
    assert states.eigenvalues_ev.shape == (2, 13, 64)
    up_and_down = [recorded.eigenvalues[spin][..., 1] for spin in (Spin.up, Spin.down)]
    occupations = np.array(up_and_down) * states.k_weights[None, :, None]
    assert occupations.sum() == pytest.approx(recorded.parameters["NELECT"], abs=1e-3)
    row = written("iron", r"(?m)^tot +(-?\d+\.\d+) +(-?\d+\.\d+) +(-?\d+\.\d+) +(-?\d+\.\d+)$")[-1]
    for letter, total in zip("spd", row, strict=False):
        spins = (occupations * states.projections[f"Fe-{letter}"]).sum(axis=(1, 2))
        assert spins[0] - spins[1] == pytest.approx(float(total), abs=2e-3)
    assert states.fermi_ev == pytest.approx(5.5678, abs=1e-3)
    assert states.relaxation.magmoms == pytest.approx([2.31] * 4, abs=1e-3)
