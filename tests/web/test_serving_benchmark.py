"""tidemark bench serving: what it measures, and what it writes, against an API that listens."""

from __future__ import annotations

import json
import time

import pytest
from fastapi.testclient import TestClient
from feast import FeatureStore
from feast.feature_server import get_app
from typer.testing import CliRunner

from benchmarks import serving
from serving.api.app import create
from serving.api.settings import ApiSettings
from streaming.errors import ServiceError
from tidemark.cli import app


def test_a_server_is_measured_and_drawn(serve, tmp_path):
    address, _ = serve(api_auth=False, api_follow=0)
    words = ["--server-url", address, "--batch-sizes", "1,3", "--num-requests", "10", "--concurrency", "2"]
    words += ["--profile", "small,with_odfv", "--output", str(tmp_path / "out" / "serving"), "--json"]
    done = CliRunner().invoke(app, ["bench", "serving", *words])
    assert done.exit_code == 0, done.exception
    found = json.loads(done.stdout)
    assert found == json.loads((tmp_path / "out" / "serving.json").read_text())
    assert (tmp_path / "out" / "serving.png").read_bytes().startswith(b"\x89PNG")
    assert found["profiles"].keys() == {"small", "with_odfv"}
    for rows in found["profiles"].values():
        assert [(row["batch"], row["requests"]) for row in rows] == [(1, 10), (3, 10)]
        assert all(0 < row["tidemark"]["p50_ms"] <= row["tidemark"]["p99_ms"] for row in rows)
    wanted = ["--feature-service", "cross_event", "--entity-key", "user_id", "--server-url", address]
    done = CliRunner().invoke(
        app, ["bench", "serving", *wanted, "--batch-sizes", "2", "--num-requests", "5", "--json"]
    )
    assert json.loads(done.stdout)["profiles"].keys() == {"given"}


def test_a_refusal_is_an_error_and_not_a_fast_answer(serve):
    address, _ = serve(api_auth=False, api_follow=0)
    wrong = serving.Wanted("no_such_service")
    with pytest.raises(ServiceError, match="answered 422"):
        serving.measure(
            serving.ours(address), wanted=wrong, size=1, requests=2, clients=1, entities=3, seed=0
        )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--profile", "huge"], "choose from small, medium, large, with_odfv, all"),
        (["--feature-service", "a", "--features", "b:c"], "either --feature-service or --features"),
        (["--server-url", "http://127.0.0.1:9"], "nobody answers at"),
    ],
)
def test_what_cannot_be_measured_is_said(words, says):
    done = CliRunner().invoke(app, ["bench", "serving", *words])
    assert says in str(done.exception)


@pytest.mark.parametrize("profile", ["small", "medium", "with_odfv"])
def test_both_servers_are_asked_the_same_and_answer_the_same(seen, profile):
    """Feast's own application, in this process, beside ours on the same Redis and clock."""
    now = time.time_ns() // 1_000_000
    fields = {"amount": 50.0, "merchant_id": "M", "location": "US", "category": "gas", "online": 1}
    paid = [(now - age * 60_000, {**fields, "risk_score": 0.5, "user_id": "U"}) for age in (1, 9, 500)]
    users, merchants = (serving.KEYS[key].format(7) for key in ("user_id", "merchant_id"))
    seen.write("user_transactions", users, paid)
    seen.write("merchant_transactions", merchants, paid)
    wanted = serving.PROFILES[profile]
    entities = {key: [serving.KEYS[key].format(n) for n in (7, 8)] for key in wanted.keys}
    app = create(seen.folder, ApiSettings(api_auth=False, api_follow=0, api_audit=""))
    feast = FeatureStore(repo_path=str(seen.folder))  # its asynchronous client belongs to one event loop
    answers = []
    for store, served, make in (
        (app.state.reader.store, app, serving.ours),
        (feast, get_app(feast), serving.feasts),
    ):
        store._get_provider().online_store.clock = lambda: now
        server = make("")
        with TestClient(served) as client:
            answer = client.post(server.path, json=server.body(wanted, entities, 2))
        assert answer.status_code == 200, answer.text
        answers.append(answer.json())
    ours, theirs = answers
    names, columns = theirs["metadata"]["feature_names"], theirs["results"]
    found = {n: c["values"] for n, c in zip(names, columns, strict=True) if "__" in n}
    assert ours["features"].keys() == found.keys()
    for name, values in found.items():
        assert ours["features"][name] == pytest.approx(values), name
