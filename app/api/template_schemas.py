"""Templates over the wire."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
from pydantic import ConfigDict, Field

from app.api.request_schemas import EXAMPLE_GRAPH
from app.api.schemas import Wire
from app.authoring import Draft, Source
from app.catalogue import NAME, UNNAMED, Known


class TemplateWrite(Wire):
    """A workflow to make a template of: a graph in API format, or the file ComfyUI's editor saves."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"name": "portrait", "workflow": EXAMPLE_GRAPH, "bindings": {"width": "1.width"}}]
        },
    )

    name: str | None = Field(default=None, pattern=rf"^{NAME}$", description="letters, digits, `-` and `_`")
    workflow: dict[str, Any] = Field(description="as ComfyUI saves it or exports it (API format)")
    title: str | None = Field(default=None, max_length=200)
    description: str | None = Field(default=None, max_length=2000)
    bindings: dict[str, Any] | None = Field(
        default=None,
        description='by parameter name, instead of what would be inferred: `"6.text"`, `["6", "text"]`, a list of '
        "such pairs, an object with `bindings` and any of kind, description, default, minimum, maximum, multipleOf, "
        "enum, maxLength, examples, required and isSeed; or null for no such parameter",
    )

    def to_source(self, name: str | None = None) -> Source:
        return Source(
            name=name or self.name or UNNAMED,
            workflow=self.workflow,
            title=self.title,
            description=self.description,
            bindings=self.bindings,
        )


class ParameterRead(Wire):
    """A parameter, where it goes, and why it is there if that was inferred."""

    name: str
    kind: str
    description: str
    required: bool
    bindings: list[list[str]] = Field(description="pairs of node id and input name")
    reason: str | None = None


class TemplateRead(Wire):
    """A template and what may be sent for it."""

    name: str
    title: str
    description: str
    aliases: list[str]
    built_in: bool
    version: int | None = Field(description="grows with every change; null for built-in ones")
    created_at: datetime | None
    parameters: list[ParameterRead]
    parameters_schema: dict[str, Any] = Field(description="JSON Schema 2020-12 of the parameters")
    example: dict[str, Any] = Field(description="parameters that work")
    notes: list[str] = Field(default=[], description="what to know about how the file was read")

    @classmethod
    def of(cls, known: Known, available: dict[str, tuple[str, ...]], draft: Draft | None = None) -> TemplateRead:
        template = known.template
        reasons = draft.reasons if draft is not None else {}
        return cls(
            name=template.name,
            title=template.title,
            description=template.description,
            aliases=list(template.aliases),
            built_in=known.is_built_in and draft is None,
            version=known.version,
            created_at=None if known.created_at is None else datetime.fromtimestamp(known.created_at, UTC),
            parameters=[
                ParameterRead(
                    name=name,
                    kind=each.kind.value,
                    description=each.description,
                    required=each.required,
                    bindings=[list(binding) for binding in each.bindings],
                    reason=reasons.get(name),
                )
                for name, each in template.parameters.items()
            ],
            parameters_schema=template.json_schema(available),
            example=msgspec.to_builtins(template.example()),
            notes=list(draft.notes) if draft is not None else [],
        )


class TemplatePage(Wire):
    """All templates."""

    items: list[TemplateRead]
    next_cursor: str | None = None
