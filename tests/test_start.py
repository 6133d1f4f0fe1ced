"""A service that could not work says why in one line, and does not start."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("DATABASE_URL", "postgresql://u:secret@127.0.0.1:1/x"),
        ("DATABASE_URL", "sqlite:////proc/nowhere/x.db"),
        ("DATA_DIR", "/proc/nowhere"),
    ],
)
async def test_what_cannot_work_is_named_by_its_variable(name: str, given: str, tmp_path: Path) -> None:
    own = {"COMFY_RELAY_DATABASE_URL": f"sqlite:///{tmp_path}/x.db", "COMFY_RELAY_DATA_DIR": str(tmp_path)}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "app.cli", "serve", "--port", "0"),
        cwd=Path(__file__).parents[1],
        env=os.environ | own | {f"COMFY_RELAY_{name}": given},
        stderr=asyncio.subprocess.PIPE,
    )

    async with asyncio.timeout(20):
        _, said = await process.communicate()

    (line,) = said.decode().splitlines()
    assert process.returncode == 1
    assert line.startswith(f"COMFY_RELAY_{name}: ")
    assert "secret" not in line
