"""Run a campaign here: do what is missing, keep every result, derive the ranking."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from importlib.metadata import version

import psutil
from jobflow import JobStore
from pydantic import BaseModel

from rocksalt.screening.errors import RocksaltError
from rocksalt.screening.hull import HullEntry, Rejected
from rocksalt.stores.documents import (
    CalculationDoc,
    CampaignDoc,
    RankingDoc,
    RunDoc,
    utc_now,
)
from rocksalt.stores.query import load_campaign_doc
from rocksalt.stores.records import (
    calculation_record,
    load_document,
    load_states,
    load_summaries,
    record,
    save,
    save_many,
)
from rocksalt.workflows.calculation import Calculation
from rocksalt.workflows.campaign import Campaign, campaign_from_dict
from rocksalt.workflows.derive import Derived, derive
from rocksalt.workflows.engines import get_engine
from rocksalt.workflows.executor import compute
from rocksalt.workflows.plan import Plan, make_plan
from rocksalt.workflows.plan_stages import chemical_systems
from rocksalt.workflows.user_phases import UserPhases, load_user_phases

DERIVED_KINDS = ["formation-energy", "mixing", "hull", "series", "vacancy"]


@dataclass
class Outcome:
    """What a run did.

    Attributes
    ----------
    n_planned, n_reused, n_computed
        Calculations of the campaign, found in the store, and computed now (failed ones too).
    failed
        Failed calculations of the campaign, those found in the store included.
    interrupted
        Whether the run was asked to stop before the end.
    ranking
        From all calculations that are there.
    """

    n_planned: int
    n_reused: int
    n_computed: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    interrupted: bool = False
    ranking: RankingDoc | None = None


def check_engines(campaign: Campaign) -> None:
    """Raise when an engine of the campaign is not installed, before anything starts."""
    for name in campaign.engines:
        get_engine(name).check_installed()


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


def run_campaign(
    campaign: Campaign,
    store: JobStore,
    *,
    n_workers: int = 1,
    retry_failed: bool = False,
    stopping: Callable[[], bool] = lambda: False,
    on_plan: Callable[[Plan, list[Calculation]], None] = lambda plan, todo: None,
    on_result: Callable[[CalculationDoc], None] = lambda document: None,
) -> Outcome:
    """Compute what a campaign lacks in a store, and derive its ranking.

    Every result is in the store before the next one is looked at: a run that is killed and started
    again repeats no finished calculation.

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
    stopping
        Asked between calculations; true ends the run after those that are running.
    on_plan, on_result
        Called with the plan and what is missing, and with every result, for progress.

    Raises
    ------
    RocksaltError
        When an engine is missing, or another process runs this campaign in this store.
    """
    check_engines(campaign)
    user = load_user_phases(campaign.entries, chemical_systems(campaign))
    plan = make_plan(campaign, user)
    _refuse_second_run(store, campaign.name)
    started = RunDoc(
        name=campaign.name,
        host=socket.gethostname(),
        pid=os.getpid(),
        n_workers=n_workers,
        started_at=utc_now(),
    )
    save_campaign(store, campaign, plan, user)
    save(store, f"run-{campaign.name}", "run", started, campaign.name, campaign=campaign.name)
    todo = missing_calculations(plan, store, retry_failed=retry_failed)
    outcome = Outcome(len(plan.calculations), len(plan.calculations) - len(todo))
    on_plan(plan, todo)
    try:
        with closing(compute(todo, n_workers, stopping)) as documents:
            for document in documents:
                save_many(store, [calculation_record(document)])
                outcome.n_computed += 1
                on_result(document)
    finally:
        ended = started.model_copy(update={"ended_at": utc_now()})
        save(store, f"run-{campaign.name}", "run", ended, campaign.name, campaign=campaign.name)
    outcome.interrupted = outcome.n_computed < len(todo)
    derived = results_of(
        campaign, store, list(plan.calculations), plan.arrangements(), user, outcome.n_reused
    )
    save_derived(store, campaign, derived)
    outcome.ranking = derived.ranking
    outcome.failed = [(f["what"], f["why"]) for f in derived.failed]
    return outcome


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
    return derive(campaign, summaries.values(), counts, user.entries)


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


def live_run(store: JobStore, name: str) -> RunDoc | None:
    """Return the run of a campaign that a process of this machine is at, or None."""
    output = load_document(store, f"run-{name}")
    if output is None:
        return None
    run = RunDoc.model_validate(output)
    elsewhere = run.host != socket.gethostname() or run.pid == os.getpid()
    return None if run.ended_at is not None or elsewhere or not _is_alive(run) else run


def _is_alive(run: RunDoc) -> bool:
    try:
        process = psutil.Process(run.pid)
        # A number that went to a process born after the run began is not that run.
        return (
            process.status() not in {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}
            and process.create_time() <= run.started_at.timestamp() + 1
        )
    except psutil.NoSuchProcess:
        return False


def _refuse_second_run(store: JobStore, name: str) -> None:
    run = live_run(store, name)
    if run is not None:
        raise RocksaltError(
            f"campaign {name!r} is being run in this store by process {run.pid}: wait for it, "
            f"or stop it with 'kill {run.pid}'"
        )
