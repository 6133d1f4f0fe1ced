"""Whether the settings of this machine would make a service that works: what `comfy-relay doctor --local` looks at.

Changes nothing: no database is made or migrated, nothing is queued at ComfyUI. Knows the same modules the service is
made of, so that what is fine here is fine there.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from app.comfyui import ClientOptions, ComfyError, Listener, ListenerOptions, Unreachable, connect
from app.commands.findings import Finding, broken, fine, warning
from app.db.engine import parsed_url
from app.db.errors import DatabaseError
from app.db.migration import current_revision, newest_revision
from app.opening import open_storage
from app.origins import Origins
from app.settings import Settings
from app.storage import StorageError

LEAST_FREE_BYTES: Final = 1024**3
"""Below this a few videos fill the disk."""

SOCKET_WITHIN_S: Final = 5.0


async def local_findings(settings: Settings) -> list[Finding]:
    """Every part of it, in the order in which a generation meets them."""
    servers = [_server(name, url, settings) for name, url in settings.comfyui_urls.items()]
    found = [finding for each in await asyncio.gather(*servers) for finding in each]
    return [*found, await _database(settings), await _storage(settings), _disk(settings.data_dir), _ffmpeg(settings)]


async def _server(name: str, url: str, settings: Settings) -> list[Finding]:
    label = f"ComfyUI {name}"
    options = ClientOptions(connect_s=settings.connect_timeout_s)
    began = time.monotonic()
    try:
        async with connect(name, url, options) as client:
            stats = await client.system_stats()
    except Unreachable as error:
        return [
            broken(
                label,
                f"cannot be reached ({error.reason})",
                "start ComfyUI, with --listen 0.0.0.0 if it is on another machine, or set COMFY_RELAY_COMFYUI_URLS",
            )
        ]
    except ComfyError as error:
        return [broken(label, str(error).removeprefix(f"{name}: "), "set COMFY_RELAY_COMFYUI_URLS to a ComfyUI server")]
    took_ms = (time.monotonic() - began) * 1000
    devices = ", ".join(device.name or "a device" for device in stats.devices) or "no device"
    answered = fine(label, f"version {stats.version or 'unknown'}, {devices}, answers in {took_ms:.0f} ms")
    return [answered, await _socket(name, url)]


async def _socket(name: str, url: str) -> Finding:
    """Whether messages come through: the greeting, and the answer to what we say."""
    label = f"ComfyUI {name}, socket"
    greeted = asyncio.Event()
    listener = Listener(
        name,
        url,
        lambda _: None,
        on_connected=lambda _: greeted.set(),
        on_gap=lambda _: None,
        options=ListenerOptions(open_s=SOCKET_WITHIN_S, proof_s=SOCKET_WITHIN_S),
    )
    began = time.monotonic()
    async with _running(listener):
        try:
            async with asyncio.timeout(SOCKET_WITHIN_S):
                await greeted.wait()
        except TimeoutError:
            opened = "opens, but no message came" if listener.counters.connections else "cannot be opened"
            return broken(
                label,
                f"{opened} within {SOCKET_WITHIN_S:g} s",
                "let WebSockets through the proxy in front of ComfyUI; until then progress comes from polling alone",
            )
        took_ms = (time.monotonic() - began) * 1000
        is_proven = await _proven(listener)
    if is_proven:
        return fine(label, f"delivers in both directions, greeted after {took_ms:.0f} ms")
    return fine(label, f"delivers, greeted after {took_ms:.0f} ms; this version answers no feature flags")


@asynccontextmanager
async def _running(listener: Listener) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(listener.run(), name="listening")
        try:
            yield
        finally:
            task.cancel()


async def _proven(listener: Listener) -> bool:
    until = time.monotonic() + 1.0
    while not listener.is_proven and time.monotonic() < until:  # noqa: ASYNC110 - the listener tells nobody
        await asyncio.sleep(0.01)
    return listener.is_proven


async def _database(settings: Settings) -> Finding:
    return await asyncio.to_thread(_database_seen, settings.database_url.get_secret_value())


def _database_seen(url: str) -> Finding:
    parsed = parsed_url(url)
    kind = "PostgreSQL" if parsed.drivername == "postgresql" else "SQLite"
    remedy = "set COMFY_RELAY_DATABASE_URL"
    if kind == "SQLite" and parsed.database and not Path(parsed.database).exists():
        if _can_be_made(Path(parsed.database)):
            return fine("database", "SQLite, not there yet; the first start makes it")
        return broken("database", "SQLite, its folder cannot be written", f"make it writable, or {remedy}")
    try:
        revision = current_revision(url)
    except DatabaseError as error:
        return broken("database", str(error), f"start the database, or {remedy}")
    newest = newest_revision()
    if revision == newest:
        return fine("database", f"{kind}, migrated ({revision})")
    if revision is not None and revision > newest:
        return broken("database", f"{kind}, made by a newer version ({revision})", f"update comfy-relay, or {remedy}")
    seen = f"{kind}, at {revision or 'no revision'} where {newest} is the newest"
    return warning("database", seen, "the next start migrates it, and so does: comfy-relay db upgrade")


async def _storage(settings: Settings) -> Finding:
    place, variable = ("folder", "DATA_DIR") if settings.storage_url is None else ("storage", "STORAGE_URL")
    if settings.storage_url is None and await asyncio.to_thread(_is_to_be_made, settings.data_dir):
        return fine(place, "not there yet; the first start makes it")
    try:
        await open_storage(settings, Origins(keeps_metadata=True).open).check_writable()
    except (StorageError, OSError) as error:
        reason = getattr(error, "reason", None) or "it cannot be written"
        return broken(place, f"cannot be used ({reason})", f"make it writable, or set COMFY_RELAY_{variable}")
    return fine(place, "can be written")


def _disk(folder: Path) -> Finding:
    there = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
    free = shutil.disk_usage(there).free
    seen = f"{free / 1024**3:.1f} GB free"
    if free < LEAST_FREE_BYTES:
        return warning("disk", seen, "make room, or set COMFY_RELAY_DATA_DIR to a larger disk")
    return fine("disk", seen)


def _ffmpeg(settings: Settings) -> Finding:
    if not settings.ffmpeg:
        return fine("ffmpeg", "switched off: videos get no poster frames")
    if shutil.which(settings.ffmpeg) is None:
        return warning("ffmpeg", "not found: videos get no poster frames", "install it, or set COMFY_RELAY_FFMPEG")
    return fine("ffmpeg", "found: videos get poster frames")


def _is_to_be_made(path: Path) -> bool:
    return not path.exists() and _can_be_made(path)


def _can_be_made(path: Path) -> bool:
    """Whether something can be written into the first folder above it that is there."""
    folder = next(each for each in path.absolute().parents if each.exists())
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
