"""CHGNet on a CPU at a fraction of its usual cost, with the same numbers.

Deng et al., Nature Machine Intelligence 5, 1031 (2023). CHGNet differentiates twice and keeps what
training would need; a relaxation needs one backward pass. Its neighbour graph is built here
from arrays instead of objects, and linear layers act before features are spread over the graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import lru_cache
from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress
from numpy.typing import NDArray

from rocksalt.screening.errors import CalculationError, RocksaltError
from rocksalt.workflows.threads import denormals_flushed

if TYPE_CHECKING:
    from torch import Tensor

MODELS = ("0.3.0", "r2scan")
WIDTH = 64  # of every feature of both models


@dataclass(frozen=True)
class NeighbourGraph:
    """The bonds and angles that CHGNet works on.

    A bond is undirected; each has two directed edges, one from either end.

    Attributes
    ----------
    edges
        (n_edges, 2) centre and neighbour of each directed edge.
    images
        (n_edges, 3) lattice vectors by which the neighbour is shifted.
    bond_of_edge
        (n_edges,) the bond that each directed edge belongs to.
    edge_of_bond
        (n_bonds,) the first directed edge of each bond.
    angles
        (n_angles, 5) centre, first bond, its edge, second bond, its edge.
    """

    edges: NDArray[np.int32]
    images: NDArray[np.int64]
    bond_of_edge: NDArray[np.int32]
    edge_of_bond: NDArray[np.int32]
    angles: NDArray[np.int32]


def neighbour_graph(atoms: Atoms, bond_cutoff: float, angle_cutoff: float) -> NeighbourGraph:
    """Return the bonds up to `bond_cutoff` and the angles between those up to `angle_cutoff`.

    Parameters
    ----------
    atoms
        A cell; directions that are not periodic have no images.
    bond_cutoff, angle_cutoff
        Longest bond of the graph and longest bond that forms angles, angstrom.
    """
    from pymatgen.optimization.neighbors import find_points_in_spheres

    positions = np.ascontiguousarray(atoms.positions, dtype=float)
    centres, points, images, distances = find_points_in_spheres(
        positions,
        positions,
        r=bond_cutoff,
        pbc=np.ascontiguousarray(atoms.pbc, dtype=np.int64),
        lattice=np.ascontiguousarray(atoms.cell.array, dtype=float),
        tol=1e-8,
    )
    other = (centres != points) | (distances > 1e-8)
    centres, points, distances = centres[other], points[other], distances[other]
    images = np.rint(images[other]).astype(np.int64)
    if not len(centres):
        none = np.zeros((0,), dtype=np.int32)
        return NeighbourGraph(
            none.reshape(0, 2), images.reshape(0, 3), none, none, none.reshape(0, 5)
        )

    # An edge and its reverse get the same key: the smaller of (i, j, image) and (j, i, -image).
    reach = int(np.abs(images).max())
    base = 2 * reach + 1
    powers = np.array([base * base, base, 1])
    shift, shift_back = (images + reach) @ powers, (reach - images) @ powers
    forward = (centres * len(atoms) + points) * base**3 + shift
    backward = (points * len(atoms) + centres) * base**3 + shift_back
    _, edge_of_bond, bond_of_edge = np.unique(
        np.minimum(forward, backward), return_index=True, return_inverse=True
    )
    by_appearance = np.argsort(edge_of_bond)
    edge_of_bond = edge_of_bond[by_appearance]
    bond_of_edge = np.argsort(by_appearance)[bond_of_edge]

    short = np.flatnonzero(distances <= angle_cutoff)
    short = short[np.argsort(centres[short], kind="stable")]
    per_centre = np.bincount(centres[short], minlength=len(atoms))
    partners = per_centre[centres[short]]  # edges around the same centre, itself included
    first = np.repeat(np.arange(len(short)), partners)
    group_start = (np.cumsum(per_centre) - per_centre)[centres[short]]
    within = np.arange(len(first)) - np.repeat(np.cumsum(partners) - partners, partners)
    second = np.repeat(group_start, partners) + within
    first, second = short[first[first != second]], short[second[first != second]]
    angles = np.stack(
        [centres[first], bond_of_edge[first], first, bond_of_edge[second], second], axis=1
    )
    return NeighbourGraph(
        edges=np.stack([centres, points], axis=1).astype(np.int32),
        images=images,
        bond_of_edge=bond_of_edge.astype(np.int32),
        edge_of_bond=edge_of_bond.astype(np.int32),
        angles=angles.astype(np.int32),
    )


class FastCHGNetCalculator(Calculator):
    """CHGNet for ASE: energy, forces, stress and magnetic moments from one backward pass.

    The numbers are those of `CHGNet.predict_structure`, on one CPU. Stress is in eV/angstrom^3 in
    Voigt order, magnetic moments (absolute values) in Bohr magnetons. An atom without a
    neighbour within 6 angstrom has no force.

    Parameters
    ----------
    model
        "0.3.0" (Materials Project energies with their corrections) or "r2scan".

    Raises
    ------
    RocksaltError
        The model is unknown or the package chgnet is missing.
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress", "magmoms"]  # noqa: RUF012  # ASE wants a list

    def __init__(self, model: str = "0.3.0", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if model not in MODELS:
            raise RocksaltError(f"CHGNet model '{model}': choose one of {', '.join(MODELS)}")
        self.model_name = model
        self.network = _network(model)

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Compute all properties of `atoms` at once.

        Raises
        ------
        CalculationError
            CHGNet does not know an element, or the atoms have no cell.
        """
        super().calculate(atoms, list(properties), list(system_changes))
        cell = self.atoms
        unknown = sorted({s for s, z in zip(cell.symbols, cell.numbers, strict=True) if z > 94})
        if unknown:
            raise CalculationError(f"CHGNet does not know the element {', '.join(unknown)}")
        if cell.cell.rank < 3:
            raise CalculationError("CHGNet needs three lattice vectors: put the atoms in a box")
        with denormals_flushed():
            self.results = _evaluate(self.network, cell)


def _evaluate(network: _Network, atoms: Atoms) -> dict[str, Any]:
    import torch

    original = network.original
    dtype = original.site_wise.weight.dtype
    converter = original.graph_converter
    graph = neighbour_graph(atoms, converter.atom_graph_cutoff, converter.bond_graph_cutoff)
    centres, points = (torch.from_numpy(column.copy()) for column in graph.edges.T)
    angles = torch.from_numpy(graph.angles.T.copy())
    numbers = torch.as_tensor(atoms.numbers, dtype=torch.int32)
    scaled = torch.as_tensor(atoms.positions @ np.linalg.inv(atoms.cell.array), dtype=dtype)
    strain = torch.zeros((3, 3), dtype=dtype, requires_grad=True)
    unit = torch.eye(3, dtype=dtype)
    lattice = torch.as_tensor(atoms.cell.array, dtype=dtype) @ (unit + strain)
    positions = scaled @ lattice
    bond_basis, short_bond_basis, directions = original.bond_basis_expansion(
        center=positions[centres],
        neighbor=positions[points],
        undirected2directed=torch.from_numpy(graph.edge_of_bond),
        image=torch.as_tensor(graph.images, dtype=dtype),
        lattice=lattice,
    )
    site_energies, magmoms = network.site_energies_and_moments(
        numbers=numbers,
        centres=centres,
        points=points,
        bond_of_edge=torch.from_numpy(graph.bond_of_edge),
        bond_basis=bond_basis,
        short_bond_basis=short_bond_basis,
        angles=angles[[0, 1, 3]],
        angle_basis=original.angle_basis_expansion(directions[angles[2]], directions[angles[4]]),
    )
    # Summed in double precision: a line search compares energies that differ by very little.
    references = original.composition_model.fc.weight[0, numbers.long() - 1]
    energy = float(site_energies.detach().double().sum() + references.double().sum())
    by_position, by_strain = torch.autograd.grad(
        site_energies.sum(), [positions, strain], allow_unused=True, materialize_grads=True
    )
    stress = by_strain.double().numpy() / atoms.get_volume()
    return {
        "energy": energy,
        "free_energy": energy,
        "forces": -by_position.double().numpy(),
        "stress": full_3x3_to_voigt_6_stress(stress),
        "magmoms": magmoms.detach().double().numpy(),
    }


class _Network:
    """CHGNet's message passing, less what training needs.

    Parameters
    ----------
    original
        A `chgnet.model.model.CHGNet`, pretrained and frozen.
    """

    def __init__(self, original: Any) -> None:
        self.original = original
        self.atom_gates = [_Gate(layer.twoBody_atom) for layer in original.atom_conv_layers]
        self.bond_gates = [_Gate(layer.twoBody_bond) for layer in original.bond_conv_layers]
        # The last update of the angles enters nothing: what follows it convolves atoms only.
        self.angle_gates = [_Gate(layer.twoBody_bond) for layer in original.angle_layers][:-1]

    def site_energies_and_moments(
        self,
        *,
        numbers: Tensor,
        centres: Tensor,
        points: Tensor,
        bond_of_edge: Tensor,
        bond_basis: Tensor,
        short_bond_basis: Tensor,
        angles: Tensor,
        angle_basis: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Return energy, without the element's reference, and magnetic moment of each atom.

        `angles` has three rows: centre, first bond, second bond.
        """
        net = self.original
        atoms = net.atom_embedding(numbers - 1)
        bonds = net.bond_embedding(bond_basis)
        angle = net.angle_embedding(angle_basis)
        edge_weights = net.bond_weights_ag(bond_basis)[bond_of_edge]
        short_weights = net.bond_weights_bg(short_bond_basis)
        apex, first, second = angles
        angle_weights = short_weights[first] * short_weights[second]

        def convolved(layer: int, atoms: Tensor, bonds: Tensor) -> Tensor:
            messages = self.atom_gates[layer](
                (atoms, centres), (bonds, bond_of_edge), (atoms, points)
            )
            update = atoms.new_zeros(atoms.shape).index_add(0, centres, messages * edge_weights)
            return net.atom_conv_layers[layer].mlp_out(update) + atoms

        for layer, bond_gate in enumerate(self.bond_gates):
            atoms = convolved(layer, atoms, bonds)
            if not len(angle):
                continue
            messages = bond_gate((bonds, first), (bonds, second), (angle, None), (atoms, apex))
            update = bonds.new_zeros(bonds.shape).index_add(0, first, messages * angle_weights)
            bonds = net.bond_conv_layers[layer].mlp_out(update) + bonds
            if layer < len(self.angle_gates):
                angle = angle + self.angle_gates[layer](
                    (bonds, first), (bonds, second), (angle, None), (atoms, apex)
                )
        magmoms = net.site_wise(atoms).abs().view(-1)
        atoms = convolved(len(self.bond_gates), atoms, bonds)
        return net.mlp(net.readout_norm(atoms)).view(-1), magmoms


class _Gate:
    """CHGNet's gated network on concatenated features, applied before they are concatenated.

    Its first layer is linear, so each feature is multiplied once per atom or bond, not once
    for each of the many edges and angles that it is part of.

    Parameters
    ----------
    original
        A `chgnet.model.functions.GatedMLP` on features of `WIDTH` numbers each.
    """

    def __init__(self, original: Any) -> None:
        import torch

        core, gate = (
            [layer for layer in network.layers if isinstance(layer, torch.nn.Linear)]
            for network in (original.mlp_core, original.mlp_gate)
        )
        weight = torch.cat([core[0].weight, gate[0].weight])
        self.weights = [block.contiguous() for block in weight.split(WIDTH, dim=1)]
        self.bias = torch.cat([core[0].bias, gate[0].bias])
        self.core, self.gate = core[1:], gate[1:]
        self.norms = original.bn1, original.bn2

    def __call__(self, *features: tuple[Tensor, Tensor | None]) -> Tensor:
        """Return the messages for features, each with the index that spreads it, if any."""
        from torch.nn.functional import linear, silu

        total: Any = self.bias
        for (feature, index), weight in zip(features, self.weights, strict=True):
            part = linear(feature, weight)
            total = total + (part if index is None else part.index_select(0, index))
        core, gate = total.split(WIDTH, dim=1)
        for layer in self.core:
            core = layer(silu(core))
        for layer in self.gate:
            gate = layer(silu(gate))
        return silu(self.norms[0](core)) * self.norms[1](gate).sigmoid()


def _loaded(model: str) -> Any:
    """Return the pretrained CHGNet, frozen."""
    try:
        from chgnet.model.model import CHGNet
    except ImportError as error:
        raise RocksaltError(
            "engine 'chgnet' needs the package chgnet: pip install 'rocksalt[mlip]'"
        ) from error
    with redirect_stdout(StringIO()):  # the constructor prints its number of parameters
        network = CHGNet.load(model_name=model, use_device="cpu", verbose=False)
    network.eval()
    for weight in network.parameters():
        weight.requires_grad_(False)
    return network


@lru_cache(maxsize=len(MODELS))
def _network(model: str) -> _Network:
    return _Network(_loaded(model))


@lru_cache(maxsize=len(MODELS))
def chgnet_calculator(model: str = "0.3.0") -> FastCHGNetCalculator:
    """Return the process's calculator of `model`, made at the first call."""
    return FastCHGNetCalculator(model)
