"""`comfy-relay templates`: what there is, and a workflow of one's own made into one. A client of the HTTP API."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from app.remote import Refusal, Remote

templates = typer.Typer(help="Workflow templates of a running service.", no_args_is_help=True)

Url = Annotated[str, typer.Option(envvar="COMFY_RELAY_URL", help="Where the service is.")]
Key = Annotated[str | None, typer.Option(envvar="COMFY_RELAY_KEY", help="An API key, if it wants one.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as it came.")]

HERE: Final = "http://127.0.0.1:8000"
_UNFIT: Final = re.compile(r"[^a-z0-9_-]+")
_MAX_NAME: Final = 100
_REMEDIES: Final = {
    "unauthorized": "give one with --key or COMFY_RELAY_KEY",
    "template_exists": "--replace makes a new version of it, --name takes another name",
}
"""What helps on the command line, by the code of a problem."""

_REPLACING: Final = {**_REMEDIES, "not_found": "leave out --replace to make it"}


@templates.command("list")
def list_templates(url: Url = HERE, key: Key = None, as_json: AsJson = False) -> None:
    """List all templates."""
    answer = _asked(url, key, lambda remote: remote.get("templates", holding="items"))
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
        return
    items = answer["items"]
    width = max((len(each["name"]) for each in items), default=0)
    for each in items:
        origin = "built-in" if each["builtIn"] else f"version {each['version']}"
        typer.echo(f"{each['name']:{width}}  {origin:10}  {each['title']}")


@templates.command("show")
def show(name: str, url: Url = HERE, key: Key = None, as_json: AsJson = False) -> None:
    """Show one template: its parameters, and where each goes."""
    _print(_asked(url, key, lambda remote: remote.get("templates", name, holding="parameters")), as_json)


@templates.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="As ComfyUI saves or exports it; - reads it from a pipe.")],
    name: Annotated[str | None, typer.Option(help="Name of the template; none = that of the file.")] = None,
    title: Annotated[str | None, typer.Option(help="What a person calls it.")] = None,
    bind: Annotated[
        list[str] | None,
        typer.Option(help="NAME=NODE.INPUT puts a parameter there (again: there, too); NAME= drops it.", metavar="..."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be inferred.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Make a new version of a template that exists.")] = False,
    url: Url = HERE,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Make a template of a workflow file, and show the parameters found in it."""
    name = name or _name_of(file)
    body: dict[str, Any] = {"name": name, "workflow": _read(file), "title": title, "bindings": _bindings(bind or [])}

    def ask(remote: Remote) -> dict[str, Any]:
        if dry_run:
            return remote.post("templates", body=body, holding="parameters", dryRun="true")
        if replace:
            return remote.put("templates", name, body=body, holding="parameters")
        return remote.post("templates", body=body, holding="parameters")

    answer = _asked(url, key, ask, _REPLACING if replace else _REMEDIES)
    _print(answer, as_json)


@templates.command("remove")
def remove(name: str, url: Url = HERE, key: Key = None) -> None:
    """Remove a template of your own."""
    _asked(url, key, lambda remote: remote.delete("templates", name))
    typer.echo(f"{name} is removed")


def _asked(url: str, key: str | None, question: Any, remedies: Mapping[str, str] = _REMEDIES) -> dict[str, Any]:
    try:
        with Remote(url, key) as remote:
            answer: dict[str, Any] = question(remote) or {}
            return answer
    except Refusal as refusal:
        remedy = remedies.get(refusal.code)
        typer.echo(str(refusal) if remedy is None else f"{refusal.title}; {remedy}", err=True)
        for place, why in refusal.places:
            typer.echo(f"  {_option(place)}: {why}", err=True)
        raise typer.Exit(1) from refusal


def _option(place: str) -> str:
    """What a person wrote on the command line, for a place in the request made of it."""
    _, field, *steps = [*place.split("/"), ""]
    match field:
        case "name" | "title":
            return f"--{field}"
        case "bindings":
            return f"--bind {steps[0]}".strip()
        case "workflow":
            return f"file, at {'/'.join(('', *steps[:-1]))}" if steps[:-1] else "file"
        case _:
            return place


def _name_of(file: Path) -> str:
    """A name for the template of this file: what is fit for one in the file's own."""
    name = _UNFIT.sub("-", file.stem.lower())[:_MAX_NAME].strip("-_")
    if not name:
        typer.echo(f"{file}: no name can be made of this; give one with --name", err=True)
        raise typer.Exit(2)
    return name


def _read(file: Path) -> Any:
    """The decoded file. A byte order mark is left out, and so are NaN and the like, which Python's own JSON has."""
    try:
        raw = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        return json.loads(raw.decode("utf-8-sig"), parse_constant=lambda _: None)
    except OSError as error:
        typer.echo(f"{file} cannot be read: {error.strerror}", err=True)
        raise typer.Exit(1) from error
    except (ValueError, RecursionError) as error:
        typer.echo(f"{file} is no JSON file; in ComfyUI choose Workflow > Save, or Workflow > Export (API)", err=True)
        raise typer.Exit(1) from error


def _bindings(written: list[str]) -> dict[str, list[str] | None]:
    bindings: dict[str, list[str] | None] = {}
    for each in written:
        name, separator, place = each.partition("=")
        if not separator or not name:
            typer.echo(f"--bind {each}: write NAME=NODE.INPUT, such as prompt=6.text", err=True)
            raise typer.Exit(2)
        bindings[name] = [*(bindings.get(name) or []), place] if place else None
    return bindings


def _print(template: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(template, indent=2))
        return
    version = f"version {template['version']}" if template["version"] else "not stored"
    typer.echo(f"{template['name']} ({'built-in' if template['builtIn'] else version}): {template['title']}")
    width = max((len(each["name"]) for each in template["parameters"]), default=0)
    for each in template["parameters"]:
        places = ", ".join(".".join(place) for place in each["bindings"])
        why = f"  ({each['reason']})" if each["reason"] else ""
        wanted = ", required" if each["required"] else ""
        typer.echo(f"  {each['name']:{width}}  {each['kind']}{wanted} -> {places}{why}")
    for note in template["notes"]:
        typer.echo(f"  note: {note}")
