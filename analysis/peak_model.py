"""Peaks on a background as a function of named parameters, and what a template allows them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator
from scipy.integrate import cumulative_trapezoid
from scipy.special import erf

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.quantities import Array
from rocksalt.analysis.user_input import UserInput
from rocksalt.analysis.xanes import Range

_SHIRLEY_TOLERANCE = 1e-7  # of the data's range
_SHIRLEY_ROUNDS = 200
_SHIFTS_TRIED = 7
_LN2 = math.log(2)


class Component(UserInput):
    """One peak of a template; positions and widths in the unit of the axis."""

    position: float
    shift: float = Field(0.0, ge=0, description="how far the position may move either way")
    width: Range = Field(description="least and largest full width at half maximum")
    shape: Literal["pseudo-voigt", "gaussian", "lorentzian"] = "pseudo-voigt"
    lorentzian: float | None = Field(
        0.3, ge=0, le=1, description="its share in a pseudo-Voigt; null fits it"
    )

    @model_validator(mode="after")
    def _has_a_width(self) -> Component:
        if not 0 < self.width[0] <= self.width[1]:
            raise ValueError(f"width {list(self.width)} is no range of positive widths")
        return self

    @property
    def mixing(self) -> Range:
        """Least and largest share of the Lorentzian."""
        if self.shape == "pseudo-voigt" and self.lorentzian is None:
            return (0.0, 1.0)
        share = {"gaussian": 0.0, "lorentzian": 1.0}.get(self.shape, self.lorentzian or 0.0)
        return (share, share)


@dataclass(frozen=True)
class Background:
    """What peaks stand on: a polynomial of `degree`, and with `step` a Shirley step on it."""

    degree: int = 0
    step: bool = False


def shirley_background(
    x: Array, y: Array, *, edge_points: int = 5, name: str = "the spectrum"
) -> Array:
    """Return the background that rises with the area of the peak passed, from end to end.

    B(x) = y_0 + (y_1 - y_0) int_{x_0}^{x} (y - B) / int_{x_0}^{x_1} (y - B), repeated until it stands:
    D. A. Shirley, Phys. Rev. B 5, 4709 (1972).

    Parameters
    ----------
    x, y
        (n_points,): binding energies, rising, and intensities.
    edge_points
        Points at either end whose mean is the level there.
    name
        For messages.

    Raises
    ------
    MeasurementError
        When it does not settle: without a peak there is no such background.
    """
    low, high = float(y[:edge_points].mean()), float(y[-edge_points:].mean())
    background = np.full(len(y), low)
    for _ in range(_SHIRLEY_ROUNDS):
        passed = cumulative_trapezoid(y - background, x, initial=0.0)
        if not passed[-1] > 0:
            break
        update = low + (high - low) * passed / passed[-1]
        change = float(abs(update - background).max())
        background = update
        if change <= _SHIRLEY_TOLERANCE * float(np.ptp(y)):
            return background
    raise MeasurementError(
        f"{name}: no Shirley background settles from {x[0]:g} to {x[-1]:g}: choose a window that "
        "begins and ends beside a peak, or background: linear"
    )


class PeakModel:
    """Curves of a template over fixed points, by lmfit's parameters.

    Component i has ``area_i``, ``shift_i`` (from the template's position), ``width_i`` and ``mixing_i``
    (the Lorentzian's share); the background has ``background_0`` ... by falling power of the axis, which
    runs from -1 to 1, and ``step``, its height per area. What a template leaves no range is fixed.

    Parameters
    ----------
    x
        (n_points,), rising.
    template
        Components by name.
    background
        Its kind.
    together
        The first component's shift moves all of them, and theirs add to it.
    same_width
        ``width_0`` is that of all.
    name
        For messages.

    Raises
    ------
    MeasurementError
        Without lmfit, or when one width for all is in no common range.
    """

    def __init__(
        self,
        x: Array,
        template: Mapping[str, Component],
        background: Background,
        *,
        together: bool,
        same_width: bool,
        name: str,
    ) -> None:
        self.lmfit = _lmfit(name)
        self.x, self.names, self.name = x, tuple(template), name
        self.components = list(template.values())
        self.background, self.together, self.same_width = background, together, same_width
        self.widths = [c.width for c in self.components]
        if same_width:
            common = (max(w[0] for w in self.widths), min(w[1] for w in self.widths))
            if common[0] > common[1]:
                raise MeasurementError(
                    f"{name}: no width is in the ranges of all components: give same_width: false"
                )
            self.widths = [common] * len(self.widths)
        self._powers = np.vander(2 * (x - x[0]) / (x[-1] - x[0]) - 1, background.degree + 1)
        self._all = range(len(self.names))

    def parameters(self, y: Array) -> Any:
        """Return lmfit's parameters: the middle of each range, and what suits the data best there."""
        parameters = self.lmfit.Parameters()
        for i, component in enumerate(self.components):
            parameters.add(f"area_{i}", value=1.0)
            _add(parameters, f"shift_{i}", (-component.shift, component.shift))
            if i == 0 or not self.same_width:
                _add(parameters, f"width_{i}", self.widths[i])
            _add(parameters, f"mixing_{i}", component.mixing)
        under = np.zeros_like(y)
        if self.background.step:
            under = shirley_background(self.x, y, name=self.name)
            parameters.add("step", value=0.0)
        areas, powers = self._best_areas(parameters, y - under)
        powers[-1] += under[0]
        for i in self._all:
            parameters[f"area_{i}"].set(value=float(areas[i]))
        for power, value in enumerate(powers):
            parameters.add(f"background_{power}", value=float(value))
        if self.background.step and areas.sum() > 0:
            parameters["step"].set(value=float((under[-1] - under[0]) / areas.sum()))
        return parameters

    def _best_areas(self, parameters: Any, y: Array) -> tuple[Array, Array]:
        """Return areas and background that suit the data best, after choosing the common shift.

        A common shift is tried over its range: one as long as the distance of two components is a
        minimum of its own, with their names exchanged.
        """
        values = dict(parameters.valuesdict())
        common = parameters["shift_0"]
        tried = [common.value]
        if self.together and common.vary:
            tried = list(np.linspace(common.min, common.max, _SHIFTS_TRIED + 2)[1:-1])
        least, best = math.inf, np.empty(0)
        for shift in tried:
            unit = _pseudo_voigt(*self._reduced(values | {"shift_0": shift}))
            matrix = np.column_stack([unit.T, self._powers])
            found = np.linalg.lstsq(matrix, y, rcond=None)[0]
            square = float(((matrix @ found - y) ** 2).sum())
            if square < least:
                least, best = square, found
                common.set(value=float(shift))
        return best[: len(self.names)], best[len(self.names) :]

    def curves(self, values: Mapping[str, float]) -> tuple[Array, Array]:
        """Return the components, (n_components, n_points), and the background, (n_points,)."""
        areas = np.array([values[f"area_{i}"] for i in self._all])
        u, half, mixing = self._reduced(values)
        peaks = areas[:, None] * _pseudo_voigt(u, half, mixing)
        under = self._powers @ [values[f"background_{p}"] for p in range(self._powers.shape[1])]
        if self.background.step:
            under = under + values["step"] * (areas @ _passed(u, mixing))
        return peaks, under

    def curve(self, values: Mapping[str, float]) -> Array:
        """Return all of it, (n_points,)."""
        peaks, under = self.curves(values)
        return peaks.sum(axis=0) + under

    def position(self, values: Mapping[str, float], i: int) -> float:
        """Return where component i is."""
        return self.components[i].position + sum(values[name] for name in self.shifts_of(i))

    def width(self, values: Mapping[str, float], i: int) -> float:
        """Return the full width at half maximum of component i."""
        return values[self.width_of(i)]

    def shifts_of(self, i: int) -> set[str]:
        """Return the parameters that add up to the shift of component i."""
        return {f"shift_{i}", "shift_0"} if self.together else {f"shift_{i}"}

    def width_of(self, i: int) -> str:
        """Return the parameter that is the width of component i."""
        return "width_0" if self.same_width else f"width_{i}"

    def _reduced(self, values: Mapping[str, float]) -> tuple[Array, Array, Array]:
        """Return the distance from each centre in half widths, the half widths, and the mixing."""
        centres = np.array([self.position(values, i) for i in self._all])
        half = np.array([[self.width(values, i) / 2] for i in self._all])
        mixing = np.array([[values[f"mixing_{i}"]] for i in self._all])
        return (self.x - centres[:, None]) / half, half, mixing

    def words(self, parameter: str) -> str:
        """Return a parameter's name as a reader knows it."""
        kind, _, number = parameter.partition("_")
        if kind == "step":
            return "height of the Shirley step"
        if kind == "background":
            return "background"
        if kind == "width" and self.same_width:
            return "common width"
        if kind == "shift" and self.together and number == "0":
            return "common shift"
        word = {"area": "area", "shift": "position", "width": "width", "mixing": "Lorentzian share"}
        return f"{word[kind]} of {self.names[int(number)]}"


def _pseudo_voigt(u: Array, half: Array, mixing: Array) -> Array:
    """Return peaks of unit area, u half widths from their centres, as lmfit's pseudo-Voigt."""
    lorentzian = 1 / (math.pi * (1 + u**2))
    gaussian = math.sqrt(_LN2 / math.pi) * np.exp(-_LN2 * u**2)
    return (mixing * lorentzian + (1 - mixing) * gaussian) / half


def _passed(u: Array, mixing: Array) -> Array:
    """Return the integral of such a peak up to u."""
    lorentzian = 0.5 + np.arctan(u) / math.pi
    gaussian = 0.5 * (1 + erf(math.sqrt(_LN2) * u))
    return mixing * lorentzian + (1 - mixing) * gaussian


def _add(parameters: Any, name: str, allowed: Range) -> None:
    low, high = allowed
    if low < high:
        parameters.add(name, value=(low + high) / 2, min=low, max=high)
    else:
        parameters.add(name, value=low, vary=False)


def _lmfit(name: str) -> Any:
    try:
        import lmfit  # in an extra, and a second of imports: loaded when a fit is asked for
    except ImportError:
        raise MeasurementError(
            f"{name}: peak fits need the package lmfit: pip install 'rocksalt[experiments]'"
        ) from None
    return lmfit
