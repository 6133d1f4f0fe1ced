"""What an operation asks of whoever drives it: requests, the parts of a streamed answer, pauses, work on files.

Operations are generators that yield these and are sent the replies. They do no input or output themselves, so one
blocking and one asynchronous driver are all that there is twice. Knows no HTTP library.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request. `url` is whole; `body` as a path is read while it is sent. `timeout_s` is for each silence in it."""

    method: str
    url: str
    timeout_s: float
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Path | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """How an answer begins. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Answer(Head):
    """A whole answer."""

    content: bytes


@dataclass(frozen=True, slots=True)
class Heard:
    """One server-sent event: its cursor and its text."""

    cursor: str
    text: str


@dataclass(frozen=True, slots=True)
class Ask:
    """Reply: the Answer. Redirections are not followed."""

    request: Request


@dataclass(frozen=True, slots=True)
class Open:
    """Reply: the Head of an answer whose body comes by Read or Hear. Redirections are followed, without the key.

    What was open before is closed.
    """

    request: Request


@dataclass(frozen=True, slots=True)
class Read:
    """Reply: the next bytes of the open answer, none at its end."""


@dataclass(frozen=True, slots=True)
class ReadAll:
    """Reply: the rest of the open answer."""


@dataclass(frozen=True, slots=True)
class Hear:
    """Reply: the next Heard of the open answer, None at its end."""


@dataclass(frozen=True, slots=True)
class Close:
    """The open answer is not needed any more."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Reply: None, so many seconds later."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Work(Generic[T]):
    """Reply: what the function gives. It reads or writes files, and must not hold up an event loop."""

    function: Callable[[], T]


@dataclass(frozen=True, slots=True)
class Together(Generic[T]):
    """Reply: the results of the operations, in their order. An event loop drives `at_most` of them at a time.

    What the first to fail raises is raised, and the others are given up.
    """

    operations: Sequence[Steps[T]]
    at_most: int


@dataclass(frozen=True, slots=True)
class Give(Generic[T]):
    """The next item of an iteration, for the caller."""

    item: T


Effect: TypeAlias = Ask | Open | Read | ReadAll | Hear | Close | Pause | Work[Any] | Together[Any]

Steps: TypeAlias = Generator[Effect, Any, T]
"""An operation that ends with a result."""

Flow: TypeAlias = Generator[Effect | Give[T], Any, None]
"""An operation that gives items one by one."""


class Lost(Exception):
    """Thrown into an operation instead of a reply: the connection failed. `was_sent`: the request may have arrived."""

    def __init__(self, why: str, *, was_sent: bool) -> None:
        super().__init__(why)
        self.why, self.was_sent = why, was_sent


def ask(request: Request) -> Steps[Answer]:
    answer: Answer = yield Ask(request)
    return answer


def opened(request: Request) -> Steps[Head]:
    head: Head = yield Open(request)
    return head


def read() -> Steps[bytes]:
    piece: bytes = yield Read()
    return piece


def read_all() -> Steps[bytes]:
    content: bytes = yield ReadAll()
    return content


def hear() -> Steps[Heard | None]:
    heard: Heard | None = yield Hear()
    return heard


def work(function: Callable[[], T]) -> Steps[T]:
    result: T = yield Work(function)
    return result


def together(operations: Sequence[Steps[T]], at_most: int) -> Steps[list[T]]:
    results: list[T] = yield Together(operations, at_most)
    return results
