"""How fast the online lane works off a backlog, beside Spark's own windows written by Feast."""

from __future__ import annotations

from collections import Counter
from typing import Any

from benchmarks import peer
from benchmarks.world import World, task_seconds, world

TRANSACTIONS = {"transactions": 1.0}
MIX = {"transactions": 0.4, "claims": 0.35, "iot": 0.25}
VIEWS = "user_transactions,card_transactions,merchant_transactions"


def run(
    events: int = 3_000_000,
    history: int = 1_000_000,
    *,
    mix: bool = False,
    updates: bool = False,
    peer_events: int = 20_000,
) -> dict[str, Any]:
    """Drain `events` of live backlog into rings that already hold `history` events of the past 7 days.

    With `history` 0 the rings are empty at the start, and the result says so. Rates are events a
    second over the whole run, start-up included, and over the batches after the second (`warm`).
    """
    with world() as place:
        shares = MIX if mix else TRANSACTIONS
        options = ["--updates" if updates else "--no-updates"]
        if not mix:
            options += ["--views", VIEWS]
        result: dict[str, Any] = {
            "events": events,
            "history": history,
            "rings": "prefilled" if history else "EMPTY",
        }
        if history:
            place.prefill(history, shares, *options)
            result["ring_bytes"] = {
                v: place.ring_bytes(v) for v in ("user_transactions", "merchant_transactions")
            }
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
