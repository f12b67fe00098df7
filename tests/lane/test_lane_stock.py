"""`write_features: true`: Feast's own Redis store reads what the tiled one computes as of the newest event."""

import json
import random
import time
from pathlib import Path

from feast import FeatureStore
from feast.infra.online_stores.redis import RedisOnlineStore
from lane_orders import Good, events_of, order, wave
from lane_world import World, iso

MINUTE = 60_000


def stock(world: World) -> FeatureStore:
    """The repo as a client sees it that knows nothing of Tidemark."""
    settings: Path = world.repo / "stock.yaml"
    settings.write_text(
        f"project: {world.project}\nregistry: {world.repo}/registry.db\nprovider: local\n"
        "entity_key_serialization_version: 3\noffline_store:\n    type: file\n"
        f"online_store:\n    type: redis\n    connection_string: {world.redis}\n"
    )
    store = FeatureStore(fs_yaml_file=settings)
    assert type(store._get_provider().online_store) is RedisOnlineStore
    return store


def test_every_feature_of_every_view_is_feasts(world: World, spark) -> None:
    world.store_options = {"write_features": "true"}
    world.apply(narrow=True)
    now = int(time.time() * 1000)
    huge = order(random.Random(0), 10**9, now, user_id="huge", shop_id=1, amount=1e30)
    small = huge | {"order_id": "order-small", "amount": 1.0}
    world.send(wave(5, 1500, now - 90 * MINUTE, now - MINUTE))
    world.send(("orders", 0, json.dumps(v).encode(), Good(now, v)) for v in (huge, small))
    visits = [{"user_id": f"user {n}", "seconds": 2.5 * n} for n in range(9)]
    times = [now - (n + 1) * MINUTE for n in range(9)]
    world.send(
        ("visits", 0, json.dumps(v | {"event_time": iso(at)}).encode(), Good(at, v))
        for v, at in zip(visits, times, strict=True)
    )
    world.run(spark, max_events=500)

    theirs, ours, nulls, read = stock(world), world.store("latest_event"), 0, 0
    for view in world.plan(spark).views:
        keys = [*sorted(events_of(world, view)), *([("nobody",)] if view.name.startswith("user") else [])]
        rows = [dict(zip((name for name, _ in view.join_keys), key, strict=True)) for key in keys]
        refs = [f"{view.name}:{feature.name}" for feature in view.features]
        stored, computed = (store.get_online_features(refs, rows).to_dict() for store in (theirs, ours))
        assert stored == computed
        for feature in view.features:
            nulls += stored[feature.name].count(None)
            read += len(keys)
    assert 0 < nulls < read / 2, "nothing was compared"

    refs = [
        "user_orders:amount_max_600_30",
        "user_orders:amount_mean_600_30",
        "user_orders:amount_var_600_30",
    ]
    (largest,), (mean,), (variance,) = (
        theirs.get_online_features([ref], [{"user_id": "huge"}]).to_dict()[ref.split(":")[1]] for ref in refs
    )
    assert (largest, variance) == (1e30, None), "float32 ends at 3.4e38"
    assert abs(mean / 5e29 - 1) < 1e-6
    (sent,) = [u["features"] for u in world.updated() if u["entity"] == {"user_id": "huge"}]
    assert sent["amount_var_600_30"] is None
