"""Values as ordered, typed keys, and MongoDB filters that compare by them.

A key is a pair of a kind and a value that SQLite stores and orders as MongoDB orders its own:
first by BSON type, then by value. Equality in a filter is decided by the same keys, so the answer
to a query is the same whether an index serves it or not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from types import ModuleType
from typing import Any

import bson
from bson import ObjectId

Key = tuple[int, Any]

# Kinds that only mark a document in an index.
OTHER = 0  # a value without an exact key: the document is a candidate for every filter
UNSORTABLE = 1  # several keys, one of an array, or one that SQLite orders unlike MongoDB
STORED_NULL = 2  # null itself, where NULL alone may also mean that the field is missing
EMPTY_ARRAY = 3  # sorts before null
# Kinds of values, in the order in which MongoDB sorts them.
NULL = 5
NAN = 9
NUMBER = 10
STRING = 15
OBJECT = 20
ARRAY = 25
NESTED_ARRAY = 26  # an array that is an element of an array
BYTES = 30
OBJECT_ID = 35
BOOL = 40
DATE = 45
UNKNOWN = 60

EXACT = frozenset({NULL, NAN, NUMBER, STRING, OBJECT_ID, BOOL, DATE})
"""Kinds whose keys are equal exactly when MongoDB calls the values equal."""

RANGES = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}

_EPOCH = datetime(1970, 1, 1)
_MILLISECOND = timedelta(milliseconds=1)
_INT64 = range(-(2**63), 2**63)


@cache
def _mongomock() -> ModuleType:
    # Only where it is needed: it brings pymongo, which takes longer than most questions to a file.
    from mongomock_ng import filtering

    return filtering


def key_of(value: Any) -> Key:
    """Return the key of one value; dates count as UTC when they name no time zone."""
    if value is None:
        return NULL, 0
    if type(value) is str:  # the commonest, first
        return STRING, value
    if isinstance(value, bool):
        return BOOL, int(value)
    if isinstance(value, int):
        return (NUMBER, int(value)) if int(value) in _INT64 else (OTHER, 0)
    if isinstance(value, float):
        return (NAN, 0) if math.isnan(value) else (NUMBER, float(value))
    if isinstance(value, str):  # an enumeration: its own hash is that of the member's name
        return STRING, str.__str__(value)
    if isinstance(value, datetime):
        return DATE, (_naive(value) - _EPOCH) // _MILLISECOND
    if isinstance(value, ObjectId):
        return OBJECT_ID, value.binary
    if isinstance(value, bytes):
        return BYTES, bytes(value)
    if isinstance(value, Mapping):
        return OBJECT, 0
    if isinstance(value, (list, tuple)):
        return ARRAY, 0
    return (NULL, 0) if value is _mongomock().NOTHING else (OTHER, 0)


def value_of(key: Key) -> Any:
    """Return the value that an exact key stands for."""
    kind, value = key
    if kind == NULL:
        return None
    if kind == NAN:
        return math.nan
    if kind == BOOL:
        return bool(value)
    if kind == DATE:
        return _EPOCH + value * _MILLISECOND
    return ObjectId(value) if kind == OBJECT_ID else value


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def values_at(field: str, doc: Mapping) -> list[Any]:
    """Return the values at a dotted path, arrays replaced by their elements; missing ones left out.

    This is what MongoDB's ``distinct`` collects.
    """
    values: list[Any] = []
    filtering = _mongomock()
    for candidate in filtering.iter_key_candidates(field, doc):
        if isinstance(candidate, (list, tuple)):
            values += candidate
        elif candidate is not filtering.NOTHING:
            values.append(candidate)
    return values


def index_keys(field: str, doc: Mapping) -> set[Key]:
    """Return the keys under which an index on ``field`` files a document."""
    keys: set[Key] = set()
    for candidate in _mongomock().iter_key_candidates(field, doc):
        if isinstance(candidate, (list, tuple)):
            keys.add((ARRAY, 0))
            keys.update(_element_key(element) for element in candidate)
        else:
            keys.add(key_of(candidate))
    if any(value is None for value in values_at(field, doc)):
        keys.add((STORED_NULL, 0))
    if not keys:
        keys.add((NULL, 0))
    kinds = [kind for kind, _ in keys if kind != STORED_NULL]
    if len(kinds) != 1 or kinds[0] not in EXACT or _leads_through_array(field, doc):
        keys.add((UNSORTABLE, 0))
    return keys


def _leads_through_array(field: str, doc: Mapping) -> bool:
    value: Any = doc
    for name in field.split(".")[:-1]:
        value = value.get(name)
        if not isinstance(value, Mapping):
            return isinstance(value, (list, tuple))
    return False


def _element_key(element: Any) -> Key:
    key = key_of(element)
    return (NESTED_ARRAY, 0) if key[0] == ARRAY else key


def identity(value: Any) -> Any:
    """Return something hashable that two values share when ``distinct`` counts them as one."""
    key = key_of(value)
    return key if key[0] in EXACT else bson.encode({"": value})


def sort_key(field: str, doc: Mapping, descending: bool) -> tuple[int, Any]:
    """Return what a document is sorted by: of an array, its least element, or its greatest."""
    keys: list[tuple[int, Any]] = []
    for candidate in _mongomock().iter_key_candidates(field, doc):
        if isinstance(candidate, (list, tuple)):
            keys += [_order(element) for element in candidate] or [(EMPTY_ARRAY, 0)]
        else:
            keys.append(_order(candidate))
    return (max if descending else min)(keys or [(NULL, 0)])


def _order(value: Any) -> tuple[int, Any]:
    kind, content = key_of(value)
    if kind in EXACT:
        return kind, content
    if kind == BYTES:  # MongoDB puts the shorter one first
        return kind, (len(content), content)
    return kind or UNKNOWN, _mongomock().BsonComparable(value)


class OneOf:
    """Equals each of the given values as MongoDB compares them: ``True`` is not 1, but 1.0 is.

    It stands in a filter for a value, or for the list of an ``$in``, which is then looked up
    instead of walked through.
    """

    __slots__ = ("keys",)

    def __init__(self, values: Iterable[Any]) -> None:
        self.keys = frozenset(map(key_of, values))

    def __eq__(self, other: object) -> bool:
        return key_of(other) in self.keys

    def __hash__(self) -> int:
        return hash(self.keys)


def matcher(criteria: Mapping) -> Callable[[Mapping], bool]:
    """Return a function that says whether a document matches a MongoDB filter."""
    if not criteria:
        return lambda doc: True
    exact = typed(criteria)
    plain = _plain_equalities(criteria)
    if plain is None:
        applies = _mongomock().filter_applies
        return lambda doc: applies(exact, doc)

    def matches(doc: Mapping) -> bool:
        for path, keys in plain:
            value: Any = doc
            for name in path:
                value = value.get(name) if isinstance(value, Mapping) else None
            if value is None or isinstance(value, (list, tuple, Mapping)):
                return _mongomock().filter_applies(exact, doc)
            if key_of(value) not in keys:
                return False
        return True

    return matches


def _plain_equalities(criteria: Mapping) -> list[tuple[list[str], frozenset[Key]]] | None:
    """Return paths and the keys that they may have, of a filter of nothing but equalities."""
    plain = []
    for field, condition in criteria.items():
        values = [condition]
        if is_operators(condition):
            operator, operand = next(iter(condition.items()))
            if len(condition) > 1 or operator not in ("$eq", "$in"):
                return None
            values = operand if operator == "$in" else [operand]
        if field.startswith("$") or not isinstance(values, (list, tuple)):
            return None
        keys = frozenset(map(key_of, values))
        if any(kind not in EXACT or kind == NULL for kind, _ in keys):
            return None
        plain.append((field.split("."), keys))
    return plain


def typed(criteria: Mapping) -> dict:
    """Return a filter whose equalities compare BSON values instead of Python ones."""
    return {name: _typed_condition(name, condition) for name, condition in criteria.items()}


def _typed_condition(name: str, condition: Any) -> Any:
    if name.startswith("$"):
        return _typed_operand(name, condition)
    if is_operators(condition):
        return {name: _typed_operand(name, operand) for name, operand in condition.items()}
    if condition == {}:  # mongomock takes it for no condition at all
        return {"$eq": {}}
    return _typed_value(condition)


def is_operators(condition: Any) -> bool:
    """Say whether a condition is made of operators, and not a document to be equal to."""
    return (
        isinstance(condition, Mapping)
        and bool(condition)
        and all(isinstance(name, str) and name.startswith("$") for name in condition)
    )


def _typed_operand(operator: str, operand: Any) -> Any:
    if operator in ("$eq", "$ne"):
        return _typed_value(operand)
    if operator in RANGES and isinstance(operand, datetime):
        return value_of(key_of(operand))
    if operator in ("$elemMatch", "$not") and isinstance(operand, Mapping):
        return typed(operand)
    if isinstance(operand, (list, tuple)):
        if operator in ("$in", "$nin"):
            exact = [value for value in operand if key_of(value)[0] in EXACT]
            others = [value for value in operand if key_of(value)[0] not in EXACT]
            return [OneOf(exact), *map(_typed_value, others)]
        if operator == "$all":
            return [typed(v) if is_operators(v) else _typed_value(v) for v in operand]
        if operator in ("$and", "$or", "$nor"):
            return [typed(v) if isinstance(v, Mapping) else v for v in operand]
    return operand


def _typed_value(value: Any) -> Any:
    kind = key_of(value)[0]
    if kind in EXACT:
        return OneOf([value])
    if kind == ARRAY:
        return [_typed_content(element) for element in value]
    if kind == OBJECT:
        return {name: _typed_content(content) for name, content in value.items()}
    return value


def _typed_content(value: Any) -> Any:
    return None if value is None else _typed_value(value)  # a missing one is no content
