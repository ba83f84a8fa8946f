"""What to look for in a sample with a candidate: lines, intensity ratios, valences, reduction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from pymatgen.core import Element

from rocksalt.analysis.evidence import expected_state
from rocksalt.analysis.powder import (
    LayeredLattice,
    Reflection,
    intensity_ratio_003_104,
    layered_lattice,
    layered_structure,
    reflections,
    rock_salt_structure,
    wavelength_angstrom,
)
from rocksalt.screening.elements import host_amounts, host_cations, mixture_formula
from rocksalt.screening.errors import RocksaltError
from rocksalt.screening.identity import digest
from rocksalt.screening.lithium import LAYERED_CELLS, layered_cell
from rocksalt.stores.documents import CandidateDoc
from rocksalt.stores.prediction_documents import (
    CellBatchDoc,
    LayeredCell,
    LayeredPattern,
    PredictedNumber,
    PredictedRatio,
    PredictedReduction,
    PredictedReflection,
    PredictedValence,
    PredictionDoc,
    RockSaltCell,
    RockSaltPattern,
)

DOPANT_SHARE = 0.05
"""Of the metals of the layered host, where nothing else is asked for."""

MIXING_SHARES = (0.0, 0.02, 0.05, 0.1)
"""Shares of the lithium layer's sites at which the ratio is given."""

ASSUMPTIONS = (
    (
        "Intensities are kinematic: neutral atoms, no texture, no thermal motion, no anomalous "
        "dispersion. How a ratio falls with cation mixing is firmer than the ratio itself."
    ),
    (
        "The layered oxide is R-3m on average: the superlattice lines of lithium in the metal layer are "
        "left out."
    ),
    "A metal on a lithium site changes places with that lithium.",
    (
        "Uncertainties of lattice constants are the standard deviation over engines: what all engines "
        "have in common is not in them."
    ),
)

_DECIMALS = 6  # the same numbers on any machine, so that the content has one hash


def predict(
    campaign: str,
    candidate: CandidateDoc,
    cells: CellBatchDoc,
    *,
    layered_host: str,
    hosts: Sequence[str],
    fractions: Sequence[float],
    reduction_uncertainty_ev: float,
    reduction_engines: Sequence[str] | None = None,
    wavelength: str | float = "CuKa",
    dopant_share: float = DOPANT_SHARE,
    mixing_shares: Sequence[float] = MIXING_SHARES,
) -> PredictionDoc:
    """Return what to look for in a sample with a candidate.

    Parameters
    ----------
    campaign
        Its name.
    candidate
        The candidate's line of the ranking.
    cells
        Relaxed rock salts and layered oxides; those of other metals are passed over. Without a
        relaxed layered oxide its prototype stands in, which is said.
    layered_host
        The metal H of Li2HO3.
    hosts, fractions
        Rock salts and shares of the dopant in them that patterns are wanted of.
    reduction_uncertainty_ev
        Smallest standard uncertainty of the potential of reduction, as the ranking's verdict has it.
    reduction_engines
        Whose potentials count; all by default.
    wavelength
        In angstrom, or a name as 'CuKa'.
    dopant_share
        Of the metals in the layered oxide; lattice constants are linear in it between the pure and the
        doped cell (Vegard).
    mixing_shares
        Of the lithium layer's sites, for the ratio I(003)/I(104).

    Raises
    ------
    MeasurementError
        For a wavelength that is none.
    """
    length = wavelength_angstrom(wavelength)
    dopant, missing = candidate.dopant, list[str]()
    own_host = dopant in {layered_host, "Li"}
    share = 0.0 if own_host else dopant_share
    layered = None
    try:
        layered = _layered(dopant, layered_host, share, cells.layered, length, mixing_shares)
    except RocksaltError as error:
        missing.append(f"pattern of the layered oxide: {error}")
    rock_salts = []
    for host in (h for h in hosts if dopant not in host_cations(h)):
        verdict = candidate.hosts.get(host, {}).get("verdict")
        for fraction in fractions:
            pattern = _rock_salt(dopant, host, fraction, cells.rock_salts, verdict, length)
            if pattern is None:
                formula = mixture_formula(dopant, host, fraction)
                missing.append(f"pattern of {formula}: it was not relaxed, nor were both its ends")
            else:
                rock_salts.append(pattern)
    valences = _valences(dopant, layered_host, hosts, fractions, share, cells.layered)
    reduction = _reduction(candidate, reduction_uncertainty_ev, reduction_engines)
    document = PredictionDoc(
        key="",
        campaign=campaign,
        dopant=dopant,
        rank=candidate.rank,
        verdict=candidate.verdict,
        wavelength_angstrom=length,
        layered=layered,
        rock_salts=rock_salts,
        valences=valences,
        reduction=reduction,
        statements=[],
        assumptions=list(ASSUMPTIONS),
        missing=missing,
    )
    document.statements = _statements(document)
    content = document.model_dump(mode="json", exclude={"key", "predicted_at"})
    return document.model_copy(update={"key": digest(["prediction", content])})


# --------------------------------------------------------------------------- the layered oxide


def _layered(
    dopant: str,
    host: str,
    share: float,
    cells: Sequence[LayeredCell],
    wavelength: float,
    mixing_shares: Sequence[float],
) -> LayeredPattern:
    lattices, words, is_relaxed = _layered_lattices(dopant, host, share, cells)
    mean = _mean_lattice(lattices.values())
    metals = {host: 1 - share, dopant: share} if share else {host: 1.0}
    ratios = [
        PredictedRatio(metal=None, share_of_lithium_sites=taken, ratio=ratio)
        for taken in mixing_shares
        if (ratio := _ratio(mean, metals, {m: taken * s for m, s in metals.items()}, wavelength))
    ]
    if share:
        ratios += [
            PredictedRatio(metal=dopant, share_of_lithium_sites=taken, ratio=ratio)
            for taken in mixing_shares
            if 0 < taken <= 2 / 3 * share
            and (ratio := _ratio(mean, metals, {dopant: taken}, wavelength))
        ]
    formula = f"Li2{host}O3" if not share else f"Li2{host}{1 - share:g}{dopant}{share:g}O3"
    return LayeredPattern(
        host=host,
        formula=formula,
        dopant_share=share,
        cell="relaxed" if is_relaxed else "prototype",
        cell_in_words=words,
        a=_number({e: each.a_angstrom for e, each in lattices.items()}, "angstrom"),
        c=_number({e: each.c_angstrom for e, each in lattices.items()}, "angstrom"),
        ratios=ratios,
        reflections=_listed(reflections(layered_structure(mean, metals), wavelength)),
    )


def _layered_lattices(
    dopant: str, host: str, share: float, cells: Sequence[LayeredCell]
) -> tuple[dict[str, LayeredLattice], str, bool]:
    """Return the cell by engine at a share of the dopant, and where it is from."""
    pure = {each.engine: each for each in cells if each.host == host and each.dopant is None}
    doped = {each.engine: each for each in cells if each.host == host and each.dopant == dopant}
    if not pure:
        ideal = layered_lattice(layered_cell(host, min(LAYERED_CELLS)))
        words = (
            f"Li2MnO3's lengths, scaled by ionic radii to Li2{host}O3; not relaxed, and {dopant} changes "
            "the scattering alone"
        )
        return {"prototype": ideal}, words, False
    both = [engine for engine in pure if engine in doped] if share else []
    if not both:
        found = {engine: _lattice(each) for engine, each in pure.items()}
        changes = f"; {dopant} changes the scattering alone" if share else ""
        return found, f"Li2{host}O3 relaxed with {', '.join(found)}{changes}", True
    found = {}
    for engine in both:
        start, end = _lattice(pure[engine]), _lattice(doped[engine])
        part = share / doped[engine].dopant_share
        found[engine] = LayeredLattice(
            start.a_angstrom + part * (end.a_angstrom - start.a_angstrom),
            start.c_angstrom + part * (end.c_angstrom - start.c_angstrom),
            start.oxygen_height + part * (end.oxygen_height - start.oxygen_height),
        )
    at = doped[both[0]].dopant_share
    words = (
        f"Li2{host}O3 and the cell with {at:.3g} of its {host} replaced, relaxed with {', '.join(found)}; "
        f"linear between them"
    )
    return found, words, True


def _lattice(cell: LayeredCell) -> LayeredLattice:
    return LayeredLattice(cell.a_angstrom, cell.c_angstrom, cell.oxygen_height)


def _mean_lattice(lattices: Iterable[LayeredLattice]) -> LayeredLattice:
    columns = zip(
        *((each.a_angstrom, each.c_angstrom, each.oxygen_height) for each in lattices), strict=True
    )
    return LayeredLattice(*(float(np.mean(column)) for column in columns))


def _ratio(
    lattice: LayeredLattice,
    metals: Mapping[str, float],
    moved: Mapping[str, float],
    wavelength: float,
) -> float:
    structure = layered_structure(lattice, metals, moved)
    return round(intensity_ratio_003_104(structure, wavelength), _DECIMALS)


# --------------------------------------------------------------------------- the rock salts


def _rock_salt(
    dopant: str,
    host: str,
    fraction: float,
    cells: Sequence[RockSaltCell],
    mixing: str | None,
    wavelength: float,
) -> RockSaltPattern | None:
    cations = {dopant: fraction}
    for symbol, amount in host_amounts(host).items():
        cations[symbol] = (1 - fraction) * amount
    found = _lattice_constants(cells, cations)
    words = f"relaxed with {', '.join(found)}"
    if not found:  # between the ends, by Vegard's law
        ends = [
            _lattice_constants(cells, {dopant: 1.0}),
            _lattice_constants(cells, host_amounts(host)),
        ]
        found = {
            engine: fraction * ends[0][engine] + (1 - fraction) * ends[1][engine]
            for engine in ends[0]
            if engine in ends[1]
        }
        words = f"linear between {dopant}O and {host}O relaxed with {', '.join(found)}"
    if not found:
        return None
    lattice_constant = _number(found, "angstrom")
    structure = rock_salt_structure(lattice_constant.value, cations)
    return RockSaltPattern(
        host=host,
        formula=mixture_formula(dopant, host, fraction),
        fraction=fraction,
        lattice_constant=lattice_constant,
        cell_in_words=words,
        mixing=mixing,
        reflections=_listed(reflections(structure, wavelength)),
    )


def _lattice_constants(
    cells: Sequence[RockSaltCell], cations: Mapping[str, float]
) -> dict[str, float]:
    """Return a rock salt's lattice constant by engine, in angstrom.

    Of a mixture the quasi-random arrangement's, or else the mean by multiplicity; of a pure rock
    salt, of which several states may have been relaxed, the lowest one's.
    """
    mine: dict[str, list[RockSaltCell]] = {}
    for cell in cells:
        same = cell.cation_fractions.keys() == cations.keys() and all(
            abs(cell.cation_fractions[symbol] - share) < 1e-3 for symbol, share in cations.items()
        )
        if same:
            mine.setdefault(cell.engine, []).append(cell)
    found = {}
    for engine, group in mine.items():
        if len(cations) == 1:
            group = [min(group, key=lambda cell: cell.energy_ev_per_atom)]
        else:
            group = [cell for cell in group if cell.kind == "sqs"] or group
        found[engine] = float(
            np.average(
                [cell.lattice_constant_angstrom for cell in group],
                weights=[cell.multiplicity for cell in group],
            )
        )
    return found


# --------------------------------------------------------------------------- valences, reduction


def _valences(
    dopant: str,
    layered_host: str,
    hosts: Sequence[str],
    fractions: Sequence[float],
    share: float,
    cells: Sequence[LayeredCell],
) -> list[PredictedValence]:
    """Return formal valences in the rock salts, at the first fraction, and in the layered oxide."""
    found = []
    for host in (h for h in hosts if fractions and dopant not in host_cations(h)):
        fraction, metal = fractions[0], host_cations(host)[-1]
        place = mixture_formula(dopant, host, fraction)
        lithium = (1 - fraction) * host_amounts(host).get("Li", 0.0)
        if lithium:
            amounts = (fraction, (1 - fraction) * host_amounts(host)[metal])
            states = _balanced(dopant, metal, amounts, 2 - lithium)
        else:  # MO and HO are neutral each
            states = {each: (2.0, _words_for_2(each)) for each in (dopant, metal)}
        found += [
            PredictedValence(metal=each, place=place, valence=value, why=why)
            for each, (value, why) in states.items()
        ]
    if share:
        place = f"layered Li2{layered_host}{1 - share:g}{dopant}{share:g}O3"
        for each, (value, why) in _balanced(
            dopant, layered_host, (share, 1 - share), _LAYERED_CHARGE
        ).items():
            moment = _moment(each, dopant, layered_host, cells)
            found.append(
                PredictedValence(metal=each, place=place, valence=value, why=why, moment=moment)
            )
    return found


_LAYERED_CHARGE = 4.0
"""Of the metal in Li2MO3, with Li(+) and O(2-)."""


def _usual(metal: str) -> list[int]:
    return [charge for charge in Element(metal).common_oxidation_states if charge > 0]


def _words_for_2(metal: str) -> str:
    usual = _usual(metal)
    if 2 in usual or not usual:
        return "as in its own rock salt"
    charges = " or ".join(f"{charge}+" for charge in usual)
    return f"as in its own rock salt; {metal} is more often {charges}, which takes cation vacancies"


def _balanced(
    dopant: str, host: str, amounts: tuple[float, float], charge: float
) -> dict[str, tuple[float | None, str]]:
    """Return the valence of dopant and host metal whose charges must sum to a given one, and why.

    A dopant for which pymatgen's table counts one charge as common has it, and the host metal balances;
    one with several leaves both open.
    """
    usual = _usual(dopant)
    if len(usual) != 1:
        charges = ", ".join(f"{each}+" for each in usual)
        why = f"open: {dopant} is known as {charges or 'no cation'}, and charge balance does not decide"
        return {dopant: (None, why), host: (None, why)}
    needed = round((charge - amounts[0] * usual[0]) / amounts[1], _DECIMALS)
    why = f"charge balance with {dopant}({usual[0]}+), Li(+) and O(2-)"
    if not 2 <= needed <= 4:
        why += (
            "; outside 2+ to 4+: oxygen, or more or fewer ions, rather make up for the difference"
        )
    return {dopant: (float(usual[0]), _words_for_common(dopant, usual[0])), host: (needed, why)}


def _words_for_common(metal: str, common: int) -> str:
    """Return how a charge was chosen, and the others that a metal is known to have."""
    element = Element(metal)
    # of some the table lists no oxides of the ICSD
    known = element.icsd_oxidation_states or element.oxidation_states
    others = [f"{charge}+" for charge in sorted(known) if charge > 0 and charge != common]
    words = "taken: the only charge that pymatgen's table counts as common"
    return f"{words}, though {', '.join(others)} occur" if others else words


def _moment(
    metal: str, dopant: str, host: str, cells: Sequence[LayeredCell]
) -> PredictedNumber | None:
    sizes = {
        cell.engine: cell.moments_mu_b[metal]
        for cell in cells
        if cell.host == host and cell.dopant == dopant and metal in cell.moments_mu_b
    }
    return _number(sizes, "mu_B") if sizes else None


def _reduction(
    candidate: CandidateDoc, floor_ev: float, engines: Sequence[str] | None
) -> PredictedReduction:
    potentials = {
        engine: value
        for engine, value in candidate.rock_salt_reduction_dmu_o_ev.items()
        if value is not None and (engines is None or engine in engines)
    }
    below = None
    if potentials:
        below = _number(potentials, "eV")
        below.uncertainty = max(floor_ev, below.uncertainty or 0.0)
    windows = {}
    for host, found in candidate.metal_in_host_window.items():
        words = {word for word in (found.get("computed") or {}).values() if word}
        if words:
            windows[host] = " or ".join(sorted(words))
    return PredictedReduction(
        expected=expected_state(candidate.criteria),
        metal_below_dmu_o=below,
        in_host_windows=windows,
    )


# --------------------------------------------------------------------------- numbers and words


def _number(by_engine: Mapping[str, float], unit: str) -> PredictedNumber:
    values = np.array(list(by_engine.values()))
    spread = round(float(values.std(ddof=1)), _DECIMALS) if len(values) > 1 else None
    return PredictedNumber(
        value=round(float(values.mean()), _DECIMALS),
        uncertainty=spread,
        unit=unit,
        by_engine={engine: round(float(value), _DECIMALS) for engine, value in by_engine.items()},
    )


def _listed(found: Iterable[Reflection]) -> list[PredictedReflection]:
    return [
        PredictedReflection(
            hkl=each.hkl,
            two_theta_degrees=round(each.two_theta_degrees, 4),
            spacing_angstrom=round(each.spacing_angstrom, _DECIMALS),
            intensity_percent=round(each.intensity, 3),
        )
        for each in found
    ]


def _said(number: PredictedNumber, decimals: int = 3) -> str:
    doubt = "" if number.uncertainty is None else f" ± {number.uncertainty:.{decimals}f}"
    return f"{number.value:.{decimals}f}{doubt}"


def _statements(document: PredictionDoc) -> list[str]:
    """Return a prediction as sentences."""
    length = f"{document.wavelength_angstrom:.5g} Å"
    dopant, said = document.dopant, []
    if document.layered is not None:
        layered = document.layered
        at = {r.hkl: r.two_theta_degrees for r in layered.reflections}
        lines = ", ".join(f"{hkl} at {at[hkl]:.2f}°" for hkl in ("003", "104") if hkl in at)
        said.append(
            f"Powder pattern of {layered.formula} at {length}: {lines}; a = {_said(layered.a)} Å, "
            f"c = {_said(layered.c)} Å ({layered.cell_in_words})."
        )
        ratios: dict[str | None, list[PredictedRatio]] = {}
        for ratio in layered.ratios:
            ratios.setdefault(ratio.metal, []).append(ratio)
        for metal, falling in ratios.items():
            steps = ", ".join(
                f"{each.ratio:.2f} with {100 * each.share_of_lithium_sites:g} %" for each in falling
            )
            said.append(f"I(003)/I(104): {steps} of the lithium sites taken by {metal or 'metal'}.")
    by_host: dict[str, list[RockSaltPattern]] = {}
    for pattern in document.rock_salts:
        by_host.setdefault(pattern.host, []).append(pattern)
    for host, patterns in by_host.items():
        cubes = ", ".join(f"{_said(p.lattice_constant)} Å in {p.formula}" for p in patterns)
        strongest = max(patterns[0].reflections, key=lambda r: r.intensity_percent, default=None)
        line = (
            f", strongest line {strongest.hkl} at {strongest.two_theta_degrees:.2f}° in "
            f"{patterns[0].formula}"
            if strongest
            else ""
        )
        found = {
            "mixes": "one rock salt",
            "separates": f"the lines of two rock salts, {dopant}O and {host}O",
            "undecided": "one rock salt or two: not decided",
        }.get(patterns[0].mixing or "", "one rock salt or two: not computed")
        said.append(f"With {host}O: {found}; lattice constant {cubes}{line}.")
    places: dict[str, list[str]] = {}
    for valence in document.valences:
        number = "open" if valence.valence is None else f"{valence.valence:.3g}+"
        moment = f", {_said(valence.moment, 2)} µB in the doped cell" if valence.moment else ""
        why = valence.why.removeprefix("open: ")
        places.setdefault(valence.place, []).append(f"{valence.metal} {number} ({why}{moment})")
    said += [f"Formal valences in {place}: {'; '.join(each)}." for place, each in places.items()]
    said.append(_reduction_said(dopant, document.reduction))
    return said


def _reduction_said(dopant: str, reduction: PredictedReduction) -> str:
    expected = {
        "metal": f"{dopant} is expected as metal in the reconstructed surface",
        "oxide": f"{dopant} is expected to stay oxidised in the reconstructed surface",
        None: f"Whether {dopant} stays oxidised in the reconstructed surface is not decided",
    }[reduction.expected]
    below = reduction.metal_below_dmu_o
    where = f"; {dopant}O gives metal below Δμ_O = {_said(below, 2)} eV (0 at O2)" if below else ""
    windows = ", ".join(
        f"{word} where {h}O is stable" for h, word in reduction.in_host_windows.items()
    )
    return f"{expected}{where}{'; ' + windows if windows else ''}."
