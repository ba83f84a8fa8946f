"""Made-up measured files of one sample, in the formats of instruments: what is in them is known.

A cell whose capacity falls by one percent per cycle and whose discharge voltage by 2 mV; a spectrum at
the Ti K edge with nine tenths of Ti(4+) and one tenth of metal; and a powder pattern of the layered
oxide with 3 percent of its lithium sites taken by metal. Put your own files in their places.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml

from rocksalt.analysis.powder import LayeredLattice, layered_structure, reflections

MASS_MG = 8.0
COPPER_ANGSTROM = 1.54184


def write_measurements(folder: Path) -> Path:
    """Write the measured files and the experiment file that names them; return the latter."""
    rng = np.random.default_rng(0)
    _write_cell(folder / "cell.csv")
    _write_spectra(folder, rng)
    _write_pattern(folder / "powder.xy", rng)
    experiment = {
        "sample": {"name": "LRM-Ti-1", "dopant": "Ti", "active_mass_mg": MASS_MG},
        "measurements": [
            {"technique": "cycling", "file": "cell.csv", "positive_current": "charge"},
            {
                "technique": "xanes",
                "file": "charged.dat",
                "edge": "Ti K",
                "references": {"Ti": "metal.dat", "TiO2": "oxide.dat"},
                "valences": {"Ti": 0, "TiO2": 4},
                "resamples": 100,
            },
            {
                "technique": "xrd",
                "file": "powder.xy",
                "wavelength": "CuKa",
                "windows": {"003": [18.1, 19.2], "104": [44.0, 45.3], "110": [64.9, 66.1]},
            },
        ],
    }
    path = folder / "experiment.yaml"
    path.write_text(yaml.safe_dump(experiment, sort_keys=False))
    return path


def _write_cell(path: Path) -> None:
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


def _write_spectra(folder: Path, rng: np.random.Generator) -> None:
    """Write a metal's and an oxide's edge, and nine tenths of the one with a tenth of the other."""
    energy = np.arange(4816.0, 5400.0, 0.5)

    def edge(at: float, line: float) -> np.ndarray:
        white_line = line * np.exp(-(((energy - at - 8) / 4) ** 2))
        return 0.1 + 1 / (1 + np.exp(-(energy - at) / 1.5)) + white_line

    metal, oxide = edge(4966.0, 0.05), edge(4978.0, 0.35)
    noise = rng.normal(scale=1e-3, size=energy.size)
    spectra = {"metal": metal, "oxide": oxide, "charged": 0.1 * metal + 0.9 * oxide + noise}
    for name, mu in spectra.items():
        np.savetxt(folder / f"{name}.dat", np.column_stack([energy, mu]), header="energy mu")


def _write_pattern(path: Path, rng: np.random.Generator) -> None:
    """Write counts of a pattern whose lines are as wide as those of a laboratory's instrument."""
    crystal = layered_structure(
        LayeredLattice(2.851, 14.25, 0.224), {"Mn": 0.95, "Ti": 0.05}, {"Mn": 0.03}
    )
    angle = np.arange(10.0, 80.0, 0.02)
    expected = 120 + 250 * np.exp(-angle / 20)
    for line in reflections(crystal, COPPER_ANGSTROM):
        apart = (angle - line.two_theta_degrees) / 0.08
        expected += 30 * line.intensity * np.exp(-(apart**2) / 2)
    counts = rng.poisson(expected)
    np.savetxt(path, np.column_stack([angle, counts]), fmt="%.2f %d")
