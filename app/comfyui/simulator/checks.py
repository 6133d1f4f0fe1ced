"""Checks one node's inputs against its definition, as POST /prompt does.

Pure but for converting values in place ("12" becomes 12), which is what ComfyUI does and /queue then shows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from app.comfyui.simulator.nodes.models import options_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.comfyui.simulator.folders import Folders
    from app.comfyui.simulator.nodes.base import Graph, Node

_MOST_OPTIONS_SHOWN = 20
_CONVERTERS: Mapping[str, Callable[[Any], object]] = {"INT": int, "FLOAT": float, "STRING": str, "BOOLEAN": bool}

Link = tuple[str, list[Any], list[Any]]
"""Input name, `input_config` and `[node_id, slot]`."""


@dataclass(frozen=True, slots=True)
class Problem:
    """An error in ComfyUI's shape."""

    type: str
    message: str
    details: str
    extra_info: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {"type": self.type, "message": self.message, "details": self.details, "extra_info": self.extra_info}


@dataclass(slots=True)
class InputChecks:
    """The checks of one node; `inputs` is its part of the graph."""

    graph: Graph
    nodes: Mapping[str, Node]
    folders: Folders
    inputs: dict[str, Any]
    node: Node

    def links(self) -> list[tuple[str, Link]]:
        """Nodes behind sound links of matching type. KeyError or IndexError for a node or slot that is not there."""
        return [
            (value[0], (name, config, value))
            for name, value, config in self._given()
            if isinstance(value, list) and len(value) == 2 and _fits(self._received(value), config[0])
        ]

    def problems(self) -> list[Problem]:
        """Everything wrong with this node's own inputs."""
        found = [
            Problem("required_input_missing", "Required input is missing", name, {"input_name": name})
            for name in self.node.definition["input"].get("required", {})
            if name not in self.inputs
        ]
        for name, value, config in self._given():
            problem = (
                self._link_problem(name, value, config)
                if isinstance(value, list)
                else self._value_problem(name, config)
            )
            if problem is not None:
                found.append(problem)
        complaint = self.node.complaint(self.folders, self.inputs) if self.node.complaint and not found else None
        if complaint is not None:
            name = next(iter(self.node.complains_about))
            details = f"{name} - {complaint}"
            found.append(
                Problem("custom_validation_failed", "Custom validation failed for node", details, {"input_name": name})
            )
        return found

    def _given(self) -> Iterator[tuple[str, Any, list[Any]]]:
        """Inputs that are both defined and given: name, value, `input_config`."""
        for group in ("required", "optional"):
            for name, spec in self.node.definition["input"].get(group, {}).items():
                if name in self.inputs:
                    yield name, self.inputs[name], [spec[0], spec[1] if len(spec) > 1 else {}]

    def _received(self, link: list[Any]) -> str:
        source: Node = self.nodes[self.graph[link[0]]["class_type"]]
        try:
            received: str = source.output_types[link[1]]
        except IndexError:
            raise IndexError("tuple index out of range") from None
        return received

    def _link_problem(self, name: str, value: list[Any], config: list[Any]) -> Problem | None:
        if len(value) != 2:
            message = "Bad linked input, must be a length-2 list of [node_id, slot_index]"
            extra = {"input_name": name, "input_config": config, "received_value": value}
            return Problem("bad_linked_input", message, name, extra)
        received = self._received(value)
        if _fits(received, config[0]):
            return None
        wanted = config[0] if isinstance(config[0], str) else "COMBO"
        details = f"{name}, received_type({received}) mismatch input_type({wanted})"
        extra = {"input_name": name, "input_config": config, "received_type": received, "linked_node": value}
        return Problem("return_type_mismatch", "Return type mismatch between linked nodes", details, extra)

    def _value_problem(self, name: str, config: list[Any]) -> Problem | None:
        kind, settings = config
        convert = _CONVERTERS.get(kind) if isinstance(kind, str) else None
        value = self.inputs[name]
        if convert is not None:
            try:
                value = self.inputs[name] = convert(value)
            except (ValueError, TypeError, OverflowError) as failure:
                return _conversion_problem(name, config, value, failure)
        if name in self.node.complains_about:
            return None
        return _range_problem(name, value, config, settings) or self._choice_problem(name, value, config)

    def _choice_problem(self, name: str, value: object, config: list[Any]) -> Problem | None:
        options = options_of(config)
        if options is None or value in options:
            return None
        is_long = len(options) > _MOST_OPTIONS_SHOWN
        shown = f"(list of length {len(options)})" if is_long else str(options)
        extra = {"input_name": name, "input_config": None if is_long else config, "received_value": value}
        return Problem("value_not_in_list", "Value not in list", f"{name}: '{value}' not in {shown}", extra)


def _fits(received: str, wanted: object) -> bool:
    """Do two types match? `*` fits everything, `A,B` means either."""
    if not isinstance(wanted, str):
        return received in ("*", "COMBO")
    given, taken = set(received.split(",")), set(wanted.split(","))
    return "*" in given | taken or bool(given & taken)


def _conversion_problem(name: str, config: list[Any], value: object, failure: Exception) -> Problem:
    extra = {"input_name": name, "input_config": config, "received_value": value, "exception_message": str(failure)}
    message = f"Failed to convert an input value to a {config[0]} value"
    return Problem("invalid_input_type", message, f"{name}, {value}, {failure}", extra)


def _range_problem(name: str, value: Any, config: list[Any], settings: Mapping[str, Any]) -> Problem | None:
    extra = {"input_name": name, "input_config": config, "received_value": value}
    if "min" in settings and value < settings["min"]:
        return Problem("value_smaller_than_min", f"Value {value} smaller than min of {settings['min']}", name, extra)
    if "max" in settings and value > settings["max"]:
        return Problem("value_bigger_than_max", f"Value {value} bigger than max of {settings['max']}", name, extra)
    return None
