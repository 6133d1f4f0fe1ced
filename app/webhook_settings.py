"""The knobs of webhooks, a part of `settings`: how they are signed, sent, tried again and given up."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode

from app.addresses import Allowed

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - every secret begins so
SECRET_BYTES: Final = (24, 64)
"""The specification's least and most."""


class WebhookSettings(BaseSettings):
    """The part of `Settings` that is about webhooks."""

    public_url: str | None = Field(
        default=None,
        description="where callers reach this service (`https://images.example.com`): what URLs in webhooks begin with;"
        " unset = they begin with a slash",
    )
    webhook_secret: SecretStr | None = Field(
        default=None,
        description="`whsec_` and base64 of 24 to 64 bytes: signs webhooks that a request named;"
        " unset = one of the database's own, see `GET /api/webhooks/secret`",
    )
    webhook_allow: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="comma-separated hosts, `host:port` or networks (`10.0.0.0/8`) webhooks may be sent to although"
        " they are not public, or not on port 80, 443, 8080 or 8443",
    )
    webhook_timeout_s: float = Field(default=15, gt=0, le=300, description="seconds a receiver may take to answer")
    webhook_retry_s: float = Field(
        default=5, gt=0, le=3600, description="seconds until a failed delivery is tried again; each time twice as long"
    )
    webhook_retry_max_s: float = Field(
        default=21_600, gt=0, le=86_400, description="most seconds between two attempts at a delivery"
    )
    webhook_check_s: float = Field(
        default=300,
        gt=0,
        le=86_400,
        description="most seconds between two looks whether a receiver that is down is back",
    )
    webhook_give_up_s: float = Field(
        default=259_200, gt=0, le=2_592_000, description="seconds after which a delivery is given up (3 days)"
    )
    webhook_disable_s: float = Field(
        default=432_000,
        gt=0,
        le=31_536_000,
        description="seconds without any success after which a registered receiver is disabled (5 days)",
    )
    webhook_at_once: int = Field(default=64, ge=1, le=1000, description="deliveries under way at a time")
    webhook_at_once_each: int = Field(
        default=4, ge=1, le=100, description="deliveries under way at a time to one receiver"
    )
    webhook_keep_days: float = Field(
        default=7, gt=0, le=365, description="days the log of deliveries goes back, those still to be made aside"
    )

    @field_validator("webhook_allow", mode="before")
    @classmethod
    def _split_receivers(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(entry.strip() for entry in value.split(",") if entry.strip())

    @field_validator("webhook_allow")
    @classmethod
    def _check_receivers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        Allowed.of(value)
        return value

    @field_validator("public_url", "webhook_secret", mode="before")
    @classmethod
    def _nothing_is_unset(cls, value: object) -> object:
        return value or None

    @field_validator("public_url")
    @classmethod
    def _check_public_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("is given as https://host or https://host/path")
        return value.rstrip("/")

    @field_validator("webhook_secret")
    @classmethod
    def _check_webhook_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not _is_secret(value.get_secret_value()):
            least, most = SECRET_BYTES
            raise ValueError(f"is {SECRET_PREFIX} and the base64 of {least} to {most} bytes")
        return value


def _is_secret(text: str) -> bool:
    try:
        raw = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return False
    return text.startswith(SECRET_PREFIX) and SECRET_BYTES[0] <= len(raw) <= SECRET_BYTES[1]
