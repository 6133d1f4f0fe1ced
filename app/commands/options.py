"""Options that several commands have, each written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, TypeAlias

import typer

from app.commands.completion import templates

HERE: Final = "http://127.0.0.1:8000"

_SERVICE: Final = "Which service"

Url: TypeAlias = Annotated[
    str, typer.Option("--url", envvar="COMFY_RELAY_URL", help="Where the service is.", rich_help_panel=_SERVICE)
]
Key: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--key", envvar="COMFY_RELAY_KEY", help="An API key, if it wants one.", rich_help_panel=_SERVICE, metavar="KEY"
    ),
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, and nothing else there.")]
Quiet: TypeAlias = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors on stderr.")]

Template: TypeAlias = Annotated[
    str | None, typer.Option("--template", "-t", help="Name of a template.", autocompletion=templates)
]
Parameters: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="NAME=VALUE", help="A parameter of the template; again for another one."),
]
Workflow: TypeAlias = Annotated[
    Path | None, typer.Option(help="A graph in API format instead of a template; - reads it from a pipe.")
]
Project: TypeAlias = Annotated[str | None, typer.Option(help="A name of yours for what belongs together.")]
Detach: TypeAlias = Annotated[bool, typer.Option("--detach", "--no-wait", help="Only start it, and print its id.")]
