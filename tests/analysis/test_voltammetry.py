"""Voltammograms made of known peaks."""

import numpy as np
import pytest

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.readers.cycler import CyclerTable
from rocksalt.analysis.sample import Sample
from rocksalt.analysis.techniques import cv
from rocksalt.analysis.techniques.cv import Options
from rocksalt.analysis.voltammetry import peak, rate_exponent, sweeps

CELL = Sample(name="cell")
WINDOWS = {"oxygen_window_v": (4.3, 4.8), "metal_window_v": (3.6, 4.2)}


def bump(voltage, at):
    return np.exp(-(((voltage - at) / 0.06) ** 2) / 2)


def made(rates=(1e-4,), noise=0.0, exponent=0.5, seed=0):
    """Return sweeps from 2 to 4.9 V and back: A is 2.5 mA at 4.55 V, B 1 mA at 3.9 V, on a line."""
    rng = np.random.default_rng(seed)
    time, voltage, current, now = [], [], [], 0.0
    for rate in rates:
        for way in (1, -1):
            volts = np.linspace(2.0, 4.9, 1500)[::way]
            size = 1e-3 * (rate / 1e-4) ** exponent
            peaks = 2.5 * bump(volts, 4.55) + bump(volts, 3.9)
            current.append(way * size * (peaks + 0.1 + 0.05 * (volts - 2)))
            time.append(now + np.arange(1500) * 2.9 / 1499 / rate)
            voltage.append(volts)
            now = time[-1][-1] + 1
    flow = np.concatenate(current)
    flow = flow + rng.normal(0, noise, len(flow))
    return CyclerTable("made", np.concatenate(time), np.concatenate(voltage), flow)


def test_sweeps_turn_where_the_voltage_does():
    found = sweeps(made(rates=(1e-4, 2e-4)))
    assert [s.rate_v_per_s for s in found] == pytest.approx([1e-4, -1e-4, 2e-4, -2e-4], rel=1e-3)


def test_the_ratio_of_heights_lies_within_two_uncertainties_in_nine_of_ten_trials():
    inside = []
    for seed in range(200):
        sweep = sweeps(made(noise=2e-5, seed=seed))[0]
        top, bottom = peak(sweep, 4.25, 4.85), peak(sweep, 3.6, 4.2)
        ratio = top.height_a / bottom.height_a
        doubt = ratio * np.hypot(
            top.height_uncertainty_a / top.height_a, bottom.height_uncertainty_a / bottom.height_a
        )
        inside.append(abs(ratio - 2.5) < 2 * doubt)
    assert np.mean(inside) >= 0.9


def test_the_technique_gives_ratio_and_exponent(tmp_path):
    table = made(rates=(1e-4, 2e-4, 5e-4))
    file = tmp_path / "cv.csv"
    rows = zip(table.time_s, table.voltage_v, table.current_a, strict=True)
    lines = [",".join(f"{value:.9g}" for value in row) for row in rows]
    file.write_text("\n".join(["Test Time / s,Voltage / V,Current / A", *lines]))
    result = cv.analyse(file, CELL, Options(positive_current="charge", **WINDOWS))
    values = {name: quantity.value for name, quantity in result.values.items()}
    assert values["oxygen_to_metal_peak_ratio"] == pytest.approx(2.5, rel=0.01)
    assert values["oxygen_peak_voltage"] == pytest.approx(4.55, abs=0.002)
    assert values["metal_peak_current"] == pytest.approx(1.0, rel=0.01)
    assert values["oxygen_rate_exponent"] == pytest.approx(0.5, abs=0.001)
    with pytest.raises(MeasurementError, match="give metal_window_v"):
        cv.analyse(file, CELL, Options(oxygen_window_v=(4.3, 4.8)))
    with pytest.raises(MeasurementError, match=r"cv\.csv: .* has no peak within: move the window"):
        cv.analyse(
            file,
            CELL,
            Options(positive_current="charge", **{**WINDOWS, "metal_window_v": (2.2, 3.6)}),
        )


def test_a_measurement_without_sweeps_and_one_rate_are_refused():
    flat = CyclerTable("flat.csv", np.arange(100.0), np.full(100, 3.5), np.ones(100))
    with pytest.raises(MeasurementError, match=r"flat\.csv: no sweep"):
        sweeps(flat)
    with pytest.raises(MeasurementError, match="measure at several rates"):
        rate_exponent(np.array([1e-4, 1e-4]), np.array([1.0, 1.0]))
