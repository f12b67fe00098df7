"""Settings of the command and of the services on this machine, from TIDEMARK_* variables."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

from pydantic import AliasChoices, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from streaming.errors import TidemarkError

ROOT = Path(__file__).resolve().parent.parent
CHECKOUT = (ROOT / "pyproject.toml").is_file() and (ROOT / "conf" / "ivy.xml").is_file()


def _conf() -> Path:
    return ROOT / "conf" if CHECKOUT else Path(sys.prefix) / "share" / "tidemark" / "conf"


def _cache() -> Path:
    return ROOT / ".cache" if CHECKOUT else Path.home() / ".cache" / "tidemark"


def _services() -> Path:
    return (
        ROOT / "var" / "services" if CHECKOUT else Path.home() / ".local" / "share" / "tidemark" / "services"
    )


class LocalSettings(BaseSettings):
    """Where things lie on this machine. Each field is read from TIDEMARK_<NAME>.

    `ivy_settings` is an ivysettings.xml that names a mirror; `redis_binary` a redis-server or
    valkey-server to run instead of the one found; `broker_heap` a JVM size such as 512m;
    `start_timeout` and `stop_timeout` are seconds.
    """

    model_config = SettingsConfigDict(env_prefix="TIDEMARK_", extra="ignore", populate_by_name=True)

    conf_dir: Path = Field(default_factory=_conf)
    cache_dir: Path = Field(default_factory=_cache)
    services_dir: Path = Field(default_factory=_services)
    kafka_port: int = 9092
    redis_port: int = 6379
    redis_binary: Path | None = None
    java_home: Path | None = Field(
        default=None, validation_alias=AliasChoices("TIDEMARK_JAVA_HOME", "JAVA_HOME", "java_home")
    )
    ivy_settings: Path | None = None
    broker_heap: str = "512m"
    broker_jvm: str = "-XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:TieredStopAtLevel=1"
    """Without the optimising compiler the broker used 3.0 s instead of 4.9 s of CPU to start, and 1.3 s
    instead of 3.2 s for every half million events; on a machine of many cores, drop that option."""
    bootstrap: str = "127.0.0.1:9092"
    start_timeout: float = 60
    stop_timeout: float = 20


@cache
def local_settings() -> LocalSettings:
    """The settings of this process, read once. Raises TidemarkError naming a wrong variable."""
    try:
        return LocalSettings()
    except ValidationError as wrong:
        first = wrong.errors()[0]
        name = "_".join(str(part) for part in first["loc"]).upper().removeprefix("TIDEMARK_")
        raise TidemarkError(
            f"TIDEMARK_{name}={first['input']}: {first['msg']}; correct it or unset it"
        ) from None
