"""What can go wrong when talking to one ComfyUI server.

    ComfyError                  anything below; carries the backend's name, never its address
    ├── Unreachable             the request surely never arrived: try another backend, or later
    ├── NoAnswer                it may have arrived: its fate is unknown, so look before asking again
    ├── Rejected                ComfyUI refused the workflow (HTTP 400): the caller has to change it
    ├── NotFound                the file or thing asked for is not there
    ├── BadReply                it answered something ComfyUI never says (status, shape)
    └── Incompatible            the server is too old or too odd for what was asked

One class per remedy. Errors carry data and compose their own text.
"""

from __future__ import annotations

from typing import Any


class ComfyError(Exception):
    """A ComfyUI server could not do what was asked."""

    def __init__(self, backend: str, text: str) -> None:
        super().__init__(f"{backend}: {text}")
        self.backend = backend


class Unreachable(ComfyError):
    """No connection could be made, so nothing was sent: it is safe to send the request again."""

    def __init__(self, backend: str, reason: str) -> None:
        super().__init__(backend, f"cannot be reached ({reason})")
        self.reason = reason


class NoAnswer(ComfyError):
    """The request was sent, or may have been, and no answer came that tells its fate. `status` is that of one that
    does not, if any did.
    """

    def __init__(self, backend: str, request: str, after_s: float, status: int | None = None) -> None:
        instead = "" if status is None else f", but status {status}"
        super().__init__(backend, f"gave no answer to {request} within {after_s:g} s{instead}")
        self.request, self.after_s, self.status = request, after_s, status


class Rejected(ComfyError):
    """ComfyUI refused the workflow.

    `error` is its `{type, message, details, extra_info}`, `node_errors` its map of node id to errors; both are
    foreign JSON without tracebacks (COMFYUI_PROTOCOL section 2.1).
    """

    def __init__(self, backend: str, error: dict[str, Any], node_errors: dict[str, Any]) -> None:
        super().__init__(
            backend, f"refused the workflow: {error.get('message') or error.get('type') or 'no reason given'}"
        )
        self.error, self.node_errors = error, node_errors


class NotFound(ComfyError):
    """The file or route asked for does not exist on this server."""

    def __init__(self, backend: str, what: str) -> None:
        super().__init__(backend, f"has no {what}")
        self.what = what


class BadReply(ComfyError):
    """The answer was no ComfyUI answer: an unexpected status, no JSON, or a wrong shape."""

    def __init__(self, backend: str, request: str, status: int, why: str) -> None:
        super().__init__(backend, f"answered {request} with {status}: {why}")
        self.request, self.status, self.why = request, status, why


class Incompatible(ComfyError):
    """This server cannot do what was asked, in this version or with these options."""

    def __init__(self, backend: str, why: str) -> None:
        super().__init__(backend, why)
        self.why = why
