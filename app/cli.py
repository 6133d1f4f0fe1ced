"""The root of all commands: those that run a service are here, those that speak to one are in `app.commands`.

Each imports what it needs when it runs: the whole service takes seconds to import, and who only speaks
to one needs none of it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from app.commands.batching import batch
from app.commands.errors import CommandError, ExitCode
from app.commands.fetching import fetch
from app.commands.generating import generate
from app.commands.looking import cancel, list_generations, show, show_backends, show_models
from app.commands.options import HERE, AsJson, Key, Url
from app.commands.templates import templates

if TYPE_CHECKING:
    from app.commands.findings import Finding
    from app.settings import Settings

main = typer.Typer(
    name="comfy-relay",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
db = typer.Typer(help="The database.", no_args_is_help=True)
_MAKING: Final = "Make pictures"
_LOOKING: Final = "Look after them"
_SERVING: Final = "Run the service"

main.command(rich_help_panel=_MAKING)(generate)
main.command(rich_help_panel=_MAKING)(batch)
main.command(rich_help_panel=_MAKING)(fetch)
main.command("list", rich_help_panel=_LOOKING)(list_generations)
main.command(rich_help_panel=_LOOKING)(show)
main.command(rich_help_panel=_LOOKING)(cancel)
main.add_typer(templates, name="templates", rich_help_panel=_LOOKING)
main.command("models", rich_help_panel=_LOOKING)(show_models)
main.command("backends", rich_help_panel=_LOOKING)(show_backends)
main.add_typer(db, name="db", rich_help_panel=_SERVING)

Dialect = Literal["modern", "progress_only", "state_only", "legacy"]
"""Those of the simulator, by name."""

Host = Annotated[str | None, typer.Option(help="Address to listen on; COMFY_RELAY_HOST.")]
Port = Annotated[int | None, typer.Option(help="Port to listen on, 0 = any free one; COMFY_RELAY_PORT.")]


def _tell_version(is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import version

        typer.echo(f"comfy-relay {version('comfy-relay')}")
        raise typer.Exit


@main.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Print the version, and end.")
    ] = False,
) -> None:
    """A durable queue, live progress and kept images in front of your ComfyUI servers."""


@main.command(rich_help_panel=_SERVING)
def serve(host: Host = None, port: Port = None) -> None:
    """Run the service in front of the ComfyUI servers in COMFY_RELAY_COMFYUI_URLS."""
    import uvloop

    from app import serving

    uvloop.run(serving.serve(_settings(host=host, port=port)))


@main.command(rich_help_panel=_SERVING)
def demo(
    host: Host = None,
    port: Port = None,
    step_s: Annotated[float, typer.Option(min=0, help="Seconds of one simulated sampling step.")] = 0.15,
) -> None:
    """Run the service with an embedded ComfyUI simulator: no GPU, no models, real pictures of a kind."""
    import uvloop

    from app import serving

    uvloop.run(serving.demo(_settings(host=host, port=port), step_s=step_s))


@main.command(rich_help_panel=_SERVING)
def simulator(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on, 0 = any free one.")] = 8188,
    step_s: Annotated[float, typer.Option(min=0, help="Seconds of one sampling step.")] = 0.15,
    dialect: Annotated[Dialect, typer.Option(help="How progress is told.")] = "modern",
    data_dir: Annotated[Path | None, typer.Option(help="Folder of its files; none = a temporary one.")] = None,
) -> None:
    """Run only the ComfyUI simulator."""
    import uvloop

    from app import logs
    from app.comfyui import simulator as comfyui

    logs.configure("INFO", "text")
    told = comfyui.Dialect(dialect)
    options = comfyui.SimulatorOptions(host=host, port=port, step_s=step_s, dialect=told, data_dir=data_dir)
    try:
        uvloop.run(comfyui.serve(options))
    except OSError as error:
        raise SystemExit(f"cannot listen on {host}:{port} ({error.strerror}); try another --port") from error


@main.command(rich_help_panel=_SERVING)
def doctor(
    local: Annotated[
        bool, typer.Option("--local", help="Look at the settings of this machine, whether a service runs or not.")
    ] = False,
    url: Url = HERE,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Tell what works and what does not, each with what helps. Ends with 1 if something is broken.

    Asks the service; where none runs on this machine, the settings are looked at that one would have.
    """
    from app.commands.connecting import telling
    from app.commands.doctor import remote_findings, tell, unreachable

    with telling(key):
        found = None if local else remote_findings(url, key)
        if found is None:
            is_elsewhere = not local and url != HERE
            found = [unreachable(url)] if is_elsewhere else _local(is_asked=local)
        if not tell(found, as_json=as_json):
            raise typer.Exit(ExitCode.FAILED)


def _local(*, is_asked: bool) -> list[Finding]:
    """What the settings of this machine come to; where nobody asked for that, that no service runs is told first."""
    import asyncio

    from app.commands.findings import warning
    from app.diagnosis import local_findings

    settings = _settings(log_level="ERROR")
    running = [] if is_asked else [warning("relay", f"none runs at {HERE}", "start it: comfy-relay serve")]
    return [*running, *asyncio.run(local_findings(settings))]


@db.command()
def upgrade() -> None:
    """Bring the database to the newest schema. `serve` does this by itself."""
    from app.db.errors import DatabaseError
    from app.db.migration import current_revision, migrate

    url = _settings().database_url.get_secret_value()
    try:
        migrate(url)
    except DatabaseError as error:
        raise SystemExit(f"COMFY_RELAY_DATABASE_URL: {error}") from error
    typer.echo(f"database is at revision {current_revision(url)}")


def _settings(**given: Any) -> Settings:
    """The settings, with a command's own flags on top; nonsense ends the command, naming each variable."""
    from pydantic import ValidationError

    from app import logs
    from app.settings import Settings, misspelt

    if mistakes := misspelt():
        for name, meant in mistakes.items():
            typer.echo(f"{name}: is no setting; did you mean {meant}?", err=True)
        sys.exit(2)
    try:
        settings = Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        for found in error.errors():
            name = "COMFY_RELAY_" + "_".join(str(step) for step in found["loc"]).upper()
            typer.echo(f"{name}: {found['msg'].removeprefix('Value error, ')}", err=True)
        sys.exit(2)
    logs.configure(settings.log_level, settings.log_format)
    return settings


def run() -> None:
    """`comfy-relay`: Ctrl-C before a command has begun is no more of a failure than after it."""
    from app.commands.speech import complain

    try:
        main()
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)
    except CommandError as error:  # While something was printed.
        complain(*error.lines)
        sys.exit(error.code)


if __name__ == "__main__":
    run()
