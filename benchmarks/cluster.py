"""The online lane's throughput on a standalone cluster of this machine, beside local mode."""

from __future__ import annotations

from typing import Any

from benchmarks.drain import TRANSACTIONS, VIEWS, summary
from benchmarks.standalone import standalone
from benchmarks.world import world


def run(events: int = 1_000_000, history: int = 300_000, workers: int = 2) -> dict[str, Any]:
    """Drain `events` in local mode, then as many more on a master and `workers` of one core each.

    Both go on from one checkpoint, into the same rings. Rates are as those of `drain`; `ratios` are the
    cluster's over local mode's.
    """
    options = ["--no-updates", "--views", VIEWS, "--partitions", str(workers)]
    with world() as place:
        place.prefill(history, TRANSACTIONS, *options)
        place.produce(events, TRANSACTIONS)
        local = summary(place.drain("lane", *options, "--master", f"local[{workers}]"))
        place.produce(events, TRANSACTIONS, seed=3)
        with standalone(place.place.dir / "cluster", workers) as machines:
            cluster = summary(place.drain("lane", *options, "--master", machines.url))
    return {
        "events": events,
        "workers": workers,
        "local": local,
        "cluster": cluster,
        "ratios": {name: cluster[name] / local[name] for name in ("whole", "warm")},
    }
