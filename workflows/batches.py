"""Calculations packed into jobs that any manager runs; no job needs another one's output."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from jobflow import Flow, Job

from rocksalt.workflows.calculation import Calculation
from rocksalt.workflows.makers import calculate_batch
from rocksalt.workflows.queues import BATCH_KIND
from rocksalt.workflows.stages import STAGE_OF_ROLE

BATCH_SIZE = 15
"""Calculations per job: a manager's overhead per job stays small beside their time."""

JOBS_PER_FLOW = 10
"""Jobs are independent, and a manager's cost per job grows with the size of its flow."""


@dataclass(frozen=True)
class Batch:
    """Calculations of one stage with one engine, computed by one job."""

    stage: str
    engine: str
    calculations: tuple[Calculation, ...]

    @property
    def keys(self) -> list[str]:
        """Identities of the calculations."""
        return [calculation.key for calculation in self.calculations]


def pack(calculations: Iterable[Calculation], batch_size: int = BATCH_SIZE) -> list[Batch]:
    """Return calculations in batches of one stage and engine, in their order.

    Parameters
    ----------
    batch_size
        Calculations per batch at most.
    """
    groups: dict[tuple[str, str], list[Calculation]] = {}
    for calculation in calculations:
        group = STAGE_OF_ROLE[calculation.role], calculation.engine
        groups.setdefault(group, []).append(calculation)
    return [
        Batch(stage, engine, tuple(members[start : start + batch_size]))
        for (stage, engine), members in groups.items()
        for start in range(0, len(members), batch_size)
    ]


def batch_job(campaign: str, batch: Batch, number: int = 1) -> Job:
    """Return the job of a batch; its output is a `CalculationBatchDoc`.

    The job's metadata say whose it is and what it computes, in the queue and in the store.
    """
    made = calculate_batch([c.model_dump(mode="json") for c in batch.calculations])
    made.name = f"{batch.stage} {batch.engine} {number}"
    made.update_metadata(
        {
            "campaign": campaign,
            "kind": BATCH_KIND,
            "stage": batch.stage,
            "engine": batch.engine,
            "keys": batch.keys,
        },
        dynamic=False,
    )
    return made


def batch_flows(
    campaign: str, batches: Sequence[Batch], jobs_per_flow: int = JOBS_PER_FLOW
) -> Iterator[Flow]:
    """Yield flows of independent jobs, one job per batch.

    Parameters
    ----------
    campaign
        Its name.
    jobs_per_flow
        At most this many; 50 is where managers become slow.
    """
    for start in range(0, len(batches), jobs_per_flow):
        jobs: list[Flow | Job] = [
            batch_job(campaign, batch, number)
            for number, batch in enumerate(batches[start : start + jobs_per_flow], start + 1)
        ]
        yield Flow(jobs, name=f"{campaign} {start // jobs_per_flow + 1}")
