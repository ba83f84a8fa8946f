"""Run calculations in worker processes; the caller gets each result as it is finished.

A worker holds one calculation at a time, and when it dies its calculation is tried once more. Its
end closes a pipe, so that the parent learns of it at once and needs no sign of life.
"""

from __future__ import annotations

import contextlib
import multiprocessing as mp
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, cast

from rocksalt.screening.errors import RocksaltError
from rocksalt.stores.calculation_documents import CalculationDoc
from rocksalt.workflows.calculate import calculate, failed_document
from rocksalt.workflows.calculation import Calculation
from rocksalt.workflows.threads import limit_threads
from rocksalt.workflows.worker_server import start_worker

MAX_ATTEMPTS = 2
POLL_S = 0.5
EXIT_S = 5.0


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    calculation: Calculation | None = None


def compute(
    calculations: Iterable[Calculation],
    n_workers: int = 1,
    stopping: Callable[[], bool] = lambda: False,
) -> Generator[CalculationDoc, None, None]:
    """Yield the document of each calculation as it is finished.

    Parameters
    ----------
    calculations
        Each at most once. The next one is asked for when a worker is free.
    n_workers
        Number of processes. 1 computes in this process.
    stopping
        Asked between calculations; once it is true no new one is started and those that are
        running are finished.

    Raises
    ------
    RocksaltError
        When an engine is not installed.
    """
    if n_workers == 1:
        limit_threads()
        for calculation in calculations:
            if stopping():
                return
            yield calculate(calculation)
        return
    yield from _Pool(calculations, n_workers, stopping).run()


class _Pool:
    def __init__(
        self, calculations: Iterable[Calculation], n_workers: int, stopping: Callable[[], bool]
    ) -> None:
        self.todo = iter(calculations)
        self.again: deque[Calculation] = deque()
        self.attempts: dict[str, int] = {}
        self.n_workers = n_workers
        self.stopping = stopping
        self.workers: list[_Worker] = []

    def _start(self) -> _Worker:
        here, there = mp.Pipe()
        process = start_worker(_work, there)
        there.close()
        return _Worker(process, here)

    def run(self) -> Iterator[CalculationDoc]:
        try:
            while len(self.workers) < self.n_workers and (first := self._next()):
                self.workers.append(self._start())
                self._give(self.workers[-1], first)
            while any(worker.calculation for worker in self.workers):
                busy = {w.pipe: w for w in self.workers if w.calculation}
                for pipe in wait(list(busy), timeout=POLL_S):
                    yield from self._receive(busy[cast(Connection, pipe)])  # none but ours
        finally:
            for worker in self.workers:  # a closed pipe tells an idle worker to leave by itself
                worker.pipe.close()
            for worker in self.workers:
                if worker.calculation is None:
                    worker.process.join(EXIT_S)
                worker.process.kill()
                worker.process.join()

    def _next(self) -> Calculation | None:
        if self.stopping():
            return None
        return self.again.popleft() if self.again else next(self.todo, None)

    def _give(self, worker: _Worker, calculation: Calculation | None) -> None:
        """Hand a calculation to a worker, or leave it without one."""
        worker.calculation = calculation
        if calculation is not None:
            self.attempts[calculation.key] = self.attempts.get(calculation.key, 0) + 1
            with contextlib.suppress(OSError):  # a dead worker shows when its pipe is read
                worker.pipe.send(calculation)

    def _receive(self, worker: _Worker) -> Iterator[CalculationDoc]:
        calculation = worker.calculation
        assert calculation is not None
        try:
            answer: Any = worker.pipe.recv()
        except (EOFError, OSError):
            yield from self._replace(worker, calculation)
            return
        if isinstance(answer, RocksaltError):
            raise answer
        self._give(worker, self._next())
        yield answer

    def _replace(self, worker: _Worker, calculation: Calculation) -> Iterator[CalculationDoc]:
        """Start a new worker for one that died; try its calculation again, once."""
        worker.process.join()
        code = worker.process.exitcode
        worker.pipe.close()
        if self.attempts[calculation.key] < MAX_ATTEMPTS:
            self.again.append(calculation)
        else:
            cause = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
            yield failed_document(
                calculation, f"its worker process died {MAX_ATTEMPTS} times ({cause})"
            )
        fresh = self._start()
        worker.process, worker.pipe = fresh.process, fresh.pipe
        self._give(worker, self._next())


def _work(pipe: Connection) -> None:
    """Compute what comes through the pipe until it closes."""
    with contextlib.suppress(EOFError, OSError):
        while True:
            calculation = pipe.recv()
            try:
                answer: Any = calculate(calculation)
            except RocksaltError as error:
                answer = error
            pipe.send(answer)
