"""The lane, the store and a reader against a Redis that wants TLS and users with few rights."""

from __future__ import annotations

import json
import random
import re
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from certificates import Authority
from secure_redis import SecureRedis, secure_redis

sys.path.insert(0, str(Path(__file__).parents[1] / "lane"))

from lane_orders import Good, order
from lane_world import World

from streaming.errors import ServiceError
from streaming.redis.bulk import Bulk
from streaming.redis.target import RedisTarget, masked, with_password

DOCS = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
PROJECT = "tidemark"


def documented(project: str) -> list[str]:
    """The ACL that docs/security.md tells to use, with the passwords and project of the test."""
    (block,) = re.findall(r"^```text\n(user default.*?)^```$", DOCS, re.DOTALL | re.MULTILINE)
    return [line.replace("PROJECT", project) for line in block.splitlines() if line]


@pytest.fixture
def world(tmp_path: Path, kafka: str, topic: Callable[..., str]) -> Iterator[tuple[World, SecureRedis]]:
    folder = tmp_path / f"shop_{uuid.uuid4().hex[:8]}"
    with secure_redis(tmp_path / "redis", Authority(tmp_path), documented(folder.name)) as held:
        (tmp_path / "word").write_text("LANE_PASSWORD\n")
        secret = f"{held.connection},username=lane,password_file={tmp_path / 'word'}"
        yield World.make(folder, kafka, secret, topic), held


def test_lane_and_readers_have_the_rights_they_need_and_no_more(world, spark, tmp_path: Path) -> None:
    shop, held = world
    now = int(time.time() * 1000)
    events = [order(random.Random(n), n, now - n * 1000, user_id="user 1") for n in range(5)]

    shop.send(("orders", 0, json.dumps(e).encode(), Good(now, e)) for e in events)
    (line,) = shop.run(spark, views=["user_orders"])
    assert line["views"]["user_orders"]["used"] == 5

    (tmp_path / "word").write_text("READER_PASSWORD")
    shop.redis = shop.redis.replace("username=lane", "username=reader")
    shop.apply()
    shop.now = now
    read = (
        shop.store().get_online_features(["user_orders:all_count_600_30"], [{"user_id": "user 1"}]).to_dict()
    )
    assert read["all_count_600_30"] == [5]

    client = shop.store()._get_provider().online_store._get_client(shop.store().config.online_store)
    (key,) = [key for key in held.plain.scan_iter("*") if key.endswith(shop.project.encode())]
    for words in (
        ("HSET", key, "a", "b"),
        ("DEL", key),
        ("FLUSHALL",),
        ("CONFIG", "GET", "*"),
        ("KEYS", "*"),
        ("SCAN", 0),
    ):
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.execute_command(*words)
    for words in (("HGETALL", "another-project"), ("HGETALL", b"\x01entity-of-" + b"other")):
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.execute_command(*words)


def test_the_lanes_user_can_neither_empty_nor_reconfigure_redis(world, tmp_path: Path) -> None:
    _, held = world
    with Bulk(RedisTarget(f"{held.connection},username=lane,password=LANE_PASSWORD")) as bulk:
        for words in (
            ("FLUSHALL",),
            ("CONFIG", "SET", "maxmemory-policy", "allkeys-lru"),
            ("REPLICAOF", "NO", "ONE"),
            ("ACL", "LIST"),
        ):
            with pytest.raises(ServiceError, match="NOPERM"):
                bulk.command(*words)


def test_without_user_or_authority_nobody_comes_in(world) -> None:
    _, held = world
    with (
        pytest.raises(ServiceError, match=r"refuses|NOAUTH|away"),
        Bulk(RedisTarget(held.connection)) as bulk,
    ):
        bulk.command("HGETALL", "x")
    with pytest.raises(ServiceError, match="refuses the login"):
        Bulk(RedisTarget(f"{held.connection},username=lane,password=wrong"))
    other = held.connection.split(",ssl_ca_certs")[0]
    with pytest.raises(ServiceError, match=r"(?i)certificate"):
        Bulk(RedisTarget(f"{other},username=lane,password=LANE_PASSWORD"))


def test_a_password_comes_from_a_file_and_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "word").write_text("hush\n")
    target = RedisTarget(f"localhost:6379,username=lane,password_file={tmp_path / 'word'}")
    assert target.options == {"username": "lane", "password": "hush"}
    assert "hush" not in str(target)
    assert masked(target.connection) == "localhost:6379,username=lane,password=***"
    with pytest.raises(ServiceError, match="password_file"):
        with_password("localhost:6379,password_file=/nowhere")
    (tmp_path / "word").write_text("a,b")
    with pytest.raises(ServiceError, match="comma"):
        with_password(f"localhost:6379,password_file={tmp_path / 'word'}")
