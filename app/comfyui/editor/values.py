"""The values that a node's controls held, by the names of its inputs.

Pure. Owns reading the list of values that a file stores without names: its order is the one of the node version it was
saved with, which may not be the server's. Never follows a link. Sources: ComfyUI_frontend 1.58 (`widgets_values`,
`widgets_values_named`, controls behind seeds, buttons behind uploads, dynamic combos).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from app.comfyui.definitions import InputDefinition, NodeDefinition
from app.comfyui.editor.files import EditorNode
from app.comfyui.editor.fits import (
    LIVE_KINDS,
    Fit,
    chosen_inputs,
    default_of,
    fit,
    has_control_word,
    is_control,
    is_dynamic,
)
from app.comfyui.editor.scopes import CONTROL_WORDS
from app.comfyui.problems import shown

_MAX_DEPTH: Final = 8
# Its further values are the choices themselves, which the editor keeps on the node.
_OWN_CHOICES: Final = frozenset({"CustomCombo"})
_BUTTONS: Final = frozenset({"image", "video", "audio", "file", "upload", ""})
_EXPORT: Final = "choose Workflow > Export (API) in ComfyUI and send that file"
_SAVE_AGAIN: Final = f"open the file in an editor of this server and save it again, or {_EXPORT}"


class UnreadableValuesError(Exception):
    """The values cannot be told apart, or one is missing; the text completes «node X ...» and has the remedy."""


@dataclass(frozen=True, slots=True)
class Values:
    """Values by input name, and what a person should know about how they came about."""

    by_name: dict[str, Any]
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class _Reading:
    """One attempt to tell the values apart."""

    left: list[Any]
    words: frozenset[object]
    found: dict[str, Any] = field(default_factory=dict)
    worst: Fit = Fit.SURELY
    lacks_any: bool = False

    def take(self, name: str, spec: InputDefinition | None) -> Any:
        """The next value, and past the word behind it."""
        value = self.found[name] = self.left.pop(0)
        if spec is not None:
            self.worst = min(self.worst, fit(value, spec))
        return value

    def skip_words(self, spec: InputDefinition) -> None:
        """A combo's word has a filter text behind it."""
        if has_control_word(spec) and self.left and _is_one_of(self.left[0], self.words):
            self.left.pop(0)
            if spec.kind == "COMBO" and self.left and self.left[0] == "":
                self.left.pop(0)


def values_of(node: EditorNode, definition: NodeDefinition, fed: Collection[str]) -> Values:
    """What the controls of `node` send. Inputs in `fed` come over links and may lack a value.

    A control without a saved value sends what the editor would show. Raises UnreadableValuesError.
    """
    if not node.values and not any(map(is_control, definition.inputs.values())):
        return Values({})
    found, surplus = (node.values, 0) if isinstance(node.values, Mapping) else _told_apart(node, definition)
    values: dict[str, Any] = {}
    assumed: list[str] = []
    _complete(definition.inputs, "", found, fed, values, assumed)
    unknown = [name for name in found if _looks_dynamic(name, definition) and name not in values]
    values |= {name: found[name] for name in unknown if name in node.listed_widgets and found[name] is not None}
    return Values(values, tuple(_remarks(assumed, surplus)))


def _remarks(assumed: list[str], surplus: int) -> Iterator[str]:
    if assumed:
        yield f"has no saved value for {', '.join(map(shown, assumed))}: the default is sent"
    if surplus:
        yield f"has {surplus} saved values more than the server's version of it takes: they are left out"


def _told_apart(node: EditorNode, definition: NodeDefinition) -> tuple[Mapping[str, Any], int]:
    """Values by name from a list without names, and how many of them belong to no input of the server's."""
    tried: list[_Reading] = []
    for reading in _readings(node, definition):
        if not reading.lacks_any and not reading.left and reading.worst is not Fit.NO:
            return reading.found, 0
        tried.append(reading)
    # Another version of the node: only where every value is unmistakable do the first ones still mean the same.
    for partial in tried:
        if partial.worst is Fit.SURELY:
            return partial.found, len(partial.left)
    raise UnreadableValuesError(
        f"was saved with another version of {shown(node.class_type)}: its {len(node.values)} values do not fit the "
        f"server's inputs; {_SAVE_AGAIN}"
    )


def _readings(node: EditorNode, definition: NodeDefinition) -> Iterator[_Reading]:
    """The server's order of controls first, as the editor does; then the order in which the file lists them."""
    words: tuple[frozenset[object], ...] = (CONTROL_WORDS, CONTROL_WORDS | {True, False}, frozenset())
    for each in words:
        yield _by_definition(node, definition, each)
    if node.listed_widgets:
        for each in words:
            yield _by_slots(node, definition, each)


def _by_definition(node: EditorNode, definition: NodeDefinition, words: frozenset[object]) -> _Reading:
    reading = _Reading(list(node.values), words)
    listed = frozenset(node.listed_widgets)
    required = {name: spec for name, spec in definition.inputs.items() if spec.is_required}
    optional = {name: spec for name, spec in definition.inputs.items() if not spec.is_required}
    _take_all(required, "", reading, listed)
    controls = sum(1 for name, spec in optional.items() if is_control(spec) or name in listed)
    if len(reading.left) > controls and _uploads(definition):
        _drop_buttons(reading, keep=controls)
    _take_all(optional, "", reading, listed)
    _drop_remains(reading, node, definition)
    return reading


def _by_slots(node: EditorNode, definition: NodeDefinition, words: frozenset[object]) -> _Reading:
    reading = _Reading(list(node.values), words)
    for name in node.listed_widgets:
        spec = definition.inputs.get(name)
        if not reading.left:
            reading.lacks_any = True
            break
        reading.take(name, spec)
        if spec is not None:
            reading.skip_words(spec)
    _drop_remains(reading, node, definition)
    return reading


def _take_all(inputs: Mapping[str, InputDefinition], prefix: str, reading: _Reading, listed: Collection[str]) -> None:
    for name, spec in inputs.items():
        if not is_control(spec) and prefix + name not in listed:
            continue
        if not reading.left:
            reading.lacks_any = True
            return
        value = reading.take(prefix + name, spec)
        chosen = chosen_inputs(spec, value) if is_dynamic(spec) else None
        if chosen is not None and prefix.count(".") < _MAX_DEPTH:
            _take_all(chosen, f"{prefix}{name}.", reading, listed)
        else:
            reading.skip_words(spec)


def _uploads(definition: NodeDefinition) -> bool:
    return any(spec.uploads is not None for spec in definition.inputs.values())


def _drop_buttons(reading: _Reading, keep: int) -> None:
    while len(reading.left) > keep and _is_button(reading.left[0]):
        reading.left.pop(0)


def _drop_remains(reading: _Reading, node: EditorNode, definition: NodeDefinition) -> None:
    """Behind the last control may stand what buttons and previews left."""
    has_controls = any(map(is_control, definition.inputs.values())) or bool(node.listed_widgets)
    if not has_controls or definition.class_type in _OWN_CHOICES:
        reading.left.clear()
    while reading.left and (reading.left[-1] in (None, "") or (_uploads(definition) and _is_button(reading.left[-1]))):
        reading.left.pop()


def _is_button(value: object) -> bool:
    return value is None or _is_one_of(value, _BUTTONS)


def _is_one_of(value: object, words: Collection[object]) -> bool:
    return isinstance(value, str | bool) and value in words


def _complete(
    inputs: Mapping[str, InputDefinition],
    prefix: str,
    found: Mapping[str, Any],
    fed: Collection[str],
    values: dict[str, Any],
    assumed: list[str],
) -> None:
    """Every control's value, the one the editor would show where none was saved, in the server's order."""
    for plain, spec in inputs.items():
        name = prefix + plain
        value = found.get(name)
        if name in fed or not (is_control(spec) or value is not None):
            continue
        if spec.kind in LIVE_KINDS and not (isinstance(value, str) and value):
            raise UnreadableValuesError(f"takes {shown(name)} from the editor when it runs; {_EXPORT}")
        if value is None:
            value = default_of(spec)
            _assume(name, spec, value, assumed)
        if value is not None:
            values[name] = value
        chosen = chosen_inputs(spec, value) if is_dynamic(spec) else None
        if chosen is not None and prefix.count(".") < _MAX_DEPTH:
            _complete(chosen, f"{name}.", found, fed, values, assumed)


def _assume(name: str, spec: InputDefinition, value: object, assumed: list[str]) -> None:
    if value is None and spec.is_required:
        raise UnreadableValuesError(f"has no saved value for {shown(name)}, and the server names none; {_SAVE_AGAIN}")
    if value is not None and spec.is_required:
        assumed.append(name)


def _looks_dynamic(name: str, definition: NodeDefinition) -> bool:
    base = definition.inputs.get(name.partition(".")[0])
    return "." in name and base is not None and is_dynamic(base)
