"""Options that several commands have, each written once."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

import typer

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
