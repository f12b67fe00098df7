"""tidemark bench serving: what it measures, and what it writes, against an API that listens."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from benchmarks import serving
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
