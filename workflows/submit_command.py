"""``rocksalt submit``: hand a campaign to a cluster, and what its queue says in ``status``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Mapping, Sequence
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rocksalt.screening.errors import RocksaltError

if TYPE_CHECKING:
    from jobflow import JobStore
    from rich.console import Console

    from rocksalt.stores.reading import Documents
    from rocksalt.workflows.queues import Queue, QueuedJob, SubmissionDoc
    from rocksalt.workflows.submission import Submission

_PASSWORD_NOTE = (
    "the store's password is not put into the queue: each worker needs the store's address as {}"
)


class Manager(StrEnum):
    """Who runs the jobs."""

    fireworks = "fireworks"
    jobflow_remote = "jobflow-remote"


LaunchpadOption = Annotated[
    Path | None,
    typer.Option(
        "--launchpad",
        "-l",
        metavar="FILE",
        help="FireWorks' LaunchPad file. Default: the one that FireWorks is configured with.",
    ),
]


def submit(
    campaign_file: Annotated[
        Path, typer.Argument(metavar="CAMPAIGN", help="Campaign file (YAML).")
    ],
    manager: Annotated[
        str, typer.Option(metavar="fireworks|jobflow-remote", help="Who runs the jobs.")
    ],
    store: Annotated[
        str | None,
        typer.Option(
            "--store",
            metavar="mongodb://...|jobflow|PATH",
            help="Where workers put results. 'jobflow': the JOB_STORE of their own configuration.",
        ),
    ] = None,
    launchpad: LaunchpadOption = None,
    project: Annotated[
        str | None, typer.Option(help="jobflow-remote's project. Default: its own default.")
    ] = None,
    worker: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[ENGINE=]NAME",
            help="Worker (FireWorks' _fworker) of all jobs or of an engine's; may be repeated.",
        ),
    ] = None,
    category: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[ENGINE=]NAME",
            help="FireWorks' _category of all jobs or of an engine's; may be repeated.",
        ),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Calculations per job.")] = 15,
    retry_failed: Annotated[
        bool,
        typer.Option(
            "--retry-failed",
            help="Run failed and lost jobs again, and compute failed calculations again.",
        ),
    ] = False,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Replace a campaign of this name with other content."),
    ] = False,
    lost_after: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="Silence after which a running job is lost. Default: FireWorks' (4 hours).",
        ),
    ] = None,
) -> None:
    """Hand what a campaign lacks to a cluster's manager; submitting again adds nothing twice.

    Example: rocksalt submit screen.yaml --manager fireworks --store mongodb://host/screen
    """
    from rocksalt.stores.addresses import has_password, store_address
    from rocksalt.stores.opening import open_store
    from rocksalt.workflows.campaign import load_campaign
    from rocksalt.workflows.command_parts import console
    from rocksalt.workflows.preflight import preflight
    from rocksalt.workflows.queues import remember
    from rocksalt.workflows.same_name import refuse_other_content
    from rocksalt.workflows.settings import load_settings
    from rocksalt.workflows.submission import check_reachable, submit_campaign
    from rocksalt.workflows.wording import as_typed
    from rocksalt.workflows.worker_store import WHERE_IT_IS_SET, store_for_workers

    chosen = _manager(manager)
    campaign = load_campaign(campaign_file)
    findings = preflight(campaign, here=False)  # programs and packages are the workers' affair
    findings.refuse(str(campaign_file))
    for option, value in _foreign_options(chosen, launchpad, project, category, lost_after):
        raise RocksaltError(f"{option} {value}: not an option of --manager {chosen}")
    workers = by_engine("--worker", worker or [], campaign.engines)
    categories = by_engine("--category", category or [], campaign.engines)
    address = store_address(store, campaign.store, load_settings().store)
    open_queue = _opener(chosen, launchpad, project, workers, categories, lost_after)
    with closing(open_store(address)) as job_store:
        if not replace:
            refuse_other_content(job_store, campaign)
        warning = check_reachable(job_store)
        carried = store_for_workers(address, job_store, campaign.name)
        with closing(open_queue(job_store, carried)) as queue:
            messages = console(stderr=True)
            if chosen is Manager.fireworks and has_password(address):
                warning = _PASSWORD_NOTE.format(WHERE_IT_IS_SET)
            for note in [*campaign.notes, *([warning] if warning else [])]:
                messages.print(f"note: {note}", soft_wrap=True)
            for found in findings.warnings:
                messages.print(f"warning: {found}", soft_wrap=True)
            remember(job_store, queue.where(campaign.name))
            outcome = submit_campaign(
                campaign, job_store, queue, batch_size=batch, retry_failed=retry_failed
            )
    _print_submission(console(), campaign.name, queue.label, outcome)
    if outcome.failed:
        retry = as_typed(
            "submit",
            campaign_file,
            manager=chosen,
            store=store,
            launchpad=launchpad,
            project=project,
            worker=worker,
            category=category,
            retry_failed=True,
        )
        _print_failed(messages, outcome.failed, f"run them again with '{retry}'")
    for job, why in outcome.not_requeued:
        messages.print(f"not run again: job {job.number} ({job.name}): {why}", soft_wrap=True)
    if outcome.n_jobs or outcome.requeued:
        messages.print(
            f"workers compute it, for example '{queue.worker_command}'; 'rocksalt status "
            f"{campaign.name}' shows how far it is",
            soft_wrap=True,
        )


def take_in(store: Documents, messages: Console) -> None:
    """Make documents of what jobs have finished since; say what could not be taken in."""
    from rocksalt.stores.reading import may_only_be_read
    from rocksalt.workflows.queues import holds_unharvested

    try:
        if not holds_unharvested(store):
            return
        if may_only_be_read(store):
            line = "results of finished jobs are not taken in: the store may only be read"
            messages.print(line, soft_wrap=True)
            return
        from rocksalt.stores.opening import job_store_of
        from rocksalt.workflows.harvest import harvest

        outcome = harvest(job_store_of(store))
    except Exception as error:  # of pymongo, which nobody needs who reads a file
        if not type(error).__module__.startswith("pymongo"):
            raise
        # A user who may only read sees what is there.
        from rocksalt.stores.mongo import explained_server_error

        reason = explained_server_error(error)
        messages.print(f"results of finished jobs are not taken in: {reason}", soft_wrap=True)
        return
    for what, why in outcome.unreadable:
        messages.print(f"result of job {what} cannot be read: {why}", soft_wrap=True)


def _manager(name: str) -> Manager:
    try:
        return Manager(name)
    except ValueError:
        known = " or ".join(Manager)
        raise RocksaltError(f"--manager {name!r} is not known: choose {known}") from None


def _foreign_options(
    manager: Manager,
    launchpad: Path | None,
    project: str | None,
    category: list[str] | None,
    lost_after: float | None,
) -> list[tuple[str, object]]:
    """Return the options that only another manager has."""
    if manager is Manager.fireworks:
        options: list[tuple[str, object]] = [("--project", project)]
    else:
        options = [("--launchpad", launchpad), ("--lost-after", lost_after)]
        options += [("--category", value) for value in category or []]
    return [(option, value) for option, value in options if value is not None]


def _opener(
    manager: Manager,
    launchpad: Path | None,
    project: str | None,
    worker: Mapping[str | None, str],
    category: Mapping[str | None, str],
    lost_after_s: float | None,
) -> Callable[[JobStore, JobStore], Queue]:
    """Return what opens the queue for a store; what is wrong without a store is an error here."""
    if manager is Manager.jobflow_remote:
        from rocksalt.workflows.remote_manager import RemoteQueue, check_installed

        check_installed()
        return lambda store, carried: RemoteQueue(store, project, worker)
    from rocksalt.workflows.fireworks_manager import FireworksQueue, open_launchpad

    opened = open_launchpad(launchpad, to_write=True)
    return lambda store, carried: FireworksQueue(
        opened,
        store,
        carried=carried,
        category=category,
        worker=worker,
        lost_after_s=lost_after_s,
    )


def by_engine(option: str, values: Sequence[str], engines: Sequence[str]) -> dict[str | None, str]:
    """Return what ``ENGINE=NAME`` and ``NAME`` (for all engines) say, by engine or under None.

    Raises
    ------
    RocksaltError
        For an engine that the campaign does not have, or two values for one.
    """
    chosen: dict[str | None, str] = {}
    for value in values:
        before, equals, name = value.rpartition("=")
        engine = before if equals else None
        if engine is not None and engine not in engines:
            raise RocksaltError(
                f"{option} {value}: {engine!r} is not an engine of the campaign: {', '.join(engines)}"
            )
        if not name or engine in chosen:
            raise RocksaltError(f"{option} {value}: give one name for all engines, or one for each")
        chosen[engine] = name
    return chosen


def _print_submission(out: Console, name: str, label: str, outcome: Submission) -> None:
    from rocksalt.workflows.wording import counted, listed

    out.print(
        f"{name}: {counted(outcome.n_planned, 'calculation')}, {outcome.n_stored} in the store, "
        f"{outcome.n_queued} in the queue, {outcome.n_submitted} submitted as "
        f"{counted(outcome.n_jobs, 'job')} in {counted(outcome.n_flows, 'workflow')}",
        soft_wrap=True,
    )
    if outcome.requeued:
        numbers = ", ".join(job.number for job in outcome.requeued)
        out.print(f"run again: {counted(len(outcome.requeued), 'job')} ({numbers})", soft_wrap=True)
    if outcome.without_results:
        empty = outcome.without_results
        numbers = listed([job.number for job in empty])
        out.print(
            f"submitted once more: what {counted(len(empty), 'job')} ({numbers}) completed without "
            "leaving it in the store",
            soft_wrap=True,
        )
    out.print(f"queue: {label}", soft_wrap=True)


def _print_failed(to: Console, failed: Sequence[QueuedJob], remedy: str) -> None:
    from rocksalt.workflows.queues import failures_in_words

    for line in failures_in_words(failed):
        to.print(line, soft_wrap=True)
    if failed:
        to.print(f"put right what stopped them, then {remedy}", soft_wrap=True)


def print_queue(
    out: Console, documents: Documents, name: str, launchpad: Path | None, address: str | None
) -> None:
    """Print what the queue of a submitted campaign says; nothing for one that was not submitted.

    A queue that cannot be asked is one line, unless it was asked for by its file.

    Parameters
    ----------
    launchpad
        What ``--launchpad`` says.
    address
        What ``--store`` says, for the commands that are proposed.

    Raises
    ------
    RocksaltError
        When ``launchpad`` is given and cannot be read.
    """
    from rocksalt.workflows.queues import remembered

    submission = remembered(documents, name)
    if launchpad is None and submission is None:
        return
    from rocksalt.stores.opening import job_store_of

    store = job_store_of(documents)
    try:
        queue = _queue_of(store, submission, launchpad)
        with closing(queue):
            jobs, held = queue.jobs(name), queue.held_keys()
    except RocksaltError as error:
        if launchpad is not None:
            raise
        out.print(f"queue: {error}", soft_wrap=True)
        return
    submit_it: dict[str, object] = {"manager": Manager.fireworks, "store": address}
    if submission is not None:
        submit_it["manager"] = submission.manager
        submit_it |= {"launchpad": submission.launchpad, "project": submission.project}
    if launchpad is not None:
        submit_it["launchpad"] = launchpad
    _print_jobs(out, store, name, queue.label, jobs, held, submit_it)


def _print_jobs(
    out: Console,
    store: JobStore,
    name: str,
    label: str,
    jobs: Sequence[QueuedJob],
    held: Container[str],
    submit_it: Mapping[str, object],
) -> None:
    """Print the jobs of a campaign; `submit_it` are the options to submit it with again."""
    from rich.console import Console

    from rocksalt.stores.query import load_campaign_doc
    from rocksalt.stores.records import load_states
    from rocksalt.workflows.queues import queue_table, unfinished_failures
    from rocksalt.workflows.wording import as_typed, counted

    # Of what has finished since, so that no job seems to have left nothing.
    take_in(store, Console(quiet=True))
    planned = load_campaign_doc(store, name).all_keys
    states = load_states(store, {*planned, *(key for job in jobs for key in job.keys)})
    missing = {key for key in planned if key not in states and key not in held}
    out.print(f"queue: {label}: {counted(len(jobs), 'job')}", soft_wrap=True)
    if jobs:
        out.print(queue_table(jobs, states, missing))
    failed = unfinished_failures(jobs, states)
    retry = as_typed("submit", "CAMPAIGN", **submit_it, retry_failed=True)
    _print_failed(out, failed, f"run them again with '{retry}'")
    _print_missing(out, jobs, missing, as_typed("submit", "CAMPAIGN", **submit_it))


def _print_missing(
    out: Console, jobs: Sequence[QueuedJob], missing: Collection[str], remedy: str
) -> None:
    """Say what neither the store nor the queue has."""
    from rocksalt.workflows.queues import without_results
    from rocksalt.workflows.wording import counted, listed

    if not missing:
        return
    empty = [job.number for job in without_results(jobs, missing)]
    of_jobs = (
        f" ({counted(len(empty), 'job')} completed without results: {listed(empty)})"
        if empty
        else ""
    )
    elsewhere = "; if workers write elsewhere, correct their store first" if empty else ""
    out.print(
        f"missing: {counted(len(missing), 'calculation')} neither in the store nor in the queue"
        f"{of_jobs}: '{remedy}' submits them{elsewhere}",
        soft_wrap=True,
    )


def _queue_of(store: JobStore, submission: SubmissionDoc | None, launchpad: Path | None) -> Queue:
    if launchpad is None and submission is not None and submission.manager != Manager.fireworks:
        from rocksalt.workflows.remote_manager import RemoteQueue

        return RemoteQueue(store, submission.project)
    from rocksalt.workflows.fireworks_manager import FireworksQueue, open_launchpad

    before = Path(submission.launchpad) if submission and submission.launchpad else None
    if launchpad is None and before is not None and before.is_file():
        launchpad = before  # another machine may have its file elsewhere: FireWorks' own then
    return FireworksQueue(open_launchpad(launchpad), store)
