"""A project of jobflow-remote as the queue of a campaign."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any
from uuid import uuid4

from jobflow import Flow, JobStore

from rocksalt.screening.errors import RocksaltError
from rocksalt.stores.addresses import hide_password
from rocksalt.workflows.queues import BATCH_KIND, JobState, QueuedJob, SubmissionDoc

_STATES: dict[str, JobState] = {
    "WAITING": "ready",
    "READY": "ready",
    "CHECKED_OUT": "reserved",
    "UPLOADED": "reserved",
    "SUBMITTED": "reserved",
    "BATCH_SUBMITTED": "reserved",
    "RUNNING": "running",
    "BATCH_RUNNING": "running",
    "RUN_FINISHED": "running",
    "DOWNLOADED": "running",
    "REMOTE_ERROR": "failed",
    "FAILED": "failed",
    "PAUSED": "paused",
    "STOPPED": "paused",
    "USER_STOPPED": "paused",
    "COMPLETED": "completed",
}
_METADATA = "job.metadata"
_FIELDS = ("db_id", "state", "error", "remote.error", "job.name", _METADATA)
_NO_OUTPUT = "The output file jfremote_out.json"
"""How jobflow-remote's words begin for a job that was ended from outside."""


def check_installed() -> None:
    """Raise when jobflow-remote is missing.

    Raises
    ------
    RocksaltError
        Naming the extra that brings it.
    """
    if find_spec("jobflow_remote") is None:
        raise RocksaltError(
            "--manager jobflow-remote needs the package jobflow-remote: "
            "pip install 'rocksalt[remote]'"
        )


@contextmanager
def _one_line(project: str | None) -> Iterator[None]:
    try:
        yield
    except RocksaltError:
        raise
    except Exception as error:  # the configuration's, pydantic's and pymongo's
        reason = hide_password(" ".join(str(error).split()))[:200]
        raise RocksaltError(
            f"jobflow-remote project {project or '(the only one)'}: {type(error).__name__}: {reason}: "
            "'jf project check' looks into it"
        ) from error


class RemoteQueue:
    """Jobs in a jobflow-remote project whose job store is the store of the results.

    Parameters
    ----------
    store
        Where results are looked for. The project must put them there.
    project
        Name of the project; jobflow-remote's default when not given.
    worker
        By engine, or under ``None`` for all: name of a worker. The project's first when not given.
    """

    def __init__(
        self,
        store: JobStore,
        project: str | None = None,
        worker: Mapping[str | None, str] | None = None,
    ) -> None:
        check_installed()
        self.project = project
        self.worker = worker or {}
        with _one_line(project):
            from jobflow_remote.config.manager import ConfigManager
            from jobflow_remote.jobs.jobcontroller import JobController

            settings = ConfigManager().get_project(project)
            self.project = settings.name
            self.controller = JobController.from_project(settings)
            initialised = self.controller.auxiliary.find_one({"next_id": {"$exists": True}})
            there = _same_store(store, settings.get_jobstore())
        if initialised is None:
            raise RocksaltError(
                f"jobflow-remote project {self.project}: its queue is not initialised: 'jf admin reset'"
            )
        if not there:
            raise RocksaltError(
                f"jobflow-remote project {self.project} puts results into another store than "
                f"{hide_password(store.docs_store.name)}: set the project's jobstore to that one "
                "(collection docs), or give --store"
            )
        unknown = sorted(set(self.worker.values()) - set(settings.workers))
        if unknown:
            raise RocksaltError(
                f"--worker {unknown[0]!r}: the project {self.project} has {', '.join(settings.workers)}"
            )

    @property
    def label(self) -> str:
        """What and where it is."""
        return f"jobflow-remote project {self.project}"

    @property
    def worker_command(self) -> str:
        """What starts the runner, which starts the workers."""
        return f"jf -p {self.project} runner start"

    def where(self, campaign: str) -> SubmissionDoc:
        """Return what finds this queue again."""
        return SubmissionDoc(campaign=campaign, manager="jobflow-remote", project=self.project)

    def held_keys(self) -> set[str]:
        """Return the calculations of all jobs that are not completed."""
        criteria = {f"{_METADATA}.kind": BATCH_KIND, "state": {"$ne": "COMPLETED"}}
        with _one_line(self.project):
            found = self.controller.jobs.find(criteria, {f"{_METADATA}.keys": 1})
            return {key for job in found for key in job["job"]["metadata"]["keys"]}

    def jobs(self, campaign: str) -> list[QueuedJob]:
        """Return the jobs of a campaign."""
        criteria = {f"{_METADATA}.kind": BATCH_KIND, f"{_METADATA}.campaign": campaign}
        with _one_line(self.project):
            found = list(self.controller.jobs.find(criteria, dict.fromkeys(_FIELDS, 1)))
        return [
            queued_job(job) for job in sorted(found, key=lambda job: str(job["db_id"]).zfill(12))
        ]

    def add(self, flow: Flow) -> None:
        """Put the jobs of a flow into the project."""
        from jobflow_remote import submit_flow

        for job in flow.jobs:
            worker = self.worker.get(job.metadata["engine"], self.worker.get(None))
            if worker is not None:
                job.update_config({"manager_config": {"worker": worker}})
        with _one_line(self.project), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Some jobs are not connected", UserWarning)
            submit_flow(flow, project=self.project)

    def requeue(self, jobs: Sequence[QueuedJob]) -> list[tuple[QueuedJob, str]]:
        """Make failed jobs ready again; return those that could not be, and why."""
        refused = []
        for job in jobs:
            try:
                self.controller.rerun_job(db_id=job.number)
            except Exception as error:  # noqa: BLE001  locked, or in a state that cannot be rerun
                refused.append((job, " ".join(f"{type(error).__name__}: {error}".split())))
        return refused

    def complete(self, jobs: Sequence[QueuedJob]) -> list[tuple[QueuedJob, str]]:
        """Do nothing: jobflow-remote's runner looks after jobs whose workers die."""
        return []

    def close(self) -> None:
        """Close the connection."""
        self.controller.close()


def queued_job(found: Mapping[str, Any]) -> QueuedJob:
    """Return a job from its document in the queue."""
    metadata = found["job"]["metadata"]
    state = _STATES.get(found["state"], "paused")
    return QueuedJob(
        number=str(found["db_id"]),
        name=found["job"]["name"],
        state=state,
        stage=metadata["stage"],
        engine=metadata["engine"],
        keys=metadata["keys"],
        cause=_cause(found) if state == "failed" else None,
    )


def _cause(found: Mapping[str, Any]) -> str:
    """Return why a job failed, one line."""
    error = found.get("error") or (found.get("remote") or {}).get("error") or ""
    lines = str(error).strip().splitlines()
    if not lines:
        return "no reason given: see 'jf job info'"
    if lines[-1].startswith(_NO_OUTPUT):  # without the folder, so that many are told in one line
        return (
            "its batch job ended before it was done (cancelled, out of time or memory?): see "
            "queue.err in the folder that 'jf job info' names"
        )
    return hide_password(lines[-1])


def _same_store(store: JobStore, other: JobStore) -> bool:
    """Whether what is written into one store is read from the other."""
    probe = {"uuid": f"probe-{uuid4()}", "index": 1, "metadata": {"kind": "probe"}}
    identity = {"uuid": probe["uuid"]}
    other.connect()
    store.docs_store.update([probe], key=["uuid", "index"])
    try:
        return other.docs_store.query_one(identity, properties=["uuid"]) is not None
    finally:
        store.docs_store.remove_docs(identity)
        other.close()
