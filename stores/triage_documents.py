"""What a triage decided, what it cost, and how well the engines that screen agree with DFT."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from rocksalt.stores.documents import SCHEMA_VERSION, Document, Verdict, utc_now


class TriageChoice(Document):
    """A dopant that goes to the engine that decides."""

    dopant: str
    hosts: list[str] = Field(description="Hosts whose mixtures are computed; none for MO alone")
    rank_span: int = Field(description="Places between the best and worst rank it can still take")
    reason: str
    keys: list[str] = Field(description="Calculations that its verdict needs")
    estimated_cpu_hours: float = Field(description="Of those that no earlier choice needs")
    verdict_before: Verdict = Field(description="Of the engines that screen")
    verdict_after: Verdict | None = Field(None, description="None until it was derived")


class EngineAgreement(Document):
    """An engine that screens against the one that decides, on what both computed."""

    engine: str
    quantity: Literal["dEf(MO)", "dHmix"]
    unit: str
    n: int = Field(description="Values that both have")
    mean_error: float | None
    mean_absolute_error: float | None
    largest_error: float | None
    rank_correlation: float | None = Field(description="Spearman's; None for fewer than three")


class TriageDoc(Document):
    """A campaign's triage: who goes to the engine that decides, and what came of it."""

    campaign: str
    content_hash: str = Field(description="Of the campaign's settings")
    decide: str = Field(description="The engine that decides")
    budget_cpu_hours: float | None = None
    chosen: list[TriageChoice]
    passed_over: list[dict[str, str]] = Field(description="Who does not go, and why")
    notes: list[str] = Field(default_factory=list, description="What its plan leaves out")
    spent_cpu_hours: float = Field(0.0, description="CPU hours of its calculations so far")
    agreement: list[EngineAgreement] = Field(default_factory=list)
    decided_at: datetime = Field(default_factory=utc_now)
    schema_version: int = SCHEMA_VERSION
