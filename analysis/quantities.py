"""What an analysis gives: quantities with uncertainty and unit, curves, and what must be said."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Quantity:
    """A measured quantity.

    Attributes
    ----------
    value
        In `unit`.
    uncertainty
        Standard uncertainty in `unit`; None where the measurement does not give one.
    unit
        As in papers: 'mAh/g', 'V', 'ohm', '1' for a plain number.
    """

    value: float
    uncertainty: float | None
    unit: str

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise ValueError(f"a value of {self.value!r} {self.unit} is not a finite number")
        if self.uncertainty is not None and not self.uncertainty >= 0:
            raise ValueError(f"an uncertainty of {self.uncertainty!r} {self.unit} is not one")


@dataclass
class Analysis:
    """Result of one analysis of one measurement.

    Attributes
    ----------
    values
        Scalar results by name ('initial_coulombic_efficiency').
    arrays
        Curves and maps by name with the unit at the end ('voltage_v', 'capacity_mah_per_g'); they go
        to the additional store.
    parameters
        What was chosen, by the user or by a default: the same parameters give the same result.
    remarks
        What a reader must know, one sentence each.
    """

    values: dict[str, Quantity] = field(default_factory=dict)
    arrays: dict[str, Array] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
