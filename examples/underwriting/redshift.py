"""Tables in Redshift: their DDL from the views, and two ways to fill them, by INSERT or from S3 by COPY."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from examples.underwriting.history.tables import VIEWS, schema, table_name
from examples.underwriting.settings import Warehouse
from streaming.errors import TidemarkError

TYPES = {
    pa.bool_(): "BOOLEAN",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float32(): "REAL",
    pa.float64(): "DOUBLE PRECISION",
    pa.string(): "VARCHAR(256)",
}
ROWS = 500
"""Rows of one INSERT."""


class WarehouseError(TidemarkError):
    """Redshift cannot be reached, or does not take what it is given."""


def create(name: str, columns: pa.Schema, db_schema: str) -> str:
    """CREATE TABLE for one table; a key has many rows, each with its own time."""
    lines = [
        f'    "{field.name}" {_type(field.type)}{"" if field.nullable else " NOT NULL"}' for field in columns
    ]
    key = columns.names[0]
    return (
        f'CREATE TABLE IF NOT EXISTS "{db_schema}"."{name}" (\n'
        + ",\n".join(lines)
        + f'\n)\nDISTKEY ("{key}")\nSORTKEY ("event_timestamp");'
    )


def ddl(db_schema: str = "insurance") -> str:
    """The script that makes the schema and every view's table."""
    statements = [f'CREATE SCHEMA IF NOT EXISTS "{db_schema}";']
    statements += [create(table_name(view), schema(view), db_schema) for view in VIEWS]
    head = "-- Written from the feature views by `setup_data.py --write-sql`; do not edit.\n\n"
    return head + "\n\n".join(statements) + "\n"


def _type(type_: pa.DataType) -> str:
    return "TIMESTAMP" if pa.types.is_timestamp(type_) else TYPES[type_]


@dataclass(frozen=True)
class Staging:
    """Where COPY reads from, and the role by which Redshift may. `s3` is a boto3 client."""

    s3: Any
    bucket: str
    role: str
    prefix: str = "insurance-demo/staging"


@dataclass(frozen=True)
class Loader:
    """Fills tables of `db_schema`; each is replaced as a whole, in one transaction."""

    warehouse: Warehouse
    db_schema: str = "insurance"
    staging: Staging | None = None

    def load(self, tables: Iterable[tuple[str, pa.Table]], say: Callable[[str], None]) -> None:
        """Create what is missing and replace the rows. Raises WarehouseError."""
        with self._connection() as db:
            db.execute(f'CREATE SCHEMA IF NOT EXISTS "{self.db_schema}"')
            db.commit()
            for name, rows in tables:
                db.execute(self.adapt(create(name, rows.schema, self.db_schema)))
                db.execute(f'DELETE FROM "{self.db_schema}"."{name}"')
                if self.staging:
                    self._copy(db, name, rows, self.staging)
                else:
                    self._insert(db, name, rows)
                db.commit()
                say(f"{self.db_schema}.{name}: {rows.num_rows:,} rows")

    def adapt(self, statement: str) -> str:
        """A statement as this database takes it: Redshift's own, as it is."""
        return statement

    def _insert(self, db: Any, name: str, rows: pa.Table) -> None:
        # Redshift writes a block for each statement, however few its rows.
        places = f"({', '.join(['%s'] * rows.num_columns)})"
        for batch in rows.to_batches(max_chunksize=ROWS):
            values = list(zip(*(_plain(column) for column in batch.columns), strict=True))
            statement = f'INSERT INTO "{self.db_schema}"."{name}" VALUES ' + ", ".join([places] * len(values))
            db.execute(statement, [value for row in values for value in row])

    def _copy(self, db: Any, name: str, rows: pa.Table, staging: Staging) -> None:
        if not rows.num_rows:
            return
        plain = [
            field.with_type(pa.timestamp("us")) if pa.types.is_timestamp(field.type) else field
            for field in rows.schema
        ]
        out = io.BytesIO()
        parquet.write_table(rows.cast(pa.schema(plain)), out, compression="snappy")
        key = f"{staging.prefix}/{name}.parquet"
        staging.s3.put_object(Bucket=staging.bucket, Key=key, Body=out.getvalue())
        try:
            statement = (
                f'COPY "{self.db_schema}"."{name}" FROM \'s3://{staging.bucket}/{key}\' '
                f"IAM_ROLE '{staging.role}' FORMAT AS PARQUET"
            )
            db.execute(self.adapt(statement))
        finally:
            staging.s3.delete_object(Bucket=staging.bucket, Key=key)

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        try:
            import psycopg
        except ImportError as error:
            raise WarehouseError("psycopg is not installed: pip install 'tidemark[sinks]'") from error
        held = self.warehouse
        try:
            with psycopg.connect(
                host=held.host,
                port=held.port,
                dbname=held.database,
                user=held.user,
                password=held.password.get_secret_value(),
                client_encoding="utf-8",
                connect_timeout=20,
            ) as db:
                yield db
        except psycopg.OperationalError as error:
            raise WarehouseError(
                f"Redshift at {held.host}:{held.port} does not answer ({' '.join(str(error).split())}): check "
                "--host, --user, the password and the security group"
            ) from error
        except psycopg.Error as error:
            raise WarehouseError(
                f"Redshift did not take the tables ({' '.join(str(error).split())}): correct that and run again"
            ) from error


def _plain(column: pa.Array) -> list[Any]:
    if pa.types.is_timestamp(column.type):
        return [value.replace(tzinfo=None) for value in column.to_pylist()]
    return column.to_pylist()
