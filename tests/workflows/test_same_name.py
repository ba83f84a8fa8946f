"""Two campaigns of one name."""

from __future__ import annotations

import pytest

from rocksalt.screening.errors import RocksaltError
from rocksalt.stores.records import load_document, save
from rocksalt.workflows.run import run_campaign
from rocksalt.workflows.same_name import differences, refuse_other_content

FEW = {"dopants": ["Mg"], "fractions": [0.5]}


def test_other_content_needs_a_word(cli, campaign_file):
    assert cli("run", campaign_file(**FEW)).code == 0
    other = campaign_file("other.yaml", dopants=["Ti"], fractions=[0.5], temperature=400)
    answer = cli("run", other)
    assert answer.code == 2
    assert answer.err.count("\n") == 1
    for fragment in (
        "campaign 'small' is in the store with other content",
        "dopants: Mg, now Ti",
        "temperature: 300.0, now 400.0",
        "another name",
        "--replace",
    ):
        assert fragment in answer.err
    assert "Mg" in cli("results", "--format", "csv").out
    answer = cli("run", other, "--replace")
    assert answer.code == 0
    assert "0 reused" not in answer.err  # the host's own calculations are shared
    assert "Mg" not in cli("results", "--format", "csv").out


def test_the_same_content_in_other_words_is_the_same(cli, campaign_file):
    assert cli("run", campaign_file(**FEW)).code == 0
    assert cli("run", campaign_file("two.yaml", **FEW, temperature=300)).code == 0
    elsewhere = campaign_file("three.yaml", **FEW, store="results.sqlite")
    assert cli("run", elsewhere).code == 0


def test_a_key_that_an_older_version_did_not_know(campaign_of, open_store):
    from rocksalt.stores.documents import CampaignDoc

    store, campaign = open_store(), campaign_of(**FEW)
    run_campaign(campaign, store)
    document = CampaignDoc.model_validate(load_document(store, "campaign-small"))
    del document.settings["temperature"]
    document.content_hash = "of an older version"
    save(store, "campaign-small", "campaign", document, "small", campaign="small")
    refuse_other_content(store, campaign)
    document.settings["wibble"] = 1
    save(store, "campaign-small", "campaign", document, "small", campaign="small")
    with pytest.raises(RocksaltError, match="wibble: 1, now None"):
        refuse_other_content(store, campaign)


def test_differences_reach_into_mappings_and_are_short():
    stored = {"a": {"b": 1, "c": 2}, "d": [1, 2], "e": "x" * 100}
    new = {"a": {"b": 1, "c": 3}, "d": [1], "e": "y"}
    assert differences(stored, new) == [
        "a.c: 2, now 3",
        "d: 1, 2, now 1",
        f"e: {'x' * 60} ..., now y",
    ]
    assert differences(new, new) == []
