"""Techniques by name: from a file and options to quantities, one module each.

A module holds ``Options`` (what a user may give, with defaults), ``analyse(file, sample, options)``
and nothing of how results are stored or drawn. It is imported when its technique is asked for.
"""

from __future__ import annotations

import difflib
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from pydantic import BaseModel

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.quantities import Analysis
from rocksalt.analysis.sample import Sample

TECHNIQUES: dict[str, str] = {
    "cycling": "cycling",
    "gitt": "gitt",
    "cv": "cv",
    "eis": "eis",
    "geis": "geis",
    "dems": "dems",
    "xanes": "xanes",
    "soft-xas": "soft_xas",
    "txm": "txm",
    "xrd": "xrd",
    "eels": "eels",
    "xps": "xps",
    "raman": "raman",
    "tof-sims": "tof_sims",
    "element-map": "element_map",
}
"""Module of each technique, by the word that users type."""


class Technique(Protocol):
    """What a technique's module gives."""

    Options: type[BaseModel]

    def analyse(self, file: Path, sample: Sample, options: BaseModel) -> Analysis:
        """Read a file and return its quantities."""


def get_technique(name: str) -> Technique:
    """Return the module of a technique.

    Raises
    ------
    MeasurementError
        For an unknown word; the nearest known one is named.
    """
    if name not in TECHNIQUES:
        near = difflib.get_close_matches(name, TECHNIQUES, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(TECHNIQUES)}"
        raise MeasurementError(f"technique {name!r} is not known: {hint}")
    module = import_module(f"rocksalt.analysis.techniques.{TECHNIQUES[name]}")
    return cast(Technique, module)
