"""The convex hull against pymatgen's, closed forms, and what must not change it."""

from __future__ import annotations

import gzip
import json
import math
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition
from scipy.optimize import linprog

from rocksalt.screening.errors import RocksaltError, ScaleError
from rocksalt.screening.hull import HullEntry, make_hull
from rocksalt.screening.scales import Energy

DATA = Path(__file__).parents[3] / "shared/data/reference/mp_Mn-O_2021-22.json.gz"
SYMBOLS = ("Li", "Mn", "O", "Ti")
SCALE = "test"
PYMATGEN = 1e-6
EXACT = 1e-9


def entry(name, amounts, formation_ev_per_atom=0.0, scale=SCALE, references=None):
    """Return an entry from its formation energy relative to the references given (or zero)."""
    n_atoms = sum(amounts.values())
    energy = formation_ev_per_atom * n_atoms
    energy += sum(n * (references or {}).get(e, 0.0) for e, n in amounts.items())
    return HullEntry(name, amounts, energy, scale)


def elements(*symbols, references=None):
    return [entry(s, {s: 1}, references=references) for s in symbols]


@st.composite
def systems(draw, max_elements=4, max_compounds=12, min_elements=1):
    """Draw entries of a system of 1-4 elements with references at any energy, none of them twice.

    Formation energies stand on a fine grid with an offset of their own, so that no two entries of a
    composition are as low as each other, and no point lies on a plane of others by accident.
    """
    symbols = SYMBOLS[: draw(st.integers(min_elements, max_elements))]
    references = {s: draw(st.integers(-900, 100)) / 100 for s in symbols}
    found = elements(*symbols, references=references)
    for k in range(draw(st.integers(0, max_compounds))):
        numbers = draw(st.lists(st.integers(0, 6), min_size=len(symbols), max_size=len(symbols)))
        amounts = {s: n for s, n in zip(symbols, numbers, strict=True) if n}
        assume(amounts)
        low = 0 if len(amounts) == 1 else -300
        formation = draw(st.integers(low, 100)) / 100 + 0.007 * math.sin(k + 1) ** 2 + 1e-4
        found.append(entry(f"c{k}", amounts, formation, references=references))
    return found


def by_id(hull, values):
    return {e.entry_id: float(v) for e, v in zip(hull.entries, values, strict=True)}


def same_numbers(a, b, tolerance=EXACT):
    assert a.keys() == b.keys()
    for key, value in a.items():
        assert value == pytest.approx(b[key], abs=tolerance), key


def pymatgen_of(entries):
    converted = {e.entry_id: PDEntry(Composition(e.amounts), e.energy_ev) for e in entries}
    return converted, PhaseDiagram(list(converted.values()))


def agrees_with_pymatgen(entries):
    hull = make_hull(entries)
    converted, diagram = pymatgen_of(entries)
    for i, each in enumerate(entries):
        other = converted[each.entry_id]
        above = hull.e_above_hull_ev_per_atom[i]
        assert above == pytest.approx(diagram.get_e_above_hull(other), abs=PYMATGEN)
        formation = hull.formation_energy_ev_per_atom[i]
        assert formation == pytest.approx(diagram.get_form_energy_per_atom(other), abs=PYMATGEN)
        phases = hull.decomposition(each.amounts)
        energy = sum(share * phase.energy_ev / phase.n_atoms for phase, share in phases)
        theirs = diagram.get_decomposition(other.composition)
        their_energy = sum(share * phase.energy_per_atom for phase, share in theirs.items())
        assert energy == pytest.approx(their_energy, abs=PYMATGEN)
    stable = {converted[e.entry_id] for e in hull.stable}
    assert {e.composition.reduced_formula for e in stable} == {
        e.composition.reduced_formula for e in diagram.stable_entries
    }
    return hull


# Against pymatgen ---------------------------------------------------------------------------------


@settings(max_examples=60)
@given(systems())
def test_any_system_as_pymatgen_does(entries):
    agrees_with_pymatgen(entries)


@pytest.mark.parametrize(("n_elements", "seed"), [*product((2, 3, 4), (1, 2)), (5, 1)])
def test_a_large_system_as_pymatgen_does(n_elements, seed):
    rng = np.random.default_rng(seed)
    symbols = (*SYMBOLS, "Zr")[:n_elements]
    entries = elements(*symbols)
    while len(entries) < 120:
        numbers = rng.integers(0, 9, n_elements) * (rng.random(n_elements) < 0.7)
        amounts = {s: int(n) for s, n in zip(symbols, numbers, strict=True) if n}
        if len(amounts) > 1:
            entries.append(entry(str(len(entries)), amounts, -2 * rng.random()))
    agrees_with_pymatgen(entries)


def hull_energy_by_linear_programming(entries, symbols, target):
    """Return the lowest energy per atom of any mixture of entries at the target's composition."""
    shares = np.array([[e.amounts.get(s, 0) / e.n_atoms for e in entries] for s in symbols])
    found = linprog(
        [e.energy_ev / e.n_atoms for e in entries],
        A_eq=shares,
        b_eq=[target.amounts.get(s, 0) / target.n_atoms for s in symbols],
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    assert found.status == 0
    return found.fun


@pytest.mark.parametrize("n_elements", [4, 5, 6])
@pytest.mark.parametrize("kind", ["a few foreign atoms", "a few vacancies"])
def test_facets_between_large_cells_that_differ_by_a_few_atoms_count(n_elements, kind):
    """The compositions of such a facet span a volume that is next to nothing."""
    rng = np.random.default_rng(n_elements)
    symbols = (*SYMBOLS, "Zr", "Zn")[:n_elements]
    entries = elements(*symbols)
    base = rng.integers(20, 60, n_elements)
    while len(entries) < 150:
        if kind == "a few vacancies":
            numbers = base - rng.integers(0, 3, n_elements)
            formation = -2 + 0.05 * rng.random()
        else:
            numbers = rng.integers(0, 2, n_elements)
            numbers[rng.integers(n_elements)] = rng.choice([20, 200, 1000])
            formation = -(1 - ((numbers / numbers.sum()) ** 2).sum()) * rng.random()
        amounts = {s: int(n) for s, n in zip(symbols, numbers, strict=True) if n}
        if len(amounts) > 1:
            entries.append(entry(str(len(entries)), amounts, formation))
    hull = make_hull(entries)
    assert hull.e_above_hull_ev_per_atom.min() == 0
    for i in rng.choice(len(entries), 15, replace=False):
        lowest = hull_energy_by_linear_programming(entries, symbols, entries[i])
        found = hull.energy_ev_per_atom(entries[i].amounts)
        assert found == pytest.approx(lowest, abs=EXACT)
        phases = hull.decomposition(entries[i].amounts)
        assert sum(share for _, share in phases) == pytest.approx(1, abs=1e-6)
        energy = sum(share * phase.energy_ev / phase.n_atoms for phase, share in phases)
        assert energy == pytest.approx(lowest, abs=PYMATGEN)


@cache
def mn_o_entries():
    if not DATA.exists():
        pytest.skip("the Materials Project's Mn-O entries are not here")
    records = json.loads(gzip.decompress(DATA.read_bytes()))
    return [
        HullEntry(r["entry_id"], r["composition"], r["energy"] + r["correction"], "MP2020")
        for r in records
    ]


def test_the_materials_projects_mn_o_as_pymatgen_does():
    hull = agrees_with_pymatgen(mn_o_entries())
    assert len(hull.entries) == 90
    assert hull.chemical_system == "Mn-O"
    formulas = [Composition(e.amounts).reduced_formula for e in hull.stable]
    assert sorted(formulas) == ["Mn", "Mn2O3", "Mn3O4", "MnO", "MnO2", "O2"]


# Closed forms -------------------------------------------------------------------------------------


def test_a_binary_by_hand():
    entries = [
        *elements("A", "O"),
        entry("low", {"A": 1, "O": 1}, -1.0),
        entry("high", {"A": 2, "O": 2}, -0.9),
        entry("between", {"A": 3, "O": 1}, -0.4),  # the line is at -0.5
        entry("positive", {"A": 1, "O": 3}, 0.2),
    ]
    hull = make_hull(entries)
    np.testing.assert_allclose(hull.e_above_hull_ev_per_atom, [0, 0, 0, 0.1, 0.1, 0.7], atol=EXACT)
    assert [e.entry_id for e in hull.stable] == ["A", "O", "low"]
    assert hull.energy_ev_per_atom({"A": 3, "O": 1}) == pytest.approx(-0.5)
    phases = {e.entry_id: share for e, share in hull.decomposition({"A": 3, "O": 1})}
    assert phases == pytest.approx({"A": 0.5, "low": 0.5})
    potentials = sorted(map(tuple, hull.chemical_potentials_ev.round(9).tolist()))
    assert potentials == [(-2.0, 0.0), (0.0, -2.0)]


@pytest.mark.parametrize("n_elements", [2, 3, 4])
def test_one_compound_in_the_middle(n_elements):
    """With one compound at equal shares the hull is c(x) = -E n min(x)."""
    symbols = SYMBOLS[:n_elements]
    hull = make_hull([*elements(*symbols), entry("middle", dict.fromkeys(symbols, 1), -0.8)])
    rng = np.random.default_rng(0)
    for x in rng.dirichlet(np.ones(n_elements), 20):
        amounts = dict(zip(symbols, x, strict=True))
        assert hull.energy_ev_per_atom(amounts) == pytest.approx(-0.8 * n_elements * x.min())
    assert len(hull.vertices) == n_elements


def test_entries_on_a_line_are_all_stable():
    entries = [
        *elements("A", "B"),
        entry("AB", {"A": 1, "B": 1}, -1.0),
        entry("A3B", {"A": 3, "B": 1}, -0.5),
    ]
    hull = make_hull(entries)
    np.testing.assert_allclose(hull.e_above_hull_ev_per_atom, 0, atol=EXACT)
    shares = hull.decomposition({"A": 3, "B": 1})
    assert sum(share for _, share in shares) == pytest.approx(1)


def test_elements_only():
    hull = make_hull(elements("Li", "Mn", "O", "Ti"))
    assert np.all(hull.e_above_hull_ev_per_atom == 0)
    assert hull.vertices.shape == (1, 4)
    assert np.all(hull.chemical_potentials_ev == 0)
    phases = {e.entry_id: share for e, share in hull.decomposition({"Li": 1, "O": 3})}
    assert phases == pytest.approx({"Li": 0.25, "O": 0.75})


def test_a_single_element():
    hull = make_hull([entry("hcp", {"Ti": 2}, -7.0), entry("bcc", {"Ti": 1}, -6.9)])
    np.testing.assert_allclose(hull.e_above_hull_ev_per_atom, [0, 0.1], atol=EXACT)
    assert hull.references["Ti"].entry_id == "hcp"
    assert [e.entry_id for e in hull.stable] == ["hcp"]
    assert [(e.entry_id, s) for e, s in hull.decomposition({"Ti": 5})] == [("hcp", 1.0)]


def test_compounds_above_the_elements_change_nothing():
    hull = make_hull([*elements("A", "B"), entry("AB", {"A": 1, "B": 1}, 0.3)])
    assert hull.e_above_hull_ev_per_atom[2] == pytest.approx(0.3)
    assert [e.entry_id for e in hull.stable] == ["A", "B"]


def test_more_entries_than_one_block():
    rng = np.random.default_rng(0)
    entries = elements("A", "B")
    for k in range(9000):
        a, b = (int(n) for n in rng.integers(1, 30, 2))
        entries.append(entry(str(k), {"A": a, "B": b}, -4 * a * b / (a + b) ** 2 * rng.random()))
    hull = make_hull(entries)
    for i in (0, 1, 2, 4095, 4096, 4097, 8191, 8192, 9001):
        lowest = hull.energy_ev_per_atom(entries[i].amounts)
        above = hull.formation_energy_ev_per_atom[i] - lowest
        assert hull.e_above_hull_ev_per_atom[i] == pytest.approx(above, abs=EXACT)


def test_one_absurd_energy_does_not_blur_the_others():
    entries = [*elements("A", "B"), entry("AB", {"A": 1, "B": 1}, -1.0)]
    entries.append(entry("A3B", {"A": 3, "B": 1}, -0.5 - 1e-6))
    one = make_hull(entries)
    two = make_hull([*entries, entry("junk", {"A": 1, "B": 2}, 1e14)])
    assert [e.entry_id for e in two.stable] == [e.entry_id for e in one.stable]
    same = two.e_above_hull_ev_per_atom[:-1] == one.e_above_hull_ev_per_atom
    assert same.all()


# What every hull has ------------------------------------------------------------------------------


@settings(max_examples=60)
@given(systems())
def test_distances_decompositions_and_stable_entries_belong_together(entries):
    hull = make_hull(entries)
    above = by_id(hull, hull.e_above_hull_ev_per_atom)
    formation = by_id(hull, hull.formation_energy_ev_per_atom)
    assert min(above.values()) >= 0
    stable = {e.entry_id for e in hull.stable}
    assert {hull.references[e].entry_id for e in hull.elements} <= stable
    for each in entries:
        phases = hull.decomposition(each.amounts)
        assert {phase.entry_id for phase, _ in phases} <= stable
        assert sum(share for _, share in phases) == pytest.approx(1)
        for element in hull.elements:
            part = sum(s * p.amounts.get(element, 0) / p.n_atoms for p, s in phases)
            assert part == pytest.approx(each.amounts.get(element, 0) / each.n_atoms, abs=1e-7)
        energy = sum(share * formation[phase.entry_id] for phase, share in phases)
        assert energy == pytest.approx(hull.energy_ev_per_atom(each.amounts), abs=1e-7)
        assert formation[each.entry_id] - energy == pytest.approx(above[each.entry_id], abs=1e-7)
        again = hull.energy_above_ev_per_atom(each.amounts, Energy(each.energy_ev, SCALE))
        assert again == pytest.approx(above[each.entry_id], abs=1e-7)
        if each.entry_id in stable:
            assert above[each.entry_id] == 0
            assert [(p.entry_id, pytest.approx(s)) for p, s in phases] == [(each.entry_id, 1.0)]


@settings(max_examples=40)
@given(systems(), st.randoms(use_true_random=False))
def test_the_order_of_entries_changes_nothing(entries, random):
    shuffled = random.sample(entries, len(entries))
    one, two = make_hull(entries), make_hull(shuffled)
    assert [e.entry_id for e in two.entries] == [e.entry_id for e in shuffled]
    for name in ("e_above_hull_ev_per_atom", "formation_energy_ev_per_atom"):
        same_numbers(by_id(one, getattr(one, name)), by_id(two, getattr(two, name)))
    assert {e.entry_id for e in one.stable} == {e.entry_id for e in two.stable}
    for each in entries:
        first, second = (
            {p.entry_id: s for p, s in hull.decomposition(each.amounts)} for hull in (one, two)
        )
        same_numbers(first, second, 1e-7)


@settings(max_examples=40)
@given(systems(), st.integers(2, 7))
def test_supercells_and_formulas_are_the_same(entries, times):
    def larger(e):
        amounts = {s: n * times for s, n in e.amounts.items()}
        return HullEntry(e.entry_id, amounts, e.energy_ev * times, e.scale)

    one, two = make_hull(entries), make_hull([larger(e) for e in entries])
    for name in ("e_above_hull_ev_per_atom", "formation_energy_ev_per_atom"):
        same_numbers(by_id(one, getattr(one, name)), by_id(two, getattr(two, name)))
    assert [e.entry_id for e in one.stable] == [e.entry_id for e in two.stable]


@settings(max_examples=40)
@given(systems())
def test_entries_that_come_twice_change_nothing(entries):
    copies = [HullEntry(f"{e.entry_id}*", e.amounts, e.energy_ev, e.scale) for e in entries]
    one, two = make_hull(entries), make_hull([*entries, *copies])
    above = by_id(two, two.e_above_hull_ev_per_atom)
    same_numbers(
        by_id(one, one.e_above_hull_ev_per_atom), {e.entry_id: above[e.entry_id] for e in entries}
    )
    for e in entries:
        assert above[f"{e.entry_id}*"] == pytest.approx(above[e.entry_id], abs=EXACT)
    assert len(two.stable) == len(one.stable)


@settings(max_examples=30)
@given(systems(), st.integers(-500, 500))
def test_shifting_an_elements_energy_changes_no_distance(entries, shift):
    def shifted(e):
        energy = e.energy_ev + e.amounts.get("Li", 0) * shift / 100
        return HullEntry(e.entry_id, e.amounts, energy, e.scale)

    one, two = make_hull(entries), make_hull([shifted(e) for e in entries])
    same_numbers(
        by_id(one, one.e_above_hull_ev_per_atom), by_id(two, two.e_above_hull_ev_per_atom), 1e-8
    )


@settings(max_examples=30)
@given(systems(min_elements=2), st.integers(1, 200))
def test_a_new_vertex_lies_below_by_as_much_as_is_said(entries, depth):
    hull = make_hull(entries)
    amounts = {e: i + 2.0 for i, e in enumerate(hull.elements)}
    energy = hull.energy_ev_per_atom(amounts) - depth / 100
    new = entry(
        "new", amounts, energy, references={e: r.energy_ev for e, r in hull.references.items()}
    )
    below = hull.energy_above_ev_per_atom(amounts, Energy(new.energy_ev, SCALE))
    assert below == pytest.approx(-depth / 100, abs=1e-8)
    wider = make_hull([*entries, new])
    assert "new" in {e.entry_id for e in wider.stable}
    assert wider.e_above_hull_ev_per_atom[:-1].min() >= 0
    for one, two in zip(
        hull.e_above_hull_ev_per_atom, wider.e_above_hull_ev_per_atom[:-1], strict=True
    ):
        assert two >= one - EXACT  # a hull can only sink


# What is left out, what is refused ----------------------------------------------------------------

BAD = {
    "empty": (HullEntry("empty", {}, 0.0, SCALE), "no composition"),
    "zero": (HullEntry("zero", {"Mn": 0}, 0.0, SCALE), "no composition"),
    "negative": (HullEntry("negative", {"Mn": -1, "O": 1}, 0.0, SCALE), "positive number"),
    "amount": (HullEntry("amount", {"Mn": math.nan}, 0.0, SCALE), "positive number"),
    "nan": (HullEntry("nan", {"Mn": 1}, math.nan, SCALE), "finite number (nan)"),
    "inf": (HullEntry("inf", {"Mn": 1}, -math.inf, SCALE), "finite number (-inf)"),
}


@pytest.mark.parametrize("case", BAD)
def test_an_entry_that_cannot_serve_is_rejected_with_its_reason(case):
    bad, reason = BAD[case]
    entries = [bad, *elements("Mn", "O"), entry("MnO", {"Mn": 1, "O": 1}, -1)]
    hull = make_hull(entries)
    assert [r.entry_id for r in hull.rejected] == [case]
    assert reason in hull.rejected[0].reason
    assert [e.entry_id for e in hull.entries] == ["Mn", "O", "MnO"]
    with pytest.raises(RocksaltError, match=f"no entry is left for a hull: {case}: "):
        make_hull([bad])


@settings(max_examples=30)
@given(systems(), st.sets(st.sampled_from(SYMBOLS), min_size=1), st.sets(st.sampled_from([*BAD])))
def test_in_is_out_and_rejected(entries, wanted, bad):
    given_ = [*entries, *(BAD[name][0] for name in sorted(bad))]
    present = set().union(*(e.amounts for e in entries))
    assume(wanted <= present)
    hull = make_hull(given_, wanted)
    names = [e.entry_id for e in hull.entries] + [r.entry_id for r in hull.rejected]
    assert sorted(names) == sorted(e.entry_id for e in given_)
    assert hull.elements == tuple(sorted(wanted))
    assert {r.entry_id for r in hull.rejected} == {
        e.entry_id for e in entries if not set(e.amounts) <= wanted
    } | bad


def test_the_rejected_outside_the_system_are_told_what_is_outside():
    hull = make_hull(
        [*elements("Mn", "O"), entry("LiMnO2", {"Li": 1, "Mn": 1, "O": 2}, -1)], ["Mn", "O"]
    )
    assert hull.rejected[0].reason == "Li is outside the system Mn-O"


def test_no_entries():
    with pytest.raises(RocksaltError, match=r"no entry is left for a hull$"):
        make_hull([])


def test_an_element_without_a_reference():
    entries = [*elements("Mn"), entry("MnO", {"Mn": 1, "O": 1}, -1)]
    with pytest.raises(RocksaltError, match=r"system Mn-O: no entry of pure O to serve .* add one"):
        make_hull(entries)
    with pytest.raises(RocksaltError, match="pure Li, O"):
        make_hull(entries, ["Li", "Mn", "O"])


def test_two_scales():
    entries = [*elements("Mn", "O"), entry("MnO", {"Mn": 1, "O": 1}, -1, scale="other")]
    with pytest.raises(ScaleError, match="other, test"):
        make_hull(entries)
    hull = make_hull(elements("Mn", "O"))
    with pytest.raises(ScaleError):
        hull.energy_above_ev_per_atom({"Mn": 1}, Energy(0.0, "other"))


def test_a_composition_outside_or_empty():
    hull = make_hull(elements("Mn", "O"))
    for ask in (hull.energy_ev_per_atom, hull.decomposition, hull.fractions):
        with pytest.raises(RocksaltError, match="Li is outside the system Mn-O: add entries"):
            ask({"Li": 1, "O": 1})
        with pytest.raises(RocksaltError, match="empty"):
            ask({})
        with pytest.raises(RocksaltError, match="not positive"):
            ask({"Mn": -1, "O": 2})
    with pytest.raises(RocksaltError, match="outside the system"):
        hull.energy_above_ev_per_atom({"Li": 1}, Energy(0.0, SCALE))
    with pytest.raises(RocksaltError, match="empty"):
        hull.energy_above_ev_per_atom({}, Energy(0.0, SCALE))
