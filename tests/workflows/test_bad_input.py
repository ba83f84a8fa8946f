"""Whatever is wrong with the input: one line with file, key and remedy, exit 2, nothing started."""

from __future__ import annotations

import os
import shutil
import signal
import time
from importlib.util import find_spec

import pytest

GOOD = """\
name: small
dopants: [Mg, Ti]
hosts: [Mn]
supercell: {enumerated: 4, sqs: 0}
engines: [mock]
"""


def changed(old, new):
    assert old in GOOD
    return GOOD.replace(old, new)


def one_line(answer, *fragments):
    assert answer.code == 2, answer
    assert answer.err.startswith("rocksalt: ")
    assert answer.err.endswith("\n")
    assert answer.err.count("\n") == 1, answer.err
    assert "Traceback" not in answer.err
    for fragment in fragments:
        assert fragment in answer.err, answer.err


BAD_CAMPAIGNS = {
    "unknown element": (changed("[Mg, Ti]", "[Mg, Xx]"), ["dopants", "'Xx' is not an element"]),
    "unknown set": (changed("[Mg, Ti]", "lanthanide"), ["dopants", "mean 'lanthanides'?"]),
    "no cation": (changed("[Mg, Ti]", "[Mg, O]"), ["dopants", "'O' cannot be screened"]),
    "unknown host": (changed("[Mn]", "[Nm]"), ["hosts", "'Nm' is not an element"]),
    "no dopants": (changed("[Mg, Ti]", "[]"), ["dopants", "the list is empty", "at least one"]),
    "no hosts": (changed("[Mn]", "[]"), ["hosts", "the list is empty"]),
    "no engines": (changed("[mock]", "[]"), ["engines", "the list is empty"]),
    "nothing after the key": (changed("[Mg, Ti]", ""), ["dopants", "valid list"]),
    "only the host": (changed("[Mg, Ti]", "[Mn]"), ["dopants", "nothing but the host", "add a"]),
    "element in lower case": (changed("[Mg, Ti]", "[mg, Ti]"), ["'mg'", "did you mean 'Mg'?"]),
    "two elements in one": (
        changed("[Mg, Ti]", "'mg, Ti'"),
        ["dopants: 'mg, Ti'", "these are 2; give one, or a list like [Mg, Ti]"],
    ),
    "fraction in percent": (
        GOOD + "fractions: [0.5, 25]\n",
        ["25 is outside (0, 1)", "for 25 % write 0.25"],
    ),
    "fraction 0": (GOOD + "fractions: [0]\n", ["fractions", "0 is outside (0, 1)"]),
    "fraction 1": (GOOD + "fractions: [0.5, 1]\n", ["fractions", "1 is outside (0, 1)"]),
    "fraction 1.5": (GOOD + "fractions: [1.5]\n", ["fractions", "1.5 is outside (0, 1)"]),
    "fraction -0.1": (GOOD + "fractions: -0.1\n", ["fractions", "-0.1 is outside (0, 1)"]),
    "fraction nan": (GOOD + "fractions: [.nan]\n", ["fractions", "nan is outside (0, 1)"]),
    "fraction inf": (GOOD + "fractions: [.inf]\n", ["fractions", "inf is outside (0, 1)"]),
    "fraction abc": (GOOD + "fractions: abc\n", ["fractions", "valid number", "'abc'"]),
    "fraction does not fit": (
        GOOD + "fractions: [0.3]\n",
        ["fractions", "0.3 does not fit", "4 cations", "nearest that does is 0.25"],
    ),
    "no cells": (changed("enumerated: 4", "enumerated: 0"), ["does not fit", "no cations"]),
    "no such cell": (
        changed("enumerated: 4", "enumerated: 5"),
        ["supercell.enumerated", "5 cations", "[2, 4, 8, 16, 27, 32]"],
    ),
    "endless enumeration": (
        changed("enumerated: 4", "enumerated: 32"),
        ["supercell.enumerated", "32 cations", "enumerate 8"],
    ),
    "unknown engine": (changed("mock", "chgnt"), ["engines", "'chgnt'", "did you mean 'chgnet'?"]),
    "unknown key": (GOOD + "dopant: [Mg]\n", ["dopant:", "unknown key", "mean 'dopants'?"]),
    "far key": (GOOD + "wibble: 1\n", ["wibble", "unknown key", "known: name, dopants"]),
    "nested key": (GOOD + "relaxation: {fmx: 1}\n", ["relaxation.fmx", "did you mean 'fmax'?"]),
    "nested threshold": (
        GOOD + "thresholds: {solubilty: 0.3}\n",
        ["thresholds.solubilty", "did you mean 'solubility'?"],
    ),
    "nested cell": (changed("enumerated", "enumrated"), ["supercell.enumrated", "'enumerated'?"]),
    "number as key": (GOOD + "1: 2\n", ["keys should be strings"]),
    "key given twice": (GOOD + "dopants: [Zn]\n", ["line 6", "'dopants' is given twice"]),
    "nested key given twice": (
        GOOD + "relaxation:\n  fmax: 0.1\n  fmax: 0.2\n",
        ["line 8", "'fmax' is given twice"],
    ),
    "broken yaml": (changed("[Mg, Ti]", "[Mg, Ti"), ["line 3", "not valid YAML"]),
    "tab": ("name: small\n\tdopants: [Mg]\n", ["line 2", "not valid YAML"]),
    "null byte": ("name: \0\n", ["not valid YAML"]),
    "no such day": (changed("small", "2024-13-45"), ["cannot be read", "month"]),
    "wrong tag": (changed("small", "!!int abc"), ["cannot be read", "abc"]),
    "python tag": (changed("small", "!!python/object:os.system x"), ["line 1", "not valid YAML"]),
    "deep nest": ("[" * 3000, ["cannot be read", "recursion"]),
    "empty file": ("", ["a campaign is a list of 'key: value' lines", "rocksalt init"]),
    "list": ("- Mg\n- Ti\n", ["a campaign is a list of 'key: value' lines"]),
    "only a word": ("Mg\n", ["a campaign is a list of 'key: value' lines"]),
    "no name": (changed("name: small\n", ""), ["name: this key is required"]),
    "no dopant key": (changed("dopants: [Mg, Ti]\n", ""), ["dopants: this key is required"]),
    "name is a number": (changed("small", "12"), ["name", "valid string", "12"]),
    "name with slash": (changed("small", "a/b"), ["name: 'a/b'", "letters"]),
    "name with dots": (changed("small", "../x"), ["name: '../x'"]),
    "name too long": (changed("small", "a" * 81), ["name", "80 characters"]),
    "dopants are a mapping": (changed("[Mg, Ti]", "{Mg: 1}"), ["dopants", "valid list"]),
    "supercell is a number": (
        changed("{enumerated: 4, sqs: 0}", "4"),
        ["supercell", "valid dictionary"],
    ),
    "temperature 0": (GOOD + "temperature: 0\n", ["temperature", "greater than 0"]),
    "temperature -5": (GOOD + "temperature: -5\n", ["temperature", "greater than 0", "-5"]),
    "temperature nan": (GOOD + "temperature: .nan\n", ["temperature", "nan"]),
    "temperature hot": (GOOD + "temperature: hot\n", ["temperature", "valid number", "'hot'"]),
    "orderings 0": (GOOD + "orderings: 0\n", ["orderings", "1 or more, or 'all'"]),
    "orderings 2.5": (GOOD + "orderings: 2.5\n", ["orderings: give a whole number or 'all'"]),
    "orderings some": (GOOD + "orderings: some\n", ["orderings", "'all', not 'some'"]),
    "fmax 0": (GOOD + "relaxation: {fmax: 0}\n", ["relaxation.fmax", "greater than 0"]),
    "seed -1": (GOOD + "seed: -1\n", ["seed", "-1"]),
    "infinite threshold": (
        GOOD + "thresholds: {formation_energy_ev_per_formula: .inf}\n",
        ["thresholds: formation_energy_ev_per_formula: inf is not a finite number"],
    ),
    "later stage": (
        GOOD + "stages: [migration]\n",
        ["stages", "'migration' is not in this version", "use rock-salt, hull"],
    ),
    "entries without a hull": (
        GOOD + "entries: materials-project\n",
        ["entries: no hull is made of them", "add 'hull' to stages"],
    ),
    "entries that are not there": (
        GOOD + "stages: [hull]\nentries: my.json\n",
        ["my.json: no such file"],
    ),
    "strain too large": (
        GOOD + "strains_percent: [0, 40]\n",
        ["strains_percent: 40 percent: give strains from -10 to 10"],
    ),
    "no layered cell": (
        GOOD.replace("sqs: 0", "sqs: 0, layered: 3"),
        ["supercell.layered: 3 Li in the metal layer: choose one of [1, 2, 4, 8]"],
    ),
    "no such layered oxide": (
        GOOD.replace("[Mn]", "[Mg]") + "stages: [lithium-deficient]\n",
        ["Mg has no tabulated radius as M(4+)"],
    ),
    "host of lithium alone": (GOOD.replace("[Mn]", "[Li0.5Li0.5]"), ["hosts", "all lithium"]),
    "host with lithium in no cell": (
        GOOD.replace("[Mn]", "[Li0.5Mn0.5]").replace("sqs: 0", "sqs: 2") + "fractions: [0.5]\n",
        ["fractions: 0.5 of a dopant in Li0.5Mn0.5O leaves no whole number of Li in 2 cations"],
    ),
    "unknown stage": (GOOD + "stages: [rocksalt]\n", ["stages", "did you mean 'rock-salt'?"]),
}


@pytest.mark.parametrize("case", BAD_CAMPAIGNS)
def test_a_bad_campaign(cli, tmp_path, case):
    text, fragments = BAD_CAMPAIGNS[case]
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    for command in ("check", "run"):
        answer = cli(command, "bad.yaml", "--store", "new.sqlite")
        one_line(answer, "rocksalt: bad.yaml", *fragments)
        assert answer.out == ""
    assert list(tmp_path.iterdir()) == [file]


def test_the_good_campaign_is_good(cli, tmp_path):
    (tmp_path / "good.yaml").write_text(GOOD)
    answer = cli("check", "good.yaml")
    assert answer.code == 0
    assert "24 calculations, 24 to do" in answer.out
    assert [path.name for path in tmp_path.iterdir()] == ["good.yaml"]


@pytest.mark.skipif(find_spec("mace") is not None, reason="mace is installed")
def test_an_engine_that_is_not_installed(cli, tmp_path):
    (tmp_path / "c.yaml").write_text(changed("mock", "MACE-MP-0"))
    for command in ("check", "run"):
        answer = cli(command, "c.yaml", "--store", "new.sqlite")
        one_line(answer, "'MACE-MP-0' needs the package mace-torch", "pip install mace-torch")
    assert [path.name for path in tmp_path.iterdir()] == ["c.yaml"]


@pytest.mark.parametrize(
    ("engines", "fragments"),
    [("chgnt", ["--calculator", "mean 'chgnet'?"]), ("", ["--calculator", "engine '' is not"])],
)
def test_a_bad_calculator(cli, campaign_file, engines, fragments):
    one_line(cli("run", campaign_file().name, "--calculator", engines), "small.yaml", *fragments)


def test_a_campaign_file_that_is_not_there(cli):
    one_line(cli("run", "no.yaml"), "no.yaml: no such file", "rocksalt init no.yaml")


def test_a_campaign_file_that_is_a_folder(cli):
    one_line(cli("run", "."), ".: cannot be read", "directory")


def test_a_campaign_file_that_is_no_text(cli, tmp_path):
    (tmp_path / "c.yaml").write_bytes(b"\xff\xfe\x00name")
    one_line(cli("run", "c.yaml"), "c.yaml: cannot be read")


def test_a_store_that_is_a_folder(cli, campaign_file, tmp_path):
    file = campaign_file()
    (tmp_path / "folder").mkdir()
    for command in ("check", "run"):
        one_line(cli(command, file.name, "--store", "folder"), "folder is a folder: give the path")


def test_a_store_below_a_file(cli, campaign_file):
    file = campaign_file()
    answer = cli("run", file.name, "--store", f"{file.name}/results.sqlite")
    one_line(answer, "small.yaml does not exist", "results.sqlite")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_store_in_a_folder_without_permission(cli, campaign_file, tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    answer = cli("run", campaign_file().name, "--store", "closed/results.sqlite")
    one_line(answer, "closed", "cannot be written")


@pytest.mark.parametrize("command", ["check", "run", "results", "status", "query", "report"])
def test_a_store_of_random_bytes(cli, campaign_file, tmp_path, command):
    content = bytes(range(256)) * 20
    (tmp_path / "random.sqlite").write_bytes(content)
    file = [campaign_file().name] if command in {"check", "run"} else []
    answer = cli(command, *file, "--store", "random.sqlite")
    one_line(answer, "random.sqlite is not an SQLite file", "choose another path")
    assert (tmp_path / "random.sqlite").read_bytes() == content


@pytest.mark.parametrize("size", [100, 4096, 20000, 0.5])
@pytest.mark.parametrize("command", ["run", "results", "query"])
def test_a_truncated_store(cli, campaign_file, tmp_path, finished_file, size, command):
    whole = finished_file.read_bytes()
    size = size if size > 1 else len(whole) // 2
    (tmp_path / "cut.sqlite").write_bytes(whole[:size])
    file = [campaign_file().name] if command == "run" else []
    one_line(cli(command, *file, "--store", "cut.sqlite"), "cut.sqlite is damaged", "restore")


@pytest.mark.parametrize("command", ["results", "status", "query", "report"])
def test_a_store_that_is_not_there(cli, tmp_path, command):
    answer = cli(command, "--store", "no.sqlite")
    one_line(answer, "store no.sqlite: no such file", "run a campaign first", "--store")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["results", "status", "report"])
def test_a_campaign_that_the_store_does_not_have(cli, finished_file, tmp_path, command):
    shutil.copy(finished_file, tmp_path / "results.sqlite")
    one_line(cli(command, "smal"), "'smal' is not in this store", "did you mean 'small'?")
    one_line(cli(command, "wibble"), "'wibble' is not in this store", "it has small")
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize("command", ["results", "report"])
def test_no_campaign_and_several(cli, tmp_path, campaign_file, command):
    one_line(cli(command, "--store", "memory"), "holds 0 campaigns", "run one first")
    for name in ("one", "two"):
        file = campaign_file(f"{name}.yaml", name=name, dopants=["Mg"], fractions=[0.5])
        assert cli("run", file.name).code == 0
    one_line(cli(command), "holds 2 campaigns", "name one of one, two")


BAD_QUERIES = {
    "fraction alone": (["--fraction", "0.5"], ["--fraction is the dopant's share", "--dopant"]),
    "broken filter": (["--filter", "{"], ["--filter is not valid JSON at character 1", "{"]),
    "empty filter": (["--filter", ""], ["--filter is not valid JSON"]),
    "filter is a list": (["--filter", "[1]"], ["--filter must be a JSON object"]),
    "unknown operator": (
        ["--filter", '{"output.role": {"$foo": 1}}'],
        ["--filter is not understood", "$foo"],
    ),
    "unknown top operator": (["--filter", '{"$foo": 1}'], ["--filter is not understood", "$foo"]),
    "bad pattern": (
        ["--filter", '{"output.label": {"$regex": "("}}'],
        ["--filter is not understood"],
    ),
    "filter and words": (["--filter", "{}", "--dopant", "Mg"], ["--filter goes alone"]),
    "near field": (["--properties", "energy"], ["'energy' is not a field", "energy_ev"]),
    "far field": (["--properties", "label,zzz"], ["'zzz' is not a field", "known: "]),
    "no field": (["--properties", ""], ["'' is not a field"]),
    "role": (["--role", "mixtur"], ["--role 'mixtur'", "element, oxygen, end-member, mixture"]),
    "state": (["--state", "finished"], ["--state 'finished'", "done, failed"]),
    "dopant": (["--dopant", "Xx"], ["'Xx' is not an element"]),
    "host": (["--host", "Oxygen"], ["'Oxygen' is not an element"]),
    "lower case": (["--host", "mn"], ["'mn' is not an element", "did you mean 'Mn'?"]),
    "percent": (
        ["--dopant", "Ti", "--fraction", "25"],
        ["--fraction 25 is outside 0 to 1; for 25 % write 0.25"],
    ),
    "formula": (["--formula", "Mn(O"], ["--formula 'Mn(O' is not a formula"]),
    "campaign": (["--campaign", "smal"], ["'smal' is not in this store", "'small'"]),
}


@pytest.mark.parametrize("case", BAD_QUERIES)
def test_a_bad_query(cli, tmp_path, finished_file, case):
    arguments, fragments = BAD_QUERIES[case]
    shutil.copy(finished_file, tmp_path / "results.sqlite")
    answer = cli("query", *arguments)
    one_line(answer, *fragments)
    assert answer.out == ""


@pytest.mark.parametrize("place", ["no/such/folder/r.html", ".", "results.sqlite/r.html"])
def test_a_report_that_cannot_be_written(cli, tmp_path, finished_file, place):
    shutil.copy(finished_file, tmp_path / "results.sqlite")
    one_line(cli("report", "-o", place), f"{place}: cannot be written")


def test_init_does_not_overwrite(cli, campaign_file):
    file = campaign_file()
    before = file.read_text()
    one_line(cli("init", file.name), "small.yaml: is there already", "--force")
    assert file.read_text() == before
    one_line(cli("init", "no/folder/c.yaml"), "cannot be written")


@pytest.mark.parametrize(
    ("address", "fragments"),
    [
        ("mongodb://user:secret@host", ["mongodb://user:***@host", "name the database"]),
        ("mongodb+srv://user:secret@host/", ["mongodb+srv://user:***@host/", "database"]),
    ],
)
def test_a_server_without_a_database_and_no_password_shown(cli, campaign_file, address, fragments):
    answer = cli("run", campaign_file().name, "--store", address)
    one_line(answer, *fragments)
    assert "secret" not in answer.err + answer.out


WRONG_USAGE = {
    "wibble": "no such command 'wibble' (rocksalt --help)",
    "statsu": "no such command 'statsu': did you mean 'status'? (rocksalt --help)",
    "--wibble": "no such option --wibble (rocksalt --help)",
    "query --stor x": "no such option --stor: did you mean --store? (rocksalt query --help)",
    "query --stor=x": "no such option --stor: did you mean --store? (rocksalt query --help)",
    "results --wibble": "no such option --wibble (rocksalt results --help)",
    "results --debug -x": "no such option -x (rocksalt results --help)",
    "query --store": "option '--store' requires an argument (rocksalt query --help)",
    "run": "missing argument 'CAMPAIGN' (rocksalt run --help)",
    "submit c.yaml": "missing option '--manager' (rocksalt submit --help)",
}


@pytest.mark.parametrize("typed", WRONG_USAGE)
def test_wrong_usage_is_one_line_with_the_remedy(cli, typed):
    answer = cli(*typed.split())
    one_line(answer)
    assert answer.err == f"rocksalt: {WRONG_USAGE[typed]}\n"
    assert answer.out == ""


@pytest.mark.parametrize(
    ("typed", "fragments"),  # the words between are those of the parser's version
    [
        ("run c.yaml --workers 0", ["invalid value for '--workers'", "(rocksalt run --help)"]),
        ("query --limit a", ["invalid value for '--limit'", "valid integer"]),
        ("results --format xml", ["'xml' is not one of 'table', 'json', 'csv'"]),
        ("results a b", ["unexpected extra argument", "(b)", "(rocksalt results --help)"]),
        ("run c --sto mongodb://u:secret@h/d", ["no such option --sto: did you mean --store?"]),
        ("results a mongodb://u:secret@h/d", ["unexpected extra argument", "mongodb://u:***@h/d"]),
        ("mongodb://u:secret@h/d", ["no such command 'mongodb://u:***@h/d'"]),
        ("--mongodb://u:secret@h/d status", ["no such option", "u:***@h/d", "(rocksalt --help)"]),
        ("query --limit mongodb://u:secret@h/d", ["invalid value for '--limit'"]),
    ],
)
def test_a_wrong_value_is_one_line_and_shows_no_password(cli, typed, fragments):
    answer = cli(*typed.split())
    one_line(answer, *fragments)
    assert "secret" not in answer.err + answer.out


def test_help_is_no_error(cli):
    for arguments in (["--help"], ["-h"], ["query", "--help"]):
        answer = cli(*arguments)
        assert (answer.code, answer.err) == (0, "")
        assert f"Usage: rocksalt {'query ' if 'query' in arguments else ''}[OPTIONS]" in answer.out
    alone = cli()
    assert (alone.code, alone.err) == (2, "")
    assert alone.out.rstrip() == cli("--help").out.rstrip()


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        ("workrs: 2\n", ["workrs: unknown key; known: store, workers"]),
        ("workers: many\n", ["workers", "valid integer", "'many'"]),
        ("- workers\n", ["settings"]),
        ("a: [\n", ["settings"]),
        ("\xff", ["settings"]),
    ],
)
def test_bad_settings(cli, campaign_file, tmp_path, monkeypatch, text, fragments):
    file = tmp_path / "settings.yaml"
    file.write_bytes(text.encode("latin-1"))
    monkeypatch.setenv("ROCKSALT_CONFIG_FILE", str(file))
    one_line(cli("run", campaign_file().name), "settings.yaml", *fragments)
    assert not (tmp_path / "results.sqlite").exists()


def test_debug_shows_the_traceback_wherever_it_stands(cli):
    for arguments in (["--debug", "check", "no.yaml"], ["check", "no.yaml", "--debug"]):
        answer = cli(*arguments)
        assert answer.code == 2
        assert "Traceback" in answer.err
        assert "RocksaltError: no.yaml: no such file" in answer.err


def test_an_error_that_nobody_foresaw_is_one_line_too(cli, campaign_file, monkeypatch):
    from rocksalt.workflows import run

    def fail(*_, **__):
        raise ZeroDivisionError("of\nall things")

    monkeypatch.setattr(run, "run_campaign", fail)
    answer = cli("run", campaign_file().name, "--store", "memory")
    one_line(answer, "ZeroDivisionError: of all things", "--debug")


def test_a_structure_file_that_cannot_be_read_is_told(cli, campaign_file, tmp_path):
    folder = tmp_path / "structures"
    folder.mkdir()
    (folder / "POSCAR").write_text("garbage\n")
    file = campaign_file(stages=["hull"], entries="structures")
    for command in ("check", "run"):
        answer = cli(command, file)
        assert "entries: POSCAR is left out: " in answer.out + answer.err, command


@pytest.mark.parametrize(
    ("store", "said"),
    [
        ("nowhere/x.sqlite", "nowhere: make it, or give --store"),
        ("http://foo/bar", "no such kind of store"),
    ],
)
def test_check_finds_a_store_that_run_would_refuse(cli, campaign_file, store, said):
    answer = cli("check", campaign_file(), "--store", store)
    assert answer.code == 2
    assert said in answer.err
    assert cli("run", campaign_file(), "--store", store).code == 2


@pytest.mark.parametrize("turned_into", [KeyboardInterrupt(), ImportError("failed")])
def test_an_interrupt_is_one_even_where_compiled_code_turns_it_into_an_error(
    cli, campaign_file, monkeypatch, turned_into
):
    def hiding(*_, **__):
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        except KeyboardInterrupt:
            raise turned_into from None

    monkeypatch.setattr("rocksalt.workflows.preflight.preflight", hiding)
    campaign = campaign_file()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may ignore it
    try:
        answer = cli("check", campaign)
    finally:
        signal.signal(signal.SIGINT, before)
    assert answer.code == 130
    assert answer.err.splitlines()[-1].startswith("rocksalt: stopped")
    assert "unexpected" not in answer.err


@pytest.mark.parametrize(
    ("changes", "known"),
    [
        ({"engines": ["gpaw:fast"], "dft": {"gpaw": {"foo": 1}}}, "magnetic_order"),
        ({"engines": {"triage": ["mock"], "decide": "gpaw", "budget": 1}}, "budget_cpu_hours"),
    ],
)
def test_keys_of_a_part_are_named_for_a_wrong_one(cli, campaign_file, changes, known):
    answer = cli("check", campaign_file(**changes))
    assert answer.code == 2
    assert "unknown key" in answer.err
    assert known in answer.err
    assert "dopants, hosts" not in answer.err


@pytest.mark.parametrize("command", [["run"], ["check"], ["submit", "--manager", "fireworks"]])
def test_an_address_where_a_campaign_file_was_to_stand(cli, command):
    answer = cli(*command, "mongodb://me:s3cret@host/db")
    assert answer.code == 2
    assert "s3cret" not in answer.err
    assert "the campaign is a file: give its path" in answer.err


def test_a_limit_beyond_all_stores(cli):
    answer = cli("query", "--limit", "99999999999999999999")
    assert answer.code == 2
    assert "--limit" in answer.err
