"""Processes of this machine."""

from __future__ import annotations

import psutil


def process_lives(pid: int, since: float) -> bool:
    """Say whether the process of this machine that had a number at a time (s) still lives.

    A number that went to a process born later is not that one.
    """
    try:
        process = psutil.Process(pid)
        return (
            process.status() not in {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}
            and process.create_time() <= since + 1
        )
    except psutil.NoSuchProcess:
        return False
