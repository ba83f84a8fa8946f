"""Documents of the stages beyond the rock salt: hulls, the lithium-deficient series, vacancies.

Energies are eV and every name says per what. What was not computed is ``None``, never zero.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rocksalt.stores.documents import CandidateDoc, Document, FormationEnergyDoc, MixingDoc
from rocksalt.stores.electronic_documents import ElectronicStructureDoc


class Share(Document):
    """A phase of a decomposition or window with its share of the atoms."""

    entry_id: str
    formula: str
    fraction: float = Field(description="Share of the atoms")


class HullPhase(Document):
    """One phase of a hull."""

    entry_id: str = Field(description="Key of its calculation, or name of a measured compound")
    formula: str
    prototype: str
    energy_ev_per_atom: float = Field(description="On the hull's scale, corrections included")
    correction_ev_per_atom: float = Field(description="What was added to the engine's energy")
    raw_formation_energy_ev_per_atom: float | None = Field(
        None, description="Before corrections, relative to the same references"
    )
    formation_energy_ev_per_atom: float
    e_above_hull_ev_per_atom: float
    decomposition: list[Share] = Field(
        default_factory=list, description="What it falls apart into; empty on the hull"
    )


class OxygenWindow(Document):
    """The phases between two oxygen potentials at a fixed ratio of the cations."""

    from_dmu_o_ev: float | None = Field(description="None for minus infinity")
    to_dmu_o_ev: float
    phases: list[Share]
    oxidation_states: dict[str, float | None] = Field(description="Mean formal state by element")


class MixtureAboveHull(Document):
    """The lowest arrangement of one mixture against the hull."""

    fraction: float = Field(description="Share of the dopant among the cations")
    e_above_hull_ev_per_atom: float
    decomposition: list[Share]


class HullDoc(Document):
    """The hull of one chemical system with one engine, or from measured enthalpies."""

    chemical_system: str
    engine: str = Field(description="Name of the engine, or 'measured'")
    energy_scale: str
    counts: dict[str, int] = Field(description="entries = in_hull + rejected; on_hull of in_hull")
    phases: list[HullPhase]
    stable: list[str] = Field(description="entry_id of the stable phases")
    rejected: list[dict[str, str]] = Field(description="What was left out, and why")
    references: dict[str, str] = Field(description="Prototype of each element's reference")
    cations: dict[str, float] = Field(description="Ratio of the cations along which windows are")
    windows: list[OxygenWindow]
    dopant: str | None = Field(None, description="M, where the hull is one of a dopant and a host")
    host: str | None = Field(None, description="H")
    dopant_in_host_window: Literal["oxide", "partial", "metal"] | None = Field(
        None, description="What M is where HO is stable, at M:H = 1:1"
    )
    metal_share_of_host_window: float | None = Field(
        None, description="Share of HO's window, by width in dmu_O, in which M is metal"
    )
    dopant_metal_below_dmu_o_ev: float | None = Field(
        None, description="Highest dmu_O at which a phase without oxygen holds M"
    )
    mixtures_above_hull: list[MixtureAboveHull] = Field(
        default_factory=list, description="Lowest mixture at each fraction"
    )
    rock_salt_windows_ev: dict[str, list[float] | None] = Field(
        default_factory=dict, description="[from, to] in dmu_O at which HO is stable, by cation"
    )
    missing: list[str] = Field(default_factory=list, description="What kept it from being computed")


class SeriesPoint(Document):
    """One arrangement of the lithium-deficient series."""

    key: str
    formula: str
    n: int = Field(description="Li of the metal layer that were replaced")
    arrangement: str
    multiplicity: int | None
    lithium_per_oxygen: float
    li_o_li_per_oxygen: float = Field(
        description="Straight Li-O-Li triplets per oxygen, before relaxation"
    )
    energy_ev_per_atom: float = Field(description="As the engine gives it")
    e_above_hull_ev_per_atom: float | None
    decomposition: list[Share] = Field(default_factory=list)
    volume_angstrom3_per_oxygen: float
    volume_change_percent: float | None = Field(description="Relative to the lowest of n = 0")


class SeriesDoc(Document):
    """The lithium-deficient series of one layered oxide, pure or with a dopant."""

    host: str
    dopant: str | None = Field(description="Replaces one host atom of the cell")
    engine: str
    energy_scale: str
    n_layer_lithium: int
    points: list[SeriesPoint]
    missing: list[str] = Field(default_factory=list)


class VacancyPoint(Document):
    """One oxygen vacancy in one strained cell."""

    key: str
    strain_kind: str
    strain_percent: float
    site: int = Field(description="Index of the oxygen in the starting structure")
    site_name: str = Field(description="Which oxygen, e.g. '8j' or 'near Ti'")
    multiplicity: int
    is_near_dopant: bool = Field(False, description="Whether the dopant binds the oxygen")
    formation_energy_ev: float = Field(description="Per vacancy at dmu_O = 0, on the best scale")
    raw_formation_energy_ev: float | None


class StrainSlopeDoc(Document):
    """How the lowest vacancy energy goes with strain of one kind."""

    strain_kind: str
    ev_per_percent: float
    standard_error_ev_per_percent: float | None
    n_points: int


class VacancyDoc(Document):
    """Oxygen vacancies of one cell with one engine."""

    cell: str = Field(description="For example 'Li2MnO3', 'Li1.5MnO3', 'Li2MnO3 with Ti'")
    formula: str
    host: str
    dopant: str | None
    engine: str
    energy_scale: str
    points: list[VacancyPoint]
    lowest_formation_energy_ev: float | None = Field(description="Without strain, dmu_O = 0")
    lowest_near_dopant_formation_energy_ev: float | None = Field(
        None, description="The same of the oxygens that the dopant binds"
    )
    retention_ev: float | None = Field(
        None,
        description="Lowest near the dopant minus lowest of the undoped cell; positive holds oxygen",
    )
    slopes: list[StrainSlopeDoc] = Field(default_factory=list)
    missing: list[str] = Field(default_factory=list)


class DopantDoc(Document):
    """All that a job derives about one dopant."""

    candidate: CandidateDoc
    formation_energies: list[FormationEnergyDoc]
    mixings: list[MixingDoc]
    hulls: list[HullDoc] = Field(default_factory=list)
    series: list[SeriesDoc] = Field(default_factory=list)
    vacancies: list[VacancyDoc] = Field(default_factory=list)
    electronic: list[ElectronicStructureDoc] = Field(default_factory=list)
    failed: dict[str, dict[str, str]] = Field(description="What failed, and why, by key")
    n_calculations: int
    engine_versions: dict[str, list[str]] = Field(
        default_factory=dict, description="Of each engine, as its calculations say"
    )
