"""What can go wrong with the database, one class per remedy.

    DatabaseError
    ├── DatabaseUnavailable      not reachable, locked or overloaded: nothing is wrong with the request, ask again later
    │   └── DatabaseTimeout      no answer in time: a write may or may not have happened
    ├── DatabaseRefused          it will not take this value or statement: asking again does not help
    ├── UnknownRevision          another version of the service made it
    └── AlreadyRecorded          a generation with this id, prompt_id or idempotency key is there

Texts name neither address nor password, so they may be logged and shown.
"""

from __future__ import annotations


class DatabaseError(Exception):
    """The database could not do what was asked."""


class DatabaseUnavailable(DatabaseError):
    """The database is away, locked, full or shutting down. `why` is the driver's class or error name."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the database is not available ({why})")
        self.why = why


class UnknownRevision(DatabaseError):
    """The database was made by another version of the service, which knew more."""

    def __init__(self, revision: str) -> None:
        super().__init__(
            f"the database is at revision {revision!r}, which this version does not know: "
            "run the version that made it, or name another database"
        )
        self.revision = revision


class DatabaseTimeout(DatabaseUnavailable):
    """No answer within `after_s` seconds. The fate of a write is unknown."""

    def __init__(self, after_s: float) -> None:
        super().__init__(f"no answer within {after_s:g} s")
        self.after_s = after_s


class DatabaseRefused(DatabaseError):
    """The database refused a value or a statement; a bug of ours or a value nobody bounded."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the database refused the operation ({why})")
        self.why = why


class AlreadyRecorded(DatabaseError):
    """The id, prompt_id or idempotency key of this generation is taken; nothing was changed."""

    def __init__(self, generation_id: str) -> None:
        super().__init__(f"generation {generation_id} is already on record")
        self.generation_id = generation_id
