"""`comfy-relay templates`: what there is, and a workflow of one's own made into one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from app.commands import completion, speech
from app.commands.asking import raw
from app.commands.connecting import client, telling
from app.commands.options import HERE, AsJson, Key, Url
from app.commands.printing import printable

if TYPE_CHECKING:
    from comfy_relay import Template

templates = typer.Typer(help="Workflow templates of a running service.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(autocompletion=completion.templates)]

_UNFIT: Final = re.compile(r"[^a-z0-9_-]+")
_MAX_NAME: Final = 100
_MAKING: Final = {
    "template_exists": "--replace makes a new version of it, --name takes another name",
}
_REPLACING: Final = {**_MAKING, "not_found": "leave out --replace to make it"}
"""What helps on the command line, by the code of a problem."""


@templates.command("list")
def list_templates(url: Url = HERE, key: Key = None, as_json: AsJson = False) -> None:
    """List all templates."""
    with telling(key), client(url, key) as relay:
        found = relay.templates()
    if as_json:
        speech.document({"items": [each.raw for each in found]})
        return
    width = max((len(each.name) for each in found), default=0)
    for each in found:
        origin = "built-in" if each.built_in else f"version {each.version}"
        speech.put(f"{each.name:{width}}  {origin:10}  {printable(each.title)}")


@templates.command("show")
def show(name: Name, url: Url = HERE, key: Key = None, as_json: AsJson = False) -> None:
    """Show one template: its parameters, and where each goes."""
    with telling(key), client(url, key) as relay:
        found = relay.template(name)
    _print(found, as_json)


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
    workflow, bound = _read(file), _bindings(bind or [])
    with telling(key, _REPLACING if replace else _MAKING, _option), client(url, key) as relay:
        found = relay.create_template(
            name, workflow, title=title, bindings=bound, dry_run=dry_run, replace=replace and not dry_run
        )
    _print(found, as_json)


@templates.command("remove")
def remove(name: Name, url: Url = HERE, key: Key = None, as_json: AsJson = False) -> None:
    """Remove a template of your own."""
    with telling(key), client(url, key) as relay:
        relay.remove_template(name)
    if as_json:
        speech.document({"name": name, "removed": True})
    else:
        speech.put(f"{name} is removed")


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


def _read(file: Path) -> dict[str, Any]:
    """The decoded file. A byte order mark is left out, and so are NaN and the like, which Python's own JSON has."""
    try:
        found = json.loads(raw(file).decode("utf-8-sig"), parse_constant=lambda _: None)
    except OSError as error:
        typer.echo(f"{file} cannot be read: {error.strerror}", err=True)
        raise typer.Exit(2) from error
    except (ValueError, RecursionError) as error:
        typer.echo(f"{file} is no JSON file; in ComfyUI choose Workflow > Save, or Workflow > Export (API)", err=True)
        raise typer.Exit(2) from error
    if not isinstance(found, dict):
        typer.echo(
            "file: must be a JSON object; in ComfyUI choose Workflow > Save, or Workflow > Export (API)", err=True
        )
        raise typer.Exit(2)
    return found


def _bindings(written: list[str]) -> dict[str, list[str] | None]:
    bindings: dict[str, list[str] | None] = {}
    for each in written:
        name, separator, place = each.partition("=")
        if not separator or not name:
            typer.echo(f"--bind {each}: write NAME=NODE.INPUT, such as prompt=6.text", err=True)
            raise typer.Exit(2)
        bindings[name] = [*(bindings.get(name) or []), place] if place else None
    return bindings


def _print(template: Template, as_json: bool) -> None:
    if as_json:
        speech.document(template.raw)
        return
    version = f"version {template.version}" if template.version else "not stored"
    speech.put(f"{template.name} ({'built-in' if template.built_in else version}): {printable(template.title)}")
    width = max((len(each.name) for each in template.parameters), default=0)
    for each in template.parameters:
        places = ", ".join(".".join(place) for place in each.bindings)
        why = f"  ({printable(each.reason)})" if each.reason else ""
        wanted = ", required" if each.required else ""
        speech.put(f"  {each.name:{width}}  {each.kind}{wanted} -> {places}{why}")
    for note in template.notes:
        speech.put(f"  note: {printable(note)}")
