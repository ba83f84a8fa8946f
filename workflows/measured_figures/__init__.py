"""Figures of analysed measurements: one module per technique, named as the technique's own module.

Such a module holds ``draw(values, arrays, parameters)``, which takes what a document of that technique
holds and returns a matplotlib figure. It is imported when its technique is drawn, and runs inside the
style of all figures; nothing touches pyplot or the caller's settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Protocol, cast

import numpy as np
from matplotlib.figure import Figure

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.quantities import Array
from rocksalt.analysis.techniques import TECHNIQUES
from rocksalt.stores.experiment_documents import ExperimentDoc, MeasuredQuantity
from rocksalt.workflows.figure_style import styled


class MeasuredFigure(Protocol):
    """What a module of this package gives."""

    def draw(
        self,
        values: Mapping[str, MeasuredQuantity],
        arrays: Mapping[str, Array],
        parameters: Mapping[str, Any],
    ) -> Figure:
        """Return the figure of one measurement."""


def draw_measurement(document: ExperimentDoc, arrays: Mapping[str, Any]) -> Figure:
    """Draw one analysed measurement, titled by its sample and file.

    Parameters
    ----------
    document
        The measurement; its `values` and `parameters` go to the technique's ``draw``.
    arrays
        Its curves and maps by name, as analysed or as the additional store returns them.

    Returns
    -------
    Figure
        As the module of the technique draws it.

    Raises
    ------
    MeasurementError
        When the technique has no figure, or its curves are not among ``arrays``.
    """
    curves = {name: np.asarray(array, dtype=float) for name, array in arrays.items()}
    try:
        figure = _draw(_module(document.technique), document, curves)
    except KeyError as error:
        raise MeasurementError(
            f"{document.file}: {document.technique}: no figure, since the stored curves have no {error}: "
            "they are another version's; analyse the file into a new store"
        ) from None
    return figure


@styled
def _draw(module: MeasuredFigure, document: ExperimentDoc, curves: Mapping[str, Array]) -> Figure:
    figure = module.draw(document.values, curves, document.parameters)
    title = f"{document.sample['name']}: {document.file}"
    figure.suptitle(title, x=0.01, ha="left", fontsize=9, color="#55606c")
    return figure


def _module(technique: str) -> MeasuredFigure:
    name = f"{__name__}.{TECHNIQUES.get(technique, technique)}"
    try:
        return cast(MeasuredFigure, import_module(name))
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise MeasurementError(f"technique {technique!r} has no figure") from None
