"""Messages handed to the producer by the batch: a full queue is waited for, a refusal is said."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from confluent_kafka import KafkaException, Producer
from lane_world import read_topic

from serving.scoring.outbox import Outbox


class One(msgspec.Struct):
    text: str


def outbox(kafka: str) -> Outbox:
    few = {"queue.buffering.max.messages": 5, "message.max.bytes": 2_000, "log_level": 2}
    return Outbox(Producer({"bootstrap.servers": kafka, **few}), "scores", "alerts", "updates")


def test_a_queue_that_is_full_is_waited_for_and_nothing_is_lost(
    kafka: str, topic: Callable[..., str]
) -> None:
    name, done = topic(1, "scores"), []
    box = outbox(kafka)
    box.begin(lambda: done.append(True))
    box._send(name, [b"key"] * 42, [One(str(i)) for i in range(42)])
    box.end()
    box.close()
    assert done == [True]
    values = [message.value for message in read_topic(kafka, name)]
    assert [msgspec.json.decode(value or b"", type=One).text for value in values] == [
        str(i) for i in range(42)
    ]


def test_a_message_that_is_refused_is_no_full_queue(kafka: str, topic: Callable[..., str]) -> None:
    box = outbox(kafka)
    box.begin(lambda: None)
    with pytest.raises(KafkaException, match="too large"):
        box._send(topic(1, "scores"), [b"key"] * 2, [One("."), One("." * 3_000)])
