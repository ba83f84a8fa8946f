"""``rocksalt check``: the plan of a campaign, and what it lacks."""

from __future__ import annotations

from pathlib import Path

import typer

from rocksalt.workflows.command_parts import (
    CalculatorOption,
    CampaignArgument,
    StoreOption,
    console,
    load_with_engines,
    open_job_store,
    record_of,
    say,
)
from rocksalt.workflows.wording import counted


def check(
    campaign_file: CampaignArgument,
    store: StoreOption = None,
    calculator: CalculatorOption = None,
) -> None:
    """Validate a campaign and print its plan; nothing is computed or written.

    Example: rocksalt check examples/quickstart.yaml
    """
    from rich.table import Table

    from rocksalt.stores.addresses import check_place, hide_password, is_file, store_address
    from rocksalt.stores.records import load_summaries
    from rocksalt.workflows.costs import UNCERTAINTY_FACTOR, hours_in_words, remaining_cpu_hours
    from rocksalt.workflows.plan import make_plan
    from rocksalt.workflows.preflight import Findings, memory, preflight
    from rocksalt.workflows.replay import lacking_in_words
    from rocksalt.workflows.settings import load_settings
    from rocksalt.workflows.stages import STAGE_OF_ROLE, STAGES

    out = console()
    campaign = load_with_engines(campaign_file, calculator)
    record = record_of(calculator)
    findings = Findings() if record else preflight(campaign)
    plan = make_plan(campaign, record.user_phases(campaign) if record else None)
    address = store_address(store, campaign.store, load_settings().store)
    if is_file(address):
        check_place(Path(address).expanduser())
    done = {}
    if _may_hold_results(address):
        done = load_summaries(open_job_store(store, campaign, exists=True), plan.calculations)
    todo = [c for key, c in plan.calculations.items() if key not in done]
    lacking = set()
    if record is None:
        findings += memory(todo, load_settings().workers)
        hours, learned = remaining_cpu_hours(
            plan.calculations.values(),
            {key: s.cpu_s for key, s in done.items() if s.state == "done" and s.cpu_s},
            todo,
        )
    else:
        record.refuse_other_campaign(campaign, plan.calculations.values())
        lacking = {c.key for c in record.lacking(todo)}

    say(
        out,
        f"{campaign.name}: {counted(len(campaign.screened), 'dopant')} in "
        f"{counted(len(campaign.hosts), 'host')}, {counted(len(campaign.pairs), 'pair')}, "
        + (
            f"fraction{'s' if len(campaign.fractions) > 1 else ''} "
            f"{', '.join(f'{f:g}' for f in campaign.fractions)}"
            if campaign.fractions
            else "no mixtures"
        ),
    )
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    last = "in record" if record else "CPU h"
    for heading in ("stage", "engine", "calculations", "in store", "to do", last):
        table.add_column(heading, justify="left" if heading in {"stage", "engine"} else "right")
    planned: dict[tuple[str, str], list[str]] = {}
    for key, calculation in plan.calculations.items():
        stage = STAGE_OF_ROLE[calculation.role]
        planned.setdefault((stage, calculation.engine), []).append(key)
    for (stage, engine), keys in sorted(planned.items(), key=lambda i: STAGES.index(i[0][0])):
        left = [key for key in keys if key not in done]
        numbers = (len(keys), len(keys) - len(left), len(left))
        told = (
            str(sum(key not in lacking for key in left))
            if record
            else hours_in_words(sum(hours[key] for key in left))
        )
        table.add_row(stage, engine, *map(str, numbers), told)
    out.print(table)
    say(
        out,
        f"{counted(len(plan.calculations), 'calculation')}, {len(todo)} to do, "
        f"store {hide_password(address)}",
    )
    if record is not None:
        say(out, f"record {record.name} holds {len(todo) - len(lacking)} of {len(todo)} to do")
    elif todo:
        from_store = f", from finished ones with {', '.join(learned)}" if learned else ""
        say(
            out,
            f"CPU h: {hours_in_words(sum(hours.values()))} to do by estimate{from_store}, within a "
            f"factor of {UNCERTAINTY_FACTOR}",
        )
    if plan.n_merged:
        are = "is" if plan.n_merged == 1 else "are"
        merged = f"{counted(plan.n_merged, 'planned structure')} {are} the same as another"
        say(out, f"{merged}: computed once")
    for note in plan.notes:
        say(out, f"note: {note}")
    for warning in findings.warnings:
        say(out, f"warning: {warning}")
    findings.refuse(str(campaign_file))
    for line in lacking_in_words(c for c in todo if c.key in lacking):
        say(out, line)
    if lacking:
        raise typer.Exit(1)


def _may_hold_results(address: str) -> bool:
    """Whether there is something to look into: a store file that is there, or a server."""
    if address == "memory":
        return False
    if address == "jobflow" or address.startswith("mongodb"):
        return True
    return Path(address).expanduser().exists()
