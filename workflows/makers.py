"""Jobflow Makers: the same screen as ``rocksalt run``, for any manager and any store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from jobflow import Flow, Job, Maker, OnMissing, job
from pymatgen.core import Structure

from rocksalt.screening.elements import host_cations
from rocksalt.screening.errors import RocksaltError
from rocksalt.screening.hull import HullEntry
from rocksalt.screening.identity import structure_fingerprint
from rocksalt.stores.calculation_documents import CalculationBatchDoc, CalculationDoc
from rocksalt.stores.documents import Document, RankingDoc, Role
from rocksalt.stores.phase_documents import DopantDoc
from rocksalt.stores.records import Summary
from rocksalt.workflows.calculate import calculate
from rocksalt.workflows.calculation import Calculation
from rocksalt.workflows.campaign import Campaign, campaign_from_dict
from rocksalt.workflows.derive import (
    candidate,
    failures,
    hulls_of,
    layered_docs,
    rank,
)
from rocksalt.workflows.derive_rock_salt import formation_energy, mixing
from rocksalt.workflows.electronic_structure import electronic_structure_docs
from rocksalt.workflows.plan import make_plan
from rocksalt.workflows.plan_stages import chemical_systems
from rocksalt.workflows.relaxer import RelaxationSettings
from rocksalt.workflows.results import Results
from rocksalt.workflows.user_phases import UserPhases, load_user_phases

MAX_REFERENCES = 100
"""Outputs that one job collects at most."""


class SummaryBatchDoc(Document):
    """What assessments need of several calculations."""

    calculations: list[Summary]


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
    campaign: dict[str, Any],
    dopant: str,
    batches: list[CalculationBatchDoc | SummaryBatchDoc],
    user_entries: Sequence[dict[str, Any]] = (),
) -> DopantDoc:
    """Derive one dopant's formation energies, mixing and verdict from its calculations."""
    settings = campaign_from_dict(campaign)
    summaries = {summary.key: summary for summary in _summaries(batches)}
    results = Results(summaries.values(), [HullEntry(**entry) for entry in user_entries])
    formations = [formation_energy(results, engine, dopant) for engine in settings.engines]
    mixings = [
        mixing(settings, results, engine, dopant, host)
        for d, host in settings.pairs
        if d == dopant
        for engine in settings.engines
    ]
    hulls = hulls_of(settings, results, [dopant])
    series, vacancies = layered_docs(settings, results)
    return DopantDoc(
        candidate=candidate(settings, dopant, formations, mixings, hulls, vacancies),
        formation_energies=formations,
        mixings=mixings,
        hulls=hulls,
        series=[s for s in series if s.dopant in {None, dopant}],
        vacancies=[v for v in vacancies if v.dopant in {None, dopant}],
        electronic=electronic_structure_docs(settings, results),
        failed={s.key: f for s, f in zip(results.failed, failures(results), strict=True)},
        n_calculations=len(summaries),
        engine_versions={engine: sorted(v) for engine, v in results.versions.items()},
    )


@job(output_schema=RankingDoc)
def rank_dopants(
    campaign: dict[str, Any],
    dopants: list[DopantDoc],
    n_calculations: int,
    entries_rejected: Sequence[dict[str, str]] = (),
) -> RankingDoc:
    """Put the dopants of a campaign, made of so many calculations, in order."""
    assessed = [DopantDoc.model_validate(d) for d in dopants]
    failed = {key: why for d in assessed for key, why in d.failed.items()}
    versions: dict[str, set[str]] = {}
    for engine, found in chain.from_iterable(d.engine_versions.items() for d in assessed):
        versions.setdefault(engine, set()).update(found)
    counts = {
        "calculations": n_calculations,
        "done": n_calculations - len(failed),
        "missing": 0,
        "reused": 0,
        "rejected": [
            *entries_rejected,
            *sorted(failed.values(), key=lambda f: (f["what"], f["why"])),
        ],
    }
    return rank(campaign_from_dict(campaign), [d.candidate for d in assessed], counts, versions)


@job(output_schema=SummaryBatchDoc)
def gather(batches: list[CalculationBatchDoc]) -> SummaryBatchDoc:
    """Collect what assessments need of several batches, so that no job refers to too many."""
    return SummaryBatchDoc(calculations=_summaries(batches))


def _summaries(batches: Iterable[Any]) -> list[Summary]:
    """Return the calculations of batches, as the jobs before gave them or as stores return them."""
    return [
        Summary.model_validate(
            document if isinstance(document, dict) else document.model_dump(mode="json")
        )
        for batch in batches
        for document in (batch["calculations"] if isinstance(batch, dict) else batch.calculations)
    ]


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
        settings = campaign.model_dump(mode="json", exclude={"store"})
        user = load_user_phases(campaign.entries, chemical_systems(campaign))
        user_entries = [asdict(entry) for entry in user.entries]
        groups = _groups(campaign, user)
        unique = {c.key: c for group in groups.values() for c in group}
        jobs = {name: self._batches(name, group) for name, group in groups.items()}
        gathered: list[Job] = []
        assessments = []
        for dopant in campaign.screened:
            needed = [
                made.output
                for name, batches in jobs.items()
                if _is_for(campaign, name, dopant)
                for made in batches
            ]
            if len(needed) > MAX_REFERENCES:
                gathers = [
                    gather(needed[start : start + MAX_REFERENCES])
                    for start in range(0, len(needed), MAX_REFERENCES)
                ]
                gathered += gathers
                needed = [made.output for made in gathers]
            assessment = assess_dopant(settings, dopant, needed, user_entries)
            assessment.name = f"assess {dopant}"
            assessments.append(assessment)
        ranking = rank_dopants(
            settings,
            [a.output for a in assessments],
            len(unique),
            [{"what": r.entry_id, "why": r.reason} for r in user.rejected],
        )
        ranking.name = "rank dopants"
        flow = Flow(
            [*chain.from_iterable(jobs.values()), *gathered, *assessments, ranking],
            output=ranking.output,
            name=self.name,
        )
        flow.update_metadata({"campaign": campaign.name}, dynamic=False)
        return flow

    def _batches(self, group: _Group, calculations: list[Calculation]) -> list[Job]:
        """Return jobs of `batch_size` calculations."""
        jobs = []
        for start in range(0, len(calculations), self.batch_size):
            batch = calculations[start : start + self.batch_size]
            made = calculate_batch([c.model_dump(mode="json") for c in batch])
            made.name = f"relax {group.words} {start // self.batch_size + 1}"
            jobs.append(made)
        return jobs


@dataclass
class ScreenAndAnalyzeMaker(Maker):
    """Make one flow of a screen, predictions for its first candidates, and measured evidence.

    The screen is that of `ScreenMaker`; predictions need its ranking, the analyses of measured files
    wait for nothing, and the last job lays the measurements beside the ranking. The store needs an
    additional store ``data``, for curves. `rocksalt.workflows.evidence_jobs.file_flow` makes what the
    flow leaves in a store the results of its campaign, for every command.

    Attributes
    ----------
    name
        Of the flow.
    screen
        Maker of the screen.
    n_predictions
        How many of the first candidates are predicted for.
    wavelength
        Of the powder patterns, in angstrom or a name as 'CuKa'.
    """

    name: str = "screen and analyze"
    screen: ScreenMaker = field(default_factory=ScreenMaker)
    n_predictions: int = 3
    wavelength: str | float = "CuKa"

    def make(self, campaign: Campaign | dict[str, Any], experiment_file: str | Path) -> Flow:
        """Return the flow; its output is a `rocksalt.workflows.evidence_jobs.EvidenceDoc`.

        Parameters
        ----------
        campaign
            A campaign, or what a campaign file holds, as a dictionary.
        experiment_file
            Sample and measurements, as for ``rocksalt analyze``. Workers find its folder by the same
            path. A measurement's identity is its content: another flow with it changes nothing.

        Raises
        ------
        RocksaltError
            When the campaign or the experiment file is wrong, a measured file cannot be read, or the
            campaign does not screen the sample's dopant.
        """
        from rocksalt.workflows.evidence_jobs import analyse_measurement, file_evidence
        from rocksalt.workflows.experiment import load_experiment, task_of
        from rocksalt.workflows.predictions import gather_cells, predict_first

        if not isinstance(campaign, Campaign):
            campaign = campaign_from_dict(campaign)
        path = Path(experiment_file).resolve()
        experiment = load_experiment(path)
        sample = experiment.sample
        if sample.dopant is not None and sample.dopant not in campaign.screened:
            raise RocksaltError(
                f"{path}: sample.dopant: campaign {campaign.name!r} screens "
                f"{', '.join(campaign.screened)}, not {sample.dopant}: add it there, or leave it out"
            )
        screen = self.screen.make(campaign)
        batches = [
            each.output
            for each in screen.jobs
            if isinstance(each, Job) and each.output_schema is CalculationBatchDoc
        ]
        cells = [
            gather_cells(batches[start : start + MAX_REFERENCES])
            for start in range(0, len(batches), MAX_REFERENCES)
        ]
        settings = campaign.model_dump(mode="json", exclude={"store"})
        predictions = predict_first(
            settings, screen.output, [c.output for c in cells], self.n_predictions, self.wavelength
        )
        predictions.name = "predict"
        analyses: dict[str, Job] = {}
        for measurement in experiment.measurements:
            task = task_of(measurement, sample, path.parent)
            made = analyse_measurement(
                measurement.model_dump(mode="json"),
                sample.model_dump(mode="json"),
                str(path.parent),
            )
            made.name = f"{task.technique} {sample.name}"
            made.set_uuid(task.key)  # as `rocksalt analyze` stores it
            made.update_metadata(
                {"kind": "experiment", "sample": sample.name, "technique": task.technique}
            )
            analyses[task.key] = made
        evidence = file_evidence(
            screen.output, predictions.output, [a.output for a in analyses.values()]
        )
        evidence.name = "file evidence"
        evidence.config.on_missing_references = OnMissing.NONE  # of a measurement that is no good
        flow = Flow(
            [screen, *cells, predictions, *analyses.values(), evidence],
            output=evidence.output,
            name=self.name,
        )
        flow.update_metadata({"campaign": campaign.name}, dynamic=False)
        return flow


class _Group(NamedTuple):
    """What calculations are of: those of one group go into the same assessments."""

    engine: str
    kind: str
    cations: frozenset[str]
    dopant: str | None

    @property
    def words(self) -> str:
        """Name of the group in the names of its jobs."""
        if self.kind == "phase":
            return f"{'-'.join(sorted(self.cations)) or 'O2'} {self.engine}"
        return f"{self.kind} {self.dopant or 'undoped'} {self.engine}"


def _groups(campaign: Campaign, user: UserPhases) -> dict[_Group, list[Calculation]]:
    """Return a campaign's calculations, each once, by what they are of."""
    groups: dict[_Group, list[Calculation]] = {}
    for calculation in make_plan(campaign, user).calculations.values():
        layered = calculation.role in {"series", "vacancy", "density-of-states"}
        group = _Group(
            calculation.engine,
            calculation.role if layered else "phase",
            frozenset() if layered else frozenset(calculation.cation_fractions),
            calculation.details.get("dopant") if layered else None,
        )
        groups.setdefault(group, []).append(calculation)
    return groups


def _is_for(campaign: Campaign, group: _Group, dopant: str) -> bool:
    """Whether the assessment of a dopant needs a group: its own phases, the hosts' and lithium's."""
    if group.kind != "phase":
        return group.dopant in {None, dopant}
    hosts = {cation for host in campaign.hosts for cation in host_cations(host)}
    others = group.cations - {dopant, "Li"}
    return len(others) <= 1 and others <= hosts
