"""tidemark serve: the HTTP API and the web page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer
from pydantic import ValidationError

from streaming.errors import DefinitionError, ServiceError


def command(
    repo: Path | None = typer.Option(None, "--repo", help="Folder of the Feast repo"),
    host: str | None = typer.Option(None, "--host", help="Address to listen on [default: 127.0.0.1]"),
    port: int | None = typer.Option(None, "--port", help="Port to listen on; 0: any [default: 8080]"),
    workers: int | None = typer.Option(None, "--workers", help="Processes [default: 1]"),
    keys: Path | None = typer.Option(None, "--keys", help="File of API keys, one entry a line"),
    no_auth: bool = typer.Option(False, "--no-auth", help="Ask nobody who they are; on this machine alone"),
    no_scores: bool = typer.Option(False, "--no-scores", help="Score no events, and start no JVM"),
    follow: int | None = typer.Option(
        None, "--follow", help="Messages of each topic to read from before; 0: none"
    ),
    kafka: str | None = typer.Option(
        None, "--kafka", help="Brokers in place of those the repo's sources name"
    ),
    audit: str | None = typer.Option(None, "--audit", help="File of the audit log; -: standard error"),
    new_key: str | None = typer.Option(
        None, "--new-key", metavar="NAME", help="Make an API key, print it and end"
    ),
    scopes: str = typer.Option("", "--scopes", help="Of the new key, separated by commas [default: all]"),
) -> None:
    """Answer features, entities, scores and alerts over HTTP, and show them on a page at /.

    Callers send an API key or a bearer token of an OpenID Connect issuer; see docs/api.md.
    """
    from serving.api.settings import ApiSettings

    if new_key is not None:
        _make(new_key, scopes)
        return
    if repo is None:
        raise DefinitionError("name the Feast repo: --repo DIR")
    given: dict[str, Any] = {
        "api_host": host,
        "api_port": port,
        "api_workers": workers,
        "api_keys_file": keys,
        "api_auth": False if no_auth else None,
        "api_scores": False if no_scores else None,
        "api_follow": follow,
        "api_audit": audit,
        "kafka": kafka,
    }
    try:
        settings = ApiSettings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as wrong:
        first = wrong.errors()[0]
        raise ServiceError(
            f"TIDEMARK_{str(first['loc'][0]).upper()}={first['input']}: {first['msg']}: correct it"
        ) from None
    from serving.api.server import run

    jars: tuple[Path, ...] = ()
    if settings.api_scores:
        from tidemark.jars import spark_jars

        jars = tuple(spark_jars())
    run(repo, settings, lambda url: typer.echo(f"Tidemark answers at {url}"), jars)


def _make(name: str, scopes: str) -> None:
    from serving.api import keys

    key, entry = keys.make(name, [s.strip() for s in scopes.split(",")] if scopes else keys.SCOPES)
    typer.echo(f"key, for its holder, shown this once: {key}", err=True)
    typer.echo(entry.line())
