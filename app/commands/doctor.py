"""`comfy-relay doctor`: what works and what does not, each with what helps. Owns what is seen from outside a service.

What the settings of this machine would make is looked at by whoever may know the inside; see `app.diagnosis`.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from app.commands import speech
from app.commands.connecting import client
from app.commands.errors import Misuse
from app.commands.findings import Finding, State, broken, fine, is_sound, warning
from app.commands.printing import printable

if TYPE_CHECKING:
    from comfy_relay import Client, Readiness

WITHIN_S: Final = 10.0
_MARKS: Final = {State.FINE: "ok", State.WARNING: "warn", State.BROKEN: "BROKEN"}


def remote_findings(url: str, key: str | None) -> list[Finding] | None:
    """What a service says of itself, and whether it lets us in; None where there is none."""
    from comfy_relay import NotARelay, Problem, RelayError, Unreachable

    try:
        with client(url, key, timeout_s=WITHIN_S, retry_for_s=0) as relay:
            relay.health()
            found = [fine("relay", f"answers at {_shown(url)}"), _version(relay.version())]
            found.append(_key(relay, key))
            return [*found, *_parts(relay.ready())]
    except NotARelay as error:
        return [broken("relay", f"{_shown(url)} answers as something else ({error.why})", "name another with --url")]
    except Unreachable:
        return None
    except Misuse as error:
        return [broken("relay", str(error), "name another with --url")]
    except (Problem, RelayError) as error:
        return [broken("relay", str(error), "look at its log")]


def unreachable(url: str) -> Finding:
    return broken("relay", f"no service answers at {_shown(url)}", "start it, or name another with --url")


def tell(findings: Sequence[Finding], *, as_json: bool) -> bool:
    """Print them; whether nothing is broken."""
    is_fine = is_sound(findings)
    if as_json:
        speech.document({"isSound": is_fine, "findings": [each.as_json() for each in findings]})
        return is_fine
    width = max(len(each.name) for each in findings)
    for each in findings:
        speech.put(f"{_MARKS[each.state]:6}  {printable(each.name):{width}}  {printable(each.seen)}")
        if each.remedy:
            speech.put(f"{'':6}  {'':{width}}  -> {printable(each.remedy)}")
    return is_fine


def _version(theirs: str) -> Finding:
    ours = version("comfy-relay")
    if theirs == ours:
        return fine("version", f"{ours}, here and there")
    return warning("version", f"{ours} here, {theirs or 'unknown'} there", "update the older one")


def _key(relay: Client, key: str | None) -> Finding:
    from comfy_relay import Problem

    try:
        next(iter(relay.projects(limit=1)), None)
    except Problem as problem:
        if problem.code != "unauthorized":
            return broken("key", str(problem), "look at the log of the service")
        seen = "is not one of the service's" if key else "none is given, and the service wants one"
        return broken("key", seen, f"give {'another' if key else 'one'} with --key or COMFY_RELAY_KEY")
    return fine("key", "is accepted" if key else "none is wanted")


def _parts(ready: Readiness) -> list[Finding]:
    found = [
        fine("database", "answers, migrated at start")
        if ready.database
        else broken("database", "does not answer", "start it; COMFY_RELAY_DATABASE_URL of the service names it"),
        fine("storage", "can be written")
        if ready.storage
        else broken("storage", "cannot be written", "look at COMFY_RELAY_DATA_DIR or STORAGE_URL of the service"),
        fine("event bus", "answers")
        if ready.bus
        else warning("event bus", "does not answer", "start it; COMFY_RELAY_REDIS_URL of the service names it"),
    ]
    works = sum(each.healthy and each.listening for each in ready.backends.values())
    for name, each in ready.backends.items():
        label = f"ComfyUI {name}"
        bad = warning if works else broken
        if not each.healthy:
            found.append(bad(label, each.last_error or "cannot be reached", "start it; generations wait until then"))
        elif not each.listening:
            found.append(bad(label, "its socket delivers nothing", "let WebSockets through the proxy in front of it"))
        else:
            found.append(fine(label, f"version {each.version or 'unknown'}, socket delivers"))
    if not ready.backends:
        found.append(broken("ComfyUI", "the service has none", "set COMFY_RELAY_COMFYUI_URLS where it runs"))
    return found


def _shown(url: str) -> str:
    """An address without the password somebody may have put into it."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
