"""Voltammograms made of known peaks."""

import numpy as np
import pytest

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.readers.cycler import CyclerTable
from rocksalt.analysis.sample import Sample
from rocksalt.analysis.techniques import cv
from rocksalt.analysis.techniques.cv import Options
from rocksalt.analysis.voltammetry import Sweep, peak, rate_exponent, sweeps

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
    scores = []
    for seed in range(200):
        sweep = sweeps(made(noise=2e-5, seed=seed))[0]
        top, bottom = peak(sweep, 4.25, 4.85), peak(sweep, 3.6, 4.2)
        ratio = top.height_a / bottom.height_a
        doubt = ratio * np.hypot(
            top.height_uncertainty_a / top.height_a, bottom.height_uncertainty_a / bottom.height_a
        )
        scores.append((ratio - 2.5) / doubt)
    assert np.mean(np.abs(scores) < 2) >= 0.9
    assert 0.5 < np.mean(np.square(scores)) < 2


@pytest.mark.parametrize("rates", [(1e-4, 5e-4), (1e-4, 2e-4, 5e-4, 1e-3, 2e-3)])
def test_the_exponent_lies_within_two_uncertainties_in_nine_of_ten_trials(rates):
    """Peaks of one shape whose heights go with the rate to a power from 0.5 to 1."""
    rng = np.random.default_rng(12)
    volts = np.linspace(3.5, 4.3, 300)
    scores = []
    for _ in range(200):
        exponent = rng.uniform(0.5, 1.0)
        peaks = []
        for rate in rates:
            size = 1e-3 * (rate / 1e-4) ** exponent
            current = size * (bump(volts, 3.9) + 0.1) + rng.normal(0, 2e-5, len(volts))
            peaks.append(peak(Sweep(volts / rate, volts, current, rate), 3.6, 4.2))
        found, doubt = rate_exponent(
            np.array(rates),
            np.array([each.height_a for each in peaks]),
            np.array([each.height_uncertainty_a for each in peaks]),
        )
        scores.append((found - exponent) / doubt)
    assert np.mean(np.abs(scores) < 2) >= 0.9
    assert 0.5 < np.mean(np.square(scores)) < 2


def test_heights_that_scatter_widen_the_exponent():
    rates = np.array([1e-4, 2e-4, 4e-4, 8e-4])
    heights = 1e-3 * np.sqrt(rates / 1e-4) * np.array([1.0, 1.1, 0.9, 1.0])
    _, sure = rate_exponent(rates, 1e-3 * np.sqrt(rates / 1e-4), np.full(4, 1e-5))
    _, unsure = rate_exponent(rates, heights, np.full(4, 1e-5))
    assert unsure > 5 * sure


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
    with pytest.raises(
        MeasurementError, match=r"give metal_window_v, .* peak B, .*as \[3.6, 4.2\]"
    ):
        cv.analyse(file, CELL, Options(oxygen_window_v=(4.3, 4.8)))
    with pytest.raises(MeasurementError, match=r"lower end first \(metal_window_v\)"):
        cv.analyse(
            file,
            CELL,
            Options(positive_current="charge", **{**WINDOWS, "metal_window_v": (4.2, 3.6)}),
        )
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
        rate_exponent(np.array([1e-4, 1e-4]), np.ones(2), np.full(2, 0.1))
