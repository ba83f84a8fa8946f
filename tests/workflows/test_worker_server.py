"""Worker processes: their environment, their signals, and that none outlives its parent."""

from __future__ import annotations

import multiprocessing as mp
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from multiprocessing import forkserver
from pathlib import Path

import pytest

from rocksalt.workflows.worker_server import (
    MODULES_VARIABLE,
    _modules_of,
    start_worker,
    start_worker_server,
)

PATIENCE_S = 120
REPORT = """
import os, signal, sys
blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
ignored = [s for s in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(s) is signal.SIG_IGN]
pipe.send((dict(os.environ), blocked, ignored, "rocksalt.workflows.worker_imports" in sys.modules))
pipe.poll(None)  # until it is closed
"""

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="no server elsewhere")


@contextmanager
def reporting_worker():
    """Start a worker that sends what it sees and waits; yield its process and the report."""
    here, there = mp.Pipe()
    process = start_worker(exec, REPORT, {"pipe": there})
    there.close()
    assert here.poll(PATIENCE_S)
    yield process, here.recv()
    here.close()
    process.join(PATIENCE_S)


def test_a_worker_has_the_environment_of_now_and_leaves_signals_alone(monkeypatch):
    for value in ("first", "second"):
        monkeypatch.setenv("ROCKSALT_TEST", value)
        with reporting_worker() as (process, (environment, blocked, ignored, _)):
            assert environment["ROCKSALT_TEST"] == value
            assert MODULES_VARIABLE not in environment
            assert not blocked & {signal.SIGINT, signal.SIGTERM}
            assert ignored == [signal.SIGINT, signal.SIGTERM]
            assert process.is_alive()
        assert process.exitcode == 0


@on_linux
def test_the_server_changes_nothing_here():
    before = dict(os.environ)
    assert start_worker_server(["mock"])
    assert dict(os.environ) == before
    with reporting_worker() as (_, (*_, imported)):
        assert imported


@on_linux
def test_without_a_socket_for_the_server_a_worker_imports_for_itself(monkeypatch):
    def refuse():
        raise OSError("AF_UNIX path too long")

    monkeypatch.setattr(forkserver, "ensure_running", refuse)
    with reporting_worker() as (_, (_, blocked, ignored, imported)):
        assert not imported
        assert not blocked & {signal.SIGINT, signal.SIGTERM}
        assert ignored == [signal.SIGINT, signal.SIGTERM]


def test_what_the_server_imports_for_engines():
    assert _modules_of(["mock", "gpaw"]) == []
    assert _modules_of(["chgnet", "sevennet-0", "chgnet-r2scan"]) == [
        "chgnet.model.model",
        "sevenn.calculator",
    ]


PARENT = """
import time
from rocksalt.workflows.worker_server import start_worker

if __name__ == "__main__":
    print(start_worker(time.sleep, 3600).pid, flush=True)
    time.sleep(3600)
"""


def lives(pid):
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]
    except OSError:
        return False


@on_linux
def test_a_busy_worker_ends_with_its_parent(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as parent:
        worker = parent.stdout.readline().strip()
        assert lives(worker)
        parent.kill()
    end = time.monotonic() + PATIENCE_S
    while lives(worker):
        assert time.monotonic() < end, "the worker lives on"
        time.sleep(0.05)
