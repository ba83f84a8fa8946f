"""Hulls, series and vacancies from energies made by hand, against numbers worked out by hand."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Composition
from pymatgen.core.entries import ComputedEntry
from pymatgen.entries.compatibility import MaterialsProject2020Compatibility

from rocksalt.screening import scales
from rocksalt.screening.hull import HullEntry
from rocksalt.screening.measured import MEASURED_SCALE, measured_entries
from rocksalt.screening.phases import left_out
from rocksalt.screening.scales import MP2020, EnergyScale
from rocksalt.stores.documents import CandidateDoc
from rocksalt.stores.records import Summary
from rocksalt.workflows.derive import derive, rank
from rocksalt.workflows.derive_phases import (
    MEASURED,
    hull_entry,
    measured_hull_doc,
    pair_hull_doc,
    series_docs,
    vacancy_docs,
)
from rocksalt.workflows.derive_rock_salt import mixing
from rocksalt.workflows.engines import get_engine
from rocksalt.workflows.entries import AS_GIVEN
from rocksalt.workflows.results import Results

ELEMENTS_EV = {"Li": -1.9, "Mn": -9.0, "Ru": -9.2, "O": -4.9}
TERMS_EV = {"O": -0.687, "Mn": -1.668}  # MP2020, of oxides; Ru and Li have none
CORRECTED_ENGINE = "sevennet-0"
MIXTURE = {"prototype": "enumerated 1 of 1", "multiplicity": 1}


def phase(formula, formation_ev, *, engine="mock", role="competing-phase", n_cells=1, **fields):
    """Return a calculation whose formation energy per formula, after corrections, is given."""
    amounts = Composition(formula).get_el_amt_dict()
    n_atoms = sum(amounts.values())
    total = formation_ev + sum(n * ELEMENTS_EV[e] for e, n in amounts.items())
    if engine == CORRECTED_ENGINE and len(amounts) > 1:
        total -= sum(n * TERMS_EV.get(e, 0.0) for e, n in amounts.items())
    cations = {e: n for e, n in amounts.items() if e != "O"}
    prototype = fields.pop("prototype", role)
    values = {
        "key": f"{role} {formula} {prototype} {engine}",
        "role": role,
        "label": f"{formula} {prototype}",
        "engine": engine,
        "engine_version": "1",
        "energy_scale": "any",
        "cation_fractions": {e: n / sum(cations.values()) for e, n in cations.items()},
        "prototype": prototype,
        "state": "done",
        "composition_reduced": Composition(formula).reduced_composition.get_el_amt_dict(),
        "energy_ev_per_atom": total / n_atoms,
        "nsites": round(n_atoms * n_cells),
        "volume": 10.0 * n_atoms * n_cells,
    }
    return Summary(**{**values, **fields})


def of_ru_mn_o(engine="mock", **fields):
    """Return Ru-Mn-O with round formation energies.

    Mn is metal up to dmu_O = -4, then MnO up to -2, Mn3O4 up to -1.4, MnO2; RuO2 begins at -1.5.
    """
    given_ev = [
        ("O2", 0.0, "oxygen"),
        ("Mn", 0.0, "element"),
        ("Ru", 0.0, "element"),
        ("MnO", -4.0, "end-member"),
        ("RuO", 0.5, "end-member"),
        ("Mn3O4", -14.0, "competing-phase"),
        ("MnO2", -5.6, "competing-phase"),
        ("RuO2", -3.0, "competing-phase"),
        ("RuMnO2", -4.0, "mixture"),
    ]
    return [
        phase(f, ev, role=role, engine=engine, **(MIXTURE if role == "mixture" else {}), **fields)
        for f, ev, role in given_ev
    ]


ABOVE_HULL = {
    # RuO is half Ru and half RuO2; the mixture is Ru, RuO2 and Mn3O4: 1/3 of the oxygen of each
    # cation goes from Ru to RuO2 (-1.5 eV each), the rest is Mn3O4's (-14/6 per cation).
    "RuO": (0.5 + 1.5) / 2,
    "MnRuO2": (-4.0 / 2 + 14 / 6 + 0.5) / 2,
}


@pytest.fixture
def campaign(campaign_of):
    return campaign_of(
        dopants=["Ru"], fractions=[0.5], stages=["hull", "lithium-deficient", "oxygen-vacancy"]
    )


def pair_doc(campaign, summaries, engine="mock", user_entries=()):
    return pair_hull_doc(campaign, Results(summaries, user_entries), engine, "Ru", "Mn")


# Hulls ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["mock", CORRECTED_ENGINE])
def test_a_host_with_lithium_has_a_hull(campaign_of, engine):
    campaign = campaign_of(
        dopants=["Ru"],
        hosts=["Li0.5Mn0.5"],
        fractions=[0.5],
        stages=["hull"],
        engines=[engine],
        supercell={"enumerated": 0, "sqs": 8},
    )
    summaries = [
        *of_ru_mn_o(engine),
        phase("Li", 0.0, role="element", engine=engine),
        phase("Li2O", -6.2, engine=engine),
        phase("Li2MnO3", -12.5, engine=engine),
        phase("LiMnO2", -8.6, engine=engine),
        phase("LiMnO2", -8.0, role="end-member", engine=engine, prototype="sqs"),
        phase("LiMnRu2O4", -9.0, role="mixture", engine=engine, prototype="sqs"),
        # another share of the host's cations is not its mixture
        phase("LiMn3Ru4O8", -90.0, role="mixture", engine=engine, prototype="sqs"),
    ]
    (document, measured) = derive(campaign, summaries[:-1], {}).hulls
    assert document.chemical_system == "Li-Mn-O-Ru"
    assert document.cations == {"Ru": 1.0, "Li": 0.5, "Mn": 0.5}
    # 2 LiMnO2 -> Li2O + 2 MnO + O below, Li2MnO3 + MnO2 - O above
    low, high = 2 * -8.6 + 6.2 + 2 * 4.0, -12.5 - 5.6 + 2 * 8.6
    assert document.rock_salt_windows_ev["Li0.5Mn0.5"] == pytest.approx([low, high])
    assert document.rock_salt_windows_ev["Mn"] == pytest.approx([-4, -2])
    assert document.dopant_metal_below_dmu_o_ev == pytest.approx(-1.5)
    (mixture,) = document.mixtures_above_hull
    # of LiMnRu2O4: LiMnO2, RuO2 and Ru
    assert mixture.e_above_hull_ev_per_atom == pytest.approx((-9.0 + 8.6 + 3.0) / 8)
    assert {s.formula for s in mixture.decomposition} == {"LiMnO2", "RuO2", "Ru"}
    assert measured.engine == MEASURED
    assert measured.chemical_system == document.chemical_system
    (wrong,) = (
        d
        for d in derive(campaign, [*summaries[:-2], summaries[-1]], {}).hulls
        if d.engine == engine
    )
    assert wrong.mixtures_above_hull == []


@pytest.mark.parametrize("engine", ["mock", "chgnet", CORRECTED_ENGINE])
def test_distances_from_the_hull(campaign, engine):
    document = pair_doc(campaign, of_ru_mn_o(engine), engine)
    above = {p.formula: p.e_above_hull_ev_per_atom for p in document.phases}
    stable = {"Mn", "Ru", "O2", "MnO", "Mn3O4", "MnO2", "RuO2"}
    assert above == pytest.approx({**dict.fromkeys(stable, 0.0), **ABOVE_HULL})
    assert {p.formula for p in document.phases if p.entry_id in document.stable} == stable
    formation = {p.formula: p.formation_energy_ev_per_atom for p in document.phases}
    assert formation["Mn3O4"] == pytest.approx(-2.0)
    assert formation["RuO"] == pytest.approx(0.25)
    (mixture,) = document.mixtures_above_hull
    assert mixture.fraction == 0.5
    assert mixture.e_above_hull_ev_per_atom == pytest.approx(ABOVE_HULL["MnRuO2"])
    shares = {s.formula: s.fraction for s in mixture.decomposition}
    # of 12 atoms (Ru3 Mn3 O6): Mn3O4 has 7, one RuO2 has 3, two Ru are left
    assert shares == pytest.approx({"Mn3O4": 7 / 12, "RuO2": 3 / 12, "Ru": 2 / 12})
    own = next(p for p in document.phases if p.formula == "MnRuO2")
    assert own.decomposition == mixture.decomposition
    assert all(p.decomposition == [] for p in document.phases if p.entry_id in document.stable)
    assert (document.dopant, document.host, document.engine) == ("Ru", "Mn", engine)
    assert document.chemical_system == "Mn-O-Ru"
    assert document.references == {"Mn": "element", "Ru": "element", "O": "oxygen"}
    assert document.missing == []


@pytest.mark.parametrize("engine", ["mock", CORRECTED_ENGINE])
def test_windows(campaign, engine):
    document = pair_doc(campaign, of_ru_mn_o(engine), engine)
    ends = [(w.from_dmu_o_ev, w.to_dmu_o_ev) for w in document.windows]
    assert ends[0] == (None, pytest.approx(-4))
    assert ends[1:] == [
        pytest.approx(pair) for pair in [(-4, -2), (-2, -1.5), (-1.5, -1.4), (-1.4, 0)]
    ]
    assert [{p.formula for p in w.phases} for w in document.windows] == [
        {"Ru", "Mn"},
        {"Ru", "MnO"},
        {"Ru", "Mn3O4"},
        {"RuO2", "Mn3O4"},
        {"RuO2", "MnO2"},
    ]
    states = [w.oxidation_states for w in document.windows]
    assert states[1] == pytest.approx({"Mn": 2, "Ru": 0})
    assert states[4] == pytest.approx({"Mn": 4, "Ru": 4})
    assert document.rock_salt_windows_ev["Mn"] == pytest.approx([-4, -2])
    assert document.rock_salt_windows_ev["Ru"] is None
    assert document.metal_share_of_host_window == 1
    assert document.dopant_in_host_window == "metal"


@pytest.mark.parametrize(
    ("ruo2_ev", "share", "state"), [(-9.0, 0.0, "oxide"), (-6.0, 0.5, "partial")]
)
def test_how_much_of_the_hosts_window_is_metal(campaign, ruo2_ev, share, state):
    given_ = [s for s in of_ru_mn_o() if s.composition_reduced != {"Ru": 1, "O": 2}]
    document = pair_doc(campaign, [*given_, phase("RuO2", ruo2_ev)])
    assert document.metal_share_of_host_window == pytest.approx(share)
    assert document.dopant_in_host_window == state


@pytest.mark.parametrize("engine", ["mock", MEASURED])
def test_windows_leave_no_gap(campaign, engine):
    document = (
        measured_hull_doc("Ru", "Mn")
        if engine == MEASURED
        else pair_doc(campaign, of_ru_mn_o(), engine)
    )
    windows = document.windows
    assert windows[0].from_dmu_o_ev is None
    assert windows[-1].to_dmu_o_ev == 0
    for one, two in pairwise(windows):
        assert one.to_dmu_o_ev == two.from_dmu_o_ev < two.to_dmu_o_ev
    for window in windows:
        assert sum(p.fraction for p in window.phases) == pytest.approx(1)


def test_a_hull_without_a_reference_says_so(campaign):
    for gone in ("Ru", "Mn", "O2"):
        given_ = [s for s in of_ru_mn_o() if not s.label.startswith(f"{gone} ")]
        document = pair_doc(campaign, given_)
        assert document.phases == document.windows == document.mixtures_above_hull == []
        assert (document.dopant, document.host) == ("Ru", "Mn")
        assert document.metal_share_of_host_window is None
        (why,) = document.missing
        assert f"no entry of pure {gone.removesuffix('2')}" in why
    assert pair_doc(campaign, []).missing != []


# Corrections ------------------------------------------------------------------------------------


def check_that_chgnet_is_taken_as_it_comes(campaign):
    document = pair_doc(campaign, of_ru_mn_o("chgnet"), "chgnet")
    above = {p.formula: p.e_above_hull_ev_per_atom for p in document.phases}
    assert {f: above[f] for f in ABOVE_HULL} == pytest.approx(ABOVE_HULL)
    assert document.windows[1].from_dmu_o_ev == pytest.approx(-4)
    assert document.energy_scale == MP2020
    for one in document.phases:
        assert one.correction_ev_per_atom == 0
        assert one.raw_formation_energy_ev_per_atom is None


def check_that_sevennet_is_corrected_once(campaign):
    document = pair_doc(campaign, of_ru_mn_o(CORRECTED_ENGINE), CORRECTED_ENGINE)
    above = {p.formula: p.e_above_hull_ev_per_atom for p in document.phases}
    assert {f: above[f] for f in ABOVE_HULL} == pytest.approx(ABOVE_HULL)
    assert document.energy_scale == MP2020
    mno = next(p for p in document.phases if p.formula == "MnO")
    assert mno.correction_ev_per_atom == pytest.approx((-0.687 - 1.668) / 2)
    assert mno.raw_formation_energy_ev_per_atom == pytest.approx((-4.0 + 0.687 + 1.668) / 2)


def test_corrections_are_applied_once(campaign):
    check_that_chgnet_is_taken_as_it_comes(campaign)
    check_that_sevennet_is_corrected_once(campaign)


def test_a_spoilt_table_of_scales_would_be_noticed(campaign, monkeypatch):
    twice = EnergyScale(MP2020, "mp2020", "corrected once more")
    never = EnergyScale(MP2020, "included", "left as it is")
    spoilt = [
        (check_that_chgnet_is_taken_as_it_comes, {}),
        (check_that_chgnet_is_taken_as_it_comes, {("chgnet", "0.3.0"): twice}),
        (check_that_sevennet_is_corrected_once, {}),
        (check_that_sevennet_is_corrected_once, {("sevennet-0", "7net-0"): never}),
    ]
    for check, table in spoilt:
        with monkeypatch.context() as patch:
            patch.setattr(scales, "_SCALES", table)
            with pytest.raises(AssertionError):
                check(campaign)
    with monkeypatch.context() as patch:
        patch.setattr(scales, "MP2020_OXIDE_EV_PER_O", 2 * scales.MP2020_OXIDE_EV_PER_O)
        with pytest.raises(AssertionError):
            check_that_sevennet_is_corrected_once(campaign)
        check_that_chgnet_is_taken_as_it_comes(campaign)


def test_correcting_chgnet_again_would_change_the_numbers(campaign, monkeypatch):
    before = pair_doc(campaign, of_ru_mn_o("chgnet"), "chgnet")
    twice = EnergyScale(MP2020, "mp2020", "corrected once more")
    monkeypatch.setattr(scales, "_SCALES", {("chgnet", "0.3.0"): twice})
    after = pair_doc(campaign, of_ru_mn_o("chgnet"), "chgnet")
    assert after.windows[0].to_dmu_o_ev == pytest.approx(-4 - 0.687 - 1.668)
    assert before.windows[0].to_dmu_o_ev == pytest.approx(-4)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_corrections_are_pymatgens(campaign):
    document = pair_doc(campaign, of_ru_mn_o(CORRECTED_ENGINE), CORRECTED_ENGINE)
    corrections = {p.formula: p.correction_ev_per_atom for p in document.phases}
    for formula, hubbards in (
        ("MnO", {"Mn": 3.9, "O": 0.0}),
        ("Mn3O4", {"Mn": 3.9, "O": 0.0}),
        ("MnO2", {"Mn": 3.9, "O": 0.0}),
        ("RuO2", {}),
        ("Mn", {}),
    ):
        entry = ComputedEntry(
            Composition(formula) * 2,
            -1.0,
            parameters={"run_type": "GGA+U" if hubbards else "GGA", "hubbards": hubbards},
            data={"oxide_type": "oxide" if "O" in formula else "None"},
        )
        processed = MaterialsProject2020Compatibility(check_potcar=False).process_entry(entry)
        assert processed is not None
        assert corrections[formula] == pytest.approx(processed.correction_per_atom, abs=1e-9)
    assert corrections["O2"] == corrections["Ru"] == 0


ENERGIES = st.floats(-50, 50, allow_subnormal=False)


@settings(max_examples=25)
@given(
    dopant_ev=ENERGIES,
    host_ev=ENERGIES,
    mixture_ev=ENERGIES,
    quarters=st.integers(1, 3),
    data=st.data(),
)
def test_corrections_cancel_in_mixing(campaign_of, dopant_ev, host_ev, mixture_ev, quarters, data):
    dopant, host = data.draw(st.sampled_from([("Ni", "Mn"), ("Mo", "Co"), ("Mg", "Mn")]))
    x = quarters / 4

    def made(role, energy, **fractions):
        return Summary(
            key=f"{role} {fractions}",
            role=role,
            label=f"{role} {fractions}",
            engine=CORRECTED_ENGINE,
            engine_version="1",
            energy_scale="any",
            cation_fractions=fractions,
            composition_reduced={**fractions, "O": 1.0},
            prototype="enumerated 1 of 1",
            multiplicity=1,
            state="done",
            energy_ev_per_atom=energy,
            nsites=8,
            volume=80.0,
        )

    ends = (
        made("end-member", dopant_ev, **{dopant: 1.0}),
        made("end-member", host_ev, **{host: 1.0}),
    )
    mixture = made("mixture", mixture_ev, **{dopant: x, host: 1 - x})
    campaign = campaign_of(
        dopants=[dopant], hosts=[host], fractions=[x], engines=[CORRECTED_ENGINE]
    )
    document = mixing(campaign, Results([*ends, mixture]), CORRECTED_ENGINE, dopant, host)
    raw = 2 * (mixture_ev - x * dopant_ev - (1 - x) * host_ev)
    assert document.points[0].value == pytest.approx(raw, abs=1e-9)
    scale = get_engine(CORRECTED_ENGINE).scale
    corrected = [hull_entry(s, scale).energy_ev for s in (mixture, *ends)]
    assert corrected[1] != pytest.approx(2 * dopant_ev, abs=0.1)
    assert corrected[0] - x * corrected[1] - (1 - x) * corrected[2] == pytest.approx(raw, abs=1e-9)


# What is left out -------------------------------------------------------------------------------


def test_what_is_left_out_is_counted_with_its_reason(campaign):
    given_ = [
        *of_ru_mn_o(),
        phase(
            "MnO2", -50.0, prototype="hollow", junk="hollow: the volume changed by a factor of 9"
        ),
        phase("MnO2", -5.6 - 0.001, prototype="ghost", junk="ghost: two oxygens came near"),
        phase("MnO2", -5.6 + 0.003, prototype="twin", volume=30.1),  # 1 meV per atom above rutile
        phase("MnO2", -5.6 + 0.003, prototype="larger", volume=33.0),
        phase(
            "Ru2O3",
            0.0,
            prototype="corundum",
            state="failed",
            error="boom",
            energy_ev_per_atom=None,
        ),
        phase("Li2O", -6.0, prototype="of another system"),
        phase("RuO2", -9.0, prototype="of another engine", engine="chgnet"),
        phase("RuO2", -9.0, prototype="failed elsewhere", engine="chgnet", state="failed"),
    ]
    document = pair_doc(campaign, given_)
    rejected = {r["what"]: r["why"] for r in document.rejected}
    made_by_hand = {
        "MnO2 hollow": "hollow: the volume changed by a factor of 9",
        "MnO2 ghost": "ghost: two oxygens came near",
        "MnO2 twin": "the same as MnO2 competing-phase",
        "Ru2O3 corundum": "boom",
    }
    assert rejected == {**made_by_hand, **dict(left_out(("Ru", "Mn")))}
    counts = document.counts
    assert counts["entries"] == counts["in_hull"] + counts["rejected"]
    assert counts["in_hull"] == len(document.phases) == 9 + 1
    assert counts["rejected"] == len(document.rejected) == len(rejected)
    assert counts["on_hull"] == len(document.stable) == 7
    without = pair_doc(campaign, of_ru_mn_o())
    assert document.windows == without.windows
    assert document.stable == without.stable


def test_the_users_entries_join_on_their_scale(campaign):
    mine = [
        HullEntry("mp-1", {"Ru": 2.0, "Mn": 2.0, "O": 6.0}, -200.0, MP2020),
        HullEntry("mp-2", {"Ru": 2.0, "Ti": 2.0, "O": 6.0}, -200.0, MP2020),
    ]
    document = pair_doc(campaign, of_ru_mn_o("chgnet"), "chgnet", mine)
    (found,) = [p for p in document.phases if p.entry_id == "mp-1"]
    assert (found.formula, found.prototype) == ("MnRuO3", "given")
    assert found.energy_ev_per_atom == -20
    assert (found.correction_ev_per_atom, found.raw_formation_energy_ev_per_atom) == (0, None)
    assert "mp-1" in document.stable
    assert all("mp-2" not in str(r) for r in document.rejected)
    # once with the corrections that they bring, whatever the engine's own need
    corrected = pair_doc(campaign, of_ru_mn_o(CORRECTED_ENGINE), CORRECTED_ENGINE, mine)
    (other,) = [p for p in corrected.phases if p.entry_id == "mp-1"]
    assert other.energy_ev_per_atom == -20
    assert (other.correction_ev_per_atom, other.raw_formation_energy_ev_per_atom) == (0, None)
    assert other.formation_energy_ev_per_atom == pytest.approx(found.formation_energy_ev_per_atom)


@pytest.mark.parametrize("scale", [MP2020, AS_GIVEN, "r2SCAN"])
def test_the_users_entries_on_another_scale_are_left_out(campaign, scale):
    mine = [HullEntry("mine", {"Ru": 1.0, "Mn": 1.0, "O": 3.0}, -1000.0, scale)]
    document = pair_doc(campaign, of_ru_mn_o(), user_entries=mine)
    (why,) = [r["why"] for r in document.rejected if r["what"] == "mine"]
    assert repr(scale) in why
    assert "'mock'" in why
    without = pair_doc(campaign, of_ru_mn_o())
    assert document.counts["entries"] == without.counts["entries"] + 1
    assert document.phases == without.phases


# What must not matter ---------------------------------------------------------------------------


@settings(max_examples=5)
@given(data=st.data())
def test_the_order_does_not_matter(campaign_of, data):
    campaign = campaign_of(
        dopants=["Ru"], fractions=[0.5], stages=["hull", "lithium-deficient", "oxygen-vacancy"]
    )
    summaries = [*of_ru_mn_o(), *of_li_mn_o(), *vacancies()]
    first = derive(campaign, summaries, {})
    other = derive(campaign, data.draw(st.permutations(summaries)), {})
    assert other.hulls == first.hulls
    assert other.series == first.series
    assert other.vacancies == first.vacancies


def test_a_phase_found_twice_is_one_phase(campaign):
    first = pair_doc(campaign, of_ru_mn_o())
    again = [
        s.model_copy(update={"key": f"{s.key} again", "label": f"{s.label} again"})
        for s in of_ru_mn_o()
        if s.role == "competing-phase"
    ]
    document = pair_doc(campaign, [*of_ru_mn_o(), *again])
    for name in ("phases", "windows", "stable", "mixtures_above_hull", "references"):
        assert getattr(document, name) == getattr(first, name)
    assert document.counts["rejected"] == first.counts["rejected"] + len(again)


@pytest.mark.parametrize("engine", ["mock", CORRECTED_ENGINE])
def test_supercells_change_nothing(campaign, engine):
    mine = HullEntry("mine", {"Mn": 2.0, "O": 3.0}, -60.0, "mock")
    larger = HullEntry("mine", {"Mn": 8.0, "O": 12.0}, -240.0, "mock")
    first = pair_doc(campaign, of_ru_mn_o(engine), engine, [mine])
    assert pair_doc(campaign, of_ru_mn_o(engine, n_cells=4), engine, [larger]) == first


# Measured ---------------------------------------------------------------------------------------


def test_uncorrected_energies_have_no_vote_on_windows(campaign_of):
    """They put oxides too high, each by another amount."""

    def criterion(*engines):
        campaign = campaign_of(
            dopants=["Ru"], fractions=[0.5], stages=["rock-salt", "hull"], engines=list(engines)
        )
        given_ = [summary for engine in engines for summary in of_ru_mn_o(engine)]
        (one,) = derive(campaign, given_, {}).ranking.candidates
        return next(r for r in one.reasons if "where MnO is stable" in r or "wherever MnO" in r)

    alone = criterion("gpaw:fast")
    assert "gpaw" not in alone
    assert "(measured: metal below" in alone
    beside = criterion("gpaw:fast", "chgnet")
    assert "chgnet: metal below" in beside
    assert "gpaw" not in beside


def test_the_measured_hull_is_a_document_of_its_own(campaign):
    summaries = of_ru_mn_o()
    mine = [HullEntry("mine", {"Ru": 1.0, "O": 2.0}, -1000.0, MEASURED_SCALE)]
    hulls = derive(campaign, summaries, {}, mine).hulls
    assert [(h.engine, h.dopant, h.host) for h in hulls] == [
        ("mock", "Ru", "Mn"),
        (MEASURED, "Ru", "Mn"),
    ]
    measured = hulls[1]
    assert measured == measured_hull_doc("Ru", "Mn")
    assert measured.energy_scale == MEASURED_SCALE
    assert [p.entry_id for p in measured.phases] == [
        e.entry_id for e in measured_entries(["Ru", "Mn", "O"])
    ]
    assert measured.mixtures_above_hull == []
    assert measured.metal_share_of_host_window == 1
    assert measured.dopant_in_host_window == "metal"
    assert all(p.correction_ev_per_atom == 0 for p in measured.phases)


def test_an_element_without_a_measured_oxide(campaign_of):
    document = measured_hull_doc("Tc", "Mn")
    assert document.phases == document.windows == []
    assert document.metal_share_of_host_window is None
    assert document.dopant_in_host_window is None
    assert document.missing == ["no oxide of Tc in the table of measured enthalpies"]
    campaign = campaign_of(dopants=["Tc"], fractions=[0.5], stages=["hull"])
    (one,) = derive(campaign, [], {}).ranking.candidates
    assert one.metal_in_host_window == {"Mn": {"computed": {"mock": None}, "measured": None}}
    assert one.criteria["oxide in MnO window"] == "undecided"


# The lithium-deficient series -------------------------------------------------------------------


def member(n, energy_above_ev_per_atom, *, engine="mock", dopant=None, volume=240.0, **fields):
    """Return Li(8-n)Mn(4+n)O12 at a height above (4 - n/2) Li2MnO3 + 3n/2 MnO."""
    formula = f"Li{8 - n}Mn{4 + n}O12"
    formation = (4 - n / 2) * -12.5 + 1.5 * n * -4.0 + 24 * energy_above_ev_per_atom
    return phase(
        formula,
        formation,
        engine=engine,
        role="series",
        volume=volume,
        multiplicity=1,
        details={
            "host": "Mn",
            "dopant": dopant,
            "n": n,
            "n_layer_lithium": 2,
            "lithium_per_oxygen": (8 - n) / 12,
            "li_o_li_per_oxygen": 1.0,
        },
        **{"prototype": formula, **fields},
    )


def of_li_mn_o(engine="mock"):
    return [
        phase("Li", 0.0, role="element", engine=engine),
        phase("Li2O", -6.0, engine=engine),
        phase("Li2MnO3", -12.5, engine=engine, prototype="Li2MnO3"),
        member(0, 0.0, engine=engine, prototype="a"),
        member(0, 0.01, engine=engine, prototype="b", volume=300.0),
        member(1, 0.03, engine=engine, prototype="c", volume=252.0),
    ]


@pytest.fixture
def layered(campaign_of):
    return campaign_of(
        dopants=["Ru"],
        fractions=[0.5],
        stages=["lithium-deficient", "oxygen-vacancy"],
        supercell={"enumerated": 4, "sqs": 0, "layered": 2, "vacancy": 2},
        strains_percent=[0, 2, 4],
    )


@pytest.mark.parametrize("engine", ["mock", CORRECTED_ENGINE])
def test_series(layered, engine):
    mn_o = [s for s in of_ru_mn_o(engine) if s.label.split()[0] in {"O2", "Mn", "MnO"}]
    pure, doped = series_docs(layered, Results([*mn_o, *of_li_mn_o(engine)]), engine)
    assert (pure.dopant, pure.missing, pure.n_layer_lithium) == (None, [], 2)
    assert [(p.n, p.arrangement) for p in pure.points] == [(0, "a"), (0, "b"), (1, "c")]
    above = [p.e_above_hull_ev_per_atom for p in pure.points]
    assert above == pytest.approx([0, 0.01, 0.03], abs=1e-9)
    shares = {s.formula: s.fraction for s in pure.points[2].decomposition}
    assert shares == pytest.approx({"Li2MnO3": 3.5 * 6 / 24, "MnO": 1.5 * 2 / 24})
    # relative to the lowest of n = 0: 20 cubic angstrom per oxygen
    volumes = [p.volume_angstrom3_per_oxygen for p in pure.points]
    assert volumes == pytest.approx([20.0, 25.0, 21.0])
    changes = [p.volume_change_percent for p in pure.points]
    assert changes == pytest.approx([0.0, 25.0, 5.0])
    raw = [s.energy_ev_per_atom for s in of_li_mn_o(engine)[3:]]
    assert [p.energy_ev_per_atom for p in pure.points] == pytest.approx(raw)
    assert doped.dopant == "Ru"
    assert doped.points == []
    assert any("no entry of pure Ru" in m for m in doped.missing)
    assert f"the series with {engine}" in doped.missing


def test_a_series_without_a_hull_keeps_its_energies(layered):
    given_ = [s for s in of_li_mn_o() if s.role != "element"]
    pure = series_docs(layered, Results(given_), "mock")[0]
    assert len(pure.points) == 3
    assert all(p.e_above_hull_ev_per_atom is None for p in pure.points)
    assert pure.points[2].volume_change_percent == pytest.approx(5)
    assert any("no entry of pure" in m for m in pure.missing)


def test_a_series_without_its_first_member(layered):
    given_ = [s for s in of_li_mn_o() if s.details.get("n") != 0]
    (point,) = series_docs(layered, Results(given_), "mock")[0].points
    assert point.volume_change_percent is None


# Vacancies --------------------------------------------------------------------------------------

CELL_EV = -100.0
O2_EV = ELEMENTS_EV["O"]


def vacancy(site, formation_ev, kind="none", percent=0.0, *, engine="mock", dopant=None):
    """Return a cell of 24 atoms, or one that lost an oxygen at so much energy (0 at dmu_O = 0)."""
    cell = f"Li2MnO3 with {dopant}" if dopant else "Li2MnO3"
    energy = CELL_EV + 3 * percent
    if site is not None:
        energy += formation_ev - O2_EV
    n_atoms = 24 if site is None else 23
    metals = {"Mn": 3, dopant: 1} if dopant else {"Mn": 4}
    return phase(
        "Li8Mn4O12",
        0.0,
        engine=engine,
        role="vacancy",
        key=f"{cell} {site} {kind} {percent} {engine}",
        label=f"{cell} {kind} {percent} {site}",
        energy_ev_per_atom=energy / n_atoms,
        nsites=n_atoms,
        multiplicity=4,
        details={
            "cell": cell,
            "formula": "x",
            "host": "Mn",
            "dopant": dopant,
            "amounts": {"Li": 8, **metals, "O": 12},
            "strain_kind": kind,
            "strain_percent": percent,
            "site": site,
            "site_name": f"O {site}",
            "is_near": dopant is not None and site is not None,
        },
    )


def vacancies(engine="mock"):
    strained = [
        vacancy(site, 4.1 + slope * percent, kind, percent, engine=engine)
        for kind, slope in (("isotropic", -0.1), ("in-plane", -0.25))
        for percent in (2.0, 4.0)
        for site in (None, 12)
    ]
    return [
        vacancy(None, 0, engine=engine),
        vacancy(12, 4.1, engine=engine),
        vacancy(16, 4.4, engine=engine),
        *strained,
        vacancy(None, 0, dopant="Ru", engine=engine),
        vacancy(12, 4.5, dopant="Ru", engine=engine),
        vacancy(13, 3.8, dopant="Ru", engine=engine),
    ]


def oxygen(engine="mock", energy=O2_EV):
    return phase("O2", 2 * (energy - O2_EV), role="oxygen", engine=engine)


@pytest.mark.parametrize(
    ("engine", "shift", "has_raw"),
    [("mock", 0.0, True), ("chgnet", 0.0, False), (CORRECTED_ENGINE, 0.687, True)],
)
def test_vacancies(layered, engine, shift, has_raw):
    given_ = Results([oxygen(engine), *vacancies(engine)])
    pure, doped = vacancy_docs(layered, given_, engine)
    assert (pure.cell, doped.cell) == ("Li2MnO3", "Li2MnO3 with Ru")
    found = {(p.strain_kind, p.strain_percent, p.site): p for p in pure.points}
    wanted = {
        ("none", 0, 12): 4.1,
        ("none", 0, 16): 4.4,
        ("isotropic", 2, 12): 3.9,
        ("isotropic", 4, 12): 3.7,
        ("in-plane", 2, 12): 3.6,
        ("in-plane", 4, 12): 3.1,
    }
    assert {k: p.formation_energy_ev for k, p in found.items()} == pytest.approx(
        {k: v + shift for k, v in wanted.items()}
    )
    raw = {k: p.raw_formation_energy_ev for k, p in found.items()}
    assert raw == (pytest.approx(wanted) if has_raw else dict.fromkeys(wanted))
    # strain does not enter: the lowest is that of the unstrained cell
    assert pure.lowest_formation_energy_ev == pytest.approx(4.1 + shift)
    assert doped.lowest_formation_energy_ev == pytest.approx(3.8 + shift)
    assert pure.retention_ev is None
    assert doped.retention_ev == pytest.approx(3.8 - 4.1)
    slopes = {s.strain_kind: s for s in pure.slopes}
    assert {k: s.ev_per_percent for k, s in slopes.items()} == pytest.approx(
        {"isotropic": -0.1, "in-plane": -0.25}
    )
    assert all(s.n_points == 3 for s in slopes.values())
    assert all(s.standard_error_ev_per_percent < 1e-9 for s in slopes.values())
    assert doped.slopes == []
    assert pure.missing == doped.missing == []


@settings(max_examples=20)
@given(shift=st.floats(-3, 3))
def test_the_o2_reference_shifts_every_vacancy_equally(campaign_of, shift):
    campaign = campaign_of(dopants=["Ru"], fractions=[0.5], stages=["oxygen-vacancy"])
    before, after = (
        vacancy_docs(campaign, Results([oxygen(energy=energy), *vacancies()]), "mock")
        for energy in (O2_EV, O2_EV + shift)
    )
    for one, two in zip(before, after, strict=True):
        for p, q in zip(one.points, two.points, strict=True):
            assert q.formation_energy_ev - p.formation_energy_ev == pytest.approx(shift, abs=1e-9)
        assert (two.retention_ev or 0) == pytest.approx(one.retention_ev or 0, abs=1e-9)
        slopes = [s.ev_per_percent for s in one.slopes]
        assert [s.ev_per_percent for s in two.slopes] == pytest.approx(slopes, abs=1e-9)


def test_vacancies_without_oxygen_or_their_cell(layered):
    for document in vacancy_docs(layered, Results(vacancies()), "mock"):
        assert document.points == []
        assert document.lowest_formation_energy_ev is None
        assert document.retention_ev is None
        assert document.missing == ["O2 with mock"]
    left = [s for s in vacancies() if not s.key.startswith("Li2MnO3 None isotropic 2.0")]
    pure, _ = vacancy_docs(layered, Results([oxygen(), *left]), "mock")
    assert pure.missing == ["Li2MnO3 isotropic 2% with mock"]
    assert {s.strain_kind: s.n_points for s in pure.slopes} == {"isotropic": 2, "in-plane": 3}
    left = [s for s in vacancies() if s.key != "Li2MnO3 None none 0.0 mock"]
    pure, doped = vacancy_docs(layered, Results([oxygen(), *left]), "mock")
    assert pure.lowest_formation_energy_ev is None
    assert doped.lowest_formation_energy_ev == pytest.approx(3.8)
    assert doped.retention_ev is None


def test_cells_of_another_campaign_are_passed_over(campaign_of):
    campaign = campaign_of(dopants=["Mg"], fractions=[0.5], stages=["oxygen-vacancy"])
    found = vacancy_docs(campaign, Results([oxygen(), *vacancies()]), "mock")
    assert [v.cell for v in found] == ["Li2MnO3"]


# Candidates -------------------------------------------------------------------------------------


def rock_salts():
    """Return cells in which mixing costs nothing."""
    return [
        phase("RuO", -4.0, role="end-member", prototype="rock-salt"),
        phase("MnO", -4.0, role="end-member", prototype="rock-salt"),
        phase("RuMnO2", -8.0, role="mixture", **MIXTURE),
    ]


def test_a_candidate_with_every_criterion(campaign):
    given_ = [s for s in of_ru_mn_o() if s.role not in {"end-member", "mixture"}]
    given_ += [*rock_salts(), *of_li_mn_o(), *vacancies()]
    (one,) = derive(campaign, given_, {}).ranking.candidates
    assert one.criteria == {
        "stays oxidised": "pass",
        "mixes with MnO": "undecided",
        "oxide in MnO window": "undecided",  # RuO is as stable as MnO; measured, Ru is metal
        "near hull with MnO": "pass",
        "retains oxygen": "undecided",  # -0.3 eV, -0.2 allowed, within 0.1
    }
    assert one.verdict == "undecided"
    assert one.metal_in_host_window == {"Mn": {"computed": {"mock": "oxide"}, "measured": "metal"}}
    assert one.above_hull_ev_per_atom["Mn"]["fraction"] == 0.5
    assert one.above_hull_ev_per_atom["Mn"]["value"] == pytest.approx({"mock": 0.0}, abs=1e-9)
    assert one.oxygen_retention_ev == pytest.approx({"mock": -0.3})
    reasons = " | ".join(one.reasons)
    for words in (
        "stays oxidised at the O2 potential: dEf(RuO) = -4.00",
        "undecided with MnO",
        "mock: metal below -4.00, MnO from -4.00 to",
        "measured: metal below -1.58",
        "0 ± 30 meV per atom above the hull; 70 are allowed",
        "changes by -0.30 ± 0.10 eV with Ru; -0.2 eV are allowed",
    ):
        assert words in reasons
    assert len(one.reasons) == 5


def test_one_criterion_that_fails_fails_the_dopant(campaign):
    given_ = [s for s in of_ru_mn_o() if s.role not in {"end-member", "mixture"}]
    given_ += [*rock_salts(), phase("RuMnO3", -15.0)]  # below the mixture
    (one,) = derive(campaign, given_, {}).ranking.candidates
    assert one.criteria["near hull with MnO"] == "fail"
    assert one.criteria["retains oxygen"] == "undecided"
    assert one.verdict == "fail"
    assert "MnRuO3" in one.above_hull_ev_per_atom["Mn"]["decomposition"]["mock"]
    assert "oxygen retention with Ru: not computed" in one.reasons


def test_without_the_stages_nothing_is_said(campaign_of):
    campaign = campaign_of(dopants=["Ru"], fractions=[0.5])
    derived = derive(campaign, [*of_ru_mn_o(), *of_li_mn_o(), *vacancies()], {})
    assert derived.hulls == derived.series == derived.vacancies == []
    (one,) = derived.ranking.candidates
    assert one.metal_in_host_window == {"Mn": {"computed": {"mock": None}, "measured": None}}
    assert one.above_hull_ev_per_atom == {"Mn": {}}
    assert one.oxygen_retention_ev == {}
    beyond = ("oxide in MnO window", "near hull with MnO", "retains oxygen")
    assert all(one.criteria.get(name) is None for name in beyond)
    about = ("above the hull;", "vacancy", "wherever")
    assert not any(words in r for r in one.reasons for words in about)


def candidate(dopant, verdict, score, reduction=0.0, above=None, retention=None):
    return CandidateDoc(
        rank=0,
        dopant=dopant,
        verdict=verdict,
        reasons=[],
        rock_salt_formation_energy_ev_per_formula={},
        rock_salt_reduction_dmu_o_ev={"mock": reduction},
        metal_in_host_window={},
        mixing={},
        hosts={},
        above_hull_ev_per_atom={}
        if above is None
        else {"Mn": {"value": {"mock": above}}, "Ni": {}},
        oxygen_retention_ev={} if retention is None else {"mock": retention},
        score_ev_per_cation=score,
        uncertainty_ev=None,
    )


def test_the_order_is_verdict_then_front_then_mixing(campaign_of):
    given_ = [
        candidate("Zn", "fail", -9.0, -9.0, -9.0, 9.0),
        candidate("Ca", "undecided", 0.02, -1.0, 0.00, 0.0),
        candidate("Ti", "undecided", 0.01, -1.0, 0.05, 0.0),
        candidate("Sc", "undecided", 0.015, -0.5, 0.05, -0.1),  # surpassed by Ti
        candidate("V", "undecided", 0.02, -0.5, 0.06, 0.5),  # holds oxygen best
        candidate("Mg", "pass", 0.03, -1.0, 0.01, 0.0),
    ]
    ranked = rank(campaign_of(), given_, {}).candidates
    assert [(c.dopant, c.front) for c in ranked] == [
        ("Mg", 1),
        ("Ti", 1),
        ("Ca", 1),
        ("V", 1),
        ("Sc", 2),
        ("Zn", 1),
    ]
    assert [c.rank for c in ranked] == [1, 2, 3, 4, 5, 6]
    backwards = rank(campaign_of(), given_[::-1], {}).candidates
    assert [c.model_dump() for c in backwards] == [c.model_dump() for c in ranked]


def test_an_objective_that_one_lacks_counts_for_none(campaign_of):
    given_ = [
        candidate("Ca", "undecided", 0.02, retention=0.5),
        candidate("Ti", "undecided", 0.01, retention=None),
    ]
    assert [c.front for c in rank(campaign_of(), given_, {}).candidates] == [1, 2]
    given_[1] = candidate("Ti", "undecided", 0.01, retention=0.0)
    assert [c.front for c in rank(campaign_of(), given_, {}).candidates] == [1, 1]
