"""Speaks to one ComfyUI server over HTTP, in its own words and in values.

Owns which route does what, what a strange status means, and what must never be sent (COMFYUI_PROTOCOL section 10).
Never retries: whether it is safe to ask again is for the caller to know, and the class of the error says it.
"""

from __future__ import annotations

import contextlib
import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from app.comfyui import answers
from app.comfyui.address import parse_address
from app.comfyui.errors import BadReply, ComfyError, NoAnswer, NotFound, Rejected
from app.comfyui.exchange import ClientOptions, Exchange, Reply, open_transport
from app.comfyui.foreign import decode_json
from app.comfyui.refusals import refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping

    import httpx

    from app.comfyui.answers import Accepted, QueueState, SystemStats, Upload
    from app.comfyui.exchange import Streamed
    from app.comfyui.history import HistoryEntry, OutputFile

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Download:
    """An open file; `size_bytes` is None where the server does not say. Read `chunks` once, inside the block."""

    content_type: str
    size_bytes: int | None
    etag: str | None
    chunks: AsyncIterator[bytes]


@contextlib.asynccontextmanager
async def connect(
    name: str,
    url: str,
    options: ClientOptions | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> AsyncIterator[ComfyClient]:
    """A client for the server at `url` until the block ends; nothing is sent yet. Raises ValueError for a bad URL."""
    options = options or ClientOptions()
    exchange = Exchange(name, parse_address(url), transport or open_transport(options), options)
    try:
        yield ComfyClient(exchange)
    finally:
        await exchange.aclose()


class ComfyClient:
    """One server. Every method ends within a time limit and raises only `ComfyError`s.

    ValueError and TypeError are mistakes of the caller, found before anything is sent.
    """

    def __init__(self, exchange: Exchange) -> None:
        self.name = exchange.name
        self._exchange = exchange
        self._has_cancel_route = True

    async def submit(
        self,
        workflow: Mapping[str, Any],
        *,
        prompt_id: str,
        client_id: str | None,
        number: float | None = None,
        extra_data: Mapping[str, Any] | None = None,
    ) -> Accepted:
        """Queue a workflow under our own id; `client_id` names the socket that shall hear of it, None for none.

        Rejected: it was not queued and never will be as it is. NoAnswer: it may be queued, and that includes any 5xx,
        since ComfyUI was seen to answer 500 for a prompt that it ran (section 2.1). BadReply: not queued, or not by a
        ComfyUI.
        """
        body = _submission(workflow, prompt_id, client_id, number, extra_data)
        reply = await self._exchange.ask("POST", "/prompt", json=body, timeout_s=self._exchange.options.submit_s)
        if reply.status >= 500:
            raise NoAnswer(self.name, "POST /prompt", reply.elapsed_s, reply.status)
        if reply.status == 400 and (refused := _refusal(reply)) is not None:
            raise Rejected(self.name, *refused)
        return self._read("POST /prompt", reply, answers.read_accepted)

    async def queue(self) -> QueueState:
        """Who runs and who waits. Ask this before `history`: a prompt in neither is then really gone."""
        return await self._get("/queue", answers.read_queue)

    async def history(self, prompt_id: str) -> HistoryEntry | None:
        """How a prompt ended; None while it is unfinished, deleted or unknown.

        BadReply with status 500 is for ever: the entry holds what JSON cannot express (section 10).
        """
        path = f"/history/{_encoded(prompt_id)}"
        return await self._get(path, lambda body: answers.read_history(body, prompt_id))

    async def interrupt(self, prompt_id: str) -> None:
        """Stop this prompt if it runs. Answers alike when it did nothing; never stops anybody else's."""
        await self._post("/interrupt", {"prompt_id": _checked_id(prompt_id)})

    async def delete(self, prompt_id: str) -> None:
        """Take this prompt off the queue if it waits. Answers alike when it did nothing."""
        await self._post("/queue", {"delete": [_checked_id(prompt_id)]})

    async def cancel(self, prompt_id: str) -> None:
        """Delete or interrupt this prompt, by the route newer servers have, or else by both old ones in that order.

        An interrupt can get lost while the prompt is starting (section 2.4): look afterwards, and cancel again until
        it is in neither queue.
        """
        if self._has_cancel_route and await self._cancel_as_job(prompt_id):
            return
        await self.delete(prompt_id)
        await self.interrupt(prompt_id)

    @contextlib.asynccontextmanager
    async def view(self, file: OutputFile, *, preview: str | None = None) -> AsyncIterator[Download]:
        """Open a file; `preview` such as "webp;90" has it encoded anew, without the workflow inside.

        Raises NotFound where there is no such file or ComfyUI does not give it out, BadReply for a preview of
        something that is no picture.
        """
        query = {"filename": file.filename, "subfolder": file.subfolder, "type": file.type}
        query |= {"preview": preview} if preview else {}
        async with self._exchange.open(f"/view?{urlencode(query)}") as response:
            if response.status_code in {400, 403, 404}:
                raise NotFound(self.name, f"file {file.filename!r}")
            if response.status_code != 200:
                raise self._failure("GET /view", Reply(response.status_code, b"", 0.0))
            yield _download(response, self._exchange.chunks(response))

    async def upload(
        self,
        content: bytes | Streamed,
        filename: str,
        *,
        subfolder: str = "",
        folder: str = "input",
        overwrite: bool = False,
    ) -> Upload:
        """Store an input file. The name in the answer counts: ComfyUI renames where another file has it already.

        Rejected: it is larger than the server takes. It can be sent again whatever happened, with `overwrite`.
        """
        fields = {"subfolder": subfolder, "type": folder, "overwrite": "true" if overwrite else "false"}
        reply = await self._exchange.upload("/upload/image", fields, "image", filename, content)
        return self._read("POST /upload/image", reply, answers.read_upload)

    async def object_info(self, node_class: str | None = None) -> dict[str, Any]:
        """Definitions of all node classes, or of one; without that class if the server does not know it."""
        path = f"/object_info/{_encoded(node_class)}" if node_class else "/object_info"
        return await self._get(path, answers.read_object, timeout_s=self._exchange.options.submit_s)

    async def system_stats(self) -> SystemStats:
        """Version and devices."""
        return await self._get("/system_stats", answers.read_system_stats)

    async def features(self) -> dict[str, Any]:
        """The server's feature flags; none where it is too old to have the route."""
        try:
            return await self._get("/features", answers.read_object)
        except NotFound:
            return {}

    async def queue_remaining(self) -> int:
        """Running and waiting prompts of everybody. The cheapest proof that the server answers; a dead worker thread
        does not show here (section 10).
        """
        return await self._get("/prompt", answers.read_queue_remaining)

    async def free(self, *, unload_models: bool = True, free_memory: bool = False) -> None:
        """Have the server give memory back, later; `free_memory` also forgets cached results."""
        await self._post("/free", {"unload_models": unload_models, "free_memory": free_memory})

    async def _get(self, path: str, read: Callable[[bytes], T], *, timeout_s: float | None = None) -> T:
        reply = await self._exchange.ask("GET", path, timeout_s=timeout_s)
        return self._read(f"GET {path}", reply, read)

    async def _post(self, path: str, body: Mapping[str, Any]) -> None:
        reply = await self._exchange.ask("POST", path, json=msgspec.json.encode(body))
        if reply.status != 200:
            raise self._failure(f"POST {path}", reply)

    async def _cancel_as_job(self, prompt_id: str) -> bool:
        """Whether the server has the route and knows the prompt by it; 405 says that it never will (section 12)."""
        path = f"/api/jobs/{_encoded(prompt_id)}/cancel"
        reply = await self._exchange.ask("POST", path)
        if reply.status == 405:
            self._has_cancel_route = False
            log.debug("server has no cancel route", extra={"backend": self.name})
        if reply.status not in {200, 404, 405}:
            raise self._failure(f"POST {path}", reply)
        return reply.status == 200

    def _read(self, request: str, reply: Reply, read: Callable[[bytes], T]) -> T:
        if reply.status != 200:
            raise self._failure(request, reply)
        try:
            return read(reply.body)
        except (ValueError, RecursionError) as exc:
            raise BadReply(self.name, request, reply.status, "unreadable") from exc

    def _failure(self, request: str, reply: Reply) -> ComfyError:
        match reply.status:
            case 404:
                return NotFound(self.name, f"route for {request}")
            case 413:
                return Rejected(self.name, {"type": "too_large", "message": "larger than this server takes"}, {})
            case status:
                return BadReply(self.name, request, status, "unexpected status")


def _submission(
    workflow: Mapping[str, Any],
    prompt_id: str,
    client_id: str | None,
    number: float | None,
    extra_data: Mapping[str, Any] | None,
) -> bytes:
    """The body of a submission, with nothing in it that ends or wedges a server (section 10)."""
    nodes: Iterable[tuple[object, object]] = workflow.items()
    if not all(isinstance(key, str) and isinstance(node, dict) for key, node in nodes):
        raise ValueError("a workflow is an object of objects")
    body: dict[str, Any] = {"prompt": dict(workflow), "prompt_id": _checked_id(prompt_id)}
    if client_id is not None:
        body["client_id"] = _checked_id(client_id)
    if number is not None:
        body["number"] = number
    if extra_data is not None:
        body["extra_data"] = _checked_extra_data(extra_data)
    encoded = msgspec.json.encode(body)
    # msgspec writes NaN as null, which is rare enough to look twice; the standard library refuses it.
    if b"null" in encoded:
        json.dumps(body, allow_nan=False)
    return encoded


def _checked_extra_data(extra_data: Mapping[str, Any]) -> dict[str, Any]:
    """An `extra_pnginfo` or a `workflow` in it that is no object breaks `/api/jobs` for everybody (section 12)."""
    pnginfo = extra_data.get("extra_pnginfo", {})
    if not isinstance(pnginfo, dict) or not isinstance(pnginfo.get("workflow", {}), dict):
        raise TypeError("extra_pnginfo and its workflow are objects")
    return dict(extra_data)


def _checked_id(identifier: object) -> str:
    """A string: a client_id that is none ends the server. Not empty: an interrupt without an id stops whatever runs."""
    if not isinstance(identifier, str) or not identifier:
        raise ValueError("an id is a string that is not empty")
    return identifier


def _encoded(identifier: str) -> str:
    return quote(_checked_id(identifier), safe="")


def _refusal(reply: Reply) -> tuple[dict[str, Any], dict[str, Any]] | None:
    try:
        return refusal(decode_json(reply.body))
    except (ValueError, RecursionError):
        return None


def _download(response: httpx.Response, chunks: AsyncIterator[bytes]) -> Download:
    headers = response.headers
    size = headers.get("Content-Length", "")
    is_known = size.isdecimal() and "Content-Encoding" not in headers
    content_type = headers.get("Content-Type", "application/octet-stream")
    return Download(content_type, int(size) if is_known else None, headers.get("ETag"), chunks)
