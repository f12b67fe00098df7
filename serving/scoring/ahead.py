"""Messages that were read and are not scored yet, in batches of one topic each.

A round has a price for each topic it has messages of, whatever their number. So the topics take turns, and what
comes in meanwhile joins the batch that waits: each message waits for its own topic's round alone. A few messages do
not wait for the many of other topics, which they delay by little: each batch lets one small one pass. The batch that
comes next is prepared while one is scored:

JVM      prepare 1 | prepare 2 | prepare 3 |
Python             | score 1   | score 2   | score 3
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from serving.scoring.partitions import Start
from streaming.expressions import Message
from streaming.prepare import Prepared

Place = tuple[str, int]
"""Topic and partition."""
FEW = 8
"""As many messages take a round hardly more than its least time, half of that of a hundred."""


@dataclass(eq=False)
class _Batch:
    """Messages of one topic, and the partitions held as they were read; `prepared` once that has begun. `passed` says
    that a small batch went before this one."""

    topic: str
    messages: list[Message]
    starts: Mapping[Place, Start]
    prepared: Future[Prepared] | None = None
    passed: bool = False


class Ahead:
    """Hands out batches of at most `limit` messages, each topic's in order; `prepare` may be called in a thread of its
    own."""

    def __init__(self, prepare: Callable[[Sequence[Message]], Prepared], limit: int) -> None:
        self._prepare = prepare
        self._limit = limit
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="prepare")
        self._batches: deque[_Batch] = deque()

    def __len__(self) -> int:
        return len(self._batches)

    @property
    def waiting(self) -> int:
        """Messages of all batches."""
        return sum(len(batch.messages) for batch in self._batches)

    def add(self, messages: Sequence[Message], starts: Mapping[Place, Start]) -> None:
        """Take in messages, of a partition in the order of its offsets; `starts` are the partitions held."""
        topics: dict[str, list[Message]] = {}
        for message in messages:
            topics.setdefault(message.topic, []).append(message)
        for topic, held in topics.items():
            while held:
                batch = self._open(topic, starts)
                room = self._limit - len(batch.messages)
                batch.messages += held[:room]
                held = held[room:]

    def _open(self, topic: str, starts: Mapping[Place, Start]) -> _Batch:
        """The last batch of a topic, or a new one where that takes no more."""
        last = next((one for one in reversed(self._batches) if one.topic == topic), None)
        if last and last.prepared is None and len(last.messages) < self._limit and _same(last.starts, starts):
            return last
        self._batches.append(_Batch(topic, [], dict(starts)))
        return self._batches[-1]

    def take(self, starts: Mapping[Place, Start]) -> tuple[list[Message], Prepared]:
        """The next batch, without what is of partitions that were lost since it was read: who has them reads it anew.

        `starts` are the partitions held now; one that was lost and given back has another Start. Raises
        what `prepare` raises.
        """
        batch = self._following()
        self._batches[0].passed = True
        self._batches.remove(batch)
        messages = batch.messages
        kept = {place for place, start in batch.starts.items() if starts.get(place) is start}
        if len(kept) < len(batch.starts):
            messages = [one for one in messages if (one.topic, one.partition) in kept]
            prepared = self._prepare(messages)
        else:
            prepared = batch.prepared.result() if batch.prepared else self._prepare(messages)
        if self._batches:
            following = self._following()
            following.prepared = following.prepared or self._thread.submit(self._prepare, following.messages)
        return messages, prepared

    def _following(self) -> _Batch:
        """The oldest batch, or a small one of another topic where none went before the oldest yet."""
        oldest = self._batches[0]
        if oldest.passed:
            return oldest
        firsts = {batch.topic: batch for batch in reversed(self._batches)}
        small = (
            batch for batch in self._batches if firsts[batch.topic] is batch and len(batch.messages) <= FEW
        )
        return next(small, oldest)

    def close(self) -> None:
        """Let go of what was not taken, and of the thread."""
        self._batches.clear()
        self._thread.shutdown(cancel_futures=True)


def _same(first: Mapping[Place, Start], second: Mapping[Place, Start]) -> bool:
    return len(first) == len(second) and all(second.get(place) is start for place, start in first.items())
