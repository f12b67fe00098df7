"""A feature service over HTTP: feast serve with the tiled store, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from redis_server import free_port
from shop import Payment

HOUR = 3_600_000


def ask(port, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", data, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read() or b"null")


@pytest.fixture
def server(shop, tmp_path):
    port = free_port()
    command = [
        sys.executable,
        "-c",
        "from feast.cli.cli import cli; cli()",
        "-c",
        str(shop.directory),
        "serve",
    ]
    root = Path(__file__).parents[2]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--no-access-log"],
            cwd=root,
            stdout=log,
            stderr=log,
        )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                ask(port, "/health")
                break
            except (OSError, ValueError):
                assert process.poll() is None, (tmp_path / "log").read_text()[-2000:]
                assert time.monotonic() < deadline, (tmp_path / "log").read_text()[-2000:]
                time.sleep(0.2)
        yield port
    finally:
        process.terminate()
        process.wait(20)


def test_a_feature_service_over_http(shop, server):
    history = [
        Payment("web", 1, shop.age(age), 10.0 + i) for i, age in enumerate((2_000, 10 * 60_000, 2 * HOUR))
    ]
    for view in ("activity", "places"):
        shop.write(view, history)
    body = {
        "feature_service": "everything",
        "entities": {"user_id": ["web", "nobody"]},
        "full_feature_names": True,
    }
    answer = ask(server, "/get-online-features", body)
    names = answer["metadata"]["feature_names"]
    columns = {name: result["values"] for name, result in zip(names, answer["results"], strict=True)}
    statuses = {name: result["statuses"] for name, result in zip(names, answer["results"], strict=True)}
    assert columns["user_id"] == ["web", "nobody"]
    assert columns["activity__count_1m"] == [1, None]
    assert columns["activity__count_1h"] == [2, None]
    assert columns["activity__mean_7d"] == [11.0, None]
    assert columns["places__last_city"] == ["Lisbon", None]
    assert statuses["activity__count_1h"] == ["PRESENT", "NOT_FOUND"]
    assert statuses["activity__std_1h"] == ["PRESENT", "NOT_FOUND"]
    assert columns["profile__tier"] == [None, None]
    again = {**body, "entities": {"user_id": ["web"]}}
    assert ask(server, "/get-online-features", again)["results"][names.index("activity__sum_1h")][
        "values"
    ] == [21.0]
