"""What is predicted of a candidate: from which cells, by which balance, with which words."""

import pytest

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.predictions import predict
from rocksalt.stores.documents import CandidateDoc
from rocksalt.stores.prediction_documents import CellBatchDoc, LayeredCell, RockSaltCell


def candidate(dopant="Ti", **changes):
    settings = {
        "rank": 1,
        "dopant": dopant,
        "verdict": "pass",
        "reasons": [],
        "rock_salt_formation_energy_ev_per_formula": {},
        "rock_salt_reduction_dmu_o_ev": {"a": -5.0, "b": -5.6, "raw": -1.0},
        "metal_in_host_window": {"Mn": {"computed": {"a": "oxide", "b": None}}},
        "mixing": {},
        "hosts": {"Mn": {"verdict": "mixes"}},
        "criteria": {"stays oxidised": "pass"},
        "score_ev_per_cation": 0.01,
        "uncertainty_ev": 0.01,
    }
    return CandidateDoc(**{**settings, **changes})


def rock_salt(fractions, a, engine="a", kind="rock-salt", multiplicity=1, energy=-8.0):
    return RockSaltCell(
        engine=engine,
        cation_fractions=fractions,
        kind=kind,
        multiplicity=multiplicity,
        lattice_constant_angstrom=a,
        energy_ev_per_atom=energy,
    )


def layered(a, dopant=None, share=0.0, engine="a", **more):
    return LayeredCell(
        engine=engine,
        host="Mn",
        dopant=dopant,
        dopant_share=share,
        a_angstrom=a,
        c_angstrom=5 * a,
        oxygen_height=0.225,
        **more,
    )


def predicted(dopant="Ti", cells=None, of=None, **changes):
    settings = {
        "layered_host": "Mn",
        "hosts": ["Mn"],
        "fractions": [0.25, 0.5],
        "reduction_uncertainty_ev": 0.2,
        "reduction_engines": ["a", "b"],
    }
    return predict(
        "small", of or candidate(dopant), cells or CellBatchDoc(), **{**settings, **changes}
    )


def test_without_relaxed_cells_the_prototype_stands_in_and_rock_salts_are_missing():
    found = predicted()
    assert found.layered.cell == "prototype"
    assert found.layered.a.value == pytest.approx(2.8472, abs=1e-4)
    assert found.layered.a.uncertainty is None
    assert "not relaxed" in found.layered.cell_in_words
    assert found.rock_salts == []
    assert any("Ti0.25Mn0.75O" in line for line in found.missing)
    assert found.layered.formula == "Li2Mn0.95Ti0.05O3"


def test_the_layered_cell_is_linear_between_pure_and_doped_and_means_engines():
    cells = CellBatchDoc(
        layered=[
            layered(2.80),
            layered(2.90, "Ti", 0.25),
            layered(2.84, engine="b"),
            layered(2.90, "Ti", 0.25, engine="b"),
            layered(3.50, "Mg", 0.25),
        ]
    )
    found = predicted(cells=cells).layered
    assert found.cell == "relaxed"
    # a fifth of the way: 2.82 and 2.852
    assert found.a.by_engine == pytest.approx({"a": 2.82, "b": 2.852})
    assert found.a.value == pytest.approx(2.836)
    assert found.a.uncertainty == pytest.approx(0.032 / 2**0.5, abs=1e-6)
    falling = [r.ratio for r in found.ratios if r.metal is None]
    assert falling == sorted(falling, reverse=True)
    assert len(falling) == 4
    # the layer holds 2/3 * 0.05 of Ti: 5 and 10 percent of the lithium sites are more
    assert [r.share_of_lithium_sites for r in found.ratios if r.metal == "Ti"] == [0.02]


def test_a_dopant_that_is_the_host_changes_nothing_there():
    found = predicted(of=candidate("Mn", hosts={}), hosts=["Mn", "Ni"])
    assert found.layered.formula == "Li2MnO3"
    assert all(ratio.metal is None for ratio in found.layered.ratios)
    assert all(valence.place.startswith("Mn0.25Ni") for valence in found.valences)


def test_rock_salts_are_the_random_ones_or_between_their_ends():
    cells = CellBatchDoc(
        rock_salts=[
            rock_salt({"Ti": 0.25, "Mn": 0.75}, 4.40, kind="sqs"),
            rock_salt({"Ti": 0.25, "Mn": 0.75}, 4.90, kind="1 of 2", multiplicity=7),
            rock_salt({"Ti": 0.5, "Mn": 0.5}, 4.30, "b", kind="1 of 2", multiplicity=1),
            rock_salt({"Ti": 0.5, "Mn": 0.5}, 4.34, "b", kind="2 of 2", multiplicity=3),
            rock_salt({"Ti": 1.0}, 4.2),
            rock_salt({"Ti": 1.0}, 5.2, energy=-7.0),  # another start of TiO, higher
            rock_salt({"Ni": 1.0}, 4.2),
        ]
    )
    quarter, half = predicted(cells=cells).rock_salts
    assert quarter.lattice_constant.value == pytest.approx(4.40)
    assert half.lattice_constant.value == pytest.approx(4.33)
    assert quarter.mixing == "mixes"
    assert [line.hkl for line in quarter.reflections][:2] == ["111", "200"]
    between = predicted(of=candidate("Ti"), cells=cells, hosts=["Ni"]).rock_salts
    assert [p.lattice_constant.value for p in between] == pytest.approx([4.2, 4.2])
    assert all("linear between TiO and NiO" in p.cell_in_words for p in between)


VALENCES = {
    # four is the one charge of Ti that the table counts as common: Mn keeps 4+ in the layered oxide
    "Ti": {("Ti", "layered"): 4.0, ("Mn", "layered"): 4.0, ("Ti", "Ti0.25Mn"): 2.0},
    # (4 - 0.05 * 2) / 0.95
    "Zn": {("Zn", "layered"): 2.0, ("Mn", "layered"): 3.9 / 0.95, ("Mn", "Zn0.25Mn"): 2.0},
    # 3+ and 4+: open
    "Ru": {("Ru", "layered"): None, ("Mn", "layered"): None, ("Ru", "Ru0.25Mn"): 2.0},
}


@pytest.mark.parametrize("dopant", VALENCES)
def test_formal_valences_by_charge_balance(dopant):
    found = predicted(dopant).valences
    for (metal, place), expected in VALENCES[dopant].items():
        (one,) = [v for v in found if v.metal == metal and v.place.startswith(place)]
        assert one.valence == pytest.approx(expected)
        if expected is None:
            assert "3+, 4+" in one.why
    if dopant == "Ti":
        (why,) = {v.why for v in found if v.metal == "Ti" and v.place.startswith("layered")}
        assert "only charge that pymatgen's table counts as common, though 2+, 3+ occur" in why
    if dopant == "Zn":
        assert not any("occur" in v.why for v in found)
        assert any("outside 2+ to 4+" in v.why for v in found)


def test_valences_beside_lithium_in_the_rock_salt():
    """Zn0.25(Li0.5Mn0.5)0.75O: 2 - 0.375 - 0.5 of charge on 0.375 Mn."""
    found = {
        v.metal: v.valence for v in predicted("Zn", hosts=["Li0.5Mn0.5"]).valences if "(" in v.place
    }
    assert found == {"Zn": 2.0, "Mn": pytest.approx(3.0)}


def test_moments_are_those_of_the_doped_cell():
    cells = CellBatchDoc(
        layered=[
            layered(2.8, moments_mu_b={"Mn": 3.1}),
            layered(2.9, "Ti", 0.25, moments_mu_b={"Mn": 3.2, "Ti": 0.1}),
        ]
    )
    moments = {v.metal: v.moment for v in predicted(cells=cells).valences if "layered" in v.place}
    assert moments["Ti"].value == pytest.approx(0.1)
    assert moments["Mn"].value == pytest.approx(3.2)


def test_reduction_has_the_rankings_uncertainty_and_expectation():
    found = predicted().reduction
    assert found.metal_below_dmu_o.value == pytest.approx(-5.3)
    assert found.metal_below_dmu_o.uncertainty == pytest.approx(0.6 / 2**0.5, abs=1e-6)
    assert found.expected == "oxide"
    assert found.in_host_windows == {"Mn": "oxide"}
    one = predicted(reduction_engines=["a"]).reduction
    assert one.metal_below_dmu_o.uncertainty == 0.2
    lost = predicted(of=candidate(criteria={"stays oxidised": "fail"}))
    assert lost.reduction.expected == "metal"
    assert "expected as metal" in lost.statements[-1]


def test_a_host_without_a_layered_oxide_is_said():
    found = predicted(layered_host="Zn")
    assert found.layered is None
    assert any("Li2ZnO3 cannot be the host" in line for line in found.missing)


def test_the_identity_is_the_content():
    first, again = predicted(), predicted()
    assert first.key == again.key
    assert predicted(wavelength=0.4526).key != first.key
    assert predicted(of=candidate(rank=2)).key != first.key


def test_a_wavelength_that_is_none_is_refused():
    with pytest.raises(MeasurementError, match="0 angstrom is none of X-rays"):
        predicted(wavelength=0.0)
