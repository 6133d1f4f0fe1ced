"""The layers around the routes, in their order: other origins outermost, then keys, then the size of bodies.

Owns that order and what the layers are given; what each does is its own business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.middleware.cors import CORSMiddleware

from app.api.dialects import openai_errors
from app.api.dialects.translation import Translation
from app.api.middleware import CamelQuery, LimitBody, RequireKey
from app.api.v2 import envelopes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastapi import FastAPI

    from app.api.links import Links
    from app.settings import Settings

EXPOSED: Final = ("Location", "ETag", "Retry-After", "Idempotency-Replayed", "Preference-Applied", "Content-Range")
"""Headers of answers that a page of another origin may read."""

CORS_MAX_AGE_S: Final = 600
"""How long a browser need not ask again whether it may."""

FORM_BYTES: Final = 64 * 1024
"""What a form may add to the file it carries: boundaries, headers and small fields."""


def install(app: FastAPI, settings: Settings, keys: Sequence[str], links: Links) -> None:
    """Put them around the application. The last one added is the outermost."""
    limits = {
        "/api/uploads": settings.max_upload_bytes + FORM_BYTES,
        "/api/v2/assets": settings.max_upload_bytes + FORM_BYTES,
        "/v1/images/edits": 2 * settings.max_upload_bytes + FORM_BYTES,  # A picture and its mask.
    }
    app.add_middleware(CamelQuery)
    app.add_middleware(LimitBody, max_bytes=settings.max_body_bytes, exceptions=limits)
    app.add_middleware(RequireKey, keys=keys, links=links)
    for dialect in (openai_errors, envelopes):
        app.add_middleware(Translation, root=dialect.ROOT, tell=dialect.tell)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=EXPOSED,
            max_age=CORS_MAX_AGE_S,
        )
