"""What a sink is: one method, called once for every batch and again after every failure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pyspark.sql import DataFrame
from pyspark.sql.types import StructType

from streaming.errors import ServiceError, TidemarkError


class SinkAway(ServiceError):
    """The destination does not answer, or failed for now: the batch is kept and written again later."""


class SinkRefused(TidemarkError):
    """The destination will never take this batch as things are; a person must change something."""


@dataclass(frozen=True)
class Table:
    """A table whatever holds it: `name` is a path such as events/orders.

    The values of the columns `key` together are those of one row alone; `partition` is a DATE column
    of the schema.
    """

    name: str
    schema: StructType
    key: tuple[str, ...]
    partition: str

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.schema.names)


@dataclass(frozen=True)
class Writer:
    """A query that writes: its name in the lane, and the identity of its checkpoint."""

    name: str
    identity: int

    @property
    def text(self) -> str:
        return f"{self.name}-{self.identity:016x}"


class Sink(Protocol):
    """One table of one destination, written by one query."""

    def write(self, batch: DataFrame, batch_id: int) -> None:
        """Make the rows of `batch` (the table's columns) visible, all at once.

        Called on the driver, once for each batch in the order of their ids, and again with the same id
        and the same rows when anything failed afterwards: here, in another table, or of the process. A
        batch that this query's identity has written already is left as it is. When this returns, the
        rows are durable; until then, and for good when it raises, a reader sees none of them.

        Raises SinkAway when it is worth trying again: the query stands still at this batch and does so,
        with growing pauses and without end, while other queries go on. Raises SinkRefused when it is not.
        """
        ...


def takes(destination: object, table: str) -> bool:
    """Whether rows of a table go to a destination: all do, unless it has a method of this name that says otherwise."""
    choose = getattr(destination, "takes", None)
    return choose is None or bool(choose(table))


class Destination(Protocol):
    """Where the tables of a lane can be written."""

    @property
    def name(self) -> str:
        """For a person and for folder names; without passwords."""
        ...

    def sink(self, table: Table, writer: Writer) -> Sink:
        """The sink of one table; asks nothing of the destination yet."""
        ...
