"""Threads and floating-point modes of a worker process."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from threadpoolctl import ThreadpoolController


def limit_threads(n: int = 1) -> None:
    """Let this process compute with `n` threads that sleep while they wait.

    Parameters
    ----------
    n
        Threads of torch, OpenMP and BLAS in this process.

    Notes
    -----
    The cells of a screen are small: one process per core beats several threads per process, and
    OpenMP threads that spin at a barrier slow everything else on a busy machine down. Call this
    first in a worker. Environment variables that the user has set stay; torch reads them when it
    is imported, and a torch that is already there is told directly. Nothing is imported here.
    """
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, str(n))
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(n)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one BLAS and OpenMP thread inside the block, whatever is loaded by then."""
    with _thread_pools("torch" in sys.modules).limit(limits=1):
        yield


@cache
def _thread_pools(with_torch: bool) -> ThreadpoolController:
    return ThreadpoolController()


@contextmanager
def denormals_flushed() -> Iterator[None]:
    """Treat subnormal floats as zero inside the block, in this thread.

    The smooth cutoffs of graph networks produce many numbers below 1e-38, on which a CPU
    is about a hundred times slower than on normal ones. Needs torch.
    """
    import torch

    flushed_before = math.ulp(0.0) == 0.0  # the smallest subnormal reads as zero
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(flushed_before)
