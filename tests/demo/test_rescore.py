"""The topics risk-scores and alerts, read again: each event once, its time, and what the counts must be."""

from datetime import UTC, datetime

import msgspec
from confluent_kafka import Producer

from serving.scoring.contracts import Alert, RiskScore
from tidemark.demo.recount import Scores, rescore

ARRIVED = datetime(2026, 3, 1, 12, tzinfo=UTC)


def send(kafka: str, topic: str, values: list[bytes]) -> None:
    producer = Producer({"bootstrap.servers": kafka})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(30) == 0


def score(number: int, *, inexact: bool = False) -> bytes:
    held = RiskScore(
        score_id=f"t/0/{number}",
        timestamp=ARRIVED,
        arrived=ARRIVED,
        scored=ARRIVED,
        source="claims_stream",
        service="claim_scoring",
        event_id=str(number),
        entity={"user_id": "U"},
        score=0.5,
        score_name="composite_risk_score",
        inexact=inexact,
        scores={},
        model=None,
    )
    return msgspec.json.encode(held)


def test_a_score_counts_once_and_late_ones_have_no_latency(kafka, topic):
    scores, alerts = topic(1, "scores"), topic(1, "alerts")
    send(kafka, scores, [score(n, inexact=n == 2) for n in (0, 1, 2, 1)])
    alert = Alert(
        alert_id="t/0/1",
        timestamp=ARRIVED,
        event_type="claim",
        entity_id="U",
        risk_score=0.5,
        alert_level="high",
        requires_action=False,
        details={},
    )
    send(kafka, alerts, [msgspec.json.encode(alert)])
    began = ARRIVED.timestamp()
    found = rescore(kafka, began, began, scores, alerts)
    assert found.scored == {"claims_stream": 3}
    assert (found.inexact, found.repeated, len(found.latencies)) == (1, 1, 3)
    assert found.alerts == [alert]
    assert found.problems({"claims_stream": 3}) == []
    assert not rescore(kafka, began + 1, began + 2, scores, alerts).latencies


def test_what_was_not_scored_is_told():
    assert Scores().problems({"iot_stream": 2}) == ["iot_stream: 2 good events, 0 scored"]
