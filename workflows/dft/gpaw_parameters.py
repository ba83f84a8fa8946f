"""Protocols of the GPAW engine, and what is handed to GPAW for one calculation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import ArrayLike

from rocksalt.workflows.dft.kpoints import equal_k_mesh, k_mesh
from rocksalt.workflows.dft.task import DftTask

FUNCTIONAL = "PBE"

CELL_CUTOFF_EV = 700.0
"""Least cutoff at which cells are relaxed: below it the stress is wrong, and E(V) rough, because plane
waves enter the basis one by one."""

CELL_MESH_SHARE = 2 / 3
"""Cells are relaxed on a k-mesh of this share of the protocol's density, and get their energy on all of
it: a volume that is wrong by 1 % costs about 1 meV per atom."""

WIDTH_EV = {"oxide": 0.05, "metal": 0.1, "molecule": 0.01}
"""Fermi-Dirac smearing; energies are extrapolated to none."""

HUBBARD_PROJECTORS = "d partial waves inside the augmentation sphere, not normalised (':d,U,0')"
"""As VASP projects, for which tables of U were fitted. GPAW's default normalises them; the same U
then acts less."""


@dataclass(frozen=True)
class GpawProtocol:
    """A level of convergence.

    Attributes
    ----------
    cutoff_ev
        Of the plane waves, for energies.
    k_density
        Points per reciprocal angstrom (`rocksalt.workflows.dft.kpoints`), by kind of cell.
    energy_ev_per_electron
        Largest change of the energy over three iterations.
    eigenstates_ev2_per_electron
        Largest residual of the wave functions.
    """

    cutoff_ev: float
    k_density: dict[str, float]
    energy_ev_per_electron: float
    eigenstates_ev2_per_electron: float


PROTOCOLS = {
    "fast": GpawProtocol(500.0, {"oxide": 2.2, "metal": 3.0}, 2e-4, 1e-5),
    "balanced": GpawProtocol(700.0, {"oxide": 3.5, "metal": 4.5}, 1e-4, 1e-5),
    "precise": GpawProtocol(900.0, {"oxide": 5.0, "metal": 6.0}, 2e-5, 1e-6),
}
"""By name, as in 'gpaw:balanced'; their measured errors: docs/dft.md."""


def parameters(
    protocol: GpawProtocol,
    task: DftTask,
    cell: ArrayLike,
    *,
    is_cubic: bool,
    for_cell: bool = False,
) -> dict[str, Any]:
    """Return what GPAW is called with, but for the log's name.

    Parameters
    ----------
    protocol
        One of `PROTOCOLS`.
    task
        Its kind (molecule, metal, oxide), U, and whether to be safer.
    cell
        (3, 3) angstrom, which the k-mesh is made for. It stays while the cell relaxes.
    is_cubic
        A crystal whose mesh must be the same in all directions, whatever its cell looks like.
    for_cell
        For relaxing the cell, not for energies.
    """
    kind = "molecule" if task.is_molecule else "metal" if task.is_metal else "oxide"
    if task.is_molecule:
        mesh = (1, 1, 1)
    else:
        density = protocol.k_density[kind] * (CELL_MESH_SHARE if for_cell else 1)
        mesh = (equal_k_mesh if is_cubic else k_mesh)(cell, density)
    cutoff = protocol.cutoff_ev
    if for_cell:
        cutoff = max(cutoff, CELL_CUTOFF_EV)
    given: dict[str, Any] = {
        "mode": {"name": "pw", "ecut": cutoff},
        "xc": FUNCTIONAL,
        "kpts": {"size": mesh, "gamma": True},
        "occupations": {"name": "fermi-dirac", "width": WIDTH_EV[kind]},
        "convergence": {
            "energy": protocol.energy_ev_per_electron,
            "eigenstates": protocol.eigenstates_ev2_per_electron,
        },
        "maxiter": 150,
    }
    symbols = {site.specie.symbol for site in task.structure}
    with_u = {s: u for s, u in sorted(task.settings.hubbard_u_ev.items()) if s in symbols}
    if with_u:
        given["setups"] = {symbol: f":d,{u:g},0" for symbol, u in with_u.items()}
    if task.safer:
        # Small steps of a mixer with a short memory, and bands to spare: slow, and hard to upset.
        given["mixer"] = {"name": "pulay", "beta": 0.02, "nmaxold": 5, "weight": 100.0}
        given["nbands"] = "150%"
        given["maxiter"] = 600
    return given
