"""Projects: callers' names for generations that belong together. Made by being used; nothing depends on one.

Owns that a project of a generation exists sooner or later. A project that could not be put on record is no reason for
anything to fail: it is tried again the next time it is used.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, TypeAlias
from uuid import uuid4

from app import clock
from app.db.errors import DatabaseError
from app.db.project_shelf import Project, ProjectShelf
from app.errors import NotFound, ProjectExists

log = logging.getLogger(__name__)

__all__ = ["Project", "Projects"]

Spawn: TypeAlias = Callable[[Coroutine[Any, Any, None], str], "asyncio.Task[None]"]

_MAX_KNOWN: Final = 10_000


class Projects:
    """`spawn` runs a coroutine in the background, owned by somebody."""

    def __init__(self, shelf: ProjectShelf, spawn: Spawn) -> None:
        self._shelf, self._spawn = shelf, spawn
        self._known: OrderedDict[str, None] = OrderedDict()

    def used(self, project_id: str | None) -> None:
        """A generation belongs to it: see to it that it exists. Takes no time."""
        if project_id is not None and project_id not in self._known:
            self._remember(project_id)
            self._spawn(self._made(project_id), f"project {project_id[:40]}")

    async def create(self, project_id: str | None, title: str | None, metadata: Mapping[str, Any]) -> Project:
        """A project under the caller's id, or one of our making. Raises ProjectExists."""
        project = Project(project_id or str(uuid4()), title, metadata, clock.now())
        if not await self._shelf.add(project):
            raise ProjectExists(project.id)
        return project

    async def get(self, project_id: str) -> Project:
        """Raises NotFound."""
        project = await self._shelf.get(project_id)
        if project is None:
            raise NotFound("project", project_id)
        return project

    async def counts(self, project_id: str) -> dict[str, int]:
        """How many generations it has, by status."""
        return await self._shelf.counts(project_id)

    async def list(self, limit: int, before: tuple[float, str] | None) -> tuple[Project, ...]:
        """Newest first, after the one created at that time (seconds since the epoch) with that id."""
        return await self._shelf.list(limit, before)

    async def _made(self, project_id: str) -> None:
        try:
            await self._shelf.add(Project(project_id, None, {}, clock.now()))
        except DatabaseError as error:
            self._known.pop(project_id, None)
            log.warning("a project could not be put on record", extra={"action": "project", "cause": str(error)})

    def _remember(self, project_id: str) -> None:
        self._known[project_id] = None
        if len(self._known) > _MAX_KNOWN:
            self._known.popitem(last=False)
