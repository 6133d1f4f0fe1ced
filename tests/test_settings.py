"""Every knob can be turned from the environment; nonsense is refused, naming the variable and never a secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError
from typer.testing import CliRunner

from app.cli import main
from app.settings import Settings

EACH: dict[str, tuple[str, Any]] = {
    "comfyui_urls": ("http://one:8188, big = https://two/ui/", {"gpu-0": "http://one:8188", "big": "https://two/ui"}),
    "database_url": ("postgresql://u:p@h/n", SecretStr("postgresql://u:p@h/n")),
    "redis_url": ("redis://h:6379/1", SecretStr("redis://h:6379/1")),
    "data_dir": ("files", Path("files")),
    "storage_url": ("s3://bucket/kept?region=eu-central-1", "s3://bucket/kept?region=eu-central-1"),
    "storage_key_id": ("key", SecretStr("key")),
    "storage_secret": ("secret", SecretStr("secret")),
    "storage_timeout_s": ("1", 1),
    "keep_metadata": ("false", False),
    "ffmpeg": ("/opt/ffmpeg", "/opt/ffmpeg"),
    "host": ("::1", "::1"),
    "port": ("0", 0),
    "api_keys": (" a , b,", (SecretStr("a"), SecretStr("b"))),
    "cors_origins": ("http://localhost:3000, *", ("http://localhost:3000", "*")),
    "accept_when_down": ("false", False),
    "max_in_flight": ("7", 7),
    "max_pending": ("1", 1),
    "max_batch_items": ("50", 50),
    "max_batch_waiting": ("1", 1),
    "max_attempts": ("5", 5),
    "poll_interval_s": ("0.5", 0.5),
    "silence_s": ("0.5", 0.5),
    "stall_timeout_s": ("60", 60),
    "stuck_after_s": ("0.5", 0.5),
    "away_timeout_s": ("0.5", 0.5),
    "lost_grace_s": ("0", 0),
    "connect_timeout_s": ("1", 1),
    "request_timeout_s": ("1", 1),
    "submit_wait_s": ("1", 1),
    "keep_timeout_s": ("1", 1),
    "database_timeout_s": ("1", 1),
    "max_wait_s": ("1", 1),
    "images_timeout_s": ("1", 1),
    "ping_interval_s": ("1", 1),
    "shutdown_grace_s": ("1", 1),
    "max_body_bytes": ("2048", 2048),
    "max_upload_bytes": ("2048", 2048),
    "max_upload_pixels": ("100", 100),
    "fetch_timeout_s": ("0.5", 0.5),
    "fetch_allow": (" cdn.lan:9000, 10.0.0.0/8,", ("cdn.lan:9000", "10.0.0.0/8")),
    "max_output_bytes": ("2048", 2048),
    "max_frame_bytes": ("2048", 2048),
    "cache_bytes": ("0", 0),
    "url_ttl_s": ("60", 60),
    "public_url": ("https://images.example.com/relay/", "https://images.example.com/relay"),
    "webhook_secret": (f"whsec_{'QUJD' * 8}", SecretStr(f"whsec_{'QUJD' * 8}")),
    "webhook_allow": ("127.0.0.1:9000, 10.0.0.0/8", ("127.0.0.1:9000", "10.0.0.0/8")),
    "webhook_timeout_s": ("1", 1),
    "webhook_retry_s": ("1", 1),
    "webhook_retry_max_s": ("60", 60),
    "webhook_check_s": ("60", 60),
    "webhook_give_up_s": ("3600", 3600),
    "webhook_disable_s": ("7200", 7200),
    "webhook_at_once": ("8", 8),
    "webhook_at_once_each": ("1", 1),
    "webhook_keep_days": ("0.5", 0.5),
    "log_level": ("DEBUG", "DEBUG"),
    "log_format": ("json", "json"),
}
"""A text for each variable, and what it means."""

NONSENSE = [
    ("COMFYUI_URLS", ""),
    ("COMFYUI_URLS", "gpu"),
    ("COMFYUI_URLS", "ftp://host"),
    ("COMFYUI_URLS", "http://"),
    ("COMFYUI_URLS", "http://host:99999"),
    ("COMFYUI_URLS", "http://[::1"),
    ("COMFYUI_URLS", "=http://host"),
    ("COMFYUI_URLS", "a=http://one,a=http://two"),
    ("COMFYUI_URLS", "a=http://one, a =http://two"),
    ("DATABASE_URL", "mysql://u:p@h/n"),
    ("DATABASE_URL", "./data.db"),
    ("DATABASE_URL", ""),
    ("REDIS_URL", "localhost:6379"),
    ("API_KEYS", ","),
    ("API_KEYS", " "),
    ("PORT", "65536"),
    ("PORT", "http"),
    ("MAX_IN_FLIGHT", "0"),
    ("MAX_PENDING", "-1"),
    ("POLL_INTERVAL_S", "0"),
    ("POLL_INTERVAL_S", "nan"),
    ("REQUEST_TIMEOUT_S", "inf"),
    ("SILENCE_S", "soon"),
    ("ACCEPT_WHEN_DOWN", "perhaps"),
    ("LOG_LEVEL", "LOUD"),
    ("LOG_FORMAT", "xml"),
    ("URL_TTL_S", "1"),
    ("STORAGE_URL", "s3://"),
    ("STORAGE_URL", "file:///data"),
    ("STORAGE_URL", "s3://key:secret@bucket"),
    ("STORAGE_TIMEOUT_S", "0"),
    ("FETCH_ALLOW", "10.0.0.1/8"),
    ("FETCH_ALLOW", "http://host"),
    ("CORS_ORIGINS", "localhost:3000"),
    ("CORS_ORIGINS", "http://localhost:3000/page"),
    ("FETCH_ALLOW", "host:http"),
    ("MAX_UPLOAD_PIXELS", "100000001"),
    ("PUBLIC_URL", "images.example.com"),
    ("PUBLIC_URL", "https://images.example.com/?a=b"),
    ("WEBHOOK_SECRET", "secret"),
    ("WEBHOOK_SECRET", "whsec_c2hvcnQ="),
    ("WEBHOOK_SECRET", "whsec_no base64 at all, though it is long enough"),
    ("WEBHOOK_ALLOW", "10.0.0.1/8"),
    ("WEBHOOK_AT_ONCE", "0"),
    ("WEBHOOK_KEEP_DAYS", "0"),
]


def load() -> Settings:
    return Settings(_env_file=None)


def test_the_table_above_has_every_setting() -> None:
    assert EACH.keys() == Settings.model_fields.keys()


def test_every_setting_is_explained() -> None:
    assert all(field.description for field in Settings.model_fields.values())


@pytest.mark.parametrize("name", EACH)
def test_each_variable_is_read(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text, meaning = EACH[name]
    for pair in ({"storage_key_id", "storage_secret"},):
        for other in pair - {name} if name in pair else ():
            monkeypatch.setenv(f"COMFY_RELAY_{other.upper()}", "theirs")
    monkeypatch.setenv(f"COMFY_RELAY_{name.upper()}", text)

    assert getattr(load(), name) == meaning


@pytest.mark.parametrize("name", ["STORAGE_KEY_ID", "STORAGE_SECRET"])
def test_half_of_the_credentials_is_none(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"COMFY_RELAY_{name}", "alone")

    with pytest.raises(ValidationError, match="together"):
        load()


@pytest.mark.parametrize("name", ["REDIS_URL", "API_KEYS"])
def test_an_empty_variable_is_as_good_as_unset(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"COMFY_RELAY_{name}", "")

    assert not getattr(load(), name.lower())


def test_the_defaults_are_those_of_the_contract() -> None:
    settings = load()

    assert settings.comfyui_urls == {"gpu-0": "http://127.0.0.1:8188"}
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.database_url.get_secret_value() == "sqlite:///./data/comfy-relay.db"
    assert (settings.poll_interval_s, settings.silence_s, settings.stall_timeout_s) == (2, 5, 300)
    assert (settings.max_pending, settings.api_keys, settings.redis_url) == (10_000, (), None)


def test_several_servers_have_names_of_their_own_or_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMFY_RELAY_COMFYUI_URLS", "http://a:1,fast=http://b:2,http://user:p=w@c:3/x?y=z")

    assert load().comfyui_urls == {
        "gpu-0": "http://a:1",
        "fast": "http://b:2",
        "gpu-2": "http://user:p=w@c:3/x?y=z",
    }


def test_a_file_is_read_and_the_environment_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("COMFY_RELAY_PORT=1\nCOMFY_RELAY_HOST=0.0.0.0\nOTHER=x\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COMFY_RELAY_PORT", "2")

    settings = Settings()

    assert (settings.port, settings.host) == (2, "0.0.0.0")


def test_settings_stay_as_they_are() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load().port = 1  # type: ignore[misc]


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMFY_RELAY_DATABASE_URL", "postgresql://u:secret-1@h/n")
    monkeypatch.setenv("COMFY_RELAY_REDIS_URL", "redis://:secret-2@h")
    monkeypatch.setenv("COMFY_RELAY_API_KEYS", "secret-3")

    assert "secret-" not in f"{load()!r} {load()} {load().model_dump_json()}"


@pytest.mark.parametrize(("name", "value"), NONSENSE)
@pytest.mark.parametrize("command", [["serve"], ["demo"], ["db", "upgrade"]])
def test_nonsense_ends_every_command_naming_the_variable(
    command: list[str], name: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(f"COMFY_RELAY_{name}", value)

    result = CliRunner().invoke(main, command)

    assert result.exit_code == 2
    assert result.stderr.startswith(f"COMFY_RELAY_{name}: ")
    assert not list(tmp_path.iterdir())


def test_a_refused_secret_is_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COMFY_RELAY_DATABASE_URL", "mysql://u:secret-1@h/n")
    monkeypatch.setenv("COMFY_RELAY_REDIS_URL", "http://:secret-2@h")
    monkeypatch.setenv("COMFY_RELAY_COMFYUI_URLS", "http://u:secret-3@h:99999")

    result = CliRunner().invoke(main, ["serve"])

    assert result.exit_code == 2
    assert "secret-" not in result.output
    assert [line.partition(":")[0] for line in result.stderr.splitlines()] == [
        "COMFY_RELAY_COMFYUI_URLS",
        "COMFY_RELAY_DATABASE_URL",
        "COMFY_RELAY_REDIS_URL",
    ]
