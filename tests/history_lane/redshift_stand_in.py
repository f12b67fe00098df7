"""The Redshift Data API over a PostgreSQL: statements run as they come, only COPY reads its manifest itself."""

from __future__ import annotations

import io
import json
import re
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psycopg
import pyarrow.parquet as pq

COPY = re.compile(
    r"COPY (\"\w+\") FROM 's3://([^/']+)/([^']+)' IAM_ROLE '(arn:[^']+)' FORMAT AS PARQUET MANIFEST"
)


class StandIn:
    """`said` are the statements of each batch; `failing` is raised by the next COPY."""

    def __init__(self, postgres: str, s3: Any) -> None:
        self.postgres, self.s3 = postgres, s3
        self.said: list[list[str]] = []
        self.failing = ""
        self.states: dict[str, dict[str, str]] = {}

    def batch(self, request: dict[str, Any]) -> dict[str, str]:
        name = str(uuid.uuid4())
        self.said.append(request["Sqls"])
        try:
            with psycopg.connect(self.postgres) as db:
                for sql in request["Sqls"]:
                    self._copy(db, COPY.fullmatch(sql)) if sql.startswith("COPY") else db.execute(
                        _postgres(sql)
                    )
            self.states[name] = {"Id": name, "Status": "FINISHED"}
        except Exception as error:
            self.states[name] = {"Id": name, "Status": "FAILED", "Error": str(error)}
        return {"Id": name}

    def _copy(self, db: psycopg.Connection[Any], found: re.Match[str] | None) -> None:
        assert found is not None
        table, bucket, manifest, _ = found.groups()
        held = json.loads(self.s3.get_object(Bucket=bucket, Key=manifest)["Body"].read())
        for n, entry in enumerate(held["entries"]):
            if self.failing and n == len(held["entries"]) - 1:
                raise RuntimeError(self.failing)
            data = self.s3.get_object(Bucket=bucket, Key=entry["url"].split("/", 3)[3])["Body"].read()
            assert len(data) == entry["meta"]["content_length"]
            assert entry["mandatory"] is True
            rows = pq.read_table(io.BytesIO(data))
            with db.cursor().copy(f"COPY {table} FROM STDIN") as copy:
                for row in rows.to_pylist():
                    copy.write_row(list(row.values()))


def _postgres(sql: str) -> str:
    """PostgreSQL has a shorter longest text and does not name the target's columns in ON by schema."""
    return sql.replace("VARCHAR(65535)", "TEXT")


@contextmanager
def data_api(postgres: str, s3: Any) -> Iterator[tuple[str, StandIn]]:
    """Its endpoint, and what it was told."""
    held = StandIn(postgres, s3)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            action = self.headers["X-Amz-Target"].split(".")[1]
            answer = held.batch(request) if action == "BatchExecuteStatement" else held.states[request["Id"]]
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{web.server_port}", held
    finally:
        web.shutdown()
