"""`comfy-relay templates`: what there is, and a workflow of one's own made into one. A client of the HTTP API."""

from __future__ import annotations

import json
import re
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


@templates.command("list")
def list_templates(url: Url = HERE, key: Key = None, as_json: AsJson = False) -> None:
    """List all templates."""
    answer = _asked(url, key, lambda remote: remote.get("/api/templates"))
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
        return
    width = max(len(each["name"]) for each in answer["items"])
    for each in answer["items"]:
        origin = "built-in" if each["builtIn"] else f"version {each['version']}"
        typer.echo(f"{each['name']:{width}}  {origin:10}  {each['title']}")


@templates.command("show")
def show(name: str, url: Url = HERE, key: Key = None, as_json: AsJson = False) -> None:
    """Show one template: its parameters, and where each goes."""
    _print(_asked(url, key, lambda remote: remote.get(f"/api/templates/{name}")), as_json)


@templates.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="As ComfyUI saves or exports it.")],
    name: Annotated[str | None, typer.Option(help="Name of the template; none = that of the file.")] = None,
    title: Annotated[str | None, typer.Option(help="What a person calls it.")] = None,
    bind: Annotated[
        list[str] | None, typer.Option(help="NAME=NODE.INPUT puts a parameter there; NAME= drops it.", metavar="...")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be inferred.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Make a new version of a template that exists.")] = False,
    url: Url = HERE,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Make a template of a workflow file, and show the parameters found in it."""
    name = name or _UNFIT.sub("-", file.stem.lower()).strip("-_")
    body: dict[str, Any] = {"name": name, "workflow": _read(file), "title": title, "bindings": _bindings(bind or [])}
    if dry_run:
        answer = _asked(url, key, lambda remote: remote.post("/api/templates", body, dryRun="true"))
    elif replace:
        answer = _asked(url, key, lambda remote: remote.put(f"/api/templates/{name}", body))
    else:
        answer = _asked(url, key, lambda remote: remote.post("/api/templates", body))
    _print(answer, as_json)


@templates.command("remove")
def remove(name: str, url: Url = HERE, key: Key = None) -> None:
    """Remove a template of your own."""
    _asked(url, key, lambda remote: remote.delete(f"/api/templates/{name}"))
    typer.echo(f"{name} is removed")


def _asked(url: str, key: str | None, question: Any) -> dict[str, Any]:
    try:
        with Remote(url, key) as remote:
            answer: dict[str, Any] = question(remote)
            return answer
    except Refusal as refusal:
        typer.echo(str(refusal), err=True)
        raise typer.Exit(1) from refusal


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        typer.echo(f"{file} is no JSON file: {error}", err=True)
        raise typer.Exit(1) from error


def _bindings(written: list[str]) -> dict[str, str | None]:
    bindings: dict[str, str | None] = {}
    for each in written:
        name, separator, place = each.partition("=")
        if not separator:
            typer.echo(f"--bind {each}: write NAME=NODE.INPUT, such as prompt=6.text", err=True)
            raise typer.Exit(2)
        bindings[name] = place or None
    return bindings


def _print(template: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(template, indent=2))
        return
    version = "built-in" if template["builtIn"] else f"version {template['version'] or '(not stored)'}"
    typer.echo(f"{template['name']} ({version}): {template['title']}")
    for each in template["parameters"]:
        places = ", ".join(".".join(place) for place in each["bindings"])
        why = f"  ({each['reason']})" if each["reason"] else ""
        wanted = ", required" if each["required"] else ""
        typer.echo(f"  {each['name']}: {each['kind']}{wanted} -> {places}{why}")
    for note in template["notes"]:
        typer.echo(f"  note: {note}")
