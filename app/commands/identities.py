"""Which generation or batch somebody means: by its id, or by as much of its beginning as no other recent one has."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Final, TypeAlias

from app.commands.errors import Incomplete, Misuse

if TYPE_CHECKING:
    from comfy_relay import Batch, Client, Generation

    Found: TypeAlias = Generation | Batch

RECENT: Final = 500
"""So many of the newest generations and batches are known by the beginnings of their ids."""

SHORT_CHARS: Final = 8
"""As much of an id as lists for people show."""

_BEGINNING: Final = re.compile(r"[0-9a-f][0-9a-f-]{3,35}")
_WHOLE_CHARS: Final = 36


class Identities:
    """Those of one service. What is recent is asked for once, and only if it is needed."""

    def __init__(self, relay: Client) -> None:
        self._relay = relay

    def meant(self, text: str) -> Found:
        """Raises Misuse for what is no id or begins several ones, Incomplete for one of nothing, and RelayError."""
        written = text.strip().lower()
        if not _BEGINNING.fullmatch(written):
            raise Misuse(f"{text}: is no id; give one as `list` shows it")
        if len(written) == _WHOLE_CHARS:
            return self._whole(written)
        found = [each for each in self._recent if each.startswith(written)]
        if len(found) > 1:
            raise Misuse(f"{text}: begins {len(found)} ids, such as {found[0]} and {found[1]}; give more of it")
        if not found:
            raise Incomplete(f"{text}: there is no such generation or batch among the newest {RECENT}")
        return self._whole(found[0])

    def _whole(self, text: str) -> Found:
        from comfy_relay import Problem

        for look in (self._relay.get, self._relay.get_batch):
            try:
                return look(text)
            except Problem as problem:
                if problem.code not in {"not_found", "invalid_request"}:
                    raise
        raise Incomplete(f"{text}: there is no such generation or batch")

    @functools.cached_property
    def _recent(self) -> list[str]:
        generations = [each.id for each in self._relay.list(limit=RECENT)]
        return [*generations, *(each.id for each in self._relay.batches(limit=RECENT))]
