"""What a person may set for `tidemark watch`."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class WatchSettings(BaseSettings):
    """Each field is read from TIDEMARK_<NAME>. `watch` are addresses of metrics, with commas or spaces between them;
    `watch_interval` is in seconds."""

    model_config = SettingsConfigDict(env_prefix="TIDEMARK_", extra="ignore")

    watch: str = "127.0.0.1:9400"
    watch_interval: float = Field(1.0, gt=0)
    alerts_topic: str = "alerts"
    bootstrap: str = "127.0.0.1:9092"

    @property
    def addresses(self) -> tuple[str, ...]:
        """Whole addresses: a scheme and a path are added where they are left out."""
        words = self.watch.replace(",", " ").split()
        return tuple(_whole(word) for word in words)


def _whole(word: str) -> str:
    address = word if "://" in word else f"http://{word}"
    return address if address.count("/") > 2 else f"{address}/metrics"
