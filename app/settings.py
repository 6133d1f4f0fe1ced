"""Every knob of the service, read once at start from the environment (prefix `COMFY_RELAY_`) and `.env`.

Frozen and passed down; no other module reads the environment. Nonsense stops the start, naming the variable.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class Settings(BaseSettings):
    """See README.md for the same list as a table; a test keeps the two and `.env.example` alike."""

    model_config = SettingsConfigDict(
        env_prefix="COMFY_RELAY_", env_file=".env", frozen=True, extra="ignore", allow_inf_nan=False
    )

    comfyui_urls: Annotated[dict[str, str], NoDecode] = Field(
        default={"gpu-0": "http://127.0.0.1:8188"},
        description="ComfyUI servers, comma-separated; `name=url` gives one its name, others are gpu-0, gpu-1, ...",
        validate_default=False,
    )
    database_url: SecretStr = Field(
        default=SecretStr("sqlite:///./data/comfy-relay.db"),
        description="`sqlite:///path` or `postgresql://user:password@host/name`; migrated at start",
    )
    redis_url: SecretStr | None = Field(
        default=None, description="event bus for several replicas; unset = events stay inside this process"
    )
    data_dir: Path = Field(default=Path("./data"), description="folder of kept outputs")
    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(default=8000, ge=0, le=65535, description="port to listen on; 0 takes any free one")
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        default=(), description="comma-separated; set = every /api and /v1 route needs one of them"
    )
    accept_when_down: bool = Field(
        default=True, description="accept work as pending while no ComfyUI answers; false = 503 instead"
    )
    max_in_flight: int | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="prompts handed to one backend at a time; unset = 4, and up to 32 while jobs take milliseconds",
    )
    max_pending: int = Field(default=10_000, ge=1, description="generations that may wait; past it: 503")
    max_attempts: int = Field(default=3, ge=1, le=100, description="submissions of a prompt that backends keep losing")
    poll_interval_s: float = Field(
        default=2, gt=0, le=3600, description="seconds between questions about a silent prompt"
    )
    silence_s: float = Field(
        default=5, gt=0, le=3600, description="seconds without a message that make a prompt silent"
    )
    stall_timeout_s: float = Field(
        default=300, gt=0, description="seconds without any sign of life that end a running prompt as `stalled`"
    )
    stuck_after_s: float = Field(
        default=30, gt=0, description="seconds ComfyUI may hold on to a prompt that was given up before it gets no more"
    )
    lost_grace_s: float = Field(
        default=3, ge=0, le=3600, description="seconds a prompt must be in neither queue nor history to count as lost"
    )
    connect_timeout_s: float = Field(default=5, gt=0, description="seconds to reach ComfyUI")
    request_timeout_s: float = Field(default=30, gt=0, description="seconds ComfyUI may take for one answer")
    submit_wait_s: float = Field(
        default=10, gt=0, description="seconds an answer to a caller waits for ComfyUI's word on the workflow"
    )
    keep_timeout_s: float = Field(default=300, gt=0, description="seconds to go on trying to fetch finished files")
    database_timeout_s: float = Field(default=10, gt=0, description="seconds a database statement may take")
    max_wait_s: float = Field(default=120, gt=0, description="longest `Prefer: wait` and `?wait=` in seconds")
    ping_interval_s: float = Field(default=15, gt=0, description="seconds between comments on a quiet event stream")
    shutdown_grace_s: float = Field(default=5, gt=0, description="seconds open requests get when the service stops")
    max_body_bytes: int = Field(default=16 * 1024**2, ge=1024, description="largest request body in bytes")
    max_output_bytes: int = Field(default=4 * 1024**3, ge=1024, description="largest kept file in bytes")
    max_frame_bytes: int = Field(default=256 * 1024**2, ge=1024, description="largest WebSocket frame read, in bytes")
    cache_bytes: int = Field(default=1024**3, ge=0, description="size of the cache of converted images in bytes")
    url_ttl_s: int = Field(default=86_400, ge=60, description="seconds a signed URL works when API keys are set")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", description="least level logged")
    log_format: Literal["text", "json"] = Field(
        default="text", description="one line per event, for people or machines"
    )

    @field_validator("comfyui_urls", mode="before")
    @classmethod
    def _split_urls(cls, value: object) -> object:
        return _named_urls(value) if isinstance(value, str) else value

    @field_validator("comfyui_urls")
    @classmethod
    def _check_urls(cls, value: dict[str, str]) -> dict[str, str]:
        if not value:
            raise ValueError("name at least one ComfyUI server")
        for name, url in value.items():
            if not name or not _is_server(url):
                raise ValueError(f"{name}: a ComfyUI server is given as http://host:port or https://host")
        return value

    @field_validator("api_keys", mode="before")
    @classmethod
    def _split_keys(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        keys = tuple(key.strip() for key in value.split(",") if key.strip())
        if value and not keys:
            raise ValueError("is set and names no key; unset it to run without keys")
        return keys

    @field_validator("database_url")
    @classmethod
    def _check_database(cls, value: SecretStr) -> SecretStr:
        if not re.match(r"(sqlite|postgres(ql)?)(\+\w+)?://", value.get_secret_value()):
            raise ValueError("a database is given as sqlite:///path or postgresql://user:password@host/name")
        return value

    @field_validator("redis_url", "max_in_flight", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return value or None

    @field_validator("redis_url")
    @classmethod
    def _check_redis(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not re.match(r"(rediss?|unix)://", value.get_secret_value()):
            raise ValueError("a Redis server is given as redis://host:port or rediss://host:port")
        return value


def _is_server(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # A port beyond 65535, or half an IPv6 address; the texts quote the URL.
        return False


def _named_urls(text: str) -> dict[str, str]:
    urls: dict[str, str] = {}
    for number, part in enumerate(part.strip() for part in text.split(",") if part.strip()):
        name, separator, url = part.partition("=")
        if not separator or "/" in name:
            name, url = f"gpu-{number}", part
        name = name.strip()
        if name in urls:
            raise ValueError(f"two servers are called {name!r}")
        urls[name] = url.strip().rstrip("/")
    return urls
