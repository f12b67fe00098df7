"""The application: routes, and what a caller hears when a store is away."""

from __future__ import annotations

import psycopg
import redis
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from examples.feature_store_api.api import live, stored
from examples.feature_store_api.online import Online
from examples.feature_store_api.settings import FraudSettings
from examples.feature_store_api.warehouse import Warehouse
from streaming.errors import DefinitionError

PREFIX = "/api/v1"


def create_app(settings: FraudSettings, warehouse: Warehouse, online: Online) -> FastAPI:
    """The API over these stores. Raises DefinitionError when no caller is known."""
    if not settings.api_keys:
        raise DefinitionError(
            "the API has no keys: set TIDEMARK_FRAUD_API_KEYS to a JSON object such as "
            '{"trainer": {"sha256": "...", "role": "reader"}}'
        )
    app = FastAPI(title="Fraud feature store", version="1")
    app.state.settings, app.state.warehouse, app.state.online = settings, warehouse, online
    app.include_router(stored.router, prefix=PREFIX)
    app.include_router(live.router, prefix=PREFIX)

    @app.get("/")
    def root() -> dict[str, str]:
        return {"message": "Fraud feature store: see /docs"}

    @app.exception_handler(psycopg.OperationalError)
    def postgres_away(_: Request, __: psycopg.OperationalError) -> JSONResponse:
        return JSONResponse(
            {"detail": "PostgreSQL does not answer: try again later"}, 503, {"Retry-After": "5"}
        )

    def redis_away(_: Request, __: Exception) -> JSONResponse:
        return JSONResponse({"detail": "Redis does not answer: try again later"}, 503, {"Retry-After": "5"})

    for kind in (redis.ConnectionError, redis.TimeoutError):
        app.add_exception_handler(kind, redis_away)
    return app
