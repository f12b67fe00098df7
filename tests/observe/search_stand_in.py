"""As much of Elasticsearch as the bulk API: documents by index and id, and failures on demand."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class StandIn:
    """`fail` answers every request with a status; `refuse` every document with a word in it."""

    url: str = ""
    indices: dict[str, dict[str, Any]] = field(default_factory=dict)
    requests: int = 0
    fail: int = 0
    refuse: str = ""
    keys: set[str] = field(default_factory=set)

    def bulk(self, index: str, body: str) -> dict[str, Any]:
        lines = body.splitlines()
        items = []
        for action, document in zip(lines[::2], lines[1::2], strict=True):
            identity = json.loads(action)["index"]["_id"]
            if self.refuse and self.refuse in document:
                error = {"type": "document_parsing_exception", "reason": "failed to parse field [amount]"}
                items.append({"index": {"_id": identity, "status": 400, "error": error}})
                continue
            self.indices.setdefault(index, {})[identity] = json.loads(document)
            items.append({"index": {"_id": identity, "status": 201}})
        return {"took": 1, "errors": any("error" in i["index"] for i in items), "items": items}


@contextmanager
def search() -> Iterator[StandIn]:
    """Runs until the end of the context."""
    held = StandIn()

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.do_POST()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            held.requests += 1
            held.keys.add(self.headers.get("Authorization", ""))
            index = self.path.strip("/").split("/")[0]
            answer = {"error": {"reason": "away"}} if held.fail else held.bulk(index, body)
            text = json.dumps(answer).encode()
            self.send_response(held.fail or 200)
            # Without it the official client takes nothing for Elasticsearch.
            self.send_header("X-Elastic-Product", "Elasticsearch")
            self.send_header("Content-Type", self.headers.get("Accept", "application/json"))
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    held.url = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield held
    finally:
        server.shutdown()
        server.server_close()
