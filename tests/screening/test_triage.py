"""Who goes to the deciding engine: against ranks moved by hand and a naive enumeration."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from rocksalt.screening.criteria import combined_verdict
from rocksalt.screening.triage import Standing, triage
from rocksalt.screening.verdicts import VERDICT_ORDER

VERDICTS = ("pass", "undecided", "fail")


def standing(dopant, *verdicts, score=0.0, uncertainty=0.0):
    criteria = {f"criterion {i}": v for i, v in enumerate(verdicts)}
    return Standing(dopant, combined_verdict(*verdicts), criteria, score, uncertainty)


def test_only_those_whose_verdict_can_change():
    chosen, others = triage(
        [
            standing("Mg", "pass", "pass"),
            standing("Ti", "pass", "undecided"),
            standing("V", "undecided", "fail"),
            standing("Cr", None, "pass"),
            standing("Ru", "fail", "fail"),
        ]
    )
    assert {c.dopant for c in chosen} == {"Ti", "Cr"}
    assert {c.dopant: c.open_criteria for c in chosen} == {
        "Ti": ("criterion 1",),
        "Cr": ("criterion 0",),
    }
    assert others == {
        "Mg": "decided: every criterion passes",
        "V": "fails in any case: not criterion 1",
        "Ru": "fails in any case: not criterion 0, not criterion 1",
    }


def test_largest_change_of_rank_first():
    # passes at -0.1 and 0.1, fails at 0.0: an open one with score -0.2 can be first or, failing, third
    decided = [
        standing("Mg", "pass", score=-0.1),
        standing("Ti", "pass", score=0.1),
        standing("Ru", "fail", score=0.0),
    ]
    first = standing("V", "undecided", score=-0.2)  # first, or third (before Ru)
    last = standing("Cr", "undecided", score=0.3)  # third, or fifth: V is there too
    chosen, _ = triage([*decided, first, last])
    assert [(c.dopant, c.rank_span) for c in chosen] == [("V", 3), ("Cr", 2)]
    assert (
        chosen[0].reason == "not decided: criterion 0; by verdict and dHmix it can move by 3 places"
    )


def test_uncertainty_of_the_score_counts():
    decided = [standing("Mg", "pass", score=0.0), standing("Ru", "fail", score=0.0)]
    sure, _ = triage([*decided, standing("Ti", "undecided", score=0.05)])
    unsure, _ = triage([*decided, standing("Ti", "undecided", score=0.05, uncertainty=0.1)])
    assert (sure[0].rank_span, unsure[0].rank_span) == (1, 2)


CANDIDATES = st.lists(
    st.tuples(
        st.lists(st.sampled_from([*VERDICTS, None]), min_size=1, max_size=3),
        st.integers(-5, 5),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=6,
)


@given(CANDIDATES)
def test_against_all_ways_to_decide(rows):
    standings = [standing(f"M{i}", *v, score=s, uncertainty=u) for i, (v, s, u) in enumerate(rows)]
    chosen, others = triage(standings)
    assert {c.dopant for c in chosen} | set(others) == {s.dopant for s in standings}
    spans = {c.dopant: c.rank_span for c in chosen}
    assert [c.rank_span for c in chosen] == sorted(spans.values(), reverse=True)
    for one in standings:
        ways = itertools.product(
            *(
                ("pass", "fail") if v not in {"pass", "fail"} else (v,)
                for v in one.criteria.values()
            )
        )
        verdicts = {combined_verdict(*way) for way in ways}
        assert (one.dopant in spans) == (len(verdicts) > 1)
        if one.dopant not in spans:
            continue
        keys = [
            (VERDICT_ORDER[o.verdict], o.score_ev_per_cation) for o in standings if o is not one
        ]
        places = [
            sum(key < (VERDICT_ORDER[v], one.score_ev_per_cation + shift) for key in keys)
            for v in verdicts
            for shift in (-one.uncertainty_ev_per_cation, one.uncertainty_ev_per_cation)
        ]
        assert spans[one.dopant] == max(places) - min(places)


def test_order_of_the_candidates_does_not_matter():
    rows = [
        standing("Ti", "undecided", score=0.1),
        standing("V", "undecided", score=0.1),
        standing("Mg", "pass", score=0.0),
    ]
    expected, _ = triage(rows)
    assert all(triage(list(p))[0] == expected for p in itertools.permutations(rows))
