"""Kafka -> parsed, then admitted or quarantined, all in JVM expressions.

Every message leaves with a reason code: 0 is admitted, anything else is quarantined. The source's
own columns are in one struct column per source (`source_0`, `source_1`, ...), null for messages of
other topics, so that several topics can share one query and are still parsed once.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructType

from streaming.plan import Source

EMPTY, MALFORMED, NO_TIME, NO_ID, FUTURE, MISSING = 1, 2, 3, 4, 5, 100
"""Reason codes; MISSING + i says that required column i is null."""

CORRUPT = "_corrupt_record"


def reason(source: Source, code: int) -> str:
    """The text of a reason code, as it is written to the dead-letter topic."""
    if code >= MISSING:
        return f"required column {source.required[code - MISSING]} is null"
    return {
        EMPTY: "empty message",
        MALFORMED: f"not a {source.format} message of this source's schema",
        NO_TIME: f"no event time in {source.timestamp_field}",
        NO_ID: f"no event id in {source.event_id}",
        FUTURE: f"event time more than {source.max_future_skew} ms ahead of the broker's clock",
    }[code]


def struct_type(source: Source) -> StructType:
    """The source's columns as Spark parses them."""
    return StructType.fromJson(json.loads(source.schema))


def admit(raw: DataFrame, sources: Sequence[Source]) -> DataFrame:
    """Parse Kafka rows (topic, partition, offset, timestamp, value) of all `sources`.

    Returns `_source` (index), `_partition`, `_offset`, `_value`, `_code` (reason, 0 = admitted),
    `_event_id` (unique per message where a source is not deduplicated) and `source_<i>` structs.
    """
    of_topic = F.col("topic")
    number = F.lit(None).cast("int")
    for i, source in reversed(list(enumerate(sources))):
        number = F.when(of_topic == source.topic, F.lit(i)).otherwise(number)
    parsed = raw.select(
        number.alias("_source"),
        F.col("partition").alias("_partition"),
        F.col("offset").alias("_offset"),
        F.col("timestamp").alias("_arrived"),
        F.col("value").alias("_value"),
        *[_parse(source).alias(f"source_{i}") for i, source in enumerate(sources)],
    )
    code, event_id = F.lit(None).cast("int"), F.lit(None).cast("string")
    for i, source in enumerate(sources):
        mine = F.col("_source") == i
        code = F.when(mine, _code(i, source)).otherwise(code)
        event_id = F.when(mine, _event_id(i, source)).otherwise(event_id)
    unique = F.concat_ws("/", F.col("_partition"), F.col("_offset"))
    return parsed.withColumns({"_code": code, "_event_id": event_id}).withColumn(
        # A message that is not an event, or not deduplicated, must not be taken for another's copy.
        "_event_id",
        F.when((F.col("_code") == 0) & F.col("_event_id").isNotNull(), F.col("_event_id")).otherwise(unique),
    )


def _parse(source: Source) -> Column:
    mine = F.col("topic") == source.topic
    if source.format == "avro":
        from pyspark.sql.avro.functions import from_avro

        parsed = from_avro(F.col("value"), source.avro_schema, {"mode": "PERMISSIVE"})
        return F.when(mine & F.col("value").isNotNull(), parsed)
    schema = struct_type(source).add(CORRUPT, StringType())
    options = {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": CORRUPT}
    return F.when(mine, F.from_json(F.col("value").cast("string"), schema, options))


def _code(i: int, source: Source) -> Column:
    record = F.col(f"source_{i}")
    time = record[source.timestamp_field]
    malformed = record.isNull()
    if source.format == "json":
        malformed = malformed | record[CORRUPT].isNotNull()
    skew = F.expr(f"INTERVAL {source.max_future_skew} MILLISECOND") if source.max_future_skew % 1000 else None
    limit = F.col("_arrived") + (
        skew if skew is not None else F.expr(f"INTERVAL {source.max_future_skew // 1000} SECOND")
    )
    code = (
        F.when(F.col("_value").isNull() | (F.octet_length("_value") == 0), EMPTY)
        .when(malformed, MALFORMED)
        .when(time.isNull(), NO_TIME)
    )
    if source.event_id:
        code = code.when(record[source.event_id].isNull(), NO_ID)
    code = code.when(time > limit, FUTURE)
    for n, column in enumerate(source.required):
        code = code.when(record[column].isNull(), MISSING + n)
    return code.otherwise(0)


def _event_id(i: int, source: Source) -> Column:
    if not source.event_id or not source.deduplicate:
        return F.lit(None).cast("string")
    return F.col(f"source_{i}")[source.event_id].cast("string")
