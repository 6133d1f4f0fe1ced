"""How a run ended, by ComfyUI's history, and in which words a caller is told.

Pure. Nothing that leaves here holds a server path, a traceback or an address.
"""

from __future__ import annotations

import re
from typing import Final, assert_never

import msgspec

from app.comfyui.history import HistoryEntry, Outcome
from app.comfyui.messages import ExecutionError
from app.comfyui.workflow import Plan
from app.events import Canceled, Completed, Event, Failed, Moment
from app.observations import Finished
from app.records import ErrorCode, Failure, Generation, Output, Status

MAX_MESSAGE_LENGTH: Final = 500
"""Some exceptions quote whole tensors or files; a caller needs the sentence."""

_UNEXPLAINED: Final = Failure(ErrorCode.EXECUTION_ERROR, "The run failed without a reason")
_INTERRUPTED: Final = Failure(ErrorCode.INTERRUPTED, "Interrupted at ComfyUI by somebody else")

_ADDRESS: Final = re.compile(
    r"\b[A-Za-z][A-Za-z0-9+.-]{0,15}://[^\s'\"<>]+|(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?(?![\w.])"
)
# Inside quotes a path may hold anything; `repr` doubles the separators of Windows paths.
_QUOTED_PATH: Final = re.compile(r"(?P<quote>['\"])(?:[A-Za-z]:|~[\w.-]*)?[\\/](?:(?!(?P=quote)).)*(?P=quote)")
# Folders of Windows paths may have blanks in their names ("Program Files"), so may those of its network shares.
_WINDOWS_PATH: Final = re.compile(
    r"(?<![\w])(?:[A-Za-z]:[\\/]+|\\\\+)(?:[^\\/:*?\"'<>|\n]+[\\/]+)*(?P<name>[^\\/\s'\":,;()\[\]<>|]*)"
)
_UNIX_PATH: Final = re.compile(r"(?<![\w.\\/])~?/+(?:[^\\/\s'\":,;()\[\]<>|]+/+)*(?P<name>[^\\/\s'\":,;()\[\]<>|]+)/*")


def verdict(seen: Finished, record: Generation, plan: Plan, at: float) -> dict[str, object]:
    """The fields of the record that a finished run decides: its status, outputs, times and failure."""
    entry = seen.entry
    common = {"outputs": _together(record.outputs, seen.outputs)} | _times(entry, record, at)
    match entry.outcome:
        case Outcome.SUCCESS if seen.failure is not None:
            return common | ended(Status.FAILED, at, error=seen.failure)
        case Outcome.SUCCESS:
            reused = bool(plan.nodes) and plan.nodes.keys() <= set(entry.cached)
            return common | ended(Status.SUCCEEDED, at, outputs_reused=reused)
        case Outcome.INTERRUPTED if record.status is Status.CANCELING:
            return common | ended(Status.CANCELED, at)
        case Outcome.INTERRUPTED:
            return common | ended(Status.FAILED, at, error=_INTERRUPTED)
        case Outcome.ERROR:
            return common | ended(Status.FAILED, at, error=failure_of(entry.error))
        case _:
            assert_never(entry.outcome)


def ended(status: Status, at: float, **fields: object) -> dict[str, object]:
    """The changes that make a record terminal."""
    return {"status": status, "completed_at": at, **fields}


def end_event(shown: Moment, record: Generation) -> Event:
    """The terminal event of a finished record, whose public face is `shown` (a Moment itself, not an event)."""
    face = msgspec.structs.asdict(shown)
    match record.status:
        case Status.SUCCEEDED:
            return Completed(**face, record=record)
        case Status.FAILED:
            return Failed(**face, error=record.error or _UNEXPLAINED, record=record)
        case _:
            return Canceled(**face, record=record)


def without_paths(text: str) -> str:
    """`text` with every absolute path shortened to its last part, and without addresses of servers."""
    text = _ADDRESS.sub("(address)", text)
    text = _QUOTED_PATH.sub(_quoted_name, text)
    text = _WINDOWS_PATH.sub(r"\g<name>", text)
    return _UNIX_PATH.sub(r"\g<name>", text)


def failure_of(error: ExecutionError | None) -> Failure:
    """A node's exception, fit for a caller: cause, node and message without the server's paths."""
    if error is None:
        return Failure(ErrorCode.EXECUTION_ERROR, "ComfyUI says the run failed and gives no reason")
    kind = error.exception_type or ""
    lines = (error.exception_message or "").strip().splitlines()
    first_line = lines[0].strip()[:MAX_MESSAGE_LENGTH] if lines else ""
    return Failure(
        ErrorCode.OUT_OF_MEMORY if _is_memory(kind, first_line) else ErrorCode.EXECUTION_ERROR,
        without_paths(first_line) or kind or "The node failed without a message",
        node_id=error.node_id,
        node_type=error.node_type,
        exception_type=error.exception_type,
    )


def _is_memory(kind: str, first_line: str) -> bool:
    """Torch has a class for it, Python another; on Apple's GPUs torch raises a bare RuntimeError with these words."""
    name = kind.rpartition(".")[2]
    return name in ("OutOfMemoryError", "MemoryError") or (
        name in ("RuntimeError", "AcceleratorError") and "out of memory" in first_line.lower()
    )


def _together(kept: tuple[Output, ...], found: tuple[Output, ...]) -> tuple[Output, ...]:
    """All outputs by index: what was delivered once stays, even if history has forgotten it."""
    by_index = {output.index: output for output in (*kept, *found)}
    return tuple(by_index[index] for index in sorted(by_index))


def _times(entry: HistoryEntry, record: Generation, at: float) -> dict[str, object]:
    """When it began, if we did not hear it: by the server's clock only how long it ran, the clocks may differ."""
    ran_s = 0.0
    if entry.started_ms is not None and entry.ended_ms is not None:
        ran_s = max(0.0, (entry.ended_ms - entry.started_ms) / 1000)
    started_at = record.started_at or max(min(record.created_at, at), at - ran_s)
    return {"started_at": started_at, "queued_at": record.queued_at or started_at}


def _quoted_name(match: re.Match[str]) -> str:
    quote = match["quote"]
    return quote + re.split(r"[\\/]+", match[0][1:-1].rstrip("\\/"))[-1] + quote
