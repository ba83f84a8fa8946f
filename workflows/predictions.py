"""Predictions for the first candidates of a campaign, from a store or in a flow; kept by content."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from jobflow import JobStore, job
from pymatgen.core import Structure

from rocksalt.analysis.powder import layered_lattice
from rocksalt.analysis.predictions import predict
from rocksalt.screening.errors import RocksaltError
from rocksalt.stores.documents import CandidateDoc, RankingDoc
from rocksalt.stores.prediction_documents import (
    CellBatchDoc,
    LayeredCell,
    PredictionBatchDoc,
    PredictionDoc,
    RockSaltCell,
)
from rocksalt.stores.query import load_campaign_keys
from rocksalt.stores.records import load_summaries, load_texts, record, save_many
from rocksalt.workflows.campaign import Campaign, campaign_from_dict
from rocksalt.workflows.engines import get_engine

N_CANDIDATES = 3
"""Candidates that a report predicts for."""

KIND = "prediction"

ROLES = ("end-member", "mixture", "series", "vacancy")
"""Roles of the calculations that predictions use."""


def cells_of(calculations: Iterable[Mapping[str, Any]]) -> CellBatchDoc:
    """Return the cells that predictions use among the fields of calculations, failed ones left out.

    Parameters
    ----------
    calculations
        Fields of `CalculationDoc`, dumped; structures of the layered oxides as dictionaries.
    """
    cells = CellBatchDoc()
    for fields in calculations:
        if fields["state"] != "done" or fields.get("junk"):
            continue
        if fields["role"] in {"end-member", "mixture"}:
            cells.rock_salts.append(_rock_salt(fields))
        elif _is_pristine(fields):
            layered = _layered(fields)
            if layered is not None:
                cells.layered.append(layered)
    return cells


def _rock_salt(fields: Mapping[str, Any]) -> RockSaltCell:
    volume_per_formula = 2 * fields["volume"] / fields["nsites"]
    return RockSaltCell(
        engine=fields["engine"],
        cation_fractions=fields["cation_fractions"],
        kind=fields["prototype"],
        multiplicity=fields.get("multiplicity") or 1,
        lattice_constant_angstrom=float(np.cbrt(4 * volume_per_formula)),
        energy_ev_per_atom=fields["energy_ev_per_atom"],
    )


def _is_pristine(fields: Mapping[str, Any]) -> bool:
    """Whether it is a layered oxide with all its lithium and oxygen, and without strain."""
    details = fields.get("details") or {}
    if fields["role"] == "series":
        return details.get("n") == 0
    if fields["role"] == "vacancy":
        name = details.get("cell", "")
        whole = name.split(" ")[0] == f"Li2{details.get('host')}O3"
        return whole and details.get("site") is None and details.get("strain_kind") == "none"
    return False


def _layered(fields: Mapping[str, Any]) -> LayeredCell | None:
    structure, details = fields["structure"], fields["details"]
    if not isinstance(structure, Structure):
        structure = Structure.from_dict(structure)
    try:
        lattice = layered_lattice(structure)
    except RocksaltError:  # it relaxed into something else: no layered cell to predict from
        return None
    symbols = [site.specie.symbol for site in structure]
    metals = [symbol for symbol in symbols if symbol not in {"Li", "O"}]
    moments: dict[str, float] = {}
    if fields.get("magmoms_mu_b"):
        sizes = np.abs(np.array(fields["magmoms_mu_b"], dtype=float))
        for metal in dict.fromkeys(metals):
            moments[metal] = float(sizes[[s == metal for s in symbols]].mean())
    dopant = details.get("dopant")
    return LayeredCell(
        engine=fields["engine"],
        host=details["host"],
        dopant=dopant,
        dopant_share=metals.count(dopant) / len(metals) if dopant else 0.0,
        a_angstrom=lattice.a_angstrom,
        c_angstrom=lattice.c_angstrom,
        oxygen_height=lattice.oxygen_height,
        moments_mu_b=moments,
    )


def stored_cells(store: JobStore, campaign: str, dopants: Sequence[str]) -> CellBatchDoc:
    """Return the cells that a campaign's store has for some dopants.

    Structures are read of pristine layered oxides alone, a few of each dopant.
    """
    # of the mixtures, which are most of a large campaign, those of other dopants are not read
    mine = {
        "metadata.kind": "calculation",
        "output.role": "mixture",
        "output.cations": {"$in": list(dopants)},
    }
    mixtures = {uuid for (uuid,) in load_texts(store, mine, ["uuid"])}
    keys = [
        key
        for by_role in load_campaign_keys(store, campaign).values()
        for role in ROLES
        for key in by_role.get(role, [])
        if role != "mixture" or key in mixtures
    ]
    fields = [summary.model_dump() for summary in load_summaries(store, keys).values()]
    wanted = {None, *dopants}
    pristine = [
        each["key"]
        for each in fields
        if _is_pristine(each) and each["details"].get("dopant") in wanted
    ]
    structures = {
        found["uuid"]: found["output"]
        for found in store.docs_store.query(
            {"uuid": {"$in": pristine}},
            properties=["uuid", "output.structure", "output.magmoms_mu_b"],
        )
    }
    return cells_of(
        {**each, **structures.get(each["key"], {})}
        for each in fields
        if not _is_pristine(each) or each["key"] in structures
    )


def predict_for(
    campaign: Campaign,
    candidates: Sequence[CandidateDoc],
    cells: CellBatchDoc,
    wavelength: str | float = "CuKa",
) -> list[PredictionDoc]:
    """Return what to look for in samples with some candidates of a campaign.

    Parameters
    ----------
    cells
        Of the campaign.
    wavelength
        In angstrom, or a name as 'CuKa'.
    """
    return [
        predict(
            campaign.name,
            each,
            cells,
            layered_host=campaign.layered_host,
            hosts=campaign.hosts,
            fractions=campaign.fractions,
            reduction_uncertainty_ev=campaign.thresholds.formation_uncertainty_ev_per_formula,
            reduction_engines=_deciding(campaign, each),
            wavelength=wavelength,
        )
        for each in candidates
    ]


def _deciding(campaign: Campaign, candidate: CandidateDoc) -> list[str]:
    """Return the engines whose potential of reduction the ranking goes by."""
    known = [engine for engine in campaign.engines if get_engine(engine).scale.is_known]
    if campaign.triage and candidate.rock_salt_reduction_dmu_o_ev.get(campaign.engines[-1]):
        return campaign.engines[-1:]
    return known


def first_candidates(ranking: RankingDoc, n: int = N_CANDIDATES) -> list[CandidateDoc]:
    """Return the candidates of the first ranks."""
    return sorted(ranking.candidates, key=lambda c: c.rank)[:n]


def stored_predictions(
    store: JobStore,
    campaign: Campaign,
    candidates: Sequence[CandidateDoc],
    wavelength: str | float = "CuKa",
) -> list[PredictionDoc]:
    """Return predictions from what a store has of a campaign; nothing is written."""
    if not candidates:
        return []
    cells = stored_cells(store, campaign.name, [c.dopant for c in candidates])
    return predict_for(campaign, candidates, cells, wavelength)


def save_predictions(store: JobStore, predictions: Sequence[PredictionDoc]) -> int:
    """Store predictions that are not there, in the place of older ones; return how many were not.

    The identity of a prediction is its content: the same again changes nothing.
    """
    there = {
        found["uuid"]
        for found in store.docs_store.query(
            {"uuid": {"$in": [p.key for p in predictions]}, "metadata.kind": KIND},
            properties=["uuid"],
        )
    }
    fresh = [p for p in predictions if p.key not in there]
    save_many(
        store,
        [record(p.key, KIND, p, f"{p.dopant} of {p.campaign}", campaign=p.campaign) for p in fresh],
    )
    for p in fresh:
        older = {
            "metadata.kind": KIND,
            "metadata.campaign": p.campaign,
            "output.dopant": p.dopant,
            "output.wavelength_angstrom": p.wavelength_angstrom,
            "uuid": {"$ne": p.key},
        }
        store.docs_store.remove_docs(older)
    return len(fresh)


# --------------------------------------------------------------------------- jobs


@job(output_schema=CellBatchDoc)
def gather_cells(batches: list[Any]) -> CellBatchDoc:
    """Collect from batches of calculations the cells that predictions use."""
    cells = CellBatchDoc()
    for batch in batches:
        some = batch["calculations"] if isinstance(batch, dict) else batch.calculations
        dumped = (each if isinstance(each, dict) else each.model_dump(mode="json") for each in some)
        found = cells_of(dumped)
        cells.rock_salts += found.rock_salts
        cells.layered += found.layered
    return cells


@job(output_schema=PredictionBatchDoc)
def predict_first(
    campaign: dict[str, Any],
    ranking: RankingDoc,
    cells: list[CellBatchDoc],
    n: int = N_CANDIDATES,
    wavelength: str | float = "CuKa",
) -> PredictionBatchDoc:
    """Say what to look for in samples with the first candidates of a ranking."""
    ranked = RankingDoc.model_validate(ranking)
    together = CellBatchDoc()
    for each in map(CellBatchDoc.model_validate, cells):
        together.rock_salts += each.rock_salts
        together.layered += each.layered
    found = predict_for(
        campaign_from_dict(campaign), first_candidates(ranked, n), together, wavelength
    )
    return PredictionBatchDoc(predictions=found)
