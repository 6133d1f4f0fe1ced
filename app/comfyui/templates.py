"""The Template: a Workflow with named, typed Parameters, and the rendering of one into the other.

Pure, except that `load_builtin` reads the files that ship in `workflows/`. Owns which parameters a template has and
what a request makes of them; never draws a seed, never asks a server what it has and never touches a caller's graph.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from app.comfyui.parameters import SEED_FROM_US, BadValueError, Binding, Parameter, Value, did_you_mean, snake_case
from app.comfyui.problems import MAX_PROBLEMS, InvalidInputError, Problem, first_problems, pointer, shown
from app.comfyui.template_files import Definition, definition_problems, read_definition
from app.comfyui.workflow import Workflow, WorkflowError, may_make_pictures, parse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from importlib.resources.abc import Traversable

__all__ = [
    "Binding",
    "Parameter",
    "ParameterError",
    "Problem",
    "Rendered",
    "Template",
    "TemplateError",
    "build_template",
    "load_builtin",
    "render",
]

_SCHEMA: Final = "https://json-schema.org/draft/2020-12/schema"
_NO_CHOICES: Final[Mapping[str, Sequence[str]]] = MappingProxyType({})
_REPLACEABLE: Final = "model"
_DEFINITION_SUFFIX: Final = ".template.json"
_WORKFLOW_SUFFIX: Final = ".workflow.json"


class ParameterError(InvalidInputError):
    """The template cannot be rendered with these values; pointers are relative to the object of parameters."""


class TemplateError(InvalidInputError):
    """Workflow and definition do not make a template; pointers begin with `/workflow` or `/definition`."""


@dataclass(frozen=True, slots=True)
class Template:
    """A Workflow and its parameters by their camelCase name, in the order they are shown."""

    name: str
    title: str
    description: str
    workflow: Workflow
    parameters: Mapping[str, Parameter]
    output_prefix_bindings: tuple[Binding, ...] = ()
    aliases: tuple[str, ...] = ()

    def parameter(self, spelling: str) -> Parameter | None:
        """The parameter of this name, in camelCase or snake_case."""
        known = self.parameters.get(spelling)
        if known is not None:
            return known
        return next((each for name, each in self.parameters.items() if snake_case(name) == spelling), None)

    @property
    def may_make_pictures(self) -> bool:
        """Whether it may; that of unknown nodes nobody knows."""
        return may_make_pictures(self.workflow)

    def bound_classes(self, name: str) -> tuple[tuple[str, str], ...]:
        """Class and input name of every place this parameter goes to: where `/object_info` tells its choices."""
        nodes = self.workflow.nodes
        return tuple((nodes[node_id].class_type, input_name) for node_id, input_name in self.parameters[name].bindings)

    def json_schema(self, available: Mapping[str, Sequence[str]] = _NO_CHOICES) -> dict[str, Any]:
        """The parameters as JSON Schema 2020-12; `available` as in `render`."""
        return {
            "$schema": _SCHEMA,
            "title": self.title,
            "description": self.description,
            "type": "object",
            "properties": {
                name: parameter.json_schema(available.get(name, ())) for name, parameter in self.parameters.items()
            },
            "required": [name for name, parameter in self.parameters.items() if parameter.required],
            "additionalProperties": False,
            "examples": [self.example()],
        }

    def example(self) -> dict[str, Value]:
        """Parameters that render, made of each one's first example."""
        return {name: parameter.examples[0] for name, parameter in self.parameters.items() if parameter.examples}


@dataclass(frozen=True, slots=True)
class Rendered:
    """A graph ready to send, and every parameter as it was used, defaults and seed included."""

    workflow: Workflow
    params: dict[str, Value]


def render(
    template: Template,
    params: Mapping[str, object],
    *,
    seed: int,
    available: Mapping[str, Sequence[str]] = _NO_CHOICES,
    output_prefix: str | None = None,
) -> Rendered:
    """The template's graph with `params` in it. Names may be in snake_case; null counts as not given.

    `seed` is used where a seed is not given or -1. `available` names, per parameter, the values the backends really
    have; a parameter that is not in it, or has none there, is not checked against any. A `model` that is not given is
    its default if available, else the first that is. `output_prefix` goes where the template saves
    files; its last part begins their names, the parts before it are folders, and each run should have a folder of its
    own, because ComfyUI lists it for every file (COMFYUI_PROTOCOL section 11).

    Raises ParameterError with everything wrong at once.
    """
    given, problems = _matched(template, params)
    resolved: dict[str, Value] = {}
    for name, parameter in template.parameters.items():
        spelling, value = given.get(name, (name, None))
        try:
            resolved[name] = _resolved(template, parameter, value, seed, available.get(name, ()))
        except BadValueError as bad:
            problems.append(Problem(pointer(spelling), str(bad)))
    if problems:
        raise ParameterError(first_problems(problems))
    values: dict[tuple[str, str], Value] = {
        binding: resolved[name] for name, each in template.parameters.items() for binding in each.bindings
    }
    if output_prefix is not None:
        values |= dict.fromkeys(template.output_prefix_bindings, output_prefix)
    return Rendered(template.workflow.with_inputs(values), resolved)


def build_template(name: str, workflow: object, definition: object) -> Template:
    """A Template from a decoded API-format graph and a decoded definition (the two files in `workflows/`).

    Raises TemplateError with everything found wrong.
    """
    graph = _parsed(workflow)
    outline = _defined(definition)
    problems = first_problems(definition_problems(outline, graph))
    if problems:
        raise TemplateError(_under("/definition", problems))
    parameters = {parameter.name: parameter for parameter in outline.parameters}
    title = outline.title or name
    return Template(
        name, title, outline.description, graph, MappingProxyType(parameters), outline.output_prefix, outline.aliases
    )


def load_builtin() -> Mapping[str, Template]:
    """The templates that ship with the package, by name. Raises TemplateError if one of them is broken."""
    folder = resources.files("app.comfyui").joinpath("workflows")
    definitions = sorted(file.name for file in folder.iterdir() if file.name.endswith(_DEFINITION_SUFFIX))
    names = [file_name.removesuffix(_DEFINITION_SUFFIX) for file_name in definitions]
    return MappingProxyType({name: _loaded(folder, name) for name in names})


def _loaded(folder: Traversable, name: str) -> Template:
    workflow = json.loads(folder.joinpath(name + _WORKFLOW_SUFFIX).read_text(encoding="utf-8"))
    definition = json.loads(folder.joinpath(name + _DEFINITION_SUFFIX).read_text(encoding="utf-8"))
    return build_template(name, workflow, definition)


def _parsed(workflow: object) -> Workflow:
    try:
        return parse(workflow)
    except WorkflowError as wrong:
        raise TemplateError(_under("/workflow", wrong.problems)) from wrong


def _defined(definition: object) -> Definition:
    try:
        return read_definition(definition)
    except ValueError as wrong:
        raise TemplateError((Problem("/definition", str(wrong)),)) from wrong


def _under(prefix: str, problems: tuple[Problem, ...]) -> tuple[Problem, ...]:
    return tuple(Problem(prefix + problem.pointer, problem.message) for problem in problems)


def _matched(template: Template, params: Mapping[str, object]) -> tuple[dict[str, tuple[str, object]], list[Problem]]:
    """Spelling and value per parameter name, and what is wrong with the names."""
    given: dict[str, tuple[str, object]] = {}
    problems: list[Problem] = []
    for spelling, value in params.items():
        if len(problems) >= MAX_PROBLEMS:
            break
        parameter = template.parameter(spelling)
        if parameter is None:
            problems.append(Problem(pointer(spelling), _unknown(template, spelling)))
        elif parameter.name in given:
            other = given[parameter.name][0]
            problems.append(Problem(pointer(spelling), f"is given twice, also as {shown(other)}; send one of them"))
        else:
            given[parameter.name] = (spelling, value)
    return given, problems


def _unknown(template: Template, spelling: str) -> str:
    hint = did_you_mean(spelling, [*template.parameters, *map(snake_case, template.parameters)])
    return f"is no parameter of template {shown(template.name)};{hint} it takes: {', '.join(template.parameters)}"


def _resolved(template: Template, parameter: Parameter, value: object, seed: int, choices: Sequence[str]) -> Value:
    if parameter.is_seed and (value is None or (value == SEED_FROM_US and not isinstance(value, bool))):
        return parameter.checked(_within(parameter, seed))
    if value is not None:
        return parameter.checked(value, choices)
    if parameter.required:
        raise BadValueError(f"is missing and has no default; send it ({parameter.description or parameter.kind.value})")
    default = _own_value(template, parameter) if parameter.default is None else parameter.default
    # Any checkpoint draws; any VAE, text encoder or LoRA does not, and one that is missing is better told.
    is_replaceable = parameter.name == _REPLACEABLE and choices
    return choices[0] if is_replaceable and default not in choices else default


def _within(parameter: Parameter, seed: int) -> int:
    """The seed brought within the bounds of its parameter: nodes of other packs take 32 bits."""
    low, high = int(parameter.minimum or 0), int(parameter.maximum or 0)
    return seed if low <= seed <= high else low + seed % (high - low + 1)


def _own_value(template: Template, parameter: Parameter) -> Value:
    """What the graph itself holds where this parameter goes."""
    node_id, input_name = parameter.bindings[0]
    return parameter.checked(template.workflow.nodes[node_id].inputs[input_name])
