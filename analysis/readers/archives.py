"""Archives of numpy arrays (.npz)."""

from __future__ import annotations

import zlib
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.quantities import Array


def read_archive(path: str | Path) -> dict[str, Array]:
    """Return all arrays of an .npz file by name, as they are stored.

    Raises
    ------
    MeasurementError
        For a file that cannot be read, is cut short or damaged, or is no archive.
    """
    path = Path(path)
    try:
        # numpy leaves a file open that it opened itself and that is no archive
        with path.open("rb") as opened:
            loaded = np.load(opened, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                raise MeasurementError(f"{path}: holds one array and no archive: name it .npy")
            with loaded as arrays:
                return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, EOFError, BadZipFile, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        if "pickle" in reason:  # numpy's word for whatever it does not know
            reason = "it holds no arrays of numbers"
        raise MeasurementError(
            f"{path}: the archive cannot be read: {reason}: export it again"
        ) from error
