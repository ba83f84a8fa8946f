"""What a sample may be told."""

import pytest
from pydantic import ValidationError

from rocksalt.analysis.sample import Sample


@pytest.mark.parametrize("formula", ["LiFoo", "Li1.2Mn-0.6O2", "", "12", "X"])
def test_a_composition_that_is_no_formula_is_refused(formula):
    with pytest.raises(ValidationError, match="is no formula: give one as Li"):
        Sample(name="cell", composition=formula)


@pytest.mark.parametrize("formula", ["Li1.2Mn0.6Ni0.2O2", "Li(Ni0.5Mn0.5)O2", "MnO2", None])
def test_a_composition_is_kept_as_it_is_written(formula):
    assert Sample(name="cell", composition=formula).composition == formula
