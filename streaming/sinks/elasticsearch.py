"""Elasticsearch: every row a document, whose id is the row's key, so that writing it again changes nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DoubleType, FloatType

from streaming.errors import DefinitionError, ServiceError
from streaming.sinks.contract import SinkAway, SinkRefused, Table, Writer
from streaming.sinks.remote import chosen, send

try:
    from elasticsearch import ApiError, Elasticsearch, TransportError
except ImportError as missing:
    raise ServiceError("Elasticsearch needs its client: pip install 'tidemark[sinks]'") from missing

KNOWN = {"prefix", "tables", "ca"}
VALUE = "value"
"""The column of a kept topic's messages: JSON, which becomes part of the document."""


class ElasticsearchSettings(BaseSettings):
    """`api_key` is read from TIDEMARK_ELASTICSEARCH_API_KEY."""

    model_config = SettingsConfigDict(env_prefix="TIDEMARK_ELASTICSEARCH_", extra="ignore")

    api_key: SecretStr | None = None


@dataclass(frozen=True)
class Search:
    """A cluster: `elasticsearch://HOST:PORT?prefix=tidemark-&tables=events/*,topics/*`, or elasticsearch+https://."""

    url: str
    prefix: str = "tidemark-"
    tables: tuple[str, ...] = ("events/*", "topics/*")
    ca: str = ""
    key: SecretStr | None = None

    @classmethod
    def of(cls, uri: str) -> Search:
        """The cluster that a URI names. Raises DefinitionError for what it cannot mean."""
        parts = urlsplit(uri)
        given = dict(parse_qsl(parts.query))
        if not parts.hostname or given.keys() - KNOWN:
            raise DefinitionError(
                f"{uri.split('?')[0]}: write elasticsearch://HOST:PORT with any of {', '.join(sorted(KNOWN))}"
            )
        scheme = "https" if parts.scheme.endswith("https") else "http"
        tables = tuple(given["tables"].split(",")) if "tables" in given else cls.tables
        url = f"{scheme}://{parts.hostname}:{parts.port or 9200}"
        key = ElasticsearchSettings.model_validate({}).api_key
        return cls(url, given.get("prefix", cls.prefix), tables, given.get("ca", ""), key)

    @property
    def name(self) -> str:
        return f"elasticsearch:{self.url}/{self.prefix}"

    def takes(self, table: str) -> bool:
        """Whether rows of a table go there."""
        return chosen(self.tables, table)

    def sink(self, table: Table, writer: Writer) -> SearchSink:
        return SearchSink(self, table)


@dataclass(frozen=True)
class SearchSink:
    """One table, in an index of its name."""

    search: Search
    table: Table

    @property
    def index(self) -> str:
        return f"{self.search.prefix}{self.table.name.replace('/', '-')}".lower()

    def write(self, batch: DataFrame, batch_id: int) -> None:
        """See `streaming.sinks.contract.Sink`, but that documents become visible one by one."""
        key = F.concat_ws("/", *[F.col(f"`{name}`").cast("string") for name in self.table.key])
        rows = batch.select(key.alias("id"), document(batch).alias("document"))
        send(rows, self.search.name, Bulk(self.search, self.index))


@dataclass(frozen=True)
class Bulk:
    """Sends documents to an index."""

    search: Search
    index: str

    def __call__(self, rows: list[dict[str, Any]]) -> None:
        operations: list[Any] = []
        for row in rows:
            operations += [{"index": {"_id": row["id"]}}, row["document"]]
        try:
            answer = _client(self.search).bulk(index=self.index, operations=operations)
        except ApiError as error:
            kind = SinkAway if error.status_code in (408, 429) or error.status_code >= 500 else SinkRefused
            raise kind(_said(self.search, f"{error.status_code} {error.message}")) from error
        except TransportError as error:
            raise SinkAway(_said(self.search, error.message)) from error
        failed = [item["index"] for item in answer["items"] if item["index"]["status"] >= 300]
        if not failed:
            return
        away = all(item["status"] == 429 or item["status"] >= 500 for item in failed)
        why = f"{len(failed)} documents of {self.index}, such as {failed[0]['error'].get('reason', failed[0]['error'])}"
        raise (SinkAway if away else SinkRefused)(_said(self.search, why))


def document(batch: DataFrame) -> Column:
    """A row as JSON: dates by ISO 8601, what is not finite left out, a message's value as part of it."""
    fields = []
    for field in batch.schema.fields:
        column = F.col(f"`{field.name}`")
        if isinstance(field.dataType, DoubleType | FloatType):
            finite = column.isNotNull() & ~F.isnan(column) & (F.abs(column) != F.lit(float("inf")))
            column = F.when(finite, column)
        fields.append(column.alias(field.name))
    whole = F.to_json(F.struct(*fields))
    if batch.schema.names[:2] != ["key", VALUE]:
        return whole
    others = F.to_json(
        F.struct(*[field for field, name in zip(fields, batch.schema.names, strict=True) if name != VALUE])
    )
    parsed = F.col(VALUE).startswith("{") & F.get_json_object(VALUE, "$").isNotNull()
    opened = F.regexp_replace(others, r"\}$", "")
    return F.when(parsed, F.concat(opened, F.lit(f',"{VALUE}":'), F.col(VALUE), F.lit("}"))).otherwise(whole)


@lru_cache(maxsize=4)
def _client(search: Search) -> Elasticsearch:
    options: dict[str, Any] = {"request_timeout": 30, "retry_on_timeout": False, "max_retries": 0}
    if search.ca:
        options["ca_certs"] = search.ca
    if search.key:
        options["api_key"] = search.key.get_secret_value()
    return Elasticsearch(search.url, **options)


def _said(search: Search, why: str) -> str:
    # The value itself is not for a log.
    plain = re.sub(r"Preview of field's value: .*", "", " ".join(str(why).split()))
    return f"{search.name} did not take the batch ({plain[:300].strip()}): see its log and mapping"
