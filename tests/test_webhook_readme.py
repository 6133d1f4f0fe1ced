"""The receivers of the README, run as they stand, take what the service sends and nothing else."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path

import httpx
import pytest

from tests import documents
from tests.api.asking import QUICK
from tests.conftest import Serve
from tests.process import free_port
from tests.receiving import QUICKLY, receiving
from tests.waiting import WITHIN_S

SECTION = documents.section(documents.README.read_text(encoding="utf-8"), "Webhooks")


async def listening(port: int) -> None:
    async with asyncio.timeout(WITHIN_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return


async def test_the_receiver_in_python_takes_what_is_genuine(serve: Serve, tmp_path: Path) -> None:
    (program,) = documents.blocks(SECTION, "python")
    port = free_port()
    path = tmp_path / "receiver.py"
    path.write_text(program.replace("9000", str(port)), encoding="utf-8")
    api = await serve(**QUICKLY | {"webhook_timeout_s": 10})
    secret = (await api.http.get("/api/webhooks/secret")).json()["secret"]
    receiver = await asyncio.create_subprocess_exec(
        sys.executable,
        str(path),
        env={**os.environ, "WEBHOOK_SECRET": secret},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert receiver.stdout is not None
    try:
        await listening(port)
        async with httpx.AsyncClient(trust_env=False) as stranger:
            forged = await stranger.post(f"http://127.0.0.1:{port}/", json={"type": "generation.succeeded"})
        started = await api.generate(**QUICK, webhook={"url": f"http://127.0.0.1:{port}/"})
        async with asyncio.timeout(WITHIN_S):
            line = (await receiver.stdout.readline()).decode()
    finally:
        receiver.kill()
        await receiver.wait()

    assert forged.status_code == 401
    assert line.startswith("msg_")
    assert f"generation.succeeded ['/api/generations/{started['id']}/images/0']" in line


async def test_the_line_for_node_knows_what_is_genuine(serve: Serve) -> None:
    if shutil.which("node") is None and not os.environ.get("TEST_REQUIRE_ALL"):
        pytest.skip("node is not installed")
    (line,) = documents.blocks(SECTION, "js")
    api = await serve(**QUICKLY)
    secret = (await api.http.get("/api/webhooks/secret")).json()["secret"]
    async with receiving() as receiver:
        await api.generate(**QUICK, webhook={"url": receiver.url()})
        (message,) = await receiver.has(1)
    given = [secret, message.request.headers, message.request.body.decode()]
    forged = [secret, message.request.headers, message.request.body.decode().replace("succeeded", "failed")]

    program = f"{line}\nconsole.log(...{json.dumps([given, forged])}.map((each) => isGenuine(...each)))"
    node = await asyncio.create_subprocess_exec("node", "-e", program, stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(WITHIN_S):
        said, _ = await node.communicate()

    assert said.decode().split() == ["true", "false"]
