"""Files and fields out of a multipart form, read as they come. Owns what is said of a bad form; never keeps any of it.

Not `Request.form()`: it writes the whole file to a temporary one before anybody has seen its first byte.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from app.errors import BodyTooLarge, InvalidRequest, MalformedBody, Problem

MAX_PARTS: Final = 100
"""Fields in front of the file and behind it; they are read past."""

MAX_FIELD_BYTES: Final = 256 * 1024
"""Of a text field: the longest prompt in the widest letters."""

MAX_HEADER_BYTES: Final = 64 * 1024
"""Of one line: a file name may be longer than any that is kept."""

# It warns of every odd byte that a caller sends; the caller is told, and nobody else has to be.
logging.getLogger("python_multipart").setLevel(logging.ERROR)

_BROKEN: Final = "The form cannot be read: {}; send multipart/form-data as browsers and curl -F do."


@dataclass(frozen=True, slots=True)
class FilePart:
    """The file of a form. Read `chunks` once, to the end: only there it is known that the form was whole."""

    filename: str | None
    chunks: AsyncGenerator[bytes, None]


@dataclass(frozen=True, slots=True)
class FormPart:
    """One part of a form. `filename` None: a field of text. What is left of `chunks` is read past."""

    field: str
    filename: str | None
    chunks: AsyncGenerator[bytes, None]


@dataclass(frozen=True, slots=True)
class _Opening:
    """A part begins."""

    field: str
    filename: str | None


_Piece: TypeAlias = _Opening | bytes


def is_form(content_type: str) -> bool:
    """Whether a body of this type is a multipart form."""
    return content_type.partition(";")[0].strip().lower() == "multipart/form-data"


async def file_part(content_type: str, body: AsyncIterator[bytes], field: str) -> FilePart:
    """The one file in this field, with the body read up to its first byte.

    Raises MalformedBody for what is no form, and InvalidRequest where the field is missing; `chunks` raises the same
    for a form that breaks off later, and where the field comes twice.
    """
    pieces = _pieces(content_type, body)
    others: list[str] = []
    async for piece in pieces:
        if isinstance(piece, _Opening):
            if piece.field == field:
                return FilePart(piece.filename, _content(pieces, field))
            others.append(piece.field)
    seen = f"the form has {', '.join(map(repr, others[:5]))}" if others else "the form is empty"
    raise InvalidRequest(Problem(f"/{field}", f"is missing, and {seen}; send the file in a field of this name"))


async def form_parts(content_type: str, body: AsyncIterator[bytes]) -> AsyncGenerator[FormPart, None]:
    """Every part in its order; read each before asking for the next. Raises MalformedBody, at the latest at the end."""
    pieces = _pieces(content_type, body)
    upcoming: _Piece | None = await anext(pieces, None)

    async def content() -> AsyncGenerator[bytes, None]:
        nonlocal upcoming
        while isinstance(upcoming := await anext(pieces, None), bytes):
            yield upcoming

    while isinstance(upcoming, _Opening):
        opening = upcoming
        yield FormPart(opening.field, opening.filename, content())
        while upcoming is opening or isinstance(upcoming, bytes):
            upcoming = await anext(pieces, None)


async def text_of(part: FormPart) -> str:
    """A field of text. Raises BodyTooLarge and MalformedBody."""
    raw = await whole(part.chunks, MAX_FIELD_BYTES)
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise MalformedBody(f"The form's field {part.field!r} is not UTF-8.") from error


async def whole(chunks: AsyncIterator[bytes], max_bytes: int) -> bytes:
    """All of it in memory. Raises BodyTooLarge."""
    read = bytearray()
    async for chunk in chunks:
        read += chunk
        if len(read) > max_bytes:
            raise BodyTooLarge(max_bytes)
    return bytes(read)


async def _content(pieces: AsyncIterator[_Piece], field: str) -> AsyncGenerator[bytes, None]:
    is_ours = True
    async for piece in pieces:
        if isinstance(piece, _Opening):
            if piece.field == field:
                raise InvalidRequest(Problem(f"/{field}", "is given twice; send one file with each request"))
            is_ours = False
        elif is_ours:
            yield piece


async def _pieces(content_type: str, body: AsyncIterator[bytes]) -> AsyncGenerator[_Piece, None]:
    form = _Form(content_type)
    async for chunk in body:
        form.write(chunk)
        while form.pieces:
            yield form.pieces.popleft()
    if not form.is_whole:
        raise MalformedBody(_BROKEN.format("its last boundary is missing"))


class _Form:
    """The parser's callbacks, as a row of pieces. Holds no more than what one `write` brought."""

    def __init__(self, content_type: str) -> None:
        _, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if not 1 <= len(boundary) <= 200:
            raise MalformedBody(_BROKEN.format("the Content-Type names no boundary"))
        self.pieces: deque[_Piece] = deque()
        self.is_whole = False
        self._parts = 0
        self._name, self._value, self._disposition = b"", b"", b""
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._header_name,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_headers_finished": self._open,
                "on_part_data": self._content,
                "on_end": self._end,
            },
            max_header_size=MAX_HEADER_BYTES,
        )

    def write(self, chunk: bytes) -> None:
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise MalformedBody(_BROKEN.format("it is not built as its Content-Type says")) from error

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise MalformedBody(_BROKEN.format(f"it has more than {MAX_PARTS} fields"))
        self._disposition = b""

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = self._value
        self._name = self._value = b""

    def _open(self) -> None:
        _, options = parse_options_header(self._disposition)
        filename = options.get(b"filename")
        name = options.get(b"name", b"").decode("utf-8", "replace")
        self.pieces.append(_Opening(name, None if filename is None else filename.decode("utf-8", "replace")))

    def _content(self, data: bytes, start: int, end: int) -> None:
        self.pieces.append(data[start:end])

    def _end(self) -> None:
        self.is_whole = True
