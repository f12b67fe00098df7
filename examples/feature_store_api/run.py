"""The feature store example: stream, store, serve, train with and without it, and show what that is worth."""

from __future__ import annotations

import secrets
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from examples.feature_store_api.settings import FraudSettings, Key
from streaming.errors import TidemarkError

if TYPE_CHECKING:
    from examples.feature_store_api.world import World


def run(
    events: int = typer.Option(0, "--events", help="Payments to simulate [default: 150000]"),
    library: str = typer.Option("", "--library", help="torch or sklearn [default: torch if it is installed]"),
    serve: bool = typer.Option(False, "--serve", help="Then keep the API running, until Ctrl-C"),
    port: int = typer.Option(8_010, "--port", help="Port of the API"),
    publish: bool = typer.Option(
        False, "--publish", help="Write tables and picture into this example's README"
    ),
) -> None:
    """Build the feature store, use its API, and measure what it is worth."""
    from examples.feature_store_api.network import trainer

    name, train = trainer(library)
    if "PyTorch" not in name:
        _say("PyTorch is not installed: training scikit-learn's network of the same shape instead")
    from examples.feature_store_api import inference, report, training
    from examples.feature_store_api.world import spark, world

    # Feast's, of things that are as they should be; it sets filters of its own when it is imported.
    warnings.filterwarnings("ignore")
    settings = FraudSettings.model_validate({"events": events} if events else {})
    keys = {role: secrets.token_urlsafe(24) for role in ("reader", "writer", "admin")}
    settings.api_keys.update({role: _key(key, role) for role, key in keys.items()})
    with world(settings, _say) as held:
        _say(f"sending {settings.events:,} payments of {settings.days:g} days")
        held.produce(time.time())
        _say("running the lanes over them, and computing features as of each payment")
        session = spark()
        held.compute(session)
        session.stop()
        held.follow()
        with _served(held, port) as address:
            _tour(address, keys)
            _say(f"training {training.RUNS} models with the store and {training.RUNS} without ({name})")
            store, raw, model, differing = training.run(held, train)
            _say("reading features of cards from the store, and computing them of raw payments")
            readings = inference.run(held, model)
            with held.warehouse.connect() as db:
                (frauds,) = db.execute("SELECT sum(is_fraud) FROM credit_card_features").fetchone() or (0,)
            made = report.Report(name, held.rows, int(frauds), store, raw, differing, readings)
            typer.echo(f"\n{made.markdown}\n")
            picture = settings.folder / "results.png"
            made.draw(picture)
            typer.echo(f"picture: {picture}")
            if publish:
                report.publish(made)
            if serve:
                typer.echo(f"{address}/docs\n" + "\n".join(f"  {role}: {key}" for role, key in keys.items()))
                with _until_interrupted():
                    threading.Event().wait()


def _key(key: str, role: str) -> Key:
    from examples.feature_store_api.api.auth import digest

    return Key(sha256=digest(key), role=role)  # type: ignore[arg-type]


@contextmanager
def _served(held: World, port: int) -> Iterator[str]:
    """The API in a thread of this process; its address."""
    import uvicorn

    from examples.feature_store_api.api import create_app

    app = create_app(held.settings, held.warehouse, held.online)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        if not thread.is_alive():
            raise TidemarkError(f"the API cannot listen on port {port}: choose another --port")
        time.sleep(0.05)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)


def _tour(address: str, keys: dict[str, str]) -> None:
    """Call the routes once, and say what they answer."""
    import httpx

    with httpx.Client(base_url=f"{address}/api/v1", timeout=120) as client:
        steps = (
            ("reader", "GET", "/features/bulk?limit=1"),
            ("writer", "POST", "/features/sync"),
            ("writer", "POST", "/features/sync?direction=redis-to-postgres"),
            ("reader", "GET", "/redis/transactions/bulk?limit=1"),
            ("reader", "DELETE", "/features/clear"),
        )
        for role, method, path in steps:
            answer = client.request(method, path, headers={"X-API-Key": keys[role]})
            typer.echo(f"  {method} {path} as {role}: {answer.status_code} {answer.text[:300]}")


@contextmanager
def _until_interrupted() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("")


def _say(text: str) -> None:
    typer.echo(f"... {text}", err=True)


def main() -> None:
    """Run the command; an error of ours is one line."""
    try:
        typer.run(run)
    except TidemarkError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
