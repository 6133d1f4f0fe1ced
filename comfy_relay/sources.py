"""Input files as callers have them: paths, bytes, open files, uploads, addresses. Owns which of them must be sent.

A text is an address (http, https, data, or one out of an answer) or an upload's id if it looks like one, and a path
otherwise.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeAlias

from comfy_relay.effects import Steps, work
from comfy_relay.errors import Problem
from comfy_relay.exchange import Core, found
from comfy_relay.records import Output, RecordT, Upload

NewFile: TypeAlias = str | os.PathLike[str] | bytes | BinaryIO | Upload
"""A file to send, or one that was sent before."""

Source: TypeAlias = NewFile | Output
"""An input file: one of those, or one that the service made."""

Reference: TypeAlias = Source | Mapping[str, Any]
"""An input file, or `{"source": file, "parameter": name}`."""

References: TypeAlias = Sequence[Reference] | Mapping[str, Source]
"""Input files in the order of what takes them, or by the name of the parameter."""

_ID: Final = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_REMOTE: Final = re.compile(rf"https?://|data:|/api/(?:generations|uploads)/{_ID}(?![0-9a-z])|{_ID}\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class File:
    """A file to send: its content, or where it is, and what it is called."""

    content: bytes | Path
    name: str | None


def upload(core: Core, /, source: NewFile, *, filename: str | None = None) -> Steps[Upload]:
    """Send a picture, a video or a sound, to be used as input. The same content twice is the same upload.

    `source` is a path, bytes or an open binary file. Its content decides what it is, whatever its name says. Raises
    OSError where a file cannot be read.
    """
    if isinstance(source, Upload):
        return source
    file = yield from work(lambda: _file(source))
    request = core.request(
        "POST",
        "uploads",
        query={"filename": filename or file.name},
        headers={"Content-Type": "application/octet-stream"},
        content=file.content,
    )
    return (yield from found(core, Upload, request))


def posted(
    core: Core, kind: type[RecordT], route: str, headers: Mapping[str, str], body: Mapping[str, Any]
) -> Steps[RecordT]:
    """The record that answers a request which may name files. What is refused and looks like a path gets a note."""
    try:
        return (yield from found(core, kind, core.request("POST", route, headers=headers, body=body)))
    except Problem as problem:
        for path in (yield from work(partial(_paths, problem, body))):
            problem.add_note(f"{path!r} is a file on this machine; to send it, give Path({path!r})")
        raise


class Senders:
    """Sends the files that a request names, each once."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._sent: dict[object, str] = {}

    def body(self, fields: Mapping[str, Any]) -> Steps[dict[str, Any]]:
        """The fields with ids where there were files: among references, and wherever a parameter has one."""
        body: dict[str, Any] = {}
        for name, value in fields.items():
            if name == "references":
                body[name] = yield from self._references(value)
            else:
                body[name] = yield from self._parameter(name, value)
        return body

    def _parameter(self, name: str, value: Any) -> Steps[Any]:
        try:
            return (yield from self.sent(value)) if _has_files(value) else value
        except RecursionError:
            raise ValueError(f"{name} holds itself, or is nested too deeply for JSON") from None

    def sent(self, value: Any) -> Steps[Any]:
        """A value with ids where there were files, however deep."""
        if is_file(value):
            return (yield from self._id(value))
        if isinstance(value, Mapping):
            fields: dict[str, Any] = {}
            for name, part in value.items():
                fields[name] = yield from self.sent(part)
            return fields
        if isinstance(value, list | tuple):
            parts: list[Any] = []
            for part in value:
                parts += [(yield from self.sent(part))]
            return parts
        return value

    def _references(self, given: References) -> Steps[list[dict[str, str]]]:
        if isinstance(given, str | bytes | os.PathLike | Upload) or not isinstance(given, Mapping | Sequence):
            raise TypeError("references is a list of files, or a mapping from parameters to files")
        if isinstance(given, Mapping):
            given = [{"source": source, "parameter": name} for name, source in given.items()]
        references: list[dict[str, str]] = []
        for number, each in enumerate(given):
            named: dict[str, Any] = dict(each) if isinstance(each, Mapping) else {"source": each}
            if "source" in named:
                source = named["source"]
                if not (isinstance(source, str) or is_file(source) or hasattr(source, "read")):
                    kind = type(source).__name__
                    raise TypeError(f"references[{number}] is a path, bytes or an open binary file, and not {kind}")
                named["source"] = yield from self._id(named["source"])
            references.append(named)
        return references

    def _id(self, source: Any) -> Steps[str]:
        if isinstance(source, str) and _REMOTE.match(source):
            return source
        if isinstance(source, Upload):
            return source.id
        if isinstance(source, Output):
            return source.url
        key = os.fspath(source) if isinstance(source, os.PathLike) else source
        if not isinstance(key, str | bytes):
            key = id(source)
        if key not in self._sent:
            self._sent[key] = (yield from upload(self._core, source)).id
        return self._sent[key]


def is_file(value: object) -> bool:
    """Whether a parameter's value is a file to send; a text is one only among references."""
    return isinstance(value, os.PathLike | bytes | bytearray | memoryview | Upload | Output | io.IOBase)


def _paths(problem: Problem, body: object) -> list[str]:
    """Texts that were refused, and are paths of files."""
    refused: list[object] = []
    for place in problem.errors:
        value = body
        for step in place.pointer.split("/")[1:]:
            match value:
                case Mapping():
                    value = value.get(step)
                case list() if step.isdecimal() and int(step) < len(value):
                    value = value[int(step)]
                case _:
                    value = None
        refused.append(value)
    return [value for value in refused if isinstance(value, str) and _is_path(value)]


def _is_path(value: str) -> bool:
    try:
        return Path(value).is_file()
    except OSError:  # It is longer than any path.
        return False


def _has_files(value: object) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_files, value.values()))
    return any(map(_has_files, value)) if isinstance(value, list | tuple) else is_file(value)


def _file(source: Any) -> File:
    """Looks whether it can be read, so that the answer is not one of the network's."""
    if isinstance(source, bytes | bytearray | memoryview):
        return File(bytes(source), None)
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        with path.open("rb"):
            return File(path, path.name)
    if isinstance(source, Output):
        raise TypeError("an Output is on the service already; give it as it is wherever a file may stand")
    if not hasattr(source, "read"):
        raise TypeError(f"a file is a path, bytes or an open binary file, and not {type(source).__name__}")
    content = source.read()
    if not isinstance(content, bytes):
        raise TypeError("the file is open as text; open it with mode 'rb'")
    name = getattr(source, "name", None)
    return File(content, Path(name).name if isinstance(name, str) else None)
