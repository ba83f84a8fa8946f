"""What users write into experiment files: the base of samples and of the options of techniques."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator


class UserInput(BaseModel):
    """Fields that a user gives in YAML; unknown ones are refused.

    YAML has truth values (yes, no, on, off, true, false) and numbers that are not finite (.inf, .nan).
    The first would count as 1 and 0 wherever a number is meant, and no quantity is the second: both are
    refused, at any depth, except truth values of a field that is one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _is_a_number_or_a_name(cls, value: Any, info: ValidationInfo) -> Any:
        annotation = cls.model_fields[str(info.field_name)].annotation
        is_truth_value = bool in (annotation, *get_args(annotation))
        for place, each in _within(value):
            where = f" at {place}" if place else ""
            if isinstance(each, bool) and not is_truth_value:
                raise ValueError(
                    f"true or false (yes or no){where}: give a number or a name, in quotes if need be"
                )
            if isinstance(each, float) and not math.isfinite(each):
                raise ValueError(f"not a finite number{where}: give one, or leave it out")
        return value


def _within(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Yield what a value holds, names within it too, each with its place: 'O2.unit', '003.0'."""
    if isinstance(value, dict):
        for name, each in value.items():
            inner = f"{place}.{name}" if place else str(name)
            yield inner, name
            yield from _within(each, inner)
    elif isinstance(value, (list, tuple)):
        for number, each in enumerate(value):
            yield from _within(each, f"{place}.{number}" if place else str(number))
    else:
        yield place, value
