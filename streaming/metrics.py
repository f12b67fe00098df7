"""Every metric of the lanes, declared once, with Prometheus names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    start_http_server,
)

SECONDS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30, 60)

EVENTS = Counter("tidemark_events_total", "Messages by what became of them", ["view", "outcome"])
LATE = Counter("tidemark_late_events_total", "Events behind their source's watermark, used or not", ["view"])
NOT_FINITE = Counter("tidemark_not_finite_total", "NaN and infinite values taken as null", ["view"])
QUARANTINED = Counter(
    "tidemark_quarantined_total", "Messages sent to the dead-letter topic", ["source", "reason"]
)
ENTITIES = Counter("tidemark_entities_written_total", "Rings written", ["view"])
BYTES = Counter("tidemark_redis_bytes_total", "Ring bytes exchanged with Redis", ["view", "direction"])
BATCHES = Counter("tidemark_batches_total", "Batches finished", [])
BATCH_SECONDS = Histogram("tidemark_batch_seconds", "Time of a batch by stage", ["stage"], buckets=SECONDS)
FRESHNESS = Gauge("tidemark_freshness_seconds", "Now less the newest event time readable", ["view"])
WATERMARK = Gauge("tidemark_watermark_seconds", "Event-time watermark, seconds since the epoch", ["source"])
LAG = Gauge("tidemark_lag_messages", "Messages in Kafka that no batch has taken yet", [])
UNACCOUNTED = Counter(
    "tidemark_unaccounted_total", "Messages whose counts did not add up; must stay 0", ["view"]
)
REPAIRS = Counter("tidemark_repaired_batches_total", "Batches run again because Redis had lost them", [])
RESTARTS = Counter("tidemark_restarts_total", "Restarts after an outage", ["cause"])

HISTORY = Counter(
    "tidemark_history_messages_total",
    "Messages of the history lane by what became of them",
    ["source", "outcome"],
)
HISTORY_ROWS = Counter("tidemark_history_rows_total", "Rows written to tables and sinks", ["flow"])
HISTORY_DROPPED = Counter(
    "tidemark_history_dropped_total", "Groups behind the watermark that entered no final window", ["flow"]
)
HISTORY_SECONDS = Histogram(
    "tidemark_history_batch_seconds", "Time of a batch by flow", ["flow"], buckets=SECONDS
)
HISTORY_UNACCOUNTED = Counter(
    "tidemark_history_unaccounted_total", "Messages whose counts did not add up; must stay 0", ["flow"]
)

HEARTBEAT = Histogram(
    "tidemark_heartbeat_seconds",
    "From an event of a heartbeat entity to its being read through Feast",
    ["view"],
    buckets=SECONDS,
)
HEARTBEATS_LOST = Counter("tidemark_heartbeats_lost_total", "Heartbeats that were not read in time", ["view"])

PARITY_COMPARED = Gauge(
    "tidemark_parity_compared_values", "Values that the last parity run compared", ["view"]
)
PARITY_UNEQUAL = Gauge("tidemark_parity_unequal_values", "Of these, values that differ; must be 0", ["view"])
PARITY_RUN = Gauge("tidemark_parity_last_run_timestamp_seconds", "When the last parity run was", [])
REBUILD_RUN = Gauge("tidemark_rebuild_last_run_timestamp_seconds", "When the rings were last rebuilt", [])
REBUILD_EVENTS = Gauge("tidemark_rebuild_events", "Events that the last rebuild read", [])
REBUILD_SECONDS = Gauge("tidemark_rebuild_seconds", "How long the last rebuild took", [])

PROCESS_CPU = Counter("tidemark_process_cpu_seconds_total", "Processor time by kind of process", ["process"])
PROCESS_MEMORY = Gauge("tidemark_process_memory_bytes", "Resident memory by kind of process", ["process"])
PROCESS_DISK = Counter(
    "tidemark_process_disk_bytes_total", "Bytes read from and written to disks", ["process", "direction"]
)
DISK_FREE = Gauge("tidemark_disk_free_bytes", "Room left where a folder is", ["folder"])
DISK_USED = Gauge("tidemark_disk_used_bytes", "Size of a folder", ["folder"])

MILLISECONDS = (0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1, 5, 30, 300)
SCORED = Counter("tidemark_scored_total", "Events scored", ["service", "exactness"])
SCORING = Counter(
    "tidemark_scoring_messages_total",
    "Messages of the scoring lane by what became of them",
    ["source", "outcome"],
)
SCORING_LATE = Counter(
    "tidemark_scoring_late_total", "Events scored behind their source's watermark", ["source"]
)
SCORE_LATENCY = Histogram(
    "tidemark_score_latency_seconds",
    "From Kafka's taking an event to its taking the score",
    buckets=MILLISECONDS,
)
ALERTS = Counter("tidemark_alerts_total", "Alerts sent, or left out for the pause", ["service", "outcome"])
SCORING_HELD = Gauge("tidemark_scoring_held_entities", "Entities whose rings are held", ["view"])
SCORING_LAG = Gauge("tidemark_scoring_lag_messages", "Messages in Kafka that are not scored yet", [])

OUTCOMES = ("used", "filtered", "no_key", "too_late", "duplicate", "quarantined")


class Refreshed(CollectorRegistry):
    """The process's registry, after `refresh` has brought what it measures only when asked up to date."""

    def __init__(self, refresh: Callable[[], None]) -> None:
        super().__init__()
        self._refresh = refresh

    def collect(self) -> Iterator[Metric]:
        """Every metric, now."""
        self._refresh()
        yield from REGISTRY.collect()


def serve(port: int, refresh: Callable[[], None] | None = None) -> None:
    """Answer Prometheus on this port, each time after a call of `refresh`."""
    start_http_server(port, registry=Refreshed(refresh) if refresh else REGISTRY)


def observe(line: Mapping[str, Any]) -> None:
    """Count one batch's log line; see `streaming.lanes.report`."""
    if line["repair"]:
        REPAIRS.inc()
        return
    BATCHES.inc()
    if line["lag"] is not None:
        LAG.set(line["lag"])
    for stage, seconds in line["seconds"].items():
        BATCH_SECONDS.labels(stage).observe(seconds)
    for name, milliseconds in line["watermarks"].items():
        WATERMARK.labels(name).set(milliseconds / 1000)
    for source, reasons in line["quarantined"].items():
        for reason, count in reasons.items():
            QUARANTINED.labels(source, reason).inc(count)
    for name, view in line["views"].items():
        for outcome in OUTCOMES:
            EVENTS.labels(name, outcome).inc(view[outcome])
        LATE.labels(name).inc(view["late"])
        NOT_FINITE.labels(name).inc(view["not_finite"])
        ENTITIES.labels(name).inc(view["entities"])
        BYTES.labels(name, "read").inc(view["bytes_read"])
        BYTES.labels(name, "written").inc(view["bytes_written"])
        UNACCOUNTED.labels(name).inc(abs(view["unaccounted"]))
        if view["freshness"] is not None:
            FRESHNESS.labels(name).set(view["freshness"])


def observe_history(line: Mapping[str, Any]) -> None:
    """Count one batch of a flow; see `streaming.lanes.history`."""
    flow = line["flow"]
    HISTORY_SECONDS.labels(flow).observe(line["seconds"])
    HISTORY_ROWS.labels(flow).inc(sum(line["written"].values()))
    if "read" not in line:
        HISTORY_DROPPED.labels(flow).inc(line["dropped"])
        return
    for source, rows in line["written"].items():
        HISTORY.labels(source, "written").inc(rows)
    for source, reasons in line["quarantined"].items():
        HISTORY.labels(source, "quarantined").inc(sum(reasons.values()))
    HISTORY.labels("", "duplicate").inc(line["duplicates"])
    HISTORY_UNACCOUNTED.labels(flow).inc(abs(line["unaccounted"]))
