"""The stage `electronic-structure`: what is planned, computed with the mock engine, kept and shown."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rocksalt.screening.lithium import layered_cell
from rocksalt.stores.electronic_documents import ElectronicStructureDoc
from rocksalt.stores.records import load_density_of_states, load_document, load_summaries
from rocksalt.stores.transfer import export_records
from rocksalt.workflows import preflight
from rocksalt.workflows.calculate import calculate
from rocksalt.workflows.costs import estimated_cpu_hours
from rocksalt.workflows.electronic_figures import density_panels, oxygen_shares
from rocksalt.workflows.electronic_structure import electronic_structure_calculations
from rocksalt.workflows.plan import make_plan
from rocksalt.workflows.replay import replay
from rocksalt.workflows.run import run_campaign

STAGE = {
    "dopants": ["Mg"],
    "hosts": ["Mn"],
    "fractions": [],
    "supercell": {"enumerated": 0, "sqs": 0},
    "stages": ["electronic-structure"],
    "electronic_structure": {"k_density": 1.5},
}


@pytest.fixture(scope="module")
def electronic(campaign_of):
    """Return a function that gives a small campaign with the stage, with changes."""

    def make(electronic_structure=None, **changes):
        own = {**STAGE["electronic_structure"], **(electronic_structure or {})}
        return campaign_of(**{**STAGE, "electronic_structure": own, **changes})

    return make


@pytest.fixture(scope="module")
def finished(electronic, tmp_path_factory):
    """Return campaign, outcome and the file of a finished run."""
    from rocksalt.stores.opening import open_store

    path = tmp_path_factory.mktemp("electronic") / "results.sqlite"
    store = open_store(str(path))
    campaign = electronic()
    outcome = run_campaign(campaign, store)
    store.close()
    return campaign, outcome, path


# The plan ---------------------------------------------------------------------------------------


def test_the_host_its_delithiated_and_its_lithium_deficient_cells(electronic):
    found, notes = electronic_structure_calculations(electronic())
    assert [c.prototype for c in found] == [
        "Li4Mn2O6",
        "Li3Mn2O6, Li removed",
        "Li2Mn2O6, Li removed",
        "Li3Mn3O6 1 of 1, Li replaced",
    ]
    assert [len(c.structure) for c in found] == [12, 11, 10, 12]
    assert [c.details["lithium_per_oxygen"] for c in found] == pytest.approx(
        [4 / 6, 3 / 6, 2 / 6, 3 / 6]
    )
    assert {c.density_of_states.geometry for c in found} == {"mock"}
    assert notes == []


def test_larger_cells_hold_the_whole_series(electronic):
    found, _ = electronic_structure_calculations(electronic({"cell": 8}))
    amounts = [c.structure.composition for c in found]
    assert [(a["Li"], a["Mn"]) for a in amounts] == [
        (32, 16), (24, 16), (16, 16), *((32 - n, 16 + n) for n in range(1, 9)),
    ]  # fmt: skip
    assert {a["O"] for a in amounts} == {48}


def test_without_the_stage_nothing_is_planned(campaign_of):
    plan = make_plan(campaign_of())
    assert "density-of-states" not in {c.role for c in plan.calculations.values()}


@pytest.mark.parametrize(
    ("engines", "asked", "computes", "relaxes"),
    [
        (["chgnet"], {"engines": "gpaw"}, ["gpaw:balanced"], ["chgnet"]),
        (["chgnet", "sevennet-0", "gpaw:fast"], {}, ["gpaw:fast"], ["chgnet"]),
        (["gpaw:fast"], {}, ["gpaw:fast"], ["gpaw:fast"]),
        (["espresso", "vasp"], {}, ["vasp"], ["vasp"]),
        (
            ["chgnet"],
            {"engines": ["vasp", "gpaw:fast"]},
            ["vasp", "gpaw:fast"],
            ["chgnet", "chgnet"],
        ),
        (["chgnet"], {"engines": "vasp", "geometry": "sevennet-0"}, ["vasp"], ["sevennet-0"]),
    ],
)
def test_who_computes_and_who_relaxes(electronic, engines, asked, computes, relaxes):
    campaign = electronic(asked, engines=engines)
    assert campaign.electronic_engines == computes
    settings = [campaign.density_of_states_settings(name) for name in computes]
    assert [s.geometry for s in settings] == relaxes
    planned = make_plan(campaign).calculations.values()
    assert {c.engine for c in planned if c.role == "density-of-states"} == set(computes)


def test_every_setting_is_part_of_the_identity(electronic):
    base, *others = (
        electronic_structure_calculations(electronic(changes, engines=["mock", "chgnet"]))[0][0].key
        for changes in (
            {}, {"window_ev": 2.0}, {"width_ev": 0.1}, {"k_density": 2.0}, {"geometry": "chgnet"},
            {"reference": "fermi-level"},
        )
    )  # fmt: skip
    assert len({base, *others}) == 6


def test_cells_that_are_too_large_are_left_out_and_said(electronic):
    dft = {"gpaw": {"max_atoms": 10, "hubbard_u_ev": {"Mn": 3.9}}}
    campaign = electronic({"engines": "gpaw:fast"}, dft=dft)
    found, notes = electronic_structure_calculations(campaign)
    assert [c.prototype for c in found] == ["Li2Mn2O6, Li removed"]
    assert found[0].dft.hubbard_u_ev == {"Mn": 3.9}
    assert notes[0].startswith(
        "3 cells of more than 10 atoms get no density of states with gpaw:fast"
    )
    assert notes[0] in make_plan(campaign).notes


def test_the_estimate_grows_with_mesh_and_relaxation(electronic):
    def hours(asked, engines=("chgnet",)):
        campaign = electronic({"engines": "gpaw:fast", **asked}, engines=list(engines))
        return estimated_cpu_hours(electronic_structure_calculations(campaign)[0][0])

    assert hours({"k_density": 3.0}) > 1.5 * hours({"k_density": 2.2})
    assert hours({"geometry": "gpaw:fast"}) > 10 * hours({})


# What is computed and kept ----------------------------------------------------------------------


def test_a_run_gives_shares_against_lithium(finished):
    _, outcome, _ = finished
    assert outcome.failed == []
    (document,) = outcome.electronic
    assert document.missing == []
    assert [p.lithium_per_oxygen for p in document.points] == pytest.approx(
        [2 / 3, 1 / 2, 1 / 2, 1 / 3]
    )
    for point in document.points:
        assert point.oxygen_share + point.metal_share == pytest.approx(1.0)
        assert point.reference == ("fermi-level" if point.is_metal else "highest-occupied")
        assert (point.band_gap_ev == 0.0) == point.is_metal
    pristine = document.points[0]
    assert pristine.band_gap_ev > 0.5
    assert pristine.metal_moments_mu_b == pytest.approx([3.0, 3.0], abs=1.0)
    assert pristine.total_moment_mu_b == pytest.approx(6.0)  # two Mn(4+), d3, in an insulator


def test_curves_lie_in_the_additional_store_and_give_the_shares_again(finished, open_store):
    _, outcome, path = finished
    store = open_store(path)
    point = outcome.electronic[0].points[0]
    kept = load_document(store, point.key)["density_of_states"]["arrays"]
    assert set(kept) == {"@class", "@module", "blob_uuid", "store"}
    assert load_summaries(store, [point.key])[point.key].density_of_states.arrays is None
    found = load_density_of_states(store, point.key)
    energies = np.array(found.arrays["energies_ev"])
    curves = {name: np.sum(c, axis=0) for name, c in found.arrays["states_per_ev"].items()}
    assert curves["O-p"] + curves["Mn-d"] == pytest.approx(curves["total"], abs=1e-4)
    inside = (energies > -1.0) & (energies < 4 * found.width_ev)  # an insulator has nothing above
    areas = {name: np.trapezoid(curve[inside], energies[inside]) for name, curve in curves.items()}
    assert areas["O-p"] / areas["total"] == pytest.approx(point.oxygen_share, abs=2e-3)
    assert areas["total"] == pytest.approx(point.states_total, rel=0.02)


def test_a_second_run_computes_nothing(finished, open_store):
    campaign, first, path = finished
    again = run_campaign(campaign, open_store(path))
    assert (again.n_computed, again.electronic) == (0, first.electronic)


def test_it_is_derived_and_stored(finished, open_store):
    campaign, outcome, path = finished
    stored = load_document(open_store(path), f"electronic-structure-{campaign.name}-mock-Mn")
    assert ElectronicStructureDoc.model_validate(stored) == outcome.electronic[0]


def test_a_record_gives_the_shares_without_the_curves(finished, open_store, tmp_path):
    campaign, outcome, path = finished
    record = tmp_path / "record.jsonl.gz"
    export_records(open_store(path), record)
    store = open_store()
    replayed = replay(campaign, record, store)
    assert replayed.electronic == outcome.electronic
    found = load_density_of_states(store, outcome.electronic[0].points[0].key)
    assert found.arrays is None
    assert found.shares["O-p"] == outcome.electronic[0].points[0].oxygen_share


def test_a_cell_without_states_fails_and_is_said(electronic):
    calculation = electronic_structure_calculations(electronic())[0][0]
    settings = calculation.density_of_states.model_copy(
        update={"window_ev": 1e-4, "width_ev": 1e-3}
    )
    metal = calculation.model_copy(
        update={"details": {**calculation.details, "host": "Ti"}, "density_of_states": settings}
    )
    document = calculate(metal)
    assert document.state == "failed"
    assert document.error == "no projection on Ti-d: there is on Mn-d, O-p"


def test_the_geometry_is_that_of_the_engine_that_relaxes(electronic):
    calculation = electronic_structure_calculations(electronic())[0][0]
    document = calculate(calculation)
    as_given = calculation.density_of_states.model_copy(update={"geometry": None})
    still = calculate(calculation.model_copy(update={"density_of_states": as_given}))
    start = layered_cell("Mn", 1)
    assert still.structure.volume == pytest.approx(start.volume)
    assert abs(document.structure.volume / start.volume - 1) > 1e-3
    assert document.max_force_ev_per_angstrom < 0.02 < still.max_force_ev_per_angstrom
    assert document.structure.get_space_group_info(1e-4)[0] == "C2/m"


# Bad input --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"engines": ["chgnet", "sevennet-0"]},
            ["stages: 'electronic-structure' needs an engine", "chgnet, sevennet-0 give none",
             "add gpaw or vasp to engines", "electronic_structure.engines"],
        ),
        ({"engines": ["espresso"]}, ["espresso:balanced gives none"]),
        (
            {"electronic_structure": {"engines": ["espresso:fast"]}},
            ["electronic_structure.engines: engine 'espresso:fast' gives no density of states",
             "use gpaw or vasp"],
        ),
        (
            {"electronic_structure": {"engines": ["gpaww"]}},
            ["electronic_structure.engines: engine 'gpaww' is not known", "did you mean"],
        ),
        (
            {"electronic_structure": {"engines": "gpaw", "geometry": "vasp"}},
            ["electronic_structure.geometry: 'vasp' is another DFT code", "name a potential"],
        ),
        ({"electronic_structure": {"cell": 3}}, ["electronic_structure.cell", "[1, 2, 4, 8]"]),
        ({"electronic_structure": {"window_ev": 0}}, ["electronic_structure.window_ev", "greater than"]),
        ({"electronic_structure": {"windw_ev": 1}}, ["electronic_structure.windw_ev", "window_ev"]),
        ({"electronic_structure": {"reference": "vacuum"}}, ["electronic_structure.reference"]),
        ({"hosts": ["La"]}, ["hosts", "no tabulated radius"]),
        ({"supercell": {"vacancy": 1}}, ["supercell.vacancy", "cannot be halved"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line_and_nothing_starts(cli, campaign_file, changes, words):
    path = campaign_file(**{**STAGE, **changes})
    answer = cli("run", path, "--store", "nothing.sqlite")
    assert answer.code == 2
    assert "Traceback" not in answer.err
    assert all(word in answer.err.replace("\n", " ") for word in words), answer.err
    assert not path.with_name("nothing.sqlite").exists()


def test_what_an_engine_of_the_stage_alone_lacks_is_found_before(electronic, monkeypatch):
    asked = []

    def installation(name, elements):
        asked.append((name, list(elements)))
        return preflight.Findings([f"no {name} here"] if name == "gpaw:fast" else [])

    monkeypatch.setattr(preflight, "installation", installation)
    campaign = electronic({"engines": "gpaw:fast"}, engines=["mock"], dopants=["Ru"])
    found = preflight.preflight(campaign)
    assert found.problems == ["no gpaw:fast here"]
    assert asked[-1] == ("gpaw:fast", ["Li", "Mn", "O"])  # dopants are not its to compute


def test_the_example_can_be_tried_out_with_the_mock_engine(cli):
    example = Path(__file__).parents[2] / "examples" / "electronic_structure_gpaw.yaml"
    answer = cli("check", example, "--calculator", "mock", "--store", "memory")
    assert answer.code == 0, answer.err
    assert "electronic-structure  mock" in answer.out


# What is shown ----------------------------------------------------------------------------------


def test_the_command_line_shows_and_draws_it(cli, finished, terminal):
    terminal()
    _, outcome, path = finished
    point = outcome.electronic[0].points[0]
    shown = cli("results", "--store", path)
    assert shown.code == 0
    assert f"{point.oxygen_share:.3f}" in shown.out
    assert "within 1 eV below the edge" in shown.out.replace("\n", " ")
    assert max(map(len, shown.out.splitlines())) <= 80
    largest = max(p.max_force_ev_per_angstrom for p in outcome.electronic[0].points)
    said = f"cells relaxed with mock, where this engine finds forces of up to {largest:.2f} eV/Å"
    assert said in " ".join(shown.out.split())
    (document,) = json.loads(cli("results", "--store", path, "--format", "json").out)[
        "electronic_structure"
    ]
    assert [p["oxygen_share"] for p in document["points"]] == [
        p.oxygen_share for p in outcome.electronic[0].points
    ]
    drawn = cli(
        "report", "--store", path, "-o", "r.html", "--figures", "f", "--figure-format", "svg"
    )
    assert drawn.code == 0, drawn.err
    text = Path("r.html").read_text(encoding="utf-8")
    assert {"oxygen-shares.svg", "densities-of-states-mock.svg"} <= {
        f.name for f in Path("f").iterdir()
    }
    assert "Electronic structure" in text
    assert "highest occupied level" in text
    assert f"{point.metal_share:.3f}" in text
    assert f">{largest:.2f}<" in text


def test_points_are_where_the_numbers_are(finished, open_store):
    _, outcome, path = finished
    (document,) = outcome.electronic
    figure = oxygen_shares([document])
    lines = {line.get_gid(): line for axes in figure.axes for line in axes.lines if line.get_gid()}
    removed = [p for p in document.points if p.change in {"none", "removed"}]
    assert lines["share-removed-mock"].get_ydata() == pytest.approx(
        [p.oxygen_share for p in removed]
    )
    assert lines["share-removed-mock"].get_xdata() == pytest.approx(
        [p.lithium_per_oxygen for p in removed]
    )
    replaced = [p for p in document.points if p.change in {"none", "replaced"}]
    assert lines["gap-replaced-mock"].get_ydata() == pytest.approx(
        [p.band_gap_ev for p in replaced]
    )
    markers = [line for line in figure.axes[0].lines if line.get_gid() is None]
    hollow = sum(line.get_markerfacecolor() == "white" for line in markers)
    assert hollow == sum(p.is_metal for p in document.points)
    assert "highest" not in figure.axes[0].get_ylabel()
    store = open_store(path)
    curves = {p.key: load_density_of_states(store, p.key) for p in document.points}
    panels = density_panels(document, curves)
    assert len(panels.axes) == len(document.points)
    top = {line.get_gid(): line for line in panels.axes[0].lines if line.get_gid()}
    key = document.points[0].key
    kept = curves[key].arrays["states_per_ev"]["O-p"]
    assert top[f"density-O-p-up-{key[:8]}"].get_ydata() == pytest.approx(kept[0])
    assert top[f"density-O-p-down-{key[:8]}"].get_ydata() == pytest.approx(-np.array(kept[1]))


def test_without_points_a_figure_says_so(finished):
    (document,) = finished[1].electronic
    empty = document.model_copy(update={"points": [], "missing": ["everything"]})
    for figure in (oxygen_shares([empty]), density_panels(document, {})):
        assert "no " in figure.axes[0].texts[0].get_text()
