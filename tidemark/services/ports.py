"""Ports of the loopback interface."""

from __future__ import annotations

import random
import socket

import psutil

from streaming.errors import ServiceError

HOST = "127.0.0.1"


def free_port() -> int:
    """A port that is free now, below the range that outgoing connections take theirs from."""
    for _ in range(200):
        port = random.randint(20000, 32000)
        if is_free(port):
            return port
    raise ServiceError("no free port between 20000 and 32000: stop some programs, or name a port")


def is_free(port: int) -> bool:
    """Whether nothing listens on `port` of the loopback interface, nor anything keeps it from us."""
    with socket.socket() as probe:
        probe.settimeout(1)
        if probe.connect_ex((HOST, port)) == 0:
            return False
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def owner(port: int) -> str:
    """` by name (pid n)` of the program that listens on `port`, or nothing when it is not ours to see."""
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except (psutil.AccessDenied, psutil.NoSuchProcess):
        return ""
    return ""
