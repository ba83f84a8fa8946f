"""Worker processes, and the server that they are forked from.

What a worker needs takes 5 to 8 CPU seconds to import. The server, a fresh process that holds
neither a thread nor an open store, does it once; a worker that is forked from it begins at once.
The server is multiprocessing's. It ends when the process that started it and all workers have.
"""

from __future__ import annotations

import multiprocessing as mp
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess
from typing import Any

from rocksalt.workflows.threads import limit_threads, missing_thread_variables

MODULES_VARIABLE = "ROCKSALT_WORKER_MODULES"
"""Tells a server that starts which modules of engines to import."""

_FORKS = sys.platform == "linux"
"""Elsewhere libraries of the system may not survive a fork."""

_MODULES = {"chgnet": "chgnet.model.model", "sevenn": "sevenn.calculator"}
"""What engines import, by the name of their package. Only those of which it is known that this
neither looks for an accelerator nor joins an MPI, which a fork would inherit broken."""

_PARENT_DECIDES = (signal.SIGINT, signal.SIGTERM)
"""A terminal and a batch system send these to all processes."""


def start_worker_server(engines: Iterable[str] = ()) -> bool:
    """Start the server, unless it runs, and return while it imports.

    Parameters
    ----------
    engines
        Names of the engines that workers will use: what they need is imported too.

    Returns
    -------
    bool
        Whether there is one: not where a fork is unsafe, or where its socket cannot be made.
    """
    if not _FORKS:
        return False
    from multiprocessing import forkserver

    forkserver.set_forkserver_preload(["rocksalt.workflows.worker_imports"])
    # With threads of BLAS, which no fork takes along, it could not be forked.
    variables = missing_thread_variables() | {MODULES_VARIABLE: " ".join(_modules_of(engines))}
    os.environ.update(variables)
    try:
        with _signals_blocked():
            forkserver.ensure_running()
    except OSError:  # a temporary folder with too long a name, or none
        return False
    finally:
        for name in variables:
            del os.environ[name]
    return True


def _modules_of(engines: Iterable[str]) -> list[str]:
    from rocksalt.workflows.engines import get_engine

    packages = {get_engine(name).module for name in engines}
    return sorted(module for package, module in _MODULES.items() if package in packages)


def start_worker(work: Callable[..., None], *arguments: Any) -> BaseProcess:
    """Start a process that does some work with the environment of this one, and return it.

    It ignores SIGINT and SIGTERM, for its parent decides, and is killed when its parent ends.
    """
    forked = start_worker_server()
    process: BaseProcess = mp.get_context("forkserver" if forked else "spawn").Process(  # type: ignore[attr-defined]  # each context has its own
        target=_begin, args=(dict(os.environ), work, arguments), daemon=True
    )
    if forked:  # from a server that has them blocked
        process.start()
    else:
        with _signals_blocked():
            process.start()
    return process


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Start a process whose first seconds, when it imports, no Ctrl-C reaches either."""
    resource_tracker.ensure_running()  # its start would unblock what is blocked next
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _PARENT_DECIDES)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(environment: dict[str, str], work: Callable[..., None], arguments: Any) -> None:
    for signum in _PARENT_DECIDES:
        signal.signal(signum, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _PARENT_DECIDES)
    threading.Thread(target=_end_with_parent, name="rocksalt-parent", daemon=True).start()
    os.environ.clear()  # it is that of the server's start
    os.environ.update(environment)
    limit_threads()
    work(*arguments)


def _end_with_parent() -> None:
    """Wait for the end of the parent and kill this process then: no orphan computes on."""
    parent = mp.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGKILL)
