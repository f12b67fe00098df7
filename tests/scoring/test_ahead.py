"""Batches read ahead: their order, who prepares them, and what becomes of a partition that is lost meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from serving.scoring.ahead import Ahead
from serving.scoring.partitions import Start
from streaming.expressions import Message


class Preparer:
    """Gives back what it is given, and remembers in which thread; waits for `go`."""

    def __init__(self) -> None:
        self.threads: list[str] = []
        self.go = threading.Event()
        self.go.set()

    def __call__(self, messages: Sequence[Message]) -> Any:
        self.threads.append(threading.current_thread().name)
        assert self.go.wait(10)
        if any(one.value == b"bad" for one in messages):
            raise ValueError("bad")
        return list(messages)


@pytest.fixture
def preparer() -> Preparer:
    return Preparer()


@pytest.fixture
def ahead(preparer: Preparer) -> Iterator[Ahead]:
    made = Ahead(preparer)
    yield made
    preparer.go.set()
    made.close()


def start() -> Start:
    return Start(read=0, send=0, first=False)


def message(topic: str, partition: int, offset: int, value: bytes = b"") -> Message:
    return Message(topic, partition, offset, 0, value)


def test_batches_come_in_order_with_the_messages_of_a_topic_side_by_side(ahead: Ahead) -> None:
    held = {("a", 0): start(), ("b", 0): start()}
    ahead.add([message("b", 0, 0), message("a", 0, 0), message("b", 0, 1)], held)
    ahead.add([message("a", 0, 1)], held, beside=True)
    ahead.add([], held, beside=True)
    assert (len(ahead), ahead.size) == (2, 3)
    messages, prepared = ahead.take(held)
    assert prepared == messages == [message("a", 0, 0), message("b", 0, 0), message("b", 0, 1)]
    assert ahead.take(held)[0] == [message("a", 0, 1)]
    assert (len(ahead), ahead.size) == (0, 0)


def test_a_batch_is_prepared_beside_the_one_before_it(ahead: Ahead, preparer: Preparer) -> None:
    held = {("a", 0): start()}
    preparer.go.clear()
    ahead.add([message("a", 0, 1)], held, beside=True)
    ahead.add([message("a", 0, 2)], held)
    preparer.go.set()
    ahead.take(held)
    ahead.take(held)
    assert [name.startswith("prepare") for name in preparer.threads] == [True, False]


def test_what_failed_is_said_when_it_is_taken(ahead: Ahead) -> None:
    held = {("a", 0): start()}
    ahead.add([message("a", 0, 0)], held)
    ahead.add([message("a", 0, 1, b"bad")], held, beside=True)
    ahead.take(held)
    with pytest.raises(ValueError, match="bad"):
        ahead.take(held)


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("again", [False, True])
def test_messages_of_a_lost_partition_are_left_to_its_new_reader(
    ahead: Ahead, beside: bool, again: bool
) -> None:
    held = {("a", 0): start(), ("a", 1): start()}
    ahead.add([message("a", 0, 5), message("a", 1, 6), message("a", 0, 6)], held, beside=beside)
    now = {("a", 1): held["a", 1], ("b", 0): start()} | ({("a", 0): start()} if again else {})
    messages, prepared = ahead.take(now)
    assert prepared == messages == [message("a", 1, 6)]
