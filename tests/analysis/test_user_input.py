"""YAML's truth values and infinities in experiment files: refused where a number is meant."""

import math
from typing import get_args

import pytest
import yaml
from pydantic import ValidationError

from rocksalt.analysis.readers.gas import GasColumn
from rocksalt.analysis.sample import Sample
from rocksalt.analysis.techniques import TECHNIQUES, get_technique

MODELS = {name: get_technique(name).Options for name in TECHNIQUES} | {
    "sample": Sample,
    "gas": GasColumn,
}
FIELDS = [(name, field) for name, model in MODELS.items() for field in model.model_fields]
TRUTH_VALUES = {"fit_zero", "offset", "holes_are_surface", "align", "flatten"}
TRUTH_VALUES |= {"together", "same_width"}


def said_of(name, field, value):
    """Return what is said of one field of a model."""
    try:
        MODELS[name](**{field: value})
    except ValidationError as error:
        return [each["msg"] for each in error.errors() if each["loc"][0] == field]
    return []


@pytest.mark.parametrize("value", ["yes", "true", "no"])
def test_yes_and_no_are_truth_values_and_nothing_else(value):
    loaded = yaml.safe_load(value)
    assert isinstance(loaded, bool)
    for name, field in FIELDS:
        said = said_of(name, field, loaded)
        if field in TRUTH_VALUES:
            assert not said, (name, field)
        else:
            assert "true or false (yes or no)" in said[0], (name, field)


@pytest.mark.parametrize("value", [".inf", "-.inf", ".nan"])
def test_no_option_is_infinite(value):
    loaded = yaml.safe_load(value)
    assert not math.isfinite(loaded)
    for name, field in FIELDS:
        assert "not a finite number" in said_of(name, field, loaded)[0], (name, field)


@pytest.mark.parametrize("text", ["inf", "nan", "1e999"])
def test_words_that_python_takes_for_infinities_are_none(text):
    checked = 0
    for name, field in FIELDS:
        model = MODELS[name]
        kinds = (model.model_fields[field].annotation,)
        if float in kinds + get_args(kinds[0]) and str not in get_args(kinds[0]):
            assert said_of(name, field, text), (name, field)
            checked += 1
    assert checked > 30


@pytest.mark.parametrize(
    ("name", "options", "place"),
    [
        ("xrd", "windows: {'003': [yes, 19]}", "at 003.0"),
        ("xrd", "windows: {'003': [18, .inf]}", "at 003.1"),
        ("dems", "gases: {O2: {column: m32, unit: nA, sensitivity_c_per_mol: yes}}", "at O2.sens"),
        ("dems", "gases: {NO: {column: m30, unit: nmol/s}}", "at False"),  # YAML's nitric oxide
        ("xanes", "valences: {MnO: yes}", "at MnO"),
        ("geis", "spectra: [{file: b.csv, potential_v: .nan}]", "at 0.potential_v"),
        ("raman", "components: {A1g: {position: 590, width: [5, yes]}}", "at A1g.width.1"),
    ],
)
def test_options_within_options_are_named(name, options, place):
    ((field, value),) = yaml.safe_load(options).items()
    (said,) = said_of(name, field, value)
    assert place in said
