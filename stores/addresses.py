"""Addresses of stores: which one is meant, and as people may see it, without a password."""

from __future__ import annotations

import os
import re
from pathlib import Path

SCHEMES = ("mongodb://", "mongodb+srv://")
"""How the address of a server begins; another one is the path of a file."""

DEFAULT_STORE = "results.sqlite"
"""Where results are when nobody says otherwise."""

_USER_INFO = re.compile(r"(mongodb(?:\+srv)?:/{1,2}[^:/@\s]*):\S*@")
_WHOLE = re.compile(r"\A(mongodb(?:\+srv)?:/{1,2}[^:/@\s]*):.*@", re.DOTALL)
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
    """
    for address in (command_line, campaign, settings):
        if address:
            return address
    return "jobflow" if _jobflow_is_configured() else DEFAULT_STORE


def _jobflow_is_configured() -> bool:
    if os.environ.get("JOBFLOW_JOB_STORE"):
        return True
    place = Path(os.environ.get("JOBFLOW_CONFIG_FILE", "~/.jobflow.yaml")).expanduser()
    return place.is_file() and "JOB_STORE" in place.read_text(encoding="utf-8", errors="replace")
