"""The documents of calculations, which extend emmet's.

They stand apart from the others because emmet takes seconds to import: what asks a store about
campaigns and rankings, or about fields of calculations, does not need it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from emmet.core.structure import StructureMetadata
from emmet.core.types.pymatgen_types.structure_adapter import StructureType
from pydantic import Field

from rocksalt.stores.documents import SCHEMA_VERSION, Document, Role, utc_now
from rocksalt.stores.electronic_documents import DensityOfStates


class CalculationDoc(StructureMetadata):
    """The result of one calculation; a failed one says why in ``error``.

    The fields inherited from emmet (``formula_pretty``, ``chemsys``, ``elements``, ``volume`` ...)
    describe the relaxed structure, or the starting one when the calculation failed.
    """

    key: str = Field(description="Hash of structure, role, engine and settings: the identity")
    role: Role = Field(description="What the calculation is for")
    label: str = Field(description="Readable name, for example 'Ti0.25Mn0.75O sqs'")
    engine: str = Field(description="Name of the engine, for example 'chgnet'")
    engine_version: str = Field(description="Package and model version that gave the energy")
    energy_scale: str = Field(description="Scale of energy_ev as the engine gives it")
    settings: dict[str, Any] = Field(description="Everything else that the key was made from")
    cations: list[str] = Field(description="Symbols of the elements other than O, sorted")
    cation_fractions: dict[str, float] = Field(description="Share of each among the cations")
    prototype: str = Field(description="Starting prototype or arrangement, e.g. 'rock-salt', 'bcc'")
    multiplicity: int | None = Field(
        None, description="Number of equivalent arrangements in the enumeration cell"
    )
    state: Literal["done", "failed"] = Field(description="'failed' keeps the reason in error")
    error: str | None = Field(None, description="Why the calculation failed, one line")
    junk: str | None = Field(
        None, description="Why the relaxed structure is not the phase that it started as"
    )
    details: dict[str, Any] = Field(
        default_factory=dict, description="What a series, vacancy or phase is of"
    )
    warnings: list[str] = Field(default_factory=list, description="What a reader must know")
    initial_structure: StructureType | None = Field(None, description="Structure before relaxation")
    structure: StructureType | None = Field(None, description="Relaxed structure")
    energy_ev: float | None = Field(None, description="Energy of the cell in eV, as it comes")
    energy_ev_per_atom: float | None = Field(None, description="energy_ev over number of atoms")
    forces_ev_per_angstrom: list[list[float]] | None = Field(None, description="(n_atoms, 3)")
    stress_gpa: list[list[float]] | None = Field(
        None, description="(3, 3), positive under tension as in ASE"
    )
    magmoms_mu_b: list[float] | None = Field(
        None, description="(n_atoms,), where the engine has it"
    )
    energies_ev: list[float] = Field(
        default_factory=list, description="Energy of the cell at each evaluation, in order"
    )
    max_force_ev_per_angstrom: float | None = Field(
        None, description="Largest row norm of the generalised force, the quantity held to fmax"
    )
    density_of_states: DensityOfStates | None = Field(
        None, description="Of a calculation that asks for it"
    )
    converged: bool = Field(False, description="Whether the largest force fell below fmax")
    n_evaluations: int = Field(0, description="Energy and force evaluations")
    n_fallbacks: int = Field(0, description="Times that L-BFGS-B handed over to FIRE")
    cpu_s: float | None = Field(None, description="CPU seconds of the relaxation")
    method: dict[str, Any] = Field(
        default_factory=dict,
        description="Of a DFT code: functional, cutoff, k-mesh, U and projectors, moments, files",
    )
    completed_at: datetime = Field(default_factory=utc_now, description="When it ended, UTC")
    schema_version: int = SCHEMA_VERSION


class CalculationBatchDoc(Document):
    """The output of one job that computes several calculations."""

    calculations: list[CalculationDoc]
