"""Hostile input: exact counts, one order whatever the cuts, and each kind broken as it says."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generators import Population, Scenario, Simulation
from generators.contracts import STREAMS
from generators.hostile import KINDS, LATE, LATEST, Hostility, Saboteur

START, EVENTS = 1_772_323_200_000, 6_000
SIMULATION = Simulation(Scenario(seed=4, rate=50.0, population=Population(users=300, devices=100)))
HOSTILITY = Hostility(late=0.05, duplicates=0.1, malformed=0.03)
Sent = list[tuple[bytes | None, bytes | None]]


def spoiled(stream: str, cuts: list[int], hostility: Hostility = HOSTILITY) -> tuple[Sent, Saboteur]:
    saboteur, sent = Saboteur(4, stream, hostility), []
    edges = [0, *sorted(cuts), EVENTS]
    for first, end in pairwise(edges):
        at = SIMULATION.times(stream, START, first, end) - saboteur.delay(np.arange(first, end))
        events = SIMULATION.events(stream, first, at)
        sent += zip(*saboteur.messages(events, end), strict=True)
    return sent + list(zip(*saboteur.rest(), strict=True)), saboteur


def classified(stream: str, sent: Sent) -> Counter[str]:
    """What a reader finds, without knowing what was done."""
    decoder, ids, found = msgspec.json.Decoder(STREAMS[stream].contract), set(), Counter()
    newest = 0.0
    for key, value in sent:
        if value is None:
            found["tombstone"] += 1
            continue
        try:
            event = decoder.decode(value)
        except msgspec.ValidationError as error:
            field = str(error).rpartition("`")[0].rpartition("$.")[2]
            if key is None:
                found["null_key"] += 1
            elif "missing required field `timestamp`" in str(error):
                found["missing_field"] += 1
            else:
                names = {
                    "risk_score": "wrong_type",
                    "timestamp": "bad_time",
                    STREAMS[stream].event_id: "null_id",
                }
                found[names[field]] += 1
            continue
        except msgspec.DecodeError:
            found["truncated" if value.startswith(b'{"') else "garbage"] += 1
            continue
        if event.timestamp.year == 2099:
            found["future"] += 1
            continue
        identity = getattr(event, STREAMS[stream].event_id)
        if identity in ids:
            found["duplicates"] += 1
            continue
        ids.add(identity)
        if event.timestamp.timestamp() < newest:
            found["late"] += 1
        newest = max(newest, event.timestamp.timestamp())
    found["unique"] = len(ids)
    return found


@pytest.mark.parametrize("stream", STREAMS)
def test_what_is_counted_is_what_a_reader_finds(stream: str) -> None:
    sent, saboteur = spoiled(stream, [100, 101, 3000])
    found = classified(stream, sent)
    for kind in ("late", "duplicates", *KINDS):
        assert found[kind] == saboteur.counts[kind] > 0, kind
    malformed = sum(saboteur.counts[kind] for kind in KINDS)
    assert found["unique"] == EVENTS - malformed
    assert len(sent) == EVENTS + saboteur.counts["duplicates"]
    for kind, share in (("late", 0.05), ("duplicates", 0.1)):
        assert saboteur.counts[kind] / EVENTS == pytest.approx(share, rel=0.15)
    assert malformed / EVENTS == pytest.approx(0.03, rel=0.25)


@pytest.mark.parametrize("stream", STREAMS)
def test_cuts_change_neither_messages_nor_their_order(stream: str) -> None:
    whole, _ = spoiled(stream, [])

    @settings(max_examples=5)
    @given(st.lists(st.integers(1, EVENTS - 1), max_size=20, unique=True))
    def cut(cuts: list[int]) -> None:
        assert spoiled(stream, cuts)[0] == whole

    cut()


def test_duplicates_are_equal_and_follow_their_original() -> None:
    sent, _ = spoiled("claims", [], Hostility(duplicates=0.2))
    places: dict[bytes, list[int]] = {}
    for place, (_, value) in enumerate(sent):
        assert value is not None
        places.setdefault(value, []).append(place)
    assert max(map(len, places.values())) == 2
    gaps = [at[1] - at[0] for at in places.values() if len(at) == 2]
    assert 1_000 < len(gaps) < 1_400
    assert min(gaps) > 0
    assert max(gaps) < 2_600


def test_late_events_are_old_by_at_most_ten_minutes() -> None:
    saboteur, index = Saboteur(4, "iot", HOSTILITY), np.arange(50_000)
    delay = saboteur.delay(index)
    assert np.array_equal(delay > 0, saboteur.fates(index) == LATE)
    assert delay.max() <= LATEST
    assert delay[delay > 0].min() >= 1_000
    assert 0.1 < np.mean(delay[delay > 0] > 120_000) < 0.4


def test_nothing_hostile_changes_nothing() -> None:
    sent, saboteur = spoiled("transactions", [500], Hostility())
    assert len(sent) == EVENTS
    assert not saboteur.counts.total()
    assert all(json.loads(value or b"")["timestamp"] for _, value in sent)


def test_other_shares_leave_the_other_events_alone() -> None:
    calm, _ = spoiled("iot", [], Hostility())
    sent, saboteur = spoiled("iot", [], Hostility(malformed=0.02))
    changed = sum(a != b for a, b in zip(calm, sent, strict=True))
    assert changed == saboteur.counts.total() > 50


@pytest.mark.parametrize("wrong", [(-0.1, 0, 0), (0.5, 0.4, 0.2)])
def test_impossible_shares_are_refused(wrong: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="shares"):
        Hostility(*wrong)
