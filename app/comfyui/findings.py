"""What a server would not take of a graph: the kinds of faults, one finding, and the sum over several servers.

Pure. Owns the shape and the codes of findings; never looks for any (`checks` does).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeAlias

from app.comfyui.graph import as_link
from app.comfyui.problems import pointer, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

Scalar: TypeAlias = str | int | float | bool | None
Given: TypeAlias = Scalar | tuple[str, int]

_LONGEST_GIVEN: Final = 200
# As in `problems`: Python refuses to write integers of several thousand digits.
_LARGEST_GIVEN: Final = 10**40


class Code(StrEnum):
    """What is wrong. Closed: a caller may rely on the list; the meaning of each is part of the interface."""

    UNKNOWN_NODE = "unknown_node"
    """The server has no such node class. It matters anywhere in the graph, used or not."""
    NO_OUTPUTS = "no_outputs"
    """No node of the graph saves or shows anything, so there is nothing to run."""
    MISSING_INPUT = "missing_input"
    """A required input is neither given nor linked."""
    NO_SUCH_OUTPUT = "no_such_output"
    """A link takes an output slot which the other node's class does not have."""
    NOT_A_LINK = "not_a_link"
    """A list that is no link of a node id and a slot; ComfyUI takes every list for a link."""
    WRONG_TYPE = "wrong_type"
    """A link brings another type than the input takes."""
    NOT_A_NUMBER = "not_a_number"
    """A value of an INT or FLOAT input that cannot be converted to one."""
    OUT_OF_RANGE = "out_of_range"
    """A number below the minimum or above the maximum."""
    NOT_IN_LIST = "not_in_list"
    """A choice which is not among those the server offers."""
    UNKNOWN_MODEL = "unknown_model"
    """As `not_in_list`, where the choices are model files: the server does not have this one."""
    NO_SINGLE_BACKEND = "no_single_backend"
    """Only from `merged`: every backend lacks something, and not all of them the same."""

    @property
    def is_certain(self) -> bool:
        """Whether every ComfyUI refuses this, whatever the node class.

        A class can replace the checks of types, bounds and lists by its own (VALIDATE_INPUTS), which `/object_info`
        does not tell; and 0.3.64 does not look at lists spelt `["COMBO", {"options": [...]}]`.
        """
        return self not in _MAY_BE_REPLACED


_MAY_BE_REPLACED: Final = frozenset({Code.WRONG_TYPE, Code.OUT_OF_RANGE, Code.NOT_IN_LIST, Code.UNKNOWN_MODEL})


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault, in a caller's words and with the remedy.

    `node_id` is None where the fault is the whole graph's; `class_type` is "" then. `given` is what was found there, a
    link as a pair, long text cut, None for what is nested. `possible` are a few values that would do, the likeliest
    first, and never all of them for certain; where a link is wrong they are output slots of the same node.
    """

    node_id: str | None
    class_type: str
    input_name: str | None
    code: Code
    message: str
    given: Given = None
    possible: tuple[Scalar, ...] = ()

    @property
    def pointer(self) -> str:
        """The JSON pointer (RFC 6901) into the graph, such as `/3/inputs/steps` or `/3/class_type`."""
        if self.node_id is None:
            return ""
        if self.input_name is None:
            return pointer(self.node_id, "class_type")
        return pointer(self.node_id, "inputs", self.input_name)

    @property
    def sentence(self) -> str:
        """The message with its place in words, for where the pointer would say nothing."""
        if self.node_id is None:
            return self.message
        where = "" if self.input_name is None else f", input {shown(self.input_name)}"
        return f"node {shown(self.node_id)} ({shown(self.class_type)}){where}: {self.message}"


def given_as(value: object) -> Given:
    """`value` in a form that is short and can be written as JSON."""
    match value:
        case str():
            return value if len(value) <= _LONGEST_GIVEN else value[: _LONGEST_GIVEN - 1] + "…"
        case bool() | float():
            return value
        case int() if abs(value) < _LARGEST_GIVEN:
            return value
        case list() if (link := as_link(value)) is not None and abs(link.slot) < _LARGEST_GIVEN:
            return (link.node_id, link.slot)
        case _:
            return None


def merged(by_backend: Mapping[str, tuple[Finding, ...]]) -> tuple[Finding, ...]:
    """What to tell a caller when each backend was asked: nothing as soon as one of them can run the graph.

    Otherwise the findings of the backend with the fewest, the first of them on a tie. Where another backend lacks
    something else, a `no_single_backend` finding stands before them. No backend at all finds nothing.
    """
    if not by_backend or not all(by_backend.values()):
        return ()
    closest = min(by_backend.values(), key=len)
    faults = _faults(closest)
    if all(faults <= _faults(others) for others in by_backend.values()):
        return closest
    return (_no_single_backend(), *closest)


def _faults(findings: tuple[Finding, ...]) -> set[tuple[str, Code]]:
    return {(finding.pointer, finding.code) for finding in findings}


def _no_single_backend() -> Finding:
    return Finding(
        None,
        "",
        None,
        Code.NO_SINGLE_BACKEND,
        "no backend could run this workflow, and they do not all lack the same; "
        "the other findings are those of the backend that comes closest: repair them to run it there",
    )
