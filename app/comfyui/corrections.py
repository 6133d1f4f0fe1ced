"""What a person says about inferred parameters: other places, other bounds, another name, or that there shall be none.

Pure. Owns the forms in which a binding may be written, and the rule that an input belongs to one parameter: a place
that a correction claims is taken from whoever had it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from app.comfyui.inference_fitting import fit
from app.comfyui.inference_reading import Place, Reading
from app.comfyui.inference_roles import Finding
from app.comfyui.parameters import Binding, Parameter, ParameterKind, Value, snake_case
from app.comfyui.problems import InvalidInputError, Problem, pointer, shown
from app.comfyui.template_files import Definition

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from app.comfyui.definitions import Definitions
    from app.comfyui.workflow import Workflow

_FORMS: Final = '"6.text", ["6", "text"], a list of such pairs, an object with them as bindings, or null for none'


_KINDS: Final = ", ".join(ParameterKind)
_FIELDS: Final[Mapping[str, tuple[Any, str]]] = {
    "kind": (ParameterKind, f"one of {_KINDS}"),
    "description": (str, "text"),
    "default": (Value | None, "text, a number, true, false or null"),
    "minimum": (int | float | None, "a number or null"),
    "maximum": (int | float | None, "a number or null"),
    "multipleOf": (int | None, "a whole number or null"),
    "enum": (tuple[Value, ...], "a list of texts, numbers or truth values"),
    "maxLength": (int | None, "a whole number or null"),
    "examples": (tuple[Value, ...], "a list of texts, numbers or truth values"),
    "required": (bool, "true or false"),
    "isSeed": (bool, "true or false"),
}
"""What else may be said of a parameter than where it goes: its type, and that in words."""

_KNOWN: Final = ", ".join(("bindings", *_FIELDS))


class CorrectionError(InvalidInputError):
    """A correction makes no sense; pointers are relative to the object of corrections."""


def corrected(
    definition: Definition, corrections: Mapping[str, Any], workflow: Workflow, definitions: Definitions | None
) -> Definition:
    """`definition` with the corrections, by parameter name, in it; raises CorrectionError with everything wrong.

    A correction is where the parameter goes ("6.text", ["6", "text"] or a list of pairs), null to have none of it, or
    an object with any field of a Parameter besides its name.
    """
    parameters = {parameter.name: parameter for parameter in definition.parameters}
    reading, problems = Reading(workflow, definitions), list[Problem]()
    for name, correction in corrections.items():
        if isinstance(correction, dict) and (found := tuple(_field_problems(name, correction))):
            problems += found
            continue
        try:
            made = None if correction is None else _made(name, correction, parameters.get(name), reading)
        except ValueError as wrong:
            problems.append(Problem(pointer(name), str(wrong)))
            continue
        parameters = _without(parameters, name, () if made is None else made.bindings)
        if made is not None:
            parameters[name] = made
    if problems:
        raise CorrectionError(tuple(problems))
    return msgspec.structs.replace(definition, parameters=tuple(parameters.values()))


def _field_problems(name: str, fields: Mapping[str, object]) -> Iterator[Problem]:
    """Fields that a parameter does not have, and values that are of no use for theirs."""
    for field, value in fields.items():
        if field == "bindings":
            continue
        if field not in _FIELDS:
            yield Problem(pointer(name), f"has no field {shown(field)}; leave it out, or use: {_KNOWN}")
            continue
        wanted, words = _FIELDS[field]
        try:
            msgspec.convert(value, wanted)
        except msgspec.ValidationError:
            yield Problem(pointer(name, field), f"must be {words}, not {shown(value)}")


def _made(name: str, correction: object, known: Parameter | None, reading: Reading) -> Parameter:
    fields = dict(correction) if isinstance(correction, dict) else {"bindings": correction}
    places = _places(fields.pop("bindings"), reading) if "bindings" in fields else None
    if places is None and known is None:
        raise ValueError(f"there is no such parameter yet; say where it goes: {_FORMS}")
    base = known if places is None else _fitted(name, places, reading)
    if base is None:
        raise ValueError("what the workflow holds there is no text, number or truth value; bind it elsewhere")
    raw = msgspec.to_builtins(base) | fields | {"name": name}
    return msgspec.convert(raw, Parameter)


def _fitted(name: str, places: tuple[Binding, ...], reading: Reading) -> Parameter | None:
    return fit(reading, Finding(name, tuple(Place(each, each) for each in places), "named by hand"), name)


def _places(written: object, reading: Reading) -> tuple[Binding, ...]:
    match written:
        case str():
            pairs: list[object] = [written]
        case [str(), str()] if "." not in str(written[0]):
            pairs = [written]
        case list() if written:
            pairs = written
        case _:
            raise ValueError(f"is no place in the workflow; write {_FORMS}")
    return tuple(_place(pair, reading) for pair in pairs)


def _place(pair: object, reading: Reading) -> Binding:
    match pair:
        case str():
            node_id, input_name = _split(pair, reading)
        case [str(node_id), str(input_name)]:
            pass
        case _:
            raise ValueError(f"is no place in the workflow; write {_FORMS}")
    node = reading.nodes.get(node_id)
    if node is None:
        raise ValueError(f"the workflow has no node {shown(node_id)}; name one that is there")
    if input_name not in node.inputs:
        raise ValueError(f"node {shown(node_id)} has no input {shown(input_name)}; it has: {', '.join(node.inputs)}")
    return Binding(node_id, input_name)


def _split(written: str, reading: Reading) -> tuple[str, str]:
    """Node and input in `NODE.INPUT`. Inputs of newer nodes hold dots themselves, such as `resize_type.width`."""
    steps = written.split(".")
    pairs = [(".".join(steps[:number]), ".".join(steps[number:])) for number in range(len(steps) - 1, 0, -1)]
    there = (pair for pair in pairs if pair[0] in reading.nodes and pair[1] in reading.nodes[pair[0]].inputs)
    known = next(there, None) or next((pair for pair in pairs if pair[0] in reading.nodes), None)
    return known or next(iter(pairs), ("", written))


def _without(parameters: Mapping[str, Parameter], name: str, places: tuple[Binding, ...]) -> dict[str, Parameter]:
    """The others, less the places that are claimed; one that has none left is gone."""
    kept: dict[str, Parameter] = {}
    for other, parameter in parameters.items():
        left = tuple(each for each in parameter.bindings if each not in places)
        if snake_case(other) != snake_case(name) and left:
            kept[other] = msgspec.structs.replace(parameter, bindings=left)
    return kept
