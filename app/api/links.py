"""URLs in answers, and the tokens that make them work where headers cannot be sent.

`EventSource` and `<img>` send no headers. With API keys set, each URL in an answer carries a token for its one
generation that expires; without keys, URLs are plain. Tokens need no storage: they are signed with the keys.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Sequence
from typing import Final

SIGNATURE_BYTES: Final = 16
"""128 bits: nobody guesses one before it expires."""

ROUNDING: Final = 24
"""Expiry is rounded up by a small part of the time to live, so that the URLs of a generation stay the same for a while
and caches keep working."""


class Links:
    """`url_ttl_s`: how long a signed URL works, at least."""

    def __init__(self, keys: Sequence[str], url_ttl_s: int, clock: Callable[[], float] = time.time) -> None:
        self._secret = hashlib.sha256("\n".join(sorted(keys)).encode()).digest() if keys else None
        self._url_ttl_s, self._clock = url_ttl_s, clock

    def to(self, generation_id: str, path: str) -> str:
        """The URL of something of a generation's; `path` may have a query already."""
        return self._url("generations", generation_id, path)

    def to_upload(self, upload_id: str, path: str) -> str:
        """The URL of something of an upload's."""
        return self._url("uploads", upload_id, path)

    def to_batch(self, batch_id: str, path: str) -> str:
        """The URL of something of a batch's."""
        return self._url("batches", batch_id, path)

    def expires_at(self) -> int:
        """Until when a URL made now works, in seconds since the epoch; those without a token work for ever."""
        grain = max(1, self._url_ttl_s // ROUNDING)
        expires = int(self._clock() + self._url_ttl_s)
        return expires + grain - expires % grain

    def allows(self, token: str, generation_id: str) -> bool:
        """Whether the token is ours, for this generation, upload or batch, and not expired."""
        expires, _, _ = token.partition(".")
        if self._secret is None or not expires.isascii() or not expires.isdigit() or len(expires) > 12:
            return False
        if int(expires) < self._clock():
            return False
        return hmac.compare_digest(token.encode(), _signed(self._secret, generation_id, int(expires)).encode())

    def _url(self, kind: str, owner_id: str, path: str) -> str:
        url = f"/api/{kind}/{owner_id}{path}"
        if self._secret is None:
            return url
        return f"{url}{'&' if '?' in path else '?'}token={self._token(self._secret, owner_id)}"

    def _token(self, secret: bytes, generation_id: str) -> str:
        return _signed(secret, generation_id, self.expires_at())


def _signed(secret: bytes, generation_id: str, expires: int) -> str:
    mark = hmac.new(secret, f"{generation_id}.{expires}".encode(), hashlib.sha256).digest()
    return f"{expires}.{mark[:SIGNATURE_BYTES].hex()}"
