"""POST /v1/score: an event that was not sent, scored as if it had been; on the shipped repo, with Spark's expressions."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from feast_repos import ROOT, applied
from redis_server import wait_for

sys.path.append(str(Path(__file__).parent.parent / "scores"))

from score_world import World

from feature_repo.scores import transactions
from generators import encode, stream
from serving.api.app import create
from serving.api.scorer import STARTING, reasons
from serving.api.settings import ApiSettings

NOW = int(datetime.now(UTC).timestamp() * 1000)
MINUTE = 60_000
ID = "6f1c2a5e-0000-4000-8000-000000000001"


@pytest.fixture(scope="module")
def world(api_redis: Any, tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("scoring")
    found = World(
        applied(ROOT / "feature_repo", folder / "feature_repo", api_redis.connection), api_redis.connection
    )
    found.now = NOW
    paid = [payment(NOW - age * MINUTE, 40.0 + age, "US") for age in range(1, 9)]
    found.write("user_transactions", "U1", paid)
    found.write("merchant_transactions", "M1", paid[:3])
    return found


@pytest.fixture(scope="module")
def api(world: World, spark: Any) -> Iterator[TestClient]:
    settings = ApiSettings(api_auth=False, api_follow=0, api_audit="", api_max_entities=20)
    app = create(world.folder, settings, lambda: spark)
    with TestClient(app, raise_server_exceptions=False) as client:
        wait_for(lambda: app.state.scorer.trouble != STARTING, 180)
        assert app.state.scorer.trouble == ""
        yield client


def payment(at: int, amount: float, place: str) -> tuple[int, dict[str, Any]]:
    fields = {"amount": amount, "location": place, "merchant_id": "M1", "category": "gas", "user_id": "U1"}
    return at, {**fields, "online": 1, "risk_score": 0.5}


def event(**changes: Any) -> dict[str, Any]:
    """A payment as it is sent, of a user with eight payments in the last hour."""
    made = stream("transactions", seed=3, start_index=0, n=1, start_time=NOW, rate=50.0)
    given = json.loads(encode("transactions", made)[1][0])
    stamp = datetime.fromtimestamp(NOW / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    fields = {
        "user_id": "U1",
        "merchant_id": "M1",
        "timestamp": stamp,
        "amount": 900.0,
        "location": "Romania",
    }
    return {**given, **fields, "transaction_id": ID, "risk_score": 0.6, **changes}


def test_features_count_the_event_and_scores_are_the_formulas_of_them(api):
    sent = event()
    answer = api.post("/v1/score/transactions", json=sent)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    features = found["features"]
    assert features["user_transactions__transaction_count_1hr"] == 9
    assert features["user_transactions__max_transaction_amount_7d"] == 900
    assert features["user_transactions__distinct_locations_24hr"] == 2
    assert features["merchant_transactions__merchant_transaction_count_24hr"] == 4
    short = {name.partition("__")[2]: [value] for name, value in features.items()}
    request = {
        "amount": [900.0],
        "risk_score": [0.6],
        "event_time": [sent["timestamp"]],
        "event_included": [True],
        "previous_max_transaction_amount_7d": [48.0],
    }
    expected = transactions.score(short, request)
    assert found["score"] == pytest.approx(expected["composite_fraud_score"][0])
    assert found["scores"].keys() == transactions.OUTPUTS.keys()
    for name in transactions.OUTPUTS:
        assert found["scores"][name] == pytest.approx(expected[name][0]), name
    assert found["model"] is None
    pairs = transactions.COMPOSITE.reasons(expected, 0)
    assert [(r["component"], pytest.approx(r["share"])) for r in found["reasons"]] == pairs
    assert (found["score_name"], found["source"]) == ("composite_fraud_score", "transactions_stream")
    assert (found["event_id"], found["incomplete"]) == (sent["transaction_id"], [])


def test_asking_leaves_no_trace_and_events_of_a_list_do_not_see_each_other(api, world):
    once = api.post("/v1/score/transactions", json=event()).json()["features"]
    both = api.post("/v1/score/transactions_stream", json=[event(), event(amount=1.0)]).json()
    assert [b["features"]["user_transactions__transaction_count_1hr"] for b in both] == [9, 9]
    assert both[0]["features"] == once
    # What another process has written since is seen at once.
    world.write("user_transactions", "U1", [payment(NOW - MINUTE, 5.0, "US")])
    try:
        now = api.post("/v1/score/transactions", json=event()).json()["features"]
        assert now["user_transactions__transaction_count_1hr"] == 2
    finally:
        world.write(
            "user_transactions", "U1", [payment(NOW - age * MINUTE, 40.0 + age, "US") for age in range(1, 9)]
        )


def test_somebody_never_seen_is_scored_by_the_event_alone(api):
    found = api.post("/v1/score/transactions", json=event(user_id="日本", merchant_id=None)).json()
    assert found["features"]["user_transactions__transaction_count_1hr"] == 1
    assert found["scores"]["merchant_risk_score"] == 0.1
    assert found["features"]["merchant_transactions__merchant_transaction_count_24hr"] is None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"timestamp": "2099-01-01T00:00:00Z"}, "ahead of the broker's clock"),
        ({"timestamp": None}, "no event time in timestamp"),
        ({"transaction_id": None}, "no event id in transaction_id"),
        ({"amount": "much"}, ""),
    ],
)
def test_what_the_lanes_would_not_admit_is_refused_with_their_reason(api, changes, says):
    answer = api.post("/v1/score/transactions", json=[event(), event(**changes)])
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["event"] == 1
    assert says in answer.json()["detail"]


def test_other_streams_and_other_refusals(api):
    assert "choose from claims, iot, transactions" in api.post("/v1/score/tea", json=event()).json()["detail"]
    assert api.post("/v1/score/transactions", json=[]).status_code == 422
    assert api.post("/v1/score/transactions", json=[event()] * 21).status_code == 413
    assert api.post("/v1/score/transactions", json=[1]).status_code == 422


def test_reasons_are_the_largest_shares():
    scores = {
        "a_share": 0.2,
        "b_share": 0.0,
        "c_share": 0.5,
        "d_share": 0.1,
        "e_share": 0.2,
        "c": 1.0,
        "x_share": None,
    }
    assert [r["component"] for r in reasons(scores)] == ["c", "a", "e"]
