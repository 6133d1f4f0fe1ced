"""One attempt at a delivery: signed, sent to where its URL may lead, and told of in a sentence.

Owns the signature (Standard Webhooks), the request and its time limit. Follows no redirect, reads of an answer's body
no more than the beginning that is kept of a failure, and never says where a name led. What it is to send, and what
follows from the outcome, is decided elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

import aiohttp
from standardwebhooks import Webhook

from app import clock
from app.addresses import Allowed
from app.guarding import Guard, HostClosed, HostUnknown, Resolve, session_to
from app.webhook_policy import Outcome
from app.webhook_urls import closed, lane_of, parsed

if TYPE_CHECKING:
    import ssl

LOOKUPS: Final = 8
"""Names looked up at a time."""

ANSWER_CHARS: Final = 300
"""So much of the answer to a failure is kept."""

_ANSWER_BYTES: Final = 4 * ANSWER_CHARS
_ANSWER_S: Final = 0.5
"""How long the beginning of a body is waited for once the status is there."""

_AGENT: Final = {"User-Agent": "comfy-relay", "Content-Type": "application/json", "Accept": "*/*"}


class Sender:
    """`timeout_s` bounds an attempt as a whole, from the lookup of the name to the status of the answer.

    `resolve` and `tls` are for those who know better than the system where names lead and whom to trust.
    """

    def __init__(
        self, allowed: Allowed, *, timeout_s: float, resolve: Resolve | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self._guard = Guard(allowed, lookups=LOOKUPS, resolve=resolve)
        self.timeout_s, self._tls = timeout_s, tls

    async def send(self, url: str, message_id: str, body: str, secrets: Sequence[str]) -> Outcome:
        """Send `body` to `url`, signed with each of the secrets. Whatever happens is in the outcome."""
        at, begun = clock.now(), time.monotonic()
        status, error, retry_after_s, answer = None, None, None, None
        try:
            async with asyncio.timeout(self.timeout_s) as limit:
                headers = _headers(message_id, body, secrets, at)
                status, retry_after, answer = await self._posted(url, body, headers, limit)
        except (TimeoutError, HostUnknown, HostClosed, aiohttp.ClientError, OSError, ValueError) as failure:
            error = self._reason(failure, url)
        else:
            error, retry_after_s = _said(status), _seconds(retry_after, at)
        return Outcome(at, time.monotonic() - begun, status, error, retry_after_s, lane_of(url), answer)

    async def problem_of(self, url: str) -> str | None:
        """Why this URL is not sent to, as far as its name can be looked up now; None: nothing is wrong with it."""
        target = parsed(url)
        try:
            async with asyncio.timeout(self.timeout_s):
                await self._guard.addresses(target.host or "", target.port or 0)
        except HostClosed:
            return closed(target)
        except (HostUnknown, TimeoutError):  # It may be there when there is something to tell.
            return None
        return None

    def close(self) -> None:
        self._guard.close()

    async def _posted(
        self, url: str, body: str, headers: dict[str, str], limit: asyncio.Timeout
    ) -> tuple[int, str | None, str | None]:
        target = parsed(url)
        addresses = await self._guard.addresses(target.host or "", target.port or 0)
        async with (
            session_to(addresses, headers, self._tls) as session,
            session.post(target, data=body.encode(), allow_redirects=False) as response,
        ):
            limit.reschedule(None)  # It answered; its body has a limit of its own.
            answer = None if _said(response.status) is None else await _beginning(response)
            return response.status, response.headers.get("Retry-After"), answer

    def _reason(self, failure: Exception, url: str) -> str:
        """Why no answer came, without the address that the error's own text would give away."""
        match failure:
            case TimeoutError():
                return f"no answer came within {self.timeout_s:g} s"
            case HostUnknown():
                return "the host of the URL is unknown"
            case HostClosed():
                return f"the URL {closed(parsed(url))}"
            case aiohttp.ClientSSLError():
                return "the host has no certificate that is valid for it"
            case aiohttp.ClientConnectorError():
                return "the host takes no connection"
            case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError():
                return "the connection broke off before an answer came"
            case _:
                return "what came was no answer in HTTP"


def _headers(message_id: str, body: str, secrets: Sequence[str], at: float) -> dict[str, str]:
    sent_at = datetime.fromtimestamp(at, UTC)
    signatures = [Webhook(secret).sign(message_id, sent_at, body) for secret in secrets]
    return {
        **_AGENT,
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at)),
        "webhook-signature": " ".join(signatures),
    }


async def _beginning(response: aiohttp.ClientResponse) -> str | None:
    """Of a body, as one line of text without control characters; None: there is none that could be read."""
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        return None
    raw = b""
    with contextlib.suppress(TimeoutError, aiohttp.ClientError, OSError, ValueError):
        async with asyncio.timeout(_ANSWER_S):
            while len(raw) < _ANSWER_BYTES and (part := await response.content.read(_ANSWER_BYTES - len(raw))):
                raw += part
    text = "".join(each if each.isprintable() else " " for each in raw.decode(errors="replace"))
    return " ".join(text.split())[:ANSWER_CHARS] or None


def _said(status: int) -> str | None:
    if 200 <= status < 300:
        return None
    if 300 <= status < 400:
        return f"it answered {status}, and redirects are not followed; give the URL it leads to"
    return f"it answered {status}"


def _seconds(retry_after: str | None, now: float) -> float | None:
    """Of a `Retry-After`, which has seconds or a date (RFC 9110); None for neither."""
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, OverflowError):
        return None
