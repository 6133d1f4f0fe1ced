"""Routes that tell about the server: versions, node definitions, models, logs (COMFYUI_PROTOCOL section 2.8).

Stateless. The simulator says that it is one wherever a real server names itself.
"""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any

from app.comfyui.simulator.folders import KINDS
from app.comfyui.simulator.nodes.files import FILE_INPUTS
from app.comfyui.simulator.web import Call, Routes, answer, empty, text

if TYPE_CHECKING:
    from starlette.responses import Response

    from app.comfyui.simulator.server import Server

_GIB = 1024**3


async def get_system_stats(call: Call) -> Response:
    """Versions and memory, all made up."""
    system = {
        "os": "posix",
        "ram_total": 32 * _GIB,
        "ram_free": 24 * _GIB,
        "comfyui_version": call.server.options.version,
        "required_frontend_version": "0.0.0-simulator",
        "installed_templates_version": "0.0.0-simulator",
        "required_templates_version": "0.0.0-simulator",
        "python_version": f"{platform.python_version()} (simulator)",
        "pytorch_version": "0.0.0+simulator",
        "embedded_python": False,
        "argv": ["simulator"],
    }
    device = {
        "name": "simulator",
        "type": "simulator",
        "index": None,
        "vram_total": 24 * _GIB,
        "vram_free": 20 * _GIB,
        "torch_vram_total": 24 * _GIB,
        "torch_vram_free": 20 * _GIB,
    }
    return answer({"system": system, "devices": [device]})


async def get_features(call: Call) -> Response:
    """The same object as the answer to a socket's `feature_flags`."""
    return answer(call.server.features)


async def get_object_info(call: Call) -> Response:
    """All node definitions."""
    return answer({name: _definition(call.server, name) for name in call.server.nodes})


async def get_object_info_of(call: Call) -> Response:
    """One node definition; `{}` for an unknown class."""
    known = call.parameter in call.server.nodes
    return answer({call.parameter: _definition(call.server, call.parameter)} if known else {})


def _definition(server: Server, name: str) -> dict[str, Any]:
    """As packaged, but for the input files there are."""
    definition = dict(server.nodes[name].definition)
    if name in FILE_INPUTS:
        required = dict(definition["input"]["required"])
        required[FILE_INPUTS[name]] = _listing(required[FILE_INPUTS[name]], sorted(server.folders.names("input")))
        definition["input"] = definition["input"] | {"required": required}
    return definition


def _listing(spec: list[Any], names: list[str]) -> list[Any]:
    """An input's choices replaced, in whichever of the two spellings it has (`nodes.models.options_of`)."""
    if isinstance(spec[0], list):
        return [names, *spec[1:]]
    return [spec[0], {**spec[1], "options": names}]


async def get_models(call: Call) -> Response:
    """Names of model folders."""
    return answer(list(call.server.models))


async def get_models_of(call: Call) -> Response:
    """Model files in one folder."""
    names = call.server.models.get(call.parameter)
    return empty(404) if names is None else answer(names)


async def get_embeddings(call: Call) -> Response:
    """Names of embeddings."""
    return answer(call.server.models.get("embeddings", []))


async def get_view_metadata(_: Call) -> Response:
    """Metadata of model files: there are none."""
    return empty(404)


async def get_socket(_: Call) -> Response:
    """GET /ws that asks for no upgrade."""
    return text('No WebSocket UPGRADE hdr: None\n Can "Upgrade" only to "WebSocket".', 400)


async def get_logs(call: Call) -> Response:
    """The log as one text."""
    return answer("".join(f"{line['t']} - {line['m']}" for line in call.server.log_lines))


async def get_raw_logs(call: Call) -> Response:
    """The log by lines."""
    return answer({"entries": list(call.server.log_lines), "size": {"cols": 80, "rows": 24}})


async def subscribe_to_logs(call: Call) -> Response:
    """Send log lines to a socket, or stop that."""
    body = await call.json()
    subscribers = call.server.log_subscribers
    if body["enabled"]:
        subscribers.setdefault(body["clientId"], False)
    else:
        subscribers.pop(body["clientId"], None)
    return empty()


async def get_folder_paths(_: Call) -> Response:
    """Where models would be. Made up, but as private as real paths."""
    return answer({"checkpoints": ["/comfyui/models/checkpoints"], "loras": ["/comfyui/models/loras"]})


async def get_files(call: Call) -> Response:
    """Names of files in one of the three folders, newest first."""
    if call.parameter not in KINDS:
        return answer({"error": "Invalid directory type"}, 400)
    return answer(call.server.folders.names(call.parameter))


ROUTES: Routes = {
    "/ws": {"GET": get_socket},
    "/system_stats": {"GET": get_system_stats},
    "/features": {"GET": get_features},
    "/object_info": {"GET": get_object_info},
    "/object_info/{node_class}": {"GET": get_object_info_of},
    "/models": {"GET": get_models},
    "/models/{folder}": {"GET": get_models_of},
    "/embeddings": {"GET": get_embeddings},
    "/view_metadata/{folder}": {"GET": get_view_metadata},
    "/internal/logs": {"GET": get_logs},
    "/internal/logs/raw": {"GET": get_raw_logs},
    "/internal/logs/subscribe": {"PATCH": subscribe_to_logs},
    "/internal/folder_paths": {"GET": get_folder_paths},
    "/internal/files/{directory_type}": {"GET": get_files},
}
