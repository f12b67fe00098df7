"""A lane that computes nothing: what the broker and the machine leave of a score's latency.

It reads the events of every stream and answers each with two messages as long as a score and the features it was
made of. `python -m benchmarks.echo HOST:PORT`; a JSON line a second says how many it has `read`.
"""

from __future__ import annotations

import signal
import sys
import time

import msgspec
from confluent_kafka import Consumer, Message, Producer

from generators.contracts import STREAMS
from serving.scoring.lane import CONSUMER, PRODUCER
from serving.scoring.settings import ScoringSettings
from streaming import kafka

LENGTH = 790
"""Mean bytes of the scoring lane's messages."""

_EVENT_ID = {stream.topic: stream.event_id for stream in STREAMS.values()}


def answer(message: Message) -> bytes | None:
    """JSON of LENGTH bytes with the event's id; None for what is no event."""
    try:
        event_id = msgspec.json.decode(message.value() or b"")[_EVENT_ID[str(message.topic())]]
    except (msgspec.DecodeError, KeyError, TypeError):
        return None
    said = msgspec.json.encode({"event_id": event_id, "filled": ""})
    return said[:-2] + b"." * max(LENGTH - len(said), 0) + said[-2:]


def run(bootstrap: str) -> None:
    """Answer until SIGTERM."""
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    settings, own = ScoringSettings(), {"group.id": "echo", "auto.offset.reset": "latest"}
    consumer = Consumer(kafka.client(bootstrap, CONSUMER | own))
    producer = Producer(kafka.client(bootstrap, PRODUCER))
    consumer.subscribe(list(_EVENT_ID))
    read, shown = 0, time.monotonic()
    while not told:
        first = consumer.consume(1, 0.2)
        messages = first + consumer.consume(settings.scoring_batch - 1, 0) if first else first
        answers = [(one.key(), answer(one)) for one in messages]
        said = [{"key": key, "value": value} for key, value in answers if value is not None]
        for _ in range(2):
            producer.produce_batch(settings.scores_topic, said)
        producer.poll(0)
        read += len(messages)
        if time.monotonic() - shown >= 1:
            print(msgspec.json.encode({"read": read}).decode(), flush=True)
            read, shown = 0, time.monotonic()
    producer.flush(10)
    consumer.close()


if __name__ == "__main__":
    run(sys.argv[1])
