"""Runs the API with uvicorn: one process or several on one port, with TLS or without."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.supervisors import Multiprocess

from serving.api.app import create
from serving.api.settings import ApiSettings
from streaming.errors import ServiceError


def run(
    repo: Path,
    settings: ApiSettings,
    say: Callable[[str], None] = lambda _: None,
    jars: Sequence[Path] = (),
) -> None:
    """Serve until a signal ends it; requests that are under way are finished first.

    `jars` go on the class path of the JVM that scores events. `say` gets the address once the port is held. Raises TidemarkError when the API cannot run, ServiceError when the port or the certificate cannot be used.
    """
    _certificates(settings)
    # Made here as well with several processes: what is wrong is said once and at once.
    spark = partial(_session, tuple(jars), settings.api_driver_memory) if settings.api_scores else None
    app = create(repo, settings, spark)
    config = uvicorn.Config(
        app if settings.api_workers == 1 else partial(create, repo.resolve(), settings, spark),
        factory=settings.api_workers > 1,
        host=settings.api_host,
        port=settings.api_port,
        workers=settings.api_workers,
        log_level=logging.WARNING,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=5,
        limit_concurrency=1_000,
        **_tls(settings),
    )
    try:
        socket = config.bind_socket()
    except SystemExit:
        raise ServiceError(
            f"port {settings.api_port} of {settings.api_host} cannot be had: name another with --port"
        ) from None
    say(settings.model_copy(update={"api_port": socket.getsockname()[1]}).url)
    if settings.api_workers == 1:
        uvicorn.Server(config).run(sockets=[socket])
    else:
        Multiprocess(config, sockets=[socket]).run()


def _session(jars: tuple[Path, ...], memory: str) -> Any:
    from streaming.session import PREPARING, build

    return build("tidemark-api", master="local[1]", jars=jars, driver_memory=memory, conf=PREPARING)


def _tls(settings: ApiSettings) -> dict[str, Any]:
    if settings.api_tls_cert is None:
        return {}
    options: dict[str, Any] = {
        "ssl_certfile": str(settings.api_tls_cert),
        "ssl_keyfile": str(settings.api_tls_key),
    }
    if settings.api_tls_client_ca:
        options |= {"ssl_ca_certs": str(settings.api_tls_client_ca), "ssl_cert_reqs": ssl.CERT_REQUIRED}
    return options


def _certificates(settings: ApiSettings) -> None:
    """Raises ServiceError when the files of TLS do not belong together."""
    if settings.api_tls_cert is None:
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(settings.api_tls_cert, settings.api_tls_key)
        if settings.api_tls_client_ca:
            context.load_verify_locations(settings.api_tls_client_ca)
    except (OSError, ssl.SSLError) as error:
        raise ServiceError(
            f"TLS with {settings.api_tls_cert} and {settings.api_tls_key} cannot be had ({error}): "
            "correct TIDEMARK_API_TLS_CERT, TIDEMARK_API_TLS_KEY and TIDEMARK_API_TLS_CLIENT_CA"
        ) from error
