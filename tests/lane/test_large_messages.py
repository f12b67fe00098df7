"""How much a task is handed at once follows from how large a message may be."""

from collections.abc import Callable
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
    apart = spark.newSession()
    session.hand_over(apart, largest)
    assert int(apart.conf.get(session.ARROW_ROWS)) == rows
