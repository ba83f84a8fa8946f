"""Engines by name."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
from atomate2.forcefields.utils import MLFF

from rocksalt.screening.errors import RocksaltError
from rocksalt.workflows import engines
from rocksalt.workflows.engines import (
    COMMITTEE,
    Engine,
    engine_names,
    expand_engines,
    get_calculator,
    get_engine,
)


@pytest.mark.parametrize("name", [n for n in engine_names() if n != "committee"])
def test_own_engines(name):
    engine = get_engine(name)
    assert engine.name == name
    assert engine.model_version in engine.version
    assert "scale not known" not in engine.scale.description
    if engine.module is None or find_spec(engine.module):
        engine.check_installed()


def test_short_names_and_the_committee_are_written_out_once():
    assert expand_engines(["sevennet-mf-0", "sevennet-mf-0:PBE"]) == ["sevennet-mf-0:pbe"]
    assert expand_engines(["chgnet", "committee"]) == list(COMMITTEE)
    assert "mock" not in COMMITTEE


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("chgnt", "did you mean 'chgnet'"),
        ("MACE-MP0", "did you mean 'MACE-MP"),
        ("qqqqqqqq", "known: chgnet,"),
        ("Forcefield", "known: chgnet,"),
    ],
)
def test_an_unknown_engine_names_the_nearest(name, hint):
    with pytest.raises(RocksaltError, match=f"engine '{name}' is not known: .*{hint}") as error:
        get_engine(name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", sorted({m.value for m in MLFF} - {"Forcefield"}))
def test_force_fields_of_atomate2_say_how_to_install_them(name):
    engine = get_engine(name)
    assert engine.scale.description.startswith("scale not known")
    if find_spec(engine.module) is None:
        with pytest.raises(RocksaltError, match=f"{name}' needs the package .*: pip install "):
            engine.check_installed()
        with pytest.raises(RocksaltError, match="pip install"):
            get_calculator(name)


def test_two_unknown_scales_are_not_one():
    assert get_engine("MACE-MP-0").scale != get_engine("MACE-MPA-0").scale


def test_a_calculator_is_made_once():
    assert get_calculator("mock") is get_calculator("mock")


def test_weights_that_cannot_be_loaded_are_one_line(monkeypatch):
    def make():
        raise OSError("weights:\nno route to host")

    broken = Engine("broken", "1", None, None, make)
    monkeypatch.setitem(engines._OWN, "broken", broken)
    get_engine.cache_clear()
    try:
        with pytest.raises(RocksaltError, match="'broken' cannot be loaded: OSError: weights: no "):
            get_calculator("broken")
    finally:
        get_engine.cache_clear()
