"""Redshift: Parquet files and a manifest in S3, then COPY and MERGE in one transaction through the Data API."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pyarrow as pa
from pyarrow import parquet
from pyspark import TaskContext
from pyspark.sql import DataFrame

from streaming.errors import DefinitionError, ServiceError
from streaming.sinks import relational
from streaming.sinks.contract import SinkAway, SinkRefused, Table, Writer
from streaming.sinks.statements import LONGEST, Statements
from streaming.sinks.trouble import reported

try:
    import boto3
    from botocore.exceptions import ParamValidationError
except ImportError as missing:
    raise ServiceError("Redshift needs boto3: pip install 'tidemark[sinks]'") from missing

PATIENCE = 900.0
"""Seconds after which a statement is given up."""
_FORM = "write redshift:///DATABASE?workgroup=NAME&staging=s3://BUCKET/PREFIX&role=ARN"


@dataclass(frozen=True)
class Redshift:
    """A database of a serverless `workgroup`, or of a `cluster` as its user `user`.

    `staging` is an s3:// folder, `role` the IAM role by which Redshift reads it; access to the Data API and
    to S3 is what boto3 finds of itself. `endpoint_s3` and `endpoint_data` are for stand-ins.
    """

    database: str
    staging: str
    role: str
    workgroup: str = ""
    cluster: str = ""
    user: str = ""
    schema: str = "public"
    region: str = ""
    endpoint_s3: str = ""
    endpoint_data: str = ""

    @classmethod
    def of(cls, uri: str) -> Redshift:
        """From redshift:///DATABASE?name=value&... Raises DefinitionError, with the form it must have."""
        parts = urlsplit(uri)
        given = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        unknown = given.keys() - cls.__dataclass_fields__.keys() | (given.keys() & {"database"})
        database = parts.path.strip("/")
        if (
            unknown
            or not database
            or not given.get("role")
            or not given.get("staging", "").startswith("s3://")
        ):
            raise DefinitionError(f"{uri} is no Redshift sink: {_FORM}")
        if bool(given.get("workgroup")) == bool(given.get("cluster")):
            raise DefinitionError(f"{uri} must name a workgroup or a cluster, one of them: {_FORM}")
        return cls(database, **given)

    @property
    def name(self) -> str:
        return f"redshift:{self.workgroup or self.cluster}/{self.database}/{self.schema}"

    def client(self, service: str) -> Any:
        """A client of boto3."""
        endpoint = self.endpoint_s3 if service == "s3" else self.endpoint_data
        return boto3.client(service, region_name=self.region or None, endpoint_url=endpoint or None)

    @property
    def place(self) -> dict[str, str]:
        """Where the Data API is to run statements."""
        named = {"WorkgroupName": self.workgroup, "ClusterIdentifier": self.cluster, "DbUser": self.user}
        return {"Database": self.database, **{name: value for name, value in named.items() if value}}

    def sink(self, table: Table, writer: Writer) -> RedshiftSink:
        return RedshiftSink(self, table, writer)


@dataclass(frozen=True)
class RedshiftSink:
    """One table, named like events_orders. Rows are merged by key, so a batch written again changes nothing."""

    redshift: Redshift
    table: Table
    writer: Writer
    pause: Callable[[float], None] = time.sleep

    def write(self, batch: DataFrame, batch_id: int) -> None:
        """See `streaming.sinks.contract.Sink`."""
        redshift = self.redshift
        statements = Statements(redshift.schema, self.table)
        with reported(f"{redshift.name} (table {statements.target})"):
            bucket, _, prefix = redshift.staging.removeprefix("s3://").rstrip("/").partition("/")
            folder = "/".join(
                filter(
                    None,
                    [prefix, self.table.name, self.writer.text, f"{batch_id:09d}-{secrets.token_hex(4)}"],
                )
            )
            rows = relational.plain(batch.select(*self.table.columns), longest=LONGEST)
            files = rows.mapInArrow(Upload(redshift, bucket, folder), "key string, bytes bigint").collect()
            if not files:
                return
            manifest = f"{folder}/manifest"
            entries = [
                {"url": f"s3://{bucket}/{f.key}", "mandatory": True, "meta": {"content_length": f.bytes}}
                for f in files
            ]
            s3 = redshift.client("s3")
            s3.put_object(Bucket=bucket, Key=manifest, Body=json.dumps({"entries": entries}).encode())
            try:
                self._run(statements.all(f"s3://{bucket}/{manifest}", redshift.role))
            finally:
                for key in [manifest, *(f.key for f in files)]:
                    s3.delete_object(Bucket=bucket, Key=key)

    def _run(self, statements: list[str]) -> None:
        """Run statements as one transaction, and wait for its end."""
        client = self.redshift.client("redshift-data")
        try:
            name = client.batch_execute_statement(
                Sqls=statements, StatementName=self.writer.text[:500], **self.redshift.place
            )["Id"]
        except ParamValidationError as error:
            raise DefinitionError(f"{self.redshift.name}: {' '.join(str(error).split())}: {_FORM}") from error
        waited, step = 0.0, 0.2
        while waited < PATIENCE:
            state = client.describe_statement(Id=name)
            if state["Status"] == "FINISHED":
                return
            if state["Status"] in ("FAILED", "ABORTED"):
                raise self._failed(state.get("Error") or state["Status"].lower())
            self.pause(step)
            waited, step = waited + step, min(step * 1.5, 5.0)
        client.cancel_statement(Id=name)
        raise SinkAway(f"{self.redshift.name} did not finish within {PATIENCE:.0f} s: see whether it is busy")

    def _failed(self, said: str) -> SinkAway | SinkRefused:
        line = " ".join(said.split())[:300]
        if any(
            word in line for word in ("permission denied", "does not exist", "not authorized", "syntax error")
        ):
            return SinkRefused(
                f"{self.redshift.name} does not take the batch ({line}): change the table or the rights"
            )
        return SinkAway(f"{self.redshift.name} did not take the batch ({line}): see whether it answers")


@dataclass(frozen=True)
class Upload:
    """The function for `mapInArrow` that puts a task's rows into one Parquet file in S3; yields its key and size."""

    redshift: Redshift
    bucket: str
    folder: str

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        held = [batch for batch in batches if batch.num_rows]
        if not held:
            return
        out = pa.BufferOutputStream()
        table = pa.Table.from_batches(held)
        # Redshift reads moments without a zone, in microseconds.
        fields = [
            f.with_type(pa.timestamp("us")) if pa.types.is_timestamp(f.type) else f for f in table.schema
        ]
        parquet.write_table(table.cast(pa.schema(fields)), out, compression="snappy")
        data = out.getvalue().to_pybytes()
        context = TaskContext.get()
        # An attempt given up for lost may still be writing: it has a file of its own, in no manifest.
        attempt = context.taskAttemptId() if context else 0
        key = f"{self.folder}/part-{attempt:012d}.parquet"
        self.redshift.client("s3").put_object(Bucket=self.bucket, Key=key, Body=data)
        yield pa.RecordBatch.from_pydict({"key": [key], "bytes": pa.array([len(data)], pa.int64())})
