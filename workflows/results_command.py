"""``rocksalt results``: the ranking of a campaign."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from rocksalt.workflows.command_parts import (
    FormatOption,
    NameArgument,
    OutputFormat,
    StoreOption,
    console,
    only_campaign,
    open_job_store,
)
from rocksalt.workflows.submit_command import take_in

if TYPE_CHECKING:
    from jobflow import JobStore

    from rocksalt.stores.documents import RankingDoc
    from rocksalt.stores.electronic_documents import ElectronicStructureDoc
    from rocksalt.stores.triage_documents import TriageDoc
    from rocksalt.workflows.campaign import Campaign


def results(
    name: NameArgument = None,
    store: StoreOption = None,
    output: FormatOption = OutputFormat.table,
    reasons: Annotated[bool, typer.Option("--reasons", help="Write every reason.")] = False,
) -> None:
    """Print the ranking of a campaign, from all that is computed so far.

    Example: rocksalt results quickstart --format json
    """
    from rocksalt.workflows.stored import stored_results

    job_store = open_job_store(store, exists=True)
    take_in(job_store, console(stderr=True))
    campaign, derived = stored_results(job_store, only_campaign(job_store, name))
    triage = triage_in(job_store, campaign)
    print_ranking(campaign, derived.ranking, output, triage, derived.electronic, reasons=reasons)


def triage_in(store: JobStore, campaign: Campaign) -> TriageDoc | None:
    """Return the stored triage of a campaign that has one."""
    if campaign.triage is None:
        return None
    from rocksalt.workflows.triage import load_triage

    return load_triage(store, campaign)


def print_ranking(
    campaign: Campaign,
    ranking: RankingDoc,
    output: OutputFormat,
    triage: TriageDoc | None,
    electronic: Sequence[ElectronicStructureDoc],
    *,
    reasons: bool = False,
) -> None:
    """Print a ranking, and under a table what a triage decided."""
    from rocksalt.workflows import tables

    if output is OutputFormat.json:
        print(tables.ranking_json(ranking, triage, electronic))
    elif output is OutputFormat.csv:
        print(tables.ranking_csv(ranking), end="")
    else:
        table = tables.ranking_table if campaign.fractions else tables.formation_table
        console().print(table(ranking, reasons=reasons))
        if triage is not None:
            console().print(tables.triage_table(triage))
        if electronic:
            from rocksalt.workflows.electronic_table import electronic_table

            console().print(electronic_table(electronic))
