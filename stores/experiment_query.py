"""Queries for analysed measurements in the field's words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rocksalt.screening.elements import check_cation

if TYPE_CHECKING:
    from rocksalt.stores.reading import Documents

COLUMNS = ("sample", "dopant", "technique", "file", "quantity", "value", "uncertainty", "unit")
"""Of a row, which is one quantity of one measurement; `key`, its identity, is in the row too."""


def query_experiments(
    store: Documents,
    *,
    technique: str | None = None,
    dopant: str | None = None,
    host: str | None = None,
    sample: str | None = None,
    limit: int = 0,
) -> list[dict[str, Any]]:
    """Return the quantities of the measurements that match, by sample, technique and file.

    Parameters
    ----------
    technique
        As in an experiment file.
    dopant, host
        What the sample is filed under.
    sample
        Its name.
    limit
        At most so many measurements; 0 for all.

    Raises
    ------
    RocksaltError
        For a dopant that is no cation.
    """
    words = {
        "technique": technique,
        "dopant": None if dopant is None else check_cation(dopant),
        "host": host,
        "sample.name": sample,
    }
    criteria: dict[str, Any] = {"metadata.kind": "experiment"}
    criteria |= {f"output.{name}": value for name, value in words.items() if value is not None}
    fields = ["uuid", *(f"output.{f}" for f in ("sample", "dopant", "technique", "file", "values"))]
    found = [
        (record["uuid"], record["output"])
        for record in store.docs_store.query(criteria, properties=fields)
    ]
    found.sort(key=lambda f: (f[1]["sample"]["name"], f[1]["technique"], f[1]["file"], f[0]))
    return [
        {
            "sample": output["sample"]["name"],
            "dopant": output.get("dopant"),
            "technique": output["technique"],
            "file": output["file"],
            "quantity": name,
            "value": quantity["value"],
            "uncertainty": quantity["uncertainty"],
            "unit": quantity["unit"],
            "key": key,
        }
        for key, output in found[: limit or None]
        for name, quantity in output["values"].items()
    ]
