"""Wrong arguments: told before anything is sent, and by the name of the parameter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from comfy_relay import Client
from comfy_relay.wire import lost
from tests.client.running import Scripted, answer
from tests.client.speaking import Speaks

NOT_A_FILE_OF_ITS_SIZE = Path("/proc/self/status")
"""It says that it has no bytes, and has some: as a file that grows while it is sent."""


@pytest.fixture
def silent(speak: Speaks, script: Scripted) -> Client:
    """A client of a service that would take anything."""
    script.answers = [answer(202, b'{"id": "x", "status": "queued"}')]
    return speak(url=script.url, key="k")


@pytest.mark.parametrize("key", ["k\n1", "k\x00", "k\x7f", " k", "k\t", "half a pair \ud800"])
def test_an_idempotency_key_no_header_can_hold_is_told_at_once(silent: Client, script: Scripted, key: str) -> None:
    calls: list[Callable[[], object]] = [
        lambda: silent.generate("x", idempotency_key=key),
        lambda: silent.run("x", idempotency_key=key),
        lambda: silent.retry("x", idempotency_key=key),
        lambda: silent.batch(["x"], idempotency_key=key),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="idempotency_key"):
            call()

    assert script.asked == []


def test_an_idempotency_key_that_is_no_text_is_told_at_once(silent: Client) -> None:
    with pytest.raises(TypeError, match="idempotency_key is text, and not int"):
        silent.generate("x", idempotency_key=4)  # type: ignore[arg-type]


def test_a_cursor_no_header_can_hold_is_told_at_once(silent: Client) -> None:
    with pytest.raises(ValueError, match="after"):
        next(silent.follow("x", after="1\n2"))
    with pytest.raises(ValueError, match="after"):
        next(silent.follow_batch("x", after="1\n2"))


@pytest.mark.parametrize(
    ("headers", "what"),
    [({"X-A": "a\nb"}, r"headers\['X-A'\]"), ({"X A": "b"}, "'X A'"), ({"": "b"}, "''"), ({"Ü": "b"}, "'Ü'")],
)
def test_a_header_that_is_none_is_told_at_once(speak: Speaks, headers: dict[str, str], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        speak(headers=headers)
    with pytest.raises(TypeError, match=r"headers\['X-A'\] is text, and not int"):
        speak(headers={"X-A": 4})


@pytest.mark.skipif(not NOT_A_FILE_OF_ITS_SIZE.exists(), reason="there is no /proc")
def test_a_file_that_changes_while_it_is_sent_is_told_as_that(silent: Client) -> None:
    with pytest.raises(OSError, match="status changed while it was sent"):
        silent.upload(NOT_A_FILE_OF_ITS_SIZE)


def test_a_request_that_cannot_be_sent_is_not_tried_for_a_minute() -> None:
    with pytest.raises(ValueError, match="cannot be sent"):
        lost(httpx.LocalProtocolError("Illegal header value"))
