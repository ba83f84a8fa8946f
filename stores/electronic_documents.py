"""Documents of the electronic structure: densities of states, and shares against lithium content."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from rocksalt.stores.documents import Document

Edge = Literal["highest-occupied", "fermi-level"]


class DensityOfStates(Document):
    """Projected density of states of one cell, and the shares of orbitals below an edge."""

    reference: Edge = Field(
        description="The edge: the Fermi level of a metal only, that of an insulator is in the gap"
    )
    reference_ev: float = Field(description="Of the edge, on the axis of the engine's levels")
    fermi_ev: float = Field(description="Fermi level on the same axis")
    is_metal: bool
    band_gap_ev: float | None = Field(description="Between the sampled levels; 0 for a metal")
    window_ev: float = Field(description="Depth of the window below the edge")
    width_ev: float = Field(description="Standard deviation of the Gaussian of each level")
    k_mesh: list[int] = Field(description="On which the levels were computed")
    n_k_points: int = Field(description="Those that symmetry leaves of it")
    projection: str = Field(description="How states are projected on orbitals, in words")
    shares: dict[str, float] = Field(
        description="Of O-p and the metal's d among both, occupied states in the window"
    )
    states: dict[str, float] = Field(
        description="Occupied states per cell in the window by element and orbital, both spins"
    )
    states_total: float = Field(description="The same of the total density of states")
    moments_mu_b: dict[str, list[float]] | None = Field(
        description="Of the sites by element, rising; None where the engine has none"
    )
    geometry: str | None = Field(description="Engine that relaxed the cell; None: as it was given")
    arrays: Any = Field(
        None,
        description="energies_ev from the edge, and states_per_ev by orbital and spin; kept in the "
        "additional store",
    )


class ElectronicStructurePoint(Document):
    """One cell of an electronic structure."""

    key: str
    formula: str
    change: Literal["none", "removed", "replaced"] = Field(
        description="What became of the lithium that lacks: taken out of its own layers, or replaced "
        "by the host metal in the metal's"
    )
    arrangement: str
    n_atoms: int
    lithium_per_oxygen: float
    oxygen_share: float = Field(description="Of O-p among O-p and the metal's d in the window")
    metal_share: float
    reference: Edge
    is_metal: bool
    band_gap_ev: float | None
    states: dict[str, float] = Field(description="In the window, per cell, by element and orbital")
    states_total: float
    k_mesh: list[int]
    geometry: str | None
    metal_moments_mu_b: list[float] | None = Field(description="Of each host metal atom, rising")
    total_moment_mu_b: float | None = Field(description="Sum over the cell's sites")
    max_force_ev_per_angstrom: float | None = Field(
        None, description="Largest force on an atom, with the engine of the states"
    )
    warnings: list[str] = Field(default_factory=list)


class ElectronicStructureDoc(Document):
    """Shares of oxygen and metal below the edge against lithium content, with one engine."""

    host: str
    engine: str
    window_ev: float
    width_ev: float
    projection: str | None = Field(description="How states are projected on orbitals")
    points: list[ElectronicStructurePoint] = Field(description="Most lithium first")
    missing: list[str] = Field(default_factory=list)
