"""Run a campaign here: do what is missing, keep every result, derive the ranking."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from jobflow import JobStore

from rocksalt.screening.errors import RocksaltError
from rocksalt.stores.calculation_documents import CalculationDoc
from rocksalt.stores.claims import claims_in
from rocksalt.stores.documents import RankingDoc, RunDoc, utc_now
from rocksalt.stores.electronic_documents import ElectronicStructureDoc
from rocksalt.stores.records import campaign_hashes, load_states, load_summaries
from rocksalt.stores.runs import live_runs, save_run
from rocksalt.stores.triage_documents import TriageDoc
from rocksalt.workflows.calculation import Calculation
from rocksalt.workflows.campaign import Campaign
from rocksalt.workflows.costs import estimated_cpu_hours
from rocksalt.workflows.derive import Derived
from rocksalt.workflows.plan import Plan, make_plan
from rocksalt.workflows.plan_stages import chemical_systems
from rocksalt.workflows.preflight import memory, preflight
from rocksalt.workflows.replay import Record, ReplayedWork, active_record
from rocksalt.workflows.shared_work import SharedWork
from rocksalt.workflows.stored import results_of, save_campaign, save_derived
from rocksalt.workflows.triage import (
    Purse,
    concluded,
    decide,
    deciding_plan,
    joined,
    load_triage,
    save_triage,
    spent_cpu_hours,
)
from rocksalt.workflows.user_phases import UserPhases, load_user_phases


@dataclass
class Outcome:
    """What a run did.

    Attributes
    ----------
    n_planned, n_reused, n_computed
        Calculations of the campaign, taken from the store (what other runs computed meanwhile is
        among them), and computed now (failed ones too).
    n_left, n_unpaid
        Those not computed: the run was stopped, or the budget of a triage is spent.
    failed
        Failed calculations of the campaign, those found in the store included.
    interrupted
        Whether the run was asked to stop before the end.
    ranking
        From all calculations that are there.
    lacking
        Of a replay: what the record does not hold. It stays to do.
    remarks
        Engines that are installed in another version than the replayed one, a budget that is spent.
    triage
        Who went to the engine that decides, in a campaign with a triage.
    electronic
        Electronic structures, in a campaign with that stage.
    derived
        All that follows from the calculations, `ranking` and `electronic` among it.
    """

    n_planned: int = 0
    n_reused: int = 0
    n_computed: int = 0
    n_left: int = 0
    n_unpaid: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    interrupted: bool = False
    ranking: RankingDoc | None = None
    lacking: list[Calculation] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    triage: TriageDoc | None = None
    electronic: list[ElectronicStructureDoc] = field(default_factory=list)
    derived: Derived | None = None


def check_engines(campaign: Campaign) -> None:
    """Raise when an engine of the campaign lacks something, before anything starts."""
    preflight(campaign).refuse(f"campaign {campaign.name!r}")


def missing_calculations(
    plan: Plan, store: JobStore, *, retry_failed: bool = False
) -> list[Calculation]:
    """Return the calculations of a plan that the store does not have.

    Parameters
    ----------
    retry_failed
        Count failed ones as missing.
    """
    states = load_states(store, plan.calculations)
    return [
        calculation
        for key, calculation in plan.calculations.items()
        if key not in states or (retry_failed and states[key] == "failed")
    ]


def _failed_before(store: JobStore, plan: Plan) -> dict[str, datetime | None]:
    """Return when each failed calculation of a plan was computed, by key."""
    summaries = load_summaries(store, plan.calculations)
    return {key: s.completed_at for key, s in summaries.items() if s.state == "failed"}


def run_campaign(
    campaign: Campaign,
    store: JobStore,
    *,
    n_workers: int = 1,
    retry_failed: bool = False,
    record: Record | None = None,
    stopping: Callable[[], bool] = lambda: False,
    on_plan: Callable[[Plan, list[Calculation]], None] = lambda plan, todo: None,
    on_result: Callable[[CalculationDoc], None] = lambda document: None,
    on_wait: Callable[[int], None] = lambda n: None,
) -> Outcome:
    """Compute what a campaign lacks in a store, and derive its ranking.

    A run that is killed and started again repeats no calculation that had ended, save less than
    `shared_work.HOLD_S` of quick ones. Several runs may share the work.

    Parameters
    ----------
    campaign
        What to compute.
    store
        A connected jobflow store.
    n_workers
        Worker processes.
    retry_failed
        Compute failed calculations again.
    record
        Take results from here and compute none. Default: what ROCKSALT_REPLAY names, if it is set.
    stopping
        Asked between calculations; true ends the run after those that are running.
    on_plan, on_result, on_wait
        Called with the plan and what is missing, with every result once it is stored, and with the
        number of calculations that other runs are still at; for progress.

    Raises
    ------
    RocksaltError
        When an engine or what it needs is missing, a calculation does not fit into memory, the record
        holds nothing of the campaign, or another process runs other content under this name.
    """
    record = record or active_record()
    if record is None:
        check_engines(campaign)
    user = record.user_phases(campaign) if record else None
    user = user or load_user_phases(campaign.entries, chemical_systems(campaign))
    plan = make_plan(campaign, user)
    if record is not None:
        record.refuse_other_campaign(campaign, plan.calculations.values())
    _refuse_second_run(store, campaign)
    started = RunDoc(
        name=campaign.name,
        host=socket.gethostname(),
        pid=os.getpid(),
        n_workers=n_workers,
        started_at=utc_now(),
    )
    outcome = Outcome(remarks=user.notes)

    def compute(
        part: Plan, stop: Callable[[], bool], take: Callable[[CalculationDoc], None]
    ) -> None:
        """Compute what the store lacks of a part of the plan."""
        failed_before = _failed_before(store, part) if retry_failed else {}
        todo = missing_calculations(part, store, retry_failed=retry_failed)
        work: SharedWork | ReplayedWork
        if record is None:
            memory(todo, n_workers).refuse(f"campaign {campaign.name!r}")
            work = SharedWork(store, todo, redo=failed_before, on_result=take, on_wait=on_wait)
        else:
            work = ReplayedWork(record, store, todo, on_result=take)
        on_plan(part, todo)
        work.compute(n_workers, stop)
        if isinstance(work, ReplayedWork):
            outcome.lacking += work.lacking
            outcome.remarks += work.remarks()
        outcome.n_planned += len(part.calculations)
        outcome.n_computed += work.n_computed
        outcome.n_left += len(work.left)

    if record is None:
        memory(missing_calculations(plan, store), n_workers).refuse(f"campaign {campaign.name!r}")
    save_campaign(store, campaign, plan, user)
    save_run(store, started)
    if record is not None:
        record.copy_triage(campaign, store)
    document = None
    try:
        compute(plan, stopping, on_result)
        if campaign.triage is not None and not outcome.n_left:
            document, second = triage_of(campaign, store, plan, user)
            plan = joined(plan, second)
            save_campaign(store, campaign, plan, user)
            purse = Purse(document, spent_cpu_hours(store, document))
            compute(second, lambda: stopping() or purse.is_empty, purse.pays(on_result))
            if purse.is_empty and outcome.n_left and not stopping():
                outcome.remarks.append(purse.in_words(outcome.n_left))
                outcome.n_unpaid, outcome.n_left = outcome.n_left, 0
                outcome.lacking = []  # of a replay: not paid for, so not recorded
    finally:
        save_run(store, started.model_copy(update={"ended_at": utc_now()}))
    outcome.interrupted = outcome.n_left > len(outcome.lacking)
    outcome.n_reused = outcome.n_planned - outcome.n_computed - outcome.n_left - outcome.n_unpaid
    derived = results_of(
        campaign, store, list(plan.calculations), plan.arrangements(), user, outcome.n_reused
    )
    save_derived(store, campaign, derived)
    if document is not None:
        outcome.triage = conclude(store, document, derived)
    outcome.ranking = derived.ranking
    outcome.electronic = derived.electronic
    outcome.derived = derived
    outcome.failed = [(f["what"], f["why"]) for f in derived.failed]
    return outcome


def triage_of(
    campaign: Campaign, store: JobStore, plan: Plan, user: UserPhases
) -> tuple[TriageDoc, Plan]:
    """Return a campaign's triage and the calculations of the engine that decides.

    It is decided once, when everything that screens is there, and stored.

    Parameters
    ----------
    plan
        Of the engines that screen, computed.
    """
    document = load_triage(store, campaign)
    if document is None:
        before = results_of(campaign, store, list(plan.calculations), plan.arrangements(), user)
        unpaid = decide(campaign, before.ranking, lambda calculation: 0.0)
        there = load_states(store, deciding_plan(campaign, unpaid).calculations)
        document = decide(campaign, before.ranking, estimated_cpu_hours, there)
        save_triage(store, document)
    return document, deciding_plan(campaign, document)


def conclude(store: JobStore, document: TriageDoc, derived: Derived) -> TriageDoc:
    """Store a triage with what came of it, and return it."""
    ended = concluded(
        document,
        derived.ranking,
        derived.formations,
        derived.mixings,
        spent_cpu_hours(store, document),
    )
    save_triage(store, ended)
    return ended


def _refuse_second_run(store: JobStore, campaign: Campaign) -> None:
    """Raise when others run this name with other content, or could not know of this run."""
    runs = live_runs(store, campaign.name)
    if not runs:
        return
    same = campaign_hashes(store).get(campaign.name) == campaign.content_hash
    if not same or not claims_in(store).shared:
        reason = "with other content " if not same else ""
        raise RocksaltError(
            f"campaign {campaign.name!r} is being run {reason}in this store by process "
            f"{runs[0].pid}: wait for it, or stop it with 'kill {runs[0].pid}'"
        )
