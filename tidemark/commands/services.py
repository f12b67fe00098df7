"""tidemark services: Kafka and Redis on this machine."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from tidemark.services import LocalServices
from tidemark.services.ports import free_port
from tidemark.services.process import Service
from tidemark.settings import local_settings

app = typer.Typer(no_args_is_help=True, help="Kafka and Redis on this machine, without Docker.")

DIR = typer.Option(None, "--dir", help="Where their data, logs and notes lie [default: var/services]")
JSON = typer.Option(False, "--json", help="Print one line of JSON")


@app.command()
def start(
    dir: Path | None = DIR,
    kafka_port: int | None = typer.Option(None, min=0, max=65535, help="Port of Kafka; 0 for any free one"),
    redis_port: int | None = typer.Option(None, min=0, max=65535, help="Port of Redis; 0 for any free one"),
    as_json: bool = JSON,
) -> None:
    """Start both and return when both answer; say so when they already do.

    A port that is not named is the one of the last start in this directory, else 9092 and 6379
    (TIDEMARK_KAFKA_PORT, TIDEMARK_REDIS_PORT).
    """
    services = _services(dir)
    _choose(services.kafka, kafka_port, services.settings.kafka_port)
    _choose(services.redis, redis_port, services.settings.redis_port)
    already = all(s.answers for s in services.status())
    endpoints = services.start()
    if as_json:
        typer.echo(json.dumps({"kafka": endpoints.kafka, "redis": endpoints.redis, "dir": endpoints.dir}))
        return
    typer.echo("already running" if already else "started")
    typer.echo(f"kafka  {endpoints.kafka}\nredis  {endpoints.redis}\ndir    {endpoints.dir}")


@app.command()
def status(dir: Path | None = DIR, as_json: bool = JSON) -> None:
    """Say what runs; the exit code is 0 when both answer, else 3."""
    services = _services(dir)
    states = services.status()
    if as_json:
        addresses = {s.name: s.address if s.answers else None for s in states}
        pids = {s.name: s.pid for s in states}
        running = all(s.answers for s in states)
        typer.echo(json.dumps({**addresses, "dir": str(services.dir), "running": running, "pids": pids}))
    else:
        for s in states:
            state = "answers" if s.answers else "does not answer" if s.pid else "stopped"
            typer.echo(f"{s.name}  {state}" + (f"  {s.address}  pid {s.pid}  log {s.log}" if s.pid else ""))
    if not all(s.answers for s in states):
        raise typer.Exit(3)


@app.command()
def stop(dir: Path | None = DIR) -> None:
    """Stop both and wait until they are gone. Their data stays for the next start."""
    services = _services(dir)
    typer.echo("stopped" if services.stop() else f"nothing runs in {services.dir}")


def _services(dir: Path | None) -> LocalServices:
    settings = local_settings()
    return LocalServices(
        dir or settings.services_dir, settings=settings, say=lambda line: typer.echo(line, err=True)
    )


def _choose(service: Service, named: int | None, default: int) -> None:
    if named == 0:
        running = service.running()
        service.wanted = running.port if running else free_port()
    elif named or not service.last_port:
        service.wanted = named or default
    else:
        service.wanted = service.last_port
