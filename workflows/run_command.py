"""``rocksalt run``: a campaign computed on this machine."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from rocksalt.workflows.command_parts import (
    CalculatorOption,
    CampaignArgument,
    FormatOption,
    OutputFormat,
    StoreOption,
    console,
    interrupt,
    load_with_engines,
    open_job_store,
    record_of,
    say,
)
from rocksalt.workflows.results_command import print_ranking
from rocksalt.workflows.submit_command import take_in
from rocksalt.workflows.wording import as_typed, counted

if TYPE_CHECKING:
    from rich.console import Console

    from rocksalt.workflows.campaign import Campaign
    from rocksalt.workflows.run import Outcome


def run(
    campaign_file: CampaignArgument,
    store: StoreOption = None,
    calculator: CalculatorOption = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Worker processes; one per core is a good choice.")
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Compute failed calculations again.")
    ] = False,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Replace a campaign of this name with other content."),
    ] = False,
    output: FormatOption = OutputFormat.table,
) -> None:
    """Run a campaign here; run it again to go on where it stopped.

    Ctrl-C finishes what is running, keeps it, and stops; twice stops at once.

    Example: rocksalt run examples/quickstart.yaml --workers 2
    """
    from rocksalt.stores.query import is_computed
    from rocksalt.workflows.preflight import Findings, preflight
    from rocksalt.workflows.same_name import refuse_other_content
    from rocksalt.workflows.settings import load_settings
    from rocksalt.workflows.worker_server import start_worker_server

    campaign = load_with_engines(campaign_file, calculator)
    record = record_of(calculator)
    findings = Findings() if record else preflight(campaign)
    findings.refuse(str(campaign_file))
    job_store = open_job_store(store, campaign, exists=False)
    if not replace:
        refuse_other_content(job_store, campaign)
    n_workers = workers or load_settings().workers
    if n_workers > 1 and record is None and not is_computed(job_store, campaign.name, retry_failed):
        start_worker_server(campaign.engines)  # it imports while this process does, and plans
    from rocksalt.workflows.progress import ProgressDisplay
    from rocksalt.workflows.run import run_campaign

    messages = console(stderr=True)
    take_in(job_store, messages)
    for note in campaign.notes:
        say(messages, f"note: {note}")
    for warning in findings.warnings:
        say(messages, f"warning: {warning}")
    with _stop_on_ctrl_c(messages) as stop, ProgressDisplay(messages) as display:
        outcome = run_campaign(
            campaign,
            job_store,
            n_workers=n_workers,
            retry_failed=retry_failed,
            record=record,
            stopping=lambda: stop.asked,
            on_plan=display.start,
            on_result=display.advance,
            on_wait=display.wait,
        )
    did = "replayed" if record else "done now"
    again = as_typed("run", campaign_file, store=store, calculator=calculator, workers=workers)
    _print_outcome(messages, campaign, outcome, did, again)
    assert outcome.derived is not None
    print_ranking(campaign, outcome.derived, output, outcome.triage)
    if outcome.interrupted:
        raise typer.Exit(130)
    if outcome.failed or outcome.lacking:
        raise typer.Exit(1)


def _print_outcome(
    messages: Console, campaign: Campaign, outcome: Outcome, did: str, again: str
) -> None:
    from rocksalt.workflows.replay import lacking_in_words

    say(
        messages,
        f"{campaign.name}: {counted(outcome.n_computed, 'calculation')} {did}, "
        f"{outcome.n_reused} reused, {len(outcome.failed)} failed, {outcome.n_planned} in all",
    )
    for what, why in outcome.failed:
        say(messages, f"failed: {what}: {why}")
    for line in [*outcome.remarks, *lacking_in_words(outcome.lacking)]:
        say(messages, line)
    if outcome.interrupted:
        say(messages, f"stopped: go on with '{again}'")


class _Stop:
    def __init__(self) -> None:
        self.asked = False


@contextmanager
def _stop_on_ctrl_c(messages: Console) -> Iterator[_Stop]:
    """Turn the first Ctrl-C (or SIGTERM) into a request and let the second one through."""
    stop = _Stop()

    def ask(signum: int, frame: FrameType | None) -> None:
        if stop.asked:
            interrupt(signum, frame)
        stop.asked = True
        say(messages, "stopping after the calculations that are running; again to stop at once")

    before = {s: signal.signal(s, ask) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
