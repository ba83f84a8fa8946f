"""What tests share: small campaigns with the mock engine, a command line, a home of their own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest
import yaml

NOWHERE = Path(__file__).parent / "no-such-folder"
for variable, name in (
    ("JOBFLOW_CONFIG_FILE", "jobflow.yaml"),  # jobflow reads it when it is imported
    ("ROCKSALT_CONFIG_FILE", "rocksalt.yaml"),
):
    os.environ[variable] = str(NOWHERE / name)
for variable in ("JOBFLOW_JOB_STORE", "ROCKSALT_STORE", "ROCKSALT_WORKERS", "ROCKSALT_REPLAY"):
    os.environ.pop(variable, None)
os.environ.setdefault("XDG_CACHE_HOME", str(Path.home() / ".cache"))  # matplotlib's list of fonts

hypothesis.settings.register_profile("tests", deadline=None, database=None, derandomize=True)
hypothesis.settings.load_profile("tests")

SMALL = {
    "name": "small",
    "dopants": ["Mg", "Ti"],
    "hosts": ["Mn"],
    "supercell": {"enumerated": 4, "sqs": 0},
    "engines": ["mock"],
}


@pytest.fixture(autouse=True)
def _home_of_its_own(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path_factory.getbasetemp()))
    for variable in ("COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture(scope="session")
def settings_of():
    """Return a function that gives what a small campaign's file holds, with changes."""

    def settings_of(**changes):
        settings = {**SMALL, **changes}
        return {key: value for key, value in settings.items() if value is not ...}

    return settings_of


@pytest.fixture(scope="session")
def campaign_of(settings_of):
    """Return a function that gives a small campaign, with changes."""
    from rocksalt.workflows.campaign import campaign_from_dict

    return lambda **changes: campaign_from_dict(settings_of(**changes))


@pytest.fixture
def campaign_file(tmp_path, settings_of):
    """Return a function that writes a small campaign's file, with changes."""

    def write(file="small.yaml", **changes):
        path = tmp_path / file
        path.write_text(yaml.safe_dump(settings_of(**changes), sort_keys=False))
        return path

    return write


@pytest.fixture
def open_store():
    """Return a function that opens a store, and close all of them after the test."""
    from rocksalt.stores.opening import open_store

    opened = []

    def open_(address="memory", **options):
        opened.append(open_store(str(address), **options))
        return opened[-1]

    yield open_
    for store in opened:
        store.close()


@pytest.fixture(scope="session")
def finished_file(tmp_path_factory, campaign_of):
    """Return the store of a finished small campaign; copy it before writing to it."""
    from rocksalt.stores.opening import open_store
    from rocksalt.workflows.run import run_campaign

    path = tmp_path_factory.mktemp("finished") / "results.sqlite"
    store = open_store(str(path))
    run_campaign(campaign_of(), store)
    store.close()
    return path


@dataclass
class Answer:
    """What the command line did."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(tmp_path, monkeypatch, capsys):
    """Return a function that runs the command line in this process, in an empty folder."""
    from rocksalt.workflows.cli import main

    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        capsys.readouterr()
        code = 0
        try:
            main([str(a) for a in arguments])
        except SystemExit as end:
            code = end.code or 0
        out, err = capsys.readouterr()
        return Answer(code, out, err)

    return run


TIMES = {"completed_at", "cpu_s"}


@pytest.fixture(scope="session")
def calculations_in():
    """Return a function that gives a store's calculations by key, without times."""

    def calculations(store, *, times=False):
        return {
            r["uuid"]: {k: v for k, v in r["output"].items() if times or k not in TIMES}
            for r in store.docs_store.query({"metadata.kind": "calculation"})
        }

    return calculations
