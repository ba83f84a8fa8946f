"""Time and memory of the Kramers-Kronig test and the distribution of relaxation times of a spectrum.

The spectra are synthetic: two broad arcs, an inductance and noise of 0.3 percent, at potentials along
which the second arc grows. The last columns are the error of its charge-transfer resistance against
what was put in, and how many lie within two standard uncertainties.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time

import numpy as np
from rich.console import Console
from rich.table import Table

from rocksalt.analysis.impedance import kramers_kronig, relaxation_times
from rocksalt.analysis.quantities import Array
from rocksalt.analysis.readers.impedance import Complex

_COLUMNS = (
    "spectra",
    "frequencies",
    "K-K test,\nCPU s each",
    "DRT,\nCPU s each",
    "CPU s\nin all",
    "peak MB\n(at start)",
    "rms error",
    "within 2 u",
)
_NOISE = 0.003
_EXPONENT, _TIME_S = 0.85, 0.5
_WINDOW = (1e-2, 10.0)


def synthetic_spectrum(
    resistance_ohm: float, frequency_hz: Array, rng: np.random.Generator
) -> Complex:
    """Return 3 ohm, an arc of 10 ohm at 0.2 ms, one of the resistance at 0.5 s, and 1 uH, with noise."""
    angular = 2j * np.pi * frequency_hz
    impedance = 3 + 1e-6 * angular + 10 / (1 + (angular * 2e-4) ** _EXPONENT)
    impedance = impedance + resistance_ohm / (1 + (angular * _TIME_S) ** _EXPONENT)
    scatter = rng.normal(scale=_NOISE, size=(2, len(frequency_hz)))
    return np.asarray(impedance + np.abs(impedance) * (scatter[0] + 1j * scatter[1]))


def share_in_window(time_s: float) -> float:
    """Return the share of an arc's resistance in the window (Cole and Cole 1941, integrated)."""
    half_angle = (1 - _EXPONENT) * np.pi / 2
    ends = np.tanh(_EXPONENT / 2 * np.log(np.array(_WINDOW) / time_s)) / np.tan(half_angle)
    return float(np.diff(np.arctan(ends))[0] / (np.pi * _EXPONENT))


def _peak_mb() -> float:
    unit = 1e6 if sys.platform == "darwin" else 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _row(spectra: int, frequencies: int, start_mb: float) -> list[str]:
    rng = np.random.default_rng(0)
    frequency = np.logspace(5, -2.5, frequencies)
    sizes = np.linspace(10, 40, spectra)
    series = [synthetic_spectrum(size, frequency, rng) for size in sizes]
    begun = time.process_time()
    for impedance in series:
        kramers_kronig(frequency, impedance)
    tested = time.process_time()
    found = [relaxation_times(frequency, each).between(*_WINDOW) for each in series]
    ended = time.process_time()
    truth = sizes * share_in_window(_TIME_S) + 10 * share_in_window(2e-4)
    values, doubts = np.array(found).T
    return [
        f"{spectra}",
        f"{frequencies}",
        f"{(tested - begun) / spectra:.4f}",
        f"{(ended - tested) / spectra:.4f}",
        f"{ended - begun:.2f}",
        f"{_peak_mb():.0f} ({start_mb:.0f})",
        f"{np.sqrt(np.mean((values / truth - 1) ** 2)):.4f}",
        f"{np.mean(np.abs(values - truth) < 2 * doubts):.2f}",
    ]


def main(argv: list[str] | None = None) -> None:
    """Run the benchmark and print a row for one spectrum and a row for the series."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--series", type=int, default=100, help="spectra of the series")
    parser.add_argument(
        "--frequencies", type=int, default=60, help="of each, from 0.1 MHz to 3 mHz"
    )
    args = parser.parse_args(argv)
    table = Table(title="Kramers-Kronig test and distribution of relaxation times (DRT)")
    for heading in _COLUMNS:
        table.add_column(heading, justify="right")
    start = _peak_mb()
    _row(1, args.frequencies, start)  # the libraries' own first calls
    for spectra in (1, args.series):
        table.add_row(*_row(spectra, args.frequencies, start))
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
