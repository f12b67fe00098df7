"""Final windows and sessions against programs that know nothing of the lane."""

from __future__ import annotations

import json
import random
import time
from collections import defaultdict
from datetime import timedelta
from pathlib import Path
from typing import Any

from history_world import History
from lane_orders import Good, events_of, order, same
from lane_world import iso
from oracle import feature_value

MINUTE = 60_000
DELAY, GAP = 30 * MINUTE, 10 * MINUTE


def ms(moment) -> int:
    return round(moment.timestamp() * 1000)


def sent(history: History, now: int) -> None:
    """Orders and visits of three hours; users come and go; then one order that moves the watermark past them all."""
    rng = random.Random(11)
    orders = []
    for n in range(260):
        at = now - rng.choice([150, 120, 95, 60]) * MINUTE - rng.randint(0, 14 * MINUTE)
        orders.append((at, order(rng, n, at, amount=rng.choice([None, 1.5, 2.25, float("nan"), 9.0]))))
    # Two events exactly a gap apart are one session, and a millisecond more makes two.
    for n, (user, pause) in enumerate([("at the gap", GAP), ("past it", GAP + 1)]):
        for at in (now - 75 * MINUTE, now - 75 * MINUTE + pause):
            orders.append((at, order(rng, 900 + 10 * n + (at > now - 75 * MINUTE), at, user_id=user)))
    world = history.world
    world.send(("orders", n % 3, json.dumps(v).encode(), Good(at, v)) for n, (at, v) in enumerate(orders))
    visits = []
    for at, values in orders[::9]:
        visit = {"user_id": values["user_id"], "event_time": iso(at + 8 * MINUTE), "seconds": 3.0}
        visits.append(("visits", 0, json.dumps(visit).encode(), Good(at + 8 * MINUTE, visit)))
    world.send(visits)


def test_tumbling_windows_and_sessions(history: History) -> None:
    """Each once, when the watermark has passed it: over two starts of the lane."""
    world, now = history.world, int(time.time() * 1000)
    history.views = ("user_orders", "user_visits")
    options: dict[str, Any] = {"history_windows": "tumbling", "history_sessions": True}
    sent(history, now)
    history.run(**options)
    assert compared(history, sliding=False) > 3000
    assert sessions(history) == sessions_of(world, newest(world, "orders", "visits") - DELAY)
    count = history.table("windows/user_orders/600s_600s").count()

    # Later events end the windows that were open, and none is written twice.
    at = now - MINUTE
    later = order(random.Random(1), 999, at, user_id="later")
    world.send([("orders", 1, json.dumps(later).encode(), Good(at, later))])
    history.run(**options)
    assert compared(history, sliding=False) > 3000
    assert history.table("windows/user_orders/600s_600s").count() > count
    found = sessions(history)
    assert found == sessions_of(world, at - DELAY)
    users = [user for user, _ in found]
    assert (users.count("at the gap"), users.count("past it")) == (1, 2)
    assert len(found) > 20


def test_sliding_windows(history: History) -> None:
    history.views = ("shop_orders",)
    sent(history, int(time.time() * 1000))
    history.run(history_windows="all")
    assert compared(history, sliding=True) > 300


def compared(history: History, *, sliding: bool) -> int:
    """Checks every value of every window that is to be final; their number."""
    world = history.world
    wrong: list[str] = []
    seen = 0
    for view in world.plan(history.spark, history.views).views:
        source = "visits" if view.source == "visits" else "orders"
        watermark = newest(world, source) - (2 * MINUTE if source == "visits" else DELAY)
        events = events_of(world, view)
        shapes = {(w.length, w.length) for w in view.windows}
        if sliding:
            shapes |= {(w.length, w.slide) for w in view.windows}
        for length, slide in shapes:
            features = [
                f for f in view.features if f.window.length == length and slide in (length, f.window.slide)
            ]
            expected = windows_of(events, length, slide, watermark)
            path = f"windows/{view.name}/{short(length)}_{short(slide)}"
            rows = history.rows(path)
            names = [name for name, _ in view.keys]
            got = {(tuple(row[n] for n in names), ms(row.window_start)): row for row in rows}
            assert len(got) == len(rows)
            assert got.keys() == expected.keys(), path
            for place, row in got.items():
                held = expected[place]
                last = max(event[0] for event in held)
                assert ms(row.window_end) == place[1] + length
                for feature in features:
                    # A window long enough to hold whatever is in it.
                    want = feature_value(held, feature.function, feature.column, 10**14, 10**14, last)
                    seen += 1
                    if not same(row[feature.name], want, feature, held):
                        wrong.append(
                            f"{path} {place} {feature.name}: {row[feature.name]!r} instead of {want!r}"
                        )
    assert not wrong[:5]
    return seen


def sessions(history: History) -> dict[tuple, tuple]:
    rows = history.rows("sessions/user")
    found = {
        (r.user_id, ms(r.session_start)): (
            ms(r.session_end),
            r.duration,
            r.events,
            r.amount,
            r.distinct_shop_id,
        )
        for r in rows
    }
    assert len(found) == len(rows)
    return found


def newest(world, *topics: str) -> int:
    return max(a.time for m, a in world.sent if m.topic in {world.given[t] for t in topics})


def short(length: int) -> str:
    return f"{length // 3_600_000}h" if length % 3_600_000 == 0 else f"{length // 1000}s"


def windows_of(events: dict, length: int, slide: int, watermark: int) -> dict[tuple, list]:
    """(key, start) -> its events, of the windows that end at or before the watermark."""
    found: dict[tuple, list] = defaultdict(list)
    for key, held in events.items():
        for event in held:
            start = event[0] // slide * slide
            while start > event[0] - length:
                if start + length <= watermark:
                    found[key, start].append(event)
                start -= slide
    return found


def sessions_of(world, watermark: int) -> dict[tuple, tuple]:
    """(user, start) -> end, seconds, events, amount, shops: every user's events, cut where a pause is longer than the gap."""
    by_user: dict[str, list] = defaultdict(list)
    for _, about in world.sent:
        if about.values["user_id"] is not None:
            by_user[about.values["user_id"]].append((about.time, about.values))
    found = {}
    for user, events in by_user.items():
        run: list = []
        for event in [*sorted(events, key=lambda e: e[0]), None]:
            if run and (event is None or event[0] - run[-1][0] > GAP):
                start, end = run[0][0], run[-1][0]
                amounts = [v.get("amount") for _, v in run]
                total = sum(a for a in amounts if a is not None and a == a)
                shops = {v["shop_id"] for _, v in run if v.get("shop_id") is not None}
                if end + GAP <= watermark:
                    found[user, start] = (end, (end - start) / 1000, len(run), total, len(shops))
                run = []
            if event is not None:
                run.append(event)
    return found


def test_shipped_sessions(tmp_path: Path, redis_server: str, spark) -> None:
    """Of users over claims and transactions, of cards over transactions."""
    from feast_repos import ROOT, applied

    from streaming import definitions
    from streaming.definitions import sessions

    repo = applied(ROOT / "feature_repo", tmp_path / "repo", redis_server)
    found = {one.entity: one for one in sessions.load(repo, definitions.load(repo, None, spark))}
    assert found.keys() == {"user", "card"}
    assert [part.source for part in found["user"].parts] == ["claims_stream", "transactions_stream"]
    assert found["user"].distinct == ("merchant_id",)
    assert found["card"].gap == timedelta(minutes=30) // timedelta(milliseconds=1)
