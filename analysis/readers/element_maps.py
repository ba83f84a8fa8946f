"""Maps of counts of elements: .npz with an array for each, or a stack of images in a given order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.quantities import Array
from rocksalt.analysis.readers.archives import read_archive
from rocksalt.analysis.readers.xas import read_stack


def read_element_maps(path: str | Path, elements: Sequence[str] = ()) -> dict[str, Array]:
    """Return counts by element.

    Parameters
    ----------
    path
        ``.npz`` whose arrays have symbols as names, or a stack (``.npy``, ``.tif``).
    elements
        Of a stack, one for each image; of an ``.npz``, those that are wanted, by default all.

    Returns
    -------
    dict
        (rows, columns) or (planes, rows, columns) for each; all of one shape, whole numbers, none below
        zero.

    Raises
    ------
    MeasurementError
        For a file that cannot be read, maps of different shapes, or numbers that are no counts.
    """
    path = Path(path)
    if path.suffix.lower() == ".npz":
        arrays = read_archive(path)
        lacking = [each for each in elements if each not in arrays]
        if lacking:
            raise MeasurementError(
                f"{path}: no map of {lacking[0]}: it holds {', '.join(arrays) or 'nothing'}"
            )
        maps: Mapping[str, Array] = {each: arrays[each] for each in elements or arrays}
    else:
        stack = read_stack(path)
        if len(stack) != len(elements):
            raise MeasurementError(
                f"{path}: {len(stack)} images and {len(elements)} elements: give elements, one symbol "
                "for each image in their order"
            )
        maps = dict(zip(elements, stack, strict=True))
        if len(maps) != len(stack):
            raise MeasurementError(f"{path}: elements: one is named twice: give each image its own")
    return _checked(maps, path)


def _checked(maps: Mapping[str, Array], path: Path) -> dict[str, Array]:
    first = next(iter(maps), None)
    for element, counts in maps.items():
        shape = " by ".join(map(str, counts.shape)) or "one number"
        if counts.ndim not in {2, 3} or 0 in counts.shape:
            raise MeasurementError(
                f"{path}: {element}: {shape} is no map: give (rows, columns) or (planes, rows, columns)"
            )
        if first is not None and counts.shape != maps[first].shape:
            raise MeasurementError(
                f"{path}: the maps of {first} and {element} differ in shape ("
                f"{' by '.join(map(str, maps[first].shape))}, {shape}): export them of one area"
            )
        if counts.dtype.kind not in "biuf":
            raise MeasurementError(f"{path}: {element}: not numbers: export counts")
        if not np.isfinite(counts).all():
            raise MeasurementError(
                f"{path}: {element}: a pixel is no finite number: export the counts again"
            )
        wrong = (counts < 0) | (counts != np.rint(counts))
        if wrong.any():
            raise MeasurementError(
                f"{path}: {element}: {counts[wrong][0]:g} is no number of counts: export counts as they "
                "were recorded, not percent, rates, smoothed or background-subtracted maps"
            )
    # a volume of one plane is an area
    return {
        element: np.asarray(
            counts[0] if counts.ndim == 3 and len(counts) == 1 else counts, dtype=float
        )
        for element, counts in maps.items()
    }
