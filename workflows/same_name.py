"""Two campaigns of one name: what differs, and a refusal to lose the first one unasked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobflow import JobStore

from rocksalt.screening.errors import RocksaltError
from rocksalt.stores.documents import CampaignDoc
from rocksalt.stores.records import load_document
from rocksalt.workflows.campaign import Campaign, campaign_from_dict

_N_SHOWN = 4


def refuse_other_content(store: JobStore, campaign: Campaign) -> None:
    """Raise when the store has a campaign of the same name with other content.

    Parameters
    ----------
    store
        A connected store.
    campaign
        What is about to be run.

    Raises
    ------
    RocksaltError
        One line with the keys that differ and the remedies.
    """
    output = load_document(store, f"campaign-{campaign.name}")
    if output is None:
        return
    stored = CampaignDoc.model_validate(output)
    if stored.content_hash == campaign.content_hash:
        return
    new = campaign.model_dump(mode="json", exclude={"store"})
    changes = differences(_with_defaults(stored.settings), new)
    if not changes:  # only defaults that an older rocksalt did not write out
        return
    more = f" and {len(changes) - _N_SHOWN} more" if len(changes) > _N_SHOWN else ""
    raise RocksaltError(
        f"campaign {campaign.name!r} is in the store with other content: "
        f"{'; '.join(changes[:_N_SHOWN])}{more}: give it another name, or --replace to let it take "
        "the other's place (finished calculations are kept and used)"
    )


def _with_defaults(settings: dict[str, Any]) -> dict[str, Any]:
    try:
        campaign = campaign_from_dict(settings)
    except RocksaltError:  # of a version that knew other keys
        return settings
    return campaign.model_dump(mode="json", exclude={"store"})


def differences(stored: Mapping[str, Any], new: Mapping[str, Any], within: str = "") -> list[str]:
    """Return what differs between two mappings of settings, each as 'key: stored, now new'."""
    found = []
    for key in dict.fromkeys([*new, *stored]):
        before, after = stored.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found += differences(before, after, f"{within}{key}.")
        elif before != after:
            found.append(f"{within}{key}: {_shown(before)}, now {_shown(after)}")
    return found


def _shown(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 60 else f"{text[:60]} ..."
