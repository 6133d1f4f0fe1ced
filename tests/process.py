"""The service as a process of its own, which can be killed."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path
from types import TracebackType

from app.settings import Settings
from tests.service import Service
from tests.waiting import WITHIN_S

START_WITHIN_S = 60.0
"""How long a start may take on a machine that is busy with other tests: it is mostly imports."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class KillableService(Service):
    """`comfy-relay serve` in front of the settings' ComfyUI; `kill` is kill -9, `stop` is SIGTERM."""

    def __init__(self, settings: Settings, *, port: int) -> None:
        super().__init__(settings.model_copy(update={"port": port}))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.process.returncode is None:
            await self.stop()
        await self.http.aclose()

    async def start(self) -> None:
        """Start it and return when it says that it is ready."""
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "app.cli", "serve", "--port", str(self.settings.port)),
            cwd=Path(__file__).parents[1],
            env=os.environ | _environment(self.settings),
            stdout=asyncio.subprocess.PIPE,
        )
        assert self.process.stdout is not None
        async with asyncio.timeout(START_WITHIN_S):
            line = (await self.process.stdout.readline()).decode()
        assert "ready" in line, line
        self.url = line.split()[-1]
        self.http.base_url = self.url

    async def kill(self) -> None:
        """End it without a word, as a crash or the out-of-memory killer does."""
        self.process.kill()
        await self.process.wait()

    async def stop(self) -> None:
        self.process.terminate()
        async with asyncio.timeout(WITHIN_S):
            assert await self.process.wait() == 0


def _environment(settings: Settings) -> dict[str, str]:
    return {
        "COMFY_RELAY_COMFYUI_URLS": ",".join(f"{name}={url}" for name, url in settings.comfyui_urls.items()),
        "COMFY_RELAY_DATABASE_URL": settings.database_url.get_secret_value(),
        "COMFY_RELAY_DATA_DIR": str(settings.data_dir),
        "COMFY_RELAY_POLL_INTERVAL_S": str(settings.poll_interval_s),
        "COMFY_RELAY_SILENCE_S": str(settings.silence_s),
        "COMFY_RELAY_LOST_GRACE_S": str(settings.lost_grace_s),
        "COMFY_RELAY_MAX_IN_FLIGHT": str(settings.max_in_flight or ""),
        "COMFY_RELAY_REDIS_URL": settings.redis_url.get_secret_value() if settings.redis_url else "",
        "COMFY_RELAY_DATABASE_TIMEOUT_S": str(settings.database_timeout_s),
        "COMFY_RELAY_LOG_LEVEL": "WARNING",
        "COMFY_RELAY_WEBHOOK_ALLOW": ",".join(settings.webhook_allow),
        "COMFY_RELAY_WEBHOOK_TIMEOUT_S": str(settings.webhook_timeout_s),
        "COMFY_RELAY_WEBHOOK_RETRY_S": str(settings.webhook_retry_s),
        "COMFY_RELAY_WEBHOOK_RETRY_MAX_S": str(settings.webhook_retry_max_s),
        "COMFY_RELAY_WEBHOOK_CHECK_S": str(settings.webhook_check_s),
    }
