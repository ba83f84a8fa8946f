"""Formation energy of rock-salt MO and the oxygen potential at which it is reduced to metal."""

from __future__ import annotations

from dataclasses import dataclass

from rocksalt.screening.errors import ScaleError
from rocksalt.screening.scales import Energy, EnergyScale, common_scale, mp2020_oxide_correction_ev


@dataclass(frozen=True)
class RockSaltFormation:
    """Formation energies of MO in eV per formula unit, at the O2 reference.

    Attributes
    ----------
    raw
        From energies as the engine gives them; None where they come corrected.
    corrected
        On the MP2020 scale; None where that scale does not apply.
    terms
        What was added to raw to give corrected, eV per formula by element.
    """

    raw: float | None
    corrected: float | None
    terms: dict[str, float]

    @property
    def best(self) -> float:
        """The corrected value where there is one, else the raw one, eV per formula."""
        value = self.corrected if self.corrected is not None else self.raw
        assert value is not None
        return value

    @property
    def reduction_dmu_o_ev(self) -> float:
        """Oxygen chemical potential in eV (0 at O2) below which MO gives metal.

        From dEf(dmu_O) = dEf(0) - dmu_O, one oxygen per formula.
        """
        return self.best


def rock_salt_formation(
    cation: str, rock_salt: Energy, metal: Energy, oxygen: Energy, scale: EnergyScale
) -> RockSaltFormation:
    """Return the formation energy dEf(MO) = E(MO) - E(M) - 1/2 E(O2).

    Parameters
    ----------
    cation
        Symbol of M.
    rock_salt
        Energy of MO in eV per formula unit, as the engine gives it.
    metal
        Energy of the metal in eV per atom.
    oxygen
        Energy of O2 in eV per atom (half a molecule).
    scale
        The engine's entry in the table of scales.

    Raises
    ------
    ScaleError
        When the three energies are not on one scale, or not on the one given.

    Notes
    -----
    Lin et al., Nat. Commun. 10, 1650 (2019), figure 5c. Positive: M leaves the rock salt as metal.
    """
    if common_scale(rock_salt, metal, oxygen) != scale.name:
        raise ScaleError(
            f"energies on the scale {rock_salt.scale!r} cannot be corrected by the rule of "
            f"{scale.name!r}: give the engine's own entry of the table of scales"
        )
    difference = rock_salt.ev - metal.ev - oxygen.ev
    if scale.correction == "included":
        return RockSaltFormation(None, difference, {})
    if scale.correction == "mp2020":
        terms = mp2020_oxide_correction_ev({cation: 1, "O": 1})
        return RockSaltFormation(difference, difference + sum(terms.values()), terms)
    return RockSaltFormation(difference, None, {})
