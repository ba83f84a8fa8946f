"""Runs: which processes are at a campaign."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

from rocksalt.stores.documents import RunDoc
from rocksalt.stores.processes import process_lives
from rocksalt.stores.records import save

if TYPE_CHECKING:
    from jobflow import JobStore

    from rocksalt.stores.reading import Documents


def live_runs(store: Documents, name: str) -> list[RunDoc]:
    """Return the runs of a campaign that other processes of this machine are at."""
    runs = (RunDoc.model_validate(record_["output"]) for record_ in _run_records(store, name))
    return [run for run in runs if run.pid != os.getpid() and _is_live(run)]


def _is_live(run: RunDoc) -> bool:
    here = run.host == socket.gethostname()
    return run.ended_at is None and here and process_lives(run.pid, run.started_at.timestamp())


def _run_records(store: Documents, name: str) -> list[dict[str, Any]]:
    criteria = {"metadata.kind": "run", "metadata.campaign": name}
    return list(store.docs_store.query(criteria, properties=["uuid", "output"]))


def save_run(store: JobStore, run: RunDoc) -> None:
    """Store who runs a campaign, in the place of those of this machine who do no longer."""
    uuid = f"run-{run.name}-{run.host}-{run.pid}"
    save(store, uuid, "run", run, run.name, campaign=run.name)
    others = [r for r in _run_records(store, run.name) if r["uuid"] != uuid]
    over = [
        r["uuid"]
        for r in others
        if r["output"]["host"] == run.host and not _is_live(RunDoc.model_validate(r["output"]))
    ]
    if over:
        store.docs_store.remove_docs({"uuid": {"$in": over}})
