"""Where batches go. See `streaming.sinks.contract` for what a sink promises."""

from __future__ import annotations

from streaming.errors import DefinitionError
from streaming.sinks.contract import Destination, Sink, SinkAway, SinkRefused, Table, Writer, takes

__all__ = ["Destination", "Sink", "SinkAway", "SinkRefused", "Table", "Writer", "destination", "takes"]


def destination(uri: str) -> Destination:
    """The destination that a URI names; see docs/sinks.md. Raises DefinitionError for one it cannot be."""
    kind, _, rest = uri.partition(":")
    if kind in ("delta", "parquet") and rest:
        path = rest[2:] if rest.startswith("//") else rest
        if kind == "delta":
            from streaming.sinks.delta import DeltaFolder

            return DeltaFolder(path)
        from streaming.sinks.parquet import ParquetFolder

        return ParquetFolder(path)
    if kind in ("postgresql", "postgres"):
        from streaming.sinks.postgres import Postgres

        return Postgres(uri)
    if kind == "redshift":
        from streaming.sinks.redshift import Redshift

        return Redshift.of(uri)
    if kind in ("elasticsearch", "elasticsearch+https"):
        from streaming.sinks.elasticsearch import Search

        return Search.of(uri)
    if kind in ("influxdb", "influxdb+https"):
        from streaming.sinks.influxdb import Influx

        return Influx.of(uri)
    raise DefinitionError(
        f"{uri} is no sink: write delta:PATH, parquet:PATH, postgresql://USER@HOST/DATABASE, redshift:///DATABASE?..., "
        "elasticsearch://HOST:PORT or influxdb://HOST:PORT/BUCKET"
    )
