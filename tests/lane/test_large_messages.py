"""How much a task is handed at once follows from how large a message may be."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource

from streaming import session
from streaming.lanes import topics
from tidemark.broker import admin


def test_the_largest_message_is_what_the_topics_say(kafka: str, topic: Callable[..., str]) -> None:
    usual, large = topic(), topic()
    entry = ConfigEntry(topics.LIMIT, "5000000", incremental_operation=AlterConfigOpType.SET)
    held = admin(kafka)
    change = ConfigResource(ConfigResource.Type.TOPIC, large, incremental_configs=[entry])
    held.incremental_alter_configs([change])[change].result(30)
    assert topics.LARGEST <= topics.largest(kafka, [usual]) < 5_000_000
    assert topics.largest(kafka, [usual, large]) == 5_000_000
    assert topics.largest(kafka, ["no-such-topic"]) == topics.LARGEST


@pytest.mark.parametrize(("largest", "rows"), [(1_048_588, 1000), (5_000_000, 214), (2**31, 1)])
def test_what_is_handed_over_fits_arrow(spark: Any, largest: int, rows: int) -> None:
    before = _bounds(spark)
    with session.bounded_by_rows(spark, largest):
        assert _bounds(spark) == [str(rows), str(2**31 - 1)]
    assert _bounds(spark) == before


def test_a_query_keeps_the_bounds_it_was_started_with(spark: Any, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "one.txt").write_text("one")
    seen: list[list[str]] = []
    frame = spark.readStream.text(str(tmp_path / "in"))
    writer = frame.writeStream.foreachBatch(lambda batch, _: seen.append(_bounds(batch.sparkSession)))
    writer = writer.option("checkpointLocation", str(tmp_path / "checkpoint")).trigger(availableNow=True)
    with session.bounded_by_rows(spark, 1_048_588):
        query = writer.start()
    query.awaitTermination(60)
    assert seen == [["1000", str(2**31 - 1)]]


def _bounds(spark: Any) -> list[str]:
    return [spark.conf.get(name) for name in session.BOUNDS]
