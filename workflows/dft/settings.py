"""What a DFT result depends on besides the structure, the code and its protocol."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal

from ase.data import atomic_numbers
from pydantic import BaseModel, ConfigDict, Field, field_validator

MATERIALS_PROJECT_U = "materials-project"
"""In the place of a table of U."""

MagneticOrder = Literal["nonmagnetic", "ferromagnetic", "antiferromagnetic", "lowest"]

MOMENTS_MU_B: dict[str, float] = {
    "Ti": 2.0, "V": 3.0, "Cr": 4.0, "Mn": 5.0, "Fe": 4.0, "Co": 3.0, "Ni": 2.0, "Cu": 1.0,
    "Nb": 3.0, "Mo": 4.0, "Tc": 5.0, "Ru": 4.0, "Rh": 3.0, "Pd": 2.0, "O": 0.0,
}  # fmt: skip
"""Moments that a calculation starts with: high spin of the 2+ ion. The electrons then decide."""

OTHER_MOMENT_MU_B = 0.6
"""Of an element that is not in the table: enough to leave the state without spin."""


class DftSettings(BaseModel):
    """Magnetism and U of one DFT engine, and how large cells may be.

    Attributes
    ----------
    hubbard_u_ev
        U of the d shell by element, eV; 'materials-project' stands for the Materials Project's.
        It acts in oxides and in metals alike, so that their energies are on one scale; with VASP at
        the Materials Project's own U, in oxides alone, as the corrections for it want.
    magnetic_order
        'ferromagnetic' starts all moments upward, 'antiferromagnetic' a rock salt as AFM-II (moments
        alternate along [111], in a cell of four atoms) and other cells with signs that
        alternate as far as they can, 'lowest' computes both and keeps the lower.
    initial_moments_mu_b
        By element, where they are to differ from `MOMENTS_MU_B`.
    max_atoms
        Larger cells are left out of the plan, which says so. Decides no result.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    hubbard_u_ev: dict[str, float] = Field({}, description="U of the d shell by element, eV")
    magnetic_order: MagneticOrder = Field("ferromagnetic", description="order of the start")
    initial_moments_mu_b: dict[str, float] = Field({}, description="start moments by element, mu_B")
    max_atoms: int | None = Field(None, ge=1, description="larger cells are left out, and said")

    @field_validator("hubbard_u_ev", mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        if value == MATERIALS_PROJECT_U:
            return materials_project_u_ev()
        if isinstance(value, str):
            raise ValueError(f"{value!r}: give U by element, or {MATERIALS_PROJECT_U!r}")  # noqa: TRY004  # pydantic takes ValueError
        return value

    @field_validator("hubbard_u_ev", "initial_moments_mu_b")
    @classmethod
    def _of_elements(cls, value: dict[str, float]) -> dict[str, float]:
        for symbol, number in value.items():
            if symbol not in atomic_numbers or symbol == "X":
                raise ValueError(f"{symbol!r} is not an element")
            if not math.isfinite(number):
                raise ValueError(f"{symbol}: {number!r} is not a finite number")
        return value

    @field_validator("hubbard_u_ev")
    @classmethod
    def _not_negative(cls, value: dict[str, float]) -> dict[str, float]:
        for symbol, number in value.items():
            if number < 0:
                raise ValueError(f"{symbol}: {number:g} eV: U is 0 or positive")
        return {symbol: u for symbol, u in value.items() if u}

    def moment_mu_b(self, symbol: str) -> float:
        """Return the size of the moment that an atom of an element starts with."""
        if self.magnetic_order == "nonmagnetic":
            return 0.0
        default = MOMENTS_MU_B.get(symbol, OTHER_MOMENT_MU_B)
        return self.initial_moments_mu_b.get(symbol, default)

    def identity(self, elements: Mapping[str, Any] | set[str]) -> dict[str, Any]:
        """Return what of the settings a result on these elements depends on."""
        return {
            "hubbard_u_ev": {s: u for s, u in sorted(self.hubbard_u_ev.items()) if s in elements},
            "magnetic_order": self.magnetic_order,
            "initial_moments_mu_b": {s: self.moment_mu_b(s) for s in sorted(elements)},
        }


DEFAULT_SETTINGS: dict[str, dict[str, Any]] = {
    # Without U a ferromagnetic NiO is 0.1 to 0.25 eV per formula unit above the antiferromagnetic one:
    # a mixture that dilutes it would seem to gain half of that.
    "gpaw": {"magnetic_order": "lowest"},
    "espresso": {"magnetic_order": "lowest"},
    # Energies take part in the Materials Project's corrections only at its own U, and most of its
    # oxides are ferromagnetic.
    "vasp": {"hubbard_u_ev": MATERIALS_PROJECT_U},
}
"""Of each DFT code, by the name before the colon of an engine; each key can be overridden."""


@lru_cache
def materials_project_u_ev() -> dict[str, float]:
    """Return the U that the Materials Project uses in oxides, eV, as pymatgen ships it."""
    from pymatgen.io.vasp.sets import MPRelaxSet

    return {symbol: float(u) for symbol, u in MPRelaxSet.CONFIG["INCAR"]["LDAUU"]["O"].items() if u}


def settings_of(code: str, given: Mapping[str, Any] | None) -> DftSettings:
    """Return the settings of a code: its defaults, and over them what a campaign gives."""
    return DftSettings(**{**DEFAULT_SETTINGS[code], **(given or {})})
