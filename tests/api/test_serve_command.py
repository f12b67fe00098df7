"""tidemark serve as a process: TLS, a key, a Redis that goes away and comes back, an end with an open stream."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from redis_server import server, wait_for
from shop import Payment, Shop
from typer.testing import CliRunner

from serving.api import keys
from tidemark.cli import app

ROOT = Path(__file__).parents[2]
PEM = ROOT / "tests" / "redis" / "localhost.pem"


def run(*words, **more):
    command = [sys.executable, "-u", "-m", "tidemark.cli", "serve", *words]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, **more)


def ask(url, context, key="", body=None):
    """Status and JSON of an answer, whichever it is."""
    headers = {"X-API-Key": key, "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, data, headers), timeout=20, context=context
        ) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_over_tls_with_a_redis_that_goes_away(tmp_path, redis_free_shop, api_tls):
    shop, store = redis_free_shop
    key, entry = keys.make("team")
    (tmp_path / "keys").write_text(entry.line())
    words = ("--repo", str(shop.directory), "--port", "0", "--keys", str(tmp_path / "keys"), "--no-scores")
    with (tmp_path / "errors").open("wb") as errors:
        process = run(*words, "--follow", "0", "--audit", "", env=api_tls, stderr=errors)
    try:
        url = process.stdout.readline().removeprefix("Tidemark answers at ").strip()
        assert url.startswith("https://127.0.0.1:"), (tmp_path / "errors").read_text()[-2000:]
        context = ssl.create_default_context(cafile=PEM)
        context.check_hostname = False
        wait_for(lambda: answers(url))
        body = {"features": ["activity:count_7d"], "entities": {"user_id": ["web"]}}
        status, found = ask(f"{url}/v1/features", context, key, body)
        assert (status, found["features"]) == (200, {"activity__count_7d": [2]})
        assert ask(f"{url}/v1/features", context, "tdm_other", body)[0] == 401
        with pytest.raises(OSError, match=r"."):
            urllib.request.urlopen(url.replace("https", "http"), timeout=5)

        store.kill()
        status, problem = ask(f"{url}/health/ready", context)
        assert (status, problem["title"]) == (503, "A dependency is away")
        assert problem["dependencies"]["redis"].startswith("away")
        assert ask(f"{url}/health/live", context)[0] == 200
        status, problem = ask(f"{url}/v1/features", context, key, body)
        assert status == 503
        assert "Redis" in problem["detail"]
        store.start()
        shop.write("activity", [Payment("web", 1, shop.age(1_000), 1.0)])
        wait_for(lambda: ask(f"{url}/health/ready", context)[0] == 200)
        assert ask(f"{url}/v1/features", context, key, body)[1]["features"] == {"activity__count_7d": [1]}

        request = urllib.request.Request(f"{url}/v1/alerts/stream", headers={"X-API-Key": key})
        with urllib.request.urlopen(request, timeout=20, context=context) as stream:
            assert stream.readline() == b"retry: 2000\n"
            process.terminate()
            assert process.wait(15) in (0, -15)
            assert stream.read() in (b"\n", b"")
    finally:
        process.kill()
        process.wait()


def answers(url):
    host, port = url.removeprefix("https://").split(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


@pytest.fixture
def redis_free_shop(tmp_path):
    """A shop on a Redis that the test may stop."""
    with server(tmp_path / "redis") as running:
        shop = Shop(tmp_path / "away", running.connection)
        shop.write("activity", [Payment("web", 1, shop.age(age), 5.0) for age in (1_000, 2_000)])
        yield shop, running


@pytest.fixture
def api_tls(monkeypatch):
    import os

    return {**os.environ, "TIDEMARK_API_TLS_CERT": str(PEM), "TIDEMARK_API_TLS_KEY": str(PEM)}


def test_a_new_key_is_shown_once_and_its_entry_opens_what_it_says():
    done = CliRunner().invoke(app, ["serve", "--new-key", "team", "--scopes", "features, alerts"])
    assert done.exit_code == 0
    entry = keys.parse(done.stdout.strip().splitlines()[-1])
    shown = done.stderr.split()[-1]
    assert entry.scopes == {"features", "alerts"}
    assert keys.Keys([entry]).find(shown) == entry
    assert keys.Keys([entry]).find(entry.hash) is None


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "--repo DIR"),
        (["--repo", "nowhere", "--no-auth", "--no-scores"], "no feature_store.yaml in nowhere"),
        (["--repo", ".", "--no-scores"], "--new-key NAME"),
        (["--repo", ".", "--no-auth", "--host", "0.0.0.0"], "for this machine alone"),
        (["--repo", ".", "--port", "99999", "--no-auth"], "TIDEMARK_API_PORT=99999"),
        (["--new-key", "a b"], "NAME:SCOPE"),
        (["--new-key", "a", "--scopes", "all"], "choose from features"),
    ],
)
def test_what_cannot_be_served_is_said_in_one_line(words, says):
    done = CliRunner().invoke(app, ["serve", *words])
    assert says in str(done.exception)
    assert "\n" not in str(done.exception)


def test_a_port_that_is_taken_is_said(api_shop):
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = str(held.getsockname()[1])
        words = [
            "--repo",
            str(api_shop.directory),
            "--no-auth",
            "--no-scores",
            "--follow",
            "0",
            "--port",
            port,
        ]
        done = CliRunner().invoke(app, ["serve", *words])
    assert "name another with --port" in str(done.exception)
