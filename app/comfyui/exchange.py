"""One HTTP exchange with one ComfyUI server: limits, time limits, and the only place where failures are translated.

Never knows what a route means; `client` does. Requests are httpx's and go straight to an httpx transport: redirects,
cookies and authentication flows of `httpx.AsyncClient` have no use here and cost more than the exchange itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport
from httpx_aiohttp.transport import AiohttpResponseStream

from app.comfyui.errors import BadReply, ComfyError, NoAnswer, Unreachable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from app.comfyui.address import Address

# Pictures are megabytes: at the transport's own 16 KiB a chunk the loop is busy with chunks.
_CHUNK_BYTES: Final = 256 * 1024
# A quarter of aiohttp's default: less waits in memory for a slow reader, and a 2 MB picture costs a fifth less time.
_READ_AHEAD_BYTES: Final = 64 * 1024
# Below the 75 s after which aiohttp's server, which ComfyUI is, closes an idle connection under our next POST.
_KEEP_ALIVE_S: Final = 15.0
_TRANSPORT_ERRORS: Final = (httpx.RequestError, httpx.StreamError, aiohttp.ClientError, OSError)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions:
    """Limits of one server's client.

    `call_s` bounds ordinary calls (a collection of garbage delays them by 0.6 s, a large graph longer), `submit_s` the
    validation of a graph, `transfer_s` an upload, and for downloads the wait for the headers and for each chunk.
    `max_calls` and `max_downloads` are connections; slow downloads never take those of calls.
    """

    connect_s: float = 3.0
    call_s: float = 20.0
    submit_s: float = 60.0
    transfer_s: float = 60.0
    max_calls: int = 32
    max_downloads: int = 16
    max_reply_bytes: int = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Streamed:
    """A file to send without holding it in memory: `chunks` yields exactly `size_bytes` bytes, once."""

    chunks: AsyncIterator[bytes]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of any status, with its whole body."""

    status: int
    body: bytes
    elapsed_s: float


@dataclass(slots=True)
class _Attempt:
    """How far a request came; `is_sent` also covers what is perhaps sent."""

    label: str
    limit_s: float
    started_at: float = field(default_factory=lambda: asyncio.get_running_loop().time())
    is_sent: bool = False

    @property
    def elapsed_s(self) -> float:
        return asyncio.get_running_loop().time() - self.started_at


class Exchange:
    """Asks one server and answers with a reply or with one of `errors.ComfyError`, nothing else."""

    def __init__(
        self, name: str, address: Address, transport: httpx.AsyncBaseTransport, options: ClientOptions
    ) -> None:
        self.name = name
        self.options = options
        self._address = address
        self._transport = transport
        self._calls = asyncio.Semaphore(options.max_calls)
        self._downloads = asyncio.Semaphore(options.max_downloads)
        # Asking for no compression: it would cost both sides more than loopback or a LAN does.
        self._headers = {"Accept-Encoding": "identity", **address.headers}
        self._json_headers = {"Content-Type": "application/json", **self._headers}

    async def ask(self, method: str, path: str, *, json: bytes | None = None, timeout_s: float | None = None) -> Reply:
        """Send a request, JSON or bodyless, and read the answer to its end within `timeout_s` (default `call_s`)."""
        headers = self._headers if json is None else self._json_headers
        request = httpx.Request(method, self._address.http(path), content=json, headers=headers)
        return await self._ask(request, f"{method} {path}", timeout_s or self.options.call_s)

    async def upload(
        self, path: str, fields: Mapping[str, str], field: str, filename: str, content: bytes | Streamed
    ) -> Reply:
        """Send a form with one file."""
        boundary = uuid4().hex
        before, after = _form(boundary, fields, field, filename)
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}", **self._headers}
        body: bytes | AsyncIterator[bytes]
        if isinstance(content, bytes):
            body = before + content + after
        else:
            body = _framed(before, content.chunks, after)
            headers["Content-Length"] = str(len(before) + content.size_bytes + len(after))
        request = httpx.Request("POST", self._address.http(path), content=body, headers=headers)
        return await self._ask(request, f"POST {path}", self.options.transfer_s)

    @contextlib.asynccontextmanager
    async def open(self, path: str) -> AsyncIterator[httpx.Response]:
        """Ask for something large; the response is closed at the end of the block. Read it by `chunks`."""
        attempt = _Attempt(f"GET {path.partition('?')[0]}", self.options.transfer_s)
        request = httpx.Request("GET", self._address.http(path), headers=self._headers)
        request.extensions = {"timeout": {"connect": self.options.connect_s, "read": self.options.transfer_s}}
        await self._acquire(self._downloads, attempt)
        try:
            with self._translating(attempt):
                async with asyncio.timeout(attempt.limit_s):
                    response = await self._transport.handle_async_request(request)
            try:
                yield response
            finally:
                await response.aclose()
        finally:
            self._downloads.release()

    async def chunks(self, response: httpx.Response) -> AsyncIterator[bytes]:
        """The body as it comes, in chunks of up to 256 KiB; NoAnswer when it breaks off."""
        attempt = _Attempt("a download", self.options.transfer_s, is_sent=True)
        if isinstance(response.stream, AiohttpResponseStream):
            response.stream.CHUNK_SIZE = _CHUNK_BYTES
        with self._translating(attempt):
            async for chunk in response.aiter_bytes():
                yield chunk

    async def aclose(self) -> None:
        await self._transport.aclose()

    async def _ask(self, request: httpx.Request, label: str, limit_s: float) -> Reply:
        attempt = _Attempt(label, limit_s)
        request.extensions = {"timeout": {"connect": self.options.connect_s}}
        with self._translating(attempt):
            async with asyncio.timeout(limit_s), self._calls:
                attempt.is_sent = True
                response = await self._transport.handle_async_request(request)
                try:
                    return Reply(response.status_code, await self._read(response, label), attempt.elapsed_s)
                finally:
                    await response.aclose()

    async def _read(self, response: httpx.Response, label: str) -> bytes:
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > self.options.max_reply_bytes:
                raise BadReply(self.name, label, response.status_code, "the answer is too large")
        return bytes(body)

    async def _acquire(self, slots: asyncio.Semaphore, attempt: _Attempt) -> None:
        with self._translating(attempt):
            async with asyncio.timeout(attempt.limit_s):
                await slots.acquire()
        attempt.is_sent = True

    @contextlib.contextmanager
    def _translating(self, attempt: _Attempt) -> Iterator[None]:
        try:
            yield
        except _TRANSPORT_ERRORS as exc:
            raise self._translated(exc, attempt) from exc

    def _translated(self, exc: Exception, attempt: _Attempt) -> ComfyError:
        """Unreachable only where it is certain that nothing was sent.

        The transport calls a connection lost after sending a ConnectTimeout, too; its cause tells.
        """
        if not attempt.is_sent:
            return Unreachable(self.name, f"no free connection within {attempt.limit_s:g} s")
        match exc.__cause__ or exc:
            case aiohttp.ConnectionTimeoutError():
                return Unreachable(self.name, f"no connection within {self.options.connect_s:g} s")
            case aiohttp.ClientConnectorError() as cause:
                return Unreachable(self.name, _reason(cause))
            case _:
                return NoAnswer(self.name, attempt.label, attempt.elapsed_s)


def _form(boundary: str, fields: Mapping[str, str], field: str, filename: str) -> tuple[bytes, bytes]:
    """What goes before and after the file in a multipart form. Names are escaped as browsers do (HTML 5)."""
    disposition = f'--{boundary}\r\nContent-Disposition: form-data; name="{{}}"'
    texts = [f"{disposition.format(_escaped(name))}\r\n\r\n{value}\r\n" for name, value in fields.items()]
    start = f'{disposition.format(_escaped(field))}; filename="{_escaped(filename)}"\r\n'
    before = "".join(texts) + start + "Content-Type: application/octet-stream\r\n\r\n"
    return before.encode(), f"\r\n--{boundary}--\r\n".encode()


def _escaped(name: str) -> str:
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


async def _framed(before: bytes, chunks: AsyncIterator[bytes], after: bytes) -> AsyncIterator[bytes]:
    yield before
    async for chunk in chunks:
        yield chunk
    yield after


def _reason(cause: aiohttp.ClientConnectorError) -> str:
    """Why there is no connection, without the address that the error's own text would give away."""
    match cause:
        case aiohttp.ClientConnectorDNSError():
            return "its name is unknown"
        case aiohttp.ClientSSLError():
            return "no secure connection"
        case _:
            number = cause.os_error.errno
            return os.strerror(number).lower() if number is not None and number > 0 else "connection failed"


def open_transport(options: ClientOptions) -> httpx.AsyncBaseTransport:
    """httpx's transport on aiohttp, with connections for exactly the calls and downloads allowed.

    httpx's own pool falls to a sixth of the speed with 32 requests at once.
    """

    def session() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=options.max_calls + options.max_downloads, keepalive_timeout=_KEEP_ALIVE_S
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            read_bufsize=_READ_AHEAD_BYTES,
        )

    return AiohttpTransport(trust_env=False, client=session)
