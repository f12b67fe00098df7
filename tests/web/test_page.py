"""The page at /, in a real browser: alerts as they come, one entity, its score; a picture is kept."""

from __future__ import annotations

import random
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import Producer
from redis_server import wait_for
from selenium.webdriver.common.by import By

from serving.scoring.contracts import Alert, ModelScore, RiskScore
from tidemark import broker, topics

KEPT = Path(__file__).parents[2] / "var" / "screenshots"
EVENTS = "financial-transactions"
USER = "CUST00000042"
COMPONENTS = {
    "risk_score": (0.81, 0.3),
    "velocity_risk_score": (1.0, 0.25),
    "amount_spike_risk": (1.0, 0.2),
    "time_pattern_risk": (0.8, 0.1),
    "merchant_risk_score": (0.6, 0.1),
    "location_change_risk": (0.0, 0.05),
}


def moment(millis: int) -> datetime:
    return datetime.fromtimestamp(millis / 1000, UTC)


def text(millis: int) -> str:
    return moment(millis).isoformat(timespec="milliseconds")


def payments(now: int) -> list[tuple[int, dict[str, object]]]:
    rng = random.Random(3)
    ages = [rng.expovariate(1 / 40) for _ in range(14)] + [rng.uniform(100, 500_000) for _ in range(60)]
    return [
        (
            now - int(age * 1000) - 1_500,
            {
                "amount": round(rng.lognormvariate(4, 0.8), 2),
                "merchant_id": f"MERCH{rng.randrange(9):06}",
                "location": "US",
                "category": rng.choice(("gas", "retail", "luxury")),
                "online": rng.randrange(2),
                "risk_score": 0.4,
            },
        )
        for age in sorted(ages, reverse=True)
    ]


def score(now: int, factor: float, offset: int) -> RiskScore:
    values = {name: min(value * factor, 1) for name, (value, _) in COMPONENTS.items()}
    parts = {name: values[name] * weight for name, (_, weight) in COMPONENTS.items()}
    total = sum(parts.values())
    return RiskScore(
        score_id=f"{EVENTS}/0/{offset}",
        timestamp=moment(now),
        arrived=moment(now),
        scored=moment(now),
        source="transactions_stream",
        service="transaction_scoring",
        event_id=None,
        entity={"user_id": USER},
        score=total,
        score_name="composite_fraud_score",
        inexact=False,
        scores={
            **{name: value for name, value in values.items() if name != "risk_score"},
            "composite_fraud_score": total,
            **{f"{name}_share": part / total for name, part in parts.items()},
            "requires_additional_auth": total > 0.6,
        },
        model=ModelScore(name="transactions", version="3", probability=0.71),
    )


def alert(now: int, entity: str, risk: float, offset: int) -> Alert:
    user = entity.startswith("C")
    return Alert(
        alert_id=f"{EVENTS}/0/{offset}",
        timestamp=moment(now),
        event_type="financial_transaction" if user else "iot_telemetry",
        entity_id=entity,
        risk_score=risk,
        alert_level="critical" if risk > 0.9 else "high",
        requires_action=True,
        details={"service": "transaction_scoring" if user else "device_scoring"},
    )


@pytest.fixture
def page(serve, seen, kafka, topic, browser):
    """An open page of an API whose topics hold the past of one user."""
    broker.apply(kafka, topics.Declared(topics={EVENTS: topics.Topic(1)}), {EVENTS: 1})
    named = {name: topic(1, name) for name in ("scores", "alerts", "updates")}
    seen.now = now = time.time_ns() // 1_000_000
    seen.store._get_provider().online_store.clock = lambda: time.time_ns() // 1_000_000
    events = payments(now)
    seen.write("user_transactions", USER, events)
    producer = Producer({"bootstrap.servers": kafka})

    def send(name: str, body: object, key: str = USER) -> None:
        producer.produce(named.get(name, name), msgspec.json.encode(body), key)
        assert producer.flush(20) == 0

    for i, (at, fields) in enumerate(events[-14:]):
        send(
            EVENTS,
            {"transaction_id": str(uuid.uuid4()), "user_id": USER, "timestamp": text(at), **fields},
        )
        counts = {
            f"transaction_count_{w}": max(0, n - 13 + i) for w, n in (("1min", 6), ("5min", 13), ("1hr", 14))
        }
        counts |= {"transaction_count_24hr": 10 + i, "transaction_count_7d": 61 + i}
        update = {"view": "user_transactions", "entity": {"user_id": USER}, "event_timestamp": text(at)}
        send("updates", {**update, "batch": i, "features": counts})
        send("scores", score(at, 0.15 + i / 16, i))
    for i, (entity, risk) in enumerate((("DEV00000007", 0.84), ("CUST00000311", 0.81), (USER, 0.93))):
        send("alerts", alert(now - 9_000 + i * 3_000, entity, risk, i), entity)
    address, app = serve(
        api_auth=False,
        scores_topic=named["scores"],
        alerts_topic=named["alerts"],
        updates_topic=named["updates"],
    )
    wait_for(lambda: len(app.state.feed.last(9)) == 3)
    browser.get(address)
    yield browser, send
    browser.get("about:blank")


def texts(browser, selector: str) -> list[str]:
    """What elements show, all at one moment: the page draws itself anew every two seconds."""
    script = (
        "return [...document.querySelectorAll(arguments[0])].map(e => (e.innerText ?? e.textContent).trim())"
    )
    return browser.execute_script(script, selector)


def test_alerts_come_live_and_one_of_them_leads_to_its_entity(page):
    browser, send = page
    wait_for(lambda: len(texts(browser, "#alerts li")) == 3)
    wait_for(lambda: browser.find_element(By.ID, "pulse").get_attribute("class") == "dot ok")
    send("alerts", alert(time.time_ns() // 1_000_000, "CUST00000099", 0.88, 9), "CUST00000099")
    wait_for(lambda: len(texts(browser, "#alerts li")) == 4)
    assert "CUST00000099" in texts(browser, "#alerts li")[0]
    assert "0.88" in texts(browser, "#alerts li")[0]

    browser.find_element(By.CSS_SELECTOR, f"#alerts li[data-entity={USER}]").click()
    wait_for(lambda: texts(browser, "#name") == [f"user {USER}"])
    wait_for(lambda: len(texts(browser, "#lines path.series")) == 5)
    assert browser.execute_script("return document.getElementById('family').value") == "transaction_count"
    assert browser.current_url.endswith(f"#user/{USER}")
    covered = [value for value in texts(browser, "#windows text.strong") if value]
    assert covered[-1] == "74"
    assert "composite fraud score" in texts(browser, "#score .whole")[0]
    assert len(texts(browser, "#score .parts tr")) == len(COMPONENTS)
    assert texts(browser, "#score .tag") == ["requires additional auth", "model 0.71"]
    assert len(texts(browser, "#history circle")) == 14
    assert len(texts(browser, "#events tbody tr")) == 14
    time.sleep(2.5)  # two more looks, which the lines show
    KEPT.mkdir(parents=True, exist_ok=True)
    browser.save_screenshot(str(KEPT / "page.png"))
    wrong = [line for line in browser.get_log("browser") if line["level"] == "SEVERE"]
    assert not wrong


def test_a_key_is_asked_for_when_one_is_needed(serve, browser):
    from serving.api import keys

    key, entry = keys.make("page")
    address, _ = serve(api_keys=entry.line(), api_follow=0)
    browser.get(address)
    wait_for(lambda: browser.find_element(By.ID, "login").is_displayed())
    browser.find_element(By.ID, "key").send_keys(key + "\n")
    wait_for(lambda: "user" in texts(browser, "#type option"))
    assert not browser.find_element(By.ID, "login").is_displayed()
    # Nothing of the page comes from elsewhere.
    loaded = browser.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
    assert loaded
    assert all(name.startswith(address) for name in loaded)
