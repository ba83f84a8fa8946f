"""Results as pandas tables, for notebooks."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobflow import JobStore

from rocksalt.screening.elements import host_cations
from rocksalt.stores.opening import close_store, open_store
from rocksalt.stores.query import calculation_filter, load_campaign_doc, query_calculations
from rocksalt.stores.records import load_ranking

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = {
    "label": "label",
    "role": "role",
    "engine": "engine",
    "state": "state",
    "formula": "formula_pretty",
    "chemsys": "chemsys",
    "prototype": "prototype",
    "multiplicity": "multiplicity",
    "n_sites": "nsites",
    "energy_ev": "energy_ev",
    "energy_ev_per_atom": "energy_ev_per_atom",
    "volume_angstrom3": "volume",
    "density_g_per_cm3": "density",
    "max_force_ev_per_angstrom": "max_force_ev_per_angstrom",
    "converged": "converged",
    "n_evaluations": "n_evaluations",
    "cpu_s": "cpu_s",
    "energy_scale": "energy_scale",
    "engine_version": "engine_version",
    "error": "error",
    "junk": "junk",
    "key": "key",
}
"""Columns of `load_results` behind dopant, host and fraction, and the fields that they show."""

_ROCK_SALTS = ("end-member", "mixture")


def load_results(
    store: JobStore | str | Path,
    campaign: str | None = None,
    *,
    dopant: str | None = None,
    host: str | None = None,
    fraction: float | None = None,
    role: str | None = None,
    engine: str | None = None,
    formula: str | None = None,
    chemsys: str | None = None,
    state: str | None = None,
) -> pd.DataFrame:
    """Return calculations as a table with one row each, in the order of their labels.

    Parameters
    ----------
    store
        A connected store, or the address of one, as for ``--store``.
    campaign
        Only calculations of this campaign. Its hosts then tell dopant from host.
    dopant, host, fraction, role, engine, formula, chemsys, state
        As in ``rocksalt query``: a mixture of M in HO is found as one of H in MO too, and
        ``fraction`` is the dopant's share of the cations.

    Returns
    -------
    pandas.DataFrame
        ``dopant``, ``host``, ``fraction`` (missing where the words and the campaign do not tell
        which is which) and `COLUMNS`. What was not computed is missing, never zero.

    Examples
    --------
    >>> mixtures = load_results("results.sqlite", role="mixture", dopant="Ti")  # doctest: +SKIP
    >>> mixtures.groupby(["engine", "host", "fraction"]).energy_ev_per_atom.min()  # doctest: +SKIP
    """
    import pandas as pd

    criteria = calculation_filter(
        dopant=dopant,
        host=host,
        fraction=fraction,
        role=role,
        engine=engine,
        formula=formula,
        chemsys=chemsys,
        state=state,
    )
    with _opened(store) as job_store:
        hosts = {host} if host else set()
        if campaign and not hosts:
            hosts = set(load_campaign_doc(job_store, campaign).settings["hosts"])
        fields = [*COLUMNS.values(), "cation_fractions"]
        found = query_calculations(job_store, criteria, fields, campaign)
    rows = [
        {
            **_who(row, dopant, hosts),
            **{column: row[field] for column, field in COLUMNS.items()},
        }
        for row in found
    ]
    return pd.DataFrame(rows, columns=["dopant", "host", "fraction", *COLUMNS])


def _who(
    row: Mapping[str, Any], dopant: str | None, hosts: Collection[str]
) -> dict[str, str | float | None]:
    """Return which cation is the dopant, what the host is, and the dopant's share."""
    shares: Mapping[str, float] = row["cation_fractions"]
    cations = set(shares)
    if row["role"] not in _ROCK_SALTS:  # the lithium of layered cells is no cation of a rock salt
        cations -= {"Li"}
    split = (_split(cations, host) for host in hosts or _hosts_beside(cations, dopant))
    pairs = {pair for pair in split if pair is not None}
    if row["role"] in _ROCK_SALTS:  # an end member has no dopant, a mixture has one
        pairs = {pair for pair in pairs if (pair[0] is None) == (row["role"] == "end-member")}
    if dopant is not None:
        pairs = {pair for pair in pairs if pair[0] in {dopant, None}}
    if len(pairs) != 1:
        return {"dopant": dopant, "host": None, "fraction": shares.get(dopant or "")}
    ((found, host),) = pairs
    return {"dopant": found, "host": host, "fraction": shares.get(found or "")}


def _split(cations: Collection[str], host: str) -> tuple[str | None, str] | None:
    """Return the dopant, or None, that some cations are beside a host; None where they are not."""
    left = set(cations) - set(host_cations(host))
    if not set(host_cations(host)) <= set(cations) or len(left) > 1:
        return None
    return next(iter(left), None), host


def _hosts_beside(cations: Collection[str], dopant: str | None) -> list[str]:
    """Return the host that is left beside a dopant."""
    metals = sorted(set(cations) - {dopant, "Li"})
    if dopant not in cations or len(metals) != 1:
        return []
    return [f"Li0.5{metals[0]}0.5" if "Li" in cations and dopant != "Li" else metals[0]]


def load_ranking_frame(store: JobStore | str | Path, campaign: str) -> pd.DataFrame:
    """Return the ranking that the last run of a campaign stored, one row for each dopant.

    Parameters
    ----------
    store
        A connected store, or the address of one.
    campaign
        Its name.

    Returns
    -------
    pandas.DataFrame
        Rank, dopant, verdict, the numbers behind it and the reasons. Formation energies have one
        column for each engine.
    """
    import pandas as pd

    with _opened(store) as job_store:
        ranking = load_ranking(job_store, campaign)
    rows = []
    for candidate in ranking.candidates:
        row: dict[str, Any] = {
            "rank": candidate.rank,
            "dopant": candidate.dopant,
            "verdict": candidate.verdict,
            "largest_mixing_enthalpy_ev_per_cation": candidate.score_ev_per_cation,
            "uncertainty_ev": candidate.uncertainty_ev,
            "reasons": "; ".join(candidate.reasons),
        }
        for engine, energies in candidate.rock_salt_formation_energy_ev_per_formula.items():
            for kind, value in energies.items():
                row[f"formation_energy_{kind}_ev_per_formula_{engine}"] = value
        rows.append(row)
    return pd.DataFrame(rows)


@contextmanager
def _opened(store: JobStore | str | Path) -> Iterator[JobStore]:
    """Give a store; one that is named by its address is closed afterwards."""
    if isinstance(store, JobStore):
        yield store
        return
    job_store = open_store(str(store), must_exist=True)
    try:
        yield job_store
    finally:
        close_store(job_store)
