"""Run a campaign here: do what is missing, keep every result, derive the ranking."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from importlib.metadata import version
from typing import Any

from jobflow import JobStore
from pydantic import BaseModel

from rocksalt.screening.errors import RocksaltError
from rocksalt.screening.hull import HullEntry, Rejected
from rocksalt.stores.claims import claims_in, process_lives
from rocksalt.stores.documents import (
    CalculationDoc,
    CampaignDoc,
    RankingDoc,
    RunDoc,
    utc_now,
)
from rocksalt.stores.query import load_campaign_doc
from rocksalt.stores.records import (
    campaign_hashes,
    load_states,
    load_summaries,
    record,
    save,
    save_many,
)
from rocksalt.stores.triage_documents import TriageDoc
from rocksalt.workflows.calculation import Calculation
from rocksalt.workflows.campaign import Campaign, campaign_from_dict
from rocksalt.workflows.costs import estimated_cpu_hours
from rocksalt.workflows.derive import Derived, derive
from rocksalt.workflows.evidence import experiments_on, with_evidence
from rocksalt.workflows.plan import Plan, make_plan
from rocksalt.workflows.plan_stages import chemical_systems
from rocksalt.workflows.preflight import memory, preflight
from rocksalt.workflows.replay import Record, ReplayedWork, active_record
from rocksalt.workflows.shared_work import SharedWork
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

DERIVED_KINDS = ["formation-energy", "mixing", "hull", "series", "vacancy"]


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
    outcome = Outcome()

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
    _save_run(store, started)
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
        _save_run(store, started.model_copy(update={"ended_at": utc_now()}))
    outcome.interrupted = outcome.n_left > len(outcome.lacking)
    outcome.n_reused = outcome.n_planned - outcome.n_computed - outcome.n_left - outcome.n_unpaid
    derived = results_of(
        campaign, store, list(plan.calculations), plan.arrangements(), user, outcome.n_reused
    )
    save_derived(store, campaign, derived)
    if document is not None:
        outcome.triage = conclude(store, document, derived)
    outcome.ranking = derived.ranking
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


def results_of(
    campaign: Campaign,
    store: JobStore,
    keys: list[str],
    arrangements: Mapping[str, tuple[str, int | None]],
    user: UserPhases,
    n_reused: int | None = None,
) -> Derived:
    """Return what follows from the calculations that are there.

    Parameters
    ----------
    arrangements
        Name and multiplicity of the mixtures in the campaign's own cells. The stored ones are
        those of the campaign that computed them.
    user
        The user's own phases.
    """
    summaries = load_summaries(store, keys)
    for key, (name, multiplicity) in arrangements.items():
        if key in summaries:
            update = {"prototype": name, "multiplicity": multiplicity}
            summaries[key] = summaries[key].model_copy(update=update)
    done = sum(s.state == "done" for s in summaries.values())
    counts = {
        "calculations": len(keys),
        "done": done,
        "missing": len(keys) - len(summaries),
        "reused": len(summaries) if n_reused is None else n_reused,
        "fallbacks_to_fire": sum(s.n_fallbacks for s in summaries.values()),
        "cpu_s": round(sum(s.cpu_s or 0.0 for s in summaries.values()), 1),
        "warnings": [
            {"what": f"{s.label} with {s.engine}", "why": warning}
            for s in summaries.values()
            for warning in s.warnings
        ],
        "rejected": [{"what": r.entry_id, "why": r.reason} for r in user.rejected],
    }
    derived = derive(campaign, summaries.values(), counts, user.entries)
    measured = experiments_on(store, campaign.screened)
    derived.ranking = with_evidence(derived.ranking, measured)
    return derived


def stored_campaign(store: JobStore, name: str) -> Campaign:
    """Return a stored campaign.

    Raises
    ------
    RocksaltError
        When the store has no campaign of that name.
    """
    document = load_campaign_doc(store, name)
    return campaign_from_dict(document.settings, f"campaign {name!r} in the store")


def stored_results(store: JobStore, name: str) -> tuple[Campaign, Derived]:
    """Return a stored campaign and what follows from its calculations, whole or not.

    Raises
    ------
    RocksaltError
        When the store has no campaign of that name.
    """
    document = load_campaign_doc(store, name)
    campaign = campaign_from_dict(document.settings, f"campaign {name!r} in the store")
    user = UserPhases(
        [HullEntry(**entry) for entry in document.entries],
        rejected=[Rejected(**entry) for entry in document.entries_rejected],
    )
    return campaign, results_of(campaign, store, document.all_keys, document.arrangements, user)


def save_campaign(
    store: JobStore, campaign: Campaign, plan: Plan, user: UserPhases | None = None
) -> None:
    """Store a campaign, its plan and the user's own phases under its name."""
    user = user or UserPhases()
    keys: dict[str, dict[str, list[str]]] = {}
    for key, calculation in plan.calculations.items():
        keys.setdefault(calculation.engine, {}).setdefault(calculation.role, []).append(key)
    document = CampaignDoc(
        name=campaign.name,
        settings=campaign.model_dump(mode="json", exclude={"store"}),
        content_hash=campaign.content_hash,
        keys=keys,
        arrangements=plan.arrangements(),
        entries=[asdict(entry) for entry in user.entries],
        entries_rejected=[asdict(entry) for entry in user.rejected],
        n_merged=plan.n_merged,
        notes=plan.notes,
        rocksalt_version=version("rocksalt"),
    )
    name = campaign.name
    save(store, f"campaign-{name}", "campaign", document, name, campaign=name)


def save_derived(store: JobStore, campaign: Campaign, derived: Derived) -> None:
    """Store a campaign's derived documents; those of an earlier run are replaced."""
    name = campaign.name
    documents: list[tuple[str, str, BaseModel, str]] = [
        *(
            ("formation-energy", f"{f.engine}-{f.cation}", f, f"{f.cation}O {f.engine}")
            for f in derived.formations
        ),
        *(
            (
                "mixing",
                f"{m.engine}-{m.dopant}-{m.host}",
                m,
                f"{m.dopant} in {m.host}O {m.engine}",
            )
            for m in derived.mixings
        ),
        *(
            ("hull", f"{h.engine}-{h.dopant}-{h.host}", h, f"{h.chemical_system} {h.engine}")
            for h in derived.hulls
        ),
        *(
            (
                "series",
                f"{s.engine}-{s.host}-{s.dopant}",
                s,
                f"lithium-deficient Li2{s.host}O3 {s.dopant or ''} {s.engine}",
            )
            for s in derived.series
        ),
        *(
            ("vacancy", f"{v.engine}-{v.cell}", v, f"{v.cell} {v.engine}")
            for v in derived.vacancies
        ),
    ]
    records = [
        record(f"{kind}-{name}-{part}", kind, document, title, campaign=name)
        for kind, part, document, title in documents
    ]
    records.append(record(f"ranking-{name}", "ranking", derived.ranking, name, campaign=name))
    save_many(store, records)
    left_over = {
        "metadata.campaign": name,
        "metadata.kind": {"$in": DERIVED_KINDS},
        "uuid": {"$nin": [r["uuid"] for r in records]},
    }
    store.docs_store.remove_docs(left_over)


def live_runs(store: JobStore, name: str) -> list[RunDoc]:
    """Return the runs of a campaign that other processes of this machine are at."""
    runs = (RunDoc.model_validate(record_["output"]) for record_ in _run_records(store, name))
    return [run for run in runs if run.pid != os.getpid() and _is_live(run)]


def _is_live(run: RunDoc) -> bool:
    here = run.host == socket.gethostname()
    return run.ended_at is None and here and process_lives(run.pid, run.started_at.timestamp())


def _run_records(store: JobStore, name: str) -> list[dict[str, Any]]:
    criteria = {"metadata.kind": "run", "metadata.campaign": name}
    return list(store.docs_store.query(criteria, properties=["uuid", "output"]))


def _save_run(store: JobStore, run: RunDoc) -> None:
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
