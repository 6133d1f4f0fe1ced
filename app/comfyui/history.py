"""What ComfyUI remembers of a finished prompt, and the files it names.

Pure. `OutputFile` is an address on one ComfyUI server (three folders, a subfolder, a name), never a path of ours.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

import msgspec

from app.comfyui.foreign import as_id, as_list, as_object, as_whole
from app.comfyui.messages import (
    ExecutionCached,
    ExecutionError,
    ExecutionInterrupted,
    ExecutionSuccess,
    Message,
    read_message,
)


class Outcome(StrEnum):
    """How a prompt ended.

    History says `error` for both of the last two; the last entry of `status.messages` tells them apart.
    """

    SUCCESS = "success"
    ERROR = "error"
    INTERRUPTED = "interrupted"


class OutputFile(msgspec.Struct, frozen=True):
    """A file a node produced.

    `type` is ComfyUI's folder (`output`, `temp`, `input`), `key` the ui key it came under.
    """

    node_id: str
    filename: str
    subfolder: str = ""
    type: str = "output"
    key: str = "images"
    is_animated: bool = False


class OutputText(msgspec.Struct, frozen=True):
    """A text a node produced under the ui key `text` or the like."""

    node_id: str
    text: str
    key: str = "text"


class HistoryEntry(msgspec.Struct, frozen=True):
    """The end of a prompt. `executed` and `cached` are node ids; times are the server's clock in ms."""

    prompt_id: str
    outcome: Outcome
    files: tuple[OutputFile, ...] = ()
    texts: tuple[OutputText, ...] = ()
    cached: tuple[str, ...] = ()
    error: ExecutionError | None = None
    started_ms: int | None = None
    ended_ms: int | None = None


def parse_entry(prompt_id: str, raw: dict[str, Any]) -> HistoryEntry:
    """Read one entry of `/history`. Missing and alien parts are left out; only the outcome is always decided."""
    status = as_object(raw.get("status"))
    said = [(item[0], as_object(item[1])) for item in as_list(status.get("messages")) if _is_message(item)]
    messages = [read_message(name, {"prompt_id": prompt_id, **data}) for name, data in said]
    files, texts = _parse_all_outputs(as_object(raw.get("outputs")))
    return HistoryEntry(
        prompt_id=prompt_id,
        outcome=_outcome(messages, as_id(status.get("status_str")), has_outputs=bool(files or texts)),
        files=files,
        texts=texts,
        cached=_cached(messages),
        error=_error(messages),
        started_ms=as_whole(said[0][1].get("timestamp")) if said else None,
        ended_ms=as_whole(said[-1][1].get("timestamp")) if said else None,
    )


def parse_outputs(node_id: str, ui: object) -> tuple[list[OutputFile], list[OutputText]]:
    """The files and texts in a node's ui values, in their order; what is neither is skipped.

    A file is told by its shape, not by its key: video and audio come under `gifs`, `audio`, `3d`, or `images` too.
    """
    by_key = as_object(ui)
    is_animated = True in as_list(by_key.get("animated"))
    files = [
        OutputFile(node_id, item["filename"], subfolder, folder, key, is_animated)
        for key, items in by_key.items()
        for item in as_list(items)
        if isinstance(item, dict)
        and _is_text(item.get("filename"))
        and isinstance(subfolder := item.get("subfolder") or "", str)
        and (folder := item.get("type") or "output") in _FOLDERS
    ]
    texts = [OutputText(node_id, text) for text in as_list(by_key.get("text")) if _is_text(text)]
    return files, texts


_FOLDERS: Final = ("output", "temp", "input")


def _parse_all_outputs(outputs: dict[str, Any]) -> tuple[tuple[OutputFile, ...], tuple[OutputText, ...]]:
    parsed = [parse_outputs(node_id, ui) for node_id, ui in outputs.items()]
    return (
        tuple(file for files, _ in parsed for file in files),
        tuple(text for _, texts in parsed for text in texts),
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _is_message(item: object) -> bool:
    return isinstance(item, list | tuple) and len(item) == 2


def _outcome(messages: list[Message], status: str | None, *, has_outputs: bool) -> Outcome:
    """The last message decides; without messages the status; without both (very old servers) whether files came."""
    match messages[-1] if messages else None:
        case ExecutionInterrupted():
            return Outcome.INTERRUPTED
        case ExecutionError():
            return Outcome.ERROR
        case ExecutionSuccess():
            return Outcome.SUCCESS
        case _:
            is_success = status == "success" or (status is None and has_outputs)
            return Outcome.SUCCESS if is_success else Outcome.ERROR


def _cached(messages: list[Message]) -> tuple[str, ...]:
    return next((message.nodes for message in messages if isinstance(message, ExecutionCached)), ())


def _error(messages: list[Message]) -> ExecutionError | None:
    """The error that ended the prompt, if one did."""
    last = messages[-1] if messages else None
    return last if isinstance(last, ExecutionError) else None
