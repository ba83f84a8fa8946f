"""A console whose tables lose nothing: off a terminal a row is one line, on one cells fold."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Column, Table

_NO_END = 10**9
"""Columns of a file or pipe, which have no edge."""

_READABLE = 5
"""Columns below which a folded cell is no longer read."""


class WholeConsole(Console):
    """Prints to stdout or stderr, without markup, and cuts nothing off.

    Parameters
    ----------
    stderr
        Print there.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        stream = sys.stderr if stderr else sys.stdout
        super().__init__(
            stderr=stderr,
            width=None if stream.isatty() else _NO_END,
            highlight=False,
            soft_wrap=False,
            markup=False,
            emoji=False,
        )

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Return the segments of a renderable; of a table whole ones."""
        if isinstance(renderable, Table):
            self._keep_whole(renderable, (options or self.options).max_width)
        return super().render(renderable, options)

    def _keep_whole(self, table: Table, width: int) -> None:
        for column in table.columns:
            column.max_width = None  # the columns share what room there is
            column.overflow = "fold"  # rich would cut long words
        if width == _NO_END:
            return
        rigid = [column for column in table.columns if column.no_wrap]
        needed = sum(self._widest(column) for column in rigid) + 2 * len(table.columns)
        if needed + _READABLE * (len(table.columns) - len(rigid)) > width:
            for column in rigid:  # rich would cut them
                column.no_wrap = False

    def _widest(self, column: Column) -> int:
        cells = (column.header, *column.cells)
        return max(self.measure(cell).maximum for cell in cells)
