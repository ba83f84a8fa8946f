"""The campaign file: round trip, template, sets, what is left out."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from rocksalt.screening.elements import ELEMENT_SETS, known_cations
from rocksalt.screening.errors import RocksaltError
from rocksalt.workflows.campaign import (
    Campaign,
    campaign_from_dict,
    commented_template,
    load_campaign,
)

SOME = st.sampled_from(known_cations())
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", fullmatch=True)
CAMPAIGNS = st.fixed_dictionaries(
    {"name": NAMES, "dopants": st.lists(SOME, min_size=2, max_size=4, unique=True)},
    optional={
        "hosts": st.lists(SOME, min_size=1, max_size=3),
        "fractions": st.lists(st.sampled_from([0.25, 0.5, 0.75, 0.125]), min_size=1),
        "orderings": st.one_of(st.just("all"), st.integers(1, 50)),
        "supercell": st.sampled_from([{}, {"sqs": 0}, {"enumerated": 0}, {"sqs": 32}]),
        "engines": st.lists(st.sampled_from(["mock", "chgnet", "committee"]), min_size=1),
        "stages": st.just(["rock-salt"]),
        "temperature": st.floats(1, 5000),
        "relaxation": st.fixed_dictionaries(
            {}, optional={"fmax": st.floats(1e-3, 1), "max_evaluations": st.integers(1, 9999)}
        ),
        "thresholds": st.fixed_dictionaries({}, optional={"solubility": st.floats(0.01, 0.99)}),
        "seed": st.integers(0, 2**31),
        "store": st.sampled_from(["memory", "a b.sqlite", "mongodb://host/db"]),
    },
)


@settings(max_examples=60)
@given(data=CAMPAIGNS)
def test_a_campaign_comes_back_from_yaml(tmp_path_factory, data):
    if data.get("supercell") == {"enumerated": 0} and 0.125 not in data.get("fractions", []):
        data.pop("fractions", None)
    campaign = campaign_from_dict(data)
    path = tmp_path_factory.mktemp("campaign") / "c.yaml"
    for dumped in (data, campaign.model_dump(mode="json")):
        path.write_text(yaml.safe_dump(dumped), encoding="utf-8")
        again = load_campaign(path)
        assert again == campaign
        assert again.content_hash == campaign.content_hash


def test_the_template_holds_the_defaults(tmp_path):
    path = tmp_path / "campaign.yaml"
    path.write_text(commented_template(), encoding="utf-8")
    campaign = load_campaign(path)
    assert campaign == Campaign(name="my-screen", dopants=["Mg", "Ti", "Zn"])
    written = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert set(written) == set(Campaign.model_fields) - {"store", "entries"}
    for section in ("supercell", "relaxation", "thresholds"):
        assert written[section] == getattr(campaign, section).model_dump()
    assert all(
        "  # " in line
        for line in path.read_text(encoding="utf-8").splitlines()
        if line and not line.startswith(("#", "name"))
    )


@pytest.mark.parametrize("name", ["123", "true", "1e5", "2024-01-01", "null", "0x1f", "no", "a-b"])
def test_the_template_quotes_a_name_that_is_no_word_in_yaml(tmp_path, name):
    path = tmp_path / "campaign.yaml"
    path.write_text(commented_template(name), encoding="utf-8")
    assert load_campaign(path).name == name


def test_sets_are_written_out_each_element_once(campaign_of):
    campaign = campaign_of(dopants=["Zn", "3d", "alkaline-earth", "Zn"], hosts="Mn")
    others = [s for s in (*ELEMENT_SETS["3d"], *ELEMENT_SETS["alkaline-earth"]) if s != "Zn"]
    assert campaign.dopants == ["Zn", *others]
    assert campaign.hosts == ["Mn"]


def test_a_dopant_in_itself_is_left_out_and_said(campaign_of):
    campaign = campaign_of(dopants=["Mn", "Mg"], hosts=["Mn", "Ni"])
    assert campaign.pairs == [("Mn", "Ni"), ("Mg", "Mn"), ("Mg", "Ni")]
    assert campaign.screened == ["Mn", "Mg"]
    assert campaign.notes == ["Mn in MnO is left out: dopant and host are the same"]
    alone = campaign_of(dopants=["Mn", "Mg"])
    assert alone.screened == ["Mg"]
    assert alone.cations == ["Mn", "Mg"]


def test_single_values_stand_for_lists(campaign_of):
    campaign = campaign_of(dopants="Mg", hosts="Mn", fractions=0.5, engines="mock")
    assert campaign.fractions == [0.5]
    assert campaign.engines == ["mock"]


def test_fractions_are_sorted_and_each_there_once(campaign_of):
    assert campaign_of(fractions=[0.75, 0.25, 0.75]).fractions == [0.25, 0.75]


def test_the_committee_is_every_potential_that_pip_brings(campaign_of):
    engines = campaign_of(engines=["committee", "chgnet"]).engines
    assert "mock" not in engines
    assert len(engines) == len(set(engines)) == 6


def test_the_hash_depends_on_all_but_the_store(campaign_of):
    first = campaign_of()
    assert campaign_of(store="elsewhere.sqlite").content_hash == first.content_hash
    changes = [
        {"dopants": ["Mg"]},
        {"hosts": ["Ni"]},
        {"fractions": [0.5]},
        {"temperature": 301},
        {"seed": 1},
        {"orderings": 1},
        {"relaxation": {"fmax": 0.03}},
        {"thresholds": {"solubility": 0.3}},
        {"supercell": {"enumerated": 8, "sqs": 0}},
    ]
    hashes = {campaign_of(**change).content_hash for change in changes}
    assert len(hashes | {first.content_hash}) == len(changes) + 1


def test_the_hash_depends_on_the_section_of_a_stage_that_is_asked_for(campaign_of):
    def hash_of(stages, **section):
        changed = campaign_of(engines=["mock"], stages=stages, electronic_structure=section)
        return changed.content_hash

    without, asked = ["rock-salt"], ["rock-salt", "electronic-structure"]
    assert hash_of(without) == hash_of(without, window_ev=2.0)
    assert hash_of(asked) != hash_of(asked, window_ev=2.0)


@pytest.mark.parametrize("size", [27, 32])
def test_an_enumeration_that_never_ends_is_refused(campaign_of, size):
    fractions = [round(13 / size, 12)] if size == 27 else [0.5]
    with pytest.raises(RocksaltError, match=f"supercell.enumerated: {size} cations can be"):
        campaign_of(fractions=fractions, supercell={"enumerated": size, "sqs": 0})
    campaign_of(fractions=[1 / size], supercell={"enumerated": size, "sqs": 0})


@pytest.mark.parametrize(
    "wrong",
    [{"temperature": True}, {"dopants": ["Mg", False]}, {"supercell": {"sqs": True}}],
)
def test_yes_and_no_are_no_numbers(campaign_of, wrong):
    """YAML reads No, nobelium, as false, and pydantic takes true for 1."""
    with pytest.raises(RocksaltError, match="true or false") as raised:
        campaign_of(**wrong)
    assert next(iter(wrong)) in str(raised.value)
