"""`comfy-relay generate`: its options. What it does is in `app.commands.errands`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from app.commands.connecting import telling
from app.commands.options import HERE, AsJson, Detach, Key, Parameters, Project, Quiet, Template, Url, Workflow

MAX_COUNT: Final = 100
"""More is a batch, which gives way to others."""


def generate(
    prompt: Annotated[str | None, typer.Argument(help="What the picture shows.")] = None,
    template: Template = None,
    parameters: Parameters = None,
    workflow: Workflow = None,
    reference: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE|URL", help="An input file, or NAME=FILE for a certain parameter; may be repeated."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of the first one; further ones have the next.")] = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=MAX_COUNT, help="How many.")] = 1,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the files, or the name of the file.")] = Path(),
    project: Project = None,
    priority: Annotated[int | None, typer.Option(help="Higher goes first; 0 if not given.")] = None,
    deadline: Annotated[float | None, typer.Option(metavar="SECONDS", help="End it when it takes longer.")] = None,
    metadata: Annotated[str | None, typer.Option(metavar="JSON", help="Kept with the record.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Run even if ComfyUI has the same result already.")] = False,
    preview: Annotated[
        bool | None,
        typer.Option("--preview/--no-preview", help="Show the unfinished picture; by itself in kitty and iTerm2."),
    ] = None,
    detach: Detach = False,
    url: Url = HERE,
    key: Key = None,
    as_json: AsJson = False,
    events: Annotated[bool, typer.Option("--events", help="With --json: print every event, too.")] = False,
    quiet: Quiet = False,
) -> None:
    """Make a picture, show how it comes along, and save it. Prints the paths of the files.

    Ctrl-C has it canceled. Ends with 1 if it failed, 2 if it was asked for wrongly, 3 if there is no service, 130 after
    Ctrl-C.
    """
    from app.commands import asking, errands, interrupts

    fields = {
        "prompt": prompt,
        "template": template,
        "seed": seed,
        "project_id": project,
        "priority": priority,
        "deadline_seconds": deadline,
        "force": force or None,
    }
    with telling(key, words=errands.words):
        fields |= asking.inputs(workflow, reference or [], metadata)
        errand = errands.Errand(
            fields={name: value for name, value in fields.items() if value is not None},
            assignments=tuple(parameters or ()),
            count=count,
            out=out,
            is_detached=detach,
            as_json=as_json,
            tells_events=events,
            quiet=quiet,
            pictures=False if quiet else preview,
        )
        interrupts.run(errands.carried_out(url, key, errand))
