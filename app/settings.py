"""Every knob of the service, read once at start from the environment (prefix `COMFY_RELAY_`) and `.env`.

Frozen and passed down; no other module reads the environment. Nonsense stops the start, naming the variable.
"""

from __future__ import annotations

import os
import re
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from app.addresses import Allowed
from app.bucket_urls import FROM_COMFYUI, Bucket
from app.webhook_settings import WebhookSettings

PREFIX: Final = "COMFY_RELAY_"

_ENV_FILE: Final = ".env"

OF_COMMANDS: Final = frozenset({"COMFY_RELAY_URL", "COMFY_RELAY_KEY"})
"""Variables of the commands that speak to a running service."""


class Settings(WebhookSettings):
    """See README.md for the same list as a table; a test keeps the two and `.env.example` alike."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=_ENV_FILE, frozen=True, extra="ignore", allow_inf_nan=False
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
    data_dir: Path = Field(default=Path("./data"), description="folder of kept outputs and of caches")
    storage_url: str | None = Field(
        default=None,
        description="where outputs are kept: unset = DATA_DIR; `s3://bucket/prefix?endpoint=...&region=...`;"
        " `comfyui:` = nowhere, they are fetched from ComfyUI when asked for",
    )
    storage_key_id: SecretStr | None = Field(
        default=None, description="access key of the bucket; unset = found as AWS's own tools find it"
    )
    storage_secret: SecretStr | None = Field(
        default=None, validate_default=True, description="secret that belongs to STORAGE_KEY_ID"
    )
    storage_timeout_s: float = Field(default=30, gt=0, le=3600, description="seconds a request to the bucket may take")
    keep_metadata: bool = Field(
        default=True,
        description="keep the workflow and other texts inside PNG, JPEG and WebP files; false = take them out",
    )
    ffmpeg: str = Field(
        default="ffmpeg", description="program that makes poster frames of videos, if it is there; empty = none"
    )
    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(default=8000, ge=0, le=65535, description="port to listen on; 0 takes any free one")
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        default=(), description="comma-separated; set = every /api and /v1 route needs one of them"
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="comma-separated origins (`http://localhost:3000`) whose pages may call this service; `*` = any",
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
    max_pending: int = Field(
        default=10_000, ge=1, description="generations that may wait, items of batches aside; past it: 503"
    )
    max_batch_items: int = Field(default=10_000, ge=1, le=100_000, description="items a batch may have")
    max_batch_waiting: int = Field(
        default=100_000, ge=1, description="items of all batches that may wait; past it: 503 for further batches"
    )
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
    away_timeout_s: float = Field(
        default=120,
        gt=0,
        description="seconds a ComfyUI may be out of reach before its prompts go to another one that could run them",
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
    images_timeout_s: float = Field(
        default=600, gt=0, le=86_400, description="seconds `/v1/images` waits; then the generation ends as `timed_out`"
    )
    ping_interval_s: float = Field(default=15, gt=0, description="seconds between comments on a quiet event stream")
    shutdown_grace_s: float = Field(default=5, gt=0, description="seconds open requests get when the service stops")
    max_body_bytes: int = Field(default=16 * 1024**2, ge=1024, description="largest request body in bytes")
    max_upload_bytes: int = Field(
        default=64 * 1024**2,
        ge=1024,
        description="largest input file in bytes; ComfyUI takes 100 MB, unless it is told `--max-upload-size`",
    )
    max_upload_pixels: int = Field(
        default=50_000_000, ge=1, le=100_000_000, description="most pixels an input picture may have, width by height"
    )
    fetch_timeout_s: float = Field(default=20, gt=0, description="seconds to fetch an input file from its URL")
    fetch_allow: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="comma-separated hosts, `host:port` or networks (`10.0.0.0/8`) input files may be fetched from"
        " although they are not public, or not on port 80, 443, 8080 or 8443",
    )
    max_output_bytes: int = Field(default=4 * 1024**3, ge=1024, description="largest kept file in bytes")
    max_frame_bytes: int = Field(default=256 * 1024**2, ge=1024, description="largest WebSocket frame read, in bytes")
    cache_bytes: int = Field(
        default=1024**3, ge=0, description="bytes of the cache of converted images, and of that of local copies"
    )
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

    @field_validator("fetch_allow", "cors_origins", mode="before")
    @classmethod
    def _split_list(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(entry.strip() for entry in value.split(",") if entry.strip())

    @field_validator("fetch_allow")
    @classmethod
    def _check_allowed(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        Allowed.of(value)
        return value

    @field_validator("cors_origins")
    @classmethod
    def _check_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if origin != "*" and not re.fullmatch(r"https?://[^/?#\s]+", origin):
                raise ValueError(f"{origin}: an origin is given as https://host or http://host:port, without a path")
        return value

    @field_validator("database_url")
    @classmethod
    def _check_database(cls, value: SecretStr) -> SecretStr:
        if not re.match(r"(sqlite|postgres(ql)?)(\+\w+)?://", value.get_secret_value()):
            raise ValueError("a database is given as sqlite:///path or postgresql://user:password@host/name")
        return value

    @field_validator("redis_url", "max_in_flight", "storage_url", "storage_key_id", "storage_secret", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return value or None

    @field_validator("storage_url")
    @classmethod
    def _check_storage(cls, value: str | None) -> str | None:
        if value is not None and value != FROM_COMFYUI:
            Bucket.of(value)
        return value

    @field_validator("storage_secret")
    @classmethod
    def _check_pair(cls, value: SecretStr | None, told: ValidationInfo) -> SecretStr | None:
        if (value is None) != (told.data.get("storage_key_id") is None):
            raise ValueError("STORAGE_KEY_ID and STORAGE_SECRET are given together or not at all")
        return value

    @field_validator("redis_url")
    @classmethod
    def _check_redis(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not re.match(r"(rediss?|unix)://", value.get_secret_value()):
            raise ValueError("a Redis server is given as redis://host:port or rediss://host:port")
        return value


def misspelt() -> dict[str, str]:
    """Variables that are nearly called like a setting, with the one that was meant. Others may be anybody's."""
    known = {f"{PREFIX}{name}".upper() for name in Settings.model_fields}
    given = {*os.environ, *dotenv_values(_ENV_FILE)}
    strange = sorted({name.upper() for name in given} - known - OF_COMMANDS)
    near = {name: get_close_matches(name, known, n=1, cutoff=0.9) for name in strange if name.startswith(PREFIX)}
    return {name: found[0] for name, found in near.items() if found}


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
