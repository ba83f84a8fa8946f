"""Figures of measurements: their axes have units, their texts do not overlap, and what is missing is told."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.sample import Sample
from rocksalt.workflows.experiment import Measurement, analyse, task_of
from rocksalt.workflows.measured_figures import draw_measurement

SAMPLE = Sample(name="film 3", active_mass_mg=10.0, composition="Li2MnO3")
RNG = np.random.default_rng(0)


def cycler_file(path, time_s, voltage, current, cycle=None):
    columns = {"Test Time / s": time_s, "Voltage / V": voltage, "Current / A": current}
    if cycle is not None:
        columns["Cycle Count / 1"] = cycle
    table = np.column_stack([np.asarray(column, dtype=float) for column in columns.values()])
    np.savetxt(path, table, delimiter=",", header=",".join(columns), comments="", fmt="%.9g")


def cell(folder, n_cycles=6):
    time, voltage, current, cycle, now = [], [], [], [], 0.0
    for n in range(n_cycles):
        for sign in (1, -1):
            share = np.linspace(0, 1, 201)
            hours = 2.0 * 0.97**n
            plateau = 0.15 * np.tanh((share - 0.4) / 0.15)
            volts = 3.6 - 0.003 * n + sign * (1.1 * share - 0.5 + plateau)
            time.append(now + 3600 * hours * share)
            voltage.append(volts)
            current.append(np.full(201, sign * 1e-3))
            cycle.append(np.full(201, n + 1.0))
            now = time[-1][-1] + 60
    cycler_file(folder / "cell.csv", *(np.concatenate(x) for x in (time, voltage, current, cycle)))
    return {"technique": "cycling", "file": "cell.csv", "positive_current": "charge"}


def one_cycle(folder):
    return {**cell(folder, 1), "basis": "cell"}


def rates(folder):
    """Write a rate test: two cycles at each of four currents, and back to the first."""
    time, voltage, current, cycle, now = [], [], [], [], 0.0
    for n in range(10):
        milliamperes = (0.1, 0.2, 0.5, 1.0, 0.1)[n // 2]
        for sign, size in ((1, 0.1), (-1, milliamperes)):
            share = np.linspace(0, 1, 101)
            time.append(now + share * 3600 * (2 - 0.9 * milliamperes) / size)
            voltage.append((2.5 + 2.2 * share)[::sign] + 0.1 * sign * size - 0.002 * n)
            current.append(np.full(101, sign * size * 1e-3))
            cycle.append(np.full(101, n + 1.0))
            now = time[-1][-1] + 60
    cycler_file(folder / "rates.csv", *(np.concatenate(x) for x in (time, voltage, current, cycle)))
    return {"technique": "cycling", "file": "rates.csv", "positive_current": "charge"}


def titration(folder):
    pulse, rest = np.arange(1.0, 601.0, 5.0), np.linspace(1, 3600, 200)
    time, voltage, current = [rest - 3600], [np.full(200, 4.0)], [np.zeros(200)]
    for n in range(4):
        start, base = n * 4200.0, 4.0 - 0.01 * n
        time += [start + pulse, start + 600 + rest]
        voltage += [base - 0.02 - 0.0008 * np.sqrt(pulse), np.full(200, base - 0.01)]
        current += [np.full(len(pulse), -1e-3), np.zeros(200)]
    volts = np.concatenate(voltage)
    volts = volts + RNG.normal(0, 2e-5, len(volts))
    cycler_file(folder / "gitt.csv", np.concatenate(time), volts, np.concatenate(current))
    return {
        "technique": "gitt",
        "file": "gitt.csv",
        "positive_current": "charge",
        "particle_radius_nm": 200,
    }


def voltammogram(folder, rates=(1e-4, 2e-4, 5e-4)):
    time, voltage, current, now = [], [], [], 0.0
    for rate in rates:
        for way in (1, -1):
            volts = np.linspace(2.0, 4.9, 1000)[::way]
            bumps = 2.5 * np.exp(-(((volts - 4.55) / 0.06) ** 2) / 2)
            bumps += np.exp(-(((volts - 3.9) / 0.06) ** 2) / 2)
            current.append(way * 1e-3 * np.sqrt(rate / 1e-4) * (bumps + 0.1))
            time.append(now + np.arange(1000) * 2.9 / 999 / rate)
            voltage.append(volts)
            now = time[-1][-1] + 1
    cycler_file(folder / "cv.csv", *(np.concatenate(x) for x in (time, voltage, current)))
    return {
        "technique": "cv",
        "file": "cv.csv",
        "positive_current": "charge",
        "oxygen_window_v": (4.3, 4.8),
        "metal_window_v": (3.6, 4.2),
    }


def one_sweep(folder):
    return voltammogram(folder, rates=(1e-4,))


def edges(folder):
    energy = np.arange(6400.0, 6970.0, 0.5)

    def edge(at):
        return 0.1 + 1 / (1 + np.exp(-(energy - at) / 1.5))

    spectra = {"low": edge(6544), "high": edge(6552)}
    spectra["mix"] = (spectra["low"] + spectra["high"]) / 2 + RNG.normal(0, 2e-3, len(energy))
    for name, mu in spectra.items():
        np.savetxt(folder / f"{name}.dat", np.column_stack([energy, mu]))


def xanes(folder):
    edges(folder)
    return {
        "technique": "xanes",
        "file": "mix.dat",
        "edge": "Mn K",
        "references": {"MnO": "low.dat", "Li2MnO3": "high.dat"},
        "valences": {"MnO": 2.0, "Li2MnO3": 4.0},
        "resamples": 50,
    }


def xanes_alone(folder):
    edges(folder)
    return {"technique": "xanes", "file": "mix.dat", "edge": "Mn K"}


def soft(folder):
    energy = np.linspace(632.0, 660.0, 281)
    shapes = {c: np.exp(-(((energy - c) / 0.9) ** 2) / 2) for c in (640.3, 641.9, 643.4)}
    for number, shape in enumerate(shapes.values()):
        np.savetxt(folder / f"{number}.dat", np.column_stack([energy, 300 + 900 * shape]))
    mixed = sum(shapes.values()) / 3 + RNG.normal(0, 5e-3, len(energy))
    np.savetxt(folder / "yield.dat", np.column_stack([energy, 50 + 4000 * mixed]))
    return {
        "technique": "soft-xas",
        "file": "yield.dat",
        "scale_window_ev": (637, 648),
        "background_ev": (632, 635),
        "references": {f"Mn{n + 2}+": f"{n}.dat" for n in range(3)},
        "minus": "0.dat",
        "difference_window_ev": (641, 643),
        "resamples": 50,
    }


def soft_difference(folder):
    given = soft(folder)
    return {k: v for k, v in given.items() if k != "references"}


def images(folder, **more):
    energy = np.arange(6519.0, 6620.0, 4.0)
    pristine = 0.5 + 1 / (1 + np.exp(-(energy - 6552) / 2))
    cycled = 0.5 + 1 / (1 + np.exp(-(energy - 6546) / 2))
    rows, columns = np.indices((24, 24)) - 11.5
    radius = np.hypot(rows, columns)
    amount, weight = np.where(radius < 10, 1.0, 0.0), np.where(radius < 6, 0.1, 0.9)
    depth = pristine[:, None, None] * (amount * (1 - weight)) + cycled[:, None, None] * (
        amount * weight
    )
    np.save(folder / "stack.npy", RNG.poisson(2000 * np.exp(-depth)) / 2000)
    np.savetxt(folder / "energies.txt", energy)
    for name, mu in (("p", pristine), ("c", cycled)):
        np.savetxt(folder / f"{name}.dat", np.column_stack([energy, mu]))
    return {
        "technique": "txm",
        "file": "stack.npy",
        "energies": "energies.txt",
        "pristine": "p.dat",
        "cycled": "c.dat",
        **more,
    }


def images_in_nm(folder):
    return images(folder, pixel_nm=30.0)


def powder(folder):
    angle = np.arange(10.0, 80.0, 0.02)
    expected = np.full(len(angle), 150.0)
    for centre in (18.7, 44.7, 65.4):
        expected += 900 * np.exp(-(((angle - centre) / 0.08) ** 2) / 2)
    np.savetxt(folder / "p.xy", np.column_stack([angle, RNG.poisson(expected)]), fmt="%.2f %d")
    windows = {"003": (18.1, 19.3), "104": (44.1, 45.3), "110": (64.8, 66.0)}
    return {"technique": "xrd", "file": "p.xy", "wavelength": "CuKa", "windows": windows}


def impedance(rng, transfer=20.0):
    angular = 2j * np.pi * np.logspace(5, -2.5, 40)
    arcs = 3 + 10 / (1 + angular * 1e-3) + transfer / (1 + (angular * 0.5) ** 0.9)
    noisy = arcs * (1 + rng.normal(0, 1e-3, 40)) + 8 / (1 + angular * 30)
    return np.column_stack([angular.imag / (2 * np.pi), noisy.real, noisy.imag])


def spectrum(folder):
    np.savetxt(folder / "eis.txt", impedance(np.random.default_rng(1)))
    return {"technique": "eis", "file": "eis.txt", "imaginary": "Z''"}


def spectra(folder):
    """Write a charge and part of the discharge after it."""
    rng = np.random.default_rng(1)
    rows = [impedance(rng, transfer) for transfer in (30, 20, 15, 25, 18, 26)]
    np.savetxt(folder / "geis.txt", np.concatenate(rows))
    potentials = [3.6, 3.9, 4.2, 4.5, 4.2, 3.9]
    given = {"imaginary": "Z''", "potentials_v": potentials}
    return {"technique": "geis", "file": "geis.txt", **given}


def gases(folder):
    rng = np.random.default_rng(1)
    time = np.linspace(0, 36000, 300)
    delay = np.maximum(time - 20000, 0) / 3000
    columns = {"Test Time / s": time, "Voltage / V": 3.6 + 1.2 * time / 36000}
    columns["Current / A"] = np.full(300, 3e-4)
    columns["m32"] = 0.1 * delay * np.exp(-delay) + rng.normal(0, 2e-3, 300)
    columns["m44"] = rng.normal(0, 2e-3, 300)
    table = np.column_stack(list(columns.values()))
    np.savetxt(folder / "gas.csv", table, delimiter=",", header=",".join(columns), comments="")
    names = {"O2": "m32", "CO2": "m44"}
    return {
        "technique": "dems",
        "file": "gas.csv",
        "positive_current": "charge",
        "baseline_to_v": 4.0,
        "gases": {gas: {"column": column, "unit": "nmol/s"} for gas, column in names.items()},
    }


def element_map(folder, shape=(40, 48), **more):
    rng = np.random.default_rng(2)
    share = np.where(np.indices(shape)[-1] // 8 % 2, 0.2, 0.05)
    counts = {"Ru": rng.poisson(200 * share), "Mn": rng.poisson(200 * (1 - share))}
    np.savez(folder / "edx.npz", **counts)
    return {"technique": "element-map", "file": "edx.npz", "element": "Ru", **more}


def element_volume(folder):
    given = {"pixel_nm": 2.0, "k_factors": {"Ru": 1.8, "Mn": 1.0}}
    return element_map(folder, (6, 24, 32), **given)


CASES = {
    made.__name__: made
    for made in (
        *(cell, one_cycle, rates, titration, voltammogram, one_sweep, xanes, xanes_alone),
        *(soft, soft_difference, images, images_in_nm, powder),
        *(spectrum, spectra, gases, element_map, element_volume),
    )
}


def analysed(folder, case):
    return analyse(task_of(Measurement(**CASES[case](folder)), SAMPLE, folder))


def labels_of(axes):
    return [axes.get_xlabel(), axes.get_ylabel()]


UNITS = (
    "V",
    "mAh",
    "mAh/g",
    "eV",
    "nm",
    "degrees",
    "mV",
    "mA",
    "m²/s",
    "mV/s",
    "mAh/g per V",
    "mAh per V",
    "Ω",
    "s",
    "h",
    "Hz",
    "%",
    "% of |Z|",
    "nmol s$^{-1}$ g$^{-1}$",
)
NO_UNIT = (
    *("", "Cycle", "Normalised absorption", "Difference", "Measured\nless fit", "Counts"),
    *("Weight of cycled phase", "Misfit R", "Yield (per eV, area 1)"),
    *("Bins", "Share of signal of Ru", "Fraction of Ru"),
)


@pytest.mark.parametrize("case", CASES)
def test_a_figure_has_units_and_no_texts_over_each_other(tmp_path, case):
    document, found = analysed(tmp_path, case)
    stored = {name: array.tolist() for name, array in found.arrays.items()}
    figure = draw_measurement(document, stored)
    FigureCanvasAgg(figure).draw()
    for axes in figure.axes:
        for label in labels_of(axes):
            unit = label.rpartition("(")[2].removesuffix(")") if label.endswith(")") else None
            assert unit in UNITS or label in NO_UNIT, label
    hidden = not_drawn(figure)
    boxes = {
        text: text.get_window_extent()
        for text in figure.findobj(Text)
        if text.get_visible() and text.get_text().strip() and text not in hidden
    }
    assert len(boxes) > 8
    for (one, box), (other, its) in combinations(boxes.items(), 2):
        assert not over(box, its), (one.get_text(), other.get_text())
    suptitle = figure.get_suptitle()
    assert suptitle.startswith("film 3: ")


def not_drawn(figure):
    """Return the texts of ticks outside their axis's limits."""
    hidden = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
            outside = (tick for tick in ticks if not low <= tick.get_loc() <= high)
            hidden |= {text for tick in outside for text in (tick.label1, tick.label2)}
    return hidden


def over(box, other, tolerance=1.0):
    width = min(box.x1, other.x1) - max(box.x0, other.x0)
    height = min(box.y1, other.y1) - max(box.y0, other.y0)
    return width > tolerance and height > tolerance


def test_a_spectrum_is_drawn_in_equal_units_and_gases_with_their_onset(tmp_path):
    document, found = analysed(tmp_path, "spectrum")
    assert draw_measurement(document, found.arrays).axes[0].get_aspect() == 1
    document, found = analysed(tmp_path, "gases")
    axes = draw_measurement(document, found.arrays).axes
    titles = [each.get_title(loc="left") for each in axes]
    assert titles[1].startswith("onset of O$_{2}$ at 4.2")
    assert titles[1].endswith("of the lithium removed")
    assert titles[2] == "no onset"


def test_titles_say_what_was_found(tmp_path):
    document, found = analysed(tmp_path, "cell")
    titles = " ".join(
        axes.get_title(loc="left") for axes in draw_measurement(document, found.arrays).axes
    )
    assert "85.9 % kept over 5 cycles" in titles  # 0.97^5
    assert "Median falls by 3.0" in titles


def test_the_currents_of_a_rate_test_are_written_where_each_begins(tmp_path):
    document, found = analysed(tmp_path, "rates")
    axes = draw_measurement(document, found.arrays).axes[2]
    assert axes.get_title(loc="left").startswith("Capacity")
    written = {text.get_text(): text.xy[0] for text in axes.texts}
    assert written == {"10 mA/g": 1.5, "20 mA/g": 3.5, "50 mA/g": 5.5, "100 mA/g": 7.5}
    document, found = analysed(tmp_path, "cell")
    assert not draw_measurement(document, found.arrays).axes[2].texts


def test_invalid_pulses_are_not_drawn_as_valid(tmp_path):
    document, found = analysed(tmp_path, "titration")
    arrays = {**found.arrays, "valid": np.array([1.0, 0.0, 1.0, 1.0])}
    _, diffusion, _ = draw_measurement(document, arrays).axes
    drawn = {group.get_label(): len(group.lines[0].get_xdata()) for group in diffusion.containers}
    assert drawn == {"valid": 3, "not valid: not linear in √t, or not relaxed": 1}


def test_stored_curves_of_another_version_are_told(tmp_path):
    document, found = analysed(tmp_path, "powder")
    arrays = {name: array for name, array in found.arrays.items() if name != "counts"}
    with pytest.raises(MeasurementError, match=r"p.xy: xrd: no figure.*no 'counts'"):
        draw_measurement(document, arrays)


def test_a_technique_without_a_figure_is_told(tmp_path):
    document, found = analysed(tmp_path, "powder")
    other = document.model_copy(update={"technique": "phrenology"})
    with pytest.raises(MeasurementError, match="technique 'phrenology' has no figure"):
        draw_measurement(other, found.arrays)
