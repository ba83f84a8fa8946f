"""One thing to compute, and the hash that is its identity."""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from typing import Any

from emmet.core.types.pymatgen_types.structure_adapter import StructureType
from pydantic import BaseModel, ConfigDict, Field
from pymatgen.core import Structure

from rocksalt.screening.identity import digest
from rocksalt.screening.vacancies import Preparation
from rocksalt.stores.documents import Role
from rocksalt.workflows.engines import get_engine
from rocksalt.workflows.relaxer import RelaxationSettings


class Calculation(BaseModel):
    """One thing to compute: structure, role, engine and settings.

    Attributes
    ----------
    fingerprint
        The structure's, the same for all its settings.
    cell
        'primitive', or the size of a larger cell in which the structure may leave its symmetry.
    preparation
        Strain and vacancy that are put into the relaxed structure; only the atoms are relaxed after.
    details
        What derived quantities need to know of the calculation. Follows from the other fields and
        is no part of the identity.
    """

    model_config = ConfigDict(frozen=True)

    role: Role
    label: str
    engine: str
    structure: StructureType
    fingerprint: str
    prototype: str
    relaxation: RelaxationSettings
    cell: str = "primitive"
    multiplicity: int | None = None
    preparation: Preparation | None = None
    details: dict[str, Any] = Field(default_factory=dict)

    @property
    def settings(self) -> dict[str, Any]:
        """Everything but structure, role and engine that the result depends on."""
        settings = {"cell": self.cell, **self.relaxation.model_dump(mode="json")}
        if self.preparation is not None:
            settings["preparation"] = self.preparation.model_dump(mode="json")
        return settings

    @cached_property
    def key(self) -> str:
        """The calculation's identity: a hash of its inputs."""
        return calculation_key(
            self.role,
            self.fingerprint,
            self.engine,
            get_engine(self.engine).model_version,
            self.settings,
        )

    def with_engine(self, engine: str) -> Calculation:
        """Return the same calculation with another engine."""
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        return Calculation.model_construct(**{**fields, "engine": engine})

    @property
    def cation_fractions(self) -> dict[str, float]:
        """Share of each element among those other than oxygen."""
        return cation_fractions(self.structure)


def calculation_key(
    role: str, fingerprint: str, engine: str, model_version: str, settings: dict[str, Any]
) -> str:
    """Return the hash of a calculation's inputs; the same inputs give the same key anywhere."""
    return digest([role, fingerprint, engine, model_version, settings])


def cation_fractions(structure: Structure) -> dict[str, float]:
    """Return the share of each element among the sites that are not oxygen, by symbol."""
    counts = Counter(s.specie.symbol for s in structure if s.specie.symbol != "O")
    total = sum(counts.values())
    return {symbol: counts[symbol] / total for symbol in sorted(counts)}
