"""The faults: what each does to the service or its ComfyUI, and when it is over."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from app.comfyui.simulator import LostReply, Simulator
from tests.process import KillableService
from tests.service import Service

AWAY_S = 0.8
"""How long something stays away: several polls."""

LOCKED_S = 2.0
"""How long the database is locked: several times the limit of a statement, `STATEMENT_S`."""

STATEMENT_S = 0.5


@dataclass(frozen=True, slots=True)
class Strike:
    """`before` is set up ahead of the generation; `during` happens at the moment, before it may go on.

    `loses_prompts`: ComfyUI forgets what it had, so that another attempt is due. `kills`: the service is a process.
    `database_timeout_s`: far more than a busy machine needs, unless the database is what is struck.
    """

    name: str
    during: Callable[[Service, Simulator], Awaitable[None]]
    before: Callable[[Simulator], None] = lambda _: None
    loses_prompts: bool = False
    kills: bool = False
    database_timeout_s: float = 10.0


async def _nothing(_: Service, __: Simulator) -> None:
    return


async def _drop_sockets(_: Service, comfy: Simulator) -> None:
    await comfy.drop_sockets()


async def _go_mute(_: Service, comfy: Simulator) -> None:
    comfy.faults.mute_sockets = True


def _deaf(comfy: Simulator) -> None:
    comfy.faults.deaf_after_reconnect = True


def _duplicates(comfy: Simulator) -> None:
    comfy.faults.duplicate_frames = True


def _reordered(comfy: Simulator) -> None:
    comfy.faults.reorder_frames = True


def _junk(comfy: Simulator) -> None:
    comfy.faults.junk_frames = True


def _lose_answers(comfy: Simulator) -> None:
    """Each POST /prompt is queued, and its connection is cut instead of answered."""
    comfy.faults.lost_reply = LostReply.CUT


def _slow_history(comfy: Simulator) -> None:
    comfy.faults.history_empty_for_s = AWAY_S


async def _restart_comfyui(_: Service, comfy: Simulator) -> None:
    comfy.release()
    await comfy.restart()


async def _comfyui_away(_: Service, comfy: Simulator) -> None:
    comfy.release()
    await comfy.stop()
    await asyncio.sleep(AWAY_S)
    await comfy.start()


async def _refuse_connections(_: Service, comfy: Simulator) -> None:
    comfy.faults.refuse_connections = True
    await asyncio.sleep(AWAY_S)
    await comfy.restore_connections()


async def _half_open(_: Service, comfy: Simulator) -> None:
    """The old socket is never closed: its messages go nowhere, as when a router forgot the connection."""
    comfy.faults.mute_sockets = True
    await asyncio.sleep(AWAY_S)
    comfy.faults.mute_sockets = False


async def _restart_service(api: Service, _: Simulator) -> None:
    await api.stop()
    await api.start()


async def _kill_service(api: Service, _: Simulator) -> None:
    assert isinstance(api, KillableService)
    await api.kill()
    await api.start()


async def _lock_database(api: Service, comfy: Simulator) -> None:
    """SQLite's writer lock held by somebody else, while the generation goes on."""
    path = api.settings.database_url.get_secret_value().removeprefix("sqlite:///")
    connection = sqlite3.connect(path, timeout=5)
    try:
        connection.execute("BEGIN IMMEDIATE")
        comfy.release()
        await asyncio.sleep(LOCKED_S)
    finally:
        connection.rollback()
        connection.close()


STRIKES = (
    Strike("none", _nothing),
    Strike("socket dropped", _drop_sockets),
    Strike("half-open socket", _half_open),
    Strike("zombie socket", _go_mute),
    Strike("deaf after reconnect", _drop_sockets, before=_deaf),
    Strike("frames doubled", _nothing, before=_duplicates),
    Strike("frames reordered", _nothing, before=_reordered),
    Strike("junk frames", _nothing, before=_junk),
    Strike("history slow", _nothing, before=_slow_history),
    Strike("answer lost", _nothing, before=_lose_answers),
    Strike("comfyui restarted", _restart_comfyui, loses_prompts=True),
    Strike("comfyui away", _comfyui_away, loses_prompts=True),
    Strike("connections refused", _refuse_connections),
    Strike("service restarted", _restart_service),
    Strike("service killed -9", _kill_service, kills=True),
    Strike("database locked", _lock_database, database_timeout_s=STATEMENT_S),
)
