"""What is followed from a real broker: events, features, scores, alerts; and what is kept of it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import msgspec
import pytest
from confluent_kafka import Producer
from hypothesis import given
from hypothesis import strategies as st
from redis_server import free_port, wait_for

from serving.api.feed import Alert, Feed
from serving.api.follow import Follower
from serving.api.recent import OVERHEAD, Recent, Record
from streaming import definitions


@pytest.fixture
def followed(client, api_shop, kafka, topic):
    """A running API that follows fresh topics, and a function that sends to them."""
    names = {name: topic(2, name) for name in ("payments", "updates", "scores", "alerts")}
    api = client(
        kafka=kafka,
        api_follow=100,
        updates_topic=names["updates"],
        scores_topic=names["scores"],
        alerts_topic=names["alerts"],
    )
    state = api.app.state
    api.portal.call(state.follower.stop)
    plan = definitions.load(api_shop.store).at(kafka)
    plan = replace(plan, sources=tuple(replace(s, topic=names[s.topic]) for s in plan.sources))
    producer = Producer({"bootstrap.servers": kafka})

    def send(name: str, *bodies: object) -> None:
        for body in bodies:
            value = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            producer.produce(names[name], value, b"k")
        assert producer.flush(20) == 0

    def follow(back: int = 100) -> None:
        topics = {name: names[name] for name in ("updates", "scores", "alerts")}
        state.follower = Follower(plan, state.recent, state.feed, topics, back)
        api.portal.call(state.follower.start)
        wait_for(lambda: not state.follower.trouble())

    yield api, send, follow
    api.portal.call(state.follower.stop)


def test_an_entity_shows_its_last_events_scores_and_features_over_time(followed):
    api, send, follow = followed
    events = [{"user_id": f"F{i % 2}", "merchant_id": 5 + i, "amount": i} for i in range(6)]
    send("payments", *events[:4], b"{broken", b"[1]", None, b'{"user_id": null, "amount": 1}')
    follow()
    send("payments", *events[4:])
    score = {"entity": {"user_id": "F1"}, "scores": {"composite_x": 0.5}}
    send("scores", score, {"other": 1})
    update = {"view": "activity", "entity": {"user_id": "F1"}, "batch": 1}
    for second in (1, 2):
        stamp = f"2025-11-21T04:00:0{second}.000Z"
        send(
            "updates", {**update, "event_timestamp": stamp, "features": {"count_1h": second, "sum_1h": None}}
        )
    send("updates", {**update, "view": "visits", "entity": {"user_id": "F1", "merchant_id": 1}})

    wait_for(lambda: len(api.get("/v1/entities/user/F1/series").json()["activity"]["time"]) == 2)
    found = api.get("/v1/entities/user/F1").json()
    assert sorted(e["event"]["amount"] for e in found["events"]) == [1, 3, 5]
    assert [e["score"] for e in found["scores"]] == [score]
    assert {"topic", "partition", "offset", "received"} < found["events"][0].keys()
    assert [e["event"] for e in api.get("/v1/entities/merchant/7").json()["events"]] == [events[2]]
    series = api.get("/v1/entities/user/F1/series").json()["activity"]
    assert series["features"]["count_1h"] == [1, 2]
    assert series["features"]["sum_1h"] == series["features"]["std_1h"] == [None, None]
    assert api.get("/v1/entities/user/F1?events=1&scores=0").json()["scores"] == []
    assert api.get("/v1/entities/user/F1?events=9999").status_code == 422


def test_a_start_looks_back_no_further_than_it_was_told(followed):
    api, send, follow = followed
    send("alerts", *({"alert_id": f"a{i}", "entity_id": "x"} for i in range(40)))
    follow(back=10)
    wait_for(lambda: api.get("/v1/alerts").json())
    assert len(api.get("/v1/alerts?limit=500").json()) <= 10


def test_alerts_are_streamed_and_taken_up_again_after_the_last_one_seen():
    feed = Feed()
    alerts = [Alert(f"alerts/0/{i}", None, msgspec.Raw(b'{"n":%d}' % i)) for i in range(5)]
    for alert in alerts[:3]:
        feed.add(alert)
    assert [a.id for a in feed.last(2)] == ["alerts/0/2", "alerts/0/1"]
    assert feed.after("alerts/0/0") == alerts[1:3]
    assert feed.after("alerts/0/99") == []

    async def listen() -> list[Alert]:
        async with feed.listen() as queue:
            for alert in alerts[3:]:
                feed.add(alert)
            return [await asyncio.wait_for(queue.get(), 5) for _ in range(2)]

    assert asyncio.run(listen()) == alerts[3:]


def test_a_broker_that_is_away_leaves_features_readable(client, api_shop):
    api = client(kafka=f"127.0.0.1:{free_port()}", api_follow=10)
    ready = api.get("/health/ready")
    assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
    assert ready.json()["dependencies"]["kafka"].startswith("away: Kafka at 127.0.0.1")
    body = {"features": ["activity:count_1h"], "entities": {"user_id": ["U1"]}}
    assert api.post("/v1/features", json=body).status_code == 200


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 60)), max_size=80),
    st.integers(1, 6),
    st.integers(500, 6_000),
)
def test_what_is_kept_is_bounded_and_the_newest(steps, each, memory):
    """Against a list of everything: each place's newest, as far as the memory reaches."""
    recent, everything = Recent(each, memory), []
    for i, (first, second, size) in enumerate(steps):
        places = [("event", str(p)) for p in {first, second} if p]
        record = Record("t", 0, i, i, b"x" * size, places)
        everything.append(record)
        recent.add([record])
        assert recent.used <= memory
        held = set()
        for number in range(1, 5):
            found = recent.last(("event", str(number)), 99)
            whole = [r for r in everything if ("event", str(number)) in r.places][-each:]
            assert found == whole[len(whole) - len(found) :]
            held |= {r.offset for r in found}
        assert recent.used == sum(len(everything[o].value) + OVERHEAD for o in held)
