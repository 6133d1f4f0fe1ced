"""The secret that signs for receivers that only a request named: where it comes from, and a new one in its place.

Owns what this process knows of it. The setting's stays as the setting has it; the database's own is shared by all
processes, and each asks for it anew before one that another may have replaced is used.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import secrets
import time
from collections.abc import Callable
from typing import Final

from app import clock
from app.db.errors import DatabaseError
from app.db.webhook_shelf import WebhookShelf
from app.webhook_errors import SecretIsSet
from app.webhook_records import ServiceSecret
from app.webhook_settings import SECRET_BYTES, SECRET_PREFIX

STALE_S: Final = 2.0
"""What was known so long ago is asked for anew, where other processes may change it."""


class ServiceSecrets:
    """`given` is the setting's. `is_shared`: other processes sign with the same one."""

    def __init__(
        self,
        shelf: WebhookShelf,
        given: str | None,
        *,
        is_shared: bool,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._shelf, self._given, self._is_shared, self._monotonic = shelf, given, is_shared, monotonic
        self._known = None if given is None else ServiceSecret(given)
        self._known_at = float("-inf")

    async def read(self) -> ServiceSecret:
        """What signs now; made when it is asked for first. Raises a `DatabaseError` only where nothing is known yet."""
        known = self._known
        if known is None:
            return await self._learn()
        if self._given is None and self._is_shared and self._monotonic() - self._known_at > STALE_S:
            with contextlib.suppress(DatabaseError):
                return await self._learn()
        return known

    async def signing(self) -> tuple[str, ...]:
        """What a delivery is signed with now, the newest first."""
        return (await self.read()).secrets_at(clock.now())

    async def rotate(self) -> ServiceSecret:
        """A new one; the one before signs beside it for a day. Every process signs with it when this returns.

        Raises SecretIsSet.
        """
        if self._given is not None:
            raise SecretIsSet
        await self._shelf.rotate_service_secret(new_secret(), now=clock.now())
        known = await self._learn()
        if self._is_shared:
            await asyncio.sleep(STALE_S)
        return known

    async def _learn(self) -> ServiceSecret:
        asked_at = self._monotonic()
        known = self._known = await self._shelf.service_secret(new_secret(), now=clock.now())
        self._known_at = asked_at
        return known


def new_secret() -> str:
    """A secret as the specification has it."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES[0])).decode()
