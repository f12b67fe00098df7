"""How fast the online lane works off a backlog, beside Spark's own windows written by Feast."""

from __future__ import annotations

from collections import Counter
from typing import Any

from benchmarks import peer
from benchmarks.world import World, task_seconds, world
from streaming.errors import TidemarkError

TRANSACTIONS = {"transactions": 1.0}
MIX = {"transactions": 0.4, "claims": 0.35, "iot": 0.25}
VIEWS = "user_transactions,card_transactions,merchant_transactions"
USER = "user_transactions"


def run(
    events: int = 3_000_000,
    history: int = 1_000_000,
    *,
    mix: bool = False,
    user_alone: bool = False,
    updates: bool = False,
    peer_events: int = 20_000,
) -> dict[str, Any]:
    """Drain `events` of live backlog into rings that already hold `history` events of the past 7 days.

    Transactions go through their three views, deduplicated; `user_alone` through the users' view without
    deduplication; with `mix`, all streams go through all views. With `history` 0 the rings are empty at the
    start, and the result says so. Rates are events a second over the whole run, start-up included, and over
    the batches after the second (`warm`). Raises TidemarkError.
    """
    if mix and user_alone:
        raise TidemarkError("--mix is all views, --user-alone is one of them: choose one")
    with world(deduplicate=not user_alone) as place:
        shares = MIX if mix else TRANSACTIONS
        options = ["--updates" if updates else "--no-updates"]
        if not mix:
            options += ["--views", USER if user_alone else VIEWS]
        result: dict[str, Any] = {
            "events": events,
            "history": history,
            "rings": "prefilled" if history else "EMPTY",
            "deduplicated": not user_alone,
        }
        if history:
            place.prefill(history, shares, *options)
            measured = [USER] if user_alone else [USER, "merchant_transactions"]
            result["ring_bytes"] = {view: place.ring_bytes(view) for view in measured}
        result["produced"] = place.produce(events, shares)["events_per_second"]
        lines = place.drain("lane", *options)
        result |= summary(lines)
        result["redis_bytes"] = place.redis_memory()
        if peer_events and not mix:
            result["peer"] = _beside(place, result["whole"], peer_events)
        return result


def summary(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Rates, and where the time of the warm batches went (seconds, summed over the tasks of a batch)."""
    read = sum(line["read"] for line in lines)
    warm = [line for line in lines[2:] if line["read"] > 10_000] or lines
    seconds = sum(line["seconds"]["spark triggerExecution"] for line in warm)
    stages = sum((task_seconds(line) for line in warm), Counter[str]())
    return {
        "read": read,
        "whole": read / lines[-1]["wall"],
        "warm": sum(line["read"] for line in warm) / seconds,
        "warm_seconds": seconds,
        "memory": lines[-1]["memory"],
        "stages": {stage: round(spent, 2) for stage, spent in stages.items()},
        "unaccounted": sum(abs(view["unaccounted"]) for line in lines for view in line["views"].values()),
    }


def _beside(place: World, rate: float, events: int) -> dict[str, Any]:
    theirs = peer.run(place.endpoints, place.place.dir / "peer", events)
    return {**theirs, "ratio": rate / theirs["whole"]}
