"""Underwriting end to end in one process: tables, Feast, the engine's windows, scores, the feature server, notebooks."""

import asyncio
import json
import socket
import threading
import time
from datetime import UTC, datetime

import nbformat
import numpy as np
import pandas as pd
import pytest
import uvicorn
from feast.data_source import PushMode
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell

from examples.underwriting import benchmark, chart, outcomes, push, setup_data, traffic
from examples.underwriting.client import Client
from examples.underwriting.history.tables import VIEWS, Tables
from examples.underwriting.history.world import DAY, HOUR
from examples.underwriting.notebooks import build
from examples.underwriting.questions import COLUMNS, Questions
from examples.underwriting.settings import HERE
from examples.underwriting.workspace import Workspace
from serving import as_of
from streaming import definitions
from streaming.checkpoint import Checkpoint
from streaming.errors import ServiceError, TidemarkError
from streaming.lanes.online import OnlineLane
from streaming.settings import LaneSettings
from tidemark import broker, topics
from tidemark.admin import admin
from tidemark.settings import ROOT

CUSTOMERS, FIVE_MINUTES = 100, 300_000


@pytest.fixture(scope="module")
def work(tmp_path_factory, redis_server):
    """Tables up to now, registered, and materialized."""
    held = Workspace(work=tmp_path_factory.mktemp("underwriting"), customers=CUSTOMERS, redis=redis_server)
    held.tables()
    names = [view.name for view in VIEWS] + ["customer_risk_features_fresh"]
    held.store().materialize_incremental(datetime.now(UTC), names)
    return held


@pytest.fixture(scope="module")
def store(work):
    return work.store()


@pytest.fixture(scope="module")
def tables(work):
    """The world behind the tables: it is a function of its customers, its seed and its end."""
    newest = pd.read_parquet(work.data / "customer_profiles.parquet").event_timestamp.max()
    return Tables(setup_data.world(CUSTOMERS, 0, newest.isoformat()))


@pytest.fixture(scope="module")
def lane(work, tables, kafka, spark, tmp_path_factory):
    """A function that sends events and has the lane read them, after the events of the past."""
    declared = topics.declared(HERE / "topics.yaml")
    broker.apply(kafka, declared, topics.sized(declared, small=True))
    plan = definitions.load(work.repo, None, spark).at(kafka)
    held = Checkpoint(str(tmp_path_factory.mktemp("lane")))

    def read(payments=(), claims=()):
        traffic.send(kafka, traffic.PAYMENTS, payments)
        traffic.send(kafka, traffic.CLAIMS, claims)
        OnlineLane(plan, held, LaneSettings(partitions=2), spark).run(until_caught_up=True)

    read(traffic.payments(tables), traffic.claims(tables))
    yield read
    cleaner = admin(kafka)
    for future in cleaner.delete_topics(list(declared.topics)).values():
        future.result(30)


@pytest.fixture(scope="module")
def client(store):
    """Feast's own feature server on a free port."""
    from feast.feature_server import get_app

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(get_app(store), port=port, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.05)
    yield Client(f"http://127.0.0.1:{port}")
    server.should_exit = True
    thread.join(20)


def covered(times, now, length, slide):
    """Oracle of a window: docs/semantics.md."""
    end = (now // slide + 1) * slide
    return (times >= end - length) & (times <= now)


def test_windows_of_the_stream_are_what_a_naive_count_says(lane, store, tables):
    paid, filed = tables.payments, tables.claims
    recent = paid.at >= tables.world.as_of - traffic.RECENT
    who = np.unique(np.concatenate([paid.customer[recent], filed.customer])).tolist()
    rows = [{"customer_id": f"CUST{n:08d}"} for n in who]
    service = store.get_feature_service("customer_activity_v1")
    for now in (tables.world.as_of, tables.world.as_of + 40 * 60_000, tables.world.as_of + 400 * DAY):
        with as_of(datetime.fromtimestamp(now / 1000, UTC)):
            found = store.get_online_features(service, rows).to_dict()
        for i, customer in enumerate(who):
            mine = recent & (paid.customer == customer)
            for name, length in (("1h", HOUR), ("24h", DAY)):
                held = paid.amount[mine & covered(paid.at, now, length, FIVE_MINUTES)]
                if not mine.any():
                    assert found[f"txn_count_{name}_stream"][i] is None
                    continue
                assert found[f"txn_count_{name}_stream"][i] == len(held)
                assert found[f"txn_amount_sum_{name}_stream"][i] == pytest.approx(held.sum())
                mean = pytest.approx(held.mean()) if len(held) else None
                assert found[f"txn_amount_avg_{name}_stream"][i] == mean
            for years in (1, 3, 5):
                ours = (filed.customer == customer) & covered(filed.filed, now, years * 365 * DAY, DAY)
                if not (filed.customer == customer).any():
                    continue
                assert found[f"claims_count_{years}y_stream"][i] == ours.sum()
                if years < 5:
                    total = found[f"total_claims_amount_{years}y_stream"][i]
                    assert total == pytest.approx(filed.cents[ours].sum() / 100)


def payment(number, customer, at):
    return {
        "transaction_id": f"TXN8{number:011d}",
        "customer_id": customer,
        "amount": 250.0,
        "transaction_type": "purchase",
        "merchant_category": "luxury",
        "event_timestamp": at,
    }


def test_a_payment_not_made_yet_is_scored_by_the_customers_velocity_also_where_it_is_pushed(
    lane, client, store, kafka
):
    customer = f"CUST{CUSTOMERS - 1:08d}"
    asked = {
        "transaction_id": ["TXN999999999999"],
        "customer_id": [customer],
        "merchant_id": ["MERCH000001"],
        "transaction_amount": [200.0],
        "merchant_category": ["luxury"],
        "transaction_channel": ["online"],
        "device_trust_score": [0.9],
        "session_duration_seconds": [60],
        "is_international": [False],
    }
    before = client.ask("fraud_detection_v1", asked)
    now = int(time.time() * 1000)
    lane([payment(n, customer, now - n) for n in range(7)])
    after = client.ask("fraud_detection_v1", asked)
    gained = (after["txn_count_1h_stream"][0]) - (before["txn_count_1h_stream"][0] or 0)
    assert gained == 7
    assert not after.known["transaction_features__amount"][0]
    assert after["fraud_detection_score__velocity_risk_score"][0] >= 87.5
    assert after["combined_fraud_score"][0] > before["combined_fraud_score"][0] + 10
    assert "HIGH_VELOCITY" in after["risk_factors"][0]

    updates = push.Updates(kafka, "feature-updates", f"test-{now}")
    try:
        push.drain(store, updates)
    finally:
        updates.close()
    pushed = store.get_online_features(
        ["customer_transaction_pushed:txn_count_1h_stream"], [{"customer_id": customer}]
    ).to_dict()
    assert pushed["txn_count_1h_stream"] == [after["txn_count_1h_stream"][0]]


@pytest.mark.parametrize("service", COLUMNS)
def test_every_service_answers_with_what_it_needs(client, work, store, lane, service):
    answer = client.ask(service, Questions(work.data).entities(service, 5))
    promised = store.get_feature_service(service).feature_view_projections
    names = {f"{p.name_to_use()}__{f.name}" for p in promised for f in p.features}
    assert names <= answer.values.keys()
    for name in names:
        view = name.split("__")[0]
        if view in ("customer_profile_features", "customer_credit_features", "customer_risk_features"):
            assert all(answer.known[name]), name
        if view.endswith(("score", "indicators", "adjustments", "fresh")) and "features" not in view:
            assert None not in answer.values[name], name


def test_scores_online_are_those_of_history(store, work):
    """The same customers, asked now and joined now."""
    asked = Questions(work.data).entities("underwriting_v1", 20)
    rows = pd.DataFrame(asked)
    rows["event_timestamp"] = pd.Timestamp.now("UTC")
    # Feast joins a customer once for each moment.
    past = outcomes.joined(store, rows.drop_duplicates("customer_id"), "underwriting_v1").set_index(
        "customer_id"
    )
    service = store.get_feature_service("underwriting_v1")
    online = store.get_online_features(service, asked, full_feature_names=True).to_df()
    online = online.drop_duplicates("customer_id").set_index("customer_id").loc[past.index]
    for name in (
        "composite_risk_score",
        "final_premium_factor",
        "underwriting_decision",
        "coverage_adjustment_factor",
    ):
        full = f"underwriting_risk_score__{name}"
        assert past[full].tolist() == online[full].tolist()


def test_fresh_risk_reaches_the_score_of_version_2(client, work, store):
    asked = Questions(work.data).entities("underwriting_v2", 1)
    held = pd.read_parquet(work.data / "customer_risk_metrics.parquet")
    row = held[held.customer_id == asked["customer_id"][0]].tail(1).copy()
    now = pd.Timestamp.now("UTC")
    row = row.assign(event_timestamp=now, created_at=now, dui_flag=True, late_payments_1y=12)
    store.push("customer_risk_push_source", row, to=PushMode.ONLINE)
    fresh = client.ask("underwriting_v2", asked)
    stale = client.ask("underwriting_v1", {k: v for k, v in asked.items() if k != "policy_id"})
    assert fresh["underwriting_risk_score_fresh__underwriting_decision"][0] in ("manual_review", "decline")
    assert (
        fresh["underwriting_risk_score_fresh__composite_risk_score"][0]
        < stale["underwriting_risk_score__composite_risk_score"][0]
    )


def test_an_unknown_customer_is_answered_and_not_approved(client, work):
    asked = Questions(work.data).entities("underwriting_v1", 1) | {"customer_id": ["CUST99999999"]}
    answer = client.ask("underwriting_v1", asked)
    assert answer.known["customer_credit_features__credit_score"] == [False]
    assert answer["underwriting_decision"] == ["manual_review"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"requested_coverage": None}, "requested_coverage"),
        ({"requested_coverage": ["a lot"]}, "requested_coverage"),
    ],
    ids=["missing", "wrong type"],
)
def test_a_request_that_lacks_something_is_refused_by_name(client, work, change, said):
    asked = Questions(work.data).entities("underwriting_v1", 1) | change
    with pytest.raises(TidemarkError, match=f"refuses.*{said}"):
        client.ask("underwriting_v1", {name: values for name, values in asked.items() if values is not None})


def test_without_a_server_the_remedy_is_said(work):
    with pytest.raises(ServiceError, match="start feast serve"):
        Client("http://127.0.0.1:9").ask("benchmark_small", {"customer_id": ["x"]})
    measuring = benchmark.measure(
        "http://127.0.0.1:9", Questions(work.data), "benchmark_small", 1, requests=1, concurrency=1
    )
    with pytest.raises(ServiceError, match="start feast serve"):
        asyncio.run(measuring)


@pytest.mark.parametrize(
    ("service", "labels", "views"),
    [
        (
            "underwriting_v1",
            "application_labels",
            ("customer_profile", "customer_credit", "underwriting_risk"),
        ),
        ("claims_assessment_v1", "claim_labels", ("provider_features__fraud", "claims_fraud_indicators")),
    ],
)
def test_past_decisions_find_what_was_known_then(store, work, service, labels, views):
    joined = outcomes.training_rows(store, work.data / f"{labels}.parquet", service)
    assert len(joined) == len(pd.read_parquet(work.data / f"{labels}.parquet"))
    columns = [name for name in joined if name.startswith(views)]
    assert len(columns) > 5
    assert joined[columns].notna().all(axis=None)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda rows: rows.iloc[:0], "at least one row"),
        (lambda rows: rows.drop(columns="customer_id"), "no column customer_id"),
        (lambda rows: rows.drop(columns="requested_coverage"), "no column requested_coverage"),
        (lambda rows: rows.assign(event_timestamp="then"), "event_timestamp holds no moments"),
    ],
    ids=["empty", "no key", "no request", "no time"],
)
def test_decisions_that_cannot_be_joined_say_why(store, work, spoil, said):
    rows = spoil(pd.read_parquet(work.data / "application_labels.parquet"))
    with pytest.raises(TidemarkError, match=said):
        outcomes.joined(store, rows, "underwriting_v1")
    with pytest.raises(TidemarkError, match="run setup_data"):
        outcomes.training_rows(store, work.data / "nothing.parquet", "underwriting_v1")


def test_the_benchmark_measures_and_the_picture_is_drawn(client, work, tmp_path):
    timings = [
        asyncio.run(
            benchmark.measure(
                client.url, Questions(work.data), service, batch, requests=6, concurrency=2, warmup=1
            )
        )
        for service, batch in (("benchmark_medium", 1), ("benchmark_medium", 10), ("benchmark_with_odfv", 3))
    ]
    assert all(0 < t.p50 <= t.p90 <= t.p95 <= t.p99 for t in timings)
    assert [t.target for t in timings] == [10, 25, None]
    assert set(benchmark.PROFILES["full"]) == {s for held in benchmark.PROFILES.values() for s in held}
    groups = [outcomes.Group(name, 5, 0.2, 1_000.0) for name in outcomes.TIERS] + [
        outcomes.Group("none", 0, 0, 0)
    ]
    found = outcomes.Referrals(0.1, 0.2, 0.3)
    burst = [chart.Payment(n, n, 20.0 + n, "approve", n / 10) for n in range(3)]
    results = chart.Results(groups, groups, found, found, burst, timings, (10, 10), 1.5, 2, 60.0)
    chart.draw(results, tmp_path / "results.png")
    assert (tmp_path / "results.png").read_bytes().startswith(b"\x89PNG")
    page = tmp_path / "page.md"
    page.write_text("# Before\n<!-- results -->\nold\n<!-- end of results -->\nAfter\n")
    chart.publish(results, page)
    chart.publish(results, page)
    assert page.read_text().count("| benchmark_medium | 10 |") == 1
    assert page.read_text().startswith("# Before\n")
    assert page.read_text().endswith("<!-- end of results -->\nAfter\n")
    page.write_text("nothing")
    with pytest.raises(TidemarkError, match="put them where the tables belong"):
        chart.publish(results, page)


def test_the_notebooks_are_what_is_built_and_run(work):
    """All in one kernel, emptied between them: starting four would only import the same again."""
    cells = []
    for name, texts in build.NOTEBOOKS.items():
        made = build.notebook(texts)
        stored = nbformat.read(HERE / "notebooks" / f"{name}.ipynb", as_version=4)
        assert json.loads(nbformat.writes(stored)) == json.loads(nbformat.writes(made)), "run notebooks.build"
        cells += [new_code_cell("%reset -f"), *made.cells]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    settings = {"UNDERWRITING_WORK": str(work.work), "UNDERWRITING_CUSTOMERS": str(CUSTOMERS)}
    all_ = build.notebook(build.NOTEBOOKS["01_setup_and_data"])
    all_.cells = [new_code_cell(f"%env {name}={value}") for name, value in settings.items()] + cells
    run = NotebookClient(all_, timeout=300, resources={"metadata": {"path": str(ROOT)}}).execute()
    shown = [o for cell in run.cells if cell.cell_type == "code" for o in cell.outputs]
    assert not [o for o in shown if o.output_type == "error"]
    assert sum("image/png" in o.get("data", {}) for o in shown) == 4
