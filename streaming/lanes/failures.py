"""What stopped a query: an outage that passes, or something a person must resolve."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

from py4j.protocol import Py4JError
from pyspark.sql import SparkSession

from streaming import errors
from streaming.errors import KafkaAway, LostWritesError, RacedError, ServiceError, TidemarkError
from streaming.redis.connection import RedisAway

ATTEMPTS = 5
_OURS = re.compile(r"(?:^|\s)(?:streaming\.[\w.]+\.)?(RedisAway|KafkaAway|[A-Z]\w*Error): ([^\n]*)")
_KINDS: dict[str, type[TidemarkError]] = {
    "RedisAway": RedisAway,
    **{name: kind for name, kind in vars(errors).items() if isinstance(kind, type)},
}
_KAFKA_LOSS = re.compile(
    r"failOnDataLoss|OffsetOutOfRange|KAFKA_DATA_LOSS|some data may have been lost", re.IGNORECASE
)
_KAFKA_AWAY = re.compile(
    r"org\.apache\.kafka\.common\.errors\.(\w*Timeout\w*|Disconnect\w*|\w*NotAvailable\w*)|node assignment"
)
_CONCURRENT = re.compile(r"CONCURRENT_STREAM_LOG_UPDATE|CONCURRENT_QUERY|Multiple streaming queries")


class Retry(ServiceError):
    """A batch that failed for a reason of its own; run again from the checkpoint."""


def of(error: Exception) -> TidemarkError:
    """The error of ours behind a failed query, or the nearest to it, in one line."""
    if isinstance(error, TidemarkError):
        return error
    text = str(error)
    for kind, message in reversed(_OURS.findall(text)):
        if kind in _KINDS:
            return _KINDS[kind](message.strip())
    if _CONCURRENT.search(text):
        return errors.FencedError("another lane runs on this checkpoint: this one gives way")
    if _KAFKA_LOSS.search(text):
        return LostWritesError(
            "Kafka no longer has messages the lane had not read: run `tidemark stream reset`, or rebuild from history"
        )
    if _KAFKA_AWAY.search(text):
        return KafkaAway("Kafka does not answer: start the broker, the lane goes on by itself")
    return Retry(f"the query failed: {_gist(text) or type(error).__name__}")


@contextmanager
def stopped(spark: SparkSession) -> Iterator[None]:
    """Stops the session at the end of the context.

    Raises ServiceError when its JVM has ended before: then every call fails in a way of its own.
    """
    # Py4J would log a traceback for each call, and PySpark's thread for accumulators print one, when the JVM
    # closes their connections.
    logging.getLogger("py4j").setLevel(logging.CRITICAL)
    logging.getLogger().addFilter(lambda record: "py4j" not in record.pathname)
    spark.sparkContext._accumulatorServer.handle_error = lambda *_: None  # type: ignore[method-assign]
    try:
        try:
            yield
        finally:
            spark.stop()
    except Exception as error:
        if _answers(spark):
            raise
        raise ServiceError(
            "Spark's JVM has ended (killed, or out of memory: raise TIDEMARK_DRIVER_MEMORY): start the lane again, "
            "it goes on where its checkpoint stopped"
        ) from error


def _answers(spark: SparkSession) -> bool:
    try:
        spark.sparkContext._jvm.System.currentTimeMillis()  # type: ignore[union-attr]
    except (Py4JError, OSError):
        return False
    return True


def _gist(text: str) -> str:
    """The line of a Python traceback that says what happened, else Java's last cause, else the first line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    raised = [line for line in lines if re.match(r"[\w.]*(?:Error|Exception)\b", line)]
    caused = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
    caused.sort(key=lambda line: "SparkException" in line)
    return next(iter([*reversed(raised), *reversed(caused), *lines]), "")[:500]


def passing(error: TidemarkError, attempt: int) -> bool:
    """Whether to try again: without end during an outage, a few times when the cause is not known."""
    if isinstance(error, Retry | RacedError):
        return attempt <= ATTEMPTS
    return isinstance(error, RedisAway | KafkaAway)
