"""Routes that queue, list, cancel and remember prompts (COMFYUI_PROTOCOL sections 2.1 to 2.5).

Stateless: everything is in `Server`. Bodies are read as trustingly as ComfyUI reads them; what then fails is a 500.
"""

from __future__ import annotations

import math
import time
import uuid
from typing import TYPE_CHECKING, Any

from app.comfyui.simulator.faults import LostReply
from app.comfyui.simulator.prompts import Item
from app.comfyui.simulator.validation import Verdict, validate
from app.comfyui.simulator.web import Call, Routes, answer, empty

if TYPE_CHECKING:
    from starlette.responses import Response

    from app.comfyui.simulator.prompts import Entry
    from app.comfyui.simulator.server import Server

_NO_PROMPT = {"type": "no_prompt", "message": "No prompt provided", "details": "No prompt provided", "extra_info": {}}


async def get_prompt(call: Call) -> Response:
    """How many prompts are running and pending."""
    return answer({"exec_info": {"queue_remaining": call.server.prompts.remaining}})


async def post_prompt(call: Call) -> Response:
    """Check a graph and queue it."""
    server = call.server
    await server.pause(server.faults.submit_delay_s)
    server.log_line("got prompt\n")
    body = await call.json()
    number = _number(server, body)
    if "prompt" not in body:
        return answer({"error": _NO_PROMPT, "node_errors": {}}, 400)
    prompt_id = str(body.get("prompt_id", uuid.uuid4()))
    if server.faults.ignore_prompt_id:
        prompt_id = str(uuid.uuid4())
    verdict = _judge(server, body["prompt"], body.get("partial_execution_targets"))
    extra_data = body.get("extra_data", {})
    if "client_id" in body:
        extra_data["client_id"] = body["client_id"]
    if verdict.error is not None:
        return answer({"error": verdict.error.as_json(), "node_errors": verdict.node_errors}, 400)
    _queue(server, Item(number, prompt_id, body["prompt"], extra_data, verdict.outputs))
    await _lose_reply(call)
    return answer({"prompt_id": prompt_id, "number": number, "node_errors": verdict.node_errors})


def _number(server: Server, body: Any) -> float:
    """The caller's priority, or the counter, which goes up even for what is refused later."""
    if "number" in body:
        return float(body["number"])
    number = -server.counter if _is_front(body) else server.counter
    server.counter += 1
    return number


def _is_front(body: Any) -> bool:
    return isinstance(body, dict) and bool(body.get("front"))


def _judge(server: Server, graph: Any, targets: Any) -> Verdict:
    if isinstance(graph, list) and not graph:
        graph = {}
    return validate(graph, server.nodes, server.folders, targets)


def _queue(server: Server, item: Item) -> None:
    server.note_submit()
    if not server.faults.forget_prompts:
        server.prompts.put(item)


async def _lose_reply(call: Call) -> None:
    """The `lost_reply` fault."""
    match call.server.faults.lost_reply:
        case LostReply.CUT:
            call.server.abort(call.request.scope["client"])
        case LostReply.SILENCE:
            await call.server.ended.wait()
        case None:
            pass


async def get_queue(call: Call) -> Response:
    """All running and pending prompts, graphs, secrets and all."""
    running, pending = call.server.prompts.listed()
    return answer({"queue_running": running, "queue_pending": pending})


async def post_queue(call: Call) -> Response:
    """Delete pending prompts; always 200."""
    body = await call.json()
    if body.get("clear"):
        call.server.prompts.clear()
    for prompt_id in body.get("delete", ()):
        call.server.prompts.delete(prompt_id)
    return empty()


async def post_interrupt(call: Call) -> Response:
    """Stop what runs now; with an id only if that is it. A body that is no JSON counts as none."""
    try:
        body = await call.json()
    except ValueError:
        body = {}
    prompt_id = body.get("prompt_id")
    if not prompt_id or call.server.prompts.is_running(prompt_id):
        call.server.worker.interrupt.set()
    return empty()


async def get_history(call: Call) -> Response:
    """A page of the history, oldest first."""
    query = call.request.query_params
    max_items = int(query["max_items"]) if "max_items" in query else None
    offset = int(query.get("offset", -1))
    entries = call.server.prompts.entries(max_items, offset)
    return answer({entry.item.prompt_id: _shown(call.server, entry) for entry in entries})


async def get_history_of(call: Call) -> Response:
    """One finished prompt, or `{}` for anything else."""
    entry = call.server.prompts.entry(call.parameter)
    if entry is None or time.monotonic() - entry.written_at < call.server.faults.history_empty_for_s:
        return answer({})
    return answer({call.parameter: _shown(call.server, entry)})


def _shown(server: Server, entry: Entry) -> dict[str, Any]:
    shown = entry.as_json()
    if server.faults.nan_in_frames:
        shown["outputs"] = {node: ui | {"loss": [math.nan, math.inf]} for node, ui in shown["outputs"].items()}
    return shown


async def post_history(call: Call) -> Response:
    """Forget finished prompts."""
    body = await call.json()
    if body.get("clear"):
        call.server.prompts.clear_history()
    for prompt_id in body.get("delete", ()):
        call.server.prompts.delete_history(prompt_id)
    return empty()


async def post_free(call: Call) -> Response:
    """Forget cached results, when the worker comes to it."""
    body = await call.json()
    if body.get("free_memory"):
        call.server.worker.free()
    return empty()


ROUTES: Routes = {
    "/prompt": {"GET": get_prompt, "POST": post_prompt},
    "/queue": {"GET": get_queue, "POST": post_queue},
    "/interrupt": {"POST": post_interrupt},
    "/history": {"GET": get_history, "POST": post_history},
    "/history/{prompt_id}": {"GET": get_history_of},
    "/free": {"POST": post_free},
}
