"""What the shell offers after TAB that only the service knows. Quick, and silent when it is away or says no."""

from __future__ import annotations

from typing import Final

import typer

WITHIN_S: Final = 1.0


def templates(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Names and titles of the templates there are."""
    from comfy_relay import Client, RelayError

    url, key = (context.params.get(name) for name in ("url", "key"))
    try:
        with Client(url, key, timeout_s=WITHIN_S, retry_for_s=0) as client:
            found = client.templates()
    except (RelayError, ValueError, OSError):
        return []
    return [(each.name, each.title) for each in found if each.name.startswith(incomplete)]
