"""The command line: what it prints, in which form, with which exit code."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pytest
import yaml

from rocksalt.stores.records import calculation_record, save_many
from rocksalt.workflows.calculate import failed_document
from rocksalt.workflows.campaign import load_campaign
from rocksalt.workflows.plan import make_plan


@pytest.fixture
def finished(cli, tmp_path, finished_file):
    shutil.copy(finished_file, tmp_path / "results.sqlite")
    return cli


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def narrow(text):
    assert text
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    return text


def test_version_and_help(cli):
    assert cli("--version").out.startswith("rocksalt 0.")
    assert cli("--debug", "--version").out.startswith("rocksalt 0.")
    answer = cli("--help")
    assert answer.code == 0
    for command in ("init", "check", "run", "status", "results", "query", "report"):
        assert command in answer.out
        assert "Example: rocksalt" in cli(command, "--help").out


def test_init_check_run(cli, tmp_path):
    assert cli("init", "first.yaml").code == 0
    file = tmp_path / "first.yaml"
    assert load_campaign(file).name == "first"
    settings = yaml.safe_load(file.read_text()) | {
        "dopants": ["Mg"],
        "hosts": ["Mn"],
        "engines": ["mock"],
        "supercell": {"enumerated": 4, "sqs": 0},
    }
    file.write_text(yaml.safe_dump(settings))
    answer = cli("check", "first.yaml")
    assert answer.code == 0
    assert "16 calculations, 16 to do, store results.sqlite" in narrow(answer.out)
    assert not (tmp_path / "results.sqlite").exists()
    assert cli("run", "first.yaml").code == 0
    assert "16 calculations, 0 to do" in cli("check", "first.yaml").out


@pytest.mark.parametrize("name", ["123", "true", "a" * 120, "über den Berg", "-x-", "2024-01-01"])
def test_init_makes_a_valid_file_of_any_name(cli, tmp_path, name):
    file = tmp_path / f"{name}.yaml"
    assert cli("init", file).code == 0
    assert load_campaign(file).dopants == ["Mg", "Ti", "Zn"]


def test_run_says_what_it_did_and_prints_the_ranking(cli, campaign_file, terminal):
    terminal()
    answer = cli("run", campaign_file().name)
    assert answer.code == 0
    assert "24 calculations, 0 in the store, 24 to do" in answer.err
    assert "small: 24 calculations done now, 0 reused, 0 failed, 24 in all" in answer.err
    assert "24 of 24 calculations done." in " ".join(narrow(answer.out).split())
    again = cli("run", campaign_file().name)
    assert again.out == answer.out
    assert "small: 0 calculations done now, 24 reused" in again.err
    assert cli("results").out == answer.out


def test_what_is_left_out_is_said(cli, campaign_file):
    file = campaign_file(dopants=["Mn", "Mg"], fractions=[0.5])
    note = "note: Mn in MnO is left out: dopant and host are the same"
    assert note in cli("check", file.name).out
    assert note in cli("run", file.name, "--store", "memory").err


def test_failures_are_listed_kept_and_exit_with_1(cli, campaign_file):
    file = campaign_file(relaxation={"max_evaluations": 4}).name
    answer = cli("run", file, "--format", "json")
    assert answer.code == 1
    rejected = json.loads(answer.out)["counts"]["rejected"]
    assert 0 < len(rejected) < 24
    for entry in rejected:
        assert "not converged after 4 evaluations" in entry["why"]
        assert f"failed: {entry['what']}: {entry['why']}" in answer.err.splitlines()
    again = cli("run", file, "--format", "json")
    assert again.code == 1
    assert "0 calculations done now, 24 reused" in again.err
    assert json.loads(again.out)["counts"]["rejected"] == rejected
    retried = cli("run", file, "--retry-failed")
    assert retried.code == 1
    assert f"{len(rejected)} calculations done now, {24 - len(rejected)} reused" in retried.err
    assert f"{len(rejected)} failed" in " ".join(retried.out.split())
    status = cli("status").out
    assert f"failed: {rejected[0]['what']}: {rejected[0]['why']}" in status
    assert len(rows_of(cli("query", "--state", "failed", "--format", "csv").out)) == len(rejected)


def test_a_reason_with_brackets_is_printed_as_it_is(finished, campaign_of, open_store, tmp_path):
    calculation = next(iter(make_plan(campaign_of()).calculations.values()))
    document = failed_document(calculation, "lost [/bold] and [red] :smile: in [Errno 5]")
    store = open_store(tmp_path / "results.sqlite")
    save_many(store, [calculation_record(document)])
    answer = finished("status")
    assert answer.code == 0
    assert "lost [/bold] and [red] :smile: in [Errno 5]" in answer.out


CANDIDATE = {
    "rank",
    "dopant",
    "verdict",
    "reasons",
    "rock_salt_formation_energy_ev_per_formula",
    "rock_salt_reduction_dmu_o_ev",
    "metal_in_host_window",
    "mixing",
    "uncertainty_ev",
    "evidence",
}
MIXING = {
    "enthalpy_ev_per_cation",
    "uncertainty_ev_per_cation",
    "solubility_limit",
    "critical_temperature_k",
    "temperature_k",
    "verdict",
}


def test_results_as_json(finished):
    result = json.loads(finished("results", "small", "--format", "json").out)
    assert {"campaign", "engines", "counts", "candidates"} <= set(result)
    assert result["campaign"] == "small"
    assert {"version", "energy_scale"} <= set(result["engines"]["mock"])
    assert result["counts"]["calculations"] == 24
    assert result["counts"]["reused"] == 24
    assert result["counts"]["rejected"] == []
    assert [c["rank"] for c in result["candidates"]] == [1, 2]
    assert {c["dopant"] for c in result["candidates"]} == {"Mg", "Ti"}
    for candidate in result["candidates"]:
        assert set(candidate) >= CANDIDATE
        assert candidate["verdict"] in {"pass", "undecided", "fail"}
        formation = candidate["rock_salt_formation_energy_ev_per_formula"]["mock"]
        assert set(formation) == {"raw", "corrected"}
        assert formation["raw"] < 0
        assert formation["corrected"] is None  # there is no such scale for this engine
        assert candidate["rock_salt_reduction_dmu_o_ev"]["mock"] == formation["raw"]
        assert candidate["metal_in_host_window"] == {
            "Mn": {"computed": {"mock": None}, "measured": None}
        }
        mixing = candidate["mixing"]["Mn"]["mock"]
        assert set(mixing) == MIXING
        assert mixing["verdict"] in {"mixes", "undecided", "separates"}
        assert [p["fraction"] for p in mixing["enthalpy_ev_per_cation"]] == [0.25, 0.5, 0.75]
        assert all({"value", "spread"} <= set(p) for p in mixing["enthalpy_ev_per_cation"])
        assert candidate["evidence"] == []


@pytest.fixture
def half_done(cli, campaign_file, campaign_of, open_store, tmp_path, each_at_once):
    """Leave a store with the references only: no mixture is there."""
    from rocksalt.workflows.run import run_campaign

    campaign = campaign_of()
    n = sum(c.role != "mixture" for c in make_plan(campaign).calculations.values())
    done = []
    run_campaign(
        campaign,
        open_store(tmp_path / "results.sqlite"),
        stopping=lambda: len(done) >= n,
        on_result=done.append,
    )
    return cli


def test_what_was_not_computed_is_null_never_zero(half_done, terminal):
    result = json.loads(half_done("results", "--format", "json").out)
    assert result["counts"]["missing"] == 6
    for candidate in result["candidates"]:
        mixing = candidate["mixing"]["Mn"]["mock"]
        assert mixing["enthalpy_ev_per_cation"] == []
        for name in ("solubility_limit", "critical_temperature_k", "verdict"):
            assert mixing[name] is None
        assert candidate["uncertainty_ev"] is None
        assert candidate["verdict"] == "undecided"
    terminal()
    table = " ".join(narrow(half_done("results").out).split())
    assert half_done("report", "-o", "half.html").code == 0
    page = Path("half.html").read_text(encoding="utf-8")
    assert "Not final: 6 of 24 calculations are missing" in page
    assert "Mock energies are for trying out" in page
    assert "6 missing: the ranking is not final" in table
    assert "not computed in MnO" in table
    for row in rows_of(half_done("results", "--format", "csv").out):
        assert row["mixing_enthalpy_ev_per_cation"] == ""
        assert row["solubility_limit"] == ""
    assert "24 18 0 6 0" in " ".join(half_done("status").out.split())


def test_run_as_json_is_json_alone(cli, campaign_file):
    answer = cli("run", campaign_file(dopants=["Mg", "Mn"]).name, "--format", "json")
    assert json.loads(answer.out)["counts"]["reused"] == 0
    again = cli("run", campaign_file(dopants=["Mg", "Mn"]).name, "--format", "json")
    assert json.loads(again.out)["counts"]["reused"] == 16


def test_results_as_csv(finished):
    rows = rows_of(finished("results", "--format", "csv").out)
    assert len(rows) == 2 * 2 * 3  # dopants, one engine and the mean, fractions
    result = json.loads(finished("results", "--format", "json").out)
    for candidate in result["candidates"]:
        mine = [r for r in rows if r["dopant"] == candidate["dopant"] and r["engine"] == "mock"]
        points = candidate["mixing"]["Mn"]["mock"]["enthalpy_ev_per_cation"]
        assert [float(r["mixing_enthalpy_ev_per_cation"]) for r in mine] == [
            p["value"] for p in points
        ]
        at_half = candidate["hosts"]["Mn"]["uncertainty_ev_per_cation"]
        for row in mine:  # of one engine no less than what is stated for it
            x = float(row["fraction"])
            found = float(row["mixing_enthalpy_uncertainty_ev_per_cation"])
            assert found >= 4 * x * (1 - x) * at_half * (1 - 1e-9) > 0
            assert int(row["rank"]) == candidate["rank"]
            assert row["rock_salt_formation_energy_corrected_ev_per_formula"] == ""


@pytest.mark.parametrize(
    "hosts", [["Mn"], ["Mn", "Ni", "Co"], ["Mn", "Ni", "Co", "Fe", "Cr", "Cu", "Zn", "Ca"]]
)
def test_tables_fit_80_columns(cli, campaign_file, terminal, hosts):
    terminal()
    file = campaign_file(hosts=hosts, dopants=["Mg", "Ti", "Lu"], fractions=[0.5])
    answer = cli("run", file.name)
    assert answer.code == 0
    hosts = load_campaign(file).hosts
    narrow(answer.out)
    assert "…" not in answer.out
    assert all(f"{host}O" in answer.out for host in hosts)
    assert ("why" in answer.out) == (len(hosts) <= 3)
    for command in (["results", "--reasons"], ["status"], ["query"], ["check", file.name]):
        answer = cli(*command)
        assert answer.code == 0
        narrow(answer.out)


def test_reasons_are_written_on_request(finished):
    assert "stays oxidised at the O2 potential: dEf(TiO)" not in finished("results").out
    assert "stays oxidised at the O2 potential: dEf(TiO)" in finished("results", "--reasons").out


def test_status(finished):
    answer = finished("status")
    assert answer.code == 0
    assert "small: not running" in answer.out
    assert "rock-salt mock 24 24 0 0" in " ".join(answer.out.split())
    assert finished("status", "small").out == answer.out


def test_query_words_in_every_form(finished):
    words = ["--dopant", "Ti", "--host", "Mn", "--fraction", "0.5", "--engine", "mock"]
    found = json.loads(finished("query", *words, "--format", "json").out)
    assert len(found) == 1
    assert found[0]["label"] == "TiMnO2 enumerated 1 of 1"
    (row,) = rows_of(finished("query", *words, "--format", "csv").out)
    assert float(row["energy_ev_per_atom"]) == found[0]["energy_ev_per_atom"]
    table = finished("query", *words)
    assert "TiMnO2" in table.out
    assert table.err == "1 calculation\n"


def test_query_chooses_fields(finished):
    fields = "label,cation_fractions.Ti,symmetry.symbol,cations,multiplicity"
    arguments = ["query", "--role", "mixture", "--dopant", "Ti", "--properties", fields]
    found = json.loads(finished(*arguments, "--format", "json").out)
    assert [r["cation_fractions.Ti"] for r in found] == [0.75, 0.25, 0.5]
    assert all(r["cations"] == ["Mn", "Ti"] for r in found)
    rows = rows_of(finished(*arguments, "--format", "csv").out)
    assert list(rows[0]) == fields.split(",")
    assert [json.loads(r["cations"]) for r in rows] == [["Mn", "Ti"]] * 3
    assert len(rows_of(finished(*arguments, "--limit", "2", "--format", "csv").out)) == 2


def test_query_with_a_filter(finished):
    text = '{"output.role": "mixture", "output.energy_ev_per_atom": {"$lt": -2}}'
    found = json.loads(finished("query", "--filter", text, "--format", "json").out)
    assert found
    assert all(r["role"] == "mixture" and r["energy_ev_per_atom"] < -2 for r in found)
    everything = json.loads(finished("query", "--filter", "{}", "--format", "json").out)
    assert len(everything) == 24  # calculations, not campaigns or rankings


def test_a_query_that_finds_nothing(finished):
    assert finished("query", "--dopant", "Zn", "--format", "json").out == "[]\n"
    answer = finished("query", "--dopant", "Zn", "--format", "csv")
    assert answer.code == 0
    assert answer.out.startswith("label,role,engine,")
    assert answer.out.count("\n") == 1
    assert "0 calculations" in finished("query", "--dopant", "Zn").err


def test_report(finished, tmp_path):
    answer = finished("report", "-o", "page.html")
    assert answer.code == 0
    assert "wrote page.html" in answer.out
    assert "small" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_store_comes_from_the_line_the_campaign_the_settings(
    cli, campaign_file, tmp_path, monkeypatch
):
    plain = campaign_file("plain.yaml", dopants=["Mg"], fractions=[0.5]).name
    own = campaign_file("own.yaml", dopants=["Mg"], fractions=[0.5], store="own.sqlite").name
    monkeypatch.setenv("ROCKSALT_STORE", "settings.sqlite")
    assert cli("run", plain).code == 0
    assert cli("run", own).code == 0
    assert cli("run", own, "--store", "line.sqlite").code == 0
    assert cli("run", own, "--store", "memory").code == 0
    monkeypatch.delenv("ROCKSALT_STORE")
    assert cli("run", plain).code == 0
    assert sorted(p.name for p in tmp_path.glob("*.sqlite")) == [
        "line.sqlite",
        "own.sqlite",
        "results.sqlite",
        "settings.sqlite",
    ]


def test_workers_come_from_the_settings(cli, campaign_file, tmp_path, monkeypatch):
    from rocksalt.workflows import run

    asked = []
    original = run.run_campaign

    def watched(*arguments, n_workers, **options):
        asked.append(n_workers)
        return original(*arguments, n_workers=1, **options)

    monkeypatch.setattr(run, "run_campaign", watched)
    file = campaign_file(dopants=["Mg"], fractions=[0.5]).name
    settings = tmp_path / "settings.yaml"
    settings.write_text("workers: 3\n")
    cli("run", file)
    monkeypatch.setenv("ROCKSALT_CONFIG_FILE", str(settings))
    cli("run", file)
    monkeypatch.setenv("ROCKSALT_WORKERS", "4")
    cli("run", file)
    cli("run", file, "--workers", "5")
    assert asked == [1, 3, 4, 5]


def test_workers_are_prepared_only_where_something_is_left(cli, campaign_file, monkeypatch):
    from rocksalt.workflows import worker_server

    prepared = []
    plain = worker_server.start_worker_server

    def start_worker_server(engines=()):
        prepared.append(set(engines))
        return plain(engines)

    monkeypatch.setattr(worker_server, "start_worker_server", start_worker_server)
    monkeypatch.setattr("rocksalt.workflows.shared_work.start_worker_server", start_worker_server)
    campaign = campaign_file()
    assert cli("run", campaign, "--workers", 2).code == 0
    assert {"mock"} in prepared
    prepared.clear()
    again = cli("run", campaign, "--workers", 2)
    assert "0 calculations done now" in again.err
    assert prepared == []


def test_other_engines_on_the_line(cli, campaign_file):
    file = campaign_file(dopants=["Mg"], fractions=[0.5], engines=["chgnet"]).name
    answer = cli("run", file, "--calculator", "mock, mock", "--format", "json")
    assert answer.code == 0
    assert list(json.loads(answer.out)["engines"]) == ["mock"]


def test_an_engine_on_the_line_takes_the_place_of_a_triage(cli, campaign_file):
    triage = {"triage": ["chgnet"], "decide": "sevennet-0"}
    file = campaign_file(dopants=["Mg"], fractions=[0.5], engines=triage).name
    answer = cli("run", file, "--calculator", "mock", "--format", "json")
    assert answer.code == 0, answer.err
    assert list(json.loads(answer.out)["engines"]) == ["mock"]
