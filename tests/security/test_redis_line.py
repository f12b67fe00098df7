"""Small reads of the API over TLS."""

from __future__ import annotations

import asyncio
from pathlib import Path

from certificates import Authority
from secure_redis import secure_redis

from serving.api.line import Line
from streaming.redis.target import RedisTarget


def test_many_reads_on_one_connection_with_tls(tmp_path: Path) -> None:
    """Replies longer than a record of TLS, requests longer than what the socket takes, and short ones between."""
    authority = Authority(tmp_path)
    user = "user reader on >secret ~* +@all"
    with secure_redis(tmp_path / "redis", authority, [user]) as held:
        target = RedisTarget(f"{held.connection},username=reader,password=secret")

        async def run() -> None:
            line = Line(target)
            while not await line.replies([("PING",)]):
                await asyncio.sleep(0.02)
            sent = [b"%d" % i * (1 << (i % 22)) for i in range(66)]
            asked = (line.replies([("ECHO", one), ("ECHO", b"end")]) for one in sent)
            assert await asyncio.gather(*asked) == [[one, b"end"] for one in sent]
            line.close()

        asyncio.run(asyncio.wait_for(run(), 60))
