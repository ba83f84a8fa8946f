"""Documents, the stores that hold them, and queries in the field's words."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rocksalt.stores.frames import load_ranking_frame, load_results
    from rocksalt.stores.opening import open_store
    from rocksalt.stores.transfer import export_records, import_records

__all__ = ["export_records", "import_records", "load_ranking_frame", "load_results", "open_store"]

_MODULES = {
    "export_records": "transfer",
    "import_records": "transfer",
    "load_ranking_frame": "frames",
    "load_results": "frames",
    "open_store": "opening",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for now, so that importing this package costs nothing."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
