"""What a request gives, held against what the question needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from serving.api.question import Question
from streaming.errors import DefinitionError

Columns = Mapping[str, Sequence[Any]]
"""Values by name, one for each entity of the request."""

KEYS = {"INT32": 2**31, "INT64": 2**63}
"""Types of join keys that are numbers in JSON, and what these are below; the others are text."""

_REQUEST: dict[str, tuple[type, ...]] = {
    "STRING": (str,),
    "INT32": (int,),
    "INT64": (int,),
    "FLOAT": (int, float),
    "DOUBLE": (int, float),
    "BOOL": (bool,),
    "UNIX_TIMESTAMP": (str,),
    "MAP": (dict,),
}


def checked(question: Question, entities: Columns, request: Columns) -> int:
    """Number of rows. Raises DefinitionError unless every join key and request field has that many values."""
    given = {**entities, **request}
    missing = [name for name in (*question.join_keys, *question.request) if name not in given]
    if missing:
        what = "entities" if missing[0] in question.join_keys else "request"
        raise DefinitionError(f"{', '.join(missing)}: give one value for every entity, in {what}")
    unknown = [name for name in entities if name not in question.join_keys]
    unknown += [name for name in request if name not in question.request]
    if unknown:
        known = ", ".join((*question.join_keys, *question.request))
        raise DefinitionError(f"nothing asks for {', '.join(unknown)}: choose from {known}")
    counts = {len(values) for values in given.values()}
    if len(counts) != 1 or not counts - {0}:
        raise DefinitionError("give every join key and request field as many values as there are entities")
    for name, dtype in question.join_keys.items():
        if not all(_fits(dtype, value) for value in entities[name]):
            raise DefinitionError(f"{name} is {dtype}: give every entity a value of that type")
    for name, dtype in question.request.items():
        kinds = _REQUEST.get(dtype)
        if kinds and not all(value is None or type(value) in kinds for value in request[name]):
            raise DefinitionError(f"{name} is {dtype}: give every entity a value of that type, or null")
    return counts.pop()


def _fits(dtype: str, value: Any) -> bool:
    most = KEYS.get(dtype)
    return type(value) is str if most is None else type(value) is int and -most <= value < most
