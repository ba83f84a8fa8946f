"""One calculation: the document it leaves, and what happens when it goes wrong."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from rocksalt.screening.errors import RocksaltError
from rocksalt.screening.identity import structure_fingerprint
from rocksalt.stores.calculation_documents import CalculationDoc
from rocksalt.workflows import calculate as module
from rocksalt.workflows.calculate import calculate, has_oxygen_dimer
from rocksalt.workflows.calculation import Calculation
from rocksalt.workflows.plan import make_plan
from rocksalt.workflows.relaxer import RelaxationSettings


def calculation_of(structure, engine="mock", **settings):
    return Calculation(
        role="mixture",
        label="made by hand",
        engine=engine,
        structure=structure,
        fingerprint=structure_fingerprint(structure),
        prototype="given",
        relaxation=RelaxationSettings(**settings),
    )


def oxide(*positions, a=4.4):
    species = ["Mn"] + ["O"] * len(positions)
    return Structure(Lattice.cubic(a), species, [[0, 0, 0], *positions])


def test_every_calculation_of_a_campaign_gives_an_energy(campaign_of):
    plan = make_plan(campaign_of(dopants=["Mg"]))
    for key, calculation in plan.calculations.items():
        document = calculate(calculation)
        assert (document.state, document.error) == ("done", None)
        assert document.key == key
        assert document.converged
        assert document.max_force_ev_per_angstrom <= calculation.relaxation.fmax
        assert document.energy_ev_per_atom * document.nsites == pytest.approx(document.energy_ev)
        assert np.shape(document.forces_ev_per_angstrom) == (document.nsites, 3)
        assert np.shape(document.stress_gpa) == (3, 3)
        assert document.magmoms_mu_b is None
        assert len(document.energies_ev) == document.n_evaluations
        assert document.energies_ev[-1] == document.energy_ev
        assert document.initial_structure == calculation.structure
        assert document.composition == calculation.structure.composition
        assert CalculationDoc.model_validate_json(document.model_dump_json()) == document


def test_the_same_calculation_gives_the_same_numbers(campaign_of):
    calculation = next(
        c for c in make_plan(campaign_of()).calculations.values() if c.role == "mixture"
    )
    first, second = (calculate(calculation).model_dump(mode="json") for _ in range(2))
    assert {k: v for k, v in first.items() if k not in {"completed_at", "cpu_s"}} == {
        k: v for k, v in second.items() if k not in {"completed_at", "cpu_s"}
    }


def failed(calculation, *fragments):
    document = calculate(calculation)
    assert document.state == "failed"
    assert "\n" not in document.error
    for fragment in fragments:
        assert fragment in document.error
    assert document.energy_ev is None
    assert document.energy_ev_per_atom is None
    assert document.structure is None
    assert not document.converged
    assert document.key == calculation.key
    assert document.formula_pretty == calculation.structure.composition.reduced_formula
    return document


def test_atoms_that_overlap():
    failed(calculation_of(oxide([0.02, 0, 0])), "atoms overlap", "angstrom")


def test_a_relaxation_that_does_not_converge():
    structure = oxide([0.5, 0.5, 0.5], [0.5, 0, 0])
    failed(calculation_of(structure, max_evaluations=1), "not converged after 1 evaluations")


def test_an_element_that_the_engine_does_not_know():
    structure = Structure(Lattice.cubic(4), ["H", "H"], [[0, 0, 0], [0.5] * 3])
    failed(calculation_of(structure), "mock does not know an element")


@pytest.mark.parametrize("error", [ValueError("of\ntwo lines"), ZeroDivisionError("x")])
def test_an_error_of_the_engine_is_kept_not_raised(monkeypatch, error):
    def explode(*_):
        raise error

    monkeypatch.setattr(module, "relax", explode)
    failed(calculation_of(oxide([0.5] * 3)), type(error).__name__, " ".join(str(error).split()))


def test_ctrl_c_is_not_an_error_of_the_engine(monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "relax", interrupt)
    with pytest.raises(KeyboardInterrupt):
        calculate(calculation_of(oxide([0.5] * 3)))


def test_an_engine_that_is_missing_ends_the_campaign():
    with pytest.raises(RocksaltError, match="'nope' is not known"):
        calculate(calculation_of(oxide([0.5] * 3), engine="nope"))


def test_oxygen_dimers_are_found_across_the_cell_edge():
    assert has_oxygen_dimer(oxide([0.5, 0.5, 0.02], [0.5, 0.5, 0.7], a=4.4))  # 1.41 angstrom
    assert not has_oxygen_dimer(oxide([0.5, 0.5, 0.02], [0.5, 0.5, 0.6], a=4.4))  # 1.85
    close = Structure(Lattice.cubic(4), ["Mn", "O"], [[0, 0, 0], [0.3, 0, 0]])
    assert not has_oxygen_dimer(close)  # a metal beside an oxygen is no dimer


def test_an_oxygen_dimer_is_a_warning_for_oxides_only(monkeypatch):
    monkeypatch.setattr(module, "has_oxygen_dimer", lambda structure: True)
    calculation = calculation_of(oxide([0.5] * 3, a=2.6))
    assert "oxygen is oxidised" in calculate(calculation).warnings[0]
    element = calculation.model_copy(update={"role": "oxygen"})
    assert calculate(element).warnings == []


def test_atoms_do_not_depend_on_the_last_digit_of_a_structure():
    """An atom on a border of the cell comes as 0 or as nearly 1, whichever way a sum was rounded."""
    lattice = Lattice.cubic(4.2)
    sites = np.array([[0, 0, 0], [0.5, 0.5, 0.0]])
    plain = module.to_atoms(Structure(lattice, ["Mg", "O"], sites))
    for seed in range(20):
        noise = np.random.default_rng(seed).normal(scale=1e-16, size=(3, 3))
        noisy = Structure(Lattice(lattice.matrix + noise), ["Mg", "O"], sites + noise[:2])
        found = module.to_atoms(noisy)
        assert np.array_equal(found.positions, plain.positions)
        assert np.array_equal(found.cell.array, plain.cell.array)
    far = module.to_atoms(Structure(lattice, ["Mg", "O"], sites - [0, 0, 1]))
    assert np.array_equal(far.positions, plain.positions)
