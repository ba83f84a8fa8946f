"""Hand what a campaign lacks to a queue, each calculation once."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain

from jobflow import JobStore
from maggma.stores import MemoryStore

from rocksalt.screening.errors import RocksaltError
from rocksalt.stores.records import load_states
from rocksalt.stores.sqlite import SQLiteStore
from rocksalt.workflows.batches import BATCH_SIZE, batch_flows, pack
from rocksalt.workflows.campaign import Campaign
from rocksalt.workflows.harvest import harvest
from rocksalt.workflows.plan import make_plan
from rocksalt.workflows.plan_stages import chemical_systems
from rocksalt.workflows.queues import (
    Queue,
    QueuedJob,
    only_unmarked,
    unfinished_failures,
    without_results,
)
from rocksalt.workflows.run import missing_calculations, triage_of
from rocksalt.workflows.stored import save_campaign, save_derived, stored_results
from rocksalt.workflows.triage import joined
from rocksalt.workflows.user_phases import load_user_phases


@dataclass
class Submission:
    """What a submission did.

    Attributes
    ----------
    n_planned, n_stored, n_queued, n_submitted
        Calculations of the campaign: all, in the store, in the queue before, put there now.
    n_jobs, n_flows
        Made of those put there now.
    requeued, not_requeued
        Failed and lost jobs that are ready again, and that are not, with the reason.
    failed
        Failed and lost jobs that were left as they are.
    without_results
        Completed jobs of which a calculation is not in the store: it was submitted once more.
    """

    n_planned: int
    n_stored: int = 0
    n_queued: int = 0
    n_submitted: int = 0
    n_jobs: int = 0
    n_flows: int = 0
    requeued: list[QueuedJob] = field(default_factory=list)
    not_requeued: list[tuple[QueuedJob, str]] = field(default_factory=list)
    failed: list[QueuedJob] = field(default_factory=list)
    without_results: list[QueuedJob] = field(default_factory=list)


def submit_campaign(
    campaign: Campaign,
    store: JobStore,
    queue: Queue,
    *,
    batch_size: int = BATCH_SIZE,
    retry_failed: bool = False,
) -> Submission:
    """Put into a queue what neither the store nor the queue has.

    That heals every loss: what a job is said to have computed and the store does not have is
    submitted like what nobody has computed yet, and nothing that is stored or waiting is.

    Parameters
    ----------
    campaign
        What to compute.
    store
        A connected jobflow store that the workers write into.
    queue
        Opened for that store.
    batch_size
        Calculations per job.
    retry_failed
        Make failed and lost jobs ready again, and compute failed calculations again.

    Raises
    ------
    RocksaltError
        When the campaign is wrong or the queue does not answer.
    """
    user = load_user_phases(campaign.entries, chemical_systems(campaign))
    plan = make_plan(campaign, user)
    if campaign.triage is not None and not missing_calculations(plan, store):
        plan = joined(plan, triage_of(campaign, store, plan, user)[1])
    # What is finished from here on was held when it was asked: nothing is submitted twice.
    held = queue.held_keys()
    jobs = queue.jobs(campaign.name)
    save_campaign(store, campaign, plan, user)
    harvested = harvest(store)
    todo = missing_calculations(plan, store, retry_failed=retry_failed)
    if len(todo) < len(plan.calculations) and campaign.name not in harvested.campaigns:
        save_derived(store, *stored_results(store, campaign.name))  # other campaigns computed it
    outcome = Submission(len(plan.calculations))
    states = load_states(store, set(chain.from_iterable(job.keys for job in jobs)))
    ended = only_unmarked(jobs, states)
    failed = unfinished_failures(jobs, states, [c.key for c in todo])
    if retry_failed:
        held -= set(chain.from_iterable(job.keys for job in ended))
        outcome.not_requeued = queue.requeue(failed) + queue.complete(ended)
        refused = [job for job, _ in outcome.not_requeued]
        outcome.requeued = [job for job in failed if job not in refused]
    else:
        outcome.failed = failed
    fresh = [calculation for calculation in todo if calculation.key not in held]
    # A completed job may have written elsewhere, or its server lost what it wrote.
    missing = {calculation.key for calculation in fresh} - states.keys()
    outcome.without_results = without_results(jobs, missing)
    outcome.n_stored = len(plan.calculations) - len(todo)
    outcome.n_queued = len(todo) - len(fresh)
    batches = pack(fresh, batch_size)
    for flow in batch_flows(campaign.name, batches):
        n_jobs = len(flow.jobs)  # a manager may take them out of the flow
        queue.add(flow)
        outcome.n_flows += 1
        outcome.n_jobs += n_jobs
    outcome.n_submitted = len(fresh)
    return outcome


def check_reachable(store: JobStore) -> str | None:
    """Return a warning about a store that only workers of this machine can write to.

    Raises
    ------
    RocksaltError
        When no other process can: a store in memory, or a file that one process rewrites.
    """
    docs = store.docs_store
    if isinstance(docs, MemoryStore):
        raise RocksaltError(
            f"store {type(docs).__name__}: workers cannot write into the memory of this process: "
            "give --store mongodb://host/database"
        )
    if isinstance(docs, SQLiteStore):
        return (
            f"the store is the file {docs.path}: workers must run on this machine; for others give "
            "--store mongodb://host/database"
        )
    return None
