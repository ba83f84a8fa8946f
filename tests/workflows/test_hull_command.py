"""``rocksalt hull``: what it prints, in which form, with which exit code."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

DATA = Path(__file__).parents[3] / "shared/data/reference/mp_Mn-O_2021-22.json.gz"


def record(name, energy, composition, **fields):
    return {"entry_id": name, "energy": energy, "composition": composition, **fields}


ELEMENTS = [record("li", 0.0, {"Li": 1}), record("mn", -9.0, {"Mn": 1}), record("o2", -8, {"O": 2})]
MNO = record("mno", -17.0, {"Mn": 1, "O": 1})  # -2 eV per atom
HIGH = record("high", -33.0, {"Mn": 2, "O": 2})  # 0.25 eV per atom above
MN3O = record("mn3o", -34.6, {"Mn": 3, "O": 1})  # -0.9, 0.1 above Mn + MnO
LI2O = record("li2o", -10.0, {"Li": 2, "O": 1})  # -2 eV per atom
SYSTEM = [MN3O, *ELEMENTS, HIGH, MNO, LI2O]


@pytest.fixture
def hull(cli, tmp_path):
    """Return a function that writes entries and runs the command on them."""

    def run(data, *arguments):
        text = data if isinstance(data, str) else json.dumps(data)
        (tmp_path / "entries.json").write_text(text)
        return cli("hull", "entries.json", *arguments)

    return run


def json_of(answer):
    assert answer.code == 0, answer
    assert answer.err == ""
    return json.loads(answer.out)


def narrow(text):
    assert text
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    return text


def test_json(hull):
    result = json_of(hull([*SYSTEM, record("bad", None, {"Mn": 1})], "--format", "json"))
    assert result["chemical_system"] == "Li-Mn-O"
    assert result["energy_scale"] == "as given"
    assert result["counts"] == {"entries": 8, "in_hull": 7, "on_hull": 5, "rejected": 1}
    assert result["references"] == {"Li": "li", "Mn": "mn", "O": "o2"}
    assert [e["entry_id"] for e in result["entries"]] == [e["entry_id"] for e in SYSTEM]
    assert result["stable"] == ["li", "mn", "o2", "mno", "li2o"]
    assert result["rejected"] == [{"entry_id": "bad", "reason": "it has no energy"}]
    entries = {e["entry_id"]: e for e in result["entries"]}
    for name, formula, above, formation in (
        ("mn3o", "Mn3O", 0.1, -0.9),
        ("o2", "O2", 0, 0),
        ("high", "MnO", 0.25, -1.75),
        ("mno", "MnO", 0, -2),
    ):
        assert entries[name]["formula"] == formula
        assert entries[name]["e_above_hull_ev_per_atom"] == pytest.approx(above, abs=1e-9)
        assert entries[name]["formation_energy_ev_per_atom"] == pytest.approx(formation, abs=1e-9)
    assert entries["mn3o"]["decomposition"] == [
        {"entry_id": "mn", "formula": "Mn", "fraction": pytest.approx(0.5)},
        {"entry_id": "mno", "formula": "MnO", "fraction": pytest.approx(0.5)},
    ]
    for name, becomes in (("high", "mno"), ("mno", "mno"), ("o2", "o2")):
        (phase,) = entries[name]["decomposition"]
        assert phase["entry_id"] == becomes
        assert phase["fraction"] == pytest.approx(1)
    assert result["cations"] == {"Li": 1, "Mn": 1}
    first, *rest = result["oxygen_windows"]
    assert first["from_dmu_o_ev"] is None
    assert first["to_dmu_o_ev"] == pytest.approx(-6)
    assert {p["entry_id"] for p in first["phases"]} == {"li", "mn"}
    assert rest[-1]["to_dmu_o_ev"] == 0
    for one, two in zip([first, *rest], rest, strict=False):
        assert one["to_dmu_o_ev"] == two["from_dmu_o_ev"]


def test_windows_at_the_ratio_that_is_asked_for(hull):
    result = json_of(hull(SYSTEM, "--format", "json", "--cations", "Mn:2"))
    assert result["cations"] == {"Mn": 2}
    metal, oxide = result["oxygen_windows"]
    assert metal["to_dmu_o_ev"] == oxide["from_dmu_o_ev"] == pytest.approx(-4)
    assert oxide["oxygen_per_cation"] == pytest.approx(1)
    assert [p["formula"] for p in oxide["phases"]] == ["MnO"]
    both = json_of(hull(SYSTEM, "--format", "json", "--cations", " Li:3 , Mn "))
    assert both["cations"] == {"Li": 3, "Mn": 1}
    assert both["oxygen_windows"][1]["oxygen_per_cation"] == pytest.approx(1.5 / 4)


def test_a_part_of_the_system(hull):
    result = json_of(hull(SYSTEM, "--format", "json", "--system", "O-Mn"))
    assert result["chemical_system"] == "Mn-O"
    assert result["counts"] == {"entries": 7, "in_hull": 5, "on_hull": 3, "rejected": 2}
    assert {r["entry_id"]: r["reason"] for r in result["rejected"]} == {
        "li": "Li is outside the system Mn-O",
        "li2o": "Li is outside the system Mn-O",
    }


@pytest.mark.parametrize(
    ("entries", "system"), [(ELEMENTS[:2], "Li-Mn"), (ELEMENTS[2:], "O"), (ELEMENTS[:1], "Li")]
)
def test_a_system_without_oxides_has_no_windows(hull, entries, system):
    result = json_of(hull(entries, "--format", "json"))
    assert result["chemical_system"] == system
    assert "oxygen_windows" not in result
    assert "oxygen potential" not in hull(entries).out


def test_csv(hull):
    answer = hull([record("bad", 1.0, {}), *SYSTEM], "--format", "csv")
    assert answer.code == 0
    rows = list(csv.DictReader(io.StringIO(answer.out)))
    assert list(rows[0]) == [
        *("entry_id", "formula", "formation_energy_ev_per_atom", "e_above_hull_ev_per_atom"),
        "decomposition",
    ]
    assert [row["entry_id"] for row in rows] == [e["entry_id"] for e in SYSTEM]
    assert float(rows[0]["e_above_hull_ev_per_atom"]) == pytest.approx(0.1)
    assert [p["formula"] for p in json.loads(rows[0]["decomposition"])] == ["Mn", "MnO"]
    assert answer.err == "left out: bad: it has no composition\n"


def test_table(hull, terminal):
    terminal()
    answer = hull([*SYSTEM, record("bad", None, {"Mn": 1})])
    assert answer.code == 0
    lines = [line.split() for line in narrow(answer.out).splitlines()]
    first = [line[1] for line in lines[3:10]]
    assert first == ["li", "mn", "o2", "mno", "li2o", "mn3o", "high"]
    assert ["Mn3O", "mn3o", "100.0", "0.50", "Mn", "+", "0.50", "MnO"] in lines
    assert ["MnO", "high", "250.0", "MnO", "(mno)"] in lines
    text = " ".join(answer.out.split())
    assert "8 entries, 7 in the hull, 5 phases on it, 1 left out" in text
    assert "References: Li li, Mn mn, O o2." in text
    assert "against the oxygen potential (0: O2), 1 Li : 1 Mn" in text
    assert answer.err == "left out: bad: it has no energy\n"


def test_long_names_and_many_entries_fit_80_columns(hull, terminal):
    terminal()
    odd = {"Li": 1.2, "Mn": 0.54, "O": 2, "Ni": 0.13, "Co": 0.13}
    more = [record(e, -1.0, {e: 1}) for e in ("Ni", "Co")]
    many = [record(f"{'long-name-' * 9}{i}[red]", -0.01 * i, odd) for i in range(300)]
    answer = hull([*ELEMENTS, *more, LI2O, MNO, *many, *([5] * 30)])
    assert answer.code == 0
    narrow(answer.out)
    assert "[red]" in answer.out
    assert "107 more rows: --format csv" in " ".join(answer.out.split())
    assert answer.err.count("\n") == 11
    assert "left out: 20 more: --format json lists all" in answer.err


def test_the_materials_projects_mn_o(cli, terminal):
    if not DATA.exists():
        pytest.skip("the Materials Project's Mn-O entries are not here")
    result = json_of(cli("hull", DATA, "--format", "json"))
    assert result["counts"] == {"entries": 90, "in_hull": 90, "on_hull": 6, "rejected": 0}
    assert result["energy_scale"] == "MP2020"
    formulas = {e["entry_id"]: e["formula"] for e in result["entries"]}
    stable = sorted(formulas[name] for name in result["stable"])
    assert stable == ["Mn", "Mn2O3", "Mn3O4", "MnO", "MnO2", "O2"]
    phases = [[p["formula"] for p in w["phases"]] for w in result["oxygen_windows"]]
    assert phases == [["Mn"], ["MnO"], ["Mn3O4"], ["Mn2O3"], ["MnO2"]]
    terminal()
    narrow(cli("hull", DATA).out)


GGA = {"parameters": {"run_type": "GGA"}}
R2SCAN = {"parameters": {"run_type": "R2SCAN"}}

BAD = {
    "not json": ("[", [], ["entries.json: not valid JSON"]),
    "empty": ([], [], ["entries.json: the list of entries is empty", "give pymatgen entries"]),
    "no list": ("3", [], ["entries.json: holds no list of entries but a int"]),
    "none usable": ([{}], [], ["entries.json: none of its 1 entries can be used: #1: it has no"]),
    "no reference": (
        [*ELEMENTS[:2], MNO],
        [],
        ["entries.json: system Li-Mn-O: no entry of pure O", "add one on the same energy scale"],
    ),
    "no reference in a wider system": (
        SYSTEM,
        ["--system", "Li-Mn-O-Ru"],
        ["entries.json: system Li-Mn-O-Ru: no entry of pure Ru"],
    ),
    "nothing in the system": (
        SYSTEM,
        ["--system", "Ru"],
        ["entries.json: no entry is left for a hull: mn3o: Mn, O is outside the system Ru"],
    ),
    "two scales": (
        [record("a", -9.0, {"Mn": 1}, **GGA), record("b", -9.0, {"Mn": 1}, **R2SCAN)],
        [],
        ["entries.json: energies of 2 scales", "(of a)", "'r2SCAN' (of b)", "one scale"],
    ),
    "system of no element": (SYSTEM, ["--system", "Mn-Xx"], ["'Mn-Xx': 'Xx' is not an element"]),
    "empty system": (SYSTEM, ["--system", "-"], ["--system '-' names no element: write it as"]),
    "cations outside": (SYSTEM, ["--cations", "Ru:1"], ["--cations: Ru is outside the system"]),
    "cations of oxygen": (SYSTEM, ["--cations", "Mn:1,O:1"], ["--cations: oxygen is not a cat"]),
    "cations of no element": (SYSTEM, ["--cations", "Xx:1"], ["'Xx:1': 'Xx' is not an element"]),
    "cations in lower case": (SYSTEM, ["--cations", "mn:1"], ["'mn' is", "did you mean 'Mn'?"]),
    "cations with =": (SYSTEM, ["--cations", "Mn=1"], ["'Mn=1' is not", "write it as Mn:1"]),
    "cations twice": (SYSTEM, ["--cations", "Mn:1,Mn:2"], ["Mn is given twice"]),
    "cations of none": (SYSTEM, ["--cations", "Mn:0"], ["'Mn:0' is not understood: write it as"]),
    "cations of nan": (SYSTEM, ["--cations", "Mn:nan"], ["'Mn:nan' is not understood"]),
    "cations of a word": (SYSTEM, ["--cations", "Mn:x"], ["'Mn:x' is not understood"]),
    "no cations": (SYSTEM, ["--cations", ""], ["--cations '': '' is not an element"]),
    "cations without oxygen": (
        ELEMENTS[:2],
        ["--cations", "Mn:1"],
        ["--cations: the system Li-Mn has no oxygen: add O2 and oxides"],
    ),
}


@pytest.mark.parametrize("form", ["table", "json", "csv"])
@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_exit_2(hull, case, form):
    data, arguments, fragments = BAD[case]
    answer = hull(data, *arguments, "--format", form)
    assert answer.code == 2
    assert answer.out == ""
    assert answer.err.startswith("rocksalt: ")
    assert answer.err.count("\n") == 1
    assert "unexpected" not in answer.err
    for fragment in fragments:
        assert fragment in answer.err, answer.err


def test_a_file_that_is_not_there(cli, tmp_path):
    answer = cli("hull", "no.json")
    assert answer.code == 2
    assert answer.err == "rocksalt: no.json: no such file: give a JSON file of entries\n"
    assert cli("hull", ".").err.startswith("rocksalt: . is a folder: give a JSON file")
    assert list(tmp_path.iterdir()) == []


def test_help_has_an_example(cli):
    answer = cli("hull", "--help")
    assert answer.code == 0
    assert "Example: rocksalt hull entries.json" in answer.out
    assert " hull " in cli("--help").out
