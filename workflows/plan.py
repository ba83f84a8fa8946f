"""From a campaign to the calculations it needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain

from rocksalt.screening.elements import host_cations
from rocksalt.screening.identity import structure_fingerprint
from rocksalt.screening.lithium import lithiated_rock_salt_arrangements
from rocksalt.screening.mixtures import (
    CATION_CELLS,
    QUASI_RANDOM_CELLS,
    Arrangement,
    arrangements,
    rock_salt_supercell,
)
from rocksalt.screening.prototypes import (
    ROCK_SALT_SYMMETRY,
    element_starts,
    oxygen_starts,
    rock_salt_starts,
)
from rocksalt.workflows.calculation import Calculation
from rocksalt.workflows.campaign import Campaign
from rocksalt.workflows.dft.planning import dft_calculations
from rocksalt.workflows.electronic_structure import electronic_structure_calculations
from rocksalt.workflows.plan_stages import (
    chemical_systems,
    from_start,
    hull_calculations,
    series_calculations,
    user_calculations,
    vacancy_calculations,
)
from rocksalt.workflows.user_phases import UserPhases, load_user_phases


@dataclass
class Plan:
    """The calculations of a campaign, each once, in the order in which they should run.

    Attributes
    ----------
    calculations
        By key. Elements, oxygen and end members come before mixtures, engine by engine.
    n_merged
        How many planned structures turned out to be one that was there already.
    notes
        What was left out, in words.
    """

    calculations: dict[str, Calculation] = field(default_factory=dict)
    n_merged: int = 0
    notes: list[str] = field(default_factory=list)

    def add(self, calculation: Calculation) -> None:
        """Take a calculation in unless it is there."""
        if calculation.key in self.calculations:
            self.n_merged += 1
        else:
            self.calculations[calculation.key] = calculation

    def arrangements(self) -> dict[str, tuple[str, int | None]]:
        """Return name and multiplicity of every mixture in this plan's cells, by key."""
        return {
            key: (calculation.prototype, calculation.multiplicity)
            for key, calculation in self.calculations.items()
            if calculation.role == "mixture"
        }

    def counts(self) -> dict[str, dict[str, int]]:
        """Return the number of calculations by engine and role."""
        table: dict[str, dict[str, int]] = {}
        for calculation in self.calculations.values():
            row = table.setdefault(calculation.engine, {})
            row[calculation.role] = row.get(calculation.role, 0) + 1
        return table


def make_plan(campaign: Campaign, user: UserPhases | None = None) -> Plan:
    """Return the calculations of a campaign, with a triage those of the engines that screen.

    Parameters
    ----------
    user
        What the campaign's key `entries` stands for; read here when not given.

    Raises
    ------
    RocksaltError
        When an engine is not known or a fraction fits no cell.
    """
    plan = Plan(notes=campaign.notes)
    if user is None:
        user = load_user_phases(campaign.entries, chemical_systems(campaign))
    plan.notes = [*plan.notes, *user.notes]
    base = Plan()
    first = campaign.screening_engines[0]
    for calculation in chain(
        reference_calculations(campaign, first),
        mixture_calculations(campaign, first),
        stage_calculations(campaign, first),
        user_calculations(campaign, first, user.structures),
    ):
        base.add(calculation)
    for engine in campaign.screening_engines:  # starts and fingerprints are made once
        settings = campaign.dft_settings(engine)
        own: Iterable[Calculation] = base.calculations.values()
        if settings is not None:
            own, left_out = dft_calculations(own, engine, settings)
            plan.notes += left_out
        elif engine != first:
            own = (calculation.with_engine(engine) for calculation in own)
        for calculation in own:
            plan.add(calculation)
        plan.n_merged += base.n_merged
    densities, left_out = electronic_structure_calculations(campaign)
    for calculation in densities:
        plan.add(calculation)
    plan.notes += left_out
    return plan


def stage_calculations(campaign: Campaign, engine: str) -> Iterator[Calculation]:
    """Yield what the stages beyond the rock salt need with one engine, each once."""
    seen: set[str] = set()
    for system in chemical_systems(campaign):
        for calculation in hull_calculations(campaign, engine, system):
            if calculation.key not in seen:
                seen.add(calculation.key)
                yield calculation
    if "lithium-deficient" in campaign.stages:
        yield from series_calculations(campaign, engine)
    if "oxygen-vacancy" in campaign.stages:
        yield from vacancy_calculations(campaign, engine)


def reference_calculations(campaign: Campaign, engine: str) -> Iterator[Calculation]:
    """Yield oxygen, the elements and the end members of a campaign with one engine."""
    yield from oxygen_calculations(campaign, engine)
    for cation in campaign.cations:
        yield from cation_calculations(campaign, engine, cation)
    for host in campaign.hosts:
        yield from lithiated_calculations(campaign, engine, host)


def oxygen_calculations(campaign: Campaign, engine: str) -> Iterator[Calculation]:
    """Yield the candidates for the O2 reference with one engine."""
    for start in oxygen_starts():
        yield from_start(campaign, engine, "oxygen", start, f"O2 {start.prototype}")


def cation_calculations(campaign: Campaign, engine: str, cation: str) -> Iterator[Calculation]:
    """Yield the element and the rock salt of one cation with one engine.

    The rock salt is relaxed in its primitive cell without a rattle, which keeps it Fm-3m, and once
    more in each cell in which mixtures are made: a mixture can distort there, and its end members
    must have the same freedom.
    """
    for start in element_starts(cation):
        yield from_start(campaign, engine, "element", start, f"{cation} {start.prototype}")
    for start in rock_salt_starts(cation):
        yield from_start(
            campaign,
            engine,
            "end-member",
            start,
            f"{cation}O {start.prototype}",
            rattle_angstrom=0.0,
            rattle_strain=0.0,
        )
    for size, quasi_random in (
        (campaign.supercell.enumerated, False),
        (campaign.supercell.sqs, True),
    ):
        if not size:
            continue
        cell = rock_salt_supercell(cation, size, quasi_random=quasi_random)
        special = quasi_random and QUASI_RANDOM_CELLS[size] != CATION_CELLS[size]
        name = f"{size} cations, elongated" if special else f"{size} cations"
        yield Calculation(
            role="end-member",
            label=f"{cation}O rock-salt, {name}",
            engine=engine,
            structure=cell,
            fingerprint=structure_fingerprint(cell, ROCK_SALT_SYMMETRY),
            prototype=f"rock-salt, {name}",
            relaxation=campaign.relaxation_settings(),
            cell=name,
        )


def mixture_calculations(campaign: Campaign, engine: str) -> Iterator[Calculation]:
    """Yield the mixtures of a campaign with one engine."""
    for dopant, host in campaign.pairs:
        yield from pair_calculations(campaign, engine, dopant, host)


def pair_calculations(
    campaign: Campaign, engine: str, dopant: str, host: str
) -> Iterator[Calculation]:
    """Yield the mixtures of one pair with one engine, at all fractions."""
    relaxation = campaign.relaxation_settings()
    for fraction in campaign.fractions:
        found = _arrangements(campaign, dopant, host, fraction)
        formula = found[0].composition.reduced_formula  # the same for all of one fraction
        for arrangement in found:
            yield Calculation(
                role="mixture",
                label=f"{formula} {arrangement.name}",
                engine=engine,
                structure=arrangement.start,
                fingerprint=arrangement.fingerprint,
                prototype=arrangement.name,
                relaxation=relaxation,
                multiplicity=arrangement.multiplicity,
            )


def _arrangements(campaign: Campaign, dopant: str, host: str, fraction: float) -> list[Arrangement]:
    *lithium, metal = host_cations(host)
    if lithium:
        return lithiated_rock_salt_arrangements(
            dopant, metal, fraction, campaign.lithiated_size, campaign.seed
        )
    return arrangements(
        dopant,
        metal,
        fraction,
        enumerated_cations=campaign.supercell.enumerated,
        sqs_cations=campaign.supercell.sqs,
        max_orderings=None if campaign.orderings == "all" else campaign.orderings,
        seed=campaign.seed,
    )


def lithiated_calculations(campaign: Campaign, engine: str, host: str) -> Iterator[Calculation]:
    """Yield the disordered rock salt of a host with lithium; nothing for one of a single cation."""
    *lithium, metal = host_cations(host)
    dopant = next((d for d, h in campaign.pairs if h == host), None)
    if not lithium or dopant is None:
        return
    for end in lithiated_rock_salt_arrangements(
        dopant, metal, 0.0, campaign.lithiated_size, campaign.seed
    ):
        yield Calculation(
            role="end-member",
            label=f"{host}O {end.name}",
            engine=engine,
            structure=end.structure,
            fingerprint=end.fingerprint,
            prototype=end.name,
            relaxation=campaign.relaxation_settings(),
        )
