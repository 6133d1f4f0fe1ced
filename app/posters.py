"""Poster frames of videos, by the ffmpeg of this machine. Owns its processes; keeps nothing, and does without ffmpeg.

The file is somebody's: ffmpeg gets no shell, no environment, no network and no input but that one file; how long it
runs and how much it says is bounded, and it is killed in the end whatever happens.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

MIME_TYPE: Final = "image/jpeg"
MAX_BYTES: Final = 16 * 1024 * 1024
# The first frame of a short clip takes a tenth of a second; large and odd ones a few seconds.
TIMEOUT_S: Final = 20.0
AT_ONCE: Final = 2
# A poster is for a page; a picture of 8K is not.
MAX_WIDTH: Final = 1920

_JPEG: Final = b"\xff\xd8\xff"


class Posters:
    """`program` is ffmpeg's path; without one there are no posters, and that is no failure."""

    def __init__(self, program: str | None, *, timeout_s: float = TIMEOUT_S, max_bytes: int = MAX_BYTES) -> None:
        self._program, self._timeout_s, self._max_bytes = program, timeout_s, max_bytes
        self._gate = asyncio.Semaphore(AT_ONCE)

    @classmethod
    def found(cls, name: str) -> Posters:
        """With the program of this name or path, if there is one; an empty name asks for none."""
        program = shutil.which(name) if name else None
        if name and program is None:
            log.info("no ffmpeg: videos get no poster frames", extra={"action": "start"})
        return cls(program)

    @property
    def are_made(self) -> bool:
        return self._program is not None

    async def poster(self, video: Path) -> bytes | None:
        """The first frame as JPEG, or None where there is no ffmpeg or it makes nothing of the file in time."""
        if self._program is None:
            return None
        async with self._gate:
            try:
                async with asyncio.timeout(self._timeout_s):
                    frame = await self._frame(self._program, video)
            except (OSError, TimeoutError) as exc:
                log.warning("no poster frame", extra={"action": "poster", "cause": type(exc).__name__})
                return None
        return frame if frame.startswith(_JPEG) else None

    async def _frame(self, program: str, video: Path) -> bytes:
        process = await asyncio.create_subprocess_exec(
            program,
            *("-nostdin", "-v", "quiet", "-threads", "2", "-protocol_whitelist", "file,pipe"),
            *("-i", f"file:{video}", "-map", "0:v:0", "-frames:v", "1", "-an", "-sn", "-dn"),
            *("-vf", f"scale='min({MAX_WIDTH},iw)':-2", "-map_metadata", "-1"),
            *("-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-q:v", "3", "-f", "image2pipe", "pipe:1"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={},
        )
        try:
            return await self._said(process)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            # Shielded: a killed process that nobody waits for stays in the table.
            await asyncio.shield(process.wait())

    async def _said(self, process: asyncio.subprocess.Process) -> bytes:
        """Its output when it ended well, nothing when it failed or said too much."""
        said = bytearray()
        assert process.stdout is not None  # noqa: S101 - it was asked for
        while chunk := await process.stdout.read(256 * 1024):
            said += chunk
            if len(said) > self._max_bytes:
                return b""
        return bytes(said) if await process.wait() == 0 else b""
