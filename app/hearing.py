"""What a generation learns from its server's messages.

Pure. Owns the rules for what ComfyUI says of a prompt while it runs; sockets hint, so no rule here ends a generation.
A message of another prompt, or of none, is no news.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, TypeAlias, assert_never

import msgspec

from app import live as lives
from app.comfyui.history import OutputFile, parse_outputs
from app.comfyui.messages import (
    Executed,
    Executing,
    ExecutionCached,
    ExecutionError,
    ExecutionInterrupted,
    ExecutionStart,
    ExecutionSuccess,
    Preview,
    Progress,
    ProgressState,
)
from app.events import PreviewReady
from app.live import Live
from app.records import Generation, Status
from app.states import EARLY, NOTHING, Changes, Effects, State, with_live

RunMessage: TypeAlias = (
    Progress
    | ProgressState
    | Executing
    | Preview
    | ExecutionStart
    | ExecutionCached
    | Executed
    | ExecutionSuccess
    | ExecutionError
    | ExecutionInterrupted
)
"""What is said of one prompt. The frequent ones first: they are tried in this order."""

# For the count beside the progress only: what a file is, its content decides when it is kept.
_PICTURES: Final = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".avif", ".bmp", ".tif", ".tiff")


def hear(state: State, seen: RunMessage, at: float) -> tuple[State, Effects]:
    """Fold one message into a generation that is with its server."""
    if seen.prompt_id != state.record.prompt_id:
        return state, NOTHING
    if state.missing_since is not None:
        state = replace(state, missing_since=None)
    live = state.live
    match seen:
        case Progress():
            return running(state, lives.with_progress(live, seen, at), at)
        case ProgressState():
            return running(state, lives.with_states(live, seen, at), at)
        case Executing(node=None):
            return ending(state)
        case Executing(node=node, display_node=display_node):
            return running(state, lives.with_executing(live, node, display_node, at), at)
        case Preview():
            return _previewed(state, seen, at)
        case ExecutionCached(nodes=nodes):
            return running(state, lives.with_cached(live, nodes), at)
        case Executed():
            return _executed(state, seen, at)
        case ExecutionStart() | ExecutionSuccess() | ExecutionError() | ExecutionInterrupted():
            # None of them ends it: history is written after `execution_success`, and `execution_error` is also sent
            # for a blocked branch while the prompt goes on (COMFYUI_PROTOCOL sections 4 and 5).
            return running(state, live, at)
        case _:
            assert_never(seen)


def running(state: State, live: Live, at: float) -> tuple[State, Effects]:
    """The prompt gave a sign of running."""
    if live.queue_position is not None:
        live = msgspec.structs.replace(live, queue_position=None)
    after = with_live(state, live)
    record = state.record
    return (after, Effects(_started(record, at))) if record.status in EARLY else (after, NOTHING)


def ending(state: State) -> tuple[State, Effects]:
    """The server is done with the prompt, one way or another: its history tells which."""
    live = state.live if state.live.is_ending else msgspec.structs.replace(state.live, is_ending=True)
    return with_live(state, live), Effects(fetch_history=True)


def _started(record: Generation, at: float) -> Changes:
    return {"status": Status.RUNNING, "started_at": record.started_at or at, "queued_at": record.queued_at or at}


def _executed(state: State, seen: Executed, at: float) -> tuple[State, Effects]:
    """Only files in the output folder are kept early; temporary ones only matter if there is nothing else."""
    files, _ = parse_outputs(seen.node, seen.output)
    known = set(state.files)
    fresh = tuple(file for file in dict.fromkeys(files) if file not in known)
    kept = tuple(file for file in fresh if file.type == "output" or state.record.keep_temporary)
    live = lives.with_output(state.live, seen.node, sum(map(_is_picture, kept)), at)
    after, effects = running(replace(state, files=state.files + fresh) if fresh else state, live, at)
    return after, replace(effects, keep=kept) if kept else effects


def _is_picture(file: OutputFile) -> bool:
    return file.filename.lower().endswith(_PICTURES)


def _previewed(state: State, seen: Preview, at: float) -> tuple[State, Effects]:
    if seen == state.preview:
        return state, NOTHING
    after, effects = running(replace(state, preview=seen), state.live, at)
    ready = PreviewReady(generation_id=state.record.id, image=seen.image, mime_type=seen.mime_type, node_id=seen.node)
    return after, replace(effects, events=(ready,))
