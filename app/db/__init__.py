"""Where generations are kept. The rest of the service needs these names and `app.db.migration`; no row leaves here."""

from app.db.engine import Database
from app.db.errors import AlreadyRecorded, DatabaseError, DatabaseRefused, DatabaseTimeout, DatabaseUnavailable
from app.db.repository import Repository
from app.db.statements import GenerationFilter, Position

__all__ = [
    "AlreadyRecorded",
    "Database",
    "DatabaseError",
    "DatabaseRefused",
    "DatabaseTimeout",
    "DatabaseUnavailable",
    "GenerationFilter",
    "Position",
    "Repository",
]
