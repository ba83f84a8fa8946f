"""Queries in the field's words, turned into MongoDB filters."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, get_args

from rocksalt.screening.errors import RocksaltError
from rocksalt.stores.documents import CampaignDoc, Role
from rocksalt.stores.records import COMMON_FIELDS, campaign_names, load_states, load_texts, reach
from rocksalt.stores.sqlite_summaries import fields_of_filter
from rocksalt.stores.stability import ABOVE_HULL, TOLERANCE_EV_PER_ATOM, energies_above_hull

if TYPE_CHECKING:
    from rocksalt.stores.reading import Documents

DEFAULT_PROPERTIES = ("label", "role", "engine", "state", "energy_ev_per_atom", "volume", "key")
"""Columns of a query that names none."""

STATES = ("done", "failed")

_OF_RECORD = ("uuid", "index", "name", "completed_at", "metadata", "hosts", "_id")
"""What jobflow keeps beside every output."""


def load_campaign_doc(store: Documents, name: str) -> CampaignDoc:
    """Return a campaign's document.

    Raises
    ------
    RocksaltError
        When the store has none of that name; the nearest is named.
    """
    return CampaignDoc.model_validate(_campaign_output(store, name, "output"))


def load_campaign_keys(store: Documents, name: str) -> dict[str, dict[str, list[str]]]:
    """Return the keys of a campaign's calculations by engine and role.

    Raises
    ------
    RocksaltError
        When the store has no campaign of that name; the nearest is named.
    """
    return _campaign_output(store, name, "output.keys")["keys"]


def is_computed(store: Documents, name: str, without_failed: bool = False) -> bool:
    """Say whether a store holds every calculation that the last plan of a campaign had.

    Parameters
    ----------
    without_failed
        Those that failed do not count.
    """
    if name not in campaign_names(store):
        return False
    roles_of = load_campaign_keys(store, name).values()
    keys = [key for roles in roles_of for some in roles.values() for key in some]
    states = load_states(store, keys)
    return len(states) == len(set(keys)) and not (without_failed and "failed" in states.values())


def _campaign_output(store: Documents, name: str, field: str) -> dict[str, Any]:
    found = store.docs_store.query_one({"uuid": f"campaign-{name}"}, properties=[field])
    if found is None:
        known = campaign_names(store)
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known) or 'none'}"
        raise RocksaltError(
            f"campaign {name!r} is not in this store: {hint}; another store is given with --store"
        )
    return found["output"]


def calculation_filter(
    *,
    dopant: str | None = None,
    host: str | None = None,
    fraction: float | None = None,
    role: str | None = None,
    engine: str | None = None,
    formula: str | None = None,
    chemsys: str | None = None,
    state: str | None = None,
) -> dict[str, Any]:
    """Return the MongoDB filter of calculations for words of the field.

    A mixture of M in HO is one of H in MO: asking for a dopant or a host finds both, and
    ``fraction`` is the dopant's share. The host of a mixture is all that is beside the dopant: 'Mn' is not
    'Li0.5Mn0.5', the disordered rock salt with lithium.

    Raises
    ------
    RocksaltError
        For an element, role, state or formula that does not exist, or a fraction without a dopant.
    """
    criteria: dict[str, Any] = {"metadata.kind": "calculation"}
    if dopant is not None or host is not None:
        from rocksalt.screening.elements import check_cation, host_cations  # and with them pymatgen

        of_host = host_cations(host) if host is not None else ()
        cations = [*([check_cation(dopant)] if dopant is not None else []), *of_host]
        criteria["output.cations"] = {"$all": cations} if len(cations) > 1 else cations[0]
        if host is not None:
            exactly = {"$size": len(of_host) + 1}
            others = {"output.role": "mixture", "output.cations": {"$not": exactly}}
            criteria["$nor"] = [others]
    if fraction is not None:
        if dopant is None:
            raise RocksaltError("--fraction is the dopant's share: give --dopant too")
        if not 0 <= fraction <= 1:
            percent = f"; for {fraction:g} % write {fraction / 100:g}" if 1 < fraction < 100 else ""
            raise RocksaltError(f"--fraction {fraction:g} is outside 0 to 1{percent}")
        criteria[f"output.cation_fractions.{dopant}"] = {
            "$gt": fraction - 1e-6,
            "$lt": fraction + 1e-6,
        }
    if role is not None and role not in get_args(Role):
        raise RocksaltError(f"--role {role!r}: choose from {', '.join(get_args(Role))}")
    if state is not None and state not in STATES:
        raise RocksaltError(f"--state {state!r}: choose from {', '.join(STATES)}")
    plain = {"role": role, "engine": engine, "state": state}
    plain["formula_pretty"] = None if formula is None else _reduced(formula)
    plain["chemsys"] = "-".join(sorted(chemsys.split("-"))) if chemsys else None
    criteria |= {f"output.{name}": value for name, value in plain.items() if value is not None}
    return criteria


def _reduced(formula: str) -> str:
    """Return a formula in the order and the proportions in which documents have it."""
    from pymatgen.core import Composition

    try:
        return Composition(formula, strict=True).reduced_formula
    except ValueError as error:
        raise RocksaltError(f"--formula {formula!r} is not a formula: write it like MnO") from error


def parse_filter(text: str) -> dict[str, Any]:
    """Return the MongoDB filter in a JSON string.

    Raises
    ------
    RocksaltError
        When it is not a JSON object.
    """
    try:
        parsed = json.loads(text)
    except json.JSONDecodeError as error:
        raise RocksaltError(
            f"--filter is not valid JSON at character {error.pos}: {error.msg}; write it like "
            '\'{"output.role": "mixture"}\''
        ) from error
    if not isinstance(parsed, dict):
        raise RocksaltError('--filter must be a JSON object, like \'{"output.role": "mixture"}\'')
    return parsed


def check_properties(text: str) -> list[str]:
    """Return the names of fields of a calculation in a list that is separated by commas.

    Raises
    ------
    RocksaltError
        For a field that does not exist; the nearest is named.
    """
    checked = []
    for name in map(str.strip, text.split(",")):
        first = name.split(".")[0]
        if first != ABOVE_HULL and not _is_field(first):
            known = [*_all_fields(), ABOVE_HULL]
            raise RocksaltError(
                f"--properties: {name!r} is not a field of a calculation; {_nearest(name, known)}"
            )
        checked.append(name)
    return checked


def check_filter(criteria: dict[str, Any]) -> None:
    """Refuse a filter that asks about a field which no calculation has.

    A filter that names another ``metadata.kind`` is of other documents and passes.

    Raises
    ------
    RocksaltError
        For a field that does not exist; the nearest is named.
    """
    if criteria.get("metadata.kind", "calculation") != "calculation":
        return
    for name in sorted(fields_of_filter(criteria) or ()):
        first, *rest = name.split(".")
        of_output = first == "output" and (not rest or _is_field(rest[0]))
        if not of_output and first not in _OF_RECORD:
            fields = [f"output.{field}" for field in _all_fields()]
            known = [*_OF_RECORD, *fields]
            near = f"output.{name}"
            hint = f"nearest: {near}" if near in fields else _nearest(name, known)
            raise RocksaltError(f"--filter: {name!r} is not a field of a calculation; {hint}")


def _is_field(name: str) -> bool:
    """Say whether a calculation has a field; most are known without its class, which is slow."""
    return name in COMMON_FIELDS or name in _all_fields()


def _all_fields() -> list[str]:
    from rocksalt.stores.calculation_documents import CalculationDoc

    return list(CalculationDoc.model_fields)


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return f"nearest: {', '.join(near)}" if near else f"known: {', '.join(known)}"


def query_calculations(
    store: Documents,
    criteria: dict[str, Any],
    properties: Iterable[str] = DEFAULT_PROPERTIES,
    campaign: str | None = None,
    limit: int = 0,
    stability: float | None = None,
) -> list[dict[str, Any]]:
    """Return fields of the calculations that match, in the order of their labels.

    Parameters
    ----------
    criteria
        A MongoDB filter, for example of `calculation_filter`.
    properties
        Fields of `CalculationDoc`, dots reach into them; `ABOVE_HULL`, None of one in no hull.
    campaign
        Only calculations of this campaign.
    limit
        At most this many; 0 for all.
    stability
        Only calculations with at most this energy above the hull, eV per atom.

    Raises
    ------
    RocksaltError
        When the campaign is not there, the filter cannot be understood, or the energy above the
        hull is asked for and the store has no hull.
    """
    names = list(properties)
    members: set[str] | None = None
    if campaign:
        keys = load_campaign_keys(store, campaign)
        members = {key for roles in keys.values() for some in roles.values() for key in some}
    above: dict[str, float] = {}
    if stability is not None or ABOVE_HULL in names:
        engine = criteria.get("output.engine")
        above = energies_above_hull(store, campaign, engine if isinstance(engine, str) else None)
    if stability is not None:
        near = {k for k, e in above.items() if e <= stability + TOLERANCE_EV_PER_ATOM}
        members = near if members is None else near & members
    fields = list(dict.fromkeys([*(f"output.{name}" for name in names), "uuid", "output.label"]))
    try:
        if limit:
            criteria = _first(store, criteria, members, limit)
        found = list(store.docs_store.query(criteria, properties=fields))
    except RocksaltError:
        raise
    except Exception as error:  # every store has its own for a filter that it refuses
        from pymongo.errors import ConnectionFailure

        if isinstance(error, ConnectionFailure):
            raise
        raise RocksaltError(
            f"--filter is not understood: {' '.join(str(error).split())}"
        ) from error
    rows = [r for r in found if members is None or r["uuid"] in members]
    # Sorted here, so that documents of one label come in the same order from every store.
    rows.sort(key=lambda row: (reach(row, "output.label") or "", row["uuid"]))
    return [
        {
            name: above.get(row["uuid"]) if name == ABOVE_HULL else reach(row, f"output.{name}")
            for name in names
        }
        for row in rows
    ]


def _first(
    store: Documents, criteria: dict[str, Any], members: set[str] | None, limit: int
) -> dict[str, Any]:
    """Return a filter of the first documents by label: so few are then read whole."""
    size = limit
    while True:
        found = list(load_texts(store, criteria, ["output.label", "uuid"], size))
        first = [uuid for _, uuid in found if members is None or uuid in members]
        if len(first) >= limit or len(found) < size:
            return {**criteria, "uuid": {"$in": first[:limit]}}
        size *= 8  # many are of other campaigns
