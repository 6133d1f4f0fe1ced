"""Fetching as the tests ask for it."""

from __future__ import annotations

import pytest

from app.addresses import Allowed
from app.errors import BadSource
from app.fetching import Fetcher
from app.guarding import Resolve
from tests.waiting import WITHIN_S
from tests.web import LOOPBACK

CONTENT = bytes(range(256)) * 5000


def made(resolve: Resolve | None = None, *allowed: str, timeout_s: float = WITHIN_S, **more: object) -> Fetcher:
    """A fetcher that may ask good.test."""
    settings = {"timeout_s": timeout_s, "max_bytes": 10_000_000, "resolve": resolve, **more}
    return Fetcher(Allowed.of(["good.test", *allowed]), **settings)  # type: ignore[arg-type]


async def fetched(fetcher: Fetcher, url: str) -> bytes:
    async with fetcher.open(url) as found:
        return b"".join([chunk async for chunk in found.chunks])


async def refusal(fetcher: Fetcher, url: str) -> str:
    """Why this URL is not fetched; it never says where its name led."""
    with pytest.raises(BadSource) as raised:
        await fetched(fetcher, url)
    assert LOOPBACK not in raised.value.detail
    assert raised.value.detail.endswith(".")
    return raised.value.detail
