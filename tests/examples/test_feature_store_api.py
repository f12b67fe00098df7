"""The feature store's API over a real broker, Redis and PostgreSQL that the lanes have filled."""

import sys
import time
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
import redis

sys.path.append(str(Path(__file__).parents[1] / "history_lane"))
from fastapi.testclient import TestClient
from postgres_server import MISSING, binaries, server
from pydantic import ValidationError

from examples.feature_store_api import filling, formulas, training
from examples.feature_store_api.api import create_app
from examples.feature_store_api.api.auth import digest
from examples.feature_store_api.online import Online
from examples.feature_store_api.recent import Follower
from examples.feature_store_api.settings import FraudSettings, Key
from examples.feature_store_api.warehouse import FEATURES, STREAMED, Warehouse
from examples.feature_store_api.world import World, register, repo
from streaming.errors import DefinitionError

pytestmark = pytest.mark.skipif(binaries() is None, reason=MISSING)
EVENTS, NOW = 1_500, time.time()
CSV = ",".join


@pytest.fixture(scope="module")
def postgres():
    with server() as held:
        yield held


@pytest.fixture(scope="module")
def world(services, postgres, spark, tmp_path_factory):
    from confluent_kafka.admin import NewTopic

    from tidemark.admin import admin
    from tidemark.broker import ready

    folder = tmp_path_factory.mktemp("fraud")
    client = admin(services.kafka)
    names = {name: f"fraud-{name}-{int(NOW)}" for name in ("payments", "updates", "dead")}
    stamped = {"message.timestamp.type": "LogAppendTime"}
    orders = [
        NewTopic(name, num_partitions=2, replication_factor=1, config=stamped) for name in names.values()
    ]
    for future in client.create_topics(orders).values():
        future.result(30)
    ready(client, dict.fromkeys(names.values(), 2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIDEMARK_FRAUD_BOOTSTRAP", services.kafka)
        patch.setenv("TIDEMARK_FRAUD_TOPIC", names["payments"])
        patch.setenv("TIDEMARK_UPDATES_TOPIC", names["updates"])
        patch.setenv("TIDEMARK_DEAD_LETTER_TOPIC", names["dead"])
        keys = {role: Key(sha256=digest(role), role=role) for role in ("reader", "writer", "admin")}
        settings = FraudSettings(
            folder=folder, events=EVENTS, users=40, days=2, api_keys=keys, most=1_000, page=400
        )
        store = repo(folder / "repo", services.redis, postgres.uri)
        register(store)
        warehouse = Warehouse(postgres.uri)
        warehouse.prepare()
        with warehouse.connect() as db:
            # As the example starts its own server.
            db.execute("ALTER ROLE tidemark SET enable_nestloop = off")
        held = World(settings, services, store, Online(store), warehouse, lambda _: None)
        held.produce(NOW)
        held.compute(spark)
        held.follow()
    yield held
    client.delete_topics(list(names.values()))


@pytest.fixture(scope="module")
def raw(world):
    with world.warehouse.connect() as db:
        return filling.landed(db)


@pytest.fixture(scope="module")
def app(world):
    return create_app(world.settings, world.warehouse, world.online)


@pytest.fixture
def api(app):
    """call(role, method, path, **more) -> the answer."""
    client = TestClient(app, base_url="http://store/api/v1", raise_server_exceptions=False)

    def call(role, method, path, **more):
        headers = {"X-API-Key": role} if role else {}
        return client.request(method, path, headers=headers, **more)

    return call


def pages(api, path, limit):
    after, found = 0, []
    while after is not None:
        held = api("reader", "GET", path, params={"limit": limit, "after": after}).json()
        assert len(held["items"]) <= limit
        found += held["items"]
        after = held["next"]
    return found


def windows(payments, card, moment):
    """Count of 10 minutes and mean of an hour at a moment (ms), by the definition."""
    mine = [(at, amount) for c, at, amount in payments if c == card and at <= moment]
    ten = [a for at, a in mine if at >= (moment // 30_000 + 1) * 30_000 - 600_000]
    hour = [a for at, a in mine if at >= (moment // 300_000 + 1) * 300_000 - 3_600_000]
    return len(ten), sum(hour) / len(hour) if hour else None


def test_every_payment_is_stored_with_the_features_it_had(world, api, raw):
    stored = {row["transaction_id"]: row for row in pages(api, "/features/bulk", 400)}
    assert len(stored) == len(raw) == world.rows == EVENTS
    payments = list(zip(raw.cc_num, raw["at"], raw.amount, strict=True))
    for one in raw.sample(80, random_state=1).to_dict("records"):
        row = stored[one["transaction_id"]]
        count, mean = windows(payments, one["cc_num"], one["at"])
        assert (row["txn_count_last_10_min"], row["amt"]) == (count, one["amount"])
        assert row["avg_amt_last_1_hour"] == pytest.approx(mean)
        assert row["hour_of_day"] == one["timestamp"].hour
        assert row["day_of_week"] == one["timestamp"].isoweekday() % 7 + 1
        spots = [[one[n]] for n in ("home_lat", "home_long", "merchant_lat", "merchant_long")]
        far = formulas.distance(*spots)[0]
        assert row["distance_to_merchant"] == (None if pd.isna(far) else pytest.approx(far))
    frauds = set(raw.transaction_id[raw.is_fraud])
    assert {one for one, row in stored.items() if row["is_fraud"]} == frauds


def test_the_engine_measures_distances_as_the_warehouse_does(spark):
    spots = [(48.2, 16.4, 47.1, 15.4), (0.0, 0.0, 0.0, 180.0), (10.0, 20.0, None, None), (1.0, 2.0, 1.0, 2.0)]
    columns = ["home_lat", "home_long", "merchant_lat", "merchant_long"]
    frame = spark.createDataFrame(spots, ", ".join(f"{name} double" for name in columns))
    found = [row.d for row in frame.selectExpr(f"{formulas.DISTANCE_SQL} AS d").collect()]
    wanted = formulas.distance(*pd.DataFrame(spots, columns=columns).to_numpy(float).T)
    assert found == [None if pd.isna(far) else pytest.approx(far) for far in wanted]


def test_what_the_lane_streamed_has_landed_in_postgres(world, raw):
    with world.warehouse.connect() as db:
        rows = db.execute(
            f"SELECT DISTINCT ON (cc_num) cc_num, amt, event_timestamp FROM {STREAMED} ORDER BY cc_num, event_timestamp DESC"
        ).fetchall()
    last = raw.drop_duplicates("cc_num", keep="last").set_index("cc_num")
    assert {card: amt for card, amt, _ in rows} == last.amount.to_dict()
    assert {card: at for card, _, at in rows} == last["timestamp"].to_dict()


def test_both_ways_to_the_features_agree(world):
    stored, computed = training.from_store(world), training.from_raw(world)
    assert len(stored) == EVENTS
    assert training.differing(stored, computed) == 0


def test_redis_has_the_features_as_of_now(world, api, raw):
    payments = list(zip(raw.cc_num, raw["at"], raw.amount, strict=True))
    assert api("writer", "POST", "/features/sync").status_code == 200
    last = raw.sort_values("at").drop_duplicates("cc_num", keep="last")
    without = last.cc_num[last.merchant_lat.isna()]
    assert len(without)
    for card in [*raw.sort_values("at").cc_num.tail(5), *without.head(3)]:
        world.store._get_provider().online_store.clock = lambda: int(NOW * 1_000)
        stats = api("reader", "GET", f"/redis/transactions/{card}").json()["stats"]
        count, mean = windows(payments, card, int(NOW * 1_000))
        assert stats["txn_count_last_10_min"] == count
        assert stats["avg_amt_last_1_hour"] == (None if mean is None else pytest.approx(mean))
        mine = raw[raw.cc_num == card].iloc[-1]
        assert (stats["amt"], stats["category"]) == (mine.amount, mine.category)
        assert (stats["distance_to_merchant"] is None) == pd.isna(mine.merchant_lat)
        assert pd.Timestamp(stats["last_update"]).floor("ms") == mine["timestamp"].floor("ms")


def test_recent_payments_are_the_newest_of_the_day(world, api, raw):
    card = raw[raw["at"] > (NOW - 80_000) * 1_000].cc_num.value_counts().index[0]
    mine = raw[(raw.cc_num == card) & (raw["at"] > (NOW - 86_400) * 1_000)].iloc[::-1][:5]
    held = api("reader", "GET", f"/redis/transactions/{card}").json()
    assert [p["transaction_id"] for p in held["recent_transactions"]] == mine.transaction_id.tolist()
    assert [float(p["amount"]) for p in held["recent_transactions"]] == mine.amount.tolist()
    # The group has read all; another one reads it again, and nothing is doubled.
    assert Follower(world.endpoints.kafka, world.settings.topic, world.online.redis).run() == 0
    again = Follower(world.endpoints.kafka, world.settings.topic, world.online.redis, f"again-{NOW}")
    assert (again.run(), again.skipped) == (EVENTS, 0)
    assert api("reader", "GET", f"/redis/transactions/{card}").json() == held


def test_bulk_of_redis_is_paged(world, api, raw):
    cards = [row["cc_num"] for row in pages(api, "/redis/transactions/bulk", 13)]
    assert sorted(cards) == sorted(raw.cc_num.unique())
    newest = raw.sort_values("at").cc_num.iloc[-1]
    assert cards[0] == newest
    assert len(api("reader", "GET", "/redis/transactions/bulk").json()["items"]) == len(cards)
    assert api("reader", "GET", "/redis/transactions/bulk?limit=100001").status_code == 422


def test_pages_of_a_card_and_of_days(api, raw):
    by_card = defaultdict(set)
    for card, one in zip(raw.cc_num, raw.transaction_id, strict=True):
        by_card[card].add(one)
    card = max(by_card, key=lambda c: len(by_card[c]))
    assert {row["transaction_id"] for row in pages(api, f"/features/by-ccnum/{card}", 7)} == by_card[card]
    day = raw["timestamp"].dt.tz_convert("UTC").dt.date
    first = day.min()
    held = api("reader", "GET", f"/features/by-date?start={first}&end={first}&limit=1000").json()
    assert {row["transaction_id"] for row in held["items"]} == set(raw.transaction_id[day == first])
    every = api("reader", "GET", f"/features/by-date?start={first}&end={day.max()}&limit=1000").json()
    assert (len(every["items"]), every["next"] is None) == (1_000, False)


ROW = {
    "transaction_id": "one", "cc_num": "CARDNEW", "amt": 12.5, "hour_of_day": 3, "day_of_week": 1, "age_at_txn": 40.0,
    "distance_to_merchant": None, "txn_count_last_10_min": 1, "avg_amt_last_1_hour": 12.5, "category": "gas",
    "gender": "F", "city_pop": 100, "is_fraud": 0, "trans_date_trans_time": "2026-03-01T03:00:00",
}  # fmt: skip


def test_a_batch_is_added_once(api):
    unnamed = {k: v for k, v in ROW.items() if k != "transaction_id"}
    for wanted in ({"inserted": 2, "skipped": 0}, {"inserted": 0, "skipped": 2}):
        answer = api("writer", "POST", "/features/batch", json=[ROW, unnamed])
        assert (answer.status_code, answer.json()) == (201, {"status": "success", **wanted})
    (one, _) = api("reader", "GET", "/features/by-ccnum/CARDNEW").json()["items"]
    assert (one["amt"], one["distance_to_merchant"]) == (12.5, None)
    assert datetime.fromisoformat(one["feature_timestamp"]) == datetime(2026, 3, 1, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"amt": -1}, "amt"),
        ({"amt": "much"}, "amt"),
        ({"hour_of_day": 24}, "hour_of_day"),
        ({"gender": None}, "gender"),
        ({"trans_date_trans_time": "yesterday"}, "trans_date_trans_time"),
        ({"favourite": 1}, "favourite"),
    ],
)
def test_wrong_rows_are_refused_as_a_whole(api, change, where):
    answer = api(
        "writer", "POST", "/features/batch", json=[{**ROW, "transaction_id": "other"}, {**ROW, **change}]
    )
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"][-1] == where
    answer = api("writer", "POST", "/features/batch", json=[{k: v for k, v in ROW.items() if k != "cc_num"}])
    assert answer.json()["detail"][0]["msg"] == "Field required"


@pytest.mark.parametrize(
    ("method", "path", "status", "says"),
    [
        ("GET", "/features/by-ccnum/CARDNOBODY", 404, "no features of card CARDNOBODY"),
        ("GET", "/features/by-date?start=2020-01-02&end=2020-01-01", 400, "exchange them"),
        ("GET", "/features/by-date?start=2020-01-01&end=2020-01-02", 404, "no features from"),
        ("GET", "/features/by-date?start=soon&end=2020-01-02", 422, "valid date"),
        ("GET", "/features/by-date?start=2020-01-01", 422, "Field required"),
        ("GET", "/features/bulk?limit=1001", 422, "page by page"),
        ("GET", "/features/bulk?limit=0", 422, "greater than 0"),
        ("GET", "/redis/transactions/CARDNOBODY", 404, "nothing of card"),
        ("POST", "/features/sync?direction=sideways", 422, "redis-to-postgres"),
        ("GET", "/nothing", 404, "Not Found"),
    ],
)
def test_questions_without_an_answer(api, method, path, status, says):
    answer = api("admin", method, path)
    assert answer.status_code == status
    assert says in answer.text


def test_batches_are_neither_empty_nor_endless(api):
    assert api("writer", "POST", "/features/batch", json=[]).status_code == 422
    assert api("writer", "POST", "/features/batch", json=[ROW] * 1_001).status_code == 413


def test_callers_have_keys_and_roles(api, app):
    assert api(None, "GET", "/features/bulk").status_code == 401
    assert api("stranger", "GET", "/features/bulk").headers["WWW-Authenticate"] == "Bearer"
    assert api("reader", "POST", "/features/sync").status_code == 403
    assert api("writer", "DELETE", "/features/clear").status_code == 403
    client = TestClient(app)
    held = client.get("/api/v1/features/bulk?limit=1", headers={"Authorization": "Bearer reader"})
    assert held.status_code == 200
    assert client.get("/").json()["message"].startswith("Fraud feature store")
    with pytest.raises(DefinitionError, match="the API has no keys: set TIDEMARK_FRAUD_API_KEYS"):
        create_app(FraudSettings(api_keys={}), app.state.warehouse, app.state.online)
    with pytest.raises(ValidationError, match="sha256"):
        Key(sha256="plain", role="reader")


def test_sync_goes_both_ways_and_never_back_in_time(world, api, raw):
    with world.warehouse.connect() as db:
        db.execute("DELETE FROM credit_card_features WHERE cc_num = 'CARDNEW'")
    cards = raw.cc_num.nunique()
    api("writer", "POST", "/features/sync")
    again = api("writer", "POST", "/features/sync").json()
    assert (again["updated"], again["skipped"]) == (0, cards)
    back = [api("writer", "POST", "/features/sync?direction=redis-to-postgres").json() for _ in range(2)]
    assert [(b["updated"], b["skipped"]) for b in back] == [(cards, 0), (0, cards)]
    card = raw.cc_num.iloc[0]
    names = CSV(name for name in FEATURES if name not in ("txn_count_last_10_min", "avg_amt_last_1_hour"))
    with world.warehouse.connect() as db:
        copied = db.execute(f"SELECT {names} FROM credit_card_online WHERE cc_num = %s", [card]).fetchone()
        last = db.execute(
            f"SELECT {names} FROM credit_card_features WHERE cc_num = %s ORDER BY feature_timestamp DESC",
            [card],
        ).fetchone()
        assert copied == pytest.approx(last)
        db.execute("UPDATE credit_card_features SET city_pop = 0, feature_timestamp = feature_timestamp - %s WHERE cc_num = %s",
                   [timedelta(days=9), card])  # fmt: skip
    assert api("writer", "POST", "/features/sync").json()["updated"] == 0
    assert api("reader", "GET", f"/redis/transactions/{card}").json()["stats"]["city_pop"] > 0


def test_messages_that_are_no_payments_are_skipped(world, topic):
    from confluent_kafka import Producer

    name = topic(1, "strange")
    producer = Producer({"bootstrap.servers": world.endpoints.kafka})
    for value in (b"{", b"{}", None, b'{"transaction_id": 3}'):
        producer.produce(name, value)
    producer.flush(30)
    follower = Follower(world.endpoints.kafka, name, world.online.redis, f"strange-{NOW}")
    assert (follower.run(), follower.skipped) == (0, 4)


def test_a_store_that_is_away_is_a_503(world, app, monkeypatch):
    client = TestClient(app, raise_server_exceptions=False)

    def away(*_, **__):
        raise redis.ConnectionError("refused")

    monkeypatch.setattr(world.online.redis, "zrevrange", away)
    answer = client.get("/api/v1/redis/transactions/bulk", headers={"X-API-Key": "reader"})
    assert (answer.status_code, answer.json()["detail"]) == (503, "Redis does not answer: try again later")
    app = create_app(world.settings, Warehouse("postgresql://nobody@127.0.0.1:1/none"), world.online)
    client = TestClient(app, raise_server_exceptions=False)
    answer = client.get("/api/v1/features/bulk", headers={"X-API-Key": "reader"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")


def test_an_admin_clears_the_table(world, api):
    """The last of the module: it empties the warehouse."""
    answer = api("admin", "DELETE", "/features/clear")
    assert answer.status_code == 200, answer.text
    assert answer.json()["deleted"] >= EVENTS
    assert api("reader", "GET", "/features/bulk").status_code == 404
    with pytest.raises(filling.WrongPayments, match="run tidemark backfill"):
        filling.fill(world.warehouse, Path("/nowhere"))
    with world.warehouse.connect() as db:
        db.execute("ALTER TABLE events_transactions RENAME COLUMN amount TO price")
        with pytest.raises(filling.WrongPayments, match="no column amount"):
            filling.landed(db)
        db.execute("DROP TABLE events_transactions")
        with pytest.raises(filling.WrongPayments, match="there is no table events_transactions"):
            filling.landed(db)
