"""`comfy-relay batch`: its options. What it does is in `app.commands.batch_errands`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from app.commands.connecting import telling
from app.commands.options import HERE, AsJson, Detach, Key, Parameters, Project, Quiet, Template, Url, Workflow

FORMATS: Final = ("csv", "jsonl", "yaml", "json")


def batch(
    file: Annotated[Path, typer.Argument(help="What to make: .csv, .jsonl, .yaml or .json; - reads it from a pipe.")],
    matrix: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUES", help="seed=1..100 or cfg=4,7: every row with each; again for another one."),
    ] = None,
    runs: Annotated[int | None, typer.Option(min=1, help="Each so often, with another seed every time.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for the files; else called as FILE is.")
    ] = None,
    template: Template = None,
    parameters: Parameters = None,
    workflow: Workflow = None,
    max_in_flight: Annotated[int | None, typer.Option(min=1, help="So many are worked on at a time.")] = None,
    priority: Annotated[
        int | None, typer.Option(help="-100 if not given: whatever anybody waits for goes first.")
    ] = None,
    project: Project = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try those again that failed before.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget what was made in this folder; files stay.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count, and show the first ones.")] = False,
    detach: Detach = False,
    kind: Annotated[str | None, typer.Option("--format", help="Of FILE.", metavar="|".join(FORMATS))] = None,
    url: Url = HERE,
    key: Key = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Make everything that FILE lists: its columns are parameters, its rows pictures. Prints the paths of the files.

    Killed and started again with the same FILE and -o it goes on: nothing is made twice, and files that are there are
    not fetched again. Ctrl-C has the batch canceled; started again it goes on, too.

    Ends with 1 if any failed, 2 if it was asked for wrongly, 3 if there is no service, 130 after Ctrl-C.
    """
    from app.commands import batch_errands, interrupts

    with telling(key):
        order = batch_errands.order_of(
            file,
            kind=kind,
            base={"template": template, "priority": priority, "projectId": project},
            workflow=workflow,
            assignments=parameters or [],
            matrix=matrix or [],
            runs=runs,
        )
        if dry_run:
            interrupts.run(batch_errands.tried(url, key, order, as_json=as_json))
            return
        choices = batch_errands.Choices(
            out=out or Path(file.stem if str(file) != "-" else "batch"),
            max_in_flight=max_in_flight,
            retries_failed=retry_failed,
            starts_anew=fresh,
            is_detached=detach,
            as_json=as_json,
            quiet=quiet,
        )
        interrupts.run(batch_errands.carried_out(url, key, order, choices))
