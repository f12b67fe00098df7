"""Training sets from stored events, by Spark, against the naive oracle and against Feast's own join."""

from __future__ import annotations

import math
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
import shop_repo
from oracle import feature_value

from streaming import definitions
from streaming.errors import TidemarkError
from streaming.history.backfill import backfill
from streaming.history.events import Events
from streaming.history.store import StoreSettings
from streaming.history.version import definition
from training import training_set

ORACLE = {
    "orders_5m": ("count", "", 300, 60),
    "spent_1h": ("sum", "net", 3600, 300),
    "std_1h": ("std", "net", 3600, 300),
    "cents_1h": ("sum", "cents", 3600, 300),
    "last_item": ("last", "item", 3600, 3600),
    "items_1h": ("count_distinct", "item", 3600, 300),
    "shop_mean": ("mean", "amount", 1200, 60),
    "pair_count": ("count", "", 3600, 3600),
}


class Shop:
    """A repo with stored history."""

    def __init__(self, folder: Path, spark) -> None:
        self.spark, self.root = spark, folder / "history"
        self.events = shop_repo.make()
        self.feast = shop_repo.apply(folder / "repo", self.root)
        shop_repo.store(spark, self.root, self.events)
        self.settings = StoreSettings.model_validate({"history": str(self.root), "history_tasks": 2})

    def labels(self, shift: timedelta = timedelta(0), every: int = 7) -> pd.DataFrame:
        """Some orders as labels, not in the order of time, with an unknown user and a row without shop."""
        rows = self.events["orders"][::every][::-1]
        frame = pd.DataFrame(
            {
                "label": range(len(rows)),
                "user_id": [row["user_id"] for row in rows],
                "shop_id": pd.array([row["shop_id"] for row in rows], "Int64"),
                "event_timestamp": [row["at"] + shift for row in rows],
            }
        )
        frame.loc[3, "user_id"] = "nobody"
        return frame

    def set(self, labels, features, out: Path, **options) -> pd.DataFrame:
        training_set(self.feast, labels, features, out, spark=self.spark, settings=self.settings, **options)
        return pq.read_table(out).to_pandas()

    def want(self, feature: str, label, before: bool = False, skip=None):
        """What the oracle says of a label."""
        function, column, length, slide = ORACLE[feature]
        held = []
        for row in self.events["orders"]:
            amount = row["amount"]
            mine = feature == "shop_mean" or (amount is not None and amount > 0) or feature == "pair_count"
            mine &= feature == "shop_mean" or row["user_id"] == label.user_id
            mine &= feature not in ("shop_mean", "pair_count") or row["shop_id"] == label.shop_id
            if not mine or (before and pd.Timestamp(row["at"]) >= label.event_timestamp) or row is skip:
                continue
            values = {"item": row["item"].encode(), "amount": amount}
            if amount is not None:
                values |= {"net": amount * 0.5, "cents": math.floor(amount * 100)}
            held.append((micros(row["at"]), row["_partition"], row["_offset"], values))
        t = micros(label.event_timestamp)
        if not any(event[0] <= t for event in held):
            return None
        return feature_value(held, function, column, length * 10**6, slide * 10**6, t)


def micros(moment) -> int:
    return int(pd.Timestamp(moment).value // 1000)


def equal(got, want) -> bool:
    if want is None or pd.isna(got):
        return want is None and pd.isna(got)
    if isinstance(want, bytes):
        return got == want.decode()
    return math.isclose(got, want, rel_tol=1e-9, abs_tol=1e-9)


@pytest.fixture(scope="module")
def shop(tmp_path_factory, spark) -> Shop:
    return Shop(tmp_path_factory.mktemp("shop"), spark)


@pytest.mark.parametrize("own", [True, False])
def test_every_label_has_its_features_in_order(shop, tmp_path, own):
    labels = shop.labels()
    labels.to_parquet(tmp_path / "labels.parquet")  # nanoseconds, as pandas writes them
    got = shop.set(tmp_path / "labels.parquet", "buying", tmp_path / "out.parquet", include_own=own)
    assert got["label"].tolist() == labels["label"].tolist()
    assert list(got.columns[:4]) == list(labels.columns)
    for label in got.itertuples():
        for feature in ORACLE:
            if feature in ("shop_mean", "pair_count") and pd.isna(label.shop_id):
                assert pd.isna(getattr(label, feature))
                continue
            want = shop.want(feature, label, before=not own)
            assert equal(getattr(label, feature), want), (feature, label, want)
        seconds = [
            (micros(row["at"]), 0, 0, {"s": row["seconds"]})
            for row in shop.events["visits"]
            if row["user_id"] == label.user_id and (own or pd.Timestamp(row["at"]) < label.event_timestamp)
        ]
        visited = feature_value(seconds, "sum", "s", 600 * 10**6, 60 * 10**6, micros(label.event_timestamp))
        if not pd.isna(label.spent_1h):
            assert label.per_second == pytest.approx(label.spent_1h / (visited + 1))
    assert "seconds_10m" not in got.columns


def test_a_rows_own_event_is_left_out_by_its_place(shop, tmp_path):
    rows = shop.events["orders"][:60:5]
    labels = pd.DataFrame(rows)[["user_id", "_topic", "_partition", "_offset"]]
    labels["event_timestamp"] = [row["at"] for row in rows]
    got = shop.set(labels, ["user_orders:spent_1h"], tmp_path / "out.parquet", include_own=False)
    for row, label in zip(rows, got.itertuples(), strict=True):
        later = [
            other
            for other in shop.events["orders"]
            if other["user_id"] == row["user_id"]
            and other["at"] == row["at"]
            and (other["_partition"], other["_offset"]) > (row["_partition"], row["_offset"])
        ]
        assert not later  # else the oracle below would see them
        assert equal(label.spent_1h, shop.want("spent_1h", label, skip=row))


def test_tables_of_a_backfill_give_feasts_own_join_the_same_numbers(shop, tmp_path, spark):
    plan = definitions.load(shop.feast, None, spark)
    events = Events(spark, plan, str(shop.root))
    first = shop_repo.START.date()
    for view in plan.views:
        done = backfill(events, view, None, None, tasks=2, now=shop_repo.START, rows=37)
        assert done.rows > 0
        assert done.definition == definition(plan, view)
    table = pq.read_table(shop.root / "features" / "user_orders").to_pandas()
    again = backfill(events, plan.views[2], first, first + timedelta(days=1), tasks=2, now=shop_repo.START)
    assert plan.views[2].name == "user_orders"
    repeated = pq.read_table(shop.root / "features" / "user_orders").to_pandas()
    order = ["_partition", "_offset"]
    pd.testing.assert_frame_equal(
        table.sort_values(order, ignore_index=True), repeated.sort_values(order, ignore_index=True)
    )
    assert 0 < again.rows < len(table)
    # At an event's own time Feast's join finds that event's row.
    paid = [row for row in shop.events["orders"][::5] if (row["amount"] or 0) > 0 and row["shop_id"]]
    labels = pd.DataFrame(
        {
            "user_id": [row["user_id"] for row in paid],
            "shop_id": [row["shop_id"] for row in paid],
            "event_timestamp": pd.to_datetime([row["at"] for row in paid]),
        }
    )
    service = shop.feast.get_feature_service("buying")
    feast = shop.feast.get_historical_features(labels, service).to_df()
    ours = shop.set(labels, "buying", tmp_path / "out.parquet")
    keys = ["user_id", "shop_id", "event_timestamp"]
    # Feast's file store drops a row for which a view knows the entity from later events alone.
    both = feast.drop_duplicates(keys).merge(ours.drop_duplicates(keys), on=keys, suffixes=("", "_ours"))
    assert len(both) > 20
    for name in ours.columns:
        if name not in (*keys, "per_second"):  # visits have other moments than orders
            mine = both[f"{name}_ours"].rename(name)
            pd.testing.assert_series_equal(both[name], mine, check_dtype=False, rtol=1e-9)


@pytest.mark.parametrize(
    ("change", "features", "words"),
    [
        ({}, "nothing", "there is no feature service nothing: choose from buying, own"),
        ({}, ["user_orders:nothing"], "Feature nothing not found in projection user_orders"),
        ({}, ["nobody:x"], "Feast refuses"),
        ({"user_id": None}, "own", "labels have no column user_id, the join key of view user_orders"),
        ({"event_timestamp": None}, "own", "labels have no column event_timestamp"),
        ({"event_timestamp": "1 May"}, "own", "event_timestamp is string: make it a timestamp"),
        ({"user_id": 1.5}, "own", "join key user_id is double in the labels and STRING in Feast"),
        ({"spent_1h": 1}, "own", "labels have a column spent_1h, which the training set makes"),
    ],
)
def test_wrong_labels_are_refused_in_one_line(shop, tmp_path, change, features, words):
    labels = shop.labels().assign(**{k: v for k, v in change.items() if v is not None})
    labels = labels.drop(columns=[name for name, value in change.items() if value is None])
    with pytest.raises(TidemarkError) as refused:
        shop.set(labels, features, tmp_path / "out.parquet")
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_no_labels_and_no_history_are_refused(shop, tmp_path):
    with pytest.raises(TidemarkError, match="there are no labels: give at least one row"):
        shop.set(shop.labels().head(0), "own", tmp_path / "out.parquet")
    with pytest.raises(TidemarkError, match="there are no labels at"):
        shop.set(tmp_path / "none.parquet", "own", tmp_path / "out.parquet")
    empty = StoreSettings.model_validate({"history": str(tmp_path / "empty")})
    with pytest.raises(TidemarkError, match="run `tidemark stream history` first"):
        training_set(
            shop.feast, shop.labels(), "own", tmp_path / "o.parquet", spark=shop.spark, settings=empty
        )
    assert not list(tmp_path.rglob("*.tmp"))
