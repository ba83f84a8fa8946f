"""Results as pandas tables, for notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobflow import JobStore

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
            **_who(row["cation_fractions"], dopant, hosts),
            **{column: row[field] for column, field in COLUMNS.items()},
        }
        for row in found
    ]
    return pd.DataFrame(rows, columns=["dopant", "host", "fraction", *COLUMNS])


def _who(
    cation_fractions: Mapping[str, float], dopant: str | None, hosts: Iterable[str]
) -> dict[str, Any]:
    """Return which cation is the dopant, which the host, and the dopant's share."""
    cations = [symbol for symbol in cation_fractions if symbol != "Li"]
    if dopant is None:
        others = [symbol for symbol in cations if symbol not in hosts] if hosts else []
        dopant = others[0] if len(others) == 1 else None
    left = [symbol for symbol in cations if symbol != dopant]
    known = dopant is not None or set(left) <= set(hosts)
    return {
        "dopant": dopant,
        "host": left[0] if known and len(left) == 1 else None,
        "fraction": None if dopant is None else cation_fractions.get(dopant),
    }


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
