"""Campaigns without mixtures: formation energies by engine, and nothing that stumbles over the gap."""

import csv
import io
import json

import pytest

from rocksalt.workflows.plan import make_plan

NO_MIXTURES = {
    "dopants": ["Mg", "Ti", "Mn"],
    "hosts": ["Mn"],
    "fractions": [],
    "supercell": {"enumerated": 0, "sqs": 0},
}


@pytest.fixture
def finished(cli, campaign_file, terminal):
    terminal()
    path = campaign_file(**NO_MIXTURES)
    ran = cli("run", path, "--store", "none.sqlite")
    assert ran.code == 0, ran.err
    return ran


def test_only_elements_oxygen_and_rock_salts_are_planned(campaign_of):
    plan = make_plan(campaign_of(**NO_MIXTURES))
    assert {c.role for c in plan.calculations.values()} == {"element", "oxygen", "end-member"}
    assert {len(c.structure) for c in plan.calculations.values() if c.role == "end-member"} == {2}


def test_the_plan_says_so(cli, campaign_file):
    said = cli("check", campaign_file(**NO_MIXTURES), "--store", "memory")
    assert said.code == 0
    assert "no mixtures" in said.out


def test_the_table_is_of_formation_energies(cli, finished):
    lines = finished.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert "mock" in lines[0] + lines[1]
    assert "dHmix" not in finished.out
    values = json.loads(cli("results", "--store", "none.sqlite", "--format", "json").out)
    assert {c["dopant"] for c in values["candidates"]} == {"Mg", "Ti", "Mn"}
    for found in values["candidates"]:
        energy = found["rock_salt_reduction_dmu_o_ev"]["mock"]
        row = next(line for line in lines if f" {found['dopant']} " in line)
        assert row.split()[-1] == f"{energy:.2f}"
    assert cli("results", "--store", "none.sqlite").out.startswith(finished.out[:200])


def test_reasons_can_be_asked_for(cli, finished):
    said = cli("results", "--store", "none.sqlite", "--reasons").out
    assert "1. " in said
    assert "MnO" in said


def test_csv_and_report(cli, finished, tmp_path):
    rows = list(
        csv.DictReader(io.StringIO(cli("results", "--store", "none.sqlite", "--format", "csv").out))
    )
    assert {r["dopant"] for r in rows} >= {"Mg", "Ti"}
    assert all(r["mixing_enthalpy_ev_per_cation"] == "" for r in rows)
    report = cli("report", "--store", "none.sqlite", "-o", tmp_path / "report.html")
    assert report.code == 0, report.err
    assert "Mg" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_with_hulls(cli, campaign_file):
    ran = cli(
        "run", campaign_file(**NO_MIXTURES, stages=["rock-salt", "hull"]), "--store", "memory"
    )
    assert ran.code in {0, 1}, ran.err
    assert "Mg" in ran.out


def test_several_engines_stand_in_columns():
    """Each with its own value, and a dash where there is none."""
    from rich.console import Console

    from rocksalt.stores.documents import CandidateDoc, RankingDoc
    from rocksalt.workflows.engines import get_engine
    from rocksalt.workflows.tables import formation_table

    names = ["chgnet", "sevennet-0", "gpaw:balanced"]
    engines = {
        name: {
            "version": "1",
            "energy_scale": get_engine(name).scale.name,
            "correction": get_engine(name).scale.correction,
            "description": "",
        }
        for name in names
    }
    candidate = CandidateDoc.model_construct(
        rank=1,
        dopant="Ti",
        verdict="undecided",
        reasons=[],
        rock_salt_reduction_dmu_o_ev={"chgnet": -5.391, "gpaw:balanced": -4.807},
        criteria={"stays oxidised": "pass"},
        hosts={},
    )
    ranking = RankingDoc.model_construct(
        campaign="c",
        engines=engines,
        counts={"done": 3, "calculations": 3},
        candidates=[candidate],
        hosts=[],
        temperature_k=300.0,
        rules=[],
    )
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(formation_table(ranking))
    text = console.export_text()
    row = next(line for line in text.splitlines() if " Ti " in line)
    assert row.split() == ["1", "Ti", "pass", "-5.39", "–", "-4.81"]
    words = " ".join(text.split())
    assert "chgnet, sevennet-0: MP2020; gpaw:balanced: PBE (gpaw, balanced)" in words
