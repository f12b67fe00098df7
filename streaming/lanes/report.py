"""What a batch did, as one line: for the log, the metrics and whoever watches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from streaming import source as admission
from streaming.checkpoint import Offsets
from streaming.lanes.batch import BatchResult
from streaming.merger import Outcome
from streaming.plan import Plan


def line(result: BatchResult, plan: Plan, progress: Mapping[str, Any], now: float) -> dict[str, Any]:
    """The batch as plain values.

    A view's `unaccounted` is what Kafka had for it less every outcome that was counted: 0, or a message
    vanished.
    """
    read, report = result.entry.read(), result.report
    quarantined = {
        source.name: {
            admission.reason(source, int(code)): count
            for code, count in report.quarantined.get(source.name, {}).items()
        }
        for source in plan.sources
    }
    views = {}
    for view in plan.views:
        topic = next(s.topic for s in plan.sources if s.name == view.source)
        outcome = report.views.get(view.name, Outcome())
        events = {
            "used": outcome.used,
            "filtered": outcome.filtered,
            "no_key": outcome.no_key,
            "too_late": outcome.too_late,
            "duplicate": outcome.duplicate,
            "quarantined": sum(quarantined[view.source].values()),
        }
        views[view.name] = {
            "read": read.get(topic, 0),
            **events,
            "late": outcome.late,
            "not_finite": outcome.not_finite,
            "entities": outcome.entities,
            "replayed": outcome.replayed,
            "folded": outcome.folded,
            "bytes_read": outcome.bytes_read,
            "bytes_written": outcome.bytes_written,
            "unaccounted": read.get(topic, 0) - sum(events.values()),
            "freshness": round(now - outcome.newest / 1000, 3) if outcome.newest else None,
            "seconds": {stage: round(s, 4) for stage, s in outcome.seconds.items()},
        }
    durations = {f"spark {k}": v / 1000 for k, v in (progress.get("durationMs") or {}).items()}
    return {
        "batch": result.entry.batch,
        "repair": result.repair,
        "read": sum(read.values()),
        "duplicates": result.duplicates,
        "rows": report.rows,
        "lag": _lag(progress),
        "watermarks": result.entry.watermarks,
        "quarantined": {name: reasons for name, reasons in quarantined.items() if reasons},
        "seconds": {stage: round(s, 4) for stage, s in (result.seconds | durations).items()},
        "views": views,
    }


def _lag(progress: Mapping[str, Any]) -> int | None:
    """Messages that were in Kafka when the batch was cut and are in no batch yet; None when Spark did not ask, as for a batch that is run again."""
    behind = 0
    for source in progress.get("sources") or ():
        latest, end = (_offsets(source[name]) for name in ("latestOffset", "endOffset"))
        if latest is None or end is None:
            return None
        behind += sum(
            last - end.get(topic, {}).get(partition, 0)
            for topic, partitions in latest.items()
            for partition, last in partitions.items()
        )
    return behind if progress.get("sources") else None


def _offsets(text: str | None) -> Offsets | None:
    return msgspec.json.decode(text, type=Offsets) if text and text != "null" else None
