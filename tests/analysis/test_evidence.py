"""The rules by which a measurement agrees with a prediction, case by case."""

import pytest

from rocksalt.analysis.evidence import expected_state, judge
from rocksalt.analysis.quantities import Quantity

STAYS = {"stays oxidised": "pass", "oxide in MnO window": "pass", "mixes with MnO": "fail"}
METAL = {"stays oxidised": "pass", "oxide in MnO window": "fail", "mixes with MnO": "fail"}
OPEN = {"stays oxidised": "undecided", "mixes with MnO": "fail"}


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        (STAYS, "oxide"),
        (METAL, "metal"),
        ({"stays oxidised": "fail"}, "metal"),
        (OPEN, None),
        ({"mixes with MnO": "pass"}, None),
        ({}, None),
    ],
)
def test_expected_state(criteria, expected):
    assert expected_state(criteria) == expected


@pytest.mark.parametrize(
    ("criteria", "valence", "relation"),
    [
        (METAL, (0.1, 0.2), "consistent"),
        (METAL, (2.1, 0.2), "contradicts"),
        (STAYS, (2.1, 0.2), "consistent"),
        (STAYS, (0.1, 0.2), "contradicts"),
        (STAYS, (1.3, 0.2), "silent"),  # within two uncertainties of the border
        (STAYS, (3.0, None), "silent"),
        (OPEN, (0.1, 0.1), "silent"),
    ],
)
def test_valence_at_the_edge_of_the_dopant(criteria, valence, relation):
    values = {"mean_valence": Quantity(*valence, "1")}
    found = judge("Ru", criteria, "xanes", "Ru K", values)
    assert found.relation == relation
    assert f"{valence[0]:.2f}" in found.why


@pytest.mark.parametrize(
    ("technique", "edge", "values", "words"),
    [
        ("cycling", None, {}, "no rule relates cycling"),
        ("xanes", "Mn K", {"mean_valence": Quantity(0.1, 0.1, "1")}, "edge Mn K, not Ru's"),
        ("xanes", None, {"mean_valence": Quantity(0.1, 0.1, "1")}, "not Ru's"),
        ("xanes", "Ru K", {}, "no mean valence"),
    ],
)
def test_what_says_nothing_is_silent(technique, edge, values, words):
    found = judge("Ru", METAL, technique, edge, values)
    assert found.relation == "silent"
    assert words in found.why
