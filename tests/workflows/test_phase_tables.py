"""What `rocksalt results` says of hulls, the lithium-deficient series and vacancies."""

from __future__ import annotations

import csv
import io
import json
import random

import pytest
from rich.console import Console, Group

from rocksalt.stores.documents import CandidateDoc, RankingDoc
from rocksalt.stores.phase_documents import (
    SeriesDoc,
    SeriesPoint,
    Share,
    StrainSlopeDoc,
    VacancyDoc,
)
from rocksalt.workflows import phase_tables, tables

SIX = ("chgnet", "chgnet-r2scan", "sevennet-0", "sevennet-l3i5", "sevennet-mf-0:pbe", "mace-mp")


def candidate(dopant, above=None, window=None, retention=None):
    return CandidateDoc(
        rank=1,
        dopant=dopant,
        verdict="undecided",
        reasons=["none"],
        rock_salt_formation_energy_ev_per_formula={},
        rock_salt_reduction_dmu_o_ev={},
        metal_in_host_window={"Mn": window or {"computed": {}, "measured": None}},
        mixing={"Mn": {}},
        hosts={
            "Mn": {
                "enthalpy_ev_per_cation": [],
                "solubility_limit": None,
                "critical_temperature_k": None,
                "verdict": None,
            }
        },
        above_hull_ev_per_atom={"Mn": above or {}},
        oxygen_retention_ev=retention or {},
        score_ev_per_cation=None,
        uncertainty_ev=None,
    )


def ranking(*candidates, engines=("chgnet", "sevennet-0")):
    about = {"version": "1", "energy_scale": "PBE", "correction": None}
    return RankingDoc(
        campaign="c",
        engines=dict.fromkeys(engines, about),
        counts={},
        candidates=candidates,
        rules=[],
        temperature_k=300,
        hosts=["Mn"],
    )


def point(n, energy, above=None, change=None, products=(), arrangement="a"):
    return SeriesPoint(
        key=f"{n}{arrangement}",
        formula=f"Li{32 - n}Mn{16 + n}O48",
        n=n,
        arrangement=arrangement,
        multiplicity=1,
        lithium_per_oxygen=(32 - n) / 48,
        li_o_li_per_oxygen=1 - n / 8,
        energy_ev_per_atom=energy,
        e_above_hull_ev_per_atom=above,
        decomposition=[Share(entry_id=p, formula=p, fraction=1 / len(products)) for p in products],
        volume_angstrom3_per_oxygen=16.0,
        volume_change_percent=change,
    )


def series(dopant, points, engine="chgnet", missing=()):
    return SeriesDoc(
        host="Mn",
        dopant=dopant,
        engine=engine,
        energy_scale="PBE",
        n_layer_lithium=8,
        points=points,
        missing=list(missing),
    )


def vacancy(cell, dopant, lowest, retention=None, engine="chgnet", slopes=(), missing=()):
    return VacancyDoc(
        cell=cell,
        formula="Li2MnO3",
        host="Mn",
        dopant=dopant,
        engine=engine,
        energy_scale="PBE",
        points=[],
        lowest_formation_energy_ev=lowest,
        retention_ev=retention,
        slopes=list(slopes),
        missing=list(missing),
    )


def slope(kind, ev_per_percent, error):
    return StrainSlopeDoc(
        strain_kind=kind,
        ev_per_percent=ev_per_percent,
        standard_error_ev_per_percent=error,
        n_points=3,
    )


def lines_of(parts, width=80):
    console = Console(width=width, file=io.StringIO(), emoji=False, markup=False)
    console.print(Group(*parts))
    return [" ".join(line.split()) for line in console.file.getvalue().splitlines()]


def test_a_campaign_of_rock_salts_alone_has_none_of_these():
    plain = ranking(candidate("Mg"))
    assert phase_tables.hull_table(plain) == []
    assert phase_tables.series_tables(plain, []) == []
    assert phase_tables.vacancy_tables(plain, []) == []
    found = json.loads(tables.ranking_json(plain))
    assert not {"lithium_deficient_series", "oxygen_vacancies"} & set(found)
    assert "series" not in tables.ranking_csv(plain)


def test_distances_from_the_hull_by_engine():
    of_ru = {
        "fraction": 0.25,
        "value": {"chgnet": 0.2534, "sevennet-0": 0.0041},
        "decomposition": {"chgnet": "MnO + RuO", "sevennet-0": "MnRuO3 + Mn"},
    }
    of_mg = {
        "fraction": 0.25,
        "value": {"sevennet-0": -1e-16},
        "decomposition": {"sevennet-0": "MgO + MnO"},
    }
    window = {"computed": {"chgnet": "metal", "sevennet-0": "partial"}, "measured": "metal"}
    parts = phase_tables.hull_table(
        ranking(candidate("Ru", of_ru, window), candidate("Mg", of_mg), candidate("Ca"))
    )
    lines = lines_of(parts, 200)
    products = "MnO + RuO (chgnet); MnRuO3 + Mn (sevennet-0)"
    assert f"Ru MnO 0.25 253 4.1 metal, partial metal {products}" in lines
    assert "Mg MnO 0.25 – 0.0 – – MgO + MnO" in lines
    assert "Ca MnO – – – – – –" in lines
    assert "meV per atom" in lines[-1]


def test_many_engines_fit_80_columns():
    values = {engine: 0.1 * i for i, engine in enumerate(SIX)}
    above = {"fraction": 0.25, "value": values, "decomposition": dict.fromkeys(SIX, "MnO + RuO")}
    states = dict(zip(SIX, ["metal", "oxide"] * 3, strict=True))
    found = ranking(candidate("Ru", above, {"computed": states, "measured": "oxide"}), engines=SIX)
    lines = lines_of(phase_tables.hull_table(found))
    assert "Ru MnO 0.25 0.0 100 200 300 400 500 differ oxide" in lines
    vacancies = [
        vacancy("Li2MnO3 with Ru", "Ru", 1.0, i / 10, engine) for i, engine in enumerate(SIX)
    ]
    lines = lines_of(phase_tables.vacancy_tables(found, vacancies))
    assert "Ru 0.00 +0.10 +0.20 +0.30 +0.40 +0.50" in lines


def test_the_series_holds_the_lowest_arrangement_of_each_composition():
    pure = series(
        None,
        [
            point(8, -5.0, 0.0113, 12.04, ["LiMnO2", "MnO"]),
            point(0, -6.0, 0.0, 0.0),
            point(4, -5.4, 0.031, 6.5, ["b"], arrangement="high"),
            point(4, -5.5, 0.0042, 5.96, ["Li2MnO3", "MnO"], arrangement="low"),
        ],
    )
    doped = series("Ru", [point(4, -5.6, None, -0.04)], missing=["the series at n = 0"])
    other = series(None, [point(0, -6.1)], engine="sevennet-0")
    order = ranking(candidate("Ru"))
    lines = lines_of(phase_tables.series_tables(order, [doped, other, pure]), 120)
    rows = [line for line in lines if line.startswith(("– ", "Ru "))]
    assert rows == [
        "– Li32Mn16O48 0.667 1.00 0.0 0.0 –",
        "– Li28Mn20O48 0.583 0.50 4.2 +6.0 Li2MnO3 + MnO",
        "– Li24Mn24O48 0.500 0.00 11 +12.0 LiMnO2 + MnO",
        "Ru Li28Mn20O48 0.583 0.50 – 0.0 –",  # -0.04 percent
        "– Li32Mn16O48 0.667 1.00 – – –",
    ]
    assert "not computed: the series at n = 0" in lines
    assert [line.split(":")[0] for line in lines if "replaced by Mn" in line] == [
        "chgnet",
        "sevennet-0",
    ]


def test_the_lowest_arrangements():
    random.seed(3)
    points = [
        point(random.randrange(9), random.choice([-1.0, -1.1, -1.2]), arrangement=str(i))
        for i in range(200)
    ]
    found = phase_tables.lowest_arrangements(points)
    assert [p.n for p in found] == list(range(9))
    for each in found:
        energies = [p.energy_ev_per_atom for p in points if p.n == each.n]
        assert each.energy_ev_per_atom == min(energies)


def test_vacancies_with_and_without_a_dopant():
    order = ranking(candidate("Ru"), candidate("Mg"), candidate("Ti"))
    strained = [slope("isotropic", -0.0069, 0.0304), slope("c-axis", 1e-6, None)]
    documents = [
        vacancy("Li2MnO3", None, 2.8551, slopes=strained),
        vacancy("Li2MnO3", None, None, engine="sevennet-0", missing=["O2 with sevennet-0"]),
        vacancy("Li1.5MnO3", None, 1.4),
        vacancy("Li2MnO3 with Mg", "Mg", 1.8, -1.049),
        vacancy("Li2MnO3 with Ru", "Ru", 3.2, 0.351),
        vacancy("Li2MnO3 with Ru", "Ru", None, None, engine="sevennet-0"),
    ]
    lines = lines_of(phase_tables.vacancy_tables(order, documents))
    assert lines.index("Ru +0.35 –") + 1 == lines.index("Mg -1.05 –")
    assert not any(line.startswith("Ti ") for line in lines)
    assert "Li2MnO3 chgnet 2.86 -6.9 ± 30.4 0.0" in lines
    assert "Li2MnO3 sevennet-0 – – –" in lines
    assert "Li1.5MnO3 chgnet 1.40 – –" in lines
    assert lines[-1] == "not computed: O2 with sevennet-0"
    unstrained = lines_of(phase_tables.vacancy_tables(order, documents[2:4]))
    assert "Li1.5MnO3 chgnet 1.40" in unstrained
    assert not any("strain" in line for line in unstrained)


def test_csv_has_the_cell_with_the_dopant_that_is_poorest_in_lithium():
    found = ranking(candidate("Ru", retention={"chgnet": 0.4}), candidate("Mg"))
    for one in found.candidates:
        one.mixing["Mn"] = dict.fromkeys(found.engines, one.hosts["Mn"])
    members = [point(0, -6.0, 0.0, 0.0), point(4, -5.0, 0.2), point(4, -5.5, 0.004, 5.96, (), "b")]
    documents = [series("Ru", members), series(None, members), series("Mg", [])]
    rows = list(csv.DictReader(io.StringIO(tables.ranking_csv(found, documents))))
    names = (
        "series_lithium_per_oxygen",
        "series_above_hull_ev_per_atom",
        "series_volume_change_percent",
    )
    read = {(r["dopant"], r["engine"]): [r[name] for name in names] for r in rows}
    assert len(read) == len(rows) == 2 * 3
    numbers = [float(text) for text in read.pop(("Ru", "chgnet"))]
    assert numbers == pytest.approx([28 / 48, 0.004, 5.96])
    assert all(texts == [""] * 3 for texts in read.values())
