"""How many rings one core merges a second: decode, merge with a batch's partials, encode.

    python -m benchmarks.rings

The view has 5 windows (1 min to 7 d) of 6 statistics of one column, and optionally a distinct count.
Rings hold about 4 or about 100 tiles an entity before the merge; every entity gets 2 new tiles.
`head` is what a batch does (the tail is neither read nor written), `whole` reads and writes both, as
a fold does; `features` adds the evaluation of all 30 features and therefore reads the tail.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from streaming import tiles as tiling
from streaming.aggregates import aggregate
from streaming.parts import Values, order_key
from streaming.plan import Feature, Slot, View, Window
from streaming.ring import Headers, Offsets, RingCodec
from streaming.tiles import Evaluator, Tiles

SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
WINDOWS = (
    Window(MINUTE, 5 * SECOND),
    Window(5 * MINUTE, 5 * SECOND),
    Window(HOUR, MINUTE),
    Window(DAY, 15 * MINUTE),
    Window(7 * DAY, HOUR),
)
STATISTICS = ("count", "sum", "mean", "std", "min", "max")
NOW = 1_790_000_000_000
AGES = {4: 2 * MINUTE, 100: 7 * DAY}
"""How far back the events of a ring reach, by the number of its tiles."""


def make_view(distinct: bool) -> View:
    functions = (*STATISTICS, "count_distinct") if distinct else STATISTICS
    features = tuple(
        Feature(f"amount_{name}_{window.length}", name, "amount", window, "DOUBLE")
        for window in WINDOWS
        for name in functions
    )
    slots: list[Slot] = []
    for name in functions:
        slots += [slot for slot in aggregate(name).slots("amount", "f64") if slot not in slots]
    return View("user", "user", "bench", "payments", (("user_id", "STRING"),), features, tuple(slots))


def make_events(view: View, entities: int, each: int, age: int, rng: np.random.Generator) -> Tiles:
    """`each` events an entity, half of them in the last hour, as unmerged tiles."""
    entity = np.repeat(np.arange(entities), each)
    rows = len(entity)
    recent = rng.random(rows) < 0.5
    time_ms = NOW - np.where(recent, rng.integers(0, min(age, HOUR), rows), rng.integers(0, age, rows))
    zeros = np.zeros(rows, np.int64)
    values = Values(rng.gamma(2.0, 40.0, rows).round(2), np.ones(rows, bool))
    hashes = rng.integers(0, 2**64, rows, dtype=np.uint64)
    return tiling.lift(
        view, entity, time_ms, order_key(zeros, zeros, zeros), {"amount": values}, {"amount": hashes}
    )


def measure(step: Callable[[], object], rings: int, seconds: float) -> float:
    """Rings per second of processor time, of the best of several runs that take about `seconds` in all."""
    step()
    best, end = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        begin = time.process_time()
        step()
        best = max(best, rings / (time.process_time() - begin))
    return best


def run(entities: int = 20_000, seconds: float = 1.5, seed: int = 1) -> dict[str, dict[str, float]]:
    """Rings per second and bytes, by kind of ring; and microseconds to evaluate one entity."""
    report = {}
    for distinct in (False, True):
        for tiles, age in AGES.items():
            rings = entities if tiles == 4 else max(entities // 10, 1)
            name = f"{tiles} tiles" + (" + distinct" if distinct else "")
            report[name] = _rings(
                make_view(distinct), rings, tiles, age, seconds, np.random.default_rng(seed)
            )
    return report


def _rings(
    view: View, rings: int, tiles: int, age: int, seconds: float, rng: np.random.Generator
) -> dict[str, float]:
    codec, evaluator = RingCodec(view), Evaluator(view)
    newest = np.full(rings, NOW)
    everything = np.ones(rings, bool)
    old = tiling.merge(view, [make_events(view, rings, tiles, age, rng)], newest)
    head, tail = tiling.split(view, old, newest, tiling.fold(view, old, newest))
    heads, tails = codec.encode_tiles(head, rings), codec.encode_tiles(tail, rings)
    one = np.arange(rings)
    offsets = Offsets(one, np.zeros(rings, np.int64), one)
    stamp = np.ones(rings, np.int64)
    schema = np.full(rings, view.schema_id)
    headers = codec.encode_headers(
        Headers(everything, stamp, stamp.astype(np.uint64), stamp, schema, newest, offsets)
    )
    fresh = make_events(view, rings, 2, 30 * SECOND, rng)

    def step(whole: bool, features: bool) -> None:
        known = codec.decode_headers(headers)
        held = [codec.decode_tiles(known, heads), fresh]
        late = codec.decode_tiles(known, tails) if whole or features else None
        merged = tiling.merge(view, [*held, late] if whole and late else held, newest)
        folded = everything if whole else tiling.fold(view, merged, newest)
        young, aged = tiling.split(view, merged, newest, folded)
        codec.encode_headers(known)
        codec.encode_tiles(young, rings)
        if whole:
            codec.encode_tiles(aged, rings)
        if features and late:
            evaluator(merged if whole else tiling.concat(view.slots, [merged, late]), newest)

    single = codec.decode_headers(headers[:1])
    both = tiling.concat(
        view.slots, [codec.decode_tiles(single, heads[:1]), codec.decode_tiles(single, tails[:1])]
    )
    moment = newest[:1]

    def read() -> None:
        for _ in range(100):
            evaluator(both, moment)

    return {
        "tiles": len(old) / rings,
        "bytes": (sum(map(len, headers)) + sum(map(len, heads)) + sum(map(len, tails))) / rings,
        "head": measure(lambda: step(False, False), rings, seconds),
        "head, features": measure(lambda: step(False, True), rings, seconds),
        "whole": measure(lambda: step(True, False), rings, seconds),
        "whole, features": measure(lambda: step(True, True), rings, seconds),
        "evaluate one, us": 1e6 / measure(read, 100, seconds / 3),
    }


def main() -> None:
    report = run()
    names = list(next(iter(report.values())))
    print(f"{'rings/s':22}" + "".join(f"{name:>18}" for name in names))
    for kind, figures in report.items():
        print(f"{kind:22}" + "".join(f"{figures[name]:18,.0f}" for name in names))


if __name__ == "__main__":
    main()
