"""Where ComfyUI has a file: its name as an origin, and the way back from that name to the bytes.

Owns the translation of ComfyUI's failures into the storage's; keeps nothing. The name holds no address, only what the
settings call the server.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode

from app.comfyui.errors import ComfyError, NotFound
from app.comfyui.history import OutputFile
from app.storage import FileGone, StorageUnavailable
from app.stripping import stripped

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterator

    from app.backends import BackendPool


def origin_of(backend: str, file: OutputFile) -> str:
    """The name under which `Origins.open` finds the file again."""
    return urlencode({"on": backend, "name": file.filename, "in": file.subfolder, "type": file.type})


class Origins:
    """`keeps_metadata`: whether files come as they are; else they are stripped on the way, as they were the first time.

    The servers are known later than the storage that asks for their files, so `pool` is set when it is there.
    """

    def __init__(self, *, keeps_metadata: bool) -> None:
        self._keeps_metadata = keeps_metadata
        self.pool: BackendPool | None = None

    @contextlib.asynccontextmanager
    async def open(self, origin: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """Stream the file. Raises FileGone where it, or its server, is not there; StorageUnavailable for no answer."""
        told = {name: values[0] for name, values in parse_qs(origin).items()}
        file = OutputFile(node_id="", filename=told["name"], subfolder=told.get("in", ""), type=told["type"])
        backend = self.pool.get(told["on"]) if self.pool is not None else None
        if backend is None:
            raise FileGone(file.filename)
        with _translated(file.filename):
            async with backend.client.view(file) as body:
                chunks = body.chunks if self._keeps_metadata else stripped(body.chunks)
                async with contextlib.aclosing(_with_failures_translated(chunks, file.filename)) as translated:
                    yield translated


async def _with_failures_translated(chunks: AsyncIterator[bytes], name: str) -> AsyncGenerator[bytes, None]:
    with _translated(name):
        async for chunk in chunks:
            yield chunk


@contextlib.contextmanager
def _translated(name: str) -> Iterator[None]:
    try:
        yield
    except NotFound as exc:
        raise FileGone(name) from exc
    except ComfyError as exc:
        raise StorageUnavailable(name, "ComfyUI does not hand it over") from exc
