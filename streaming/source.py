"""Kafka -> parsed, then admitted or quarantined, all in JVM expressions.

Every message leaves with a reason code: 0 is admitted, anything else is quarantined. The source's
own columns are in one struct column per source (`source_0`, `source_1`, ...), null for messages of
other topics, so that several topics share one query.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, StringType, StructType

from streaming import json_reader
from streaming.plan import Source

EMPTY, MALFORMED, NO_TIME, NO_ID, FUTURE, MISSING = 1, 2, 3, 4, 5, 100
"""Reason codes; MISSING + i says that required column i is null."""

CORRUPT, CLOSED = "_corrupt_record", "_closed"


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

    Returns `_source` (index), `_partition`, `_offset`, `_arrived` (Kafka's timestamp), `_value`, `_code`
    (reason, 0 = admitted), `_event_id` (null where a message is not deduplicated) and `source_<i>` structs.
    """
    number = F.lit(None).cast("int")
    for i, source in reversed(list(enumerate(sources))):
        number = F.when(F.col("topic") == source.topic, F.lit(i)).otherwise(number)
    parsed = raw.select(
        number.alias("_source"),
        F.col("partition").alias("_partition"),
        F.col("offset").alias("_offset"),
        F.col("timestamp").alias("_arrived"),
        F.col("value").alias("_value"),
        *[_parse(raw.sparkSession, i, source) for i, source in enumerate(sources)],
    )
    code, event_id = F.lit(None).cast("int"), F.lit(None).cast("string")
    for i, source in reversed(list(enumerate(sources))):
        mine = F.col("_source") == i
        code = F.when(mine, _code(i, source)).otherwise(code)
        if source.event_id and source.deduplicate:
            event_id = F.when(mine, F.col(f"source_{i}")[source.event_id].cast("string")).otherwise(event_id)
    return parsed.select(
        "_source",
        "_partition",
        "_offset",
        "_arrived",
        "_value",
        code.alias("_code"),
        event_id.alias("_event_id"),
        *[f"source_{i}" for i in range(len(sources))],
    )


def _parse(spark: SparkSession, i: int, source: Source) -> Column:
    """The struct of a message of this source; null for another topic's, and where it is none."""
    if source.format == "avro":
        from pyspark.sql.avro.functions import from_avro

        parsed = F.when(
            F.col("value").isNotNull(), from_avro(F.col("value"), source.avro_schema, {"mode": "PERMISSIVE"})
        )
    else:
        schema = struct_type(source)
        parsed, usual = _json(schema), json_reader.fast(spark, "value", schema)
        parsed = parsed if usual is None else F.coalesce(usual, parsed)
    return F.when(F.col("topic") == source.topic, parsed).alias(f"source_{i}")


def _json(schema: StructType) -> Column:
    """A JSON text, which must be one value: text behind it makes the whole malformed, which `from_json` would pass
    over in silence.

    It is parsed as the first field of an object that is closed by another one, and counted as the only element of
    an array. Text that continues the one does not continue the other: a name and a colon, or another element.
    """
    value = F.col("value").cast("string")
    alone = F.size(F.from_json(F.concat(F.lit("["), value, F.lit("]")), "array<string>")) == 1
    wrapped = StructType().add("record", schema).add(CLOSED, BooleanType()).add(CORRUPT, StringType())
    text = F.concat(F.lit('{"record":'), value, F.lit(f',"{CLOSED}":true}}'))
    parsed = F.from_json(text, wrapped, {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": CORRUPT})
    # A lambda's variable is parsed once, however often it is named.
    whole = F.transform(
        F.array(parsed), lambda m: F.when(m[CORRUPT].isNull() & m[CLOSED].isNotNull() & alone, m["record"])
    )
    return whole[0]


def _code(i: int, source: Source) -> Column:
    record = F.col(f"source_{i}")
    time = record[source.timestamp_field]
    skew = F.expr(f"INTERVAL {source.max_future_skew} MILLISECOND") if source.max_future_skew % 1000 else None
    limit = F.col("_arrived") + (
        skew if skew is not None else F.expr(f"INTERVAL {source.max_future_skew // 1000} SECOND")
    )
    code = (
        F.when(F.col("_value").isNull() | (F.octet_length("_value") == 0), EMPTY)
        .when(record.isNull(), MALFORMED)
        .when(time.isNull(), NO_TIME)
    )
    if source.event_id:
        code = code.when(record[source.event_id].isNull(), NO_ID)
    code = code.when(time > limit, FUTURE)
    for n, column in enumerate(source.required):
        code = code.when(record[column].isNull(), MISSING + n)
    return code.otherwise(0)
