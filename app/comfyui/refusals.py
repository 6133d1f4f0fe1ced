"""What ComfyUI answers when it does not like a workflow, without what it should not have told.

Pure. Validation errors hold the server's stack traces and paths (COMFYUI_PROTOCOL section 2.1); they never get
past here.
"""

from __future__ import annotations

import re
from typing import Any, Final

from app.comfyui.foreign import as_object

# Two or more folders from a root on; a model called "sdxl/base.safetensors" and the rest of a URL stay.
_PATH: Final = re.compile(r"(?<![\w/:.])(?:[A-Za-z]:\\|\\\\|/)[^\s\"'<>|/\\]+(?:[/\\]+[^\s\"'<>|/\\]+)+")
_HIDDEN_KEYS: Final = frozenset({"traceback"})
# Real answers are five deep; what is deeper is nobody's error message.
_MAX_NESTING: Final = 20


def refusal(answer: object) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The `error` and `node_errors` of a refusal, fit to be shown; None if the answer is no refusal."""
    error = as_object(answer).get("error")
    # Some versions and forks send the bare text of the message.
    error = {"type": "refused", "message": error} if isinstance(error, str) else error
    return (without_secrets(error), node_errors_of(answer)) if isinstance(error, dict) else None


def node_errors_of(answer: object) -> dict[str, Any]:
    """The `node_errors` of any answer to a submission, fit to be shown; a 200 can have some, too."""
    return without_secrets(as_object(as_object(answer).get("node_errors")))


def without_secrets(value: dict[str, Any]) -> dict[str, Any]:
    """A copy without tracebacks, and with paths of the server replaced by an ellipsis."""
    return as_object(_cleaned(value, _MAX_NESTING))


def _cleaned(value: Any, depth: int) -> Any:
    match value:
        case str():
            return _PATH.sub("…", value)
        case dict() if depth:
            return {key: _cleaned(item, depth - 1) for key, item in value.items() if key not in _HIDDEN_KEYS}
        case list() if depth:
            return [_cleaned(item, depth - 1) for item in value]
        case dict() | list():
            return None
        case _:
            return value
