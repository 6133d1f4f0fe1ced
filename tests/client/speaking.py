"""Both clients under one face, so that one test is of both: the asynchronous one, driven to its results."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any, TypeVar, cast

from comfy_relay import AsyncClient, Client

T = TypeVar("T")


class Driven:
    """An AsyncClient whose methods are called as those of a Client are."""

    def __init__(self, **given: Any) -> None:
        self._runner = asyncio.Runner()
        try:
            self._client = self._runner.run(self._made(given))
        except BaseException:
            self._runner.close()
            raise

    async def _made(self, given: dict[str, Any]) -> AsyncClient:
        return AsyncClient(**given)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        if not callable(method):
            return method

        def call(*args: Any, **kwargs: Any) -> Any:
            result = method(*args, **kwargs)
            if isinstance(result, AsyncGenerator):
                return self._each(result)
            return self._runner.run(result) if inspect.iscoroutine(result) else result

        return call

    def _each(self, items: AsyncGenerator[Any, None]) -> Iterator[Any]:
        try:
            while (item := self._runner.run(self._next(items))) is not None:
                yield item
        finally:
            self._runner.run(items.aclose())

    async def _next(self, items: AsyncGenerator[Any, None]) -> Any:
        return await anext(items, None)

    def close(self) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()


Speaks = Callable[..., Client]
"""Makes a client of the kind under test; arguments are those of Client."""


def made(kind: str, given: dict[str, Any]) -> Client:
    return Client(**given) if kind == "blocking" else cast("Client", Driven(**given))
