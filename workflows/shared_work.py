"""The calculations of one run, shared with other runs on the same store.

Each calculation is claimed before it starts and looked for in the store once more, so that what
another run has computed meanwhile is not computed again. What another run is at is left to it, and
waited for at the end; if that run dies, its calculations are taken over.

A calculation of `HOLD_S` or longer is in the store before the next result is looked at. Quicker
ones are claimed and stored several at a time, for a transaction costs more than they do. Those that
are not stored yet hold less than `HOLD_S` of work: that much a killed run may compute again.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import datetime

from jobflow import JobStore

from rocksalt.stores.calculation_documents import CalculationDoc
from rocksalt.stores.claims import claims_in
from rocksalt.stores.records import calculation_record, load_summaries, save_many
from rocksalt.workflows.calculation import Calculation
from rocksalt.workflows.executor import compute
from rocksalt.workflows.worker_server import start_worker_server

HOLD_S = 0.2
"""At most this much work is held back, to be stored in one transaction."""

MAX_TOGETHER = 64
"""Claimed or stored in one transaction."""

POLL_S = 0.5
"""How often to look whether another run is done with what is left."""


class SharedWork:
    """Calculations to do, claimed one by one and stored as they are finished.

    Parameters
    ----------
    store
        A connected jobflow store.
    todo
        What to compute.
    redo
        Failed calculations of `todo` that are to be computed although they are in the store: when
        each was stored. One that was stored later has been repeated by another run.
    on_result
        Called with every result, once it is stored.
    on_wait
        Called with the number of calculations that other runs are at, when nothing else is left.

    Attributes
    ----------
    left
        Calculations that are not in the store, by key.
    n_computed
        Those computed here.
    """

    def __init__(
        self,
        store: JobStore,
        todo: Sequence[Calculation],
        *,
        redo: Mapping[str, datetime | None] | None = None,
        on_result: Callable[[CalculationDoc], None] = lambda document: None,
        on_wait: Callable[[int], None] = lambda n: None,
    ) -> None:
        self.store = store
        self.left = {calculation.key: calculation for calculation in todo}
        self.n_computed = 0
        self._redo = redo or {}
        self._on_result = on_result
        self._on_wait = on_wait
        self._claims = claims_in(store)
        self._begun: dict[str, float] = {}
        self._held: list[CalculationDoc] = []
        self._held_s = 0.0

    def compute(self, n_workers: int = 1, stopping: Callable[[], bool] = lambda: False) -> None:
        """Compute until nothing is left, here or by others.

        Parameters
        ----------
        n_workers
            Worker processes.
        stopping
            Asked between calculations; once it is true those that are running are finished.
        """
        if n_workers > 1 and self.left:
            start_worker_server({calculation.engine for calculation in self.left.values()})
        with self._claims.kept():
            try:
                while self.left and not stopping():
                    with closing(compute(self._claimed(), n_workers, stopping)) as documents:
                        for document in documents:
                            self._keep(document)
                    self._tell(self._save())
                    if self.left and not stopping():
                        self._on_wait(len(self.left))
                        time.sleep(POLL_S)
            finally:
                self._save()

    def _claimed(self) -> Iterator[Calculation]:
        """Yield the calculations that are free, each claimed; as many at once as are quick."""
        todo = deque(self.left.values())
        size = 1
        while todo:
            ours = self._take([todo.popleft() for _ in range(min(size, len(todo)))])
            begun = time.monotonic()
            for n_given, calculation in enumerate(ours):
                if n_given and time.monotonic() - begun > HOLD_S:  # others may want the rest
                    self._claims.release([c.key for c in ours[n_given:]])
                    todo.extendleft(reversed(ours[n_given:]))
                    break
                self._begun[calculation.key] = time.monotonic()
                yield calculation
            quick = time.monotonic() - begun < HOLD_S
            size = min(2 * size, MAX_TOGETHER) if quick else 1

    def _take(self, calculations: Sequence[Calculation]) -> list[Calculation]:
        taken = self._claims.take([c.key for c in calculations])
        # Only now: another run stores its result before it lets go of its claim.
        there = load_summaries(self.store, taken) if self._claims.shared else {}
        done = [key for key in there if there[key].completed_at != self._redo.get(key)]
        for key in done:
            del self.left[key]
        if done:
            self._claims.release(done)
        return [c for c in calculations if c.key in taken.difference(done)]

    def _keep(self, document: CalculationDoc) -> None:
        self._held.append(document)
        self._held_s += time.monotonic() - self._begun.pop(document.key)
        if self._held_s >= HOLD_S or len(self._held) >= MAX_TOGETHER:
            self._tell(self._save())

    def _save(self) -> list[CalculationDoc]:
        documents, self._held, self._held_s = self._held, [], 0.0
        if documents:
            save_many(self.store, [calculation_record(document) for document in documents])
            self._claims.release([document.key for document in documents])
            self.n_computed += len(documents)
            for document in documents:
                del self.left[document.key]
        return documents

    def _tell(self, documents: Sequence[CalculationDoc]) -> None:
        for document in documents:
            self._on_result(document)
