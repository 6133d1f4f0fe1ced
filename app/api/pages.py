"""The page and the JavaScript client, as files of the package.

Owns which of them are served, and under which rules a browser runs them. Never reads a path that a caller named: what
is served was read before the first request. None of it needs a key; what the page shows does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from fastapi import APIRouter, Header
from starlette.responses import Response

from app.api.caching import unless_known
from app.api.openapi import readable
from app.errors import NotFound

FOLDER: Final = Path(__file__).parents[1] / "web"

INDEX: Final = "index.html"

TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".ts": "text/plain; charset=utf-8",
    ".webp": "image/webp",
}
"""The files that are served, by suffix. TypeScript's would be taken for a film by its registered type."""

POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "form-action 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
"""The page runs its own files and talks to its own service; nothing a picture's prompt says can run in it."""

HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""`no-cache` asks each time, by ETag: after an update no page runs old modules beside new ones."""


@dataclass(frozen=True, slots=True)
class WebFile:
    """A file as it is sent. `etag` is of its content."""

    content: bytes
    media_type: str
    etag: str


def load(folder: Path = FOLDER) -> Mapping[str, WebFile]:
    """Every file that is served, by its path below the folder. Raises OSError."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix in TYPES and path.is_file())
    return {path.relative_to(folder).as_posix(): _read(path) for path in paths}


def routes(files: Mapping[str, WebFile]) -> APIRouter:
    """`/` and everything below `/web/`."""
    router = APIRouter(include_in_schema=False)

    @readable(router, "/")
    async def index(if_none_match: Annotated[str | None, Header()] = None) -> Response:
        """The page."""
        return _answer(files, INDEX, if_none_match)

    @readable(router, "/web/{name:path}")
    async def web(name: str, if_none_match: Annotated[str | None, Header()] = None) -> Response:
        """A file of the page's, or of the JavaScript client's."""
        return _answer(files, name, if_none_match)

    return router


def _read(path: Path) -> WebFile:
    content = path.read_bytes()
    return WebFile(content, TYPES[path.suffix], f'"{hashlib.sha256(content).hexdigest()[:32]}"')


def _answer(files: Mapping[str, WebFile], name: str, if_none_match: str | None) -> Response:
    file = files.get(name)
    if file is None:
        raise NotFound("file", name)
    answer = Response(file.content, media_type=file.media_type, headers={**HEADERS, "ETag": file.etag})
    return unless_known(answer, if_none_match)
