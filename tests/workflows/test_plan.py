"""From a campaign to calculations, and what makes two of them the same."""

from __future__ import annotations

import pickle
from collections import Counter

import pytest

from rocksalt.screening.elements import known_cations
from rocksalt.screening.identity import structure_fingerprint
from rocksalt.screening.mixtures import Decoration, rock_salt_supercell
from rocksalt.screening.prototypes import ROCK_SALT_SYMMETRY, element_starts
from rocksalt.workflows.calculation import Calculation, cation_fractions
from rocksalt.workflows.plan import make_plan


def by_role(plan):
    return Counter(c.role for c in plan.calculations.values())


def test_what_a_campaign_needs(campaign_of):
    plan = make_plan(campaign_of())
    elements = sum(len(element_starts(s)) for s in ("Mn", "Mg", "Ti"))
    # In four cations, all arrangements of one or two among them are equivalent.
    assert by_role(plan) == {"element": elements, "oxygen": 2, "end-member": 6, "mixture": 6}
    assert plan.counts() == {"mock": dict(by_role(plan))}
    assert all(key == c.key for key, c in plan.calculations.items())
    assert sum(n for _, n in plan.arrangements().values()) == 2 * (4 + 6 + 4)


def test_references_come_before_mixtures(campaign_of):
    roles = [c.role for c in make_plan(campaign_of()).calculations.values()]
    assert roles.index("mixture") == len(roles) - roles.count("mixture")


def test_engines_share_nothing_but_structures(campaign_of):
    one = make_plan(campaign_of(engines=["mock"]))
    two = make_plan(campaign_of(engines=["mock", "chgnet"]))
    assert len(two.calculations) == 2 * len(one.calculations)
    assert set(one.calculations) < set(two.calculations)
    alone = make_plan(campaign_of(engines=["chgnet"]))
    assert set(two.calculations) == set(one.calculations) | set(alone.calculations)
    assert {c.engine for c in two.calculations.values()} == {"mock", "chgnet"}


def test_a_pair_both_ways_is_computed_once(campaign_of):
    there = make_plan(campaign_of(dopants=["Mg", "Mn"], hosts=["Mn", "Mg"]))
    one_way = make_plan(campaign_of(dopants=["Mg"], hosts=["Mn"]))
    assert set(there.calculations) == set(one_way.calculations)
    assert there.n_merged == 3


def test_the_order_of_the_file_does_not_matter(campaign_of):
    first = make_plan(campaign_of(dopants=["Mg", "Ti"], hosts=["Mn", "Ni"]))
    other = make_plan(campaign_of(dopants=["Ti", "Mg"], hosts=["Ni", "Mn"], name="other"))
    assert set(first.calculations) == set(other.calculations)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"name": "other"}, True),
        ({"temperature": 500}, True),
        ({"thresholds": {"solubility": 0.5}}, True),
        ({"store": "other.sqlite"}, True),
        ({"seed": 1}, False),
        ({"relaxation": {"fmax": 0.03}}, False),
        ({"relaxation": {"max_evaluations": 3}}, False),
    ],
)
def test_a_key_depends_on_what_the_result_depends_on(campaign_of, change, same):
    first = set(make_plan(campaign_of()).calculations)
    other = set(make_plan(campaign_of(**change)).calculations)
    assert (first == other) is same
    assert same or not first & other


def test_a_campaign_in_a_larger_cell_shares_the_references(campaign_of):
    small = make_plan(campaign_of())
    large = make_plan(campaign_of(supercell={"enumerated": 8, "sqs": 0}))
    shared = [small.calculations[k].role for k in set(small.calculations) & set(large.calculations)]
    assert Counter(shared)["element"] == by_role(small)["element"]
    assert Counter(shared)["end-member"] == 3  # those in the primitive cell


def test_orderings_limits_the_arrangements(campaign_of):
    few = make_plan(campaign_of(orderings=1, supercell={"enumerated": 8, "sqs": 0}))
    assert by_role(few)["mixture"] == 6
    every = make_plan(campaign_of(supercell={"enumerated": 8, "sqs": 0}))
    assert by_role(every)["mixture"] == 2 * (2 + 4 + 2)


def test_fractions_of_a_mixture_are_those_asked_for(campaign_of):
    plan = make_plan(campaign_of(dopants=["Ti"], supercell={"enumerated": 8, "sqs": 16}))
    mixtures = [c for c in plan.calculations.values() if c.role == "mixture"]
    found = {round(c.cation_fractions["Ti"], 9) for c in mixtures}
    assert found == {0.25, 0.5, 0.75}
    for mixture in mixtures:
        assert set(mixture.cation_fractions) == {"Mn", "Ti"}
        assert sum(cation_fractions(mixture.structure).values()) == pytest.approx(1)
        assert (mixture.multiplicity is None) == (mixture.prototype == "sqs")


def test_a_calculation_survives_json(campaign_of):
    for calculation in make_plan(campaign_of(dopants=["Mg"])).calculations.values():
        again = Calculation.model_validate_json(calculation.model_dump_json())
        assert again.key == calculation.key
        assert again.structure == calculation.structure


@pytest.mark.parametrize("symbol", known_cations())
def test_every_cation_can_be_planned(campaign_of, symbol):
    host = "Mn" if symbol != "Mn" else "Ni"
    plan = make_plan(
        campaign_of(
            dopants=[symbol],
            hosts=[host],
            fractions=[0.5],
            supercell={"enumerated": 2, "sqs": 0},
        )
    )
    assert by_role(plan)["end-member"] >= 4
    assert all(c.structure.is_valid() for c in plan.calculations.values())


def test_structures_of_mixtures_are_made_when_asked_for(campaign_of):
    plan = make_plan(campaign_of(engines=["mock", "chgnet"]))
    mixtures = [c for c in plan.calculations.values() if c.role == "mixture"]
    assert all(isinstance(c.start, Decoration) for c in mixtures)
    for calculation in mixtures:
        assert calculation.structure == calculation.structure
        assert calculation.structure is not calculation.structure
        assert calculation.structure.composition == calculation.start.composition
        assert calculation.elements == {e.symbol for e in calculation.structure.composition}
        assert calculation.label.split()[0] == calculation.structure.composition.reduced_formula
    pairs = {(c.label, c.structure.lattice.volume) for c in mixtures}
    assert len(pairs) == len(mixtures) / 2  # both engines start from the same


def test_a_calculation_of_a_mixture_survives_pickling(campaign_of):
    for calculation in make_plan(campaign_of(dopants=["Mg"])).calculations.values():
        again = pickle.loads(pickle.dumps(calculation))
        assert again.key == calculation.key
        assert again.structure == calculation.structure


@pytest.mark.parametrize("symbol", ["Mg", "Mn", "Pr", "Ru"])
@pytest.mark.parametrize(("size", "quasi_random"), [(4, False), (8, False), (8, True), (27, False)])
def test_the_symmetry_of_an_end_member_is_known(symbol, size, quasi_random):
    cell = rock_salt_supercell(symbol, size, quasi_random=quasi_random)
    assert structure_fingerprint(cell, ROCK_SALT_SYMMETRY) == structure_fingerprint(cell)
