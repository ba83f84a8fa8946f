"""``rocksalt init``: a commented campaign file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rocksalt.screening.errors import RocksaltError
from rocksalt.workflows.command_parts import console, say


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
    say(console(), f"wrote {file}: edit it, then run 'rocksalt check {file}'")
