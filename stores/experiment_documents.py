"""What was measured of a sample: quantities with uncertainties, filed under a candidate."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from rocksalt.stores.documents import SCHEMA_VERSION, Document, utc_now


class MeasuredQuantity(Document):
    """A quantity that an analysis gave."""

    value: float
    uncertainty: float | None = Field(description="Standard uncertainty; None where not known")
    unit: str = Field(description="'1' for a plain number")


class ExperimentDoc(Document):
    """One analysed measurement; its curves are in the additional store."""

    key: str = Field(description="Hash of technique, file, options and sample: the identity")
    technique: str
    sample: dict[str, Any] = Field(description="As in the experiment file")
    dopant: str | None = Field(None, description="The candidate that it speaks about")
    host: str | None = None
    file: str = Field(description="Name of the measured file")
    file_sha256: str
    options: dict[str, Any] = Field(description="As given; other files by their SHA-256")
    parameters: dict[str, Any] = Field(description="Everything that was chosen, defaults included")
    values: dict[str, MeasuredQuantity]
    arrays: Any = Field(None, description="Curves by name, kept in the additional store")
    remarks: list[str] = Field(default_factory=list, description="What a reader must know")
    versions: dict[str, str] = Field(description="Packages that read and analysed")
    analysed_at: datetime = Field(default_factory=utc_now)
    schema_version: int = SCHEMA_VERSION
