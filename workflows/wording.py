"""Numbers, names and commands in the sentences that commands print."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from rocksalt.stores.addresses import hide_password

_N_SHOWN = 10


def listed(numbers: Sequence[str]) -> str:
    """Return the first numbers of jobs, for a line."""
    return ", ".join(numbers[:_N_SHOWN]) + (" ..." if len(numbers) > _N_SHOWN else "")


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun, '1 job' or '2 jobs'; an irregular plural is given."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def as_typed(command: str, *arguments: object, **options: object) -> str:
    """Return a command as one types it, without passwords and without options that are None.

    Examples
    --------
    >>> as_typed("run", "screen.yaml", store=None, workers=2, retry_failed=True)
    'rocksalt run screen.yaml --workers 2 --retry-failed'
    """
    words = ["rocksalt", command, *map(str, arguments)]
    for name, value in options.items():
        option = f"--{name.replace('_', '-')}"
        for each in value if isinstance(value, list) else [value]:
            if each is True:
                words.append(option)
            elif each is not None:
                words += [option, str(each)]
    return hide_password(shlex.join(words))
