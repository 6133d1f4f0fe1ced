"""From the options of a command to a client, and from what went wrong to words and an exit code.

Whoever runs a command is told about options, not about arguments of functions or places in a request.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

import typer

from app.commands.errors import CommandError, ExitCode, Misuse
from app.commands.speech import complain

if TYPE_CHECKING:
    from comfy_relay import AsyncClient, Client, RelayError

LOOK_TIMEOUT_S: Final = 30.0
"""For one answer: what a person waits for."""

WORK_PATIENCE_S: Final = 600.0
"""How long a service that was there is looked for again while something runs: over a restart, an update, a reboot."""

_NONE: Final[Mapping[str, str]] = {}

MAX_TOLD: Final = 20
"""Wrong places told at once."""


def client(url: str, key: str | None, *, timeout_s: float = LOOK_TIMEOUT_S, retry_for_s: float = 0.5) -> Client:
    """For a command that asks and prints. Raises Misuse for an address that is none."""
    from comfy_relay import Client

    try:
        return Client(_given(url), key, timeout_s=timeout_s, retry_for_s=retry_for_s)
    except ValueError as error:
        raise _misuse(key, error) from error


def async_client(url: str, key: str | None) -> AsyncClient:
    """For a command that follows what it started. Raises Misuse for an address that is none."""
    from comfy_relay import AsyncClient

    try:
        return AsyncClient(_given(url), key, retry_for_s=WORK_PATIENCE_S)
    except ValueError as error:
        raise _misuse(key, error) from error


def _given(url: str) -> str:
    """An address; none is not meant as another one. Raises Misuse."""
    if not url.strip():
        raise Misuse("--url: is empty; write it as http://host:8000")
    return url


def _misuse(key: str | None, error: ValueError) -> Misuse:
    """For a client that cannot be made: with an address that is fine, it is for the key."""
    from comfy_relay import Client
    from comfy_relay.connection import HERE

    try:
        Client(HERE, key).close()
    except ValueError as of_the_key:
        return Misuse(f"--{of_the_key}")
    return Misuse(f"--url: {error}")


@contextlib.contextmanager
def telling(
    key: str | None, remedies: Mapping[str, str] = _NONE, words: Callable[[str], str] = lambda pointer: pointer
) -> Iterator[None]:
    """Ends the command with the right code, and tells why.

    `key` is the one that is sent. `remedies` are what helps on the command line, by the code of a problem; `words` are
    a person's for a place in the request.
    """
    try:
        yield
    except KeyboardInterrupt as interrupt:
        raise typer.Exit(ExitCode.INTERRUPTED) from interrupt
    except BaseExceptionGroup as group:
        with telling(key, remedies, words):
            raise _innermost(group) from group
    except OSError as error:
        complain(f"{error.filename or 'a file'}: {error.strerror or error}")
        raise typer.Exit(ExitCode.FAILED) from error
    except CommandError as error:
        complain(*error.lines)
        raise typer.Exit(error.code) from error
    except _relay_error() as error:
        lines, code = _told(error, key, remedies, words)
        complain(*lines)
        raise typer.Exit(code) from error


def _innermost(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _first_of(places: list[str]) -> list[str]:
    more = len(places) - MAX_TOLD
    return places if more <= 0 else [*places[:MAX_TOLD], f"and {more} more"]


def _relay_error() -> type[RelayError]:
    """Looked up when something was raised, and not before."""
    from comfy_relay.errors import RelayError

    return RelayError


def _told(
    error: RelayError, key: str | None, remedies: Mapping[str, str], words: Callable[[str], str]
) -> tuple[list[str], ExitCode]:
    from comfy_relay import errors

    match error:
        case errors.NotARelay():
            said = f"{error.url} answers, but not as a comfy-relay does; name another with --url"
            return [said], ExitCode.UNREACHABLE
        case errors.Unreachable():
            return [f"no service answers at {error.url}; start it, or name another with --url"], ExitCode.UNREACHABLE
        case errors.Problem(code="unauthorized"):
            said = "The key is not accepted; give another one" if key else "An API key is required; give one"
            return [f"{said} with --key or COMFY_RELAY_KEY"], ExitCode.FAILED
        case errors.Problem():
            remedy = remedies.get(error.code)
            detail = "" if error.errors else error.detail
            said = f"{error.title}; {remedy}" if remedy else ": ".join(filter(None, (error.title, detail)))
            places = dict.fromkeys(f"{words(place.pointer)}: {place.message}" for place in error.errors)
            code = ExitCode.MISUSE if error.code == "invalid_request" else ExitCode.FAILED
            return [said, *_first_of(list(places))], code
        case _:
            return [str(error)], ExitCode.FAILED
