"""Make the example's tables: Parquet files for this machine, or tables in Redshift.

python examples/underwriting/setup_data.py --local-only
python examples/underwriting/setup_data.py --host HOST --user USER --use-s3 --s3-bucket B --iam-role ARN
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import typer
from pyarrow import parquet

from examples.underwriting.script import run
from examples.underwriting.settings import HERE, REPO, Warehouse
from streaming.errors import TidemarkError

COPY_FROM = 100_000
"""Customers from which on INSERT takes hours."""


def world(customers: int, seed: int, as_of: str | None, now: float | None = None):
    """The world of the options; `now` is in seconds. Raises TidemarkError."""
    from datetime import UTC, datetime

    from examples.underwriting.history.world import World

    if customers < 50:
        raise TidemarkError(
            f"--num-customers {customers}: give at least 50, for fewer have no history worth a model"
        )
    at = time.time() if now is None else now
    if as_of:
        try:
            moment = datetime.fromisoformat(as_of)
        except ValueError:
            raise TidemarkError(f"--as-of {as_of}: write 2026-03-01 or 2026-03-01T12:00:00Z") from None
        at = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return World(customers=customers, as_of=int(at) * 1000, seed=seed)


def write(tables, folder: Path, say: Callable[[str], None]) -> int:
    """Write each table as `folder`/NAME.parquet; returns the rows of all. Raises TidemarkError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        total = 0
        for name, rows in tables:
            parquet.write_table(rows, folder / f"{name}.parquet")
            say(f"{name}: {rows.num_rows:,} rows")
            total += rows.num_rows
    except OSError as error:
        raise TidemarkError(f"{folder} cannot be written ({error}): name another --output-dir") from error
    return total


def stream_pasts(tables) -> list[tuple[str, pa.Table]]:
    """The two streams' events of the past, as the stream views' batch sources name them."""
    from examples.underwriting import traffic

    return [
        ("transactions_stream", pa.Table.from_pylist(traffic.payments(tables), traffic.PAYMENT)),
        ("claims_stream", pa.Table.from_pylist(traffic.claims(tables), traffic.CLAIM)),
    ]


def main(
    local_only: bool = typer.Option(False, "--local-only", help="Write Parquet files, reach for no Redshift"),
    output_dir: Path = typer.Option(REPO / "data", "--output-dir", help="Where the Parquet files go"),
    num_customers: int = typer.Option(1_000, "--num-customers", help="Customers of the shared population"),
    seed: int = typer.Option(0, "--seed", help="The same seed gives the same past"),
    as_of: str | None = typer.Option(None, "--as-of", help="Where the past ends, UTC [default: now]"),
    host: str | None = typer.Option(None, "--host", help="[default: REDSHIFT_HOST]"),
    port: int | None = typer.Option(None, "--port", help="[default: REDSHIFT_PORT, 5439]"),
    database: str | None = typer.Option(None, "--database", help="[default: REDSHIFT_DATABASE]"),
    user: str | None = typer.Option(None, "--user", help="[default: REDSHIFT_USER]"),
    password: str | None = typer.Option(None, "--password", help="Better in REDSHIFT_PASSWORD"),
    use_s3: bool = typer.Option(False, "--use-s3", help="COPY from S3 instead of INSERT"),
    s3_bucket: str | None = typer.Option(None, "--s3-bucket"),
    iam_role: str | None = typer.Option(None, "--iam-role", help="Role by which Redshift reads the bucket"),
    write_sql: bool = typer.Option(False, "--write-sql", help="Only write setup_redshift_tables.sql"),
) -> None:
    """Make the tables of the example with months of history, and the labels of past decisions."""
    from examples.underwriting import redshift
    from examples.underwriting.history.tables import Tables

    if write_sql:
        (HERE / "setup_redshift_tables.sql").write_text(redshift.ddl())
        return
    made = Tables(world(num_customers, seed, as_of))
    if local_only:
        rows = write([*made, *stream_pasts(made)], output_dir, typer.echo)
        typer.echo(f"{rows:,} rows in {output_dir}")
        return
    given = {"host": host, "port": port, "database": database, "user": user, "password": password}
    warehouse = Warehouse.model_validate({name: value for name, value in given.items() if value is not None})
    missing = [name for name in ("host", "user") if not getattr(warehouse, name)]
    if missing:
        raise TidemarkError(
            f"no Redshift {missing[0]} is named: give --{missing[0]} or REDSHIFT_{missing[0].upper()}, or --local-only"
        )
    staging = None
    if use_s3:
        if not (s3_bucket and iam_role):
            raise TidemarkError("--use-s3 needs --s3-bucket and --iam-role")
        import boto3

        staging = redshift.Staging(boto3.client("s3"), s3_bucket, iam_role)
    elif num_customers >= COPY_FROM:
        raise TidemarkError(
            f"{num_customers:,} customers are too many to INSERT: add --use-s3 --s3-bucket BUCKET --iam-role ARN"
        )
    redshift.Loader(warehouse, staging=staging).load(made, typer.echo)


if __name__ == "__main__":
    run(main)
