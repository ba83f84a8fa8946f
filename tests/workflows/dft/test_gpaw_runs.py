"""GPAW itself, on cells and settings small enough for a few seconds."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

pytest.importorskip("gpaw", reason="GPAW is not installed: make test-dft")

from rocksalt.screening.density_of_states import band_edges, broadened_densities, orbital_shares
from rocksalt.screening.errors import CalculationError
from rocksalt.screening.prototypes import rock_salt
from rocksalt.workflows.calculate import calculate
from rocksalt.workflows.calculation import Calculation
from rocksalt.workflows.dft import gpaw as engine
from rocksalt.workflows.dft.density_of_states import DensityOfStatesSettings
from rocksalt.workflows.dft.gpaw_parameters import PROTOCOLS
from rocksalt.workflows.dft.kpoints import k_mesh
from rocksalt.workflows.dft.settings import DftSettings
from rocksalt.workflows.dft.task import DftTask
from rocksalt.workflows.relaxer import RelaxationSettings

STILL = RelaxationSettings(rattle_angstrom=0.0, rattle_strain=0.0, fmax=0.05)


@pytest.fixture
def coarse(monkeypatch):
    """Make a protocol that converges nothing and takes no time."""
    rough = replace(PROTOCOLS["fast"], cutoff_ev=400.0, k_density={"oxide": 2.0, "metal": 2.0})
    monkeypatch.setitem(PROTOCOLS, "coarse", rough)
    return "coarse"


def task_of(structure, folder, *, molecule=False, order="nonmagnetic", **settings):
    return DftTask(
        structure=structure,
        relaxation=STILL.model_copy(update={"relax_cell": not molecule}),
        settings=DftSettings(magnetic_order=order, **settings),
        is_molecule=molecule,
        is_metal=False,
        directory=folder,
    )


def test_a_rock_salt(coarse, tmp_path):
    """An insulator is content with it: MgO has 4.26 angstrom and 150 GPa in PBE."""
    result = engine.relax_dft(task_of(rock_salt("Mg", 4.2), tmp_path), coarse)
    a = (4 * result.atoms.get_volume()) ** (1 / 3)
    assert a == pytest.approx(4.26, abs=0.06)
    assert result.forces == pytest.approx(0, abs=1e-3)
    assert result.method["magnetic_order"] == "nonmagnetic"
    assert list(result.method["files"]) == ["Mg.PBE.gz", "O.PBE.gz"]
    assert result.method["equation_of_state"]["bulk_modulus_gpa"] == pytest.approx(150, rel=0.25)
    assert json.loads(json.dumps(result.method)) == result.method
    assert "Converged in" in (tmp_path / "nonmagnetic-cell.txt").read_text(encoding="utf-8")


def test_a_molecule_has_two_unpaired_electrons(coarse, tmp_path):
    box = Lattice.orthorhombic(5.0, 5.2, 5.6)
    ends = [[2.5, 2.6, 2.2], [2.5, 2.6, 3.45]]
    molecule = Structure(box, ["O", "O"], ends, coords_are_cartesian=True)
    result = engine.relax_dft(task_of(molecule, tmp_path, molecule=True), coarse)
    assert result.method["total_moment_mu_b"] == pytest.approx(2.0, abs=0.01)
    assert result.atoms.get_distance(0, 1) == pytest.approx(1.22, abs=0.06)
    assert result.max_force < STILL.fmax


def test_a_calculation_that_does_not_converge_says_so(coarse, tmp_path, monkeypatch):
    usual = engine.parameters
    monkeypatch.setattr(engine, "parameters", lambda *a, **k: {**usual(*a, **k), "maxiter": 2})
    with pytest.raises(CalculationError) as caught:
        engine.relax_dft(task_of(rock_salt("Ru", 4.5), tmp_path), coarse)
    said = str(caught.value)
    assert "KohnShamConvergenceError" in said
    assert "(last iter: 2 " in said
    assert said.endswith(f"log {tmp_path / 'nonmagnetic-cell.txt'}")


def test_u_pushes_the_energy_up(coarse, tmp_path):
    """A d shell that is partly filled pays for it."""
    settings = STILL.model_copy(update={"relax_cell": False})
    found = []
    for u in (0.0, 3.0):
        task = task_of(rock_salt("Ru", 4.5), tmp_path, hubbard_u_ev={"Ru": u})
        found.append(engine.relax_dft(replace(task, relaxation=settings), coarse).energy_ev)
    assert 0.1 < found[1] - found[0] < 6.0


def test_the_states_of_magnesia(coarse, tmp_path, monkeypatch):
    """Its gap in PBE is 4.4 eV, 4.2 with so few plane waves; below it there is little but O 2p.

    GPAW's own projected density, from the same run, is the other way to the same curve.
    """
    from gpaw.dos import DOSCalculator

    seen = []
    levels_of = engine._levels
    monkeypatch.setattr(engine, "_levels", lambda c, a: (seen.append(c), levels_of(c, a))[1])
    settings = DensityOfStatesSettings(k_density=3.0)
    task = task_of(rock_salt("Mg", 4.26), tmp_path)
    found = engine.electronic_states(task, coarse, settings)
    edges = band_edges(found.eigenvalues_ev, found.fermi_ev)
    assert not edges.is_metal
    assert edges.gap_ev == pytest.approx(4.3, abs=0.2)
    energies = edges.edge_ev() + np.arange(-8, 6, 0.02)
    own = broadened_densities(
        energies, found.eigenvalues_ev, found.k_weights, found.projections, 0.05
    )
    shares = orbital_shares(
        energies, {n: own[n].sum(axis=0) for n in ("O-p", "Mg-s")}, edges.edge_ev(), 1.0, 0.05
    )
    assert shares["O-p"] > 0.95
    theirs = DOSCalculator.from_calculator(seen[0], shift_fermi_level=False)
    # A width there is that of exp(-(E/w)^2), and oxygen is the second atom.
    raw = theirs.raw_pdos(energies, a=1, l=1, width=0.05 * np.sqrt(2))
    assert own["O-p"].sum(axis=0) == pytest.approx(raw, abs=1e-6)
    assert found.k_mesh == list(k_mesh(task.structure.lattice.matrix, 3.0))
    assert found.k_mesh[0] > found.relaxation.method["k_mesh"][0]
    assert {f.name for f in tmp_path.iterdir()} == {"nonmagnetic-field.txt", "states.txt"}


def test_a_density_of_states_of_a_metal(coarse, tmp_path, monkeypatch):
    """TiO in PBE without spin: Ti d at the Fermi level, which is the edge."""
    monkeypatch.setenv("ROCKSALT_DFT_DIRECTORY", str(tmp_path))
    monkeypatch.setitem(PROTOCOLS, "fast", PROTOCOLS[coarse])
    calculation = Calculation(
        role="density-of-states",
        label="TiO",
        engine="gpaw:fast",
        structure=rock_salt("Ti", 4.18),
        fingerprint="TiO",
        prototype="rock-salt",
        relaxation=STILL,
        dft=DftSettings(magnetic_order="nonmagnetic"),
        density_of_states=DensityOfStatesSettings(k_density=2.5),
        details={"host": "Ti"},
    )
    document = calculate(calculation)
    assert document.error is None
    found = document.density_of_states
    assert found.is_metal
    assert (found.reference, found.band_gap_ev) == ("fermi-level", 0.0)
    assert found.shares["Ti-d"] > 0.7
    assert found.shares["O-p"] + found.shares["Ti-d"] == pytest.approx(1.0)
    assert 0 < found.states_total < 3  # the two d electrons, and not all of them within 1 eV
    assert document.structure.volume == pytest.approx(calculation.structure.volume)
