"""MongoDB projections: which fields of a document a query returns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import bson
from bson.raw_bson import RawBSONDocument

from rocksalt.screening.errors import RocksaltError

# The wanted (or unwanted) paths as a tree; None is the end of a path.
_Tree = dict[str, "_Tree | None"]


def projector(properties: Mapping[str, Any] | Iterable[str] | None) -> Callable[[dict], dict]:
    """Return a function that reduces a document to the fields asked for.

    Parameters
    ----------
    properties
        Dotted fields to keep, or a MongoDB projection that maps fields to 1 (keep) or 0 (drop).
        ``_id`` is kept unless it is mapped to 0. Nothing keeps everything.
    """
    if not properties:
        return lambda doc: doc
    spec = dict(properties) if isinstance(properties, Mapping) else dict.fromkeys(properties, 1)
    _refuse_operators(spec)
    with_id = spec.pop("_id", None)
    wanted = {bool(value) for value in spec.values()}
    if len(wanted) > 1:
        raise RocksaltError(
            f"the projection {spec} keeps some fields and drops others: give either only fields "
            "to keep (1) or only fields to drop (0)"
        )
    keep = wanted == {True} or (not wanted and bool(with_id))
    tree = _tree(spec)

    def project(doc: dict) -> dict:
        kept = (_kept if keep else _without)({k: v for k, v in doc.items() if k != "_id"}, tree)
        if "_id" in doc and (with_id is None or with_id):
            return {"_id": doc["_id"], **kept}
        return kept

    return project


def partly_decoded(body: bytes, fields: Iterable[str]) -> dict[str, Any]:
    """Return what some dotted fields lead through of a document in BSON, without decoding the rest.

    Parameters
    ----------
    body
        The document.
    fields
        Paths; what lies at the end of one comes whole, an array on the way too.
    """
    return _opened(RawBSONDocument(body), set(fields))


def _opened(document: RawBSONDocument, fields: set[str]) -> dict[str, Any]:
    below: dict[str, set[str]] = {}
    for field in fields:
        name, _, rest = field.partition(".")
        below.setdefault(name, set()).add(rest)
    return {
        name: _opened(value, below[name])
        if isinstance(value, RawBSONDocument) and "" not in below[name]
        else _decoded(value)
        for name, value in document.items()
        if name in below
    }


def _decoded(value: Any) -> Any:
    if isinstance(value, RawBSONDocument):
        return bson.decode(value.raw)
    return [_decoded(element) for element in value] if isinstance(value, list) else value


def _refuse_operators(spec: dict[str, Any]) -> None:
    for field, value in spec.items():
        if not isinstance(value, (bool, int, float)):
            raise RocksaltError(
                f"the projection of {field!r} is {value!r}: only 1 (keep) and 0 (drop) are known "
                "here; reduce the field further in Python"
            )


def _tree(fields: Iterable[str]) -> _Tree:
    root: _Tree = {}
    for field in fields:
        *parents, last = field.split(".")
        node: _Tree | None = root
        for name in parents:
            node = node.setdefault(name, {}) if node is not None else None
        if node is None or last in node:
            raise RocksaltError(
                f"the projection names {field!r} and also a field above or below it: name one"
            )
        node[last] = None
    return root


def _kept(doc: Mapping, tree: _Tree) -> dict:
    kept = {}
    for name, value in doc.items():
        if name not in tree:
            continue
        subtree = tree[name]
        if subtree is None:
            kept[name] = value
        elif isinstance(value, Mapping):
            kept[name] = _kept(value, subtree)
        elif isinstance(value, list):
            kept[name] = _kept_elements(value, subtree)
    return kept


def _kept_elements(elements: list, tree: _Tree) -> list:
    # A scalar has no field to keep, so it goes; the documents beside it stay.
    return [
        _kept(element, tree) if isinstance(element, Mapping) else _kept_elements(element, tree)
        for element in elements
        if isinstance(element, (Mapping, list))
    ]


def _without(value: Any, tree: _Tree) -> Any:
    if isinstance(value, list):
        return [_without(element, tree) for element in value]
    if not isinstance(value, Mapping):
        return value
    rest = {}
    for name, content in value.items():
        subtree = tree.get(name, {})
        if subtree is not None:
            rest[name] = _without(content, subtree) if subtree else content
    return rest
