"""Parameters inferred from a graph: what a person would want to set, and where it goes.

Pure. Owns the choice: names that people gave in titles (`inference_titles`) go before what is found by following links
(`inference_sampling`, `_texts`, `_sizes`, `_files`), an input belongs to one parameter, and names do not meet. Never
changes a graph, and never refuses one: of a graph that says nothing there are no parameters.

What is inferred leaves a graph as it is: rendered without parameters it differs in its seed alone, unless titles give
the same name to inputs that differ. For that reason only inputs with equal values share a parameter, and nothing has a
default but what the graph holds. A prompt is required only where the graph has none: who imports a workflow wants it
to run as he left it, while the text in a built-in template is nobody's wish.

File names have no enum, neither have samplers: which there are differs by server and is told when a request comes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from app.comfyui.inference_files import media_findings, model_findings
from app.comfyui.inference_fitting import fit
from app.comfyui.inference_reading import Reading
from app.comfyui.inference_roles import Finding, rank
from app.comfyui.inference_sampling import dial_findings, seed_findings, stages
from app.comfyui.inference_sizes import size_findings
from app.comfyui.inference_texts import stage_texts, text_findings
from app.comfyui.inference_titles import named_findings
from app.comfyui.parameters import Binding, Parameter, snake_case
from app.comfyui.template_files import Definition

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from app.comfyui.definitions import Definitions
    from app.comfyui.inference_reading import Place
    from app.comfyui.workflow import Workflow

__all__ = ["Inferred", "infer", "infer_with_reasons"]

_MAX_PARAMETERS: Final = 100
# More of one role than a person would ever set one by one.
_MAX_OF_A_ROLE: Final = 20
_PREFIX: Final = "filename_prefix"
# Nodes that write models and data sets for later use, where a name matters.
_OWN_NAMES: Final = ("Checkpoint", "CLIPSave", "VAESave", "ModelSave", "LoraSave", "DataSet")


@dataclass(frozen=True, slots=True)
class Inferred:
    """A definition, why each of its parameters is there (by name, "positive conditioning of KSampler 3"), and `notes`.

    A note says of a name in a title why nothing came of it.
    """

    definition: Definition
    reasons: Mapping[str, str]
    notes: tuple[str, ...] = ()


def infer(workflow: Workflow, definitions: Definitions | None) -> Definition:
    """A definition that makes a template of any parsed graph; `definitions` only make it better."""
    return infer_with_reasons(workflow, definitions).definition


def infer_with_reasons(workflow: Workflow, definitions: Definitions | None) -> Inferred:
    """As `infer`, with what a person needs to correct it."""
    reading = Reading(workflow, definitions)
    named, notes = named_findings(reading)
    chosen = _settled(named, list(_found(reading)))
    made: dict[str, tuple[Parameter, str]] = {}
    for name, finding in chosen[:_MAX_PARAMETERS]:
        parameter = fit(reading, finding, name)
        if parameter is not None:
            made[name] = (parameter, finding.reason)
    ordered = sorted(made, key=rank)
    bound = {binding for parameter, _ in made.values() for binding in parameter.bindings}
    definition = Definition(
        parameters=tuple(made[name][0] for name in ordered), output_prefix=_prefixes(reading, bound)
    )
    return Inferred(definition, MappingProxyType({name: made[name][1] for name in ordered}), notes)


def _found(reading: Reading) -> Iterator[Finding]:
    found = stages(reading)
    texts = [stage_texts(reading, stage) for stage in found]
    served = {
        stage.number: frozenset(repr(reading.value(place.at)) for place in each.positive)
        for stage, each in zip(found, texts, strict=True)
    }
    yield from seed_findings(reading, found)
    yield from media_findings(reading, found)
    yield from size_findings(reading, found)
    yield from dial_findings(reading, found, served)
    yield from model_findings(reading, found)
    yield from text_findings(reading, found, texts)
    yield from _guidance(reading)


def _guidance(reading: Reading) -> Iterator[Finding]:
    places = [place for node in reading.live if (place := reading.number(node, "guidance")) is not None]
    for number, group in enumerate(reading.group(places), start=1):
        yield Finding("guidance", group, reading.why(*group), number)


def _settled(named: Sequence[Finding], found: Sequence[Finding]) -> list[tuple[str, Finding]]:
    """Every finding with a name of its own, and every input with one finding, the first that claims it.

    What belongs together stays together: the rest of a finding that a person named in part goes along with that part.
    """
    settled: dict[str, tuple[str, Finding]] = {}
    owners: dict[Binding, str] = {}
    by_hand: set[str] = set()
    for index, finding in enumerate((*named, *found)):
        is_named = index < len(named)
        if not is_named and finding.number > _MAX_OF_A_ROLE:
            continue
        claims = () if is_named else (owners.get(place.at) for place in finding.places)
        owner = next((key for key in claims if key in by_hand), None)
        free = tuple(place for place in finding.places if owners.get(place.at, owner) == owner)
        if owner is not None:
            name, known = settled[owner]
            settled[owner] = (name, _with(known, finding, free))
        elif free:
            name = _free_name(finding, settled)
            owner = snake_case(name)
            settled[owner] = (name, replace(finding, places=free))
            by_hand |= {owner} if is_named else set()
        owners |= {place.at: owner for place in free if owner is not None}
    return list(settled.values())


def _with(named: Finding, found: Finding, places: tuple[Place, ...]) -> Finding:
    """What a person named and inference found as well: his name, with all that is known of what it is for."""
    together = tuple(dict.fromkeys((*named.places, *places)))
    return replace(
        named, places=together, like=named.like or found.role, description=named.description or found.description
    )


def _free_name(finding: Finding, taken: Mapping[str, object]) -> str:
    base, number = finding.role, finding.number
    name = finding.name
    while snake_case(name) in taken:
        number += 1
        name = f"{base}{number}"
    return name


def _prefixes(reading: Reading, bound: set[Binding]) -> tuple[Binding, ...]:
    """Where files are saved under a name that stands in the node itself."""
    places = [
        Binding(node.node_id, _PREFIX)
        for node in reading.nodes.values()
        if isinstance(node.inputs.get(_PREFIX), str) and not any(word in node.class_type for word in _OWN_NAMES)
    ]
    return tuple(place for place in places if place not in bound)
