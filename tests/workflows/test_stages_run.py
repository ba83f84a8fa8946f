"""All stages from the campaign file to stored documents, with the mock engine in small cells."""

from __future__ import annotations

import json
import random

import pytest
from jobflow import JobStore, run_locally
from maggma.stores import MemoryStore
from pymatgen.core import Lattice, Structure
from pymatgen.core.entries import ComputedEntry

from rocksalt.screening.phases import competing_starts
from rocksalt.stores.documents import RankingDoc
from rocksalt.stores.records import load_document, load_ranking
from rocksalt.workflows import calculate as calculate_module
from rocksalt.workflows import derive_phases, makers, plan_stages
from rocksalt.workflows.calculate import calculate
from rocksalt.workflows.command_parts import OutputFormat
from rocksalt.workflows.makers import ScreenMaker
from rocksalt.workflows.plan import make_plan
from rocksalt.workflows.results_command import print_ranking
from rocksalt.workflows.run import run_campaign
from rocksalt.workflows.stages import STAGES
from rocksalt.workflows.stored import stored_results

KINDS = ("formation-energy", "mixing", "hull", "series", "vacancy", "electronic-structure")
ALL_STAGES = {
    "dopants": ["Ti"],
    "hosts": ["Mn"],
    "fractions": [0.5],
    "stages": list(STAGES),
    "supercell": {"enumerated": 4, "sqs": 0, "layered": 2, "vacancy": 2},
    "orderings": 1,
    "strains_percent": [-2, 0, 2],
}
FEW = {"rutile", "spinel", "anti-fluorite", "layered", "Li2MnO3", "ilmenite (A=Mn, B=Ti)"}


@pytest.fixture(scope="module", autouse=True)
def _few_phases():
    """Leave a few competing phases: the others cost time and say nothing new here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            plan_stages,
            "competing_starts",
            lambda system: [s for s in competing_starts(system) if s.prototype in FEW],
        )
        patch.setattr(derive_phases, "left_out", lambda system: [])
        yield


@pytest.fixture(scope="module")
def staged(campaign_of):
    """Return a function that gives a campaign with all stages, with changes."""
    return lambda **changes: campaign_of(**{**ALL_STAGES, **changes})


@pytest.fixture(scope="module")
def whole(staged):
    """Return outcome and store of one undisturbed run."""
    from rocksalt.stores.opening import open_store

    store = open_store("memory")
    return run_campaign(staged(), store), store


def derived_in(store, name="small"):
    """Return the stored documents that follow from calculations, by identity."""
    criteria = {"metadata.campaign": name, "metadata.kind": {"$in": [*KINDS]}}
    return {r["uuid"]: r["output"] for r in store.docs_store.query(criteria)}


def numbers(value):
    """Return a document with its floats rounded to what may differ."""
    if isinstance(value, dict):
        return {k: numbers(v) for k, v in value.items()}
    if isinstance(value, list):
        return [numbers(v) for v in value]
    return pytest.approx(value, abs=1e-9) if isinstance(value, float) else value


# Runs -------------------------------------------------------------------------------------------


def test_every_stage_has_its_documents(whole):
    outcome, store = whole
    assert outcome.failed == []
    assert (outcome.n_reused, outcome.n_computed) == (0, outcome.n_planned)
    assert sorted(derived_in(store)) == sorted(
        [
            "formation-energy-small-mock-Mn",
            "formation-energy-small-mock-Ti",
            "mixing-small-mock-Ti-Mn",
            "hull-small-mock-Ti-Mn",
            "hull-small-measured-Ti-Mn",
            "series-small-mock-Mn-None",
            "series-small-mock-Mn-Ti",
            "vacancy-small-mock-Li2MnO3",
            "vacancy-small-mock-Li1.5MnO3",
            "vacancy-small-mock-Li7Mn5O12",
            "vacancy-small-mock-Li2MnO3 with Ti",
            "electronic-structure-small-mock-Mn",
        ]
    )
    (one,) = outcome.ranking.candidates
    assert None not in one.criteria.values()
    assert set(one.oxygen_retention_ev) == {"mock"}
    assert len(outcome.ranking.rules) > 3


def test_the_documents_are_whole(whole):
    _, store = whole
    _, derived = stored_results(store, "small")
    computed, measured = derived.hulls
    assert (computed.engine, measured.engine) == ("mock", "measured")
    for hull in derived.hulls:
        assert hull.missing == []
        assert hull.counts["entries"] == hull.counts["in_hull"] + hull.counts["rejected"]
        assert hull.windows[0].from_dmu_o_ev is None
        assert min(p.e_above_hull_ev_per_atom for p in hull.phases) == 0
    # mixtures are entries of the hull: none lies below it
    assert all(m.e_above_hull_ev_per_atom >= 0 for m in computed.mixtures_above_hull)
    pure, doped = derived.series
    assert [p.n for p in pure.points] == [0, 1, 2]
    assert [p.n for p in doped.points] == [0, 1]
    for point in [*pure.points, *doped.points]:
        assert point.e_above_hull_ev_per_atom >= 0
    assert pure.points[0].volume_change_percent == doped.points[0].volume_change_percent == 0
    names = {v.cell: v for v in derived.vacancies}
    assert len(names) == 4
    for vacancy in names.values():
        assert vacancy.missing == []
        strained = vacancy.cell in {"Li2MnO3", "Li1.5MnO3"}
        assert len(vacancy.slopes) == (3 if strained else 0)
        assert all(s.n_points == 3 for s in vacancy.slopes)
    retention = names["Li2MnO3 with Ti"].retention_ev
    assert retention == pytest.approx(
        names["Li2MnO3 with Ti"].lowest_formation_energy_ev
        - names["Li2MnO3"].lowest_formation_energy_ev
    )


def test_a_second_run_computes_nothing(staged, whole, calculations_in):
    first, store = whole
    before = calculations_in(store, times=True)
    documents = derived_in(store)
    second = run_campaign(staged(), store)
    assert (second.n_reused, second.n_computed) == (first.n_planned, 0)
    assert calculations_in(store, times=True) == before
    assert derived_in(store) == documents
    assert second.ranking.candidates == first.ranking.candidates


def test_an_sqlite_file_and_two_workers_give_the_same(
    tmp_path, staged, open_store, whole, calculations_in
):
    """Each worker has relaxed cells of its own that vacancies are made from."""
    other = open_store(tmp_path / "r.sqlite")
    outcome = run_campaign(staged(stages=["oxygen-vacancy"]), other, n_workers=2)
    found, wanted = calculations_in(other), calculations_in(whole[1])
    assert len(found) == outcome.n_computed
    assert found == {key: wanted[key] for key in found}
    documents = derived_in(whole[1])
    vacancies = {u for u in documents if u.startswith("vacancy")}
    assert {u: d for u, d in derived_in(other).items() if u in vacancies} == {
        u: documents[u] for u in vacancies
    }


def test_what_is_stored_is_what_the_run_gave(staged, whole):
    outcome, store = whole
    assert load_ranking(store, "small").candidates == outcome.ranking.candidates
    campaign, derived = stored_results(store, "small")
    assert campaign == staged()
    assert derived.ranking.candidates == outcome.ranking.candidates
    assert derived.ranking.counts["calculations"] == outcome.n_planned
    for h in derived.hulls:
        assert load_document(store, f"hull-small-{h.engine}-Ti-Mn") == h.model_dump(mode="json")
    for s in derived.series:
        stored = load_document(store, f"series-small-mock-Mn-{s.dopant}")
        assert stored == s.model_dump(mode="json")
    for v in derived.vacancies:
        assert load_document(store, f"vacancy-small-mock-{v.cell}") == v.model_dump(mode="json")


def test_what_is_printed_is_of_every_stage(staged, whole, capsys, terminal):
    outcome, store = whole
    terminal()
    print_ranking(staged(), outcome.derived, OutputFormat.table, None)
    text = capsys.readouterr().out
    assert max(len(line) for line in text.splitlines()) <= 80
    lines = [" ".join(line.split()) for line in text.splitlines()]
    (one,) = outcome.ranking.candidates
    row = next(line for line in lines if line.startswith("Ti MnO 0.5 "))
    above = one.above_hull_ev_per_atom["Mn"]["value"]["mock"]
    assert float(row.split()[3]) == pytest.approx(1000 * above, abs=0.5)
    assert f"Ti {one.oxygen_retention_ev['mock']:+.2f}" in lines
    for document in outcome.derived.series:
        for point in document.points:
            who = f"{document.dopant or '–'} {point.formula} {point.lithium_per_oxygen:.3f} "
            assert any(line.startswith(who) for line in lines)
    for document in outcome.derived.vacancies:
        if document.dopant is None:
            said = f"{document.cell} mock {document.lowest_formation_energy_ev:.2f} "
            assert any(line.startswith(said) for line in lines)
    assert "mock: shares of O 2p and Mn d" in text
    print_ranking(staged(), stored_results(store, "small")[1], OutputFormat.table, None)
    assert capsys.readouterr().out == text
    print_ranking(staged(), outcome.derived, OutputFormat.json, None)
    printed = json.loads(capsys.readouterr().out)
    for name, documents in (
        ("lithium_deficient_series", outcome.derived.series),
        ("oxygen_vacancies", outcome.derived.vacancies),
    ):
        assert printed[name] == [d.model_dump(mode="json") for d in documents]


def test_what_a_larger_campaign_left_is_removed(staged, open_store, whole):
    store = open_store()
    run_campaign(staged(dopants=["Ti", "Mg"], strains_percent=[0.0]), store)
    run_campaign(staged(name="other", dopants=["Mg"], strains_percent=[0.0]), store)
    others = derived_in(store, "other")
    assert len(derived_in(store)) == 12 + 2 + 2 + 1 + 1
    run_campaign(staged(), store)
    assert set(derived_in(store)) == set(derived_in(whole[1]))
    run_campaign(staged(stages=["rock-salt", "hull"]), store)
    kinds = {uuid.split("-small")[0] for uuid in derived_in(store)}
    assert kinds == {"formation-energy", "mixing", "hull"}
    assert run_campaign(staged(stages=["rock-salt"]), store).n_computed == 0
    kinds = {uuid.split("-small")[0] for uuid in derived_in(store)}
    assert kinds == {"formation-energy", "mixing"}
    assert derived_in(store, "other") == others


def test_cells_of_another_size_are_not_taken_for_these(staged, open_store):
    """Positions of vacancies count in the cell: the same crystal in a larger one is another."""
    stages = {"stages": ["lithium-deficient", "oxygen-vacancy"], "strains_percent": [0.0]}
    large = staged(**stages, supercell={**ALL_STAGES["supercell"], "layered": 4, "vacancy": 4})
    alone = open_store()
    wanted = run_campaign(large, alone)
    shared = open_store()
    run_campaign(staged(**stages), shared)
    after = run_campaign(large, shared)
    assert after.failed == wanted.failed == []
    assert derived_in(shared) == derived_in(alone)
    (vacancy,) = (d for u, d in derived_in(shared).items() if u.endswith("Li2MnO3"))
    assert all(abs(p["formation_energy_ev"]) < 15 for p in vacancy["points"])


# Vacancies one by one ---------------------------------------------------------------------------


def test_a_vacancys_energy_does_not_depend_on_what_ran_before(staged, whole):
    _, store = whole
    plan = make_plan(staged(stages=["oxygen-vacancy"]))
    vacancies = [c for c in plan.calculations.values() if c.role == "vacancy"]
    wanted = {c.key: load_document(store, c.key)["energy_ev"] for c in vacancies}
    some = random.Random(0).sample(vacancies, 12)
    for calculation in some:  # the cache of relaxed cells as the ones before left it
        assert calculate(calculation).energy_ev == wanted[calculation.key]
    for calculation in some[:4]:
        calculate_module._PARENTS.clear()
        assert calculate(calculation).energy_ev == wanted[calculation.key]
    assert len(calculate_module._PARENTS) <= calculate_module.N_PARENTS


# Makers -----------------------------------------------------------------------------------------


# jobflow changes the working directory through a function of monty that is going away
@pytest.mark.filterwarnings("ignore:cd is deprecated:FutureWarning")
def test_the_flow_gives_what_a_run_gives(staged, open_store, tmp_path, monkeypatch, users_entries):
    monkeypatch.setattr(makers, "MAX_REFERENCES", 3)
    campaign = staged(
        dopants=["Ti", "Mg"], strains_percent=[0.0, 2.0], entries=str(users_entries())
    )
    flow = ScreenMaker().make(campaign)
    assert sum(job.name == "gather" for job in flow.jobs) > 2
    job_store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    job_store.connect()
    responses = run_locally(
        flow,
        store=job_store,
        ensure_success=True,
        create_folders=False,
        root_dir=tmp_path,
        log=False,
    )
    ranking = RankingDoc.model_validate(responses[flow.jobs[-1].uuid][1].output)
    store = open_store()
    wanted = run_campaign(campaign, store).ranking
    assert [c.model_dump() for c in ranking.candidates] == [
        numbers(c.model_dump()) for c in wanted.candidates
    ]
    assert ranking.rules == wanted.rules
    for name in ("calculations", "done", "missing"):
        assert ranking.counts[name] == wanted.counts[name]
    _, derived = stored_results(store, "small")
    for dopant in ("Ti", "Mg"):
        (job,) = (j for j in flow.jobs if j.name == f"assess {dopant}")
        assessed = responses[job.uuid][1].output
        for kind in ("hulls", "series", "vacancies"):
            mine = [d for d in getattr(derived, kind) if d.dopant in {None, dopant}]
            assert [d.model_dump() for d in getattr(assessed, kind)] == [
                numbers(d.model_dump()) for d in mine
            ]
    job_store.close()


# The user's own phases --------------------------------------------------------------------------


@pytest.fixture
def users_entries(tmp_path):
    """Return a function that writes entries on the scale of the mock engine, or another."""

    def write(scale="mock"):
        entries = [
            ComputedEntry("TiMnO3", -60.0, entry_id="mine", data={"energy_scale": scale}),
            ComputedEntry("NaO", -20.0, entry_id="outside", data={"energy_scale": scale}),
        ]
        path = tmp_path / "entries.json"
        path.write_text(json.dumps([e.as_dict() for e in entries]))
        return path

    return write


HULL_ONLY = {"stages": ["rock-salt", "hull"]}


def test_a_users_entries(staged, open_store, users_entries):
    store = open_store()
    campaign = staged(**HULL_ONLY, entries=str(users_entries()))
    outcome = run_campaign(campaign, store)
    assert outcome.failed == []
    hull, measured = stored_results(store, "small")[1].hulls
    (mine,) = (p for p in hull.phases if p.entry_id == "mine")
    assert mine.energy_ev_per_atom == -12
    assert "mine" in hull.stable
    assert "outside" not in str(hull.model_dump())
    assert "mine" not in str(measured.model_dump())
    # far below everything else, it is what the mixtures fall apart into
    (mixture,) = hull.mixtures_above_hull
    assert "mine" in {s.entry_id for s in mixture.decomposition}
    above = outcome.ranking.candidates[0].above_hull_ev_per_atom["Mn"]["value"]["mock"]
    assert above == mixture.e_above_hull_ev_per_atom > 1
    users_entries().unlink()  # what was read is in the store
    again = stored_results(store, "small")[1]
    assert [h.model_dump() for h in again.hulls] == [hull.model_dump(), measured.model_dump()]


def test_a_users_entries_on_another_scale(staged, open_store, users_entries):
    store = open_store()
    campaign = staged(**HULL_ONLY, entries=str(users_entries("r2SCAN")))
    run_campaign(campaign, store)
    hull = stored_results(store, "small")[1].hulls[0]
    assert [r for r in hull.rejected if r["what"] == "mine"] == [
        {"what": "mine", "why": "on the scale 'r2SCAN', the hull is on 'mock'"}
    ]
    assert hull.mixtures_above_hull[0].e_above_hull_ev_per_atom < 1


@pytest.fixture
def users_folder(tmp_path):
    """Return a folder with a phase of Mn-Ti-O and one of another system, and a function to add."""
    folder = tmp_path / "phases"
    folder.mkdir()

    def add(name, a, species, positions):
        Structure(Lattice.cubic(a), species, positions).to(filename=str(folder / name))

    add("mine.cif", 3.9, ["Mn", "Ti", "O", "O", "O"], PEROVSKITE)
    add("other.cif", 4.8, ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    return folder, add


PEROVSKITE = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]


def test_a_users_folder(staged, open_store, users_folder):
    store = open_store()
    campaign = staged(**HULL_ONLY, entries=str(users_folder[0]))
    outcome = run_campaign(campaign, store)
    assert outcome.failed == []
    without = make_plan(staged(**HULL_ONLY))
    assert outcome.n_planned == len(without.calculations) + 1
    hull = stored_results(store, "small")[1].hulls[0]
    (mine,) = (p for p in hull.phases if p.prototype == "mine.cif")
    assert mine.formula == "TiMnO3"
    assert load_document(store, mine.entry_id)["role"] == "competing-phase"
    assert run_campaign(campaign, store).n_computed == 0


# The command line -------------------------------------------------------------------------------


@pytest.fixture
def staged_file(campaign_file):
    return lambda **changes: campaign_file(**{**ALL_STAGES, **changes})


def table(text):
    """Return the lines of a table of stages as lists of words."""
    return {line.split()[0]: line.split()[1:] for line in text.splitlines() if " mock " in line}


def test_check_and_status_list_the_stages(cli, staged, staged_file):
    file = staged_file(strains_percent=[0.0]).name
    before = cli("check", file)
    assert before.code == 0
    rows = table(before.out)
    assert list(rows) == list(STAGES)
    roles = make_plan(staged(strains_percent=[0.0])).counts()["mock"]
    planned = {
        "rock-salt": sum(roles[r] for r in ("element", "oxygen", "end-member", "mixture")),
        "hull": roles["competing-phase"],
        "lithium-deficient": roles["series"],
        "oxygen-vacancy": roles["vacancy"],
        "electronic-structure": roles["density-of-states"],
    }
    for stage, number in planned.items():
        assert rows[stage] == ["mock", str(number), "0", str(number), "<0.01"]
    assert cli("run", file).code == 0
    rows = table(cli("check", file).out)
    assert {stage: row[1:] for stage, row in rows.items()} == {
        stage: [str(number), str(number), "0", "0.00"] for stage, number in planned.items()
    }
    status = cli("status")
    assert status.code == 0
    rows = table(status.out)
    assert {stage: row[1:] for stage, row in rows.items()} == {
        stage: [str(number), str(number), "0", "0", "0"] for stage, number in planned.items()
    }


def test_a_phase_that_fails_is_listed(cli, staged_file, users_folder):
    folder, add = users_folder
    add("bad.cif", 4.0, ["Mn", "O"], [[0, 0, 0], [0.16, 0, 0]])
    file = staged_file(**HULL_ONLY, entries=str(folder)).name
    answer = cli("run", file)
    assert answer.code == 1
    assert "1 failed" in answer.err
    (line,) = (each for each in answer.err.splitlines() if each.startswith("failed: "))
    assert line.startswith("failed: MnO bad.cif with mock: ")
    status = cli("status")
    assert table(status.out)["hull"][-1] == "1"
    assert "failed: MnO bad.cif with mock" in status.out
    assert cli("check", file).code == 0
