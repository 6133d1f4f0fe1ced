"""Wrong arguments: told before anything is sent, and by the name of the parameter."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import pytest

from comfy_relay import Batch, Client, Output, Problem, Status
from comfy_relay.wire import lost
from tests import files
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


@pytest.mark.parametrize("items", ["abc", b"abc", {"prompt": "abc"}, 3])
def test_one_text_is_no_batch_of_its_letters(silent: Client, script: Scripted, items: Any) -> None:
    with pytest.raises(TypeError, match="items is a list of prompts"):
        silent.batch(items)

    assert script.asked == []


def test_an_item_that_is_none_is_named_by_its_place(silent: Client) -> None:
    with pytest.raises(TypeError, match=r"items\[1\] is a prompt or a mapping of parameters, and not int"):
        silent.batch(["a", 5])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="base is a mapping of parameters, and not str"):
        silent.batch(base="a")  # type: ignore[arg-type]


def test_prompts_may_come_one_by_one(silent: Client, script: Scripted) -> None:
    silent.batch(prompt for prompt in ("a", "b"))

    assert json.loads(script.asked[0].body) == {"items": [{"prompt": "a"}, {"prompt": "b"}]}


def test_what_is_no_id_is_told_at_once(silent: Client, script: Scripted) -> None:
    calls: dict[str, Callable[[Any], object]] = {
        "generation": silent.get,
        "batch": silent.get_batch,
    }
    for name, call in calls.items():
        for given in (None, 5, b"x", Output(url="/x")):
            with pytest.raises(TypeError, match=f"{name} is an id or a record, and not {type(given).__name__}"):
                call(given)
        for text in ("", " ", ".", ".."):
            with pytest.raises(ValueError, match=f"{name} is no id"):
                call(text)
    with pytest.raises(TypeError, match="and not Batch"):
        silent.wait(Batch(id="x", status=Status.RUNNING))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="generation is no id"):
        silent.delete("")

    assert script.asked == []


@pytest.mark.parametrize(
    ("given", "kind", "place"),
    [
        ({"metadata": {"x": {1}}}, TypeError, r"metadata\.x: .* set"),
        ({"steps": object()}, TypeError, "steps: .* object"),
        ({"cfg": float("nan")}, ValueError, "cfg: nan .* JSON"),
        ({"params": {"list": [1, {"of": float("inf")}]}}, ValueError, r"params\.list\[1\]\.of: inf"),
        ({"metadata": {("a", 1): 1}}, TypeError, "metadata: .* tuple"),
    ],
)
def test_what_json_cannot_hold_is_named(silent: Client, given: Any, kind: type[Exception], place: str) -> None:
    with pytest.raises(kind, match=place):
        silent.generate("x", **given)
    with pytest.raises(kind, match=place):
        silent.retry("x", **given)
    with pytest.raises(kind, match=rf"items\[1\]\.{place}"):
        silent.batch(["a", given])


def test_what_holds_itself_is_told(silent: Client) -> None:
    endless: list[Any] = []
    endless.append(endless)

    with pytest.raises(ValueError, match="holds itself"):
        silent.generate("x", metadata={"of": endless})


def test_any_mapping_is_an_object(silent: Client, script: Scripted) -> None:
    silent.generate("x", metadata=MappingProxyType({"order": MappingProxyType({"number": 1})}))

    assert json.loads(script.asked[0].body)["metadata"] == {"order": {"number": 1}}


def test_a_path_that_was_given_as_text_is_recognised(relay: Client, tmp_path: Path) -> None:
    path = str(tmp_path / "photo.png")
    Path(path).write_bytes(files.png(8, 8))
    body: dict[str, Any] = {"prompt": "x", "template": "img2img"}
    calls: list[Callable[[], object]] = [
        lambda: relay.generate(**body, image=path),
        lambda: relay.generate(**body, params={"image": path}),
        lambda: relay.batch(["x", {**body, "image": path}]),
    ]
    for call in calls:
        with pytest.raises(Problem) as raised:
            call()
        assert raised.value.__notes__ == [f"{path!r} is a file on this machine; to send it, give Path({path!r})"]
    with pytest.raises(Problem) as other:
        relay.generate(**body, image="no file")

    assert not hasattr(other.value, "__notes__")


@pytest.mark.parametrize("how", ["parameter", "list", "mapping", "named", "text"])
def test_what_was_made_may_stand_wherever_a_file_may(silent: Client, script: Scripted, how: str) -> None:
    output = Output(url="/api/generations/6f1c1f0e-3f0b-4a6e-9d0a-0c8f6f0f7a11/outputs/0?token=x")
    ways: dict[str, Any] = {
        "parameter": {"image": output},
        "list": {"references": [output]},
        "mapping": {"references": {"image": output}},
        "named": {"references": [{"source": output, "parameter": "image"}]},
        "text": {"references": [output.url]},
    }

    silent.generate("x", **ways[how])
    silent.batch([{"prompt": "x", **ways[how]}])

    assert [asked.line.split()[1] for asked in script.asked] == ["/api/generate", "/api/batches"]
    assert all(output.url.encode() in asked.body for asked in script.asked)
    with pytest.raises(TypeError, match="Output is on the service already"):
        silent.upload(output)  # type: ignore[arg-type]


@pytest.mark.parametrize("limit", [-1, 1.5, "3", True])
def test_a_limit_that_is_none_is_told(silent: Client, script: Scripted, limit: Any) -> None:
    for items in (silent.list, silent.batches, silent.projects):
        with pytest.raises((ValueError, TypeError), match="limit is a whole number from 0 on"):
            list(items(limit=limit))

    assert script.asked == []
    assert list(silent.list(limit=0)) == []


def test_a_client_that_was_closed_says_so(script: Scripted) -> None:
    relay = Client(script.url)
    relay.close()

    with pytest.raises(RuntimeError, match="closed"):
        relay.get("x")
    with pytest.raises(RuntimeError, match="closed"):
        next(relay.follow("x"))


@pytest.mark.parametrize("url", [5, b"http://here", Path("here")])
def test_an_address_that_is_no_text_is_told(speak: Speaks, url: Any) -> None:
    with pytest.raises(TypeError, match="url is text, and not"):
        speak(url=url)


def test_a_host_is_an_address(speak: Speaks) -> None:
    assert speak(url="foo").url == "http://foo"
    assert speak(url="foo:8000/relay/").url == "http://foo:8000/relay"
