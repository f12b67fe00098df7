"""Where a process begins to read each partition it is given, and from where on its scores are sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from confluent_kafka import Consumer, TopicPartition

SECONDS = 15


@dataclass(frozen=True)
class Start:
    """`read` is the first offset that is read, `send` the first whose score is sent; `first` says that the group
    had committed nothing yet."""

    read: int
    send: int
    first: bool


@dataclass(frozen=True)
class Starts:
    """Finds them. `starting` is earliest or latest, for a group that has committed nothing yet.

    What the rings of the online lane lack is read again, and so are the event ids of `reread` ms before the first
    score, so that a copy is known as one.
    """

    consumer: Consumer
    starting: str
    reread: int
    clock: Callable[[], int]

    def of(self, partition: TopicPartition, ends: Mapping[int, int] | None) -> Start:
        """`ends` is by partition how far the rings have come, None when no lane has claimed them yet.

        Raises KafkaException.
        """
        low, high = self.consumer.get_watermark_offsets(partition, timeout=SECONDS)
        (committed,) = self.consumer.committed([partition], timeout=SECONDS)
        stamp = self.clock()
        if committed.offset >= 0:
            send = min(max(committed.offset, low), high)
            stamp = int(committed.metadata or stamp)
        else:
            send = low if self.starting == "earliest" else high
        read = min(send, self._at(partition, stamp - self.reread, high))
        if ends is not None:
            read = min(read, ends.get(partition.partition, 0))
        return Start(max(read, low), send, committed.offset < 0)

    def _at(self, partition: TopicPartition, millis: int, high: int) -> int:
        """The first offset that arrived at `millis` or later."""
        asked = TopicPartition(partition.topic, partition.partition, max(millis, 0))
        (found,) = self.consumer.offsets_for_times([asked], timeout=SECONDS)
        return found.offset if found.offset >= 0 else high
