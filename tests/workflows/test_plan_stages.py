"""What the stages beyond the rock salt add to a plan, and what they leave as it was."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import pytest
from pymatgen.core import Lattice, Structure

from rocksalt.screening.identity import digest
from rocksalt.screening.lithium import (
    delithiated,
    doped,
    layer_lithium,
    layered_cell,
    li_o_li_counts,
    series,
)
from rocksalt.screening.phases import competing_starts
from rocksalt.screening.prototypes import element_starts
from rocksalt.screening.vacancies import Preparation, distinct_near, distinct_oxygens
from rocksalt.workflows import plan_stages
from rocksalt.workflows.calculation import Calculation
from rocksalt.workflows.plan import make_plan
from rocksalt.workflows.plan_stages import chemical_systems, layered_dopants
from rocksalt.workflows.stages import STAGES
from rocksalt.workflows.user_phases import UserPhases

ALL = list(STAGES[1:])
SMALLEST = {"enumerated": 4, "sqs": 0, "layered": 2, "vacancy": 2}
STRAINS = [-2.0, 0.0, 2.0]


@pytest.fixture(scope="module")
def stages_of(campaign_of):
    """Return a function that gives a campaign with all stages in the smallest cells."""

    def stages_of(**changes):
        settings = {
            "dopants": ["Ti"],
            "fractions": [0.5],
            "stages": ALL,
            "supercell": SMALLEST,
            "strains_percent": STRAINS,
        }
        return campaign_of(**{**settings, **changes})

    return stages_of


@pytest.fixture(scope="module")
def whole(stages_of):
    return make_plan(stages_of())


@pytest.fixture
def few_phases(monkeypatch):
    """Leave one competing phase per system: for tests of what else is planned."""

    def first(system):
        return competing_starts(system)[:1]

    monkeypatch.setattr(plan_stages, "competing_starts", first)


def roles(plan):
    return Counter(c.role for c in plan.calculations.values())


def of_role(plan, *wanted):
    return [c for c in plan.calculations.values() if c.role in wanted]


# What is added ----------------------------------------------------------------------------------


def test_all_stages(whole):
    competing = {
        (start.structure.composition.reduced_formula, start.prototype)
        for system in (("Mn", "Ti"), ("Li", "Mn"), ("Li", "Mn", "Ti"))
        for start in competing_starts(system)
    }
    n_series = len(series("Mn", 2)) + 2  # Ti in the pristine cell and in the one half replaced
    pristine = layered_cell("Mn", 2)
    half = next(m.structure for m in series("Mn", 2) if m.n_replaced == 1)
    n_states = 1 + 3 * 2  # three kinds of strain, two strains that are not zero
    n_vacancies = (
        n_states * (1 + len(distinct_oxygens(pristine)))
        + n_states * (1 + len(distinct_oxygens(delithiated(pristine, 2))))
        + 1
        + len(distinct_oxygens(half))
        + 1
        + len(distinct_near(doped(pristine, "Ti", "Mn"), "Ti"))
        + len(distinct_oxygens(pristine))  # of each kind the farthest
    )
    assert roles(whole) == {
        "element": sum(len(element_starts(s)) for s in ("Li", "Mn", "Ti")),
        "oxygen": 2,
        "end-member": 4,
        "mixture": 1,
        "competing-phase": len(competing),
        "series": n_series,
        "vacancy": n_vacancies,
        "density-of-states": 4,  # whole, Li removed once and twice, Li replaced
    }
    found = {c.label for c in of_role(whole, "competing-phase")}
    assert found == {f"{formula} {prototype}" for formula, prototype in competing}


def test_each_calculation_once(whole):
    """Binary oxides belong to several systems."""
    calculations = list(whole.calculations.values())
    assert len({c.key for c in calculations}) == len(calculations)
    assert len({(c.role, c.label) for c in calculations}) == len(calculations)
    assert whole.n_merged == 0
    assert all(key == c.key for key, c in whole.calculations.items())


def test_stages_come_after_the_rock_salt_and_leave_it_as_it_was(stages_of, whole):
    plain = make_plan(stages_of(stages=["rock-salt"]))
    assert set(roles(plain)) == {"element", "oxygen", "end-member", "mixture"}
    n = len(plain.calculations)
    first = list(whole.calculations.items())[:n]
    assert [key for key, _ in first] == list(plain.calculations)
    assert [c.model_dump() for _, c in first] == [
        c.model_dump() for c in plain.calculations.values()
    ]


@pytest.mark.parametrize(
    ("stages", "added", "symbols"),
    [
        (["rock-salt"], set(), {"Mn", "Ti"}),
        (["hull"], {"competing-phase"}, {"Mn", "Ti"}),
        (["lithium-deficient"], {"competing-phase", "series"}, {"Li", "Mn", "Ti"}),
        (["oxygen-vacancy"], {"vacancy"}, {"Mn", "Ti"}),
        (["oxygen-vacancy", "hull"], {"competing-phase", "vacancy"}, {"Mn", "Ti"}),
    ],
)
def test_a_stage_adds_its_own_alone(stages_of, few_phases, stages, added, symbols):
    plan = make_plan(stages_of(stages=stages))
    assert set(roles(plan)) - {"element", "oxygen", "end-member", "mixture"} == added
    elements = {s for c in of_role(plan, "element") for s in c.cation_fractions}
    assert elements == symbols


def test_engines_share_structures(stages_of, few_phases):
    one = make_plan(stages_of())
    two = make_plan(stages_of(engines=["mock", "chgnet"]))
    assert set(one.calculations) < set(two.calculations)
    with_states = dict(roles(one))
    without_states = {r: n for r, n in with_states.items() if r != "density-of-states"}
    assert two.counts() == {"mock": with_states, "chgnet": without_states}
    for calculation in two.calculations.values():
        assert calculation.key == Calculation.model_validate(calculation.model_dump()).key


def test_systems(stages_of):
    assert chemical_systems(stages_of(stages=["rock-salt", "oxygen-vacancy"])) == []
    both = {"dopants": ["Ti", "Mg"], "hosts": ["Mn", "Ni"]}
    hulls = [("Mn", "Ti"), ("Ni", "Ti"), ("Mg", "Mn"), ("Mg", "Ni")]
    layered = [("Li", "Mn"), ("Li", "Mn", "Ti"), ("Li", "Mg", "Mn")]
    assert chemical_systems(stages_of(stages=["hull"], **both)) == hulls
    assert chemical_systems(stages_of(stages=["lithium-deficient"], **both)) == layered
    assert chemical_systems(stages_of(**both)) == hulls + layered
    there_and_back = {"dopants": ["Mn", "Mg"], "hosts": ["Mn", "Mg"]}
    assert chemical_systems(stages_of(stages=["hull"], **there_and_back)) == [("Mg", "Mn")]


# Identity ---------------------------------------------------------------------------------------


def test_keys_of_the_rock_salt_stage_are_made_as_they_were(stages_of, few_phases):
    """Keys of stores that are there: no stage may add anything to what they are made of."""
    plan = make_plan(stages_of())
    for calculation in plan.calculations.values():
        if calculation.role not in {"element", "oxygen", "end-member", "mixture"}:
            continue
        rattled = calculation.role != "end-member" or calculation.cell != "primitive"
        settings = {
            "cell": calculation.cell,
            "fmax": 0.02,
            "max_evaluations": 500,
            "rattle_angstrom": 0.02 if rattled else 0.0,  # rock salt stays Fm-3m without
            "rattle_strain": 0.005 if rattled else 0.0,
            "relax_cell": calculation.prototype != "O2-molecule",
            "seed": 0,
        }
        assert calculation.settings == settings
        parts = [calculation.role, calculation.fingerprint, "mock", "1", settings]
        assert calculation.key == digest(parts)


def test_a_preparation_is_part_of_the_identity_and_details_are_not(whole):
    vacancies = of_role(whole, "vacancy")
    assert all(c.settings["preparation"] == c.preparation.model_dump() for c in vacancies)
    one = vacancies[0]
    others = [
        Preparation(strain_kind="isotropic", strain=0.02),
        Preparation(strain_kind="isotropic", strain=-0.02),
        Preparation(strain_kind="in-plane", strain=0.02),
        Preparation(vacancy=12),
        Preparation(vacancy=13),
        None,
    ]

    def changed(**fields):
        own = {name: getattr(one, name) for name in type(one).model_fields if name != "start"}
        return Calculation(structure=one.structure, **own | fields)

    keys = {changed(preparation=p).key for p in others}
    assert len(keys | {one.key}) == len(others) + 1
    same = {"details": {"cell": "x"}, "label": "x", "prototype": "x", "multiplicity": 7}
    assert changed(**same).key == one.key


def test_a_calculation_survives_json(whole):
    for role in ("competing-phase", "series", "vacancy"):
        calculation = of_role(whole, role)[-1]
        again = Calculation.model_validate_json(calculation.model_dump_json())
        assert again == calculation
        assert again.key == calculation.key


def test_cells_of_two_sizes_are_two_calculations(stages_of, few_phases):
    """Positions of vacancies and numbers of lithium count in the cell, which is one crystal."""
    stages = ["lithium-deficient", "oxygen-vacancy"]
    small = make_plan(stages_of(stages=stages, orderings=1))
    sizes = {**SMALLEST, "layered": 4, "vacancy": 4}
    large = make_plan(stages_of(stages=stages, orderings=1, supercell=sizes))
    shared = set(small.calculations) & set(large.calculations)
    assert {small.calculations[key].role for key in shared}.isdisjoint({"series", "vacancy"})
    assert len(shared) == len(small.calculations) - len(of_role(small, "series", "vacancy"))


# Series -----------------------------------------------------------------------------------------


def test_series(stages_of, few_phases):
    plan = make_plan(stages_of(stages=["lithium-deficient"], dopants=["Ti", "Mg"]))
    members = of_role(plan, "series")
    pure = [c for c in members if c.details["dopant"] is None]
    wanted = series("Mn", 2)
    assert [c.structure for c in pure] == [m.structure for m in wanted]
    assert [c.details["n"] for c in pure] == [m.n_replaced for m in wanted] == [0, 1, 2]
    assert [c.multiplicity for c in pure] == [m.multiplicity for m in wanted]
    assert [c.label for c in pure] == [m.name for m in wanted]
    for dopant in ("Ti", "Mg"):
        doped = [c for c in members if c.details["dopant"] == dopant]
        assert [c.details["n"] for c in doped] == [0, 1]
        for c in doped:
            assert c.structure.composition[dopant] == 1
            assert c.label.endswith(f" with {dopant}")
            assert c.multiplicity is None
    for c in members:
        amounts = c.structure.composition
        assert c.details["lithium_per_oxygen"] == amounts["Li"] / amounts["O"]
        assert c.details["n"] == 2 - len(layer_lithium(c.structure)) == 8 - amounts["Li"]
        assert c.details["li_o_li_per_oxygen"] == li_o_li_counts(c.structure).mean()
        assert (c.details["host"], c.details["n_layer_lithium"]) == ("Mn", 2)
        assert c.relaxation.relax_cell
        assert c.preparation is None


def test_orderings_limit_the_series(stages_of, few_phases):
    sizes = {**SMALLEST, "layered": 4}
    every = make_plan(stages_of(stages=["lithium-deficient"], supercell=sizes))
    few = make_plan(stages_of(stages=["lithium-deficient"], supercell=sizes, orderings=1))

    def numbers(plan):
        return Counter(c.details["n"] for c in of_role(plan, "series") if not c.details["dopant"])

    assert numbers(every) == Counter(m.n_replaced for m in series("Mn", 4))
    assert numbers(few) == dict.fromkeys(range(5), 1)
    assert set(few.calculations) < set(every.calculations)


def test_the_host_is_no_dopant_of_its_layered_oxide(stages_of, few_phases):
    campaign = stages_of(dopants=["Mn", "Ti"], hosts=["Mn", "Ni"])
    assert campaign.screened == ["Mn", "Ti"]
    assert campaign.layered_host == "Mn"
    assert layered_dopants(campaign) == ["Ti"]
    layered = of_role(make_plan(campaign), "series", "vacancy")
    assert {c.details["dopant"] for c in layered} == {None, "Ti"}
    assert {c.details["host"] for c in layered} == {"Mn"}
    assert all("Ni" not in c.cation_fractions for c in layered)


# Vacancies --------------------------------------------------------------------------------------


def test_vacancies(whole):
    by_cell = {}
    for c in of_role(whole, "vacancy"):
        by_cell.setdefault(c.details["cell"], []).append(c)
    assert list(by_cell) == ["Li2MnO3", "Li1.5MnO3", "Li7Mn5O12", "Li2MnO3 with Ti"]
    formulas = {name: cells[0].structure.formula for name, cells in by_cell.items()}
    assert formulas == {
        "Li2MnO3": "Li8 Mn4 O12",
        "Li1.5MnO3": "Li6 Mn4 O12",
        "Li7Mn5O12": "Li7 Mn5 O12",
        "Li2MnO3 with Ti": "Li8 Ti1 Mn3 O12",
    }
    for name, cells in by_cell.items():
        strains = {(c.details["strain_kind"], c.details["strain_percent"]) for c in cells}
        strained = {(k, s) for k in ("isotropic", "in-plane", "c-axis") for s in (-2.0, 2.0)}
        is_strained = name in {"Li2MnO3", "Li1.5MnO3"}
        assert strains == {("none", 0.0)} | (strained if is_strained else set())
        for strain in strains:
            state = [
                c
                for c in cells
                if (c.preparation.strain_kind, c.details["strain_percent"]) == strain
            ]
            sites = [c.details["site"] for c in state]
            assert sites[0] is None
            assert len(set(sites)) == len(sites)
            for c in state:
                assert c.preparation.strain == strain[1] / 100
                assert c.preparation.vacancy == c.details["site"]
                assert c.structure is cells[0].structure  # the pristine one, to be relaxed first
                if c.details["site"] is not None:
                    assert c.structure[c.details["site"]].specie.symbol == "O"
            if name != "Li2MnO3 with Ti":
                assert sum(c.multiplicity for c in state[1:]) == 12


def test_every_kind_of_oxygen_goes_near_to_and_far_from_the_dopant(whole):
    doped = [c for c in of_role(whole, "vacancy") if c.details["dopant"]]
    cell = doped[0].structure
    dopant = next(i for i, site in enumerate(cell) if site.specie.symbol == "Ti")
    distances = {
        c.details["site_name"]: cell.get_distance(dopant, c.details["site"]) for c in doped[1:]
    }
    near = {name: d for name, d in distances.items() if " near Ti" in name}
    far = {name: d for name, d in distances.items() if " far from Ti" in name}
    assert len(near) + len(far) == len(distances)
    assert len(near) >= 3  # two of 8j and one of 4i are no longer equivalent beside the dopant
    assert max(near.values()) < 2.3 < min(far.values())
    assert [c.details["is_near"] for c in doped[1:]] == [n in near for n in distances]


def test_zero_is_among_the_strains_and_computed_once(stages_of):
    one = stages_of(stages=["oxygen-vacancy"], strains_percent=[4.0])
    assert one.strains_percent == [0.0, 4.0]
    vacancies = of_role(make_plan(one), "vacancy")
    states = Counter(
        (c.details["cell"], c.details["strain_kind"], c.details["strain_percent"])
        for c in vacancies
        if c.details["site"] is None
    )
    assert set(states.values()) == {1}
    assert len(states) == 4 + 2 * 3


# Hosts with lithium -----------------------------------------------------------------------------


def test_a_host_with_lithium(campaign_of):
    campaign = campaign_of(
        dopants=["Ti", "Li", "Mn", "Mg"],
        hosts=["Li0.5Mn0.5"],
        fractions=[0.25, 0.5, 0.75],
        supercell={"enumerated": 0, "sqs": 8},
    )
    plan = make_plan(campaign)
    mixtures = of_role(plan, "mixture")
    assert len(mixtures) == 2 * 3
    for mixture in mixtures:
        counts = Counter(s.specie.symbol for s in mixture.structure)
        (dopant,) = set(counts) - {"Li", "Mn", "O"}
        x = Fraction(counts[dopant], counts["O"])
        assert x in {Fraction(1, 4), Fraction(1, 2), Fraction(3, 4)}
        assert counts["Li"] == counts["Mn"]
        assert Fraction(counts["Li"], counts["O"]) == (1 - x) / 2
        assert mixture.cation_fractions[dopant] == float(x)
    ends = [c for c in of_role(plan, "end-member") if len(c.cation_fractions) == 2]
    assert [c.cation_fractions for c in ends] == [{"Li": 0.5, "Mn": 0.5}]
    assert ends[0].label == "Li0.5Mn0.5O sqs"
    assert plan.notes == [
        "Li in Li0.5Mn0.5O is left out: dopant and host are the same",
        "Mn in Li0.5Mn0.5O is left out: dopant and host are the same",
    ]
    assert campaign.screened == ["Ti", "Mg"]
    assert campaign.layered_host == "Mn"


def test_a_host_with_lithium_beside_its_metal(stages_of, few_phases):
    campaign = stages_of(hosts=["Li0.5Mn0.5", "Mn"], supercell={**SMALLEST, "sqs": 4})
    plan = make_plan(campaign)
    mixtures = Counter(tuple(sorted(c.cation_fractions)) for c in of_role(plan, "mixture"))
    assert set(mixtures) == {("Mn", "Ti"), ("Li", "Mn", "Ti")}
    ends = {tuple(sorted(c.cation_fractions)) for c in of_role(plan, "end-member")}
    assert ends == {("Mn",), ("Ti",), ("Li", "Mn")}
    elements = Counter(s for c in of_role(plan, "element") for s in c.cation_fractions)
    assert elements == {s: len(element_starts(s)) for s in ("Li", "Mn", "Ti")}
    only_lithiated = stages_of(
        hosts=["Li0.5Mn0.5"], stages=["hull"], supercell={**SMALLEST, "sqs": 4}
    )
    assert chemical_systems(only_lithiated) == [("Li", "Mn", "Ti")]
    assert chemical_systems(campaign)[:2] == [("Li", "Mn", "Ti"), ("Mn", "Ti")]
    elements = {
        s for c in of_role(make_plan(only_lithiated), "element") for s in c.cation_fractions
    }
    assert elements == {"Li", "Mn", "Ti"}


# The user's own ---------------------------------------------------------------------------------


def crystal(a, *symbols):
    positions = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0.0]][: len(symbols)]
    return Structure(Lattice.cubic(a), list(symbols), positions)


def test_structures_of_a_system_only(stages_of, few_phases):
    user = UserPhases(
        structures=[
            ("a.cif", crystal(3.1, "Mn", "Ti")),
            ("b.cif", crystal(3.0, "Mn", "Ni")),
            ("c.cif", crystal(4.0, "Ti", "O", "O")),
            ("d.cif", crystal(4.1, "Li", "Ti", "O")),
            ("e.cif", crystal(5.0, "Na", "O")),
        ]
    )

    def taken(**changes):
        campaign = stages_of(engines=["mock", "chgnet"], **changes)
        with_user = make_plan(campaign, user).calculations
        without = make_plan(campaign, UserPhases()).calculations
        assert list(with_user)[: len(without) // 2] == list(without)[: len(without) // 2]
        added = [with_user[key] for key in with_user if key not in without]
        assert {c.role for c in added} == {"competing-phase"}
        return Counter((c.engine, c.label) for c in added)

    in_both = ("TiMn a.cif", "TiO2 c.cif")
    engines = ("mock", "chgnet")
    assert taken(stages=["hull"]) == {(e, label): 1 for e in engines for label in in_both}
    assert taken(stages=["hull", "lithium-deficient"]) == {
        (e, label): 1 for e in engines for label in (*in_both, "LiTiO d.cif")
    }


def test_a_users_structure_that_is_planned_already_is_computed_once(stages_of, few_phases):
    campaign = stages_of(stages=["hull"])
    start = competing_starts(("Mn", "Ti"))[0]
    again = UserPhases(structures=[("mine.cif", start.structure.make_supercell(2, in_place=False))])
    with_user = make_plan(campaign, again)
    assert set(with_user.calculations) == set(make_plan(campaign, UserPhases()).calculations)
    assert with_user.n_merged == 1
