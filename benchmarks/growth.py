"""What grows when entities do: the same events of the same engine, over more users, merchants and devices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from benchmarks.drain import MIX, summary
from benchmarks.world import HOT, world
from generators.population import Population

VIEWS = ("user_transactions", "card_transactions", "device_telemetry")


def run(events: int = 600_000, history: int = 1_000_000, factors: Sequence[int] = (1, 10)) -> dict[str, Any]:
    """By factor over the usual population: rates, entities, Redis, traffic to Redis, memory; and last over first."""
    results = {}
    for factor in factors:
        results[factor] = _one(events, history, _population(factor))
    first, last = results[factors[0]], results[factors[-1]]
    names = (
        "entities",
        "redis_bytes",
        "redis_bytes_an_entity",
        "rings_an_event",
        "moved_bytes_an_event",
        "warm",
    )
    return {
        "events": events,
        "history": history,
        "by_factor": results,
        "ratios": {name: last[name] / first[name] for name in names}
        | {f"memory {name}": last["memory"][name] / size for name, size in first["memory"].items()},
    }


def _population(factor: int) -> Population:
    sizes = {name: getattr(HOT, name) * factor for name in ("users", "merchants", "providers", "devices")}
    return replace(HOT, **sizes)


def _one(events: int, history: int, population: Population) -> dict[str, Any]:
    with world() as place:
        place.prefill(history, MIX, "--no-updates", population=population)
        place.produce(events, MIX, population=population)
        lines = place.drain("lane", "--no-updates")
        views = [view for line in lines for view in line["views"].values()]
        moved = sum(view["bytes_read"] + view["bytes_written"] for view in views)
        entities, size = int(place.client().dbsize()), place.redis_memory()
        found = summary(lines)
        return {
            **{name: found[name] for name in ("read", "whole", "warm", "memory", "unaccounted")},
            "entities": entities,
            "redis_bytes": size,
            "redis_bytes_an_entity": size / entities,
            "rings_an_event": sum(view["entities"] for view in views) / found["read"],
            "moved_bytes_an_event": moved / found["read"],
            "ring_bytes": {view: place.ring_bytes(view) for view in VIEWS},
        }
