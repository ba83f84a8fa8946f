"""Real relaxations of manganese oxides from prototypes alone, against what is known of them."""

from __future__ import annotations

import pytest
from pymatgen.core import Composition

from rocksalt.screening.measured import measured_entries
from rocksalt.stores.records import Summary
from rocksalt.workflows.calculate import calculate
from rocksalt.workflows.derive_phases import computed_hull, hull_doc
from rocksalt.workflows.engines import get_engine
from rocksalt.workflows.plan import cation_calculations, oxygen_calculations
from rocksalt.workflows.plan_stages import hull_calculations
from rocksalt.workflows.results import Results

pytest.importorskip("chgnet", reason="needs the extra 'mlip'")

LARGEST_ABOVE_HULL_EV_PER_ATOM = 0.03
LARGEST_ERROR_EV_PER_ATOM = 0.05  # CHGNet's error of formation energies, and 298 K against 0 K


@pytest.fixture(scope="module")
def document(campaign_of):
    campaign = campaign_of(engines=["chgnet"], stages=["hull"])
    calculations = [
        *oxygen_calculations(campaign, "chgnet"),
        *cation_calculations(campaign, "chgnet", "Mn"),
        *hull_calculations(campaign, "chgnet", ("Mn",)),
    ]
    summaries = [Summary.model_validate(calculate(c).model_dump(mode="json")) for c in calculations]
    hull, by_key = computed_hull(Results(summaries), "chgnet", ["Mn"])
    assert len(hull.entries) + len(hull.rejected) > len(calculations)  # and those never made
    return hull_doc(hull, "chgnet", {"Mn": 1}, by_key, get_engine("chgnet").scale)


@pytest.mark.parametrize(
    ("formula", "prototypes"),
    [
        ("MnO", {"rock-salt", "rock-salt, 4 cations", "tenorite"}),
        ("Mn3O4", {"hausmannite", "spinel"}),  # the cubic start turns tetragonal
        ("Mn2O3", {"bixbyite"}),
        ("MnO2", {"rutile", "hollandite", "ramsdellite"}),
    ],
)
def test_every_manganese_oxide_is_on_the_hull_in_its_own_structure(document, formula, prototypes):
    near = {
        p.prototype
        for p in document.phases
        if p.formula == formula and p.e_above_hull_ev_per_atom <= LARGEST_ABOVE_HULL_EV_PER_ATOM
    }
    assert near & prototypes
    lowest = min(
        (p for p in document.phases if p.formula == formula),
        key=lambda p: p.formation_energy_ev_per_atom,
    )
    assert lowest.prototype in prototypes
    measured = next(
        e
        for e in measured_entries(["Mn", "O"])
        if Composition(e.entry_id).reduced_formula == formula
    )
    assert lowest.formation_energy_ev_per_atom == pytest.approx(
        measured.energy_ev / measured.n_atoms, abs=LARGEST_ERROR_EV_PER_ATOM
    )


def test_windows_follow_the_oxidation_states(document):
    states = [window.oxidation_states["Mn"] for window in document.windows]
    assert states == sorted(states)
    assert states[0] == 0
    assert states[-1] == 4
    low, high = document.rock_salt_windows_ev["Mn"]
    assert low == pytest.approx(-4.0, abs=0.2)
    assert high == pytest.approx(-2.4, abs=0.2)
