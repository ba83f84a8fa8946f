"""``rocksalt status``: how far campaigns are."""

from __future__ import annotations

from rocksalt.screening.errors import RocksaltError
from rocksalt.workflows.command_parts import (
    NameArgument,
    StoreOption,
    console,
    open_to_read,
    say,
)
from rocksalt.workflows.submit_command import LaunchpadOption, print_queue, take_in


def status(
    name: NameArgument = None,
    store: StoreOption = None,
    launchpad: LaunchpadOption = None,
) -> None:
    """Say per stage what is done, running, waiting and failed, and why.

    For a campaign that was submitted also what its queue says.

    Example: rocksalt status quickstart
    """
    from rich.table import Table

    from rocksalt.stores.query import load_campaign_keys
    from rocksalt.stores.records import campaign_names, load_states, load_summaries
    from rocksalt.stores.runs import live_runs
    from rocksalt.workflows.stages import STAGE_OF_ROLE

    out = console()
    documents = open_to_read(store)
    take_in(documents, console(stderr=True))
    names = [name] if name else campaign_names(documents)
    if not names:
        raise RocksaltError("the store holds no campaign: start one with 'rocksalt run CAMPAIGN'")
    for each in names:
        keys_of = load_campaign_keys(documents, each)
        states = load_states(
            documents, (k for r in keys_of.values() for keys in r.values() for k in keys)
        )
        runs = live_runs(documents, each)
        idle = sum(run.n_workers for run in runs)
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for heading in ("stage", "engine", "of", "done", "running", "waiting", "failed"):
            table.add_column(heading, justify="left" if heading in {"stage", "engine"} else "right")
        planned: dict[tuple[str, str], list[str]] = {}
        for engine, roles in keys_of.items():
            for role, members in roles.items():
                planned.setdefault((STAGE_OF_ROLE[role], engine), []).extend(members)
        for (stage, engine), keys in planned.items():
            found = [states[key] for key in keys if key in states]
            failed = found.count("failed")
            left = len(keys) - len(found)
            running = min(idle, left)  # workers take calculations in the order of the plan
            idle -= running
            numbers = (len(keys), len(found) - failed, running, left - running, failed)
            table.add_row(stage, engine, *(str(n) for n in numbers))
        processes = ", ".join(str(run.pid) for run in runs)
        state = f"running (process {processes})" if runs else "not running"
        say(out, f"{each}: {state}")
        out.print(table)
        failures = load_summaries(documents, (k for k, s in states.items() if s == "failed"))
        for summary in failures.values():
            say(out, f"failed: {summary.label} with {summary.engine}: {summary.error}")
        print_queue(out, documents, each, launchpad, store)
