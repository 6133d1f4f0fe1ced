"""The recordings of a real ComfyUI, sorted by prompt: what was posted, and what was then said of it, in order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

from app.comfyui.history import HistoryEntry, parse_entry
from app.comfyui.messages import Executing, ExecutionStart, Message, Preview, decode_text
from app.comfyui.workflow import Plan, parse, plan
from tests.comfyui import recordings as files

NAMES = files.NAMES

_ENDS = ("execution_success", "execution_error", "execution_interrupted")


@dataclass(frozen=True, slots=True)
class Told:
    """One prompt of a recording. `messages` are those the socket of its client heard, whoever they were about.

    `entry` is the first answer of `/history` that knows the prompt; where nobody asked, the one ComfyUI must have had
    by its messages. `frames` are the same text frames undecoded.
    """

    recording: str
    prompt_id: str
    workflow: dict[str, Any]
    messages: tuple[Message, ...]
    frames: tuple[dict[str, Any], ...]
    entry: HistoryEntry
    end: str

    @property
    def plan(self) -> Plan:
        return plan(parse(self.workflow))

    def __str__(self) -> str:
        return f"{self.recording}-{self.prompt_id[:8]}"


@cache
def complete(name: str) -> tuple[Told, ...]:
    """Every prompt of a recording that was posted once and heard from start to end by its own client's socket."""
    lines = tuple(files.lines(name))
    history = dict(reversed(list(files.history_entries(name))))
    posts = list(_posts(lines))
    ids = [prompt_id for prompt_id, _, _ in posts]
    once = [post for post in posts if ids.count(post[0]) == 1]
    found = (_told(name, lines, prompt_id, graph, conn, history) for prompt_id, graph, conn in once)
    return tuple(told for told in found if told is not None)


def _posts(lines: tuple[dict[str, Any], ...]) -> Iterator[tuple[str, dict[str, Any], str]]:
    """(prompt_id, graph, name of its client's only socket) of each accepted POST."""
    sockets: dict[str, list[str]] = {}
    for line in lines:
        if (client := _client_of(line)) is not None:
            sockets.setdefault(client, []).append(line["conn"])
    for line in lines:
        if line["dir"] == "http" and line["method"] == "POST" and line["path"].endswith("/prompt"):
            request, answer = line.get("request"), line.get("response")
            if isinstance(request, dict) and isinstance(answer, dict) and "prompt_id" in answer:
                conns = set(sockets.get(str(request.get("client_id")), ()))
                if len(conns) == 1 and isinstance(request.get("prompt"), dict):
                    yield answer["prompt_id"], request["prompt"], conns.pop()


def _client_of(line: dict[str, Any]) -> str | None:
    if line["dir"] == "ws-out" and line.get("event") == "open":
        return next(iter(parse_qs(urlsplit(line["path"]).query).get("clientId", ())), None)
    if line["dir"] == "ws-in" and isinstance(line.get("json"), dict) and line["json"].get("type") == "status":
        sid = line["json"]["data"].get("sid")
        return sid if isinstance(sid, str) else None
    return None


def _told(
    name: str,
    lines: tuple[dict[str, Any], ...],
    prompt_id: str,
    graph: dict[str, Any],
    conn: str,
    history: dict[str, dict[str, Any]],
) -> Told | None:
    heard = [line for line in lines if line["dir"] == "ws-in" and line.get("conn") == conn and "event" not in line]
    decoded = [(line, _decoded(line)) for line in heard]
    start = next((at for at, (_, said) in enumerate(decoded) if said == _like_start(said, prompt_id)), None)
    last = next((at for at, (_, said) in enumerate(decoded) if said == Executing(prompt_id)), None)
    if start is None or last is None:
        return None
    span = decoded[start : last + 1]
    frames = tuple(line["json"] for line, _ in span if "json" in line)
    messages = tuple(said for _, said in span if said is not None)
    if len(messages) < len(span):
        return None
    raw = history.get(prompt_id) or _entry_by_messages(frames, prompt_id)
    entry = parse_entry(prompt_id, raw)
    return Told(name, prompt_id, graph, messages, frames, entry, raw["status"]["messages"][-1][0])


def _like_start(said: Message | None, prompt_id: str) -> Message | None:
    return said if isinstance(said, ExecutionStart) and said.prompt_id == prompt_id else ExecutionStart(prompt_id)


def _decoded(line: dict[str, Any]) -> Message | None:
    """The message of a recorded line; None where the recorder cut the frame."""
    if "json" in line:
        return decode_text(json.dumps(line["json"]))
    if "raw" in line:
        return decode_text(line["raw"])
    binary = line.get("bin")
    if binary is None:
        return None
    metadata = binary.get("metadata") or {}
    image = f"{binary.get('image_format')} {line['t']}".encode()
    return Preview(image, "image/jpeg", metadata.get("prompt_id"), metadata.get("node_id"))


def _entry_by_messages(frames: tuple[dict[str, Any], ...], prompt_id: str) -> dict[str, Any]:
    own = [frame for frame in frames if frame["data"].get("prompt_id") == prompt_id]
    outputs = {said["data"]["node"]: said["data"]["output"] for said in own if said["type"] == "executed"}
    begin = [said for said in own if said["type"] in ("execution_start", "execution_cached")]
    end = [said for said in own if said["type"] in _ENDS][-1:]
    return {"outputs": outputs, "status": {"messages": [[said["type"], said["data"]] for said in begin + end]}}
