"""What was measured: the sample of an experiment file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.user_input import UserInput
from rocksalt.screening.elements import check_cation, host_cations
from rocksalt.screening.errors import RocksaltError

if TYPE_CHECKING:
    from pymatgen.core import Composition


def composition_of(formula: str) -> Composition:
    """Return a formula's composition.

    Raises
    ------
    MeasurementError
        For what is no formula, holds no element, or less than nothing of one.
    """
    from pymatgen.core import Composition

    try:
        found = Composition(formula)
    except ValueError:
        found = Composition()
    if not found or not found.valid:
        raise MeasurementError(f"{formula!r} is no formula: give one as Li1.2Mn0.6Ni0.2O2")
    return found


class Sample(UserInput):
    """A sample, and what its measurements cannot say by themselves.

    Quantities per gram need `active_mass_mg`, those per area `electrode_area_cm2`: an analysis that
    needs one and has none asks for it.
    """

    name: str = Field(min_length=1, max_length=80)
    composition: str | None = Field(None, description="formula of the active material")
    dopant: str | None = Field(None, description="the candidate that the evidence speaks about")
    host: str | None = Field(None, description="as in a campaign: Mn, Li0.5Mn0.5")
    coating: str | None = Field(None, description="surface layer, for example RuO2")
    active_mass_mg: float | None = Field(None, gt=0, description="of the active material")
    electrode_area_cm2: float | None = Field(None, gt=0)

    @field_validator("dopant")
    @classmethod
    def _is_a_cation(cls, value: str | None) -> str | None:
        try:
            return value if value is None else check_cation(value)
        except RocksaltError as error:
            raise ValueError(str(error)) from error

    @field_validator("composition")
    @classmethod
    def _is_a_formula(cls, value: str | None) -> str | None:
        try:
            if value is not None:
                composition_of(value)
        except MeasurementError as error:
            raise ValueError(str(error)) from error
        return value

    @field_validator("host")
    @classmethod
    def _is_a_host(cls, value: str | None) -> str | None:
        try:
            if value is not None:
                host_cations(value)
        except RocksaltError as error:
            raise ValueError(str(error)) from error
        return value

    def mass_g(self, what: str) -> float:
        """Return the active mass in gram.

        Raises
        ------
        MeasurementError
            When it is not given; ``what`` names the quantity that needs it.
        """
        if self.active_mass_mg is None:
            raise MeasurementError(f"{what} needs the mass: give sample.active_mass_mg")
        return self.active_mass_mg / 1000
