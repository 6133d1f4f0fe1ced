"""The inputs of a node as they are sent: the values of its controls, and over them what comes over links.

Pure. Owns the spelling of inputs in the API format; never decides whether a node is sent. Source: ComfyUI_frontend
1.58, `graphToPrompt`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from app.comfyui.definitions import Definitions, NodeDefinition
from app.comfyui.editor.files import EditorNode
from app.comfyui.editor.pruning import Candidate
from app.comfyui.editor.scopes import Placed
from app.comfyui.editor.sources import Control, Literal, Nothing, Output
from app.comfyui.editor.values import UnreadableValuesError, values_of
from app.comfyui.graph import Json
from app.comfyui.problems import shown

_CHOICE: Final = re.compile(r"\{[^{}|]*\|[^{}]*\}")
_PLACEHOLDER: Final = re.compile(r"%(?:date:[^%\s]|[^%./\\\s]{1,100}\.[^%./\\\s]{1,100}%)")


class Inputs:
    """Writes inputs, and keeps in `notes` what a person should know about them."""

    def __init__(self, definitions: Definitions) -> None:
        self.notes: list[str] = []
        self._definitions = definitions
        self._shown: dict[str, Mapping[str, Any]] = {}

    def of(self, each: Candidate) -> dict[str, Json]:
        """The inputs of a node that is sent. Raises UnreadableValuesError."""
        node, passed = each.placed.node, each.placed.scope.passed_to(each.placed.node)
        values = values_of(node, each.definition, {*each.sources, *passed})
        inputs = {name: _wrapped(value) for name, value in (values.by_name | passed).items()}
        for name, source in each.sources.items():
            match source:
                case Output(api_id=api_id, slot=slot):
                    inputs[name] = [api_id, slot]
                case Literal(value=value):
                    inputs[name] = _wrapped(value)
                case Control():
                    inputs[name] = _wrapped(self._value_of(source, name))
                case Nothing():
                    inputs.pop(name, None)
        self.notes += (f"{each.placed} {note}" for note in (*values.notes, *_untouched(each, inputs)))
        return inputs

    def _value_of(self, control: Control, name: str) -> Any:
        values = self._values_on(control.placed)
        if control.name not in values:
            text = f"its input {shown(name)} takes the value of {shown(control.name)} on {control.placed}"
            raise UnreadableValuesError(f"cannot be sent: {text}, which has none; type a value in the editor")
        return values[control.name]

    def _values_on(self, placed: Placed) -> Mapping[str, Any]:
        """Everything the controls of a node hold, as far as its class is known."""
        if placed.api_id not in self._shown:
            held = _held(placed.node, self._definitions.get(placed.node.class_type))
            self._shown[placed.api_id] = {**held, **placed.scope.passed_to(placed.node)}
        return self._shown[placed.api_id]


def _held(node: EditorNode, definition: NodeDefinition | None) -> Mapping[str, Any]:
    if isinstance(node.values, Mapping):
        return node.values
    try:
        return values_of(node, definition, ()).by_name if definition is not None else {}
    except UnreadableValuesError:
        return {}


def _wrapped(value: Any) -> Json:
    """ComfyUI takes a bare list for a link; it unwraps this when it runs the node."""
    return {"__value__": value} if isinstance(value, list) else value


def _untouched(each: Candidate, inputs: Mapping[str, Json]) -> Iterator[str]:
    """What the editor would have replaced in texts at the moment of sending."""
    for name, value in inputs.items():
        if not isinstance(value, str):
            continue
        spec = each.definition.inputs.get(name)
        if spec is not None and spec.options.get("dynamicPrompts") is True and _CHOICE.search(value):
            yield f"has choices such as {{a|b}} in {shown(name)}: sent as they are, none is drawn"
        if _PLACEHOLDER.search(value):
            yield f"has placeholders such as %date:...% in {shown(name)}: sent as they are"
