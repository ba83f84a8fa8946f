"""A screen is computed once, exported, and run again from that record, without its engine."""

from pathlib import Path
from tempfile import TemporaryDirectory

from jobflow import JobStore, run_locally
from maggma.stores import MemoryStore

from rocksalt.stores import export_records, open_store
from rocksalt.workflows.campaign import campaign_from_dict
from rocksalt.workflows.makers import ScreenMaker
from rocksalt.workflows.replay import replay, replaying
from rocksalt.workflows.run import run_campaign

if __name__ == "__main__":
    campaign = campaign_from_dict({"name": "try", "dopants": ["Mg", "Zn"], "engines": ["mock"]})
    computed = open_store("memory")
    original = run_campaign(campaign, computed)
    with TemporaryDirectory() as folder:
        record = Path(folder) / "try.jsonl.gz"
        export_records(computed, record, ["try"])

        # As `rocksalt run try.yaml --calculator replay:try.jsonl.gz`:
        again = replay(campaign, record, open_store("memory"))
        assert again.ranking.candidates == original.ranking.candidates
        print(f"{again.n_computed} calculations replayed, {len(again.lacking)} lacking")

        # A jobflow Flow: its jobs take their results from the record, wherever they run.
        store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
        with replaying(record):
            flow = ScreenMaker().make(campaign)
            responses = run_locally(flow, store=store, ensure_success=True, log=False)
        ranking = responses[flow.jobs[-1].uuid][1].output
        assert ranking.candidates == original.ranking.candidates
        for candidate in ranking.candidates:
            print(candidate.rank, candidate.dopant, candidate.verdict, candidate.reasons[0])
