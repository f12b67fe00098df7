"""What Feast's get_online_features answers over rings."""

from __future__ import annotations

import pytest
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from shop import NOW, Payment, Shop

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
ACTIVITY = [
    "count_1m", "mean_1m", "max_items_1m", "count_1h", "sum_1h", "std_1h", "count_7d", "mean_7d", "min_7d",
]  # fmt: skip
REFS = [f"activity:{name}" for name in ACTIVITY]


def payments(user: str, *ages: int) -> list[Payment]:
    return [Payment(user, 1, age, 10.0 + i, 1 + i) for i, age in enumerate(ages)]


def expect(shop: Shop, history: list[Payment], at: int) -> dict[str, object]:
    return {name: pytest.approx(shop.expected("activity", history, name, at)) for name in ACTIVITY}


def test_features_are_as_of_now(shop):
    history = payments("now", 1_000, 30_000, 61_000, 50 * MINUTE, 3 * DAY, 6 * DAY)
    shop.write("activity", history)
    answer = shop.read(REFS, {"user_id": ["now"]})
    assert answer.pop("user_id") == ["now"]
    assert {name: values[0] for name, values in answer.items()} == expect(shop, history, NOW)
    assert answer["count_1m"] == [2]
    assert answer["count_7d"] == [6]
