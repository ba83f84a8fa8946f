"""The documents that a campaign leaves in a store.

Energies are eV and every name says per what. A document that is derived from calculations names
their keys. What was not computed is ``None``, never zero.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

SCHEMA_VERSION = 1
"""Raised when a stored document changes shape in a way that an older reader would misread."""

Role = Literal[
    "element",
    "oxygen",
    "end-member",
    "mixture",
    "competing-phase",
    "series",
    "vacancy",
    "density-of-states",
]
Verdict = Literal["pass", "undecided", "fail"]
MixingVerdict = Literal["mixes", "undecided", "separates"]


def utc_now() -> datetime:
    """Return the present moment with its time zone, to the millisecond that BSON keeps."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


class Document(BaseModel):
    """Base of all documents: unknown fields are an error, so that a typo is found."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _without_class(cls, data: Any) -> Any:
        """Leave out the name of the class, which jobflow stores beside a document's fields."""
        if isinstance(data, dict):
            return {key: value for key, value in data.items() if not str(key).startswith("@")}
        return data


class CampaignDoc(Document):
    """A campaign as it was last planned, and the calculations it consists of."""

    name: str
    settings: dict[str, Any] = Field(description="The campaign file, every default written out")
    content_hash: str = Field(description="Hash of the settings that decide results")
    keys: dict[str, dict[str, list[str]]] = Field(description="Calculations by engine and role")
    arrangements: dict[str, tuple[str, int | None]] = Field(
        default_factory=dict,
        description="Name and multiplicity of each mixture in this campaign's cells; the "
        "calculation may come from a campaign with other cells",
    )
    entries: list[dict[str, Any]] = Field(
        default_factory=list, description="The user's own phases with energies, for the hulls"
    )
    entries_rejected: list[dict[str, str]] = Field(
        default_factory=list, description="Those that could not be used, and why"
    )
    n_merged: int = Field(description="Planned structures that were the same as another one")
    notes: list[str] = Field(description="What was left out, in words")
    rocksalt_version: str
    planned_at: datetime = Field(default_factory=utc_now)
    schema_version: int = SCHEMA_VERSION

    @property
    def all_keys(self) -> list[str]:
        """Every calculation of the campaign."""
        return [k for roles in self.keys.values() for keys in roles.values() for k in keys]


class RunDoc(Document):
    """Which process runs a campaign; ``ended_at`` is None while it does."""

    name: str
    host: str
    pid: int
    n_workers: int = 1
    started_at: datetime
    ended_at: datetime | None = None


class Reference(Document):
    """The lowest of the candidates tried for an end point of an energy difference."""

    key: str = Field(description="Key of the calculation taken")
    prototype: str = Field(description="Its prototype")
    energy_ev_per_atom: float = Field(description="Energy as it comes, eV per atom")
    tried: dict[str, float] = Field(description="Every candidate's eV per atom, by prototype")


class FormationEnergyDoc(Document):
    """Formation energy of one rock-salt oxide MO with one engine."""

    cation: str
    engine: str
    energy_scale: str
    raw_ev_per_formula: float | None = Field(
        description="From energies as they come; None where they come already corrected"
    )
    corrected_ev_per_formula: float | None = Field(
        description="On the Materials Project 2020 scale; None where that does not apply"
    )
    corrections_ev_per_formula: dict[str, float] = Field(
        description="The terms added to raw to give corrected, by element"
    )
    reduction_dmu_o_ev: float | None = Field(
        description="Oxygen chemical potential (0 at O2) below which MO gives metal"
    )
    lattice_parameter_angstrom: float | None = Field(description="Cube root of 4 V per formula")
    distortion_gain_ev_per_formula: float | None = Field(
        description="Energy that a larger cell gains by leaving Fm-3m, 0 or positive"
    )
    rock_salt: Reference | None
    metal: Reference | None
    oxygen: Reference | None
    missing: list[str] = Field(default_factory=list, description="What kept it from being computed")


class ArrangementEnergy(Document):
    """Mixing enthalpy of one cation arrangement."""

    key: str
    label: str
    kind: Literal["enumerated", "sqs"]
    multiplicity: int | None
    enthalpy_ev_per_cation: float


class MixingPoint(Document):
    """Mixing enthalpy at one composition."""

    fraction: float = Field(description="Share of the dopant among the cations")
    value: float = Field(description="Estimate for the random alloy, eV per cation")
    spread: float = Field(description="Standard deviation over the arrangements, eV per cation")
    lowest: float = Field(description="Lowest arrangement, eV per cation")
    sqs: float | None = Field(description="Quasi-random arrangement, eV per cation")
    uncertainty: float = Field(
        description="Standard uncertainty of value from the arrangements and, with a DFT code, from the "
        "magnetic order of the end members, eV per cation"
    )
    arrangements: list[ArrangementEnergy]


class MixingDoc(Document):
    """Mixing of a dopant's and a host's rock salt with one engine."""

    dopant: str
    host: str
    engine: str
    energy_scale: str
    points: list[MixingPoint]
    interaction_ev_per_cation: list[float] | None = Field(
        description="[L0, L1] of x(1-x)[L0 + L1(1-2x)], x the dopant's fraction"
    )
    fit_rms_ev_per_cation: float | None
    temperature_k: float
    solubility_limit: float | None = Field(
        description="Fraction of dopant that HO dissolves at temperature_k; 1 if miscible"
    )
    dopant_rich_limit: float | None = Field(
        description="Fraction of dopant at the other end of the gap; None if miscible"
    )
    critical_temperature_k: float | None = Field(description="0 where there is no gap at any T")
    uncertainty_ev_per_cation: float | None
    probability: float | None = Field(
        None, description="That HO dissolves at least the fraction asked for, 0 to 1"
    )
    verdict: MixingVerdict | None
    rule: str = Field(description="The comparison that gave the verdict, in words")
    calculation_keys: list[str]
    missing: list[str] = Field(default_factory=list)


class CandidateDoc(Document):
    """One dopant with its numbers, verdict and reasons."""

    rank: int
    dopant: str
    verdict: Verdict
    reasons: list[str]
    rock_salt_formation_energy_ev_per_formula: dict[str, dict[str, float | None]]
    rock_salt_reduction_dmu_o_ev: dict[str, float | None]
    metal_in_host_window: dict[str, dict[str, Any]]
    mixing: dict[str, dict[str, dict[str, Any]]]
    hosts: dict[str, dict[str, Any]] = Field(
        description="Per host, over all engines: mean, uncertainty, verdict and its rule"
    )
    above_hull_ev_per_atom: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="Per host: fraction, value by engine, decomposition"
    )
    oxygen_retention_ev: dict[str, float | None] = Field(
        default_factory=dict, description="Change of the lowest vacancy energy, by engine"
    )
    criteria: dict[str, Verdict | None] = Field(
        default_factory=dict, description="Verdict of each criterion; None where not computed"
    )
    front: int | None = Field(None, description="Pareto front among those of the same verdict")
    score_ev_per_cation: float | None = Field(
        description="Largest mean mixing enthalpy over hosts and fractions: the order in a verdict"
    )
    uncertainty_ev: float | None
    formation_engines: list[str] = Field(
        default_factory=list,
        description="Engines whose energies of MO decide: in a triage the one that does, where asked; "
        "none named: all",
    )
    evidence: list[dict[str, Any]] = Field(default_factory=list)

    @property
    def deciding_reduction_dmu_o_ev(self) -> dict[str, float]:
        """`rock_salt_reduction_dmu_o_ev` of the engines that decide: scales are never mixed."""
        return {
            engine: value
            for engine, value in self.rock_salt_reduction_dmu_o_ev.items()
            if value is not None and engine in (self.formation_engines or [engine])
        }


class RankingDoc(Document):
    """The candidates of a campaign in order."""

    campaign: str
    engines: dict[str, dict[str, Any]]
    counts: dict[str, Any]
    candidates: list[CandidateDoc]
    rules: list[str] = Field(description="The rules of the verdict, with thresholds, in words")
    temperature_k: float
    hosts: list[str]
    completed_at: datetime = Field(default_factory=utc_now)
    schema_version: int = SCHEMA_VERSION
