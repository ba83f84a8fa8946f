"""The memory of a worker process."""

import os
import subprocess
import sys

import pytest

FAULTS = """
import resource, numpy
from rocksalt.workflows.threads import keep_freed_memory
kept = {call}
for repeat in range(4):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    numpy.ones(8 * 2**20)  # 64 MB, beyond what glibc keeps by itself
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(call: str) -> tuple[str, int]:
    """Return what `call` gives, and the page faults of the last of four allocations after it."""
    pytest.importorskip("resource", reason="page faults are counted on Unix only")
    command = [sys.executable, "-c", FAULTS.format(call=call)]
    small_pages = {**os.environ, "NUMPY_MADVISE_HUGEPAGE": "0"}  # else 32 of them hold all
    said = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=120, env=small_pages
    )
    kept, faults = said.stdout.split()
    return kept, int(faults)


def test_freed_memory_is_taken_again() -> None:
    """Where the C library can be told, allocating again what was freed touches no new page."""
    kept, faults = page_faults("keep_freed_memory()")
    if kept != "True":
        pytest.skip("the C library is not glibc")
    assert faults < 100
    assert page_faults("None")[1] >= 100
