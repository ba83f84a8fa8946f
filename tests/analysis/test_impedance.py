"""Impedance: circuits whose resistances are known, a spectrum that drifts, and measured cells."""

from pathlib import Path

import numpy as np
import pytest

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.impedance import kramers_kronig, relaxation_times
from rocksalt.analysis.readers.impedance import ImpedanceOptions, read_impedance
from rocksalt.analysis.sample import Sample
from rocksalt.analysis.techniques import eis
from rocksalt.analysis.techniques.eis import Options

MEASURED = Path(__file__).parents[3] / "shared" / "data" / "experimental" / "eis"
FREQUENCY = np.logspace(5, -2.5, 55)
ANGULAR = 2 * np.pi * FREQUENCY
CELL = Sample(name="cell")


def zarc(resistance, time, exponent=1.0):
    return resistance / (1 + (1j * ANGULAR * time) ** exponent)


def zarc_share(exponent, time, low, high):
    """Return the share of a ZARC between two times (Cole and Cole 1941)."""
    x = np.linspace(np.log(low / time), np.log(high / time), 20001)
    angle = (1 - exponent) * np.pi
    density = np.sin(angle) / (2 * np.pi * (np.cosh(exponent * x) - np.cos(angle)))
    return float(np.sum((density[1:] + density[:-1]) / 2 * np.diff(x)))


def noisy(impedance, rng, share=0.003):
    scatter = rng.normal(size=(2, len(impedance)))
    return impedance + share * np.abs(impedance) * (scatter[0] + 1j * scatter[1])


def test_two_relaxations_lie_within_two_uncertainties_in_nine_of_ten_trials():
    rng = np.random.default_rng(11)
    inside, doubts = [], []
    for _ in range(200):
        fast, slow = rng.uniform(5, 30, 2)
        times = 10 ** rng.uniform(-4, -3), 10 ** rng.uniform(-0.5, 0.3)
        impedance = 3 + zarc(fast, times[0]) + zarc(slow, times[1])
        found = relaxation_times(FREQUENCY, noisy(impedance, rng))
        whole, doubt = found.between(0, np.inf)
        transfer, transfer_doubt = found.between(1e-2, 10)
        doubts.append(doubt / whole)
        inside.append(
            (
                abs(whole - fast - slow) < 2 * doubt,
                abs(transfer - slow) < 2 * transfer_doubt,
            )
        )
    assert np.mean(inside, axis=0).min() >= 0.9
    assert np.mean(doubts) < 0.01  # an uncertainty that covers everything would say nothing


@pytest.mark.parametrize("exponent", [0.8, 0.9])
def test_a_zarc_has_the_resistance_and_the_distribution_of_its_formula(exponent):
    impedance = 5 + zarc(20, 0.05, exponent) + 1j * ANGULAR * 2e-6
    found = relaxation_times(FREQUENCY, noisy(impedance, np.random.default_rng(3), 0.001))
    assert found.ohmic == pytest.approx(5, rel=0.01)
    assert found.inductance_h == pytest.approx(2e-6, rel=0.02)
    assert found.between(0, np.inf)[0] == pytest.approx(20, rel=0.01)
    expected = 20 * zarc_share(exponent, 0.05, 1e-2, 1.0)
    assert found.between(1e-2, 1.0)[0] == pytest.approx(expected, rel=0.05)
    peak = found.tau_s[np.argmax(found.density())]
    assert np.log10(peak / 0.05) == pytest.approx(0, abs=0.15)


def test_a_blocking_capacitance_is_no_relaxation():
    impedance = 2 + zarc(10, 1e-3) + 1 / (1j * ANGULAR * 5)
    found = relaxation_times(FREQUENCY, noisy(impedance, np.random.default_rng(4), 0.001))
    assert found.elastance_per_f == pytest.approx(0.2, rel=0.02)
    assert found.between(0, 1)[0] == pytest.approx(10, rel=0.02)


def test_units_do_not_matter():
    impedance = noisy(3 + zarc(10, 1e-3) + zarc(20, 0.5), np.random.default_rng(6))
    ohms = relaxation_times(FREQUENCY, impedance)
    thousand = relaxation_times(FREQUENCY, impedance * 1000)
    assert thousand.regularisation == ohms.regularisation
    assert thousand.between(1e-2, 10) == pytest.approx(
        tuple(1000 * value for value in ohms.between(1e-2, 10)), rel=1e-6
    )


def test_a_causal_spectrum_passes_kramers_kronig_and_a_drifting_one_does_not():
    rng = np.random.default_rng(8)
    impedance = 3 + zarc(10, 1e-3, 0.85) + zarc(20, 0.5, 0.9)
    passed = kramers_kronig(FREQUENCY, noisy(impedance, rng, 0.002))
    assert 0.001 < passed.root_mean_square < 0.003
    # The cell's slow resistance doubles from the first to the last frequency
    drifting = 3 + zarc(10, 1e-3, 0.85) + zarc(20, 0.5, 0.9) * np.linspace(1, 2, len(FREQUENCY))
    failed = kramers_kronig(FREQUENCY, noisy(drifting, rng, 0.002))
    assert failed.root_mean_square > 3 * passed.root_mean_square


def write(path, impedance, sign=1.0, frequency=FREQUENCY):
    path.write_text(
        "\n".join(
            f"{f:.8g}, {z.real:.9g}, {sign * z.imag:.9g}"
            for f, z in zip(frequency, impedance, strict=True)
        )
    )
    return path


def test_the_file_must_say_its_sign_and_is_checked(tmp_path):
    impedance = 3 + zarc(10, 1e-3) + zarc(20, 0.5)
    file = write(tmp_path / "eis.csv", impedance, -1.0)
    with pytest.raises(MeasurementError, match=r"eis\.csv: .* give imaginary"):
        read_impedance(file)
    with pytest.raises(MeasurementError, match="as of a coil"):
        read_impedance(file, ImpedanceOptions(imaginary="Z''"))
    frequency, found = read_impedance(file, ImpedanceOptions(imaginary="-Z''"))
    assert frequency == pytest.approx(FREQUENCY, rel=1e-6)
    assert found == pytest.approx(impedance, rel=1e-6)


def test_one_sweep_of_several_is_taken(tmp_path):
    impedance = 3 + zarc(10, 1e-3)
    both = write(
        tmp_path / "two.txt",
        np.concatenate([impedance, 2 * impedance]),
        frequency=np.tile(FREQUENCY, 2),
    )
    _, second = read_impedance(both, ImpedanceOptions(imaginary="Z''", sweep=2))
    assert second == pytest.approx(2 * impedance, rel=1e-6)
    with pytest.raises(MeasurementError, match="has 2 sweeps"):
        read_impedance(both, ImpedanceOptions(imaginary="Z''", sweep=3))


def test_damaged_files_are_refused_in_one_line(tmp_path):
    options = Options(imaginary="Z''")
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(MeasurementError, match="the file is empty"):
        eis.analyse(tmp_path / "empty.txt", CELL, options)
    few = write(tmp_path / "few.txt", (3 + zarc(10, 1e-3))[:6], frequency=FREQUENCY[:6])
    with pytest.raises(MeasurementError, match="6 frequencies are no spectrum"):
        eis.analyse(few, CELL, options)
    swapped = write(tmp_path / "swapped.txt", 3 + zarc(10, 1e-3), frequency=-FREQUENCY)
    with pytest.raises(MeasurementError, match="the columns are to be frequency"):
        eis.analyse(swapped, CELL, options)


def test_the_technique_gives_resistances_by_window_and_area(tmp_path):
    impedance = 3 + zarc(10, 1e-3) + zarc(20, 0.5) + zarc(8, 30)
    file = write(tmp_path / "eis.csv", noisy(impedance, np.random.default_rng(9), 0.001))
    sample = Sample(name="cell", electrode_area_cm2=2)
    result = eis.analyse(file, sample, Options(imaginary="Z''"))
    values = {name: quantity.value for name, quantity in result.values.items()}
    assert values["ohmic_resistance"] == pytest.approx(3, rel=0.02)
    assert values["charge_transfer_resistance"] == pytest.approx(20, rel=0.03)
    assert values["diffusion_resistance"] == pytest.approx(8, rel=0.05)
    assert values["polarisation_resistance_of_area"] == pytest.approx(76, rel=0.02)


def test_windows_must_rise():
    with pytest.raises(ValueError, match="the windows must rise"):
        Options(diffusion_to_s=1.0)


@pytest.mark.parametrize("name", ["LIB_data.txt", "exampleData.csv"])
def test_measured_cells(name):
    if not (MEASURED / name).exists():
        pytest.skip(f"the measured file {name} is not beside this checkout")
    result = eis.analyse(MEASURED / name, CELL, Options(imaginary="Z''"))
    values = {key: quantity.value for key, quantity in result.values.items()}
    real = result.arrays["impedance_real_ohm"]
    imaginary = result.arrays["impedance_imaginary_ohm"]
    assert values["kramers_kronig_residual"] < 0.002
    # The ohmic resistance is where the curve crosses the real axis, less what has relaxed there
    crossing = np.interp(0, -imaginary[:40], real[:40])
    assert values["ohmic_resistance"] == pytest.approx(crossing, rel=0.05)
    # what relaxes below the lowest frequency is not in its real part
    assert 0.6 < (real[-1] - values["ohmic_resistance"]) / values["polarisation_resistance"] < 1.1
