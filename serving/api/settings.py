"""What a person may set for the HTTP API, by option, or by an environment variable named TIDEMARK_<NAME>."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from streaming.errors import ServiceError


class ApiSettings(BaseSettings):
    """Settings of the HTTP API; docs/configure.md says what each one means.

    Sizes are in bytes. Raises ServiceError for settings that would leave the API open, or exclude each other.
    """

    model_config = SettingsConfigDict(env_prefix="TIDEMARK_", extra="ignore", validate_default=True)

    api_host: str = "127.0.0.1"
    api_port: int = Field(8080, ge=0, le=65_535)
    api_workers: int = Field(1, gt=0)
    api_auth: bool = True
    api_keys: str = ""
    api_keys_file: Path | None = None
    api_issuer: str = ""
    api_audience: str = ""
    api_jwks: str = ""
    api_tls_cert: Path | None = None
    api_tls_key: Path | None = None
    api_tls_client_ca: Path | None = None
    api_max_body: int = Field(1_048_576, gt=0)
    api_max_entities: int = Field(1_000, gt=0)
    api_max_streams: int = Field(100, gt=0)
    api_audit: str = "-"
    api_audit_key: SecretStr = SecretStr("")
    api_follow: int = Field(50_000, ge=0)
    api_threads: int = Field(2, gt=0)
    api_scores: bool = True
    api_driver_memory: str = "512m"
    scores_topic: str = "risk-scores"
    alerts_topic: str = "alerts"
    updates_topic: str = "feature-updates"
    kafka: str | None = None

    @model_validator(mode="after")
    def _safe(self) -> Self:
        if not self.api_auth and not self.local:
            raise ServiceError(
                f"TIDEMARK_API_AUTH=false is for this machine alone: set TIDEMARK_API_HOST=127.0.0.1 "
                f"instead of {self.api_host}, or let callers name themselves"
            )
        if bool(self.api_issuer) != bool(self.api_audience):
            raise ServiceError(
                "a token must be meant for this API: set TIDEMARK_API_ISSUER and TIDEMARK_API_AUDIENCE together"
            )
        if self.api_jwks and not self.api_issuer:
            raise ServiceError("TIDEMARK_API_JWKS is of an issuer: set TIDEMARK_API_ISSUER too")
        if bool(self.api_tls_cert) != bool(self.api_tls_key):
            raise ServiceError("TLS needs both TIDEMARK_API_TLS_CERT and TIDEMARK_API_TLS_KEY: set the other")
        if self.api_tls_client_ca and not self.api_tls_cert:
            raise ServiceError(
                "client certificates are part of TLS: set TIDEMARK_API_TLS_CERT and TIDEMARK_API_TLS_KEY"
            )
        return self

    @property
    def local(self) -> bool:
        """Whether only this machine can reach the API."""
        if self.api_host == "localhost":
            return True
        try:
            return ip_address(self.api_host).is_loopback
        except ValueError:
            return False

    @property
    def url(self) -> str:
        """Where the API answers, once it runs on `api_port`."""
        host = f"[{self.api_host}]" if ":" in self.api_host else self.api_host
        return f"{'https' if self.api_tls_cert else 'http'}://{host}:{self.api_port}"
