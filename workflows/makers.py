"""Jobflow Makers: the same screen as ``rocksalt run``, for any manager and any store."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from jobflow import Flow, Job, Maker, job
from pymatgen.core import Structure

from rocksalt.screening.identity import structure_fingerprint
from rocksalt.stores.documents import (
    CalculationBatchDoc,
    CalculationDoc,
    RankingDoc,
    Role,
)
from rocksalt.stores.phase_documents import DopantDoc
from rocksalt.stores.records import Summary
from rocksalt.workflows.calculate import calculate
from rocksalt.workflows.calculation import Calculation
from rocksalt.workflows.campaign import Campaign, campaign_from_dict
from rocksalt.workflows.derive import Results, candidate, formation_energy, mixing, rank
from rocksalt.workflows.plan import (
    cation_calculations,
    oxygen_calculations,
    pair_calculations,
)
from rocksalt.workflows.relaxer import RelaxationSettings


@job(output_schema=CalculationDoc)
def calculate_one(calculation: dict[str, Any]) -> CalculationDoc:
    """Compute one calculation (a dumped `rocksalt.workflows.plan.Calculation`)."""
    return calculate(Calculation.model_validate(calculation))


@job(output_schema=CalculationBatchDoc)
def calculate_batch(calculations: list[dict[str, Any]]) -> CalculationBatchDoc:
    """Compute several calculations one after the other; a failed one does not stop the rest."""
    return CalculationBatchDoc(
        calculations=[calculate(Calculation.model_validate(c)) for c in calculations]
    )


@job(output_schema=DopantDoc)
def assess_dopant(
    campaign: dict[str, Any], dopant: str, batches: list[CalculationBatchDoc]
) -> DopantDoc:
    """Derive one dopant's formation energies, mixing and verdict from its calculations."""
    settings = campaign_from_dict(campaign)
    summaries = {
        document.key: Summary.model_validate(document.model_dump(mode="json"))
        for batch in map(CalculationBatchDoc.model_validate, batches)
        for document in batch.calculations
    }
    results = Results(summaries.values())
    formations = [formation_energy(results, engine, dopant) for engine in settings.engines]
    mixings = [
        mixing(settings, results, engine, dopant, host)
        for host in settings.hosts
        if host != dopant
        for engine in settings.engines
    ]
    return DopantDoc(
        candidate=candidate(settings, dopant, formations, mixings),
        formation_energies=formations,
        mixings=mixings,
        failed=[
            {"what": f"{s.label} with {s.engine}", "why": s.error or "no energy"}
            for s in results.failed
        ],
        n_calculations=len(summaries),
    )


@job(output_schema=RankingDoc)
def rank_dopants(
    campaign: dict[str, Any], dopants: list[DopantDoc], n_calculations: int
) -> RankingDoc:
    """Put the dopants of a campaign, made of so many calculations, in order."""
    assessed = [DopantDoc.model_validate(d) for d in dopants]
    failed = {(f["what"], f["why"]) for d in assessed for f in d.failed}
    counts = {
        "calculations": n_calculations,
        "done": n_calculations - len(failed),
        "missing": 0,
        "reused": 0,
        "rejected": [{"what": what, "why": why} for what, why in sorted(failed)],
    }
    return rank(campaign_from_dict(campaign), [d.candidate for d in assessed], counts)


@dataclass
class RelaxMaker(Maker):
    """Make a job that relaxes one structure with an engine.

    Attributes
    ----------
    name
        Of the job.
    engine
        As in a campaign, for example 'chgnet'.
    relaxation
        Convergence and start.
    """

    name: str = "relax"
    engine: str = "chgnet"
    relaxation: RelaxationSettings = field(default_factory=RelaxationSettings)

    def make(self, structure: Structure, role: Role = "mixture", prototype: str = "given") -> Job:
        """Return the job; its output is a `CalculationDoc`.

        Parameters
        ----------
        structure
            The start, before the rattle.
        role, prototype
            What the document says the calculation is for and was made from.
        """
        calculation = Calculation(
            role=role,
            label=f"{structure.composition.reduced_formula} {prototype}",
            engine=self.engine,
            structure=structure,
            fingerprint=structure_fingerprint(structure),
            prototype=prototype,
            relaxation=self.relaxation,
        )
        made = calculate_one(calculation.model_dump(mode="json"))
        made.name = f"{self.name} {calculation.label}"
        return made


@dataclass
class ScreenMaker(Maker):
    """Make the flow of a campaign: relaxations, one assessment per dopant, the ranking.

    Attributes
    ----------
    name
        Of the flow.
    batch_size
        Relaxations per job. Failed ones are in the documents; the job goes on.
    """

    name: str = "dopant screen"
    batch_size: int = 15

    def make(self, campaign: Campaign | dict[str, Any]) -> Flow:
        """Return the flow; its output is a `RankingDoc`.

        Parameters
        ----------
        campaign
            A campaign, or what a campaign file holds, as a dictionary.

        Raises
        ------
        RocksaltError
            When the campaign is wrong.
        """
        if not isinstance(campaign, Campaign):
            campaign = campaign_from_dict(campaign)
        settings = campaign.model_dump(mode="json")
        engines = campaign.engines
        keys: set[str] = set()
        oxygen = [
            self._batches(f"O2 {engine}", oxygen_calculations(campaign, engine), keys)
            for engine in engines
        ]
        cations = {
            cation: [
                self._batches(
                    f"{cation} {engine}", cation_calculations(campaign, engine, cation), keys
                )
                for engine in engines
            ]
            for cation in campaign.cations
        }
        pairs: dict[frozenset[str], list[list[Job]]] = {}
        for dopant, host in campaign.pairs:
            pairs.setdefault(
                frozenset((dopant, host)),
                [
                    self._batches(
                        f"{dopant}-{host} {engine}",
                        pair_calculations(campaign, engine, dopant, host),
                        keys,
                    )
                    for engine in engines
                ],
            )
        assessments = []
        for dopant in campaign.screened:
            hosts = [host for host in campaign.hosts if host != dopant]
            needed = chain(
                chain.from_iterable(oxygen),
                *(chain.from_iterable(cations[c]) for c in (dopant, *hosts)),
                *(chain.from_iterable(pairs[frozenset((dopant, h))]) for h in hosts),
            )
            assessment = assess_dopant(settings, dopant, [made.output for made in needed])
            assessment.name = f"assess {dopant}"
            assessments.append(assessment)
        ranking = rank_dopants(settings, [a.output for a in assessments], len(keys))
        ranking.name = "rank dopants"
        every = [oxygen, *cations.values(), *pairs.values()]
        relaxations = [made for group in every for batch in group for made in batch]
        flow = Flow([*relaxations, *assessments, ranking], output=ranking.output, name=self.name)
        flow.update_metadata({"campaign": campaign.name}, dynamic=False)
        return flow

    def _batches(self, name: str, calculations: Iterable[Calculation], keys: set[str]) -> list[Job]:
        """Return jobs of `batch_size` calculations; their keys are added to ``keys``."""
        unique = {c.key: c for c in calculations}
        keys.update(unique)
        jobs = []
        dumped = [c.model_dump(mode="json") for c in unique.values()]
        for start in range(0, len(dumped), self.batch_size):
            made = calculate_batch(dumped[start : start + self.batch_size])
            made.name = f"relax {name} {start // self.batch_size + 1}"
            jobs.append(made)
        return jobs
