"""What a screen tells an experiment to look for: documents of predictions, and of the cells they use."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from rocksalt.stores.documents import SCHEMA_VERSION, Document, MixingVerdict, Verdict, utc_now


class RockSaltCell(Document):
    """A relaxed rock salt, pure or mixed."""

    engine: str
    cation_fractions: dict[str, float]
    kind: str = Field(description="Prototype or arrangement, 'sqs' for a quasi-random one")
    multiplicity: int = Field(description="Weight among the arrangements of its composition")
    lattice_constant_angstrom: float = Field(description="Cube root of 4 V per formula")
    energy_ev_per_atom: float


class LayeredCell(Document):
    """A relaxed layered oxide, pure or doped, as its average R-3m cell."""

    engine: str
    host: str
    dopant: str | None
    dopant_share: float = Field(description="Of the metals, lithium left out")
    a_angstrom: float
    c_angstrom: float
    oxygen_height: float = Field(description="Above the metal layer, over the layers' distance")
    moments_mu_b: dict[str, float] = Field(
        default_factory=dict, description="Mean size by metal, where the engine has moments"
    )


class CellBatchDoc(Document):
    """Cells that predictions are made from."""

    rock_salts: list[RockSaltCell] = Field(default_factory=list)
    layered: list[LayeredCell] = Field(default_factory=list)


class PredictedNumber(Document):
    """A mean over engines."""

    value: float
    uncertainty: float | None = Field(description="Standard deviation over engines, None of one")
    unit: str
    by_engine: dict[str, float] = Field(default_factory=dict)


class PredictedReflection(Document):
    """A line of a powder pattern."""

    hkl: str
    two_theta_degrees: float
    spacing_angstrom: float
    intensity_percent: float = Field(description="Of the strongest, integrated")


class PredictedRatio(Document):
    """I(003)/I(104) with some of the lithium layer's sites taken by a metal."""

    metal: str | None = Field(description="Which moved there; None: the metals by their shares")
    share_of_lithium_sites: float
    ratio: float


class LayeredPattern(Document):
    """The powder pattern of the layered host with the dopant, R-3m on average."""

    host: str
    formula: str
    dopant_share: float = Field(description="Of the metals")
    cell: Literal["relaxed", "prototype"]
    cell_in_words: str
    a: PredictedNumber
    c: PredictedNumber
    ratios: list[PredictedRatio] = Field(description="Falling with cation mixing")
    reflections: list[PredictedReflection]


class RockSaltPattern(Document):
    """The powder pattern of a rock-salt mixture of the dopant and a host."""

    host: str
    formula: str
    fraction: float
    lattice_constant: PredictedNumber
    cell_in_words: str
    mixing: MixingVerdict | None = Field(
        description="Whether the two make one rock salt; 'separates' gives the lines of two"
    )
    reflections: list[PredictedReflection]


class PredictedValence(Document):
    """The formal valence of a metal, or why there is none."""

    metal: str
    place: str
    valence: float | None
    why: str
    moment: PredictedNumber | None = Field(None, description="Its size, where engines have it")


class PredictedReduction(Document):
    """Whether the dopant turns into metal, and the oxygen potential below which it does."""

    expected: Literal["metal", "oxide"] | None = Field(
        description="In the reconstructed surface, by the ranking's criteria; None: not decided"
    )
    metal_below_dmu_o: PredictedNumber | None = Field(
        description="Of MO alone, 0 at O2; the uncertainty is the one of the ranking's verdict"
    )
    in_host_windows: dict[str, str] = Field(
        default_factory=dict, description="'oxide', 'partial' or 'metal' where HO is stable"
    )


class PredictionDoc(Document):
    """What to look for in a sample with one candidate."""

    key: str = Field(description="Hash of the content: the identity")
    campaign: str
    dopant: str
    rank: int
    verdict: Verdict
    wavelength_angstrom: float
    layered: LayeredPattern | None
    rock_salts: list[RockSaltPattern]
    valences: list[PredictedValence]
    reduction: PredictedReduction
    statements: list[str] = Field(description="The same in sentences")
    assumptions: list[str]
    missing: list[str] = Field(default_factory=list, description="What was not predicted, and why")
    predicted_at: datetime = Field(default_factory=utc_now)
    schema_version: int = SCHEMA_VERSION


class PredictionBatchDoc(Document):
    """Predictions of the first candidates of a campaign."""

    predictions: list[PredictionDoc]
