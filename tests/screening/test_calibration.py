"""Agreement of engines in closed form."""

import pytest

from rocksalt.screening.calibration import agreement


def test_a_constant_shift_keeps_the_order():
    reference = {"a": -1.0, "b": 0.5, "c": 2.0}
    found = agreement({k: v + 0.25 for k, v in reference.items()} | {"d": 9.0}, reference)
    assert found.n == 3
    assert found.mean_error_ev == pytest.approx(0.25)
    assert found.mean_absolute_error_ev == pytest.approx(0.25)
    assert found.largest_error_ev == pytest.approx(0.25)
    assert found.rank_correlation == pytest.approx(1.0)


def test_errors_of_both_signs():
    found = agreement({"a": 1.0, "b": 0.0, "c": -4.0}, {"a": 0.0, "b": 1.0, "c": -1.0})
    assert found.mean_error_ev == pytest.approx(-1.0)
    assert found.mean_absolute_error_ev == pytest.approx(5 / 3)
    assert found.largest_error_ev == pytest.approx(-3.0)
    # ranks 3 2 1 against 2 3 1: 1 - 6 (1 + 1 + 0) / (3 * 8)
    assert found.rank_correlation == pytest.approx(0.5)


@pytest.mark.parametrize("values", [{}, {"x": 1.0}])
def test_nothing_in_common(values):
    found = agreement(values, {"a": 1.0})
    assert found.n == 0
    assert found.mean_error_ev is None
    assert found.rank_correlation is None


@pytest.mark.parametrize("values", [{"a": 1.0, "b": 2.0}, {"a": 1.0, "b": 1.0, "c": 1.0}])
def test_no_rank_correlation(values):
    assert agreement(values, {"a": 0.0, "b": 1.0, "c": 2.0}).rank_correlation is None
