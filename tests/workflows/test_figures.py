"""Figures: the numbers stand where the documents put them, and what is missing is no zero."""

from __future__ import annotations

import io
import math
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from rocksalt.stores.documents import (
    ArrangementEnergy,
    CandidateDoc,
    FormationEnergyDoc,
    MixingDoc,
    MixingPoint,
    RankingDoc,
    Verdict,
)
from rocksalt.workflows import curves, figure_style, figures


def candidate(
    rank: int,
    dopant: str,
    verdict: Verdict,
    values: dict[str, dict[str, tuple[float, float | None]]],
) -> CandidateDoc:
    """Return a candidate from host -> engine -> (enthalpy at x = 1/2, solubility limit)."""
    words = {"pass": "mixes", "undecided": "undecided", "fail": "separates"}
    every = [value for host in values.values() for value, _ in host.values()]
    return CandidateDoc(
        rank=rank,
        dopant=dopant,
        verdict=verdict,
        reasons=["because"],
        rock_salt_formation_energy_ev_per_formula=(
            {"alpha": {"raw": None, "corrected": -5.5}, "beta": {"raw": -4.6, "corrected": -5.3}}
            if values
            else {}
        ),
        rock_salt_reduction_dmu_o_ev={},
        metal_in_host_window={},
        mixing={
            host: {
                engine: {
                    "enthalpy_ev_per_cation": [
                        {"fraction": 0.25, "value": 0.6 * value, "spread": 0.001},
                        {"fraction": 0.5, "value": value, "spread": 0.001},
                    ],
                    "solubility_limit": limit,
                }
                for engine, (value, limit) in engines.items()
            }
            for host, engines in values.items()
        },
        hosts={host: {"verdict": words[verdict]} for host in values},
        score_ev_per_cation=max(every, default=None),
        uncertainty_ev=0.02 if every else None,
    )


@pytest.fixture
def ranking() -> RankingDoc:
    return RankingDoc(
        campaign="first",
        engines={"alpha": {}, "beta": {}},
        counts={},
        candidates=[
            candidate(
                1,
                "Mg",
                "pass",
                {
                    "Mn": {"alpha": (0.010, 1.0), "beta": (0.014, 1.0)},
                    "Ni": {"alpha": (-0.02, 1.0)},
                },
            ),
            candidate(
                2,
                "Ti",
                "fail",
                {
                    "Mn": {"alpha": (0.080, 0.05), "beta": (0.090, 0.12)},
                    "Ni": {"beta": (0.300, 1e-5)},
                },
            ),
            candidate(3, "Ce", "undecided", {}),
        ],
        rules=[],
        temperature_k=300,
        hosts=["Mn", "Ni"],
    )


def mixing(
    host: str,
    engine: str,
    interaction: list[float] | None = None,
    solubility_limit: float | None = None,
    dopant_rich_limit: float | None = None,
) -> MixingDoc:
    points = []
    if interaction:
        l0, l1 = interaction
        for x in (0.25, 0.5, 0.75):
            value = x * (1 - x) * (l0 + l1 * (1 - 2 * x))
            arrangements = [
                ArrangementEnergy(
                    key=f"{x}{shift}",
                    label="one",
                    kind="enumerated",
                    multiplicity=1,
                    enthalpy_ev_per_cation=value + shift,
                )
                for shift in (-0.01, 0.01)
            ]
            points.append(
                MixingPoint(
                    fraction=x,
                    value=value,
                    spread=0.01,
                    lowest=value - 0.01,
                    sqs=None,
                    uncertainty=0.007,
                    arrangements=arrangements,
                )
            )
    return MixingDoc(
        dopant="Ti",
        host=host,
        engine=engine,
        energy_scale="raw",
        points=points,
        interaction_ev_per_cation=interaction,
        fit_rms_ev_per_cation=None,
        temperature_k=300,
        solubility_limit=solubility_limit,
        dopant_rich_limit=dopant_rich_limit,
        critical_temperature_k=None,
        uncertainty_ev_per_cation=None,
        verdict=None,
        rule="",
        calculation_keys=[],
        missing=[] if interaction else ["no mixture was computed"],
    )


def formation(
    cation: str, engine: str, raw: float | None, corrected: float | None
) -> FormationEnergyDoc:
    return FormationEnergyDoc(
        cation=cation,
        engine=engine,
        energy_scale="raw",
        raw_ev_per_formula=raw,
        corrected_ev_per_formula=corrected,
        corrections_ev_per_formula={},
        reduction_dmu_o_ev=None,
        lattice_parameter_angstrom=None,
        distortion_gain_ev_per_formula=None,
        rock_salt=None,
        metal=None,
        oxygen=None,
    )


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def text_at(axes: Axes, x: float, y: float) -> set[str]:
    """Return the texts within half a unit of a place."""
    return {
        text.get_text()
        for text in axes.texts
        if abs(text.get_position()[0] - x) < 0.5 and abs(text.get_position()[1] - y) < 0.5
    } - {""}


def cell_colour(axes: Axes, x: float, y: float) -> str:
    for patch in axes.patches:
        if isinstance(patch, Rectangle) and patch.contains_point(axes.transData.transform((x, y))):
            return to_hex(patch.get_facecolor())
    raise AssertionError(f"nothing at {x}, {y}")


def line(axes: Axes, gid: str) -> Line2D:
    (found,) = (each for each in axes.lines if each.get_gid() == gid)
    return found


def saves(figure: Figure) -> bool:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="pdf")
    return buffer.tell() > 1000


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        ([], "—"),
        ([None, None], "—"),
        ([1.0, 1.0], "all x"),
        ([0.05, None, 0.12], "x ≤ 0.05–0.12"),
        ([0.004], "x ≤ 0.004"),
        ([1e-7], "x < 0.001"),
        ([1e-7, 1.0], "x ≤ 0.001–1"),
        ([0.0], "x < 0.001"),
    ],
)
def test_limits_in_words(limits: list[float | None], text: str) -> None:
    assert figure_style.limit_text(limits) == text


def test_numbers_carry_a_true_minus_and_none_is_a_dash() -> None:
    assert figure_style.milli(-0.0724) == "−72"
    assert figure_style.milli(0.0047) == "+4.7"
    assert figure_style.milli(None) == figure_style.milli(math.nan) == "—"
    assert figure_style.signed(-0.0001, 2) == "0.00"
    assert figure_style.fraction_text(0.9999) == ">0.999"


def test_periodic_table_places_dopants_and_hosts(ranking: RankingDoc) -> None:
    figure = figures.periodic_table_map(ranking)
    (axes,) = figure.axes
    assert text_at(axes, 2, 3) == {"12", "Mg", "✓", "+14"}
    assert text_at(axes, 4, 4) == {"22", "Ti", "✗", "+300"}
    assert text_at(axes, 7, 4) == {"25", "Mn"}
    assert cell_colour(axes, 2, 3) == figure_style.VERDICTS["pass"].fill
    assert cell_colour(axes, 4, 4) == figure_style.VERDICTS["fail"].fill
    cerium = next(text for text in axes.texts if text.get_text() == "Ce")
    assert text_at(axes, *cerium.get_position()) == {"58", "Ce", "?", "—"}
    outlined = [p for p in axes.patches if isinstance(p, Rectangle) and p.get_linewidth() == 2.2]
    assert [round(patch.get_x() + 0.46) for patch in outlined] == [7, 10]
    assert "pass (1)" in texts(axes)
    assert "U" not in texts(axes)


def test_periodic_table_shows_actinides_when_asked(ranking: RankingDoc) -> None:
    ranking.candidates[2].dopant = "Th"
    (axes,) = figures.periodic_table_map(ranking).axes
    assert {"Th", "U"} <= set(texts(axes))


def test_matrix_cells(ranking: RankingDoc) -> None:
    figure = figures.intermixability_matrix(ranking)
    axes, bar = figure.axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["MnO", "NiO"]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["1.  Mg", "2.  Ti", "3.  Ce"]
    assert text_at(axes, 0, 0) == {"✓", "+12", "all x"}
    assert text_at(axes, 0, 1) == {"✗", "+85", "x ≤ 0.05–0.12"}
    assert text_at(axes, 1, 1) == {"✗", "+300", "x < 0.001"}
    assert text_at(axes, 0, 2) == text_at(axes, 1, 2) == {"—"}
    assert "meV per cation" in bar.get_xlabel()
    low, high = bar.get_xlim()
    assert low == -high
    warm = int(cell_colour(axes, 0, 1)[1:3], 16) - int(cell_colour(axes, 0, 1)[5:7], 16)
    cold = int(cell_colour(axes, 1, 0)[1:3], 16) - int(cell_colour(axes, 1, 0)[5:7], 16)
    assert warm > 0 > cold


def test_matrix_takes_what_the_ranking_says_over_all_engines(ranking: RankingDoc) -> None:
    ranking.candidates[1].hosts["Mn"] |= {
        "enthalpy_ev_per_cation": [
            {"fraction": 0.25, "value": 0.031, "uncertainty": 0.01},
            {"fraction": 0.5, "value": 0.077, "uncertainty": 0.01},
        ],
        "solubility_limit": 0.08,
    }
    axes = figures.intermixability_matrix(ranking).axes[0]
    assert text_at(axes, 0, 1) == {"✗", "+77", "x ≤ 0.08 (0.05–0.12)"}


def test_matrix_of_a_dopant_in_its_own_oxide(ranking: RankingDoc) -> None:
    ranking.candidates[2].dopant = "Ni"
    axes = figures.intermixability_matrix(ranking).axes[0]
    assert text_at(axes, 1, 2) == {"same oxide"}


def test_mixing_curve_follows_the_closed_form() -> None:
    documents = [
        mixing("Mn", "alpha", [0.40, -0.10], 0.03, 0.98),
        mixing("Mn", "beta", [0.20, 0.05], 1.0),
        mixing("Ni", "alpha", [-0.08, 0.0], 1.0),
    ]
    figure = curves.mixing_curves("Ti", documents)
    manganese, nickel = figure.axes
    assert manganese.get_title(loc="left") == "Ti in MnO"
    assert nickel.get_title(loc="left") == "Ti in NiO"
    assert "meV per cation" in manganese.get_ylabel()
    for gid, l0, l1 in (("alpha", 400, -100), ("beta", 200, 50)):
        x, y = line(manganese, f"fit-{gid}").get_data()
        np.testing.assert_allclose(y, x * (1 - x) * (l0 + l1 * (1 - 2 * x)), atol=1e-9)
    x, y = line(manganese, "committee").get_data()
    np.testing.assert_allclose(y, x * (1 - x) * (300 - 25 * (1 - 2 * x)), atol=1e-9)
    assert not [each for each in nickel.lines if each.get_gid() == "committee"]
    assert len(line(manganese, "arrangements-alpha").get_xdata()) == 6
    assert line(manganese, "limit-alpha").get_xdata() == [0.03]
    assert line(manganese, "rich-alpha").get_xdata() == [0.98]
    assert line(manganese, "limit-beta").get_xdata() == [1.0]
    _, entropy = line(manganese, "entropy").get_data()
    assert entropy.max() == pytest.approx(1000 * 8.617333e-5 * 300 * math.log(2), rel=1e-5)
    assert "soluble: x ≤ 0.03–1 at 300 K" in texts(manganese)
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend[:3] == ["alpha", "beta", "mean of the engines"]


def test_an_engine_that_decides_alone_is_bold_and_no_mean_is_drawn():
    documents = [
        mixing("Mn", "alpha", [0.40, -0.10], 0.03, 0.98),
        mixing("Mn", "beta", [0.20, 0.05], 1.0),
    ]
    together = {"Mn": {"engines": ["beta"], "solubility_limit": 1.0}}
    figure = curves.mixing_curves("Ti", documents, over_engines=together)
    (panel,) = figure.axes
    assert not [each for each in panel.lines if each.get_gid() == "committee"]
    assert line(panel, "fit-beta").get_linewidth() > 1.5 * line(panel, "fit-alpha").get_linewidth()
    assert any("by beta alone" in text for text in texts(panel))
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "mean of the engines" not in legend


def test_engine_keeps_its_colour_across_figures() -> None:
    both = curves.mixing_curves(
        "Ti", [mixing("Mn", "alpha", [0.1, 0.0]), mixing("Mn", "beta", [0.2, 0.0])]
    )
    alone = curves.mixing_curves(
        "Ti", [mixing("Mn", "beta", [0.2, 0.0])], engines=["alpha", "beta"]
    )
    colours = {line(each.axes[0], "fit-beta").get_color() for each in (both, alone)}
    assert len(colours) == 1


def test_missing_mixing_is_said_and_not_drawn() -> None:
    figure = curves.mixing_curves("Ti", [mixing("Mn", "alpha", [0.1, 0.0]), mixing("Ni", "alpha")])
    _, nickel = figure.axes
    assert "not computed" in texts(nickel)
    assert "solubility limit not computed" in texts(nickel)
    assert {each.get_gid() for each in nickel.lines if each.get_gid()} == {"entropy"}
    (empty,) = curves.mixing_curves("Sc", [mixing("Mn", "alpha", [0.1, 0.0])]).axes
    assert texts(empty) == ["mixing of ScO was not computed"]


def test_formation_energies_of_documents() -> None:
    figure = curves.formation_energies(
        [
            formation("Ti", "alpha", None, -5.5),
            formation("Ti", "beta", -4.6, -5.3),
            formation("Pd", "alpha", 0.3, None),
            formation("Ce", "alpha", None, None),
        ]
    )
    (axes,) = figure.axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["TiO", "PdO", "CeO"]
    assert "eV per formula unit" in axes.get_ylabel()
    assert line(axes, "corrected-Ti-alpha").get_ydata() == [-5.5]
    raw, corrected = line(axes, "raw-Ti-beta"), line(axes, "corrected-Ti-beta")
    assert raw.get_ydata() == [-4.6]
    assert raw.get_xdata() == corrected.get_xdata()
    assert raw.get_markerfacecolor() != corrected.get_markerfacecolor()
    assert round(float(line(axes, "raw-Pd-alpha").get_xdata()[0])) == 1
    assert not [each for each in axes.lines if "Ce" in (each.get_gid() or "")]
    dash = next(text for text in axes.texts if text.get_text() == "—")
    assert dash.get_position()[0] == 2
    low, high = axes.get_ylim()
    assert low < -5.5
    assert high > 0.3


def test_formation_energies_of_a_ranking(ranking: RankingDoc) -> None:
    (axes,) = curves.formation_energies(ranking).axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["MgO", "TiO", "CeO"]
    assert line(axes, "corrected-Mg-alpha").get_ydata() == [-5.5]


def test_a_formation_energy_of_exactly_zero_is_drawn() -> None:
    (axes,) = curves.formation_energies([formation("Pd", "alpha", 0.0, None)]).axes
    assert line(axes, "raw-Pd-alpha").get_ydata() == [0.0]


def test_empty_documents_give_figures_that_say_so(ranking: RankingDoc) -> None:
    ranking.candidates = []
    assert saves(figures.intermixability_matrix(ranking))
    assert saves(figures.periodic_table_map(ranking))
    assert texts(curves.formation_energies([]).axes[0]) == ["no formation energy was computed"]


def test_every_figure_can_be_saved_for_a_paper(ranking: RankingDoc) -> None:
    documents = [mixing("Mn", "alpha", [0.4, -0.1], 0.03, 0.98)]
    assert saves(figures.periodic_table_map(ranking))
    assert saves(figures.intermixability_matrix(ranking))
    assert saves(curves.mixing_curves("Ti", documents))
    assert saves(curves.formation_energies(ranking))


def test_the_users_settings_stay_as_they_were(ranking: RankingDoc) -> None:
    before = dict(mpl.rcParams)
    figures.periodic_table_map(ranking)
    assert dict(mpl.rcParams) == before


def test_importing_figures_leaves_pyplot_alone() -> None:
    code = "import sys, rocksalt.workflows.figures; print('matplotlib.pyplot' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
