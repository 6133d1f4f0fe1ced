"""From the words of a command line to the fields of a request: files read, texts made the values that are meant."""

from __future__ import annotations

import contextlib
import errno
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from app.commands.errors import Misuse
from app.commands.values import FIELDS, Schemas, assigned, camel, meant

if TYPE_CHECKING:
    from comfy_relay import AsyncClient, Template

DEFAULT_TEMPLATE: Final = "txt2img"

_NAMED: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.:-]*)=(.+)", re.DOTALL)
"""A parameter of a template, or an input of a workflow as `12.image`."""

_UNFIT: Final = frozenset({400, 413, 415, 422})
"""What the service answers to files that it does not take."""

MAX_FILE_BYTES: Final = 64 * 1024 * 1024
"""Of a workflow or a list of items: several times what any service takes. A device has no end at all."""


def raw(file: Path) -> bytes:
    """Of a file, or of what is piped in for `-`. Raises OSError, also for one that is too large."""
    with contextlib.nullcontext(sys.stdin.buffer) if str(file) == "-" else file.open("rb") as opened:
        found = opened.read(MAX_FILE_BYTES + 1)
    if len(found) > MAX_FILE_BYTES:
        raise OSError(errno.EFBIG, f"it is larger than {MAX_FILE_BYTES // 1024 // 1024} MB")
    return found


def content(file: Path) -> bytes:
    """The same. Raises Misuse."""
    try:
        return raw(file)
    except OSError as error:
        raise Misuse(f"{file}: cannot be read ({error.strerror})") from error


def workflow(file: Path | None) -> dict[str, Any] | None:
    """The graph in a file. NaN and the like, which ComfyUI's own export may have, are left out. Raises Misuse."""
    if file is None:
        return None
    try:
        graph = json.loads(content(file).decode("utf-8-sig"), parse_constant=lambda _: None)
    except (ValueError, RecursionError) as error:
        raise Misuse(f"{file}: is no JSON file; in ComfyUI choose Workflow > Export (API)") from error
    if not isinstance(graph, dict):
        raise Misuse(f"{file}: is no workflow; in ComfyUI choose Workflow > Export (API)")
    return graph


def inputs(graph: Path | None, files: Sequence[str], metadata: str | None) -> dict[str, Any]:
    """The fields of a request that are read from files and texts; None where nothing was given. Raises Misuse."""
    return {
        "workflow": workflow(graph),
        "references": references(files) or None,
        "metadata": json_object("--metadata", metadata),
    }


def schemas(template: Template) -> Schemas:
    """Of the parameters of a template, by name."""
    properties: Schemas = template.parameters_schema.get("properties") or {}
    return properties


async def schemas_of(client: AsyncClient, name: str) -> Schemas:
    """Those of a template, by its name. Raises Misuse where there is none, and RelayError."""
    from comfy_relay import Problem

    try:
        return schemas(await client.template(name))
    except Problem as problem:
        if problem.code != "not_found":
            raise
        raise Misuse(f"--template {name}: {problem.detail}") from problem


async def sent(client: AsyncClient, path: Path, named: str) -> str:
    """The id of the upload that a file has become. `named` is how it was given. Raises Misuse for one that the service
    does not take, and RelayError.
    """
    from comfy_relay import Problem

    try:
        return (await client.upload(path)).id
    except Problem as problem:
        if problem.status not in _UNFIT:
            raise
        raise Misuse(f"{named}: {problem.detail or problem.title}") from problem


def is_media(schema: Mapping[str, Any] | None) -> bool:
    return schema is not None and "contentMediaType" in schema


def assignments(option: str, texts: Sequence[str], known: Schemas) -> dict[str, Any]:
    """The values of all NAME=VALUE. A file named for a parameter that takes one is a Path. Raises Misuse."""
    values: dict[str, Any] = {}
    for text in texts:
        name, written = assigned(option, text)
        schema = known.get(name) or FIELDS.get(name)
        values[name] = file_or(written) if is_media(schema) else meant(written, schema)
    return values


def file_or(text: str) -> Path | str:
    """The path of a file that is meant; the text itself where there is no such file, such as a URL."""
    return Path(text) if is_there(Path(text)) else text


def references(texts: Sequence[str]) -> list[Any]:
    """Files and URLs, each for the next parameter that takes one, or NAME=FILE for a certain one. Raises Misuse."""
    return [_reference(text) for text in texts]


def json_object(option: str, text: str | None) -> dict[str, Any] | None:
    """Raises Misuse."""
    if text is None:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Misuse(f"{option}: is no JSON ({error})") from error
    if not isinstance(found, dict):
        raise Misuse(f"{option}: must be a JSON object, such as '{{\"order\": 7}}'")
    return found


def is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # Longer than any name, or with a zero in it.
        return False


def _reference(text: str) -> Any:
    named = None if is_there(Path(text)) else _NAMED.fullmatch(text)
    source = named[2] if named else text
    found: Any = source
    if "://" not in source and not source.startswith("data:") and not _is_id(source):
        if not is_there(Path(source)):
            raise Misuse(f"--reference {text}: there is no such file; give a file, a URL or the id of an upload")
        found = Path(source)
    return {"source": found, "parameter": named[1] if "." in named[1] else camel(named[1])} if named else found


def _is_id(text: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text) is not None
