"""What the lane that computes nothing answers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from benchmarks.echo import LENGTH, answer
from generators import Scenario, Simulation
from generators.contracts import STREAMS, StreamName
from generators.encode import encode


@dataclass
class Event:
    of: str
    held: bytes | None

    def topic(self) -> str:
        return self.of

    def value(self) -> bytes | None:
        return self.held


def answered(stream: str, value: bytes | None) -> Any:
    return answer(Event(STREAMS[stream].topic, value))  # type: ignore[arg-type, index]


@pytest.mark.parametrize("stream", STREAMS)
def test_an_answer_is_as_long_as_a_score_and_names_its_event(stream: StreamName) -> None:
    events = Simulation(Scenario()).events(stream, 0, np.array([1_700_000_000_000]))
    _, (value,) = encode(stream, events)
    said = answered(stream, value)
    assert len(said) == LENGTH
    assert json.loads(said)["event_id"] == json.loads(value)[STREAMS[stream].event_id]


@pytest.mark.parametrize("value", [None, b"", b"\xff", b"[1]", b"{}", b"3"])
def test_what_is_no_event_gets_no_answer(value: bytes | None) -> None:
    assert answered("transactions", value) is None
