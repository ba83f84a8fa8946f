"""What is found before a campaign starts, and what it is estimated to cost."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from rocksalt.screening.errors import RocksaltError
from rocksalt.stores.records import calculation_record, load_summaries, save_many
from rocksalt.workflows import preflight as module
from rocksalt.workflows.calculate import calculate
from rocksalt.workflows.costs import (
    POTENTIALS,
    estimated_cpu_hours,
    estimated_memory_mb,
    hours_in_words,
    learned_factors,
    remaining_cpu_hours,
    valence_electrons,
)
from rocksalt.workflows.plan import make_plan
from rocksalt.workflows.preflight import (
    Findings,
    elements_of,
    elements_of_engine,
    hubbard,
    installation,
    memory,
    preflight,
)

DFT = {"engines": ["gpaw:fast"], "fractions": []}


def upf(folder, element):
    header = (
        f'<UPF version="2.0.1"><PP_HEADER element="{element}" functional="PBE" z_valence="6.0"/>'
    )
    (folder / f"{element}.pbe.UPF").write_text(header + "</UPF>")


@pytest.fixture
def fake_gpaw(tmp_path, monkeypatch):
    """Stand for GPAW, with datasets of Mn and O only."""
    gpaw = ModuleType("gpaw")
    gpaw.__spec__ = ModuleSpec("gpaw", None)
    gpaw.setup_paths = [str(tmp_path)]
    for name in ("Mn.PBE.gz", "O.PBE", "Ti.LDA.gz"):
        (tmp_path / name).touch()
    monkeypatch.setitem(sys.modules, "gpaw", gpaw)


@pytest.fixture
def no_gpaw(monkeypatch):
    monkeypatch.setitem(sys.modules, "gpaw", None)


@pytest.fixture
def memory_of(monkeypatch):
    """Return a function that gives this machine other memory, in GB."""

    def give(total, available):
        state = SimpleNamespace(total=total * 1e9, available=available * 1e9)
        monkeypatch.setattr(module.psutil, "virtual_memory", lambda: state)

    return give


def refusal(answer):
    assert answer.code == 2
    (line,) = answer.err.splitlines()
    return line


def test_gpaw_without_a_dataset_names_the_elements(fake_gpaw, tmp_path):
    assert installation("gpaw", ["Mn", "O"]) == Findings()
    (problem,) = installation("gpaw", ["Ti", "Mn", "Tc", "O"]).problems
    assert problem.startswith(
        f"engine 'gpaw' has no PAW dataset of Ti, Tc for PBE in {tmp_path}: 'pip install gpaw-data'"
    )


def test_a_missing_engine_stops_run_and_check_and_not_submit(
    no_gpaw, cli, campaign_file, campaign_of, tmp_path
):
    file = campaign_file(**DFT)
    for command in ("check", "run"):
        line = refusal(cli(command, file))
        assert "engine 'gpaw:fast' needs the package gpaw: pip install" in line
    assert not (tmp_path / "results.sqlite").exists()
    assert preflight(campaign_of(**DFT), here=False) == Findings()


def test_espresso_needs_a_program_and_a_pseudopotential_of_each_element(
    cli, campaign_file, monkeypatch, tmp_path
):
    file = campaign_file(engines=["espresso:fast"], fractions=[])
    monkeypatch.setenv("ROCKSALT_ESPRESSO_COMMAND", "no-such-pw.x -nk 2")
    monkeypatch.delenv("ROCKSALT_ESPRESSO_PSEUDO_DIR", raising=False)
    line = refusal(cli("run", file))
    assert "'no-such-pw.x' is not on PATH: install Quantum ESPRESSO, or set ROCKSALT_" in line
    assert "no pseudopotentials: set ROCKSALT_ESPRESSO_PSEUDO_DIR" in line
    assert not (tmp_path / "results.sqlite").exists()
    monkeypatch.setenv("ROCKSALT_ESPRESSO_COMMAND", f"{sys.executable} -nk 2")
    monkeypatch.setenv("ROCKSALT_ESPRESSO_PSEUDO_DIR", str(tmp_path / "pseudo"))
    assert "pseudo: cannot be read" in refusal(cli("check", file))
    (tmp_path / "pseudo").mkdir()
    for element in ("Mn", "O", "Ti"):
        upf(tmp_path / "pseudo", element)
    (problem,) = installation("espresso:fast", ["Mg", "Ti", "Mn", "O"]).problems
    assert "no pseudopotential of Mg" in problem
    upf(tmp_path / "pseudo", "Mg")
    assert installation("espresso:fast", ["Mg", "Ti", "Mn", "O"]) == Findings()
    assert cli("check", file).code == 0


@pytest.mark.parametrize(
    ("command", "programs"),
    [
        ("pw.x -nk 2", ["pw.x"]),
        ("mpirun -np 4 pw.x -nk 2", ["mpirun", "pw.x"]),
        ("/opt/bin/srun /opt/qe/pw.x", ["/opt/bin/srun", "/opt/qe/pw.x"]),
        ("apptainer exec qe.sif pw.x", ["apptainer"]),
    ],
)
def test_which_programs_a_command_needs_here(command, programs):
    assert module._programs(command) == programs


def test_vasp_needs_a_program_and_potcars(monkeypatch, tmp_path):
    from atomate2 import SETTINGS as ATOMATE2
    from pymatgen.core import SETTINGS

    monkeypatch.setattr(ATOMATE2, "VASP_CMD", "mpirun-of-nowhere vasp_std")
    monkeypatch.setitem(SETTINGS, "PMG_VASP_PSP_DIR", None)
    (problem,) = installation("vasp", ["Mn"]).problems
    assert "VASP_CMD is 'mpirun-of-nowhere vasp_std', which is not found" in problem
    monkeypatch.setattr(ATOMATE2, "VASP_CMD", sys.executable)
    (problem,) = installation("vasp", ["Mn"]).problems
    assert "PMG_VASP_PSP_DIR is not set" in problem
    monkeypatch.setitem(SETTINGS, "PMG_VASP_PSP_DIR", str(tmp_path))
    assert installation("vasp", ["Mn"]) == Findings()


def test_potentials_do_not_know_every_element():
    for name in ("chgnet", "sevennet-mf-0:r2scan"):
        assert elements_of_engine(name, ["Mn", "Th", "Pu", "O"]) == Findings()
        (problem,) = elements_of_engine(name, ["Mn", "Ra", "Am", "O"]).problems
        assert problem.startswith(f"engine {name!r} does not know Ra, Am: ")
    for name in ("mock", "gpaw"):
        assert elements_of_engine(name, ["Ra"]) == Findings()


def test_the_elements_of_a_campaign(campaign_of):
    assert elements_of(campaign_of()) == ["Mn", "Mg", "Ti", "O"]
    assert set(elements_of(campaign_of(hosts=["Li0.5Mn0.5"], supercell={"sqs": 8}))) == {
        *("Li", "Mn", "Mg", "Ti", "O")
    }
    assert "Li" in elements_of(campaign_of(stages=["rock-salt", "lithium-deficient"]))


def test_u_on_some_metals_of_a_row_is_a_warning(campaign_of, cli, campaign_file, fake_gpaw):
    def found(u, dopants, engine="gpaw:fast"):
        campaign = campaign_of(
            engines=[engine], fractions=[], dopants=dopants, dft={"gpaw": {"hubbard_u_ev": u}}
        )
        return hubbard(engine, campaign.dft_settings(engine), elements_of(campaign))

    assert found({"Mn": 3.9}, ["Mg", "Zn", "Ru", "Sc"]) == Findings()
    assert found({}, ["Ti", "Ni"]) == Findings()
    assert found({"Mn": 3.9, "Ti": 3.0}, ["Ti"]) == Findings()
    assert found("materials-project", ["Ti"]) == Findings()
    (warning,) = found({"Mn": 3.9, "Ru": 4.0}, ["Ti", "Ni", "Ru"]).warnings
    assert warning.startswith("engine 'gpaw:fast': U is given to Mn and not to Ti, Ni, metals")
    for symbol, name in (("O", "gpaw"), ("Mg", "gpaw")):
        (problem,) = found({symbol: 1.0}, ["Mg"], name).problems
        assert f"has no d shell for U in {symbol}: remove them from dft.gpaw" in problem
    file = campaign_file(
        dopants=["Ni"], dft={"gpaw": {"hubbard_u_ev": {"O": 1.0}}}, engines=["gpaw"], fractions=[]
    )
    assert "has no d shell for U in O" in refusal(cli("check", file))


def test_u_of_f_metals_cannot_act_in_espresso(campaign_of):
    settings = campaign_of(
        engines=["espresso"], fractions=[], dft={"espresso": {"hubbard_u_ev": {"Ce": 4.0}}}
    ).dft_settings("espresso:balanced")
    assert hubbard("espresso:balanced", settings, ["Ce"]).problems
    assert not hubbard("gpaw:balanced", settings, ["Ce"]).problems


def test_warnings_do_not_stop(cli, campaign_file, memory_of):
    memory_of(64, 0.1)
    file = campaign_file()
    answer = cli("check", file)
    assert answer.code == 0
    assert "warning: engine 'mock': " in answer.out
    assert "of memory, 0.1 GB are free now: smaller supercells" in answer.out
    assert cli("run", file).code == 0


def test_a_calculation_that_does_not_fit_into_memory_stops(
    cli, campaign_file, campaign_of, memory_of, monkeypatch, tmp_path
):
    file = campaign_file()
    memory_of(0.3, 0.25)
    assert cli("check", file).code == 0
    monkeypatch.setenv("ROCKSALT_WORKERS", "2")
    line = refusal(cli("check", file))
    assert "needs about 0.2 GB of memory, 0.1 GB this machine has for each of 2 workers" in line
    assert "fewer workers or smaller supercells" in line
    answer = cli("run", file, "--workers", "2")
    assert answer.code == 2
    assert "of memory" in answer.err
    assert cli("query", "--format", "csv").out.count("\n") == 1  # nothing was computed
    assert cli("run", file, "--workers", "1").code == 0


def test_the_largest_cell_is_the_one_that_is_told(campaign_of, memory_of):
    memory_of(1.0, 1.0)
    plan = make_plan(campaign_of(engines=["gpaw:balanced"], fractions=[0.5]))
    (problem,) = memory(plan.calculations.values(), 1).problems
    assert "alpha-Mn" in problem  # 29 atoms
    assert "smaller cells with dft.gpaw.max_atoms" in problem


def mno(campaign_of, engine, **dft):
    code = engine.split(":")[0]
    campaign = campaign_of(
        dopants=["Mg"], engines=[engine], fractions=[], dft={code: dft} if dft else {}
    )
    calculations = make_plan(campaign).calculations.values()
    return next(c for c in calculations if c.label == "MnO rock-salt")


def test_what_dft_costs(campaign_of):
    def hours(engine, order="ferromagnetic"):
        return estimated_cpu_hours(mno(campaign_of, engine, magnetic_order=order))

    fast = hours("gpaw:fast")
    # Measured: 3 to 5.5 CPU seconds per self-consistent field of ferromagnetic MnO at these settings,
    # 11 with pw.x; E(V) takes 7 of them or more.
    assert 7 * 3 / 3 < 3600 * fast < 7 * 5.5 * 3
    assert 11 < 3600 * hours("espresso:fast") / 8 < 33
    assert hours("gpaw:fast", "nonmagnetic") == pytest.approx(fast / 2)
    both = estimated_cpu_hours(mno(campaign_of, "gpaw:fast"))
    assert fast < both == hours("gpaw:fast", "lowest")
    assert 2 * fast < hours("gpaw") < hours("gpaw:precise") / 2
    assert estimated_cpu_hours(mno(campaign_of, "vasp")) > 0
    ferromagnetic = mno(campaign_of, "gpaw:fast", magnetic_order="ferromagnetic")
    assert 150 < estimated_memory_mb(ferromagnetic) < 450  # measured: 150 to 440


def test_k_points_of_a_rattled_cell_are_halved_by_time_reversal(campaign_of):
    from rocksalt.workflows.costs import _n_k_points

    rattled = mno(campaign_of, "mock")
    assert rattled.relaxation.rattle_angstrom == 0  # primitive: symmetry is kept
    rattled = rattled.model_copy(
        update={"relaxation": rattled.relaxation.model_copy(update={"rattle_angstrom": 0.02})}
    )
    zone = (2 * np.pi) ** 3 / rattled.structure.volume
    for mesh, expected in ((2, 8), (3, 14), (4, 36)):  # of 8, 27, 64
        density = mesh / zone ** (1 / 3)
        assert _n_k_points(rattled, rattled.structure, density) == expected


def test_what_potentials_cost(campaign_of):
    def of(engine, size):
        campaign = campaign_of(engines=[engine], supercell={"enumerated": 0, "sqs": size})
        mixtures = [c for c in make_plan(campaign).calculations.values() if c.role == "mixture"]
        return mixtures[0]

    for engine in POTENTIALS:
        small, large = estimated_cpu_hours(of(engine, 8)), estimated_cpu_hours(of(engine, 16))
        assert small < large < 2.1 * small
    assert estimated_cpu_hours(of("sevennet-l3i5", 8)) > 3 * estimated_cpu_hours(of("chgnet", 8))
    assert 350 < estimated_memory_mb(of("chgnet", 8)) < 450  # measured: 392
    assert estimated_cpu_hours(of("MACE-MP-0", 8)) > 0


@pytest.mark.parametrize(
    ("symbol", "number"),
    [("O", 6), ("Li", 3), ("Mg", 10), ("Ti", 12), ("Mn", 15), ("Ru", 16), ("Zn", 12), ("Al", 3)],
)
def test_valence_electrons_are_those_of_usual_potentials(symbol, number):
    assert valence_electrons(symbol) == number


def test_estimates_learn_from_what_is_finished(campaign_of):
    plan = list(make_plan(campaign_of()).calculations.values())
    seconds = {c.key: 10 * 3600 * estimated_cpu_hours(c) for c in plan[:5]}
    assert learned_factors(plan, seconds) == {"mock": pytest.approx(10)}
    assert learned_factors(plan, dict(list(seconds.items())[:2])) == {}
    hours, learned = remaining_cpu_hours(plan, seconds, plan[5:])
    assert learned == ["mock"]
    assert set(hours) == {c.key for c in plan[5:]}
    for c in plan[5:]:
        assert hours[c.key] == pytest.approx(10 * estimated_cpu_hours(c))


def test_check_tells_cpu_hours_and_learns(cli, campaign_file, campaign_of, open_store, tmp_path):
    file = campaign_file()
    answer = cli("check", file)
    assert "in store  to do  CPU h" in answer.out
    assert "CPU h: <0.01 to do by estimate, within a factor of 3" in answer.out
    store = open_store(tmp_path / "results.sqlite")
    plan = list(make_plan(campaign_of()).calculations.values())
    slow = [calculate(c).model_copy(update={"cpu_s": 3600.0}) for c in plan[:4]]
    save_many(store, [calculation_record(document) for document in slow])
    answer = cli("check", file)
    assert "by estimate, from finished ones with mock, within a factor of 3" in answer.out
    hours, _ = remaining_cpu_hours(
        plan,
        {k: s.cpu_s for k, s in load_summaries(store, [c.key for c in plan]).items()},
        plan[4:],
    )
    told = hours_in_words(sum(hours.values()))
    assert float(told) > 1
    assert f"CPU h: {told} to do" in answer.out


@pytest.mark.parametrize(
    ("hours", "words"),
    [(0, "0.00"), (0.001, "<0.01"), (0.25, "0.25"), (3.21, "3.2"), (123.4, "123")],
)
def test_hours_in_words(hours, words):
    assert hours_in_words(hours) == words


def test_findings_add_up_once():
    both = Findings(["a"], ["w"]) + Findings(["a", "b"], [])
    assert both == Findings(["a", "b"], ["w"])
    with pytest.raises(RocksaltError, match=r"^here: a; b$"):
        both.refuse("here")
    Findings([], ["w"]).refuse("here")
