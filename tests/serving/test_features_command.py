"""tidemark features get, as a process would be told to run it."""

from __future__ import annotations

import json

import pytest
from shop import Payment

from tidemark import cli

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


def run(capsys, *words):
    """Exit code, output and the error's text of `tidemark features get`."""
    with pytest.raises(SystemExit) as left:
        cli.main(["features", "get", *words])
    captured = capsys.readouterr()
    return left.value.code or 0, captured.out, captured.err


@pytest.fixture
def recent(shop):
    """A shopper whose events end two seconds ago on the wall clock, which is what the command goes by."""
    history = [Payment("buyer", 4, shop.age(age), 10.0) for age in (2_000, 3_000, HOUR)]
    shop.write("activity", history)
    shop.write("visits", history)
    return shop


def test_a_service_as_json(recent, capsys):
    repo = str(recent.directory)
    words = [
        "--repo",
        repo,
        "--service",
        "scoring",
        "--entity",
        "user_id=buyer",
        "--request",
        "amount=20",
        "--json",
    ]
    code, out, err = run(capsys, *words)
    assert (code, err) == (0, "")
    (row,) = json.loads(out)["rows"]
    assert row["entity"] == {"user_id": "buyer"}
    values = {name: found["value"] for name, found in row["features"].items()}
    assert values == {"activity__count_1m": 2, "activity__mean_7d": 10.0, "against__of_mean": 2.0}
    assert {found["status"] for found in row["features"].values()} == {"PRESENT"}


def test_a_table_says_why_something_is_null(recent, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    recent.write("places", [Payment("newcomer", 1, recent.age(1_000), 1.0)], complete_since=recent.wall(0))
    words = ["--repo", str(recent.directory), "--entity", "user_id=newcomer", "--entity", "user_id=nobody"]
    code, out, _ = run(capsys, *words, "--features", "places:cities_1h,profile:tier")
    assert code == 0
    assert "places__cities_1h" in out
    assert "incomplete until" in out
    assert "NULL_VALUE" in out
    assert "no event of this entity was ever seen" in out


def test_two_keys_and_a_later_moment(recent, capsys):
    repo = str(recent.directory)
    words = ["--repo", repo, "--entity", "user_id=buyer", "--entity", "merchant_id=4", "--json"]
    for moment, count in (("2099-01-01T00:00:00Z", 0), (None, 3)):
        extra = ["--as-of", moment] if moment else []
        code, out, _ = run(capsys, *words, "--features", "visits:count_1d", *extra)
        assert code == 0
        assert json.loads(out)["rows"][0]["features"]["visits__count_1d"]["value"] == count


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (["--service", "nosuch", "--entity", "user_id=u"], "no feature service nosuch: choose from everything, scoring"),
        (["--features", "nosuch:x", "--entity", "user_id=u"], "nosuch"),
        (["--features", "activity:count_1m", "--entity", "user=u"], "no join key user: choose from merchant_id, user_id"),
        (["--features", "activity:count_1m", "--entity", "user_id"], "is not KEY=VALUE"),
        (["--features", "sales:count_1h", "--entity", "merchant_id=x"], "merchant_id is INT64, and 'x' is not"),
        (["--features", "activity:count_1m", "--entity", "merchant_id=1"], "user_id"),
        (["--entity", "user_id=u"], "either --service NAME or --features"),
        (["--features", "activity:count_1m", "--entity", "user_id=u", "--as-of", "noon"], "write it like 2026-"),
        (["--features", "activity:count_1m", "--entity", "user_id=buyer", "--as-of", "2020-01-01T00:00:00Z"], "newest event"),
        (["--service", "scoring", "--entity", "user_id=u", "--request", "sum=1"], "request data is amount"),
        (["--service", "scoring", "--entity", "user_id=u"], "amount"),
    ],
)  # fmt: skip
def test_every_error_is_one_line_with_a_remedy(recent, capsys, words, remedy):
    code, out, err = run(capsys, "--repo", str(recent.directory), *words)
    assert (code, out) == (1, "")
    assert len(err.strip().splitlines()) == 1
    assert remedy in err


def test_a_folder_without_repo_and_a_redis_that_is_away(shop, capsys, tmp_path):
    words = ["--features", "activity:count_1m", "--entity", "user_id=u"]
    code, _, err = run(capsys, "--repo", str(tmp_path), *words)
    assert (code, "there is no feature_store.yaml" in err) == (1, True)
    settings = (shop.directory / "feature_store.yaml").read_text().replace(shop.redis, "127.0.0.1:1")
    (tmp_path / "feature_store.yaml").write_text(settings)
    code, _, err = run(capsys, "--repo", str(tmp_path), *words)
    assert (code, "Redis at 127.0.0.1:1 does not answer" in err) == (1, True)
    assert len(err.strip().splitlines()) == 1
