"""How long entities live with `expire: true`."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, OnDemandFeatureView
from feast.types import Float64, Int64
from feast.value_type import ValueType
from feast_repos import register, settings
from repo_parts import HOUR, USER, aggregation, source, view

from streaming.definitions import load
from streaming.errors import DefinitionError

HOUR_MS, SKEW = 3_600_000, 5_000
DEVICE = Entity(name="device", join_keys=["note"], value_type=ValueType.STRING)
EXPIRING = {"online_store": settings(expire=True)["online_store"]}


def lives(store: FeatureStore, *chosen: str) -> dict[str, int]:
    return {v.name: v.expiry for v in load(store, chosen or None).views}


def long(hours: int = 24, **changes: Any) -> Any:
    used = aggregation(time_window=timedelta(hours=hours), slide_interval=HOUR)
    return view(used, **{"name": "long", **changes})


def profile(**changes: Any) -> FeatureView:
    held: dict[str, Any] = {
        "name": "profile",
        "entities": [USER],
        "schema": [Field(name="age", dtype=Int64)],
        "source": FileSource(name="profiles", path="p.parquet", timestamp_field="at"),
    }
    return FeatureView(**{**held, **changes})


def test_nothing_expires_by_default(tmp_path: Path) -> None:
    assert lives(register(tmp_path, USER, view(), long())) == {"v": 0, "long": 0}


def test_the_longest_window_of_all_views_of_the_entity(tmp_path: Path) -> None:
    elsewhere = view(name="elsewhere", entities=[DEVICE])
    store = register(tmp_path, USER, DEVICE, view(), long(), elsewhere, **EXPIRING)
    day, hour = 24 * HOUR_MS + 2 * SKEW, HOUR_MS + 2 * SKEW
    assert lives(store) == {"v": day, "long": day, "elsewhere": hour}
    assert lives(store, "v") == {"v": day}, "views that another lane computes are in the same hash"


def test_an_entity_of_two_keys_is_another_entity(tmp_path: Path) -> None:
    store = register(tmp_path, USER, DEVICE, view(), long(entities=[DEVICE, USER]), **EXPIRING)
    assert lives(store) == {"v": HOUR_MS + 2 * SKEW, "long": 24 * HOUR_MS + 2 * SKEW}


def test_views_that_are_not_computed_do_not_count(tmp_path: Path) -> None:
    disabled = long(name="disabled")
    disabled.enabled = False
    store = register(tmp_path, USER, view(), long(online=False), disabled, **EXPIRING)
    assert lives(store) == {"v": HOUR_MS + 2 * SKEW}


def test_events_may_be_ahead_of_the_clock(tmp_path: Path) -> None:
    other = source(name="other", topic="other", tags={"max_future_skew": "1h"})
    store = register(tmp_path, USER, view(), view(name="w", source=other), **EXPIRING)
    assert lives(store) == {"v": 3 * HOUR_MS, "w": 3 * HOUR_MS}


def test_the_layout_of_a_ring_stays(tmp_path: Path) -> None:
    for name in ("never", "expiring"):
        (tmp_path / name).mkdir()
    never, expiring = (
        load(register(tmp_path / name, USER, view(), **changes)).views[0]
        for name, changes in (("never", {}), ("expiring", EXPIRING))
    )
    assert (never.expiry, expiring.expiry) == (0, HOUR_MS + 2 * SKEW)
    assert never.schema_id == expiring.schema_id


def on_request() -> OnDemandFeatureView:
    return OnDemandFeatureView(
        name="stored",
        entities=[USER],
        sources=[profile(online=False)],
        schema=[Field(name="twice", dtype=Float64)],
        mode="python",
        udf=lambda inputs: {"twice": [2.0 * age for age in inputs["age"]]},
        write_to_online_store=True,
    )


@pytest.mark.parametrize(
    "stock",
    [profile(), view(name="raw", aggregations=[]), [profile(online=False), on_request()]],
    ids=["batch view", "stream view without aggregations", "stored on-demand view"],
)
def test_a_hash_with_values_that_feast_writes_lives_for_good(tmp_path: Path, stock: Any) -> None:
    stored = stock if isinstance(stock, list) else [stock]
    store = register(tmp_path, USER, DEVICE, view(), long(entities=[DEVICE]), *stored, **EXPIRING)
    assert lives(store) == {"v": 0, "long": 24 * HOUR_MS + 2 * SKEW}


def test_a_batch_view_that_is_not_served_does_not_count(tmp_path: Path) -> None:
    store = register(tmp_path, USER, view(), profile(online=False), **EXPIRING)
    assert lives(store) == {"v": HOUR_MS + 2 * SKEW}


def test_what_another_lane_computes_must_say_how_long_it_lives(tmp_path: Path) -> None:
    other = source(name="other", topic="other", tags={"max_future_skew": "soon"})
    store = register(tmp_path, USER, view(), view(name="w", source=other), **EXPIRING)
    with pytest.raises(DefinitionError, match="source other: tag max_future_skew='soon' is not a duration"):
        load(store, ["v"])


def test_feasts_own_expiry_is_refused(tmp_path: Path) -> None:
    stock = {"type": "redis", "connection_string": "localhost:6379", "key_ttl_seconds": 60}
    with pytest.raises(DefinitionError, match=r"key_ttl_seconds would drop rings .*: remove it from"):
        load(register(tmp_path, USER, view(), online_store=stock))
