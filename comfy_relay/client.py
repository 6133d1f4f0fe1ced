"""The clients: the same operations, once for those who wait for an answer and once for event loops.

Each operation is written once, as a generator, in the modules of its subject; here it becomes a method of both classes,
with its own parameters, documentation and result.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar

from comfy_relay import about, batching, connection, downloading, generating, sources
from comfy_relay import following as streams
from comfy_relay.effects import Flow, Steps
from comfy_relay.exchange import Core

if TYPE_CHECKING:
    import ssl

    import httpx

P = ParamSpec("P")
T = TypeVar("T")

TIMEOUT_S = 60.0
RETRY_FOR_S = 60.0


def _waits(operation: Callable[Concatenate[Core, P], Steps[T]]) -> Callable[Concatenate[Client, P], T]:
    """A method that returns when the operation has its result."""

    def method(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        from comfy_relay import blocking_http

        return blocking_http.run(self._http, operation(self._core, *args, **kwargs))

    return _named(method, operation, "{}")


def _iterates(
    operation: Callable[Concatenate[Core, P], Flow[T]],
) -> Callable[Concatenate[Client, P], Generator[T, None, None]]:
    """A method that gives items as they come."""

    def method(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> Generator[T, None, None]:
        from comfy_relay import blocking_http

        return blocking_http.iterate(self._http, operation(self._core, *args, **kwargs))

    return _named(method, operation, "Generator[{}, None, None]")


def _awaits(
    operation: Callable[Concatenate[Core, P], Steps[T]],
) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]:
    """A coroutine method that ends when the operation has its result."""

    async def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        from comfy_relay import async_http

        return await async_http.run(self._http, operation(self._core, *args, **kwargs))

    return _named(method, operation, "{}")


def _aiterates(
    operation: Callable[Concatenate[Core, P], Flow[T]],
) -> Callable[Concatenate[AsyncClient, P], AsyncGenerator[T, None]]:
    """A method for `async for`."""

    def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[T, None]:
        from comfy_relay import async_http

        return async_http.iterate(self._http, operation(self._core, *args, **kwargs))

    return _named(method, operation, "AsyncGenerator[{}, None]")


MethodT = TypeVar("MethodT", bound=Callable[..., Any])


def _named(method: MethodT, operation: Callable[..., Any], returns: str) -> MethodT:
    """Let `help` and interactive shells show the operation's own parameters and documentation."""
    functools.update_wrapper(method, operation)
    del method.__wrapped__  # type: ignore[attr-defined]
    signature = inspect.signature(operation)
    _, *parameters = signature.parameters.values()
    result = str(signature.return_annotation).partition("[")[2].removesuffix("]")
    first = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    method.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[first, *parameters], return_annotation=returns.format(result)
    )
    return method


class _Both:
    """What both clients are made of."""

    def __init__(self, url: str | None, timeout_s: float, retry_for_s: float) -> None:
        self._core = connection.core(url, timeout_s, retry_for_s)

    @property
    def url(self) -> str:
        """Where the service is."""
        return self._core.base

    @property
    def away_s(self) -> float:
        """For how many seconds the service has been looked for again; 0.0 while it answers."""
        since = self._core.away_since
        return 0.0 if since is None else self._core.clock() - since

    def url_of(self, what: downloading.Fetchable) -> str:
        """The whole address of a file, to be opened elsewhere; with keys in use it works without one for a while."""
        return downloading.url_of(self._core, what)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"


class Client(_Both):
    """A running comfy-relay.

    `url` is where it is, with a path in front of its routes if need be; None takes COMFY_RELAY_URL, or else
    http://127.0.0.1:8000. `key` is an API key; None takes COMFY_RELAY_KEY. `timeout_s` is how long the service may be
    silent within one request. `retry_for_s` is how long a request is tried again that cannot be answered, because the
    network or the service is away or busy; every one is made so that it never has an effect twice. A service that has
    never answered is given up after 2 s. `verify` is for certificates of your own, `proxy` the address of a proxy;
    those in the environment are not looked at.

    Use it in a `with` block, or call `close`. Threads may share one. Every method may raise Unreachable and Problem,
    and TypeError or ValueError for an argument that is wrong, which they name; the constructor does so for a
    URL, a key or a header that cannot be one. After `close`, they raise RuntimeError.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
        retry_for_s: float = RETRY_FOR_S,
        headers: Mapping[str, str] | None = None,
        verify: ssl.SSLContext | bool = True,
        proxy: str | None = None,
    ) -> None:
        super().__init__(url, timeout_s, retry_for_s)
        from comfy_relay import blocking_http

        self._http: httpx.Client = blocking_http.connected(connection.headers(key, headers), verify, proxy)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    generate = _waits(generating.generate)
    run = _waits(generating.run)
    wait = _waits(generating.wait)
    follow = _iterates(streams.follow)
    get = _waits(generating.get)
    list = _iterates(generating.listed)
    cancel = _waits(generating.cancel)
    retry = _waits(generating.retry)
    delete = _waits(generating.delete)
    workflow = _waits(generating.workflow)

    batch = _waits(batching.batch)
    get_batch = _waits(batching.get_batch)
    wait_batch = _waits(batching.wait_batch)
    follow_batch = _iterates(batching.follow_batch)
    batches = _iterates(batching.batches)
    batch_generations = _iterates(batching.batch_generations)
    batch_results = _iterates(batching.batch_results)
    cancel_batch = _waits(batching.cancel_batch)
    retry_batch = _waits(batching.retry_batch)

    upload = _waits(sources.upload)
    read = _waits(downloading.read_file)
    download = _waits(downloading.download)
    download_all = _waits(downloading.download_all)
    download_archive = _waits(downloading.download_archive)

    templates = _waits(about.templates)
    template = _waits(about.template)
    create_template = _waits(about.create_template)
    remove_template = _waits(about.remove_template)
    models = _waits(about.models)
    backends = _waits(about.backends)
    projects = _iterates(about.projects)
    project = _waits(about.project)
    create_project = _waits(about.create_project)
    health = _waits(about.health)
    ready = _waits(about.ready)
    version = _waits(about.version)


class AsyncClient(_Both):
    """A running comfy-relay, for event loops: what Client is, to be awaited. Use it in `async with`, or call `aclose`.

    What Client gives one by one is for `async for`.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
        retry_for_s: float = RETRY_FOR_S,
        headers: Mapping[str, str] | None = None,
        verify: ssl.SSLContext | bool = True,
        proxy: str | None = None,
    ) -> None:
        super().__init__(url, timeout_s, retry_for_s)
        from comfy_relay import async_http

        self._http: httpx.AsyncClient = async_http.connected(connection.headers(key, headers), verify, proxy)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    generate = _awaits(generating.generate)
    run = _awaits(generating.run)
    wait = _awaits(generating.wait)
    follow = _aiterates(streams.follow)
    get = _awaits(generating.get)
    list = _aiterates(generating.listed)
    cancel = _awaits(generating.cancel)
    retry = _awaits(generating.retry)
    delete = _awaits(generating.delete)
    workflow = _awaits(generating.workflow)

    batch = _awaits(batching.batch)
    get_batch = _awaits(batching.get_batch)
    wait_batch = _awaits(batching.wait_batch)
    follow_batch = _aiterates(batching.follow_batch)
    batches = _aiterates(batching.batches)
    batch_generations = _aiterates(batching.batch_generations)
    batch_results = _aiterates(batching.batch_results)
    cancel_batch = _awaits(batching.cancel_batch)
    retry_batch = _awaits(batching.retry_batch)

    upload = _awaits(sources.upload)
    read = _awaits(downloading.read_file)
    download = _awaits(downloading.download)
    download_all = _awaits(downloading.download_all)
    download_archive = _awaits(downloading.download_archive)

    templates = _awaits(about.templates)
    template = _awaits(about.template)
    create_template = _awaits(about.create_template)
    remove_template = _awaits(about.remove_template)
    models = _awaits(about.models)
    backends = _awaits(about.backends)
    projects = _aiterates(about.projects)
    project = _awaits(about.project)
    create_project = _awaits(about.create_project)
    health = _awaits(about.health)
    ready = _awaits(about.ready)
    version = _awaits(about.version)
