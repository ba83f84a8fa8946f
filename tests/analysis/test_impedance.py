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
    if exponent == 1:
        return float(low <= time < high)
    half_angle = (1 - exponent) * np.pi / 2
    with np.errstate(divide="ignore"):
        ends = np.tanh(exponent / 2 * np.log(np.array([low, high]) / time))
    return float(np.diff(np.arctan(ends / np.tan(half_angle)))[0] / (np.pi * exponent))


def noisy(impedance, rng, share=0.003):
    scatter = rng.normal(size=(2, len(impedance)))
    return impedance + share * np.abs(impedance) * (scatter[0] + 1j * scatter[1])


WINDOWS = {"whole": (0.0, np.inf), "charge transfer": (1e-2, 10.0)}


@pytest.mark.parametrize(
    ("arcs", "inductance_h"),
    [("two RC", 2e-6), ("two ZARCs", 0.0), ("RC and ZARC", 2e-6)],
)
def test_resistances_lie_within_two_uncertainties_in_nine_of_ten_trials(arcs, inductance_h):
    """ZARCs with exponents from 0.7 to 0.95, of which a part lies outside of the window."""
    rng = np.random.default_rng(11)
    scores, doubts = [], []
    for _ in range(200):
        sizes = rng.uniform(5, 30, 2)
        times = 10 ** rng.uniform((-4, -0.5), (-3, 0.3))
        exponents = rng.uniform(0.7, 0.95, 2)
        if arcs != "two ZARCs":
            exponents[: 2 if arcs == "two RC" else 1] = 1.0
        impedance = 3 + 1j * ANGULAR * inductance_h
        truth = dict.fromkeys(WINDOWS, 0.0)
        for arc in zip(sizes, times, exponents, strict=True):
            impedance = impedance + zarc(*arc)
            for name, window in WINDOWS.items():
                truth[name] += arc[0] * zarc_share(arc[2], arc[1], *window)
        found = relaxation_times(FREQUENCY, noisy(impedance, rng))
        values = [found.between(*WINDOWS[name]) for name in WINDOWS]
        values.append((found.ohmic, np.sqrt(found.covariance[-3, -3])))
        truths = [*truth.values(), 3.0]
        scores.append([(v - t) / u for (v, u), t in zip(values, truths, strict=True)])
        doubts.append([u / t for (_, u), t in zip(values, truths, strict=True)])
    scores = np.array(scores)
    assert np.mean(np.abs(scores) < 2, axis=0).min() >= 0.9
    # an uncertainty that covers everything would say nothing
    assert np.mean(scores**2, axis=0).min() > 0.2
    assert np.mean(scores**2, axis=0).max() < 2
    assert np.all(np.mean(doubts, axis=0) < (0.02, 0.05, 0.1))


def test_where_nothing_is_found_something_may_hide():
    impedance = 3 + zarc(20, 1e-3)
    found = relaxation_times(FREQUENCY, noisy(impedance, np.random.default_rng(2)))
    value, doubt = found.between(10, 100)
    assert doubt > 0
    assert abs(value) < 2 * doubt < 1
    with pytest.raises(MeasurementError, match="none from 1000 to 10000 s"):
        found.between(1e3, 1e4)


def test_windows_add_up():
    impedance = 3 + zarc(10, 1e-3, 0.8) + zarc(20, 0.5, 0.8)
    found = relaxation_times(FREQUENCY, noisy(impedance, np.random.default_rng(2)))
    parts = [found.between(*window)[0] for window in ((0, 3e-3), (3e-3, 7.7), (7.7, np.inf))]
    assert sum(parts) == pytest.approx(found.between(0, np.inf)[0])


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
    with pytest.raises(
        MeasurementError, match=r"eis\.csv: .* give imaginary .*\"Z''\" or imaginary: \"-Z''\""
    ):
        read_impedance(file)
    with pytest.raises(MeasurementError, match="as of a coil"):
        read_impedance(file, ImpedanceOptions(imaginary="Z''"))
    frequency, found = read_impedance(file, ImpedanceOptions(imaginary="-Z''"))
    assert frequency == pytest.approx(FREQUENCY, rel=1e-6)
    assert found == pytest.approx(impedance, rel=1e-6)


@pytest.mark.parametrize(
    ("heading", "sign"),
    [
        ("freq/Hz, Re(Z)/Ohm, -Im(Z)/Ohm", -1.0),
        ("freq/Hz,Re(Z)/Ohm,Im(Z)/Ohm", 1.0),
        ("Frequency (Hz), Z' (Ω), -Z'' (Ω)", -1.0),
        ("f,Z',Z''", 1.0),
        ("f,Z',-Z\"", -1.0),
        ("# f Zreal −Zimag", -1.0),
        ("made up\nf, Z_re, Z_im", 1.0),
        ("frequency,real,-imaginary", -1.0),
    ],
)
def test_a_heading_says_the_sign(tmp_path, heading, sign):
    impedance = 3 + zarc(10, 1e-3) + zarc(20, 0.5)
    file = write(tmp_path / "eis.csv", impedance, sign)
    file.write_text(f"{heading}\n{file.read_text()}")
    _, found = read_impedance(file)
    assert found == pytest.approx(impedance, rel=1e-6)
    # what is given goes before, and the data contradict it
    other = "Z''" if sign < 0 else "-Z''"
    with pytest.raises(MeasurementError, match="as of a coil"):
        read_impedance(file, ImpedanceOptions(imaginary=other))


def test_a_heading_that_says_nothing_or_another_order(tmp_path):
    file = write(tmp_path / "eis.csv", 3 + zarc(10, 1e-3), -1.0)
    numbers = file.read_text()
    for heading in ("f, Re, x", "Z'' or -Z''", '"f","Z","x"', "Re(Z)-Im(Z)", "timings, Zdim, b"):
        file.write_text(f"{heading}\n{numbers}")
        with pytest.raises(MeasurementError, match="give imaginary"):
            read_impedance(file)
    file.write_text(f"f, -Z'', Z'\n{numbers}")
    with pytest.raises(MeasurementError, match="names column 2 imaginary"):
        read_impedance(file)


@pytest.mark.parametrize("separator", [" ", "\t", ";"])
def test_decimal_commas_between_other_separators(tmp_path, separator):
    impedance = 3 + zarc(10, 1e-3) + zarc(20, 0.5)
    file = write(tmp_path / "eis.txt", impedance)
    text = file.read_text().replace(", ", separator).replace(".", ",")
    file.write_text(f"# 01.02.2024\n{text}")
    frequency, found = read_impedance(file, ImpedanceOptions(imaginary="Z''"))
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


def test_an_independent_program_agrees_on_a_measured_cell():
    """Compare with the linear test and the Tikhonov fit of pyimpspec."""
    pyimpspec = pytest.importorskip("pyimpspec", reason="pyimpspec is not installed")
    file = MEASURED / "LIB_data.txt"
    if not file.exists():
        pytest.skip("the measured file is not beside this checkout")
    frequency, impedance = read_impedance(file, ImpedanceOptions(imaginary="Z''"))
    theirs = pyimpspec.DataSet(frequency, impedance)
    test = kramers_kronig(frequency, impedance)
    other = pyimpspec.perform_kramers_kronig_test(
        theirs, num_RC=test.elements, num_F_ext_evaluations=0, admittance=False, num_procs=1
    )
    left = np.sqrt(np.mean(np.abs(other.residuals) ** 2) / 2)
    assert test.root_mean_square == pytest.approx(left, rel=0.25)
    found = relaxation_times(frequency, impedance)
    fit = pyimpspec.calculate_drt(theirs, method="tr-nnls", lambda_value=-1.0, num_procs=1)
    tau, density = fit.get_drt_data()[:2]
    for window in ((1e-2, 10.0), (0.0, np.inf)):
        inside = (tau >= window[0]) & (tau < window[1])
        value, doubt = found.between(*window)
        assert abs(np.trapezoid(np.where(inside, density, 0), np.log(tau)) - value) < 2 * doubt
