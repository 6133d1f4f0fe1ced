"""Plays a recording of a real ComfyUI against the simulator: the same requests, in the same order, at the same points.

An action waits until every socket has heard as much as it had heard in the recording when the action was taken, and
the simulator's nodes wait for the actions they were overtaken by (`pacing`).
"""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from PIL import Image
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from app.comfyui.simulator.pictures import encode
from tests.comfyui.simulator.normal import Frame, frame_of, is_counted

if TYPE_CHECKING:
    from app.comfyui.simulator import Simulator
    from tests.comfyui.simulator.pacing import Pace

RECORDINGS = Path(__file__).parents[2] / "recordings"
PATIENCE_S = 10.0
Line = dict[str, Any]


def lines_of(name: str) -> list[Line]:
    """A recording, line by line, NaN and all."""
    return [json.loads(line) for line in (RECORDINGS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


@dataclass(eq=False)
class Ear:
    """One socket of the replay and what it heard."""

    socket: ClientConnection
    heard: list[Frame] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    sid: str = ""

    async def listen(self) -> None:
        try:
            async for wire in self.socket:
                frame = frame_of(wire)
                if frame.kind == "status" and "sid" in frame.data:
                    self.sid = frame.data["sid"]
                self.heard.append(frame)
                self.changed.set()
        except ConnectionClosed:
            return

    async def has_been_greeted(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not self.sid:
                self.changed.clear()
                await self.changed.wait()

    async def has_heard(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while sum(is_counted(frame) for frame in self.heard) < count:
                self.changed.clear()
                await self.changed.wait()


@dataclass(frozen=True)
class Exchange:
    """A recorded HTTP line and what the simulator answered to the same request."""

    line: Line
    response: httpx.Response


class Replay:
    """Runs one recording; afterwards `ears` and `exchanges` hold what the simulator said."""

    def __init__(self, comfy: Simulator, lines: list[Line], pace: Pace) -> None:
        self.comfy = comfy
        self.lines = lines
        self.pace = pace
        self.ears: dict[str, list[Ear]] = {}
        self.exchanges: list[Exchange] = []
        self.ids: dict[str, str] = {}
        self._renamed: dict[str, str] = {}
        self._output_orders = _output_orders(lines)
        self._open: dict[str, Ear] = {}
        self._opened: dict[str, int] = {}

    async def run(self) -> None:
        actions = [(index, line) for index, line in enumerate(self.lines) if line["dir"] in ("http", "ws-out")]
        async with asyncio.TaskGroup() as tasks, httpx.AsyncClient(base_url=self.comfy.url, trust_env=False) as http:
            for index, action in actions:
                self.pace.reach(index)
                await self._wait_for_frames_before(index, action["t"])
                if action["dir"] == "http":
                    await self._request(http, action)
                else:
                    await self._act(tasks, index, action)
            self.pace.reach(len(self.lines))
            await self._wait_for_frames_before(len(self.lines), math.inf)
            for ear in self._open.values():
                await ear.socket.close()

    async def _wait_for_frames_before(self, index: int, began: float) -> None:
        """What was heard before an action began. An HTTP line stands where its exchange ended, so time decides, too.

        Times are rounded: what was heard in the same tenth of a millisecond is what the recorder had waited for.
        """
        for name, ear in self._open.items():
            said = [
                frame_of(line)
                for line in self.lines[self._opened[name] : index]
                if line["dir"] == "ws-in" and line["conn"] == name and "event" not in line and line["t"] <= began
            ]
            await ear.has_heard(sum(is_counted(frame) for frame in said))

    async def _act(self, tasks: asyncio.TaskGroup, index: int, action: Line) -> None:
        name = action["conn"]
        if action.get("event") == "open":
            url = self.comfy.url.replace("http", "ws") + action["path"]
            compression = "deflate" if action["compress"] else None
            socket = await connect(
                url, proxy=None, max_size=None, compression=compression, additional_headers=action["request_headers"]
            )
            self._open[name] = ear = Ear(socket)
            self._opened[name] = index
            self.ears.setdefault(name, []).append(ear)
            tasks.create_task(ear.listen())
            await ear.has_been_greeted()
        elif action.get("event") == "close":
            await self._open.pop(name).socket.close()
        else:
            await self._open[name].socket.send(action.get("raw") or json.dumps(action["json"]))

    async def _request(self, http: httpx.AsyncClient, line: Line) -> None:
        await self._wait_for_the_worker(line)
        if line["path"] == "/prompt" and line["method"] == "POST":
            recorded = line["response"].get("prompt_id", "")
            self.comfy.faults.output_order += tuple(self._output_orders.get(recorded, ()))
        response = await http.send(
            http.build_request(
                line["method"],
                self._translated(line["path"]),
                params={key: self._translated(str(value)) for key, value in (line["query"] or {}).items()},
                headers={key: self._translated(value) for key, value in line.get("request_headers", {}).items()},
                **self._body(line),
            )
        )
        self.exchanges.append(Exchange(line, response))
        self._learn(line, response)

    async def _wait_for_the_worker(self, line: Line) -> None:
        """What the recording saw running has to run, what it saw in the history has to be there."""
        if line["method"] != "GET" or not isinstance(line["response"], dict):
            return
        if line["path"].startswith("/history/") and line["status"] == 200 and line["response"]:
            last = self.ids.get(line["path"].rpartition("/")[2])
            if last:
                await self.comfy.wait_for("finished", node=last)
        for item in line["response"].get("queue_running", ()):
            recorded = item[1] if isinstance(item, list) else item
            await self.comfy.wait_for("taken", node=self.ids.get(recorded, recorded))

    def _body(self, line: Line) -> dict[str, Any]:
        request = line["request"]
        if request is None:
            return {}
        if isinstance(request, dict) and "#raw" in request:
            return {"content": request["#raw"].encode()}
        if isinstance(request, dict) and "#multipart" in request:
            return _multipart(request["#multipart"])
        return {"content": self._translated(json.dumps(request)).encode()}

    def _learn(self, line: Line, response: httpx.Response) -> None:
        """Which id of the simulator stands for which of the recording."""
        for name in ("ETag", "Last-Modified"):
            if name in line["headers"] and name in response.headers:
                self._renamed[line["headers"][name]] = response.headers[name]
        if not isinstance(line["response"], dict) or response.status_code != 200:
            return
        if line["path"] == "/prompt" and "prompt_id" in line["response"]:
            ours = json.loads(response.content)["prompt_id"]
            self.ids[line["response"]["prompt_id"]] = ours
            self.pace.know(ours, line["response"]["prompt_id"])
        if line["path"].startswith("/history/"):
            recorded = [entry.get("outputs") for entry in line["response"].values() if isinstance(entry, dict)]
            shown = [entry["outputs"] for entry in json.loads(response.content).values()]
            self._renamed |= dict(zip(_file_names(recorded), _file_names(shown), strict=False))

    def _translated(self, text: str) -> str:
        """Ids the server makes differ from run to run: prompt ids, socket ids, ETags, dates and counters."""
        for recorded, ours in (self.ids | self._sids() | self._renamed).items():
            if len(recorded) > 3:
                text = text.replace(recorded, ours)
        return text

    def _sids(self) -> dict[str, str]:
        recorded = {}
        for line in self.lines:
            if line["dir"] == "ws-in" and isinstance(line.get("json"), dict) and "sid" in line["json"].get("data", {}):
                recorded[line["json"]["data"]["sid"]] = line["conn"]
        return {sid: self._open[name].sid for sid, name in recorded.items() if name in self._open}


def _file_names(outputs: Any) -> list[str]:
    """Every `filename` in a tree of outputs, in the order of its nodes."""
    if isinstance(outputs, list):
        return [name for item in outputs for name in _file_names(item)]
    if isinstance(outputs, dict):
        own = [outputs["filename"]] if "filename" in outputs else []
        return own + [name for key in sorted(outputs) for name in _file_names(outputs[key])]
    return []


def _multipart(fields: dict[str, Any]) -> dict[str, Any]:
    files = {
        name: (value["filename"], _content(value["bytes"]), value["content_type"])
        for name, value in fields.items()
        if isinstance(value, dict)
    }
    data = {name: value for name, value in fields.items() if isinstance(value, str)}
    return {"files": files or {name: (None, value) for name, value in data.items()}, "data": data if files else {}}


def _content(size: int) -> bytes:
    """A picture for each size that was recorded: equal sizes were equal files."""
    known = {80: ("RGB", (8, 8), 1), 82: ("RGB", (8, 8), 2), 86: ("RGBA", (8, 8), 3), 78: ("RGBA", (4, 4), 4)}
    if size not in known:
        return b"hello"[:size]
    mode, shape, shade = known[size]
    return encode(Image.new(mode, shape, (shade * 40,) * len(mode)), "PNG")


def _output_orders(lines: list[Line]) -> dict[str, list[str]]:
    """By prompt id, the order in which the recorded server took the output nodes from its set."""
    found: dict[str, list[str]] = {}
    for line in lines:
        if line["dir"] != "http" or not isinstance(line["response"], dict):
            continue
        entries = [
            entry["prompt"] for entry in line["response"].values() if isinstance(entry, dict) and "prompt" in entry
        ]
        queued = line["response"].get("queue_running", []) + line["response"].get("queue_pending", [])
        for item in [*entries, *queued]:
            if isinstance(item, list) and len(item) == 5:
                found[item[1]] = item[4]
    return found
