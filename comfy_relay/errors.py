"""What can go wrong between a caller and the service.

RelayError
├── Unreachable        nobody answered, or not any more
│   └── NotARelay      somebody answered who is no comfy-relay
├── Problem            the service said no, and why
├── GenerationFailed   `run`: the generation ended without success
├── WaitTimeout        it goes on, but the caller waits no longer
└── DamagedFile        what was downloaded is not what is on record
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from comfy_relay.batch_records import Batch
from comfy_relay.records import Generation, Status


class Place(NamedTuple):
    """A wrong place in a request: a JSON pointer into its body (`?name` for the query), and the remedy."""

    pointer: str
    message: str


class RelayError(Exception):
    """Whatever this package raises of its own. The text is one for people, and names the remedy."""


class Unreachable(RelayError):
    """Nobody answers at `url`; `why` is what the network said. What was asked for may have happened."""

    def __init__(self, url: str, why: str) -> None:
        super().__init__(f"no service answers at {url} ({why}); start it, or name another by url= or COMFY_RELAY_URL")
        self.url, self.why = url, why


class NotARelay(Unreachable):
    """Whoever answers at `url` does not answer as a comfy-relay does."""

    def __init__(self, url: str, status: int, hint: str = "") -> None:
        RelayError.__init__(
            self,
            f"{url} answered {status}, but not as a comfy-relay does{hint and f' ({hint})'}; "
            "name another by url= or COMFY_RELAY_URL",
        )
        self.url, self.why, self.status = url, f"answered {status}", status


class Problem(RelayError):
    """The service refused. `code` is for programs, `title` and `detail` are for people.

    `errors` names each wrong place of a request. `retry_after_s` is how long the service asks to wait, if it does.
    `raw` is the whole problem document (RFC 9457).
    """

    def __init__(self, status: int, raw: Mapping[str, Any], retry_after_s: float | None = None) -> None:
        self.status, self.raw, self.retry_after_s = status, dict(raw), retry_after_s
        self.code = str(raw.get("code") or "")
        self.title = str(raw.get("title") or "")
        self.detail = str(raw.get("detail") or "")
        self.errors = tuple(_places(raw.get("errors")))
        self.node_errors: dict[str, Any] = raw.get("nodeErrors") or {}
        self.generation_id: str | None = raw.get("generationId")
        super().__init__(_worded(self))


class GenerationFailed(RelayError):
    """A generation that was waited for has failed, or was canceled. `generation` is its record."""

    def __init__(self, generation: Generation) -> None:
        self.generation = generation
        failure = generation.error
        self.code = "canceled" if failure is None else str(failure.code)
        ended = "was canceled" if generation.status == Status.CANCELED else "failed"
        why = "" if failure is None else f" ({failure.code}): {failure.message}"
        super().__init__(f"generation {generation.id} {ended}{why}")


class WaitTimeout(RelayError):
    """Waiting took longer than `timeout_s`. It goes on; `seen` is how it stood last. `wait` may be called again."""

    def __init__(self, seen: Generation | Batch, timeout_s: float) -> None:
        self.seen, self.timeout_s = seen, timeout_s
        what = "batch" if isinstance(seen, Batch) else "generation"
        super().__init__(
            f"{what} {seen.id} is {seen.status} after {timeout_s:g} s and goes on; wait again, or cancel it"
        )


class DamagedFile(RelayError):
    """A downloaded file is not the one on record, twice in a row."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"{name} did not arrive as it is on record; something on the way changes it, such as a proxy")


def _places(errors: object) -> list[Place]:
    found = errors if isinstance(errors, list) else []
    return [Place(str(each.get("pointer")), str(each.get("message"))) for each in found if isinstance(each, dict)]


def _worded(problem: Problem) -> str:
    if problem.code == "unauthorized":
        return f"{problem.title}; give one by key= or COMFY_RELAY_KEY"
    places = "; ".join(": ".join(filter(None, place)) for place in problem.errors)
    return ": ".join(filter(None, (problem.title, places or problem.detail)))
