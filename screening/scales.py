"""Energy scales: what an engine's energies may be added to, and which correction they need.

One table, keyed by engine and model version. Everything that sums energies of several compounds
asks it, and energies of two scales raise `ScaleError`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rocksalt.screening.errors import ScaleError

MP2020 = "MP2020"
"""GGA and GGA+U energies mixed and corrected as the Materials Project does since 2020."""

MP2020_OXIDE_EV_PER_O = -0.687
MP2020_EV_PER_CATION = {
    "V": -1.700,
    "Cr": -1.999,
    "Mn": -1.668,
    "Fe": -2.256,
    "Co": -1.638,
    "Ni": -2.541,
    "Mo": -3.202,
    "W": -4.438,
}
"""Corrections of oxides; Wang et al., Sci. Rep. 11, 15496 (2021), as shipped in pymatgen.

The step at Mo (and W), whose neighbours in the row have none, cuts through trends of the 4d and 5d
rows: results are reported with and without.
"""


@dataclass(frozen=True)
class EnergyScale:
    """How energies of one kind enter a formation energy or a hull.

    Attributes
    ----------
    name
        Energies of the same name may be added.
    correction
        'included' when the engine already gives MP2020 energies, 'mp2020' when that correction
        brings them there, None when it does not apply and only the engine's own elements serve.
    description
        One sentence for the report.
    is_known
        Whether formation energies on this scale can be trusted; not for an engine whose training
        data rocksalt does not know.
    too_high_ev_per_formula
        How far above the measured ones formation energies of MO may lie; 0 where nothing of the
        kind is known.
    """

    name: str
    correction: str | None
    description: str
    is_known: bool = True
    too_high_ev_per_formula: float = 0.0


DFT_PROTOCOLS = {
    "gpaw": ("fast", "balanced", "precise"),
    "espresso": ("fast", "balanced", "precise", "lin2019"),
}
"""Protocols of the codes whose energies are on scales of their own: cutoff and k-mesh belong to them."""

PBE_TOO_HIGH_EV_PER_FORMULA = 1.8
"""PBE binds O2 too strongly and misplaces d electrons. Seven rock salts with GPAW (`precise` and
`balanced` differ by 0.002) lie above the measured enthalpies of `rocksalt.screening.measured`: Mg 0.8,
Ti 1.1, Co 1.4, Ni 1.4, V 1.4, Mn 1.6, Nb 1.8 eV."""

PBE_U_TOO_HIGH_EV_PER_FORMULA = 0.687 + 2.541
"""What MP2020 corrects in NiO, the most among monoxides with U and a measured enthalpy."""

DFT_CODES = (*DFT_PROTOCOLS, "vasp")
"""What an engine's name begins with, up to its colon, if it is DFT."""

_RAW_PBE = EnergyScale(
    "PBE/PBE+U (MPtrj), raw",
    "mp2020",
    "raw GGA/GGA+U of the Materials Project; corrected to MP2020 for formation energies",
)

_SCALES: dict[tuple[str, str], EnergyScale] = {
    ("chgnet", "0.3.0"): EnergyScale(
        MP2020, "included", "trained on MP2020-corrected energies; correcting again is wrong"
    ),
    ("chgnet-r2scan", "r2scan"): EnergyScale(
        "r2SCAN (CHGNet transfer)", None, "r2SCAN; its own elements and O2, MP2020 does not apply"
    ),
    ("sevennet-0", "7net-0"): _RAW_PBE,
    ("sevennet-l3i5", "7net-l3i5"): _RAW_PBE,
    ("sevennet-mf-0:pbe", "7net-mf-0"): _RAW_PBE,
    ("sevennet-mf-0:r2scan", "7net-mf-0"): EnergyScale(
        "r2SCAN (SevenNet-MF-0)", None, "r2SCAN; its own elements and O2, MP2020 does not apply"
    ),
    ("vasp", "MP sets"): EnergyScale(
        "PBE/PBE+U (Materials Project sets), raw",
        "mp2020",
        "raw GGA/GGA+U of VASP with the Materials Project's sets; corrected to MP2020 at its own U",
    ),
    **{
        (f"{code}:{protocol}", f"PBE {protocol}"): EnergyScale(
            f"PBE ({code}, {protocol})",
            None,
            "its own elements and O2 at the same U; MP2020 does not apply",
            too_high_ev_per_formula=PBE_TOO_HIGH_EV_PER_FORMULA,
        )
        for code, protocols in DFT_PROTOCOLS.items()
        for protocol in protocols
    },
    ("mock", "1"): EnergyScale(
        "mock", None, "a model for trying campaigns out; its numbers mean nothing"
    ),
}


def energy_scale(engine: str, model_version: str) -> EnergyScale:
    """Return the scale of an engine's energies.

    An engine that is not in the table is on a scale of its own: its energies can be compared with
    each other, and with nothing else.
    """
    known = _SCALES.get((engine, model_version))
    if known is not None:
        return known
    return EnergyScale(
        f"{engine} {model_version}",
        None,
        "scale not known: formation energies are given, but decide nothing",
        is_known=False,
    )


def scale_at_u(
    scale: EnergyScale, hubbard_u_ev: Mapping[str, float], project_u_ev: Mapping[str, float]
) -> EnergyScale:
    """Return the scale of a DFT engine's energies at some U.

    Parameters
    ----------
    scale
        The engine's.
    hubbard_u_ev
        U by element, eV.
    project_u_ev
        That of the Materials Project, to which MP2020 belongs.
    """
    if scale.correction is not None and dict(hubbard_u_ev) == dict(project_u_ev):
        return scale
    if scale.correction is None and not hubbard_u_ev:
        return scale
    shown = ", ".join(f"{symbol} {u:g}" for symbol, u in sorted(hubbard_u_ev.items()))
    return EnergyScale(
        f"{scale.name}, U {shown or 'none'}",
        None,
        "its own elements and O2 at the same U; MP2020 does not apply",
        scale.is_known,
        PBE_U_TOO_HIGH_EV_PER_FORMULA if hubbard_u_ev else PBE_TOO_HIGH_EV_PER_FORMULA,
    )


@dataclass(frozen=True)
class Energy:
    """An energy that knows its scale.

    Attributes
    ----------
    ev
        Value in eV; per what, the user of it says.
    scale
        Name of an `EnergyScale`.
    """

    ev: float
    scale: str


def common_scale(*energies: Energy) -> str:
    """Return the scale that all energies share.

    Raises
    ------
    ScaleError
        When there are two: their difference would be no number.
    """
    scales = sorted({energy.scale for energy in energies})
    if len(scales) != 1:
        raise ScaleError(
            f"energies of {len(scales)} scales cannot be combined ({', '.join(scales)}): "
            "compute all of them with one engine, or correct them to one scale first"
        )
    return scales[0]


def mp2020_oxide_correction_ev(amounts: Mapping[str, float]) -> dict[str, float]:
    """Return the MP2020 correction of an oxide, in eV by element.

    Parameters
    ----------
    amounts
        Number of atoms of each element, per formula or per cell (the result is per the same). All
        oxygen is taken as O(2-); without oxygen there is no correction.

    Returns
    -------
    dict
        Terms to be added to the raw energy. Their sum is the whole correction.
    """
    if amounts.get("O", 0) <= 0 or len([n for n in amounts.values() if n > 0]) == 1:
        return {}
    terms = {"O": MP2020_OXIDE_EV_PER_O * amounts["O"]}
    for element, number in amounts.items():
        if element in MP2020_EV_PER_CATION and number > 0:
            terms[element] = MP2020_EV_PER_CATION[element] * number
    return terms
