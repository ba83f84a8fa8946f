"""What a DFT code is asked to compute, and where it leaves its files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pymatgen.core import Structure

from rocksalt.screening.errors import RocksaltError
from rocksalt.workflows.dft.settings import DftSettings
from rocksalt.workflows.relaxer import RelaxationSettings


@dataclass(frozen=True)
class DftTask:
    """One structure to relax with a DFT code.

    Attributes
    ----------
    structure
        Start.
    relaxation
        When it counts as done, whether the cell is relaxed, and the rattle of the start.
    settings
        Magnetism and U.
    is_molecule
        A molecule in a box: one k-point, nothing but the atoms moves, no smearing to speak of.
    is_metal
        An element other than oxygen: a dense k-mesh.
    directory
        Where the code writes; made by `work_directory`.
    safer
        Second attempt: the protocol's settings that converge more slowly and more surely.
    """

    structure: Structure
    relaxation: RelaxationSettings
    settings: DftSettings
    is_molecule: bool
    is_metal: bool
    directory: Path
    safer: bool = False


def work_directory(root: str | Path, label: str, key: str, *, safer: bool = False) -> Path:
    """Make and return the folder of a calculation: its label and the head of its key.

    Raises
    ------
    RocksaltError
        When it cannot be made.
    """
    name = re.sub(r"[^A-Za-z0-9.+-]+", "_", label).strip("_")[:60]
    path = Path(root).expanduser() / f"{name}-{key[:10]}{'-safer' if safer else ''}"
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RocksaltError(
            f"{path}: cannot be made for the files of a DFT calculation: {error.strerror}: set "
            "dft_directory (ROCKSALT_DFT_DIRECTORY) to a folder that can be written"
        ) from error
    return path.resolve()
