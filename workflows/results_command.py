"""``rocksalt results``: the ranking of a campaign."""

from __future__ import annotations

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

    from rocksalt.stores.triage_documents import TriageDoc
    from rocksalt.workflows.campaign import Campaign
    from rocksalt.workflows.derive import Derived


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
    print_ranking(campaign, derived, output, triage, reasons=reasons)


def triage_in(store: JobStore, campaign: Campaign) -> TriageDoc | None:
    """Return the stored triage of a campaign that has one."""
    if campaign.triage is None:
        return None
    from rocksalt.workflows.triage import load_triage

    return load_triage(store, campaign)


def print_ranking(
    campaign: Campaign,
    derived: Derived,
    output: OutputFormat,
    triage: TriageDoc | None,
    *,
    reasons: bool = False,
) -> None:
    """Print a ranking, and under a table what other stages and a triage found."""
    from rocksalt.workflows import tables

    ranking, series, vacancies = derived.ranking, derived.series, derived.vacancies
    if output is OutputFormat.json:
        print(tables.ranking_json(ranking, triage, derived.electronic, series, vacancies))
    elif output is OutputFormat.csv:
        print(tables.ranking_csv(ranking, series), end="")
    else:
        from rocksalt.workflows import phase_tables

        out = console()
        table = tables.ranking_table if campaign.fractions else tables.formation_table
        out.print(table(ranking, reasons=reasons))
        if triage is not None:
            out.print(tables.triage_table(triage))
        for part in (
            *phase_tables.hull_table(ranking),
            *phase_tables.series_tables(ranking, series),
            *phase_tables.vacancy_tables(ranking, vacancies),
        ):
            out.print(part)
        if derived.electronic:
            from rocksalt.workflows.electronic_table import electronic_table

            out.print(electronic_table(derived.electronic))
