"""Projects over the wire."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pydantic import ConfigDict, Field

from app.api.schemas import Wire
from app.projects import Project


class ProjectWrite(Wire):
    """A project to make."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"id": "shop", "title": "The shop window"}]}
    )

    id: str | None = Field(default=None, min_length=1, max_length=200, description="any name; left out: one of ours")
    title: str | None = Field(default=None, max_length=500)
    metadata: dict[str, Any] | None = Field(default=None, description="kept and returned as it is")


class ProjectRead(Wire):
    """A project. `counts` is there where one project is asked for."""

    id: str
    title: str | None
    metadata: dict[str, Any]
    created_at: datetime
    counts: dict[str, int] | None = Field(default=None, description="generations by status")

    @classmethod
    def of(cls, project: Project, counts: dict[str, int] | None = None) -> ProjectRead:
        return cls(
            id=project.id,
            title=project.title,
            metadata=dict(project.metadata),
            created_at=datetime.fromtimestamp(project.created_at, UTC),
            counts=counts,
        )


class ProjectPage(Wire):
    """A page of projects, newest first; `nextCursor` is null on the last one."""

    items: list[ProjectRead]
    next_cursor: str | None
