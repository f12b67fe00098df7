"""Every metric of the HTTP API, with Prometheus names."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.3, 1, 3, 10)

REQUESTS = Counter("tidemark_api_requests_total", "Requests answered", ["route", "method", "status"])
SECONDS = Histogram("tidemark_api_seconds", "Time to answer a request", ["route"], buckets=BUCKETS)
ENTITIES = Counter("tidemark_api_entities_total", "Entities whose features were read", [])
SCORED = Counter("tidemark_api_scored_total", "Events scored for callers", ["source"])
STREAMS = Gauge("tidemark_api_streams", "Open streams of alerts", [])
FOLLOWED = Counter("tidemark_api_followed_total", "Messages taken from topics", ["topic"])
UNREADABLE = Counter("tidemark_api_unreadable_total", "Messages of topics that are no JSON object", ["topic"])
