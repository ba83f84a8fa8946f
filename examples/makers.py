"""The same screen in Python: a jobflow Flow that any manager can run.

With the mock engine it takes seconds; put 'chgnet' in its place for real relaxations.
"""

from jobflow import JobStore, run_locally
from maggma.stores import MemoryStore

from rocksalt.workflows.makers import ScreenMaker

if __name__ == "__main__":
    flow = ScreenMaker().make({"name": "try", "dopants": ["Mg", "Ti", "Zn"], "engines": ["mock"]})
    store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    responses = run_locally(flow, store=store, ensure_success=True, log=False)
    ranking = responses[flow.jobs[-1].uuid][1].output
    for candidate in ranking.candidates:
        print(candidate.rank, candidate.dopant, candidate.verdict, candidate.reasons[0])
