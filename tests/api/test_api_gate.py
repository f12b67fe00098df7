"""What every request passes: sizes, headers, the audit log, errors nobody expected."""

from __future__ import annotations

import json
import re
from pathlib import Path

import prometheus_client
import pytest

from serving.api import keys, metrics
from serving.api.audit import Audit
from streaming.errors import ServiceError

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
BODY = {"features": ["activity:count_1h"], "entities": {"user_id": ["ada@example.com", "U2"]}}


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_body_is_bounded_whether_it_says_its_size_or_not(client):
    api = client(api_max_body=2_000)
    assert api.post("/v1/features", json=BODY).status_code == 200
    large = json.dumps({**BODY, "entities": {"user_id": ["x" * 50] * 100}}).encode()
    read = []

    def pieces():
        for start in range(0, len(large), 500):
            read.append(start)
            yield large[start : start + 500]

    for content in (large, pieces()):
        answer = api.post("/v1/features", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == 413, answer.text
        assert answer.json()["detail"].startswith("the body is above 2,000 bytes")
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"entities": 1}', b"[" * 100_000])
def test_what_is_no_request_is_a_problem(client, content):
    answer = client().post("/v1/features", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.json()["status"] == answer.status_code


def test_every_answer_has_safe_headers_and_a_number(client):
    api = client()
    for answer in (
        api.get("/health/live"),
        api.get("/nothing"),
        api.get("/"),
        api.post("/v1/features", json={}),
    ):
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert len(answer.headers["x-request-id"]) == 16
    assert api.get("/health/live").headers["cache-control"] == "no-store"
    assert api.get("/web/../../pyproject.toml").status_code == 404
    assert api.get("/web/%2e%2e%2fapi%2fkeys.py").status_code == 404


def test_the_audit_log_says_who_and_what_but_not_about_whom(client, tmp_path):
    file = tmp_path / "audit.jsonl"
    key, entry = keys.make("team", ["features", "entities"])
    api = client(api_auth=True, api_keys=entry.line(), api_audit=str(file), api_audit_key="salt")
    answer = api.post("/v1/features", json=BODY, headers={"X-API-Key": key})
    api.get("/v1/entities/user/ada@example.com", headers={"X-API-Key": key})
    api.get("/v1/alerts", headers={"X-API-Key": key})
    api.post("/v1/features", json=BODY, headers={"X-API-Key": "tdm_wrong"})
    api.get("/health/live")
    read, one, forbidden, unknown = lines(file)
    assert (read["caller"], read["action"], read["status"]) == ("key:team", "POST /v1/features", 200)
    assert (read["rows"], read["features"], read["request"]) == (2, 1, answer.headers["x-request-id"])
    assert one["action"] == "GET /v1/entities/{type}/{id}"
    assert one["entities"] == read["entities"][:1] == [Audit("", "salt").hash("ada@example.com")]
    assert (forbidden["status"], unknown["status"], unknown["caller"]) == (403, 401, "")
    text = file.read_text()
    for secret in ("ada", "example.com", "U2", key, "tdm_wrong", "127.0.0.1"):
        assert secret not in text
    assert Audit("", "other").hash("U2") != Audit("", "salt").hash("U2")


def test_an_error_nobody_expected_tells_its_number_alone(client, caplog):
    api = client()

    @api.app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("the secret of the house")

    answer = api.get("/broken")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.headers["x-request-id"] in answer.json()["detail"]
    assert "the secret of the house" in caplog.text


def test_metrics_count_requests_by_route(client):
    api = client()
    api.get("/v1/entities/user/U1")
    text = api.get("/metrics").text
    assert 'tidemark_api_requests_total{method="GET",route="/v1/entities/{type}/{id}",status="200"}' in text
    assert 'tidemark_api_seconds_bucket{le="0.01",route="/v1/entities/{type}/{id}"}' in text
    assert "U1" not in text


def test_the_page_lists_every_metric_with_its_labels():
    declared = {}
    for metric in vars(metrics).values():
        if isinstance(metric, prometheus_client.metrics.MetricWrapperBase):
            suffix = "_total" if isinstance(metric, prometheus_client.Counter) else ""
            declared[metric._name + suffix] = [*metric._labelnames], metric._documentation
    rows = re.findall(r"^\| `(tidemark_api_\w+)` \|(.*)\| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    assert {name: (re.findall(r"`(\w+)`", labels), text) for name, labels, text in rows} == declared


def test_an_audit_log_that_cannot_be_written_is_said_at_the_start(tmp_path):
    with pytest.raises(ServiceError, match="TIDEMARK_API_AUDIT"):
        Audit(str(tmp_path / "none" / "log"))
