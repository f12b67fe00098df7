"""Kafka and Redis as child processes."""

from tidemark.services.local import Endpoints, LocalServices, ServiceStatus

__all__ = ["Endpoints", "LocalServices", "ServiceStatus"]
