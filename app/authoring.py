"""Templates as callers make them: a workflow he has becomes an endpoint with parameters, shown for correction.

Owns the way from a file of ComfyUI's to a definition: converting, inferring, and what the caller says differently.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from app.catalogue import Catalogue, Known
from app.comfyui import workflow as workflows
from app.comfyui.corrections import CorrectionError, corrected
from app.comfyui.definitions import Definitions
from app.comfyui.editor import is_editor_file, to_workflow
from app.comfyui.inference import infer_with_reasons
from app.comfyui.problems import InvalidInputError, pointer
from app.comfyui.template_files import Definition
from app.comfyui.templates import Template, TemplateError, build_template
from app.errors import InvalidRequest, NoBackend, Problem
from app.offers import Offers
from app.requests import RESERVED

MAX_DOUBTS: Final = 5
"""How many reasons why no server could run a new template are told; one is enough to act on."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What becomes of a caller's file. `reasons`: why each parameter is there; `notes`: what he should know."""

    name: str
    definition: Definition
    workflow: dict[str, Any]
    reasons: Mapping[str, str]
    notes: tuple[str, ...]

    @property
    def template(self) -> Template:
        return build_template(self.name, self.workflow, msgspec.to_builtins(self.definition))


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What a caller sent: a graph in API format or a file of the editor's, and his corrections by parameter name."""

    name: str
    workflow: object
    title: str | None = None
    description: str | None = None
    bindings: Mapping[str, Any] | None = None


class Authoring:
    """Knows the catalogue, and from the servers their node definitions."""

    def __init__(self, catalogue: Catalogue, offers: Offers) -> None:
        self.catalogue, self._offers = catalogue, offers

    async def draft(self, source: Source) -> Draft:
        """What the template would be; nothing is stored. Raises InvalidRequest, and NoBackend where only a server that
        tells its node definitions could make a graph of the file.
        """
        try:
            # Up to a second for a file of ten thousand nodes, which nobody else shall wait for.
            draft = await asyncio.to_thread(_drafted, source, await self._definitions())
        except CorrectionError as error:
            raise _invalid("/bindings", error) from error
        except InvalidInputError as error:
            raise _invalid("/workflow", error) from error
        judgement = await self._offers.judged(workflows.parse(draft.workflow))
        notes = [f"no server could run it now: {each.sentence}" for each in judgement.findings[:MAX_DOUBTS]]
        return replace(draft, notes=(*draft.notes, *notes))

    async def create(self, source: Source) -> tuple[Known, Draft]:
        """Raises as `draft`, TemplateExists, BuiltInTemplate."""
        draft = await self.draft(source)
        return await self.catalogue.add(draft.name, draft.definition, draft.workflow), draft

    async def redraft(self, source: Source) -> Draft:
        """What the next version would be; nothing is stored. Raises as `draft`, NotFound, BuiltInTemplate."""
        now = (await self.catalogue.own(source.name)).template
        title = now.title if source.title is None else source.title
        description = now.description if source.description is None else source.description
        return await self.draft(replace(source, title=title, description=description))

    async def replace(self, source: Source) -> tuple[Known, Draft]:
        """A new version; title and description stay where no others are given. Raises as `redraft`."""
        draft = await self.redraft(source)
        return await self.catalogue.replace(draft.name, draft.definition, draft.workflow), draft

    async def _definitions(self) -> Definitions | None:
        await self._offers.refresh(60.0)
        return self._offers.best_definitions()


def _drafted(source: Source, definitions: Definitions | None) -> Draft:
    raw: object = source.workflow
    notes: tuple[str, ...] = ()
    if is_editor_file(raw):
        if definitions is None:
            raise NoBackend
        converted = to_workflow(raw, definitions)
        raw, notes = converted.graph, converted.notes
    graph = workflows.parse(raw)
    inferred = infer_with_reasons(graph, definitions)
    definition = corrected(inferred.definition, source.bindings or {}, graph, definitions)
    definition = msgspec.structs.replace(
        definition, title=source.title or source.name, description=source.description or ""
    )
    taken = RESERVED & {each.name for each in definition.parameters}
    if taken:
        why = "is a field of the request itself; call the parameter something else"
        raise InvalidRequest(*(Problem(pointer("bindings", name), why) for name in sorted(taken)))
    draft = Draft(source.name, definition, graph.to_api(), inferred.reasons, (*notes, *inferred.notes))
    try:
        _ = draft.template
    except TemplateError as error:  # Each correction is sound by itself, and what they make together is not.
        problems = [Problem(_written_at(each.pointer, source, definition), each.message) for each in error.problems]
        raise InvalidRequest(*problems) from error
    return draft


def _written_at(place: str, source: Source, definition: Definition) -> str:
    """Where in the body a caller wrote what `place`, a pointer of a TemplateError, is about."""
    match place.split("/")[1:]:
        case ["definition", "parameters", number, *steps]:
            name = definition.parameters[int(number)].name
            correction = (source.bindings or {}).get(name)
            is_there = isinstance(correction, dict) and steps and steps[0] in correction
            return pointer("bindings", name, *(steps if is_there else ()))
        case ["definition", *steps]:
            return pointer(*steps)
        case _:
            return place


def _invalid(at: str, error: InvalidInputError) -> InvalidRequest:
    return InvalidRequest(*(Problem(f"{at}{each.pointer}", each.message) for each in error.problems))
