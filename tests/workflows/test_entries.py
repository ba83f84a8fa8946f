"""Reading entries and structures that a user has: nothing vanishes, scales never mix."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
from monty.serialization import dumpfn
from pymatgen.analysis.phase_diagram import PDEntry
from pymatgen.core import Composition, Lattice, Structure
from pymatgen.core.entries import (
    CompositionEnergyAdjustment,
    ComputedEntry,
    ComputedStructureEntry,
    ConstantEnergyAdjustment,
    ManualEnergyAdjustment,
    TemperatureEnergyAdjustment,
)

from rocksalt.screening.errors import RocksaltError, ScaleError
from rocksalt.workflows.entries import (
    AS_GIVEN,
    entries_from,
    materials_project_entries,
    read_entries,
    read_structures,
)

DATA = Path(__file__).parents[3] / "shared/data/reference/mp_Mn-O_2021-22.json.gz"

MNO = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.44), ["Mn", "O"], [[0, 0, 0], [0.5] * 3])
ANION = CompositionEnergyAdjustment(-0.687, 4, name="MP2020 anion correction (oxide)")
MIXING = ConstantEnergyAdjustment(1.5, name="MP GGA(+U)/R2SCAN mixing adjustment")


def record(name="a", energy=-1.0, composition="MnO", **fields):
    composition = dict(Composition(composition).get_el_amt_dict())
    return {"entry_id": name, "energy": energy, "composition": composition, **fields}


def run(run_type, **fields):
    return {"parameters": {"run_type": run_type}, **fields}


CORRECTED = {"energy_adjustments": [ANION.as_dict()]}


def only(data):
    entries = entries_from(data, "source")
    assert entries.rejected == ()
    (entry,) = entries.usable
    return entry


# Energies are pymatgen's --------------------------------------------------------------------------

PYMATGEN = {
    "plain": ComputedEntry("Mn2O3", -40.0, entry_id="x"),
    "correction": ComputedEntry("Mn2O3", -40.0, correction=-1.5, entry_id="x"),
    "constant": ComputedEntry(
        "Mn2O3", -40.0, energy_adjustments=[ConstantEnergyAdjustment(-0.25)], entry_id="x"
    ),
    "manual": ComputedEntry(
        "Mn2O3", -40.0, energy_adjustments=[ManualEnergyAdjustment(0.5)], entry_id="x"
    ),
    "several": ComputedEntry(
        "Mn2O3",
        -40.0,
        energy_adjustments=[ANION, TemperatureEnergyAdjustment(-1e-3, 300, 5, name="T")],
        entry_id="x",
    ),
    "structure": ComputedStructureEntry(MNO, -60.0, correction=-2.0, entry_id="x"),
    "phase": PDEntry("MnO2", -20.0, name="x"),
    "a formula that is not reduced": ComputedEntry("Mn4O6", -80.0, entry_id="x"),
    "ions": ComputedEntry(Composition({"Mn2+": 2, "O2-": 2}), -20.0, entry_id="x"),
    "fractions": ComputedEntry("Li0.5MnO2", -30.25, entry_id="x"),
}


@pytest.mark.parametrize("case", PYMATGEN)
@pytest.mark.parametrize("ending", [".json", ".json.gz"])
def test_an_entry_of_pymatgen(tmp_path, case, ending):
    original = PYMATGEN[case]
    file = tmp_path / f"entries{ending}"
    dumpfn([original], file)
    entries = read_entries(file)
    (entry,) = entries.usable
    assert entry.energy_ev == pytest.approx(original.energy)
    assert entry.amounts == pytest.approx(dict(original.composition.get_el_amt_dict()))
    assert entry.entry_id == ("#1" if case == "phase" else "x")


def test_an_old_entry_has_its_composition_in_the_structure():
    old = {"energy": -60.0, "correction": -1.0, "structure": MNO.as_dict(), "entry_id": "old"}
    entry = only([old])
    assert entry.amounts == {"Mn": 4.0, "O": 4.0}
    assert entry.energy_ev == -61.0


def test_the_materials_projects_entries():
    if not DATA.exists():
        pytest.skip("the Materials Project's Mn-O entries are not here")
    entries = read_entries(DATA)
    records = json.loads(gzip.decompress(DATA.read_bytes()))
    assert len(entries) == len(entries.usable) == 90
    assert {e.scale for e in entries.usable} == {"MP2020"}
    for mine, theirs in zip(entries.usable, records, strict=True):
        assert mine.entry_id == theirs["entry_id"]
        theirs = ComputedEntry.from_dict({k: v for k, v in theirs.items() if k != "structure"})
        assert mine.energy_ev == pytest.approx(theirs.energy)


# The forms of a file, and names -------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        [record("a"), record("b")],
        {"entries": [record("a"), record("b")]},
        {"a": record(None), "b": record(None)},
        {"1": record("a"), "2": record("b")},
    ],
)
def test_forms_of_a_file(data):
    assert [e.entry_id for e in entries_from(data, "source").usable] == ["a", "b"]


def test_one_entry_alone():
    assert only(record("alone")).entry_id == "alone"


def test_names_are_made_up_and_made_unique_visibly():
    names = [None, "mp-1", "mp-1", 7, "", "mp-1 (2)", "mp-1", {"a": 1}, " two\nlines "]
    entries = entries_from([record(name) for name in names], "source")
    assert [e.entry_id for e in entries.usable] == [
        *("#1", "mp-1", "mp-1 (3)", "7", "#5", "mp-1 (2)", "mp-1 (4)", "#8", "two lines"),
    ]


# In = out + rejected ------------------------------------------------------------------------------

REJECTED = {
    "a number": (5, "it is no entry but a int"),
    "nothing": (None, "it is no entry but a NoneType"),
    "no energy": ({"composition": {"Mn": 1}}, "it has no energy"),
    "null energy": (record(energy=None), "it has no energy"),
    "nan": (record(energy=float("nan")), "its energy is not a finite number (nan)"),
    "inf": (record(energy=float("-inf")), "its energy is not a finite number (-inf)"),
    "too large": (record(energy=10**400), "its energy is not a finite number (inf)"),
    "text": (record(energy="-1.0"), "its energy is not a number ('-1.0')"),
    "true": (record(energy=True), "its energy is not a number (True)"),
    "no composition": ({"energy": 1.0}, "it has no composition"),
    "empty composition": (record() | {"composition": {}}, "it has no composition"),
    "zero composition": (record() | {"composition": {"Mn": 0}}, "it has no composition"),
    "negative": (record() | {"composition": {"Mn": -1}}, "amount of Mn is not a positive number"),
    "nan amount": (record() | {"composition": {"O": float("nan")}}, "amount of O is not a finite"),
    "unknown element": (record() | {"composition": {"Xx": 1}}, "'Xx' in its composition is not"),
    "unknown in a formula": (record() | {"composition": "Mn(O"}, "composition is not understood"),
    "a list": (record() | {"composition": [1]}, "composition is not understood ([1])"),
    "nan correction": (record(correction=float("nan")), "its correction is not a finite number"),
    "odd adjustment": (record(energy_adjustments=[{"x": 1}]), "energy_adjustments is not underst"),
    "bad adjustment": (
        record(energy_adjustments=[{"value": None}]),
        "it has no adjustment's value",
    ),
    "no list of adjustments": (record(energy_adjustments={"value": 1}), "are no list"),
    "another class": ({"@class": "ExpEntry", **record()}, "its class 'ExpEntry' is none of"),
}


@pytest.mark.parametrize("case", REJECTED)
def test_what_cannot_be_used_is_rejected_with_its_reason(case):
    data, reason = REJECTED[case]
    entries = entries_from([record("good"), data], "source")
    assert [e.entry_id for e in entries.usable] == ["good"]
    (rejected,) = entries.rejected
    assert reason in rejected.reason
    assert len(entries) == 2
    with pytest.raises(
        RocksaltError, match=r"^source: none of its 1 entries can be used: (#1|a): "
    ):
        entries_from([data], "source")


def test_an_entry_with_nonsense_beside_what_counts_is_used():
    odd = record(parameters=[1], data="x", correction=None, energy_adjustments=None)
    assert only([odd]).scale == AS_GIVEN


@pytest.mark.parametrize(
    ("content", "fragments"),
    [
        (b"", ["not valid JSON", "Expecting value", "dumpfn"]),
        (b"[1, 2", ["not valid JSON"]),
        (b"\xff\xfe\x00\x00x", ["not valid JSON"]),
        (b"\x1f\x8b\x08\x00", ["damaged gzip file"]),
        (gzip.compress(b"[]" * 400, mtime=0)[:-12], ["damaged gzip file"]),
        (b"[]", ["the list of entries is empty"]),
        (b"{}", ["the list of entries is empty"]),
        (b'{"entries": []}', ["the list of entries is empty"]),
        (b"null", ["holds no list of entries but a NoneType"]),
        (b'"text"', ["holds no list of entries but a str"]),
        (b"[" * 100_000, ["not valid JSON", "recursion"]),
        (b'{"a": {}, "b": {}, "a": {}}', ["not valid JSON", "'a' is given twice"]),
        (b'{"a": 1}', ["none of its 1 entries can be used: a: it is no entry but a int"]),
    ],
)
def test_a_file_that_is_no_list_of_entries(tmp_path, content, fragments):
    file = tmp_path / "entries.json"
    file.write_bytes(content)
    with pytest.raises(RocksaltError) as caught:
        read_entries(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert "\n" not in str(caught.value)
    for fragment in fragments:
        assert fragment in str(caught.value)


def test_a_file_that_is_not_there_or_a_folder(tmp_path):
    with pytest.raises(RocksaltError, match=r"no\.json: no such file: give a JSON file"):
        read_entries(tmp_path / "no.json")
    with pytest.raises(RocksaltError, match="is a folder: give a JSON file"):
        read_entries(tmp_path)


# Energy scales ------------------------------------------------------------------------------------

ONE_SCALE = {
    "nothing said": ([record()], AS_GIVEN),
    "corrected, run type not said": ([record(**CORRECTED)], "MP2020"),
    "by hand, run type not said": ([record(correction=-1.0)], AS_GIVEN),
    "named": ([record(data={"energy_scale": "mine"}), record()], "mine"),
    "named beats the run type": (
        [record(data={"energy_scale": "mine"}, **run("R2SCAN")), record()],
        "mine",
    ),
    "GGA alone": ([record(**run("GGA")), record(composition="Mn", **run("PBE"))], "GGA, uncorr"),
    "GGA+U alone": ([record(**run("GGA_U"))], "GGA+U, uncorrected"),
    "r2SCAN": ([record(**run("r2SCAN")), record(**run("R2SCAN")), record()], "r2SCAN"),
    "SCAN": ([record(**run("SCAN"))], "SCAN"),
    "another": ([record(**run("HSE06"))], "HSE06"),
    "corrected": (
        [
            record(**run("GGA+U"), **CORRECTED),
            record(composition="Mn", **run("GGA")),
            record(composition="MnAl", **run("GGA")),
            record(),
        ],
        "MP2020",
    ),
    "ozone needs no correction": (
        [record(**run("GGA"), **CORRECTED), record(composition="O3", **run("GGA"))],
        "MP2020",
    ),
    "corrected by another scheme": (
        [record(**run("GGA+U"), correction=-2.0), record(composition="Mn", **run("GGA"))],
        "GGA/GGA+U, corrected",
    ),
    "a correction of zero is one": (
        [
            record(**run("GGA"), energy_adjustments=[ConstantEnergyAdjustment(0.0).as_dict()]),
            record(**run("GGA+U"), correction=-2.0),
        ],
        "GGA/GGA+U, corrected",
    ),
    "the mixing scheme": (
        [
            record(**run("R2SCAN"), energy_adjustments=[MIXING.as_dict()]),
            record(**run("GGA+U"), **CORRECTED),
            record(composition="Mn", **run("R2SCAN")),
        ],
        "GGA/GGA+U/r2SCAN, mixed",
    ),
    "run type among the data": ([record(data={"run_type": "R2SCAN"})], "r2SCAN"),
}


@pytest.mark.parametrize("case", ONE_SCALE)
def test_entries_of_one_scale(case):
    data, scale = ONE_SCALE[case]
    (found,) = {e.scale for e in entries_from(data, "source").usable}
    assert found.startswith(scale)


TWO_SCALES = {
    "r2SCAN beside GGA": (
        [record("g", **run("GGA+U"), **CORRECTED), record("r", **run("R2SCAN"))],
        "'MP2020' (of g), 'r2SCAN' (of r)",
    ),
    "GGA beside GGA+U without correction": (
        [record("g", composition="Mn", **run("GGA")), record("u", **run("GGA+U"))],
        "'GGA, uncorrected' (of g), 'GGA+U, uncorrected' (of u)",
    ),
    "an oxide without the others' correction": (
        [record("m", **run("GGA+U"), **CORRECTED), record("raw", **run("GGA+U"))],
        "'MP2020' (of m), 'GGA/GGA+U, uncorrected' (of raw)",
    ),
    "two names": (
        [record("a", data={"energy_scale": "x"}), record("b", data={"energy_scale": "y"})],
        "'x' (of a), 'y' (of b)",
    ),
    "a name beside a run type": (
        [record("a", data={"energy_scale": "x"}), record("b", **run("R2SCAN"))],
        "'x' (of a), 'r2SCAN' (of b)",
    ),
    "SCAN beside r2SCAN": (
        [record("a", **run("SCAN")), record("b", **run("R2SCAN"))],
        "'SCAN' (of a), 'r2SCAN' (of b)",
    ),
}


@pytest.mark.parametrize("case", TWO_SCALES)
def test_entries_of_two_scales(case):
    data, fragment = TWO_SCALES[case]
    with pytest.raises(ScaleError) as caught:
        entries_from([record("any"), *data], "source")
    message = str(caught.value)
    assert message.startswith("source: energies of 2 scales cannot be combined: ")
    assert fragment in message
    assert "one scale" in message


def test_a_rejected_entry_is_on_no_scale():
    data = [record(**run("GGA")), record(energy=None, **run("R2SCAN"))]
    assert len(entries_from(data, "source").rejected) == 1


# Structures ---------------------------------------------------------------------------------------


def test_structures_of_a_folder(tmp_path):
    MNO.to(filename=str(tmp_path / "b.cif"))
    MNO.get_primitive_structure().to(filename=str(tmp_path / "POSCAR"))
    (tmp_path / "deeper").mkdir()
    MNO.to(filename=str(tmp_path / "deeper" / "c.vasp"), fmt="poscar")
    text = (tmp_path / "b.cif").read_text()
    (tmp_path / "two.cif").write_text(f"{text}\n{text.replace('data_MnO', 'data_second')}")
    disordered = MNO.copy()
    disordered.replace_species({"Mn": {"Mn": 0.5, "Li": 0.5}})
    disordered.to(filename=str(tmp_path / "d.cif"))
    near = Structure(MNO.lattice, ["Mn", "O"], [[0, 0, 0], [0, 0, 0.05]])
    near.to(filename=str(tmp_path / "e.cif"))
    dummy = Structure(MNO.lattice, ["Xa"], [[0, 0, 0]])
    dummy.to(filename=str(tmp_path / "f.vasp"), fmt="poscar")
    (tmp_path / "broken.cif").write_text("data_x\n_cell_length_a 4\n")
    (tmp_path / "empty.cif").write_text("")
    (tmp_path / "POSCAR.broken").write_text("MnO\n1.0\n4 0 0\n")
    (tmp_path / "notes.txt").write_text("MnO")
    (tmp_path / ".hidden").write_text("")
    found, rejected = read_structures(tmp_path)
    assert [name for name, _ in found] == [
        *("POSCAR", "b.cif", "deeper/c.vasp", "two.cif", "two.cif (2)")
    ]
    assert [len(structure) for _, structure in found] == [2, 8, 8, 8, 8]
    reasons = {each.entry_id: each.reason for each in rejected}
    assert reasons.keys() == {
        *("POSCAR.broken", "broken.cif", "d.cif", "e.cif", "empty.cif", "f.vasp", "notes.txt")
    }
    assert "disordered" in reasons["d.cif"]
    assert "closer than 0.5 angstrom" in reasons["e.cif"]
    assert "not an element" in reasons["f.vasp"]
    assert "neither a CIF nor a POSCAR" in reasons["notes.txt"]
    for name in ("POSCAR.broken", "broken.cif", "empty.cif"):
        assert reasons[name].startswith(("it cannot be read: ", "it holds no structure"))
        assert "\n" not in reasons[name]


def test_a_folder_that_is_not_there_or_empty(tmp_path):
    with pytest.raises(RocksaltError, match="no such folder: give one of CIF or POSCAR"):
        read_structures(tmp_path / "no")
    with pytest.raises(RocksaltError, match="holds no file"):
        read_structures(tmp_path)


# The Materials Project ----------------------------------------------------------------------------


@pytest.fixture
def client(monkeypatch):
    """Put a client in the place of mp-api's; what it was asked is kept."""

    class MPRester:
        asked: list = []  # noqa: RUF012  # kept for the test to look at
        answer = PYMATGEN["several"]

        def __init__(self, key):
            self.asked.append(key)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def get_entries_in_chemsys(self, elements, additional_criteria):
            self.asked.append((elements, additional_criteria))
            if isinstance(self.answer, Exception):
                raise self.answer
            return [self.answer, ComputedEntry("Mn", -9.0, entry_id="mn")]

    module = ModuleType("mp_api.client")
    module.MPRester = MPRester
    monkeypatch.setitem(sys.modules, "mp_api", ModuleType("mp_api"))
    monkeypatch.setitem(sys.modules, "mp_api.client", module)
    monkeypatch.setenv("MP_API_KEY", "secret")
    return MPRester


def test_entries_of_the_materials_project(client):
    entries = materials_project_entries("Mn-O")
    assert [e.entry_id for e in entries.usable] == ["x", "mn"]
    assert entries.usable[0].energy_ev == pytest.approx(PYMATGEN["several"].energy)
    assert {e.scale for e in entries.usable} == {"MP2020"}
    assert client.asked == ["secret", (["Mn", "O"], {"thermo_types": ["GGA_GGA+U"]})]


def test_a_query_that_fails_shows_no_key(client, monkeypatch):
    monkeypatch.setattr(client, "answer", OSError("no route,\nkey secret"))
    with pytest.raises(RocksaltError) as caught:
        materials_project_entries("Mn-O")
    assert str(caught.value) == (
        "Materials Project, Mn-O: OSError: no route, key ***: check the key and the network"
    )


def test_the_materials_project_needs_a_key_and_its_package(client, monkeypatch):
    monkeypatch.delenv("MP_API_KEY")
    with pytest.raises(RocksaltError, match="MP_API_KEY is not set: export your key from https"):
        materials_project_entries("Mn-O")
    monkeypatch.setitem(sys.modules, "mp_api.client", None)
    with pytest.raises(RocksaltError, match=r"mp-api: pip install 'rocksalt\[mp\]'"):
        materials_project_entries("Mn-O")
