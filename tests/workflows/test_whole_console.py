"""Tables lose nothing: a row is one line in a pipe or file, and folds on a narrow terminal."""

from __future__ import annotations

import csv
import fcntl
import io
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
from collections import Counter

import pytest

from rocksalt.stores.records import calculation_record, save_many
from rocksalt.workflows.calculate import failed_document
from rocksalt.workflows.command_parts import console
from rocksalt.workflows.plan import make_plan
from rocksalt.workflows.tables import plain_table

COMMANDS = {
    "query": ["query"],
    "reasons": ["results", "--reasons"],
    "status": ["status"],
    "check": ["check", "small.yaml"],
    "hull": ["hull", "entries.json"],
}
ENTRIES = """[
{"entry_id": "the lowest of them all", "energy": 0.0, "composition": {"Li": 1}},
{"entry_id": "oxygen", "energy": -8, "composition": {"O": 2}},
{"entry_id": "a name without any space in it, or nearly so", "energy": -9, "composition": {"Li": 4, "O": 1}},
{"entry_id": "lithia-from-somewhere-with-a-long-name", "energy": -10.0, "composition": {"Li": 2, "O": 1}}
]"""


@pytest.fixture
def finished(cli, tmp_path, finished_file, campaign_file):
    shutil.copy(finished_file, tmp_path / "results.sqlite")
    (tmp_path / "entries.json").write_text(ENTRIES)
    campaign_file()
    return cli


def letters(text):
    """Count what is printed, spaces and rules apart: a fold adds nothing to it."""
    return Counter(text.replace("─", "").translate(dict.fromkeys(map(ord, " \n\r\t"))))


def test_a_row_in_a_pipe_is_one_line_whatever_the_width(finished, monkeypatch):
    wanted = list(csv.DictReader(io.StringIO(finished("query", "--format", "csv").out)))
    assert len(wanted) == 24
    for columns in ("20", "80", "300"):
        monkeypatch.setenv("COLUMNS", columns)
        lines = finished("query").out.splitlines()
        assert len(lines) == 3 + len(wanted)  # two of headings and a rule
        for line, row in zip(lines[3:], wanted, strict=True):
            words = " ".join(line.split())
            assert words.startswith(f"{row['label']} {row['role']} {row['engine']} {row['state']}")
            assert words.endswith(row["key"])
            assert f" {float(row['energy_ev_per_atom']):.5g} " in words


def test_a_long_value_stays_on_its_line(finished, campaign_of, open_store, tmp_path):
    calculation = next(iter(make_plan(campaign_of()).calculations.values()))
    error = f"first line\nsecond line {'of very many words ' * 40}"
    save_many(
        open_store(tmp_path / "results.sqlite"),
        [calculation_record(failed_document(calculation, error))],
    )
    found = finished("query", "--state", "failed", "--properties", "error,key,multiplicity").out
    assert found.count("\n") == 3
    assert f"{' '.join(error.split())}  {calculation.key}" in found


@pytest.mark.parametrize("command", COMMANDS)
def test_a_narrow_terminal_folds_and_loses_nothing(finished, terminal, command):
    whole = finished(*COMMANDS[command])
    assert whole.code == 0
    assert "…" not in whole.out
    for columns in (200, 80, 60, 40, 25):
        terminal(columns)
        folded = finished(*COMMANDS[command]).out
        assert letters(folded) == letters(whole.out), columns
        if columns == 25:
            assert folded.count("\n") > whole.out.count("\n")


def test_a_wide_terminal_does_not_fold(finished, terminal):
    whole = finished("query").out
    terminal(200)
    assert finished("query").out == whole


def test_numbers_fold_last(terminal, capsys):
    def shown(columns):
        terminal(columns)
        table = plain_table()
        table.add_column("text")
        table.add_column("number", no_wrap=True)
        table.add_row("some words that are many", "-1.2345678")
        console().print(table)
        return capsys.readouterr().out

    for columns in (30, 20, 19):
        assert "-1.2345678" in shown(columns)
    assert "-1.2345678" not in shown(14)
    assert letters(shown(14)) == letters(shown(100))


def test_a_real_terminal_is_one_and_a_pipe_is_none(finished, tmp_path):
    command = [sys.executable, "-m", "rocksalt.workflows.cli", "query", "--role", "mixture"]
    environment = {**os.environ, "TERM": "xterm", "NO_COLOR": "1", "FORCE_COLOR": ""}
    piped = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 60, 0, 0))
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdin=its, stdout=its, stderr=subprocess.DEVNULL
    )
    os.close(its)
    answer = b""
    try:
        while part := os.read(ours, 4096):
            answer += part
    except OSError:  # of Linux at the end
        pass
    assert process.wait() == 0
    os.close(ours)
    lines = answer.decode().splitlines()
    assert max(len(line) for line in map(_without_styles, lines)) == 60
    assert len(lines) > piped.stdout.count("\n") == 3 + 6
    assert letters(_without_styles(answer.decode())) == letters(piped.stdout)


def _without_styles(text):
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
