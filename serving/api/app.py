"""The application: what it holds, and its routes."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from feast import FeatureStore

from serving.api import alerts, entities, features, health, page, problems, score
from serving.api.access import Access
from serving.api.audit import Audit
from serving.api.catalog import Catalog
from serving.api.feed import Feed
from serving.api.follow import Follower
from serving.api.gate import Gate
from serving.api.read import FeatureReader
from serving.api.recent import Recent
from serving.api.scorer import EventScorer
from serving.api.settings import ApiSettings
from streaming import definitions, garbage
from streaming.errors import DefinitionError

ABOUT = (
    "Features computed at the moment of the read, scores that include the event they are for, and why. "
    "Errors are problem details (RFC 9457)."
)


class Api(FastAPI):
    """A FastAPI whose every answer, errors included, passes the gate."""

    gate: dict[str, Any]

    def build_middleware_stack(self) -> Any:
        return Gate(super().build_middleware_stack(), **self.gate)


def create(repo: Path, settings: ApiSettings, spark: Callable[[], Any] | None = None) -> Api:
    """The API over an applied Feast repo; `spark` starts the session that scores events need.

    Raises TidemarkError when it cannot run with these settings.
    """
    audit = Audit(settings.api_audit, settings.api_audit_key.get_secret_value())
    access = Access(settings, audit)
    store = _open(repo)
    plan = definitions.load(store)
    if settings.kafka:
        plan = plan.at(settings.kafka)
    reader, catalog = FeatureReader(store), Catalog(store, plan)
    scorer = EventScorer(store, plan, reader.target, spark) if spark and settings.api_scores else None
    feed, recent = Feed(), Recent()
    follower = None
    if settings.api_follow:
        topics = {
            "updates": settings.updates_topic,
            "scores": settings.scores_topic,
            "alerts": settings.alerts_topic,
        }
        follower = Follower(plan, recent, feed, topics, settings.api_follow, catalog.scored())

    @asynccontextmanager
    async def running(app: FastAPI) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        app.state.end = lambda: loop.call_soon_threadsafe(app.state.closing.set)
        _at_signals(app.state.end)
        if follower:
            follower.start()
        garbage.spare(thoroughly=True)
        if scorer:
            scorer.start()
        yield
        if follower:
            await follower.stop()
        reader.line.close()
        if scorer:
            scorer.close()
        app.state.threads.shutdown()
        app.state.scoring.shutdown()

    app = Api(
        title="Tidemark",
        version="1",
        description=ABOUT,
        docs_url=None,
        redoc_url=None,
        lifespan=running,
    )
    app.gate = {"max_body": settings.api_max_body, "audit": audit, "tls": bool(settings.api_tls_cert)}
    state = app.state
    state.settings, state.access, state.audit = settings, access, audit
    # A thread that computes lets another one answer sooner than after Python's 5 ms.
    sys.setswitchinterval(0.0005)
    state.threads = ThreadPoolExecutor(settings.api_threads, thread_name_prefix="read")
    state.scorer, state.scoring = scorer, ThreadPoolExecutor(1, thread_name_prefix="score")
    state.reader, state.catalog = reader, catalog
    state.streams, state.closing = 0, asyncio.Event()
    state.feed, state.recent, state.follower = feed, recent, follower
    problems.install(app)
    for router in (features.router, score.router, entities.router, alerts.router, health.router, page.router):
        app.include_router(router)
    return app


def _at_signals(end: Callable[[], object]) -> None:
    """Let a signal also end streams, which the server would wait for."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        before = signal.getsignal(number)

        def ended(number: int, frame: Any, before: Any = before) -> None:
            end()
            before(number, frame)

        if callable(before):
            signal.signal(number, ended)


def _open(repo: Path) -> FeatureStore:
    if not (repo / "feature_store.yaml").is_file():
        raise DefinitionError(f"there is no feature_store.yaml in {repo}: name the folder of a Feast repo")
    return FeatureStore(repo_path=str(repo))
