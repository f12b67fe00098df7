"""The HTTP API of the feature store."""

from examples.feature_store_api.api.app import create_app

__all__ = ["create_app"]
