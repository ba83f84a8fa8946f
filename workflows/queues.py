"""What rocksalt needs of a manager's queue, whichever manager it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal, Protocol

from pydantic import Field
from rich.table import Table

from rocksalt.stores.documents import Document, utc_now
from rocksalt.stores.records import load_document, save
from rocksalt.workflows.wording import counted, listed

if TYPE_CHECKING:
    from jobflow import Flow, JobStore

    from rocksalt.stores.reading import Documents

BATCH_KIND = "batch"
"""``metadata.kind`` of the output of a job, until its calculations are taken in."""

JobState = Literal["ready", "reserved", "running", "lost", "failed", "paused", "completed"]

_COLUMNS = (
    *("ready", "reserved", "running", "lost", "failed", "paused", "completed"),
    "without results",
)
_ALWAYS = {"ready", "running", "failed", "completed"}


class SubmissionDoc(Document):
    """Where a campaign's jobs are, so that its status can be asked without further words."""

    campaign: str
    manager: str
    launchpad: str | None = Field(None, description="Path of FireWorks' LaunchPad file")
    project: str | None = Field(None, description="Project of jobflow-remote")
    submitted_at: datetime = Field(default_factory=utc_now)


@dataclass(frozen=True)
class QueuedJob:
    """A job of a campaign in a queue.

    Attributes
    ----------
    number
        As the manager's own commands name it.
    state
        'reserved' waits in the batch system, 'lost' is said to run but its worker is silent.
    keys
        Of the calculations that it computes.
    cause
        Why it failed, one line.
    """

    number: str
    name: str
    state: JobState
    stage: str
    engine: str
    keys: list[str]
    cause: str | None = None


class Queue(Protocol):
    """A manager's queue, opened for one store of results."""

    @property
    def label(self) -> str:
        """What and where it is, without a password."""

    @property
    def worker_command(self) -> str:
        """What starts a worker."""

    def where(self, campaign: str) -> SubmissionDoc:
        """Return what finds this queue again."""

    def held_keys(self) -> set[str]:
        """Return the calculations of all jobs that are neither completed nor taken out."""

    def jobs(self, campaign: str) -> list[QueuedJob]:
        """Return the jobs of a campaign."""

    def add(self, flow: Flow) -> None:
        """Put the jobs of a flow into the queue."""

    def requeue(self, jobs: Sequence[QueuedJob]) -> list[tuple[QueuedJob, str]]:
        """Make failed and lost jobs ready again; return those that could not be, and why."""

    def complete(self, jobs: Sequence[QueuedJob]) -> list[tuple[QueuedJob, str]]:
        """Mark lost jobs as completed whose results are stored; return as `requeue` does."""

    def close(self) -> None:
        """Close the connection."""


def remember(store: JobStore, submission: SubmissionDoc) -> None:
    """Store where a campaign's jobs are."""
    name = submission.campaign
    save(store, f"submission-{name}", "submission", submission, name, campaign=name)


def remembered(store: Documents, name: str) -> SubmissionDoc | None:
    """Return where a campaign's jobs were put last, or None."""
    output = load_document(store, f"submission-{name}")
    return None if output is None else SubmissionDoc.model_validate(output)


def holds_unharvested(store: Documents) -> bool:
    """Say whether jobs have left outputs whose calculations are not taken in yet."""
    return store.docs_store.query_one({"metadata.kind": BATCH_KIND}, ["uuid"]) is not None


def unfinished_failures(
    jobs: Iterable[QueuedJob], states: Mapping[str, str], keys: Iterable[str] | None = None
) -> list[QueuedJob]:
    """Return failed jobs with a calculation that is not done, and lost ones that left no result.

    Parameters
    ----------
    states
        'done' or 'failed' of the calculations that are stored.
    keys
        Calculations that matter; all when not given.
    """
    wanted = None if keys is None else set(keys)

    def is_open(job: QueuedJob, key: str) -> bool:
        there = key in states if job.state == "lost" else states.get(key) == "done"
        return not there and (wanted is None or key in wanted)

    return [
        job
        for job in jobs
        if job.state in {"failed", "lost"} and any(is_open(job, key) for key in job.keys)
    ]


def only_unmarked(jobs: Iterable[QueuedJob], states: Mapping[str, str]) -> list[QueuedJob]:
    """Return lost jobs whose calculations are all stored: only their end was not marked."""
    return [job for job in jobs if job.state == "lost" and all(k in states for k in job.keys)]


def without_results(jobs: Iterable[QueuedJob], missing: Container[str]) -> list[QueuedJob]:
    """Return completed jobs with a calculation that is missing.

    Parameters
    ----------
    missing
        Calculations that neither the store nor the rest of the queue has.
    """
    return [job for job in jobs if job.state == "completed" and any(k in missing for k in job.keys)]


def queue_table(
    jobs: Sequence[QueuedJob], states: Mapping[str, str], missing: Container[str]
) -> Table:
    """Return the number of jobs in each state by stage and engine; states that none is in are out.

    Parameters
    ----------
    states
        'done' or 'failed' of the calculations that are stored.
    missing
        Calculations that neither the store nor the rest of the queue has.
    """
    empty = {job.number for job in without_results(jobs, missing)}
    unfinished = {job.number for job in unfinished_failures(jobs, states)}
    rows: dict[tuple[str, str], Counter[str]] = {}
    for job in jobs:
        # What a failed job should have computed may have come from elsewhere since.
        over = job.state in {"failed", "lost"} and job.number not in unfinished
        row = rows.setdefault((job.stage, job.engine), Counter())
        row["completed" if over else job.state] += 1
        row["without results"] += job.number in empty
    seen = Counter[str]()
    for row in rows.values():
        seen += row
    columns = [name for name in _COLUMNS if seen[name] or name in _ALWAYS]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("stage", "engine", "jobs", *columns):
        left = heading in {"stage", "engine"}
        table.add_column(heading, justify="left" if left else "right", no_wrap=left)
    for (stage, engine), row in rows.items():
        n_jobs = row.total() - row["without results"]
        table.add_row(stage, engine, str(n_jobs), *(str(row[name]) for name in columns))
    return table


def failures_in_words(failed: Iterable[QueuedJob]) -> list[str]:
    """Return a line for each cause of failed and lost jobs, with the numbers of the jobs."""
    groups: dict[tuple[str, str, str, str], list[str]] = {}
    for job in failed:
        cause = job.cause or "its worker gives no sign of life"
        groups.setdefault((job.state, job.stage, job.engine, cause), []).append(job.number)
    lines = []
    for (state, stage, engine, cause), numbers in groups.items():
        lines.append(
            f"{state}: {counted(len(numbers), 'job')} {listed(numbers)} ({stage} {engine}): {cause}"
        )
    return lines
