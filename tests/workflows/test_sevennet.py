"""The SevenNet factory: silent, cached, frozen, and the right model."""

import sys
import warnings

import numpy as np
import pytest
from ase.build import bulk

from rocksalt.screening.errors import CalculationError, RocksaltError
from rocksalt.workflows import sevennet as engine
from rocksalt.workflows.relaxer import RelaxationSettings, relax
from rocksalt.workflows.threads import limit_threads

CHOICES = [("7net-0", None), ("7net-l3i5", None), ("7net-mf-0", "PBE"), ("7net-mf-0", "R2SCAN")]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    limit_threads(1)


def calculator(model: str = "7net-0", modal: str | None = None):
    pytest.importorskip("sevenn", reason="needs the extra mlip", exc_type=ImportError)
    return engine.sevennet_calculator(model, modal)


def nickel_oxide():
    atoms = bulk("NiO", "rocksalt", a=4.2)
    atoms.rattle(0.03, seed=3)
    return atoms


@pytest.mark.parametrize(("model", "modal"), CHOICES)
def test_is_silent_frozen_and_cached(model: str, modal: str | None, capsys) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = calculator(model, modal)
    assert capsys.readouterr().out == ""
    assert made is calculator(model, modal)
    assert not any(weight.requires_grad for weight in made.model.parameters())
    assert made.modal == modal


def test_equals_the_plain_calculator() -> None:
    ours = calculator()
    from sevenn.calculator import SevenNetCalculator

    with warnings.catch_warnings():
        # Accelerators are for GPUs.
        warnings.filterwarnings("ignore", "No tensor product accelerator", UserWarning)
        theirs = SevenNetCalculator("7net-0", device="cpu")
    atoms = nickel_oxide()
    for name, tolerance in (("energy", 1e-5), ("forces", 1e-5), ("stress", 1e-6)):
        expected = theirs.get_property(name, atoms)
        assert ours.get_property(name, atoms) == pytest.approx(expected, abs=tolerance)


def test_levels_of_theory_differ() -> None:
    atoms = nickel_oxide()
    energies = [calculator(*choice).get_potential_energy(atoms) for choice in CHOICES]
    assert np.isfinite(energies).all()
    assert len({round(e, 4) for e in energies}) == len(CHOICES)
    assert abs(energies[2] - energies[3]) > 5  # PBE and R2SCAN have zeros of their own


def test_relaxes() -> None:
    result = relax(bulk("NiO", "rocksalt", a=4.3), calculator(), RelaxationSettings())
    assert result.max_force < 0.02
    assert result.n_fallbacks == 0
    assert (4 * result.atoms.get_volume()) ** (1 / 3) == pytest.approx(4.19, abs=0.05)


@pytest.mark.parametrize("seed", [0, 1])
def test_octahedra_of_chromium_distort(seed: int) -> None:
    """A symmetric start without a rattle cannot distort: its forces are zero by symmetry."""
    symmetric, free = bulk("CrO", "rocksalt", a=4.3), bulk("CrO", "rocksalt", a=4.3) * (2, 1, 1)
    still = RelaxationSettings(rattle_angstrom=0, rattle_strain=0)
    undistorted = relax(symmetric, calculator(), still).energy_ev / len(symmetric)
    result = relax(free, calculator(), RelaxationSettings(seed=seed))
    assert result.energy_ev / len(free) < undistorted - 0.08


def test_unknown_element_is_one_line() -> None:
    with pytest.raises(CalculationError, match="SevenNetCalculator failed on Fr: ValueError"):
        relax(bulk("Fr", "fcc", a=6.0), calculator())


@pytest.mark.parametrize(
    ("model", "modal", "remedy"),
    [
        ("7net-9", None, "choose one of 7net-0"),
        ("7net-0", "PBE", "leave it out"),
        ("7net-mf-0", None, "choose one of PBE, R2SCAN"),
        ("7net-mf-0", "pbe", "choose one of PBE, R2SCAN"),
    ],
)
def test_wrong_choices_name_the_remedy(model: str, modal: str | None, remedy: str) -> None:
    with pytest.raises(RocksaltError, match=remedy):
        engine.sevennet_calculator(model, modal)


def test_missing_package_names_the_extra(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "sevenn.calculator", None)
    with pytest.raises(RocksaltError, match=r"pip install 'rocksalt\[mlip\]'"):
        engine.sevennet_calculator.__wrapped__("7net-0")
