"""Derived quantities from energies made by hand, against numbers worked out by hand."""

from __future__ import annotations

from math import hypot

import pytest

from rocksalt.stores.documents import CandidateDoc
from rocksalt.stores.records import Summary
from rocksalt.workflows.derive import derive, rank
from rocksalt.workflows.derive_rock_salt import formation_energy, mixing
from rocksalt.workflows.results import Results


def summary(role, energy, *, engine="mock", nsites=2, state="done", prototype="p", **fractions):
    multiplicity = fractions.pop("multiplicity", None)
    name = "-".join(f"{c}{x:g}" for c, x in sorted(fractions.items()))
    return Summary(
        key=f"{role} {name} {prototype} {engine}",
        role=role,
        label=f"{role} {name} {prototype}",
        engine=engine,
        engine_version="1",
        energy_scale="any",
        cation_fractions=fractions,
        prototype=prototype,
        multiplicity=multiplicity,
        state=state,
        error="it exploded" if state == "failed" else None,
        energy_ev_per_atom=energy if state == "done" else None,
        nsites=nsites,
        volume=9.0 * nsites,
    )


def references(engine="mock"):
    return [
        summary("oxygen", -4.0, engine=engine, prototype="alpha-O2"),
        summary("oxygen", -3.9, engine=engine, prototype="O2-molecule"),
        summary("element", -8.0, engine=engine, nsites=1, prototype="fcc", Mn=1),
        summary("element", -8.5, engine=engine, nsites=2, prototype="hcp", Mn=1),
        summary("element", -1.5, engine=engine, nsites=2, prototype="hcp", Mg=1),
        summary("end-member", -8.0, engine=engine, prototype="rock-salt", Mn=1),
        summary("end-member", -8.1, engine=engine, nsites=16, prototype="8 cations", Mn=1),
        summary("end-member", -6.0, engine=engine, prototype="rock-salt", Mg=1),
        summary("end-member", -6.0, engine=engine, nsites=16, prototype="8 cations", Mg=1),
    ]


def mixture(fraction, energy, prototype="enumerated 1 of 1", multiplicity=1, **more):
    return summary(
        "mixture",
        energy,
        nsites=16,
        prototype=prototype,
        multiplicity=multiplicity,
        Mg=fraction,
        Mn=1 - fraction,
        **more,
    )


@pytest.mark.parametrize(
    ("engine", "raw", "corrected", "terms"),
    [
        # 2 (-8.0) - (-8.5) - (-4.0) = -3.5: the lowest prototypes, the rock salt of two atoms
        ("mock", -3.5, None, {}),
        ("chgnet", None, -3.5, {}),
        ("sevennet-0", -3.5, -3.5 - 0.687 - 1.668, {"O": -0.687, "Mn": -1.668}),
    ],
)
def test_formation_energy(engine, raw, corrected, terms):
    document = formation_energy(Results(references(engine)), engine, "Mn")
    assert document.raw_ev_per_formula == (None if raw is None else pytest.approx(raw))
    assert document.corrected_ev_per_formula == (
        None if corrected is None else pytest.approx(corrected)
    )
    assert document.corrections_ev_per_formula == pytest.approx(terms)
    best = raw if corrected is None else corrected
    assert document.reduction_dmu_o_ev == pytest.approx(best)
    assert document.metal.prototype == "hcp"
    assert document.metal.tried == {"fcc": -8.0, "hcp": -8.5}
    assert document.oxygen.prototype == "alpha-O2"
    assert document.rock_salt.prototype == "rock-salt"
    assert document.rock_salt.tried == {"rock-salt": -8.0}
    assert document.distortion_gain_ev_per_formula == pytest.approx(0.2)
    assert document.lattice_parameter_angstrom == pytest.approx(72 ** (1 / 3))
    assert document.missing == []


def test_an_energy_of_zero_is_an_energy():
    some = [s for s in references() if s.role != "element"]
    some.append(summary("element", 0.0, nsites=1, prototype="fcc", Mn=1))
    document = formation_energy(Results(some), "mock", "Mn")
    assert document.metal.tried == {"fcc": 0.0}
    assert document.raw_ev_per_formula == pytest.approx(-16.0 - 0.0 + 4.0)


@pytest.mark.parametrize(
    ("role", "cation", "missing"),
    [("oxygen", None, "O2"), ("element", "Mn", "Mn"), ("end-member", "Mn", "MnO")],
)
def test_a_missing_reference_gives_none_not_zero(role, cation, missing):
    there = [
        s
        for s in references()
        if not (s.role == role and (cation is None or cation in s.cation_fractions))
    ]
    document = formation_energy(Results(there), "mock", "Mn")
    assert document.raw_ev_per_formula is None
    assert document.corrected_ev_per_formula is None
    assert document.reduction_dmu_o_ev is None
    assert document.missing == [f"{missing} with mock"]


def test_engines_are_not_mixed():
    document = formation_energy(Results(references("chgnet")), "mock", "Mn")
    assert document.raw_ev_per_formula is None
    assert len(document.missing) == 3


def test_mixing_enthalpies(campaign_of):
    campaign = campaign_of(dopants=["Mg"], fractions=[0.25, 0.5])
    # End members per cation: MgO -12.0; MnO -16.2, because its larger cell distorts.
    quarter = 0.25 * -12.0 + 0.75 * -16.2
    half = 0.5 * (-12.0 - 16.2)
    given = [
        *references(),
        mixture(0.25, (quarter + 0.04) / 2, "enumerated 1 of 2", 3),
        mixture(0.25, (quarter + 0.08) / 2, "enumerated 2 of 2", 1),
        mixture(0.5, (half + 0.02) / 2, "enumerated 1 of 1", 6),
        mixture(0.5, (half + 0.06) / 2, "sqs", None),
        mixture(0.125, -7.0),  # of another campaign
    ]
    document = mixing(campaign, Results(given), "mock", "Mg", "Mn")
    first, second = document.points
    assert first.fraction == 0.25
    assert first.value == pytest.approx((3 * 0.04 + 0.08) / 4)
    assert first.spread == pytest.approx((3 / 4 * 0.01**2 + 1 / 4 * 0.03**2) ** 0.5)
    # The spread is above 0.3 of the mean; MnO gains 0.2 eV by a distortion.
    assert first.uncertainty == pytest.approx(hypot(first.spread, 0.3 * 0.75 * 0.2))
    assert first.lowest == pytest.approx(0.04)
    assert first.sqs is None
    assert second.value == pytest.approx(0.06)  # the quasi-random arrangement
    assert second.sqs == pytest.approx(0.06)
    assert second.uncertainty == pytest.approx(hypot(0.2 * 0.06, 0.3 * 0.5 * 0.2))
    assert 0 <= document.probability <= 1
    assert f"{100 * document.probability:.0f} %" in document.rule
    assert [a.kind for a in second.arrangements] == ["enumerated", "sqs"]
    assert len(document.calculation_keys) == 2 + 4
    assert document.missing == []


def test_a_host_with_lithium_makes_mixing_less_sure(campaign_of):
    campaign = campaign_of(dopants=["Mg"], hosts=["Li0.5Mn0.5"], fractions=[0.5])
    given = [
        summary("end-member", -6.0, prototype="rock-salt", Mg=1),
        summary("end-member", -7.0, nsites=32, prototype="sqs", Li=0.5, Mn=0.5),
        summary("mixture", -6.47, nsites=32, prototype="sqs", Mg=0.5, Li=0.25, Mn=0.25),
    ]
    (point,) = mixing(campaign, Results(given), "mock", "Mg", "Li0.5Mn0.5").points
    assert point.value == pytest.approx(0.06)  # 2 (-6.47) + (12 + 14) / 2
    assert point.uncertainty == pytest.approx(hypot(0.2 * 0.06, 0.015))


def test_the_order_of_an_end_member_makes_mixing_less_sure(campaign_of):
    """NiO ferromagnetic and antiferromagnetic 0.264 eV per formula unit apart, MgO without an order."""
    nickel = summary("end-member", -6.591, nsites=4, prototype="rock-salt", Ni=1)
    magnesium = summary("end-member", -6.0, prototype="rock-salt", Mg=1)
    mixtures = [
        summary("mixture", -6.40, prototype="enumerated 1 of 2", multiplicity=1, Mg=0.25, Ni=0.75),
        summary("mixture", -6.43, prototype="enumerated 2 of 2", multiplicity=1, Mg=0.25, Ni=0.75),
        summary("mixture", -6.27, prototype="sqs", Mg=0.5, Ni=0.5),
    ]

    def uncertainties(dopant="Mg", host="Ni", fractions=(0.25, 0.5)):
        campaign = campaign_of(dopants=[dopant], hosts=[host], fractions=list(fractions))
        results = Results([nickel, magnesium, *mixtures])
        return [p.uncertainty for p in mixing(campaign, results, "mock", dopant, host).points]

    of_arrangements = uncertainties()
    # 0.2 of 2 (-6.27) + (12.0 + 13.182) / 2
    assert of_arrangements[1] == pytest.approx(0.2 * 0.051)
    assert of_arrangements[1] < of_arrangements[0]
    magnesium.method = {"energies_ev_per_atom": {"ferromagnetic": -6.0}}
    assert uncertainties() == of_arrangements
    orders = {"ferromagnetic": -6.459, "antiferromagnetic": -6.591}
    nickel.method = {"energies_ev_per_atom": orders}
    quarter, half = uncertainties()
    of_order = 0.264 / 4 / 3**0.5
    # In proportion to the share of NiO, and that of the arrangements is added in squares.
    assert half == pytest.approx(hypot(of_order, of_arrangements[1]))
    assert quarter == pytest.approx(hypot(1.5 * of_order, of_arrangements[0]))
    assert uncertainties("Ni", "Mg", [0.5]) == [half]


def test_one_fraction_gives_a_regular_solution(campaign_of):
    campaign = campaign_of(dopants=["Mg"], fractions=[0.5], temperature=1000)
    energy = (0.5 * (-12.0 - 16.2) + 0.06) / 2
    document = mixing(campaign, Results([*references(), mixture(0.5, energy)]), "mock", "Mg", "Mn")
    assert document.interaction_ev_per_cation == pytest.approx([4 * 0.06, 0])
    assert document.fit_rms_ev_per_cation == pytest.approx(0, abs=1e-12)
    # The top of the gap of a regular solution lies at l0 / 2k.
    assert document.critical_temperature_k == pytest.approx(0.24 / (2 * 8.617333e-5), rel=1e-4)
    assert document.temperature_k == 1000
    assert document.solubility_limit + document.dopant_rich_limit == pytest.approx(1)


def test_dopant_and_host_change_places(campaign_of):
    campaign = campaign_of(dopants=["Mg", "Mn"], hosts=["Mn", "Mg"], fractions=[0.25, 0.75])
    given = Results([*references(), mixture(0.25, -7.6), mixture(0.75, -6.5)])
    there = mixing(campaign, given, "mock", "Mg", "Mn")
    back = mixing(campaign, given, "mock", "Mn", "Mg")
    assert [p.value for p in back.points] == pytest.approx([p.value for p in there.points][::-1])


def test_mixing_without_an_end_member(campaign_of):
    campaign = campaign_of(dopants=["Mg"], fractions=[0.5])
    given = [s for s in references() if not (s.role == "end-member" and "Mg" in s.cation_fractions)]
    document = mixing(campaign, Results([*given, mixture(0.5, -7)]), "mock", "Mg", "Mn")
    assert document.points == []
    assert document.missing == ["MgO with mock"]
    for field in ("verdict", "solubility_limit", "critical_temperature_k", "fit_rms_ev_per_cation"):
        assert getattr(document, field) is None


def test_mixing_of_some_fractions(campaign_of):
    campaign = campaign_of(dopants=["Mg"], fractions=[0.25, 0.5])
    document = mixing(campaign, Results([*references(), mixture(0.5, -7.0)]), "mock", "Mg", "Mn")
    assert [p.fraction for p in document.points] == [0.5]
    assert document.missing == ["Mg0.25Mn0.75O with mock"]
    assert document.verdict is not None


def test_nothing_is_there_yet(campaign_of):
    campaign = campaign_of()
    derived = derive(campaign, [], {})
    formations, mixings, ranking = derived.formations, derived.mixings, derived.ranking
    assert all(f.raw_ev_per_formula is None for f in formations)
    assert all(m.points == [] and m.verdict is None for m in mixings)
    assert [c.dopant for c in ranking.candidates] == ["Mg", "Ti"]
    for candidate in ranking.candidates:
        assert candidate.verdict == "undecided"
        assert candidate.score_ev_per_cation is None
        assert candidate.uncertainty_ev is None
        assert candidate.rock_salt_reduction_dmu_o_ev == {"mock": None}
        assert candidate.hosts["Mn"]["solubility_limit"] is None
        assert candidate.hosts["Mn"]["enthalpy_ev_per_cation"] == []
        assert "not computed with MnO" in candidate.reasons


def test_failed_calculations_are_listed_with_their_reason(campaign_of):
    campaign = campaign_of(dopants=["Mg"], fractions=[0.5])
    given = [*references(), mixture(0.5, 0.0, state="failed")]
    ranking = derive(campaign, given, {"rejected": [{"what": "a", "why": "b"}]}).ranking
    assert ranking.counts["rejected"] == [
        {"what": "a", "why": "b"},
        {
            "what": "mixture Mg0.5-Mn0.5 enumerated 1 of 1 with mock",
            "why": "it exploded",
        },
    ]
    assert ranking.candidates[0].hosts["Mn"]["verdict"] is None


def test_a_distorted_rock_salt_is_said(campaign_of):
    campaign = campaign_of(dopants=["Mn"], hosts=["Mg"], fractions=[0.5])
    ranking = derive(campaign, references(), {}).ranking
    assert any("leaves the rock-salt structure" in r for r in ranking.candidates[0].reasons)
    campaign = campaign_of(dopants=["Mg"], hosts=["Mn"], fractions=[0.5])
    ranking = derive(campaign, references(), {}).ranking
    assert not any("leaves the rock-salt" in r for r in ranking.candidates[0].reasons)


@pytest.mark.parametrize(
    ("enthalpy", "verdict"), [(-0.09, "pass"), (0.0, "undecided"), (0.40, "fail")]
)
def test_verdicts(campaign_of, enthalpy, verdict):
    campaign = campaign_of(dopants=["Mg"], fractions=[0.5])
    energy = (0.5 * (-12.0 - 16.2) + enthalpy) / 2
    ranking = derive(campaign, [*references(), mixture(0.5, energy)], {}).ranking
    (candidate,) = ranking.candidates
    assert candidate.verdict == verdict
    assert candidate.score_ev_per_cation == pytest.approx(enthalpy)
    assert candidate.rock_salt_reduction_dmu_o_ev["mock"] == pytest.approx(-12 + 1.5 + 4)


def candidate(dopant, verdict, score):
    return CandidateDoc(
        rank=0,
        dopant=dopant,
        verdict=verdict,
        reasons=[],
        rock_salt_formation_energy_ev_per_formula={},
        rock_salt_reduction_dmu_o_ev={},
        metal_in_host_window={},
        mixing={},
        hosts={},
        score_ev_per_cation=score,
        uncertainty_ev=None,
    )


def test_the_order(campaign_of):
    given = [
        candidate("Zn", "fail", -1.0),
        candidate("V", "undecided", None),
        candidate("Ti", "undecided", 0.0),
        candidate("Sc", "undecided", -0.01),
        candidate("Mg", "pass", 0.02),
        candidate("Ca", "pass", 0.01),
        candidate("Be", "pass", 0.02),
    ]
    ranked = rank(campaign_of(), given, {}).candidates
    assert [c.dopant for c in ranked] == ["Ca", "Be", "Mg", "Sc", "Ti", "V", "Zn"]
    assert [c.rank for c in ranked] == [1, 2, 3, 4, 5, 6, 7]


def test_engines_are_averaged_with_their_disagreement(campaign_of):
    campaign = campaign_of(dopants=["Mg"], fractions=[0.5], engines=["mock", "chgnet"])
    half = 0.5 * (-12.0 - 16.2)
    given = [
        *references(),
        *references("chgnet"),
        mixture(0.5, (half + 0.01) / 2, "sqs", None),
        mixture(0.5, (half + 0.11) / 2, "sqs", None, engine="chgnet"),
    ]
    ranking = derive(campaign, given, {}).ranking
    (one,) = ranking.candidates
    (point,) = one.hosts["Mn"]["enthalpy_ev_per_cation"]
    assert point["value"] == pytest.approx(0.06)
    # That of the mean is 0.05 sqrt(2) / sqrt(2), beside that of each engine's own point.
    own = [hypot(0.2 * value, 0.3 * 0.5 * 0.2) for value in (0.01, 0.11)]
    assert point["uncertainty"] == pytest.approx(hypot(0.05, sum(own) / 2))
    assert one.uncertainty_ev == pytest.approx(hypot(0.05, sum(own) / 2))
    each = [one.mixing["Mn"][e]["enthalpy_ev_per_cation"][0]["value"] for e in campaign.engines]
    assert each == pytest.approx([0.01, 0.11])


def test_uncorrected_energies_of_a_dft_code_decide_only_where_there_is_no_other(campaign_of):
    def both(engine, shift):
        return [
            s.model_copy(update={"energy_ev_per_atom": s.energy_ev_per_atom + shift})
            if s.role == "end-member"
            else s
            for s in references(engine)
        ]

    given = [*both("chgnet", 0.0), *both("gpaw:fast", 0.7)]
    engines = ["chgnet", "gpaw:fast"]
    beside = derive(campaign_of(dopants=["Mg"], hosts=["Mn"], engines=engines), given, {})
    (mg,) = beside.ranking.candidates
    assert set(mg.rock_salt_reduction_dmu_o_ev) == set(engines)
    assert mg.formation_engines == ["chgnet"]
    alone = derive(campaign_of(dopants=["Mg"], hosts=["Mn"], engines=["gpaw:fast"]), given, {})
    (mg,) = alone.ranking.candidates
    assert mg.formation_engines == ["gpaw:fast"]
    assert "uncorrected: up to 1.8 eV too high" in mg.reasons[0]


@pytest.mark.parametrize(
    ("u", "corrected"),
    [("materials-project", -3.5 - 0.687 - 1.668), ({"Mn": 3.0}, None), ({}, None)],
)
def test_mp2020_corrects_vasp_only_at_the_projects_own_u(campaign_of, u, corrected):
    campaign = campaign_of(
        dopants=["Mg"], hosts=["Mn"], engines=["vasp"], dft={"vasp": {"hubbard_u_ev": u}}
    )
    derived = derive(campaign, references("vasp"), {})
    manganese = next(f for f in derived.formations if f.cation == "Mn")
    assert manganese.raw_ev_per_formula == pytest.approx(-3.5)
    assert manganese.corrected_ev_per_formula == pytest.approx(corrected)
    scale = derived.ranking.engines["vasp"]
    assert scale["correction"] == ("mp2020" if corrected else None)
    assert manganese.energy_scale == scale["energy_scale"]


def test_the_uncertainty_of_a_score_is_that_of_the_host_that_sets_it(campaign_of):
    campaign = campaign_of(dopants=["Mg"], hosts=["Mn", "Ni"], fractions=[0.5])
    (candidate,) = derive(campaign, [*references(), mixture(0.5, -6.9)], {}).ranking.candidates
    assert candidate.score_ev_per_cation == pytest.approx(
        candidate.hosts["Mn"]["enthalpy_ev_per_cation"][0]["value"]
    )
    assert candidate.uncertainty_ev == candidate.hosts["Mn"]["uncertainty_ev_per_cation"]
