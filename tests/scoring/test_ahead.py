"""Batches read ahead: their order, who prepares them, and what becomes of a partition that is lost meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from serving.scoring.ahead import FEW, Ahead
from serving.scoring.partitions import Start
from streaming.expressions import Message

LIMIT = 3


class Preparer:
    """Gives back what it is given, and remembers in which thread."""

    def __init__(self) -> None:
        self.threads: list[str] = []

    def __call__(self, messages: Sequence[Message]) -> Any:
        self.threads.append(threading.current_thread().name)
        if any(one.value == b"bad" for one in messages):
            raise ValueError("bad")
        return list(messages)


@pytest.fixture
def preparer() -> Preparer:
    return Preparer()


@pytest.fixture
def ahead(preparer: Preparer) -> Iterator[Ahead]:
    made = Ahead(preparer, LIMIT)
    yield made
    made.close()


def start() -> Start:
    return Start(read=0, send=0, first=False)


def message(topic: str, partition: int, offset: int, value: bytes = b"") -> Message:
    return Message(topic, partition, offset, 0, value)


def messages(topic: str, *offsets: int) -> list[Message]:
    return [message(topic, 0, offset) for offset in offsets]


def test_topics_take_turns_and_what_comes_meanwhile_joins_what_waits(ahead: Ahead) -> None:
    held = {("a", 0): start(), ("b", 0): start()}
    ahead.add([*messages("b", 0), *messages("a", 0), *messages("b", 1)], held)
    assert (len(ahead), ahead.waiting) == (2, 3)
    ahead.add(messages("b", 2), held)
    ahead.add([], held)
    found, prepared = ahead.take(held)
    assert prepared == found == messages("b", 0, 1, 2)
    ahead.add(messages("b", 3), held)
    assert [ahead.take(held)[0] for _ in range(2)] == [messages("a", 0), messages("b", 3)]
    assert (len(ahead), ahead.waiting) == (0, 0)


def test_each_batch_lets_one_small_one_of_another_topic_pass(preparer: Preparer) -> None:
    held = {(topic, 0): start() for topic in "abcd"}
    many = range(FEW + 1)
    ahead = Ahead(preparer, len(many))
    ahead.add([*messages("a", *many, 20), *messages("b", *many), *messages("c", 0)], held)
    order = [ahead.take(held)[0][0].topic]
    ahead.add(messages("d", 0), held)
    while len(ahead):
        order.append(ahead.take(held)[0][0].topic)
    ahead.close()
    # c passes a, which lets nobody else pass; what is left of a stays behind a; d passes b.
    assert order == ["c", "a", "a", "d", "b"]


def test_no_batch_is_larger_than_the_limit(ahead: Ahead) -> None:
    held = {("a", 0): start()}
    ahead.add(messages("a", 0, 1), held)
    ahead.add(messages("a", 2, 3, 4, 5, 6), held)
    found = [ahead.take(held)[0] for _ in range(3)]
    assert found == [messages("a", 0, 1, 2), messages("a", 3, 4, 5), messages("a", 6)]


def test_the_next_batch_is_prepared_beside_the_one_before_it(ahead: Ahead, preparer: Preparer) -> None:
    held = {("a", 0): start()}
    ahead.add(messages("a", *range(2 * LIMIT + 1)), held)
    for _ in range(3):
        ahead.take(held)
    assert [name.startswith("prepare") for name in preparer.threads] == [False, True, True]


def test_what_is_being_prepared_takes_no_more(ahead: Ahead, preparer: Preparer) -> None:
    held = {("a", 0): start(), ("a", 1): start()}
    ahead.add(messages("a", *range(2 * LIMIT)), held)
    ahead.take(held)
    ahead.add(messages("a", 9), held)
    assert [ahead.take(held)[0] for _ in range(2)] == [messages("a", 3, 4, 5), messages("a", 9)]


def test_what_failed_is_said_when_it_is_taken(ahead: Ahead) -> None:
    held = {("a", 0): start()}
    ahead.add([*messages("a", 0, 1, 2), message("a", 0, 3, b"bad"), *messages("a", 4, 5)], held)
    ahead.take(held)
    with pytest.raises(ValueError, match="bad"):
        ahead.take(held)


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("again", [False, True])
def test_messages_of_a_lost_partition_are_left_to_its_new_reader(
    ahead: Ahead, beside: bool, again: bool
) -> None:
    held = {("a", 0): start(), ("a", 1): start()}
    if beside:
        ahead.add(messages("a", 2, 3, 4), held)
    ahead.add([message("a", 0, 5), message("a", 1, 6), message("a", 0, 6)], held)
    if beside:
        ahead.take(held)
    now = {("a", 1): held["a", 1], ("b", 0): start()} | ({("a", 0): start()} if again else {})
    found, prepared = ahead.take(now)
    assert prepared == found == [message("a", 1, 6)]


def test_what_is_read_after_a_partition_was_lost_does_not_join_what_was_read_before(ahead: Ahead) -> None:
    held = {("a", 0): start(), ("a", 1): start()}
    ahead.add([message("a", 0, 5), message("a", 1, 5)], held)
    now = {("a", 0): start(), ("a", 1): held["a", 1]}
    ahead.add([message("a", 0, 5)], now)
    assert [ahead.take(now)[0] for _ in range(2)] == [[message("a", 1, 5)], [message("a", 0, 5)]]
