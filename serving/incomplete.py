"""Why a feature is null although its entity is known: the engine has not seen its whole window."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from serving.moment import text
from serving.reader import NEVER

logger = logging.getLogger(__name__)

_COLLECTED: ContextVar[dict[str, str] | None] = ContextVar("tidemark_reasons", default=None)


@contextmanager
def reasons() -> Iterator[dict[str, str]]:
    """Collects, from the reads within this context, the reason of every incomplete feature.

    Yields a dict that fills up: `view__feature` -> one line for a person.
    """
    collected: dict[str, str] = {}
    token = _COLLECTED.set(collected)
    try:
        yield collected
    finally:
        _COLLECTED.reset(token)


def reason(whole_at: int) -> str:
    """One line: `whole_at` (ms) is when the feature will be complete, NEVER if nothing says so."""
    if whole_at >= NEVER:
        return "incomplete: the stream behind it was not read from its beginning: run tidemark rebuild"
    return f"incomplete until {text(whole_at)}: its window reaches back before the stream was read"


class Notices:
    """Says once for each feature, in the log, that it is null because it is incomplete."""

    def __init__(self) -> None:
        self._said: set[tuple[str, str, int]] = set()

    def note(self, view: str, shown_as: str, incomplete: Mapping[str, int]) -> None:
        """`view` is the view's name, `shown_as` what the response calls it; `incomplete` is that of `Rows`."""
        collected = _COLLECTED.get()
        if collected is not None:
            collected.update({f"{shown_as}__{name}": reason(until) for name, until in incomplete.items()})
        fresh = [(view, name, until) for name, until in incomplete.items()]
        for until, names in _by_time(key for key in fresh if key not in self._said).items():
            logger.warning("%s of view %s: %s", ", ".join(names), view, reason(until))
        self._said.update(fresh)


def _by_time(keys: Iterable[tuple[str, str, int]]) -> dict[int, list[str]]:
    grouped: dict[int, list[str]] = {}
    for _, name, until in keys:
        grouped.setdefault(until, []).append(name)
    return grouped
