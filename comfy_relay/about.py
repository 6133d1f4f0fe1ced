"""Operations on the service itself: templates, models, servers, projects, readiness. See Client for how they are
called.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from comfy_relay.catalogue import Backend, Health, Models, Project, Readiness, Template
from comfy_relay.effects import Flow, Steps, work
from comfy_relay.exchange import Core, answered, decoded, found, given, page_of
from comfy_relay.generating import pages, removed

Workflow: TypeAlias = Mapping[str, Any] | str | os.PathLike[str]
"""A graph in API format or as ComfyUI's editor saves it; or the path of such a file."""


def templates(core: Core, /) -> Steps[tuple[Template, ...]]:
    """All templates: those that ship with the service, then callers' own."""
    items, _ = page_of(core, Template, (yield from answered(core, core.request("GET", "templates"))))
    return items


def template(core: Core, /, name: str) -> Steps[Template]:
    """One template: its parameters, their JSON Schema, an example, and the node each goes to."""
    return (yield from found(core, Template, core.request("GET", "templates", name)))


def create_template(
    core: Core,
    /,
    name: str | None,
    workflow: Workflow,
    *,
    title: str | None = None,
    description: str | None = None,
    bindings: Mapping[str, Any] | None = None,
    dry_run: bool = False,
    replace: bool = False,
) -> Steps[Template]:
    """Make a template of a workflow; its parameters are inferred, and the answer has the reason for each.

    `bindings` corrects them: `{"prompt": "6.text"}` puts a parameter at an input of a node, None drops it. `dry_run`
    stores nothing. `replace` makes a new version of a template that exists. Raises OSError and ValueError for a file
    that cannot be read.
    """
    graph = workflow if isinstance(workflow, Mapping) else (yield from work(lambda: _graph(Path(workflow))))
    body = given(name=name, workflow=graph, title=title, description=description, bindings=bindings)
    query = {"dryRun": dry_run or None}
    if replace and name is not None:
        return (yield from found(core, Template, core.request("PUT", "templates", name, query=query, body=body)))
    request = core.request("POST", "templates", query=query, body=body)
    return (yield from found(core, Template, request, is_repeatable=dry_run))


def remove_template(core: Core, /, name: str) -> Steps[None]:
    """Remove a template of your own; what it made stays."""
    yield from removed(core, "templates", name)


def models(core: Core, /) -> Steps[Models]:
    """Model files, samplers and schedulers that the ComfyUI servers really have."""
    return (yield from found(core, Models, core.request("GET", "models")))


def backends(core: Core, /) -> Steps[tuple[Backend, ...]]:
    """Every ComfyUI server: whether it works, what it is, and how much it has to do."""
    items, _ = page_of(core, Backend, (yield from answered(core, core.request("GET", "backends"))))
    return items


def projects(core: Core, /, *, limit: int | None = None) -> Flow[Project]:
    """Projects, newest first, page after page; `limit` at most."""
    yield from pages(core, Project, ("projects",), {}, limit)


def project(core: Core, /, project_id: str) -> Steps[Project]:
    """One project, with its generations counted by status."""
    return (yield from found(core, Project, core.request("GET", "projects", project_id)))


def create_project(
    core: Core,
    /,
    project_id: str | None = None,
    *,
    title: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Steps[Project]:
    """Make a project; without an id it gets one. A generation that names a project nobody made makes it, too."""
    body = given(id=project_id, title=title, metadata=metadata)
    return (yield from found(core, Project, core.request("POST", "projects", body=body), is_repeatable=False))


def health(core: Core, /) -> Steps[Health]:
    """Whether the process lives. Needs no key."""
    return (yield from found(core, Health, core.request("GET", url=core.url("healthz"))))


def ready(core: Core, /) -> Steps[Readiness]:
    """Whether a job could be finished now, and part by part why. Needs no key."""
    return (yield from found(core, Readiness, core.request("GET", url=core.url("readyz")), accepted=(503,)))


def version(core: Core, /) -> Steps[str]:
    """The version of the service. Needs no key."""
    answer = yield from answered(core, core.request("GET", url=core.url("openapi.json")))
    return str(decoded(core, answer).get("info", {}).get("version", ""))


def _graph(path: Path) -> Any:
    """The decoded file. A byte order mark is left out, and so are NaN and the like, which Python's own JSON has."""
    return json.loads(path.read_bytes().decode("utf-8-sig"), parse_constant=lambda _: None)
