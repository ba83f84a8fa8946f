"""Threads, floating-point modes and memory of a worker process."""

from __future__ import annotations

import ctypes
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
    os.environ.update(missing_thread_variables(n))
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(n)


def missing_thread_variables(n: int = 1) -> dict[str, str]:
    """Return the environment variables for `n` threads, less those that are set."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    variables = {**dict.fromkeys(names, str(n)), "OMP_WAIT_POLICY": "PASSIVE"}
    return {name: value for name, value in variables.items() if name not in os.environ}


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


@cache
def keep_freed_memory() -> bool:
    """Let this process keep the memory that it frees, for its next allocations.

    glibc gives large freed blocks back to the system, which hands them out again page by page,
    each filled with zeros at first touch: with SevenNet a fifth of the CPU time of a cell of 64
    atoms. Kept, the process stays as large as its largest evaluation made it, and no larger.

    Returns
    -------
    bool
        Whether the C library could be told; others than glibc are left alone.
    """
    try:
        tell = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl, macOS; Windows has no library of no name
        return False
    trim_threshold, largest_mapped = -1, -4  # M_TRIM_THRESHOLD, M_MMAP_MAX of malloc.h
    return bool(tell(largest_mapped, 0)) and bool(tell(trim_threshold, -1))
