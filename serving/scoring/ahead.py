"""Batches that were read and are not scored yet: in a backlog one is prepared while the one before it is scored.

JVM      prepare 1 | prepare 2 | prepare 3 |
Python             | score 1   | score 2   | score 3
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from serving.scoring.partitions import Start
from streaming.expressions import Message
from streaming.prepare import Prepared

Place = tuple[str, int]
"""Topic and partition."""


@dataclass(frozen=True)
class _Batch:
    messages: list[Message]
    starts: Mapping[Place, Start]
    prepared: Callable[[], Prepared]


class Ahead:
    """Hands batches out in the order they came in; `prepare` may be called in a thread of its own."""

    def __init__(self, prepare: Callable[[Sequence[Message]], Prepared]) -> None:
        self._prepare = prepare
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="prepare")
        self._batches: deque[_Batch] = deque()

    def __len__(self) -> int:
        return len(self._batches)

    @property
    def size(self) -> int:
        """Messages of the batch that comes next."""
        return len(self._batches[0].messages) if self._batches else 0

    def add(
        self, messages: Sequence[Message], starts: Mapping[Place, Start], *, beside: bool = False
    ) -> None:
        """A batch, and the partitions held as it was read; with `beside` it is prepared from now on, else when taken."""
        if not messages:
            return
        # A source's messages side by side: its columns are then taken without a copy.
        held = sorted(messages, key=lambda message: message.topic)
        prepared = self._thread.submit(self._prepare, held).result if beside else partial(self._prepare, held)
        self._batches.append(_Batch(held, dict(starts), prepared))

    def take(self, starts: Mapping[Place, Start]) -> tuple[list[Message], Prepared]:
        """The oldest batch, without what is of partitions that were lost since it was read: who has them reads it anew.

        `starts` are the partitions held now; one that was lost and given back has another Start. Raises
        what `prepare` raises.
        """
        batch = self._batches.popleft()
        kept = {place for place, start in batch.starts.items() if starts.get(place) is start}
        if len(kept) == len(batch.starts):
            return batch.messages, batch.prepared()
        messages = [one for one in batch.messages if (one.topic, one.partition) in kept]
        return messages, self._prepare(messages)

    def close(self) -> None:
        """Let go of what was not taken, and of the thread."""
        self._batches.clear()
        self._thread.shutdown(cancel_futures=True)
