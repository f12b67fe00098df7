"""PostgreSQL: executors COPY a batch into a staging table, then one transaction upserts it."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyarrow import csv
from pyspark.sql import DataFrame

from streaming import failpoints
from streaming.errors import ServiceError
from streaming.sinks import relational
from streaming.sinks.contract import SinkAway, SinkRefused, Table, Writer
from streaming.sinks.relational import quoted
from streaming.sinks.trouble import gist, reported

try:
    import psycopg
except ImportError as missing:
    raise ServiceError("PostgreSQL needs psycopg: pip install 'tidemark[sinks]'") from missing

TYPES = {
    "string": "text",
    "boolean": "boolean",
    "byte": "smallint",
    "short": "smallint",
    "integer": "integer",
    "long": "bigint",
    "float": "real",
    "double": "double precision",
    "decimal": "numeric",
    "date": "date",
    "timestamp": "timestamptz",
    "timestamp_ntz": "timestamp",
    "binary": "bytea",
    "nested": "jsonb",
}
LEDGER = "tidemark_batches"
REFUSALS = ("22", "23", "28", "42")
"""Classes of SQLSTATE that trying again does not cure: data, integrity, authorisation, syntax and access."""


@dataclass(frozen=True)
class Postgres:
    """A database by its libpq URI. What the URI leaves out, as the password should be, libpq finds itself."""

    uri: str

    @property
    def name(self) -> str:
        return re.sub(r":[^:@/]*@", "@", self.uri)

    def sink(self, table: Table, writer: Writer) -> PostgresSink:
        return PostgresSink(self, table, writer)


@dataclass(frozen=True)
class PostgresSink:
    """One table, named like events_orders, with the key as its primary key."""

    postgres: Postgres
    table: Table
    writer: Writer

    @property
    def target(self) -> str:
        return relational.table_name(self.table.name)

    @property
    def _scope(self) -> str:
        return f"{self.writer.text}:{self.table.name}"

    @property
    def _stagings(self) -> str:
        """How the names of this sink's staging tables begin."""
        return f"tidemark_{hashlib.blake2s(self._scope.encode(), digest_size=8).hexdigest()}_"

    def write(self, batch: DataFrame, batch_id: int) -> None:
        """See `streaming.sinks.contract.Sink`."""
        with self._trouble(), psycopg.connect(self.postgres.uri, autocommit=True) as db:
            self._prepare(db)
            if self._last(db) >= batch_id:
                return
            # A name of its own: a task given up for lost may still write into the one before.
            staging = f"{self._stagings}{secrets.token_hex(8)}"
            columns = ", ".join(map(quoted, self.table.columns))
            db.execute(
                f"CREATE UNLOGGED TABLE {quoted(staging)} AS SELECT {columns} FROM {quoted(self.target)} LIMIT 0"
            )
            try:
                rows = relational.plain(batch.select(*self.table.columns))
                copy = Copy(self.postgres.uri, staging, self.table.columns)
                rows.mapInArrow(copy, "rows bigint").collect()
                failpoints.reach("staged")
                self._merge(db, staging, batch_id)
            finally:
                self._drop(db, staging)

    @staticmethod
    def _drop(db: psycopg.Connection[Any], staging: str) -> None:
        if not db.closed and not db.broken:
            db.execute(f"DROP TABLE IF EXISTS {quoted(staging)}")

    def _prepare(self, db: psycopg.Connection[Any]) -> None:
        """Create what is not there, and drop what a crash left behind."""
        keys = ", ".join(map(quoted, self.table.key))
        types = {f.name: relational.sql_type(f.dataType, TYPES) for f in self.table.schema.fields}
        columns = ", ".join(f"{quoted(name)} {type_}" for name, type_ in types.items())
        with db.transaction():
            # Two queries may create the ledger at once, which IF NOT EXISTS does not survive.
            db.execute("SELECT pg_advisory_xact_lock(hashtext('tidemark'))")
            db.execute(
                f"CREATE TABLE IF NOT EXISTS {LEDGER} (writer text PRIMARY KEY, batch bigint NOT NULL)"
            )
            db.execute(f"CREATE TABLE IF NOT EXISTS {quoted(self.target)} ({columns}, PRIMARY KEY ({keys}))")
            for name, type_ in types.items():
                db.execute(
                    f"ALTER TABLE {quoted(self.target)} ADD COLUMN IF NOT EXISTS {quoted(name)} {type_}"
                )
        left = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND starts_with(tablename, %s)"
        for (name,) in db.execute(left, (self._stagings,)).fetchall():
            self._drop(db, name)

    def _last(self, db: psycopg.Connection[Any]) -> int:
        found = db.execute(f"SELECT batch FROM {LEDGER} WHERE writer = %s", (self._scope,)).fetchone()
        return found[0] if found else -1

    def _merge(self, db: psycopg.Connection[Any], staging: str, batch_id: int) -> None:
        columns, keys = (", ".join(map(quoted, names)) for names in (self.table.columns, self.table.key))
        others = [quoted(name) for name in self.table.columns if name not in self.table.key]
        changes = ", ".join(f"{name} = excluded.{name}" for name in others)
        with db.transaction():
            db.execute(
                f"INSERT INTO {LEDGER} VALUES (%s, %s) ON CONFLICT (writer) DO UPDATE SET batch = excluded.batch",
                (self._scope, batch_id),
            )
            # A task that ran twice has copied its rows twice.
            db.execute(
                f"INSERT INTO {quoted(self.target)} ({columns}) "
                f"SELECT DISTINCT ON ({keys}) {columns} FROM {quoted(staging)} "
                f"ON CONFLICT ({keys}) DO UPDATE SET {changes}"
            )
            failpoints.reach("merged")

    @contextmanager
    def _trouble(self) -> Iterator[None]:
        where = f"{self.postgres.name} (table {self.target})"
        with reported(where):
            try:
                yield
            except psycopg.Error as error:
                raise _sorted(where, error.sqlstate, error) from error
            except Exception as error:
                # A task's error arrives as text.
                named = re.findall(r"psycopg\.errors\.(\w+)", str(error))
                kind = getattr(psycopg.errors, named[-1], None) if named else None
                raise _sorted(where, getattr(kind, "sqlstate", None), error) from error


def _sorted(where: str, state: str | None, error: Exception) -> SinkAway | SinkRefused:
    if state and state[:2] in REFUSALS:
        return SinkRefused(f"{where} does not take the batch ({gist(error)}): change the table or the rights")
    return SinkAway(f"{where} cannot be written ({gist(error)}): see whether it answers")


@dataclass(frozen=True)
class Copy:
    """The function for `mapInArrow` that copies a task's rows, in one transaction, as CSV."""

    uri: str
    staging: str
    columns: tuple[str, ...]

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        columns = ", ".join(map(quoted, self.columns))
        rows = 0
        with (
            psycopg.connect(self.uri) as db,
            db.cursor().copy(f"COPY {quoted(self.staging)} ({columns}) FROM STDIN (FORMAT csv)") as copy,
        ):
            for batch in batches:
                out = pa.BufferOutputStream()
                csv.write_csv(batch, out, csv.WriteOptions(include_header=False, quoting_style="needed"))
                copy.write(out.getvalue().to_pybytes())
                rows += batch.num_rows
        yield pa.RecordBatch.from_pydict({"rows": pa.array([rows], pa.int64())})
