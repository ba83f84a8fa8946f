"""Campaigns in a store: their plans, and what follows from their calculations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version

from jobflow import JobStore
from pydantic import BaseModel

from rocksalt.screening.hull import HullEntry, Rejected
from rocksalt.stores.documents import CampaignDoc
from rocksalt.stores.query import load_campaign_doc
from rocksalt.stores.records import load_summaries, record, save, save_many
from rocksalt.workflows.campaign import Campaign, campaign_from_dict
from rocksalt.workflows.derive import Derived, derive
from rocksalt.workflows.evidence import experiments_on, with_evidence
from rocksalt.workflows.plan import Plan
from rocksalt.workflows.user_phases import UserPhases

DERIVED_KINDS = ["formation-energy", "mixing", "hull", "series", "vacancy", "electronic-structure"]


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
        *(
            (
                "electronic-structure",
                f"{e.engine}-{e.host}",
                e,
                f"electronic structure of Li2{e.host}O3 {e.engine}",
            )
            for e in derived.electronic
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
