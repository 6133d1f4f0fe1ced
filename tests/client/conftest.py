"""One demo for all of the client's tests, and clients of both kinds that speak to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from comfy_relay import Client
from tests.client.running import KEY, Demo, Line, Scripted, running
from tests.client.speaking import Speaks, made


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One process runs them all: each would start a demo of its own."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("client"))


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with running(tmp_path_factory.mktemp("demo") / "data") as demo:
        yield demo


@pytest.fixture(params=["blocking", "async"])
def speak(request: pytest.FixtureRequest) -> Iterator[Speaks]:
    """Makes clients of each kind; they are closed at the end of the test."""
    with ExitStack() as stack:

        def make(**given: Any) -> Client:
            client = made(request.param, given)
            stack.callback(client.close)
            return client

        yield make


@pytest.fixture
def relay(demo: Demo, speak: Speaks) -> Client:
    """A client of the demo."""
    return speak(url=demo.url, key=KEY)


@pytest.fixture
def line(demo: Demo) -> Iterator[Line]:
    """A line to the demo that can be made to break."""
    with Line(demo.url) as line:
        yield line


@pytest.fixture
def far(line: Line, speak: Speaks) -> Client:
    """A client of the demo, over that line."""
    return speak(url=line.url, key=KEY)


@pytest.fixture
def script() -> Iterator[Scripted]:
    """A server that says what it is told."""
    with Scripted() as script:
        yield script
