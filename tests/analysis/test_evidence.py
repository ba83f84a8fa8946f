"""The rules by which a measurement agrees with a prediction, case by case."""

import re

import numpy as np
import pytest

from rocksalt.analysis.evidence import Mapped, expected_state, judge
from rocksalt.analysis.quantities import Quantity
from rocksalt.analysis.sample import Sample
from rocksalt.analysis.techniques import xanes

STAYS = {"stays oxidised": "pass", "oxide in MnO window": "pass", "mixes with MnO": "fail"}
METAL = {"stays oxidised": "pass", "oxide in MnO window": "fail", "mixes with MnO": "fail"}
OPEN = {"stays oxidised": "undecided", "mixes with MnO": "fail"}


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        (STAYS, "oxide"),
        (METAL, "metal"),
        ({"stays oxidised": "fail"}, "metal"),
        (OPEN, None),
        ({"mixes with MnO": "pass"}, None),
        ({}, None),
    ],
)
def test_expected_state(criteria, expected):
    assert expected_state(criteria) == expected


def fitted(valence, names=("metal", "oxide"), r_factor=0.001):
    """Return what a fit by references gives."""
    values = {f"fraction_{name}": Quantity(1 / len(names), 0.05, "1") for name in names}
    if r_factor is not None:
        values["r_factor"] = Quantity(r_factor, None, "1")
    return {**values, "mean_valence": Quantity(*valence, "1")}


@pytest.mark.parametrize(
    ("criteria", "valence", "relation"),
    [
        (METAL, (0.1, 0.2), "consistent"),
        (METAL, (2.1, 0.2), "contradicts"),
        (STAYS, (2.1, 0.2), "consistent"),
        (STAYS, (0.1, 0.2), "contradicts"),
        (STAYS, (1.3, 0.2), "silent"),  # within two uncertainties of the border
        (STAYS, (3.0, None), "silent"),
        (OPEN, (0.1, 0.1), "silent"),
    ],
)
def test_valence_at_the_edge_of_the_dopant(criteria, valence, relation):
    found = judge("Ru", criteria, "xanes", "Ru K", fitted(valence))
    assert found.relation == relation
    assert f"{valence[0]:.2f}" in found.why


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (fitted((0.0, 0.1), names=("metal",)), "metal is the only reference"),
        (fitted((0.0, 0.0)), "has no uncertainty"),
        (fitted((0.0, None)), "has no uncertainty"),
        (fitted((0.0, 0.1), r_factor=0.03), "an R factor of 0.03 .*not a sum of these"),
        (fitted((0.0, 0.1), r_factor=None), "no R factor"),
    ],
)
def test_a_fit_that_is_not_to_be_trusted_is_silent(values, words):
    """Each of them would contradict, or agree, by its number alone."""
    for criteria in (STAYS, METAL):
        found = judge("Ru", criteria, "xanes", "Ru K", values)
        assert found.relation == "silent"
        assert re.search(words, found.why)


ENERGY = np.arange(4800.0, 5400.0, 0.5)


def edge(at):
    return (
        0.1 + 1 / (1 + np.exp(-(ENERGY - at) / 1.5)) + 0.3 * np.exp(-(((ENERGY - at - 8) / 4) ** 2))
    )


@pytest.mark.parametrize(
    ("references", "wild", "relation"),
    [
        ({"Ti": 0.0}, None, "silent"),
        ({"Ti": 0.0, "TiO2": 4.0}, 1e30, "silent"),
        ({"Ti": 0.0, "TiO2": 4.0}, None, "consistent"),
    ],
)
def test_a_sample_of_oxide_is_metal_by_no_fit(tmp_path, references, wild, relation):
    """Nine tenths of oxide beside one of metal: the metal alone, and one wild point, do not speak."""
    shapes = {"Ti": edge(4966), "TiO2": edge(4976)}
    sample = 0.1 * shapes["Ti"] + 0.9 * shapes["TiO2"]
    sample += np.random.default_rng(1).normal(0, 1e-3, len(ENERGY))
    if wild is not None:
        sample[np.searchsorted(ENERGY, 5000.0)] = wild
    for name, values in {**shapes, "sample": sample}.items():
        np.savetxt(tmp_path / f"{name}.dat", np.column_stack([ENERGY, values]))
    options = xanes.Options(
        edge="Ti K",
        references={name: tmp_path / f"{name}.dat" for name in references},
        valences=references,
        resamples=50,
    )
    found = xanes.analyse(tmp_path / "sample.dat", Sample(name="film"), options)
    judged = judge("Ti", STAYS, "xanes", found.parameters["edge"], found.values)
    assert judged.relation == relation
    is_alone = len(references) == 1
    assert ("mean_valence" not in found.values) == is_alone
    assert any("is the only reference" in remark for remark in found.remarks) == is_alone


@pytest.mark.parametrize(
    ("technique", "edge", "values", "words"),
    [
        ("cycling", None, {}, "no rule relates cycling"),
        ("xanes", "Mn K", {"mean_valence": Quantity(0.1, 0.1, "1")}, "edge Mn K, not Ru's"),
        ("xanes", None, {"mean_valence": Quantity(0.1, 0.1, "1")}, "not Ru's"),
        ("xanes", "Ru K", {}, "no mean valence"),
    ],
)
def test_what_says_nothing_is_silent(technique, edge, values, words):
    found = judge("Ru", METAL, technique, edge, values)
    assert found.relation == "silent"
    assert words in found.why


MIXES, SEPARATES = {"mixes with MnO": "pass"}, {"mixes with MnO": "fail"}
RU_IN_MN = Mapped("Mn", ("Ru", "Mn", "Ni"), solubility=0.08)


def spread(lower, upper, share=0.05, bin_edge=(4.0, "nm")):
    """Return what a map gives; two pure phases of a share of 0.05 vary by 4.36 times it."""
    return {
        "mean_share": Quantity(share, 0.001, "1"),
        "relative_deviation_lower": Quantity(lower, None, "1"),
        "relative_deviation_upper": Quantity(upper, None, "1"),
        "bin_edge": Quantity(bin_edge[0], None, bin_edge[1]),
    }


UNIFORM, SEGREGATED = (0.0, 0.2), (1.5, 1.7)


@pytest.mark.parametrize(
    ("criteria", "values", "mapped", "relation", "words"),
    [
        (
            MIXES,
            spread(*UNIFORM),
            RU_IN_MN,
            "consistent",
            "uniform; the screen expects that it mixes",
        ),
        (MIXES, spread(*SEGREGATED), RU_IN_MN, "contradicts", "segregated; .* mixes with MnO"),
        (
            MIXES,
            spread(*SEGREGATED, share=0.1),
            RU_IN_MN,
            "silent",
            "up to a fraction of 0.08, which",
        ),
        (
            SEPARATES,
            spread(*SEGREGATED),
            RU_IN_MN,
            "consistent",
            "150 to 170 percent .*two phases: 436.* separates from MnO",
        ),
        (SEPARATES, spread(*UNIFORM, share=0.1), RU_IN_MN, "contradicts", "uniform; .* separates"),
        (
            SEPARATES,
            spread(*UNIFORM, share=0.1, bin_edge=(30.0, "nm")),
            RU_IN_MN,
            "silent",
            "bins of 30 nm may average over domains",
        ),
        (
            SEPARATES,
            spread(*UNIFORM, share=0.1, bin_edge=(2.0, "pixel")),
            RU_IN_MN,
            "silent",
            "bins of unknown size",
        ),
        (
            SEPARATES,
            spread(*UNIFORM),
            RU_IN_MN,
            "silent",
            "above a fraction of 0.08, which it stays below",
        ),
        (MIXES, spread(0.0, 2.5), RU_IN_MN, "silent", "too few counts"),
        (SEPARATES, spread(0.0, 2.5), RU_IN_MN, "silent", "too few counts"),
        (MIXES, spread(0.02, 0.06), RU_IN_MN, "silent", "absorption and background"),
        ({"mixes with MnO": "undecided"}, spread(*UNIFORM), RU_IN_MN, "silent", "not decided"),
        ({"mixes with NiO": "pass"}, spread(*UNIFORM), RU_IN_MN, "silent", "not decided"),
        (MIXES, spread(*UNIFORM), Mapped(None, ("Ru", "Mn")), "silent", "names no host"),
        (MIXES, spread(*UNIFORM), Mapped("Mn", ("Ru", "Ni")), "silent", "lacks the host's Mn"),
        (MIXES, spread(*UNIFORM), Mapped("Mn", ("Ni", "Mn")), "silent", "not of Ru's share"),
        (MIXES, {}, RU_IN_MN, "silent", "no bounds"),
        (MIXES, spread(*UNIFORM), None, "silent", "not of Ru's share"),
        (
            {"mixes with Li0.5Mn0.5O": "pass"},
            spread(*UNIFORM),
            Mapped("Li0.5Mn0.5", ("Ru", "Mn")),
            "consistent",
            "mixes with Li0.5Mn0.5O",
        ),
    ],
)
def test_a_map_of_the_dopant_stands_beside_the_criterion_on_mixing(
    criteria, values, mapped, relation, words
):
    found = judge("Ru", criteria, "element-map", None, values, mapped)
    assert found.relation == relation, found.why
    assert re.search(words, found.why), found.why
