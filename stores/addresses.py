"""Addresses of stores as people may see them: without passwords."""

from __future__ import annotations

import re

_USER_INFO = re.compile(r"(mongodb(?:\+srv)?://[^:/@\s]*):\S*@")
_OPTION = re.compile(r"([?&](?:\w*password\w*|authmechanismproperties)=)[^&\s]*", re.IGNORECASE)


def hide_password(text: str) -> str:
    """Return text with the password of every address in it replaced by ***.

    Everything from the user's name to the last ``@`` of the word is taken for the password, because
    people forget to escape an ``@`` or a ``/`` in it.

    Examples
    --------
    >>> hide_password("no server at mongodb://me:p@ss@host/db")
    'no server at mongodb://me:***@host/db'
    """
    return _OPTION.sub(r"\1***", _USER_INFO.sub(r"\1:***@", text))
