"""``rocksalt export`` and ``rocksalt import``: campaigns from one store to another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rocksalt.workflows.command_parts import console, open_job_store, say
from rocksalt.workflows.wording import counted

if TYPE_CHECKING:
    from rocksalt.stores.transfer import Transfer

StoreOption = Annotated[
    str | None,
    typer.Option("--store", metavar="PATH|mongodb://...|jobflow", help="As for other commands."),
]


def export_command(
    file: Annotated[Path, typer.Argument(help="File to write; .gz at the end compresses it.")],
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Campaigns; all by default.")
    ] = None,
    store: StoreOption = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")] = False,
) -> None:
    """Write campaigns with all their calculations and results into one file.

    Example: rocksalt export quickstart.jsonl.gz quickstart --store results.sqlite
    """
    from rocksalt.stores.transfer import export_records

    done = export_records(open_job_store(store, exists=True), file, names or (), overwrite=force)
    say(console(), f"wrote {file} ({file.stat().st_size / 1e6:.1f} MB): {_counts(done)}")


def import_command(
    file: Annotated[Path, typer.Argument(help="File that 'rocksalt export' wrote.")],
    store: StoreOption = None,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Replace campaigns of the same name with other content."),
    ] = False,
) -> None:
    """Store the campaigns of a file; what is there already stays as it is.

    The whole file is checked before anything is stored.

    Example: rocksalt import quickstart.jsonl.gz --store mongodb://localhost/rocksalt
    """
    from rocksalt.stores.transfer import check_file, import_records

    check_file(file)  # or a wrong name would leave an empty store behind
    done = import_records(open_job_store(store, exists=False), file, replace=replace)
    say(console(), f"read {file}: {_counts(done)}, {done.n_stored} of them new")


def _counts(done: Transfer) -> str:
    campaigns = "no campaign"
    if done.campaigns:
        plural = "s" if len(done.campaigns) > 1 else ""
        campaigns = f"campaign{plural} {', '.join(done.campaigns)}"
    records, blobs = counted(done.n_records, "record"), counted(done.n_blobs, "large object")
    return f"{campaigns}, {records}, {blobs}"
