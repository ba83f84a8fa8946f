"""What rocksalt needs of a manager's queue, whichever manager it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from jobflow import Flow
from rich.table import Table

JobState = Literal["ready", "reserved", "running", "lost", "failed", "paused", "completed"]
SHOWN_STATES: tuple[JobState, ...] = ("ready", "reserved", "running", "lost", "failed", "paused")


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

    def held_keys(self) -> set[str]:
        """Return the calculations of all jobs that are neither completed nor taken out."""

    def jobs(self, campaign: str) -> list[QueuedJob]:
        """Return the jobs of a campaign."""

    def add(self, flow: Flow) -> None:
        """Put the jobs of a flow into the queue."""

    def requeue(self, jobs: Sequence[QueuedJob]) -> list[tuple[QueuedJob, str]]:
        """Make failed and lost jobs ready again; return those that could not be, and why."""

    def close(self) -> None:
        """Close the connection."""


def unfinished_failures(
    jobs: Iterable[QueuedJob], states: Mapping[str, str], keys: Iterable[str] | None = None
) -> list[QueuedJob]:
    """Return failed and lost jobs with a calculation that is not done.

    Parameters
    ----------
    states
        'done' or 'failed' of the calculations that are stored.
    keys
        Calculations that matter; all when not given.
    """
    wanted = None if keys is None else set(keys)
    return [
        job
        for job in jobs
        if job.state in {"failed", "lost"}
        and any(states.get(k) != "done" and (wanted is None or k in wanted) for k in job.keys)
    ]


def without_results(jobs: Iterable[QueuedJob], states: Mapping[str, str]) -> list[QueuedJob]:
    """Return completed jobs with a calculation that the store does not have."""
    return [
        job for job in jobs if job.state == "completed" and any(k not in states for k in job.keys)
    ]


def queue_table(jobs: Sequence[QueuedJob], states: Mapping[str, str]) -> Table:
    """Return the number of jobs in each state by stage and engine."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    headings = ("stage", "engine", "jobs", *SHOWN_STATES, "completed", "without results")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in {"stage", "engine"} else "right")
    missing = {job.number for job in without_results(jobs, states)}
    over = {j.number for j in jobs if j.state in {"failed", "lost"}}
    over -= {job.number for job in unfinished_failures(jobs, states)}
    groups: dict[tuple[str, str], list[QueuedJob]] = {}
    for job in jobs:
        groups.setdefault((job.stage, job.engine), []).append(job)
    for (stage, engine), members in groups.items():
        counts = [
            sum(j.state == state and j.number not in over for j in members)
            for state in SHOWN_STATES
        ]
        n_completed = sum(j.state == "completed" or j.number in over for j in members)
        n_missing = sum(j.number in missing for j in members)
        table.add_row(stage, engine, *map(str, (len(members), *counts, n_completed, n_missing)))
    return table
