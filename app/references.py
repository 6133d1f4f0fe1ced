"""Which file goes where: what a caller gave as input media, bound to the places of a template or a graph that take any.

Owns the order of references and the fit of kinds; how a file gets here is `uploads`' business, how it gets to a server
`placing`'s.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from app.comfyui.parameters import ParameterKind, snake_case
from app.comfyui.templates import Template
from app.comfyui.workflow import Workflow
from app.errors import BadSource, InvalidRequest, Problem, pointer
from app.records import InputFile
from app.uploads import Upload

LOADERS: Final[Mapping[str, tuple[str, ParameterKind]]] = {
    "LoadImage": ("image", ParameterKind.IMAGE),
    "LoadImageMask": ("image", ParameterKind.IMAGE),
    "LoadVideo": ("file", ParameterKind.VIDEO),
    "LoadAudio": ("audio", ParameterKind.AUDIO),
    "VHS_LoadVideo": ("video", ParameterKind.VIDEO),
}
"""Classes of a raw workflow whose files references replace, in the order of the graph."""

ASSET: Final = "core/ASSET"
"""The mark of an object that stands for a file in a workflow, as the Comfy API v2 writes it."""

_SOURCE: Final = re.compile(r"(?:data:|https?://)|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$")


class Sources(Protocol):
    """Where input files come from."""

    async def from_source(self, source: str, own_host: str | None = None) -> Upload:
        """What a caller means by a source; see `Uploads.from_source`."""
        ...


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for a file. `name` is what a caller calls it; `at` where in the body he named a source for it.

    `kind` None: nobody here knows what the node takes. `spot` is the node and the input of a raw workflow.
    """

    name: str
    kind: ParameterKind | None
    source: object = None
    at: str = ""
    spot: tuple[str, str] = ("", "")


@dataclass(frozen=True, slots=True)
class Bound:
    """Uploads by the slot they go to."""

    uploads: Mapping[str, Upload] = field(default_factory=dict)

    @property
    def names(self) -> dict[str, str]:
        """What the graph calls each file, by slot."""
        return {slot: upload.input_file.name for slot, upload in self.uploads.items()}

    @property
    def ids(self) -> dict[str, str]:
        """The uploads' ids, by slot."""
        return {slot: upload.id for slot, upload in self.uploads.items()}

    @property
    def sources(self) -> list[dict[str, str]]:
        """References that bind the same again."""
        return [{"source": upload_id, "parameter": slot} for slot, upload_id in self.ids.items()]

    @property
    def files(self) -> tuple[InputFile, ...]:
        """Each file once."""
        return tuple(dict.fromkeys(upload.input_file for upload in self.uploads.values()))


def template_slots(template: Template, params: Mapping[str, Any], nested: frozenset[str]) -> list[Slot]:
    """The media parameters of a template, with what was given for them by name."""
    slots = []
    for name, parameter in template.parameters.items():
        if parameter.kind.is_media:
            spelling = next((each for each in (name, snake_case(name)) if params.get(each) is not None), None)
            place = pointer(spelling) if spelling else ""
            at = f"/params{place}" if place in nested else place
            slots.append(Slot(name, parameter.kind, params[spelling] if spelling else None, at))
    return slots


def workflow_slots(graph: Workflow, references: Sequence[Any] = ()) -> list[Slot]:
    """The inputs of a raw workflow that take a file; they are called `NODE.INPUT`.

    A loader's, which names its source where it holds what no file can be called, an upload's id or a URL; any node's
    that holds a `core/ASSET` object, which names an upload by `info.id`; and any that one of `references` names.
    """
    named = [each.get("parameter") for each in references if isinstance(each, dict)]
    slots = []
    for node_id, node in graph.nodes.items():
        loaded, kind = LOADERS.get(node.class_type, (None, None))
        for name in node.inputs if loaded is None else {**node.inputs, loaded: None}:
            value, called = node.inputs.get(name), f"{node_id}.{name}"
            if name == loaded or called in named or is_asset(value):
                at = pointer("workflow", node_id, "inputs", name)
                slots.append(Slot(called, kind if name == loaded else None, _source(value), at, (node_id, name)))
    return slots


def is_asset(value: object) -> bool:
    """Whether an input's value is a reference to an asset, by the mark such an object has."""
    return isinstance(value, dict) and value.get("__type") == ASSET


def _source(value: object) -> object:
    if isinstance(value, dict) and is_asset(value):
        named = value.get("info")
        return (named.get("id") if isinstance(named, dict) else None) or ""
    return value if isinstance(value, str) and _SOURCE.match(value) else None


async def bind(slots: Sequence[Slot], references: Sequence[Any], uploads: Sources, own_host: str | None) -> Bound:
    """Fetch and bind every source. Raises InvalidRequest naming each that does not fit."""
    asked, problems = _asked(slots, references)
    results = await asyncio.gather(*(_fetched(slot, uploads, own_host) for slot in asked))
    problems += [each for each in results if isinstance(each, Problem)]
    if problems:
        raise InvalidRequest(*problems)
    found = zip(asked, results, strict=True)
    return Bound({slot.name: each for slot, each in found if isinstance(each, Upload)})


async def _fetched(slot: Slot, uploads: Sources, own_host: str | None) -> Upload | Problem:
    if not isinstance(slot.source, str) or not slot.source.strip():
        return Problem(slot.at, "must be the id of an upload, a data URL or an http(s) URL, as text")
    try:
        upload = await uploads.from_source(slot.source, own_host)
    except BadSource as error:
        return Problem(slot.at, error.detail)
    if slot.kind is not None and upload.kind.value != slot.kind.value:
        return Problem(slot.at, f"is of kind {upload.kind.value}, and {slot.name} takes {slot.kind.value}")
    return upload


def _asked(slots: Sequence[Slot], references: Sequence[Any]) -> tuple[list[Slot], list[Problem]]:
    """The slots that get something: by name, by a reference that names them, and the rest in order."""
    asked = {slot.name: slot for slot in slots if slot.source is not None}
    problems: list[Problem] = []
    in_order: list[tuple[str, object]] = []
    for number, reference in enumerate(references):
        at = pointer("references", number)
        name = reference.get("parameter") if isinstance(reference, dict) else None
        source = reference.get("source") if isinstance(reference, dict) else reference
        if name is None:
            in_order.append((at, source))
            continue
        slot = next((each for each in slots if name in (each.name, snake_case(each.name))), None)
        if slot is None:
            known = ", ".join(each.name for each in slots) or "none"
            problems.append(Problem(f"{at}/parameter", f"there is no input {name!r} for a file; there are: {known}"))
        elif slot.name in asked:
            problems.append(Problem(at, f"{slot.name} is given twice, also as {asked[slot.name].at}; send one of them"))
        else:
            asked[slot.name] = replace(slot, source=source, at=at)
    free = [slot for slot in slots if slot.name not in asked]
    for (at, source), slot in zip(in_order, free, strict=False):
        asked[slot.name] = replace(slot, source=source, at=at)
    if len(in_order) > len(free):
        at = in_order[len(free)][0]
        room = f"there are inputs for {len(slots)}" if slots else "nothing here takes a file"
        problems.append(Problem(at, f"is one file too many: {room}; leave it out"))
    return list(asked.values()), problems
