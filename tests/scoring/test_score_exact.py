"""Served vectors are what the contract says of all events up to theirs, by the oracle; scores are Feast's own."""

from __future__ import annotations

import json
import math
import time
from collections import defaultdict
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np
import pytest
from feast import FeatureStore
from oracle import feature_value
from score_lane import ScoreWorld, total

from generators.contracts import STREAMS
from generators.hostile import Hostility
from streaming.expressions import Message
from streaming.history.parity import PLACE
from streaming.prepare import Preparer

HOSTILE = Hostility(late=0.1, duplicates=0.1, malformed=0.05)
VIEWS = {"transactions": "user_transactions", "claims": "user_claims", "iot": "device_telemetry"}


def columns_of(name: str, event: dict[str, Any]) -> dict[str, Any]:
    """The columns of the keyed view, as its udf makes them; only those that are plain fields."""
    held = {k: v for k, v in event.items() if isinstance(v, str | int | float) and not isinstance(v, bool)}
    if name == "transactions":
        held["online"] = int(event["is_online"])
    if name == "claims":
        held["timestamp"] = millis(event["timestamp"]) * 1000
    if name == "iot":
        held["anomaly"] = int(event["is_anomaly"])
    return held


def millis(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def admitted(world: ScoreWorld, preparer: Preparer) -> dict[str, list[tuple[str, tuple[Any, ...]]]]:
    """By stream, key and event (as the oracle takes it) of each place; the reasons are `test_prepare`'s matter."""
    found: dict[str, list[tuple[str, tuple[Any, ...]]]] = defaultdict(list)
    known: set[tuple[str, str]] = set()
    names = {world.topic(name): name for name in VIEWS}
    now = int(time.time() * 1000)
    prepared = preparer.prepare([Message(*m.place, now, m.value) for m in world.sent])
    for row, message in enumerate(world.sent):
        name = names[message.topic]
        if prepared.code[row]:
            continue
        event = json.loads(message.value or b"")
        identity = name, event[STREAMS[name].event_id]
        if identity in known:
            continue
        known.add(identity)
        held = (int(prepared.time[row]), *message.place[1:], columns_of(name, event))
        found[name].append((event[STREAMS[name].key], held))
    return found


def differing(world: ScoreWorld, preparer: Preparer, vectors: list[dict[str, Any]]) -> tuple[int, list[Any]]:
    """How many values were compared, and those that are not the oracle's."""
    events, views = admitted(world, preparer), {view.name: view for view in world.plan.views}
    compared, wrong = 0, []
    for vector in vectors:
        view = views[vector["view"]]
        name = next(n for n, v in VIEWS.items() if v == view.name)
        partition, offset = vector["features"][PLACE]
        (key,) = vector["entity"].values()
        seen = [e for k, e in events[name] if k == key and e[1] == partition and e[2] <= offset]
        at = max(event[0] for event in seen)
        assert millis(vector["event_timestamp"]) == at
        for feature in view.features:
            if feature.column.startswith("pair_"):
                continue
            window = feature.window
            wanted = feature_value(seen, feature.function, feature.column, window.length, window.slide, at)
            got = vector["features"][feature.name]
            if feature.dtype == "UNIX_TIMESTAMP" and got is not None:
                got, wanted = millis(got) // 1000, wanted // 1_000_000
            compared += 1
            same = got == wanted or (
                isinstance(got, float)
                and wanted is not None
                and math.isclose(got, wanted, rel_tol=1e-9, abs_tol=1e-9)
            )
            if not same:
                wrong.append((view.name, feature.name, key, offset, got, wanted))
    return compared, wrong


@pytest.fixture
def preparer(world: ScoreWorld) -> Preparer:
    return Preparer(world.plan, world.spark, world.scorer().fields)


def test_vectors_equal_the_oracle_whatever_comes(world: ScoreWorld, preparer: Preparer) -> None:
    """Late, doubled and broken events; the rings are behind, cold, then held; the lane starts three times."""
    start = int(time.time() * 1000) - 120_000
    values = {name: world.events(name, 240, start, HOSTILE) for name in VIEWS}
    for name in VIEWS:
        world.send(name, values[name][:80])
    world.online()
    for name in VIEWS:
        world.send(name, values[name][80:160])
    # The online lane is ahead of the first 80, and has not seen the others: a group begins where it likes.
    first = world.score("earliest", scoring_batch=70)
    world.online()
    for name in VIEWS:
        world.send(name, values[name][160:])
    second = world.score("earliest", scoring_batch=33)
    vectors = world.logged()
    compared, wrong = differing(world, preparer, vectors)
    assert not wrong, (len(wrong), compared, wrong[:5])
    assert compared > 8_000
    found = world.scores()
    assert len({score["score_id"] for score in found}) == len(found)
    assert len(found) == sum(map(len, admitted(world, preparer).values()))
    assert total(first, "duplicates") + total(second, "duplicates") > 20
    inexact = {s["score_id"] for s in found if s["inexact"]}
    # Events that the rings were already past, and of each entity not the last of them.
    assert 0 < len(inexact) < 240
    assert all(int(i.rpartition("/")[2]) < 80 for i in inexact)
    assert len(vectors) == len(found) - len(inexact)
    assert total(second, "reread") > 0


def test_scores_are_those_of_feasts_own_read(world: ScoreWorld, preparer: Preparer) -> None:
    """The same moment read through Feast: rings that hold everything up to the last event of each entity."""
    start = int(time.time() * 1000) - 60_000
    values = {name: world.events(name, 60, start) for name in VIEWS}
    for begin, end in ((0, 5), (5, 60)):
        for name in VIEWS:
            world.send(name, values[name][begin:end])
        if not begin:
            world.online()
    world.score("earliest")
    world.online()
    store = FeatureStore(repo_path=str(world.repo))
    last = {}
    for score in world.scores():
        last[score["service"], *score["entity"].values()] = score
    assert len(last) > 15
    messages = {f"{m.topic}/{m.partition}/{m.offset}": json.loads(m.value or b"") for m in world.sent}
    clock = store._get_provider().online_store
    for (service, key), score in last.items():
        event = messages[score["score_id"]]
        moment = datetime.fromisoformat(event["timestamp"])
        row = {"risk_score": event["risk_score"], "event_time": moment, "event_included": True}
        if service == "claim_scoring":
            row |= {
                "user_id": key,
                "provider_id": event["provider_id"],
                "claim_amount": event["claim_amount"],
            }
            row["previous_last_claim_timestamp"] = None
        elif service == "transaction_scoring":
            row |= {"user_id": key, "merchant_id": event["merchant_id"] or "", "amount": event["amount"]}
            row["previous_max_transaction_amount_7d"] = None
        else:
            row |= {
                "device_id": key,
                "device_type": event["device_type"],
                "criticality": event["criticality"],
            }
            row |= {"operating_hours": event["operating_hours"], "sensor_readings": event["sensor_readings"]}
            row["last_maintenance"] = datetime.fromisoformat(event["last_maintenance"]).astimezone(UTC)
        clock.clock = partial(millis, event["timestamp"])
        found = store.get_online_features(store.get_feature_service(service), [row]).to_dict()
        # What the lane knows and a later reader does not: the event before, and the merchant at that moment.
        unknown = {
            "amount_spike_risk",
            "time_since_last_claim_hours",
            "merchant_risk_score",
            "composite_fraud_score",
        }
        unknown |= {"fraud_probability", "should_block_transaction", "requires_additional_auth"}
        unknown |= {
            name for name in score["scores"] if service == "transaction_scoring" and name.endswith("_share")
        }
        compared = {n: v for n, v in score["scores"].items() if n not in unknown}
        assert len(compared) > 3
        for name, value in compared.items():
            other = found[name][0]
            if isinstance(value, float) and other is not None:
                assert np.isclose(value, other, rtol=1e-9, atol=1e-9), (service, name, value, other)
            else:
                assert value == other or (value is None and other != other), (service, name, value, other)
