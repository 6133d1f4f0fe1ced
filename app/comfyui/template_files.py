"""What a `.template.json` file may say, and whether it fits the graph beside it.

Pure. Owns the rules between a definition and its Workflow; never opens a file and never renders anything.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from app.comfyui.graph import as_link
from app.comfyui.parameters import BadValueError, Binding, Parameter, ParameterKind, snake_case
from app.comfyui.problems import Problem, pointer, shown, text_flaw

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.comfyui.workflow import Workflow

_NAME: Final = re.compile(r"[a-z][a-zA-Z0-9]{0,63}")
_NUMERIC: Final = frozenset({ParameterKind.INTEGER, ParameterKind.NUMBER})


class Definition(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A template without its graph and name. `output_prefix` is where the service puts the place for output files.

    `aliases` are other names it is known by; they may hold a slash, as names of older front ends do.
    """

    title: str = ""
    description: str = ""
    parameters: tuple[Parameter, ...]
    output_prefix: tuple[Binding, ...] = ()
    aliases: tuple[str, ...] = ()


def read_definition(raw: object) -> Definition:
    """The definition in decoded JSON. Raises ValueError saying which part has the wrong shape."""
    return msgspec.convert(raw, Definition)


def definition_problems(definition: Definition, workflow: Workflow) -> Iterator[Problem]:
    """Everything that keeps this definition from rendering this workflow."""
    for field, text in (("title", definition.title), ("description", definition.description)):
        if (flaw := text_flaw(text)) is not None:
            yield Problem(pointer(field), flaw)
    taken: set[str] = set()
    for index, parameter in enumerate(definition.parameters):
        at = pointer("parameters", index)
        if not _NAME.fullmatch(parameter.name):
            yield Problem(f"{at}/name", f"{shown(parameter.name)} is no camelCase name; use letters and digits only")
        if snake_case(parameter.name) in taken:
            yield Problem(f"{at}/name", f"{shown(parameter.name)} is there twice; rename one of them")
        taken.add(snake_case(parameter.name))
        yield from _binding_problems(at, parameter.bindings, workflow)
        yield from _rule_problems(at, parameter)
        yield from _value_problems(at, parameter, workflow)
    for index, binding in enumerate(definition.output_prefix):
        yield from _place_problems(pointer("outputPrefix", index), binding, workflow)


def _binding_problems(at: str, bindings: tuple[Binding, ...], workflow: Workflow) -> Iterator[Problem]:
    if not bindings:
        yield Problem(f"{at}/bindings", 'the parameter goes nowhere; bind it to an input, such as ["3", "steps"]')
    for index, binding in enumerate(bindings):
        yield from _place_problems(f"{at}/bindings/{index}", binding, workflow)


def _place_problems(at: str, binding: Binding, workflow: Workflow) -> Iterator[Problem]:
    node = workflow.nodes.get(binding.node_id)
    if node is None:
        yield Problem(at, f"the workflow has no node {shown(binding.node_id)}; name one that is there")
    elif binding.input_name not in node.inputs:
        known = ", ".join(node.inputs)
        yield Problem(at, f"node {shown(node.node_id)} has no input {shown(binding.input_name)}; it has: {known}")
    elif as_link(node.inputs[binding.input_name]) is not None:
        yield Problem(at, f"input {shown(binding.input_name)} is fed by another node; bind to an input with a value")


def _rule_problems(at: str, parameter: Parameter) -> Iterator[Problem]:
    low, high = parameter.minimum, parameter.maximum
    if (flaw := text_flaw(parameter.description)) is not None:
        yield Problem(f"{at}/description", flaw)
    if low is not None and high is not None and low > high:
        yield Problem(f"{at}/minimum", f"is above the maximum {high}; swap them")
    if parameter.kind not in _NUMERIC and (low is not None or high is not None):
        yield Problem(at, f"bounds belong to numbers, not to kind {parameter.kind.value}; remove them")
    if parameter.multiple_of is not None and (parameter.kind is not ParameterKind.INTEGER or parameter.multiple_of < 1):
        yield Problem(f"{at}/multipleOf", "must be at least 1 and on a parameter of kind integer; change or remove it")
    if parameter.max_length is not None and (parameter.kind is not ParameterKind.STRING or parameter.max_length < 1):
        yield Problem(f"{at}/maxLength", "must be at least 1 and on a parameter of kind string; change or remove it")
    if parameter.is_seed and (parameter.kind is not ParameterKind.INTEGER or low is None or low < 0 or high is None):
        yield Problem(f"{at}/isSeed", "a seed is of kind integer with a minimum of 0 or more and a maximum; set them")


def _value_problems(at: str, parameter: Parameter, workflow: Workflow) -> Iterator[Problem]:
    """Values that the parameter itself would refuse."""
    values: list[tuple[str, object]] = [
        (f"{at}/examples/{index}", example) for index, example in enumerate(parameter.examples)
    ]
    values += [(f"{at}/enum/{index}", choice) for index, choice in enumerate(parameter.enum)]
    if parameter.default is not None:
        values.append((f"{at}/default", parameter.default))
    elif not parameter.required:
        values += _held_values(at, parameter.bindings[:1], workflow)
    for place, value in values:
        try:
            parameter.checked(value)
        except BadValueError as bad:
            yield Problem(place, f"the value {bad}")


def _held_values(at: str, bindings: tuple[Binding, ...], workflow: Workflow) -> Iterator[tuple[str, object]]:
    """What the graph holds where a parameter without default goes: that has to serve as its default."""
    for index, (node_id, input_name) in enumerate(bindings):
        inputs = workflow.nodes[node_id].inputs if node_id in workflow.nodes else {}
        if input_name in inputs and as_link(inputs[input_name]) is None:
            yield f"{at}/bindings/{index}", inputs[input_name]
