"""From a screen to what to look for, to what was measured: one flow, one store, one report.

    python examples/evidence/run.py --report report.html

runs the screen of campaign.yaml with the mock engine (half a minute; --engine chgnet relaxes for real),
says what to look for in samples with its first candidates, analyses the made-up files that
measurements.py writes, and lays them beside the ranking. The flow is jobflow's: any manager runs it.
Then the store holds what `rocksalt run` and `rocksalt analyze` would have left, and the report shows the
ranking, the predictions, and each measurement's figure. The sample is doped with Ti, the mock engine's
first candidate; another engine may put it second, and its evidence stands there.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from jobflow import run_locally
from measurements import write_measurements  # beside this file

from rocksalt.stores.opening import open_store
from rocksalt.workflows.campaign import campaign_from_dict, load_campaign
from rocksalt.workflows.evidence_jobs import EvidenceDoc, file_flow
from rocksalt.workflows.makers import ScreenAndAnalyzeMaker

HERE = Path(__file__).parent


def run(folder: Path, engine: str, report: Path) -> EvidenceDoc:
    """Run the flow with a store in a folder, and write the report of that store."""
    settings = load_campaign(HERE / "campaign.yaml").model_dump(mode="json")
    campaign = campaign_from_dict({**settings, "engines": [engine]})
    store = open_store(str(folder / "evidence.sqlite"))
    flow = ScreenAndAnalyzeMaker().make(campaign, write_measurements(folder))
    responses = run_locally(flow, store=store, ensure_success=True, log=False)
    file_flow(store, campaign)
    store.close()
    command = ["report", campaign.name, "--store", folder / "evidence.sqlite", "-o", report]
    subprocess.run([sys.executable, "-m", "rocksalt.workflows.cli", *map(str, command)], check=True)
    return responses[flow.output.uuid][1].output


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", default="mock", help="as in a campaign: mock, chgnet ...")
    parser.add_argument("--report", type=Path, help="where the page goes; thrown away by default")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        found = run(place, given.engine, given.report or place / "report.html")
    for candidate in found.ranking.candidates:
        print(f"\n{candidate.rank}. {candidate.dopant}: {candidate.verdict}")
        for prediction in (p for p in found.predictions if p.dopant == candidate.dopant):
            print(*(f"   look for: {line}" for line in prediction.statements), sep="\n")
        for entry in candidate.evidence:
            print(f"   measured ({entry['technique']}): {entry['relation']}: {entry['why']}")
