"""The command line: ``rocksalt init | check | run | submit | status | results | query | report | ...``."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer
import typer.core
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from rocksalt.screening.errors import RocksaltError
from rocksalt.stores.addresses import hide_password
from rocksalt.workflows import (
    analyze_command,
    hull_command,
    submit_command,
    transfer_commands,
)
from rocksalt.workflows.threads import limit_threads

if TYPE_CHECKING:
    from jobflow import JobStore

    from rocksalt.stores.documents import CalculationDoc, RankingDoc
    from rocksalt.stores.triage_documents import TriageDoc
    from rocksalt.workflows.calculation import Calculation
    from rocksalt.workflows.campaign import Campaign
    from rocksalt.workflows.plan import Plan
    from rocksalt.workflows.replay import Record
    from rocksalt.workflows.run import Outcome


class _Commands(typer.core.TyperGroup):
    """The commands; what is said about a wrong usage shows no password."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as error:  # click has several kinds of usage errors; all go on
            if isinstance(getattr(error, "message", None), str):  # a usage error quotes arguments
                error.message = hide_password(error.message)  # type: ignore[attr-defined]
            raise


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Find dopants that stay in the rock-salt surface of Li-rich cathodes.\n\n"
    "Example: rocksalt init my.yaml; rocksalt check my.yaml; rocksalt run my.yaml",
)


class OutputFormat(StrEnum):
    """How results are printed."""

    table = "table"
    json = "json"
    csv = "csv"


class FigureFormat(StrEnum):
    """How figures are written."""

    pdf = "pdf"
    svg = "svg"
    png = "png"


StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="PATH|mongodb://...|memory|jobflow",
        help="Where results are. Default: the campaign's, ROCKSALT_STORE, jobflow's JOB_STORE when "
        "configured, or results.sqlite.",
    ),
]
FormatOption = Annotated[OutputFormat, typer.Option("--format", help="Output format.")]
NameArgument = Annotated[
    str | None, typer.Argument(metavar="[NAME]", help="Campaign; the only one when left out.")
]
CampaignArgument = Annotated[Path, typer.Argument(metavar="CAMPAIGN", help="Campaign file (YAML).")]


def console(*, stderr: bool = False) -> Console:
    """Return a console; results go to stdout, progress and messages to stderr."""
    return Console(stderr=stderr, highlight=False, soft_wrap=False, markup=False, emoji=False)


def _say(to: Console, line: str) -> None:
    """Print a line whole: a terminal wraps it, and what is copied from it stays in one piece."""
    to.print(line, soft_wrap=True)


def _open(address: str | None, campaign: Campaign | None = None, *, exists: bool) -> JobStore:
    from rocksalt.stores.opening import open_store, store_address
    from rocksalt.workflows.settings import load_settings

    configured = campaign.store if campaign else None
    place = store_address(address, configured, load_settings().store)
    _opened.append(open_store(place, must_exist=exists))
    return _opened[-1]


_opened: list[JobStore] = []  # closed when the command ends

REPLAY = "replay:"
"""Before the address of a record, in the place of engines."""

CalculatorOption = Annotated[
    str | None,
    typer.Option(
        "--calculator",
        metavar="ENGINE,...|replay:RECORD",
        help="Engines to use instead; or the campaign's own, answered from a record: a file of "
        "'rocksalt export' or a store.",
    ),
]


def _record(calculator: str | None) -> Record | None:
    """Return the record that is to stand for the engines, if any."""
    from rocksalt.workflows.replay import Record, active_record

    if calculator is None or not calculator.startswith(REPLAY):
        return active_record()
    record = Record(calculator.removeprefix(REPLAY))
    if record.store is not None:
        _opened.append(record.store)
    return record


def _load(path: Path, calculator: str | None = None) -> Campaign:
    from rocksalt.workflows.campaign import campaign_from_dict, load_campaign

    campaign = load_campaign(path)
    if calculator is None or calculator.startswith(REPLAY):
        return campaign
    data = campaign.model_dump(mode="json")
    return campaign_from_dict({**data, "engines": calculator.split(",")}, f"{path}: --calculator")


@app.command()
def init(
    file: Annotated[Path, typer.Argument(help="File to write.")] = Path("campaign.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")] = False,
) -> None:
    """Write a commented campaign file with every default.

    Example: rocksalt init my-screen.yaml
    """
    import re

    from rocksalt.workflows.campaign import commented_template

    if file.exists() and not force:
        raise RocksaltError(f"{file}: is there already: choose another name or give --force")
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", file.stem).strip("-._")[:80] or "my-screen"
    try:
        file.write_text(commented_template(name), encoding="utf-8")
    except OSError as error:
        raise RocksaltError(f"{file}: cannot be written: {error.strerror}") from error
    _say(console(), f"wrote {file}: edit it, then run 'rocksalt check {file}'")


@app.command()
def check(
    campaign_file: CampaignArgument,
    store: StoreOption = None,
    calculator: CalculatorOption = None,
) -> None:
    """Validate a campaign and print its plan; nothing is computed or written.

    Example: rocksalt check examples/quickstart.yaml
    """
    from rocksalt.stores.opening import store_address
    from rocksalt.stores.records import load_summaries
    from rocksalt.workflows.campaign import STAGE_OF_ROLE, STAGES
    from rocksalt.workflows.costs import UNCERTAINTY_FACTOR, hours_in_words, remaining_cpu_hours
    from rocksalt.workflows.plan import make_plan
    from rocksalt.workflows.preflight import Findings, memory, preflight
    from rocksalt.workflows.replay import lacking_in_words
    from rocksalt.workflows.settings import load_settings

    out = console()
    campaign = _load(campaign_file, calculator)
    record = _record(calculator)
    findings = Findings() if record else preflight(campaign)
    plan = make_plan(campaign, record.user_phases(campaign) if record else None)
    address = store_address(store, campaign.store, load_settings().store)
    done = {}
    if _may_hold_results(address):
        done = load_summaries(_open(store, campaign, exists=True), plan.calculations)
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

    _say(
        out,
        f"{campaign.name}: {len(campaign.screened)} dopants in {len(campaign.hosts)} hosts, "
        f"{len(campaign.pairs)} pairs, "
        + (
            f"fractions {', '.join(f'{f:g}' for f in campaign.fractions)}"
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
    _say(out, f"{len(plan.calculations)} calculations, {len(todo)} to do, store {_shown(address)}")
    if record is not None:
        _say(out, f"record {record.name} holds {len(todo) - len(lacking)} of {len(todo)} to do")
    elif todo:
        from_store = f", from finished ones with {', '.join(learned)}" if learned else ""
        _say(
            out,
            f"CPU h: {hours_in_words(sum(hours.values()))} to do by estimate{from_store}, within a "
            f"factor of {UNCERTAINTY_FACTOR}",
        )
    if plan.n_merged:
        _say(out, f"{plan.n_merged} planned structures are the same as others: computed once")
    for note in plan.notes:
        _say(out, f"note: {note}")
    for warning in findings.warnings:
        _say(out, f"warning: {warning}")
    findings.refuse(str(campaign_file))
    for line in lacking_in_words(c for c in todo if c.key in lacking):
        _say(out, line)
    if lacking:
        raise typer.Exit(1)


def _shown(address: str) -> str:
    from rocksalt.stores.opening import hide_password

    return hide_password(address)


def _may_hold_results(address: str) -> bool:
    """Whether there is something to look into: a store file that is there, or a server."""
    if address == "memory":
        return False
    if address == "jobflow" or address.startswith("mongodb"):
        return True
    return Path(address).expanduser().exists()


@app.command()
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
    from rocksalt.workflows.preflight import Findings, preflight
    from rocksalt.workflows.run import run_campaign
    from rocksalt.workflows.same_name import refuse_other_content
    from rocksalt.workflows.settings import load_settings

    campaign = _load(campaign_file, calculator)
    record = _record(calculator)
    findings = Findings() if record else preflight(campaign)
    findings.refuse(str(campaign_file))
    job_store = _open(store, campaign, exists=False)
    if not replace:
        refuse_other_content(job_store, campaign)
    messages = console(stderr=True)
    submit_command.take_in(job_store, messages)
    for note in campaign.notes:
        _say(messages, f"note: {note}")
    for warning in findings.warnings:
        _say(messages, f"warning: {warning}")
    with _stop_on_ctrl_c(messages) as stop, _ProgressDisplay(messages) as display:
        outcome = run_campaign(
            campaign,
            job_store,
            n_workers=workers or load_settings().workers,
            retry_failed=retry_failed,
            record=record,
            stopping=lambda: stop.asked,
            on_plan=display.start,
            on_result=display.advance,
            on_wait=display.wait,
        )
    did = "replayed" if record else "done now"
    _print_outcome(messages, campaign, outcome, campaign_file, did)
    assert outcome.ranking is not None
    _print_ranking(campaign, outcome.ranking, output, outcome.triage)
    if outcome.interrupted:
        raise typer.Exit(130)
    if outcome.failed or outcome.lacking:
        raise typer.Exit(1)


def _print_outcome(
    messages: Console, campaign: Campaign, outcome: Outcome, campaign_file: Path, did: str
) -> None:
    from rocksalt.workflows.replay import lacking_in_words

    _say(
        messages,
        f"{campaign.name}: {outcome.n_computed} calculations {did}, "
        f"{outcome.n_reused} reused, {len(outcome.failed)} failed, {outcome.n_planned} in all",
    )
    for what, why in outcome.failed:
        _say(messages, f"failed: {what}: {why}")
    for line in [*outcome.remarks, *lacking_in_words(outcome.lacking)]:
        _say(messages, line)
    if outcome.interrupted:
        _say(messages, f"stopped: go on with 'rocksalt run {campaign_file}'")


class _Stop:
    def __init__(self) -> None:
        self.asked = False


@contextmanager
def _stop_on_ctrl_c(messages: Console) -> Iterator[_Stop]:
    """Turn the first Ctrl-C (or SIGTERM) into a request and let the second one through."""
    stop = _Stop()

    def ask(signum: int, frame: FrameType | None) -> None:
        if stop.asked:
            raise KeyboardInterrupt
        stop.asked = True
        _say(messages, "stopping after the calculations that are running; again to stop at once")

    before = {s: signal.signal(s, ask) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


class _ProgressDisplay:
    """A bar per stage and engine on a terminal, a line every half minute elsewhere."""

    LINE_EVERY_S = 30.0

    def __init__(self, messages: Console) -> None:
        from rocksalt.workflows.campaign import STAGE_OF_ROLE

        self.messages = messages
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=messages,
            disable=not messages.is_terminal,
        )
        self.tasks: dict[tuple[str, str], TaskID] = {}
        self.stage_of: dict[str, str] = dict(STAGE_OF_ROLE)
        self.n_todo = self.n_done = self.n_failed = 0
        self.n_waiting = 0
        self.begun = self.said = time.monotonic()

    def __enter__(self) -> Self:
        self.bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bars.stop()

    def start(self, plan: Plan, todo: list[Calculation]) -> None:
        """Make the bars."""
        self.n_todo += len(todo)
        n_there = len(plan.calculations) - len(todo)
        _say(
            self.messages,
            f"{len(plan.calculations)} calculations, {n_there} in the store, {len(todo)} to do",
        )
        totals = Counter((self.stage_of[c.role], c.engine) for c in todo)
        for (stage, engine), total in totals.items():
            self.tasks[stage, engine] = self.bars.add_task(
                f"{stage} {engine}", total=total, start=False
            )

    def wait(self, n: int) -> None:
        """Say for how many calculations of other runs this one waits, when that changes."""
        if n != self.n_waiting:
            self.n_waiting = n
            _say(self.messages, f"{n} calculations left, which another run is at: waiting for it")

    def advance(self, document: CalculationDoc) -> None:
        """Count one result."""
        self.n_done += 1
        self.n_failed += document.state == "failed"
        stage = self.stage_of[document.role]
        task = self.tasks[stage, document.engine]
        self.bars.start_task(task)
        self.bars.advance(task)
        now = time.monotonic()
        if self.bars.disable and now - self.said > self.LINE_EVERY_S:
            self.said = now
            left = (now - self.begun) / self.n_done * (self.n_todo - self.n_done)
            _say(
                self.messages,
                f"{stage} {document.engine}: {self.n_done} of {self.n_todo}, {self.n_failed} failed, "
                f"about {left / 60:.0f} min left",
            )


@app.command()
def status(
    name: NameArgument = None,
    store: StoreOption = None,
    launchpad: submit_command.LaunchpadOption = None,
) -> None:
    """Say per stage what is done, running, waiting and failed, and why.

    For a campaign that was submitted also what its queue says.

    Example: rocksalt status quickstart
    """
    from rocksalt.stores.query import load_campaign_keys
    from rocksalt.stores.records import campaign_names, load_states, load_summaries
    from rocksalt.workflows.campaign import STAGE_OF_ROLE
    from rocksalt.workflows.run import live_runs

    out = console()
    job_store = _open(store, exists=True)
    submit_command.take_in(job_store, console(stderr=True))
    names = [name] if name else campaign_names(job_store)
    if not names:
        raise RocksaltError("the store holds no campaign: start one with 'rocksalt run CAMPAIGN'")
    for each in names:
        keys_of = load_campaign_keys(job_store, each)
        states = load_states(
            job_store, (k for r in keys_of.values() for keys in r.values() for k in keys)
        )
        runs = live_runs(job_store, each)
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
        _say(out, f"{each}: {state}")
        out.print(table)
        failures = load_summaries(job_store, (k for k, s in states.items() if s == "failed"))
        for summary in failures.values():
            _say(out, f"failed: {summary.label} with {summary.engine}: {summary.error}")
        submit_command.print_queue(out, job_store, each, launchpad)


@app.command()
def results(
    name: NameArgument = None,
    store: StoreOption = None,
    output: FormatOption = OutputFormat.table,
    reasons: Annotated[bool, typer.Option("--reasons", help="Write every reason.")] = False,
) -> None:
    """Print the ranking of a campaign, from all that is computed so far.

    Example: rocksalt results quickstart --format json
    """
    from rocksalt.workflows.run import stored_results
    from rocksalt.workflows.triage import load_triage

    job_store = _open(store, exists=True)
    submit_command.take_in(job_store, console(stderr=True))
    campaign, derived = stored_results(job_store, _only_campaign(job_store, name))
    triage = load_triage(job_store, campaign) if campaign.triage else None
    _print_ranking(campaign, derived.ranking, output, triage, reasons=reasons)


def _only_campaign(store: JobStore, name: str | None) -> str:
    from rocksalt.stores.records import campaign_names

    if name is not None:
        return name
    names = campaign_names(store)
    if len(names) == 1:
        return names[0]
    listed = f"name one of {', '.join(names)}" if names else "run one first"
    raise RocksaltError(f"the store holds {len(names)} campaigns: {listed}")


def _print_ranking(
    campaign: Campaign,
    ranking: RankingDoc,
    output: OutputFormat,
    triage: TriageDoc | None,
    *,
    reasons: bool = False,
) -> None:
    from rocksalt.workflows import tables

    if output is OutputFormat.json:
        print(tables.ranking_json(ranking, triage))
    elif output is OutputFormat.csv:
        print(tables.ranking_csv(ranking), end="")
    else:
        table = tables.ranking_table if campaign.fractions else tables.formation_table
        console().print(table(ranking, reasons=reasons))
        if triage is not None:
            console().print(tables.triage_table(triage))


@app.command()
def query(
    dopant: Annotated[str | None, typer.Option(help="Cation that must be there.")] = None,
    host: Annotated[str | None, typer.Option(help="A second cation that must be there.")] = None,
    fraction: Annotated[float | None, typer.Option(help="The dopant's share of cations.")] = None,
    role: Annotated[
        str | None, typer.Option(help="element, oxygen, end-member, mixture, ...")
    ] = None,
    engine: Annotated[str | None, typer.Option(help="Engine, for example chgnet.")] = None,
    campaign: Annotated[str | None, typer.Option(help="Only this campaign's.")] = None,
    formula: Annotated[str | None, typer.Option(help="Reduced formula, e.g. MnO.")] = None,
    chemsys: Annotated[str | None, typer.Option(help="Chemical system, e.g. Mn-O-Ti.")] = None,
    state: Annotated[str | None, typer.Option(help="done|failed")] = None,
    stability: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="EV",
            help="Energy above the hull at most, eV per atom; needs the stage hull.",
        ),
    ] = None,
    filter_: Annotated[
        str | None, typer.Option("--filter", help="MongoDB filter as JSON, instead of the words.")
    ] = None,
    properties: Annotated[
        str | None, typer.Option(help="Fields to print, separated by commas.")
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="At most this many; 0 for all.")] = 0,
    store: StoreOption = None,
    output: FormatOption = OutputFormat.table,
) -> None:
    """Find calculations in a store.

    Example: rocksalt query --dopant Ti --host Mn --fraction 0.5 --engine chgnet
    """
    from rocksalt.stores.query import (
        DEFAULT_PROPERTIES,
        calculation_filter,
        check_filter,
        check_properties,
        parse_filter,
        query_calculations,
    )
    from rocksalt.stores.stability import ABOVE_HULL
    from rocksalt.workflows import tables

    if engine is not None:
        from rocksalt.workflows.engines import get_engine

        engine = get_engine(engine).name
    words = {
        "dopant": dopant,
        "host": host,
        "fraction": fraction,
        "role": role,
        "engine": engine,
        "formula": formula,
        "chemsys": chemsys,
        "state": state,
    }
    if filter_ is not None and any(v is not None for v in words.values()):
        raise RocksaltError("--filter goes alone: put everything into it, or use the words")
    criteria = parse_filter(filter_) if filter_ is not None else calculation_filter(**words)  # type: ignore[arg-type]  # a dict of mixed types
    check_filter(criteria)
    criteria.setdefault("metadata.kind", "calculation")
    names = list(DEFAULT_PROPERTIES) if properties is None else check_properties(properties)
    if stability is not None and properties is None:
        names.append(ABOVE_HULL)
    job_store = _open(store, exists=True)
    rows = query_calculations(job_store, criteria, names, campaign, limit, stability)
    if output is OutputFormat.json:
        print(json.dumps(rows, indent=2))
    elif output is OutputFormat.csv:
        print(tables.rows_csv(rows, names), end="")
    else:
        console().print(tables.rows_table(rows, names))
        _say(console(stderr=True), f"{len(rows)} calculations")


@app.command()
def report(
    name: NameArgument = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")] = Path(
        "report.html"
    ),
    figures: Annotated[
        Path | None,
        typer.Option(help="Also write each figure into this folder, for talks and papers."),
    ] = None,
    figure_format: Annotated[
        FigureFormat, typer.Option("--figure-format", help="Format of --figures.")
    ] = FigureFormat.pdf,
    store: StoreOption = None,
) -> None:
    """Write one self-contained HTML page: ranking, maps, curves, provenance.

    Example: rocksalt report quickstart -o report.html --figures figures
    """
    from rocksalt.workflows.provenance import provenance
    from rocksalt.workflows.report import build_report
    from rocksalt.workflows.run import stored_results
    from rocksalt.workflows.triage import load_triage

    job_store = _open(store, exists=True)
    submit_command.take_in(job_store, console(stderr=True))
    campaign, derived = stored_results(job_store, _only_campaign(job_store, name))
    engines = "; ".join(str(engine["version"]) for engine in derived.ranking.engines.values())
    page = build_report(
        derived.ranking,
        derived.mixings,
        derived.formations,
        provenance={**provenance(campaign), "Engines": engines},
        hulls=derived.hulls,
        series=derived.series,
        vacancies=derived.vacancies,
        triage=load_triage(job_store, campaign) if campaign.triage else None,
    )
    try:
        output.write_text(page, encoding="utf-8")
    except OSError as error:
        raise RocksaltError(f"{output}: cannot be written: {error.strerror}") from error
    _say(console(), f"wrote {output} ({len(page.encode()) / 1e6:.1f} MB)")
    if figures is not None:
        from rocksalt.workflows.figure_files import save_figures

        names = save_figures(
            figures,
            figure_format.value,
            derived.ranking,
            derived.mixings,
            hulls=derived.hulls,
            series=derived.series,
            vacancies=derived.vacancies,
        )
        _say(console(), f"wrote {len(names)} figures into {figures}")


app.command()(hull_command.hull)
app.command()(analyze_command.analyze)
app.command("export")(transfer_commands.export_command)
app.command("import")(transfer_commands.import_command)
app.command()(submit_command.submit)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"rocksalt {version('rocksalt')}")
        raise typer.Exit


@app.callback()
def _common(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
    pass  # `main` has taken --debug out, wherever it stood


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; errors are one line and exit code 2 unless ``--debug``."""
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    arguments = [a for a in arguments if a != "--debug"]  # it may stand anywhere
    limit_threads()  # before numpy is imported: relaxations run one per core
    try:
        app(arguments, standalone_mode=True)
    except Exception as error:  # a user gets one line, not a traceback
        _hide_passwords(error)
        foreign = getattr(error, "title", None) == "JobflowSettings"  # quotes the configuration
        if debug and foreign:
            raise _about_jobflow(error) from None
        if debug:
            raise
        line = _one_line(_about_jobflow(error) if foreign else error)
        print(f"rocksalt: {line}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("rocksalt: stopped; what was finished is in the store", file=sys.stderr)
        raise SystemExit(130) from None
    finally:
        _close_stores()


def _close_stores() -> None:
    while _opened:
        from rocksalt.stores.opening import close_store

        close_store(_opened.pop())


def _hide_passwords(error: BaseException | None) -> None:
    """Change the messages of an error and of those that led to it."""
    while error is not None:
        error.args = tuple(hide_password(a) if isinstance(a, str) else a for a in error.args)
        if isinstance(error, OSError) and error.filename is not None:
            error.filename = hide_password(str(error.filename))
        error = error.__cause__ or error.__context__


def _about_jobflow(error: Any) -> RocksaltError:
    first = error.errors(include_input=False, include_url=False)[0]
    key = ".".join(map(str, first["loc"]))
    return RocksaltError(f"jobflow's configuration: {key}: {first['msg']}: correct it")


def _one_line(error: Exception) -> str:
    if isinstance(error, RocksaltError):
        return str(error)
    if type(error).__module__.startswith("pymongo"):  # the server went away in the middle
        from rocksalt.stores.mongo import explained_server_error

        return str(explained_server_error(error))
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    return f"unexpected {reason}; --debug shows where"


if __name__ == "__main__":
    main()
