"""Promoted models beside the rules: looked for now and then, so that a promotion needs no restart."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import structlog

from serving.scoring.scorer import Scored
from streaming.errors import TidemarkError
from streaming.prepare import Prepared

log = structlog.get_logger("tidemark.scores")
EVERY = 10.0
"""Seconds between two looks."""


class Models:
    """`find` gives, by service, what returns the model in use, or None. A model has `name`, `version` and
    `probability(columns)`; one that does not fit is left out, and said so once."""

    def __init__(self, find: Mapping[str, Callable[[], Any]], clock: Callable[[], float]) -> None:
        self._find, self._clock = find, clock
        self._held: dict[str, Any] = {}
        self._said: set[str] = set()
        self._looked = -EVERY

    def of(self, prepared: Prepared, scored: Scored) -> dict[str, np.ndarray]:
        """`name/version` -> the probability of each row; empty without a model."""
        self._look()
        model = self._held.get(scored.service.name)
        if model is None:
            return {}
        columns: Mapping[str, Any] = ChainMap(scored.scores, scored.inputs)  # type: ignore[arg-type]
        try:
            return {f"{model.name}/{model.version}": model.probability(columns)}
        except TidemarkError as error:
            self._say(str(error))
            return {}

    def _look(self) -> None:
        if self._clock() - self._looked < EVERY:
            return
        self._looked = self._clock()
        for service, find in self._find.items():
            try:
                self._held[service] = find()
            except TidemarkError as error:
                self._held.pop(service, None)
                self._say(str(error))

    def _say(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            log.warning("a model is not served", cause=text)
