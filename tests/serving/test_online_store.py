"""What Feast's get_online_features answers over rings."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from shop import NOW, Payment, at

import serving
from serving.moment import AsOfError
from streaming.errors import TidemarkError

SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
ACTIVITY = (
    "count_1m", "mean_1m", "max_items_1m", "count_1h", "sum_1h", "std_1h", "count_7d", "mean_7d", "min_7d",
)  # fmt: skip
REFS = [f"activity:{name}" for name in ACTIVITY]
PRESENT, NULL, NOT_FOUND = FieldStatus.PRESENT, FieldStatus.NULL_VALUE, FieldStatus.NOT_FOUND


def payments(user, *ages, **more):
    return [Payment(user, 1, age, 10.0 + i, 1 + i, **more) for i, age in enumerate(ages)]


def expected(shop, history, moment, view="activity", names=ACTIVITY):
    answers = {name: shop.expected(view, history, name, moment) for name in names}
    return {k: v if v is None or isinstance(v, str) else pytest.approx(v) for k, v in answers.items()}


def row(answer, place=0):
    return {name: values[place] for name, values in answer.items() if name not in ("user_id", "merchant_id")}


HISTORY = (1_000, 30_000, 61_000, 50 * MINUTE, 3 * DAY, 6 * DAY)


def test_features_are_as_of_now(shop):
    history = payments("now", *HISTORY)
    shop.write("activity", history)
    answer = shop.read(REFS, {"user_id": ["now"]})
    assert row(answer) == expected(shop, history, NOW)
    assert answer["count_1m"] == [2]
    assert answer["count_7d"] == [6]
    assert answer["user_id"] == ["now"]


def test_the_timestamp_is_that_of_the_newest_event(shop):
    shop.write("activity", payments("stamped", 5_000, HOUR))
    for users in (["stamped"], ["stamped", "nobody-stamped"]):
        proto = shop.store.get_online_features(["activity:count_1h"], {"user_id": users}).proto
        stamps = [stamp.ToDatetime(UTC) for stamp in proto.results[1].event_timestamps]
        assert stamps == [at(NOW - 5_000), datetime(1970, 1, 1, tzinfo=UTC)][: len(users)]


def test_idle_entities_age_to_zeros_and_nulls(shop, clock):
    history = payments("idle", *HISTORY)
    shop.write("activity", history)
    for later in (0, 1, 4 * SECOND, 59 * SECOND, HOUR, DAY, 7 * DAY, 8 * DAY, 400 * DAY):
        clock.now = NOW + later
        assert row(shop.read(REFS, {"user_id": ["idle"]})) == expected(shop, history, clock.now), later
        assert row(shop.read(REFS, {"user_id": ["gone", "idle"]}), 1) == expected(shop, history, clock.now)
    statuses = shop.statuses(["activity:count_7d", "activity:mean_7d"], {"user_id": ["idle"]})
    assert (statuses["count_7d"], statuses["mean_7d"]) == ([PRESENT], [NULL])


def test_an_event_ahead_of_the_clock_sets_the_time(shop):
    history = payments("ahead", -3 * SECOND, 58 * SECOND)
    shop.write("activity", history)
    assert row(shop.read(REFS, {"user_id": ["ahead"]})) == expected(shop, history, NOW + 3 * SECOND)


def test_unknown_entities_are_not_found(shop):
    shop.write("activity", payments("known", 1_000))
    for users in (["unknown"], ["unknown", "known"], ["known", "unknown", "unknown"]):
        answer, statuses = shop.read(REFS, {"user_id": users}), shop.statuses(REFS, {"user_id": users})
        for name in ACTIVITY:
            for user, value, status in zip(users, answer[name], statuses[name], strict=True):
                assert (status == NOT_FOUND) == (user == "unknown"), (users, name)
                assert user == "known" or value is None


def test_rows_keep_their_order_and_may_repeat(shop):
    counts = {"zoe": 3, "adam": 1, "mia": 2}
    for user, count in counts.items():
        shop.write("activity", payments(user, *range(1_000, 1_000 * (count + 1), 1_000)))
    users = ["mia", "zoe", "mia", "nobody", "adam", "zoe"]
    answer = shop.read(["activity:count_1h"], {"user_id": users})
    assert answer == {"user_id": users, "count_1h": [2, 3, 2, None, 1, 3]}
    assert shop.read(["activity:count_1h"], {"user_id": ["zoe", "zoe"]})["count_1h"] == [3, 3]


def test_texts_and_distinct_counts(shop):
    cities = ["Porto", "Lisbon", None, "Porto", "Évora"]
    history = [Payment("mover", 1, age * MINUTE, 5.0, 1, city) for age, city in enumerate(cities, 1)]
    shop.write("places", history)
    names = ("cities_1h", "last_city")
    refs = [f"places:{name}" for name in names]
    assert row(shop.read(refs, {"user_id": ["mover"]})) == expected(shop, history, NOW, "places", names)
    answer = shop.read(refs, {"user_id": ["x", "mover"]})
    assert (answer["cities_1h"], answer["last_city"]) == ([None, 3], [None, "Porto"])


def test_integer_and_two_part_keys(shop):
    history = [
        Payment(u, m, a, 2.5) for u, m, a in [("ann", 7, 5_000), ("bob", 7, 2 * HOUR), ("ann", 8, 9_000)]
    ]
    shop.write("sales", history)
    shop.write("visits", history)
    sold = shop.read(["sales:count_1h", "sales:sum_1d"], {"merchant_id": [8, 7, 9]})
    seventh = [p for p in history if p.merchant == 7]
    assert sold["sum_1d"] == [2.5, 5.0, None]
    assert sold["count_1h"][1] == shop.expected("sales", seventh, "count_1h", NOW)
    pairs = {"merchant_id": [7, 8, 7, 8], "user_id": ["ann", "ann", "bob", "bob"]}
    assert shop.read(["visits:count_1d"], pairs)["count_1d"] == [1, 1, 1, None]


def test_a_feature_service_with_request_data(shop):
    shop.write("activity", payments("served", 1_000, HOUR))
    service = shop.store.get_feature_service("scoring")
    answer = shop.read(service, {"user_id": ["served"], "amount": [21.0]})
    assert answer == {"user_id": ["served"], "count_1m": [1], "mean_7d": [10.5], "of_mean": [2.0]}


def test_full_names_and_versions(shop):
    shop.write("activity", payments("named", 1_000))
    response = shop.store.get_online_features(
        ["activity:count_1h", "profile:tier"],
        {"user_id": ["named"]},
        full_feature_names=True,
        include_feature_view_version_metadata=True,
    )
    assert response.to_dict() == {"user_id": ["named"], "activity__count_1h": [1], "profile__tier": [None]}
    assert [view.name for view in response.proto.metadata.feature_view_metadata] == ["activity", "profile"]


def test_views_of_one_entity_share_a_round_trip_and_a_command(shop):
    shop.write("activity", payments("shared", 1_000))
    shop.write("places", payments("shared", 1_000))
    service = shop.store.get_feature_service("everything")
    shop.read(service, {"user_id": ["shared", "other"]})
    with shop.client() as client:
        client.config_resetstat()
        shop.read(service, {"user_id": ["shared", "other"]})
        stats = client.info("commandstats")
        assert stats["cmdstat_hmget"]["calls"] == 4  # for each entity one of rings and one of the batch view
        assert {name for name in stats if not name.startswith(("cmdstat_config", "cmdstat_info"))} == {
            "cmdstat_hmget"
        }


def test_a_declared_field_without_aggregation_is_null(shop):
    shop.write("activity", payments("unused", 1_000))
    assert shop.read(["activity:unused"], {"user_id": ["unused"]})["unused"] == [None]
    assert shop.read(["activity:unused"], {"user_id": ["unused", "x"]})["unused"] == [None, None]


def test_missing_and_wrong_join_keys_say_which(shop):
    with pytest.raises(KeyError, match="merchant_id"):
        shop.read(["visits:count_1d"], {"user_id": ["ann"]})
    keys = shop.store.get_online_features(["activity:count_1m"], {"user_id": ["u"]}).proto.results[0].values
    with pytest.raises(TidemarkError, match="join key merchant_id is INT64"):
        shop.read(["sales:count_1h"], {"merchant_id": [keys[0]]})


def test_async_reads_equal_sync_reads(shop):
    for name in ("activity", "places"):
        shop.write(name, payments("both", *HISTORY))
    service = shop.store.get_feature_service("everything")

    async def read(store, users):
        answer = await store.get_online_features_async(service, {"user_id": users})
        rows = await shop.online.online_read_async(
            shop.store.config,
            shop.store.get_stream_feature_view("activity"),
            shop.entity_keys("user_id", users),
        )
        return answer.proto, rows

    for users in (["both"], ["both", "unknown", "both"]):
        proto, rows = shop.read_async(lambda store, users=users: read(store, users))
        assert proto == shop.store.get_online_features(service, {"user_id": users}).proto
        table = shop.store.get_stream_feature_view("activity")
        assert rows == shop.online.online_read(shop.store.config, table, shop.entity_keys("user_id", users))


def test_online_read_gives_rows_of_values(shop):
    shop.write("activity", payments("rows", 1_000, 2_000))
    table = shop.store.get_stream_feature_view("activity")
    keys = shop.entity_keys("user_id", ["rows", "unknown"])
    known, unknown = shop.online.online_read(shop.store.config, table, keys, ["count_1h", "sum_1h", "unused"])
    assert unknown == (None, None)
    assert known[0] == at(NOW - 1_000)
    assert known[1]["count_1h"].int64_val == 2
    assert known[1]["sum_1h"].double_val == 21.0
    assert known[1]["unused"].WhichOneof("val") is None


class TestAsOf:
    def test_a_later_moment_is_answered(self, shop):
        history = payments("later", *HISTORY)
        shop.write("activity", history)
        for moment in (NOW - 1_000, NOW + DAY, NOW + 6 * DAY):
            with serving.as_of(at(moment)):
                assert row(shop.read(REFS, {"user_id": ["later"]})) == expected(shop, history, moment)
        assert row(shop.read(REFS, {"user_id": ["later"]})) == expected(shop, history, NOW)

    @pytest.mark.parametrize("users", [["earlier"], ["earlier", "other"]])
    def test_a_moment_before_the_newest_event_is_refused(self, shop, users):
        shop.write("activity", payments("earlier", 1_000, HOUR))
        with (
            serving.as_of(at(NOW - 1_001)),
            pytest.raises(AsOfError, match=r"04:40:11\.345Z.*get_historical_features"),
        ):
            shop.read(REFS, {"user_id": users})

    def test_a_moment_without_zone_is_refused(self):
        with pytest.raises(AsOfError, match="time zone"), serving.as_of(datetime(2026, 1, 1)):  # noqa: DTZ001
            pass

    def test_async_reads_know_it(self, shop):
        history = payments("later-async", *HISTORY)
        shop.write("activity", history)

        async def read(store):
            with serving.as_of(at(NOW + DAY)):
                return await store.get_online_features_async(REFS, {"user_id": ["later-async"]})

        answer = shop.read_async(read).to_dict()
        assert row(answer) == expected(shop, history, NOW + DAY)


class TestLatestEvent:
    def test_time_stands_still_between_events(self, latest_shop):
        history = payments("still", *HISTORY)
        latest_shop.write("activity", history)
        for users in (["still"], ["still", "unknown"]):
            answer = latest_shop.read(REFS, {"user_id": users})
            assert row(answer) == expected(latest_shop, history, NOW - 1_000)
        assert answer["count_1m"] == [2, None]

    def test_as_of_after_it_changes_nothing(self, latest_shop):
        history = payments("still-later", *HISTORY)
        latest_shop.write("activity", history)
        with serving.as_of(at(NOW + DAY)):
            assert row(latest_shop.read(REFS, {"user_id": ["still-later"]})) == expected(
                latest_shop, history, NOW - 1_000
            )
        with serving.as_of(at(NOW - HOUR)), pytest.raises(AsOfError):
            latest_shop.read(REFS, {"user_id": ["still-later"]})
