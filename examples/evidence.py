"""Screen, then file a measurement under a candidate, in one store.

The cell is made up here: ten cycles whose capacity falls by one percent each, and whose discharge
voltage falls by 2 mV. Put your cycler's files and real engines in their places.
"""

import tempfile
from pathlib import Path

import numpy as np
import yaml

from rocksalt.stores.opening import open_store
from rocksalt.workflows.campaign import campaign_from_dict
from rocksalt.workflows.experiment import analyse, load_experiment, save, task_of
from rocksalt.workflows.run import run_campaign

MASS_MG = 8.0


def write_cell(path: Path) -> None:
    """Write ten cycles at 1.6 mA in the columns of the Battery Data Format."""
    rows, time_s = [], 0.0
    for cycle in range(1, 11):
        hours = 1.25 * 0.99 ** (cycle - 1)
        for sign in (1, -1):
            share = np.linspace(0, 1, 201)
            fade_v = 0.002 * (cycle - 1) if sign < 0 else 0.0
            volts = 3.6 - fade_v + sign * (0.9 * share - 0.4)
            rows += [
                (time_s + s * hours * 3600, volt, sign * 1.6e-3, cycle)
                for s, volt in zip(share, volts, strict=True)
            ]
            time_s += hours * 3600 + 60
    heading = "Test Time / s,Voltage / V,Current / A,Cycle Count / 1"
    np.savetxt(path, rows, delimiter=",", header=heading, comments="")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        write_cell(here / "cell.csv")
        experiment = {
            "sample": {"name": "Ti-doped", "dopant": "Ti", "active_mass_mg": MASS_MG},
            "measurements": [
                {"technique": "cycling", "file": "cell.csv", "positive_current": "charge"}
            ],
        }
        (here / "experiment.yaml").write_text(yaml.safe_dump(experiment))
        store = open_store(str(here / "screen.sqlite"))
        campaign = campaign_from_dict(
            {"name": "try", "dopants": ["Mg", "Ti"], "hosts": ["Mn"], "engines": ["mock"]}
        )
        print(len(run_campaign(campaign, store).ranking.candidates), "candidates are ranked")
        file = load_experiment(here / "experiment.yaml")
        for measurement in file.measurements:
            document, curves = analyse(task_of(measurement, file.sample, here))
            save(store, document, curves)
            for name, quantity in document.values.items():
                print(f"{name}: {quantity.value:.4g} {quantity.unit}")
        store.close()
