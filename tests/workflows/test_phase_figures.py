"""Gibbs triangles, oxygen windows, series and vacancies: the numbers stand where they belong."""

from __future__ import annotations

import io
import itertools
import math

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rocksalt.screening.hull import HullEntry, make_hull
from rocksalt.screening.oxygen_gas import MAX_TEMPERATURE_K, MIN_TEMPERATURE_K, dmu_o_ev
from rocksalt.stores.documents import RankingDoc
from rocksalt.stores.phase_documents import (
    HullDoc,
    MixtureAboveHull,
    SeriesDoc,
    SeriesPoint,
    StrainSlopeDoc,
    VacancyDoc,
    VacancyPoint,
)
from rocksalt.workflows.derive_phases import hull_doc, measured_hull_doc
from rocksalt.workflows.figure_files import save_figures
from rocksalt.workflows.formulas import formula_html, formula_text
from rocksalt.workflows.layered_figures import lithium_series, oxygen_retention, vacancy_strain
from rocksalt.workflows.ternary_figure import DISTANCE, spread, ternary_diagram
from rocksalt.workflows.window_figure import (
    BELOW_LOWEST_EV,
    TEMPERATURES_K,
    is_metal,
    oxygen_window_bars,
)

HEIGHT = math.sqrt(3) / 2


@pytest.fixture(scope="module")
def measured() -> HullDoc:
    return measured_hull_doc("Ti", "Mn")


@pytest.fixture(scope="module")
def hull() -> HullDoc:
    """Return a hull of Ti-Mn-O with a ternary oxide and phases above it, eV per formula."""
    phases = {
        "Ti": 0.0,
        "Mn": 0.0,
        "O2": 0.0,
        "TiO": -5.0,
        "MnO": -4.0,
        "TiO2": -9.0,
        "Mn3O4": -13.5,
        "TiMnO3": -13.4,
        "TiMn2O4": -17.5 + 7 * 0.05,  # above MnO + TiMnO3, which give -17.4
        "Ti2MnO8": -1.0,
    }
    entries = [HullEntry(name, amounts_of(name), energy, "test") for name, energy in phases.items()]
    document = hull_doc(make_hull(entries), "alpha", {"Ti": 1.0, "Mn": 1.0})
    mixtures = [
        MixtureAboveHull(fraction=x, e_above_hull_ev_per_atom=e, decomposition=[])
        for x, e in ((0.25, 0.03), (0.5, 0.3))
    ]
    return document.model_copy(
        update={"dopant": "Ti", "host": "Mn", "mixtures_above_hull": mixtures}
    )


def amounts_of(formula: str) -> dict[str, float]:
    from pymatgen.core import Composition

    return {str(e): float(n) for e, n in Composition(formula).items()}


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def line(axes: Axes, gid: str) -> Line2D:
    (found,) = (each for each in axes.lines if each.get_gid() == gid)
    return found


def saves(figure: Figure) -> bool:
    for suffix in ("pdf", "svg"):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=suffix)
        assert buffer.tell() > 1000
    return True


def test_formulas_have_subscripts() -> None:
    assert formula_text("Ti(FeO2)2") == "Ti(FeO₂)₂"
    assert formula_text("Li1.5MnO3 with Ti") == "Li₁.₅MnO₃ with Ti"
    assert formula_html("Mn3O4") == "Mn<sub>3</sub>O<sub>4</sub>"
    assert formula_html("<b>2") == "&lt;b&gt;2"


# ------------------------------------------------------------------------- Gibbs triangle


def test_stable_phases_stand_at_their_compositions(hull: HullDoc) -> None:
    axes = ternary_diagram(hull).axes[0]
    places = {(round(x, 6), round(y, 6)) for x, y in line(axes, "stable").get_xydata()}
    expected = {
        "Ti": (0.0, 0.0),
        "Mn": (1.0, 0.0),
        "O2": (0.5, HEIGHT),
        "TiO": (0.25, HEIGHT / 2),
        "MnO": (0.75, HEIGHT / 2),
        "TiO2": (1 / 3, HEIGHT * 2 / 3),
        "Mn3O4": (3 / 7 + 2 / 7, HEIGHT * 4 / 7),
        "TiMnO3": (0.2 + 0.3, HEIGHT * 0.6),
    }
    assert set(expected) == {p.formula for p in hull.phases if p.entry_id in set(hull.stable)}
    assert places == {(round(x, 6), round(y, 6)) for x, y in expected.values()}


def test_triangle_names_phases_with_subscripts_and_distances(hull: HullDoc) -> None:
    figure = ternary_diagram(hull)
    axes, bar = figure.axes
    assert {"Ti", "Mn", "O", "TiO", "MnO", "TiO₂", "Mn₃O₄"} <= set(texts(axes))
    assert {"1", "TiMnO₃", "a"} <= set(texts(axes))
    (above,) = (p for p in hull.phases if p.formula == "TiMn2O4")
    distance = 1000 * above.e_above_hull_ev_per_atom
    assert 9.95 < distance < 100
    assert f"TiMn₂O₄  +{distance:.0f}" in texts(axes)
    assert "Ti–Mn–O\nalpha" in texts(axes)
    assert bar.get_xlabel() == "Energy above the hull (meV per atom)"
    mark = line(axes, "above-TiMn2O4")
    assert to_hex(mark.get_markerfacecolor()) == "#ffffff"
    assert to_hex(mark.get_markeredgecolor()) == to_hex(DISTANCE(distance / 100))
    assert not [each for each in axes.lines if each.get_gid() == "above-Ti2MnO8"]
    assert saves(figure)


def test_mixtures_lie_on_the_line_between_the_rock_salts(hull: HullDoc) -> None:
    axes = ternary_diagram(hull).axes[0]
    for fraction, distance in ((0.25, 30), (0.5, 300)):
        x, y = line(axes, f"mixture-{fraction:g}").get_xydata()[0]
        # Halfway to oxygen, and between TiO at 1/4 and MnO at 3/4.
        assert x == pytest.approx(0.75 - fraction / 2)
        assert y == pytest.approx(HEIGHT / 2)
        assert f"{distance}" in texts(axes)


def test_tie_lines_join_phases_that_coexist_inside_the_triangle(measured: HullDoc) -> None:
    axes = ternary_diagram(measured).axes[0]
    data = line(axes, "tie-lines").get_xydata()
    ends = {
        tuple(sorted((tuple(np.round(a, 4)), tuple(np.round(b, 4))))) for a, b in pairs_of(data)
    }

    def place(formula: str) -> tuple[float, float]:
        amounts = amounts_of(formula)
        n = sum(amounts.values())
        oxygen = amounts.get("O", 0) / n
        return round(amounts.get("Mn", 0) / n + oxygen / 2, 4), round(HEIGHT * oxygen, 4)

    assert tuple(sorted((place("TiO2"), place("MnO2")))) in ends
    assert tuple(sorted((place("TiO2"), place("TiMnO3")))) in ends
    assert tuple(sorted((place("TiMn2"), place("Mn")))) not in ends  # the side of the triangle
    # Every window of the line Ti:Mn = 1:1 with two phases crosses the tie line between them.
    for window in measured.windows:
        if len(window.phases) == 2:
            first, second = (place(phase.formula) for phase in window.phases)
            assert tuple(sorted((first, second))) in ends or window.from_dmu_o_ev is None


def pairs_of(data: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    return list(zip(data[::3], data[1::3], strict=True))


def test_no_two_labels_at_a_side_overlap() -> None:
    document = measured_hull_doc("W", "Fe")
    axes = ternary_diagram(document).axes[0]
    figure = axes.figure
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in axes.texts if text.get_text()]
    touching = [
        (a, b) for a, b in itertools.combinations(boxes, 2) if a.shrunk(0.9, 0.7).overlaps(b)
    ]
    assert not touching
    left, bottom, right, top = figure.bbox.extents
    assert all(b.x0 >= left and b.x1 <= right and b.y0 >= bottom and b.y1 <= top for b in boxes)


def test_labels_spread_as_little_as_they_must() -> None:
    assert spread([0.0, 1.0, 2.0], 0.5) == [0.0, 1.0, 2.0]
    assert spread([0.0, 0.0], 1.0) == [-0.5, 0.5]
    assert spread([0.0, 0.1, 5.0], 1.0) == pytest.approx([-0.45, 0.55, 5.0])
    assert spread([], 1.0) == []


def test_hull_that_is_missing_says_so() -> None:
    missing = measured_hull_doc("Og", "Mn")
    assert texts(ternary_diagram(missing).axes[0]) == ["no hull of Mn-O-Og with measured"]
    assert texts(oxygen_window_bars([missing]).axes[0]) == ["no oxygen window was computed"]
    assert "measured" in texts(ternary_diagram(measured_hull_doc("Mn", "Mn")).axes[0])[0]


# ------------------------------------------------------------------------- oxygen windows


def test_windows_are_drawn_from_and_to_their_potentials(hull: HullDoc, measured: HullDoc) -> None:
    figure = oxygen_window_bars([measured, hull], engines=["alpha"])
    axes = figure.axes[0]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["alpha", "measured"]
    lowest = min(w.to_dmu_o_ev for h in (hull, measured) for w in h.windows)
    low, high = axes.get_xlim()
    assert (low, high) == (pytest.approx(lowest - BELOW_LOWEST_EV), 0.0)
    for document in (hull, measured):
        drawn = [
            patch
            for patch in axes.patches
            if (patch.get_gid() or "").startswith(f"window-{document.engine}")
        ]
        assert len(drawn) == len(document.windows)
        for patch, window in zip(drawn, document.windows, strict=True):
            start = low if window.from_dmu_o_ev is None else window.from_dmu_o_ev
            assert patch.get_x() == pytest.approx(start)
            assert patch.get_x() + patch.get_width() == pytest.approx(window.to_dmu_o_ev)
        ends = document.rock_salt_windows_ev["Mn"]
        assert ends is not None
        x = line(axes, f"host-{document.engine}").get_xdata()
        np.testing.assert_allclose(x, ends)
    assert "eV per O" in axes.get_xlabel()
    assert saves(figure)


def test_every_window_is_named_in_it_or_below(measured: HullDoc) -> None:
    figure = oxygen_window_bars([measured])
    said = " ".join([*texts(figure.axes[0]), *(text.get_text() for text in figure.texts)])
    for window in measured.windows:
        assert " + ".join(formula_text(phase.formula) for phase in window.phases) in said
    figure.draw_without_rendering()
    named = [t for t in figure.axes[0].texts if "+" in t.get_text()]
    patches = [p for p in figure.axes[0].patches if "window" in (p.get_gid() or "")]
    for text in named:
        box = text.get_window_extent()
        assert any(
            p.get_window_extent().x0 <= box.x0 and box.x1 <= p.get_window_extent().x1
            for p in patches
        )


def test_windows_in_which_the_dopant_is_metal_are_hatched() -> None:
    document = measured_hull_doc("Pd", "Mn")
    axes = oxygen_window_bars([document]).axes[0]
    hatched = {p.get_gid() for p in axes.patches if p.get_hatch()}
    metal = {f"metal-measured-{i}" for i, w in enumerate(document.windows) if is_metal(w, "Pd")}
    assert hatched == metal
    assert 0 < len(metal) < len(document.windows)
    assert not is_metal(document.windows[-1], None)


@pytest.mark.parametrize(("place", "pressure_bar"), [(1, 1.0), (2, 1e-6)])
def test_temperature_axes(measured: HullDoc, place: int, pressure_bar: float) -> None:
    figure = oxygen_window_bars([measured])
    axes, other = figure.axes[0], figure.axes[place]
    assert other.get_xlim() == axes.get_xlim()
    assert [tick.get_text() for tick in other.get_xticklabels()] == [str(t) for t in TEMPERATURES_K]
    expected = [dmu_o_ev(t, pressure_bar) for t in TEMPERATURES_K]
    np.testing.assert_allclose(other.get_xticks(), expected)
    # -0.61 eV at 600 K and 1 bar: table I of Reuter and Scheffler (2002).
    if pressure_bar == 1.0:
        assert other.get_xticks()[TEMPERATURES_K.index(600)] == pytest.approx(-0.61, abs=0.01)
    else:
        shift = 0.5 * 8.617333e-5 * 600 * math.log(1e-6)
        assert other.get_xticks()[1] == pytest.approx(-0.61 + shift, abs=0.01)
    assert any("bar O" in text for text in texts(other))
    assert MIN_TEMPERATURE_K <= min(TEMPERATURES_K) < max(TEMPERATURES_K) <= MAX_TEMPERATURE_K


# ------------------------------------------------------------------------- series, vacancies


def series_point(n: int, arrangement: str, above: float | None, energy: float) -> SeriesPoint:
    return SeriesPoint(
        key=arrangement,
        formula="Li2MnO3",
        n=n,
        arrangement=arrangement,
        multiplicity=1,
        lithium_per_oxygen=(8 - n) / 12,
        li_o_li_per_oxygen=1 - n / 2,
        energy_ev_per_atom=energy,
        e_above_hull_ev_per_atom=above,
        volume_angstrom3_per_oxygen=16.0,
        volume_change_percent=2.0 * n,
    )


@pytest.fixture
def series() -> list[SeriesDoc]:
    points = [
        series_point(0, "a", 0.0, -6.0),
        series_point(1, "c", 0.05, -6.05),
        series_point(1, "b", 0.02, -6.08),
        series_point(2, "d", 0.04, -6.2),
    ]
    common = {"host": "Mn", "engine": "alpha", "energy_scale": "raw", "n_layer_lithium": 2}
    return [
        SeriesDoc(dopant=None, points=points, **common),
        SeriesDoc(dopant="Ti", points=[series_point(0, "e", None, -6.1)], **common),
    ]


def test_series_joins_the_lowest_and_shows_the_others(series: list[SeriesDoc]) -> None:
    figure = lithium_series(series)
    above, triplets, volume = figure.axes
    x, y = line(above, "above-lowest-pure").get_data()
    np.testing.assert_allclose(x, [8 / 12, 7 / 12, 6 / 12])
    np.testing.assert_allclose(y, [0, 20, 40])
    assert line(above, "above-others-pure").get_ydata() == [50]
    np.testing.assert_allclose(line(triplets, "li-o-li-lowest-pure").get_ydata(), [1, 0.5, 0])
    np.testing.assert_allclose(line(volume, "volume-lowest-pure").get_ydata(), [0, 2, 4])
    assert "meV per atom" in above.get_ylabel()
    assert "%" in volume.get_ylabel()
    assert {axes.get_xlabel() for axes in figure.axes} == {"Li per O"}
    # Not computed is no point at zero.
    assert not [each for each in above.lines if each.get_gid() == "above-lowest-Ti"]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["pure", "with Ti", "other arrangements"]
    assert saves(figure)


def vacancy_doc(cell: str, dopant: str | None, engine: str, **fields) -> VacancyDoc:
    states = [("none", 0.0)]
    if dopant is None:
        states += [(kind, s) for kind in ("isotropic", "c-axis") for s in (-2.0, 2.0)]
    points = [
        VacancyPoint(
            key=f"{kind}{strain}{site}",
            strain_kind=kind,
            strain_percent=strain,
            site=site,
            site_name=f"O no. {site}",
            multiplicity=1,
            formation_energy_ev=2.0 - 0.1 * strain + 0.3 * site,
            raw_formation_energy_ev=None,
        )
        for kind, strain in states
        for site in (0, 1)
    ]
    slope = StrainSlopeDoc(
        strain_kind="isotropic",
        ev_per_percent=-0.1,
        standard_error_ev_per_percent=0.002,
        n_points=3,
    )
    return VacancyDoc(
        cell=cell,
        formula="Li2MnO3",
        host="Mn",
        dopant=dopant,
        engine=engine,
        energy_scale="raw",
        points=points,
        lowest_formation_energy_ev=2.0,
        slopes=[slope] if dopant is None else [],
        **fields,
    )


@pytest.fixture
def vacancies() -> list[VacancyDoc]:
    return [
        vacancy_doc("Li2MnO3", None, "alpha"),
        vacancy_doc("Li1.5MnO3", None, "alpha"),
        vacancy_doc("Li2MnO3", None, "beta"),
        vacancy_doc("Li2MnO3 with Ti", "Ti", "alpha", retention_ev=0.12),
        vacancy_doc("Li2MnO3 with Ti", "Ti", "beta", retention_ev=-0.3),
        vacancy_doc("Li2MnO3 with Pd", "Pd", "alpha"),
    ]


def test_vacancy_energy_against_strain(vacancies: list[VacancyDoc]) -> None:
    figure = vacancy_strain(vacancies)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["Li₂MnO₃, alpha", "Li₁.₅MnO₃, alpha", "Li₂MnO₃, beta", "Li₁.₅MnO₃, beta"]
    first = figure.axes[0]
    x, y = line(first, "strain-isotropic").get_data()
    np.testing.assert_allclose(x, [-2, 0, 2])
    np.testing.assert_allclose(y, [2.2, 2.0, 1.8])
    labels = [text.get_text() for text in first.get_legend().get_texts()]
    assert labels == ["isotropic  −100.0 ± 2.0 meV per %", "c-axis"]
    assert "eV" in first.get_ylabel()
    assert first.get_xlabel() == "Strain (%)"
    assert texts(figure.axes[3]) == ["not computed"]
    assert saves(figure)


def test_oxygen_retention(vacancies: list[VacancyDoc]) -> None:
    figure = oxygen_retention(vacancies, dopants=["Pd", "Ti"], engines=["alpha", "beta"])
    (axes,) = figure.axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["Pd", "Ti"]
    alpha, beta = (line(axes, f"retention-Ti-{engine}") for engine in ("alpha", "beta"))
    assert (alpha.get_ydata()[0], beta.get_ydata()[0]) == (0.12, -0.3)
    assert alpha.get_color() != beta.get_color()
    assert alpha.get_marker() != beta.get_marker()
    assert round(alpha.get_xdata()[0]) == 1
    assert texts(axes) == ["—"]  # Pd was not computed
    assert "(eV)" in axes.get_ylabel()
    assert saves(figure)


def test_empty_documents_give_figures_that_say_so() -> None:
    assert "was not computed" in texts(lithium_series([]).axes[0])[0]
    assert "no cell was strained" in texts(vacancy_strain([]).axes[0])[0]
    assert "with a dopant" in texts(oxygen_retention([]).axes[0])[0]


def test_files_of_every_stage(
    tmp_path,
    measured: HullDoc,
    hull: HullDoc,
    series: list[SeriesDoc],
    vacancies: list[VacancyDoc],
) -> None:
    ranking = RankingDoc(
        campaign="small",
        engines={"alpha": {}, "beta": {}},
        counts={},
        candidates=[],
        rules=[],
        temperature_k=300,
        hosts=["Mn"],
    )
    given = {"hulls": [hull, measured], "series": series, "vacancies": vacancies}
    paths = save_figures(tmp_path / "figures", "svg", ranking, [], **given)
    names = {path.stem for path in paths}
    assert names - {"periodic-table", "intermixability", "formation-energies"} == {
        "hull-Mn-O-Ti-alpha",
        "hull-Mn-O-Ti-measured",
        "windows-Mn-O-Ti",
        "lithium-deficient-alpha",
        "vacancy-strain",
        "oxygen-retention",
    }
    assert all(path.stat().st_size > 1000 for path in paths)
    plain = save_figures(tmp_path / "plain", "pdf", ranking, [])
    assert len(plain) == 3
