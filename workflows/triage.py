"""Triage: potentials screen every dopant, and one engine decides about those they leave open."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from jobflow import JobStore

from rocksalt.screening.calibration import agreement
from rocksalt.screening.triage import Choice, Standing, triage
from rocksalt.stores.documents import FormationEnergyDoc, MixingDoc, RankingDoc
from rocksalt.stores.records import load_document, load_summaries, save
from rocksalt.stores.triage_documents import EngineAgreement, TriageChoice, TriageDoc
from rocksalt.workflows.calculation import Calculation
from rocksalt.workflows.campaign import Campaign
from rocksalt.workflows.plan import Plan, make_plan

if TYPE_CHECKING:
    from rocksalt.stores.calculation_documents import CalculationDoc

_STAYS_OXIDISED = "stays oxidised"


def decide(
    campaign: Campaign,
    ranking: RankingDoc,
    cpu_hours_of: Callable[[Calculation], float],
    done: Collection[str] = (),
) -> TriageDoc:
    """Return who goes to the engine that decides, in order, as far as the budget reaches.

    Parameters
    ----------
    campaign
        With a triage.
    ranking
        Of the engines that screen.
    cpu_hours_of
        Estimated cost of a calculation.
    done
        Keys of calculations that are there already and cost nothing.

    Notes
    -----
    Criteria of later stages are those of the engines that screen: a candidate whose mixing and
    formation energy are decided is passed over, and so is one of which only the formation energy is open
    where that of the deciding engine is uncorrected. One whose cost goes beyond what is left of the budget
    is passed over too, and the next may still fit.
    """
    assert campaign.triage is not None
    budget = campaign.triage.budget_cpu_hours
    by_dopant = {c.dopant: c for c in ranking.candidates}
    choices, others = triage(
        [
            Standing(c.dopant, c.verdict, c.criteria, c.score_ev_per_cation, c.uncertainty_ev)
            for c in ranking.candidates
        ]
    )
    passed_over = [{"dopant": dopant, "why": why} for dopant, why in others.items()]
    chosen: list[TriageChoice] = []
    notes: list[str] = []
    taken = set(done)
    left = budget
    decides_formation = not campaign.energy_scale(campaign.engines[-1]).too_high_ev_per_formula
    for choice in choices:
        hosts = _open_hosts(campaign, choice)
        if not hosts and not (decides_formation and _STAYS_OXIDISED in choice.open_criteria):
            why = f"open is only what {campaign.engines[-1]} does not decide: "
            passed_over.append(
                {"dopant": choice.dopant, "why": why + ", ".join(choice.open_criteria)}
            )
            continue
        plan = _plan_of(campaign, choice.dopant, hosts)
        new = [c for key, c in plan.calculations.items() if key not in taken]
        cost = sum(cpu_hours_of(c) for c in new)
        if left is not None and cost > left:
            passed_over.append(
                {
                    "dopant": choice.dopant,
                    "why": f"needs {cost:.2g} CPU h, {left:.2g} of the budget are left; "
                    + choice.reason,
                }
            )
            continue
        left = None if left is None else left - cost
        taken |= set(plan.calculations)
        notes += [note for note in plan.notes if note not in notes]
        chosen.append(
            TriageChoice(
                dopant=choice.dopant,
                hosts=hosts,
                rank_span=choice.rank_span,
                reason=choice.reason,
                keys=list(plan.calculations),
                estimated_cpu_hours=cost,
                verdict_before=by_dopant[choice.dopant].verdict,
            )
        )
    return TriageDoc(
        campaign=campaign.name,
        content_hash=campaign.content_hash,
        decide=campaign.engines[-1],
        budget_cpu_hours=budget,
        chosen=chosen,
        passed_over=passed_over,
        notes=notes,
    )


def deciding_plan(campaign: Campaign, document: TriageDoc) -> Plan:
    """Return the calculations of the engine that decides, in the order of the choices."""
    plan = Plan(notes=list(document.notes))
    for choice in document.chosen:
        for calculation in _plan_of(campaign, choice.dopant, choice.hosts).calculations.values():
            plan.calculations.setdefault(calculation.key, calculation)
    return plan


def joined(*plans: Plan) -> Plan:
    """Return several plans as one, each calculation once."""
    whole = Plan()
    for plan in plans:
        whole.calculations |= plan.calculations
        whole.n_merged += plan.n_merged
        whole.notes += [note for note in plan.notes if note not in whole.notes]
    return whole


def load_triage(store: JobStore, campaign: Campaign) -> TriageDoc | None:
    """Return what was decided for just this campaign before, or None.

    A decision stands: a run that goes on must not choose anew because an estimate has changed.
    """
    output = load_document(store, _uuid(campaign))
    if output is None:
        return None
    document = TriageDoc.model_validate(output)
    return document if document.content_hash == campaign.content_hash else None


def save_triage(store: JobStore, document: TriageDoc) -> None:
    """Store a triage in the place of the campaign's earlier one."""
    name = document.campaign
    save(store, f"triage-{name}", "triage", document, name, campaign=name)


def spent_cpu_hours(store: JobStore, document: TriageDoc) -> float:
    """Return the CPU hours of the finished and failed calculations of a triage."""
    keys = {key for choice in document.chosen for key in choice.keys}
    return sum((s.cpu_s or 0.0) for s in load_summaries(store, keys).values()) / 3600


class Purse:
    """What is left of a triage's budget while its calculations run.

    Parameters
    ----------
    document
        The triage.
    spent
        CPU hours that its calculations took before.
    """

    def __init__(self, document: TriageDoc, spent: float) -> None:
        self.document = document
        self.spent = spent

    @property
    def is_empty(self) -> bool:
        """Whether the budget is spent: then no further calculation starts."""
        budget = self.document.budget_cpu_hours
        return budget is not None and self.spent >= budget

    def pays(self, on_result: Callable[[CalculationDoc], None]) -> Callable[[CalculationDoc], None]:
        """Return a function that counts the cost of each result and hands it on."""

        def take(document: CalculationDoc) -> None:
            self.spent += (document.cpu_s or 0.0) / 3600
            on_result(document)

        return take

    def in_words(self, n_left: int) -> str:
        """Return what a user is told when the budget ends before the calculations do."""
        return (
            f"triage: the budget of {self.document.budget_cpu_hours:g} CPU h is spent "
            f"({self.spent:.2f}): {n_left} calculations of {self.document.decide} were not started; "
            "raise engines.budget_cpu_hours to go on"
        )


def concluded(
    document: TriageDoc,
    ranking: RankingDoc,
    formations: Iterable[FormationEnergyDoc],
    mixings: Iterable[MixingDoc],
    spent: float,
) -> TriageDoc:
    """Return a triage with the verdicts after it, its cost, and the agreement of the engines."""
    after = {c.dopant: c.verdict for c in ranking.candidates}
    decided = {f.cation for f in formations if f.engine == document.decide}
    return document.model_copy(
        update={
            "chosen": [
                c.model_copy(
                    update={"verdict_after": after.get(c.dopant) if c.dopant in decided else None}
                )
                for c in document.chosen
            ],
            "spent_cpu_hours": spent,
            "agreement": agreements(document.decide, formations, mixings),
        }
    )


def agreements(
    reference: str, formations: Iterable[FormationEnergyDoc], mixings: Iterable[MixingDoc]
) -> list[EngineAgreement]:
    """Return the agreement of each engine with a reference, on what both computed.

    dEf(MO) on the best scale of each engine, so that the corrections of the one and the raw energies
    of the other are part of the difference; dHmix arrangement by arrangement.

    Parameters
    ----------
    reference
        Name of the engine that is trusted.
    formations, mixings
        Of all engines.
    """
    formation: dict[str, dict[Hashable, float]] = {}
    for f in formations:
        if f.reduction_dmu_o_ev is not None:
            formation.setdefault(f.engine, {})[f.cation] = f.reduction_dmu_o_ev
    mixing: dict[str, dict[Hashable, float]] = {}
    for m in mixings:
        for point in m.points:
            for a in point.arrangements:
                place = (m.dopant, m.host, point.fraction, a.label)
                mixing.setdefault(m.engine, {})[place] = a.enthalpy_ev_per_cation
    return [
        *_against(reference, "dEf(MO)", "eV per formula", formation),
        *_against(reference, "dHmix", "eV per cation", mixing),
    ]


def _against(
    reference: str,
    quantity: Literal["dEf(MO)", "dHmix"],
    unit: str,
    table: dict[str, dict[Hashable, float]],
) -> Iterable[EngineAgreement]:
    for engine, values in table.items():
        if engine == reference:
            continue
        found = agreement(values, table.get(reference, {}))
        if found.n:
            yield EngineAgreement(
                engine=engine,
                quantity=quantity,
                unit=unit,
                n=found.n,
                mean_error=found.mean_error_ev,
                mean_absolute_error=found.mean_absolute_error_ev,
                largest_error=found.largest_error_ev,
                rank_correlation=found.rank_correlation,
            )


def _open_hosts(campaign: Campaign, choice: Choice) -> list[str]:
    return [h for h in campaign.hosts if f"mixes with {h}O" in choice.open_criteria]


def _plan_of(campaign: Campaign, dopant: str, hosts: Sequence[str]) -> Plan:
    """Return what the engine that decides computes of a dopant: MO, and mixtures with some hosts."""
    part = campaign.model_copy(
        update={
            "dopants": [dopant],
            "hosts": list(hosts) or [h for h in campaign.hosts if h != dopant],
            "engines": campaign.engines[-1:],
            "fractions": campaign.fractions if hosts else [],
            "stages": ["rock-salt"],
            "triage": None,
            "entries": None,
        }
    )
    plan = make_plan(part)
    if not hosts:  # its formation energy alone
        plan.calculations = {
            key: c
            for key, c in plan.calculations.items()
            if set(c.cation_fractions) <= {dopant} and c.cell == "primitive"
        }
    return plan


def _uuid(campaign: Campaign) -> str:
    return f"triage-{campaign.name}"
