"""One thing to compute, and the hash that is its identity."""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from typing import Annotated, Any

from emmet.core.types.pymatgen_types.structure_adapter import StructureType
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, computed_field
from pymatgen.core import Structure

from rocksalt.screening.elements import holds_jahn_teller_cation
from rocksalt.screening.identity import digest
from rocksalt.screening.mixtures import Decoration
from rocksalt.screening.vacancies import Preparation
from rocksalt.stores.documents import Role
from rocksalt.workflows.dft.density_of_states import DensityOfStatesSettings
from rocksalt.workflows.dft.settings import DftSettings
from rocksalt.workflows.engines import get_engine
from rocksalt.workflows.relaxer import RelaxationSettings


def _start(value: Any) -> Structure | Decoration:
    """Return what a calculation starts from; a structure may be given as its dictionary."""
    return value if isinstance(value, Decoration) else _STRUCTURE.validate_python(value)


_STRUCTURE: TypeAdapter[Structure] = TypeAdapter(StructureType)


class Calculation(BaseModel):
    """One thing to compute: structure, role, engine and settings.

    Attributes
    ----------
    structure
        The start. That of a mixture is made anew whenever it is asked for, so that the many
        calculations of a screen fit into memory.
    fingerprint
        The structure's, the same for all its settings.
    cell
        'primitive', or the size of a larger cell in which the structure may leave its symmetry.
    preparation
        Strain and vacancy that are put into the relaxed structure; only the atoms are relaxed after.
    dft
        Magnetism and U, for an engine that is a DFT code.
    density_of_states
        Asks for a density of states of the structure, or of what an engine relaxes it to.
    details
        What derived quantities need to know of the calculation. Follows from the other fields and
        is no part of the identity.
    """

    model_config = ConfigDict(frozen=True)

    role: Role
    label: str
    engine: str
    start: Annotated[Any, BeforeValidator(_start)] = Field(alias="structure", exclude=True)
    fingerprint: str
    prototype: str
    relaxation: RelaxationSettings
    cell: str = "primitive"
    multiplicity: int | None = None
    preparation: Preparation | None = None
    dft: DftSettings | None = None
    density_of_states: DensityOfStatesSettings | None = None
    details: dict[str, Any] = Field(default_factory=dict)

    @computed_field  # type: ignore[prop-decorator]  # mypy allows no decorator on a property
    @property
    def structure(self) -> StructureType:
        """The structure before the rattle."""
        return self.start.structure() if isinstance(self.start, Decoration) else self.start

    @property
    def elements(self) -> set[str]:
        """Symbols of the elements, without making the structure."""
        if isinstance(self.start, Decoration):
            return {self.start.first, self.start.second, "O"}
        return {element.symbol for element in self.start.composition}

    @property
    def settings(self) -> dict[str, Any]:
        """Everything but structure, role and engine that the result depends on."""
        settings = {"cell": self.cell, **self.relaxation.model_dump(mode="json")}
        if self.preparation is not None:
            settings["preparation"] = self.preparation.model_dump(mode="json")
        if self.density_of_states is not None:
            settings["density_of_states"] = self.density_of_states.model_dump(mode="json")
        elements = self.elements
        if self.dft is not None:
            settings["dft"] = self.dft.identity(elements)
        elif self.relaxation.relax_cell and holds_jahn_teller_cation(elements):
            settings["cell_stiffness"] = (
                "as of the atoms, while they distort"  # the relaxer's choice
            )
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

    def with_engine(self, engine: str, dft: DftSettings | None = None) -> Calculation:
        """Return the same calculation with another engine, which may be a DFT code."""
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        fields["structure"] = fields.pop("start")
        return Calculation.model_construct(
            self.model_fields_set, **{**fields, "engine": engine, "dft": dft}
        )

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
