"""Which templates there are: those that ship with the service, and callers' own.

Owns names, aliases and versions, and keeps what it built from a stored version. Built-in templates cannot be replaced;
a caller's own change only by a new version, so what is kept here never goes stale.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from app import clock
from app.comfyui.template_files import Definition
from app.comfyui.templates import Template, TemplateError, build_template
from app.db.errors import AlreadyRecorded
from app.db.template_shelf import StoredTemplate, TemplateShelf
from app.errors import BuiltInTemplate, NotFound, TemplateExists

__all__ = ["NAME", "UNNAMED", "Catalogue", "Known", "Template"]

log = logging.getLogger(__name__)

NAME: Final = r"[a-z0-9][a-z0-9_-]{0,99}"
"""A name of a caller's own template: fit for a URL, and never one of a built-in one's aliases, which hold a slash."""

UNNAMED: Final = "unnamed"
"""What a template is called that is only tried out."""

MAX_LISTED: Final = 1000
_MAX_KEPT: Final = 500
_TRIES: Final = 20
"""Of a new version: as many callers may replace one template at the same time on different replicas."""

_NAME: Final = re.compile(NAME)


@dataclass(frozen=True, slots=True)
class Known:
    """A template in force. `version` and `created_at` (seconds since the epoch) are None for those that ship."""

    template: Template
    version: int | None = None
    created_at: float | None = None

    @property
    def is_built_in(self) -> bool:
        return self.version is None


class Catalogue:
    """Methods that look up callers' own templates ask the database for their version: another replica may change it."""

    def __init__(self, builtin: Mapping[str, Template], shelf: TemplateShelf) -> None:
        self._builtin = dict(builtin)
        self._aliases = {alias: each for each in builtin.values() for alias in each.aliases}
        self._shelf = shelf
        self._kept: OrderedDict[tuple[str, int], Known] = OrderedDict()

    async def find(self, name: str) -> Known | None:
        """The template of this name or alias, or None."""
        shipped = self._shipped(name)
        if shipped is not None:
            return Known(shipped)
        version = await self._shelf.version(name) if _NAME.fullmatch(name) else None
        return None if version is None else await self.at(name, version)

    async def at(self, name: str, version: int) -> Known | None:
        """This very version of a caller's own template, also when it is not in force any more."""
        kept = self._kept.get((name, version))
        if kept is None:
            stored = await self._shelf.get(name, version)
            kept = None if stored is None else self._built(stored)
        return kept

    async def all(self) -> tuple[Known, ...]:
        """Those that ship, then callers' own, each by name."""
        shipped = [Known(self._builtin[name]) for name in sorted(self._builtin)]
        own = [built for each in await self._shelf.all(MAX_LISTED) if (built := self._built(each)) is not None]
        return (*shipped, *own)

    def names(self) -> tuple[str, ...]:
        """Names of those that ship, to suggest one."""
        return tuple(sorted(self._builtin))

    async def add(self, name: str, definition: Definition, workflow: Mapping[str, Any]) -> Known:
        """A template of a caller's own. Raises TemplateExists, BuiltInTemplate, TemplateError."""
        if self._shipped(name) is not None:
            raise BuiltInTemplate(name)
        if await self.find(name) is not None:
            raise TemplateExists(name)
        try:
            return await self._store(name, definition, workflow, is_new=True)
        except AlreadyRecorded as error:  # Somebody took the name between the two.
            raise TemplateExists(name) from error

    async def replace(self, name: str, definition: Definition, workflow: Mapping[str, Any]) -> Known:
        """A new version of a caller's own template. Raises NotFound, BuiltInTemplate, TemplateError."""
        await self.own(name)
        for _ in range(_TRIES - 1):
            with contextlib.suppress(AlreadyRecorded):  # Somebody else made a version; ours comes after it.
                return await self._store(name, definition, workflow)
        return await self._store(name, definition, workflow)

    async def remove(self, name: str) -> None:
        """Take a caller's own template away; generations it made keep what they ran. Raises as `own`."""
        await self.own(name)
        if not await self._shelf.remove(name, now=clock.now()):
            raise NotFound("template", name)

    async def own(self, name: str) -> Known:
        """A caller's own template in force. Raises NotFound, or BuiltInTemplate for one that ships."""
        if self._shipped(name) is not None:
            raise BuiltInTemplate(name)
        known = await self.find(name)
        if known is None:
            raise NotFound("template", name)
        return known

    def _shipped(self, name: str) -> Template | None:
        return self._builtin.get(name) or self._aliases.get(name)

    async def _store(
        self, name: str, definition: Definition, workflow: Mapping[str, Any], *, is_new: bool = False
    ) -> Known:
        raw: dict[str, Any] = msgspec.to_builtins(definition)
        build_template(name, workflow, raw)  # Nothing is stored that could not be read again.
        stored = await self._shelf.add(name, raw, workflow, now=clock.now(), is_new=is_new)
        known = self._built(stored)
        if known is None:
            raise NotFound("template", name)
        return known

    def _built(self, stored: StoredTemplate) -> Known | None:
        key = (stored.name, stored.version)
        known = self._kept.get(key)
        if known is None:
            try:
                template = build_template(stored.name, dict(stored.workflow), dict(stored.definition))
            except TemplateError as error:  # Written by another version of the service.
                log.warning("stored template cannot be read", extra={"template": stored.name, "cause": str(error)})
                return None
            known = self._kept[key] = Known(template, stored.version, stored.created_at)
            if len(self._kept) > _MAX_KEPT:
                self._kept.popitem(last=False)
        return known
