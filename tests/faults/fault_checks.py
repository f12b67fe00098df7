"""The invariants: what must hold after every fault. Each returns what is wrong, in words."""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import suppress
from typing import Any

import redis
from lane_orders import Bad, Copy, events_of, same, served, wrong, wrong_updates
from lane_world import World, iso, read_topic

from streaming.plan import Plan, View
from streaming.ring import RingCodec


def equal(world: World, plan: Plan) -> list[str]:
    """I1 to I3: every entity is served, each of its events counted once, every feature as the oracle says."""
    now = int(time.time() * 1000)
    return [text for view in plan.views for text in wrong(world, view, lambda _: now)]


def parity(world: World, plan: Plan) -> list[str]:
    """I4: what was last sent to feature-updates is what the oracle says and what the store serves then."""
    found = []
    for view in plan.views:
        found += wrong_updates(world, view)
        found += wrong(world, view, lambda newest: newest, "latest_event")
    return found


def delivered(world: World) -> list[str]:
    """What the broker acknowledged is in the topic, at its place, once."""
    held = {m.place: m.value for m in read_topic(world.kafka, world.given["orders"])}
    sent = {m.place: m.value for m, _ in world.sent if m.topic == world.given["orders"]}
    missing = [place for place, value in sent.items() if held.get(place, b"?") != value]
    extra = [place for place in held if place not in sent]
    return [f"not in the topic: {p}" for p in missing] + [f"in the topic unasked: {p}" for p in extra]


def accounted(world: World, lines: list[dict[str, Any]], whole: bool = True) -> list[str]:
    """I7: each batch's outcomes add up to what was read; `whole`: every batch was reported, and all add up."""
    last = {line["batch"]: line for line in lines if not line["repair"]}
    found = [
        f"batch {line['batch']} of {name}: {view['unaccounted']} unaccounted"
        for line in last.values()
        for name, view in line["views"].items()
        if view["unaccounted"]
    ]
    if not whole:
        return found
    kinds = Counter(type(about) for m, about in world.sent if m.topic == world.given["orders"])
    got = {
        "read": sum(line["read"] for line in last.values()),
        "quarantined": sum(sum(r.values()) for line in last.values() for r in line["quarantined"].values()),
        "duplicates": sum(line["duplicates"] for line in last.values()),
    }
    due = {"read": kinds.total(), "quarantined": kinds[Bad], "duplicates": kinds[Copy]}
    return found + [f"{name}: {got[name]} instead of {due[name]}" for name in due if got[name] != due[name]]


def alike(one: World, other: World, views: tuple[View, ...]) -> list[str]:
    """I8: two lanes over the same topics, one undisturbed, serve the same."""
    one.now = other.now = int(time.time() * 1000)
    found = []
    for view in views:
        events = events_of(one, view)
        keys = sorted(events)
        rows = zip(keys, served(one, view, keys), served(other, view, keys), strict=True)
        found += [
            f"{view.name} {key} {f.name}: {mine[f.name]!r}, undisturbed {theirs[f.name]!r}"
            for key, mine, theirs in rows
            for f in view.features
            if not same(mine[f.name], theirs[f.name], f, events[key])
        ]
    return found


class Monotone(threading.Thread):
    """I5: polls the newest event of every ring of a view; `back` are those that were seen to go back."""

    def __init__(self, port: int, view: View, pause: float = 0.1) -> None:
        super().__init__(daemon=True)
        self.back: list[str] = []
        self.polls = 0
        self._client = redis.Redis(port=port, socket_timeout=5)
        self._codec = RingCodec(view)
        self._pause = pause
        self._newest: dict[bytes, int] = {}
        self._halt = threading.Event()

    def forget(self) -> None:
        """What came before does not count: the store is going to be set back."""
        self._newest.clear()

    def run(self) -> None:
        while not self._halt.wait(self._pause):
            # A store that is away is asked again.
            with suppress(redis.RedisError):
                self._poll()

    def _poll(self) -> None:
        before = dict(self._newest)
        keys = [key for key in self._client.scan_iter(count=1000) if not key.startswith(b"tidemark:")]
        asked = self._client.pipeline(transaction=False)
        for key in keys:
            asked.hget(key, self._codec.fields[0])
        blobs = asked.execute(raise_on_error=False)
        held = [(key, blob) for key, blob in zip(keys, blobs, strict=True) if isinstance(blob, bytes)]
        newest = self._codec.decode_headers([blob for _, blob in held]).newest.tolist()
        for (key, _), at in zip(held, newest, strict=True):
            if at < before.get(key, at):
                self.back.append(f"{key!r} went back from {iso(before[key])} to {iso(at)}")
            self._newest[key] = at
        self.polls += 1

    def stop(self) -> list[str]:
        self._halt.set()
        self.join(20)
        return self.back
