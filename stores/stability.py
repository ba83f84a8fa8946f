"""Energy above the hull of each calculation, from the hulls that runs stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rocksalt.screening.errors import RocksaltError

if TYPE_CHECKING:
    from rocksalt.stores.reading import Documents

ABOVE_HULL = "energy_above_hull_ev_per_atom"
"""Name of the quantity among the fields of a query."""

TOLERANCE_EV_PER_ATOM = 1e-6
"""A phase on the hull can come out this far above it."""


def energies_above_hull(
    store: Documents, campaign: str | None = None, engine: str | None = None
) -> dict[str, float]:
    """Return the energy above the hull of every calculation that is in one, by key.

    Of a calculation in several hulls it is the largest: the hull with the most competitors.

    Parameters
    ----------
    store
        A connected store.
    campaign
        Only hulls of this campaign.
    engine
        Only hulls with this engine.

    Returns
    -------
    dict
        eV per atom, 0 on the hull.

    Raises
    ------
    RocksaltError
        When the store has no such hull.
    """
    criteria: dict[str, Any] = {"metadata.kind": {"$in": ["hull", "series"]}}
    if campaign is not None:
        criteria["metadata.campaign"] = campaign
    if engine is not None:
        criteria["output.engine"] = engine
    fields = ["output.phases.entry_id", "output.phases.e_above_hull_ev_per_atom"]
    fields += ["output.points.key", "output.points.e_above_hull_ev_per_atom"]
    above: dict[str, float] = {}
    for record in store.docs_store.query(criteria, properties=fields):
        output = record["output"]
        for phase in [*output.get("phases", []), *output.get("points", [])]:
            key, value = phase.get("entry_id", phase.get("key")), phase["e_above_hull_ev_per_atom"]
            if value is not None:
                above[key] = max(value, above.get(key, value))
    if not above:
        whose = f" of campaign {campaign!r}" if campaign else ""
        whose += f" with {engine}" if engine else ""
        raise RocksaltError(
            f"stability: no hull{whose} is in this store: add 'hull' to the campaign's stages and "
            "run it"
        )
    return above
