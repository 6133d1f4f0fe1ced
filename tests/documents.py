"""The project's pages as data: tables, links, commands. Knows Markdown as far as these pages use it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import typer

from app import cli

ROOT: Final = Path(__file__).parent.parent
README: Final = ROOT / "README.md"
PAGES: Final = (README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md")))

_FENCE: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"\]\(([^)\s]+)\)")
_FILE: Final = re.compile(r"`((?:app|benchmarks|comfy_relay|docs|migrations|tests|\.ci)/[\w./-]*)`")
_CELL: Final = re.compile(r"(?<!\\)\|")


def section(page: str, heading: str) -> str:
    """What stands under a heading, up to the next one of its level or above."""
    found = re.search(rf"^(#+) {re.escape(heading)}$", page, re.MULTILINE)
    assert found is not None, f"no heading {heading!r}"
    rest = page[found.end() :]
    end = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def table(page: str, heading: str) -> list[list[str]]:
    """The cells of the first table under a heading, without its head; code marks are taken off the first cell."""
    lines = [line for line in section(page, heading).splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in _CELL.split(line)[1:-1]] for line in lines[2:]]
    assert rows, f"no table under {heading!r}"
    return [[row[0].strip("`"), *row[1:]] for row in rows]


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return [body for found, body in _FENCE.findall(page) if found == language]


def code(page: str) -> Iterator[str]:
    """Every piece of code: fenced blocks and what stands between backticks."""
    yield from (body for _, body in _FENCE.findall(page))
    yield from re.findall(r"`([^`\n]+)`", _FENCE.sub("", page))


def links(page: str) -> list[str]:
    """Targets of links that do not leave the project."""
    return [link for link in _LINK.findall(page) if not link.startswith(("http:", "https:"))]


def files(page: str) -> list[str]:
    """Files and folders named between backticks."""
    return _FILE.findall(page)


def anchors(page: str) -> set[str]:
    """What headings are called in links, as GitHub makes it."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def make_targets(page: str) -> set[str]:
    """Targets that the page's code gives to make."""
    return {target for piece in code(page) for target in re.findall(r"(?:^|\s)make ([a-z]+)", piece, re.MULTILINE)}


def relay_commands(page: str) -> list[list[str]]:
    """Arguments of every `comfy-relay` the page's code runs."""
    found = [
        line
        for piece in code(page)
        for line in re.findall(r"^(?:\.venv/bin/)?comfy-relay ([^\n|#]+)", piece, re.MULTILINE)
    ]
    return [shlex.split(line) for line in found]


def check_arguments(arguments: list[str]) -> None:
    """Raise unless the command line understands these arguments; nothing is run. Files of the reader's are given."""
    command = typer.main.get_command(cli.main)
    left = [__file__ if argument.endswith(".json") else argument for argument in arguments]
    while left and (commands := getattr(command, "commands", None)) is not None:
        name = left.pop(0)
        assert name in commands, f"comfy-relay has no command {name!r}"
        command = commands[name]
    if left or getattr(command, "commands", None) is None:
        command.make_context(command.name, left)
