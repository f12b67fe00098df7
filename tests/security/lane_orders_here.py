"""Orders of the shop of tests/lane with a value that nothing may repeat, in good messages and in broken ones."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "lane"))

from lane_orders import Bad, Good, order

CANARY = "canary-7f3a"


def orders_with_a_secret(now: int) -> Iterator[tuple[str, int, bytes | None, Any]]:
    """Good, late and broken ones."""
    rng = random.Random(1)
    for n, age in enumerate((0, 1_000, 60_000, 7_100_000, 9_000_000)):
        values = order(rng, n, now - age, user_id="user 1", city=CANARY)
        yield "orders", 0, json.dumps(values).encode(), Good(now - age, values)
    whole = order(rng, 100, now, user_id="user 1", city=CANARY)
    changes: list[dict[str, Any]] = [
        {"amount": CANARY},
        {"event_time": CANARY},
        {"gift": CANARY},
        {"order_id": None},
        {"user_id": {CANARY: 1}},
    ]
    for changed in changes:
        yield "orders", 0, json.dumps(whole | changed).encode(), Bad("")
    yield "orders", 0, json.dumps(whole).encode()[:-5], Bad("")
