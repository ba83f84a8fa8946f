"""What the GPAW engine asks for, keeps and says, with a model in the place of GPAW."""

from __future__ import annotations

import numpy as np
import pytest

from rocksalt.screening.errors import CalculationError
from rocksalt.screening.prototypes import element_starts, oxygen_starts, rock_salt
from rocksalt.workflows.dft import gpaw as engine
from rocksalt.workflows.dft.density_of_states import DensityOfStatesSettings
from rocksalt.workflows.dft.gpaw_parameters import PROTOCOLS, parameters
from rocksalt.workflows.dft.kpoints import k_mesh
from rocksalt.workflows.dft.settings import DftSettings
from rocksalt.workflows.dft.task import DftTask
from rocksalt.workflows.mock import MockCalculator
from rocksalt.workflows.relaxer import RelaxationSettings

KEPT = 0.9**2
"""What is left of a moment in the model after the cell and the energy."""

STILL = RelaxationSettings(rattle_angstrom=0.0, rattle_strain=0.0)


class Model(MockCalculator):
    """The mock engine with moments: those of the start, shrunken; opposite neighbours gain energy."""

    gain_ev_per_atom = 0.0
    shrinking = 0.9
    made = ()

    def __init__(self, given, log):
        super().__init__()
        self.given, self.log = given, log
        self.n = 0
        self.implemented_properties = [*self.implemented_properties, "magmoms", "magmom"]

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        """Compute everything."""
        super().calculate(atoms, properties, system_changes)
        self.n += 1
        moments = self.shrinking * atoms.get_initial_magnetic_moments()
        if (moments < 0).any():
            self.results["energy"] -= self.gain_ev_per_atom * len(atoms)
        self.results |= {"magmoms": moments, "magmom": moments.sum()}
        self.log.write(f"header\niter:   {self.n}  12:00:00  -16.5  -3.1c\n")


@pytest.fixture
def model(monkeypatch):
    """Put the model in the place of GPAW; return its class, and in `made` what was made."""
    kind = type("Kind", (Model,), {"made": []})

    def make(given, log):
        kind.made.append(kind(given, log))
        return kind.made[-1]

    monkeypatch.setattr(engine, "_new_calculator", make)
    monkeypatch.setattr(engine, "_datasets", lambda _: {"Mn.PBE.gz": "0" * 64})
    monkeypatch.setattr(engine, "_version", lambda: "26.7.0")
    return kind


@pytest.fixture
def task(tmp_path):
    """Return a function that makes a task of a structure."""

    def make(structure, relaxation=STILL, *, metal=False, molecule=False, safer=False, **settings):
        return DftTask(
            structure=structure,
            relaxation=relaxation,
            settings=DftSettings(**settings),
            is_molecule=molecule,
            is_metal=metal,
            directory=tmp_path,
            safer=safer,
        )

    return make


def hcp(symbol):
    return next(s.structure for s in element_starts(symbol) if s.prototype == "hcp")


def test_a_rock_salt_is_relaxed_by_its_volume(model, task):
    result = engine.relax_dft(task(rock_salt("Mn", 4.6)), "balanced")
    assert result.optimizer == "E(V)"
    assert result.converged
    assert [c.given["kpts"]["size"] for c in model.made] == [(5, 5, 5), (8, 8, 8)]
    assert model.made[1].n == 1
    assert result.n_evaluations == model.made[0].n + 1 == len(result.energies_ev)
    at_minimum = result.energies_ev[-1]
    assert at_minimum == result.energy_ev == pytest.approx(min(result.energies_ev))
    cell = result.atoms.cell.array / np.cbrt(result.atoms.get_volume())
    start = rock_salt("Mn", 4.6).lattice.matrix
    assert cell == pytest.approx(start / np.cbrt(np.linalg.det(start)))
    for scale in (0.98, 1.02):  # and it is one
        atoms = result.atoms.copy()
        atoms.set_cell(atoms.cell * scale, scale_atoms=True)
        atoms.calc = MockCalculator()
        assert atoms.get_potential_energy() > at_minimum


def test_the_method_says_how(model, task, tmp_path):
    result = engine.relax_dft(task(rock_salt("Mn"), hubbard_u_ev={"Mn": 3.9}), "balanced")
    method = result.method
    assert (method["code"], method["version"], method["functional"]) == ("GPAW", "26.7.0", "PBE")
    assert method["cutoff_ev"] == PROTOCOLS["balanced"].cutoff_ev
    assert method["k_mesh"] == [8, 8, 8]
    assert method["smearing"] == {"kind": "Fermi-Dirac", "width_ev": 0.05}
    assert method["hubbard"] == {"Mn": 3.9}
    assert ":d,U,0" in method["hubbard_projectors"]
    assert method["magnetic_order"] == "ferromagnetic"
    assert method["total_moment_mu_b"] == pytest.approx(5 * KEPT)
    assert method["energies_ev_per_atom"] == {"ferromagnetic": pytest.approx(result.energy_ev / 2)}
    assert method["files"] == {"Mn.PBE.gz": "0" * 64}
    assert method["directory"] == str(tmp_path)
    assert method["equation_of_state"]["bulk_modulus_gpa"] > 0
    assert result.magmoms.tolist() == pytest.approx([5 * KEPT, 0])
    assert result.warnings == []


def test_the_lower_order_is_kept_and_both_are_told(model, task):
    model.gain_ev_per_atom = 0.03
    result = engine.relax_dft(task(rock_salt("Ni"), magnetic_order="lowest"), "balanced")
    energies = result.method["energies_ev_per_atom"]
    assert list(energies) == ["ferromagnetic", "antiferromagnetic"]
    gain = energies["ferromagnetic"] - energies["antiferromagnetic"]
    assert gain == pytest.approx(0.03, abs=1e-4)
    assert len(result.atoms) == 4
    assert result.energy_ev / 4 == pytest.approx(energies["antiferromagnetic"])
    assert result.method["magnetic_order"] == "antiferromagnetic"
    assert result.magmoms.tolist() == pytest.approx([2 * KEPT, -2 * KEPT, 0, 0])
    assert "orders_not_relaxed" not in result.method


@pytest.mark.parametrize(
    ("gain", "shrinking", "said"),
    [
        (-0.2, 0.9, "0.200 eV per atom higher in the cell of that kept"),
        (0.1, 0.0, "became nonmagnetic, the state that is there already"),
    ],
)
def test_an_order_that_cannot_win_is_given_up(model, task, gain, shrinking, said):
    model.gain_ev_per_atom, model.shrinking = gain, shrinking
    result = engine.relax_dft(task(rock_salt("Ni"), magnetic_order="lowest"), "fast")
    assert len(result.atoms) == 2
    assert result.method["orders_not_relaxed"] == {"antiferromagnetic": said}
    assert [c.n for c in model.made][2] == 1  # after cell and energy of the first order
    assert set(result.method["energies_ev_per_atom"]) == {"ferromagnetic", "antiferromagnetic"}


def test_a_ferrimagnetic_order_is_no_ferromagnetic_one(model, task):
    model.gain_ev_per_atom = 0.1
    cell = rock_salt("Ni").make_supercell([3, 1, 1], in_place=False)
    result = engine.relax_dft(task(cell, magnetic_order="lowest"), "fast")
    assert result.method["magnetic_order"] == "ferrimagnetic"
    assert "orders_not_relaxed" not in result.method
    energies = result.method["energies_ev_per_atom"]
    assert result.energy_ev / 6 == pytest.approx(energies["antiferromagnetic"])
    assert energies["ferromagnetic"] - energies["antiferromagnetic"] == pytest.approx(0.1, abs=1e-3)


def test_a_lower_state_is_never_given_up(model, task):
    """Signs turned over, so that the order seems to be the first one, but the energy is lower."""
    usual = model.calculate

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        usual(self, atoms, properties, system_changes)
        self.results["magmoms"] = abs(self.results["magmoms"])

    model.calculate, model.gain_ev_per_atom = calculate, 0.02
    cell = rock_salt("Ni").make_supercell([2, 1, 1], in_place=False)
    result = engine.relax_dft(task(cell, magnetic_order="lowest"), "balanced")
    assert "orders_not_relaxed" not in result.method
    assert len([c for c in model.made if c.n > 1]) == 2


def test_oxygen_without_its_spin_is_said(model, task):
    molecule = oxygen_starts()[1].structure
    settings = STILL.model_copy(update={"relax_cell": False})
    model.shrinking = 0.0
    result = engine.relax_dft(task(molecule, settings, molecule=True), "fast")
    assert result.warnings == ["the molecule has 0 mu_B, not 2: it is not the triplet"]
    model.shrinking = 1.0
    assert not engine.relax_dft(task(molecule, settings, molecule=True), "fast").warnings


def test_energies_are_of_the_protocol_where_its_cutoff_is_low(model, task):
    """E(V) at 700 eV, and then one more energy with the moments that came out."""
    result = engine.relax_dft(task(rock_salt("Mn")), "fast")
    assert [c.given["mode"]["ecut"] for c in model.made] == [700, 500]
    assert model.made[1].n == 1
    assert result.n_evaluations == model.made[0].n + 1
    assert result.magmoms.tolist() == pytest.approx([5 * KEPT, 0])
    assert (result.method["cell_cutoff_ev"], result.method["cutoff_ev"]) == (700, 500)
    assert "bulk_modulus_gpa" in result.method["equation_of_state"]


def test_other_cells_are_relaxed_by_stress_at_a_high_cutoff(model, task):
    result = engine.relax_dft(task(hcp("Ti"), metal=True), "fast")
    for_cell, for_energy = (c.given for c in model.made)
    assert for_cell["mode"]["ecut"] == 700
    assert for_energy["mode"]["ecut"] == PROTOCOLS["fast"].cutoff_ev
    assert for_cell["kpts"]["size"] < for_energy["kpts"]["size"]
    assert for_energy["kpts"]["size"][2] < for_energy["kpts"]["size"][0]
    assert result.optimizer == "L-BFGS-B"
    assert result.max_force < STILL.fmax
    assert model.made[1].n == 1
    assert result.method["cell_cutoff_ev"] == 700
    assert result.method["smearing"]["width_ev"] == 0.1
    ratio = result.atoms.cell.lengths()[2] / result.atoms.cell.lengths()[0]
    assert ratio != pytest.approx(hcp("Ti").lattice.c / hcp("Ti").lattice.a, abs=1e-4)


def test_a_rattled_rock_salt_may_leave_its_symmetry(model, task):
    result = engine.relax_dft(task(rock_salt("Mn"), RelaxationSettings()), "fast")
    assert result.optimizer != "E(V)"
    assert len(model.made) == 2


def test_a_molecule_moves_its_atoms_alone(model, task):
    molecule = oxygen_starts()[1].structure
    settings = STILL.model_copy(update={"relax_cell": False})
    result = engine.relax_dft(task(molecule, settings, molecule=True), "balanced")
    given = model.made[0].given
    assert len(model.made) == 1
    assert given["kpts"]["size"] == (1, 1, 1)
    assert given["occupations"]["width"] == 0.01
    assert result.atoms.cell.array == pytest.approx(molecule.lattice.matrix)
    assert result.magmoms.tolist() == [0.9, 0.9]
    assert result.max_force < STILL.fmax


def test_fixed_cells_keep_their_shape(model, task):
    settings = STILL.model_copy(update={"relax_cell": False})
    result = engine.relax_dft(task(rock_salt("Mn", 4.3), settings), "fast")
    assert result.atoms.get_volume() == pytest.approx(4.3**3 / 4)
    assert result.n_evaluations == 1


def test_a_lost_spin_is_said(model, task):
    model.shrinking = 0.3
    result = engine.relax_dft(task(rock_salt("Mn")), "balanced")
    assert "Mn 0.45 (start 5.00)" in result.warnings[0]


def test_a_rough_curve_is_said(model, task, monkeypatch):
    monkeypatch.setattr(engine, "ROUGH_EV_PER_ATOM", -1.0)
    result = engine.relax_dft(task(rock_salt("Mn")), "fast")
    assert "E(V) is not smooth" in result.warnings[0]


class KohnShamConvergenceError(Exception):
    """As GPAW raises it: without a word."""


@pytest.mark.parametrize("structure", [rock_salt("Mn"), hcp("Ti")], ids=["E(V)", "filter"])
@pytest.mark.parametrize("error", [KohnShamConvergenceError(), MemoryError("two\nlines")])
def test_a_failure_is_one_line_with_last_words_and_log(model, task, tmp_path, structure, error):
    def fail(self, *arguments, **options):
        MockCalculator.calculate(self, *arguments)
        self.log.write("|iter:   1| -3.1|\n|iter:  150|  -1.4 | c|\nElapsed: 3\n")
        raise error

    model.calculate = fail
    with pytest.raises(CalculationError) as caught:
        engine.relax_dft(task(structure), "fast")
    said = str(caught.value)
    assert type(error).__name__ in said
    assert "(last iter: 150 -1.4 c)" in said
    assert said.endswith(".txt")
    assert str(tmp_path) in said
    assert "\n" not in said


def test_gpaw_that_cannot_start_is_a_failure_too(task, monkeypatch):
    def refuse(given, log):
        raise ValueError("no setup for Xx")

    monkeypatch.setattr(engine, "_new_calculator", refuse)
    with pytest.raises(
        CalculationError, match=r"GPAW stopped on MnO \(ferromagnetic-cell\): ValueError"
    ):
        engine.relax_dft(task(rock_salt("Mn")), "fast")


@pytest.mark.parametrize("safer", [False, True])
def test_with_safer_settings_one_order_is_enough(model, task, safer):
    usual = model.calculate

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        if (atoms.get_initial_magnetic_moments() < 0).any():
            raise KohnShamConvergenceError
        usual(self, atoms, properties, system_changes)

    model.calculate = calculate
    asked = task(rock_salt("Ni"), magnetic_order="lowest", safer=safer)
    if not safer:
        with pytest.raises(CalculationError, match="KohnShamConvergenceError"):
            engine.relax_dft(asked, "fast")
        return
    result = engine.relax_dft(asked, "fast")
    assert list(result.method["energies_ev_per_atom"]) == ["ferromagnetic"]
    assert "the antiferromagnetic order was not compared: GPAW stopped" in result.warnings[0]


def given_for(made, protocol="balanced", **options):
    structure = made.structure
    return parameters(PROTOCOLS[protocol], made, structure.lattice.matrix, is_cubic=True, **options)


def test_u_is_written_unnormalised(task):
    settings = {"hubbard_u_ev": {"Mn": 3.9, "Ni": 6.2}}
    assert given_for(task(rock_salt("Mn"), **settings))["setups"] == {"Mn": ":d,3.9,0"}
    assert "setups" not in given_for(task(rock_salt("Ti"), **settings))


def test_safer_mixes_less_and_goes_on_longer(task):
    usual, safer = given_for(task(rock_salt("Mn"))), given_for(task(rock_salt("Mn"), safer=True))
    assert safer["mixer"]["beta"] < 0.05
    assert safer["maxiter"] > 2 * usual["maxiter"]
    assert safer["nbands"] == "150%"
    same = ("mode", "xc", "kpts", "occupations", "convergence")
    assert all(usual[key] == safer[key] for key in same)  # the energy is on the same scale


def test_protocols_tighten_in_order():
    fast, balanced, precise = (PROTOCOLS[name] for name in ("fast", "balanced", "precise"))
    for less, more in ((fast, balanced), (balanced, precise)):
        assert less.cutoff_ev < more.cutoff_ev
        assert all(less.k_density[k] < more.k_density[k] for k in ("oxide", "metal"))
        assert less.energy_ev_per_electron >= more.energy_ev_per_electron
        assert less.eigenstates_ev2_per_electron >= more.eigenstates_ev2_per_electron


# States -----------------------------------------------------------------------------------------


@pytest.fixture
def states(model, monkeypatch):
    """Give the model states in the potential that it found; return what it was asked for."""
    asked = []

    def fixed_density(self, **given):
        asked.append((self.given, given))
        if given["kpts"]["size"] == [7, 7, 7]:
            raise RuntimeError("not enough bands")
        given["txt"].write("iter:   3  12:00:00  -4.2\n")
        return self

    model.fixed_density = fixed_density
    model.get_fermi_level = lambda self: 0.5
    levels = np.array([[[-1.0, 2.0]], [[-2.0, 2.5]]])
    monkeypatch.setattr(engine, "_levels", lambda c, a: (levels, np.ones(1), {"O-p": levels * 0}))
    return asked


def test_the_states_are_those_of_the_lower_order(model, states, task):
    model.gain_ev_per_atom = 0.03
    asked = task(rock_salt("Ni"), magnetic_order="lowest")
    found = engine.electronic_states(asked, "fast", DensityOfStatesSettings(k_density=3.0))
    assert set(found.relaxation.method["energies_ev_per_atom"]) == {
        "ferromagnetic",
        "antiferromagnetic",
    }
    assert found.relaxation.method["magnetic_order"] == "antiferromagnetic"
    assert len(found.relaxation.atoms) == 4
    ((field, given),) = states
    assert field["symmetry"] == {"tolerance": engine.SYMMETRY_TOLERANCE}
    assert field["mode"]["ecut"] == PROTOCOLS["fast"].cutoff_ev  # and not that of a cell
    cell = found.relaxation.atoms.cell.array
    assert given["kpts"] == {"size": list(k_mesh(cell, 3.0)), "gamma": True}
    assert given["convergence"]["bands"] == "CBM+1.0"
    assert given["update_fermi_level"] is True
    assert (found.fermi_ev, found.k_mesh) == (0.5, given["kpts"]["size"])
    assert found.relaxation.atoms.get_volume() == pytest.approx(2 * rock_salt("Ni").volume)


def test_the_mesh_of_states_is_never_coarser_than_the_field(states, task):
    found = engine.electronic_states(
        task(rock_salt("Mn")), "balanced", DensityOfStatesSettings(k_density=1.0)
    )
    assert found.k_mesh == list(states[0][0]["kpts"]["size"])


def test_states_that_fail_say_why(states, task, tmp_path):
    settings = DensityOfStatesSettings(k_density=3.0)  # 7 x 7 x 7
    with pytest.raises(CalculationError) as caught:
        engine.electronic_states(task(rock_salt("Mn", 4.445)), "fast", settings)
    assert "GPAW stopped on MnO (states): RuntimeError: not enough bands" in str(caught.value)
    assert str(caught.value).endswith(f"log {tmp_path / 'states.txt'}")
