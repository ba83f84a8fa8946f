"""XANES: reading, normalisation and edge position, on spectra of known shape and on measured oxides."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.readers.xas import Spectrum, read_spectrum, read_stack
from rocksalt.analysis.sample import Sample
from rocksalt.analysis.techniques import get_technique
from rocksalt.analysis.xanes import (
    difference_area,
    edge_energy_ev,
    edge_position,
    find_edge_ev,
    first_derivative,
    foil_edge_ev,
    normalisation_errors,
    normalise,
    scale_yield,
)

DATA = Path(__file__).parents[3] / "shared/data/experimental/xas"
measured = pytest.mark.skipif(not DATA.is_dir(), reason=f"no measured spectra in {DATA}")
SAMPLE = Sample(name="test")
ENERGY = np.arange(6400.0, 6900.0, 0.5)
EDGE = 6548.0
MN = 6539.0


def edge_spectrum(energy=ENERGY, at=EDGE, step=0.7, width=1.5, slope=-2e-4, curve=0.0):
    """Return an arctangent step, whose half height and inflection are both at its middle."""
    shape = 0.5 + np.arctan((energy - at) / width) / np.pi
    return 1.3 + slope * (energy - MN) + step * shape * (1 + curve * (energy - MN))


def write(path, *columns, header="energy mu"):
    np.savetxt(path, np.column_stack(columns), header=header)
    return path


@pytest.mark.parametrize("at", [6545.0, 6548.3, 6552.7])
def test_edge_is_found_where_it_was_put(at):
    values = edge_spectrum(at=at)
    normal = normalise(ENERGY, values, MN)
    place = edge_position(normal)
    assert find_edge_ev(ENERGY, values, MN) == pytest.approx(at, abs=0.03)
    assert place.derivative_ev == pytest.approx(at, abs=0.03)
    # an arctangent is still at 0.95 forty eV on: the step found is that much smaller
    assert place.half_height_ev == pytest.approx(at, abs=0.25)


def test_normalisation_takes_out_offset_slope_and_scale():
    shape = normalise(ENERGY, edge_spectrum(), MN)
    other = normalise(ENERGY, 5 + 3 * edge_spectrum() - 1e-3 * ENERGY, MN)
    assert other.values == pytest.approx(shape.values, abs=1e-9)
    assert other.edge_step == pytest.approx(3 * shape.edge_step, rel=1e-9)
    assert shape.edge_step == pytest.approx(0.7, abs=0.02)


def test_a_sharp_step_has_its_height_and_is_flat_after_flattening():
    values = edge_spectrum(width=1e-6, curve=4e-4)
    normal = normalise(ENERGY, values, MN)
    assert normal.edge_step == pytest.approx(0.7, rel=1e-6)
    after = ENERGY > 6580
    assert np.ptp(normal.values[after]) > 0.1
    assert normal.flattened[after] == pytest.approx(1.0, abs=1e-6)
    assert normal.flattened[ENERGY < 6530] == pytest.approx(0.0, abs=1e-3)


def test_normalising_a_mixture_is_mixing_what_is_normalised():
    a, b = edge_spectrum(at=6545), edge_spectrum(at=6552, step=0.2, slope=1e-4)
    one, two = normalise(ENERGY, a, MN), normalise(ENERGY, b, MN)
    mixed = normalise(ENERGY, 0.3 * a / one.edge_step + 0.7 * b / two.edge_step, MN)
    assert mixed.flattened == pytest.approx(0.3 * one.flattened + 0.7 * two.flattened, abs=1e-9)


def test_uncertainty_of_the_edge_is_its_scatter():
    rng = np.random.default_rng(3)
    found, stated = [], []
    for seed in range(25):
        noisy = edge_spectrum(step=0.2) + rng.normal(0, 0.0015, len(ENERGY))
        place = edge_position(normalise(ENERGY, noisy, MN), seed=seed)
        found.append((place.half_height_ev, place.derivative_ev))
        stated.append((place.half_height_uncertainty_ev, place.derivative_uncertainty_ev))
    ratio = np.mean(stated, axis=0) / np.std(found, axis=0, ddof=1)
    assert ratio == pytest.approx([1.0, 1.0], abs=0.45)


@pytest.mark.parametrize("flatten", [True, False])
def test_errors_of_the_normalisation_are_their_scatter(flatten):
    """Between the ranges the noise of a point and the error of the normalisation are independent."""
    rng = np.random.default_rng(4)
    energy = np.arange(6520.0, 6630.0, 1.0)
    point = int(np.flatnonzero(energy == 6565)[0])
    spectra = edge_spectrum(energy) + rng.normal(0, 0.003, (500, len(energy)))
    normals = [normalise(energy, each, MN) for each in spectra]
    values = [(n.flattened if flatten else n.values)[point] for n in normals]
    clean = normalise(energy, edge_spectrum(energy), MN)
    noise = 0.003 / clean.edge_step
    errors = normalisation_errors(replace(clean, noise=noise), 500, flatten=flatten)[point]
    assert np.hypot(noise, errors.std()) == pytest.approx(np.std(values), rel=0.1)
    assert errors.std() > 0.3 * noise


def test_derivative_of_a_cubic_is_exact():
    energy = np.linspace(100.0, 140.0, 401)
    grid, slope = first_derivative(energy, (energy - 120) ** 3)
    assert slope == pytest.approx(3 * (grid - 120) ** 2, abs=1e-6)


def test_foil_edge_is_the_first_inflection_even_if_a_later_one_is_steeper():
    foil = edge_spectrum(at=6539, step=0.4, width=1) + edge_spectrum(at=6550, step=0.9, width=1)
    assert find_edge_ev(ENERGY, foil, MN) == pytest.approx(6550, abs=0.1)
    assert foil_edge_ev(ENERGY, foil, MN) == pytest.approx(6539, abs=0.1)


def test_transmission_given_for_absorption_is_told():
    with pytest.raises(MeasurementError, match="absorption, not transmission"):
        normalise(ENERGY, -edge_spectrum(), MN)


def test_a_range_that_was_not_measured_is_told():
    short = ENERGY < 6560
    with pytest.raises(MeasurementError, match=r"post-edge range 40 to 300 eV.*give post_edge_ev"):
        normalise(ENERGY[short], edge_spectrum()[short], MN, name="a.xdi")
    with pytest.raises(MeasurementError, match="check edge"):
        find_edge_ev(ENERGY, edge_spectrum(), 8333.0)


def test_an_edge_is_known_or_asked_for():
    assert edge_energy_ev(" Ni  K ") == 8333.0
    with pytest.raises(MeasurementError, match="give edge_ev"):
        edge_energy_ev("Xx K")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("# energy mu\n", "no table"),
        ("6500 1\n6501 1.1\n6500.5 1.2\n" * 5, "does not rise in row 3.*sort the scan"),
        ("".join(f"{6500 + i} 1\n" for i in range(12)) + "6520 nan\n", "not a number"),
        ("".join(f"{6500 + i} 1\n" for i in range(12)) + "6520\n", "line 13 has 1 columns"),
        ("6500 1\n6501 1\n", "2 points are no spectrum"),
        ("".join(f"{6.5 + i / 1000} 1\n" for i in range(12)), "export the scan in eV"),
        ("".join(f"{6500 + i} 1 2\n" for i in range(12)), "Give its label or number"),
        ("\x1f\x8b packed", "Athena"),
    ],
)
def test_bad_files_are_one_line_with_file_and_remedy(tmp_path, text, message):
    path = tmp_path / "bad.dat"
    path.write_text(text)
    with pytest.raises(MeasurementError, match=message) as caught:
        read_spectrum(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_columns_by_label(tmp_path):
    i0, it, ir = np.full(1000, 8.0), np.full(1000, 4.0), np.full(1000, 1.0)
    path = write(tmp_path / "a.dat", ENERGY, i0, it, ir, header="energy i0 itrans irefer")
    spectrum = read_spectrum(path)
    assert spectrum.absorption == pytest.approx(np.log(2))
    assert spectrum.reference is None  # a foil without any edge is none
    assert read_spectrum(path, column="itrans").absorption == pytest.approx(4.0)
    assert read_spectrum(path, column="2").absorption == pytest.approx(8.0)
    with pytest.raises(MeasurementError, match="one of energy, i0, itrans, irefer"):
        read_spectrum(path, column="pfy")
    path = write(tmp_path / "b.dat", ENERGY / 1000, i0, it, header="energy(keV) i0 ifluor")
    assert read_spectrum(path).energy_ev == pytest.approx(ENERGY)
    assert read_spectrum(path).absorption == pytest.approx(0.5)


def test_a_detector_that_reads_nothing_is_told(tmp_path):
    it = np.full(1000, 4.0)
    it[7] = 0
    path = write(tmp_path / "a.dat", ENERGY, it + 1, it, header="energy i0 itrans")
    with pytest.raises(MeasurementError, match=r"6403\.5 eV is not a number"):
        read_spectrum(path)


def test_spectrum_checks_itself():
    with pytest.raises(MeasurementError, match="1000 energies and 3 values"):
        Spectrum("a", ENERGY, np.ones(3))


def test_analysis_of_a_file(tmp_path):
    xanes = get_technique("xanes")
    path = write(tmp_path / "a.dat", ENERGY, edge_spectrum())
    with pytest.raises(MeasurementError, match="give edge"):
        xanes.analyse(path, SAMPLE, xanes.Options())
    found = xanes.analyse(path, SAMPLE, xanes.Options(edge="Mn K", shift_ev=1.5))
    assert found.values["edge_first_derivative"].value == pytest.approx(EDGE + 1.5, abs=0.05)
    assert found.values["edge_first_derivative"].unit == "eV"
    assert found.parameters["used_post_edge_degree"] == 1
    assert len(found.arrays["normalised"]) == len(ENERGY)


@measured
def test_measured_oxides_are_in_the_order_of_their_valences():
    xanes = get_technique("xanes")
    places = [
        xanes.analyse(DATA / file, SAMPLE, xanes.Options()).values["edge_half_height"].value
        for file in ("MnO_rt_02.xdi", "Mn2O3_rt_01.xdi", "MnO2_rt_01.xdi")
    ]
    assert places[0] + 2 < places[1]
    assert places[1] + 1 < places[2]
    assert all(6539 < place < 6555 for place in places)


@measured
@pytest.mark.parametrize("file", ["MnO_rt_02.xdi", "Mn2O3_rt_01.xdi", "MnO2_rt_01.xdi"])
def test_measured_filters_agree_though_the_sample_leaks_into_their_channel(file):
    spectrum = read_spectrum(DATA / file)
    assert foil_edge_ev(spectrum.energy_ev, spectrum.reference, MN) == pytest.approx(
        6539.3, abs=0.4
    )


@measured
def test_measured_copper_foil():
    spectrum = read_spectrum(DATA / "cu_10k.xmu")
    assert len(spectrum.energy_ev) == 612
    assert find_edge_ev(spectrum.energy_ev, spectrum.absorption, 8979.0) == pytest.approx(
        8979, abs=2
    )
    assert normalise(spectrum.energy_ev, spectrum.absorption, 8979.0).edge_step > 2


@measured
@pytest.mark.filterwarnings("ignore")  # theirs
def test_edge_step_agrees_with_larch():
    larch = pytest.importorskip("larch.xafs", reason="xraylarch is not installed")
    spectrum = read_spectrum(DATA / "Fe2O3_rt_01.xdi")
    ours = normalise(spectrum.energy_ev, spectrum.absorption, 7112.0, post_edge_degree=1)
    package = pytest.importorskip("larch", reason="xraylarch is not installed")
    group = package.Group(energy=spectrum.energy_ev, mu=spectrum.absorption)
    pre, post = ours.pre_edge_ev, ours.post_edge_ev
    larch.pre_edge(
        group, e0=7112.0, pre1=pre[0], pre2=pre[1], norm1=post[0], norm2=post[1], nnorm=1, nvict=0
    )
    assert ours.edge_step == pytest.approx(group.edge_step, rel=1e-3)
    assert ours.values == pytest.approx(group.norm, abs=0.005)


def test_yields_are_scaled_by_area_or_maximum():
    energy = np.linspace(630.0, 660.0, 301)
    line = np.exp(-(((energy - 642) / 1.5) ** 2) / 2)
    area = scale_yield(energy, 7 + 4 * line, "area", (635, 650), background_ev=(630, 633))
    assert np.trapezoid(area[50:201], energy[50:201]) == pytest.approx(1.0, abs=1e-9)
    top = scale_yield(energy, 7 + 4 * line, "maximum", (635, 650), background_ev=(630, 633))
    assert top == pytest.approx(line, abs=1e-6)
    with pytest.raises(MeasurementError, match="choose a window that it covers"):
        scale_yield(energy, line, "area", (635, 670))
    with pytest.raises(MeasurementError, match="check the background"):
        scale_yield(energy, -line, "area", (635, 650))


def test_difference_area_of_a_known_line_and_its_scatter():
    energy = np.linspace(525.0, 540.0, 151)
    base = np.exp(-(((energy - 535) / 2) ** 2) / 2)
    line = 0.2 * np.exp(-(((energy - 531.5) / 0.5) ** 2) / 2)
    area, _ = difference_area(energy, base + line, base, (528, 534))
    assert area == pytest.approx(0.2 * 0.5 * np.sqrt(2 * np.pi), rel=1e-4)
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.01, (1000, 151))
    found = [difference_area(energy, base + n, base, (528, 534), noise=0.01) for n in noise]
    areas, stated = np.array(found).T
    assert stated[0] == pytest.approx(areas.std(), rel=0.1)


def test_oxygen_difference_of_two_files(tmp_path):
    soft = get_technique("soft-xas")
    energy = np.linspace(525.0, 550.0, 251)
    base = 1 / (1 + np.exp(-(energy - 538))) + np.exp(-((energy - 530) ** 2))
    rng = np.random.default_rng(1)
    line = 0.3 * np.exp(-(((energy - 531.5) / 0.5) ** 2) / 2)
    pristine = write(tmp_path / "ocv.dat", energy, base + rng.normal(0, 1e-3, 251))
    charged = write(tmp_path / "4v6.dat", energy, base + line + rng.normal(0, 1e-3, 251))
    options = soft.Options(
        scale="maximum",
        scale_window_ev=(540, 549),
        background_ev=(525, 527),
        minus=pristine,
        difference_window_ev=(530.5, 532.5),
    )
    found = soft.analyse(charged, SAMPLE, options).values["difference_area"]
    assert found.value == pytest.approx(0.3 * 0.5 * np.sqrt(2 * np.pi) * 0.954, abs=0.01)
    assert 0 < found.uncertainty < 0.01


def test_stacks_are_read_and_checked(tmp_path):
    stack = np.random.default_rng(0).random((4, 3, 5)).astype(np.float32)
    np.save(tmp_path / "a.npy", stack)
    np.savez(tmp_path / "a.npz", energy=np.arange(4), stack=stack)
    assert np.array_equal(read_stack(tmp_path / "a.npy"), stack)
    assert np.array_equal(read_stack(tmp_path / "a.npz"), stack)
    image = pytest.importorskip("PIL.Image", reason="pillow, which writes TIFF, is not installed")
    pages = [image.fromarray(page) for page in stack]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    assert np.array_equal(read_stack(tmp_path / "a.tif"), stack)
    np.save(tmp_path / "b.npy", stack[0])
    (tmp_path / "c.tif").write_bytes(b"nothing")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:300])
    for name, message in (
        ("b.npy", "no stack"),
        ("c.tif", "cannot be read"),
        ("cut.npz", "cannot be read: File is not a zip file"),
        ("d.npy", "No such file"),
        ("e.xrm", "export"),
    ):
        with pytest.raises(MeasurementError, match=message):
            read_stack(tmp_path / name)
