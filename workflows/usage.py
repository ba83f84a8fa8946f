"""What is said of a wrong command line: one line with what, where, and the remedy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rocksalt.stores.addresses import hide_password

_WORDS = {
    "No such option: ": "no such option ",
    ". Did you mean": ": did you mean",
    ": Value error, ": ": ",
    ": Input should": ": it should",
}
"""Of the parser, and in their place those of our other errors."""


def is_usage_error(error: Exception) -> bool:
    """Say whether the parser of the command line raised an error.

    Its classes are click's or typer's own copies of them, as the version of typer has it: they are told by
    what they can do.
    """
    return hasattr(error, "format_message") and hasattr(error, "exit_code")


def usage_line(error: Any, arguments: Sequence[str]) -> str:
    """Return what is wrong with a command line, without passwords; empty where help was printed.

    Parameters
    ----------
    error
        Of which `is_usage_error` is true.
    arguments
        The command line: some errors do not say which command they come from.

    Examples
    --------
    no such option --stor: did you mean --store? (rocksalt query --help)
    """
    if type(error).__name__ == "NoArgsIsHelpError":
        return ""
    nearest = getattr(error, "possibilities", None)
    text = " ".join((error.message if nearest else error.format_message()).split()).rstrip(".")
    for theirs, ours in _WORDS.items():
        text = text.replace(theirs, ours)
    if nearest:
        text += f": did you mean {nearest[0]}?"
    command = next((f"rocksalt {a}" for a in arguments if not a.startswith("-")), "rocksalt")
    place = command if error.ctx is None else error.ctx.command_path
    return hide_password(f"{text[:1].lower()}{text[1:]} ({place} --help)")
