"""How nodes fail, and how ComfyUI tells of it (COMFYUI_PROTOCOL section 9).

Pure. Traces name the files of a made-up installation: clients must treat them as the private paths they would be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.comfyui.simulator.faults import NodeFailure

NODE_ERRORS = (
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    OSError,
    AttributeError,
    ArithmeticError,
    MemoryError,
    AssertionError,
    ImportError,
)
"""What a node may raise so that only its prompt fails. SystemExit ends the worker thread (section 10)."""

_OUT_OF_MEMORY_HINT = "The GPU ran out of memory.\n\nTry a smaller picture or a smaller batch."


class SimulatedError(RuntimeError):
    """Raised for a node by `Faults.failures`."""

    def __init__(self, failure: NodeFailure) -> None:
        super().__init__(failure.message)
        self.exception_type = failure.exception_type


class Stopped(Exception):
    """The server ends: the worker drops what it does."""


class Forgotten(Exception):
    """The running prompt is to vanish without a trace."""


ENDINGS = (*NODE_ERRORS, Stopped, Forgotten, SystemExit)
"""All that may come out of a running node."""


def exception_type(failure: BaseException) -> str:
    """The full name ComfyUI reports, such as `torch.OutOfMemoryError`; built-in ones have no module."""
    if isinstance(failure, SimulatedError):
        return failure.exception_type
    kind = type(failure)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def exception_message(failure: BaseException) -> str:
    """Ends in a line break, as all of ComfyUI's do; for out-of-memory a hint of several lines follows."""
    hint = _OUT_OF_MEMORY_HINT if exception_type(failure) == "torch.OutOfMemoryError" else ""
    return f"{failure}\n{hint}"


def traceback(class_type: str) -> list[str]:
    """Lines of a stack trace, innermost last."""
    return [
        '  File "/comfyui/execution.py", line 496, in execute\n    (simulated)\n',
        f'  File "/comfyui/nodes.py", line 1, in {class_type}\n    (simulated)\n',
    ]


def shown_inputs(inputs: Mapping[str, list[Any]]) -> dict[str, list[object]]:
    """`current_inputs`: Python text of every input, prompts and secrets included (section 3.4)."""
    return {name: [_shown(value) for value in values] for name, values in inputs.items()}


def _shown(value: object) -> object:
    return value if value is None or isinstance(value, int | float | bool | str) else str(value)
