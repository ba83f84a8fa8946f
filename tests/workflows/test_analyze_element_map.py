"""Element maps from an experiment file to the evidence, and what bad ones are told."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.sample import Sample
from rocksalt.analysis.techniques import get_technique

MAP = get_technique("element-map")
SAMPLE = Sample(name="film", dopant="Ti", host="Mn")
COLUMNS = np.indices((40, 48))[1]
EVEN = np.full(COLUMNS.shape, 0.1)
STRIPES = np.where(COLUMNS // 6 % 2, 0.19, 0.01)


def counts(share, level=300.0):
    rng = np.random.default_rng(0)
    means = {"Ti": share, "Mn": (1 - share) * 0.7, "Ni": (1 - share) * 0.3, "O": 1 + 0 * share}
    return {name: rng.poisson(level * mean) for name, mean in means.items()}


def analysed(path, **options):
    return MAP.analyse(path, SAMPLE, MAP.Options(**options))


def test_a_striped_map_in_nanometres(tmp_path):
    np.savez(tmp_path / "edx.npz", **counts(STRIPES))
    found = analysed(tmp_path / "edx.npz", pixel_nm=3.0)
    values = found.values
    assert values["mean_share"].value == pytest.approx(0.1, abs=0.002)
    variance = values["excess_variance"]
    assert abs(variance.value - 0.0081) < 4 * variance.uncertainty < 0.001
    deviation = values["relative_deviation"]
    assert deviation.value == pytest.approx(0.9, abs=4 * deviation.uncertainty)
    assert values["relative_deviation_lower"].value < 0.9 < values["relative_deviation_upper"].value
    assert values["bin_edge"].value == 3.0
    assert values["bin_edge"].unit == values["correlation_length"].unit == "nm"
    assert values["clusters"].value == 4
    assert values["median_cluster_size"].value == pytest.approx(40 * 6 * 9, rel=0.1)
    assert values["median_cluster_size"].unit == "nm²"
    assert values["cluster_part"].value == pytest.approx(0.5, abs=0.05)
    assert found.parameters["elements"] == ["Ti", "Mn", "Ni"]
    said = " ".join(found.remarks)
    assert "left out: O." in said
    assert "Ti is segregated" in said
    assert "Shares are of signal" in said


def test_an_even_map_is_uniform_up_to_a_bound(tmp_path):
    np.savez(tmp_path / "edx.npz", **counts(EVEN))
    values = analysed(tmp_path / "edx.npz").values
    assert values["relative_deviation_lower"].value == 0
    assert 0 < values["relative_deviation_upper"].value < 0.1
    assert values["chance_if_uniform"].value > 0.01
    assert values["bin_edge"].unit == "pixel"
    assert "correlation_length" not in values
    assert values["clusters"].value == 0


def test_factors_make_shares_of_atoms(tmp_path):
    np.savez(tmp_path / "edx.npz", **counts(STRIPES))
    factors = {"Ti": 2.0, "Mn": 1.0, "Ni": 1.0}
    found = analysed(tmp_path / "edx.npz", k_factors=factors)
    assert found.values["mean_share"].value == pytest.approx(0.2 / 1.1, abs=0.004)
    assert "Shares are of atoms" in " ".join(found.remarks)


def test_stacks_hold_the_elements_in_the_order_given(tmp_path):
    maps = counts(STRIPES)
    names = ["Mn", "Ti", "Ni"]
    stack = np.stack([maps[name] for name in names])
    np.savez(tmp_path / "edx.npz", **maps)
    np.save(tmp_path / "edx.npy", stack)
    image = pytest.importorskip("PIL.Image", reason="pillow, which writes TIFF, is not installed")
    pages = [image.fromarray(page.astype(np.uint16)) for page in stack]
    pages[0].save(tmp_path / "edx.tif", save_all=True, append_images=pages[1:])
    expected = analysed(tmp_path / "edx.npz").values
    for name in ("edx.npy", "edx.tif"):
        found = analysed(tmp_path / name, elements=names).values
        assert found["mean_share"].value == pytest.approx(expected["mean_share"].value)
        assert found["excess_variance"].value == pytest.approx(expected["excess_variance"].value)


def test_a_volume_of_one_plane_is_an_area(tmp_path):
    maps = counts(STRIPES)
    np.savez(tmp_path / "area.npz", **maps)
    np.savez(tmp_path / "plane.npz", **{name: each[None] for name, each in maps.items()})
    area, plane = (analysed(tmp_path / f"{name}.npz").values for name in ("area", "plane"))
    assert area == plane


GOOD = counts(EVEN)
BAD = {
    "shapes": (
        {**GOOD, "Ni": GOOD["Ni"][1:]},
        {},
        "Ti and Ni differ in shape (40 by 48, 39 by 48)",
    ),
    "percent": ({**GOOD, "Ti": GOOD["Ti"] / 7}, {}, "no number of counts: export counts as they"),
    "negative": ({**GOOD, "Mn": GOOD["Mn"] - 9999}, {}, "Mn: -9"),
    "not finite": (
        {**GOOD, "Mn": np.where(COLUMNS == 3, np.nan, 1)},
        {},
        "Mn: a pixel is no finite",
    ),
    "words": ({**GOOD, "Mn": np.full((40, 48), "a")}, {}, "Mn: not numbers"),
    "a line": ({**GOOD, "Mn": np.ones(5)}, {}, "Mn: 5 is no map"),
    "no dopant": ({"Mn": GOOD["Mn"], "Ni": GOOD["Ni"]}, {}, "Ti is not among the cations"),
    "dopant alone": ({"Ti": GOOD["Ti"], "O": GOOD["O"]}, {}, "Ti alone"),
    "not in the file": (GOOD, {"elements": ["Ti", "Fe"]}, "no map of Fe: it holds Ti, Mn, Ni, O"),
    "few counts": (counts(EVEN, 0.01), {}, "are too few"),
    "few in a bin": (counts(EVEN, 0.1), {"bin_pixels": 2}, "counts of the dopant in all"),
    "factor": (
        GOOD,
        {"k_factors": {"Ti": 1, "Mn": 0, "Ni": 1}},
        "k_factors: Mn: 0: give one above",
    ),
    "factors": (GOOD, {"k_factors": {"Ti": 1}}, "k_factors: Mn has none"),
    "no element": ({}, {}, "Ti is not among the cations that are mapped (none)"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_maps_are_told_in_one_line(tmp_path, case):
    maps, options, message = BAD[case]
    np.savez(tmp_path / "edx.npz", **maps)
    with pytest.raises(MeasurementError) as raised:
        analysed(tmp_path / "edx.npz", **options)
    said = str(raised.value)
    assert message in said
    assert str(tmp_path / "edx.npz") in said
    assert "\n" not in said


def test_bad_files_are_told_in_one_line(tmp_path):
    path = tmp_path / "edx.npz"
    np.savez_compressed(path, **GOOD)
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[200:260] = bytes(60)
    for content in (whole[: len(whole) // 2], bytes(damaged), b"no archive at all", b""):
        path.write_bytes(content)
        with pytest.raises(
            MeasurementError, match=r"edx.npz: the archive cannot be read: .*export"
        ):
            analysed(path)
    np.save(tmp_path / "edx.npy", np.stack([GOOD["Ti"], GOOD["Mn"]]))
    for names, message in (
        ([], "2 images and 0 elements"),
        (["Ti"], "give elements, one symbol for each"),
        (["Ti", "Ti"], "one is named twice"),
    ):
        with pytest.raises(MeasurementError, match=message):
            analysed(tmp_path / "edx.npy", elements=names)
    (tmp_path / "edx.npy").rename(path)
    with pytest.raises(MeasurementError, match=r"name it \.npy"):
        analysed(path)
    with pytest.raises(MeasurementError, match=r"Give element, or sample\.dopant"):
        MAP.analyse(path, Sample(name="film"), MAP.Options())


@pytest.mark.parametrize(
    ("uncertainty_ev", "relations"),
    [
        (0.001, {"even.npz": "consistent", "striped.npz": "contradicts"}),
        (0.03, {"even.npz": "silent", "striped.npz": "silent"}),
    ],
)
def test_evidence_stands_beside_the_prediction_on_mixing(
    cli, tmp_path, campaign_file, uncertainty_ev, relations
):
    """The mock engine mixes Ti and MnO; how sure the screen is of it is the campaign's choice."""
    thresholds = {"one_engine_mixing_uncertainty_ev_per_cation": uncertainty_ev}
    cli("run", campaign_file(thresholds=thresholds).name)
    measurements = []
    for name, share in (("even", EVEN), ("striped", STRIPES)):
        np.savez(tmp_path / f"{name}.npz", **counts(share))
        measurements.append({"technique": "element-map", "file": f"{name}.npz", "pixel_nm": 2.0})
    sample = {"name": "film", "dopant": "Ti", "host": "Mn"}
    settings = {"sample": sample, "measurements": measurements}
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(settings))
    answer = cli("analyze", "experiment.yaml")
    assert answer.code == 0, answer.err
    after = json.loads(cli("results", "--format", "json").out)
    (found,) = (c["evidence"] for c in after["candidates"] if c["dopant"] == "Ti")
    assert {each["file"]: each["relation"] for each in found} == relations
