"""What every request passes: a size limit, a number, safe headers, a count and a line of the audit log."""

from __future__ import annotations

import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.exceptions import HTTPException

from serving.api import metrics, problems
from serving.api.audit import Audit

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

SAFE = [
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


class Gate:
    """ASGI middleware around `app`; bodies above `max_body` bytes are refused before they are read whole."""

    def __init__(self, app: Any, max_body: int, audit: Audit, tls: bool = False) -> None:
        self.app, self.max_body, self.audit = app, max_body, audit
        self.too_large = f"the body is above {max_body:,} bytes: send fewer entities at a time"
        self.headers = [*SAFE, (b"strict-transport-security", b"max-age=31536000")] if tls else SAFE

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        number = uuid.uuid4().hex[:16]
        state = scope.setdefault("state", {})
        state["request_id"] = number
        began, seen, status = time.perf_counter(), 0, 500

        async def limited() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self.max_body:
                # Of this kind FastAPI makes no other error while it reads a body.
                raise HTTPException(413, self.too_large)
            return message

        async def marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                cached = any(name == b"cache-control" for name, _ in message["headers"])
                message["headers"] = [
                    *message["headers"],
                    *self.headers,
                    *([] if cached else [(b"cache-control", b"no-store")]),
                    (b"x-request-id", number.encode()),
                ]
            await send(message)

        try:
            if self._declared(scope) > self.max_body:
                await problems.answer(413, self.too_large)(scope, receive, marked)
            else:
                await self.app(scope, limited, marked)
        finally:
            self._note(scope, state, status, time.perf_counter() - began)

    @staticmethod
    def _declared(scope: MutableMapping[str, Any]) -> int:
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit():
                return int(value)
        return 0

    def _note(
        self, scope: MutableMapping[str, Any], state: dict[str, Any], status: int, seconds: float
    ) -> None:
        route = getattr(scope.get("route"), "path", "other")
        metrics.REQUESTS.labels(route, scope["method"], str(status)).inc()
        if not state.get("endless"):
            metrics.SECONDS.labels(route).observe(seconds)
        if route.startswith("/v1") or status in (401, 403, 413):
            action = f"{scope['method']} {route}"
            details = state.get("details", {})
            self.audit.write(state["request_id"], state.get("caller", ""), action, status, seconds, **details)
