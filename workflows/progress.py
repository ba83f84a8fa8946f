"""How far a run is: bars on a terminal, lines elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from typing import Self

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

from rocksalt.stores.calculation_documents import CalculationDoc
from rocksalt.workflows.calculation import Calculation
from rocksalt.workflows.command_parts import say
from rocksalt.workflows.plan import Plan
from rocksalt.workflows.stages import STAGE_OF_ROLE
from rocksalt.workflows.wording import counted


class ProgressDisplay:
    """A bar per stage and engine on a terminal, a line every half minute elsewhere."""

    LINE_EVERY_S = 30.0

    def __init__(self, messages: Console) -> None:
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
        say(
            self.messages,
            f"{counted(len(plan.calculations), 'calculation')}, {n_there} in the store, {len(todo)} to do",
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
            say(
                self.messages,
                f"{counted(n, 'calculation')} left, which another run is at: waiting for it",
            )

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
            say(
                self.messages,
                f"{stage} {document.engine}: {self.n_done} of {self.n_todo}, {self.n_failed} failed, "
                f"about {left / 60:.0f} min left",
            )
