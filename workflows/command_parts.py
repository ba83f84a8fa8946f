"""What the commands share: options, how they speak, and the stores that they open."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from rocksalt.screening.errors import RocksaltError

if TYPE_CHECKING:
    from jobflow import JobStore
    from rich.console import Console

    from rocksalt.stores.reading import Documents
    from rocksalt.workflows.campaign import Campaign
    from rocksalt.workflows.replay import Record


class OutputFormat(StrEnum):
    """How results are printed."""

    table = "table"
    json = "json"
    csv = "csv"


StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="PATH|mongodb://...|memory|jobflow",
        help="Where results are. Default: the campaign file's where one is given, ROCKSALT_STORE, "
        "jobflow's JOB_STORE when configured, or results.sqlite.",
    ),
]
FormatOption = Annotated[OutputFormat, typer.Option("--format", help="Output format.")]
NameArgument = Annotated[
    str | None, typer.Argument(metavar="[NAME]", help="Campaign; the only one when left out.")
]
CampaignArgument = Annotated[Path, typer.Argument(metavar="CAMPAIGN", help="Campaign file (YAML).")]


def console(*, stderr: bool = False) -> Console:
    """Return a console; results go to stdout, progress and messages to stderr."""
    from rocksalt.workflows.whole_console import WholeConsole

    return WholeConsole(stderr=stderr)


def say(to: Console, line: str) -> None:
    """Print a line whole: a terminal wraps it, and what is copied from it stays in one piece."""
    to.print(line, soft_wrap=True)


_interrupts: list[int] = []
"""Signals that came to stop the command."""


def interrupt(signum: int, frame: FrameType | None) -> None:
    """Handle a Ctrl-C: as Python does, but so that `was_interrupted` knows of it.

    Compiled code turns the exception into others: an import that "failed", a value that cannot be
    serialised.
    """
    _interrupts.append(signum)
    raise KeyboardInterrupt


def was_interrupted() -> bool:
    """Say whether `interrupt` has been called since this was last asked."""
    came = bool(_interrupts)
    _interrupts.clear()
    return came


_closers: list[Callable[[], None]] = []
"""Of the stores that the command has opened."""


def open_job_store(
    address: str | None, campaign: Campaign | None = None, *, exists: bool
) -> JobStore:
    """Open the store that a command line, a campaign or the settings name, until the command ends.

    Parameters
    ----------
    address
        What ``--store`` says.
    campaign
        Whose own store comes next.
    exists
        Refuse a file that is not there instead of making it.

    Raises
    ------
    RocksaltError
        When it cannot be opened.
    """
    from rocksalt.stores.opening import close_store, open_store

    store = open_store(_address(address, campaign), must_exist=exists)
    _closers.append(partial(close_store, store))
    return store


def open_to_read(address: str | None) -> Documents:
    """Open the documents of a store that is there, until the command ends.

    Parameters
    ----------
    address
        What ``--store`` says.

    Raises
    ------
    RocksaltError
        When it cannot be opened.
    """
    from rocksalt.stores.addresses import is_file
    from rocksalt.stores.reading import FileDocuments

    place = _address(address, None)
    if not is_file(place):
        return open_job_store(place, exists=True)
    documents = FileDocuments.open(place)
    _closers.append(documents.close)
    return documents


def _address(given: str | None, campaign: Campaign | None) -> str:
    from rocksalt.stores.addresses import store_address

    wanted = given or (campaign.store if campaign else None)
    if wanted:
        return store_address(wanted, None, None)
    from rocksalt.workflows.settings import load_settings  # slow to import

    return store_address(None, None, load_settings().store)


def close_stores() -> None:
    """Close the stores that a command has opened."""
    while _closers:
        _closers.pop()()


def only_campaign(store: Documents, name: str | None) -> str:
    """Return the name that was given, or that of the only campaign in a store.

    Raises
    ------
    RocksaltError
        When none was given, and the store holds none or several.
    """
    from rocksalt.stores.records import campaign_names

    if name is not None:
        return name
    names = campaign_names(store)
    if len(names) == 1:
        return names[0]
    listed = f"name one of {', '.join(names)}" if names else "run one first"
    raise RocksaltError(f"the store holds {len(names)} campaigns: {listed}")


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


def record_of(calculator: str | None) -> Record | None:
    """Return the record that is to stand for the engines, if any."""
    from rocksalt.workflows.replay import Record, active_record

    if calculator is None or not calculator.startswith(REPLAY):
        return active_record()
    record = Record(calculator.removeprefix(REPLAY))
    if record.store is not None:
        from rocksalt.stores.opening import close_store

        _closers.append(partial(close_store, record.store))
    return record


def load_with_engines(path: Path, calculator: str | None = None) -> Campaign:
    """Return the campaign of a file, with the engines that ``--calculator`` puts in their place."""
    from rocksalt.workflows.campaign import campaign_from_dict, load_campaign

    campaign = load_campaign(path)
    if calculator is None or calculator.startswith(REPLAY):
        return campaign
    data = campaign.model_dump(mode="json")
    engines = calculator.split(",")
    codes = {name.strip().partition(":")[0] for name in engines}
    changes = {
        "engines": engines,
        "triage": None,  # they take the place of those that screen and of the one that decides
        "dft": {code: own for code, own in data["dft"].items() if code in codes},
        "electronic_structure": {**data["electronic_structure"], "engines": [], "geometry": None},
    }
    return campaign_from_dict({**data, **changes}, f"{path}: --calculator")
