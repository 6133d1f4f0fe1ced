"""Whether the service still answers: told to whoever waits, once that it does not and once that it does again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from app.commands.screens import Screen

if TYPE_CHECKING:
    from comfy_relay import AsyncClient

AWAY_S: Final = 3.0
"""Longer than a connection that broke takes to be there again, and shorter than anybody looks at a bar that stands."""

LOOK_S: Final = 0.2
NOTE: Final = "no answer"


def is_away(client: AsyncClient) -> bool:
    """Whether it is time to say that the service does not answer."""
    return client.away_s >= AWAY_S


def canceling(client: AsyncClient, what: str) -> str:
    """What is said to who pressed Ctrl-C."""
    if client.away_s:
        return "No answer, so nothing is canceled yet; Ctrl-C again leaves at once."
    return f"Canceling {what}; Ctrl-C again leaves without waiting for that."


@contextlib.asynccontextmanager
async def watched(client: AsyncClient, screen: Screen) -> AsyncIterator[None]:
    """While the block works, the screen says when the service goes away and comes back."""
    async with asyncio.TaskGroup() as group:
        looking = group.create_task(_look(client, screen), name="presence")
        yield
        looking.cancel()


async def _look(client: AsyncClient, screen: Screen) -> None:
    was_away = False
    while True:
        # Back is only who has answered, and not who has been tried for a short time again.
        if not was_away and is_away(client):
            was_away = True
            screen.say(f"no answer from {client.url}, trying again")
        elif was_away and not client.away_s:
            was_away = False
            screen.say(f"{client.url} answers again")
        await asyncio.sleep(LOOK_S)
