"""What every test may take: a simulated ComfyUI, databases and buses of each kind, and the service on a real socket."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol

import hypothesis
import pytest

from app.comfyui.simulator import Simulator, SimulatorOptions
from app.settings import Settings
from tests.buckets import bucket, s3_endpoint
from tests.buses import redis_url
from tests.databases import (
    database_url,
    empty_database_url,
    migrated_sqlite,
    postgres_server,
    postgres_url,
    sqlite_url,
)
from tests.service import Service
from tests.storages import place

__all__ = [
    "bucket",
    "database_url",
    "empty_database_url",
    "migrated_sqlite",
    "place",
    "postgres_server",
    "postgres_url",
    "redis_url",
    "s3_endpoint",
    "sqlite_url",
]


# The same examples every time: what one run found, the next one finds. `TEST_EXPLORE=1` looks for new ones.
hypothesis.settings.register_profile("suite", derandomize=not os.environ.get("TEST_EXPLORE"), deadline=None)
hypothesis.settings.load_profile("suite")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test depends on what the machine has set."""
    for name in [name for name in os.environ if name.startswith("COMFY_RELAY_")]:
        monkeypatch.delenv(name)


class MakeSettings(Protocol):
    """Settings for tests; keyword arguments are fields."""

    def __call__(self, **given: object) -> Settings: ...


class Serve(Protocol):
    """Start a service with these settings; it is stopped at the end of the test."""

    async def __call__(self, **given: object) -> Service: ...


@pytest.fixture
async def comfy() -> AsyncIterator[Simulator]:
    """A simulated ComfyUI whose sampling steps take 5 ms."""
    async with Simulator(SimulatorOptions(step_s=0.005)) as simulator:
        yield simulator


@pytest.fixture
def make_settings(tmp_path: Path, sqlite_url: str) -> MakeSettings:
    """Settings with short times, a database of SQLite's and no `.env`."""

    def make(**given: object) -> Settings:
        quick = {"poll_interval_s": 0.1, "silence_s": 0.3, "lost_grace_s": 0.3, "shutdown_grace_s": 2}
        places = {"port": 0, "data_dir": tmp_path / "data", "database_url": sqlite_url, "log_level": "WARNING"}
        return Settings(_env_file=None, **{**quick, **places, **given})  # type: ignore[arg-type]

    return make


@pytest.fixture
async def serve(make_settings: MakeSettings, comfy: Simulator) -> AsyncIterator[Serve]:
    """Starts services in front of `comfy`, with other settings if need be."""
    async with AsyncExitStack() as stack:

        async def start(**given: object) -> Service:
            settings = make_settings(**{"comfyui_urls": {"gpu-0": comfy.url}, **given})
            return await stack.enter_async_context(Service(settings))

        yield start


@pytest.fixture
async def api(serve: Serve) -> Service:
    """The service in front of `comfy`, on SQLite and the in-process bus."""
    return await serve()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what each fault did at each moment, and what came of each delivery of a webhook."""
    said = [each for report in terminalreporter.getreports("") for each in getattr(report, "user_properties", ())]
    _print_faults(terminalreporter, [facts for name, facts in said if name == "fault"])
    _print_deliveries(terminalreporter, [facts for name, facts in said if name == "delivery"])


def _print_faults(terminalreporter: pytest.TerminalReporter, told: list[tuple[str, str, str, int, int]]) -> None:
    """How the generation ended, executions and attempts, by fault and moment."""
    rows: dict[str, dict[str, str]] = {}
    for strike, moment, status, executions, attempt in told:
        rows.setdefault(strike, {})[moment] = f"{status} {executions}/{attempt}"
    if not rows:
        return
    moments = list(dict.fromkeys(moment for row in rows.values() for moment in row))
    terminalreporter.section("faults by moment: how it ended, executions/attempts")
    terminalreporter.line(f"{'':22}" + "".join(f"{moment:>16}" for moment in moments))
    for strike, row in sorted(rows.items()):
        terminalreporter.line(f"{strike:22}" + "".join(f"{row.get(moment, '-'):>16}" for moment in moments))


def _print_deliveries(terminalreporter: pytest.TerminalReporter, told: list[tuple[str, bool, str, int, int]]) -> None:
    """What came of the delivery and how often it was tried and taken, by the receiver's fault and kind."""
    rows: dict[str, dict[bool, str]] = {}
    for fault, is_registered, status, tried, taken in told:
        rows.setdefault(fault, {})[is_registered] = f"{status} {tried}/{taken}"
    if not rows:
        return
    terminalreporter.section("webhooks by fault of the receiver: how it ended, attempts/taken")
    terminalreporter.line(f"{'':22}{'registered':>18}{'of a request':>18}")
    for fault, row in rows.items():
        terminalreporter.line(f"{fault:22}{row.get(True, '-'):>18}{row.get(False, '-'):>18}")
