"""Criteria beyond mixing: verdicts at their borders, what the words hold, Pareto fronts."""

from __future__ import annotations

import itertools
import re
from statistics import fmean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rocksalt.screening.criteria import (
    Criterion,
    WindowEdges,
    assess_above_hull,
    assess_retention,
    assess_window,
    combined_verdict,
    pareto_fronts,
    stage_rules,
)
from rocksalt.screening.verdicts import VERDICT_ORDER, Thresholds

THRESHOLDS = Thresholds()
# Thresholds and uncertainties whose sums and differences are exact.
BINARY = Thresholds(
    window_uncertainty_ev=0.25,
    above_hull_ev_per_atom=0.5,
    above_hull_uncertainty_ev_per_atom=0.25,
    oxygen_retention_ev=-0.5,
    oxygen_retention_uncertainty_ev=0.25,
)
STEP = 2.0**-20
STAGES = ["rock-salt", "hull", "lithium-deficient", "oxygen-vacancy"]


# The host's window ----------------------------------------------------------------------------


def edges(metal_below):
    """Return a dopant that is metal below this, in a window of the host from -4 to -2.5 eV."""
    return WindowEdges(-4.0, -2.5, metal_below)


OXIDE, METAL, BETWEEN = edges(-5.0), edges(-1.0), edges(-3.0)


@pytest.mark.parametrize(
    ("computed", "measured", "verdict"),
    [
        ({"a": OXIDE}, None, "pass"),
        ({"a": OXIDE, "b": OXIDE}, OXIDE, "pass"),
        ({"a": edges(-4.0 - 0.25 - STEP)}, None, "pass"),
        ({"a": edges(-4.0 - 0.25)}, None, "undecided"),
        ({"a": edges(-4.0)}, None, "undecided"),
        ({"a": BETWEEN}, None, "undecided"),
        ({"a": OXIDE, "b": METAL}, None, "undecided"),
        ({"a": METAL}, OXIDE, "undecided"),
        ({"a": OXIDE}, BETWEEN, "undecided"),
        ({"a": edges(-2.5 + 0.25)}, None, "undecided"),
        ({"a": edges(-2.5 + 0.25 + STEP)}, None, "fail"),
        ({"a": METAL, "b": METAL}, METAL, "fail"),
        ({"a": None}, METAL, "undecided"),  # an engine without an answer is no agreement
        ({"a": None, "b": OXIDE}, None, "undecided"),
        ({}, METAL, "undecided"),
        ({}, None, "undecided"),
    ],
)
def test_window(computed, measured, verdict):
    found = assess_window("Ru", "Mn", computed, measured, BINARY)
    assert found.verdict == verdict
    assert "Ru" in found.reason
    assert "MnO is stable" in found.reason
    assert (found.value, found.uncertainty) == (None, None)
    assert ("not computed" in found.reason) == (not computed)


def test_the_words_on_a_window_name_every_source():
    said = assess_window("Ru", "Mn", {"a": BETWEEN, "b": None, "c": OXIDE}, METAL, BINARY).reason
    assert (
        "a: metal below -3.00, MnO from -4.00 to -2.50 eV; b: MnO is not stable; c: metal" in said
    )
    assert said.endswith(
        "measured: metal below -1.00, MnO from -4.00 to -2.50 eV; edges ± 0.25 eV in dmu_O)"
    )
    assert "stays oxidised" in assess_window("Ru", "Mn", {"a": OXIDE}, None, BINARY).reason
    assert "is metal wherever" in assess_window("Ru", "Mn", {"a": METAL}, None, BINARY).reason


@pytest.mark.parametrize(("value", "verdict"), [(0.0, "pass"), (1.0, "undecided")])
def test_uncorrected_energies_do_not_put_a_mixture_too_far_above_the_hull(value, verdict):
    given = ("Ru", "Mn", 0.25, {"gpaw:fast": value}, Thresholds())
    found = assess_above_hull(*given, may_be_too_high=True)
    assert found.verdict == verdict
    assert "uncorrected" in found.reason
    assert assess_above_hull(*given).verdict == ("pass" if verdict == "pass" else "fail")


def test_uncorrected_engines_do_not_tell_about_a_window():
    found = assess_window("Ru", "Mn", {}, None, BINARY, ["gpaw:balanced"])
    assert found.verdict == "undecided"
    assert "gpaw:balanced are uncorrected" in found.reason
    left = assess_window("Ru", "Mn", {}, METAL, BINARY, ["gpaw:balanced"])
    assert left.verdict == "fail"
    assert "measured: metal below" in left.reason


# Numbers with a threshold and an uncertainty --------------------------------------------------


@pytest.mark.parametrize(
    ("value", "verdict"),
    [
        (-0.1, "pass"),
        (0.0, "pass"),
        (0.25 - STEP, "pass"),
        (0.25, "undecided"),
        (0.5, "undecided"),
        (0.75, "undecided"),
        (0.75 + STEP, "fail"),
        (2.0, "fail"),
    ],
)
def test_above_hull_at_its_borders(value, verdict):
    found = assess_above_hull("Ru", "Mn", 0.25, {"a": value}, BINARY)
    assert found.verdict == verdict
    assert (found.value, found.uncertainty) == (value, 0.25)


@pytest.mark.parametrize(
    ("value", "verdict"),
    [
        (1.0, "pass"),
        (-0.25 + STEP, "pass"),
        (-0.25, "undecided"),
        (-0.5, "undecided"),
        (-0.75, "undecided"),
        (-0.75 - STEP, "fail"),
        (-3.0, "fail"),
    ],
)
def test_retention_at_its_borders(value, verdict):
    found = assess_retention("Ti", {"a": value}, BINARY)
    assert found.verdict == verdict
    assert (found.value, found.uncertainty) == (value, 0.25)


def above_hull(values, thresholds=THRESHOLDS):
    return assess_above_hull("Ru", "Mn", 0.25, dict(enumerate(values)), thresholds)


def retention(values, thresholds=THRESHOLDS):
    return assess_retention("Ti", dict(enumerate(values)), thresholds)


@pytest.mark.parametrize(
    ("assess", "floor"),
    [
        (above_hull, THRESHOLDS.above_hull_uncertainty_ev_per_atom),
        (retention, THRESHOLDS.oxygen_retention_uncertainty_ev),
    ],
)
@given(values=st.lists(st.floats(-1, 1), min_size=1, max_size=4))
def test_mean_and_spread_over_engines(assess, floor, values):
    found = assess(values)
    assert found.value == pytest.approx(fmean(values))
    spread = stdev(values) if len(values) > 1 else 0.0
    assert found.uncertainty == pytest.approx(max(floor, spread))


def test_a_wide_spread_decides_nothing():
    assert above_hull([0.0]).verdict == above_hull([0.0, 0.01]).verdict == "pass"
    assert above_hull([-0.2, 0.2]).verdict == "undecided"
    assert above_hull([0.3, 0.31]).verdict == "fail"
    assert above_hull([0.02, 0.62]).verdict == "undecided"
    assert retention([0.0]).verdict == "pass"
    assert retention([-0.6, 0.6]).verdict == "undecided"
    assert retention([-0.6, -0.6]).verdict == "fail"


@given(values=st.lists(st.floats(-1, 1), min_size=1, max_size=3), shift=st.floats(0, 1, width=16))
def test_better_numbers_are_never_judged_worse(values, shift):
    def order(criterion):
        return VERDICT_ORDER[criterion.verdict]

    higher = [v + shift for v in values]
    assert order(above_hull(values)) <= order(above_hull(higher))
    assert order(retention(higher)) <= order(retention(values))


def test_what_was_asked_for_and_not_computed_is_undecided():
    for found in (above_hull([]), retention([])):
        assert found == Criterion("undecided", found.reason)
        assert "not computed" in found.reason
    assert above_hull([]).reason.startswith("hull of Ru-Mn-O")
    assert "Ti" in retention([]).reason


def test_the_words_hold_number_uncertainty_and_threshold():
    assert above_hull([0.163]).reason == (
        "Ru0.25Mn0.75O lies 163 ± 30 meV per atom above the hull; 70 are allowed"
    )
    assert retention([0.5, 1.0]).reason == (
        "the lowest vacancy energy changes by +0.75 ± 0.35 eV with Ti; -0.2 eV are allowed"
    )
    other = Thresholds(above_hull_ev_per_atom=0.0125, oxygen_retention_ev=0.3)
    assert "12.5 are allowed" in above_hull([0.0], other).reason
    assert "0.3 eV are allowed" in retention([0.0], other).reason


# Rules ------------------------------------------------------------------------------------------


def test_rules_of_the_stages_that_there_are():
    assert stage_rules(THRESHOLDS, ["rock-salt"]) == []
    assert stage_rules(THRESHOLDS, ["rock-salt", "lithium-deficient"]) == []
    hull = stage_rules(THRESHOLDS, ["rock-salt", "hull"])
    vacancy = stage_rules(THRESHOLDS, ["oxygen-vacancy"])
    both = stage_rules(THRESHOLDS, STAGES)
    assert len(hull) == 3
    assert len(vacancy) == 2
    assert hull[-1] == vacancy[-1] == both[-1]
    assert both == [*hull[:-1], *vacancy]


def test_thresholds_appear_in_the_rules():
    thresholds = Thresholds(
        window_uncertainty_ev=0.654,
        above_hull_ev_per_atom=0.0123,
        above_hull_uncertainty_ev_per_atom=0.0456,
        oxygen_retention_ev=-0.789,
        oxygen_retention_uncertainty_ev=0.321,
    )
    text = " ".join(stage_rules(thresholds, STAGES))
    for words in ("12.3 meV per atom", "at least 45.6 meV", "-0.789 eV", "at least 0.321 eV"):
        assert words in text
    numbers = re.compile(r"\d+\.\d+")
    assert set(numbers.findall(text)) == {"0.654", "12.3", "45.6", "0.789", "0.321"}


def test_one_that_fails_fails_and_all_must_pass():
    for verdicts in itertools.product(["pass", "undecided", "fail", None], repeat=3):
        computed = [v for v in verdicts if v is not None]
        wanted = "pass" if computed and set(computed) == {"pass"} else "undecided"
        wanted = "fail" if "fail" in computed else wanted
        assert combined_verdict(*verdicts) == wanted


def test_nothing_combined_is_undecided():
    assert combined_verdict() == "undecided"


# Pareto fronts ----------------------------------------------------------------------------------

# Few values, so that many are equal.
POINTS = st.integers(0, 3).flatmap(
    lambda n: st.lists(st.lists(st.integers(-2, 2), min_size=n, max_size=n), max_size=9)
)


def surpasses(one, other):
    pairs = list(zip(one, other, strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def longest_chains(points):
    """Return for each point how many there are in the longest chain of better ones that ends in it."""
    return [
        1 + max(longest_chains([q for q in points if surpasses(q, p)]), default=0) for p in points
    ]


@given(points=POINTS)
def test_fronts_are_the_longest_chain_of_better_ones(points):
    assert pareto_fronts(points) == longest_chains(points)


@given(points=POINTS, data=st.data())
def test_fronts_do_not_depend_on_the_order(points, data):
    order = data.draw(st.permutations(range(len(points))))
    fronts = pareto_fronts(points)
    assert pareto_fronts([points[i] for i in order]) == [fronts[i] for i in order]


@given(points=POINTS)
def test_no_front_is_empty(points):
    fronts = pareto_fronts(points)
    assert set(fronts) == set(range(1, max(fronts, default=0) + 1))


@given(points=st.lists(st.tuples(st.floats(-5, 5), st.floats(-5, 5)), max_size=8))
def test_units_do_not_matter(points):
    # powers of two keep every comparison
    assert pareto_fronts(points) == pareto_fronts([(4 * a, b / 8) for a, b in points])


def test_one_objective_is_an_order_and_none_is_a_tie():
    assert pareto_fronts([[3.0], [1.0], [2.0], [1.0]]) == [3, 1, 2, 1]
    assert pareto_fronts([[], [], []]) == [1, 1, 1]
    assert pareto_fronts([]) == []
    assert pareto_fronts([[1.0, 2.0]]) == [1]
    assert pareto_fronts([(0, 1), (1, 0), (1, 1), (2, 2)]) == [1, 1, 2, 3]
