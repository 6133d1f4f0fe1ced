"""A library for talking to ComfyUI servers. It does not know that it lives in an application.

`connect` gives a `ComfyClient` (HTTP), `Listener` follows a server's WebSocket, `decode` reads its frames. What real
servers do that nobody would expect, and where this library deals with it (numbers in brackets are sections of
COMFYUI_PROTOCOL, measured on ComfyUI 0.3.64 and 0.8.0; the recordings are in tests/recordings):

 1. `execution_success` comes before the history entry exists; `executing` with node null comes after it. [5]
 2. `execution_error` of type ExecutionBlocked is one branch only; the prompt goes on to a success. [4]
    -> `ExecutionError.is_blocked_branch`
 3. Interrupted and failed prompts look alike in history but for the last of `status.messages`. [2.5]
    -> `history.parse_entry`
 4. POST /prompt can answer 200 with errors in it, and 500 although the prompt was queued. [2.1]
    -> `Accepted.node_errors`; a 5xx is `NoAnswer`
 5. Refusals carry stack traces and paths of the server. [2.1] -> `refusals`
 6. `/queue` lists pending prompts as a heap, with everybody's graphs and API keys. [2.2] -> `answers.read_queue`
 7. An interrupt without an id stops whatever runs, be it somebody else's. [2.4] -> never sent
 8. Interrupt and delete answer 200 whether or not they did anything, and can come too early. [2.4]
    -> `ComfyClient.cancel`: look afterwards
 9. Newer servers cancel by one route; older ones answer it with 405, not 404. [12] -> `ComfyClient.cancel`
10. A `client_id` that is no string ends the server; `extra_data: null` kills its worker thread. [10]
    -> checked before anything is sent
11. NaN and Infinity come as bare words, in frames and in history. [9] -> `foreign.strict_json`
12. `progress_state` lists every node started so far, at every step: 203 MB for 1,000 nodes. [3.2]
    -> `progress_state`
13. `executed` of a cached node can have `output: null`. [3.2] -> `Executed.output`
14. The greeting after a reconnect is an `executing` without a prompt_id. [3.2] -> `Executing.prompt_id`
15. Video, audio and models lie under any key of the ui values, videos under `images`, too. [3.2, recording 13]
    -> `history.parse_outputs` goes by the shape of the items
16. Previews name their prompt only if `feature_flags` with exactly `true` was the socket's first message. [3.3]
    -> `Listener` sends it at once
17. A socket opened under an id used before can stay open, answer pings and hear nothing for ever. [6]
    -> `Listener` never uses an id twice, and demands an answer
18. A socket that does not read stops the events of all sockets. [7] -> nothing is awaited between frames
19. Text frames of 8 MB exist; WebSocket libraries give up at 1 or 4. [3.4] -> `ListenerOptions.max_frame_bytes`
20. A server that goes down sends no close frame, and forgets queue, history and numbers. [8] -> `on_gap`
21. An Origin of another host than a loopback server's own is refused with 403. [2.8] -> none is sent
22. A new upload can get another name than it was sent under. [2.7] -> `Upload.filename`
23. `/history/{id}` answers 500 for ever if a node returned what JSON cannot express. [10] -> `BadReply`
"""

from __future__ import annotations

from app.comfyui.answers import Accepted, Device, QueueState, SystemStats, Upload
from app.comfyui.client import ComfyClient, Download, connect
from app.comfyui.errors import BadReply, ComfyError, Incompatible, NoAnswer, NotFound, Rejected, Unreachable
from app.comfyui.exchange import ClientOptions
from app.comfyui.history import HistoryEntry, Outcome, OutputFile, OutputText, parse_entry, parse_outputs
from app.comfyui.listener import Listener, ListenerCounters, ListenerOptions
from app.comfyui.messages import (
    Executed,
    Executing,
    ExecutionCached,
    ExecutionError,
    ExecutionInterrupted,
    ExecutionStart,
    ExecutionSuccess,
    FeatureFlags,
    Message,
    NodeState,
    NodeText,
    Preview,
    Progress,
    ProgressState,
    Status,
    Unknown,
    decode,
)

__all__ = [
    "Accepted",
    "BadReply",
    "ClientOptions",
    "ComfyClient",
    "ComfyError",
    "Device",
    "Download",
    "Executed",
    "Executing",
    "ExecutionCached",
    "ExecutionError",
    "ExecutionInterrupted",
    "ExecutionStart",
    "ExecutionSuccess",
    "FeatureFlags",
    "HistoryEntry",
    "Incompatible",
    "Listener",
    "ListenerCounters",
    "ListenerOptions",
    "Message",
    "NoAnswer",
    "NodeState",
    "NodeText",
    "NotFound",
    "Outcome",
    "OutputFile",
    "OutputText",
    "Preview",
    "Progress",
    "ProgressState",
    "QueueState",
    "Rejected",
    "Status",
    "SystemStats",
    "Unknown",
    "Unreachable",
    "Upload",
    "connect",
    "decode",
    "parse_entry",
    "parse_outputs",
]
