"""Windows of oxygen potential against pymatgen, a naive scan and closed forms."""

import itertools
import math

import numpy as np
import pytest
from pymatgen.analysis.phase_diagram import GrandPotentialPhaseDiagram, PDEntry
from pymatgen.core import Composition, Element
from scipy.optimize import linprog

from rocksalt.screening.errors import RocksaltError
from rocksalt.screening.hull import HullEntry, make_hull
from rocksalt.screening.oxygen import (
    metal_below_dmu_o_ev,
    metal_in_host_window,
    metal_share_of_host_window,
    oxygen_windows,
    rock_salt_window,
)

SCALE = "test"


def entry(formula, energy_ev):
    return HullEntry(formula, Composition(formula).get_el_amt_dict(), energy_ev, SCALE)


def system(energies):
    """Return entries with the elements, O2 and these formation energies in eV per formula."""
    elements = sorted({str(e) for formula in energies for e in Composition(formula)} - {"O"})
    references = [entry(element, 0.0) for element in elements]
    return [*references, entry("O2", 0.0), *(entry(f, e) for f, e in energies.items())]


def random_system(seed, cations):
    """Return entries of random compositions with elements that are not at zero."""
    rng = np.random.default_rng(seed)
    level = {symbol: rng.uniform(-9, 0) for symbol in (*cations, "O")}
    entries = [HullEntry(s, {s: 2.0}, 2 * level[s], SCALE) for s in level]
    for number in range(25):
        present = rng.choice(cations, size=rng.integers(1, len(cations) + 1), replace=False)
        amounts = {str(s): float(rng.integers(1, 5)) for s in present}
        amounts["O"] = float(rng.integers(0, 9))
        depth = -rng.uniform(0.5, 3.0) * min(amounts["O"], 1.5 * sum(amounts.values()))
        energy = sum(n * level[s] for s, n in amounts.items()) + depth - rng.uniform(0, 0.3)
        entries.append(HullEntry(f"phase {number}", amounts, float(energy), SCALE))
    return entries


SYSTEMS = [
    *[(seed, ("Mn", "Ru"), {"Mn": 1, "Ru": 1}) for seed in range(6)],
    *[(seed, ("Mn", "Ru"), {"Mn": 0.9, "Ru": 0.3}) for seed in range(3)],
    *[(seed, ("Li", "Mn", "Ru"), {"Li": 2, "Mn": 0.5, "Ru": 0.5}) for seed in range(3)],
]


def middle(window):
    low = max(window.from_dmu_o_ev, window.to_dmu_o_ev - 2.0)
    return (low + window.to_dmu_o_ev) / 2


def names(window):
    return {entry.entry_id for entry, _ in window.phases}


@pytest.mark.parametrize(("seed", "cations", "ratio"), SYSTEMS)
def test_windows_follow_on_each_other_with_rising_oxygen(seed, cations, ratio):
    windows = oxygen_windows(make_hull(random_system(seed, cations)), ratio)
    assert windows[0].from_dmu_o_ev == -math.inf
    assert windows[0].oxygen_per_cation == pytest.approx(0, abs=1e-6)
    assert windows[-1].to_dmu_o_ev == 0
    for before, after in itertools.pairwise(windows):
        assert before.to_dmu_o_ev == after.from_dmu_o_ev
        assert before.from_dmu_o_ev < before.to_dmu_o_ev
        assert before.oxygen_per_cation < after.oxygen_per_cation
        assert names(before) != names(after)
    assert all(sum(s for _, s in window.phases) == pytest.approx(1) for window in windows)


@pytest.mark.parametrize(("seed", "cations", "ratio"), SYSTEMS)
def test_phases_are_those_of_pymatgen(seed, cations, ratio):
    entries = random_system(seed, cations)
    hull = make_hull(entries)
    theirs = [PDEntry(Composition(e.amounts), e.energy_ev, name=e.entry_id) for e in entries]
    oxygen = hull.references["O"].energy_ev / 2
    for window in oxygen_windows(hull, ratio):
        potential = {Element("O"): oxygen + middle(window)}
        diagram = GrandPotentialPhaseDiagram(theirs, potential)
        phases = diagram.get_decomposition(Composition(ratio))
        assert {phase.original_entry.name for phase in phases} == names(window)


@pytest.mark.parametrize(("seed", "cations", "ratio"), SYSTEMS)
def test_phases_are_the_lowest_of_a_naive_scan(seed, cations, ratio):
    """Fill the cations from all phases at the lowest grand potential, one potential at a time."""
    hull = make_hull(random_system(seed, cations))
    windows = oxygen_windows(hull, ratio)
    phases = [e for e in hull.entries if set(e.amounts) != {"O"}]
    numbers = np.array([[e.amounts.get(c, 0) for e in phases] for c in cations])
    oxygen = np.array([e.amounts.get("O", 0) for e in phases])
    energies = np.array([e.energy_ev for e in phases])
    zero = hull.references["O"].energy_ev / 2
    total = sum(ratio.values())
    ends = {w.to_dmu_o_ev for w in windows}
    for potential in np.linspace(-6, -0.01, 40):
        if min(abs(potential - end) for end in ends) < 1e-3:
            continue
        found = linprog(
            energies - (zero + potential) * oxygen,
            A_eq=numbers,
            b_eq=[ratio[c] / total for c in cations],
        )
        (window,) = [w for w in windows if w.from_dmu_o_ev < potential < w.to_dmu_o_ev]
        assert names(window) == {
            e.entry_id for e, n in zip(phases, found.x, strict=True) if n > 1e-8
        }
        assert window.oxygen_per_cation == pytest.approx(found.x @ oxygen, abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_order_and_duplicates_do_not_matter(seed):
    entries = random_system(seed, ("Mn", "Ru"))
    rng = np.random.default_rng(seed)
    shuffled = [entries[i] for i in rng.permutation(len(entries))]
    doubled = [
        HullEntry(e.entry_id, {s: 3 * n for s, n in e.amounts.items()}, 3 * e.energy_ev, SCALE)
        for e in entries
    ]
    expected = oxygen_windows(make_hull(entries), {"Mn": 1, "Ru": 2})
    for others in (shuffled, entries + entries, entries + doubled):
        found = oxygen_windows(make_hull(others), {"Ru": 4, "Mn": 2, "Li": 0})
        assert [names(w) for w in found] == [names(w) for w in expected]
        for field in ("from_dmu_o_ev", "to_dmu_o_ev", "oxygen_per_cation"):
            assert [getattr(w, field) for w in found] == pytest.approx(
                [getattr(w, field) for w in expected], abs=1e-7
            )


def test_binary_in_closed_form():
    """Between two oxides the potential is the difference of energies over that of oxygen."""
    hull = make_hull(system({"MnO": -4.0, "Mn3O4": -14.4, "Mn2O3": -9.9, "MnO2": -5.3}))
    windows = oxygen_windows(hull, {"Mn": 7})
    assert [names(w) for w in windows] == [{"Mn"}, {"MnO"}, {"Mn3O4"}, {"Mn2O3"}, {"MnO2"}]
    ends = [-4.0, -14.4 + 3 * 4.0, -9.9 * 3 + 14.4 * 2, -5.3 * 2 + 9.9, 0.0]
    assert [w.to_dmu_o_ev for w in windows] == pytest.approx(ends)
    assert [w.oxygen_per_cation for w in windows] == pytest.approx([0, 1, 4 / 3, 3 / 2, 2])


def test_elements_alone_are_one_window():
    (window,) = oxygen_windows(make_hull(system({"MnO": 1.0})), {"Mn": 1})
    assert (window.from_dmu_o_ev, window.to_dmu_o_ev) == (-math.inf, 0.0)
    assert names(window) == {"Mn"}
    assert window.holds_metal("Mn")
    assert not window.holds_metal("Ru")


def test_window_of_a_rock_salt():
    assert rock_salt_window(make_hull(system({"NiO": -2.5})), "Ni") == pytest.approx((-2.5, 0.0))
    entries = system({"MnO": -4.0, "Mn3O4": -14.4, "RuO2": -3.2, "MnRuO3": -20.0})
    assert rock_salt_window(make_hull(entries), "Mn") == pytest.approx((-4.0, -2.4))
    assert rock_salt_window(make_hull(entries), "Ru") is None


LITHIATED = {
    "Li2O": -6.2,
    "MnO": -4.0,
    "LiMnO2": -8.6,
    "Li2MnO3": -12.5,
    "MnO2": -5.4,
    "RuO2": -3.0,
}


def test_window_of_a_host_with_lithium():
    # 2 LiMnO2 -> Li2O + 2 MnO + O below, Li2MnO3 + MnO2 - O above; Ru + 2 O -> RuO2 at -1.5
    hull = make_hull(system(LITHIATED), ("Li", "Mn", "Ru", "O"))
    low, high = 2 * -8.6 + 6.2 + 2 * 4.0, -12.5 - 5.4 + 2 * 8.6
    assert rock_salt_window(hull, "Li0.5Mn0.5") == pytest.approx((low, high))
    share = metal_share_of_host_window(hull, "Ru", "Li0.5Mn0.5")
    assert share == pytest.approx((-1.5 - low) / (high - low))
    assert metal_below_dmu_o_ev(hull, "Ru", "Li0.5Mn0.5") == pytest.approx(-1.5)
    without = make_hull(
        system({f: e for f, e in LITHIATED.items() if f != "LiMnO2"}), ("Li", "Mn", "Ru", "O")
    )
    assert rock_salt_window(without, "Li0.5Mn0.5") is None
    assert metal_share_of_host_window(without, "Ru", "Li0.5Mn0.5") is None


def test_rock_salt_above_the_hull_has_no_window():
    hull = make_hull(system({"FeO": -2.0, "Fe3O4": -11.6, "RuO2": -3.2}))
    assert rock_salt_window(hull, "Fe") is None
    assert metal_in_host_window(hull, "Ru", "Fe") is None


@pytest.mark.parametrize(
    ("dopant", "expected"),
    [
        ({"MgO": -6.2}, "oxide"),  # reduced below MnO's window
        ({"ZnO": -3.0}, "partial"),  # inside it
        ({"RuO2": -3.2}, "metal"),  # above it
        ({"RuO2": -3.2, "MnRuO3": -9.0}, "partial"),  # saved in part by a ternary oxide
        ({"MgO": -6.2, "MgMn3": -4.0}, "partial"),  # an alloy is metal too
    ],
)
def test_metal_in_the_window_of_the_host(dopant, expected):
    hull = make_hull(system({"MnO": -4.0, "Mn3O4": -14.4} | dopant))
    symbol = next(e for e in hull.elements if e not in ("Mn", "O"))
    assert metal_in_host_window(hull, symbol, "Mn") == expected


def test_ratio_of_the_cations_decides():
    """A ternary oxide keeps as many dopants as it finds hosts for; the others stay metal."""
    hull = make_hull(system({"MnO": -4.0, "Mn3O4": -14.4, "RuO2": -3.2, "MnRuO3": -9.0}))
    assert metal_in_host_window(hull, "Ru", "Mn", {"Ru": 1, "Mn": 3}) == "partial"
    assert metal_in_host_window(hull, "Ru", "Mn", {"Ru": 3, "Mn": 1}) == "metal"


def test_questions_without_an_answer_are_refused():
    hull = make_hull(system({"MnO": -4.0}))
    with pytest.raises(RocksaltError, match="Ru is outside the system Mn-O"):
        oxygen_windows(hull, {"Ru": 1})
    with pytest.raises(RocksaltError, match="oxygen is not a cation"):
        oxygen_windows(hull, {"Mn": 1, "O": 1})
    with pytest.raises(RocksaltError, match="empty"):
        oxygen_windows(hull, {})
    with pytest.raises(RocksaltError, match="has no oxygen"):
        oxygen_windows(make_hull([entry("Mn", 0.0), entry("Ru", 0.0)]), {"Mn": 1})
    with pytest.raises(RocksaltError):
        rock_salt_window(hull, "Ni")
    with pytest.raises(RocksaltError, match="Ru is outside"):
        metal_in_host_window(hull, "Ru", "Mn")
