"""The read benchmark runs, and its tiled views answer with as many features as Feast's own."""

from __future__ import annotations

from benchmarks import online_read


def test_it_measures_every_view_at_every_size(redis_store):
    result = online_read.run(sizes=(1, 4), seconds=0.2, redis=redis_store.connection, entities=20)
    assert set(result["reads"]) == {1, 4}
    for row in result["reads"].values():
        assert set(row) == {"rounds", "feast", *online_read.VIEWS}
        assert row["rounds"] >= 20
        assert all(row[name]["p99_ms"] >= row[name]["p50_ms"] > 0 for name in ("feast", *online_read.VIEWS))
        assert row["feast"]["p50_ratio"] == 1
    tiles = {name: ring["tiles"] for name, ring in result["rings"].items()}
    assert tiles["few tiles"] < 7 < 80 < tiles["many tiles"]
