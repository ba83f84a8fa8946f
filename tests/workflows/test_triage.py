"""Triage on mock energies: who goes, what it costs, what comes of it."""

from __future__ import annotations

import pytest
from rich.console import Console

from rocksalt.screening import scales
from rocksalt.screening.scales import EnergyScale
from rocksalt.workflows import engines, executor
from rocksalt.workflows import run as run_module
from rocksalt.workflows.calculate import calculate
from rocksalt.workflows.derive import derive
from rocksalt.workflows.engines import Engine, get_calculator, get_engine
from rocksalt.workflows.mock import MockCalculator
from rocksalt.workflows.plan import make_plan
from rocksalt.workflows.report_triage import triage_section
from rocksalt.workflows.run import run_campaign
from rocksalt.workflows.tables import ranking_table
from rocksalt.workflows.triage import agreements, concluded, decide, deciding_plan

BETTER = "better"


@pytest.fixture
def better_engine(monkeypatch):
    """Make an engine that gives the mock's energies on a scale of its own."""
    engine = Engine(BETTER, "1", None, None, MockCalculator)
    monkeypatch.setitem(engines._OWN, BETTER, engine)
    monkeypatch.setitem(scales._SCALES, (BETTER, "1"), EnergyScale(BETTER, None, "better"))
    get_engine.cache_clear()
    get_calculator.cache_clear()
    yield engine
    get_engine.cache_clear()
    get_calculator.cache_clear()


def triaged(campaign_of, budget=None, **changes):
    settings = {
        "dopants": ["Co", "Zn", "Ca", "Mg"],
        "hosts": ["Mn", "Ni"],
        "fractions": [0.25, 0.5],
        "engines": {
            "triage": ["mock"],
            "decide": BETTER,
            **({"budget_cpu_hours": budget} if budget else {}),
        },
    }
    return campaign_of(**{**settings, **changes})


def one_hour(calculation):
    return 1.0


@pytest.fixture
def screened(better_engine, campaign_of, run_small):
    """Return a function that gives a campaign and what its potentials say."""

    def screened(**changes):
        campaign = triaged(campaign_of, **changes)
        return campaign, derive(campaign, run_small(campaign), {})

    return screened


@pytest.fixture
def run_small():
    """Return a function that computes a plan and returns its summaries."""
    from rocksalt.stores.records import Summary

    def run(campaign, plan=None):
        plan = plan or make_plan(campaign)
        documents = [calculate(c).model_dump() for c in plan.calculations.values()]
        return [Summary(**{k: d[k] for k in Summary.model_fields if k in d}) for d in documents]

    return run


def test_the_plan_is_that_of_the_engines_that_screen(screened):
    campaign, derived = screened()
    assert campaign.engines == ["mock", BETTER]
    assert campaign.screening_engines == ["mock"]
    assert {f.engine for f in derived.formations} == {"mock"}
    assert {m.engine for m in derived.mixings} == {"mock"}


def test_open_verdicts_go_in_the_order_of_what_they_could_change(screened):
    campaign, derived = screened()
    document = decide(campaign, derived.ranking, one_hour)
    verdicts = {c.dopant: c.verdict for c in derived.ranking.candidates}
    assert {c.dopant for c in document.chosen} == {
        d for d, v in verdicts.items() if v == "undecided"
    }
    assert "Ca" in {p["dopant"] for p in document.passed_over}  # fails in any case
    spans = [c.rank_span for c in document.chosen]
    assert spans == sorted(spans, reverse=True)
    assert {c.dopant for c in document.chosen} | {p["dopant"] for p in document.passed_over} == set(
        campaign.dopants
    )
    for choice in document.chosen:
        assert choice.reason.startswith("not decided: ")
        open_ = [
            h
            for h in campaign.hosts
            if derived.ranking.candidates[
                [c.dopant for c in derived.ranking.candidates].index(choice.dopant)
            ]
            .hosts.get(h, {})
            .get("verdict")
            == "undecided"
        ]
        assert choice.hosts == open_


def test_shared_calculations_are_paid_once_and_the_budget_holds(screened):
    campaign, derived = screened()
    whole = decide(campaign, derived.ranking, one_hour)
    plan = deciding_plan(campaign, whole)
    assert set(plan.calculations) == {key for c in whole.chosen for key in c.keys}
    assert all(c.engine == BETTER for c in plan.calculations.values())
    assert sum(c.estimated_cpu_hours for c in whole.chosen) == len(plan.calculations)
    first = whole.chosen[0].estimated_cpu_hours
    limited, _ = screened(budget=first)
    some = decide(limited, derived.ranking, one_hour)
    assert [c.dopant for c in some.chosen] == [whole.chosen[0].dopant]
    left_out = {p["dopant"]: p["why"] for p in some.passed_over}
    for choice in whole.chosen[1:]:
        assert "of the budget are left" in left_out[choice.dopant]
    paid = decide(limited, derived.ranking, one_hour, done=set(plan.calculations))
    assert [c.dopant for c in paid.chosen] == [c.dopant for c in whole.chosen]
    assert all(c.estimated_cpu_hours == 0 for c in paid.chosen)


def test_the_engine_that_decides_decides_alone(screened, run_small):
    campaign, before = screened()
    document = decide(campaign, before.ranking, one_hour)
    summaries = [*run_small(campaign), *run_small(campaign, deciding_plan(campaign, document))]
    shifted = [  # oxides of the better engine are 2 eV per atom above: all become metal
        s.model_copy(update={"energy_ev_per_atom": s.energy_ev_per_atom + 2.0})
        if s.engine == BETTER and s.role in {"end-member", "mixture"}
        else s
        for s in summaries
    ]
    after = derive(campaign, shifted, {})
    chosen = {c.dopant for c in document.chosen}
    for candidate in after.ranking.candidates:
        was = next(c for c in before.ranking.candidates if c.dopant == candidate.dopant)
        if candidate.dopant in chosen:
            assert candidate.criteria["stays oxidised"] == "fail"
            assert candidate.verdict == "fail"
        else:
            assert candidate.criteria == was.criteria
    ended = concluded(document, after.ranking, after.formations, after.mixings, 3.0)
    assert {c.verdict_after for c in ended.chosen} == {"fail"}
    assert {c.verdict_before for c in ended.chosen} == {"undecided"}
    assert ended.spent_cpu_hours == 3.0
    by_quantity = {a.quantity: a for a in ended.agreement}
    # dHmix is free of the shift, which end members share; dEf has 4 eV per formula of it
    assert by_quantity["dHmix"].mean_absolute_error == pytest.approx(0, abs=1e-9)
    assert by_quantity["dEf(MO)"].mean_error == pytest.approx(-4.0)
    assert by_quantity["dEf(MO)"].rank_correlation == pytest.approx(1.0)


def test_half_a_pair_decides_nothing(screened, run_small):
    campaign, before = screened()
    document = decide(campaign, before.ranking, one_hour)
    better = run_small(campaign, deciding_plan(campaign, document))
    some = [
        s
        for s in better
        if s.role != "mixture" or abs(min(s.cation_fractions.values()) - 0.5) < 0.01
    ]
    after = derive(campaign, [*run_small(campaign), *some], {})
    for candidate in after.ranking.candidates:
        was = next(c for c in before.ranking.candidates if c.dopant == candidate.dopant)
        assert candidate.hosts == was.hosts


def test_agreement_needs_what_both_computed(screened):
    _, derived = screened()
    assert agreements(BETTER, derived.formations, derived.mixings) == []


# A whole run ------------------------------------------------------------------------------------


def test_a_run_screens_then_decides_and_a_second_one_does_nothing(
    better_engine, campaign_of, open_store
):
    campaign = triaged(campaign_of, dopants=["Co", "Ca"])
    store = open_store()
    told = []
    first = run_campaign(campaign, store, on_plan=lambda plan, todo: told.append(len(todo)))
    assert first.triage is not None
    assert [c.dopant for c in first.triage.chosen] == ["Co"]
    assert first.triage.chosen[0].verdict_after is not None
    assert told == [len(make_plan(campaign).calculations), len(first.triage.chosen[0].keys)]
    assert first.n_computed == first.n_planned == sum(told)
    assert {a.engine for a in first.triage.agreement} == {"mock"}
    again = run_campaign(campaign, store)
    assert again.n_computed == 0
    assert again.ranking.model_dump(exclude={"completed_at", "counts"}) == first.ranking.model_dump(
        exclude={"completed_at", "counts"}
    )
    assert again.triage.chosen == first.triage.chosen


def test_an_open_formation_energy_alone_does_not_go_to_an_uncorrected_engine(screened, monkeypatch):
    campaign, derived = screened()
    candidates = [
        c.model_copy(
            update={
                "verdict": "undecided",
                "criteria": dict.fromkeys(c.criteria, "pass") | {"stays oxidised": "undecided"},
            }
        )
        for c in derived.ranking.candidates
    ]
    ranking = derived.ranking.model_copy(update={"candidates": candidates})
    assert len(decide(campaign, ranking, one_hour).chosen) == len(candidates)
    biased = EnergyScale(BETTER, None, "better", too_high_ev_per_formula=1.8)
    monkeypatch.setitem(scales._SCALES, (BETTER, "1"), biased)
    document = decide(campaign, ranking, one_hour)
    assert document.chosen == []
    assert all("does not decide: stays oxidised" in p["why"] for p in document.passed_over)


def test_energies_of_the_engine_that_decides_are_not_averaged_with_others(
    better_engine, campaign_of, open_store
):
    campaign = triaged(campaign_of, dopants=["Co", "Ca"])
    ranking = run_campaign(campaign, open_store()).ranking
    of = {candidate.dopant: candidate for candidate in ranking.candidates}
    trusted = campaign.engines[-1]
    assert set(of["Co"].rock_salt_reduction_dmu_o_ev) == {"mock", trusted}
    assert list(of["Co"].deciding_reduction_dmu_o_ev) == [trusted]
    assert list(of["Ca"].deciding_reduction_dmu_o_ev) == ["mock"]
    energy = of["Co"].rock_salt_reduction_dmu_o_ev[trusted]
    console = Console(width=200)
    with console.capture() as said:
        console.print(ranking_table(ranking))
    row = next(line for line in said.get().splitlines() if " Co " in line)
    assert f" {energy:.2f} " in row
    legend = " ".join(said.get().split())
    assert f"dHmix of Co: {trusted}" in legend or "dHmix of Ca: mock" in legend


def test_a_spent_budget_starts_nothing_more(
    better_engine, campaign_of, open_store, monkeypatch, each_at_once
):
    """Each calculation takes an hour and the estimate said a tenth: after two the budget is spent."""
    campaign = triaged(campaign_of, budget=2.0, dopants=["Co"])
    store = open_store()
    monkeypatch.setattr(run_module, "estimated_cpu_hours", lambda calculation: 0.01)

    def slow(calculation):
        document = calculate(calculation)
        hours = 1.0 if calculation.engine == BETTER else 0.0
        return document.model_copy(update={"cpu_s": 3600 * hours})

    monkeypatch.setattr(executor, "calculate", slow)
    outcome = run_campaign(campaign, store)
    assert outcome.n_unpaid == len(outcome.triage.chosen[0].keys) - 2
    assert outcome.triage.spent_cpu_hours == pytest.approx(2.0)
    assert "the budget of 2 CPU h is spent (2.00)" in outcome.remarks[0]
    assert not outcome.interrupted
    assert run_campaign(campaign, store).n_computed == 0


def test_another_budget_chooses_anew(better_engine, campaign_of, open_store):
    store = open_store()
    small = triaged(campaign_of, budget=1e-9, dopants=["Co"])
    poor = run_campaign(small, store)
    assert poor.triage.chosen == []
    assert "of the budget are left" in poor.triage.passed_over[0]["why"]
    rich = run_campaign(triaged(campaign_of, dopants=["Co"]), store)
    assert [c.dopant for c in rich.triage.chosen] == ["Co"]


def test_the_report_says_who_went_and_why(better_engine, campaign_of, open_store):
    campaign = triaged(campaign_of, dopants=["Co", "Ca"])
    outcome = run_campaign(campaign, open_store())
    section = triage_section(outcome.triage)
    assert f"Decided by {BETTER}" in section
    assert outcome.triage.chosen[0].reason in section
    assert "fails in any case" in section
    assert "Rank correlation" in section
