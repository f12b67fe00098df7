"""Kafka's admin client, without its running commentary."""

from __future__ import annotations

import logging

from confluent_kafka.admin import AdminClient

from streaming import kafka

_MUTE = logging.getLogger("tidemark.kafka.client")
_MUTE.disabled = True  # every refused connection would be a line; the caller reports it once


def admin(bootstrap: str) -> AdminClient:
    """A client for `bootstrap`. It connects when first asked, and says nothing on its own."""
    quiet = {"socket.connection.setup.timeout.ms": 3000, "log_level": 0}
    return AdminClient(kafka.client(bootstrap, quiet), logger=_MUTE)
