"""Random orders of a shop, hostile ones among them, and what the oracle says of each feature."""

from __future__ import annotations

import json
import math
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lane_world import World, iso
from oracle import feature_value, present

from streaming.plan import Feature, View

Key = tuple[Any, ...]


@dataclass(frozen=True)
class Good:
    """A message that is an event, as it must be understood."""

    time: int
    values: dict[str, Any]


@dataclass(frozen=True)
class Bad:
    """A message that must be quarantined, for a reason that begins like this."""

    reason: str


@dataclass(frozen=True)
class Copy:
    """A message with the event id of an earlier one."""


USERS = [f"user {n}" for n in range(18)] + ["Zoë", ""]
SHOPS = [*range(1, 9), -7, 2**40 + 1]
CITIES = ["Lisbon", "Oslo", "Łódź", "Ghent", "", "a" * 300, "new\nline", '"quoted"']
AMOUNTS = [0.25 * n for n in range(1, 90)]


def order(rng: random.Random, number: int, time: int, **changed: Any) -> dict[str, Any]:
    values = {
        "order_id": f"order-{number}",
        "event_time": iso(time),
        "user_id": None if rng.random() < 0.03 else rng.choice(USERS),
        "shop_id": None if rng.random() < 0.1 else rng.choice(SHOPS),
        "amount": rng.choices(
            [rng.choice(AMOUNTS), None, math.nan, math.inf, -0.0, 1e8 + 0.5], [88, 4, 2, 2, 2, 2]
        )[0],
        "points": rng.choices([rng.randint(-20, 20), None, 2**53 + 1, -(2**53) - 1], [90, 6, 2, 2])[0],
        "city": rng.choice([None, *CITIES]),
        "gift": rng.choice([None, True, False]),
        "status": rng.choice(["paid", "paid", "open", None]),
        "discount": rng.choice([None, 0.5, 0.125]),
    }
    return values | changed


def partition_of(user: str | None, partitions: int) -> int:
    """A user's partition; the last one is quiet: only one user is there."""
    if user == USERS[0]:
        return partitions - 1
    return USERS.index(user) % (partitions - 1) if user in USERS else 0


def wave(
    seed: int, count: int, start: int, end: int, partitions: int = 3, hostile: bool = True
) -> Iterator[tuple[str, int, bytes | None, Any]]:
    """`count` orders with event times from `start` to `end` (ms), some of them late, doubled or broken."""
    rng = random.Random(seed)
    done: list[tuple[int, bytes]] = []
    for i in range(count):
        number = seed * 1_000_000 + i
        time = start + (end - start) * i // count + rng.randint(-20_000, 20_000)
        if hostile:
            time -= rng.choices([0, 90_000, 3_000_000, 9_000_000], [90, 6, 3, 1])[0]
        values = order(rng, number, min(time, end))
        partition = partition_of(values["user_id"], partitions)
        kind = rng.random() if hostile else 1.0
        if kind < 0.04 and done:
            partition, value = rng.choice(done)
            altered = json.dumps(json.loads(value) | {"amount": 77.0, "city": "copy"}).encode()
            yield "orders", partition, rng.choice([value, altered]), Copy()
        elif kind < 0.08:
            value, reason = broken(rng, values, end)
            yield "orders", partition, value, Bad(reason)
        else:
            value = json.dumps(values, ensure_ascii=rng.random() < 0.5).encode()
            done.append((partition, value))
            yield "orders", partition, value, Good(min(time, end), values)


def broken(rng: random.Random, values: dict[str, Any], now: int) -> tuple[bytes | None, str]:
    """A message that is no good order, and why."""
    text = json.dumps(values).encode()
    changes: list[tuple[dict[str, Any], str]] = [
        ({"amount": "much"}, "not a json"),
        ({"points": 1.5}, "not a json"),
        ({"gift": "perhaps"}, "not a json"),
        ({"user_id": {"deep": 1}, "shop_id": []}, "not a json"),
        ({"event_time": None}, "no event time"),
        ({"event_time": "yesterday"}, "not a json"),
        ({"order_id": None}, "no event id"),
        ({"event_time": iso(now + 86_400_000)}, "event time more than"),
    ]
    wholes: list[tuple[bytes | None, str]] = [
        (None, "empty message"),
        (b"", "empty message"),
        (b"  ", "not a json"),
        (b"null", "not a json"),
        (b"{}", "no event time"),
        (b"17", "not a json"),
        (b"\x00\xff\xfe\x80", "not a json"),
        (text[: len(text) // 2], "not a json"),
        (text + text, "not a json"),
        (text + b" and more", "not a json"),
        (text + b"}", "not a json"),
        (text + b"," + text, "not a json"),
        (b"[" + text + b"]", "not a json"),
    ]
    if rng.random() < 0.5:
        change, reason = rng.choice(changes)
        return json.dumps(values | change).encode(), reason
    return rng.choice(wholes)


def _net(values: dict[str, Any]) -> float | None:
    return None if values["amount"] is None else values["amount"] - (values["discount"] or 0.0)


VIEWS: dict[str, Callable[[dict[str, Any]], tuple[Key, dict[str, Any]] | None]] = {
    "user_orders": lambda v: ((v["user_id"],), v),
    "shop_orders": lambda v: ((v["shop_id"],), v | {"net": _net(v)}) if v["status"] == "paid" else None,
    "pair_orders": lambda v: ((v["shop_id"], v["user_id"]), v),
    "user_visits": lambda v: ((v["user_id"],), v),
}
"""What a view makes of an event: its entity and its columns, or nothing."""


def events_of(world: World, view: View) -> dict[Key, list[tuple]]:
    """Every event of each entity of a view, as the oracle takes them."""
    topic = world.given["visits" if view.source == "visits" else "orders"]
    found: dict[Key, list[tuple]] = defaultdict(list)
    for message, about in world.sent:
        if message.topic != topic or not isinstance(about, Good):
            continue
        seen = VIEWS[view.name](about.values)
        if seen is not None and None not in seen[0]:
            found[seen[0]].append((about.time, message.partition, message.offset, seen[1]))
    return dict(found)


def want(feature: Feature, events: Sequence[tuple], at: int) -> Any:
    window = feature.window
    return feature_value(events, feature.function, feature.column, window.length, window.slide, at)


def same(got: Any, expected: Any, feature: Feature, events: Sequence[tuple]) -> bool:
    """Equal as the contract says: floats to 1e-9 of the size of what was summed, everything else exactly."""
    if expected is None or got is None:
        return expected is got
    if feature.function in ("count", "count_distinct", "min", "max", "first", "last"):
        return got == expected
    held = [e[3].get(feature.column) for e in events]
    size = max((abs(value) for value in held if present(value)), default=0)
    noise = 1e-13 * size
    if feature.function.startswith("var"):
        noise *= max(math.sqrt(expected), noise)
    return math.isclose(got, expected, rel_tol=1e-9, abs_tol=noise)


def served(world: World, view: View, keys: Sequence[Key], edge: str = "wall_clock") -> list[dict[str, Any]]:
    """Every feature of each entity, read through Feast."""
    names = [name for name, _ in view.join_keys]
    rows = [dict(zip(names, key, strict=True)) for key in keys]
    refs = [f"{view.name}:{feature.name}" for feature in view.features]
    columns = world.store(edge).get_online_features(refs, rows).to_dict()
    return [{f.name: columns[f.name][i] for f in view.features} for i in range(len(keys))]


def wrong(world: World, view: View, moment: Callable[[int], int], edge: str = "wall_clock") -> list[str]:
    """Every feature that is not what the oracle says; `moment` gives the time of a read for an entity's newest event.

    All entities of one call are read at once where `edge` is latest_event, else one by one.
    """
    events = events_of(world, view)
    assert events, f"nobody in view {view.name}"
    keys = sorted(events)
    times = [moment(max(event[0] for event in events[key])) for key in keys]
    if len(set(times)) == 1 or edge == "latest_event":
        world.now = times[0]
        rows = served(world, view, keys, edge)
    else:
        rows = []
        for key, at in zip(keys, times, strict=True):
            world.now = at
            rows += served(world, view, [key], edge)
    return [
        f"{view.name} {key} {feature.name} at {at}: {got[feature.name]!r} instead of {expected!r}"
        for key, at, got in zip(keys, times, rows, strict=True)
        for feature in view.features
        if not same(got[feature.name], expected := want(feature, events[key], at), feature, events[key])
    ]


def wrong_updates(world: World, view: View) -> list[str]:
    """Where an entity's last message in feature-updates is not what the oracle says as of its newest event."""
    events = events_of(world, view)
    names = [name for name, _ in view.join_keys]
    last: dict[Key, dict[str, Any]] = {}
    for update in world.updated():
        key = tuple(update["entity"][name] for name in names) if update["view"] == view.name else None
        if key is not None and update["batch"] >= last.get(key, update)["batch"]:
            last[key] = update
    assert last.keys() == events.keys()
    faults = []
    for key, update in last.items():
        newest = max(event[0] for event in events[key])
        if update["event_timestamp"] != iso(newest):
            faults.append(f"{view.name} {key}: stamped {update['event_timestamp']} instead of {iso(newest)}")
        for feature in view.features:
            got, expected = update["features"][feature.name], want(feature, events[key], newest)
            if not same(got, expected, feature, events[key]):
                faults.append(f"{view.name} {key} {feature.name} in updates: {got!r} instead of {expected!r}")
    return faults
