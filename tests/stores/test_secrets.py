"""A password in an address appears nowhere: not on the screen, not in a file, not in a document."""

from __future__ import annotations

import subprocess
import sys

import pytest
import yaml

from rocksalt.screening.errors import RocksaltError
from rocksalt.stores.addresses import hide_password

from .conftest import PASSWORD

PIECES = ("s3cr3t", "%2F%40", ":/@%", "pass@")
"""Pieces of the password as it is, and as it stands in an address."""

FAST = "?serverSelectionTimeoutMS=500"


@pytest.fixture
def secret(guarded):
    """Return the address of a database whose server asks for a password."""
    return guarded.address("secret", "writer")


def assert_secret(*texts):
    for text in texts:
        shown = [piece for piece in PIECES if piece in text]
        assert not shown, text


def assert_files_secret(folder, *but):
    for path in folder.rglob("*"):
        if path.is_file() and path.name not in but:
            assert_secret(path.read_bytes().decode("utf-8", errors="replace"))


def test_no_command_shows_it(cli, secret, campaign_file, tmp_path, open_store):
    file = campaign_file(store=secret)  # in the campaign's own key, and so in no option below
    for arguments in (["check", file], ["run", file]):
        answer = cli(*arguments)
        assert answer.code == 0, answer.err
        assert_secret(answer.out, answer.err)
    for arguments in (
        ["run", file],
        ["status"],
        ["results"],
        ["results", "--format", "json"],
        ["results", "--format", "csv"],
        ["query", "--dopant", "Ti"],
        ["query", "--format", "json"],
        ["report", "--figures", "figures", "--figure-format", "svg"],
        ["export", "all.jsonl"],
        ["import", "all.jsonl"],
    ):
        answer = cli(*arguments, "--store", secret)
        assert answer.code == 0, answer.err
        assert_secret(answer.out, answer.err)
    assert_files_secret(tmp_path, file.name)
    store = open_store(secret)
    for part in (store.docs_store, store.additional_stores["data"]._files_store):
        assert_secret(*(str(document) for document in part.query({})))


@pytest.mark.parametrize("debug", [False, True], ids=["plain", "debug"])
def test_no_failure_shows_it(cli, secret, campaign_file, debug):
    file = campaign_file()
    wrong = secret.replace("//writer:", "//you:")
    gone = wrong.replace(secret.rpartition("@")[2].split("/")[0], "127.0.0.1:9")
    assert cli("run", file, "--store", secret).code == 0
    for arguments in (
        ["status", "--store", wrong],
        ["status", "--store", gone + FAST],
        ["status", "--store", wrong.removesuffix("/mine")],
        ["status", "--store", f"mongodb://me:{PASSWORD}@host/db"],
        ["status", "--store", f"mongodb+srv://me:{PASSWORD}@host/db"],
        ["status", "--store", f"mongodb://me:{PASSWORD} and blanks@host/db"],
        ["status", "--store", secret + "?wibble=1"],
        ["status", secret, "--store", "memory"],
        ["status", "small", secret, "--store", "memory"],
        ["query", "--filter", secret],
        ["query", "--role", secret],
        ["query", "--filter", '{"output.role": {"$foo": 1}}', "--store", secret],
        ["results", "wibble", "--store", secret],
        ["run", campaign_file("other.yaml", dopants=["Mg"]), "--store", secret],
        ["run", secret],
        ["wibble", secret],
        [secret],
        ["export", "no/folder/x.jsonl", "--store", secret],
        ["import", secret, "--store", secret],
    ):
        answer = cli(*arguments, *(["--debug"] if debug else []))
        assert answer.code == 2, (arguments, answer)
        assert_secret(answer.out, answer.err)


def test_settings_with_it(cli, secret, tmp_path, monkeypatch):
    settings = tmp_path / "settings.yaml"
    monkeypatch.setenv("ROCKSALT_CONFIG_FILE", str(settings))
    for content in ({"store": [secret]}, {"stor": secret}):
        settings.write_text(yaml.safe_dump(content))
        answer = cli("status")
        assert answer.code == 2
        assert_secret(answer.out, answer.err)


def test_a_campaign_with_it_in_a_wrong_place(cli, secret, campaign_file):
    for changes in ({"store": [secret]}, {"stor": secret}, {"name": secret}):
        answer = cli("check", campaign_file(**changes))
        assert answer.code == 2
        assert_secret(answer.out, answer.err)


def test_a_process_of_its_own(secret, tmp_path):
    """Tracebacks of the interpreter are not those that a test sees."""
    address = secret.replace("//writer:", "//you:") + FAST
    command = [sys.executable, "-m", "rocksalt.workflows.cli", "status", "--debug"]
    done = subprocess.run(
        [*command, "--store", address], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "Traceback" in done.stderr
    assert "mongodb://you:***@" in done.stderr
    assert_secret(done.stdout, done.stderr)
    assert_files_secret(tmp_path)


def test_python_errors_show_it_neither(open_store, secret):
    with pytest.raises(RocksaltError) as error:
        open_store(secret.replace("//writer:", "//you:"))
    assert_secret(str(error.value), str(error.value.__cause__))
    assert_secret(hide_password(f"from {secret} to {secret}"))


@pytest.mark.parametrize("options", [[], ["--debug"]], ids=["plain", "debug"])
def test_a_wrong_configuration_of_jobflow(secret, tmp_path, monkeypatch, options):
    """It is read when jobflow is imported, so in a process of its own."""
    monkeypatch.setenv("JOBFLOW_JOB_STORE", f'{{"uri": "{secret}", "password": "{PASSWORD}"}}')
    command = [sys.executable, "-m", "rocksalt.workflows.cli", "status", *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "jobflow's configuration: JOB_STORE: " in done.stderr
    assert_secret(done.stdout, done.stderr)
