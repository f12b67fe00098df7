"""Each sink: all of a batch or nothing, and a batch that is written again changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pyarrow.dataset
import pytest
import sqlglot
from moto.server import ThreadedMotoServer
from postgres_server import MISSING, Server, binaries, server
from pyspark.sql import Row, SparkSession
from redshift_stand_in import StandIn, data_api

from streaming.errors import DefinitionError
from streaming.sinks import Destination, SinkAway, SinkRefused, Table, Writer, destination
from streaming.sinks.redshift import Redshift

SCHEMA = (
    "id string, n bigint, small int, amount double, ok boolean, at timestamp, price decimal(10,2), raw binary, "
    "tags array<string>, deep struct<a: int, `b c`: string>, day date"
)


@pytest.fixture(scope="module")
def postgres() -> Iterator[Server]:
    if binaries() is None:
        pytest.skip(MISSING)
    with server() as running:
        yield running


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    web = ThreadedMotoServer("127.0.0.1", 0)
    web.start()
    host, port = web.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    client = boto3.client("s3", endpoint_url=endpoint)
    client.create_bucket(Bucket="lake", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    client.endpoint = endpoint
    yield client
    web.stop()


def table(spark: SparkSession, name: str) -> Table:
    return Table(name, spark.createDataFrame([], SCHEMA).schema, ("id", "n"), "day")


def row(n: int, text: str = "x", amount: float | None = 1.5) -> tuple:
    at = datetime(2024, 2, 29, 12, 0, 0, n, UTC)
    deep = Row(**{"a": n, "b c": text})
    return (
        text,
        n,
        n % 7,
        amount,
        n % 2 == 0,
        at,
        Decimal("12.34"),
        b"\x00\xff",
        [text, None],
        deep,
        date(2024, 2, 29 - n % 3),
    )


HOSTILE = [
    "",
    "a,b",
    'say "no"',
    "new\nline",
    "tab\tand \\ and \\N",
    "Łódź ☂",
    "nul\0in",
    "'); DROP TABLE x; --",
]


class Case:
    """A destination and how to look into it: `seen` gives (id, n, amount, tags) of every visible row."""

    def __init__(
        self, where: Destination, seen: Callable[[str], list[tuple]], breaks: Callable[[], None]
    ) -> None:
        self.where, self.seen, self.breaks = where, seen, breaks


@pytest.fixture(params=["delta", "parquet", "postgres", "redshift"])
def case(request: pytest.FixtureRequest, tmp_path: Path, spark: SparkSession) -> Iterator[Case]:
    folder = tmp_path / "lake"

    def blocked() -> None:
        folder.write_text("in the way")

    if request.param == "delta":
        yield Case(
            destination(f"delta:{folder}"),
            lambda t: _rows(spark.read.format("delta").load(f"{folder}/{t}").collect()),
            blocked,
        )
    elif request.param == "parquet":
        yield Case(
            destination(f"parquet:{folder}"),
            lambda t: _rows(spark.read.parquet(f"{folder}/{t}").collect()),
            blocked,
        )
    else:
        postgres: Server = request.getfixturevalue("postgres")
        with psycopg.connect(postgres.uri, autocommit=True) as db:
            db.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")

        def seen(name: str) -> list[tuple]:
            with psycopg.connect(postgres.uri) as db:
                held = db.execute(f'SELECT id, n, amount, tags FROM "{name.replace("/", "_")}"').fetchall()
            return sorted((i, n, a, t if isinstance(t, list) else _json(t)) for i, n, a, t in held)

        if request.param == "postgres":
            yield Case(destination(postgres.uri), seen, postgres.stop)
            if postgres.process is None:
                postgres.start()
            return
        s3 = request.getfixturevalue("s3")
        with data_api(postgres.uri, s3) as (endpoint, stand_in):
            uri = (
                "redshift:///dev?workgroup=analysts&staging=s3://lake/staging&role=arn:aws:iam::1:role/r"
                f"&region=eu-west-1&endpoint_s3={s3.endpoint}&endpoint_data={endpoint}"
            )
            found = Case(destination(uri), seen, lambda: setattr(stand_in, "failing", "S3 is slow"))
            found.stand_in = stand_in  # type: ignore[attr-defined]
            yield found


def _json(text: str | None) -> Any:
    import json

    return None if text is None else json.loads(text)


def _rows(rows: list[Row]) -> list[tuple]:
    return sorted((r.id, r.n, r.amount, r.tags) for r in rows)


def _clean(rows: list[tuple]) -> list[tuple]:
    return sorted((r[0], r[1], r[3], r[8]) for r in rows)


def test_a_batch_is_there_once(case: Case, spark: SparkSession) -> None:
    """Whatever its texts are, and however often it is written."""
    relational = not case.where.name.startswith(("delta", "parquet"))
    first = [row(n, text) for n, text in enumerate(HOSTILE)] + [row(99, "null", None)]
    second = [row(n, "more") for n in range(200, 230)]
    sink = case.where.sink(table(spark, "events/a"), Writer("q", 1))
    sink.write(spark.createDataFrame(first, SCHEMA), 0)
    sink.write(spark.createDataFrame(second, SCHEMA).repartition(3), 1)
    # Of a batch that is run again, by a new process.
    again = case.where.sink(table(spark, "events/a"), Writer("q", 1))
    again.write(spark.createDataFrame(second, SCHEMA), 1)
    again.write(spark.createDataFrame(first, SCHEMA), 0)
    expected = first + second
    if relational:
        strip = lambda v: v.replace("\0", "")  # noqa: E731
        expected = [(strip(r[0]), *r[1:8], [strip(t) if t else t for t in r[8]], *r[9:]) for r in expected]
    assert case.seen("events/a") == _clean(expected)


def test_a_failure_is_invisible_and_the_batch_can_be_written_again(case: Case, spark: SparkSession) -> None:
    kept = [row(n) for n in range(5)]
    sink = case.where.sink(table(spark, "events/b"), Writer("q", 2))
    is_file = case.where.name.startswith(("delta", "parquet"))
    if not is_file:
        sink.write(spark.createDataFrame(kept, SCHEMA), 0)
    case.breaks()
    late = spark.createDataFrame([row(n) for n in range(10, 20)], SCHEMA).repartition(2)
    with pytest.raises(SinkAway, match=r"see whether it (answers|is there and writable)"):
        sink.write(late, 1)
    _mend(case)
    if not is_file:
        assert case.seen("events/b") == _clean(kept)
    sink.write(late, 1)
    assert len(case.seen("events/b")) == 10 + (0 if is_file else 5)


def _mend(case: Case) -> None:
    where = case.where
    if where.name.startswith(("delta", "parquet")):
        Path(where.root).unlink()  # type: ignore[attr-defined]
    elif hasattr(case, "stand_in"):
        case.stand_in.failing = ""
    else:
        case.breaks.__self__.start()  # type: ignore[attr-defined]


def test_parquet_in_the_middle_of_a_batch(tmp_path: Path, spark: SparkSession) -> None:
    """Files that are still being written, or were left by a crash, are seen by no reader."""
    sink = destination(f"parquet:{tmp_path}").sink(table(spark, "t"), Writer("q", 3))
    sink.write(spark.createDataFrame([row(1)], SCHEMA), 0)
    left = tmp_path / "t" / "_staging" / "q-0000000000000003-000000001" / "day=2024-02-27"
    left.mkdir(parents=True)
    part = next((tmp_path / "t").glob("sink_batch=*/day=*/*.parquet"))
    (left / "half.parquet").write_bytes(part.read_bytes())
    assert spark.read.parquet(str(tmp_path / "t")).count() == 1
    assert pyarrow.dataset.dataset(tmp_path / "t", partitioning="hive").count_rows() == 1
    sink.write(spark.createDataFrame([row(2)], SCHEMA), 1)
    assert sorted(r.n for r in spark.read.parquet(str(tmp_path / "t")).collect()) == [1, 2]
    with pytest.raises(SinkRefused, match="was written from another checkpoint"):
        destination(f"parquet:{tmp_path}").sink(table(spark, "t"), Writer("q", 4)).write(
            spark.createDataFrame([row(3)], SCHEMA), 0
        )


def test_postgres_keeps_nothing_of_a_crash_and_refuses_what_cannot_be(
    postgres: Server, spark: SparkSession
) -> None:
    with psycopg.connect(postgres.uri, autocommit=True) as db:
        db.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        sink = destination(postgres.uri).sink(table(spark, "t"), Writer("q", 5))
        sink.write(spark.createDataFrame([row(1)], SCHEMA), 0)
        db.execute(f"CREATE TABLE {sink._stagings}left AS SELECT * FROM t")
        # A task that was given up for lost has copied its rows as well.
        sink.write(spark.createDataFrame([row(2), row(2)], SCHEMA), 1)
        found = db.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
        ).fetchall()
        assert found == [("t",), ("tidemark_batches",)]
        held = db.execute("SELECT raw, at, price, deep, day FROM t WHERE n = 2").fetchall()
        assert held == [
            (
                b"\x00\xff",
                datetime(2024, 2, 29, 12, 0, 0, 2, UTC),
                Decimal("12.34"),
                {"a": 2, "b c": "x"},
                date(2024, 2, 27),
            )
        ]
        db.execute("ALTER TABLE t ADD CHECK (n < 10)")
        with pytest.raises(SinkRefused, match="change the table or the rights"):
            sink.write(spark.createDataFrame([row(3), row(11)], SCHEMA), 2)
        assert db.execute("SELECT count(*) FROM t").fetchone() == (2,)
        assert db.execute("SELECT batch FROM tidemark_batches").fetchone() == (1,)


def test_the_statements_are_redshifts(postgres: Server, s3: Any, spark: SparkSession) -> None:
    with psycopg.connect(postgres.uri, autocommit=True) as db:
        db.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    with data_api(postgres.uri, s3) as (endpoint, stand_in):
        assert isinstance(stand_in, StandIn)
        redshift = Redshift(
            "dev",
            "s3://lake/p",
            "arn:x",
            workgroup="analysts",
            region="eu-west-1",
            endpoint_s3=s3.endpoint,
            endpoint_data=endpoint,
        )
        redshift.sink(table(spark, "t"), Writer("q", 6)).write(spark.createDataFrame([row(1)], SCHEMA), 0)
        (batch,) = stand_in.said
    kinds = [type(sqlglot.parse_one(sql, dialect="redshift")).__name__ for sql in batch]
    assert kinds == ["Create", "Create", "Copy", "Merge", "Drop"]
    assert not s3.list_objects_v2(Bucket="lake", Prefix="p").get("Contents"), (
        "nothing is left in the staging folder"
    )


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("ftp://x", "is no sink: write delta:PATH"),
        ("parquet:", "is no sink"),
        ("redshift:///db?workgroup=w&role=r", "is no Redshift sink: write redshift:///DATABASE"),
        ("redshift:///db?workgroup=w&role=r&staging=s3://b&colour=red", "is no Redshift sink"),
        ("redshift:///db?role=r&staging=s3://b", "must name a workgroup or a cluster"),
    ],
)
def test_a_uri_that_is_no_sink(uri: str, said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        destination(uri)


def test_a_password_is_not_shown() -> None:
    assert destination("postgresql://me:secret@db/x").name == "postgresql://me@db/x"
