"""Which prototypes of an element a DFT engine computes."""

import pytest

from rocksalt.workflows.plan import make_plan


@pytest.mark.parametrize(
    ("max_atoms", "planned"),
    [(None, {"alpha-Mn"}), (29, {"alpha-Mn"}), (4, {"bcc", "fcc", "hcp"}), (1, {"bcc", "fcc"})],
)
def test_competitors_stand_in_for_a_ground_state_that_is_too_large(campaign_of, max_atoms, planned):
    campaign = campaign_of(
        hosts=["Mn"], fractions=[], engines=["gpaw"], dft={"gpaw": {"max_atoms": max_atoms}}
    )
    plan = make_plan(campaign)
    elements = [c for c in plan.calculations.values() if c.role == "element"]
    assert {c.prototype for c in elements if "Mn" in c.cation_fractions} == planned
    assert any("Mn alpha-Mn (29)" in note for note in plan.notes) == ("alpha-Mn" not in planned)


def test_otherwise_the_ground_state_is_enough(campaign_of):
    plan = make_plan(campaign_of(fractions=[], engines=["gpaw"], dft={"gpaw": {"max_atoms": 4}}))
    titanium = [c.label for c in plan.calculations.values() if c.label.startswith("Ti ")]
    assert titanium == ["Ti hcp"]
