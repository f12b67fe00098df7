"""One read of rings: what it asks of Redis, and the answer made of the replies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec
import numpy as np
from feast import RepoConfig, utils

from serving import moment
from serving.api import columns
from serving.api.check import Columns
from serving.api.formula import computed
from serving.api.question import Question
from serving.catalog import Catalog
from serving.incomplete import reason
from serving.reader import Moment, Row, Rows
from serving.request import Questions as Asked
from streaming.redis.resp import Argument
from streaming.redis.wire import EntityKeys


class Answer(msgspec.Struct):
    """Features of a batch of entities by columns; row i is the i-th entity of the request.

    `newest_event` has, for each stream view, the time of each entity's newest event, null for one that was
    never seen. `incomplete` says of features that are null for everybody why they are.
    """

    as_of: str
    entities: dict[str, list[Any]]
    features: dict[str, list[Any]]
    newest_event: dict[str, list[str | None]]
    incomplete: dict[str, str]


class Reading:
    """A read of `question`, all of which is computed from rings, by a `catalog` that was refreshed.

    `commands` are one for each of `keys`.
    """

    def __init__(
        self,
        catalog: Catalog,
        config: RepoConfig,
        question: Question,
        entities: Columns,
        request: Columns,
        at: Moment,
    ) -> None:
        self._catalog, self._config, self._question, self._at = catalog, config, question, at
        self._entities, self._request = entities, request
        asked = Asked()
        held = dict[Any, tuple[_Entities, np.ndarray]]()
        self._parts: list[tuple[slice, slice, np.ndarray]] = []
        for view, _ in question.views:
            reader = catalog.reader(config, view)
            columns_of: Columns = utils._get_table_entity_values(
                view, question.entity_keys, cast(Any, entities)
            )
            key = (reader.view.join_keys, tuple(view.projection.join_key_map.items()))
            if key not in held:
                different = _Entities(reader.keys, columns_of)
                held[key] = different, different.rows
            different, places = held[key]
            self._parts.append((*asked.ask(different.keys, reader.fields, different), places))
        self.keys = [key for key, _ in asked.commands]
        self.commands: list[tuple[Argument, ...]] = [
            (b"HMGET", key, *fields) for key, fields in asked.commands
        ]

    def answer(self, replies: Sequence[Sequence[bytes | None]]) -> Answer:
        """Features from the replies to the commands.

        Raises AsOfError, and TidemarkError also for a ring of a layout that the catalog does not know.
        """
        values: dict[str, list[Any]] = {}
        newest: dict[str, list[str | None]] = {}
        incomplete: dict[str, str] = {}
        question = self._question
        for (view, names), (which, wanted, places) in zip(question.views, self._parts, strict=True):
            reader = self._catalog.reader(self._config, view)
            part = reader.read([reply[wanted] for reply in replies[which]], self._at, names)
            shown = view.projection.name_to_use()
            full = [f"{shown}__{name}" for name in names]
            values.update(zip(full, columns.listed(part, places), strict=True))
            newest[shown] = _newest(part, places)
            incomplete |= {f"{shown}__{name}": reason(until) for name, until in part.incomplete.items()}
        for formula in question.formulas:
            values |= computed(formula, values, {**self._entities, **self._request})
        features = {name: values[name] for name in question.names}
        reasons = {name: why for name, why in incomplete.items() if name in features}
        entities = {name: list(column) for name, column in self._entities.items()}
        return Answer(answered_for(self._at), entities, features, newest, reasons)


def answered_for(at: Moment) -> str:
    """The moment of an answer, as a text."""
    return moment.text(at.now if at.as_of is None else at.as_of)


class _Entities:
    """The different entities of a request for one view: `keys`, and each row's place among them."""

    def __init__(self, keys: EntityKeys, values: Mapping[str, Sequence[Any]]) -> None:
        names = [name for name, _ in keys.join_keys]
        asked = (
            list(values[names[0]]) if len(names) == 1 else list(zip(*(values[n] for n in names), strict=True))
        )
        places: dict[bytes, int] = {}
        self.rows = np.array([places.setdefault(key, len(places)) for key in keys.encode(asked)], int)
        self.keys = list(places)


def _newest(part: Rows | Row, places: np.ndarray) -> list[str | None]:
    if isinstance(part, Row):
        return [moment.text(part.newest) if part.found else None] * len(places)
    texts = np.datetime_as_string(part.newest.astype("datetime64[ms]"), unit="ms").tolist()
    shown = [f"{text}Z" if found else None for text, found in zip(texts, part.found.tolist(), strict=True)]
    return [shown[place] for place in places.tolist()]
