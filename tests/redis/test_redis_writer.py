"""The benchmark of the writer measures what it says, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

from redis_server import server

from benchmarks.redis_writer import KINDS, LISTED, LOG, report, run


def test_the_benchmark_compares_equal_bytes(tmp_path: Path) -> None:
    with server(tmp_path) as redis:
        before = [redis.client().config_get(name) for name in (LISTED, LOG)]
        result = run(redis.connection, rows=1000, feast_rows=200, rounds=1)
        assert redis.client().dbsize() == 0
        assert [redis.client().config_get(name) for name in (LISTED, LOG)] == before
    for features in (result[name] for name in KINDS):
        assert features["byte_equal"] is True
        assert features["compared"] == 200
        assert features["update"]["per_second"] > features["feast"]["per_second"]
    assert result["features"]["bytes"] > result["features_listed"]["bytes"]
    assert result["rings_1k"]["fenced"]["per_second"] > 0
    assert "x Feast" in report(result)
