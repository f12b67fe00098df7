"""The independent count agrees with what the producer says it sent."""

import time
from collections import Counter

import msgspec
import numpy as np
import pytest

from generators.contracts import STREAMS
from generators.hostile import KINDS, Hostility, Saboteur
from generators.scenario import Scenario
from generators.simulate import Simulation
from tidemark.demo import features
from tidemark.demo.recount import Recount

NOW = int(time.time() * 1000)
N = 3_000


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return Simulation(Scenario(seed=3))


def messages(simulation: Simulation, stream: str) -> tuple[Saboteur, list[bytes | None]]:
    saboteur = Saboteur(3, stream, Hostility(late=0.05, duplicates=0.05, malformed=0.05))
    events = simulation.events(stream, 0, np.full(N, NOW) - saboteur.delay(np.arange(N)))
    return saboteur, saboteur.messages(events, N)[1] + saboteur.rest()[1]


@pytest.mark.parametrize("stream", STREAMS)
def test_duplicates_and_broken_messages_are_told_from_good_ones(simulation, stream):
    saboteur, values = messages(simulation, stream)
    recount = Recount()
    recount.add(stream, ((value, NOW / 1000) for value in values))
    malformed = sum(saboteur.counts[kind] for kind in KINDS)
    assert malformed > 100
    assert recount.messages[stream] == N + saboteur.counts["duplicates"]
    assert recount.duplicates[stream] == saboteur.counts["duplicates"] > 100
    assert recount.broken[stream] == malformed
    entity = "device" if stream == "iot" else "user"
    assert recount.of(entity, stream).total() == N - malformed


def test_questions_are_about_the_busiest_and_carry_their_counts(simulation):
    recount, users, merchants = Recount(), Counter(), Counter()
    for stream in STREAMS:
        saboteur, values = messages(simulation, stream)
        recount.add(stream, ((value, NOW / 1000) for value in values))
        if stream == "iot":
            continue
        fates = saboteur.fates(np.arange(N))
        for value, fate in zip(values, fates.tolist(), strict=False):
            assert value is None or fate in (0, 1, 2, 3)
        seen = set()
        for value in values:
            try:
                event = msgspec.json.decode(value or b"", type=STREAMS[stream].contract)
            except msgspec.DecodeError:
                continue
            number = getattr(event, STREAMS[stream].event_id)
            if number not in seen and event.timestamp.year < 2099:
                seen.add(number)
                users[event.user_id] += 1
                if stream == "transactions":
                    merchants[event.merchant_id] += 1
    payments, claims, merchant, device = features.questions(recount)
    user = payments.entity["user_id"]
    assert users[user] == max(users[u] for u in recount.of("user", "claims") if u in recount.merchants)
    assert sum(payments.counted.values()) + sum(claims.counted.values()) == users[user]
    assert list(merchant.counted.values()) == [merchants[merchant.entity["merchant_id"]]]
    assert device.entity["device_type"] == recount.types[device.entity["device_id"]]


def test_a_count_that_feast_gets_wrong_is_named():
    question = features.Question("user U", "s", {"user_id": "U"}, ("v",), {"v__count_1hr": 3})
    assert features.mismatches(question, {"v__count_1hr": 3}) == []
    assert features.mismatches(question, {"v__count_1hr": 2}) == [
        "user U: v__count_1hr is 2, the topics hold 3"
    ]
    assert features.mismatches(question, {"v__count_1hr": None}) != []
