"""An S3 server to test on: moto's, as a process of its own on a loopback port, started when a test first needs it.

Credentials are of no matter to it. What a test makes is in a bucket of its own; the server forgets all when it ends.
`Bucket` looks at it with plain HTTP, not with the library under test.
"""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
import uuid
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.waiting import WITHIN_S

if TYPE_CHECKING:
    from collections.abc import Iterator


# Whoever signs anything may do everything.
_SCOPE = "Credential=test/20200101/us-east-1/s3/aws4_request"
_SIGNED = {"Authorization": f"AWS4-HMAC-SHA256 {_SCOPE}, SignedHeaders=host, Signature=0"}


class Bucket:
    """A bucket and what is in it."""

    def __init__(self, endpoint: str, name: str) -> None:
        self.endpoint, self.name = endpoint, name
        self.url = f"s3://{name}/kept?endpoint={endpoint}&region=us-east-1"
        self._http = httpx.Client(base_url=endpoint, trust_env=False, timeout=WITHIN_S, headers=_SIGNED)

    def create(self) -> None:
        self._http.put(f"/{self.name}").raise_for_status()

    def remove(self) -> None:
        """The bucket with all that is in it."""
        for key in self.objects():
            self._http.delete(f"/{self.name}/{key}").raise_for_status()
        self._http.delete(f"/{self.name}").raise_for_status()

    def objects(self) -> list[str]:
        return re.findall("<Key>(.*?)</Key>", self._asked(f"/{self.name}?list-type=2"))

    def read(self, key: str) -> bytes:
        return self._http.get(f"/{self.name}/{key}").raise_for_status().content

    def unfinished_uploads(self) -> int:
        return self._asked(f"/{self.name}?uploads").count("<UploadId>")

    def close(self) -> None:
        self._http.close()

    def _asked(self, path: str) -> str:
        return self._http.get(path).raise_for_status().text


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """The server's URL."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=WITHIN_S)


@pytest.fixture
def bucket(s3_endpoint: str) -> Iterator[Bucket]:
    """An empty bucket."""
    made = Bucket(s3_endpoint, f"test-{uuid.uuid4().hex}")
    made.create()
    yield made
    made.close()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError("the S3 server did not start")
