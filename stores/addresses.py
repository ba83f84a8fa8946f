"""Addresses of stores: which one is meant, and as people may see it, without a password."""

from __future__ import annotations

import os
import re
from pathlib import Path

from rocksalt.screening.errors import RocksaltError

SCHEMES = ("mongodb://", "mongodb+srv://")
"""How the address of a server begins; another one is the path of a file."""

DEFAULT_STORE = "results.sqlite"
"""Where results are when nobody says otherwise."""

_SCHEME = r"[a-z][a-z0-9.+-]*:/{1,2}[^:/@\s]*"  # of any kind of address, up to the user's name
_USER_INFO = re.compile(rf"({_SCHEME}):\S*@", re.IGNORECASE)
_WHOLE = re.compile(rf"\A({_SCHEME}):.*@", re.DOTALL | re.IGNORECASE)
_OPTION = re.compile(r"([?&](?:\w*password\w*|authmechanismproperties)=)[^&\s]*", re.IGNORECASE)

HIDDEN = "***"
"""What stands in place of a password."""


def hide_password(text: str) -> str:
    """Return text with the password of every address in it replaced by ***.

    Everything from the user's name to the last ``@`` of the word, or of a text that begins with an
    address, is taken for the password: people forget to escape an ``@`` or a ``/`` in it.

    Examples
    --------
    >>> hide_password("no server at mongodb://me:p@ss@host/db")
    'no server at mongodb://me:***@host/db'
    """
    for pattern in (_WHOLE, _USER_INFO):
        text = pattern.sub(rf"\1:{HIDDEN}@", text)
    return _OPTION.sub(rf"\1{HIDDEN}", text)


def has_password(address: str) -> bool:
    """Say whether an address holds something that nobody else may see."""
    return hide_password(address) != address


def place_of(address: str) -> str:
    """Return where an address leads: that of a server without user, password and options.

    Examples
    --------
    >>> place_of("mongodb://me:secret@host/db?tls=true")
    'mongodb://host/db'
    """
    if not address.startswith("mongodb"):
        return address
    return re.sub(r"//[^/@]*@", "//", hide_password(address).partition("?")[0])


def store_address(command_line: str | None, campaign: str | None, settings: str | None) -> str:
    """Return which store to use: command line, campaign, settings, jobflow's own, the default.

    'jobflow' stands for the JOB_STORE of jobflow's configuration.

    Raises
    ------
    RocksaltError
        For an address of another kind than rocksalt knows.
    """
    for address in (command_line, campaign, settings):
        if address:
            if "://" in address and not address.startswith(SCHEMES):
                raise RocksaltError(
                    f"store {hide_password(address)}: no such kind of store: give the path of a file, "
                    "mongodb://HOST/DATABASE, memory or jobflow"
                )
            return address
    return "jobflow" if _jobflow_is_configured() else DEFAULT_STORE


def is_file(address: str) -> bool:
    """Say whether an address is the path of a file."""
    return address not in {"memory", "jobflow"} and not address.startswith(SCHEMES)


def check_place(path: Path) -> None:
    """Raise where a file of results can neither be opened nor made.

    Raises
    ------
    RocksaltError
        When its folder is missing, or the file or the folder may not be written.
    """
    folder = path.absolute().parent
    if not folder.is_dir():
        raise RocksaltError(f"store {path}: there is no folder {folder}: make it, or give --store")
    for place in (folder, path):
        if place.exists() and not os.access(place, os.W_OK):
            raise RocksaltError(
                f"store {path}: {place} cannot be written: allow writing, or give --store"
            )


def _jobflow_is_configured() -> bool:
    if os.environ.get("JOBFLOW_JOB_STORE"):
        return True
    place = Path(os.environ.get("JOBFLOW_CONFIG_FILE", "~/.jobflow.yaml")).expanduser()
    return place.is_file() and "JOB_STORE" in place.read_text(encoding="utf-8", errors="replace")
