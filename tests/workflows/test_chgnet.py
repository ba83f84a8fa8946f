"""FastCHGNetCalculator gives CHGNet's own numbers."""

import subprocess
import sys

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.units import GPa
from pymatgen.io.ase import AseAtomsAdaptor

from rocksalt.screening.errors import CalculationError, RocksaltError
from rocksalt.workflows import chgnet as engine
from rocksalt.workflows.threads import limit_threads

ENERGY = 1e-6  # eV/atom
# Single precision: CHGNet itself is up to half of this away from its double-precision numbers.
FORCE = 1e-4  # eV/angstrom
STRESS = 5e-4  # GPa
EXACT = 1e-8  # in double precision

# CHGNet builds a tensor from one that requires a gradient.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Converting a tensor with requires_grad=True:UserWarning"
)


def mixed_oxide(repeat=(2, 2, 2)) -> Atoms:
    atoms = bulk("NiO", "rocksalt", a=4.2) * repeat
    nickel = np.flatnonzero(atoms.symbols == "Ni")
    atoms.symbols[nickel[::3]] = "Ti"
    atoms.rattle(0.05, seed=1)
    return atoms


def oxygen_molecule() -> Atoms:
    atoms = molecule("O2", cell=[10.0, 10.0, 10.0], pbc=True)
    atoms.center()
    return atoms


def two_formula_units_of_rutile() -> Atoms:
    a, c, x = 4.6, 2.96, 0.305
    scaled = [
        (0, 0, 0), (0.5, 0.5, 0.5), (x, x, 0), (1 - x, 1 - x, 0),
        (0.5 + x, 0.5 - x, 0.5), (0.5 - x, 0.5 + x, 0.5),
    ]  # fmt: skip
    atoms = Atoms("Ti2O4", scaled_positions=scaled, cell=[a, a, c], pbc=True)
    atoms.rattle(0.03, seed=2)
    atoms.positions += (3 * a, -2 * a, 0.1)  # outside the cell
    return atoms


STRUCTURES = {
    "mixed oxide, 16 atoms": mixed_oxide(),
    "mixed oxide, sheared, 4 atoms": mixed_oxide((2, 1, 1)),
    "rutile outside its cell": two_formula_units_of_rutile(),
    "O2 in a box": oxygen_molecule(),
    "Cu, one atom": bulk("Cu"),
    "Mo, two atoms": bulk("Mo", cubic=True),
    "one lonely atom": Atoms("Li", cell=[15.0] * 3, pbc=True),
    "molecule and lonely atom": Atoms(
        "LiO2", [(0, 0, 0), (9, 9, 9), (9, 9, 10.3)], cell=[18.0] * 3, pbc=True
    ),
}


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    limit_threads(1)


@pytest.fixture(scope="module", params=engine.MODELS)
def model(request) -> str:
    pytest.importorskip("chgnet", reason="needs the extra mlip")
    return request.param


@pytest.fixture(scope="module")
def original(model):
    from chgnet.model.model import CHGNet

    network = CHGNet.load(model_name=model, use_device="cpu", verbose=False)
    network.graph_converter.set_isolated_atom_response("ignore")
    return network


@pytest.mark.parametrize("name", STRUCTURES)
def test_equals_chgnet(name: str, model: str, original) -> None:
    atoms = STRUCTURES[name].copy()
    expected = original.predict_structure(AseAtomsAdaptor.get_structure(atoms))
    atoms.calc = engine.chgnet_calculator(model)
    assert atoms.get_potential_energy() / len(atoms) == pytest.approx(
        float(expected["e"]), abs=ENERGY
    )
    assert atoms.get_forces() == pytest.approx(expected["f"], abs=FORCE)
    assert atoms.get_stress(voigt=False) / GPa == pytest.approx(expected["s"], abs=STRESS)
    assert atoms.get_magnetic_moments() == pytest.approx(expected["m"], abs=1e-5)


@pytest.fixture
def in_double_precision(model, monkeypatch):
    """Return CHGNet without its reference energies, and our calculator, both in float64."""
    import chgnet.graph.converter
    import chgnet.model.model
    import torch

    monkeypatch.setattr(chgnet.graph.converter, "TORCH_DTYPE", torch.float64)
    monkeypatch.setattr(chgnet.model.model, "TORCH_DTYPE", torch.float64)
    network = chgnet.model.model.CHGNet.load(model_name=model, use_device="cpu", verbose=False)
    network = network.double()
    calculator = engine.FastCHGNetCalculator(model)
    calculator.network = engine._Network(engine._loaded(model).double())
    network.composition_model = None
    return network, calculator


@pytest.mark.parametrize("name", ["mixed oxide, 16 atoms", "rutile outside its cell"])
def test_is_the_same_function(name: str, in_double_precision) -> None:
    """In double precision nothing but rounding can differ, and it is small."""
    network, calculator = in_double_precision
    atoms = STRUCTURES[name].copy()
    expected = network.predict_structure(AseAtomsAdaptor.get_structure(atoms))
    atoms.calc = calculator
    assert atoms.get_forces() == pytest.approx(expected["f"], abs=EXACT)
    assert atoms.get_stress(voigt=False) / GPa == pytest.approx(expected["s"], abs=1e-6)
    assert atoms.get_magnetic_moments() == pytest.approx(expected["m"], abs=EXACT)


def test_forces_and_stress_are_derivatives(in_double_precision) -> None:
    _, calculator = in_double_precision
    atoms = STRUCTURES["mixed oxide, sheared, 4 atoms"].copy()
    atoms.calc = calculator
    forces, stress, volume = atoms.get_forces(), atoms.get_stress(voigt=False), atoms.get_volume()
    step = 1e-4

    def energy(displaced: Atoms) -> float:
        displaced.calc = calculator
        return displaced.get_potential_energy()

    for atom, axis in ((0, 0), (3, 2)):
        ends = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[atom, axis] += sign * step
            ends.append(energy(moved))
        assert forces[atom, axis] == pytest.approx(-(ends[0] - ends[1]) / (2 * step), abs=1e-5)
    for i, j in ((0, 0), (1, 2)):
        ends = []
        for sign in (1, -1):
            strain = np.zeros((3, 3))
            strain[i, j] += sign * step / 2
            strain[j, i] += sign * step / 2
            strained = atoms.copy()
            strained.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
            ends.append(energy(strained))
        assert stress[i, j] == pytest.approx((ends[0] - ends[1]) / (2 * step) / volume, abs=1e-6)


def test_rotation_turns_forces_and_stress(in_double_precision) -> None:
    _, calculator = in_double_precision
    atoms = STRUCTURES["mixed oxide, 16 atoms"].copy()
    turned = atoms.copy()
    turned.rotate(40, (1, 2, 3), rotate_cell=True)
    turn = np.linalg.solve(atoms.cell.array, turned.cell.array)
    results = []
    for cell in (atoms, turned):
        cell.calc = calculator
        results.append((cell.get_forces(), cell.get_stress(voigt=False) / GPa))
    assert results[1][0] == pytest.approx(results[0][0] @ turn, abs=1e-6)
    assert results[1][1] == pytest.approx(turn.T @ results[0][1] @ turn, abs=1e-5)


def test_neighbour_graph_counts() -> None:
    """Rock salt: 6 neighbours at a/2, 12 at a/sqrt(2); n edges make n(n-1) angles."""
    atoms = bulk("MgO", "rocksalt", a=4.2)
    graph = engine.neighbour_graph(atoms, bond_cutoff=3.2, angle_cutoff=2.5)
    assert len(graph.edges) == 2 * (6 + 12)
    assert len(graph.edge_of_bond) == 6 + 12
    assert len(graph.angles) == 2 * 6 * 5
    assert np.bincount(graph.bond_of_edge).tolist() == [2] * 18
    assert (graph.angles[:, 2] != graph.angles[:, 4]).all()
    assert (graph.edges[graph.angles[:, 2], 0] == graph.edges[graph.angles[:, 4], 0]).all()
    assert (graph.bond_of_edge[graph.angles[:, 2]] == graph.angles[:, 1]).all()


def test_refusals(model: str) -> None:
    calculator = engine.chgnet_calculator(model)
    with pytest.raises(CalculationError, match="does not know the element Am"):
        calculator.get_potential_energy(Atoms("Am", cell=[5.0] * 3, pbc=True))
    with pytest.raises(CalculationError, match="three lattice vectors"):
        calculator.get_potential_energy(molecule("O2"))
    with pytest.raises(RocksaltError, match="choose one of"):
        engine.FastCHGNetCalculator("0.1.0")


def test_one_network_per_process(model: str) -> None:
    assert engine.chgnet_calculator(model) is engine.chgnet_calculator(model)
    assert engine.FastCHGNetCalculator(model).network is engine.chgnet_calculator(model).network


def test_leaves_the_mode_of_the_processor_alone(model: str) -> None:
    engine.chgnet_calculator(model).get_potential_energy(bulk("Cu"))
    assert np.float64(5e-324) * np.float64(1.0) > 0


def test_missing_package_names_the_extra(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "chgnet.model.model", None)
    with pytest.raises(RocksaltError, match=r"pip install 'rocksalt\[mlip\]'"):
        engine._loaded("0.3.0")


def test_imports_load_no_torch() -> None:
    modules = ("chgnet", "sevennet", "threads", "relaxer")
    code = "import sys\n"
    code += "".join(f"import rocksalt.workflows.{name}\n" for name in modules)
    code += "from rocksalt.workflows.threads import limit_threads\nlimit_threads(1)\n"
    code += "sys.exit('torch' in sys.modules or 'chgnet' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
