"""Input files of pw.x: protocols, k-mesh, magnetism, and U as each version wants it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import StringIO
from typing import Any

import numpy as np
from ase import Atoms
from ase.io.espresso import write_espresso_in
from ase.units import Bohr, GPa, Ry

from rocksalt.screening.errors import CalculationError
from rocksalt.workflows.dft.kpoints import k_mesh
from rocksalt.workflows.dft.pseudopotentials import Pseudopotential
from rocksalt.workflows.dft.task import DftTask

PROJECTORS = "atomic"
"""Of U: all versions have forces and stress for them, so that energies of all are on one scale."""

O2_MOMENT_MU_B = 2.0
"""The molecule's ground state is a triplet, whatever order is asked of the oxides."""

F_BLOCK = set(range(57, 72)) | set(range(89, 104))
"""Atomic numbers whose U would act on f."""


@dataclass(frozen=True)
class Protocol:
    """How finely a cell is computed.

    Attributes
    ----------
    cutoff_ry, density_cutoff_ry
        Of wavefunctions and of the charge density, Ry.
    k_density, k_density_metal
        Of k-points, angstrom (`kpoints.k_mesh`); in an element the second.
    smearing_ry, smearing_metal_ry
        Width of cold smearing.
    convergence_ry
        Of the energy in the self-consistent field, Ry per atom.
    fmax
        Force at which a relaxation ends, in place of the campaign's, eV/angstrom.
    """

    cutoff_ry: float
    density_cutoff_ry: float
    k_density: float
    k_density_metal: float
    convergence_ry: float
    smearing_ry: float = 0.01
    smearing_metal_ry: float = 0.02
    fmax: float | None = None


PROTOCOLS = {
    "fast": Protocol(50, 400, 2.7, 3.8, 1e-8),
    "balanced": Protocol(60, 600, 3.6, 5.0, 1e-9),
    "precise": Protocol(80, 960, 4.5, 6.5, 1e-10),
    # Lin et al. (2019): 650 eV, 4 x 4 x 2 points, 0.025 eV/angstrom. Read as the mesh of the
    # 1 x 1 x 2 cell of a cubic rock salt of 4.1 to 4.5 angstrom, it has this density. The paper tells
    # neither that cell, nor the density cutoff, nor the smearing, nor the mesh of its metals.
    "lin2019": Protocol(round(650 / Ry, 3), 480, 2.74, 5.0, 1e-9, fmax=0.025),
}
"""By name. 8 x 8 x 8 points in a rock salt's cell of two atoms are a density of 3.6."""


def version_number(version: str) -> tuple[int, int]:
    """Return the version of pw.x as numbers: '6.7MaX' is (6, 7).

    Raises
    ------
    CalculationError
        When there is no number in it.
    """
    found = re.match(r"(\d+)\.(\d+)", version)
    if found is None:
        raise CalculationError(
            f"pw.x gives its version as {version!r}: no number can be read in it"
        )
    return int(found.group(1)), int(found.group(2))


def force_limit(task: DftTask, protocol: str) -> float:
    """Return the force at which a relaxation ends, eV/angstrom."""
    return PROTOCOLS[protocol].fmax or task.relaxation.fmax


def mesh(atoms: Atoms, task: DftTask, protocol: str) -> tuple[int, int, int] | None:
    """Return the k-mesh of a cell, centred on Gamma; None stands for Gamma alone, of a molecule."""
    if task.is_molecule:
        return None
    settings = PROTOCOLS[protocol]
    density = settings.k_density_metal if task.is_metal else settings.k_density
    return k_mesh(atoms.cell.array, density)


def cell_cutoff_ry(protocol: str, pseudopotentials: Iterable[Pseudopotential]) -> float:
    """Return the cutoff at which a cell follows the stress: that of the energies is too low for it.

    The basis shrinks with the cell, and so does an unconverged cell (Pulay stress). It takes part in
    no energy difference, so it may depend on the elements.
    """
    suggested = [1.1 * p.cutoff_ry for p in pseudopotentials if p.cutoff_ry]
    return float(round(max([1.3 * PROTOCOLS[protocol].cutoff_ry, *suggested])))


def pw_input(
    atoms: Atoms,
    task: DftTask,
    protocol: str,
    pseudopotentials: Mapping[str, Pseudopotential],
    version: str,
    *,
    k_points: tuple[int, int, int] | None = None,
    cell_at_ry: float | None = None,
) -> str:
    """Return the input file of a relaxation.

    Parameters
    ----------
    atoms
        With initial magnetic moments, mu_B; none of a molecule.
    task
        What is asked: cell or positions, molecule or metal, U, safer settings.
    protocol
        One of `PROTOCOLS`.
    pseudopotentials
        By element; all from one folder.
    version
        Of pw.x: from 7.1 on U is a card, before it is part of the namelist.
    k_points
        Of another cell whose mesh is kept; else this one's.
    cell_at_ry
        Relax the cell too, at this cutoff, Ry; else only the positions, at the protocol's.

    Raises
    ------
    CalculationError
        When U is asked of an element on which it cannot act.

    Notes
    -----
    `starting_magnetization` is the polarisation per valence electron, in every version; only from
    7.3 on numbers of 1 and more are moments, and smaller ones beside them too. Fractions it is.
    """
    settings = PROTOCOLS[protocol]
    own = atoms.copy()
    valence = [pseudopotentials[symbol].valence for symbol in own.get_chemical_symbols()]
    fractions = np.clip(own.get_initial_magnetic_moments() / np.array(valence), -1, 1)
    own.set_initial_magnetic_moments(np.round(fractions, 6))
    folders = {str(p.path.parent) for p in pseudopotentials.values()}
    data = {
        "control": _control(own, task, protocol) | {"pseudo_dir": folders.pop()},
        "system": _system(own, task, settings),
        "electrons": _electrons(own, task, settings),
        "ions": {"ion_dynamics": "bfgs"},
    }
    if cell_at_ry is not None:
        ratio = settings.density_cutoff_ry / settings.cutoff_ry
        data["control"] |= {"calculation": "vc-relax", "tstress": True}
        data["system"] |= {"ecutwfc": cell_at_ry, "ecutrho": round(cell_at_ry * ratio, 3)}
        data["cell"] = {"cell_dynamics": "bfgs", "press_conv_thr": _pressure_limit_kbar(own, task)}
    options: dict[str, Any] = {
        "pseudopotentials": {s: p.path.name for s, p in pseudopotentials.items()},
        "kpts": k_points or mesh(own, task, protocol),
    }
    shells = _hubbard_shells(task, pseudopotentials)
    if shells:
        labels = species_labels(_written(own, data, options))
        u_ev = task.settings.hubbard_u_ev
        acted = [(i, label) for i, label in enumerate(labels, 1) if _symbol(label) in shells]
        if version_number(version) >= (7, 1):
            options["additional_cards"] = [
                f"HUBBARD ({PROJECTORS})",
                *(f"U {s}-{shells[_symbol(s)]} {u_ev[_symbol(s)]:g}" for _, s in acted),
            ]
        else:
            data["system"] |= {"lda_plus_u": True, "U_projection_type": PROJECTORS}
            data["system"] |= {f"Hubbard_U({i})": u_ev[_symbol(s)] for i, s in acted}
    return _written(own, data, options)


def species_labels(text: str) -> list[str]:
    """Return the labels of the species in the order of an input file: 'Mn', 'Mn1', 'O'.

    A species is an element with one start moment. Their numbers in a namelist follow this order.
    """
    card = re.search(r"^ATOMIC_SPECIES\n((?:\S.*\n)+)", text, re.MULTILINE)
    return [] if card is None else [line.split()[0] for line in card.group(1).splitlines()]


def _written(atoms: Atoms, data: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    buffer = StringIO()
    nested = {section: dict(values) for section, values in data.items()}
    write_espresso_in(buffer, atoms, input_data=nested, crystal_coordinates=True, **options)
    # Empty namelists of solvation: versions before 7.1 warn about them.
    return re.sub(r"^&(?:FCP|RISM|CELL)\n/\n", "", buffer.getvalue(), flags=re.MULTILINE)


def _control(atoms: Atoms, task: DftTask, protocol: str) -> dict[str, Any]:
    # pw.x compares components, rocksalt the length of the vector.
    component = force_limit(task, protocol) / math.sqrt(3) / (Ry / Bohr)
    return {
        "calculation": "relax",
        "prefix": "rocksalt",
        "outdir": "./scratch",
        "disk_io": "nowf",
        "tprnfor": True,
        "tstress": False,
        "nstep": task.relaxation.max_evaluations,
        "forc_conv_thr": float(f"{component:.3e}"),
        "etot_conv_thr": float(f"{1e-5 * len(atoms):.3e}"),
    }


def _system(atoms: Atoms, task: DftTask, settings: Protocol) -> dict[str, Any]:
    system: dict[str, Any] = {
        "ecutwfc": settings.cutoff_ry,
        "ecutrho": settings.density_cutoff_ry,
    }
    if task.is_molecule:
        return system | {
            "occupations": "fixed",
            "nspin": 2,
            "tot_magnetization": O2_MOMENT_MU_B,
        }
    system |= {
        "occupations": "smearing",
        "smearing": "cold",
        "degauss": settings.smearing_metal_ry if task.is_metal else settings.smearing_ry,
    }
    return system | ({"nspin": 2} if atoms.get_initial_magnetic_moments().any() else {})


def _electrons(atoms: Atoms, task: DftTask, settings: Protocol) -> dict[str, Any]:
    electrons: dict[str, Any] = {
        "conv_thr": float(f"{settings.convergence_ry * len(atoms):.3e}"),
        "electron_maxstep": 100,
        "mixing_beta": 0.4,
    }
    if task.safer:
        electrons |= {"electron_maxstep": 400, "mixing_beta": 0.1, "mixing_mode": "local-TF"}
    return electrons


def _pressure_limit_kbar(atoms: Atoms, task: DftTask) -> float:
    """Return half the stress that is as far from rest as a force of `fmax`, kbar."""
    stress = task.relaxation.fmax * len(atoms) / atoms.get_volume() / GPa * 10
    return float(f"{stress / 2:.3g}")


def _hubbard_shells(
    task: DftTask, pseudopotentials: Mapping[str, Pseudopotential]
) -> dict[str, str]:
    """Return the shell that U acts on, by element."""
    shells = {}
    for symbol, found in pseudopotentials.items():
        u_ev = task.settings.hubbard_u_ev.get(symbol)
        if not u_ev:
            continue
        if Atoms(symbol).numbers[0] in F_BLOCK:
            raise CalculationError(
                f"U of {u_ev:g} eV on {symbol}: pw.x lets it act on f, hubbard_u_ev is that of d: "
                f"leave {symbol} out of hubbard_u_ev"
            )
        shell = found.d_orbital
        if shell is None:
            raise CalculationError(
                f"U of {u_ev:g} eV on {symbol}: {found.path} holds no atomic d orbital "
                f"({', '.join(found.orbitals) or 'none at all'}), so U cannot act: leave {symbol} out "
                "of hubbard_u_ev or replace the file"
            )
        shells[symbol] = shell
    return shells


def _symbol(label: str) -> str:
    return label.rstrip("0123456789")
